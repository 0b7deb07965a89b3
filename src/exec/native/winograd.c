/* Choosing a transform, dividing the map among passes and threads, packing weights. winograd_run.c runs it. */
#include "exec/native/native.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_PANEL = 32, /* output channels of a panel: twice the lanes of AVX-512 */
    MAX_TAPS = 49,  /* of the largest kernel, 7x7 */
};

/* 2-D tiles waste more at the rim of small maps than they save in products. */
#define LEAST_2D_SIDE 12

/* Products of a channel and line (2-D: map) with tiles of m outputs. */
static int64_t products(const ngi_winograd *c, int m, int r)
{
    int64_t a = m + r - 1;
    if (c->two_d)
        return ngi_tiles_of(c->shape.out_h, m) * ngi_tiles_of(c->shape.out_w, m) * a * a;
    return ngi_tiles_of(c->vertical ? c->shape.out_h : c->shape.out_w, m) * a;
}

static bool choose_transform(ngi_winograd *c)
{
    int kernel_h = c->shape.kernel_h, kernel_w = c->shape.kernel_w;
    bool taps_h = kernel_h == 3 || kernel_h == 5 || kernel_h == 7;
    bool taps_w = kernel_w == 3 || kernel_w == 5 || kernel_w == 7;
    c->two_d = kernel_h == kernel_w && (kernel_h == 3 || kernel_h == 5) && c->shape.out_h >= LEAST_2D_SIDE &&
               c->shape.out_w >= LEAST_2D_SIDE;
    c->vertical = kernel_w == 1 && taps_h;
    bool square = kernel_h == kernel_w && taps_w;
    if (!c->two_d && !c->vertical && !(kernel_h == 1 && taps_w) && !square)
        return false;
    int r = c->vertical ? kernel_h : kernel_w;
    bool six = !c->shape.fine && !(c->two_d && r == 5) &&
               products(c, 6, r) < products(c, 4, r); /* 2-D tiles have 8x8 inputs at most */
    ngi_cook_toom_init(&c->t, six ? 6 : 4, r);
    c->frequencies = c->two_d ? c->t.a * c->t.a : c->t.a;
    c->others = c->two_d || c->vertical ? 1 : kernel_h;
    return true;
}

/* The taps of input channel i for the `n` output channels from `first`, flipped and transposed where asked for:
 * taps[y * kernel_w + x][channel], [panel] each. */
static void gather_taps(const ngi_winograd_shape *s, const float *kernel, int64_t i, int64_t first, int64_t n,
                        float *taps, int64_t panel)
{
    int count = s->kernel_h * s->kernel_w;
    for (int k = 0; k < count; k++, taps += panel) {
        int from = s->transpose ? count - 1 - k : k;
        if (!s->transpose)
            memcpy(taps, kernel + ((int64_t)from * s->in_c + i) * s->out_c + first, (size_t)n * sizeof *taps);
        const float *row = kernel + ((int64_t)from * s->out_c + first) * s->in_c + i;
        for (int64_t o = 0; o < n && s->transpose; o++)
            taps[o] = row[o * s->in_c];
    }
}

static void pack_weights(const ngi_winograd *c, const ngi_winograd_shape *s, const float *kernel,
                         float *weights)
{
    int64_t panel = 2 * c->isa->lanes, slots = (int64_t)c->frequencies * c->others;
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1)
    for (int64_t p = 0; p < c->panels; p++) {
        float taps[MAX_TAPS * MAX_PANEL] = {0};
        int64_t first = p * panel, n = s->out_c - first < panel ? s->out_c - first : panel;
        for (int64_t i = 0; i < s->in_c; i++) {
            gather_taps(s, kernel, i, first, n, taps, panel);
            c->isa->weights(&c->t, c->two_d, c->others, taps, weights + (p * slots * s->in_c + i) * panel,
                            s->in_c * panel);
        }
    }
}

/* Rows of products that reading a panel's weights once costs as much as, and that letting all threads meet does. */
#define COST_OF_PANEL 12
#define COST_OF_PASS  16

/* Divides the map into passes and the products of a pass into groups of rows, for threads to share where there are fewer panels
 * than they need. A group's transformed inputs fill about half of a second-level cache. */
