/* See bytes.h: the input as bytes, weights, the direct convolution. For each row of the output and panel of channels the
 * sums of all rows of the kernel, whose kernel_w * in_c bytes follow each other in the input, as in direct.c. */
#include "exec/native/bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#define PANEL NGI_BYTES_PANEL
/* Read beyond the end of what is staged, and thrown away. */
#define SLACK 64

#if defined(__x86_64__)
extern const ngi_bytes_isa ngi_bytes_isa_vnni;
#endif

const ngi_bytes_isa *ngi_bytes_isa_best(void)
{
#if defined(__x86_64__)
    const char *limit = getenv("NETGAZE_MAX_ISA");
    if (__builtin_cpu_supports("avx512vnni") && ngi_native_isa_best()->lanes == 16 &&
        (limit || !ngi_native_has_amx()))
        return &ngi_bytes_isa_vnni;
#endif
    return NULL;
}

/* ---- The input --------------------------------------------------------------------------------- */

bool ngi_bytes_staged(const ngi_bytes_stage *s)
{
    return !s->bytes || s->h != s->staged_h || s->w != s->staged_w || s->c != s->staged_c;
}

size_t ngi_bytes_stage_size(const ngi_bytes_stage *s)
{
    return ((size_t)(s->staged_h * s->staged_w * s->staged_c) + SLACK + 63) / 64 * 64;
}

static void copy_numbers(const ngi_bytes_stage *s, const char *from, int64_t n, uint8_t *to)
{
    if (s->bytes)
        memcpy(to, from, (size_t)n);
    else
        s->isa->round((const float *)from, n, s->levels, s->zero, to);
}

/* What there is of row y of the staged image, padding and all. */
static void stage_row(const ngi_bytes_stage *s, const char *in, int64_t y, uint8_t *out)
{
    int64_t w = s->w < s->staged_w - s->left ? s->w : s->staged_w - s->left;
    int64_t size = s->bytes ? 1 : sizeof(float), row = s->staged_w * s->staged_c, at = s->left * s->staged_c;
    if (y < s->top || y - s->top >= s->h) {
        memset(out, s->zero, (size_t)row);
        return;
    }
    in += (y - s->top) * s->w * s->c * size;
    memset(out, s->zero, (size_t)at);
    if (s->c == s->staged_c)
        copy_numbers(s, in, w * s->c, out + at);
    for (int64_t x = 0; x < w && s->c != s->staged_c; x++) {
        copy_numbers(s, in + x * s->c * size, s->c, out + at + x * s->staged_c);
        memset(out + at + x * s->staged_c + s->c, s->zero, (size_t)(s->staged_c - s->c));
    }
    at += w * s->staged_c;
    memset(out + at, s->zero, (size_t)(row - at));
}

void ngi_bytes_stage_run(const ngi_bytes_stage *s, const void *in, uint8_t *out)
{
#pragma omp parallel for num_threads(s->threads) if (s->threads > 1)
    for (int64_t y = 0; y < s->staged_h; y++)
        stage_row(s, in, y, out + y * s->staged_w * s->staged_c);
}

/* ---- Weights ----------------------------------------------------------------------------------- */

int64_t ngi_bytes_panels(const ngi_bytes_conv *c)
{
    return (c->out_c + PANEL - 1) / PANEL;
}

static int64_t width_of(const ngi_bytes_conv *c, int64_t panel)
{
    return c->out_c - panel * PANEL > PANEL / 2 ? PANEL : PANEL / 2;
}

/* Bytes of one output channel's weights. */
static int64_t depth(const ngi_bytes_conv *c)
{
    return (int64_t)c->kernel_h * c->kernel_w * c->stage.staged_c;
}

static size_t weight_bytes(const ngi_bytes_conv *c)
{
    int64_t last = ngi_bytes_panels(c) - 1;
    size_t bytes = (size_t)(depth(c) * (last * PANEL + width_of(c, last)));
    return (bytes + 63) / 64 * 64;
}

/* The step of each output channel's weights, step[out_c]: the largest is 127 of them. */
static void find_steps(const float *kernel, int64_t taps, int64_t outputs, float *step)
{
    for (int64_t o = 0; o < outputs; o++)
        step[o] = 0;
    for (int64_t i = 0; i < taps; i++)
        for (int64_t o = 0; o < outputs; o++)
            step[o] = fmaxf(step[o], fabsf(kernel[i * outputs + o]) / 127);
}

/* Rounds the weights of one output channel, kernel [taps][in_c] numbers `apart`, tap by tap and then channel by channel. What
 * rounding took from one is given to the next: whatever inputs have in common - they are not negative, and neighbours are
 * alike - meets errors that cancel each other. Their sum is returned; to[k / 4 * width * 4 + k % 4] is number k. */
