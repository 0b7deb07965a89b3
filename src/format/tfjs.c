/* TensorFlow.js layers models: model.json (modelTopology, weightsManifest) and binary shards beside it.
 * Quantised weights (tensorflowjs converter): value = q * scale + min, in double, rounded once; float16 is widened.
 * Format: github.com/tensorflow/tfjs, tfjs-core/src/io/types.ts. Graph models are refused. */
#include "format/json.h"
#include "format/keras_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum stored_type { STORED_F32, STORED_F16, STORED_U8, STORED_U16, STORED_I32, STORED_BOOL } stored_type;

static const size_t stored_bytes[] = {4, 2, 1, 2, 4, 1};

typedef struct manifest_entry {
    const char *name; /* borrowed from the JSON */
    ngi_shape shape;
    stored_type type;
    double scale, min;
    const uint8_t *bytes;
    int64_t count;
} manifest_entry;

typedef struct tfjs_file {
    const char *path; /* of model.json */
    json_t *json;
    manifest_entry *entries;
    int n_entries;
    char **shards; /* the bytes of each group, kept until weights are read */
    int n_groups;
} tfjs_file;

static void clear_file(tfjs_file *f)
{
    for (int i = 0; f->shards && i < f->n_groups; i++)
        ngi_free(f->shards[i]);
    ngi_free(f->shards);
    ngi_free(f->entries);
    json_decref(f->json);
}

/* ---- Manifest ---------------------------------------------------------------------------------- */

static ng_status read_type(const char *path, const json_t *spec, manifest_entry *e, ng_error *err)
{
    static const struct {
        const char *name;
        stored_type type;
    } types[] = {{"float32", STORED_F32}, {"float16", STORED_F16}, {"uint8", STORED_U8},
                 {"uint16", STORED_U16},  {"int32", STORED_I32},   {"bool", STORED_BOOL}};
    const json_t *quantization = json_object_get(spec, "quantization");
    const char *name = json_string_value(json_object_get(quantization ? quantization : spec, "dtype"));
    e->scale = 1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (name && strcmp(name, types[i].name) == 0) {
            e->type = types[i].type;
            if (!quantization || e->type == STORED_F16)
                return NG_OK;
            const json_t *scale = json_object_get(quantization, "scale"), *min = json_object_get(quantization, "min");
            if (!json_is_number(scale) || !json_is_number(min) || (e->type != STORED_U8 && e->type != STORED_U16))
                break;
            e->scale = json_number_value(scale);
            e->min = json_number_value(min);
            return NG_OK;
        }
    return ngi_fail(err, NG_E_UNSUPPORTED, "%s: weight '%s' has the type '%s', which is not read", path, e->name,
                    name ? name : "?");
}

static ng_status read_entry(const char *path, const json_t *spec, manifest_entry *e, ng_error *err)
{
    e->name = json_string_value(json_object_get(spec, "name"));
    const json_t *shape = json_object_get(spec, "shape");
    if (!e->name || !json_is_array(shape) || json_array_size(shape) > NGI_MAX_RANK)
        return ngi_fail(err, NG_E_FORMAT, "%s: a weight without name or shape", path);
    e->shape.rank = (int)json_array_size(shape);
    for (int i = 0; i < e->shape.rank; i++)
        if (!ngi_json_to_int(json_array_get(shape, (size_t)i), 0, INT32_MAX, &e->shape.dim[i]))
            return ngi_fail(err, NG_E_FORMAT, "%s: weight '%s': dimension %d is not a size", path, e->name, i);
    e->count = ngi_shape_count(&e->shape);
    if (e->count < 0)
        return ngi_fail(err, NG_E_LIMIT, "%s: weight '%s' is beyond the limits", path, e->name);
    return read_type(path, spec, e, err);
}

/* ---- Shards ------------------------------------------------------------------------------------ */

/* Shard names come from a stranger: they must stay in the model's folder. */
static bool is_safe_name(const char *name)
{
    return name[0] != '/' && name[0] != '\0' && strstr(name, "..") == NULL;
}

/* The bytes of a group's shards, one after the other. */
static ng_status read_group(const char *path, const json_t *paths, size_t expected, char **out, ng_error *err)
{
    ngi_buffer bytes = {0};
    char *folder = ngi_path_folder(path);
    ng_status status = folder ? NG_OK : ngi_fail_memory(err, strlen(path));
    for (size_t i = 0; i < json_array_size(paths) && status == NG_OK; i++) {
        const char *name = json_string_value(json_array_get(paths, i));
        if (!name || !is_safe_name(name)) {
            status = ngi_fail(err, NG_E_FORMAT, "%s: the name of shard %zu leaves the model's folder", path, i);
            break;
        }
        char *shard = ngi_path_join(folder, name), *data = NULL;
        size_t size = 0;
        status = shard ? ngi_file_read(shard, NGI_MAX_MODEL_BYTES, &data, &size, err) : ngi_fail_memory(err, 64);
        if (status == NG_OK && bytes.size + size > expected)
            status = ngi_fail(err, NG_E_FORMAT, "%s: the shards hold more than the %zu bytes that the manifest lists",
                              shard, expected);
        if (status == NG_OK)
            status = ngi_buffer_add(&bytes, data, size, err);
        ngi_free(data);
        ngi_free(shard);
    }
    if (status == NG_OK && bytes.size != expected)
        status = ngi_fail(err, NG_E_FORMAT, "%s: the shards hold %zu bytes, the manifest lists %zu: truncated?", path,
                          bytes.size, expected);
    ngi_free(folder);
    if (status != NG_OK)
        ngi_buffer_clear(&bytes);
    *out = bytes.data;
    return status;
}

