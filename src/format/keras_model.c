/* Reads models: their layers, models inside them, calls and ends. Building is in keras_model_build.c.
 *
 * Read: Sequential (with or without an InputLayer), Functional and Model, and registered classes of someone's own whose
 * configuration is that of a Functional model. */
#include "format/keras_model.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_NAME 1000

/* ---- Classes ----------------------------------------------------------------------------------- */

const char *ngi_plain_class(const char *class_name)
{
    const char *mark = strrchr(class_name, '>');
    return mark ? mark + 1 : class_name;
}

/* The package of "Package>Name"; Keras's own packages are none. "Custom" is what a class gets that names no package:
 * keras.applications.inception_resnet_v2 does so too. */
static void note_package(ngi_klayer *l, const char *registered)
{
    const char *mark = registered ? strrchr(registered, '>') : NULL;
    if (!mark || strncasecmp(registered, "keras", 5) == 0 || strncmp(registered, "Builtins>", 9) == 0 ||
        strcmp(registered, "Custom>CustomScaleLayer") == 0)
        return;
    l->package = registered;
    l->package_length = (int)(mark - registered);
}

static bool has_layers(const json_t *config)
{
    return json_is_array(json_object_get(config, "layers")) && json_object_get(config, "input_layers") &&
           json_object_get(config, "output_layers");
}

static bool is_model(const char *class_name, const json_t *config)
{
    return strcmp(class_name, "Functional") == 0 || strcmp(class_name, "Model") == 0 ||
           strcmp(class_name, "Sequential") == 0 || has_layers(config);
}

static bool is_sequential(const ngi_kmodel *m, const char *class_name)
{
    return strcmp(class_name, "Sequential") == 0 || json_is_array(m->config);
}

/* Functions on tensors are saved like layers. Keras 3 tells them apart by their module; where it leaves that out (HDF5), by a
 * configuration without what every layer has. */
static bool is_op(const json_t *json, const char *class_name)
{
    const char *module = json_string_value(json_object_get(json, "module"));
    if (strcmp(class_name, "TFOpLambda") == 0 || strcmp(class_name, "SlicingOpLambda") == 0)
        return true;
    if (module)
        return strstr(module, ".ops") != NULL;
    const json_t *first_call = json_array_get(json_object_get(json, "inbound_nodes"), 0);
    return json_is_object(first_call) && !json_object_get(json_object_get(json, "config"), "trainable") &&
           ngi_layer_row_find(class_name, true);
}

/* ---- Release ----------------------------------------------------------------------------------- */

void ngi_kmodel_free(ngi_kmodel *m)
{
    if (!m)
        return;
    for (int i = 0; m->layers && i <= m->n_layers; i++) { /* one more: an input left out */
        ngi_free(m->layers[i].leaf.path);
        ngi_kmodel_free(m->layers[i].model); /* at most NGI_MAX_NESTING deep */
    }
    ngi_free(m->layers);
    ngi_free(m->by_name);
    ngi_free(m->calls);
    ngi_free(m->arguments);
    ngi_free(m->order);
    ngi_free(m->inputs);
    ngi_free(m->outputs);
    ngi_free(m->nodes);
    ngi_free(m->path);
    ngi_free(m);
}

/* ---- Layers ------------------------------------------------------------------------------------ */

static ng_status read_model(ngi_keras_builder *b, const json_t *json, const char *class_name,
                            const char *path, bool trainable, int depth, ngi_keras_layer *tree,
                            ngi_kmodel **out, ng_error *err);

static ng_status read_class(const json_t *json, const char *model, const char **class_name, ng_error *err)
{
    *class_name = json_string_value(json_object_get(json, "class_name"));
    if (!*class_name || !**class_name)
        return ngi_fail(err, NG_E_FORMAT, "a layer of model '%.200s' has no class_name", model);
    *class_name = ngi_plain_class(*class_name);
    return NG_OK;
}

