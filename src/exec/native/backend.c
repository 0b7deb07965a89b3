/* The back-end row: takes the convolutions that a transform speeds up, 1x1 convolutions, strided ones forward, forward pools and pools joined with
 * these, and passes on all other steps. */
#include "exec/native/state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fewer channels than this don't pay for the transforms. */
#define LEAST_CHANNELS 16

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* relu and relu6 are clamps; others are applied after the convolution. */
static bool as_clamp(const ngi_activation_attr *a, float *low, float *high)
{
    *low = 0;
    *high = a->kind == NGI_ACT_RELU6 ? 6 : a->max_value;
    return a->kind == NGI_ACT_RELU6 || (a->kind == NGI_ACT_RELU && a->alpha == 0 && a->threshold == 0);
}

/* ---- Life ------------------------------------------------------------------------------------- */

static void conv_update(ngi_native_conv *c, const float *kernel, const float *bias)
{
    if (c->winograd)
        ngi_winograd_update(c->winograd, kernel, bias);
    if (c->product)
        ngi_product_update(c->product, kernel, bias);
    if (c->direct.isa)
        ngi_direct_update(&c->direct, kernel, bias);
}

static ng_status update(ngi_kernel *k, const float *kernel, const float *bias, ng_error *err)
{
    (void)err;
    ngi_native_state *s = k->state;
    if (s->pool_bias && bias)
        memcpy(s->pool_bias, bias, (size_t)s->out_c * sizeof *bias);
    conv_update(&s->forward, kernel, s->pool_bias ? NULL : bias);
    conv_update(&s->backward, kernel, NULL);
    return NG_OK;
}

static void destroy(ngi_kernel *k)
{
    ngi_native_state *s = k->state;
    if (!s)
        return;
    ngi_winograd_free(s->forward.winograd);
    ngi_winograd_free(s->backward.winograd);
    ngi_product_free(s->forward.product);
    ngi_product_free(s->backward.product);
    ngi_direct_clear(&s->forward.direct);
    ngi_free(s->pool_bias);
    ngi_free(s);
    k->state = NULL;
}

/* ---- Preparing --------------------------------------------------------------------------------- */

static bool is_pool(const ngi_step *step)
{
    return (step->op == NGI_OP_MAX_POOL || step->op == NGI_OP_AVG_POOL) && !step->backward && !step->has_act;
}

static bool is_1x1(const ngi_step *step)
{
    return step->attr->kernel_h == 1 && step->attr->kernel_w == 1;
}

static bool is_conv(const ngi_step *step)
{
    const ngi_attr *a = step->attr;
    const ngi_shape *out = step->pool ? &step->pool_in : step->out_shape;
    return step->op == NGI_OP_CONV2D && a->groups == 1 && a->stride_h == 1 && a->stride_w == 1 &&
           a->dilation_h == 1 && a->dilation_w == 1 && step->in_shape[0]->dim[2] >= LEAST_CHANNELS &&
           out->dim[2] >= LEAST_CHANNELS;
}

/* Padding around a 1x1 kernel gives pixels of nothing but bias. */
static bool is_padded(const ngi_attr *a)
{
    return a->pad.top || a->pad.bottom || a->pad.left || a->pad.right;
}

/* A strided one that direct.c does. With AVX-512 oneDNN's are a little faster, with AVX2 a quarter slower. */
static bool is_strided(const ngi_step *step)
{
    const ngi_attr *a = step->attr;
    return ngi_native_isa_best()->lanes < 16 && step->op == NGI_OP_CONV2D && a->groups == 1 &&
           (a->stride_h > 1 || a->stride_w > 1) && a->dilation_h == 1 && a->dilation_w == 1 &&
           !is_padded(a) && !step->backward && !step->pool && step->in_shape[0]->dim[2] >= LEAST_CHANNELS &&
           step->out_shape->dim[2] % (2 * ngi_native_isa_best()->lanes) == 0;
}

static ngi_winograd_shape shape_of(const ngi_step *step, bool back)
{
    const ngi_shape *in = step->in_shape[0], *out = step->pool ? &step->pool_in : step->out_shape;
    const ngi_attr *a = step->attr;
    const ngi_shape *from = back ? out : in, *to = back ? in : out;
    return (ngi_winograd_shape){
        from->dim[0], from->dim[1], from->dim[2], to->dim[0], to->dim[1], to->dim[2], a->kernel_h,
        a->kernel_w,  a->pad.top,   a->pad.left,  back,       step->fine, 1};
}

