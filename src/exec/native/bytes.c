/* The back-end row of --precision int8 (bytes.h): convolutions, forward only, and what lies between them as bytes: maxima of
 * bytes, means in front of 1x1 kernels, concatenations. Which activations are bytes is the plan's choice (exec/bytes.c). */
#include "exec/native/bytes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Inputs of fewer channels, an image's, are not worth their rounding error. */
#define LEAST_CHANNELS 8
/* Narrower ones have more levels a unit than float32 has numbers for. */
#define LEAST_RANGE    1e-30f
/* Products a sum of 32 bits has room for. */
#define MOST_PRODUCTS  (2147483647 / (255 * 127))

typedef struct bytes_state {
    ngi_bytes_conv conv;  /* isa NULL: there is none, it is a pool of bytes */
    ngi_native_pool pool; /* behind the convolution, or alone; h 0: none */
    ngi_native_end then;  /* behind the pool; bias owned by pool_bias */
    float *pool_bias;
    const ngi_bytes_isa *isa;
    ngi_activation_attr act;
    bool act_by_hand;
    bool bytes;                           /* what is written */
    int64_t in_bytes, out_pixels, out_c;  /* of an image */
    size_t at_sums, at_pooled, at_joined; /* offsets in scratch */
} bytes_state;

static bool usable(void)
{
    return ngi_bytes_isa_best() != NULL;
}

/* ---- What is taken ----------------------------------------------------------------------------- */

/* relu and relu6 are clamps, as is none. */
static bool as_clamp(const ngi_step *step, float *low, float *high)
{
    const ngi_activation_attr *a = &step->act;
    *low = -INFINITY;
    *high = INFINITY;
    if (!step->has_act)
        return true;
    *low = 0;
    *high = a->kind == NGI_ACT_RELU6 ? 6 : a->max_value;
    return a->kind == NGI_ACT_RELU6 || (a->kind == NGI_ACT_RELU && a->alpha == 0 && a->threshold == 0);
}

static bool pool_fits(const ngi_step *step)
{
    ngi_native_pool ignored;
    const ngi_attr *a = step->attr;
    return !step->pool ||
           (step->pool->op == NGI_OP_AVG_POOL && a->kernel_h == 1 && a->kernel_w == 1 && a->stride_h == 1 &&
            a->stride_w == 1 && !a->pad.top && !a->pad.bottom && !a->pad.left && !a->pad.right &&
            ngi_native_pool_init(&ignored, ngi_native_isa_best(), step->pool->op, &step->pool->attr,
                                 &step->pool_in, step->out_shape, 1));
}

static bool takes_conv(const ngi_step *step)
{
    const ngi_attr *a = step->attr;
    const ngi_shape *in = step->in_shape[0];
    float most = fmaxf(-step->in_low, step->in_high);
    return step->op == NGI_OP_CONV2D && !step->backward && !step->trains_kernel && !step->trains_bias &&
           a->groups == 1 && a->dilation_h == 1 && a->dilation_w == 1 && in->rank == 3 &&
           in->dim[2] >= LEAST_CHANNELS && (in->dim[2] + 3) * a->kernel_h * a->kernel_w <= MOST_PRODUCTS &&
           most > LEAST_RANGE && isfinite(most) && pool_fits(step);
}

static bool takes_pool(const ngi_step *step)
{
    ngi_native_pool ignored;
    return step->op == NGI_OP_MAX_POOL && !step->backward && !step->has_act &&
           ngi_native_pool_init(&ignored, ngi_native_isa_best(), step->op, step->attr, step->in_shape[0],
                                step->out_shape, 1);
}

static int bytes(const ngi_step *step)
{
    float low, high;
    if (takes_conv(step))
        return NGI_READS_BYTES | (as_clamp(step, &low, &high) ? NGI_WRITES_BYTES : 0);
    return takes_pool(step) || (step->op == NGI_OP_CONCAT && !step->backward)
               ? NGI_READS_BYTES | NGI_WRITES_BYTES
               : 0;
}

static bool pools(const ngi_step *step)
{
    return step->pool->op == NGI_OP_AVG_POOL && takes_conv(step);
}

/* ---- Running ----------------------------------------------------------------------------------- */

static void *moved(const bytes_state *s, void *out, int64_t elements)
{
    return (char *)out + elements * (int64_t)(s->bytes ? 1 : sizeof(float));
}