/* Name, class, path: everything that errors about this layer need. */
static ng_status read_identity(const ngi_kmodel *m, const json_t *json, ngi_klayer *l, ng_error *err)
{
    const char *class_name = "", *name = json_string_value(json_object_get(json, "name"));
    const json_t *config = json_object_get(json, "config");
    NGI_TRY(read_class(json, m->tree->name, &class_name, err));
    if (!name)
        name = json_string_value(json_object_get(config, "name"));
    if (!name || !*name || strlen(name) > LONGEST_NAME)
        return ngi_fail(err, NG_E_FORMAT, "a %.60s layer of model '%.200s' has %s", class_name, m->tree->name,
                        name && *name ? "a name of more than 1000 characters" : "no name");
    l->name = name;
    l->json = json;
    l->leaf.class_name = class_name;
    l->leaf.path = *m->path ? ngi_sprintf("%s/%s", m->path, name) : ngi_strdup(name);
    l->tree->name = ngi_strdup(name);
    l->tree->class_name = ngi_strdup(class_name);
    if (!l->leaf.path || !l->tree->name || !l->tree->class_name)
        return ngi_fail_memory(err, strlen(name));
    snprintf(l->leaf.where, sizeof l->leaf.where, "layer '%.300s' (%.60s)", l->leaf.path, class_name);
    return NG_OK;
}

static ng_status read_layer(ngi_keras_builder *b, ngi_kmodel *m, const json_t *json, ngi_klayer *l,
                            ng_error *err)
{
    NGI_TRY(read_identity(m, json, l, err));
    ngi_building_layer *leaf = &l->leaf;
    leaf->config = json_object_get(json, "config");
    if (!json_is_object(leaf->config) && !json_is_array(leaf->config))
        return ngi_fail(err, NG_E_FORMAT, "%s: has no config", leaf->where);
    leaf->trainable = true;
    NGI_TRY(ngi_json_bool(leaf->config, "trainable", leaf->where, &leaf->trainable, err));
    leaf->trainable = leaf->trainable && m->trainable;
    l->is_input = strcmp(leaf->class_name, "InputLayer") == 0;
    l->is_op = is_op(json, leaf->class_name);
    note_package(l, json_string_value(json_object_get(json, "class_name")));
    note_package(l, json_string_value(json_object_get(json, "registered_name")));
    l->n_outputs = 1;
    if (++b->n_layers > NGI_MAX_NODES)
        return ngi_fail(err, NG_E_LIMIT, "the model has more than %d layers", NGI_MAX_NODES);
    NGI_TRY(ngi_graph_add_layer(b->graph, leaf->path, leaf->class_name, leaf->trainable, &leaf->layer, err));
    if (!is_model(leaf->class_name, leaf->config))
        return NG_OK;
    NGI_TRY(read_model(b, json, leaf->class_name, leaf->path, leaf->trainable, m->depth + 1, l->tree,
                       &l->model, err));
    l->n_outputs = l->model->n_outputs;
    return NG_OK;
}

static int compare_names(const void *a, const void *b, void *layers)
{
    const ngi_klayer *list = layers;
    return strcmp(list[*(const int *)a].name, list[*(const int *)b].name);
}

static ng_status index_names(ngi_kmodel *m, ng_error *err)
{
    m->by_name = ngi_alloc((size_t)m->n_layers, sizeof *m->by_name);
    if (!m->by_name)
        return ngi_fail_memory(err, (size_t)m->n_layers * sizeof *m->by_name);
    for (int i = 0; i < m->n_layers; i++)
        m->by_name[i] = i;
    qsort_r(m->by_name, (size_t)m->n_layers, sizeof *m->by_name, compare_names, m->layers);
    for (int i = 1; i < m->n_layers; i++)
        if (strcmp(m->layers[m->by_name[i]].name, m->layers[m->by_name[i - 1]].name) == 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: another layer of the same model has this name",
                            m->layers[m->by_name[i]].leaf.where);
    return NG_OK;
}

