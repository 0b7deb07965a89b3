/* Models and calls: walks a Keras configuration, flattens models inside models, and lowers every call of every layer in
 * the order in which its inputs become known. What a layer class becomes is in keras_layers*.c.
 *
 * Read: Sequential, Functional and Model; inbound_nodes of Keras 2 ([["conv", 0, 0, {...}]], with tensors in the
 * keyword arguments too) and of Keras 3 ({"args": [{"class_name": "__keras_tensor__", ...}], "kwargs": {}}). */
#include "format/keras_build.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LAYERS 20000 /* of one model */
#define MAX_CALLS 4096   /* of one layer */

typedef struct model_state model_state;

/* A layer of a model, leaf or model, with the output nodes of each call. */
typedef struct layer_state {
    const char *name;
    const json_t *json, *inbound; /* inbound: list of calls; NULL in a Sequential */
    size_t n_calls, done;
    int *outputs;                 /* [n_calls]; of a nested model its first output */
    int offset;                   /* 1 where references count a nested model's own first node */
    bool is_model;
    ngi_building_layer leaf;
    model_state *model;
    ngi_keras_layer *tree;
} layer_state;

struct model_state {
    const json_t *config;
    char *prefix;     /* "" or "inception_v3/" */
    bool trainable;
    int depth;
    layer_state *layers;
    size_t n_layers;
    ngi_keras_layer *tree;
};

static ng_status build_model(ngi_keras_builder *b, const json_t *json, const char *prefix, bool trainable, int depth,
                             const int *inputs, int n_inputs, ngi_keras_layer *tree, int *output, int **outputs,
                             int *n_outputs, ng_error *err);

/* ---- Names ------------------------------------------------------------------------------------- */

/* "Custom>Conv2D" and "keras.layers.Conv2D" are Conv2D. */
static const char *plain_class(const char *class_name)
{
    const char *mark = strrchr(class_name, '>');
    return mark ? mark + 1 : class_name;
}

static bool is_model_class(const char *class_name)
{
    return strcmp(class_name, "Functional") == 0 || strcmp(class_name, "Model") == 0 ||
           strcmp(class_name, "Sequential") == 0;
}

static ng_status class_of(ngi_keras_builder *b, const json_t *json, const char **out, ng_error *err)
{
    *out = NULL;
    if (!json_is_object(json))
        return ngi_fail(err, NG_E_FORMAT, "%s: a layer's configuration is not an object", b->where);
    NGI_TRY(ngi_json_string(json, "class_name", b->where, out, err));
    if (!*out)
        return ngi_fail(err, NG_E_FORMAT, "%s: a layer's configuration has no class_name", b->where);
    *out = plain_class(*out);
    return NG_OK;
}

/* ---- Layers of a model ------------------------------------------------------------------------- */

static void free_layers(model_state *m)
{
    for (size_t i = 0; m->layers && i < m->n_layers; i++) {
        ngi_free(m->layers[i].outputs);
        ngi_free(m->layers[i].leaf.path);
    }
    ngi_free(m->layers);
    ngi_free(m->prefix);
}

static ng_status prepare_layer(ngi_keras_builder *b, const model_state *m, const json_t *json, layer_state *l,
                               ng_error *err)
{
    const char *class_name, *name = NULL;
    NGI_TRY(class_of(b, json, &class_name, err));
    const json_t *config = json_object_get(json, "config");
    if (config && !json_is_object(config))
        return ngi_fail(err, NG_E_FORMAT, "%s: the config of a %s is not an object", b->where, class_name);
    NGI_TRY(ngi_json_string(json, "name", b->where, &name, err));
    if (!name)
        NGI_TRY(ngi_json_string(config, "name", b->where, &name, err));
    if (!name)
        return ngi_fail(err, NG_E_FORMAT, "%s: a %s has no name", b->where, class_name);
    l->name = name;
    l->json = json;
    l->is_model = is_model_class(class_name);
    l->inbound = json_object_get(json, "inbound_nodes");
    l->n_calls = json_is_array(l->inbound) ? json_array_size(l->inbound) : 0;
    if (l->n_calls > MAX_CALLS)
        return ngi_fail(err, NG_E_LIMIT, "%s: layer '%s' is called %zu times", b->where, name, l->n_calls);
    if (l->n_calls == 0)
        l->n_calls = 1; /* an input, or a member of a Sequential */
    l->outputs = ngi_alloc(l->n_calls, sizeof *l->outputs);
    l->leaf.path = ngi_sprintf("%s%s", m->prefix, name);
    if (!l->outputs || !l->leaf.path)
        return ngi_fail_memory(err, strlen(name));
    bool trainable = m->trainable;
    NGI_TRY(ngi_json_bool(config, "trainable", b->where, &trainable, err));
    l->leaf.class_name = class_name;
    l->leaf.config = config;
    l->leaf.trainable = trainable && m->trainable;
    snprintf(l->leaf.where, sizeof l->leaf.where, "%s: layer '%s' (%s)", b->where, l->leaf.path, class_name);
    l->tree = NULL;
    return NG_OK;
}

