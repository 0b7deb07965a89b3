/* Models of several inputs and outputs: which input is the image, what the others hold, which output is explained. The rest
 * of the library sees a graph of one input and one output, as an input that is given becomes a constant of it. */
#include "api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_TEXT 400

/* ---- Names ----------------------------------------------------------------------------------- */

static const char *layer_of(const ngi_graph *g, int node)
{
    int layer = g->nodes[node].layer;
    return layer >= 0 ? g->layers[layer].name : g->nodes[node].name;
}

static const char *bare(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "'image' [14,17,3], 'age' [4]" */
static void list_ends(const ngi_graph *g, const int *nodes, int n, char text[LIST_TEXT])
{
    char shape[NGI_SHAPE_TEXT];
    *text = '\0';
    for (int i = 0; i < n; i++) {
        size_t used = strlen(text);
        snprintf(text + used, LIST_TEXT - used, "%s'%.80s' %s", i ? ", " : "", layer_of(g, nodes[i]),
                 ngi_shape_text(&g->nodes[nodes[i]].shape, shape));
    }
}

/* "image, age"; the caller frees it. */
static char *join_names(const ngi_graph *g, const int *nodes, int n)
{
    ngi_buffer text = {0};
    ng_status status = ngi_buffer_add(&text, "", 0, NULL);
    for (int i = 0; i < n && status == NG_OK; i++)
        status = ngi_buffer_printf(&text, NULL, "%s%s", i ? ", " : "", layer_of(g, nodes[i]));
    if (status == NG_OK)
        return text.data;
    ngi_buffer_clear(&text);
    return NULL;
}

/* The end of this name: its layer's path or bare name, or a model inside whose output it is; -1: none. */
static int find_end(const ngi_graph *g, const int *nodes, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(layer_of(g, nodes[i]), name) == 0)
            return i;
    for (int i = 0; i < n; i++)
        if (strcmp(bare(layer_of(g, nodes[i])), name) == 0)
            return i;
    for (int k = 0; k < g->n_layers; k++)
        for (int i = 0; i < n; i++)
            if (g->layers[k].node == nodes[i] && strcmp(g->layers[k].name, name) == 0)
                return i;
    return -1;
}

/* ---- The output ------------------------------------------------------------------------------ */

static ng_status choose_output(ng_model *m, const char *wanted, ng_error *err)
{
    ngi_graph *g = m->file.graph;
    char list[LIST_TEXT], *end;
    long number = wanted ? strtol(wanted, &end, 10) : 0;
    int chosen = wanted ? find_end(g, g->outputs, g->n_outputs, wanted) : 0;
    if (chosen < 0 && end != wanted && *end == '\0' && number >= 0 && number < g->n_outputs)
        chosen = (int)number;
    if (chosen < 0) {
        list_ends(g, g->outputs, g->n_outputs, list);
        return ngi_fail(err, NG_E_ARGUMENT, "%s: the model has no output '%s'; its outputs are %s", m->path,
                        wanted, list);
    }
    m->output = chosen;
    g->outputs[0] = g->outputs[chosen];
    g->n_outputs = 1;
    return ngi_graph_infer(g, err); /* what feeds it */
}

/* ---- The inputs ------------------------------------------------------------------------------ */

/* The input that is named, else the only one of [height,width,channels]. */
static ng_status choose_image(const ng_model *m, const char *wanted, int *image, ng_error *err)
{
    const ngi_graph *g = m->graph;
    char list[LIST_TEXT];
    int found = wanted ? find_end(g, g->inputs, g->n_inputs, wanted) : -1, pictures = 0;
    list_ends(g, g->inputs, g->n_inputs, list);
    if (wanted && found < 0)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: the model has no input '%s'; its inputs are %s", m->path,
                        wanted, list);
    for (int i = 0; i < g->n_inputs && !wanted; i++)
        if (g->nodes[g->inputs[i]].shape.rank == 3) {
            found = i;
            pictures++;
        }
    if (pictures > 1)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "%s: the model has several inputs that can be the image: %s; name it with --image-input", m->path,
            list);
    if (found < 0 || g->nodes[g->inputs[found]].shape.rank != 3)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: input %s: its shape without the batch is not [height,width,channels]", m->path,
                        list);
    if (!g->nodes[g->inputs[found]].feeds_output)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: output '%s' does not depend on the image input '%s'",
                        m->path, layer_of(g, g->outputs[0]), layer_of(g, g->inputs[found]));
    *image = found;
    return NG_OK;
}

/* The value that was given for input i, -1 if there is none. */
static int value_of(const ngi_graph *g, const ng_model_opts *opts, int i)
{
    for (int k = 0; k < opts->input_count; k++)
        if (find_end(g, g->inputs, g->n_inputs, opts->inputs[k].name) == i)
            return k;
    return -1;
}

