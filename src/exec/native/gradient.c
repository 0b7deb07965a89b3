/* Gradients of convolution kernels, of a whole batch at once: dW = sum over places of input^T times gradient.
 *
 * With a transform (Winograd's for the gradient: Lavin & Gray 2016) the places are tiles, and
 *   dW = GT [ sum over tiles (BT d) * (A g) ] G
 * has as few products as the forward run. B, A and G are those of F(m,r): the m gradients of a tile take the part that the r
 * taps have there. Without one, places are pixels, and every tap is a sum of its own. m is whichever of 4 and 6 needs fewer
 * products: the error is that of the sums, and they are taken in short parts (gradients.inc.h).
 *
 * A pass transforms as many places as the outer caches hold, inputs in blocks and gradients in panels of channels, and then takes
 * block by block and panel by panel: all frequencies' sums stay in the inner caches until they are taps. */
#include "exec/native/native.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* Bytes of transformed places a pass. */
#define BUDGET       (4 << 20)
/* Places a pass at least: below, the way back of the sums would cost more than they do. */
#define LEAST_PLACES 64

/* ---- Creation ---------------------------------------------------------------------------------- */

static int64_t tiles_of(int64_t outputs, int m)
{
    return (outputs + m - 1) / m;
}

/* Products of an image and pair of channels with tiles of m outputs; sets lines and along. */
static int64_t products(ngi_gradient *c, int m, int r)
{
    int64_t a = m + r - 1, h = c->shape.out_h, w = c->shape.out_w;
    c->lines = c->two_d ? tiles_of(h, m) : c->vertical ? w : h;
    c->along = tiles_of(c->vertical ? h : w, m);
    return c->lines * c->along * (c->two_d ? a * a : a);
}

static bool has_taps(int k)
{
    return k == 3 || k == 5 || k == 7;
}

static bool choose_transform(ngi_gradient *c)
{
    const ngi_gradient_shape *s = &c->shape;
    c->two_d = s->kernel_h == s->kernel_w && (s->kernel_h == 3 || s->kernel_h == 5);
    c->vertical = s->kernel_w == 1 && has_taps(s->kernel_h);
    bool horizontal = s->kernel_h == 1 && has_taps(s->kernel_w);
    if (!(c->two_d || c->vertical || horizontal) || s->stride_h > 1 || s->stride_w > 1 || s->dilation_h > 1 ||
        s->dilation_w > 1)
        return false;
    int r = c->vertical ? s->kernel_h : s->kernel_w;
    bool six = !(c->two_d && r == 5) && products(c, 6, r) < products(c, 4, r);
    int m = six ? 6 : 4;
    /* A fifth is for the transforms. */
    if (5 * products(c, m, r) >= 4 * s->out_h * s->out_w * s->kernel_h * s->kernel_w)
        return false;
    ngi_cook_toom_init(&c->t, m, r);
    c->frequencies = c->two_d ? c->t.a * c->t.a : c->t.a;
    return true;
}

static int64_t panel_of(const ngi_gradient *c)
{
    return 2 * c->isa->lanes;
}

void ngi_gradient_init(ngi_gradient *c, const ngi_native_isa *isa, const ngi_gradient_shape *shape, int batch,
                       int threads)
{
    *c = (ngi_gradient){.isa = isa, .shape = *shape, .threads = threads};
    c->transforms = choose_transform(c);
    if (!c->transforms) {
        c->two_d = c->vertical = false;
        c->frequencies = 1;
        c->lines = shape->out_h;
        c->along = shape->out_w;
    }
    c->blocks = (shape->in_c + isa->block - 1) / isa->block;
    c->panels = (shape->out_c + panel_of(c) - 1) / panel_of(c);
    int64_t all = batch * c->lines * c->along;
    int64_t most = BUDGET / (c->frequencies * (c->blocks * isa->block + c->panels * panel_of(c)) *
                             (int64_t)sizeof(float));
    most = most < LEAST_PLACES ? LEAST_PLACES : most;
    int64_t passes = (all + most - 1) / most;
    c->most = (all + passes - 1) / passes;
}

/* ---- Running ----------------------------------------------------------------------------------- */

/* Places [first, first + places) of all images. A vector of a transformed block reaches over the next place, which comes later,
 * and of the last one into the room between frequencies. */