static ng_status prepare_layers(ngi_keras_builder *b, model_state *m, ng_error *err)
{
    const json_t *list = json_is_array(m->config) ? m->config : json_object_get(m->config, "layers");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: the model has no list of layers", b->where);
    size_t n = json_array_size(list);
    if (n > MAX_LAYERS)
        return ngi_fail(err, NG_E_LIMIT, "%s: %zu layers, the limit is %d", b->where, n, MAX_LAYERS);
    m->layers = ngi_alloc_zero(n, sizeof *m->layers);
    m->tree->children = ngi_alloc_zero(n, sizeof *m->tree->children);
    if (!m->layers || !m->tree->children)
        return ngi_fail_memory(err, n * sizeof *m->layers);
    m->n_layers = n;
    for (size_t i = 0; i < n; i++) {
        NGI_TRY(prepare_layer(b, m, json_array_get(list, i), &m->layers[i], err));
        ngi_keras_layer *t = &m->tree->children[i];
        m->layers[i].tree = t;
        m->tree->n_children = (int)i + 1;
        t->name = ngi_strdup(m->layers[i].name);
        t->class_name = ngi_strdup(m->layers[i].leaf.class_name);
        if (!t->name || !t->class_name)
            return ngi_fail_memory(err, 64);
        for (size_t k = 0; k < i; k++)
            if (strcmp(m->layers[k].name, m->layers[i].name) == 0)
                return ngi_fail(err, NG_E_FORMAT, "%s: two layers are called '%s'", b->where, m->layers[i].name);
    }
    return NG_OK;
}

static layer_state *find_layer(const model_state *m, const char *name)
{
    for (size_t i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i].name, name) == 0)
            return &m->layers[i];
    return NULL;
}

/* ---- References to tensors --------------------------------------------------------------------- */

/* A reference: ["name", node_index, tensor_index, ...]. */
static bool is_reference(const json_t *v)
{
    return json_is_array(v) && json_array_size(v) >= 3 && json_is_string(json_array_get(v, 0)) &&
           json_is_integer(json_array_get(v, 1)) && json_is_integer(json_array_get(v, 2));
}

/* The reference inside a Keras 3 tensor, else NULL. */
static const json_t *history_of(const json_t *v)
{
    const char *class_name = json_string_value(json_object_get(v, "class_name"));
    if (!class_name || strcmp(class_name, "__keras_tensor__") != 0)
        return NULL;
    return json_object_get(json_object_get(v, "config"), "keras_history");
}

/* The node a reference stands for: *node = -1 while its call has not been built. */
static ng_status resolve(ngi_keras_builder *b, const model_state *m, const json_t *reference, int *node, ng_error *err)
{
    *node = -1;
    if (!is_reference(reference))
        return ngi_fail(err, NG_E_FORMAT, "%s: a reference to a layer is damaged", b->where);
    const char *name = json_string_value(json_array_get(reference, 0));
    json_int_t index = json_integer_value(json_array_get(reference, 1));
    json_int_t tensor = json_integer_value(json_array_get(reference, 2));
    layer_state *l = find_layer(m, name);
    if (!l)
        return ngi_fail(err, NG_E_FORMAT, "%s: a layer takes its input from '%s', which does not exist", b->where, name);
    index -= l->offset;
    if (index < 0 || (size_t)index >= l->n_calls || tensor < 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: a reference to call %lld of layer '%s', which is called %zu times",
                        b->where, (long long)index, name, l->n_calls);
    if (tensor != 0)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: output %lld of layer '%s' is used: models inside models with several "
                        "outputs are not read", b->where, (long long)tensor, name);
    if ((size_t)index < l->done)
        *node = l->outputs[index];
    return NG_OK;
}

