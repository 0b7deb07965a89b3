/* keras.applications.InceptionV3 as a Keras configuration: the layers of a fresh session (conv2d, conv2d_1,
 * ...), in the order in which Keras lists them, because weight files are read onto them by that order.
 * Follows keras/applications/inception_v3.py line by line; Szegedy et al., "Rethinking the Inception
 * Architecture for Computer Vision", 2015. */
#include "format/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LAYERS 400 /* 313 with the top */
#define MOST_JOINED 4

typedef enum kind { INPUT, CONV, BATCHNORM, RELU, MAX_POOL, AVG_POOL, JOIN, GLOBAL_POOL, DENSE } kind;

typedef struct layer {
    kind kind;
    char name[32];
    int inputs[MOST_JOINED], n_inputs;
    int filters, rows, columns, stride;
    bool same;
    int depth;     /* longest way to the output */
    int traversal; /* order of the first visit from the output; -1 before it */
} layer;

typedef struct net {
    layer layers[MOST_LAYERS];
    int n, convs, max_pools, avg_pools, joins;
    int classes, height, width;
} net;

/* ---- Building ---------------------------------------------------------------------------------- */

/* "conv2d" for the first of a kind, "conv2d_1" for the second. */
static void automatic_name(layer *l, const char *base, int count)
{
    if (count == 0)
        snprintf(l->name, sizeof l->name, "%s", base);
    else
        snprintf(l->name, sizeof l->name, "%s_%d", base, count);
}

static layer *add(net *m, kind k, int input)
{
    layer *l = &m->layers[m->n++];
    *l = (layer){.kind = k, .inputs = {input}, .n_inputs = k == INPUT ? 0 : 1, .traversal = -1};
    return l;
}

/* conv2d_bn: convolution without bias, batch norm without scale, relu. Returns the relu. */
static int conv_bn(net *m, int x, int filters, int rows, int columns, int stride, bool same)
{
    layer *conv = add(m, CONV, x);
    conv->filters = filters;
    conv->rows = rows;
    conv->columns = columns;
    conv->stride = stride;
    conv->same = same;
    automatic_name(conv, "conv2d", m->convs);
    automatic_name(add(m, BATCHNORM, m->n - 1), "batch_normalization", m->convs);
    automatic_name(add(m, RELU, m->n - 1), "activation", m->convs++);
    return m->n - 1;
}

static int conv(net *m, int x, int filters, int rows, int columns)
{
    return conv_bn(m, x, filters, rows, columns, 1, true);
}

static int max_pool(net *m, int x)
{
    automatic_name(add(m, MAX_POOL, x), "max_pooling2d", m->max_pools++);
    return m->n - 1;
}

static int avg_pool(net *m, int x)
{
    automatic_name(add(m, AVG_POOL, x), "average_pooling2d", m->avg_pools++);
    return m->n - 1;
}

/* Concatenates branches; name NULL: an automatic one. */
static int join(net *m, const char *name, int n, const int *branches)
{
    layer *l = add(m, JOIN, branches[0]);
    if (name)
        snprintf(l->name, sizeof l->name, "%s", name);
    else
        automatic_name(l, "concatenate", m->joins++);
    memcpy(l->inputs, branches, (size_t)n * sizeof *branches);
    l->n_inputs = n;
    return m->n - 1;
}

/* mixed 0..2: 35 x 35 */
static int block_35(net *m, int x, const char *name, int pooled)
{
    int b1 = conv(m, x, 64, 1, 1);
    int b5 = conv(m, conv(m, x, 48, 1, 1), 64, 5, 5);
    int b3 = conv(m, conv(m, conv(m, x, 64, 1, 1), 96, 3, 3), 96, 3, 3);
    int pool = conv(m, avg_pool(m, x), pooled, 1, 1);
    return join(m, name, 4, (int[]){b1, b5, b3, pool});
}

/* mixed 4..7: 17 x 17 */
static int block_17(net *m, int x, const char *name, int width)
{
    int b1 = conv(m, x, 192, 1, 1);
    int b7 = conv(m, conv(m, conv(m, x, width, 1, 1), width, 1, 7), 192, 7, 1);
    int d7 = conv(m, conv(m, conv(m, x, width, 1, 1), width, 7, 1), width, 1, 7);
    d7 = conv(m, conv(m, d7, width, 7, 1), 192, 1, 7);
    int pool = conv(m, avg_pool(m, x), 192, 1, 1);
    return join(m, name, 4, (int[]){b1, b7, d7, pool});
}

