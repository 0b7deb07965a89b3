/* Running one Winograd convolution: transform the input of a pass, then for each panel of output channels multiply all
 * frequencies and transform back at once, so that the products of a panel never leave the cache. */
#include "exec/native/native.h"
#include "exec/rect.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#define MAX_M 6 /* outputs of a tile and axis */

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
    int64_t lines;          /* 1-D: of an image, where those of several follow each other; else INT64_MAX */
    int64_t places;         /* transformed tiles */
    int64_t rows;           /* of each matrix product: output tiles of the pass */
    float *v;               /* [frequencies][places][in_lanes] */
    float *products;        /* per thread: [frequencies][rows][panel] */
} wino_pass;

/* A tile's first output; its inputs begin as many pixels before it as there is padding. */
typedef struct spot {
    int64_t image, y, x;
} spot;

static spot spot_of(const wino_pass *p, int64_t place)
{
    const ngi_winograd *c = p->c;
    if (c->two_d) {
        int64_t tile = p->first + place;
        return (spot){0, (p->tile_y + tile / p->along) * c->t.m, (p->tile_x + tile % p->along) * c->t.m};
    }
    int64_t line = p->first + place / p->along, start = (p->tile_x + place % p->along) * c->t.m;
    int64_t image = line / p->lines, across = line % p->lines;
    return c->vertical ? (spot){image, start, across} : (spot){image, across, start};
}

/* How far a tile of `along` numbers an axis reaches downwards, and to the right. */
static int reach_down(const ngi_winograd *c, int along)
{
    return c->two_d || c->vertical ? along : 1;
}

static int reach_right(const ngi_winograd *c, int along)
{
    return c->two_d || !c->vertical ? along : 1;
}

static const float *pixel(const wino_pass *p, int64_t image, int64_t y, int64_t x)
{
    const ngi_winograd_shape *s = &p->c->shape;
    return y < 0 || y >= s->in_h || x < 0 || x >= s->in_w
               ? NULL
               : p->in + ((image * s->in_h + y) * s->in_w + x) * s->in_c;
}

static void transform_place(const wino_pass *p, int64_t place)
{
    const ngi_winograd *c = p->c;
    const float *src[NGI_WINO_MAX_FREQUENCIES], **next = src;
    spot at = spot_of(p, place);
    int down = reach_down(c, c->t.a), right = reach_right(c, c->t.a);
    for (int i = 0; i < down; i++)
        for (int j = 0; j < right; j++)
            *next++ = pixel(p, at.image, at.y - c->pad_top + i, at.x - c->pad_left + j);
    c->isa->input(&c->t, c->two_d, src, p->v + place * c->in_lanes, p->places * c->in_lanes, c->shape.in_c,
                  c->isa->lanes, c->isa->lanes);
}

