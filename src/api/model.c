/* ng_model: a loaded file with its head, preprocessing, labels and layer table. */
#include "api/api.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void ng_model_opts_init(ng_model_opts *opts)
{
    *opts = (ng_model_opts){.struct_size = sizeof *opts};
}

void ng_model_free(ng_model *model)
{
    if (!model)
        return;
    ngi_labels_free(model->labels, model->n_labels);
    ngi_labels_free(model->fallback_labels, model->head.classes);
    ngi_free(model->black);
    ngi_free(model->inputs);
    ngi_free(model->outputs);
    ngi_free(model->path);
    ngi_free(model->cache);
    ngi_model_file_clear(&model->file);
    ngi_free(model);
}

/* ---- Loading --------------------------------------------------------------------------------- */

/* Named by the user, carried by the graph, written beside the model, known from the architecture, or
 * assumed: in this order. */
static ng_status choose_preprocess(ng_model *m, const char *wanted, ng_error *err)
{
    m->preprocess_origin = "option";
    if (wanted && strcmp(wanted, "auto") != 0)
        return ngi_preprocess_find(wanted, &m->preprocess, err);
    m->preprocess_origin = "netgaze.json";
    if (m->file.preprocess) {
        ng_status status = ngi_preprocess_find(m->file.preprocess, &m->preprocess, err);
        if (status != NG_OK)
            ngi_error_prefix(err, "netgaze.json beside %s", m->path);
        return status;
    }
    m->preprocess_origin = "graph";
    m->preprocess = NGI_PREPROCESS_RAW;
    if (ngi_graph_has_preprocessing(m->graph))
        return NG_OK;
    m->preprocess_origin = "architecture";
    if (ngi_preprocess_of_architecture(m->file.architecture, &m->preprocess))
        return NG_OK;
    m->preprocess_origin = "assumed";
    m->preprocess = NGI_PREPROCESS_TF;
    return NG_OK;
}

static ng_status prepare_labels(ng_model *m, const char *path, ng_error *err)
{
    if (path)
        NGI_TRY(ngi_labels_load(path, &m->labels, &m->n_labels, err));
    int have = path ? m->n_labels : m->file.n_labels;
    if (have && have != m->head.classes)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: %d labels, the model %s has %d classes",
                        path ? path : "netgaze.json", have, m->path, m->head.classes);
    m->fallback_labels = ngi_alloc_zero((size_t)m->head.classes, sizeof *m->fallback_labels);
    if (!m->fallback_labels)
        return ngi_fail_memory(err, (size_t)m->head.classes * sizeof *m->fallback_labels);
    for (int i = 0; i < m->head.classes; i++)
        if (!(m->fallback_labels[i] = ngi_sprintf("class %d", i)))
            return ngi_fail_memory(err, 16);
    return NG_OK;
}

/* What black and white become; 0 and 1 where the input is no picture. */
static ng_status find_extremes(ng_model *m, ng_error *err)
{
    const ngi_shape *in = &m->graph->nodes[m->graph->inputs[0]].shape;
    static const uint8_t pixels[2][3] = {{0, 0, 0}, {255, 255, 255}};
    int channels = (int)in->dim[2];
    m->black = ngi_alloc(2 * (size_t)channels, sizeof *m->black);
    if (!m->black)
        return ngi_fail_memory(err, 2 * (size_t)channels * sizeof *m->black);
    m->white = m->black + channels;
    for (int c = 0; c < channels; c++) {
        m->black[c] = 0;
        m->white[c] = 1;
    }
    if (channels != 1 && channels != 3)
        return NG_OK;
    NGI_TRY(ngi_preprocess_apply(m->preprocess, pixels[0], 1, channels, m->black, err));
    return ngi_preprocess_apply(m->preprocess, pixels[1], 1, channels, m->white, err);
}

/* All that follows from the file. */
static ng_status complete(ng_model *m, const ng_model_opts *opts, ng_error *err)
{
    m->graph = m->file.graph;
    NGI_TRY(ngi_model_choose_ends(m, opts, err));
    m->head = ngi_head_of(m->graph);
    if (opts->shuffle_head)
        NGI_TRY(ngi_shuffle(&m->file, &m->head, opts, err));
    m->automatic_layer = ngi_graph_automatic_layer(m->graph);
    for (int i = 0; i < m->graph->n_weights; i++)
        m->parameters += m->graph->weights[i].constant ? 0 : ngi_shape_count(&m->graph->weights[i].shape);
    NGI_TRY(choose_preprocess(m, opts->preprocess, err));
    ngi_preprocess_range(m->graph, m->preprocess, &m->low, &m->high);
    NGI_TRY(find_extremes(m, err));
    return prepare_labels(m, opts->labels, err);
}