/* The mean of the sums, which are float32, and what comes behind it. */
static void run_mean(const bytes_state *s, const void *in, void *out, int64_t stride, char *scratch)
{
    float *sums = (float *)(scratch + s->at_sums), *mean = s->bytes ? (float *)(scratch + s->at_pooled) : out;
    ngi_bytes_conv_run(&s->conv, in, sums, s->out_c, scratch);
    ngi_native_pool_part(&s->pool, sums, 0, (ngi_rect){0, s->pool.oh, 0, s->pool.ow}, mean,
                         s->bytes ? s->out_c : stride, &s->then, scratch + s->at_joined);
    for (int64_t i = 0; i < s->out_pixels && s->bytes; i++)
        s->isa->round(mean + i * s->out_c, s->out_c, 1, 0, (uint8_t *)out + i * stride);
}

/* Maxima: a window's rows, for a whole row of the input at once, then its columns. */
static void run_maximum(const bytes_state *s, const uint8_t *in, uint8_t *out, int64_t stride,
                        uint8_t *joined)
{
    const ngi_native_pool *p = &s->pool;
    for (int64_t oy = 0; oy < p->oh; oy++) {
        int64_t y0, y1, row = p->w * p->c;
        ngi_native_pool_rows(p, oy, &y0, &y1);
        memcpy(joined, in + y0 * row, (size_t)row);
        for (int64_t y = y0 + 1; y < y1; y++)
            s->isa->larger(joined, in + y * row, row);
        for (int64_t ox = 0; ox < p->ow; ox++, out += stride) {
            int64_t x0 = ox * p->stride[1] - p->before[1], x1 = x0 + p->kernel[1];
            x0 = x0 < 0 ? 0 : x0;
            memcpy(out, joined + x0 * p->c, (size_t)p->c);
            for (int64_t x = x0 + 1; x < x1 && x < p->w; x++)
                s->isa->larger(out, joined + x * p->c, p->c);
        }
    }
}

static ng_status forward(const ngi_kernel *k, const ngi_run *run, ng_error *err)
{
    (void)err;
    const bytes_state *s = k->state;
    int64_t stride = run->out_stride ? run->out_stride : s->out_c;
    for (int i = 0; i < run->n; i++) {
        const char *in = (const char *)run->in[0] + i * s->in_bytes;
        void *out = moved(s, run->out, i * s->out_pixels * stride);
        if (!s->conv.isa)
            run_maximum(s, (const uint8_t *)in, out, stride, run->scratch);
        else if (s->pool.h)
            run_mean(s, in, out, stride, run->scratch);
        else
            ngi_bytes_conv_run(&s->conv, in, out, stride, run->scratch);
    }
    for (int64_t i = 0; i < run->n * s->out_pixels && s->act_by_hand; i++)
        ngi_activate(&s->act, run->out + i * stride, run->out + i * stride, s->out_c);
    return NG_OK;
}

/* Everything lies in its place already. */
static ng_status forward_nothing(const ngi_kernel *k, const ngi_run *run, ng_error *err)
{
    (void)k;
    (void)run;
    (void)err;
    return NG_OK;
}

static void destroy(ngi_kernel *k)
{
    bytes_state *s = k->state;
    if (!s)
        return;
    ngi_bytes_conv_clear(&s->conv);
    ngi_free(s->pool_bias);
    ngi_free(s);
    k->state = NULL;
}

/* ---- Preparing --------------------------------------------------------------------------------- */

static void set_stage(const ngi_step *step, int threads, ngi_bytes_stage *s)
{
    const ngi_shape *in = step->in_shape[0];
    bool negative = step->in_low < 0;
    *s = (ngi_bytes_stage){.isa = ngi_bytes_isa_best(),
                           .h = in->dim[0],
                           .w = in->dim[1],
                           .c = in->dim[2],
                           .top = step->attr->pad.top,
                           .left = step->attr->pad.left,
                           .levels = step->in_levels ? step->in_levels
                                     : negative      ? 127 / fmaxf(-step->in_low, step->in_high)
                                                     : 255 / step->in_high,
                           .zero = negative && !step->in_levels ? 128 : 0,
                           .bytes = step->in_levels != 0,
                           .threads = threads};
}

