/* TensorFlow.js layers models: model.json (the Keras configuration and a manifest of weights) and binary shards.
 *
 * Read: float32, int32, uint8 and bool weights, and weights quantised to uint8 and uint16 (q * scale + min, in double)
 * or float16. The weights of a group lie one after another in its shards, put end to end; values are little-endian.
 * Graph models have lost their layers and are refused. */
#include "format/format.h"
#include "format/json.h"
#include "format/notes.h"
#include "format/tfjs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES NGI_MAX_NODES

typedef enum storage {
    STORAGE_FLOAT32,
    STORAGE_INT32,
    STORAGE_UINT8,
    STORAGE_UINT16,
    STORAGE_FLOAT16
} storage;

static const size_t storage_bytes[] = {4, 4, 1, 2, 2};

/* One weight of the manifest. */
typedef struct entry {
    const char *name;
    ngi_shape shape;
    int64_t count;
    storage storage;
    bool scaled, whole; /* value = q * scale + min; rounded, for quantised int32 */
    double scale, min;
} entry;

typedef struct reader {
    const char *where; /* of model.json */
    const ngi_load_opts *opts;
    char *folder;
    const json_t *paths; /* shards of the current group */
    size_t next_path;
    char *shard; /* the current one, and how far it was read */
    size_t shard_size, shard_used;
    const entry *current;
    ngi_tfjs_names names;
    bool *bound; /* [n_weights of the graph] */
} reader;

/* ---- The manifest ---------------------------------------------------------------------------- */

static ng_status read_shape(const char *where, const char *name, const json_t *list, ngi_shape *shape,
                            ng_error *err)
{
    if (!json_is_array(list) || json_array_size(list) > NGI_MAX_RANK)
        return ngi_fail(err, NG_E_FORMAT, "%s: weight '%s': expected a shape of at most %d dimensions", where,
                        name, NGI_MAX_RANK);
    shape->rank = (int)json_array_size(list);
    for (int i = 0; i < shape->rank; i++)
        if (!ngi_json_to_int(json_array_get(list, (size_t)i), 0, NGI_MAX_ELEMENTS, &shape->dim[i]))
            return ngi_fail(err, NG_E_FORMAT, "%s: weight '%s': dimension %d is not a size", where, name, i);
    if (ngi_shape_count(shape) < 0)
        return ngi_fail(err, NG_E_LIMIT, "%s: weight '%s' claims more than %lld values", where, name,
                        (long long)NGI_MAX_ELEMENTS);
    return NG_OK;
}

static ng_status read_quantization(const char *where, const json_t *quantization, const char *dtype, entry *e,
                                   ng_error *err)
{
    const char *stored = json_string_value(json_object_get(quantization, "dtype"));
    if (stored && strcmp(stored, "float16") == 0) {
        e->storage = STORAGE_FLOAT16;
        return NG_OK;
    }
    if (stored && strcmp(stored, "uint8") == 0)
        e->storage = STORAGE_UINT8;
    else if (stored && strcmp(stored, "uint16") == 0)
        e->storage = STORAGE_UINT16;
    else
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: weight '%s' is quantised to '%s'; uint8, uint16 and float16 are read", where,
                        e->name, stored ? stored : "(nothing)");
    const json_t *scale = json_object_get(quantization, "scale"), *min = json_object_get(quantization, "min");
    if (!json_is_number(scale) || !json_is_number(min))
        return ngi_fail(err, NG_E_FORMAT, "%s: weight '%s': its quantization has no scale and min", where,
                        e->name);
    e->scaled = true;
    e->whole = strcmp(dtype, "int32") == 0;
    e->scale = json_number_value(scale);
    e->min = json_number_value(min);
    return NG_OK;
}

static ng_status read_entry(const char *where, const json_t *json, entry *e, ng_error *err)
{
    *e = (entry){.name = json_string_value(json_object_get(json, "name"))};
    const char *dtype = json_string_value(json_object_get(json, "dtype"));
    if (!e->name || !dtype)
        return ngi_fail(err, NG_E_FORMAT, "%s: a weight of the manifest has no name or no dtype", where);
    NGI_TRY(read_shape(where, e->name, json_object_get(json, "shape"), &e->shape, err));
    e->count = ngi_shape_count(&e->shape);
    const json_t *quantization = json_object_get(json, "quantization");
    if (json_is_object(quantization))
        return read_quantization(where, quantization, dtype, e, err);
    if (strcmp(dtype, "float32") == 0)
        e->storage = STORAGE_FLOAT32;
    else if (strcmp(dtype, "int32") == 0)
        e->storage = STORAGE_INT32;
    else if (strcmp(dtype, "bool") == 0 || strcmp(dtype, "uint8") == 0)
        e->storage = STORAGE_UINT8;
    else
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: weight '%s' is of type '%s'; float32, int32, uint8 and bool are read", where,
                        e->name, dtype);
    return NG_OK;
}

