/* What the oneDNN kernels are compared with: the same operations in plain loops, sums in double. One
 * layer at a time is described by a `layer`, made into a step, run and compared, forward and backward. */
#ifndef ORACLE_H
#define ORACLE_H

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"

typedef struct layer {
    ngi_op op;
    int h, w, ic, oc; /* DENSE: h rows, w = 1 */
    int kh, kw, stride, dilation, groups;
    bool same, bias;
    ngi_activation_attr act; /* LINEAR: none */
    bool backward;
    int batch, n, threads;
    uint32_t seed;
} layer;

typedef struct fixture {
    layer l;
    ngi_node node;
    ngi_graph graph;
    ngi_attr attr;
    ngi_shape in, out;
    ngi_step step;
    int oh, ow;
    float *kernel, *bias;                 /* [kh,kw,ic/groups,oc], [oc] */
    float *x, *y, *pre, *grad_y, *grad_x; /* n images; the expected ones */
    int64_t x_count, y_count;             /* of one image */
} fixture;

static uint32_t random_state = 1;

static inline float random_float(void) /* -1..1 */
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 8388608.0f - 1.0f;
}

static inline int random_int(int low, int high)
{
    random_state = random_state * 1664525u + 1013904223u;
    return low + (int)((random_state >> 8) % (uint32_t)(high - low + 1));
}

static inline float *random_floats(int64_t n)
{
    float *v = malloc((size_t)(n > 0 ? n : 1) * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < n; i++)
        v[i] = random_float();
    return v;
}

/* One window position: input pixel of tap (ky,kx) of output (oy,ox); false in the padding. */
static inline bool tap(const fixture *f, int oy, int ox, int ky, int kx, int *iy, int *ix)
{
    *iy = oy * f->l.stride - f->attr.pad.top + ky * f->l.dilation;
    *ix = ox * f->l.stride - f->attr.pad.left + kx * f->l.dilation;
    return *iy >= 0 && *iy < f->l.h && *ix >= 0 && *ix < f->l.w;
}

/* Kernel element that leads from input channel c to output channel o; false where there is none. */
static inline bool weight_of(const fixture *f, int ky, int kx, int c, int o, float *w)
{
    int groups = f->l.op == NGI_OP_DEPTHWISE ? f->l.ic : f->l.groups;
    int per_in = f->l.ic / groups, per_out = f->l.oc / groups;
    if (c / per_in != o / per_out)
        return false;
    *w = f->kernel[(((int64_t)ky * f->l.kw + kx) * per_in + c % per_in) * f->l.oc + o];
    return true;
}

/* Convolutions and dense (a 1x1 one): pre-activations, or with grad the gradient to the input. */
static inline void oracle_linear(fixture *f, int image, bool grad, const float *grad_pre)
{
    const float *x = f->x + image * f->x_count;
    double *sum = calloc((size_t)(grad ? f->x_count : f->y_count), sizeof *sum);
    assert_non_null(sum);
    for (int oy = 0; oy < f->oh; oy++)
        for (int ox = 0; ox < f->ow; ox++)
            for (int ky = 0; ky < f->l.kh; ky++)
                for (int kx = 0; kx < f->l.kw; kx++) {
                    int iy, ix;
                    if (!tap(f, oy, ox, ky, kx, &iy, &ix))
                        continue;
                    int64_t xi = ((int64_t)iy * f->l.w + ix) * f->l.ic,
                            yi = ((int64_t)oy * f->ow + ox) * f->l.oc;
                    for (int c = 0; c < f->l.ic; c++)
                        for (int o = 0; o < f->l.oc; o++) {
                            float w;
                            if (!weight_of(f, ky, kx, c, o, &w))
                                continue;
                            if (grad)
                                sum[xi + c] += (double)w * grad_pre[yi + o];
                            else
                                sum[yi + o] += (double)w * x[xi + c];
                        }
                }
    float *to = grad ? f->grad_x + image * f->x_count : f->pre + image * f->y_count;
    for (int64_t i = 0; i < (grad ? f->x_count : f->y_count); i++)
        to[i] = (float)(sum[i] + (!grad && f->bias ? f->bias[i % f->l.oc] : 0.0f));
    free(sum);
}