/* Nested models count a node of their own before the calls in the outer one (Functional, and Sequential in Keras 2): seen
 * from a reference that would otherwise lie past the last call. */
static void note_offsets(model_state *m, const json_t *value, int depth)
{
    if (depth > 8)
        return;
    if (is_reference(value)) {
        layer_state *l = find_layer(m, json_string_value(json_array_get(value, 0)));
        if (l && l->is_model && (size_t)json_integer_value(json_array_get(value, 1)) >= l->n_calls)
            l->offset = 1;
    }
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_array(value))
        json_array_foreach(value, i, item) note_offsets(m, item, depth + 1);
    else if (json_is_object(value))
        json_object_foreach((json_t *)value, key, item) note_offsets(m, item, depth + 1);
}

/* ---- Calls ------------------------------------------------------------------------------------- */

static ng_status add_arg(ngi_keras_builder *b, const layer_state *l, ngi_call *call, int node, const json_t *value,
                         ng_error *err)
{
    if (call->n_args == NGI_CALL_ARGS)
        return ngi_fail(err, NG_E_LIMIT, "%s: layer '%s' has more than %d inputs", b->where, l->name, NGI_CALL_ARGS);
    call->args[call->n_args++] = (ngi_call_arg){node, value};
    return NG_OK;
}

/* Keras 3: a tensor, a list of tensors, or a constant. *ready is cleared when a tensor is not built yet. */
static ng_status read_arg(ngi_keras_builder *b, const model_state *m, const layer_state *l, const json_t *value,
                          ngi_call *call, bool *ready, ng_error *err)
{
    const json_t *history = history_of(value);
    if (history) {
        int node;
        NGI_TRY(resolve(b, m, history, &node, err));
        *ready = *ready && node >= 0;
        return add_arg(b, l, call, node, NULL, err);
    }
    bool tensors = json_is_array(value) && json_array_size(value) > 0 && history_of(json_array_get(value, 0));
    if (!tensors)
        return add_arg(b, l, call, -1, value, err);
    for (size_t i = 0; i < json_array_size(value); i++)
        NGI_TRY(read_arg(b, m, l, json_array_get(value, i), call, ready, err));
    return NG_OK;
}

/* A keyword operand: "y" of x / y, "bias" of bias_add, "x2" of the Keras 3 op layers. */
static ng_status read_operand(ngi_keras_builder *b, const model_state *m, ngi_call *call, bool *ready, ng_error *err)
{
    static const char *const names[] = {"y", "x2", "bias", "b", "value"};
    call->y = (ngi_call_arg){-1, NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names && !call->y.value; i++)
        call->y.value = json_object_get(call->kwargs, names[i]);
    const json_t *reference = history_of(call->y.value);
    if (!reference && is_reference(call->y.value))
        reference = call->y.value;
    if (!reference)
        return NG_OK;
    call->y.value = NULL;
    NGI_TRY(resolve(b, m, reference, &call->y.node, err));
    *ready = *ready && call->y.node >= 0;
    return NG_OK;
}

static ng_status read_keras3_call(ngi_keras_builder *b, const model_state *m, const layer_state *l, const json_t *inbound,
                                  ngi_call *call, bool *ready, ng_error *err)
{
    const json_t *args = json_object_get(inbound, "args");
    for (size_t i = 0; i < json_array_size(args); i++)
        NGI_TRY(read_arg(b, m, l, json_array_get(args, i), call, ready, err));
    call->kwargs = json_object_get(inbound, "kwargs");
    const json_t *inputs = json_object_get(call->kwargs, "inputs"); /* some layers are called by keyword */
    if (call->n_args == 0 && inputs)
        NGI_TRY(read_arg(b, m, l, inputs, call, ready, err));
    return read_operand(b, m, call, ready, err);
}

