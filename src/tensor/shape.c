/* Shapes, fixed-order sums, finite checks. */
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t ngi_shape_count(const ngi_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) {
        int64_t d = s->dim[i];
        if (d < 0 || (d > 0 && n > NGI_MAX_ELEMENTS / d))
            return -1;
        n *= d;
    }
    return n;
}

bool ngi_shape_equal(const ngi_shape *a, const ngi_shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

ngi_shape ngi_shape_of(int rank, ...)
{
    ngi_shape s = {.rank = rank};
    va_list dims;
    va_start(dims, rank);
    for (int i = 0; i < rank && i < NGI_MAX_RANK; i++)
        s.dim[i] = va_arg(dims, int64_t);
    va_end(dims);
    return s;
}

const char *ngi_shape_text(const ngi_shape *s, char text[NGI_SHAPE_TEXT])
{
    size_t used = (size_t)snprintf(text, NGI_SHAPE_TEXT, "[");
    for (int i = 0; i < s->rank; i++)
        used +=
            (size_t)snprintf(text + used, NGI_SHAPE_TEXT - used, i ? ",%lld" : "%lld", (long long)s->dim[i]);
    snprintf(text + used, NGI_SHAPE_TEXT - used, "]");
    return text;
}

double ngi_sum(const float *x, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += x[i];
    return s;
}

double ngi_dot(const float *a, const float *b, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += (double)a[i] * b[i];
    return s;
}

/* x * 0 is 0 for finite x and NaN otherwise: the sum of a block tells at vector speed whether to look. */
int64_t ngi_find_non_finite(const float *x, int64_t n)
{
    enum { BLOCK = 1024 };
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t end = n - start < BLOCK ? n : start + BLOCK;
        float lanes[16] = {0};
        int64_t i = start;
        for (; i + 16 <= end; i += 16)
            for (int k = 0; k < 16; k++)
                lanes[k] += x[i + k] * 0.0f;
        for (; i < end; i++)
            lanes[0] += x[i] * 0.0f;
        float s = 0;
        for (int k = 0; k < 16; k++)
            s += lanes[k];
        if (s != 0.0f || isnan(s))
            for (i = start; i < end; i++)
                if (!isfinite(x[i]))
                    return i;
    }
    return -1;
}

void ngi_min_max(const float *x, int64_t n, float *min, float *max)
{
    float lo = x[0], hi = x[0];
    for (int64_t i = 1; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *min = lo;
    *max = hi;
}