static inline void oracle_pool(fixture *f, int image, bool grad)
{
    const float *x = f->x + image * f->x_count;
    float *gx = f->grad_x + image * f->x_count;
    bool max = f->l.op == NGI_OP_MAX_POOL;
    for (int64_t i = 0; i < f->y_count; i++) {
        int c = (int)(i % f->l.ic), ox = (int)(i / f->l.ic % f->ow), oy = (int)(i / f->l.ic / f->ow),
            count = 0;
        int iy, ix;
        int64_t at[1024], best = -1;
        double sum = 0;
        for (int ky = 0; ky < f->l.kh; ky++)
            for (int kx = 0; kx < f->l.kw; kx++)
                if (tap(f, oy, ox, ky, kx, &iy, &ix)) {
                    int64_t j = at[count++] = ((int64_t)iy * f->l.w + ix) * f->l.ic + c;
                    sum += x[j];
                    best = best < 0 || x[j] > x[best] ? j : best;
                }
        float g = f->grad_y[image * f->y_count + i];
        if (!grad)
            f->pre[image * f->y_count + i] = max ? x[best] : (float)(sum / count);
        else if (max)
            gx[best] += g;
        else
            for (int t = 0; t < count; t++)
                gx[at[t]] += g / (float)count;
    }
}

/* Kinks of the activations used in tests: where f' jumps, rounding may fall on either side. */
static inline bool near_kink(const ngi_activation_attr *a, float x)
{
    return fabsf(x) < 1e-4f || fabsf(x - a->max_value) < 1e-4f || fabsf(x - a->threshold) < 1e-4f ||
           (a->kind == NGI_ACT_RELU6 && fabsf(x - 6.0f) < 1e-4f);
}

static inline void oracle(fixture *f)
{
    int64_t total = f->l.n * f->y_count;
    bool pool = f->l.op == NGI_OP_MAX_POOL || f->l.op == NGI_OP_AVG_POOL;
    for (int i = 0; i < f->l.n; i++)
        pool ? oracle_pool(f, i, false) : oracle_linear(f, i, false, NULL);
    if (f->step.has_act)
        ngi_activate(&f->l.act, f->pre, f->y, total);
    else
        memcpy(f->y, f->pre, (size_t)total * sizeof *f->y);
    if (!f->l.backward)
        return;
    float *grad_pre = malloc((size_t)total * sizeof *grad_pre);
    assert_non_null(grad_pre);
    for (int64_t i = 0; i < total; i++)
        f->grad_y[i] = f->step.has_act && near_kink(&f->l.act, f->pre[i]) ? 0.0f : f->grad_y[i];
    if (f->step.has_act)
        ngi_activate_grad(&f->l.act, f->pre, f->grad_y, grad_pre, total);
    else
        memcpy(grad_pre, f->grad_y, (size_t)total * sizeof *grad_pre);
    for (int i = 0; i < f->l.n; i++)
        pool ? oracle_pool(f, i, true) : oracle_linear(f, i, true, grad_pre + i * f->y_count);
    free(grad_pre);
}

static inline int out_size(const layer *l, int size, int kernel, int *before, int *after)
{
    *before = *after = 0;
    if (l->same)
        ngi_same_padding(size, kernel, l->stride, l->dilation, before, after);
    return (size + *before + *after - (kernel - 1) * l->dilation - 1) / l->stride + 1;
}

