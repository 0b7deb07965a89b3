/* UpSampling2D and Resizing: nearest and bilinear with half-pixel centres, as tf.image.resize computes them (float32
 * scales; tensorflow/core/util/image_resizer_state.h). crop_to_aspect_ratio cuts the centre first, as
 * keras.layers.Resizing does. */
#include "exec/ref/ref.h"

#include <math.h>
#include <string.h>

/* Taps of `out` cells over the `n` source cells from `start`. */
static void fill_taps(ngi_ref_tap *taps, int64_t out, int64_t start, int64_t n, bool bilinear)
{
    float scale = (float)n / (float)out;
    for (int64_t i = 0; i < out; i++) {
        float centre = ((float)i + 0.5f) * scale;
        float at = bilinear ? centre - 0.5f : floorf(centre);
        float low = floorf(at);
        int64_t first = low < 0 ? 0 : (int64_t)low, second = (int64_t)ceilf(at);
        first = first > n - 1 ? n - 1 : first;
        second = second < 0 ? 0 : second > n - 1 ? n - 1 : second;
        taps[i] = (ngi_ref_tap){start + first, start + (bilinear ? second : first), bilinear ? at - low : 0};
    }
}

/* keras.src.backend: the largest centred window of the target's aspect ratio. */
static void aspect_window(int64_t n, int64_t across, int64_t target, int64_t target_across, int64_t *start, int64_t *size)
{
    int64_t fit = (int64_t)((double)(across * target) / (double)target_across);
    fit = fit > n ? n : fit < 1 ? 1 : fit;
    *start = (int64_t)((double)(n - fit) / 2);
    *size = fit;
}

ng_status ngi_ref_resize_prepare(ngi_ref *k, ng_error *err)
{
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    int64_t h = in->dim[0], w = in->dim[1], oh = out->dim[0], ow = out->dim[1], y0 = 0, x0 = 0, ch = h, cw = w;
    k->taps = ngi_alloc((size_t)(oh + ow), sizeof *k->taps);
    if (!k->taps)
        return ngi_fail_memory(err, (size_t)(oh + ow) * sizeof *k->taps);
    if (k->step.op == NGI_OP_RESIZE && k->step.attr->crop_to_aspect) {
        aspect_window(h, w, oh, ow, &y0, &ch);
        aspect_window(w, h, ow, oh, &x0, &cw);
    }
    fill_taps(k->taps, oh, y0, ch, k->step.attr->bilinear);
    fill_taps(k->taps + oh, ow, x0, cw, k->step.attr->bilinear);
    return NG_OK;
}

size_t ngi_ref_resize_scratch(const ngi_ref *k)
{
    return k->step.backward ? (size_t)k->in_count * sizeof(double) : 0;
}

void ngi_ref_resize_forward(const ngi_ref *k, const ngi_run *run)
{
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    int64_t w = in->dim[1], c = in->dim[2], oh = out->dim[0], ow = out->dim[1];
    const ngi_ref_tap *rows = k->taps, *columns = k->taps + oh;
    for (int64_t n = 0; n < run->n; n++) {
        const float *src = run->in[0] + n * k->in_count; /* [h,w,c] */
        float *dst = run->out + n * k->out_count;        /* [oh,ow,c] */
        for (int64_t y = 0; y < oh; y++)
            for (int64_t x = 0; x < ow; x++, dst += c) {
                const float *tl = src + (rows[y].low * w + columns[x].low) * c;
                const float *tr = src + (rows[y].low * w + columns[x].high) * c;
                const float *bl = src + (rows[y].high * w + columns[x].low) * c;
                const float *br = src + (rows[y].high * w + columns[x].high) * c;
                float fx = columns[x].lerp, fy = rows[y].lerp;
                for (int64_t i = 0; i < c; i++) {
                    float top = tl[i] + (tr[i] - tl[i]) * fx, bottom = bl[i] + (br[i] - bl[i]) * fx;
                    dst[i] = top + (bottom - top) * fy;
                }
            }
    }
}

void ngi_ref_resize_backward(const ngi_ref *k, const ngi_run *run)
{
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    int64_t w = in->dim[1], c = in->dim[2], oh = out->dim[0], ow = out->dim[1];
    const ngi_ref_tap *rows = k->taps, *columns = k->taps + oh;
    double *sums = run->scratch; /* [h,w,c] */
    for (int64_t n = 0; n < run->n; n++) {
        const float *grad = run->grad_out + n * k->out_count;
        memset(sums, 0, (size_t)k->in_count * sizeof *sums);
        for (int64_t y = 0; y < oh; y++)
            for (int64_t x = 0; x < ow; x++, grad += c) {
                double fx = columns[x].lerp, fy = rows[y].lerp;
                double *tl = sums + (rows[y].low * w + columns[x].low) * c;
                double *tr = sums + (rows[y].low * w + columns[x].high) * c;
                double *bl = sums + (rows[y].high * w + columns[x].low) * c;
                double *br = sums + (rows[y].high * w + columns[x].high) * c;
                for (int64_t i = 0; i < c; i++) {
                    tl[i] += grad[i] * (1 - fx) * (1 - fy);
                    tr[i] += grad[i] * fx * (1 - fy);
                    bl[i] += grad[i] * (1 - fx) * fy;
                    br[i] += grad[i] * fx * fy;
                }
            }
        ngi_ref_store_double(run->grad_in[0] + n * k->in_count, sums, k->in_count, run->accumulate[0]);
    }
}
