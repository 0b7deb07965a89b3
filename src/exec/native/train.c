/* The kernels of weight gradients: convolutions of one group and dense layers with enough channels. */
#include "exec/native/native.h"

#include <stdio.h>

/* Fewer channels leave most of a register tile empty. */
#define LEAST_CHANNELS 16

typedef struct trainer {
    ngi_gradient gradient;
    int64_t pixels; /* of an image's output */
} trainer;

static ng_status backward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    const trainer *t = kernel->state;
    const ngi_gradient *c = &t->gradient;
    int64_t panel = 2 * c->isa->lanes, channels = c->shape.out_c;
    (void)err;
    if (run->grad_kernel)
        ngi_gradient_run(c, run->n, run->in[0], run->grad_out, run->grad_kernel, run->scratch);
    if (!run->grad_bias)
        return NG_OK;
#pragma omp parallel for num_threads(c->threads) schedule(static) if (c->threads > 1)
    for (int64_t i = 0; i < channels; i += panel)
        c->isa->total(run->n * t->pixels, run->grad_out + i, channels,
                      channels - i < panel ? channels - i : panel, run->grad_bias + i);
    return NG_OK;
}

static void destroy(ngi_kernel *kernel)
{
    ngi_free(kernel->state);
    *kernel = (ngi_kernel){0};
}

/* Dense: all of a tensor but its last axis are pixels. */
static ngi_gradient_shape shape_of(const ngi_step *step)
{
    const ngi_shape *in = step->in_shape[0], *out = step->out_shape;
    int64_t in_c = in->dim[in->rank - 1], out_c = out->dim[out->rank - 1],
            pixels = ngi_shape_count(out) / out_c;
    if (step->op == NGI_OP_DENSE)
        return (ngi_gradient_shape){1, pixels, in_c, 1, pixels, out_c, 1, 1, 1, 1, 1, 1, 0, 0};
    const ngi_attr *a = step->attr;
    return (ngi_gradient_shape){in->dim[0],    in->dim[1],    in_c,        out->dim[0], out->dim[1],
                                out_c,         a->kernel_h,   a->kernel_w, a->stride_h, a->stride_w,
                                a->dilation_h, a->dilation_w, a->pad.top,  a->pad.left};
}

static bool is_ours(const ngi_step *step)
{
    const ngi_shape *in = step->in_shape[0], *out = step->out_shape;
    bool conv = step->op == NGI_OP_CONV2D && step->attr->groups == 1 && in->rank == 3 && out->rank == 3;
    return (conv || step->op == NGI_OP_DENSE) && in->dim[in->rank - 1] >= LEAST_CHANNELS;
}

static void name_kernel(const ngi_gradient *c, char name[64])
{
    if (!c->transforms)
        snprintf(name, 64, "product:%s", c->isa->name);
    else if (c->two_d)
        snprintf(name, 64, "winograd:%s:F(%dx%d,%dx%d)", c->isa->name, c->t.r, c->t.r, c->t.m, c->t.m);
    else
        snprintf(name, 64, "winograd:%s:F(%d,%d)", c->isa->name, c->t.r, c->t.m);
}

ng_status ngi_native_prepare_trainer(const ngi_step *step, int batch, int threads, ngi_kernel *out,
                                     ng_error *err)
{
#if defined(__x86_64__)
    if (ngi_native_isa_best()->lanes < 8)
        return NG_E_UNSUPPORTED; /* oneDNN knows such old processors better */
#endif
    if (!is_ours(step))
        return NG_E_UNSUPPORTED;
    trainer *t = ngi_alloc(1, sizeof *t);
    if (!t)
        return ngi_fail_memory(err, sizeof *t);
    ngi_gradient_shape shape = shape_of(step);
    ngi_gradient_init(&t->gradient, ngi_native_isa_best(), &shape, batch, threads);
    t->pixels = shape.out_h * shape.out_w;
    *out = (ngi_kernel){.state = t, .backward = backward, .destroy = destroy};
    if (step->trains_kernel)
        out->scratch = ngi_gradient_scratch(&t->gradient);
    name_kernel(&t->gradient, out->name);
    return NG_OK;
}