static ng_status read_keras2_call(ngi_keras_builder *b, const model_state *m, const layer_state *l, const json_t *inbound,
                                  ngi_call *call, bool *ready, ng_error *err)
{
    bool single = json_is_string(json_array_get(inbound, 0)); /* ["x", 0, 0, {}] rather than [["x", 0, 0, {}]] */
    size_t n = single ? 1 : json_array_size(inbound);
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = single ? inbound : json_array_get(inbound, i);
        const char *name = json_string_value(json_array_get(entry, 0));
        if (name && strcmp(name, "_CONSTANT_VALUE") == 0)
            NGI_TRY(add_arg(b, l, call, -1, json_array_get(entry, 2), err));
        else {
            int node;
            NGI_TRY(resolve(b, m, entry, &node, err));
            *ready = *ready && node >= 0;
            NGI_TRY(add_arg(b, l, call, node, NULL, err));
        }
        if (i == 0)
            call->kwargs = json_array_get(entry, 3);
    }
    return read_operand(b, m, call, ready, err);
}

static ng_status build_call(ngi_keras_builder *b, model_state *m, layer_state *l, const ngi_call *call, int *out,
                            ng_error *err);

/* Builds the next call of a layer if its inputs are there. */
static ng_status try_call(ngi_keras_builder *b, model_state *m, layer_state *l, bool *progress, ng_error *err)
{
    ngi_call *call = ngi_alloc_zero(1, sizeof *call);
    if (!call)
        return ngi_fail_memory(err, sizeof *call);
    bool ready = true;
    const json_t *inbound = json_array_get(l->inbound, l->done);
    ng_status status;
    if (json_is_object(inbound))
        status = read_keras3_call(b, m, l, inbound, call, &ready, err);
    else if (json_is_array(inbound))
        status = read_keras2_call(b, m, l, inbound, call, &ready, err);
    else
        status = ngi_fail(err, NG_E_FORMAT, "%s: the inputs of layer '%s' are damaged", b->where, l->name);
    if (status == NG_OK && ready) {
        int node = -1;
        status = build_call(b, m, l, call, &node, err);
        if (status == NG_OK) {
            l->outputs[l->done++] = node;
            *progress = true;
        }
    }
    ngi_free(call);
    return status;
}

static ng_status leaf_call(ngi_keras_builder *b, layer_state *l, const ngi_call *call, int *out, ng_error *err)
{
    ngi_building_layer *leaf = &l->leaf;
    const ngi_layer_row *row = ngi_layer_row_find(leaf->class_name);
    if (!row)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: this layer class is not read. Replace it by layers that are (docs/compatibility.md), or cut the "
                        "model before it and save that", leaf->where);
    if (leaf->calls == 0) {
        NGI_TRY(ngi_graph_add_layer(b->graph, leaf->path, leaf->class_name, leaf->trainable, &leaf->layer, err));
        l->tree->first_weight = b->graph->n_weights;
    }
    ng_status status = row->lower(b, leaf, call, out, err);
    if (status != NG_OK) {
        if (err && !strstr(err->text, b->where))
            ngi_error_prefix(err, "%s", b->where);
        return status;
    }
    if (leaf->calls++ == 0) {
        b->graph->layers[leaf->layer].node = *out;
        l->tree->n_weights = leaf->n_weights;
    }
    return NG_OK;
}

static ng_status model_call(ngi_keras_builder *b, model_state *m, layer_state *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    if (l->done > 0)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: model '%s' is called several times inside another; save it unrolled",
                        b->where, l->leaf.path);
    int inputs[NGI_CALL_ARGS];
    for (int i = 0; i < call->n_args; i++)
        if ((inputs[i] = call->args[i].node) < 0)
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a constant input", l->leaf.where);
    char *prefix = ngi_sprintf("%s/", l->leaf.path);
    if (!prefix)
        return ngi_fail_memory(err, strlen(l->leaf.path));
    ng_status status = build_model(b, l->json, prefix, l->leaf.trainable, m->depth + 1, inputs, call->n_args, l->tree,
                                   out, NULL, NULL, err);
    ngi_free(prefix);
    if (status == NG_OK)
        status = ngi_graph_add_layer(b->graph, l->leaf.path, l->leaf.class_name, l->leaf.trainable, &l->leaf.layer, err);
    if (status == NG_OK)
        b->graph->layers[l->leaf.layer].node = *out;
    return status;
}

static ng_status build_call(ngi_keras_builder *b, model_state *m, layer_state *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    return l->is_model ? model_call(b, m, l, call, out, err) : leaf_call(b, l, call, out, err);
}

/* ---- Inputs ------------------------------------------------------------------------------------ */

