/* Pools, forward. A window is taken apart: its rows are joined, for a whole row of the input at once, then columns.
 * Padding is left out of the mean. Not a number wins every maximum. */
#include "exec/native/native.h"
#include "exec/rect.h"

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

ngi_rect ngi_native_pool_reach(const ngi_native_pool *p, ngi_rect out)
{
    ngi_rect in;
    int64_t ignored;
    clip(p, 0, out.y0, p->h, &in.y0, &ignored);
    clip(p, 0, out.y1 - 1, p->h, &ignored, &in.y1);
    clip(p, 1, out.x0, p->w, &in.x0, &ignored);
    clip(p, 1, out.x1 - 1, p->w, &ignored, &in.x1);
    return in;
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

ngi_rect ngi_native_pool_spread(const ngi_native_pool *p, ngi_rect in)
{
    ngi_window_axis(&in.y0, &in.y1, p->kernel[0], p->stride[0], p->before[0], p->oh);
    ngi_window_axis(&in.x0, &in.x1, p->kernel[1], p->stride[1], p->before[1], p->ow);
    return in;
}

/* A row of a part of the result, whose column 0 is `out`; in: row y0 of the input, the window's first; joined: room
 * for a row of the input. */
static void run_row(const ngi_native_pool *p, const float *in, int64_t y0, int64_t y1, ngi_rect part,
                    float *out, int64_t stride, const ngi_native_end *then, float *joined)
{
    const float *src[MAX_TAPS];
    ngi_rect read = ngi_native_pool_reach(p, part);
    for (int64_t y = y0; y < y1; y++)
        src[y - y0] = in + ((y - y0) * p->w + read.x0) * p->c;
    p->isa->join(p->average, (int)(y1 - y0), src, (read.x1 - read.x0) * p->c, 1, NULL, 0, 0,
                 joined + read.x0 * p->c);
    for (int64_t ox = part.x0; ox < part.x1; ox++) {
        int64_t x0, x1;
        clip(p, 1, ox, p->w, &x0, &x1);
        for (int64_t x = x0; x < x1; x++)
            src[x - x0] = joined + x * p->c;
        float share = 1.0f / (float)((y1 - y0) * (x1 - x0));
        p->isa->join(p->average, (int)(x1 - x0), src, p->c, share, then->bias, then->low, then->high,
                     out + ox * stride);
    }
}

void ngi_native_pool_part(const ngi_native_pool *p, const float *in, int64_t in_row, ngi_rect part,
                          float *out, int64_t stride, const ngi_native_end *then, void *scratch)
{
#pragma omp parallel for num_threads(p->threads) if (p->threads > 1)
    for (int64_t oy = part.y0; oy < part.y1; oy++) {
        char *joined = scratch;
#ifdef _OPENMP
        joined += (size_t)omp_get_thread_num() * ngi_native_pool_scratch(p);
#endif
        int64_t y0, y1;
        clip(p, 0, oy, p->h, &y0, &y1);
        run_row(p, in + (y0 - in_row) * p->w * p->c, y0, y1, part, out + oy * p->ow * stride, stride, then,
                (float *)joined);
    }
}