/* mixed 9 and 10: 8 x 8 */
static int block_8(net *m, int x, const char *name, const char *inner)
{
    int b1 = conv(m, x, 320, 1, 1);
    int b3 = conv(m, x, 384, 1, 1);
    int b3_1 = conv(m, b3, 384, 1, 3), b3_2 = conv(m, b3, 384, 3, 1);
    b3 = join(m, inner, 2, (int[]){b3_1, b3_2});
    int d3 = conv(m, conv(m, x, 448, 1, 1), 384, 3, 3);
    int d3_1 = conv(m, d3, 384, 1, 3), d3_2 = conv(m, d3, 384, 3, 1);
    d3 = join(m, NULL, 2, (int[]){d3_1, d3_2});
    int pool = conv(m, avg_pool(m, x), 192, 1, 1);
    return join(m, name, 4, (int[]){b1, b3, d3, pool});
}

static void build_net(net *m)
{
    snprintf(add(m, INPUT, 0)->name, sizeof m->layers->name, "input_layer");
    int x = conv_bn(m, 0, 32, 3, 3, 2, false);
    x = conv(m, conv_bn(m, x, 32, 3, 3, 1, false), 64, 3, 3);
    x = max_pool(m, x);
    x = conv_bn(m, x, 80, 1, 1, 1, false);
    x = max_pool(m, conv_bn(m, x, 192, 3, 3, 1, false));
    x = block_35(m, x, "mixed0", 32);
    x = block_35(m, x, "mixed1", 64);
    x = block_35(m, x, "mixed2", 64);

    int b3 = conv_bn(m, x, 384, 3, 3, 2, false); /* mixed3: to 17 x 17 */
    int d3 = conv_bn(m, conv(m, conv(m, x, 64, 1, 1), 96, 3, 3), 96, 3, 3, 2, false);
    x = join(m, "mixed3", 3, (int[]){b3, d3, max_pool(m, x)});
    x = block_17(m, x, "mixed4", 128);
    x = block_17(m, x, "mixed5", 160);
    x = block_17(m, x, "mixed6", 160);
    x = block_17(m, x, "mixed7", 192);

    b3 = conv_bn(m, conv(m, x, 192, 1, 1), 320, 3, 3, 2, false); /* mixed8: to 8 x 8 */
    int b7 = conv(m, conv(m, conv(m, x, 192, 1, 1), 192, 1, 7), 192, 7, 1);
    b7 = conv_bn(m, b7, 192, 3, 3, 2, false);
    x = join(m, "mixed8", 3, (int[]){b3, b7, max_pool(m, x)});
    x = block_8(m, x, "mixed9", "mixed9_0");
    x = block_8(m, x, "mixed10", "mixed9_1");
    if (m->classes > 0) {
        snprintf(add(m, GLOBAL_POOL, x)->name, sizeof m->layers->name, "avg_pool");
        snprintf(add(m, DENSE, m->n - 1)->name, sizeof m->layers->name, "predictions");
    }
}

/* ---- Order ------------------------------------------------------------------------------------- */

static void traverse(net *m, int at, int *next)
{
    layer *l = &m->layers[at];
    if (l->traversal >= 0)
        return;
    l->traversal = (*next)++;
    for (int i = 0; i < l->n_inputs; i++)
        traverse(m, l->inputs[i], next);
}

static int compare_layers(const void *a, const void *b)
{
    const layer *x = *(const layer *const *)a, *y = *(const layer *const *)b;
    return x->depth != y->depth ? y->depth - x->depth : x->traversal - y->traversal;
}

/* Keras's order (map_graph): deepest first, then by traversal from the output. */
static void sort_layers(net *m, const layer **sorted)
{
    int next = 0;
    traverse(m, m->n - 1, &next);
    for (int i = m->n - 1; i >= 0; i--)
        for (int k = 0; k < m->layers[i].n_inputs; k++) {
            layer *in = &m->layers[m->layers[i].inputs[k]];
            if (in->depth <= m->layers[i].depth)
                in->depth = m->layers[i].depth + 1;
        }
    for (int i = 0; i < m->n; i++)
        sorted[i] = &m->layers[i];
    qsort(sorted, (size_t)m->n, sizeof *sorted, compare_layers);
}

