/* TensorFlow.js layers models: model.json and shards of 4 MB, as tensorflowjs's converter writes them (converters/common.py,
 * write_weights.py), quantised as its quantization.py does. A folder is made under a temporary name, then renamed. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/save_target.h"

#define SHARD_BYTES ((size_t)4 << 20)

/* ---- Numbers ----------------------------------------------------------------------------------- */

/* Round to nearest, ties to even; false past float16's range. */
static bool to_half(float value, uint16_t *out)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    double scaled = fabs((double)value) * 16777216.0; /* 2^24: subnormal steps */
    if (magnitude < 0x38800000) {                     /* below 2^-14 */
        *out = (uint16_t)(sign | (uint32_t)nearbyint(scaled));
        return true;
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    *out = (uint16_t)(sign | (rounded - 0x38000000) >> 13);
    return rounded < 0x47800000; /* 2^16 */
}

/* The range of a weight, moved so that zero is one of the steps where it lies inside. */
static void find_steps(const float *x, int64_t n, double *scale, double *min)
{
    float low = 0, high = 0;
    if (n > 0)
        ngi_min_max(x, n, &low, &high);
    *min = low;
    *scale = low == high ? 1 : ((double)high - low) / 255;
    if (low != high && low <= 0 && high >= 0)
        *min = -nearbyint(-(double)low / *scale) * *scale;
}

static uint8_t to_step(float x, double scale, double min)
{
    double step = nearbyint((x - min) / scale);
    return (uint8_t)(step < 0 ? 0 : step > 255 ? 255 : step);
}

static ng_status add_halves(ngi_buffer *b, const ngi_weight *w, int64_t n, ng_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        if (!to_half(w->data[i], &half))
            return ngi_fail(err, NG_E_ARGUMENT,
                            "%s: value %lld is %g, which float16 cannot hold; save as float32", w->name,
                            (long long)i, (double)w->data[i]);
        unsigned char bytes[2] = {(unsigned char)half, (unsigned char)(half >> 8)};
        NGI_TRY(ngi_buffer_add(b, bytes, 2, err));
    }
    return NG_OK;
}

static ng_status add_floats(ngi_buffer *b, const ngi_weight *w, int64_t n, ng_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &w->data[i], sizeof bits);
        unsigned char bytes[4] = {(unsigned char)bits, (unsigned char)(bits >> 8),
                                  (unsigned char)(bits >> 16), (unsigned char)(bits >> 24)};
        NGI_TRY(ngi_buffer_add(b, bytes, 4, err));
    }
    return NG_OK;
}

static ng_status add_steps(ngi_buffer *b, const ngi_weight *w, int64_t n, double scale, double min,
                           ng_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        uint8_t step = to_step(w->data[i], scale, min);
        NGI_TRY(ngi_buffer_add(b, &step, 1, err));
    }
    return NG_OK;
}

/* ---- The manifest ------------------------------------------------------------------------------ */

static json_t *shape_list(const ngi_shape *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->rank; i++)
        json_array_append_new(list, json_integer(s->dim[i]));
    return list;
}

static ng_status add_weight(const ngi_saving *s, const ngi_flat_layer *l, int k, json_t *entries,
                            ngi_buffer *b, ng_error *err)
{
    const ngi_weight *w = ngi_flat_weight(l, k, s->graph);
    int64_t n = ngi_shape_count(&w->shape);
    char *name = ngi_sprintf("%s/%s", l->name, ngi_saved_variable(s, l, k));
    json_t *entry =
        name ? json_pack("{s:s, s:o, s:s}", "name", name, "shape", shape_list(&w->shape), "dtype", "float32")
             : NULL;
    ngi_free(name);
    if (json_array_append_new(entries, entry) != 0)
        return ngi_fail_memory(err, 64);
    if (strcmp(s->dtype, "float32") == 0)
        return add_floats(b, w, n, err);
    if (strcmp(s->dtype, "float16") == 0) {
        json_object_set_new(entry, "quantization",
                            json_pack("{s:s, s:s}", "dtype", "float16", "original_dtype", "float32"));
        return add_halves(b, w, n, err);
    }
    double scale, min;
    find_steps(w->data, n, &scale, &min);
    json_object_set_new(entry, "quantization",
                        json_pack("{s:s, s:f, s:f, s:s}", "dtype", "uint8", "min", min, "scale", scale,
                                  "original_dtype", "float32"));
    return add_steps(b, w, n, scale, min, err);
}

