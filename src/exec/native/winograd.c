/* Choosing a transform, packing weights, and running one convolution: transform the input of a pass, then for
 * each panel of output channels multiply all frequencies and transform back at once, so that the products of a
 * panel never leave the cache. */
#include "exec/native/native.h"
#include "exec/rect.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    MAX_M = 6,      /* outputs of a tile and axis */
    MAX_PANEL = 32, /* output channels of a panel: twice the lanes of AVX-512 */
    MAX_TAPS = 49,  /* of the largest kernel, 7x7 */
};

/* ---- Creation --------------------------------------------------------------------------------- */

/* 2-D tiles waste more at the rim of small maps than they save in products. */
#define LEAST_2D_SIDE 12

static int64_t tiles_of(int64_t outputs, int m)
{
    return (outputs + m - 1) / m;
}

/* Products of a channel and line (2-D: map) with tiles of m outputs. */
static int64_t products(const ngi_winograd *c, int m, int r)
{
    int64_t a = m + r - 1;
    if (c->two_d)
        return tiles_of(c->shape.out_h, m) * tiles_of(c->shape.out_w, m) * a * a;
    return tiles_of(c->vertical ? c->shape.out_h : c->shape.out_w, m) * a;
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
    int64_t all = tiles_of(c->shape.out_h, c->t.m) * tiles_of(c->shape.out_w, c->t.m);
    int64_t fit = budget / (c->frequencies * c->in_lanes * (int64_t)sizeof(float));
    if (!c->two_d) { /* lines of tiles */
        line = tiles_of(c->vertical ? c->shape.out_h : c->shape.out_w, c->t.m);
        all = c->vertical ? c->shape.out_w : c->shape.out_h;
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

/* ---- Running ---------------------------------------------------------------------------------- */

/* One pass: `tiles` tiles starting at `first`, whose transformed inputs stand at `rows` places of v. In 2-D a tile is a
 * place; in 1-D places are the lines' tiles, the other axis's taps reading from lines further down. */
typedef struct wino_pass {
    const ngi_winograd *c;
    const float *in;
    float *out;
    int64_t stride;  /* of the output's pixels, floats */
    int64_t out_row; /* the output's row that `out` is */
    bool accumulate;
    int64_t first; /* 2-D: first tile, counted along the part's rows of tiles; 1-D: first line across */
    int64_t along; /* 1-D: tiles a line. 2-D: tiles a row of tiles; of the part */
    int64_t tile_y, tile_x; /* 2-D: of the part's first tile; 1-D: tile_x, the first one of each line */
    int64_t places;         /* transformed tiles */
    int64_t rows;           /* of each matrix product: output tiles of the pass */
    float *v;               /* [frequencies][places][in_lanes] */
    float *products;        /* per thread: [frequencies][rows][panel] */
} wino_pass;

static const float *pixel(const wino_pass *p, int64_t y, int64_t x)
{
    const ngi_winograd *c = p->c;
    return y < 0 || y >= c->shape.in_h || x < 0 || x >= c->shape.in_w
               ? NULL
               : p->in + (y * c->shape.in_w + x) * c->shape.in_c;
}

/* Where an output tile begins, of a 2-D pass. */
static int64_t tile_row(const wino_pass *p, int64_t tile)
{
    return (p->tile_y + tile / p->along) * p->c->t.m;
}

static int64_t tile_column(const wino_pass *p, int64_t tile)
{
    return (p->tile_x + tile % p->along) * p->c->t.m;
}

static void transform_place(const wino_pass *p, int64_t place)
{
    const ngi_winograd *c = p->c;
    const float *src[NGI_WINO_MAX_FREQUENCIES];
    int a = c->t.a;
    if (c->two_d) {
        int64_t y = tile_row(p, p->first + place) - c->pad_top,
                x = tile_column(p, p->first + place) - c->pad_left;
        for (int i = 0; i < a; i++)
            for (int j = 0; j < a; j++)
                src[i * a + j] = pixel(p, y + i, x + j);
    } else {
        int64_t line = p->first + place / p->along, start = tile_column(p, place);
        for (int i = 0; i < a; i++)
            src[i] = c->vertical ? pixel(p, start + i - c->pad_top, line - c->pad_left)
                                 : pixel(p, line - c->pad_top, start + i - c->pad_left);
    }
    c->isa->input(&c->t, c->two_d, src, p->v + place * c->in_lanes, p->places * c->in_lanes, c->shape.in_c,
                  c->isa->lanes, c->isa->lanes);
}

/* Where the outputs from (y, x) on go: `down` of them downwards, each with `right` to the right; NULL beyond the map. */
static void point_at_outputs(const wino_pass *p, int64_t y, int64_t x, int down, int right, int64_t channel,
                             float **dst)
{
    const ngi_winograd_shape *s = &p->c->shape;
    float *line = p->out + ((y - p->out_row) * s->out_w + x) * p->stride + channel;
    for (int i = 0; i < down; i++, line += s->out_w * p->stride)
        for (int j = 0; j < right; j++)
            *dst++ = y + i < s->out_h && x + j < s->out_w ? line + j * p->stride : NULL;
}

/* `products`: of the tile's first frequency; `apart` floats between frequencies. */
static void write_tile(const wino_pass *p, int64_t row, int64_t panel_index, const float *products,
                       int64_t apart)
{
    const ngi_winograd *c = p->c;
    int64_t panel = 2 * c->isa->lanes, channel = panel_index * panel;
    float *dst[MAX_M * MAX_M];
    int m = c->t.m;
    if (c->two_d)
        point_at_outputs(p, tile_row(p, p->first + row), tile_column(p, p->first + row), m, m, channel, dst);
    else if (c->vertical)
        point_at_outputs(p, tile_column(p, row), p->first + row / p->along, m, 1, channel, dst);
    else
        point_at_outputs(p, p->first + row / p->along, tile_column(p, row), 1, m, channel, dst);
    int64_t channels = c->shape.out_c - channel < panel ? c->shape.out_c - channel : panel;
    c->isa->output(&c->t, c->two_d, products, apart, dst, c->bias + channel, c->low, c->high, p->accumulate,
                   channels);
}

/* Rows [first, end) of a panel. */
static void run_panel(const wino_pass *p, int64_t panel_index, int64_t first, int64_t end, float *products)
{
    const ngi_winograd *c = p->c;
    int64_t panel = 2 * c->isa->lanes, apart = (end - first) * panel;
    const float *w = c->weights + panel_index * c->frequencies * c->others * c->shape.in_c * panel;
    for (int f = 0; f < c->frequencies; f++)
        for (int j = 0; j < c->others; j++, w += c->shape.in_c * panel)
            c->isa->multiply(end - first, c->shape.in_c,
                             p->v + (f * p->places + j * p->along + first) * c->in_lanes, c->in_lanes, w,
                             products + f * apart, j > 0);
    for (int64_t row = first; row < end; row++)
        write_tile(p, row, panel_index, products + (row - first) * panel, apart);
}

/* Transformed tiles and output tiles that a pass has room for. */
static int64_t most_places(const ngi_winograd *c, int64_t *rows)
{
    if (c->two_d)
        return *rows = c->chunk;
    int64_t along = tiles_of(c->vertical ? c->shape.out_h : c->shape.out_w, c->t.m);
    *rows = c->chunk * along;
    return (c->chunk + c->others - 1) * along;
}

size_t ngi_winograd_scratch(const ngi_winograd *c)
{
    int64_t rows, places = most_places(c, &rows), panel = 2 * c->isa->lanes;
    return (size_t)(c->frequencies * (places * c->in_lanes + c->threads * c->group * panel)) * sizeof(float);
}

/* Group and panel of a pass's piece of work: pieces that follow each other, mostly a thread's, share whichever is larger, the
 * group's transformed inputs or the panel's weights. */
static void run_piece(const wino_pass *p, int64_t piece, int64_t groups, float *products)
{
    int64_t rows = (p->rows + groups - 1) / groups;
    bool by_group = rows > 2 * p->c->isa->lanes;
    int64_t group = by_group ? piece / p->c->panels : piece % groups;
    int64_t end = (group + 1) * rows;
    if (group * rows < p->rows)
        run_panel(p, by_group ? piece % p->c->panels : piece / groups, group * rows,
                  end < p->rows ? end : p->rows, products);
}

int64_t ngi_winograd_band(const ngi_winograd *c)
{
    int64_t rows = c->chunk / tiles_of(c->shape.out_w, c->t.m);
    return (rows > 2 ? rows : 2) * c->t.m;
}

static void run_pass(const wino_pass *p)
{
    const ngi_winograd *c = p->c;
    int64_t groups = (p->rows + c->group - 1) / c->group;
#pragma omp parallel num_threads(c->threads) if (c->threads > 1)
    {
        float *mine = p->products;
#ifdef _OPENMP
        mine += omp_get_thread_num() * c->frequencies * c->group * 2 * c->isa->lanes;
#endif
#pragma omp for schedule(static)
        for (int64_t i = 0; i < p->places; i++)
            transform_place(p, i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < groups * c->panels; i++)
            run_piece(p, i, groups, mine);
    }
}

/* Outputs of a tile downwards, and to the right. */
static int step_down(const ngi_winograd *c)
{
    return c->two_d || c->vertical ? c->t.m : 1;
}

static int step_right(const ngi_winograd *c)
{
    return c->two_d || !c->vertical ? c->t.m : 1;
}

/* The outputs of an axis that whole tiles make for [from, to). */
static void round_axis(int64_t *from, int64_t *to, int m, int64_t size)
{
    *from = *from / m * m;
    *to = tiles_of(*to, m) * m < size ? tiles_of(*to, m) * m : size;
}

/* The inputs of an axis that `tiles` outputs from `from` on are made of. */
static void read_axis(int64_t *from, int64_t *to, int taps, int pad, int64_t size)
{
    *from = *from - pad > 0 ? *from - pad : 0;
    *to = *to - pad + taps - 1 < size ? *to - pad + taps - 1 : size;
}

/* The outputs of an axis whose tiles, of m, read any of the inputs [from, to). */
static void spread_axis(int64_t *from, int64_t *to, int m, int taps, int pad, int64_t size)
{
    ngi_window_axis(from, to, m + taps - 1, m, pad, tiles_of(size, m));
    *from *= m;
    *to = *to * m < size ? *to * m : size;
}

ngi_rect ngi_winograd_reach(const ngi_winograd *c, ngi_rect *out)
{
    int down = step_down(c), right = step_right(c);
    round_axis(&out->y0, &out->y1, down, c->shape.out_h);
    round_axis(&out->x0, &out->x1, right, c->shape.out_w);
    ngi_rect in = *out; /* what tiles read beyond the output's end meets no output */
    in.y1 = tiles_of(in.y1, down) * down;
    in.x1 = tiles_of(in.x1, right) * right;
    read_axis(&in.y0, &in.y1, c->shape.kernel_h, c->pad_top, c->shape.in_h);
    read_axis(&in.x0, &in.x1, c->shape.kernel_w, c->pad_left, c->shape.in_w);
    return in;
}

ngi_rect ngi_winograd_spread(const ngi_winograd *c, ngi_rect in)
{
    const ngi_winograd_shape *s = &c->shape;
    spread_axis(&in.y0, &in.y1, step_down(c), s->kernel_h, c->pad_top, s->out_h);
    spread_axis(&in.x0, &in.x1, step_right(c), s->kernel_w, c->pad_left, s->out_w);
    return in;
}

/* Lines of the part, all of `along` tiles, a pass: as many as the room made for whole lines takes. */
static int64_t lines_a_pass(const ngi_winograd *c, int64_t lines, int64_t along)
{
    int64_t rows, places = most_places(c, &rows);
    int64_t most = places / along - (c->others - 1);
    most = rows / along < most ? rows / along : most;
    int64_t passes = (lines + most - 1) / most;
    return (lines + passes - 1) / passes;
}

static int64_t tiles_a_pass(const ngi_winograd *c, int64_t tiles)
{
    int64_t passes = (tiles + c->chunk - 1) / c->chunk;
    return (tiles + passes - 1) / passes;
}

void ngi_winograd_part(const ngi_winograd *c, const float *in, ngi_rect part, float *out, int64_t out_row,
                       int64_t stride, bool accumulate, void *scratch)
{
    int m = c->t.m;
    bool down = !c->two_d && c->vertical; /* lines are columns */
    int64_t line = down ? part.x0 : part.y0, lines = (down ? part.x1 : part.y1) - line;
    int64_t tile = (down ? part.y0 : part.x0) / m, along = tiles_of(down ? part.y1 : part.x1, m) - tile;
    int64_t first = c->two_d ? 0 : line,
            end = c->two_d ? (tiles_of(part.y1, m) - line / m) * along : line + lines;
    int64_t take = c->two_d ? tiles_a_pass(c, end) : lines_a_pass(c, lines, along);
    for (; first < end; first += take) {
        int64_t count = end - first < take ? end - first : take;
        wino_pass p = {.c = c,
                       .in = in,
                       .out = out,
                       .stride = stride,
                       .out_row = out_row,
                       .accumulate = accumulate,
                       .first = first,
                       .along = along,
                       .tile_y = line / m,
                       .tile_x = tile,
                       .places = c->two_d ? count : (count + c->others - 1) * along,
                       .rows = c->two_d ? count : count * along,
                       .v = scratch};
        p.products = p.v + c->frequencies * p.places * c->in_lanes;
        run_pass(&p);
    }
}

void ngi_winograd_run(const ngi_winograd *c, const float *in, float *out, int64_t stride, bool accumulate,
                      void *scratch)
{
    ngi_rect all = {0, c->shape.out_h, 0, c->shape.out_w};
    ngi_winograd_part(c, in, all, out, 0, stride, accumulate, scratch);
}