static inline void fixture_step(fixture *f)
{
    const layer *l = &f->l;
    static char layer_name[] = "layer";
    f->node = (ngi_node){.name = layer_name, .op = l->op};
    f->graph = (ngi_graph){.nodes = &f->node, .n_nodes = 1};
    ngi_attr_init(&f->attr);
    f->attr.kernel_h = l->kh;
    f->attr.kernel_w = l->kw;
    f->attr.stride_h = f->attr.stride_w = l->stride;
    f->attr.dilation_h = f->attr.dilation_w = l->dilation;
    f->attr.groups = l->groups;
    f->oh = out_size(l, l->h, l->kh, &f->attr.pad.top, &f->attr.pad.bottom);
    f->ow = out_size(l, l->w, l->kw, &f->attr.pad.left, &f->attr.pad.right);
    f->in = ngi_shape_of(3, (int64_t)l->h, (int64_t)l->w, (int64_t)l->ic);
    f->out = ngi_shape_of(3, (int64_t)f->oh, (int64_t)f->ow, (int64_t)l->oc);
    if (l->op == NGI_OP_DENSE && l->h == 1) {
        f->in = ngi_shape_of(1, (int64_t)l->ic);
        f->out = ngi_shape_of(1, (int64_t)l->oc);
    }
    static const int inputs[1] = {0};
    f->step = (ngi_step){.graph = &f->graph,
                         .op = l->op,
                         .attr = &f->attr,
                         .n_inputs = 1,
                         .inputs = inputs,
                         .in_shape = {&f->in},
                         .out_shape = &f->out,
                         .kernel = f->kernel,
                         .bias = f->bias,
                         .has_act = l->act.kind != NGI_ACT_LINEAR,
                         .act = l->act,
                         .backward = l->backward};
}

static inline void fixture_init(fixture *f, const layer *l)
{
    memset(f, 0, sizeof *f);
    f->l = *l;
    random_state = l->seed * 2654435761u + 12345u;
    bool pool = l->op == NGI_OP_MAX_POOL || l->op == NGI_OP_AVG_POOL;
    if (pool)
        f->l.oc = l->ic;
    int per_in = l->op == NGI_OP_DEPTHWISE ? 1 : l->ic / l->groups;
    f->kernel = pool ? NULL : random_floats((int64_t)l->kh * l->kw * per_in * l->oc);
    f->bias = l->bias && !pool ? random_floats(l->oc) : NULL;
    fixture_step(f);
    f->x_count = (int64_t)l->h * l->w * l->ic;
    f->y_count = (int64_t)f->oh * f->ow * f->l.oc;
    f->x = random_floats(l->n * f->x_count);
    f->y = random_floats(l->n * f->y_count);
    f->pre = random_floats(l->n * f->y_count);
    f->grad_y = random_floats(l->n * f->y_count);
    f->grad_x = calloc((size_t)(l->n * f->x_count), sizeof *f->grad_x);
    assert_non_null(f->grad_x);
    if (l->op == NGI_OP_MAX_POOL) /* few distinct values: equal maxima in one window are common */
        for (int64_t i = 0; i < l->n * f->x_count; i++)
            f->x[i] = roundf(f->x[i] * 4.0f);
    oracle(f);
}

static inline void fixture_clear(fixture *f)
{
    float *all[] = {f->kernel, f->bias, f->x, f->y, f->pre, f->grad_y, f->grad_x};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static inline void fail_layer(const layer *l, const char *kernel, const char *what)
{
    fail_msg("%s: %s %dx%dx%d -> %d, kernel %dx%d stride %d dilation %d groups %d same %d bias %d act %s "
             "threads %d n %d of %d seed %u (%s)",
             what, ngi_op_name(l->op), l->h, l->w, l->ic, l->oc, l->kh, l->kw, l->stride, l->dilation,
             l->groups, l->same, l->bias, ngi_activation_name(l->act.kind), l->threads, l->n, l->batch,
             l->seed, kernel);
}

/* Whether found and expected differ by no more than a part of the largest magnitude in `scale`: rounding
 * is relative to what was added up, not to what is left of it after cancelling or an activation. */
static inline bool close_to(const float *found, const float *expected, const float *scale, int64_t n,
                            double tolerance)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)scale[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - expected[i]) <= tolerance * largest + 1e-7))
            return false;
    return true;
}

static inline float *filled(int64_t n, float value)
{
    float *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < n; i++)
        v[i] = value;
    return v;
}

#define TOLERANCE 1e-5

