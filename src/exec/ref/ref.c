/* The reference back end's table of operations and its kernels' life. */
#include "exec/ref/ref.h"

#include <stdio.h>

#define ALIGNMENT 64 /* of every part of the scratch */

static const ngi_ref_op table[NGI_OP_COUNT] = {
#define NGI_REF_ROW(op, stem, scratch, prepare) \
    [NGI_OP_##op] = {ngi_ref_##stem##_forward, ngi_ref_##stem##_backward, scratch, prepare},
    NGI_REF_OPS(NGI_REF_ROW)
#undef NGI_REF_ROW
};

static ng_status run_forward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    const ngi_ref *k = kernel->state;
    (void)err;
    k->op->forward(k, run);
    if (k->step.has_act)
        ngi_activate(&k->step.act, run->out, run->out, run->n * k->out_count);
    return NG_OK;
}

static ng_status run_backward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    const ngi_ref *k = kernel->state;
    ngi_run inner = *run;
    (void)err;
    if (k->step.has_act && !run->activated) {
        float *grad = (float *)((char *)run->scratch + k->op_scratch); /* [n] + out_shape */
        ngi_activate_grad(&k->step.act, run->out, run->grad_out, grad, run->n * k->out_count);
        inner.grad_out = grad;
    }
    k->op->backward(k, &inner);
    return NG_OK;
}

/* Kernels and biases are used in place; coefficients that were worked out from them are not. */
static ng_status update(ngi_kernel *kernel, const float *weights, const float *bias, ng_error *err)
{
    ngi_ref *k = kernel->state;
    (void)weights;
    (void)bias;
    if (!k->coefficients)
        return NG_OK;
    ngi_free(k->coefficients);
    k->coefficients = NULL;
    return k->op->prepare(k, err);
}

static void destroy(ngi_kernel *kernel)
{
    ngi_ref *k = kernel->state;
    if (k) {
        ngi_free(k->coefficients);
        ngi_free(k->taps);
        ngi_free(k);
    }
    *kernel = (ngi_kernel){0};
}

/* Of a concatenation of channels, which is quick enough to move all. */
static ngi_rect reach_pixels(const ngi_kernel *kernel, ngi_rect *out)
{
    (void)kernel;
    return *out;
}

static ngi_rect spread_pixels(const ngi_kernel *kernel, ngi_rect in)
{
    (void)kernel;
    return in;
}

static ng_status prepare(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    (void)threads; /* plain loops, one thread */
    if (!table[step->op].forward)
        return ngi_fail(err, NG_E_INTERNAL, "%s: %s is not an operation to run",
                        step->graph->nodes[step->node].name, ngi_op_name(step->op));
    if (step->pool)
        return NG_E_UNSUPPORTED;
    bool has_kernel = step->op == NGI_OP_CONV2D || step->op == NGI_OP_DEPTHWISE || step->op == NGI_OP_DENSE;
    if (has_kernel && !step->kernel)
        return NG_E_NOT_FOUND; /* used in place */
    ngi_ref *k = ngi_alloc_zero(1, sizeof *k);
    if (!k)
        return ngi_fail_memory(err, sizeof *k);
    k->step = *step;
    k->op = &table[step->op];
    k->in_count = step->n_inputs ? ngi_shape_count(step->in_shape[0]) : 0;
    k->out_count = ngi_shape_count(step->out_shape);
    size_t bytes = k->op->scratch ? k->op->scratch(k) : 0;
    k->op_scratch = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *out = (ngi_kernel){.state = k,
                        .forward = run_forward,
                        .backward = step->backward ? run_backward : NULL,
                        .update = update,
                        .destroy = destroy};
    out->strided = step->op == NGI_OP_CONCAT && step->attr->axis == step->out_shape->rank - 1;
    if (out->strided) {
        out->reach = reach_pixels;
        out->spread = spread_pixels;
    }
    out->scratch = k->op_scratch;
    if (step->backward && step->has_act)
        out->scratch += (size_t)batch * (size_t)k->out_count * sizeof(float);
    snprintf(out->name, sizeof out->name, "ref");
    ng_status status = k->op->prepare ? k->op->prepare(k, err) : NG_OK;
    if (status != NG_OK)
        destroy(out);
    return status;
}

const ngi_backend ngi_backend_ref = {
    .name = "ref", .prepare = prepare, .prepare_trainer = ngi_ref_prepare_trainer};