static ng_status read_manifest_group(tfjs_file *f, const json_t *group, ng_error *err)
{
    const json_t *weights = json_object_get(group, "weights"), *paths = json_object_get(group, "paths"), *spec;
    size_t i, expected = 0;
    int first = f->n_entries;
    if (!json_is_array(weights) || !json_is_array(paths))
        return ngi_fail(err, NG_E_FORMAT, "%s: a group of the weightsManifest has no weights or paths", f->path);
    json_array_foreach(weights, i, spec)
    {
        manifest_entry *e = &f->entries[f->n_entries];
        NGI_TRY(read_entry(f->path, spec, e, err));
        expected += (size_t)e->count * stored_bytes[e->type];
        if (expected > NGI_MAX_MODEL_BYTES)
            return ngi_fail(err, NG_E_LIMIT, "%s: the manifest claims more than %zu bytes of weights", f->path,
                            NGI_MAX_MODEL_BYTES);
        f->n_entries++;
    }
    char *bytes;
    NGI_TRY(read_group(f->path, paths, expected, &bytes, err));
    f->shards[f->n_groups++] = bytes;
    size_t at = 0;
    for (int k = first; k < f->n_entries; k++) {
        f->entries[k].bytes = (const uint8_t *)bytes + at;
        at += (size_t)f->entries[k].count * stored_bytes[f->entries[k].type];
    }
    return NG_OK;
}

static ng_status read_manifest(tfjs_file *f, ng_error *err)
{
    const json_t *groups = json_object_get(f->json, "weightsManifest"), *group;
    size_t i, total = 0;
    if (!json_is_array(groups))
        return ngi_fail(err, NG_E_FORMAT, "%s: no weightsManifest: not a TensorFlow.js model", f->path);
    json_array_foreach(groups, i, group) total += json_array_size(json_object_get(group, "weights"));
    f->entries = ngi_alloc_zero(total, sizeof *f->entries);
    f->shards = ngi_alloc_zero(json_array_size(groups), sizeof *f->shards);
    if (!f->entries || !f->shards)
        return ngi_fail_memory(err, total * sizeof *f->entries);
    json_array_foreach(groups, i, group) NGI_TRY(read_manifest_group(f, group, err));
    return NG_OK;
}

/* ---- Weights ----------------------------------------------------------------------------------- */

/* IEEE 754 half to single. */
static float half_to_float(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float sign = h & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexpf((float)(fraction + 1024), exponent - 25) : ldexpf((float)fraction, -24));
}

static uint16_t little16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float value_at(const manifest_entry *e, int64_t i)
{
    uint32_t word;
    const uint8_t *p = e->bytes + (size_t)i * stored_bytes[e->type];
    switch (e->type) {
    case STORED_F32:
    case STORED_I32: {
        word = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        float f;
        int32_t n;
        memcpy(&f, &word, 4);
        memcpy(&n, &word, 4);
        return e->type == STORED_F32 ? f : (float)n;
    }
    case STORED_F16:
        return half_to_float(little16(p));
    case STORED_U16:
        return (float)(little16(p) * e->scale + e->min);
    default:
        return (float)(p[0] * e->scale + e->min);
    }
}

static const manifest_entry *find_entry(const tfjs_file *f, const char *name)
{
    for (int i = 0; i < f->n_entries; i++)
        if (strcmp(f->entries[i].name, name) == 0)
            return &f->entries[i];
    return NULL;
}

static ng_status source_shape(void *self, const char *name, ngi_shape *shape, ng_error *err)
{
    (void)err;
    const manifest_entry *e = find_entry(self, name);
    if (!e)
        return NG_E_NOT_FOUND;
    *shape = e->shape;
    return NG_OK;
}

static ng_status source_read(void *self, const char *name, float *data, int64_t count, ng_error *err)
{
    (void)err;
    const manifest_entry *e = find_entry(self, name);
    for (int64_t i = 0; i < count; i++)
        data[i] = value_at(e, i);
    return NG_OK;
}

/* The part of a name from its last but one slash on: "conv2d/kernel" of "inception_v3/conv2d/kernel". */
static const char *last_two(const char *name)
{
    const char *at = name + strlen(name);
    for (int slashes = 0; at > name; at--)
        if (at[-1] == '/' && ++slashes == 2)
            return at;
    return name;
}

