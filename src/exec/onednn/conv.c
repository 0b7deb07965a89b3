/* Convolutions: plain, grouped, depthwise. Activations stay channels last; where oneDNN has only a
 * reference kernel for that, it may choose its own layout and the activations are reordered around it.
 *
 * The gradient of a convolution with stride 1 is itself one, of the gradient with the kernel turned by
 * half a turn and its channels exchanged: oneDNN's forward kernels run it a fifth faster than its backward
 * ones. With larger strides its backward is used. */
#include <string.h>

#include "exec/onednn/kernel.h"

typedef struct conv_case {
    dnnl_engine_t engine;
    const_dnnl_primitive_attr_t attr;
    dnnl_data_type_t type; /* of the products, in the forward pass; the sums and the result are float32 */
    ngi_window window;
    dnnl_dims_t in, out; /* n, c, h, w; n = 1 */
    int weight_rank;     /* 4: oihw, 5: goihw */
    dnnl_dims_t weights;
    const float *kernel, *bias;
    bool lasting; /* the kernel outlives the pass */
    ngi_packing *packing;
    const char *tag;
    void *(*make)(const void *self, ng_error *err); /* of the kernel, where that is not at hand */
    const void *self;
    ngi_md kernel_md, bias_md; /* as they are: [kh,kw,ic/groups,oc], [oc] */
} conv_case;

static ngi_window window_of(const ngi_attr *attr)
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

/* A depthwise kernel [kh,kw,c,m] has channel c*m+j at the place of group c, output j. */
static void set_weights(conv_case *c, int64_t groups)
{
    int64_t dims[5] = {groups, c->out[1] / groups, c->in[1] / groups, c->window.kernel[0],
                       c->window.kernel[1]};
    c->weight_rank = groups > 1 ? 5 : 4;
    for (int i = 0; i < c->weight_rank; i++)
        c->weights[i] = dims[i + 5 - c->weight_rank];
}

static dnnl_status_t describe_kernel(conv_case *c, int64_t groups)
{
    set_weights(c, groups);
    return ngi_md_init(&c->kernel_md, c->weight_rank, c->weights, groups > 1 ? dnnl_hwigo : dnnl_hwio);
}

static int64_t groups_of(const ngi_step *step)
{
    return step->op == NGI_OP_DEPTHWISE ? step->in_shape[0]->dim[2] : step->attr->groups;
}

static dnnl_status_t case_init(conv_case *c, const ngi_step *step)
{
    set_dims(c->in, step->in_shape[0]);
    set_dims(c->out, step->out_shape);
    c->window = window_of(step->attr);
    c->kernel = step->kernel;
    c->bias = step->bias;
    c->packing = step->packing;
    c->tag = "conv";
    dnnl_status_t status = describe_kernel(c, groups_of(step));
    if (status == dnnl_success && c->bias)
        status = ngi_md_init(&c->bias_md, 1, (dnnl_dims_t){c->out[1]}, dnnl_a);
    return status;
}

static void case_clear(conv_case *c)
{
    ngi_md_clear(&c->kernel_md);
    ngi_md_clear(&c->bias_md);
}

void ngi_onednn_geometry(const ngi_step *step, int n, ngi_conv_geometry *out)
{
    conv_case c = {0};
    set_dims(c.in, step->in_shape[0]);
    set_dims(c.out, step->out_shape);
    c.in[0] = c.out[0] = n;
    c.window = window_of(step->attr);
    set_weights(&c, groups_of(step));
    *out = (ngi_conv_geometry){.window = c.window, .weight_rank = c.weight_rank};
    memcpy(out->in, c.in, sizeof c.in);
    memcpy(out->out, c.out, sizeof c.out);
    memcpy(out->weights, c.weights, sizeof c.weights);
}

dnnl_status_t ngi_onednn_kernel_md(const ngi_conv_geometry *c, ngi_md *md)
{
    return ngi_md_init(md, c->weight_rank, c->weights, c->weight_rank == 5 ? dnnl_hwigo : dnnl_hwio);
}

/* Descriptor of one direction with activations in layout `tag`; for the backward `hint` is the forward. */
static dnnl_status_t describe(const conv_case *c, dnnl_format_tag_t tag, const_dnnl_primitive_desc_t hint,
                              dnnl_primitive_desc_t *out)
{
    ngi_md in = {0}, result = {0}, weights = {0};
    dnnl_status_t status = ngi_md_init_as(&in, 4, c->in, c->type, tag);
    if (status == dnnl_success)
        status = ngi_md_init(&result, 4, c->out, tag);
    if (status == dnnl_success)
        status = ngi_md_init_as(&weights, c->weight_rank, c->weights, c->type, dnnl_format_tag_any);
    if (status == dnnl_success)
        status =
            hint ? ngi_dnnl_conv_backward(out, c->engine, &in, &weights, &result, &c->window, hint, c->attr)
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

static ng_status make_pass(const conv_case *c, const_dnnl_primitive_desc_t hint, ngi_pass *pass,
                           ng_error *err)
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
    ngi_pass_weights weights = {.plain = &c->kernel_md,
                                .weights = c->kernel,
                                .make = c->make,
                                .self = c->self,
                                .packing = c->packing,
                                .tag = back ? "conv back" : c->tag,
                                .lasting = c->lasting};
    if (!back && c->bias) {
        weights.bias_md = &c->bias_md;
        weights.bias = c->bias;
    }
    return ngi_pass_finish(pass, &weights, err);
}

