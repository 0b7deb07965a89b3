/* Picks the reader of a model by content, reads the optional netgaze.json beside the model, and names what is wrong
 * with paths that are no model. */
#include "format/format.h"
#include "format/json.h"

#include <stdio.h>
#include <string.h>

#define SETTINGS_MAX_BYTES ((size_t)64 << 20)

/* Content first; built-in architectures are names, and only where no file has that name. */
static const ngi_format *const formats[] = {&ngi_format_keras, &ngi_format_h5, &ngi_format_tfjs,
                                            &ngi_format_architecture};

void ngi_model_file_clear(ngi_model_file *f)
{
    ngi_graph_free(f->graph);
    ngi_free(f->producer);
    ngi_free(f->architecture);
    ngi_free(f->preprocess);
    ngi_labels_free(f->labels, f->n_labels);
    *f = (ngi_model_file){0};
}

ng_status ngi_model_file_hash(ngi_model_file *f, const char *config, size_t size, ng_error *err)
{
    ngi_hash hash;
    NGI_TRY(ngi_hash_init(&hash, err));
    ngi_hash_add(&hash, config, size);
    for (int i = 0; i < f->graph->n_weights; i++) {
        const ngi_weight *w = &f->graph->weights[i];
        ngi_hash_add(&hash, w->data, (size_t)ngi_shape_count(&w->shape) * sizeof *w->data);
    }
    ngi_hash_finish(&hash, f->hash);
    return NG_OK;
}

/* ---- netgaze.json ------------------------------------------------------------------------------ */

static ng_status read_labels(const char *where, const json_t *list, ngi_model_file *out, ng_error *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > 1000000)
        return ngi_fail(err, NG_E_FORMAT, "%s: \"labels\": expected a list of strings", where);
    out->labels = ngi_alloc_zero(n, sizeof *out->labels);
    if (!out->labels)
        return ngi_fail_memory(err, n * sizeof *out->labels);
    for (size_t i = 0; i < n; i++) {
        const char *label = json_string_value(json_array_get(list, i));
        if (!label)
            return ngi_fail(err, NG_E_FORMAT, "%s: \"labels\": entry %zu is not a string", where, i);
        out->labels[i] = ngi_strdup(label);
        if (!out->labels[i])
            return ngi_fail_memory(err, strlen(label));
        out->n_labels = (int)i + 1;
    }
    return NG_OK;
}

static ng_status apply_settings(const char *where, const json_t *root, ngi_model_file *out, ng_error *err)
{
    const char *key, *preprocess = NULL;
    json_t *value;
    if (!json_is_object(root))
        return ngi_fail(err, NG_E_FORMAT, "%s: expected an object {\"labels\": [...], \"preprocess\": \"...\"}", where);
    json_object_foreach((json_t *)root, key, value) if (strcmp(key, "labels") != 0 && strcmp(key, "preprocess") != 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: \"%s\" is not known; \"labels\" and \"preprocess\" are", where, key);
    NGI_TRY(ngi_json_string(root, "preprocess", where, &preprocess, err));
    if (preprocess && !(out->preprocess = ngi_strdup(preprocess)))
        return ngi_fail_memory(err, strlen(preprocess));
    const json_t *labels = json_object_get(root, "labels");
    return labels ? read_labels(where, labels, out, err) : NG_OK;
}

static ng_status read_settings(const char *where, ngi_model_file *out, ng_error *err)
{
    char *text;
    size_t size;
    NGI_TRY(ngi_file_read(where, SETTINGS_MAX_BYTES, &text, &size, err));
    json_t *root = NULL;
    ng_status status = ngi_json_parse(where, text, size, &root, err);
    ngi_free(text);
    if (status == NG_OK)
        status = apply_settings(where, root, out, err);
    json_decref(root);
    return status;
}

/* For a folder DIR/netgaze.json; for DIR/m.keras DIR/m.keras.netgaze.json, else DIR/netgaze.json. */
static ng_status find_settings(const char *path, char **out, ng_error *err)
{
    char *own = ngi_sprintf("%s.netgaze.json", path);
    char *folder = ngi_path_is_directory(path) ? ngi_strdup(path) : ngi_path_folder(path);
    char *shared = folder ? ngi_path_join(folder, "netgaze.json") : NULL;
    ngi_free(folder);
    if (!own || !shared) {
        ngi_free(own);
        ngi_free(shared);
        return ngi_fail_memory(err, strlen(path));
    }
    bool has_own = !ngi_path_is_directory(path) && ngi_path_exists(own);
    *out = has_own ? own : ngi_path_exists(shared) ? shared : NULL;
    if (*out != own)
        ngi_free(own);
    if (*out != shared)
        ngi_free(shared);
    return NG_OK;
}

static ng_status add_settings(const char *path, ngi_model_file *out, ng_error *err)
{
    if (!ngi_path_exists(path))
        return NG_OK; /* a built-in architecture: nothing lies beside it */
    char *where;
    NGI_TRY(find_settings(path, &where, err));
    ng_status status = where ? read_settings(where, out, err) : NG_OK;
    ngi_free(where);
    return status;
}

/* ---- Dispatch ---------------------------------------------------------------------------------- */

static bool folder_has(const char *folder, const char *name)
{
    char *path = ngi_path_join(folder, name);
    bool found = path && ngi_path_exists(path);
    ngi_free(path);
    return found;
}

/* Why nothing reads this path. */
static ng_status refuse(const char *path, ng_error *err)
{
    if (!ngi_path_exists(path))
        return ngi_fail(err, NG_E_NOT_FOUND,
                        "%s: no such file or folder, and no built-in architecture has this name", path);
    if (ngi_path_is_directory(path)) {
        if (folder_has(path, "saved_model.pb"))
            return ngi_fail(err, NG_E_UNSUPPORTED,
                            "%s: a TensorFlow SavedModel; load it in Keras and save it as .keras or .h5", path);
        return ngi_fail(err, NG_E_FORMAT, "%s: a folder without model.json; expected a .keras or .h5 file or the folder of "
                        "a TF.js layers model", path);
    }
    unsigned char head[8] = {0};
    FILE *file = fopen(path, "rbe");
    if (!file)
        return ngi_fail(err, NG_E_IO, "%s: cannot be opened for reading", path);
    size_t n = fread(head, 1, sizeof head, file);
    fclose(file);
    if (n == 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: the file is empty (0 bytes); copy or download it again", path);
    char text[3 * sizeof head + 1] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(text + 3 * i, 4, "%02x ", head[i]);
    text[3 * n - 1] = '\0';
    return ngi_fail(err, NG_E_FORMAT, "%s: not a model: it begins with the bytes %s; expected a .keras archive, a Keras .h5 "
                    "file or a TF.js model.json", path, text);
}

static ng_status load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    const ngi_format *format = NULL;
    for (size_t i = 0; i < sizeof formats / sizeof *formats && !format; i++)
        if (formats[i]->matches(path))
            format = formats[i];
    if (!format)
        return refuse(path, err);
    NGI_TRY(format->load(path, opts, out, err));
    if (!out->architecture) {
        const char *known = ngi_recognise_architecture(out->graph);
        if (!(out->architecture = ngi_strdup(known ? known : "")))
            return ngi_fail_memory(err, 64);
    }
    return add_settings(path, out, err);
}

ng_status ngi_model_file_load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    static const ngi_load_opts none;
    *out = (ngi_model_file){0};
    ng_status status = load(path, opts ? opts : &none, out, err);
    if (status != NG_OK)
        ngi_model_file_clear(out);
    return status;
}