/* The usual input side of a known architecture where a model leaves it open; 0: not known. */
static int usual_side(const char *architecture)
{
    static const struct {
        const char *prefix;
        int side;
    } rows[] = {{"inception", 299}, {"xception", 299}, {"nasnetlarge", 331}, {"nasnet_large", 331}, {"resnet", 224},
                {"vgg", 224},       {"mobilenet", 224}, {"densenet", 224},   {"nasnet", 224},       {"efficientnetb0", 224}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strncasecmp(architecture, rows[i].prefix, strlen(rows[i].prefix)) == 0)
            return rows[i].side;
    return 0;
}

/* Shape without the batch from [null, 299, 299, 3]; an open height or width comes from the options or the usual one. */
static ng_status input_shape(ngi_keras_builder *b, const char *where, const json_t *list, ngi_shape *out, ng_error *err)
{
    if (json_is_array(list) && json_array_size(list) == 1 && json_is_array(json_array_get(list, 0)))
        list = json_array_get(list, 0); /* Keras 2.3's [[null, 299, 299, 3]] */
    size_t rank = json_array_size(list);
    if (rank < 2 || rank > NGI_MAX_RANK)
        return ngi_fail(err, NG_E_FORMAT, "%s: an input shape of %zu dimensions", where, rank);
    out->rank = (int)rank - 1;
    for (size_t i = 1; i < rank; i++) {
        const json_t *d = json_array_get(list, i);
        int64_t n = 0;
        if (json_is_null(d) && rank == 4 && i < 3) {
            n = i == 1 ? b->opts->input_height : b->opts->input_width;
            if (n == 0)
                n = usual_side(b->architecture);
            if (n == 0)
                return ngi_fail(err, NG_E_ARGUMENT, "%s: the model leaves its input size open; give it with "
                                "--input-size", where);
        } else if (!ngi_json_to_int(d, 1, 1 << 20, &n))
            return ngi_fail(err, NG_E_FORMAT, "%s: dimension %zu of the input shape is not a size", where, i);
        out->dim[i - 1] = n;
    }
    return NG_OK;
}

static const json_t *declared_shape(const json_t *config)
{
    const json_t *shape = json_object_get(config, "batch_shape");
    return json_is_array(shape) ? shape : json_object_get(config, "batch_input_shape");
}

/* A graph input. */
static ng_status add_input(ngi_keras_builder *b, const char *path, const ngi_shape *shape, int *out, ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    int layer;
    NGI_TRY(ngi_graph_add_layer(b->graph, path, "InputLayer", false, &layer, err));
    NGI_TRY(ngi_graph_add_node(b->graph, path, NGI_OP_INPUT, &attr, layer, NULL, 0, NULL, out, err));
    b->graph->layers[layer].node = *out;
    b->graph->nodes[*out].shape = *shape;
    return ngi_node_infer(b->graph, *out, err);
}

static bool is_input_layer(const layer_state *l)
{
    return strcmp(l->leaf.class_name, "InputLayer") == 0;
}

/* An InputLayer: the graph's own in the outer model; inside another model it stands for what is passed in. */
static ng_status place_input(ngi_keras_builder *b, layer_state *l, int passed, ng_error *err)
{
    int node = passed;
    if (passed < 0) {
        ngi_shape shape;
        NGI_TRY(input_shape(b, l->leaf.where, declared_shape(l->leaf.config), &shape, err));
        NGI_TRY(add_input(b, l->leaf.path, &shape, &node, err));
    } else {
        ngi_attr attr;
        ngi_attr_init(&attr);
        NGI_TRY(ngi_graph_add_layer(b->graph, l->leaf.path, "InputLayer", false, &l->leaf.layer, err));
        NGI_TRY(ngi_graph_add_node(b->graph, l->leaf.path, NGI_OP_IDENTITY, &attr, l->leaf.layer, &passed, 1, NULL,
                                   &node, err));
        NGI_TRY(ngi_node_infer(b->graph, node, err));
        b->graph->layers[l->leaf.layer].node = node;
    }
    l->outputs[0] = node;
    l->done = 1;
    return NG_OK;
}

/* ---- Sequential -------------------------------------------------------------------------------- */

