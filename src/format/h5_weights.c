/* Weights from HDF5, whichever of Keras's layouts the file has, and the row of whole models in HDF5. */
#include "format/h5.h"
#include "format/notes.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- One weight -------------------------------------------------------------------------------- */

static ng_status source_shape(void *self, const char *name, ngi_shape *shape, ng_error *err)
{
    bool integer;
    return ngi_h5_shape(self, name, shape, &integer, err);
}

static ng_status source_read(void *self, const char *name, float *data, int64_t count, ng_error *err)
{
    return ngi_h5_read(self, name, data, count, err);
}

ng_status ngi_h5_bind_one(ngi_h5 *h, ngi_graph *g, int weight, const char *path, ng_error *err)
{
    ngi_tensor_source source = {ngi_h5_where(h), h, source_shape, source_read};
    return ngi_bind_weight(g, weight, &source, path, err);
}

/* ---- Layouts ----------------------------------------------------------------------------------- */

typedef enum layout {
    LAYOUT_LEGACY,    /* layer groups at the root: save_weights of Keras 2 */
    LAYOUT_MODEL,     /* layer groups in /model_weights: a whole model */
    LAYOUT_VARIABLES, /* layers/<class>/vars/<i>: .weights.h5 */
} layout;

static ng_status find_layout(ngi_h5 *h, layout *out, ng_error *err)
{
    ngi_names names;
    bool legacy;
    ngi_h5_kind model;
    NGI_TRY(ngi_h5_names(h, "/", "layer_names", &names, &legacy, err));
    ngi_names_clear(&names);
    NGI_TRY(ngi_h5_find(h, "/model_weights", &model, err));
    *out = legacy ? LAYOUT_LEGACY : model == NGI_H5_GROUP ? LAYOUT_MODEL : LAYOUT_VARIABLES;
    return NG_OK;
}

ng_status ngi_h5_bind(ngi_h5 *h, ngi_graph *g, const ngi_keras_layer *root, ng_error *err)
{
    layout found;
    NGI_TRY(find_layout(h, &found, err));
    if (found == LAYOUT_VARIABLES)
        return ngi_h5_bind_variables(h, g, root, err);
    return ngi_h5_bind_legacy(h, found == LAYOUT_LEGACY ? "/" : "/model_weights", g, root, err);
}

/* ---- The classifier ---------------------------------------------------------------------------- */

/* Width of the matrix at `path`; 0: it is none. */
static ng_status matrix_width(ngi_h5 *h, const char *path, int64_t *out, ng_error *err)
{
    ngi_shape shape;
    bool integer;
    NGI_TRY(ngi_h5_shape(h, path, &shape, &integer, err));
    if (shape.rank == 2 && !integer)
        *out = shape.dim[1];
    return NG_OK;
}

/* Of the last layer that has weights. */
static ng_status last_matrix(ngi_h5 *h, const char *parent, const ngi_names *layers, int64_t *out,
                             ng_error *err)
{
    bool done = false;
    ng_status status = NG_OK;
    for (size_t i = layers->count; i > 0 && !done && status == NG_OK; i--) {
        ngi_names weights = {0};
        bool found;
        char *group = ngi_sprintf("%s/%s", parent, layers->items[i - 1]);
        status =
            group ? ngi_h5_names(h, group, "weight_names", &weights, &found, err) : ngi_fail_memory(err, 64);
        done = weights.count > 0;
        for (size_t k = 0; k < weights.count && status == NG_OK && *out == 0; k++) {
            char *path = ngi_sprintf("%s/%s", group, weights.items[k]);
            status = path ? matrix_width(h, path, out, err) : ngi_fail_memory(err, 64);
            ngi_free(path);
        }
        ngi_names_clear(&weights);
        ngi_free(group);
    }
    return status;
}

ng_status ngi_h5_classes(ngi_h5 *h, int64_t *classes, ng_error *err)
{
    static const char dense[] = "/layers/dense/vars/0";
    *classes = 0;
    layout found;
    NGI_TRY(find_layout(h, &found, err));
    if (found == LAYOUT_VARIABLES) {
        ngi_h5_kind kind;
        NGI_TRY(ngi_h5_find(h, dense, &kind, err));
        return kind == NGI_H5_DATASET ? matrix_width(h, dense, classes, err) : NG_OK;
    }
    const char *parent = found == LAYOUT_LEGACY ? "" : "/model_weights";
    ngi_names layers;
    bool any;
    NGI_TRY(ngi_h5_names(h, parent, "layer_names", &layers, &any, err));
    ng_status status = last_matrix(h, parent, &layers, classes, err);
    ngi_names_clear(&layers);
    return status;
}

