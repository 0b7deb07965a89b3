/* Labels and preprocessing beside a model or inside it; see notes.h. */
#include "format/notes.h"

#include <string.h>

#define MOST_LABELS 1000000

/* For a folder DIR/netgaze.json; for DIR/m.keras DIR/m.keras.netgaze.json, else DIR/netgaze.json. *out is NULL where there is
 * none. */
static ng_status find_notes(const char *path, char **out, ng_error *err)
{
    bool is_folder = ngi_path_is_directory(path);
    char *folder = is_folder ? ngi_strdup(path) : ngi_path_folder(path);
    char *own = ngi_sprintf("%s.netgaze.json", path),
         *shared = folder ? ngi_path_join(folder, "netgaze.json") : NULL;
    ngi_free(folder);
    *out = NULL;
    ng_status status = own && shared ? NG_OK : ngi_fail_memory(err, strlen(path));
    if (status == NG_OK && !is_folder && ngi_path_exists(own)) {
        *out = own;
        own = NULL;
    } else if (status == NG_OK && ngi_path_exists(shared)) {
        *out = shared;
        shared = NULL;
    }
    ngi_free(own);
    ngi_free(shared);
    return status;
}

static ng_status read_labels(const char *path, const json_t *labels, ngi_model_file *out, ng_error *err)
{
    size_t n = json_array_size(labels);
    if (!json_is_array(labels) || n == 0 || n > MOST_LABELS)
        return ngi_fail(err, NG_E_FORMAT, "%s: \"labels\": expected a list of 1 to %d strings", path,
                        MOST_LABELS);
    out->labels = ngi_alloc_zero(n, sizeof *out->labels);
    if (!out->labels)
        return ngi_fail_memory(err, n * sizeof *out->labels);
    for (size_t i = 0; i < n; i++) {
        const char *label = json_string_value(json_array_get(labels, i));
        if (!label)
            return ngi_fail(err, NG_E_FORMAT, "%s: \"labels\": label %zu is not a string", path, i);
        if (!(out->labels[i] = ngi_strdup(label)))
            return ngi_fail_memory(err, strlen(label));
        out->n_labels = (int)i + 1;
    }
    return NG_OK;
}

static ng_status read_notes(const char *path, const json_t *json, ngi_model_file *out, ng_error *err)
{
    const char *preprocess = NULL, *key;
    json_t *value;
    if (!json_is_object(json))
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: expected an object {\"labels\": [...], \"preprocess\": \"...\"}", path);
    json_object_foreach((json_t *)json, key, value)
    {
        if (strcmp(key, "labels") != 0 && strcmp(key, "preprocess") != 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: \"%.60s\" is not known; \"labels\" and \"preprocess\" are",
                            path, key);
    }
    NGI_TRY(ngi_json_string(json, "preprocess", path, &preprocess, err));
    if (preprocess && !(out->preprocess = ngi_strdup(preprocess)))
        return ngi_fail_memory(err, strlen(preprocess));
    const json_t *labels = json_object_get(json, "labels");
    return labels ? read_labels(path, labels, out, err) : NG_OK;
}

static ng_status read_text(const char *where, const char *text, size_t size, ngi_model_file *out,
                           ng_error *err)
{
    json_t *json = NULL;
    ng_status status = ngi_json_parse(where, text, size, &json, err);
    if (status == NG_OK)
        status = read_notes(where, json, out, err);
    json_decref(json);
    return status;
}

static ng_status read_inside(const char *model, ngi_model_file *out, ng_error *err)
{
    char *where = ngi_sprintf("%s: " NGI_NOTES_NAME " inside it", model);
    if (!where)
        return ngi_fail_memory(err, strlen(model));
    ng_status status = read_text(where, out->notes, strlen(out->notes), out, err);
    ngi_free(where);
    return status;
}

ng_status ngi_notes_load(const char *model, ngi_model_file *out, ng_error *err)
{
    char *path = NULL, *text = NULL;
    size_t size;
    if (ngi_path_exists(model)) /* a built-in architecture: nothing lies beside it */
        NGI_TRY(find_notes(model, &path, err));
    if (!path)
        return out->notes ? read_inside(model, out, err) : NG_OK;
    ng_status status = ngi_file_read(path, NGI_MAX_CONFIG_BYTES, &text, &size, err);
    if (status == NG_OK)
        status = read_text(path, text, size, out, err);
    ngi_free(text);
    ngi_free(path);
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------------- */

static ng_status check_labels(char *const *labels, int n, ng_error *err)
{
    for (int i = 0; i < n; i++) {
        json_t *text = json_string(labels[i]);
        if (!text)
            return ngi_fail(
                err, NG_E_ARGUMENT,
                "the label '%.200s' is not UTF-8 text, in which models keep their labels, or memory ran out",
                labels[i]);
        json_decref(text);
    }
    return NG_OK;
}

static json_t *label_list(char *const *labels, int n)
{
    json_t *list = json_array();
    for (int i = 0; list && i < n; i++)
        if (json_array_append_new(list, json_string(labels[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

ng_status ngi_notes_make(char *const *labels, int n_labels, const char *preprocess, json_t **out,
                         ng_error *err)
{
    int failed = 0;
    *out = NULL;
    NGI_TRY(check_labels(labels, labels ? n_labels : 0, err));
    *out = json_object();
    if (labels && n_labels > 0)
        failed |= json_object_set_new(*out, "labels", label_list(labels, n_labels));
    if (preprocess)
        failed |= json_object_set_new(*out, "preprocess", json_string(preprocess));
    if (*out && !failed)
        return NG_OK;
    json_decref(*out);
    *out = NULL;
    return ngi_fail_memory(err, 64);
}
