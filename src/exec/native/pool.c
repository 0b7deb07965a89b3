/* Pools, forward. A window is taken apart: its rows are joined, for a whole row of the input at once, then columns.
 * Padding is left out of the mean. Not a number wins every maximum. */
#include "exec/native/native.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#define MAX_TAPS 64 /* of a window, along an axis */

static void clip(const ngi_native_pool *p, int axis, int64_t out, int64_t size, int64_t *from, int64_t *to)
{
    int64_t start = out * p->stride[axis] - p->before[axis], end = start + p->kernel[axis];
    *from = start < 0 ? 0 : start;
    *to = end > size ? size : end;
}

void ngi_native_pool_rows(const ngi_native_pool *p, int64_t oy, int64_t *from, int64_t *to)
{
    clip(p, 0, oy, p->h, from, to);
}

bool ngi_native_pool_init(ngi_native_pool *p, const ngi_native_isa *isa, ngi_op op, const ngi_attr *a,
                          const ngi_shape *in, const ngi_shape *out, int threads)
{
    *p = (ngi_native_pool){.isa = isa,
                           .h = in->dim[0],
                           .w = in->dim[1],
                           .c = in->dim[2],
                           .oh = out->dim[0],
                           .ow = out->dim[1],
                           .kernel = {a->kernel_h, a->kernel_w},
                           .stride = {a->stride_h, a->stride_w},
                           .before = {a->pad.top, a->pad.left},
                           .average = op == NGI_OP_AVG_POOL,
                           .threads = threads};
    bool fits = in->rank == 3 && a->dilation_h == 1 && a->dilation_w == 1 && a->kernel_h <= MAX_TAPS &&
                a->kernel_w <= MAX_TAPS;
    int64_t from, to;
    for (int64_t y = 0; y < p->oh && fits; y++) {
        clip(p, 0, y, p->h, &from, &to);
        fits = from < to;
    }
    for (int64_t x = 0; x < p->ow && fits; x++) {
        clip(p, 1, x, p->w, &from, &to);
        fits = from < to;
    }
    return fits;
}

size_t ngi_native_pool_scratch(const ngi_native_pool *p)
{
    return ((size_t)(p->w * p->c) * sizeof(float) + 63) / 64 * 64;
}

/* in: row y0 of the input, the window's first; joined: [w,c]. */
static void run_row(const ngi_native_pool *p, const float *in, int64_t y0, int64_t y1, float *out,
                    int64_t stride, const ngi_native_end *then, float *joined)
{
    const float *src[MAX_TAPS];
    int64_t row = p->w * p->c;
    for (int64_t y = y0; y < y1; y++)
        src[y - y0] = in + (y - y0) * row;
    p->isa->join(p->average, (int)(y1 - y0), src, row, 1, NULL, 0, 0, joined);
    for (int64_t ox = 0; ox < p->ow; ox++, out += stride) {
        int64_t x0, x1;
        clip(p, 1, ox, p->w, &x0, &x1);
        for (int64_t x = x0; x < x1; x++)
            src[x - x0] = joined + x * p->c;
        float share = 1.0f / (float)((y1 - y0) * (x1 - x0));
        p->isa->join(p->average, (int)(x1 - x0), src, p->c, share, then->bias, then->low, then->high, out);
    }
}

void ngi_native_pool_run(const ngi_native_pool *p, const float *in, int64_t in_row, int64_t first,
                         int64_t end, float *out, int64_t stride, const ngi_native_end *then, void *scratch)
{
#pragma omp parallel for num_threads(p->threads) if (p->threads > 1)
    for (int64_t oy = first; oy < end; oy++) {
        char *joined = scratch;
#ifdef _OPENMP
        joined += (size_t)omp_get_thread_num() * ngi_native_pool_scratch(p);
#endif
        int64_t y0, y1;
        clip(p, 0, oy, p->h, &y0, &y1);
        run_row(p, in + (y0 - in_row) * p->w * p->c, y0, y1, out + (oy - first) * p->ow * stride, stride,
                then, (float *)joined);
    }
}
