/* JSON from strangers: depth and size are checked before parsing; getters check types and say where. */
#ifndef NGI_FORMAT_JSON_H
#define NGI_FORMAT_JSON_H

#include <jansson.h>

#include "base/base.h"

/* Parses text [size]; `where` starts every error. Free with json_decref. */
NG_NODISCARD ng_status ngi_json_parse(const char *where, const char *text, size_t size, json_t **out,
                                      ng_error *err);

/* Members of an object. A missing member, or null, leaves *out as it is; a wrong type or range is an error that
 * names `where` and the key. */
NG_NODISCARD ng_status ngi_json_int(const json_t *object, const char *key, const char *where, int low,
                                    int high, int *out, ng_error *err);
NG_NODISCARD ng_status ngi_json_float(const json_t *object, const char *key, const char *where, float *out,
                                      ng_error *err);
NG_NODISCARD ng_status ngi_json_bool(const json_t *object, const char *key, const char *where, bool *out,
                                     ng_error *err);
/* Borrowed from the object. */
NG_NODISCARD ng_status ngi_json_string(const json_t *object, const char *key, const char *where,
                                       const char **out, ng_error *err);
/* One number for both, or a list of two. */
NG_NODISCARD ng_status ngi_json_pair(const json_t *object, const char *key, const char *where, int low,
                                     int high, int out[2], ng_error *err);

/* An integer within bounds; false for anything else. */
bool ngi_json_to_int(const json_t *value, int64_t low, int64_t high, int64_t *out);

#endif