static ng_status check_value(const ng_model *m, int node, const ng_array *value, ng_error *err)
{
    const ngi_shape *shape = &m->graph->nodes[node].shape;
    char expected[NGI_SHAPE_TEXT], found[NGI_SHAPE_TEXT];
    ngi_shape given = {.rank = value->rank <= NGI_MAX_RANK ? value->rank : 0}, plain;
    memcpy(given.dim, value->shape, (size_t)given.rank * sizeof *given.dim);
    plain = given;
    if (given.rank == shape->rank + 1 && given.dim[0] == 1) { /* a batch of one */
        plain.rank = given.rank - 1;
        memmove(plain.dim, plain.dim + 1, (size_t)plain.rank * sizeof *plain.dim);
    }
    if (!ngi_shape_equal(&plain, shape))
        return ngi_fail(err, NG_E_SHAPE, "%s: input '%s': expected a value of shape %s, found %s", m->path,
                        layer_of(m->graph, node), ngi_shape_text(shape, expected),
                        ngi_shape_text(&given, found));
    if (ngi_find_non_finite(value->data, ngi_shape_count(shape)) >= 0)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: the value of input '%s' is not finite", m->path,
                        layer_of(m->graph, node));
    return NG_OK;
}

/* Inputs that the explained output does not depend on need no value. */
static ng_status fix_input(ng_model *m, int i, const ng_model_opts *opts, ng_error *err)
{
    ngi_graph *g = m->file.graph;
    int node = g->inputs[i], k = value_of(g, opts, i);
    char shape[NGI_SHAPE_TEXT];
    if (k >= 0) {
        NGI_TRY(check_value(m, node, opts->inputs[k].value, err));
        return ngi_graph_fix_input(g, node, opts->inputs[k].value->data, err);
    }
    if (g->nodes[node].feeds_output)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "%s: the model has %d inputs, and '%s' has no value; give it one of shape %s: --input "
            "%s=FILE.npy",
            m->path, g->n_inputs, layer_of(g, node), ngi_shape_text(&g->nodes[node].shape, shape),
            bare(layer_of(g, node)));
    int64_t count = ngi_shape_count(&g->nodes[node].shape);
    float *zeros = ngi_alloc_zero((size_t)count, sizeof *zeros);
    if (!zeros)
        return ngi_fail_memory(err, (size_t)count * sizeof *zeros);
    ng_status status = ngi_graph_fix_input(g, node, zeros, err);
    ngi_free(zeros);
    return status;
}

static ng_status check_names(const ng_model *m, const ng_model_opts *opts, int image, ng_error *err)
{
    const ngi_graph *g = m->graph;
    char list[LIST_TEXT];
    list_ends(g, g->inputs, g->n_inputs, list);
    for (int k = 0; k < opts->input_count; k++) {
        int i = find_end(g, g->inputs, g->n_inputs, opts->inputs[k].name);
        if (i < 0)
            return ngi_fail(err, NG_E_ARGUMENT, "%s: the model has no input '%s'; its inputs are %s", m->path,
                            opts->inputs[k].name, list);
        if (i == image)
            return ngi_fail(err, NG_E_ARGUMENT,
                            "%s: input '%s' is the image and is given no other value; --image-input names "
                            "another one",
                            m->path, opts->inputs[k].name);
    }
    return NG_OK;
}

/* ---- Both ------------------------------------------------------------------------------------ */

/* The model is another one with another output, other values or another size. */
static ng_status hash_ends(ng_model *m, int image, const ng_model_opts *opts, ng_error *err)
{
    ngi_hash h;
    NGI_TRY(ngi_hash_init(&h, err));
    int ends[4] = {m->output, image, opts->input_height, opts->input_width};
    ngi_hash_add(&h, m->file.hash, strlen(m->file.hash));
    ngi_hash_add(&h, ends, sizeof ends);
    for (int k = 0; k < opts->input_count; k++) {
        const ng_array *value = opts->inputs[k].value;
        size_t count = 1;
        for (int i = 0; i < value->rank; i++)
            count *= (size_t)value->shape[i];
        ngi_hash_add(&h, opts->inputs[k].name, strlen(opts->inputs[k].name) + 1);
        ngi_hash_add(&h, value->data, count * sizeof *value->data);
    }
    ngi_hash_finish(&h, m->file.hash);
    return NG_OK;
}

ng_status ngi_model_choose_ends(ng_model *m, const ng_model_opts *opts, ng_error *err)
{
    ngi_graph *g = m->file.graph;
    int image;
    m->inputs = join_names(g, g->inputs, g->n_inputs);
    m->outputs = join_names(g, g->outputs, g->n_outputs);
    if (!m->inputs || !m->outputs)
        return ngi_fail_memory(err, LIST_TEXT);
    NGI_TRY(choose_output(m, opts->output, err));
    NGI_TRY(choose_image(m, opts->image_input, &image, err));
    NGI_TRY(check_names(m, opts, image, err));
    if (m->output > 0 || g->n_inputs > 1 || opts->input_height > 0)
        NGI_TRY(hash_ends(m, image, opts, err));
    for (int i = 0; i < g->n_inputs; i++)
        if (i != image)
            NGI_TRY(fix_input(m, i, opts, err));
    g->inputs[0] = g->inputs[image];
    g->n_inputs = 1;
    return ngi_graph_infer(g, err); /* what the image leads to */
}

const char *ngi_model_output_name(const ng_model *m)
{
    return layer_of(m->graph, m->graph->outputs[0]);
}