/* Values and bytes that the manifest lists in all. */
static ng_status measure_manifest(const char *where, const json_t *manifest, int64_t *values, ng_error *err)
{
    *values = 0;
    uint64_t bytes = 0;
    size_t i, k, entries = 0;
    json_t *group, *weight;
    if (!json_is_array(manifest))
        return ngi_fail(err, NG_E_FORMAT, "%s: no weightsManifest: the file names no weights", where);
    json_array_foreach(manifest, i, group)
    {
        const json_t *weights = json_object_get(group, "weights");
        if (!json_is_array(weights) || !json_is_array(json_object_get(group, "paths")))
            return ngi_fail(err, NG_E_FORMAT,
                            "%s: group %zu of the weightsManifest has no list of paths or weights", where, i);
        json_array_foreach(weights, k, weight)
        {
            entry e;
            NGI_TRY(read_entry(where, weight, &e, err));
            *values += e.count;
            bytes += (uint64_t)e.count * storage_bytes[e.storage];
            if (++entries > MAX_ENTRIES || bytes > NGI_MAX_MODEL_BYTES)
                return ngi_fail(err, NG_E_LIMIT,
                                "%s: the weightsManifest claims %zu weights of %llu bytes, the limits are "
                                "%d and %zu",
                                where, entries, (unsigned long long)bytes, MAX_ENTRIES, NGI_MAX_MODEL_BYTES);
        }
    }
    return NG_OK;
}

/* ---- Shards ------------------------------------------------------------------------------------ */

/* A shard lies in model.json's folder or below it. */
static bool is_safe_path(const char *path)
{
    if (*path == '\0' || *path == '/' || strchr(path, '\\'))
        return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t n = strcspn(part, "/");
        if (n == 2 && part[0] == '.' && part[1] == '.')
            return false;
    }
    return true;
}

static ng_status open_next_shard(reader *r, ng_error *err)
{
    ngi_free(r->shard);
    r->shard = NULL;
    r->shard_size = r->shard_used = 0;
    if (r->next_path >= json_array_size(r->paths))
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: weight '%s' reaches past the end of the shards: one is truncated or missing",
                        r->where, r->current->name);
    const char *name = json_string_value(json_array_get(r->paths, r->next_path++));
    if (!name || !is_safe_path(name))
        return ngi_fail(err, NG_E_FORMAT, "%s: shard path '%s' does not stay in the model's folder", r->where,
                        name ? name : "(not a string)");
    char *path = ngi_path_join(r->folder, name);
    if (!path)
        return ngi_fail_memory(err, strlen(name));
    ngi_source_note(r->opts, path);
    ng_status status = ngi_file_read(path, NGI_MAX_MODEL_BYTES, &r->shard, &r->shard_size, err);
    ngi_free(path);
    return status;
}

/* The next `size` bytes of the group; `to` NULL skips them. */
static ng_status take(reader *r, unsigned char *to, size_t size, ng_error *err)
{
    while (size > 0) {
        if (r->shard_used == r->shard_size) {
            NGI_TRY(open_next_shard(r, err));
            continue;
        }
        size_t n = r->shard_size - r->shard_used;
        n = n < size ? n : size;
        if (to) {
            memcpy(to, r->shard + r->shard_used, n);
            to += n;
        }
        r->shard_used += n;
        size -= n;
    }
    return NG_OK;
}

/* ---- Values ------------------------------------------------------------------------------------ */

static double half_to_double(unsigned bits)
{
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023, value;
    if (exponent == 31)
        value = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, -24);
    else
        value = ldexp(fraction + 1024, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

static double stored_value(const entry *e, const unsigned char *p)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < storage_bytes[e->storage]; i++)
        bits |= (uint32_t)p[i] << (8 * i);
    float f;
    switch (e->storage) {
    case STORAGE_FLOAT32:
        memcpy(&f, &bits, sizeof f);
        return f;
    case STORAGE_INT32:
        return (int32_t)bits;
    case STORAGE_FLOAT16:
        return half_to_double(bits);
    default:
        break;
    }
    if (!e->scaled)
        return bits;
    double value = bits * e->scale + e->min;
    return e->whole ? floor(value + 0.5) : value;
}

static ng_status entry_shape(void *self, const char *name, ngi_shape *shape, ng_error *err)
{
    (void)name, (void)err;
    *shape = ((const reader *)self)->current->shape;
    return NG_OK;
}

