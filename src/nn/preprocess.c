/* Preprocessing modes; see preprocess.h. */
#include "nn/preprocess.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static const char *const names[NGI_PREPROCESS_COUNT] = {"tf", "torch", "caffe", "unit", "raw"};

/* ImageNet statistics as keras/src/applications/imagenet_utils.py has them. */
static const float torch_mean[3] = {0.485f, 0.456f, 0.406f}, torch_std[3] = {0.229f, 0.224f, 0.225f};
static const float caffe_mean[3] = {103.939f, 116.779f, 123.68f}; /* B, G, R */

const char *ngi_preprocess_name(ngi_preprocess mode)
{
    return names[mode];
}

ng_status ngi_preprocess_find(const char *name, ngi_preprocess *out, ng_error *err)
{
    for (int i = 0; i < NGI_PREPROCESS_COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (ngi_preprocess)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT,
                    "preprocessing '%s' is not known; expected tf, torch, caffe, unit, raw or auto", name);
}

/* One value of one channel; `c` counts the output's channels. */
static float transform(ngi_preprocess mode, float x, int c)
{
    switch (mode) {
    case NGI_PREPROCESS_TF:
        return x / 127.5f - 1.0f;
    case NGI_PREPROCESS_TORCH:
        return (x / 255.0f - torch_mean[c]) / torch_std[c];
    case NGI_PREPROCESS_CAFFE:
        return x - caffe_mean[c];
    case NGI_PREPROCESS_UNIT:
        return x / 255.0f;
    default:
        return x;
    }
}

static bool per_channel(ngi_preprocess mode)
{
    return mode == NGI_PREPROCESS_TORCH || mode == NGI_PREPROCESS_CAFFE;
}

static ng_status check_channels(ngi_preprocess mode, int channels, ng_error *err)
{
    if (per_channel(mode) && channels != 3)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "preprocessing '%s' is for three channels, the model's input has %d; use tf, unit or raw",
            names[mode], channels);
    return NG_OK;
}

ng_status ngi_preprocess_floats(ngi_preprocess mode, float *pixels, int64_t count, int channels,
                                ng_error *err)
{
    NGI_TRY(check_channels(mode, channels, err));
    for (int64_t i = 0; i < count; i++) {
        float *p = pixels + i * channels;
        if (mode == NGI_PREPROCESS_CAFFE) { /* RGB in, BGR out */
            float red = p[0];
            p[0] = p[2];
            p[2] = red;
        }
        for (int c = 0; c < channels; c++)
            p[c] = transform(mode, p[c], c);
    }
    return NG_OK;
}

