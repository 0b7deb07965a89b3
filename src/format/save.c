/* Saving a model: the common part. The model is laid flat for its target, its configuration printed, and the format's writer
 * called, which puts everything under a temporary name first. */
#include "format/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "format/save_target.h"
#include "nn/preprocess.h"

typedef struct target {
    const char *format, *ending;
    ngi_dialect dialect;
    ngi_save_function *save;
} target;

static const target targets[] = {
    {"keras", ".keras", NGI_DIALECT_KERAS3, ngi_save_keras},
    {"h5", ".h5", NGI_DIALECT_KERAS2, ngi_save_h5},
    {"h5", ".hdf5", NGI_DIALECT_KERAS2, ngi_save_h5},
    {"tfjs", NULL, NGI_DIALECT_TFJS, ngi_save_tfjs},
};

#define N_TARGETS (sizeof targets / sizeof *targets)

static ng_status find_target(const char *path, const ngi_save_opts *opts, const target **out, ng_error *err)
{
    const char *dot = strrchr(path, '.');
    *out = NULL;
    for (size_t i = 0; i < N_TARGETS && !*out; i++) {
        bool by_name = opts->format && strcmp(opts->format, targets[i].format) == 0;
        bool by_ending =
            !opts->format && (!targets[i].ending || (dot && strcasecmp(dot, targets[i].ending) == 0));
        if (by_name || by_ending)
            *out = &targets[i];
    }
    if (!*out)
        return ngi_fail(err, NG_E_ARGUMENT, "format '%.40s' is not written; keras, h5 and tfjs are",
                        opts->format);
    bool plain = !opts->dtype || strcmp(opts->dtype, "float32") == 0;
    if (!plain && strcmp(opts->dtype, "float16") != 0 && strcmp(opts->dtype, "uint8") != 0)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "weights of type '%.40s' are not written; float32, float16 and uint8 are",
                        opts->dtype);
    if (!plain && (*out)->save != ngi_save_tfjs)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "weights are quantised in TensorFlow.js models only; '%s' is float32",
                        (*out)->format);
    return NG_OK;
}

const char *ngi_saved_variable(const ngi_saving *s, const ngi_flat_layer *l, int k)
{
    static const struct {
        const char *class_name, *name, *written;
    } renamed[] = {
        {"DepthwiseConv2D", "kernel", "depthwise_kernel"}, /* Keras 3's name: kernel */
        {"BatchNormalization", "mean", "moving_mean"},     /* a Normalization that is written as one */
        {"BatchNormalization", "variance", "moving_variance"},
    };
    const char *name = ngi_flat_weight(l, k, s->graph)->name, *slash = strrchr(name, '/');
    name = slash ? slash + 1 : name;
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (strcmp(l->class_name, renamed[i].class_name) == 0 && strcmp(name, renamed[i].name) == 0)
            return renamed[i].written;
    return name;
}

char *ngi_saved_notes(const ngi_saving *s)
{
    return json_dumps(s->notes, JSON_INDENT(1));
}

/* What the caller says, else what the model says, else what its architecture is known for: once it is laid flat, the names
 * that told the architecture may be gone. */
static ng_status make_notes(const ngi_model_file *file, const ngi_save_opts *opts, json_t **out,
                            ng_error *err)
{
    const char *preprocess = opts->preprocess ? opts->preprocess : file->preprocess;
    ngi_preprocess mode;
    if (preprocess && strcmp(preprocess, "auto") != 0)
        NGI_TRY(ngi_preprocess_find(preprocess, &mode, err));
    if (!preprocess && file->architecture && !ngi_graph_has_preprocessing(file->graph) &&
        ngi_preprocess_of_architecture(file->architecture, &mode))
        preprocess = ngi_preprocess_name(mode);
    char *const *labels = opts->labels ? opts->labels : file->labels;
    return ngi_notes_make(labels, opts->labels ? opts->n_labels : file->n_labels, preprocess, out, err);
}

/* What was printed is read again before anything is written: as many layers, each with its weights. */
static ng_status check_config(const ngi_model_file *file, const ngi_saving *s, ng_error *err)
{
    ngi_keras_source again;
    const ngi_model_file printed = {
        .graph = file->graph, .config = (char *)s->config, .config_size = s->config_size};
    ng_status status = ngi_file_open(&printed, &again, err);
    for (int i = 0; i < s->flat->n_layers && status == NG_OK; i++)
        if (again.tree->n_children != s->flat->n_layers ||
            again.tree->children[i].n_weights != s->flat->layers[i].n_weights)
            status = ngi_fail(err, NG_E_INTERNAL, "%s: layer '%s' would not be read as it was", s->path,
                              s->flat->layers[i].name);
    ngi_keras_close(&again);
    return status;
}

/* Whether something can be put there. */
static ng_status check_place(const target *t, const char *path, ng_error *err)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *whole = ngi_strndup(path, n), *folder = whole ? ngi_path_folder(whole) : NULL;
    ng_status status = NG_OK;
    if (!folder)
        status = ngi_fail_memory(err, n);
    else if (access(folder, W_OK | X_OK) != 0)
        status = ngi_fail(err, NG_E_IO, "%s: cannot be written: %s: %s", path, folder, strerror(errno));
    else if (t->ending && ngi_path_is_directory(whole))
        status = ngi_fail(err, NG_E_IO, "%s: is a directory, expected the name of a file", path);
    else if (!t->ending && ngi_path_exists(whole) && !ngi_path_is_empty(whole))
        status = ngi_saved_before(path, err);
    ngi_free(whole);
    ngi_free(folder);
    return status;
}

/* write: false: everything but that. */
static ng_status save_flat(const ngi_model_file *file, const ngi_flat *flat, const target *t,
                           const char *path, const ngi_save_opts *opts, bool write, ng_error *err)
{
    char *config;
    json_t *notes = NULL;
    ngi_saving s = {.path = path, .graph = file->graph, .flat = flat};
    s.dtype = opts->dtype ? opts->dtype : "float32";
    NGI_TRY(ngi_flat_print(flat, true, &config, &s.config_size, err));
    s.config = config;
    ng_status status = check_config(file, &s, err);
    if (status == NG_OK)
        status = make_notes(file, opts, &notes, err);
    s.notes = notes;
    if (status == NG_OK)
        status = write ? t->save(&s, err) : check_place(t, path, err);
    json_decref(notes);
    ngi_free(config);
    return status;
}

static ng_status save(const ngi_model_file *file, const char *path, const ngi_save_opts *opts, bool write,
                      ng_error *err)
{
    static const ngi_save_opts none;
    const target *t;
    ngi_keras_source source;
    ngi_flat flat = {0};
    opts = opts ? opts : &none;
    NGI_TRY(find_target(path, opts, &t, err));
    ng_status status = ngi_file_source(file, &source, err);
    if (status == NG_OK)
        status = ngi_flat_init(&flat, &source, t->dialect, err);
    if (status == NG_OK)
        status = ngi_flat_finish(&flat, err);
    if (status == NG_OK)
        status = save_flat(file, &flat, t, path, opts, write, err);
    ngi_flat_clear(&flat);
    ngi_keras_close(&source);
    return status;
}

ng_status ngi_model_save(const ngi_model_file *file, const char *path, const ngi_save_opts *opts,
                         ng_error *err)
{
    return save(file, path, opts, true, err);
}

ng_status ngi_model_check_save(const ngi_model_file *file, const char *path, const ngi_save_opts *opts,
                               ng_error *err)
{
    return save(file, path, opts, false, err);
}
