/* Checked allocation through one place, with a switch that makes the k-th allocation of a thread fail. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENSOR_ALIGNMENT 64 /* one cache line, one AVX-512 register */

static _Thread_local long fail_at, allocations;

static bool must_fail(void)
{
    allocations++;
    return fail_at > 0 && allocations == fail_at;
}

void ngi_alloc_fail_at(long k)
{
    fail_at = k;
    allocations = 0;
}

long ngi_alloc_count(void)
{
    return allocations;
}

/* Bytes of count * size, at least 1; false on overflow. */
static bool checked_size(size_t count, size_t size, size_t *bytes)
{
    if (size != 0 && count > SIZE_MAX / size)
        return false;
    *bytes = count * size;
    if (*bytes == 0)
        *bytes = 1;
    return *bytes <= PTRDIFF_MAX;
}

void *ngi_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!checked_size(count, size, &bytes) || must_fail())
        return NULL;
    return malloc(bytes);
}

void *ngi_alloc_zero(size_t count, size_t size)
{
    size_t bytes;
    if (!checked_size(count, size, &bytes) || must_fail())
        return NULL;
    return calloc(1, bytes);
}

void *ngi_realloc(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (!checked_size(count, size, &bytes) || must_fail())
        return NULL;
    return realloc(old, bytes);
}

void ngi_free(void *p)
{
    free(p);
}

void *ngi_alloc_aligned(size_t bytes)
{
    if (bytes > PTRDIFF_MAX - TENSOR_ALIGNMENT || must_fail())
        return NULL;
    size_t rounded = (bytes + TENSOR_ALIGNMENT - 1) / TENSOR_ALIGNMENT * TENSOR_ALIGNMENT;
    return aligned_alloc(TENSOR_ALIGNMENT, rounded ? rounded : TENSOR_ALIGNMENT);
}

void ngi_free_aligned(void *p)
{
    free(p);
}

char *ngi_strndup(const char *text, size_t length)
{
    char *copy = ngi_alloc(length + 1, 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *ngi_strdup(const char *text)
{
    return ngi_strndup(text, strlen(text));
}

char *ngi_sprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return NULL;
    char *text = ngi_alloc((size_t)length + 1, 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}