typedef struct gradient_pass {
    const ngi_gradient *c;
    const float *in, *grad;
    int64_t first, places;
    int64_t frequency, block; /* floats between frequencies and blocks of v */
    float *v;                 /* [blocks][frequencies][places][isa->block] */
    float *u;                 /* [panels][frequencies][places][panel] */
    float *sums;              /* per thread: [frequencies][isa->block][panel] */
} gradient_pass;

typedef struct place {
    int64_t image, line, at;
} place;

static place first_place(const gradient_pass *p)
{
    int64_t line = p->first / p->c->along;
    return (place){line / p->c->lines, line % p->c->lines, p->first % p->c->along};
}

static void next_place(const ngi_gradient *c, place *p)
{
    if (++p->at < c->along)
        return;
    p->at = 0;
    if (++p->line < c->lines)
        return;
    p->line = 0;
    p->image++;
}

static const float *pixel(const float *image, int64_t h, int64_t w, int64_t channels, int64_t y, int64_t x)
{
    return y < 0 || y >= h || x < 0 || x >= w ? NULL : image + (y * w + x) * channels;
}

/* Pixels of a tile of `side` an axis, at steps of m from (y, x). */
static void tile_pixels(const ngi_gradient *c, place at, const float *image, int64_t h, int64_t w,
                        int64_t channels, int64_t y, int64_t x, int side, const float **src)
{
    int m = c->t.m, rows = c->two_d || c->vertical ? side : 1, columns = c->vertical ? 1 : side;
    y += c->vertical ? at.at * m : c->two_d ? at.line * m : at.line;
    x += c->vertical ? at.line : at.at * m;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            src[i * columns + j] = pixel(image, h, w, channels, y + i, x + j);
}

/* From `channel` on. Without a transform `tap` (row, column of the kernel) is the one whose pixels are wanted. */
static void input_pixels(const gradient_pass *p, place at, int64_t channel, const int tap[2],
                         const float **src)
{
    const ngi_gradient *c = p->c;
    const ngi_gradient_shape *s = &c->shape;
    const float *image = p->in + at.image * s->in_h * s->in_w * s->in_c + channel;
    if (c->transforms)
        tile_pixels(c, at, image, s->in_h, s->in_w, s->in_c, -s->pad_top, -s->pad_left, c->t.a, src);
    else
        src[0] = pixel(image, s->in_h, s->in_w, s->in_c,
                       at.line * s->stride_h - s->pad_top + tap[0] * s->dilation_h,
                       at.at * s->stride_w - s->pad_left + tap[1] * s->dilation_w);
}

static void output_pixels(const gradient_pass *p, place at, int64_t channel, const float **src)
{
    const ngi_gradient *c = p->c;
    const ngi_gradient_shape *s = &c->shape;
    const float *image = p->grad + at.image * s->out_h * s->out_w * s->out_c + channel;
    if (c->transforms)
        tile_pixels(c, at, image, s->out_h, s->out_w, s->out_c, 0, 0, c->t.m, src);
    else
        src[0] = pixel(image, s->out_h, s->out_w, s->out_c, at.line, at.at);
}

/* Blocks [from, to) of all places. */
static void transform_inputs(const gradient_pass *p, const int tap[2], int64_t from, int64_t to)
{
    const ngi_gradient *c = p->c;
    const float *src[NGI_WINO_MAX_FREQUENCIES];
    int64_t block = c->isa->block, channels = to < c->blocks ? to * block : c->shape.in_c;
    place at = first_place(p);
    for (int64_t i = 0; i < p->places && from < to; i++, next_place(c, &at)) {
        input_pixels(p, at, from * block, tap, src);
        c->isa->input(c->transforms ? &c->t : NULL, c->two_d, src, p->v + from * p->block + i * block,
                      p->frequency, channels - from * block, block, p->block);
    }
}

static void transform_gradients(const gradient_pass *p, int64_t index)
{
    const ngi_gradient *c = p->c;
    const float *src[NGI_WINO_MAX_FREQUENCIES];
    int64_t panel = panel_of(c), channels = c->shape.out_c - index * panel;
    float *u = p->u + index * c->frequencies * p->places * panel;
    place at = first_place(p);
    for (int64_t i = 0; i < p->places; i++, next_place(c, &at)) {
        output_pixels(p, at, index * panel, src);
        c->isa->spread(c->transforms ? &c->t : NULL, c->two_d, src, u + i * panel, p->places * panel,
                       channels);
    }
}