static ng_status read_layers(ngi_keras_builder *b, ngi_kmodel *m, ng_error *err)
{
    const json_t *list = json_is_array(m->config) ? m->config : json_object_get(m->config, "layers");
    size_t n = json_array_size(list);
    if (n == 0 || n > NGI_MAX_NODES)
        return ngi_fail(err, n ? NG_E_LIMIT : NG_E_FORMAT, "model '%.200s' has %zu layers, expected 1 to %d",
                        m->tree->name, n, NGI_MAX_NODES);
    m->layers = ngi_alloc_zero(n + 1, sizeof *m->layers);
    m->tree->children = ngi_alloc_zero(n, sizeof *m->tree->children);
    if (!m->layers || !m->tree->children)
        return ngi_fail_memory(err, n * sizeof *m->layers);
    for (size_t i = 0; i < n; i++) {
        m->layers[i].tree = &m->tree->children[i];
        m->tree->n_children = m->n_layers = (int)i + 1;
        NGI_TRY(read_layer(b, m, json_array_get(list, i), &m->layers[i], err));
    }
    return index_names(m, err);
}

/* ---- Sequential -------------------------------------------------------------------------------- */

static ng_status add_end(ngi_kargument **ends, int *n, int call, ng_error *err)
{
    *ends = ngi_alloc(1, sizeof **ends);
    if (!*ends)
        return ngi_fail_memory(err, sizeof **ends);
    **ends = (ngi_kargument){.call = call};
    *n = 1;
    return NG_OK;
}

/* The input that a Sequential without InputLayer leaves out, named as Keras names it. */
static ng_status add_hidden_input(ngi_keras_builder *b, ngi_kmodel *m, ng_error *err)
{
    ngi_klayer *l = &m->layers[m->n_layers];
    ngi_building_layer *leaf = &l->leaf;
    l->name = "";
    l->is_input = true;
    l->n_outputs = l->n_calls = 1;
    l->leaf.class_name = "InputLayer";
    l->leaf.path = ngi_sprintf("%s_input", m->layers[0].leaf.path);
    if (!l->leaf.path)
        return ngi_fail_memory(err, 64);
    snprintf(leaf->where, sizeof leaf->where, "layer '%.300s' (InputLayer)", leaf->path);
    if (m->depth == 0)
        NGI_TRY(ngi_graph_add_layer(b->graph, leaf->path, "InputLayer", false, &leaf->layer, err));
    else
        leaf->layer = -1;
    return ngi_kmodel_add_call(m, m->n_layers, err);
}

/* Every layer takes the one before it. */
static ng_status read_sequence(ngi_keras_builder *b, ngi_kmodel *m, ng_error *err)
{
    if (!m->layers[0].is_input)
        NGI_TRY(add_hidden_input(b, m, err));
    for (int i = 0; i < m->n_layers; i++) {
        if (m->layers[i].is_input && i > 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: an input in the middle of a Sequential model",
                            m->layers[i].leaf.where);
        m->layers[i].first_call = m->n_calls;
        m->layers[i].n_calls = 1;
        NGI_TRY(ngi_kmodel_add_call(m, i, err));
        if (m->n_calls > 1)
            NGI_TRY(ngi_kmodel_add_argument(m, (ngi_kargument){.call = m->n_calls - 2}, err));
    }
    NGI_TRY(add_end(&m->inputs, &m->n_inputs, 0, err));
    return add_end(&m->outputs, &m->n_outputs, m->n_calls - 1, err);
}

/* ---- Models ------------------------------------------------------------------------------------ */

static ng_status read_functional(ngi_kmodel *m, ng_error *err)
{
    NGI_TRY(ngi_kmodel_read_calls(m, err));
    NGI_TRY(ngi_kmodel_read_ends(m, "input_layers", &m->inputs, &m->n_inputs, err));
    NGI_TRY(ngi_kmodel_read_ends(m, "output_layers", &m->outputs, &m->n_outputs, err));
    for (int i = 0; i < m->n_inputs; i++) {
        const ngi_klayer *l = &m->layers[m->calls[m->inputs[i].call].layer];
        if (!l->is_input)
            return ngi_fail(err, NG_E_UNSUPPORTED,
                            "%s: is named as an input of its model, but is no InputLayer", l->leaf.where);
    }
    return NG_OK;
}

