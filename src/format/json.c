/* Bounded JSON parsing and typed getters; see json.h. */
#include "format/json.h"

#include <math.h>
#include <string.h>

#include "format/format.h"

/* Deepest nesting of brackets outside strings. */
static int depth_of(const char *text, size_t size)
{
    int depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"')
            quoted = true;
        else if (c == '{' || c == '[')
            deepest = ++depth > deepest ? depth : deepest;
        else if (c == '}' || c == ']')
            depth--;
    }
    return deepest;
}

ng_status ngi_json_parse(const char *where, const char *text, size_t size, json_t **out, ng_error *err)
{
    *out = NULL;
    if (size > NGI_MAX_CONFIG_BYTES)
        return ngi_fail(err, NG_E_LIMIT, "%s: %zu bytes of JSON, the limit is %zu", where, size,
                        NGI_MAX_CONFIG_BYTES);
    if (size == 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: empty, expected JSON", where);
    int depth = depth_of(text, size);
    if (depth > NGI_MAX_JSON_DEPTH)
        return ngi_fail(err, NG_E_LIMIT, "%s: JSON is nested %d deep, the limit is %d", where, depth,
                        NGI_MAX_JSON_DEPTH);
    json_error_t at;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &at);
    if (!*out)
        return ngi_fail(err, NG_E_FORMAT, "%s: line %d, column %d: %s", where, at.line, at.column, at.text);
    return NG_OK;
}

static ng_status wrong(const char *where, const char *key, const char *expected, const json_t *found,
                       ng_error *err)
{
    char *text = json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT);
    ng_status status = ngi_fail(err, NG_E_FORMAT, "%s: \"%s\": expected %s, found %.60s", where, key,
                                expected, text ? text : "?");
    free(text);
    return status;
}

/* The member, NULL when it is missing or null. Some Keras versions write a NumPy scalar where others write a number:
 * {"class_name": "__numpy__", "config": {"value": 0.0, "dtype": "float32"}}. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *class_name = json_string_value(json_object_get(value, "class_name"));
    if (class_name && (strcmp(class_name, "__numpy__") == 0 || strcmp(class_name, "__tensor__") == 0))
        value = json_object_get(json_object_get(value, "config"), "value");
    return value && !json_is_null(value) ? value : NULL;
}

bool ngi_json_to_int(const json_t *value, int64_t low, int64_t high, int64_t *out)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= (double)low && number <= (double)high) ||
        number != floor(number))
        return false;
    *out = json_is_integer(value) ? (int64_t)json_integer_value(value) : (int64_t)number;
    return true;
}

static ng_status to_int(const json_t *value, const char *key, const char *where, int low, int high, int *out,
                        ng_error *err)
{
    int64_t number;
    if (!ngi_json_to_int(value, low, high, &number)) {
        char expected[64];
        snprintf(expected, sizeof expected, "a whole number from %d to %d", low, high);
        return wrong(where, key, expected, value, err);
    }
    *out = (int)number;
    return NG_OK;
}

ng_status ngi_json_int(const json_t *object, const char *key, const char *where, int low, int high, int *out,
                       ng_error *err)
{
    const json_t *value = member(object, key);
    return value ? to_int(value, key, where, low, high, out, err) : NG_OK;
}

ng_status ngi_json_float(const json_t *object, const char *key, const char *where, float *out, ng_error *err)
{
    const json_t *value = member(object, key);
    float number = (float)json_number_value(value);
    if (value && (!json_is_number(value) || !isfinite(number)))
        return wrong(where, key, "a number of float32's range", value, err);
    if (value)
        *out = number;
    return NG_OK;
}

ng_status ngi_json_bool(const json_t *object, const char *key, const char *where, bool *out, ng_error *err)
{
    const json_t *value = member(object, key);
    if (value && !json_is_boolean(value) && !json_is_integer(value))
        return wrong(where, key, "true or false", value, err);
    if (value)
        *out = json_is_integer(value) ? json_integer_value(value) != 0 : json_is_true(value);
    return NG_OK;
}

ng_status ngi_json_string(const json_t *object, const char *key, const char *where, const char **out,
                          ng_error *err)
{
    const json_t *value = member(object, key);
    if (value && !json_is_string(value))
        return wrong(where, key, "a string", value, err);
    if (value)
        *out = json_string_value(value);
    return NG_OK;
}

ng_status ngi_json_pair(const json_t *object, const char *key, const char *where, int low, int high,
                        int out[2], ng_error *err)
{
    const json_t *value = member(object, key);
    if (!value)
        return NG_OK;
    if (!json_is_array(value)) {
        NGI_TRY(to_int(value, key, where, low, high, &out[0], err));
        out[1] = out[0];
        return NG_OK;
    }
    if (json_array_size(value) != 2)
        return wrong(where, key, "one number or two", value, err);
    for (size_t i = 0; i < 2; i++)
        NGI_TRY(to_int(json_array_get(value, i), key, where, low, high, &out[i], err));
    return NG_OK;
}
