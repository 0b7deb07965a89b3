/* The back-end row: the table of ops, and the fused activation around each. */
#include "exec/ref/ref.h"

#include <stdio.h>

static const ngi_ref_op ops[NGI_OP_COUNT] = {
#define ROW(op, stem) [NGI_OP_##op] = {ngi_ref_##stem##_forward, ngi_ref_##stem##_backward, NULL, NULL},
    NGI_REF_OPS(ROW)
#undef ROW
};

/* Hooks of the ops that have them. */
static const struct {
    ngi_op op;
    size_t (*scratch)(const ngi_ref *k);
    ng_status (*prepare)(ngi_ref *k, ng_error *err);
} hooks[] = {
    {NGI_OP_CONV2D, ngi_ref_conv_scratch, NULL},
    {NGI_OP_DEPTHWISE, ngi_ref_depthwise_scratch, NULL},
    {NGI_OP_DENSE, ngi_ref_dense_scratch, NULL},
    {NGI_OP_MAX_POOL, ngi_ref_pool_scratch, NULL},
    {NGI_OP_AVG_POOL, ngi_ref_pool_scratch, NULL},
    {NGI_OP_GLOBAL_AVG, ngi_ref_pool_scratch, NULL},
    {NGI_OP_GLOBAL_MAX, ngi_ref_pool_scratch, NULL},
    {NGI_OP_LAYERNORM, ngi_ref_layernorm_scratch, NULL},
    {NGI_OP_SOFTMAX, ngi_ref_softmax_scratch, NULL},
    {NGI_OP_UPSAMPLE, ngi_ref_resize_scratch, ngi_ref_resize_prepare},
    {NGI_OP_RESIZE, ngi_ref_resize_scratch, ngi_ref_resize_prepare},
    {NGI_OP_ADD, ngi_ref_eltwise_scratch, NULL},
    {NGI_OP_SUBTRACT, ngi_ref_eltwise_scratch, NULL},
    {NGI_OP_MULTIPLY, ngi_ref_eltwise_scratch, NULL},
    {NGI_OP_DIVIDE, ngi_ref_eltwise_scratch, NULL},
    {NGI_OP_AVERAGE, ngi_ref_eltwise_scratch, NULL},
    {NGI_OP_MAXIMUM, ngi_ref_eltwise_scratch, NULL},
    {NGI_OP_MINIMUM, ngi_ref_eltwise_scratch, NULL},
    {NGI_OP_BATCHNORM, NULL, ngi_ref_batchnorm_prepare},
    {NGI_OP_AFFINE, NULL, ngi_ref_affine_prepare},
};

static ng_status forward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    (void)err;
    const ngi_ref *k = kernel->state;
    k->op->forward(k, run);
    if (k->step.has_act)
        ngi_activate(&k->step.act, run->out, run->out, run->n * k->out_count);
    return NG_OK;
}

/* The fused activation's derivative follows from its output. */
static ng_status backward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    (void)err;
    const ngi_ref *k = kernel->state;
    ngi_run inner = *run;
    if (k->step.has_act) {
        float *grad = (float *)((char *)run->scratch + k->op_scratch);
        ngi_activate_grad(&k->step.act, run->out, run->grad_out, grad, run->n * k->out_count);
        inner.grad_out = grad;
    }
    k->op->backward(k, &inner);
    return NG_OK;
}

static void destroy(ngi_kernel *kernel)
{
    ngi_ref *k = kernel->state;
    if (!k)
        return;
    ngi_free(k->coefficients);
    ngi_free(k->taps);
    ngi_free(k);
    kernel->state = NULL;
}

static ng_status prepare(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    (void)threads;
    ngi_ref *k = ngi_alloc_zero(1, sizeof *k);
    if (!k)
        return ngi_fail_memory(err, sizeof *k);
    k->step = *step;
    k->op = &ops[step->op];
    k->in_count = step->n_inputs ? ngi_shape_count(step->in_shape[0]) : 0;
    k->out_count = ngi_shape_count(step->out_shape);
    ngi_kernel kernel = {.state = k, .forward = forward, .backward = step->backward ? backward : NULL,
                         .destroy = destroy};
    snprintf(kernel.name, sizeof kernel.name, "ref");
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        if (hooks[i].op != step->op)
            continue;
        ng_status status = hooks[i].prepare ? hooks[i].prepare(k, err) : NG_OK;
        if (status != NG_OK) {
            destroy(&kernel);
            return status;
        }
        k->op_scratch = hooks[i].scratch ? (hooks[i].scratch(k) + 63) / 64 * 64 : 0;
    }
    kernel.scratch = k->op_scratch;
    if (step->backward && step->has_act)
        kernel.scratch += (size_t)batch * (size_t)k->out_count * sizeof(float);
    *out = kernel;
    return NG_OK;
}

const ngi_backend ngi_backend_ref = {.name = "ref", .prepare = prepare};
