/* Pooling. Padding is left out of maxima and means (Keras, TensorFlow). Ties: max pooling gives the
 * gradient to the first maximum of a window, as TensorFlow's CPU kernel does; global max pooling is
 * tf.reduce_max, which divides it between equal maxima. Not a number wins every maximum. */
#include "exec/ref/ref.h"

#include <math.h>

typedef struct pool_window {
    int64_t y0, y1, x0, x1; /* first and one past the last tap inside the input, by kernel row and column */
    int64_t top, left;      /* input position of tap (0, 0); may be negative */
} pool_window;

static void clip_taps(int64_t start, int64_t dilation, int64_t kernel, int64_t n, int64_t *first,
                      int64_t *last)
{
    *first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    *last = start >= n ? 0 : (n - 1 - start) / dilation + 1;
    if (*last > kernel)
        *last = kernel;
    if (*last < *first)
        *last = *first;
}

static pool_window window_at(const ngi_ref *k, int64_t oy, int64_t ox)
{
    const ngi_attr *a = k->step.attr;
    const ngi_shape *in = k->step.in_shape[0];
    pool_window w = {.top = oy * a->stride_h - a->pad.top, .left = ox * a->stride_w - a->pad.left};
    clip_taps(w.top, a->dilation_h, a->kernel_h, in->dim[0], &w.y0, &w.y1);
    clip_taps(w.left, a->dilation_w, a->kernel_w, in->dim[1], &w.x0, &w.x1);
    return w;
}

/* Position of a tap's pixel, in pixels from the image's first. */
static int64_t tap_pixel(const ngi_ref *k, const pool_window *w, int64_t ky, int64_t kx)
{
    const ngi_attr *a = k->step.attr;
    return (w->top + ky * a->dilation_h) * k->step.in_shape[0]->dim[1] + w->left + kx * a->dilation_w;
}

size_t ngi_ref_pool_scratch(const ngi_ref *k)
{
    /* Sums or indices, then the best values so far, one for each channel. */
    return (size_t)k->step.in_shape[0]->dim[2] * (sizeof(double) + sizeof(float));
}

static void take_maximum(float *restrict best, const float *restrict x, int64_t n)
{
    for (int64_t c = 0; c < n; c++)
        best[c] = x[c] <= best[c] || best[c] != best[c] ? best[c] : x[c];
}

void ngi_ref_max_pool_forward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t oh = k->step.out_shape->dim[0], ow = k->step.out_shape->dim[1],
                  c = k->step.out_shape->dim[2];
    float *out = run->out; /* [n,oh,ow,c] */
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [h,w,c] */
        for (int64_t y = 0; y < oh; y++)
            for (int64_t x = 0; x < ow; x++, out += c) {
                pool_window w = window_at(k, y, x);
                for (int64_t i = 0; i < c; i++)
                    out[i] = -INFINITY;
                for (int64_t ky = w.y0; ky < w.y1; ky++)
                    for (int64_t kx = w.x0; kx < w.x1; kx++)
                        take_maximum(out, in + tap_pixel(k, &w, ky, kx) * c, c);
            }
    }
}

/* The pixel of each channel's first maximum, -1 where the window is empty. */
static void find_maximum(const ngi_ref *k, const pool_window *w, const float *in, int64_t c, int64_t *pixel,
                         float *best)
{
    for (int64_t i = 0; i < c; i++) {
        pixel[i] = -1;
        best[i] = -INFINITY;
    }
    for (int64_t ky = w->y0; ky < w->y1; ky++)
        for (int64_t kx = w->x0; kx < w->x1; kx++) {
            int64_t p = tap_pixel(k, w, ky, kx);
            for (int64_t i = 0; i < c; i++) {
                float v = in[p * c + i];
                if (pixel[i] < 0 || !(v <= best[i] || best[i] != best[i])) {
                    best[i] = v;
                    pixel[i] = p;
                }
            }
        }
}

void ngi_ref_max_pool_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t oh = k->step.out_shape->dim[0], ow = k->step.out_shape->dim[1],
                  c = k->step.out_shape->dim[2];
    int64_t *pixel = run->scratch;      /* [c] */
    float *best = (float *)(pixel + c); /* [c] */
    const float *grad = run->grad_out;  /* [n,oh,ow,c] */
    ngi_ref_clear(run->grad_in[0], run->n * k->in_count, run->accumulate[0]);
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [h,w,c] */
        float *dx = run->grad_in[0] + n * k->in_count;
        for (int64_t y = 0; y < oh; y++)
            for (int64_t x = 0; x < ow; x++, grad += c) {
                pool_window w = window_at(k, y, x);
                find_maximum(k, &w, in, c, pixel, best);
                for (int64_t i = 0; i < c; i++)
                    if (pixel[i] >= 0)
                        dx[pixel[i] * c + i] += grad[i];
            }
    }
}

