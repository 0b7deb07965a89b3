/* A flat model as Keras configuration text: Keras 3's dialect for .keras archives, Keras 2's for HDF5 and TF.js, which Keras 3
 * reads too. Both name a layer's call by [layer, call, output]. */
#include "format/save_model.h"

#include <string.h>

/* ---- References -------------------------------------------------------------------------------- */

/* The place of a call among those of its layer: [calls]. */
static int *count_calls(const ngi_flat *f)
{
    int *number = ngi_alloc((size_t)f->n_calls, sizeof *number);
    int *seen = ngi_alloc_zero((size_t)f->n_layers, sizeof *seen);
    for (int i = 0; number && seen && i < f->n_calls; i++)
        number[i] = seen[f->calls[i].layer]++;
    if (!seen) {
        ngi_free(number);
        number = NULL;
    }
    ngi_free(seen);
    return number;
}

static json_t *reference(const ngi_flat *f, const int *number, int call)
{
    return json_pack("[s,i,i]", f->layers[f->calls[call].layer].name, number[call], 0);
}

static json_t *batch_shape(const ngi_shape *s)
{
    json_t *list = json_pack("[n]");
    for (int i = 0; i < s->rank; i++)
        json_array_append_new(list, json_integer(s->dim[i]));
    return list;
}

/* ---- Keras 3 ----------------------------------------------------------------------------------- */

static json_t *keras_tensor(const ngi_flat *f, const int *number, int call)
{
    return json_pack("{s:s, s:{s:o, s:s, s:o}}", "class_name", "__keras_tensor__", "config", "shape",
                     batch_shape(&f->calls[call].shape), "dtype", "float32", "keras_history",
                     reference(f, number, call));
}

/* Puts the calls of the flat model in the place of a verbatim call's tensors, in order. */
static json_t *with_tensors(const ngi_flat *f, const int *number, const json_t *value, const int **next)
{
    const char *class_name = json_string_value(json_object_get(value, "class_name")), *key;
    size_t i;
    json_t *item;
    if (class_name && strcmp(class_name, "__keras_tensor__") == 0)
        return keras_tensor(f, number, *(*next)++);
    if (json_is_array(value)) {
        json_t *list = json_array();
        json_array_foreach(value, i, item) json_array_append_new(list, with_tensors(f, number, item, next));
        return list;
    }
    if (json_is_object(value)) {
        json_t *object = json_object();
        json_object_foreach((json_t *)value, key, item)
            json_object_set_new(object, key, with_tensors(f, number, item, next));
        return object;
    }
    return json_deep_copy(value);
}

static json_t *keras3_call(const ngi_flat *f, const int *number, const ngi_flat_call *c)
{
    const int *inputs = &f->inputs[c->first_input];
    if (c->json)
        return with_tensors(f, number, c->json, &inputs);
    json_t *tensors = json_array();
    for (int i = 0; i < c->n_inputs; i++)
        json_array_append_new(tensors, keras_tensor(f, number, inputs[i]));
    if (f->layers[c->layer].takes_list)
        tensors = json_pack("[o]", tensors);
    return json_pack("{s:o, s:{}}", "args", tensors, "kwargs");
}

/* ---- Keras 2 ----------------------------------------------------------------------------------- */

static json_t *keras2_call(const ngi_flat *f, const int *number, const ngi_flat_call *c)
{
    json_t *tensors = json_array();
    for (int i = 0; i < c->n_inputs; i++) {
        json_t *one = reference(f, number, f->inputs[c->first_input + i]);
        json_array_append_new(one, json_object());
        json_array_append_new(tensors, one);
    }
    return tensors;
}

/* ---- Layers ------------------------------------------------------------------------------------ */

/* The shape that an input was declared with, or the one that it has. */
static json_t *input_shape(const ngi_flat *f, const ngi_flat_layer *l, const ngi_shape *shape, bool open)
{
    json_t *list = batch_shape(shape);
    for (int i = 0; open && i < f->source->trace.n_calls; i++) {
        const ngi_klayer *k = f->source->trace.calls[i].layer;
        const json_t *config = k->leaf.config;
        const json_t *declared = json_object_get(config, "batch_shape");
        if (!k->is_input || strcmp(k->leaf.path, l->path) != 0)
            continue;
        declared = declared ? declared : json_object_get(config, "batch_input_shape");
        if (json_array_size(declared) != json_array_size(list))
            continue;
        for (size_t d = 1; d < json_array_size(list); d++)
            if (json_is_null(json_array_get(declared, d)))
                json_array_set_new(list, d, json_null());
    }
    return list;
}

/* Where it means something; Keras 3's SpatialDropout does not take it. */
static bool says_trainable(const ngi_flat_layer *l)
{
    return (l->n_weights > 0 || !l->trainable) && strncmp(l->class_name, "SpatialDropout", 14) != 0;
}

