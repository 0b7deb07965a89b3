/* Label files: one a line, a JSON array, or a JSON object by index. JSON is told from text by its first character. */
#include "format/format.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX_BYTES ((size_t)64 << 20)
#define LABELS_MAX       1000000

void ngi_labels_free(char **labels, int count)
{
    for (int i = 0; labels && i < count; i++)
        ngi_free(labels[i]);
    ngi_free(labels);
}

static ng_status from_text(const char *path, const char *text, char **labels, int *count, ng_error *err)
{
    while (*text) {
        size_t length = strcspn(text, "\r\n");
        bool last = text[length] == '\0';
        if (last && length == 0)
            break;
        if (*count == LABELS_MAX)
            return ngi_fail(err, NG_E_LIMIT, "%s: more than %d labels", path, LABELS_MAX);
        labels[*count] = ngi_strndup(text, length);
        if (!labels[*count])
            return ngi_fail_memory(err, length);
        ++*count;
        text += length;
        if (*text == '\r' && text[1] == '\n')
            text++;
        if (*text)
            text++;
    }
    return NG_OK;
}

/* The label in a JSON value: a string, or the last string of an array. */
static const char *label_of(const json_t *value)
{
    if (json_is_array(value) && json_array_size(value))
        value = json_array_get(value, json_array_size(value) - 1);
    return json_string_value(value);
}

static ng_status from_json(const char *path, const json_t *root, char **labels, int *count, ng_error *err)
{
    size_t n = json_is_array(root) ? json_array_size(root) : json_object_size(root);
    for (size_t i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof key, "%zu", i);
        const json_t *value = json_is_array(root) ? json_array_get(root, i) : json_object_get(root, key);
        const char *label = label_of(value);
        if (!label)
            return ngi_fail(err, NG_E_FORMAT,
                            "%s: no label for class %zu; expected a list of strings or an object "
                            "{\"0\": \"label\", ...}",
                            path, i);
        labels[i] = ngi_strdup(label);
        if (!labels[i])
            return ngi_fail_memory(err, strlen(label));
        *count = (int)i + 1;
    }
    return NG_OK;
}

static ng_status parse(const char *path, const char *text, size_t size, char ***labels, int *count,
                       ng_error *err)
{
    const char *first = text;
    while (isspace((unsigned char)*first))
        first++;
    json_t *root = NULL;
    size_t most = 1;
    if (*first == '[' || *first == '{') {
        json_error_t where;
        root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
        if (!root)
            return ngi_fail(err, NG_E_FORMAT, "%s: line %d: %s", path, where.line, where.text);
        most = json_is_array(root) ? json_array_size(root) : json_object_size(root);
    } else
        for (const char *p = text; *p; p++)
            most += *p == '\n' || *p == '\r';
    ng_status status = NG_OK;
    if (most > LABELS_MAX)
        status = ngi_fail(err, NG_E_LIMIT, "%s: more than %d labels", path, LABELS_MAX);
    else if (!(*labels = ngi_alloc_zero(most, sizeof **labels)))
        status = ngi_fail_memory(err, most * sizeof **labels);
    else
        status =
            root ? from_json(path, root, *labels, count, err) : from_text(path, text, *labels, count, err);
    json_decref(root);
    return status;
}

ng_status ngi_labels_load(const char *path, char ***labels, int *count, ng_error *err)
{
    *labels = NULL;
    *count = 0;
    char *text;
    size_t size;
    NGI_TRY(ngi_file_read(path, LABELS_MAX_BYTES, &text, &size, err));
    ng_status status = parse(path, text, size, labels, count, err);
    ngi_free(text);
    if (status == NG_OK && *count == 0)
        status = ngi_fail(err, NG_E_FORMAT, "%s: there are no labels in it", path);
    if (status != NG_OK) {
        ngi_labels_free(*labels, *count);
        *labels = NULL;
        *count = 0;
    }
    return status;
}