/* `products`: of the tile's first frequency; `apart` floats between frequencies. */
static void write_tile(const wino_pass *p, int64_t row, int64_t panel_index, const float *products,
                       int64_t apart)
{
    const ngi_winograd *c = p->c;
    const ngi_winograd_shape *s = &c->shape;
    int64_t panel = 2 * c->isa->lanes, channel = panel_index * panel;
    float *dst[MAX_M * MAX_M], **next = dst; /* NULL: beyond the map */
    spot at = spot_of(p, row);
    float *line =
        p->out + ((at.image * s->out_h + at.y - p->out_row) * s->out_w + at.x) * p->stride + channel;
    int down = reach_down(c, c->t.m), right = reach_right(c, c->t.m);
    for (int i = 0; i < down; i++, line += s->out_w * p->stride)
        for (int j = 0; j < right; j++)
            *next++ = at.y + i < s->out_h && at.x + j < s->out_w ? line + j * p->stride : NULL;
    int64_t channels = s->out_c - channel < panel ? s->out_c - channel : panel;
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
    int64_t along = ngi_tiles_of(c->vertical ? c->shape.out_h : c->shape.out_w, c->t.m);
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
    int64_t rows = c->chunk / ngi_tiles_of(c->shape.out_w, c->t.m);
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

/* The outputs of an axis that whole tiles make for [from, to). */
static void round_axis(int64_t *from, int64_t *to, int m, int64_t size)
{
    *from = *from / m * m;
    *to = ngi_tiles_of(*to, m) * m < size ? ngi_tiles_of(*to, m) * m : size;
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
    ngi_window_axis(from, to, m + taps - 1, m, pad, ngi_tiles_of(size, m));
    *from *= m;
    *to = *to * m < size ? *to * m : size;
}

ngi_rect ngi_winograd_reach(const ngi_winograd *c, ngi_rect *out)
{
    int down = reach_down(c, c->t.m), right = reach_right(c, c->t.m);
    round_axis(&out->y0, &out->y1, down, c->shape.out_h);
    round_axis(&out->x0, &out->x1, right, c->shape.out_w);
    ngi_rect in = *out; /* what tiles read beyond the output's end meets no output */
    in.y1 = ngi_tiles_of(in.y1, down) * down;
    in.x1 = ngi_tiles_of(in.x1, right) * right;
    read_axis(&in.y0, &in.y1, c->shape.kernel_h, c->pad_top, c->shape.in_h);
    read_axis(&in.x0, &in.x1, c->shape.kernel_w, c->pad_left, c->shape.in_w);
    return in;
}

ngi_rect ngi_winograd_spread(const ngi_winograd *c, ngi_rect in)
{
    const ngi_winograd_shape *s = &c->shape;
    spread_axis(&in.y0, &in.y1, reach_down(c, c->t.m), s->kernel_h, c->pad_top, s->out_h);
    spread_axis(&in.x0, &in.x1, reach_right(c, c->t.m), s->kernel_w, c->pad_left, s->out_w);
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

/* The passes of `first` to `end`, tiles or lines, `take` at a time; *p but for what a pass is about. */
static void run_passes(wino_pass *p, int64_t first, int64_t end, int64_t take)
{
    const ngi_winograd *c = p->c;
    for (; first < end; first += take) {
        int64_t count = end - first < take ? end - first : take;
        p->first = first;
        p->places = c->two_d ? count : (count + c->others - 1) * p->along;
        p->rows = c->two_d ? count : count * p->along;
        p->products = p->v + c->frequencies * p->places * c->in_lanes;
        run_pass(p);
    }
}

void ngi_winograd_part(const ngi_winograd *c, const float *in, ngi_rect part, float *out, int64_t out_row,
                       int64_t stride, bool accumulate, void *scratch)
{
    int m = c->t.m;
    bool down = !c->two_d && c->vertical; /* lines are columns */
    int64_t line = down ? part.x0 : part.y0, lines = (down ? part.x1 : part.y1) - line;
    int64_t tile = (down ? part.y0 : part.x0) / m, along = ngi_tiles_of(down ? part.y1 : part.x1, m) - tile;
    wino_pass p = {.c = c,
                   .in = in,
                   .out = out,
                   .stride = stride,
                   .out_row = out_row,
                   .accumulate = accumulate,
                   .along = along,
                   .tile_y = line / m,
                   .tile_x = tile,
                   .lines = INT64_MAX,
                   .v = scratch};
    int64_t tiles = (ngi_tiles_of(part.y1, m) - line / m) * along;
    if (c->two_d)
        run_passes(&p, 0, tiles, tiles_a_pass(c, tiles));
    else
        run_passes(&p, line, line + lines, lines_a_pass(c, lines, along));
}

void ngi_winograd_run(const ngi_winograd *c, int n, const float *in, float *out, int64_t stride,
                      bool accumulate, void *scratch)
{
    const ngi_winograd_shape *s = &c->shape;
    if (ngi_winograd_joins(c)) {
        int64_t lines = c->vertical ? s->out_w : s->out_h,
                along = ngi_tiles_of(c->vertical ? s->out_h : s->out_w, c->t.m);
        wino_pass p = {.c = c,
                       .in = in,
                       .out = out,
                       .stride = stride,
                       .accumulate = accumulate,
                       .along = along,
                       .lines = lines,
                       .v = scratch};
        run_passes(&p, 0, n * lines, lines_a_pass(c, n * lines, along));
        return;
    }
    ngi_rect all = {0, s->out_h, 0, s->out_w};
    for (int i = 0; i < n; i++)
        ngi_winograd_part(c, in + i * s->in_h * s->in_w * s->in_c, all,
                          out + i * s->out_h * s->out_w * stride, 0, stride, accumulate, scratch);
}