static json_t *layer_config(const ngi_flat *f, const ngi_flat_layer *l, const ngi_shape *shape, bool open)
{
    json_t *config = json_pack("{s:s}", "name", l->name);
    if (l->is_input)
        json_object_set_new(config, f->dialect == NGI_DIALECT_KERAS3 ? "batch_shape" : "batch_input_shape",
                            input_shape(f, l, shape, open));
    else if (says_trainable(l))
        json_object_set_new(config, "trainable", json_boolean(l->trainable));
    json_object_set_new(config, "dtype", json_string("float32"));
    if (l->is_input)
        json_object_set_new(config, "sparse", json_false());
    json_object_update(config, l->config);
    return config;
}

/* A function on tensors keeps its module, its class and, but for the name, its settings. */
static json_t *verbatim_layer(const ngi_flat_layer *l)
{
    json_t *layer = json_object(), *config = json_deep_copy(json_object_get(l->verbatim, "config"));
    static const char *const kept[] = {"module", "class_name", "registered_name"};
    if (json_object_get(config, "name"))
        json_object_set_new(config, "name", json_string(l->name));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (json_object_get(l->verbatim, kept[i]))
            json_object_set_new(layer, kept[i], json_deep_copy(json_object_get(l->verbatim, kept[i])));
    json_object_set_new(layer, "config", config);
    return layer;
}

static json_t *layer_json(const ngi_flat *f, const ngi_flat_layer *l, const ngi_shape *shape, bool open)
{
    if (l->verbatim)
        return verbatim_layer(l);
    json_t *config = layer_config(f, l, shape, open);
    if (f->dialect != NGI_DIALECT_KERAS3)
        return json_pack("{s:s, s:o}", "class_name", l->class_name, "config", config);
    return json_pack("{s:s, s:s, s:o, s:n}", "module", "keras.layers", "class_name", l->class_name, "config",
                     config, "registered_name");
}

static json_t *all_layers(const ngi_flat *f, const int *number, bool open)
{
    json_t *layers = json_array();
    for (int i = 0; i < f->n_layers; i++) {
        json_t *calls = json_array(), *layer = NULL;
        for (int k = 0; k < f->n_calls; k++) {
            const ngi_flat_call *c = &f->calls[k];
            if (c->layer != i)
                continue;
            if (!layer)
                layer = layer_json(f, &f->layers[i], &c->shape, open);
            if (!f->layers[i].is_input)
                json_array_append_new(calls, f->dialect == NGI_DIALECT_KERAS3 ? keras3_call(f, number, c)
                                                                              : keras2_call(f, number, c));
        }
        json_object_set_new(layer, "name", json_string(f->layers[i].name));
        json_object_set_new(layer, "inbound_nodes", calls);
        json_array_append_new(layers, layer);
    }
    return layers;
}

/* ---- The model --------------------------------------------------------------------------------- */

/* One is written without a list around it, so that Keras 3 gives the tensor and no list of one. */
static json_t *ends(const ngi_flat *f, const int *number, bool inputs)
{
    json_t *list = json_array();
    for (int i = inputs ? 0 : f->n_ins; i < (inputs ? f->n_ins : f->n_ins + f->n_outs); i++)
        json_array_append_new(list, reference(f, number, f->ends[i]));
    if (json_array_size(list) != 1 || f->dialect == NGI_DIALECT_TFJS)
        return list;
    json_t *one = json_incref(json_array_get(list, 0));
    json_decref(list);
    return one;
}

static json_t *model_json(const ngi_flat *f, const int *number, bool open)
{
    json_t *config = json_pack("{s:s, s:b, s:o, s:o, s:o}", "name", f->source->graph->name, "trainable", 1,
                               "layers", all_layers(f, number, open), "input_layers", ends(f, number, true),
                               "output_layers", ends(f, number, false));
    if (f->dialect != NGI_DIALECT_KERAS3)
        return json_pack("{s:s, s:o}", "class_name", "Functional", "config", config);
    return json_pack("{s:s, s:s, s:o, s:s}", "module", "keras.src.models.functional", "class_name",
                     "Functional", "config", config, "registered_name", "Functional");
}

ng_status ngi_flat_print(const ngi_flat *f, bool inputs_open, char **text, size_t *size, ng_error *err)
{
    int *number = count_calls(f);
    json_t *model = number ? model_json(f, number, inputs_open) : NULL;
    char *dumped = model ? json_dumps(model, JSON_COMPACT) : NULL;
    json_decref(model);
    ngi_free(number);
    *text = dumped ? ngi_strdup(dumped) : NULL;
    *size = dumped ? strlen(dumped) : 0;
    free(dumped);
    return *text ? NG_OK : ngi_fail_memory(err, 64);
}