static ng_status load(ng_model *m, const char *path, const ng_model_opts *opts, ng_error *err)
{
    if (!(m->path = ngi_strdup(path)))
        return ngi_fail_memory(err, strlen(path));
    m->cache = ngi_cache_folder(opts->shuffle_head ? "off" : opts->cache);
    ngi_load_opts load_opts = {.weights = opts->weights,
                               .input_height = opts->input_height,
                               .input_width = opts->input_width,
                               .cache = m->cache};
    NGI_TRY(ngi_model_file_load(path, &load_opts, &m->file, err));
    return complete(m, opts, err);
}

ng_status ngi_model_of_file(ngi_model_file *file, const char *path, const ng_model_opts *opts, ng_model **out,
                            ng_error *err)
{
    *out = NULL;
    ng_model_opts defaults;
    ng_model_opts_init(&defaults);
    ng_model *m = ngi_alloc_zero(1, sizeof *m);
    if (m)
        m->file = *file;
    else
        ngi_model_file_clear(file);
    *file = (ngi_model_file){0};
    if (!m)
        return ngi_fail_memory(err, sizeof *m);
    m->path = ngi_strdup(path);
    ng_status status =
        m->path ? complete(m, opts ? opts : &defaults, err) : ngi_fail_memory(err, strlen(path));
    if (status == NG_OK)
        *out = m;
    else
        ng_model_free(m);
    return status;
}

ng_status ng_model_load(const char *path, const ng_model_opts *opts, ng_model **out, ng_error *err)
{
    *out = NULL;
    ng_model_opts defaults;
    ng_model_opts_init(&defaults);
    ng_model *m = ngi_alloc_zero(1, sizeof *m);
    if (!m)
        return ngi_fail_memory(err, sizeof *m);
    ng_status status = load(m, path, opts ? opts : &defaults, err);
    if (status != NG_OK) {
        ng_model_free(m);
        return status;
    }
    *out = m;
    return NG_OK;
}

/* ---- Questions ------------------------------------------------------------------------------- */

void ng_model_describe(const ng_model *m, ng_model_info *out)
{
    const ngi_shape *in = &m->graph->nodes[m->graph->inputs[0]].shape;
    *out = (ng_model_info){
        .path = m->path,
        .format = m->file.format,
        .name = m->graph->name ? m->graph->name : "",
        .producer = m->file.producer,
        .hash = m->file.hash,
        .input_height = (int)in->dim[0],
        .input_width = (int)in->dim[1],
        .input_channels = (int)in->dim[2],
        .class_count = m->head.classes,
        .output_count = m->head.width,
        .activation = m->head.softmax                         ? "softmax"
                      : m->head.activation == NGI_ACT_SIGMOID ? "sigmoid"
                                                              : "linear",
        .layer_count = m->graph->n_layers,
        .automatic_layer = m->automatic_layer,
        .input_layer = ngi_attr_input_layer(m->graph),
        .parameter_count = m->parameters,
        .inputs = m->inputs,
        .outputs = m->outputs,
        .output = ngi_model_output_name(m),
        .output_index = m->output,
        .preprocess = {ngi_preprocess_name(m->preprocess), m->preprocess_origin, m->low, m->high},
    };
}

/* Whether a node of this layer uses the weight. */
static bool layer_uses(const ngi_graph *g, int layer, int weight)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; g->nodes[i].layer == layer && k < NGI_NODE_WEIGHTS; k++)
            if (g->nodes[i].weights[k] == weight)
                return true;
    return false;
}

/* Parameters of the layer's own weights, each counted once; a model inside the model counts its layers'. */
static int64_t layer_parameters(const ngi_graph *g, int layer)
{
    const char *name = g->layers[layer].name;
    size_t prefix = strlen(name);
    bool is_model = false;
    for (int i = 0; i < g->n_layers && !is_model; i++)
        is_model = strncmp(g->layers[i].name, name, prefix) == 0 && g->layers[i].name[prefix] == '/';
    int64_t sum = 0;
    for (int i = 0; i < g->n_weights; i++) {
        bool inside = strncmp(g->weights[i].name, name, prefix) == 0 && g->weights[i].name[prefix] == '/';
        if (!g->weights[i].constant && inside && (is_model || layer_uses(g, layer, i)))
            sum += ngi_shape_count(&g->weights[i].shape);
    }
    return sum;
}

ng_status ng_model_layer(const ng_model *m, int index, ng_layer_info *out, ng_error *err)
{
    const ngi_graph *g = m->graph;
    *out = (ng_layer_info){0};
    if (index < 0 || index >= g->n_layers)
        return ngi_fail(err, NG_E_ARGUMENT, "layer %d: the model has layers 0 to %d", index, g->n_layers - 1);
    const ngi_layer *layer = &g->layers[index];
    out->name = layer->name;
    out->class_name = layer->class_name;
    out->trainable = layer->trainable;
    out->parameters = layer_parameters(g, index);
    out->candidate = ngi_graph_is_candidate(g, index);
    out->automatic = index == m->automatic_layer;
    if (layer->node >= 0) {
        const ngi_shape *s = &g->nodes[layer->node].shape;
        out->rank = s->rank < 4 ? s->rank : 4;
        memcpy(out->shape, s->dim, (size_t)out->rank * sizeof *out->shape);
        ngi_graph_stride(g, layer->node, &out->stride_y, &out->stride_x);
    }
    return NG_OK;
}