static inline void check_forward(const fixture *f, const ngi_kernel *k, void *context, void *scratch,
                                 float *out)
{
    int64_t total = f->l.n * f->y_count;
    const float *in[1] = {f->x};
    ngi_run run = {.n = f->l.n, .in = in, .out = out, .scratch = scratch, .context = context};
    assert_int_equal(k->forward(k, &run, NULL), NG_OK);
    if (!close_to(out, f->y, f->pre, total, TOLERANCE))
        fail_layer(&f->l, k->name, "forward differs");
    float *again = filled(total, NAN);
    const float *last[1] = {f->x + (f->l.n - 1) * f->x_count};
    run.out = again;
    assert_int_equal(k->forward(k, &run, NULL), NG_OK);
    if (memcmp(out, again, (size_t)total * sizeof *out) != 0)
        fail_layer(&f->l, k->name, "forward gives other bytes the second time");
    run.n = 1; /* the last image alone */
    run.in = last;
    assert_int_equal(k->forward(k, &run, NULL), NG_OK);
    if (memcmp(out + (f->l.n - 1) * f->y_count, again, (size_t)f->y_count * sizeof *out) != 0)
        fail_layer(&f->l, k->name, "one image alone gives other bytes than in a batch");
    free(again);
}

static inline void check_backward(const fixture *f, const ngi_kernel *k, void *context, void *scratch,
                                  float *out)
{
    int64_t total = f->l.n * f->x_count;
    float *grad = filled(total, NAN), *expected = filled(total, 0.5f);
    const float *in[1] = {f->l.op == NGI_OP_MAX_POOL ? f->x : NULL}; /* as ngi_op_backward_reads says */
    float *const grads[1] = {grad};
    bool accumulate[1] = {false};
    ngi_run run = {.n = f->l.n,
                   .in = in,
                   .out = out,
                   .grad_out = f->grad_y,
                   .grad_in = grads,
                   .accumulate = accumulate,
                   .scratch = scratch,
                   .context = context};
    assert_int_equal(k->backward(k, &run, NULL), NG_OK);
    if (!close_to(grad, f->grad_x, f->grad_x, total, TOLERANCE))
        fail_layer(&f->l, k->name, "backward differs");
    accumulate[0] = true;
    for (int64_t i = 0; i < total; i++) {
        grad[i] = 0.5f;
        expected[i] += f->grad_x[i];
    }
    assert_int_equal(k->backward(k, &run, NULL), NG_OK);
    if (!close_to(grad, expected, expected, total, TOLERANCE))
        fail_layer(&f->l, k->name, "backward does not add to the gradient");
    free(grad);
    free(expected);
}

/* Runs and compares one layer. False where the back end passes the layer on. */
static inline bool check_layer(const layer *l, char name[64])
{
    fixture f;
    ngi_kernel k = {0};
    ng_error err = {0};
    void *context = NULL;
    fixture_init(&f, l);
    ng_status status = ngi_backend_onednn.prepare(&f.step, l->batch, l->threads, &k, &err);
    if (status == NG_E_UNSUPPORTED) {
        assert_string_equal(err.text, "");
        fixture_clear(&f);
        return false;
    }
    if (status != NG_OK)
        fail_layer(l, err.text, "prepare failed");
    assert_int_equal(ngi_backend_onednn.context_create(l->threads, &context, &err), NG_OK);
    void *scratch = ngi_alloc_aligned(k.scratch);
    assert_non_null(scratch);
    memset(scratch, 0xff, k.scratch);
    float *out = filled(l->n * f.y_count, NAN);
    check_forward(&f, &k, context, scratch, out);
    if (l->backward)
        check_backward(&f, &k, context, scratch, out);
    else
        assert_null(k.backward);
    if (name)
        memcpy(name, k.name, sizeof k.name);
    free(out);
    ngi_free_aligned(scratch);
    ngi_backend_onednn.context_free(context);
    k.destroy(&k);
    fixture_clear(&f);
    return true;
}

static inline ngi_activation_attr activation(ngi_activation kind)
{
    return (ngi_activation_attr){.kind = kind, .alpha = 0.0f, .max_value = INFINITY, .threshold = 0.0f};
}

#endif