/* Bias and clamp of what is written, in its levels; where a mean comes first, of that. */
static ng_status create_conv(const ngi_step *step, int threads, bytes_state *s, ng_error *err)
{
    const ngi_shape *out = step->pool ? &step->pool_in : step->out_shape;
    float low, high, levels = step->out_levels ? step->out_levels : 1;
    s->act_by_hand = !as_clamp(step, &low, &high);
    low = s->act_by_hand ? -INFINITY : low * levels;
    high = s->act_by_hand ? INFINITY : high * levels;
    if (s->bytes) {
        low = fmaxf(low, 0);
        high = fminf(high, 255);
    }
    s->then = (ngi_native_end){NULL, low, high};
    s->conv = (ngi_bytes_conv){.isa = s->isa,
                               .out_h = out->dim[0],
                               .out_w = out->dim[1],
                               .out_c = s->out_c,
                               .kernel_h = step->attr->kernel_h,
                               .kernel_w = step->attr->kernel_w,
                               .stride_h = step->attr->stride_h,
                               .stride_w = step->attr->stride_w,
                               .threads = threads,
                               .low = step->pool ? -INFINITY : low,
                               .high = step->pool ? INFINITY : high,
                               .bytes = s->bytes && !step->pool};
    set_stage(step, threads, &s->conv.stage);
    return ngi_bytes_conv_init(&s->conv, step, step->pool ? NULL : step->bias, levels, err);
}

static ng_status create_pool(const ngi_step *step, int threads, bytes_state *s, ng_error *err)
{
    const ngi_node *pool = step->pool;
    (void)ngi_native_pool_init(&s->pool, ngi_native_isa_best(), pool ? pool->op : step->op,
                               pool ? &pool->attr : step->attr, pool ? &step->pool_in : step->in_shape[0],
                               step->out_shape, threads);
    if (!pool)
        return NG_OK;
    s->pool_bias = ngi_alloc_zero((size_t)s->out_c, sizeof *s->pool_bias);
    if (!s->pool_bias)
        return ngi_fail_memory(err, (size_t)s->out_c * sizeof *s->pool_bias);
    for (int64_t o = 0; o < s->out_c && step->bias; o++)
        s->pool_bias[o] = step->bias[o] * (s->bytes ? step->out_levels : 1);
    s->then.bias = s->pool_bias;
    return NG_OK;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* The convolution's own, what is pooled, the mean, the pool's rows. */
static size_t lay_out_scratch(bytes_state *s, int threads)
{
    if (!s->conv.isa)
        return round_up((size_t)(s->pool.w * s->pool.c));
    s->at_sums = round_up(ngi_bytes_conv_scratch(&s->conv));
    if (!s->pool.h)
        return s->at_sums;
    s->at_pooled = s->at_sums + round_up((size_t)(s->pool.h * s->pool.w * s->pool.c) * sizeof(float));
    s->at_joined = s->at_pooled + round_up((size_t)(s->out_pixels * s->out_c) * sizeof(float));
    return s->at_joined + (size_t)threads * ngi_native_pool_scratch(&s->pool);
}

static ng_status create(const ngi_step *step, int threads, bytes_state *s, ng_error *err)
{
    if (step->op == NGI_OP_CONV2D)
        NGI_TRY(create_conv(step, threads, s, err));
    return step->pool || step->op == NGI_OP_MAX_POOL ? create_pool(step, threads, s, err) : NG_OK;
}

static void name_kernel(const bytes_state *s, char name[64])
{
    if (!s->conv.isa)
        snprintf(name, 64, "int8 maximum:%s", s->isa->name);
    else
        snprintf(name, 64, "int8 %s:%s%s%s", s->conv.winograd ? "winograd" : "direct", s->isa->name,
                 s->conv.winograd ? ":F(4x4,3x3)" : "", s->pool.h ? ", pooled" : "");
}

static ng_status prepare(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    (void)batch;
    if (step->op == NGI_OP_CONCAT && step->out_levels) {
        *out = (ngi_kernel){.name = "int8 in place", .strided = true, .forward = forward_nothing};
        return NG_OK;
    }
    if (!takes_conv(step) && !(takes_pool(step) && step->out_levels))
        return NG_E_UNSUPPORTED;
    bytes_state *s = ngi_alloc_zero(1, sizeof *s);
    if (!s)
        return ngi_fail_memory(err, sizeof *s);
    s->isa = ngi_bytes_isa_best();
    s->act = step->act;
    s->bytes = step->out_levels != 0;
    s->out_c = step->out_shape->dim[2];
    s->out_pixels = step->out_shape->dim[0] * step->out_shape->dim[1];
    s->in_bytes = ngi_shape_count(step->in_shape[0]) * (int64_t)(step->in_levels ? 1 : sizeof(float));
    ngi_kernel k = {.state = s, .packed = true, .strided = true, .forward = forward, .destroy = destroy};
    ng_status status = create(step, threads, s, err);
    if (status != NG_OK) {
        destroy(&k);
        return status;
    }
    name_kernel(s, k.name);
    k.scratch = lay_out_scratch(s, threads);
    *out = k;
    return NG_OK;
}

const ngi_backend ngi_backend_int8 = {
    .name = "int8", .usable = usable, .prepare = prepare, .pools = pools, .bytes = bytes};
