/* Ops that only move values: constants, permute, slice, zero padding, cropping, concatenation. Each is one strided copy,
 * and its gradient the copy back. */
#include "exec/ref/ref.h"

#include <string.h>

/* A block of dim[rank] elements and the strides with which source and destination are walked. */
typedef struct strided_copy {
    int rank;
    int64_t dim[NGI_MAX_RANK], to[NGI_MAX_RANK], from[NGI_MAX_RANK];
    int64_t to_start, from_start;
} strided_copy;

static void copy_row(float *dst, int64_t to, const float *src, int64_t from, int64_t n, bool add)
{
    if (to == 1 && from == 1 && !add) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        dst[i * to] = add ? dst[i * to] + src[i * from] : src[i * from];
}

static void copy(const strided_copy *c, float *dst, const float *src, bool add)
{
    int64_t index[NGI_MAX_RANK] = {0};
    const int last = c->rank - 1;
    dst += c->to_start;
    src += c->from_start;
    for (;;) {
        copy_row(dst, c->to[last], src, c->from[last], c->dim[last], add);
        int axis = last - 1;
        for (; axis >= 0; axis--) {
            dst += c->to[axis];
            src += c->from[axis];
            if (++index[axis] < c->dim[axis])
                break;
            dst -= c->to[axis] * c->dim[axis];
            src -= c->from[axis] * c->dim[axis];
            index[axis] = 0;
        }
        if (axis < 0)
            return;
    }
}

/* The same elements the other way round. */
static strided_copy reversed(strided_copy c)
{
    strided_copy r = c;
    memcpy(r.to, c.from, sizeof r.to);
    memcpy(r.from, c.to, sizeof r.from);
    r.to_start = c.from_start;
    r.from_start = c.to_start;
    return r;
}

static void row_major(const ngi_shape *s, int64_t stride[NGI_MAX_RANK])
{
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= s->dim[i];
    }
}

/* The forward copy of one image for the op of this step. */
static strided_copy plan_copy(const ngi_ref *k)
{
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    const ngi_attr *a = k->step.attr;
    strided_copy c = {.rank = out->rank};
    int64_t in_stride[NGI_MAX_RANK] = {0};
    row_major(in, in_stride);
    row_major(out, c.to);
    memcpy(c.dim, out->dim, sizeof c.dim);
    memcpy(c.from, in_stride, sizeof c.from);
    switch (k->step.op) {
    case NGI_OP_PERMUTE:
        for (int i = 0; i < c.rank; i++)
            c.from[i] = in_stride[a->permutation[i]];
        break;
    case NGI_OP_SLICE:
        for (int i = 0; i < c.rank; i++) {
            c.from_start += a->begin[i] * in_stride[i];
            c.from[i] = c.dim[i] > 1 ? in_stride[i] * a->step[i] : 0; /* a lone element's step may be huge */
        }
        break;
    case NGI_OP_CROP:
        c.from_start = a->pad.top * in_stride[0] + a->pad.left * in_stride[1];
        break;
    default: /* ZERO_PAD: the whole input into the middle of the output */
        memcpy(c.dim, in->dim, sizeof c.dim);
        c.to_start = a->pad.top * c.to[0] + a->pad.left * c.to[1];
        break;
    }
    return c;
}

static void forward(const ngi_ref *k, const ngi_run *run, bool clear)
{
    strided_copy c = plan_copy(k);
    for (int64_t n = 0; n < run->n; n++) {
        if (clear)
            memset(run->out + n * k->out_count, 0, (size_t)k->out_count * sizeof *run->out);
        copy(&c, run->out + n * k->out_count, run->in[0] + n * k->in_count, false);
    }
}

static void backward(const ngi_ref *k, const ngi_run *run, bool clear)
{
    strided_copy c = plan_copy(k), back = reversed(c);
    for (int64_t n = 0; n < run->n; n++) {
        float *grad = run->grad_in[0] + n * k->in_count;
        if (clear)
            ngi_ref_clear(grad, k->in_count, run->accumulate[0]);
        copy(&back, grad, run->grad_out + n * k->out_count, run->accumulate[0]);
    }
}

void ngi_ref_permute_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, false);
}

void ngi_ref_permute_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, false);
}

void ngi_ref_slice_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, false);
}

void ngi_ref_slice_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, true);
}

void ngi_ref_crop_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, false);
}

void ngi_ref_crop_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, true);
}

void ngi_ref_zero_pad_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, true);
}

void ngi_ref_zero_pad_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, false);
}

/* ---- Concatenation: blocks of `inner` values after `outer` leading ones ------------------------ */

static int64_t axis_block(const ngi_shape *s, int axis)
{
    int64_t n = 1;
    for (int i = axis; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

/* Inputs that lie in their place already are left out. */
void ngi_ref_concat_forward(const ngi_ref *k, const ngi_run *run)
{
    int axis = k->step.attr->axis;
    int64_t row = axis_block(k->step.out_shape, axis), rows = run->n * k->out_count / row,
            block[NGI_MAX_INPUTS], at = 0;
    int64_t stride = run->out_stride ? run->out_stride : row;
    const float *from[NGI_MAX_INPUTS];
    float *to[NGI_MAX_INPUTS];
    int n = 0;
    for (int i = 0; i < k->step.n_inputs; i++) {
        const float *in = run->in[i];
        float *place = run->out + at;
        int64_t size = axis_block(ngi_ref_in_shape(k, i), axis);
        at += size;
        if (in == place)
            continue;
        from[n] = in;
        to[n] = place;
        block[n++] = size;
    }
    for (int64_t r = 0; r < rows; r++) /* writes straight through, which is what takes the time */
        for (int i = 0; i < n; i++)
            memcpy(to[i] + r * stride, from[i] + r * block[i], (size_t)block[i] * sizeof(float));
}

void ngi_ref_concat_backward(const ngi_ref *k, const ngi_run *run)
{
    int axis = k->step.attr->axis;
    int64_t row = axis_block(k->step.out_shape, axis), rows = run->n * k->out_count / row, at = 0;
    for (int i = 0; i < k->step.n_inputs; i++) {
        int64_t block = axis_block(ngi_ref_in_shape(k, i), axis);
        for (int64_t r = 0; r < rows && run->grad_in[i]; r++)
            ngi_ref_store(run->grad_in[i] + r * block, run->grad_out + r * row + at, block,
                          run->accumulate[i]);
        at += block;
    }
}

/* ---- Constant ---------------------------------------------------------------------------------- */

void ngi_ref_constant_forward(const ngi_ref *k, const ngi_run *run)
{
    for (int i = 0; i < run->n; i++)
        memcpy(run->out + i * k->out_count, k->step.w[0], (size_t)k->out_count * sizeof *run->out);
}

/* Nothing leads to it. */
void ngi_ref_constant_backward(const ngi_ref *k, const ngi_run *run)
{
    (void)k;
    (void)run;
}