static ng_status read_model_parts(ngi_keras_builder *b, ngi_kmodel *m, const char *class_name, ng_error *err)
{
    NGI_TRY(ngi_json_bool(m->config, "trainable", m->tree->name, &m->trainable, err));
    NGI_TRY(read_layers(b, m, err));
    if (is_sequential(m, class_name))
        NGI_TRY(read_sequence(b, m, err));
    else
        NGI_TRY(read_functional(m, err));
    return ngi_kmodel_sort(m, err);
}

static ng_status read_model(ngi_keras_builder *b, const json_t *json, const char *class_name,
                            const char *path, bool trainable, int depth, ngi_keras_layer *tree,
                            ngi_kmodel **out, ng_error *err)
{
    if (depth > NGI_MAX_NESTING)
        return ngi_fail(err, NG_E_LIMIT, "models are nested more than %d deep", NGI_MAX_NESTING);
    ngi_kmodel *m = ngi_alloc_zero(1, sizeof *m);
    if (!m)
        return ngi_fail_memory(err, sizeof *m);
    *m = (ngi_kmodel){.config = json_object_get(json, "config"),
                      .path = ngi_strdup(path),
                      .trainable = true,
                      .depth = depth,
                      .tree = tree};
    ng_status status = m->path ? read_model_parts(b, m, class_name, err) : ngi_fail_memory(err, strlen(path));
    m->trainable = m->trainable && trainable;
    if (status != NG_OK) {
        ngi_kmodel_free(m);
        return status;
    }
    *out = m;
    return NG_OK;
}

/* The class of the outer model, which may be one of someone's own. */
static ng_status check_outer(const json_t *json, const char *class_name, ng_error *err)
{
    const json_t *config = json_object_get(json, "config");
    if (!is_model(class_name, config))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "the model is a '%.100s'; Sequential and Functional models are read. Rebuild it as "
                        "one of them, copy "
                        "the weights over and save that",
                        class_name);
    return NG_OK;
}

ng_status ngi_keras_model(ngi_keras_builder *b, const json_t *json, ngi_keras_layer *tree, ngi_kmodel **out,
                          ng_error *err)
{
    const char *class_name = "",
               *name = json_string_value(json_object_get(json_object_get(json, "config"), "name"));
    ngi_kmodel *m = NULL;
    if (!json_is_object(json))
        return ngi_fail(err, NG_E_FORMAT, "the model configuration is not an object");
    NGI_TRY(read_class(json, "(outer)", &class_name, err));
    NGI_TRY(check_outer(json, class_name, err));
    tree->name = ngi_strndup(name ? name : "model", strnlen(name ? name : "model", LONGEST_NAME));
    tree->class_name = ngi_strdup(class_name);
    b->graph->name = tree->name ? ngi_strdup(tree->name) : NULL;
    if (!b->graph->name || !tree->class_name)
        return ngi_fail_memory(err, 64);
    NGI_TRY(read_model(b, json, class_name, "", true, 0, tree, &m, err));
    ng_status status = ngi_kmodel_build(b, m, NULL, err);
    if (status == NG_OK) {
        b->graph->outputs = ngi_alloc((size_t)m->n_outputs, sizeof *b->graph->outputs);
        if (!b->graph->outputs)
            status = ngi_fail_memory(err, (size_t)m->n_outputs * sizeof *b->graph->outputs);
        for (int i = 0; i < m->n_outputs && status == NG_OK; i++)
            b->graph->outputs[b->graph->n_outputs++] =
                m->nodes[m->calls[m->outputs[i].call].first_output + m->outputs[i].tensor];
    }
    *out = m;
    return status;
}