/* ---- Weight files ------------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static ng_status bind_archive(const char *path, ngi_graph *g, const ngi_keras_layer *root, ng_error *err)
{
    char *bytes;
    size_t size;
    NGI_TRY(ngi_archive_weights(path, &bytes, &size, err));
    ngi_h5 *h = NULL;
    ng_status status = ngi_h5_open_image(path, bytes, size, &h, err);
    if (status == NG_OK)
        status = ngi_h5_bind(h, g, root, err);
    ngi_h5_close(h);
    ngi_free(bytes);
    return status;
}

ng_status ngi_weights_bind(const char *path, ngi_graph *g, const ngi_keras_layer *root, ng_error *err)
{
    if (ends_with(path, ".weights.json"))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: weights in several files (shards) are not read; save them into one with "
                        "model.save_weights('model.weights.h5')",
                        path);
    if (ngi_is_zip(path))
        return bind_archive(path, g, root, err);
    ngi_h5 *h = NULL;
    NGI_TRY(ngi_h5_open(path, &h, err));
    ng_status status = ngi_h5_bind(h, g, root, err);
    ngi_h5_close(h);
    return status;
}

int64_t ngi_weights_capacity(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return 0;
    /* At least a byte a number, except where gzip has shrunk them; the rest is for small nets of equal
     * numbers. */
    return 4 * (int64_t)info.st_size + 65536;
}

/* ---- The row of whole models ------------------------------------------------------------------- */

static bool matches(const char *path)
{
    char first[8] = {0};
    return ngi_file_peek(path, first, sizeof first) && memcmp(first, "\x89HDF\r\n\x1a\n", 8) == 0;
}

static ng_status no_configuration(ngi_h5 *h, const char *path, ng_error *err)
{
    char *shard_names;
    size_t size;
    NGI_TRY(ngi_h5_text(h, "/", "sharding_config", &shard_names, &size, err));
    ngi_free(shard_names);
    if (shard_names)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: a shard of a model's weights; save the model into one file", path);
    return ngi_fail(err, NG_E_FORMAT,
                    "%s: no model_config: the file holds weights without a model. Give the model they "
                    "belong to, e.g. --model inception_v3 --weights %s, or save with model.save()",
                    path, path);
}

static ng_status read_model(ngi_h5 *h, const char *path, const ngi_load_opts *opts, ngi_model_file *out,
                            ng_error *err)
{
    char *config, *version = NULL;
    size_t size, version_size;
    ngi_load_opts limits = opts ? *opts : (ngi_load_opts){0};
    ngi_keras_layer *root = NULL;
    limits.max_values = ngi_weights_capacity(limits.weights ? limits.weights : path);
    NGI_TRY(ngi_h5_text(h, "/", "model_config", &config, &size, err));
    if (!config)
        return no_configuration(h, path, err);
    ng_status status = ngi_h5_text(h, "/", "keras_version", &version, &version_size, err);
    if (status == NG_OK)
        status = ngi_h5_text(h, "/", NGI_NOTES_ATTRIBUTE, &out->notes, &version_size, err);
    if (status == NG_OK)
        status = ngi_keras_build(path, config, size, &limits, &out->graph, &root, err);
    if (status == NG_OK)
        status = limits.weights ? ngi_weights_bind(limits.weights, out->graph, root, err)
                                : ngi_h5_bind(h, out->graph, root, err);
    if (status == NG_OK)
        status = ngi_model_hash(config, size, out->graph, out->hash, err);
    if (status == NG_OK)
        status = ngi_model_keep_config(out, config, size, err);
    if (status == NG_OK) {
        out->format = "h5";
        out->producer = version ? ngi_sprintf("Keras %s", version) : ngi_strdup("");
        out->architecture = ngi_strdup(ngi_architecture_of(out->graph));
        if (!out->producer || !out->architecture)
            status = ngi_fail_memory(err, 64);
    }
    ngi_keras_layer_free(root);
    ngi_free(version);
    ngi_free(config);
    return status;
}

static ng_status load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    ngi_h5 *h = NULL;
    NGI_TRY(ngi_h5_open(path, &h, err));
    ng_status status = read_model(h, path, opts, out, err);
    ngi_h5_close(h);
    return status;
}

const ngi_format ngi_format_h5 = {"h5", matches, load};