/* ---- The gradient as a convolution ------------------------------------------------------------ */

/* kernel [kh,kw,ic/groups,oc] to [kh,kw,oc/groups,ic], turned by half a turn. */
static void turn(const float *kernel, float *turned, int64_t taps, int64_t groups, int64_t per_in,
                 int64_t per_out)
{
    for (int64_t t = 0; t < taps; t++)
        for (int64_t g = 0; g < groups; g++)
            for (int64_t i = 0; i < per_in; i++)
                for (int64_t o = 0; o < per_out; o++)
                    turned[((taps - 1 - t) * per_out + o) * groups * per_in + g * per_in + i] =
                        kernel[(t * per_in + i) * groups * per_out + g * per_out + o];
}

/* Whether the gradient is a convolution with non-negative padding; *window gets its window. */
static bool turned_window(const ngi_window *forward, ngi_window *window)
{
    *window = *forward;
    bool fits = forward->stride[0] == 1 && forward->stride[1] == 1;
    for (int i = 0; i < 2; i++) {
        int64_t reach = (forward->kernel[i] - 1) * (forward->dilation[i] + 1);
        window->before[i] = reach - forward->before[i];
        window->after[i] = reach - forward->after[i];
        fits = fits && window->before[i] >= 0 && window->after[i] >= 0;
    }
    return fits;
}

/* The forward's case, for make_kernel. */
typedef struct turning {
    const conv_case *forward;
    int64_t taps, groups, per_in, per_out;
} turning;

static void *make_kernel(const void *self, ng_error *err)
{
    const turning *t = self;
    size_t count = (size_t)(t->taps * t->per_in * t->groups * t->per_out);
    float *kernel = ngi_alloc(count, sizeof *kernel);
    if (kernel)
        turn(t->forward->kernel, kernel, t->taps, t->groups, t->per_in, t->per_out);
    else
        (void)ngi_fail(err, NG_E_MEMORY, "out of memory for a convolution's turned kernel");
    return kernel;
}

static ng_status make_turned(const conv_case *c, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                             ngi_pass *pass, ng_error *err)
{
    conv_case t = {.engine = c->engine, .attr = attr, .type = dnnl_f32};
    int64_t groups = groups_of(step);
    turning how = {c, c->window.kernel[0] * c->window.kernel[1], groups, c->in[1] / groups,
                   c->out[1] / groups};
    if (!turned_window(&c->window, &t.window))
        return NG_E_UNSUPPORTED;
    memcpy(t.in, c->out, sizeof t.in);
    memcpy(t.out, c->in, sizeof t.out);
    t.packing = c->packing;
    t.tag = "conv turned";
    t.make = c->kernel ? make_kernel : NULL;
    t.self = &how;
    ng_status status = ngi_onednn_status(describe_kernel(&t, groups), "convolution", err);
    if (status == NG_OK)
        status = make_pass(&t, NULL, pass, err);
    case_clear(&t);
    return status;
}

static ng_status make_backward(conv_case *c, const ngi_step *step, ngi_onednn_kernel *k, ng_error *err)
{
    dnnl_primitive_attr_t attr = NULL; /* the forward's may carry an activation */
    NGI_TRY(ngi_onednn_status(ngi_onednn_attr(&attr), "convolution", err));
    ng_status status = make_turned(c, step, attr, &k->backward, err);
    if (status == NG_E_UNSUPPORTED) {
        ngi_pass_clear(&k->backward);
        c->attr = attr;
        status = make_pass(c, k->forward.main.desc, &k->backward, err);
    }
    dnnl_primitive_attr_destroy(attr);
    return status;
}

ng_status ngi_onednn_conv(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                          ng_error *err)
{
    conv_case c = {.engine = ngi_onednn_engine(), .attr = attr, .type = k->type, .lasting = true};
    if (step->in_shape[0]->rank != 3 || step->out_shape->rank != 3)
        return NG_E_UNSUPPORTED;
    ng_status status = ngi_onednn_status(case_init(&c, step), "convolution", err);
    if (status == NG_OK)
        status = make_pass(&c, NULL, &k->forward, err);
    if (status == NG_OK && step->backward)
        status = make_backward(&c, step, k, err);
    case_clear(&c);
    return status;
}
