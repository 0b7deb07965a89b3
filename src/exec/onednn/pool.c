/* Max and average pools in plain loops that the compiler vectorises over channels. oneDNN's own were not
 * faster with AVX-512 and three times slower with AVX2 in 2.6 (InceptionV3: 12 ms a forward instead of 5),
 * and its max pool backward needs a record of the forward, which a session has no place for.
 *
 * A window is taken apart: first its rows are joined, for a whole row of the input at once, then columns.
 * Padding is left out of the mean. Not a number wins every maximum. The gradient of a maximum goes to the
 * first one in row-major order, as in TensorFlow. */
#if defined(__GNUC__) && !defined(__clang__)
/* Lets the compiler turn a > b ? c : d into a blend; it changes exception flags only, never a value. */
#pragma GCC optimize("no-trapping-math")
#endif

#include <string.h>

#include "exec/onednn/kernel.h"

typedef struct pool {
    int64_t h, w, c, oh, ow;
    int64_t kernel[2], stride[2], before[2];
    bool average;
    int threads;
    size_t per_thread; /* bytes of scratch */
} pool;

/* ---- Loops over [count] floats ---------------------------------------------------------------- */

static void take_maximum(float *restrict best, const float *restrict x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const float old = best[i], new = x[i];
        best[i] = (new <= old) | (old != old) ? old : new;
    }
}

static void add(float *restrict sum, const float *restrict x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        sum[i] += x[i];
}

static void add_scaled(float *restrict sum, const float *restrict x, float scale, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        sum[i] += x[i] * scale;
}

static void scale_by(float *restrict x, float scale, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] *= scale;
}

/* One pixel of a window: where it beats the best so far, it takes its place and `first` gets its number. */
static void take_first(const float *restrict x, int32_t tap, float *restrict best, int32_t *restrict first,
                       int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const float old = best[i], new = x[i];
        const int32_t keep = -(int32_t)((new <= old) | (old != old));
        first[i] = (first[i] & keep) | (tap & ~keep);
        best[i] = keep ? old : new;
    }
}

/* Adds the gradient where the first maximum is `tap`. */
static void give(const float *restrict grad, const int32_t *restrict first, int32_t tap, float *restrict to,
                 int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const float before = to[i], after = before + grad[i];
        to[i] = first[i] == tap ? after : before;
    }
}

/* ---- Windows ---------------------------------------------------------------------------------- */

/* Part of a window that lies inside the input along one axis: [from, to). */
typedef struct range {
    int64_t from, to;
} range;

static range clip(const pool *p, int axis, int64_t out, int64_t size)
{
    int64_t start = out * p->stride[axis] - p->before[axis], end = start + p->kernel[axis];
    return (range){start < 0 ? 0 : start, end > size ? size : end};
}

static float share(range y, range x)
{
    return 1.0f / (float)((y.to - y.from) * (x.to - x.from));
}

/* One row of the result, [ow,c], of an image in [h,w,c]; joined: [w,c] scratch. */
static void forward_row(const pool *p, const float *in, int64_t oy, float *out, float *joined)
{
    void (*join)(float *restrict, const float *restrict, int64_t) = p->average ? add : take_maximum;
    int64_t row = p->w * p->c;
    range y = clip(p, 0, oy, p->h);
    memcpy(joined, in + y.from * row, (size_t)row * sizeof *joined);
    for (int64_t iy = y.from + 1; iy < y.to; iy++)
        join(joined, in + iy * row, row);
    for (int64_t ox = 0; ox < p->ow; ox++, out += p->c) {
        range x = clip(p, 1, ox, p->w);
        memcpy(out, joined + x.from * p->c, (size_t)p->c * sizeof *out);
        for (int64_t ix = x.from + 1; ix < x.to; ix++)
            join(out, joined + ix * p->c, p->c);
        if (p->average)
            scale_by(out, share(y, x), p->c);
    }
}

static ng_status forward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    (void)err;
    const pool *p = kernel->state;
    int64_t rows = run->n * p->oh;
#pragma omp parallel for num_threads(p->threads) if (p->threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        float *joined = (float *)((char *)run->scratch + (size_t)ngi_onednn_thread() * p->per_thread);
        forward_row(p, run->in[0] + i / p->oh * p->h * p->w * p->c, i % p->oh, run->out + i * p->ow * p->c,
                    joined);
    }
    return NG_OK;
}

/* grad_in [h,w,c] is added to; row: [w,c] scratch. */
static void average_backward(const pool *p, const float *grad_out, float *grad_in, float *row)
{
    for (int64_t oy = 0; oy < p->oh; oy++) {
        range y = clip(p, 0, oy, p->h);
        memset(row, 0, (size_t)(p->w * p->c) * sizeof *row);
        for (int64_t ox = 0; ox < p->ow; ox++, grad_out += p->c) {
            range x = clip(p, 1, ox, p->w);
            for (int64_t ix = x.from; ix < x.to; ix++)
                add_scaled(row + ix * p->c, grad_out, share(y, x), p->c);
        }
        for (int64_t iy = y.from; iy < y.to; iy++)
            add(grad_in + iy * p->w * p->c, row, p->w * p->c);
    }
}