static bool same_without_suffix(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    n -= n > 2 && strcmp(a + n - 2, ":0") == 0 ? 2 : 0;
    m -= m > 2 && strcmp(b + m - 2, ":0") == 0 ? 2 : 0;
    return n == m && memcmp(a, b, n) == 0;
}

/* The manifest's name of a graph weight: by path, else by layer and variable where that is unique. NULL: none. */
static const char *stored_name(const tfjs_file *f, const char *path)
{
    const char *found = NULL;
    int count = 0;
    for (int i = 0; i < f->n_entries; i++) {
        if (same_without_suffix(f->entries[i].name, path))
            return f->entries[i].name;
        if (same_without_suffix(last_two(f->entries[i].name), last_two(path))) {
            found = f->entries[i].name;
            count++;
        }
    }
    return count == 1 ? found : NULL;
}

static ng_status bind_layer(tfjs_file *f, ngi_graph *g, const ngi_keras_layer *layer, ng_error *err)
{
    ngi_tensor_source source = {f->path, f, source_shape, source_read};
    for (int i = 0; i < layer->n_weights; i++) {
        int weight = layer->first_weight + i;
        const char *name = stored_name(f, g->weights[weight].name);
        NGI_TRY(ngi_bind_weight(g, weight, &source, name ? name : g->weights[weight].name, err));
    }
    for (int i = 0; i < layer->n_children; i++)
        NGI_TRY(bind_layer(f, g, &layer->children[i], err));
    return NG_OK;
}

/* ---- The row ----------------------------------------------------------------------------------- */

static ng_status read_model(tfjs_file *f, const char *text, size_t size, const ngi_load_opts *opts, ngi_model_file *out,
                            ng_error *err)
{
    NGI_TRY(ngi_json_parse(f->path, text, size, &f->json, err));
    const char *kind = json_string_value(json_object_get(f->json, "format"));
    if (kind && strcmp(kind, "graph-model") == 0)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a TensorFlow.js graph model; layers models are read. Convert the Keras "
                        "model with --output_format=tfjs_layers_model", f->path);
    json_t *topology = json_object_get(f->json, "modelTopology");
    json_t *config = json_object_get(topology, "model_config");
    if (!config)
        config = topology; /* saved by TensorFlow.js itself */
    const char *version = json_string_value(json_object_get(topology, "keras_version"));
    if (!json_is_object(config))
        return ngi_fail(err, NG_E_FORMAT, "%s: no modelTopology: not a TensorFlow.js layers model", f->path);
    if (version && !json_object_get(config, "keras_version"))
        json_object_set_new(config, "keras_version", json_string(version));
    char *config_text = json_dumps(config, JSON_COMPACT);
    if (!config_text)
        return ngi_fail_memory(err, size);
    ngi_keras_layer *root = NULL;
    ng_status status = ngi_keras_build(f->path, config_text, strlen(config_text), opts, &out->graph, &root, err);
    if (status == NG_OK)
        status = read_manifest(f, err);
    if (status == NG_OK)
        status = bind_layer(f, out->graph, root, err);
    if (status == NG_OK)
        status = ngi_model_hash(config_text, strlen(config_text), out->graph, out->hash, err);
    free(config_text);
    ngi_keras_layer_free(root);
    if (status != NG_OK)
        return status;
    out->format = "tfjs";
    out->producer = version ? ngi_sprintf("Keras %s", version) : ngi_strdup("");
    out->architecture = ngi_strdup(ngi_architecture_of(out->graph));
    return out->producer && out->architecture ? NG_OK : ngi_fail_memory(err, 64);
}

static ng_status load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    tfjs_file f = {0};
    char *json_path = ngi_path_is_directory(path) ? ngi_path_join(path, "model.json") : ngi_strdup(path), *text = NULL;
    size_t size = 0;
    ng_status status = json_path ? NG_OK : ngi_fail_memory(err, strlen(path));
    f.path = json_path;
    if (status == NG_OK)
        status = ngi_file_read(json_path, NGI_MAX_CONFIG_BYTES, &text, &size, err);
    if (status == NG_OK)
        status = read_model(&f, text, size, opts, out, err);
    ngi_free(text);
    clear_file(&f);
    ngi_free(json_path);
    return status;
}

/* A folder with a model.json, or a file whose first character is a brace. */
static bool matches(const char *path)
{
    if (ngi_path_is_directory(path)) {
        char *json = ngi_path_join(path, "model.json");
        bool there = json && ngi_path_exists(json);
        ngi_free(json);
        return there;
    }
    char first[64] = {0};
    return ngi_file_peek(path, first, sizeof first - 1) && first[strspn(first, " \t\r\n")] == '{';
}

const ngi_format ngi_format_tfjs = {"tfjs", matches, load};