static ng_status build_sequential(ngi_keras_builder *b, model_state *m, const int *inputs, int n_inputs, int *output,
                                  ng_error *err)
{
    if (inputs && n_inputs != 1)
        return ngi_fail(err, NG_E_FORMAT, "%s: a Sequential called with %d inputs", b->where, n_inputs);
    int current = inputs ? inputs[0] : -1;
    size_t first = 0;
    if (is_input_layer(&m->layers[0])) {
        NGI_TRY(place_input(b, &m->layers[0], current, err));
        current = m->layers[0].outputs[0];
        first = 1;
    }
    if (current < 0) { /* the shape stands in the first layer, a nested model's first layer, or the build configuration */
        const json_t *shape = declared_shape(m->layers[first].leaf.config);
        if (!shape)
            shape = json_object_get(m->config, "build_input_shape");
        if (!shape)
            shape = json_object_get(json_object_get(m->layers[first].json, "build_config"), "input_shape");
        for (const json_t *nested = m->layers[first].leaf.config; !shape && nested;) {
            const json_t *inner = json_object_get(json_array_get(json_object_get(nested, "layers"), 0), "config");
            shape = declared_shape(inner);
            nested = inner;
        }
        ngi_shape s;
        if (!shape)
            return ngi_fail(err, NG_E_FORMAT, "%s: the Sequential does not say its input shape; build it before saving",
                            b->where);
        NGI_TRY(input_shape(b, b->where, shape, &s, err));
        char *path = ngi_sprintf("%s%s_input", m->prefix, m->layers[first].name);
        ng_status status = path ? add_input(b, path, &s, &current, err) : ngi_fail_memory(err, 64);
        ngi_free(path);
        if (status != NG_OK)
            return status;
    }
    ngi_call *call = ngi_alloc_zero(1, sizeof *call);
    if (!call)
        return ngi_fail_memory(err, sizeof *call);
    ng_status status = NG_OK;
    for (size_t i = first; i < m->n_layers && status == NG_OK; i++) {
        call->args[0] = (ngi_call_arg){current, NULL};
        call->n_args = 1;
        call->y = (ngi_call_arg){-1, NULL};
        status = build_call(b, m, &m->layers[i], call, &current, err);
        m->layers[i].outputs[0] = current;
        m->layers[i].done = 1;
    }
    ngi_free(call);
    *output = current;
    return status;
}

/* ---- Functional -------------------------------------------------------------------------------- */

/* The list of references in "input_layers" or "output_layers": one, several, or (rarely) a dictionary. */
static size_t reference_count(const json_t *list)
{
    return is_reference(list) ? 1 : json_array_size(list);
}

static const json_t *reference_at(const json_t *list, size_t i)
{
    return is_reference(list) ? list : json_array_get(list, i);
}

static ng_status place_inputs(ngi_keras_builder *b, model_state *m, const int *inputs, int n_inputs, ng_error *err)
{
    const json_t *list = json_object_get(m->config, "input_layers");
    size_t n = reference_count(list);
    if (n == 0 || (inputs && n != (size_t)n_inputs))
        return ngi_fail(err, NG_E_FORMAT, "%s: the model has %zu inputs, it is called with %d", b->where, n, n_inputs);
    for (size_t i = 0; i < n; i++) {
        const json_t *reference = reference_at(list, i);
        layer_state *l = is_reference(reference)
                             ? find_layer(m, json_string_value(json_array_get(reference, 0)))
                             : NULL;
        if (!l || l->done)
            return ngi_fail(err, NG_E_FORMAT, "%s: input %zu of the model names no layer", b->where, i);
        NGI_TRY(place_input(b, l, inputs ? inputs[i] : -1, err));
    }
    return NG_OK;
}

static ng_status build_functional(ngi_keras_builder *b, model_state *m, const int *inputs, int n_inputs, ng_error *err)
{
    for (size_t i = 0; i < m->n_layers; i++)
        note_offsets(m, m->layers[i].inbound, 0);
    note_offsets(m, json_object_get(m->config, "output_layers"), 0);
    NGI_TRY(place_inputs(b, m, inputs, n_inputs, err));
    bool progress = true, complete = false;
    while (progress && !complete) {
        progress = false;
        complete = true;
        for (size_t i = 0; i < m->n_layers; i++) {
            layer_state *l = &m->layers[i];
            if (!json_is_array(l->inbound) || json_array_size(l->inbound) == 0)
                continue; /* an input, or a layer that nothing calls */
            while (l->done < l->n_calls) {
                size_t before = l->done;
                NGI_TRY(try_call(b, m, l, &progress, err));
                if (l->done == before)
                    break;
            }
            complete = complete && l->done == l->n_calls;
        }
    }
    for (size_t i = 0; i < m->n_layers && !complete; i++)
        if (m->layers[i].done < m->layers[i].n_calls && json_array_size(m->layers[i].inbound))
            return ngi_fail(err, NG_E_FORMAT, "%s: layer '%s' never gets its inputs: the layers form a cycle, or an "
                            "input is missing", b->where, m->layers[i].leaf.path);
    return NG_OK;
}

