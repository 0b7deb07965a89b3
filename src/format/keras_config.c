/* From a Keras configuration to a graph, and from named tensors to its weights: the entry points of keras_config.h, and what
 * is asked of the whole configuration (which Keras wrote it, the size of open inputs). */
#include "format/keras_model.h"

#include <string.h>

/* ---- Which Keras ------------------------------------------------------------------------------- */

/* What only Keras 3 writes. */
static bool has_keras3_marks(const json_t *v)
{
    const char *key, *class_name = json_string_value(json_object_get(v, "class_name"));
    size_t i;
    json_t *item;
    if (class_name && (strcmp(class_name, "DTypePolicy") == 0 || strcmp(class_name, "__keras_tensor__") == 0))
        return true;
    if (json_object_get(v, "batch_shape"))
        return true;
    if (json_is_array(v))
        json_array_foreach(v, i, item)
        {
            if (has_keras3_marks(item))
                return true;
        }
    if (json_is_object(v))
        json_object_foreach((json_t *)v, key, item)
        {
            if (has_keras3_marks(item))
                return true;
        }
    return false;
}

/* By version where the text says it, else by form. */
static bool is_keras2(const json_t *json)
{
    const char *version = json_string_value(json_object_get(json, "keras_version"));
    if (version)
        return version[0] == '1' || version[0] == '2';
    return !has_keras3_marks(json);
}

/* ---- Open input sizes -------------------------------------------------------------------------- */

/* The side that an architecture's ImageNet weights were trained at; longer prefixes first. */
static const struct {
    const char *prefix;
    int side;
} usual_sides[] = {
    {"inception_resnet_v2", 299},
    {"inception_v3", 299},
    {"xception", 299},
    {"nasnet_large", 331},
    {"nasnet_mobile", 224},
    {"resnet", 224},
    {"vgg", 224},
    {"mobilenet", 224},
    {"densenet", 224},
    {"convnext", 224},
    {"regnet", 224},
    {"efficientnetb0", 224},
    {"efficientnetb1", 240},
    {"efficientnetb2", 260},
    {"efficientnetb3", 300},
    {"efficientnetb4", 380},
    {"efficientnetb5", 456},
    {"efficientnetb6", 528},
    {"efficientnetb7", 600},
    {"efficientnetv2-b0", 224},
    {"efficientnetv2-b1", 240},
    {"efficientnetv2-b2", 260},
    {"efficientnetv2-b3", 300},
    {"efficientnetv2-s", 384},
    {"efficientnetv2-m", 480},
    {"efficientnetv2-l", 480},
};

/* Of the architecture that a model or one inside it is named for; 0: none. */
static int usual_side(const json_t *json, int depth)
{
    const json_t *config = json_object_get(json, "config"), *layers = json_object_get(config, "layers");
    const char *name = json_string_value(json_object_get(config, "name"));
    size_t i;
    json_t *layer;
    int side = 0;
    if (depth > NGI_MAX_NESTING || !json_is_array(layers))
        return 0;
    for (i = 0; name && i < sizeof usual_sides / sizeof *usual_sides && !side; i++)
        if (strncasecmp(name, usual_sides[i].prefix, strlen(usual_sides[i].prefix)) == 0)
            side = usual_sides[i].side;
    json_array_foreach(layers, i, layer)
    {
        if (side)
            break;
        side = usual_side(layer, depth + 1);
    }
    return side;
}

ng_status ngi_keras_input_shape(const ngi_keras_builder *b, const char *where, const json_t *list,
                                ngi_shape *out, ng_error *err)
{
    if (json_array_size(list) == 1 && json_is_array(json_array_get(list, 0)))
        list = json_array_get(list, 0); /* [[null, 299, 299, 3]] */
    size_t rank = json_array_size(list);
    if (rank < 2 || rank > NGI_MAX_RANK)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: an input shape of %zu dimensions with the batch, expected 2 to %d", where, rank,
                        NGI_MAX_RANK);
    out->rank = (int)rank - 1;
    for (size_t i = 1; i < rank; i++) {
        const json_t *d = json_array_get(list, i);
        int64_t n = 0;
        const int asked = i == 1 ? b->opts->input_height : b->opts->input_width;
        if (rank == 4 && i < 3 && (json_is_null(d) || asked > 0)) {
            n = asked > 0 ? asked : b->usual_side;
            if (n == 0)
                return ngi_fail(err, NG_E_ARGUMENT,
                                "%s: the model leaves the height and width of its input open; give them "
                                "with --input-size",
                                where);
        } else if (!ngi_json_to_int(d, 1, 1 << 20, &n))
            return ngi_fail(err, NG_E_FORMAT, "%s: dimension %zu of the input shape is %s, expected 1 to %d",
                            where, i, json_is_null(d) ? "open" : "not a size", 1 << 20);
        out->dim[i - 1] = n;
    }
    return NG_OK;
}

