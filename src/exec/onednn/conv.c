/* Convolutions: plain, grouped, depthwise. Activations stay channels last; where oneDNN has only a
 * reference kernel for that, it may choose its own layout and the activations are reordered around it. */
#include "exec/onednn/kernel.h"

typedef struct conv_case {
    dnnl_engine_t engine;
    const_dnnl_primitive_attr_t attr, plain_attr; /* with and without the fused activation */
    ngi_window window;
    dnnl_dims_t in, out; /* n, c, h, w; n = 1 */
    int weight_rank;     /* 4: oihw, 5: goihw */
    dnnl_dims_t weights;
    const float *kernel, *bias;
    ngi_md kernel_md, bias_md; /* as they are: [kh,kw,ic/groups,oc], [oc] */
} conv_case;

ngi_window ngi_onednn_window(const ngi_attr *attr)
{
    return (ngi_window){.kernel = {attr->kernel_h, attr->kernel_w},
                        .stride = {attr->stride_h, attr->stride_w},
                        .dilation = {attr->dilation_h - 1, attr->dilation_w - 1},
                        .before = {attr->pad.top, attr->pad.left},
                        .after = {attr->pad.bottom, attr->pad.right}};
}

static void set_dims(dnnl_dims_t dims, const ngi_shape *shape)
{
    dims[0] = 1;
    dims[1] = shape->dim[2];
    dims[2] = shape->dim[0];
    dims[3] = shape->dim[1];
}

static dnnl_status_t case_init(conv_case *c, const ngi_step *step)
{
    const ngi_attr *a = step->attr;
    set_dims(c->in, step->in_shape[0]);
    set_dims(c->out, step->out_shape);
    c->window = ngi_onednn_window(a);
    c->kernel = step->kernel;
    c->bias = step->bias;
    int64_t groups = step->op == NGI_OP_DEPTHWISE ? c->in[1] : a->groups;
    int64_t dims[5] = {groups, c->out[1] / groups, c->in[1] / groups, a->kernel_h, a->kernel_w};
    /* A depthwise kernel [kh,kw,c,m] has channel c*m+j at the place of group c, output j. */
    c->weight_rank = groups > 1 ? 5 : 4;
    for (int i = 0; i < c->weight_rank; i++)
        c->weights[i] = dims[i + 5 - c->weight_rank];
    dnnl_status_t status =
        ngi_md_init(&c->kernel_md, c->weight_rank, c->weights, groups > 1 ? dnnl_hwigo : dnnl_hwio);
    if (status == dnnl_success && c->bias)
        status = ngi_md_init(&c->bias_md, 1, (dnnl_dims_t){c->out[1]}, dnnl_a);
    return status;
}

static void case_clear(conv_case *c)
{
    ngi_md_clear(&c->kernel_md);
    ngi_md_clear(&c->bias_md);
}

/* Descriptor of one direction with activations in layout `tag`; for the backward `hint` is the forward. */
static dnnl_status_t describe(const conv_case *c, dnnl_format_tag_t tag, const_dnnl_primitive_desc_t hint,
                              dnnl_primitive_desc_t *out)
{
    ngi_md in = {0}, result = {0}, weights = {0};
    dnnl_status_t status = ngi_md_init(&in, 4, c->in, tag);
    if (status == dnnl_success)
        status = ngi_md_init(&result, 4, c->out, tag);
    if (status == dnnl_success)
        status = ngi_md_init(&weights, c->weight_rank, c->weights, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = hint ? ngi_dnnl_conv_backward(out, c->engine, &in, &weights, &result, &c->window, hint,
                                               c->plain_attr)
                      : ngi_dnnl_conv_forward(out, c->engine, &in, &weights, &c->bias_md, &result, &c->window,
                                              c->attr);
    ngi_md_clear(&in);
    ngi_md_clear(&result);
    ngi_md_clear(&weights);
    return status;
}

/* The first of channels last and oneDNN's own layout that has an optimised kernel. The backward settles
 * for the reference code if need be: to pass the step on would slow down its forward as well. */
static dnnl_status_t choose(const conv_case *c, const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out)
{
    static const dnnl_format_tag_t layouts[] = {dnnl_nhwc, dnnl_format_tag_any};
    dnnl_status_t status = dnnl_unimplemented;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        status = describe(c, layouts[i], hint, out);
        if (status == dnnl_out_of_memory)
            return status;
        if (status != dnnl_success)
            continue;
        if (!ngi_prim_is_reference(*out))
            return dnnl_success;
        dnnl_primitive_desc_destroy(*out);
        *out = NULL;
    }
    return hint ? describe(c, dnnl_nhwc, hint, out) : dnnl_unimplemented;
}

static ng_status make_pass(const conv_case *c, const_dnnl_primitive_desc_t hint, ngi_pass *pass, ng_error *err)
{
    bool back = hint != NULL;
    dnnl_status_t status = choose(c, hint, &pass->main.desc);
    if (status == dnnl_success)
        status = ngi_md_init(&pass->in, 4, back ? c->out : c->in, dnnl_nhwc);
    if (status == dnnl_success)
        status = ngi_md_init(&pass->out, 4, back ? c->in : c->out, dnnl_nhwc);
    if (status != dnnl_success)
        return ngi_onednn_status(status, "convolution", err);
    pass->arg_in = back ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC;
    pass->arg_out = back ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST;
    return ngi_pass_finish(pass, &c->kernel_md, c->kernel, back ? NULL : &c->bias_md, back ? NULL : c->bias, err);
}

ng_status ngi_onednn_conv(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr, ng_error *err)
{
    dnnl_primitive_attr_t plain = NULL;
    conv_case c = {.engine = ngi_onednn_engine(), .attr = attr};
    if (step->in_shape[0]->rank != 3 || step->out_shape->rank != 3)
        return NG_E_UNSUPPORTED;
    dnnl_status_t made = case_init(&c, step);
    if (made == dnnl_success)
        made = ngi_onednn_attr(&plain);
    c.plain_attr = plain;
    ng_status status = ngi_onednn_status(made, "convolution", err);
    if (status == NG_OK)
        status = make_pass(&c, NULL, &k->forward, err);
    if (status == NG_OK && step->backward)
        status = make_pass(&c, k->forward.main.desc, &k->backward, err);
    if (plain)
        dnnl_primitive_attr_destroy(plain);
    case_clear(&c);
    return status;
}