/* In blocks, so that quantised weights need no second copy of themselves. */
static ng_status entry_read(void *self, const char *name, float *data, int64_t count, ng_error *err)
{
    (void)name;
    reader *r = self;
    unsigned char block[4096];
    size_t width = storage_bytes[r->current->storage];
    for (int64_t done = 0; done < count;) {
        int64_t n = (int64_t)(sizeof block / width);
        n = n < count - done ? n : count - done;
        NGI_TRY(take(r, block, (size_t)n * width, err));
        for (int64_t i = 0; i < n; i++)
            data[done + i] = (float)stored_value(r->current, block + (size_t)i * width);
        done += n;
    }
    return NG_OK;
}

/* ---- Binding ----------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static ng_status bind_entry(reader *r, ngi_graph *g, const entry *e, ng_error *err)
{
    r->current = e;
    size_t length = strlen(e->name);
    char *name = ngi_strndup(e->name, ends_with(e->name, ":0") ? length - 2 : length);
    if (!name)
        return ngi_fail_memory(err, length);
    int weight = ngi_tfjs_names_find(&r->names, name);
    bool counter = ends_with(name, "/count"); /* Normalization's, of adapt() only */
    ngi_free(name);
    if (weight == -1 && counter)
        return take(r, NULL, (size_t)e->count * storage_bytes[e->storage], err);
    if (weight < 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: weight '%s' of the manifest belongs to %s", r->where, e->name,
                        weight == -1 ? "no layer" : "more than one layer");
    if (r->bound[weight])
        return ngi_fail(err, NG_E_FORMAT, "%s: two weights of the manifest stand for %s", r->where,
                        g->weights[weight].name);
    r->bound[weight] = true;
    ngi_tensor_source source = {r->where, r, entry_shape, entry_read};
    return ngi_bind_weight(g, weight, &source, e->name, err);
}

static ng_status bind_group(reader *r, ngi_graph *g, const json_t *group, ng_error *err)
{
    r->paths = json_object_get(group, "paths");
    r->next_path = 0;
    size_t i;
    json_t *weight;
    json_array_foreach(json_object_get(group, "weights"), i, weight)
    {
        entry e;
        NGI_TRY(read_entry(r->where, weight, &e, err));
        NGI_TRY(bind_entry(r, g, &e, err));
    }
    if (r->shard_used != r->shard_size || r->next_path != json_array_size(r->paths))
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: the shards hold more bytes than the manifest lists: they belong to another "
                        "model",
                        r->where);
    ngi_free(r->shard);
    r->shard = NULL;
    r->shard_size = r->shard_used = 0;
    return NG_OK;
}

static ng_status bind_all(reader *r, ngi_graph *g, const json_t *manifest, ng_error *err)
{
    size_t i;
    json_t *group;
    json_array_foreach(manifest, i, group) NGI_TRY(bind_group(r, g, group, err));
    for (i = 0; i < r->names.count; i++)
        if (!r->bound[r->names.by_path[i].weight])
            return ngi_fail(err, NG_E_NOT_FOUND, "%s: the manifest has no weight for %s", r->where,
                            r->names.by_path[i].name);
    return NG_OK;
}

static ng_status bind_weights(const char *where, const ngi_load_opts *opts, ngi_graph *g,
                              const ngi_keras_layer *root, const json_t *manifest, ng_error *err)
{
    reader r = {.where = where, .opts = opts, .folder = ngi_path_folder(where)};
    r.bound = ngi_alloc_zero((size_t)g->n_weights, sizeof *r.bound);
    ng_status status = r.folder && r.bound ? ngi_tfjs_names_fill(&r.names, g, root, err)
                                           : ngi_fail_memory(err, strlen(where));
    if (status == NG_OK)
        status = bind_all(&r, g, manifest, err);
    ngi_free(r.folder);
    ngi_free(r.shard);
    ngi_tfjs_names_clear(&r.names);
    ngi_free(r.bound);
    return status;
}

/* ---- The format's row -------------------------------------------------------------------------- */

/* Finds the Keras configuration in model.json; *version is borrowed, "" if the file does not say. */
static ng_status find_topology(const char *where, const json_t *root, const json_t **model,
                               const char **version, ng_error *err)
{
    const json_t *topology = json_object_get(root, "modelTopology");
    const char *format = json_string_value(json_object_get(root, "format"));
    if ((format && strcmp(format, "graph-model") == 0) || json_object_get(topology, "node"))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: a TF.js graph model: its layers cannot be read back. Save the Keras "
                        "model as .keras, or convert it with --output_format=tfjs_layers_model",
                        where);
    if (!topology && json_object_get(root, "class_name"))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: a Keras configuration without weights; save the whole model "
                        "(model.save(\"model.keras\"))",
                        where);
    if (!json_is_object(topology))
        return ngi_fail(err, NG_E_FORMAT, "%s: JSON, but not a TF.js layers model: modelTopology is missing",
                        where);
    const json_t *wrapped = json_object_get(topology, "model_config");
    *model = wrapped ? wrapped : topology;
    if (!json_is_object(*model) || !json_object_get(*model, "class_name"))
        return ngi_fail(err, NG_E_FORMAT, "%s: modelTopology has no model configuration", where);
    const char *text = json_string_value(json_object_get(topology, "keras_version"));
    *version = text ? text : "";
    return NG_OK;
}

