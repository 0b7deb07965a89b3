/* UpSampling2D and Resizing. Bilinear is tf.image.resize(antialias=False): half-pixel centres, edges
 * clamped, positions and weights in float32 as TensorFlow's ResizeBilinear computes them. Nearest is
 * floor((i + 0.5) * scale); UpSampling2D's nearest repeats pixels. The crop to the target's aspect ratio
 * follows keras.ops.image.resize. */
#include "exec/ref/ref.h"

#include <math.h>
#include <string.h>

static int64_t clamp_index(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* UpSampling2D's nearest: every cell of n repeated. */
static void fill_repeats(ngi_ref_tap *taps, int64_t out, int64_t n)
{
    for (int64_t i = 0; i < out; i++)
        taps[i] = (ngi_ref_tap){.low = i / (out / n), .high = i / (out / n)};
}

/* Taps of `out` cells over `n` cells that begin at `first`. */
static void fill_taps(ngi_ref_tap *taps, int64_t out, int64_t first, int64_t n, bool bilinear)
{
    const float scale = (float)n / (float)out;
    for (int64_t i = 0; i < out; i++) {
        float position = ((float)i + 0.5f) * scale;
        if (bilinear) {
            position -= 0.5f;
            taps[i].low = first + clamp_index((int64_t)floorf(position), n);
            taps[i].high = first + clamp_index((int64_t)ceilf(position), n);
            taps[i].lerp = position - floorf(position);
        } else {
            taps[i].low = taps[i].high = first + clamp_index((int64_t)floorf(position), n);
            taps[i].lerp = 0.0f;
        }
    }
}

/* Length along one axis of the largest centred part with the target's aspect ratio. */
static int64_t cropped(int64_t n, int64_t other, int64_t target, int64_t other_target)
{
    int64_t length = (int64_t)((float)(other * target) / (float)other_target);
    return length < 1 ? 1 : length > n ? n : length;
}

ng_status ngi_ref_resize_prepare(ngi_ref *k, ng_error *err)
{
    const ngi_attr *a = k->step.attr;
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    const int64_t h = in->dim[0], w = in->dim[1], oh = out->dim[0], ow = out->dim[1];
    k->taps = ngi_alloc((size_t)(oh + ow), sizeof *k->taps);
    if (!k->taps)
        return ngi_fail_memory(err, (size_t)(oh + ow) * sizeof *k->taps);
    if (k->step.op == NGI_OP_UPSAMPLE && !a->bilinear) {
        fill_repeats(k->taps, oh, h);
        fill_repeats(k->taps + oh, ow, w);
        return NG_OK;
    }
    int64_t ch = h, cw = w;
    if (k->step.op == NGI_OP_RESIZE && a->crop_to_aspect) {
        ch = cropped(h, w, oh, ow);
        cw = cropped(w, h, ow, oh);
    }
    fill_taps(k->taps, oh, (h - ch) / 2, ch, a->bilinear);
    fill_taps(k->taps + oh, ow, (w - cw) / 2, cw, a->bilinear);
    return NG_OK;
}

size_t ngi_ref_resize_scratch(const ngi_ref *k)
{
    return k->step.backward ? (size_t)k->in_count * sizeof(double) : 0;
}

static void blend(const float *restrict tl, const float *restrict tr, const float *restrict bl,
                  const float *restrict br, float x, float y, float *restrict out, int64_t c)
{
    for (int64_t i = 0; i < c; i++) {
        float top = tl[i] + (tr[i] - tl[i]) * x, bottom = bl[i] + (br[i] - bl[i]) * x;
        out[i] = top + (bottom - top) * y;
    }
}

void ngi_ref_resize_forward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t oh = k->step.out_shape->dim[0], ow = k->step.out_shape->dim[1],
                  c = k->step.out_shape->dim[2];
    const int64_t row = k->step.in_shape[0]->dim[1] * c;
    const ngi_ref_tap *rows = k->taps, *columns = k->taps + oh;
    float *out = run->out; /* [n,oh,ow,c] */
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [h,w,c] */
        for (int64_t y = 0; y < oh; y++) {
            const float *top = in + rows[y].low * row, *bottom = in + rows[y].high * row;
            for (int64_t x = 0; x < ow; x++, out += c) {
                int64_t left = columns[x].low * c, right = columns[x].high * c;
                if (k->step.attr->bilinear)
                    blend(top + left, top + right, bottom + left, bottom + right, columns[x].lerp,
                          rows[y].lerp, out, c);
                else
                    memcpy(out, top + left, (size_t)c * sizeof *out);
            }
        }
    }
}

static void add_scaled(double *restrict acc, const float *restrict grad, double weight, int64_t c)
{
    for (int64_t i = 0; i < c; i++)
        acc[i] += weight * grad[i];
}

/* Adds one output pixel's gradient to the four input pixels it was blended from. */
static void unblend(double *acc, int64_t row, int64_t c, const ngi_ref_tap *ty, const ngi_ref_tap *tx,
                    const float *grad)
{
    const double y = ty->lerp, x = tx->lerp;
    add_scaled(acc + ty->low * row + tx->low * c, grad, (1.0 - y) * (1.0 - x), c);
    if (x > 0.0)
        add_scaled(acc + ty->low * row + tx->high * c, grad, (1.0 - y) * x, c);
    if (y > 0.0)
        add_scaled(acc + ty->high * row + tx->low * c, grad, y * (1.0 - x), c);
    if (x > 0.0 && y > 0.0)
        add_scaled(acc + ty->high * row + tx->high * c, grad, y * x, c);
}

void ngi_ref_resize_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t oh = k->step.out_shape->dim[0], ow = k->step.out_shape->dim[1],
                  c = k->step.out_shape->dim[2];
    const int64_t row = k->step.in_shape[0]->dim[1] * c;
    double *acc = run->scratch;        /* [h,w,c] */
    const float *grad = run->grad_out; /* [n,oh,ow,c] */
    for (int n = 0; n < run->n; n++) {
        memset(acc, 0, (size_t)k->in_count * sizeof *acc);
        for (int64_t y = 0; y < oh; y++)
            for (int64_t x = 0; x < ow; x++, grad += c)
                unblend(acc, row, c, &k->taps[y], &k->taps[oh + x], grad);
        ngi_ref_store_double(run->grad_in[0] + n * k->in_count, acc, k->in_count, run->accumulate[0]);
    }
}