/* With the weights of an earlier plan if they are there. */
static ng_status create_conv(const ngi_step *step, bool back, const float *bias, int batch, int threads,
                             ngi_native_conv *out, ng_error *err)
{
    const ngi_native_isa *isa = ngi_native_isa_best();
    ngi_winograd_shape shape = shape_of(step, back);
    shape.images = batch;
    bool product = is_1x1(step);
    size_t bytes = product ? ngi_product_weight_bytes(isa, shape.in_c, shape.out_c)
                           : ngi_winograd_weight_bytes(isa, &shape);
    if (bytes == 0 || (product && is_padded(step->attr)))
        return NG_E_UNSUPPORTED;
    const char *tag = back ? "native back" : "native";
    const float *packed = ngi_packing_find(step->packing, tag, bytes);
    if (!packed && !step->kernel)
        return NG_E_NOT_FOUND;
    out->h = shape.out_h;
    out->w = shape.out_w;
    const float *kernel = packed ? NULL : step->kernel;
    if (product)
        NGI_TRY(ngi_product_create(isa, shape.in_c, shape.out_c, back, kernel, packed, bias, threads,
                                   &out->product, err));
    else
        NGI_TRY(ngi_winograd_create(isa, &shape, kernel, packed, bias, threads, &out->winograd, err));
    if (!packed)
        ngi_packing_keep(step->packing, tag, product ? out->product->owned : out->winograd->owned, bytes);
    return NG_OK;
}

static ng_status create_direct(const ngi_step *step, int threads, ngi_direct *out, ng_error *err)
{
    const ngi_shape *in = step->in_shape[0], *to = step->out_shape;
    const ngi_attr *a = step->attr;
    ngi_direct c = {.isa = ngi_native_isa_best(),
                    .in_h = in->dim[0],
                    .in_w = in->dim[1],
                    .in_c = in->dim[2],
                    .out_h = to->dim[0],
                    .out_w = to->dim[1],
                    .out_c = to->dim[2],
                    .kernel_h = a->kernel_h,
                    .kernel_w = a->kernel_w,
                    .stride_h = a->stride_h,
                    .stride_w = a->stride_w,
                    .threads = threads};
    size_t bytes = ngi_direct_weight_bytes(&c);
    const float *packed = ngi_packing_find(step->packing, "native direct", bytes);
    if (!packed && !step->kernel)
        return NG_E_NOT_FOUND;
    NGI_TRY(ngi_direct_init(&c, step->kernel, packed, step->bias, err));
    if (!packed)
        ngi_packing_keep(step->packing, "native direct", c.owned, bytes);
    *out = c;
    return NG_OK;
}

static void set_clamp(ngi_native_conv *c, float low, float high)
{
    *(c->product ? &c->product->low : c->winograd ? &c->winograd->low : &c->direct.low) = low;
    *(c->product ? &c->product->high : c->winograd ? &c->winograd->high : &c->direct.high) = high;
}

/* The pool takes bias and clamp over from the convolution. */
static ng_status create_pool(const ngi_step *step, int threads, ngi_native_state *s, ng_error *err)
{
    const ngi_attr *attr = step->pool ? &step->pool->attr : step->attr;
    const ngi_shape *in = step->pool ? &step->pool_in : step->in_shape[0];
    if (!ngi_native_pool_init(&s->pool, ngi_native_isa_best(), step->pool ? step->pool->op : step->op, attr,
                              in, step->out_shape, threads))
        return NG_E_UNSUPPORTED;
    if (!step->pool)
        return NG_OK;
    s->pool_bias = ngi_alloc_zero((size_t)s->out_c, sizeof *s->pool_bias);
    if (!s->pool_bias)
        return ngi_fail_memory(err, (size_t)s->out_c * sizeof *s->pool_bias);
    if (step->bias)
        memcpy(s->pool_bias, step->bias, (size_t)s->out_c * sizeof *s->pool_bias);
    s->then.bias = s->pool_bias;
    return NG_OK;
}

static ng_status create(const ngi_step *step, int batch, int threads, ngi_native_state *s, ng_error *err)
{
    float low = -INFINITY, high = INFINITY;
    s->clamp = step->has_act && as_clamp(&step->act, &low, &high);
    if (!s->clamp) {
        low = -INFINITY;
        high = INFINITY;
    }
    s->then = (ngi_native_end){NULL, low, high};
    if (step->pool || is_pool(step))
        NGI_TRY(create_pool(step, threads, s, err));
    if (is_pool(step))
        return NG_OK;
    if (is_strided(step))
        NGI_TRY(create_direct(step, threads, &s->forward.direct, err));
    else
        NGI_TRY(create_conv(step, false, step->pool ? NULL : step->bias, batch, threads, &s->forward, err));
    if (!step->pool)
        set_clamp(&s->forward, low, high);
    return step->backward ? create_conv(step, true, NULL, batch, threads, &s->backward, err) : NG_OK;
}

static void name_kernel(const ngi_native_state *s, char name[64])
{
    const char *pooled = s->pool.h ? ", pooled" : "";
    const ngi_winograd *c = s->forward.winograd;
    if (s->forward.product)
        snprintf(name, 64, "product:%s%s", s->forward.product->isa->name, pooled);
    else if (s->forward.direct.isa)
        snprintf(name, 64, "direct:%s", s->forward.direct.isa->name);
    else if (!c)
        snprintf(name, 64, "pool:%s", s->pool.isa->name);
    else if (c->two_d)
        snprintf(name, 64, "winograd:%s:F(%dx%d,%dx%d)%s", c->isa->name, c->t.m, c->t.m, c->t.r, c->t.r,
                 pooled);
    else
        snprintf(name, 64, "winograd:%s:F(%d,%d)", c->isa->name, c->t.m, c->t.r);
}