/* ---- Text -------------------------------------------------------------------------------------- */

static ng_status print_settings(const net *m, const layer *l, ngi_buffer *out, ng_error *err)
{
    const char *padding = l->same ? "same" : "valid";
    switch (l->kind) {
    case INPUT:
        return ngi_buffer_printf(out, err, "\"batch_input_shape\":[null,%d,%d,3],\"dtype\":\"float32\"",
                                 m->height, m->width);
    case CONV:
        return ngi_buffer_printf(
            out, err,
            "\"filters\":%d,\"kernel_size\":[%d,%d],\"strides\":[%d,%d],\"padding\":\"%s\","
            "\"use_bias\":false",
            l->filters, l->rows, l->columns, l->stride, l->stride, padding);
    case BATCHNORM:
        return ngi_buffer_printf(out, err, "\"axis\":3,\"epsilon\":0.001,\"center\":true,\"scale\":false");
    case RELU:
        return ngi_buffer_printf(out, err, "\"activation\":\"relu\"");
    case MAX_POOL:
        return ngi_buffer_printf(out, err, "\"pool_size\":[3,3],\"strides\":[2,2],\"padding\":\"valid\"");
    case AVG_POOL:
        return ngi_buffer_printf(out, err, "\"pool_size\":[3,3],\"strides\":[1,1],\"padding\":\"same\"");
    case JOIN:
        return ngi_buffer_printf(out, err, "\"axis\":3");
    case GLOBAL_POOL:
        return ngi_buffer_printf(out, err, "\"keepdims\":false");
    case DENSE:
        return ngi_buffer_printf(out, err, "\"units\":%d,\"activation\":\"softmax\",\"use_bias\":true",
                                 m->classes);
    }
    return NG_OK;
}

static ng_status print_layer(const net *m, const layer *l, ngi_buffer *out, ng_error *err)
{
    static const char *const classes[] = {
        "InputLayer",       "Conv2D",      "BatchNormalization",     "Activation", "MaxPooling2D",
        "AveragePooling2D", "Concatenate", "GlobalAveragePooling2D", "Dense"};
    NGI_TRY(ngi_buffer_printf(out, err, "{\"class_name\":\"%s\",\"name\":\"%s\",\"config\":{\"name\":\"%s\",",
                              classes[l->kind], l->name, l->name));
    NGI_TRY(print_settings(m, l, out, err));
    NGI_TRY(ngi_buffer_printf(out, err, "},\"inbound_nodes\":%s", l->n_inputs ? "[[" : "["));
    for (int i = 0; i < l->n_inputs; i++)
        NGI_TRY(ngi_buffer_printf(out, err, "%s[\"%s\",0,0,{}]", i ? "," : "", m->layers[l->inputs[i]].name));
    return ngi_buffer_printf(out, err, "%s}", l->n_inputs ? "]]" : "]");
}

static ng_status print_net(const net *m, const layer *const *sorted, ngi_buffer *out, ng_error *err)
{
    NGI_TRY(ngi_buffer_printf(
        out, err, "{\"class_name\":\"Functional\",\"config\":{\"name\":\"inception_v3\",\"layers\":["));
    for (int i = 0; i < m->n; i++) {
        NGI_TRY(ngi_buffer_printf(out, err, "%s", i ? "," : ""));
        NGI_TRY(print_layer(m, sorted[i], out, err));
    }
    return ngi_buffer_printf(out, err,
                             "],\"input_layers\":[[\"input_layer\",0,0]],\"output_layers\":[[\"%s\",0,0]]}}",
                             m->layers[m->n - 1].name);
}

ng_status ngi_inception_v3_config(int classes, int height, int width, ngi_buffer *out, ng_error *err)
{
    net *m = ngi_alloc_zero(1, sizeof *m);
    const layer **sorted = ngi_alloc(MOST_LAYERS, sizeof *sorted);
    ng_status status = m && sorted ? NG_OK : ngi_fail_memory(err, sizeof *m);
    if (status == NG_OK) {
        m->classes = classes;
        m->height = height;
        m->width = width;
        build_net(m);
        sort_layers(m, sorted);
        status = print_net(m, sorted, out, err);
    }
    ngi_free(sorted);
    ngi_free(m);
    return status;
}