static const char *bare(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Levenshtein distance, bounded names. */
static int distance(const char *a, const char *b)
{
    enum { LONGEST = 96 };
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    int row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int change = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            int gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < gap ? change : gap;
        }
    }
    return row[m];
}

/* "did you mean 'a', 'b' or 'c'?" from the nearest layer names. */
static void suggest_layers(const ngi_graph *g, const char *name, char *text, size_t size)
{
    int best[3] = {-1, -1, -1}, score[3] = {1 << 30, 1 << 30, 1 << 30};
    for (int i = 0; i < g->n_layers; i++) {
        int d = distance(name, bare(g->layers[i].name)), full = distance(name, g->layers[i].name);
        d = full < d ? full : d;
        for (int k = 0; k < 3; k++)
            if (d < score[k]) {
                memmove(best + k + 1, best + k, (size_t)(2 - k) * sizeof *best);
                memmove(score + k + 1, score + k, (size_t)(2 - k) * sizeof *score);
                best[k] = i;
                score[k] = d;
                break;
            }
    }
    text[0] = '\0';
    for (int k = 0; k < 3 && best[k] >= 0; k++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s'%s'", k ? ", " : "", g->layers[best[k]].name);
    }
}

ng_status ng_model_find_layer(const ng_model *m, const char *name, int *index, ng_error *err)
{
    const ngi_graph *g = m->graph;
    int found = -1, count = 0;
    for (int i = 0; i < g->n_layers; i++)
        if (strcmp(g->layers[i].name, name) == 0) {
            *index = i;
            return NG_OK;
        }
    for (int i = 0; i < g->n_layers; i++)
        if (strcmp(bare(g->layers[i].name), name) == 0) {
            found = i;
            count++;
        }
    if (count == 1) {
        *index = found;
        return NG_OK;
    }
    if (count > 1)
        return ngi_fail(err, NG_E_NOT_FOUND,
                        "layer name '%s' stands for %d layers; give the path, such as '%s'", name, count,
                        g->layers[found].name);
    char near[400];
    suggest_layers(g, name, near, sizeof near);
    return ngi_fail(err, NG_E_NOT_FOUND,
                    "the model has no layer '%s'; did you mean %s? `netgaze layers` lists all", name, near);
}

const char *ng_model_label(const ng_model *m, int class_index)
{
    if (class_index < 0 || class_index >= m->head.classes)
        return "";
    if (m->labels && class_index < m->n_labels)
        return m->labels[class_index];
    if (m->file.labels && class_index < m->file.n_labels)
        return m->file.labels[class_index];
    return m->fallback_labels[class_index];
}

ng_status ng_model_find_class(const ng_model *m, const char *name, int *class_index, ng_error *err)
{
    int found = -1, count = 0;
    for (int i = 0; i < m->head.classes; i++) {
        const char *label = ng_model_label(m, i);
        if (strcmp(label, name) == 0) {
            *class_index = i;
            return NG_OK;
        }
        if (strcasecmp(label, name) == 0) {
            found = i;
            count++;
        }
    }
    char *end;
    long number = strtol(name, &end, 10);
    if (end != name && *end == '\0') {
        if (number < 0 || number >= m->head.classes)
            return ngi_fail(err, NG_E_NOT_FOUND, "class %s: the model has classes 0 to %d", name,
                            m->head.classes - 1);
        *class_index = (int)number;
        return NG_OK;
    }
    if (count == 1) {
        *class_index = found;
        return NG_OK;
    }
    if (count > 1)
        return ngi_fail(err, NG_E_NOT_FOUND, "label '%s' names %d classes; give the class by number", name,
                        count);
    return ngi_fail(err, NG_E_NOT_FOUND, "the model has no class '%s'; its %d classes begin with '%s'", name,
                    m->head.classes, ng_model_label(m, 0));
}

ng_status ng_model_preprocess(const ng_model *m, const ng_image *image, float *out, ng_error *err)
{
    const ngi_shape *in = &m->graph->nodes[m->graph->inputs[0]].shape;
    if (image->height != in->dim[0] || image->width != in->dim[1] || image->channels != in->dim[2])
        return ngi_fail(err, NG_E_SHAPE, "the image is %dx%dx%d, the model's input %lldx%lldx%lld",
                        image->height, image->width, image->channels, (long long)in->dim[0],
                        (long long)in->dim[1], (long long)in->dim[2]);
    return ngi_preprocess_apply(m->preprocess, image->data, (int64_t)image->height * image->width,
                                image->channels, out, err);
}
