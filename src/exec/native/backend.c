/* The back-end row: takes the convolutions that a transform speeds up and passes on all other steps. */
#include "exec/native/native.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fewer channels than this don't pay for the transforms. */
#define LEAST_CHANNELS 16

typedef struct native_state {
    ngi_winograd *forward, *backward; /* backward: NULL where no gradient is wanted */
    ngi_activation_attr act;
    bool has_act, clamp; /* clamp: the activation is done in the forward's output transform */
    int64_t in_count, out_count;
} native_state;

/* relu and relu6 are clamps; others are applied after the convolution. */
static bool as_clamp(const ngi_activation_attr *a, float *low, float *high)
{
    *low = 0;
    *high = a->kind == NGI_ACT_RELU6 ? 6 : a->max_value;
    return a->kind == NGI_ACT_RELU6 || (a->kind == NGI_ACT_RELU && a->alpha == 0 && a->threshold == 0);
}

static ng_status forward(const ngi_kernel *k, const ngi_run *run, ng_error *err)
{
    (void)err;
    const native_state *s = k->state;
    for (int i = 0; i < run->n; i++)
        ngi_winograd_run(s->forward, run->in[0] + i * s->in_count, run->out + i * s->out_count, false,
                         run->scratch);
    if (s->has_act && !s->clamp)
        ngi_activate(&s->act, run->out, run->out, run->n * s->out_count);
    return NG_OK;
}

static ng_status backward(const ngi_kernel *k, const ngi_run *run, ng_error *err)
{
    (void)err;
    const native_state *s = k->state;
    if (!run->grad_in[0])
        return NG_OK;
    float *masked = run->scratch;
    float *room = masked + (s->has_act ? (s->out_count + 15) / 16 * 16 : 0);
    for (int i = 0; i < run->n; i++) {
        const float *grad = run->grad_out + i * s->out_count;
        if (s->has_act && !run->activated) {
            ngi_activate_grad(&s->act, run->out + i * s->out_count, grad, masked, s->out_count);
            grad = masked;
        }
        ngi_winograd_run(s->backward, grad, run->grad_in[0] + i * s->in_count, run->accumulate[0], room);
    }
    return NG_OK;
}

static ng_status update(ngi_kernel *k, const float *kernel, const float *bias, ng_error *err)
{
    (void)err;
    const native_state *s = k->state;
    ngi_winograd_update(s->forward, kernel, bias);
    if (s->backward)
        ngi_winograd_update(s->backward, kernel, NULL);
    return NG_OK;
}

static void destroy(ngi_kernel *k)
{
    native_state *s = k->state;
    if (!s)
        return;
    ngi_winograd_free(s->forward);
    ngi_winograd_free(s->backward);
    ngi_free(s);
    k->state = NULL;
}

static bool is_ours(const ngi_step *step)
{
    const ngi_attr *a = step->attr;
    return step->op == NGI_OP_CONV2D && a->groups == 1 && a->stride_h == 1 && a->stride_w == 1 &&
           a->dilation_h == 1 && a->dilation_w == 1 && step->in_shape[0]->dim[2] >= LEAST_CHANNELS &&
           step->out_shape->dim[2] >= LEAST_CHANNELS;
}

/* With the weights of an earlier plan if they are there. */
static ng_status create_one(const ngi_step *step, const ngi_winograd_shape *shape, const float *bias,
                            int threads, ngi_winograd **out, ng_error *err)
{
    const ngi_native_isa *isa = ngi_native_isa_best();
    size_t bytes = ngi_winograd_weight_bytes(isa, shape);
    if (bytes == 0)
        return NG_E_UNSUPPORTED;
    const char *tag = shape->transpose ? "winograd back" : "winograd";
    const float *packed = ngi_packing_find(step->packing, tag, bytes);
    if (!packed && !step->kernel)
        return NG_E_NOT_FOUND;
    NGI_TRY(ngi_winograd_create(isa, shape, packed ? NULL : step->kernel, packed, bias, threads, out, err));
    if (!packed)
        ngi_packing_keep(step->packing, tag, (*out)->owned, bytes);
    return NG_OK;
}

static ng_status create(const ngi_step *step, int threads, native_state *s, ng_error *err)
{
    const ngi_shape *in = step->in_shape[0], *out = step->out_shape;
    const ngi_attr *a = step->attr;
    ngi_winograd_shape shape = {in->dim[0],  in->dim[1],  in->dim[2], out->dim[0], out->dim[1], out->dim[2],
                                a->kernel_h, a->kernel_w, a->pad.top, a->pad.left, false};
    NGI_TRY(create_one(step, &shape, step->bias, threads, &s->forward, err));
    s->clamp = step->has_act && as_clamp(&step->act, &s->forward->low, &s->forward->high);
    if (!s->clamp) {
        s->forward->low = -INFINITY;
        s->forward->high = INFINITY;
    }
    if (!step->backward)
        return NG_OK;
    ngi_winograd_shape back = {out->dim[0], out->dim[1], out->dim[2], in->dim[0],  in->dim[1], in->dim[2],
                               a->kernel_h, a->kernel_w, a->pad.top,  a->pad.left, true};
    return create_one(step, &back, NULL, threads, &s->backward, err);
}

static void name_kernel(const ngi_winograd *c, char name[64])
{
    const ngi_cook_toom *t = &c->t;
    if (c->two_d)
        snprintf(name, 64, "winograd:%s:F(%dx%d,%dx%d)", c->isa->name, t->m, t->m, t->r, t->r);
    else
        snprintf(name, 64, "winograd:%s:F(%d,%d)", c->isa->name, t->m, t->r);
}

static ng_status prepare(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    (void)batch;
#if defined(__x86_64__)
    if (ngi_native_isa_best()->lanes < 8)
        return NG_E_UNSUPPORTED; /* oneDNN knows such old processors better */
#endif
    if (!is_ours(step))
        return NG_E_UNSUPPORTED;
    native_state *s = ngi_alloc_zero(1, sizeof *s);
    if (!s)
        return ngi_fail_memory(err, sizeof *s);
    s->has_act = step->has_act;
    s->act = step->act;
    s->in_count = ngi_shape_count(step->in_shape[0]);
    s->out_count = ngi_shape_count(step->out_shape);
    ngi_kernel k = {.state = s,
                    .packed = true,
                    .forward = forward,
                    .backward = step->backward ? backward : NULL,
                    .update = update,
                    .destroy = destroy};
    ng_status status = create(step, threads, s, err);
    if (status != NG_OK) {
        destroy(&k);
        return status;
    }
    name_kernel(s->forward, k.name);
    k.scratch = ngi_winograd_scratch(s->forward);
    if (s->backward) {
        size_t masked = s->has_act ? (size_t)(s->out_count + 15) / 16 * 16 * sizeof(float) : 0;
        size_t need = masked + ngi_winograd_scratch(s->backward);
        k.scratch = need > k.scratch ? need : k.scratch;
    }
    *out = k;
    return NG_OK;
}

const ngi_backend ngi_backend_native = {.name = "native", .prepare = prepare};
