/* Text attributes: one string or a list, of fixed or variable length, in ASCII or UTF-8. */
#include "format/h5_handle.h"

#include <stdio.h>
#include <string.h>

/* The length of a fixed-size string: up to the first NUL, without trailing blanks where it is padded with
 * them. */
static size_t fixed_length(const char *text, size_t size, H5T_str_t padding)
{
    size_t n = strnlen(text, size);
    while (padding == H5T_STR_SPACEPAD && n > 0 && text[n - 1] == ' ')
        n--;
    return n;
}

static ng_status read_variable(ngi_h5 *h, const char *path, hid_t attribute, hid_t type, hid_t space,
                               size_t count, size_t limit, ngi_names *out, ng_error *err)
{
    char **texts = ngi_alloc_zero(count, sizeof *texts);
    if (!texts)
        return ngi_fail_memory(err, count * sizeof *texts);
    ng_status status = NG_OK;
    if (H5Aread(attribute, type, texts) < 0) {
        status = ngi_h5_fail(h, path, "a text attribute cannot be read", err);
    } else {
        for (size_t i = 0; i < count && status == NG_OK; i++) {
            size_t n = texts[i] ? strlen(texts[i]) : 0;
            if (n > limit)
                status =
                    ngi_fail(err, NG_E_LIMIT, "%s: %s: a text attribute of %zu bytes", h->where, path, n);
            else
                status = ngi_names_add(out, texts[i] ? texts[i] : "", n, err);
        }
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    }
    ngi_free(texts);
    return status;
}

static ng_status read_fixed(ngi_h5 *h, const char *path, hid_t attribute, hid_t type, size_t count,
                            size_t limit, ngi_names *out, ng_error *err)
{
    size_t size = H5Tget_size(type);
    if (size == 0 || size > limit || count > NGI_MAX_CONFIG_BYTES / size)
        return ngi_fail(err, NG_E_LIMIT, "%s: %s: a text attribute of %zu times %zu bytes", h->where, path,
                        count, size);
    char *bytes = ngi_alloc(count, size);
    if (!bytes)
        return ngi_fail_memory(err, count * size);
    ng_status status = NG_OK;
    if (H5Aread(attribute, type, bytes) < 0)
        status = ngi_h5_fail(h, path, "a text attribute cannot be read", err);
    H5T_str_t padding = H5Tget_strpad(type);
    for (size_t i = 0; i < count && status == NG_OK; i++)
        status = ngi_names_add(out, bytes + i * size, fixed_length(bytes + i * size, size, padding), err);
    ngi_free(bytes);
    return status;
}

/* Appends the strings of an open attribute. An empty list of any type is an empty list. */
static ng_status read_texts(ngi_h5 *h, const char *path, hid_t attribute, size_t limit, ngi_names *out,
                            ng_error *err)
{
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    ng_status status = NG_OK;
    if (type < 0 || count < 0)
        status = ngi_h5_fail(h, path, "an attribute cannot be read", err);
    else if (count > NGI_H5_MAX_NAMES)
        status = ngi_fail(err, NG_E_LIMIT, "%s: %s: a list of %lld names", h->where, path, (long long)count);
    else if (count > 0 && H5Tget_class(type) != H5T_STRING)
        status = ngi_fail(err, NG_E_FORMAT, "%s: %s: an attribute is not text", h->where, path);
    else if (count > 0 && H5Tis_variable_str(type) > 0)
        status = read_variable(h, path, attribute, type, space, (size_t)count, limit, out, err);
    else if (count > 0)
        status = read_fixed(h, path, attribute, type, (size_t)count, limit, out, err);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return status;
}

ng_status ngi_h5_attribute(ngi_h5 *h, hid_t object, const char *path, const char *name, size_t limit,
                           ngi_names *out, bool *found, ng_error *err)
{
    char where[512];
    snprintf(where, sizeof where, "%s@%s", path, name);
    htri_t exists = H5Aexists(object, name);
    *found = exists > 0;
    if (exists < 0)
        return ngi_h5_fail(h, where, "the attributes cannot be read", err);
    if (!exists)
        return NG_OK;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return ngi_h5_fail(h, where, "the attribute cannot be opened", err);
    ng_status status = read_texts(h, where, attribute, limit, out, err);
    H5Aclose(attribute);
    return status;
}

/* The list in one attribute, or in name0, name1, ... */
static ng_status read_list(ngi_h5 *h, hid_t object, const char *path, const char *name, ngi_names *out,
                           bool *found, ng_error *err)
{
    NGI_TRY(ngi_h5_attribute(h, object, path, name, NGI_H5_MAX_NAME, out, found, err));
    bool more = !*found;
    for (int i = 0; more; i++) {
        char piece[128];
        snprintf(piece, sizeof piece, "%s%d", name, i);
        NGI_TRY(ngi_h5_attribute(h, object, path, piece, NGI_H5_MAX_NAME, out, &more, err));
        *found = *found || more;
        if (out->count > NGI_H5_MAX_NAMES)
            return ngi_fail(err, NG_E_LIMIT, "%s: %s: more than %d names", h->where, path, NGI_H5_MAX_NAMES);
    }
    return NG_OK;
}

ng_status ngi_h5_names(ngi_h5 *h, const char *path, const char *attribute, ngi_names *out, bool *found,
                       ng_error *err)
{
    *out = (ngi_names){0};
    *found = false;
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t id;
    ng_status status = ngi_h5_object(h, path, &id, err);
    if (status == NG_OK && id >= 0) {
        status = read_list(h, id, path, attribute, out, found, err);
        H5Oclose(id);
    }
    ngi_h5_leave(guard);
    if (status != NG_OK)
        ngi_names_clear(out);
    return status;
}

ng_status ngi_h5_text(ngi_h5 *h, const char *path, const char *attribute, char **text, size_t *size,
                      ng_error *err)
{
    *text = NULL;
    *size = 0;
    ngi_names list = {0};
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t id;
    bool found = false;
    ng_status status = ngi_h5_object(h, path, &id, err);
    if (status == NG_OK && id >= 0) {
        status = ngi_h5_attribute(h, id, path, attribute, NGI_MAX_CONFIG_BYTES, &list, &found, err);
        H5Oclose(id);
    }
    ngi_h5_leave(guard);
    if (status == NG_OK && found && list.count != 1)
        status = ngi_fail(err, NG_E_FORMAT, "%s: %s@%s: %zu texts, expected one", h->where, path, attribute,
                          list.count);
    if (status == NG_OK && found) {
        *text = list.items[0];
        *size = strlen(*text);
        list.items[0] = NULL;
    }
    ngi_names_clear(&list);
    return status;
}