static ng_status read_outputs(ngi_keras_builder *b, model_state *m, int **outputs, int *n_outputs, ng_error *err)
{
    const json_t *list = json_object_get(m->config, "output_layers");
    size_t n = reference_count(list);
    if (n == 0 || n > NGI_CALL_ARGS)
        return ngi_fail(err, NG_E_FORMAT, "%s: the model has no outputs", b->where);
    *outputs = ngi_alloc(n, sizeof **outputs);
    if (!*outputs)
        return ngi_fail_memory(err, n * sizeof **outputs);
    *n_outputs = (int)n;
    for (size_t i = 0; i < n; i++) {
        NGI_TRY(resolve(b, m, reference_at(list, i), &(*outputs)[i], err));
        if ((*outputs)[i] < 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: output %zu of the model is never computed", b->where, i);
    }
    return NG_OK;
}

/* ---- Models ------------------------------------------------------------------------------------ */

static ng_status build_in(ngi_keras_builder *b, model_state *m, const char *class_name, const int *inputs, int n_inputs,
                          int **outputs, int *n_outputs, ng_error *err)
{
    NGI_TRY(prepare_layers(b, m, err));
    if (strcmp(class_name, "Sequential") == 0) {
        *outputs = ngi_alloc(1, sizeof **outputs);
        if (!*outputs)
            return ngi_fail_memory(err, sizeof **outputs);
        *n_outputs = 1;
        return build_sequential(b, m, inputs, n_inputs, *outputs, err);
    }
    NGI_TRY(build_functional(b, m, inputs, n_inputs, err));
    return read_outputs(b, m, outputs, n_outputs, err);
}

/* Builds a model on `inputs` (NULL: it is the outer one). *output is its first output; all of them go to *outputs where the
 * caller wants them. */
static ng_status build_model(ngi_keras_builder *b, const json_t *json, const char *prefix, bool trainable, int depth,
                             const int *inputs, int n_inputs, ngi_keras_layer *tree, int *output, int **outputs,
                             int *n_outputs, ng_error *err)
{
    const char *class_name;
    NGI_TRY(class_of(b, json, &class_name, err));
    if (!is_model_class(class_name))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: the model is a %s; Sequential and Functional models are read. Rebuild it "
                        "as one of them and save that", b->where, class_name);
    if (depth > NGI_MAX_NESTING)
        return ngi_fail(err, NG_E_LIMIT, "%s: models are nested more than %d deep", b->where, NGI_MAX_NESTING);
    model_state m = {.config = json_object_get(json, "config"), .prefix = ngi_strdup(prefix), .trainable = trainable,
                     .depth = depth, .tree = tree};
    if (!m.prefix)
        return ngi_fail_memory(err, strlen(prefix));
    int *found = NULL, n_found = 0;
    ng_status status = ngi_json_bool(m.config, "trainable", b->where, &m.trainable, err);
    m.trainable = m.trainable && trainable;
    if (status == NG_OK)
        status = build_in(b, &m, class_name, inputs, n_inputs, &found, &n_found, err);
    free_layers(&m);
    if (status == NG_OK)
        *output = found[0];
    if (status == NG_OK && outputs) {
        *outputs = found;
        *n_outputs = n_found;
    } else
        ngi_free(found);
    return status;
}

/* Graph inputs are its INPUT nodes, in order. */
static ng_status collect_inputs(ngi_graph *g, ng_error *err)
{
    g->inputs = ngi_alloc((size_t)g->n_nodes, sizeof *g->inputs);
    if (!g->inputs)
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *g->inputs);
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == NGI_OP_INPUT)
            g->inputs[g->n_inputs++] = i;
    return NG_OK;
}

