/* The dispatcher: picks a reader by content, and says what a file is when no reader takes it. */
#include "format/format.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "format/model_cache.h"
#include "format/notes.h"

static const ngi_format *const formats[] = {&ngi_format_architecture, &ngi_format_keras, &ngi_format_h5,
                                            &ngi_format_tfjs};

bool ngi_file_peek(const char *path, char *bytes, size_t size)
{
    if (ngi_path_is_directory(path))
        return false;
    FILE *f = fopen(path, "rbe");
    if (!f)
        return false;
    size_t got = fread(bytes, 1, size, f);
    fclose(f);
    return got > 0;
}

ng_status ngi_model_hash(const char *config, size_t size, const ngi_graph *g, char hex[NGI_HASH_TEXT],
                         ng_error *err)
{
    ngi_hash h;
    NGI_TRY(ngi_hash_init(&h, err));
    ngi_hash_add(&h, config, size);
    for (int i = 0; i < g->n_weights; i++)
        ngi_hash_add(&h, g->weights[i].data, (size_t)ngi_shape_count(&g->weights[i].shape) * sizeof(float));
    ngi_hash_finish(&h, hex);
    return NG_OK;
}

/* ---- The dispatcher ---------------------------------------------------------------------------- */

static bool folder_holds(const char *folder, const char *name)
{
    char *path = ngi_path_join(folder, name);
    bool holds = path && ngi_path_exists(path);
    ngi_free(path);
    return holds;
}

/* A SavedModel that Keras 2 or tf_keras saved has the layers in keras_metadata.pb; one that was exported for serving has only
 * TensorFlow's operations, from which no converter gets the layers back. */
static ng_status refuse_folder(const char *path, ng_error *err)
{
    if (!folder_holds(path, "saved_model.pb"))
        return ngi_fail(
            err, NG_E_FORMAT,
            "%s: a folder without a model.json; expected a .keras or .h5 file, or the folder of a "
            "TensorFlow.js layers model",
            path);
    if (folder_holds(path, "keras_metadata.pb"))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: a folder with a TensorFlow SavedModel, which is not read. Convert it: python -c "
                        "\"import tf_keras; tf_keras.models.load_model('DIR').save('model.h5')\"",
                        path);
    return ngi_fail(
        err, NG_E_UNSUPPORTED,
        "%s: a folder with a TensorFlow SavedModel without Keras's layers (no keras_metadata.pb), "
        "which can't be converted. Save the Keras model that it was exported from: "
        "model.save('model.keras')",
        path);
}

static bool is_named_onnx(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && strcasecmp(dot, ".onnx") == 0;
}

static ng_status refuse(const char *path, ng_error *err)
{
    char first[16] = {0};
    if (!ngi_path_exists(path))
        return ngi_fail(err, NG_E_NOT_FOUND,
                        "%s: no such file or folder, and not a built-in architecture (inception_v3)", path);
    if (ngi_path_is_directory(path))
        return refuse_folder(path, err);
    if (!ngi_file_peek(path, first, sizeof first - 1))
        return ngi_fail(err, NG_E_FORMAT, "%s: the file is empty (0 bytes) or cannot be read", path);
    if (is_named_onnx(path))
        return ngi_fail(
            err, NG_E_UNSUPPORTED,
            "%s: an ONNX model, which is not read: it holds operators and not Keras's layers. Save "
            "the Keras model that it was exported from: model.save('model.keras')",
            path);
    return ngi_fail(err, NG_E_FORMAT,
                    "%s: not a model: expected a .keras archive (zip), a Keras .h5 file (HDF5) or a "
                    "TensorFlow.js model.json; the file begins with 0x%02x%02x%02x%02x",
                    path, first[0] & 255, first[1] & 255, first[2] & 255, first[3] & 255);
}

const char *ngi_format_name(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(name, formats[i]->name) == 0)
            return formats[i]->name;
    return NULL;
}

ng_status ngi_model_keep_config(ngi_model_file *f, const char *config, size_t size, ng_error *err)
{
    f->config = ngi_strndup(config, size);
    f->config_size = size;
    return f->config ? NG_OK : ngi_fail_memory(err, size);
}

/* By the reader of its format; then into the cache. */
static ng_status read_model(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    ngi_sources sources = {0};
    ngi_load_opts noting = *opts;
    noting.sources = opts->cache ? &sources : NULL;
    if (!ngi_path_is_directory(path))
        ngi_source_note(&noting, path); /* an architecture's name: that there is no such file */
    if (opts->weights)
        ngi_source_note(&noting, opts->weights);
    size_t i = 0, n = sizeof formats / sizeof *formats;
    while (i < n && !formats[i]->matches(path))
        i++;
    ng_status status = i < n ? formats[i]->load(path, &noting, out, err) : refuse(path, err);
    if (status == NG_OK && opts->cache)
        ngi_model_cache_save(path, opts, &sources, out);
    ngi_sources_clear(&sources);
    return status;
}

ng_status ngi_model_file_load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    static const ngi_load_opts none;
    *out = (ngi_model_file){0};
    opts = opts ? opts : &none;
    ng_status status = ngi_model_cache_load(path, opts, out);
    if (status != NG_OK)
        status = read_model(path, opts, out, err);
    if (status == NG_E_SHAPE && opts->input_height > 0)
        ngi_error_prefix(
            err,
            "with an input of %dx%d (a Flatten before a Dense layer, or weights that lie over the "
            "image, want the size that the model was made for)",
            opts->input_height, opts->input_width);
    if (status == NG_OK)
        status = ngi_notes_load(path, out, err);
    if (status != NG_OK)
        ngi_model_file_clear(out);
    return status;
}

void ngi_model_file_clear(ngi_model_file *f)
{
    ngi_graph_free(f->graph);
    ngi_free(f->producer);
    ngi_free(f->architecture);
    ngi_free(f->preprocess);
    ngi_free(f->config);
    ngi_free(f->notes);
    ngi_labels_free(f->labels, f->n_labels);
    *f = (ngi_model_file){0};
}