/* The configuration as text, with the Keras version where the builder looks for it. */
static ng_status config_text(const json_t *model, const char *version, char **text, ng_error *err)
{
    json_t *copy = json_copy((json_t *)model);
    if (copy && *version && json_object_set_new(copy, "keras_version", json_string(version)) != 0) {
        json_decref(copy);
        copy = NULL;
    }
    *text = copy ? json_dumps(copy, JSON_COMPACT) : NULL;
    json_decref(copy);
    return *text ? NG_OK
                 : ngi_fail(err, NG_E_MEMORY, "out of memory: a model configuration could not be copied");
}

static ng_status load_json(const char *where, const json_t *root, const ngi_load_opts *opts,
                           ngi_model_file *out, ng_error *err)
{
    const json_t *model = NULL, *manifest = json_object_get(root, "weightsManifest");
    const char *version = "";
    ngi_load_opts bounded = *opts;
    NGI_TRY(find_topology(where, root, &model, &version, err));
    NGI_TRY(measure_manifest(where, manifest, &bounded.max_values, err));
    out->producer = *version ? ngi_sprintf("Keras %s", version) : ngi_strdup("");
    if (!out->producer)
        return ngi_fail_memory(err, strlen(version));
    char *text;
    NGI_TRY(config_text(model, version, &text, err));
    ngi_keras_layer *tree = NULL;
    ng_status status = ngi_keras_build(where, text, strlen(text), &bounded, &out->graph, &tree, err);
    if (status == NG_OK)
        status = ngi_model_keep_config(out, text, strlen(text), err);
    free(text);
    if (status == NG_OK)
        status = bind_weights(where, opts, out->graph, tree, manifest, err);
    ngi_keras_layer_free(tree);
    return status;
}

/* What netgaze put in, as text again. */
static ng_status read_notes(const json_t *root, char **out, ng_error *err)
{
    const json_t *notes = json_object_get(json_object_get(root, "userDefinedMetadata"), NGI_NOTES_ATTRIBUTE);
    if (!notes)
        return NG_OK;
    char *text = json_dumps(notes, JSON_COMPACT | JSON_ENCODE_ANY);
    *out = text ? ngi_strdup(text) : NULL;
    free(text);
    return *out ? NG_OK : ngi_fail_memory(err, 64);
}

static ng_status load_file(const char *where, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    if (opts->weights)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%s: a TF.js model names its own weights; %s cannot be read onto it", where,
                        opts->weights);
    char *text;
    size_t size;
    ngi_source_note(opts, where);
    NGI_TRY(ngi_file_read(where, NGI_MAX_CONFIG_BYTES, &text, &size, err));
    json_t *root = NULL;
    ng_status status = ngi_json_parse(where, text, size, &root, err);
    if (status == NG_OK)
        status = load_json(where, root, opts, out, err);
    if (status == NG_OK)
        status = read_notes(root, &out->notes, err);
    json_decref(root);
    if (status == NG_OK)
        status = ngi_model_hash(text, size, out->graph, out->hash, err);
    ngi_free(text);
    if (status == NG_OK && !(out->architecture = ngi_strdup(ngi_architecture_of(out->graph))))
        status = ngi_fail_memory(err, 64);
    return status;
}

static ng_status load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    out->format = ngi_format_tfjs.name;
    if (!ngi_path_is_directory(path))
        return load_file(path, opts, out, err);
    char *inside = ngi_path_join(path, "model.json");
    if (!inside)
        return ngi_fail_memory(err, strlen(path));
    ng_status status = load_file(inside, opts, out, err);
    ngi_free(inside);
    return status;
}

/* A folder with model.json, or a file whose first character opens a JSON object. */
static bool matches(const char *path)
{
    if (ngi_path_is_directory(path)) {
        char *inside = ngi_path_join(path, "model.json");
        bool found = inside && ngi_path_exists(inside);
        ngi_free(inside);
        return found;
    }
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    int c = getc(file);
    for (int skipped = 0; (c == ' ' || c == '\t' || c == '\r' || c == '\n') && skipped < 64; skipped++)
        c = getc(file);
    fclose(file);
    return c == '{';
}

const ngi_format ngi_format_tfjs = {"tfjs", matches, load};
