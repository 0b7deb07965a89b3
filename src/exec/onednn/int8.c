/* Convolutions of 8-bit numbers: the weights of each output channel are symmetric in -127..127, the input is in 0..255
 * where a calibration never saw it negative (behind a ReLU), else in -127..127; sums are exact, and results float32:
 *
 *     out = act(sum(q_in * q_weight) * scale[oc] + bias[oc]),    scale[oc] = input's step * weight's step[oc]
 *
 * The input is rounded here, just before the convolution; what lies between convolutions stays float32. */
#include <math.h>
#include <string.h>

#include "exec/onednn/kernel.h"

/* Inputs of fewer channels, an image's, are not worth their rounding error. */
#define LEAST_CHANNELS 8

typedef struct quantizer {
    const ngi_step *step;
    int64_t taps, outputs; /* the kernel: [taps,outputs] */
    float *weight_step;    /* [outputs] */
} quantizer;

static void find_steps(const float *kernel, const quantizer *q)
{
    for (int64_t o = 0; o < q->outputs; o++)
        q->weight_step[o] = 0;
    for (int64_t i = 0; i < q->taps; i++)
        for (int64_t o = 0; o < q->outputs; o++)
            q->weight_step[o] = fmaxf(q->weight_step[o], fabsf(kernel[i * q->outputs + o]) / 127);
}

/* They come with the packed weights, or are found from the kernel and kept with them. */
static ng_status set_steps(const quantizer *q)
{
    size_t bytes = (size_t)q->outputs * sizeof *q->weight_step;
    const float *kept = ngi_packing_find(q->step->packing, "int8 steps", bytes);
    if (kept)
        memcpy(q->weight_step, kept, bytes);
    if (kept)
        return NG_OK;
    if (!q->step->kernel)
        return NG_E_NOT_FOUND;
    find_steps(q->step->kernel, q);
    ngi_packing_keep(q->step->packing, "int8 steps", q->weight_step, bytes);
    return NG_OK;
}

static void *round_weights(const void *self, ng_error *err)
{
    const quantizer *q = self;
    size_t count = (size_t)(q->taps * q->outputs);
    int8_t *rounded = ngi_alloc(count, sizeof *rounded);
    if (!rounded)
        (void)ngi_fail_memory(err, count);
    for (int64_t i = 0; rounded && i < q->taps; i++)
        for (int64_t o = 0; o < q->outputs; o++) {
            float step = q->weight_step[o], w = q->step->kernel[i * q->outputs + o];
            rounded[i * q->outputs + o] = (int8_t)(step > 0 ? lrintf(w / step) : 0);
        }
    return rounded;
}

/* ---- The primitive ----------------------------------------------------------------------------- */

/* One of the numbers that every output of a channel is multiplied by, or gets added. */
static dnnl_status_t append_operand(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, int64_t outputs,
                                    const float *values, ngi_pass *pass)
{
    ngi_md md = {0};
    dnnl_status_t status = ngi_md_init(&md, 4, (dnnl_dims_t){1, outputs, 1, 1}, dnnl_abcd);
    if (status == dnnl_success)
        status = dnnl_post_ops_append_binary(ops, kind, ngi_md_get(&md));
    if (status == dnnl_success)
        status = dnnl_memory_create(&pass->operands[pass->n_operands], ngi_md_get(&md), ngi_onednn_engine(),
                                    (void *)values);
    pass->n_operands += status == dnnl_success;
    ngi_md_clear(&md);
    return status;
}

static dnnl_status_t append_ops(ngi_onednn_kernel *k, const ngi_step *step, dnnl_post_ops_t ops)
{
    int64_t outputs = step->out_shape->dim[2];
    dnnl_alg_kind_t kind;
    float alpha, beta;
    dnnl_status_t status = append_operand(ops, dnnl_binary_mul, outputs, k->scales, &k->forward);
    if (status == dnnl_success && step->bias)
        status = append_operand(ops, dnnl_binary_add, outputs, step->bias, &k->forward);
    if (status != dnnl_success || !k->has_act)
        return status;
    if (ngi_fused_post_op(&k->act, &kind, &alpha, &beta))
        return ngi_dnnl_append_eltwise(ops, kind, alpha, beta);
    k->act_by_hand = true;
    return dnnl_success;
}