/* A name like "inception_v3" of the model or of a model in it. */
static const char *architecture_name(const json_t *json, int depth)
{
    const json_t *config = json_object_get(json, "config"), *layers = json_object_get(config, "layers"), *layer;
    const char *name = json_string_value(json_object_get(config, "name"));
    size_t i;
    if (name && usual_side(name))
        return name;
    if (depth < 4)
        json_array_foreach(layers, i, layer)
        {
            const char *nested = architecture_name(layer, depth + 1);
            if (nested && json_object_get(json_object_get(layer, "config"), "layers"))
                return nested;
        }
    return NULL;
}

/* Keras 2 configurations carry keras_version 2.x, or none and batch_input_shape. */
static bool is_keras2(const json_t *json, const char *text, size_t size)
{
    const char *version = json_string_value(json_object_get(json, "keras_version"));
    if (version)
        return version[0] == '1' || version[0] == '2';
    return memmem(text, size, "\"batch_input_shape\"", 19) != NULL;
}

ng_status ngi_keras_build(const char *where, const char *config, size_t size, const ngi_load_opts *opts,
                          ngi_graph **graph, ngi_keras_layer **root, ng_error *err)
{
    *graph = NULL;
    *root = NULL;
    json_t *json;
    NGI_TRY(ngi_json_parse(where, config, size, &json, err));
    static const ngi_load_opts no_opts;
    const char *architecture = architecture_name(json, 0);
    ngi_keras_builder b = {.where = where, .opts = opts ? opts : &no_opts, .keras2 = is_keras2(json, config, size),
                           .architecture = architecture ? architecture : ""};
    ngi_keras_layer *tree = ngi_alloc_zero(1, sizeof *tree);
    ng_status status = tree ? ngi_graph_create(&b.graph, err) : ngi_fail_memory(err, sizeof *tree);
    int output;
    if (status == NG_OK)
        status = build_model(&b, json, "", true, 0, NULL, 0, tree, &output, &b.graph->outputs, &b.graph->n_outputs, err);
    if (status == NG_OK)
        status = collect_inputs(b.graph, err);
    if (status == NG_OK) {
        const char *name = json_string_value(json_object_get(json_object_get(json, "config"), "name"));
        b.graph->name = ngi_strdup(name ? name : "model");
        tree->name = ngi_strdup(name ? name : "model");
        tree->class_name = ngi_strdup("Functional");
        if (!b.graph->name || !tree->name || !tree->class_name)
            status = ngi_fail_memory(err, 64);
    }
    if (status == NG_OK)
        status = ngi_graph_infer(b.graph, err);
    json_decref(json);
    if (status != NG_OK) {
        ngi_graph_free(b.graph);
        ngi_keras_layer_free(tree);
        return status;
    }
    *graph = b.graph;
    *root = tree;
    return NG_OK;
}

static void clear_tree(ngi_keras_layer *layer)
{
    for (int i = 0; i < layer->n_children; i++)
        clear_tree(&layer->children[i]);
    ngi_free(layer->children);
    ngi_free(layer->name);
    ngi_free(layer->class_name);
}

void ngi_keras_layer_free(ngi_keras_layer *root)
{
    if (!root)
        return;
    clear_tree(root);
    ngi_free(root);
}

ng_status ngi_bind_weight(ngi_graph *g, int weight, const ngi_tensor_source *source, const char *name, ng_error *err)
{
    ngi_weight *w = &g->weights[weight];
    ngi_shape found;
    ng_status status = source->shape(source->self, name, &found, err);
    if (status == NG_E_NOT_FOUND)
        return ngi_fail(err, NG_E_NOT_FOUND, "%s: %s: the weight '%s' is missing", source->where, w->name, name);
    if (status != NG_OK)
        return status;
    char a[NGI_SHAPE_TEXT], b[NGI_SHAPE_TEXT];
    if (!ngi_shape_equal(&w->shape, &found))
        return ngi_fail(err, NG_E_SHAPE, "%s: %s: expected %s, found %s", source->where, w->name,
                        ngi_shape_text(&w->shape, a), ngi_shape_text(&found, b));
    int64_t count = ngi_shape_count(&w->shape);
    NGI_TRY(source->read(source->self, name, w->data, count, err));
    int64_t bad = ngi_find_non_finite(w->data, count);
    if (bad >= 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s: value %lld is %s; the weights are damaged or the training diverged",
                        source->where, w->name, (long long)bad, w->data[bad] != w->data[bad] ? "NaN" : "infinite");
    return NG_OK;
}