static int64_t round_channel(const ngi_bytes_conv *c, const float *kernel, int64_t apart, float step,
                             int64_t width, int8_t *to)
{
    int64_t taps = (int64_t)c->kernel_h * c->kernel_w, in_c = c->stage.c, sum = 0;
    double carried = 0;
    for (int64_t i = 0; i < in_c && step > 0; i++)
        for (int64_t t = 0; t < taps; t++) {
            double wanted = (double)kernel[(t * in_c + i) * apart] / step + carried;
            double rounded = fmin(fmax(rint(wanted), -127), 127);
            int64_t k = t * c->stage.staged_c + i;
            to[k / 4 * width * 4 + k % 4] = (int8_t)rounded;
            carried = wanted - rounded;
            sum += (int64_t)rounded;
        }
    return sum;
}

/* kernel [kh,kw,in_c,out_c] to weights [panels][kh * kw * staged_c / 4][width][4], and behind them step[out_c] and the
 * rounded weights' sum[out_c]. */
static void pack(const ngi_bytes_conv *c, const float *kernel, int8_t *weights)
{
    int64_t taps = (int64_t)c->kernel_h * c->kernel_w, out_c = c->out_c;
    float *step = (float *)(weights + weight_bytes(c)), *sum = step + out_c;
    memset(weights, 0, weight_bytes(c));
    find_steps(kernel, taps * c->stage.c, out_c, step);
    for (int64_t o = 0; o < out_c; o++) {
        int64_t panel = o / PANEL;
        sum[o] = (float)round_channel(c, kernel + o, out_c, step[o], width_of(c, panel),
                                      weights + panel * PANEL * depth(c) + o % PANEL * 4);
    }
}

ng_status ngi_bytes_find_weights(ngi_bytes_conv *c, const ngi_step *step, const char *tag, size_t bytes,
                                 ng_error *err)
{
    c->weights = ngi_packing_find(step->packing, tag, bytes);
    if (c->weights)
        return NG_OK;
    if (!step->kernel)
        return NG_E_NOT_FOUND;
    c->weights = c->owned = ngi_alloc_aligned(bytes);
    return c->owned ? NG_OK : ngi_fail_memory(err, bytes);
}

/* Where 0 is not the byte 0 each sum is that many times the weights too large. */
static ng_status init_direct(ngi_bytes_conv *c, const ngi_step *step, float out_levels, ng_error *err)
{
    size_t bytes = weight_bytes(c), all = (size_t)(ngi_bytes_panels(c) * PANEL);
    NGI_TRY(
        ngi_bytes_find_weights(c, step, "int8 direct", bytes + 2 * (size_t)c->out_c * sizeof(float), err));
    if (c->owned) {
        pack(c, step->kernel, c->owned);
        ngi_packing_keep(step->packing, "int8 direct", c->owned,
                         bytes + 2 * (size_t)c->out_c * sizeof(float));
    }
    c->scale = ngi_alloc_zero(all, sizeof *c->scale);
    if (!c->scale)
        return ngi_fail_memory(err, all * sizeof *c->scale);
    const float *steps = (const float *)((const char *)c->weights + bytes), *sums = steps + c->out_c;
    for (int64_t o = 0; o < c->out_c; o++) {
        c->scale[o] = steps[o] / c->stage.levels * out_levels;
        c->bias[o] -= (float)c->stage.zero * sums[o] * c->scale[o];
    }
    return NG_OK;
}

/* ---- Making ------------------------------------------------------------------------------------ */

/* One that has no more columns than pixels: 1x1 kernels, and upright ones. */
static bool is_flat(const ngi_bytes_conv *c)
{
    const ngi_bytes_stage *s = &c->stage;
    return c->kernel_w == 1 && c->stride_h == 1 && c->stride_w == 1 && s->staged_w == c->out_w;
}

static void set_stage_size(ngi_bytes_conv *c)
{
    ngi_bytes_stage *s = &c->stage;
    s->staged_c = (s->c + 3) / 4 * 4;
    s->staged_h = (c->out_h - 1) * c->stride_h + c->kernel_h;
    s->staged_w = (c->out_w - 1) * c->stride_w + c->kernel_w;
    if (c->winograd) { /* whole tiles, and a row behind them where the last pixel is read beyond its channels */
        s->staged_h = (c->out_h + 3) / 4 * 4 + 2 + (s->staged_c % 32 != 0);
        s->staged_w = (c->out_w + 3) / 4 * 4 + 2;
    } else if (s->top == 0 && s->left == 0 && s->staged_h <= s->h && s->staged_w <= s->w) {
        s->staged_h = s->h; /* what no window reaches may stay */
        s->staged_w = s->w;
    }
}

