/* NumPy .npy files, versions 1.0 to 3.0 (numpy/lib/format.py): float32, little endian, C order. */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define NPY_MAX_BYTES  ((size_t)16 << 30)
#define NPY_MAX_HEADER 65536

/* The text after 'key': in the header's Python dictionary, or NULL. */
static const char *header_value(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at)
        return NULL;
    at = strchr(at + strlen(key), ':');
    if (!at)
        return NULL;
    at++;
    while (*at == ' ')
        at++;
    return at;
}

static ng_status parse_shape(const char *path, const char *text, ng_array *out, ng_error *err)
{
    if (*text != '(')
        return ngi_fail(err, NG_E_FORMAT, "%s: damaged .npy header: no shape", path);
    text++;
    int64_t count = 1;
    for (;;) {
        while (*text == ' ' || *text == ',')
            text++;
        if (*text == ')')
            return NG_OK;
        char *end;
        long long d = strtoll(text, &end, 10);
        if (end == text || d < 0 || (d > 0 && count > NGI_MAX_ELEMENTS / d) || out->rank == 8)
            return ngi_fail(err, NG_E_FORMAT, "%s: damaged .npy header: bad shape", path);
        count *= d;
        out->shape[out->rank++] = d;
        text = end;
    }
}

static ng_status parse_header(const char *path, const char *header, ng_array *out, ng_error *err)
{
    const char *descr = header_value(header, "'descr'"), *order = header_value(header, "'fortran_order'"),
               *shape = header_value(header, "'shape'");
    if (!descr || !order || !shape)
        return ngi_fail(err, NG_E_FORMAT, "%s: damaged .npy header", path);
    if (strncmp(descr, "'<f4'", 5) != 0) {
        int length = (int)strcspn(descr, ",}");
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: expected float32 ('<f4'), found %.*s; save it with array.astype('float32')",
                        path, length < 40 ? length : 40, descr);
    }
    if (strncmp(order, "False", 5) != 0)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: Fortran order is not read; save it with numpy.ascontiguousarray(array)", path);
    return parse_shape(path, shape, out, err);
}

static ng_status parse(const char *path, const char *bytes, size_t size, ng_array *out, ng_error *err)
{
    if (size < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: not a .npy file", path);
    const uint8_t *u = (const uint8_t *)bytes;
    bool wide = u[6] >= 2; /* versions 2 and 3 have a 4-byte header length */
    size_t start = wide ? 12 : 10;
    size_t length = u[8] | (size_t)u[9] << 8;
    if (wide)
        length |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
    if (length > NPY_MAX_HEADER || length > size - start)
        return ngi_fail(err, NG_E_FORMAT, "%s: damaged .npy header: length %zu", path, length);
    char *header = ngi_strndup(bytes + start, length);
    if (!header)
        return ngi_fail_memory(err, length);
    ng_status status = parse_header(path, header, out, err);
    ngi_free(header);
    if (status != NG_OK)
        return status;
    int64_t count = 1;
    for (int i = 0; i < out->rank; i++)
        count *= out->shape[i];
    size_t have = size - start - length;
    if ((uint64_t)count * 4 != have)
        return ngi_fail(err, NG_E_FORMAT, "%s: %lld values expected, %zu bytes of data found: truncated?",
                        path, (long long)count, have);
    out->data = ngi_alloc_aligned(have);
    if (!out->data)
        return ngi_fail_memory(err, have);
    memcpy(out->data, bytes + start + length, have);
    return NG_OK;
}

ng_status ng_npy_load(const char *path, ng_array *out, ng_error *err)
{
    *out = (ng_array){0};
    char *bytes;
    size_t size;
    NGI_TRY(ngi_file_read(path, NPY_MAX_BYTES, &bytes, &size, err));
    ng_status status = parse(path, bytes, size, out, err);
    ngi_free(bytes);
    if (status != NG_OK)
        ng_array_clear(out);
    return status;
}

ng_status ng_npy_save(const char *path, int rank, const int64_t *shape, const float *data, ng_error *err)
{
    if (rank < 0 || rank > 8)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: rank %d, expected 0 to 8", path, rank);
    char dict[320];
    size_t used = (size_t)snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0 || (shape[i] > 0 && count > NGI_MAX_ELEMENTS / shape[i]))
            return ngi_fail(err, NG_E_ARGUMENT, "%s: dimension %d is %lld", path, i, (long long)shape[i]);
        count *= shape[i];
        used += (size_t)snprintf(dict + used, sizeof dict - used, "%lld%s", (long long)shape[i],
                                 rank == 1      ? ","
                                 : i + 1 < rank ? ", "
                                                : "");
    }
    used += (size_t)snprintf(dict + used, sizeof dict - used, "), }");
    size_t total = (10 + used + 1 + 63) / 64 * 64; /* magic, padded dictionary, newline: data on 64 bytes */
    static const unsigned char magic[8] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0}; /* version 1.0 */
    char header[448];
    memset(header, ' ', sizeof header);
    memcpy(header, magic, sizeof magic);
    header[8] = (char)((total - 10) & 255);
    header[9] = (char)((total - 10) >> 8);
    memcpy(header + 10, dict, used);
    header[total - 1] = '\n';

    ngi_writer w;
    NGI_TRY(ngi_writer_open(&w, path, err));
    ng_status status = ngi_writer_add(&w, header, total, err);
    if (status == NG_OK)
        status = ngi_writer_add(&w, data, (size_t)count * sizeof *data, err);
    if (status != NG_OK) {
        ngi_writer_abort(&w);
        return status;
    }
    return ngi_writer_commit_quick(&w, err);
}

void ng_array_clear(ng_array *array)
{
    ngi_free_aligned(array->data);
    *array = (ng_array){0};
}