static ng_status collect(const ngi_saving *s, json_t *entries, ngi_buffer *b, ng_error *err)
{
    for (int i = 0; i < s->flat->n_layers; i++)
        for (int k = 0; k < s->flat->layers[i].n_weights; k++)
            NGI_TRY(add_weight(s, &s->flat->layers[i], k, entries, b, err));
    return NG_OK;
}

/* ---- Files ------------------------------------------------------------------------------------- */

static ng_status save_member(const char *folder, const char *name, const void *bytes, size_t size,
                             ng_error *err)
{
    char *path = ngi_path_join(folder, name);
    ng_status status = path ? ng_file_save(path, bytes, size, err) : ngi_fail_memory(err, strlen(name));
    ngi_free(path);
    return status;
}

static ng_status save_shards(const char *folder, const ngi_buffer *b, json_t *paths, ng_error *err)
{
    size_t n = (b->size + SHARD_BYTES - 1) / SHARD_BYTES;
    for (size_t i = 0; i < n; i++) {
        char name[64];
        size_t left = b->size - i * SHARD_BYTES;
        snprintf(name, sizeof name, "group1-shard%zuof%zu.bin", i + 1, n);
        if (json_array_append_new(paths, json_string(name)) != 0)
            return ngi_fail_memory(err, 64);
        NGI_TRY(save_member(folder, name, b->data + i * SHARD_BYTES, left < SHARD_BYTES ? left : SHARD_BYTES,
                            err));
    }
    return NG_OK;
}

/* Takes over paths and entries. */
static ng_status save_model(const ngi_saving *s, const char *folder, json_t *paths, json_t *entries,
                            ng_error *err)
{
    json_t *config = json_loadb(s->config, s->config_size, 0, NULL);
    json_t *manifest = json_pack("[{s:o, s:o}]", "paths", paths, "weights", entries);
    json_t *topology = json_pack("{s:s, s:s, s:o}", "keras_version", "2.15.0", "backend", "tensorflow",
                                 "model_config", config);
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:O}}", "format", "layers-model", "generatedBy",
                  "keras v2.15.0", "convertedBy", "netgaze", "modelTopology", topology, "weightsManifest",
                  manifest, "userDefinedMetadata", NGI_NOTES_ATTRIBUTE, s->notes);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    ng_status status =
        text ? save_member(folder, "model.json", text, strlen(text), err) : ngi_fail_memory(err, 64);
    free(text);
    json_decref(root);
    return status;
}

static ng_status fill_folder(const ngi_saving *s, const char *folder, ng_error *err)
{
    json_t *entries = json_array(), *paths = json_array();
    ngi_buffer b = {0};
    ng_status status = entries && paths ? collect(s, entries, &b, err) : ngi_fail_memory(err, 64);
    if (status == NG_OK)
        status = save_shards(folder, &b, paths, err);
    ngi_buffer_clear(&b);
    if (status == NG_OK)
        return save_model(s, folder, paths, entries, err);
    json_decref(entries);
    json_decref(paths);
    return status;
}

/* Of the files that were written into it. */
static void remove_folder(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = ngi_path_join(folder, e->d_name);
        if (path && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(path);
        ngi_free(path);
    }
    if (d)
        closedir(d);
    rmdir(folder);
}

ng_status ngi_saved_before(const char *path, ng_error *err)
{
    return ngi_fail(
        err, NG_E_IO,
        "%s: is there already; a TensorFlow.js model is written into a new folder, or an empty one", path);
}

static ng_status settle(const char *temporary, const char *path, ng_error *err)
{
    if (rename(temporary, path) == 0)
        return NG_OK;
    int cause = errno;
    if (cause == ENOTEMPTY || cause == EEXIST || cause == ENOTDIR)
        return ngi_saved_before(path, err);
    return ngi_fail(err, NG_E_IO, "%s: cannot be written: %s", path, strerror(cause));
}

ng_status ngi_save_tfjs(const ngi_saving *s, ng_error *err)
{
    size_t n = strlen(s->path);
    while (n > 1 && s->path[n - 1] == '/')
        n--;
    char *path = ngi_strndup(s->path, n);
    char *temporary = path ? ngi_sprintf("%s.tmp-%ld", path, (long)getpid()) : NULL;
    ng_status status = NG_OK;
    if (!temporary)
        status = ngi_fail_memory(err, n);
    else if (mkdir(temporary, 0777) != 0)
        status = ngi_fail(err, NG_E_IO, "%s: cannot be written: %s", path, strerror(errno));
    else {
        status = fill_folder(s, temporary, err);
        if (status == NG_OK)
            status = settle(temporary, path, err);
        if (status != NG_OK)
            remove_folder(temporary);
    }
    ngi_free(path);
    ngi_free(temporary);
    return status;
}