static ng_status set_bias(ngi_bytes_conv *c, const float *bias, float out_levels, ng_error *err)
{
    size_t all = (size_t)(ngi_bytes_panels(c) * PANEL);
    c->bias = ngi_alloc_zero(all, sizeof *c->bias);
    if (!c->bias)
        return ngi_fail_memory(err, all * sizeof *c->bias);
    for (int64_t o = 0; o < c->out_c && bias; o++)
        c->bias[o] = bias[o] * out_levels;
    return NG_OK;
}

ng_status ngi_bytes_conv_init(ngi_bytes_conv *c, const ngi_step *step, const float *bias, float out_levels,
                              ng_error *err)
{
    c->winograd = ngi_bytes_winograd_takes(c);
    set_stage_size(c);
    c->flat = is_flat(c);
    ng_status status = set_bias(c, bias, out_levels, err);
    if (status == NG_OK)
        status = c->winograd ? ngi_bytes_winograd_init(c, step, out_levels, err)
                             : init_direct(c, step, out_levels, err);
    if (status != NG_OK)
        ngi_bytes_conv_clear(c);
    return status;
}

void ngi_bytes_conv_clear(ngi_bytes_conv *c)
{
    ngi_free_aligned(c->owned);
    ngi_free(c->scale);
    ngi_free(c->bias);
    c->owned = c->scale = c->bias = NULL;
}

/* ---- Running ----------------------------------------------------------------------------------- */

size_t ngi_bytes_conv_scratch(const ngi_bytes_conv *c)
{
    return (ngi_bytes_staged(&c->stage) ? ngi_bytes_stage_size(&c->stage) : 0) +
           (c->winograd ? ngi_bytes_winograd_scratch(c) : 0);
}

ngi_bytes_end ngi_bytes_end_of(const ngi_bytes_conv *c, int64_t panel)
{
    int64_t left = c->out_c - panel * PANEL;
    return (ngi_bytes_end){.scale = c->scale + panel * PANEL,
                           .bias = c->bias + panel * PANEL,
                           .low = c->low,
                           .high = c->high,
                           .bytes = c->bytes,
                           .channels = (int)(left < PANEL ? left : PANEL)};
}

/* Row y of the output, of `rows` that fetch the next panel's weights meanwhile. */
static void run_row(const ngi_bytes_conv *c, const uint8_t *in, int64_t panel, int64_t y, int64_t rows,
                    char *out, int64_t stride)
{
    const ngi_bytes_stage *s = &c->stage;
    ngi_bytes_end end = ngi_bytes_end_of(c, panel);
    int64_t size = c->bytes ? 1 : sizeof(float), row = s->staged_w * s->staged_c, width = width_of(c, panel);
    int64_t pixels = c->flat ? c->out_h * c->out_w : c->out_w, tiles = (pixels + 11) / 12 * rows;
    const int8_t *weights = (const int8_t *)c->weights + panel * PANEL * depth(c),
                 *next = weights + depth(c) * width;
    ngi_bytes_rows r = {.rows = pixels,
                        .taps = c->kernel_h,
                        .k4 = c->kernel_w * s->staged_c / 4,
                        .in = in + y * c->stride_h * row,
                        .lda = c->stride_w * s->staged_c,
                        .pitch = row,
                        .weights = weights,
                        .ahead = next + y * (depth(c) * width / rows),
                        .step = width * 4 / tiles,
                        .out = out + (y * c->out_w * stride + panel * PANEL) * size,
                        .stride = stride};
    c->isa->product(&r, &end);
}

static void run_direct(const ngi_bytes_conv *c, const uint8_t *in, char *out, int64_t stride)
{
    int64_t panels = ngi_bytes_panels(c), rows = c->flat ? 1 : c->out_h;
#pragma omp parallel for collapse(2) schedule(static) num_threads(c->threads) if (c->threads > 1)
    for (int64_t p = 0; p < panels; p++)
        for (int64_t y = 0; y < rows; y++)
            run_row(c, in, p, y, rows, out, stride);
}

void ngi_bytes_conv_run(const ngi_bytes_conv *c, const void *in, void *out, int64_t stride, void *scratch)
{
    const uint8_t *bytes = in;
    char *room = scratch;
    if (ngi_bytes_staged(&c->stage)) {
        ngi_bytes_stage_run(&c->stage, in, scratch);
        bytes = scratch;
        room += ngi_bytes_stage_size(&c->stage);
    }
    if (c->winograd)
        ngi_bytes_winograd_run(c, bytes, out, stride, room);
    else
        run_direct(c, bytes, out, stride);
}