static void add_row(double *restrict acc, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

static double taps_in(const pool_window *w)
{
    int64_t count = (w->y1 - w->y0) * (w->x1 - w->x0);
    return count > 0 ? (double)count : 1.0;
}

void ngi_ref_avg_pool_forward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t oh = k->step.out_shape->dim[0], ow = k->step.out_shape->dim[1],
                  c = k->step.out_shape->dim[2];
    double *acc = run->scratch; /* [c] */
    float *out = run->out;      /* [n,oh,ow,c] */
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [h,w,c] */
        for (int64_t y = 0; y < oh; y++)
            for (int64_t x = 0; x < ow; x++, out += c) {
                pool_window w = window_at(k, y, x);
                for (int64_t i = 0; i < c; i++)
                    acc[i] = 0.0;
                for (int64_t ky = w.y0; ky < w.y1; ky++)
                    for (int64_t kx = w.x0; kx < w.x1; kx++)
                        add_row(acc, in + tap_pixel(k, &w, ky, kx) * c, c);
                const double scale = 1.0 / taps_in(&w);
                for (int64_t i = 0; i < c; i++)
                    out[i] = (float)(acc[i] * scale);
            }
    }
}

void ngi_ref_avg_pool_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t oh = k->step.out_shape->dim[0], ow = k->step.out_shape->dim[1],
                  c = k->step.out_shape->dim[2];
    const float *grad = run->grad_out; /* [n,oh,ow,c] */
    ngi_ref_clear(run->grad_in[0], run->n * k->in_count, run->accumulate[0]);
    for (int n = 0; n < run->n; n++) {
        float *dx = run->grad_in[0] + n * k->in_count; /* [h,w,c] */
        for (int64_t y = 0; y < oh; y++)
            for (int64_t x = 0; x < ow; x++, grad += c) {
                pool_window w = window_at(k, y, x);
                const float scale = (float)(1.0 / taps_in(&w));
                for (int64_t ky = w.y0; ky < w.y1; ky++)
                    for (int64_t kx = w.x0; kx < w.x1; kx++) {
                        float *pixel = dx + tap_pixel(k, &w, ky, kx) * c;
                        for (int64_t i = 0; i < c; i++)
                            pixel[i] += grad[i] * scale;
                    }
            }
    }
}

void ngi_ref_global_avg_forward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t c = k->out_count, pixels = k->in_count / c;
    double *acc = run->scratch; /* [c] */
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [h,w,c] */
        for (int64_t i = 0; i < c; i++)
            acc[i] = 0.0;
        for (int64_t p = 0; p < pixels; p++)
            add_row(acc, in + p * c, c);
        for (int64_t i = 0; i < c; i++)
            run->out[n * c + i] = (float)(acc[i] / (double)pixels);
    }
}

void ngi_ref_global_avg_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t c = k->out_count, pixels = k->in_count / c;
    float *row = run->scratch; /* [c] */
    for (int n = 0; n < run->n; n++) {
        float *dx = run->grad_in[0] + n * k->in_count; /* [h,w,c] */
        for (int64_t i = 0; i < c; i++)
            row[i] = (float)(run->grad_out[n * c + i] / (double)pixels);
        for (int64_t p = 0; p < pixels; p++)
            ngi_ref_store(dx + p * c, row, c, run->accumulate[0]);
    }
}

void ngi_ref_global_max_forward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t c = k->out_count, pixels = k->in_count / c;
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [h,w,c] */
        float *out = run->out + n * c;
        ngi_ref_store(out, in, c, false);
        for (int64_t p = 1; p < pixels; p++)
            take_maximum(out, in + p * c, c);
    }
}

void ngi_ref_global_max_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t c = k->out_count, pixels = k->in_count / c;
    float *share = run->scratch; /* [c]: the gradient each maximum gets */
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count, *out = run->out + n * c;
        float *dx = run->grad_in[0] + n * k->in_count; /* [h,w,c] */
        for (int64_t i = 0; i < c; i++)
            share[i] = 0.0f;
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t i = 0; i < c; i++)
                share[i] += in[p * c + i] == out[i] ? 1.0f : 0.0f;
        for (int64_t i = 0; i < c; i++)
            share[i] = run->grad_out[n * c + i] / (share[i] > 0.0f ? share[i] : 1.0f);
        ngi_ref_clear(dx, k->in_count, run->accumulate[0]);
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t i = 0; i < c; i++)
                dx[p * c + i] += in[p * c + i] == out[i] ? share[i] : 0.0f;
    }
}
