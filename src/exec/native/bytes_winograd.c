/* F(4x4,3x3) on bytes, with the points 0, 1, -1, 2, -2 and infinity: Lavin & Gray 2016, arXiv:1509.09308.
 *
 * BT has whole numbers, so a tile of bytes is transformed exactly, to 16 bits: |v| <= 17340. A transformed weight u is rounded
 * to a multiple of a step of its frequency and output channel, the smallest for which no input whatsoever makes the sum leave
 * 32 bits: sum |v| |u| < 2^31. That are 9 bits for the mean |u| of 448 channels and more for fewer; 8-bit weights have 5 for
 * theirs. Sums are exact; the way back is in float32. */
#include "exec/native/bytes.h"

#include <math.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#define PANEL NGI_BYTES_PANEL

enum {
    FREQUENCIES = NGI_BYTES_FREQUENCIES,
    M = 4,              /* outputs of a tile, each way */
    BLOCK = 12,         /* tiles whose sums lie side by side: what one product makes */
    LEAST_TILES = 36,   /* with fewer the larger weights are most of the work */
    LEAST_CHANNELS = 16 /* with fewer the transforms are */
};

static const double bt[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
static const double g[6][3] = {{1.0 / 4, 0, 0},
                               {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                               {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                               {1.0 / 24, 1.0 / 12, 1.0 / 6},
                               {1.0 / 24, -1.0 / 12, 1.0 / 6},
                               {0, 0, 1}};

static int64_t tiles_wide(const ngi_bytes_conv *c)
{
    return (c->out_w + M - 1) / M;
}

static int64_t tiles_of(const ngi_bytes_conv *c)
{
    return (c->out_h + M - 1) / M * tiles_wide(c);
}

bool ngi_bytes_winograd_takes(const ngi_bytes_conv *c)
{
    return c->kernel_h == 3 && c->kernel_w == 3 && c->stride_h == 1 && c->stride_w == 1 &&
           c->stage.zero == 0 && c->stage.c >= LEAST_CHANNELS && c->out_c >= LEAST_CHANNELS &&
           tiles_of(c) >= LEAST_TILES;
}

/* ---- Weights ----------------------------------------------------------------------------------- */

/* The largest |v| that bytes give at a frequency. */
static double largest_input(int f)
{
    double above = 0, below = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            double k = bt[f / 6][i] * bt[f % 6][j];
            *(k > 0 ? &above : &below) += k;
        }
    return 255 * fmax(above, -below);
}

/* u [in_c] of one frequency and output channel. */
static void transform_weights(const ngi_bytes_conv *c, const float *kernel, int f, int64_t o, double *u)
{
    for (int64_t i = 0; i < c->stage.c; i++) {
        u[i] = 0;
        for (int y = 0; y < 3; y++)
            for (int x = 0; x < 3; x++)
                u[i] += g[f / 6][y] * g[f % 6][x] * kernel[((y * 3 + x) * c->stage.c + i) * c->out_c + o];
    }
}

/* Rounds u [n] to q, `apart` numbers from pair to pair; returns the step. */
static float round_weights(const double *u, int64_t n, double most_v, int16_t *q, int64_t apart)
{
    double sum = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += fabs(u[i]);
        most = fmax(most, fabs(u[i]));
    }
    double room = 2147483647.0 / most_v - (double)n;                 /* each may be rounded up */
    float step = (float)(fmax(sum / room, most / 32766) * 1.000001); /* of a float32, too */
    for (int64_t i = 0; i < n; i++)
        q[i / 2 * apart + i % 2] = (int16_t)(step > 0 ? lrint(u[i] / step) : 0);
    return step;
}

/* Numbers of 16 bits: [panels][36][staged_c / 2][PANEL][2]. */
static int64_t weight_count(const ngi_bytes_conv *c)
{
    return ngi_bytes_panels(c) * FREQUENCIES * c->stage.staged_c * PANEL;
}

/* u is room for [in_c]. Behind the weights their steps, [panels][36][PANEL]. */
static void pack(const ngi_bytes_conv *c, const float *kernel, int16_t *weights, double *u)
{
    int64_t block = c->stage.staged_c * PANEL;
    float *steps = (float *)(weights + weight_count(c));
    for (int64_t o = 0; o < c->out_c; o++)
        for (int f = 0; f < FREQUENCIES; f++) {
            int64_t at = o / PANEL * FREQUENCIES + f;
            transform_weights(c, kernel, f, o, u);
            steps[at * PANEL + o % PANEL] = round_weights(u, c->stage.c, largest_input(f),
                                                          weights + at * block + o % PANEL * 2, 2 * PANEL);
        }
}

ng_status ngi_bytes_winograd_init(ngi_bytes_conv *c, const ngi_step *step, float out_levels, ng_error *err)
{
    int64_t n_steps = ngi_bytes_panels(c) * FREQUENCIES * PANEL;
    size_t weights = (size_t)weight_count(c) * sizeof(int16_t),
           bytes = weights + (size_t)n_steps * sizeof(float);
    NGI_TRY(ngi_bytes_find_weights(c, step, "int8 winograd", bytes, err));
    if (c->owned) {
        double *u = ngi_alloc((size_t)c->stage.c, sizeof *u);
        if (!u)
            return ngi_fail_memory(err, (size_t)c->stage.c * sizeof *u);
        memset(c->owned, 0, bytes);
        pack(c, step->kernel, c->owned, u);
        ngi_free(u);
        ngi_packing_keep(step->packing, "int8 winograd", c->owned, bytes);
    }
    c->scale = ngi_alloc((size_t)n_steps, sizeof *c->scale);
    if (!c->scale)
        return ngi_fail_memory(err, (size_t)n_steps * sizeof *c->scale);
    const float *steps = (const float *)((const char *)c->weights + weights);
    for (int64_t i = 0; i < n_steps; i++)
        c->scale[i] = steps[i] / c->stage.levels * out_levels;
    return NG_OK;
}

/* ---- Running ----------------------------------------------------------------------------------- */

/* Numbers of a transformed pixel. */
static int64_t lda_of(const ngi_bytes_conv *c)
{
    return (c->stage.staged_c + 31) / 32 * 32;
}

/* Tiles transformed at a time: all panels meet them while they lie in the second-level cache, and some panels' weights. */
static int64_t chunk_of(const ngi_bytes_conv *c)
{
    int64_t most = (400 << 10) / (FREQUENCIES * lda_of(c) * (int64_t)sizeof(int16_t)) / BLOCK * BLOCK;
    most = most < BLOCK ? BLOCK : most;
    int64_t tiles = tiles_of(c), parts = (tiles + most - 1) / most;
    parts = (parts + c->threads - 1) / c->threads * c->threads;
    int64_t chunk = (tiles + parts - 1) / parts;
    return (chunk + BLOCK - 1) / BLOCK * BLOCK;
}

/* Numbers from frequency to frequency; a line more than there are, or they would all fall to a few sets of the cache. */
static int64_t apart_of(const ngi_bytes_conv *c)
{
    return chunk_of(c) * lda_of(c) + 32;
}

/* Of a thread: transformed [36][chunk][lda], sums [36][BLOCK][PANEL]. */
static size_t transformed_bytes(const ngi_bytes_conv *c)
{
    return (size_t)(FREQUENCIES * apart_of(c)) * sizeof(int16_t);
}

static size_t room_bytes(const ngi_bytes_conv *c)
{
    return transformed_bytes(c) + FREQUENCIES * BLOCK * PANEL * sizeof(float);
}

size_t ngi_bytes_winograd_scratch(const ngi_bytes_conv *c)
{
    return (size_t)c->threads * room_bytes(c);
}

/* n tiles from `first` on, of one panel, whose transformed inputs begin at v. */
static void run_block(const ngi_bytes_conv *c, int64_t panel, int64_t first, int64_t n, const int16_t *v,
                      float *sums, char *out, int64_t stride)
{
    int64_t lda = lda_of(c), apart = apart_of(c), wide = tiles_wide(c), size = c->bytes ? 1 : sizeof(float);
    const int16_t *weights = (const int16_t *)c->weights + panel * FREQUENCIES * c->stage.staged_c * PANEL;
    ngi_bytes_end end = ngi_bytes_end_of(c, panel);
    const float *scale = c->scale + panel * FREQUENCIES * PANEL;
    for (int f = 0; f < FREQUENCIES; f++)
        c->isa->multiply(n, c->stage.staged_c / 2, v + f * apart, lda,
                         weights + f * c->stage.staged_c * PANEL, scale + f * PANEL,
                         sums + f * BLOCK * PANEL);
    for (int64_t i = 0; i < n; i++) {
        int64_t y = (first + i) / wide * M, x = (first + i) % wide * M;
        int h = (int)(c->out_h - y < M ? c->out_h - y : M), w = (int)(c->out_w - x < M ? c->out_w - x : M);
        c->isa->output(sums + i * PANEL, BLOCK * PANEL, &end, h, w,
                       out + ((y * c->out_w + x) * stride + panel * PANEL) * size, c->out_w * stride, stride);
    }
}

/* Tiles [first, end). */
static void run_chunk(const ngi_bytes_conv *c, const uint8_t *in, int64_t first, int64_t end, char *out,
                      int64_t stride, void *room)
{
    const ngi_bytes_stage *s = &c->stage;
    int64_t lda = lda_of(c), apart = apart_of(c), wide = tiles_wide(c), row = s->staged_w * s->staged_c;
    int16_t *v = room;
    float *sums = (float *)((char *)room + transformed_bytes(c));
    for (int64_t t = first; t < end; t++)
        c->isa->input(in + t / wide * M * row + t % wide * M * s->staged_c, s->staged_c, row,
                      v + (t - first) * lda, apart);
    for (int64_t p = 0; p < ngi_bytes_panels(c); p++)
        for (int64_t t = first; t < end; t += BLOCK)
            run_block(c, p, t, end - t < BLOCK ? end - t : BLOCK, v + (t - first) * lda, sums, out, stride);
}

void ngi_bytes_winograd_run(const ngi_bytes_conv *c, const uint8_t *in, void *out, int64_t stride,
                            void *scratch)
{
    int64_t tiles = tiles_of(c), chunk = chunk_of(c);
#pragma omp parallel for schedule(static) num_threads(c->threads) if (c->threads > 1)
    for (int64_t first = 0; first < tiles; first += chunk) {
        char *room = scratch;
#ifdef _OPENMP
        room += (size_t)omp_get_thread_num() * room_bytes(c);
#endif
        run_chunk(c, in, first, first + chunk < tiles ? first + chunk : tiles, out, stride, room);
    }
}
