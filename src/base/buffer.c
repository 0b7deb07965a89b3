/* A growing byte buffer, always followed by a NUL. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

static ng_status reserve(ngi_buffer *b, size_t extra, ng_error *err)
{
    if (extra > SIZE_MAX / 2 - b->size - 1)
        return ngi_fail_memory(err, extra);
    size_t need = b->size + extra + 1;
    if (need <= b->capacity)
        return NG_OK;
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity < need)
        capacity *= 2;
    char *data = ngi_realloc(b->data, capacity, 1);
    if (!data)
        return ngi_fail_memory(err, capacity);
    b->data = data;
    b->capacity = capacity;
    return NG_OK;
}

ng_status ngi_buffer_add(ngi_buffer *b, const void *bytes, size_t size, ng_error *err)
{
    NGI_TRY(reserve(b, size, err));
    if (size)
        memcpy(b->data + b->size, bytes, size);
    b->size += size;
    b->data[b->size] = '\0';
    return NG_OK;
}

ng_status ngi_buffer_printf(ngi_buffer *b, ng_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return ngi_fail(err, NG_E_INTERNAL, "a text could not be formatted");
    NGI_TRY(reserve(b, (size_t)length, err));
    va_start(args, format);
    vsnprintf(b->data + b->size, (size_t)length + 1, format, args);
    va_end(args);
    b->size += (size_t)length;
    return NG_OK;
}

void ngi_buffer_clear(ngi_buffer *b)
{
    ngi_free(b->data);
    *b = (ngi_buffer){0};
}