static dnnl_status_t make_attr(ngi_onednn_kernel *k, const ngi_step *step, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = ngi_onednn_attr(out);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success)
        status = append_ops(k, step, ops);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*out, ops);
    if (ops)
        dnnl_post_ops_destroy(ops);
    return status;
}

/* Without these instructions oneDNN adds pairs of products up in 16 bits, which are too few for both in full. */
static bool sums_exactly(const_dnnl_primitive_desc_t desc)
{
    const char *name = ngi_dnnl_name(desc);
    return strstr(name, "vnni") || strstr(name, "amx");
}

/* in and out of the pass, and main.desc. */
static dnnl_status_t describe(const ngi_conv_geometry *c, const_dnnl_primitive_attr_t attr, ngi_pass *pass)
{
    ngi_md weights = {0}, none = {0};
    dnnl_data_type_t type = pass->quantizes < 0 ? dnnl_s8 : dnnl_u8;
    dnnl_status_t status = ngi_md_init_as(&pass->in, 4, c->in, type, dnnl_nhwc);
    if (status == dnnl_success)
        status = ngi_md_init(&pass->out, 4, c->out, dnnl_nhwc);
    if (status == dnnl_success)
        status = ngi_md_init_as(&weights, c->weight_rank, c->weights, dnnl_s8, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = ngi_dnnl_conv_forward(&pass->main.desc, ngi_onednn_engine(), &pass->in, &weights, &none,
                                       &pass->out, &c->window, attr);
    ngi_md_clear(&weights);
    return status == dnnl_success && !sums_exactly(pass->main.desc) ? dnnl_unimplemented : status;
}

static ng_status make_pass(ngi_onednn_kernel *k, const quantizer *q, ng_error *err)
{
    ngi_conv_geometry c;
    ngi_onednn_geometry(q->step, 1, &c);
    ngi_pass *pass = &k->forward;
    ngi_md kernel_md = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t made = make_attr(k, q->step, &attr);
    if (made == dnnl_success)
        made = describe(&c, attr, pass);
    if (made == dnnl_success)
        made = ngi_md_init_as(&kernel_md, c.weight_rank, c.weights, dnnl_s8, dnnl_hwio);
    pass->arg_in = DNNL_ARG_SRC;
    pass->arg_out = DNNL_ARG_DST;
    ng_status status = ngi_onednn_status(made, "convolution", err);
    if (status == NG_OK)
        status = ngi_pass_finish(pass,
                                 &(ngi_pass_weights){.plain = &kernel_md,
                                                     .make = q->step->kernel ? round_weights : NULL,
                                                     .self = q,
                                                     .packing = q->step->packing,
                                                     .tag = pass->quantizes < 0 ? "conv s8" : "conv u8"},
                                 err);
    ngi_md_clear(&kernel_md);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

ng_status ngi_onednn_int8(ngi_onednn_kernel *k, const ngi_step *step, ng_error *err)
{
    float low = step->in_low, high = step->in_high, most = fmaxf(-low, high);
    if (step->op != NGI_OP_CONV2D || step->attr->groups != 1 || step->in_shape[0]->rank != 3 ||
        step->in_shape[0]->dim[2] < LEAST_CHANNELS || !(most > 0) || !isfinite(most))
        return NG_E_UNSUPPORTED;
    int64_t outputs = step->out_shape->dim[2];
    quantizer q = {.step = step,
                   .taps = step->attr->kernel_h * (int64_t)step->attr->kernel_w * step->in_shape[0]->dim[2],
                   .outputs = outputs};
    k->scales = ngi_alloc(2 * (size_t)outputs, sizeof *k->scales);
    if (!k->scales)
        return ngi_fail_memory(err, 2 * (size_t)outputs * sizeof *k->scales);
    q.weight_step = k->scales + outputs;
    NGI_TRY(set_steps(&q));
    k->forward.quantizes = low < 0 ? -127 / most : 255 / most;
    for (int64_t o = 0; o < outputs; o++)
        k->scales[o] = q.weight_step[o] / fabsf(k->forward.quantizes);
    return make_pass(k, &q, err);
}
