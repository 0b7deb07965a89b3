/* Built-in architectures by name, with weights from a file: the one named in the options, else what Keras
 * itself has downloaded to ~/.keras/models (or $KERAS_HOME/models). */
#include "format/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLASSES 1000000

typedef struct architecture {
    const char *name;
    int side, least_side;
    const char *files[2]; /* with and without the classifier */
    ng_status (*config)(int classes, int height, int width, ngi_buffer *out, ng_error *err);
} architecture;

static const architecture architectures[] = {
    {"inception_v3",
     299,
     75,
     {"inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
      "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"},
     ngi_inception_v3_config},
};

static const architecture *find(const char *name)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strcmp(name, architectures[i].name) == 0)
            return &architectures[i];
    return NULL;
}

/* A file or folder of that name comes first. */
static bool matches(const char *path)
{
    return find(path) && !ngi_path_exists(path);
}

/* ---- Weights ----------------------------------------------------------------------------------- */

/* The folder that Keras downloads to. */
static char *keras_models(void)
{
    const char *keras = getenv("KERAS_HOME"), *home = getenv("HOME");
    if (keras && *keras)
        return ngi_path_join(keras, "models");
    return ngi_sprintf("%s/.keras/models", home && *home ? home : ".");
}

static ng_status find_weights(const architecture *a, const ngi_load_opts *opts, char **out, ng_error *err)
{
    if (opts->weights) {
        *out = ngi_strdup(opts->weights);
        return *out ? NG_OK : ngi_fail_memory(err, strlen(opts->weights));
    }
    char *folder = keras_models(), *path = NULL;
    ng_status status = folder ? NG_E_NOT_FOUND : ngi_fail_memory(err, 64);
    for (int i = 0; i < 2 && status == NG_E_NOT_FOUND; i++) {
        ngi_free(path);
        path = ngi_path_join(folder, a->files[i]);
        if (!path)
            status = ngi_fail_memory(err, 64);
        else {
            ngi_source_note(opts, path);
            if (ngi_path_exists(path))
                status = NG_OK;
        }
    }
    if (status == NG_E_NOT_FOUND)
        ngi_fail(
            err, status,
            "%s: no weights: looked for %s and %s in %s. Let Keras download them: python3 -c \"import keras; "
            "keras.applications.InceptionV3()\", or give a file with --weights",
            a->name, a->files[0], a->files[1], folder);
    ngi_free(folder);
    if (status != NG_OK) {
        ngi_free(path);
        return status;
    }
    *out = path;
    return NG_OK;
}

/* ---- The row ----------------------------------------------------------------------------------- */

static ng_status open_weights(const char *path, char **bytes, ngi_h5 **h, ng_error *err)
{
    if (!ngi_is_zip(path))
        return ngi_h5_open(path, h, err);
    size_t size;
    NGI_TRY(ngi_archive_weights(path, bytes, &size, err));
    return ngi_h5_open_image(path, *bytes, size, h, err);
}

static ng_status read_net(const architecture *a, ngi_h5 *h, const ngi_load_opts *opts, ngi_buffer *config,
                          ngi_model_file *out, ng_error *err)
{
    int height = opts->input_height ? opts->input_height : a->side;
    int width = opts->input_width ? opts->input_width : a->side;
    if (height < a->least_side || width < a->least_side)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: an input of %d x %d; at least %d x %d is needed", a->name,
                        width, height, a->least_side, a->least_side);
    int64_t classes;
    NGI_TRY(ngi_h5_classes(h, &classes, err));
    if (classes > MAX_CLASSES)
        return ngi_fail(err, NG_E_LIMIT, "%s: %lld classes", ngi_h5_where(h), (long long)classes);
    NGI_TRY(a->config((int)classes, height, width, config, err));
    ngi_keras_layer *root;
    NGI_TRY(ngi_keras_build(a->name, config->data, config->size, opts, &out->graph, &root, err));
    ng_status status = ngi_h5_bind(h, out->graph, root, err);
    ngi_keras_layer_free(root);
    if (status == NG_OK)
        status = ngi_model_hash(config->data, config->size, out->graph, out->hash, err);
    if (status == NG_OK)
        status = ngi_model_keep_config(out, config->data, config->size, err);
    return status;
}

static ng_status load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    static const ngi_load_opts no_opts;
    const architecture *a = find(path);
    char *weights, *bytes = NULL, *version = NULL;
    size_t size;
    ngi_h5 *h = NULL;
    ngi_buffer config = {0};
    opts = opts ? opts : &no_opts;
    NGI_TRY(find_weights(a, opts, &weights, err));
    ng_status status = open_weights(weights, &bytes, &h, err);
    if (status == NG_OK)
        status = read_net(a, h, opts, &config, out, err);
    if (status == NG_OK)
        status = ngi_h5_text(h, "/", "keras_version", &version, &size, err);
    if (status == NG_OK) {
        out->format = "architecture";
        out->producer = version ? ngi_sprintf("Keras %s", version) : ngi_strdup("");
        out->architecture = ngi_strdup(a->name);
        if (!out->producer || !out->architecture)
            status = ngi_fail_memory(err, 64);
    }
    ngi_free(version);
    ngi_buffer_clear(&config);
    ngi_h5_close(h);
    ngi_free(bytes);
    ngi_free(weights);
    return status;
}

const ngi_format ngi_format_architecture = {"architecture", matches, load};