ng_status ngi_preprocess_apply(ngi_preprocess mode, const uint8_t *pixels, int64_t count, int channels,
                               float *out, ng_error *err)
{
    NGI_TRY(check_channels(mode, channels, err));
    int tables = per_channel(mode) ? 3 : 1;
    float table[3][256];
    for (int c = 0; c < tables; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = transform(mode, (float)v, c);
    if (tables == 1) {
        for (int64_t i = 0; i < count * channels; i++)
            out[i] = table[0][pixels[i]];
        return NG_OK;
    }
    bool swap = mode == NGI_PREPROCESS_CAFFE; /* RGB in, BGR out */
    for (int64_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = table[c][pixels[3 * i + (swap ? 2 - c : c)]];
    return NG_OK;
}

/* ---- Finding the mode ------------------------------------------------------------------------ */

typedef struct architecture_row {
    const char *prefix; /* letters and digits, lower case; longer prefixes first */
    ngi_preprocess mode;
} architecture_row;

/* EfficientNet, ConvNeXt and MobileNetV3 carry their preprocessing in the graph. */
static const architecture_row architectures[] = {
    {"inceptionresnetv2", NGI_PREPROCESS_TF},
    {"inceptionv3", NGI_PREPROCESS_TF},
    {"xception", NGI_PREPROCESS_TF},
    {"mobilenetv3", NGI_PREPROCESS_RAW},
    {"mobilenet", NGI_PREPROCESS_TF},
    {"nasnet", NGI_PREPROCESS_TF},
    {"resnet50v2", NGI_PREPROCESS_TF},
    {"resnet101v2", NGI_PREPROCESS_TF},
    {"resnet152v2", NGI_PREPROCESS_TF},
    {"resnet", NGI_PREPROCESS_CAFFE},
    {"vgg", NGI_PREPROCESS_CAFFE},
    {"densenet", NGI_PREPROCESS_TORCH},
};

bool ngi_preprocess_of_architecture(const char *name, ngi_preprocess *out)
{
    char plain[64];
    size_t n = 0;
    for (; *name && n + 1 < sizeof plain; name++)
        if (isalnum((unsigned char)*name))
            plain[n++] = (char)tolower((unsigned char)*name);
    plain[n] = '\0';
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strncmp(plain, architectures[i].prefix, strlen(architectures[i].prefix)) == 0) {
            *out = architectures[i].mode;
            return true;
        }
    return false;
}

/* The only consumer of node `from` on the way to an output; -1 where paths part. */
static int next_node(const ngi_graph *g, int from)
{
    int found = -1;
    for (int i = from + 1; i < g->n_nodes; i++)
        for (int k = 0; g->nodes[i].feeds_output && k < g->nodes[i].n_inputs; k++)
            if (g->nodes[i].inputs[k] == from) {
                if (found >= 0 && found != i)
                    return -1;
                found = i;
            }
    return found;
}

/* x -> x * scale + offset of the node, per channel; false for any other op. */
static bool channel_affine(const ngi_graph *g, const ngi_node *n, int c, double *scale, double *offset)
{
    if (n->op == NGI_OP_AFFINE) {
        const ngi_weight *s = &g->weights[n->weights[0]], *o = &g->weights[n->weights[1]];
        *scale = s->data[s->shape.dim[0] > 1 ? c : 0];
        *offset = o->data[o->shape.dim[0] > 1 ? c : 0];
        return true;
    }
    if (n->op == NGI_OP_BATCHNORM) {
        const int *w = n->weights;
        double gamma = w[0] < 0 ? 1 : g->weights[w[0]].data[c],
               beta = w[1] < 0 ? 0 : g->weights[w[1]].data[c];
        *scale = gamma / sqrt((double)g->weights[w[3]].data[c] + n->attr.epsilon);
        *offset = beta - g->weights[w[2]].data[c] * *scale;
        return true;
    }
    return false;
}

static bool passes_values(const ngi_node *n)
{
    return n->op == NGI_OP_IDENTITY || n->op == NGI_OP_ZERO_PAD || n->op == NGI_OP_CROP ||
           n->op == NGI_OP_RESIZE || n->op == NGI_OP_SLICE;
}

bool ngi_graph_has_preprocessing(const ngi_graph *g)
{
    for (int i = next_node(g, g->inputs[0]); i >= 0; i = next_node(g, i)) {
        bool normalises = g->nodes[i].op == NGI_OP_BATCHNORM && g->nodes[i].layer >= 0 &&
                          strcmp(g->layers[g->nodes[i].layer].class_name, "Normalization") == 0;
        if (g->nodes[i].op == NGI_OP_AFFINE || normalises)
            return true;
        if (!passes_values(&g->nodes[i]))
            return false;
    }
    return false;
}

void ngi_preprocess_range(const ngi_graph *g, ngi_preprocess mode, float *low, float *high)
{
    const ngi_shape *in = &g->nodes[g->inputs[0]].shape;
    int channels = (int)in->dim[in->rank - 1];
    double lo = INFINITY, hi = -INFINITY;
    for (int c = 0; c < channels; c++) {
        int row = per_channel(mode) ? c % 3 : 0;
        double a = transform(mode, 0, row), b = transform(mode, 255, row), scale, offset;
        for (int i = next_node(g, g->inputs[0]); i >= 0; i = next_node(g, i)) {
            if (channel_affine(g, &g->nodes[i], c, &scale, &offset)) {
                a = a * scale + offset;
                b = b * scale + offset;
            } else if (!passes_values(&g->nodes[i]))
                break;
        }
        lo = fmin(lo, fmin(a, b));
        hi = fmax(hi, fmax(a, b));
    }
    *low = (float)lo;
    *high = (float)hi;
}
