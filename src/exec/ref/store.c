/* Loops that several reference kernels share. */
#include "exec/ref/ref.h"

#include <string.h>

void ngi_ref_store(float *dst, const float *src, int64_t n, bool accumulate)
{
    if (!accumulate) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        dst[i] += src[i];
}

void ngi_ref_store_double(float *dst, const double *src, int64_t n, bool accumulate)
{
    if (accumulate)
        for (int64_t i = 0; i < n; i++)
            dst[i] = (float)(dst[i] + src[i]);
    else
        for (int64_t i = 0; i < n; i++)
            dst[i] = (float)src[i];
}

void ngi_ref_clear(float *dst, int64_t n, bool accumulate)
{
    if (!accumulate)
        memset(dst, 0, (size_t)n * sizeof *dst);
}

double ngi_ref_dot(const float *a, const float *b, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += (double)a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += (double)a[i] * b[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

void ngi_ref_multiply_add(double *restrict acc, float x, const float *restrict row, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += (double)x * row[i];
}

const ngi_shape *ngi_ref_in_shape(const ngi_ref *k, int i)
{
    return &k->step.graph->nodes[k->step.inputs[i]].shape;
}