/* ---- The whole --------------------------------------------------------------------------------- */

/* {"class_name", "config"}, or what Model.to_json and HDF5 files of old wrap it in. */
static const json_t *unwrap(const json_t *json)
{
    const json_t *inner = json_object_get(json, "model_config");
    return json_is_object(inner) && !json_object_get(json, "class_name") ? inner : json;
}

static ng_status build(ngi_keras_builder *b, const json_t *json, ngi_keras_source *out, ng_error *err)
{
    b->keras2 = out->keras2 = is_keras2(json);
    json = unwrap(json);
    b->usual_side = usual_side(json, 0);
    NGI_TRY(ngi_graph_create(&out->graph, err));
    b->graph = out->graph;
    b->graph->values_later = b->opts->values_later;
    NGI_TRY(ngi_keras_model(b, json, out->tree, &out->model, err));
    return ngi_graph_infer(b->graph, err);
}

ng_status ngi_keras_open(const char *where, const char *config, size_t size, const ngi_load_opts *opts,
                         ngi_keras_source *out, ng_error *err)
{
    static const ngi_load_opts none;
    *out = (ngi_keras_source){0};
    NGI_TRY(ngi_json_parse(where, config, size, &out->json, err));
    ngi_keras_builder b = {.where = where, .opts = opts ? opts : &none, .trace = &out->trace};
    out->tree = ngi_alloc_zero(1, sizeof *out->tree);
    if (!out->tree)
        return ngi_fail_memory(err, sizeof *out->tree);
    ng_status status = build(&b, out->json, out, err);
    if (status != NG_OK)
        ngi_error_prefix(err, "%s", where);
    return status;
}

void ngi_keras_close(ngi_keras_source *s)
{
    ngi_kmodel_free(s->model);
    ngi_graph_free(s->graph);
    ngi_keras_layer_free(s->tree);
    ngi_free(s->trace.calls);
    ngi_free(s->trace.inputs);
    json_decref(s->json);
    *s = (ngi_keras_source){0};
}

ng_status ngi_keras_build(const char *where, const char *config, size_t size, const ngi_load_opts *opts,
                          ngi_graph **graph, ngi_keras_layer **root, ng_error *err)
{
    ngi_keras_source source;
    *graph = NULL;
    *root = NULL;
    ng_status status = ngi_keras_open(where, config, size, opts, &source, err);
    if (status == NG_OK) {
        *graph = source.graph;
        *root = source.tree;
        source.graph = NULL;
        source.tree = NULL;
    }
    ngi_keras_close(&source);
    return status;
}

static void clear_tree(ngi_keras_layer *layer)
{
    for (int i = 0; i < layer->n_children; i++) /* at most NGI_MAX_NESTING deep */
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

/* ---- Weights ----------------------------------------------------------------------------------- */

ng_status ngi_bind_weight(ngi_graph *g, int weight, const ngi_tensor_source *source, const char *name,
                          ng_error *err)
{
    ngi_weight *w = &g->weights[weight];
    ngi_shape found;
    ng_status status = source->shape(source->self, name, &found, err);
    if (status == NG_E_NOT_FOUND)
        return ngi_fail(err, NG_E_NOT_FOUND, "%s: %s: the weight '%s' is missing", source->where, w->name,
                        name);
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
        return ngi_fail(
            err, NG_E_FORMAT, "%s: %s: value %lld is %s; the file is damaged or the training diverged",
            source->where, w->name, (long long)bad, w->data[bad] != w->data[bad] ? "NaN" : "infinite");
    return NG_OK;
}