/* One window's gradient, [c]; best, first: [c] scratch. */
static void max_backward_window(const pool *p, const float *in, range y, range x, const float *grad,
                                float *grad_in, float *best, int32_t *first)
{
    memcpy(best, in + (y.from * p->w + x.from) * p->c, (size_t)p->c * sizeof *best);
    memset(first, 0, (size_t)p->c * sizeof *first);
    int32_t tap = 0;
    for (int64_t iy = y.from; iy < y.to; iy++)
        for (int64_t ix = x.from; ix < x.to; ix++, tap++)
            take_first(in + (iy * p->w + ix) * p->c, tap, best, first, p->c);
    tap = 0;
    for (int64_t iy = y.from; iy < y.to; iy++)
        for (int64_t ix = x.from; ix < x.to; ix++, tap++)
            give(grad, first, tap, grad_in + (iy * p->w + ix) * p->c, p->c);
}

static void max_backward(const pool *p, const float *in, const float *grad_out, float *grad_in, void *scratch)
{
    float *best = scratch;
    int32_t *first = (int32_t *)(best + p->c);
    for (int64_t oy = 0; oy < p->oh; oy++)
        for (int64_t ox = 0; ox < p->ow; ox++)
            max_backward_window(p, in, clip(p, 0, oy, p->h), clip(p, 1, ox, p->w),
                                grad_out + (oy * p->ow + ox) * p->c, grad_in, best, first);
}

static ng_status backward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    (void)err;
    const pool *p = kernel->state;
    int64_t in_count = p->h * p->w * p->c, out_count = p->oh * p->ow * p->c;
    if (!run->grad_in[0])
        return NG_OK;
    if (!run->accumulate[0])
        memset(run->grad_in[0], 0, (size_t)(run->n * in_count) * sizeof(float));
    for (int i = 0; i < run->n; i++) {
        const float *grad_out = run->grad_out + i * out_count;
        float *grad_in = run->grad_in[0] + i * in_count;
        if (p->average)
            average_backward(p, grad_out, grad_in, run->scratch);
        else
            max_backward(p, run->in[0] + i * in_count, grad_out, grad_in, run->scratch);
    }
    return NG_OK;
}

/* ---- Preparing -------------------------------------------------------------------------------- */

static void destroy(ngi_kernel *kernel)
{
    ngi_free(kernel->state);
    *kernel = (ngi_kernel){0};
}

static bool windows_fit(const pool *p)
{
    /* "Same" padding always leaves a pixel of the input in each window; other padding might not. */
    for (int64_t oy = 0; oy < p->oh; oy++) {
        range y = clip(p, 0, oy, p->h);
        if (y.from >= y.to)
            return false;
    }
    for (int64_t ox = 0; ox < p->ow; ox++) {
        range x = clip(p, 1, ox, p->w);
        if (x.from >= x.to)
            return false;
    }
    return true;
}

ng_status ngi_onednn_pool(const ngi_step *step, int threads, ngi_kernel *out, ng_error *err)
{
    const ngi_shape *in = step->in_shape[0], *result = step->out_shape;
    const ngi_attr *a = step->attr;
    if (in->rank != 3 || step->has_act || a->dilation_h != 1 || a->dilation_w != 1)
        return NG_E_UNSUPPORTED;
    pool made = {.h = in->dim[0],
                 .w = in->dim[1],
                 .c = in->dim[2],
                 .oh = result->dim[0],
                 .ow = result->dim[1],
                 .kernel = {a->kernel_h, a->kernel_w},
                 .stride = {a->stride_h, a->stride_w},
                 .before = {a->pad.top, a->pad.left},
                 .average = step->op == NGI_OP_AVG_POOL,
                 .threads = threads};
    if (!windows_fit(&made))
        return NG_E_UNSUPPORTED;
    int64_t floats = made.w * made.c > 2 * made.c ? made.w * made.c : 2 * made.c; /* a row; best and first */
    made.per_thread = ngi_onednn_round_up((size_t)floats * sizeof(float));
    pool *p = ngi_alloc(1, sizeof *p);
    if (!p)
        return ngi_fail_memory(err, sizeof *p);
    *p = made;
    *out = (ngi_kernel){.state = p,
                        .name = "rows and columns",
                        .scratch = p->per_thread * (size_t)threads,
                        .forward = forward,
                        .backward = step->backward ? backward : NULL,
                        .destroy = destroy};
    return NG_OK;
}
