/* 1x1 convolutions: the pixels, as they lie, times the kernel, packed in panels. */
#include "exec/native/native.h"

#include <math.h>
#include <string.h>

static int64_t panels_of(const ngi_native_isa *isa, int64_t channels)
{
    return (channels + 2 * isa->lanes - 1) / (2 * isa->lanes);
}

/* Channels that panel `p` has room for. */
static int64_t width_of(const ngi_product *c, int64_t p)
{
    int64_t panel = 2 * c->isa->lanes;
    return c->out_c - p * panel > c->isa->lanes ? panel : c->isa->lanes;
}

size_t ngi_product_weight_bytes(const ngi_native_isa *isa, int64_t in_c, int64_t out_c)
{
    return (size_t)(panels_of(isa, out_c) * 2 * isa->lanes * in_c) * sizeof(float);
}

static void pack(const ngi_product *c, const float *kernel, float *weights)
{
    int64_t panel = 2 * c->isa->lanes, panels = panels_of(c->isa, c->out_c);
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1)
    for (int64_t p = 0; p < panels; p++) {
        int64_t width = width_of(c, p), first = p * panel;
        int64_t n = c->out_c - first < width ? c->out_c - first : width;
        float *dst = weights + first * c->in_c;
        memset(dst, 0, (size_t)(panel * c->in_c) * sizeof *dst);
        for (int64_t i = 0; i < c->in_c; i++, dst += width)
            for (int64_t o = 0; o < n; o++)
                dst[o] = c->transpose ? kernel[(first + o) * c->in_c + i] : kernel[i * c->out_c + first + o];
    }
}

void ngi_product_free(ngi_product *c)
{
    if (!c)
        return;
    ngi_free_aligned(c->owned);
    ngi_free_aligned(c->bias);
    ngi_free(c);
}

ng_status ngi_product_create(const ngi_native_isa *isa, int64_t in_c, int64_t out_c, bool transpose,
                             const float *kernel, const float *packed, const float *bias, int threads,
                             ngi_product **out, ng_error *err)
{
    size_t bytes = ngi_product_weight_bytes(isa, in_c, out_c);
    size_t bias_bytes = (size_t)(panels_of(isa, out_c) * 2 * isa->lanes) * sizeof(float);
    *out = NULL;
    ngi_product *c = ngi_alloc(1, sizeof *c);
    if (!c)
        return ngi_fail_memory(err, sizeof *c);
    *c = (ngi_product){.isa = isa,
                       .in_c = in_c,
                       .out_c = out_c,
                       .transpose = transpose,
                       .threads = threads,
                       .low = -INFINITY,
                       .high = INFINITY};
    c->bias = ngi_alloc_aligned(bias_bytes);
    if (!packed)
        c->owned = ngi_alloc_aligned(bytes);
    c->weights = packed ? packed : c->owned;
    if (!c->weights || !c->bias) {
        ngi_product_free(c);
        return ngi_fail_memory(err, bytes + bias_bytes);
    }
    memset(c->bias, 0, bias_bytes);
    if (bias)
        memcpy(c->bias, bias, (size_t)out_c * sizeof *bias);
    if (!packed)
        pack(c, kernel, c->owned);
    *out = c;
    return NG_OK;
}

void ngi_product_update(ngi_product *c, const float *kernel, const float *bias)
{
    pack(c, kernel, c->owned);
    if (bias)
        memcpy(c->bias, bias, (size_t)c->out_c * sizeof *bias);
}

/* Rows at a time: few enough to stay near while all panels meet them, enough to make the panels' way worth it. */
#define CHUNK         48
/* Rows whose products cost as much as reading a panel's weights does, and panels as much as reading a row. */
#define COST_OF_PANEL 12
#define COST_OF_ROW   4

/* A thread's piece of work: so many rows times so many panels. */
typedef struct piece {
    int64_t rows, panels;
} piece;

/* Threads share the rows; where these are few, the panels too, or each of them would read all weights for little. */
static piece divide(const ngi_product *c, int64_t rows)
{
    int64_t panels = panels_of(c->isa, c->out_c), chunks = (rows + CHUNK / 2) / CHUNK, lowest = INT64_MAX;
    piece best = {rows, panels};
    for (int64_t across = 1; across <= c->threads && across <= panels; across++) {
        if (c->threads % across != 0)
            continue;
        int64_t step = c->threads / across, down = (chunks + step - 1) / step * step;
        piece one = {down > 1 ? (rows + down - 1) / down : rows, (panels + across - 1) / across};
        int64_t mine = (down + step - 1) / step; /* pieces of a thread, with the same weights */
        int64_t cost = mine * one.rows * (one.panels + COST_OF_ROW) + one.panels * COST_OF_PANEL;
        if (cost < lowest) {
            lowest = cost;
            best = one;
        }
    }
    return best;
}

/* `rows` pixels, one after the other, times panels [first, end). */
static void multiply(const ngi_product *c, int64_t rows, int64_t first, int64_t end, const float *in,
                     float *out, int64_t stride, bool accumulate)
{
    int64_t panel = 2 * c->isa->lanes, panels = panels_of(c->isa, c->out_c);
    for (int64_t p = first; p < end && p < panels; p++) {
        int64_t at = p * panel, n = c->out_c - at < panel ? c->out_c - at : panel;
        c->isa->product(rows, c->in_c, in, c->in_c, c->weights + at * c->in_c, out + at, stride, c->bias + at,
                        c->low, c->high, accumulate, n);
    }
}

void ngi_product_run(const ngi_product *c, int64_t rows, const float *in, float *out, int64_t stride,
                     bool accumulate)
{
    int64_t panels = panels_of(c->isa, c->out_c);
    piece one = divide(c, rows);
#pragma omp parallel for collapse(2) num_threads(c->threads) schedule(static) if (c->threads > 1)
    for (int64_t p = 0; p < panels; p += one.panels)
        for (int64_t r = 0; r < rows; r += one.rows)
            multiply(c, rows - r < one.rows ? rows - r : one.rows, p, p + one.panels, in + r * c->in_c,
                     out + r * stride, stride, accumulate);
}

void ngi_product_part(const ngi_product *c, int64_t w, ngi_rect part, const float *in, float *out,
                      int64_t stride)
{
    int64_t panels = panels_of(c->isa, c->out_c), n = part.x1 - part.x0, lines = part.y1 - part.y0;
    if (n == w) { /* lines that follow each other */
        ngi_product_run(c, lines * w, in + part.y0 * w * c->in_c, out + part.y0 * w * stride, stride, false);
        return;
    }
    piece one = divide(c, lines * n);
    int64_t take = (one.rows + n - 1) / n; /* lines */
#pragma omp parallel for collapse(2) num_threads(c->threads) schedule(static) if (c->threads > 1)
    for (int64_t p = 0; p < panels; p += one.panels)
        for (int64_t first = part.y0; first < part.y1; first += take)
            for (int64_t at = p; at < p + one.panels; at++)
                for (int64_t y = first; y < part.y1 && y < first + take; y++)
                    multiply(c, n, at, at + 1, in + (y * w + part.x0) * c->in_c,
                             out + (y * w + part.x0) * stride, stride, false);
}