static size_t conv_scratch(const ngi_native_conv *c)
{
    if (c->direct.isa)
        return round_up(ngi_direct_scratch(&c->direct));
    return c->winograd ? round_up(ngi_winograd_scratch(c->winograd)) : 0;
}

/* Forward: the convolution's own, then what is pooled, then the pool's rows. Backward: the masked gradient, then its own. */
static size_t lay_out_scratch(ngi_native_state *s)
{
    size_t ahead = s->at_pooled = conv_scratch(&s->forward);
    if (s->pool.h) {
        int64_t rows = s->forward.winograd
                           ? ngi_winograd_band(s->forward.winograd) + s->pool.kernel[0] + s->pool.stride[0]
                           : s->pool.h;
        bool apart = s->forward.winograd || s->forward.product;
        s->at_joined = ahead + (apart ? round_up((size_t)(rows * s->pool.w * s->pool.c) * sizeof(float)) : 0);
        ahead = s->at_joined + (size_t)s->threads * ngi_native_pool_scratch(&s->pool);
    }
    size_t masked = s->has_act ? round_up((size_t)s->out_count * sizeof(float)) : 0;
    size_t back = masked + conv_scratch(&s->backward);
    return back > ahead ? back : ahead;
}

static ng_status prepare(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
#if defined(__x86_64__)
    if (ngi_native_isa_best()->lanes < 8)
        return NG_E_UNSUPPORTED; /* oneDNN knows such old processors better */
#endif
    if (!is_pool(step) && !is_conv(step) && !is_strided(step))
        return NG_E_UNSUPPORTED;
    ngi_native_state *s = ngi_alloc_zero(1, sizeof *s);
    if (!s)
        return ngi_fail_memory(err, sizeof *s);
    s->threads = threads;
    s->has_act = step->has_act;
    s->act = step->act;
    s->in_count = ngi_shape_count(step->in_shape[0]);
    s->out_count = ngi_shape_count(step->out_shape);
    s->out_c = step->out_shape->dim[step->out_shape->rank - 1];
    s->out_pixels = s->out_count / s->out_c;
    s->in_c = step->in_shape[0]->dim[2];
    s->h = step->out_shape->dim[0];
    s->w = step->out_shape->dim[1];
    ngi_kernel k = {.state = s,
                    .packed = true,
                    .strided = true,
                    .forward = ngi_native_forward,
                    .backward = step->backward ? ngi_native_backward : NULL,
                    .reach = ngi_native_reach,
                    .spread = ngi_native_spread,
                    .update = update,
                    .destroy = destroy};
    ng_status status = create(step, batch, threads, s, err);
    if (status != NG_OK) {
        destroy(&k);
        return status;
    }
    name_kernel(s, k.name);
    k.scratch = lay_out_scratch(s);
    *out = k;
    return NG_OK;
}

static bool is_2d(const ngi_step *step)
{
    ngi_winograd_shape shape = shape_of(step, false);
    return ngi_winograd_is_2d(ngi_native_isa_best(), &shape);
}

/* A mean over what a 1x1 kernel made of it, or a maximum behind a 2-D transform. */
static bool pools(const ngi_step *step)
{
    float low, high;
    ngi_native_pool ignored;
#if defined(__x86_64__)
    if (ngi_native_isa_best()->lanes < 8)
        return false;
#endif
    if (!is_conv(step) || !ngi_native_pool_init(&ignored, ngi_native_isa_best(), step->pool->op,
                                                &step->pool->attr, &step->pool_in, step->out_shape, 1))
        return false;
    if (step->pool->op == NGI_OP_AVG_POOL)
        return is_1x1(step) && !is_padded(step->attr);
    return (!step->has_act || as_clamp(&step->act, &low, &high)) && is_2d(step);
}

const ngi_backend ngi_backend_native = {
    .name = "native", .prepare = prepare, .pools = pools, .prepare_trainer = ngi_native_prepare_trainer};

/* ---- In front of bf16 -------------------------------------------------------------------------- */

/* Where vectors of bf16 give twice the products, a fifth of them in float32 is less; not so beside AMX's matrix units. */
static bool beats_bf16(void)
{
#if defined(__x86_64__)
    return ngi_native_isa_best()->lanes == 16 && __builtin_cpu_supports("avx512bf16") &&
           !ngi_native_has_amx();
#else
    return false;
#endif
}

static ng_status prepare_2d(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    return is_conv(step) && is_2d(step) ? prepare(step, batch, threads, out, err) : NG_E_UNSUPPORTED;
}

static bool pools_2d(const ngi_step *step)
{
    return step->pool->op == NGI_OP_MAX_POOL && pools(step);
}

const ngi_backend ngi_backend_native_2d = {
    .name = "native 2-D", .usable = beats_bf16, .prepare = prepare_2d, .pools = pools_2d};