static void divide(ngi_winograd *c)
{
    long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    int64_t budget = (l2 >= 262144 ? l2 : 1048576) / 2, line = 1, least = 24;
    int64_t all = ngi_tiles_of(c->shape.out_h, c->t.m) * ngi_tiles_of(c->shape.out_w, c->t.m);
    int64_t fit = budget / (c->frequencies * c->in_lanes * (int64_t)sizeof(float));
    if (!c->two_d) { /* lines of tiles */
        line = ngi_tiles_of(c->vertical ? c->shape.out_h : c->shape.out_w, c->t.m);
        all = c->vertical ? c->shape.out_w : c->shape.out_h;
        all *= ngi_winograd_joins(c) ? c->shape.images : 1;
        least = 2 * c->others;
        fit = fit / line - (c->others - 1);
    }
    fit = fit < least ? least : fit;
    int64_t lowest = INT64_MAX;
    for (int64_t groups = 1; groups <= c->threads; groups++) {
        int64_t passes = (all + fit * groups - 1) / (fit * groups), chunk = (all + passes - 1) / passes;
        int64_t group = (chunk * line + groups - 1) / groups;
        int64_t rounds = (c->panels * groups + c->threads - 1) / c->threads;
        int64_t cost = passes * (rounds * (group + COST_OF_PANEL) + COST_OF_PASS);
        if (cost >= lowest)
            continue;
        lowest = cost;
        c->chunk = chunk;
        c->group = group;
    }
}

void ngi_winograd_free(ngi_winograd *c)
{
    if (!c)
        return;
    ngi_free_aligned(c->owned);
    ngi_free_aligned(c->bias);
    ngi_free(c);
}

/* All but the weights. */
static bool describe(ngi_winograd *c, const ngi_native_isa *isa, const ngi_winograd_shape *s, int threads)
{
    *c = (ngi_winograd){.isa = isa, .shape = *s, .threads = threads, .low = -INFINITY, .high = INFINITY};
    if (!choose_transform(c))
        return false;
    int64_t panel = 2 * isa->lanes;
    c->pad_top = s->transpose ? s->kernel_h - 1 - s->pad_top : s->pad_top;
    c->pad_left = s->transpose ? s->kernel_w - 1 - s->pad_left : s->pad_left;
    c->in_lanes = (s->in_c + isa->lanes - 1) / isa->lanes * isa->lanes;
    c->panels = (s->out_c + panel - 1) / panel;
    divide(c);
    return true;
}

static size_t weight_count(const ngi_winograd *c)
{
    return (size_t)(c->panels * c->frequencies * c->others * c->shape.in_c * 2 * c->isa->lanes);
}

size_t ngi_winograd_weight_bytes(const ngi_native_isa *isa, const ngi_winograd_shape *s)
{
    ngi_winograd c;
    return describe(&c, isa, s, 1) ? weight_count(&c) * sizeof(float) : 0;
}

bool ngi_winograd_is_2d(const ngi_native_isa *isa, const ngi_winograd_shape *s)
{
    ngi_winograd c;
    return describe(&c, isa, s, 1) && c.two_d;
}

static ng_status allocate(ngi_winograd *c, const float *packed, const float *bias, ng_error *err)
{
    size_t bias_count = (size_t)(c->panels * 2 * c->isa->lanes), count = weight_count(c);
    c->bias = ngi_alloc_aligned(bias_count * sizeof *c->bias);
    if (!packed)
        c->owned = ngi_alloc_aligned(count * sizeof *c->owned);
    c->weights = packed ? packed : c->owned;
    if (!c->weights || !c->bias)
        return ngi_fail_memory(err, (count + bias_count) * sizeof(float));
    memset(c->bias, 0, bias_count * sizeof *c->bias);
    if (bias)
        memcpy(c->bias, bias, (size_t)c->shape.out_c * sizeof *bias);
    return NG_OK;
}

ng_status ngi_winograd_create(const ngi_native_isa *isa, const ngi_winograd_shape *s, const float *kernel,
                              const float *packed, const float *bias, int threads, ngi_winograd **out,
                              ng_error *err)
{
    *out = NULL;
    ngi_winograd described;
    if (!describe(&described, isa, s, threads))
        return NG_E_UNSUPPORTED;
    ngi_winograd *c = ngi_alloc(1, sizeof *c);
    if (!c)
        return ngi_fail_memory(err, sizeof *c);
    *c = described;
    ng_status status = allocate(c, packed, bias, err);
    if (status != NG_OK) {
        ngi_winograd_free(c);
        return status;
    }
    if (!packed)
        pack_weights(c, s, kernel, c->owned);
    *out = c;
    return NG_OK;
}

void ngi_winograd_update(ngi_winograd *c, const float *kernel, const float *bias)
{
    pack_weights(c, &c->shape, kernel, c->owned);
    if (bias)
        memcpy(c->bias, bias, (size_t)c->shape.out_c * sizeof *bias);
}