/* Rows of the result are asked for before the products that are added to them: they come from far and lie apart. */
static void fetch(const ngi_gradient *c, float *kernel, int64_t rows, int64_t channels)
{
    const ngi_gradient_shape *s = &c->shape;
    int taps = c->transforms ? s->kernel_h * s->kernel_w : 1;
    for (int k = 0; k < taps; k++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t o = 0; o < channels; o += 16)
                __builtin_prefetch(kernel + (k * s->in_c + i) * s->out_c + o, 1, 2);
}

/* One block and panel. kernel: of the first tap. */
static void multiply(const gradient_pass *p, int64_t block_index, int64_t panel_index, float *sums,
                     float *kernel)
{
    const ngi_gradient *c = p->c;
    const ngi_gradient_shape *s = &c->shape;
    int64_t block = c->isa->block, panel = panel_of(c), first = block_index * block,
            channel = panel_index * panel;
    int64_t rows = s->in_c - first < block ? s->in_c - first : block;
    int64_t channels = s->out_c - channel < panel ? s->out_c - channel : panel;
    const float *v = p->v + block_index * p->block;
    const float *u = p->u + panel_index * c->frequencies * p->places * panel;
    kernel += first * s->out_c + channel;
    fetch(c, kernel, rows, channels);
    for (int f = 0; f < c->frequencies; f++)
        c->isa->outer(rows, p->places, v + f * p->frequency, u + f * p->places * panel,
                      sums + f * block * panel);
    c->isa->taps(c->transforms ? &c->t : NULL, c->two_d, rows, sums, kernel, s->in_c * s->out_c, s->out_c,
                 p->first > 0, channels);
}

/* Every thread has its blocks while inputs are transformed, since neighbouring places overlap. */
static void run_tap(const gradient_pass *p, const int tap[2], float *kernel)
{
    const ngi_gradient *c = p->c;
    int64_t share = (c->blocks + c->threads - 1) / c->threads;
#pragma omp parallel num_threads(c->threads) if (c->threads > 1)
    {
        float *sums = p->sums;
#ifdef _OPENMP
        sums += omp_get_thread_num() * c->frequencies * c->isa->block * panel_of(c);
#endif
#pragma omp for schedule(static)
        for (int64_t b = 0; b < c->blocks; b += share)
            transform_inputs(p, tap, b, b + share < c->blocks ? b + share : c->blocks);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < c->blocks * c->panels; i++)
            multiply(p, i / c->panels, i % c->panels, sums, kernel);
    }
}

static void run_pass(const gradient_pass *p, float *kernel)
{
    const ngi_gradient *c = p->c;
    const ngi_gradient_shape *s = &c->shape;
#pragma omp parallel for num_threads(c->threads) schedule(static) if (c->threads > 1)
    for (int64_t i = 0; i < c->panels; i++)
        transform_gradients(p, i);
    int64_t tap_count = c->transforms ? 1 : s->kernel_h * s->kernel_w;
    for (int k = 0; k < tap_count; k++)
        run_tap(p, (int[2]){k / s->kernel_w, k % s->kernel_w}, kernel + k * s->in_c * s->out_c);
}

/* Floats between frequencies of v, between its blocks. */
static int64_t frequency_floats(const ngi_gradient *c, int64_t places)
{
    return places * c->isa->block + c->isa->lanes;
}

static int64_t block_floats(const ngi_gradient *c, int64_t places)
{
    return c->frequencies * frequency_floats(c, places);
}

size_t ngi_gradient_scratch(const ngi_gradient *c)
{
    int64_t v = c->blocks * block_floats(c, c->most), u = c->panels * c->frequencies * c->most * panel_of(c),
            sums = c->threads * c->frequencies * c->isa->block * panel_of(c);
    return (size_t)(v + u + sums) * sizeof(float);
}

void ngi_gradient_run(const ngi_gradient *c, int n, const float *in, const float *grad, float *kernel,
                      void *scratch)
{
    int64_t all = n * c->lines * c->along;
    for (int64_t first = 0; first < all; first += c->most) {
        int64_t places = all - first < c->most ? all - first : c->most;
        gradient_pass p = {.c = c,
                           .in = in,
                           .grad = grad,
                           .first = first,
                           .places = places,
                           .frequency = frequency_floats(c, places),
                           .block = block_floats(c, places),
                           .u = scratch};
        p.sums = p.u + c->panels * c->frequencies * places * panel_of(c);
        p.v = p.sums + c->threads * c->frequencies * c->isa->block * panel_of(c);
        run_pass(&p, kernel);
    }
}
