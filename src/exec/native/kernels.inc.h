/* The arithmetic of winograd.h in the compiler's vector types. Compiled once per instruction set, by a file that
 * defines LANES (floats a vector), ROWS (rows of the register tile: ROWS * 2 accumulators) and ISA (the name
 * of the row). -ffp-contract=fast there turns products and sums into fused ones. */
#include "exec/native/native.h"

#include <string.h>

#define PANEL  (2 * LANES)
#define INLINE static inline __attribute__((always_inline))

enum { MAX_ROWS = 12 }; /* of a tile one vector wide */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t mask_vec __attribute__((vector_size(4 * LANES)));
typedef float loose_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec load(const float *p)
{
    return *(const loose_vec *)p;
}

INLINE void store(float *p, vec x)
{
    *(loose_vec *)p = x;
}

/* n < LANES floats, the rest zero. */
static vec load_part(const float *p, int64_t n)
{
    float room[LANES] = {0};
    memcpy(room, p, (size_t)n * sizeof *p);
    return load(room);
}

static void store_part(float *p, vec x, int64_t n)
{
    float room[LANES];
    store(room, x);
    memcpy(p, room, (size_t)n * sizeof *p);
}

/* ---- The matrix product ----------------------------------------------------------------------- */

/* One row of b against a column of a; `at` goes on to the next. */
INLINE void multiply_row(int rows, int width, const float **at, int64_t lda, const float *b, vec (*sum)[2])
{
    vec b0 = load(b), b1 = width > 1 ? load(b + LANES) : b0;
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        float x = at[i / 3][i % 3 * lda];
        sum[i][0] += x * b0;
        if (width > 1)
            sum[i][1] += x * b1;
    }
#pragma GCC unroll 4
    for (int i = 0; i < (rows + 2) / 3; i++) {
        at[i]++;
        __asm__("" : "+r"(at[i])); /* or each row gets a pointer of its own, more than there are registers */
    }
}

/* While a block of weights b [k][width * LANES] is multiplied, the one behind it is fetched into the second-level cache, a
 * little with each row: weights come from far, once a run, and the processor's own guesses stop at every page. `ahead` is
 * what this tile asks for, `step` bytes a row. `rows` and `width` (vectors) are constants at every call, so that the sums
 * live in registers. */
INLINE void tile(int rows, int width, int64_t k, const float *a, int64_t lda, const float *b, float *c,
                 bool accumulate, const char *ahead, int64_t step)
{
    const float *below = a + rows * lda;
    vec sum[MAX_ROWS][2];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < width; j++)
            sum[i][j] = accumulate ? load(c + (i * width + j) * LANES) : (vec){0};
    const float *at[4] = {a, a + 3 * lda, a + 6 * lda,
                          a + 9 * lda}; /* three rows each, or there are too many pointers */
    int64_t p = 0;
    for (; p + 1 < k; p += 2) { /* both are asked for once in two rows: there are few loads to spare */
        __builtin_prefetch(ahead, 0, 2);
        if (LANES > 8) /* as wide as two lines */
            __builtin_prefetch(ahead + step, 0, 2);
        multiply_row(rows, width, at, lda, b, sum);
        __builtin_prefetch(below, 0, 3);
        multiply_row(rows, width, at, lda, b + width * LANES, sum);
        b += 2 * width * LANES;
        ahead += 2 * step;
        below += 2 * rows;
    }
    if (p < k)
        multiply_row(rows, width, at, lda, b, sum);
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < width; j++)
            store(c + (i * width + j) * LANES, sum[i][j]);
}

#define TILE(name, rows, width)                                                                            \
    static __attribute__((noinline)) void name(int64_t k, const float *a, int64_t lda, const float *b,     \
                                               float *c, bool accumulate, const char *ahead, int64_t step) \
    {                                                                                                      \
        tile(rows, width, k, a, lda, b, c, accumulate, ahead, step);                                       \
    }
TILE(tile_1, 1, 2)
TILE(tile_2, 2, 2)
TILE(tile_3, 3, 2)
TILE(tile_4, 4, 2)
TILE(tile_5, 5, 2)
TILE(tile_6, 6, 2)
#if ROWS > 6
TILE(tile_7, 7, 2)
TILE(tile_8, 8, 2)
TILE(tile_9, 9, 2)
TILE(tile_10, 10, 2)
TILE(tile_11, 11, 2)
TILE(tile_12, 12, 2)
#endif
TILE(half_1, 1, 1)
TILE(half_2, 2, 1)
TILE(half_3, 3, 1)
TILE(half_4, 4, 1)
TILE(half_5, 5, 1)
TILE(half_6, 6, 1)
TILE(half_7, 7, 1)
TILE(half_8, 8, 1)
TILE(half_9, 9, 1)
TILE(half_10, 10, 1)
TILE(half_11, 11, 1)
TILE(half_12, 12, 1)

typedef void tile_function(int64_t k, const float *a, int64_t lda, const float *b, float *c, bool accumulate,
                           const char *ahead, int64_t step);

static tile_function *const tiles[ROWS + 1] = {
    NULL,   tile_1, tile_2, tile_3,  tile_4,  tile_5,  tile_6,
#if ROWS > 6
    tile_7, tile_8, tile_9, tile_10, tile_11, tile_12,
#endif
};

/* For panels of one vector. */
static tile_function *const halves[MAX_ROWS + 1] = {NULL,   half_1, half_2, half_3,  half_4,  half_5, half_6,
                                                    half_7, half_8, half_9, half_10, half_11, half_12};

/* Rows of the next tile of `rows`: the last two tiles are made alike, rather than one full and one sliver. */
INLINE int64_t next_rows(int64_t rows, int64_t most)
{
    return rows >= 2 * most ? most : rows > most ? (rows + 1) / 2 : rows;
}

static void multiply(int64_t rows, int64_t k, const float *a, int64_t lda, const float *b, float *c,
                     bool accumulate)
{
    int64_t count = (rows + ROWS - 1) / ROWS, step = PANEL * 4 / count;
    const char *ahead = (const char *)(b + k * PANEL);
    while (rows > 0) {
        int64_t take = next_rows(rows, ROWS);
        tiles[take](k, a, lda, b, c, accumulate, ahead, step);
        a += take * lda;
        c += take * PANEL;
        ahead += k * step;
        rows -= take;
    }
}

/* ---- Transforms ------------------------------------------------------------------------------- */

/* out = BT d. Points come in pairs +p, -p, whose rows agree in the even columns and differ in sign in the odd
 * ones: half the products serve both. Row 0 has even columns only, the last one odd ones only. */
INLINE void transform_in(int a, const float (*bt)[NGI_WINO_MAX_A], const vec *d, vec *out)
{
    vec first = bt[0][0] * d[0], last = bt[a - 1][1] * d[1];
#pragma GCC unroll 12
    for (int j = 2; j < a; j += 2) {
        first += bt[0][j] * d[j];
        last += bt[a - 1][j + 1] * d[j + 1];
    }
    out[0] = first;
    out[a - 1] = last;
#pragma GCC unroll 12
    for (int i = 1; i < a - 1; i += 2) {
        vec even = bt[i][0] * d[0], odd = bt[i][1] * d[1];
#pragma GCC unroll 12
        for (int j = 2; j < a; j += 2) {
            even += bt[i][j] * d[j];
            odd += bt[i][j + 1] * d[j + 1];
        }
        out[i] = even + odd;
        out[i + 1] = even - odd;
    }
}

/* out = AT v, [m]: the columns of +p and -p agree in even rows and differ in sign in odd ones. */
INLINE void transform_out(int a, int m, const float (*at)[NGI_WINO_MAX_A], const vec *v, vec *out)
{
    out[0] = v[0];
#pragma GCC unroll 6
    for (int k = 1; k < m; k++)
        out[k] = (vec){0};
    out[m - 1] = v[a - 1];
#pragma GCC unroll 12
    for (int i = 1; i < a - 1; i += 2) {
        vec sum = v[i] + v[i + 1], difference = v[i] - v[i + 1];
        out[0] += sum;
#pragma GCC unroll 6
        for (int k = 1; k < m; k++)
            out[k] += at[k][i] * (k % 2 ? difference : sum);
    }
}

enum { MAX_M = 6 }; /* outputs of a tile and axis */

INLINE vec load_pixel(const float *p, int64_t k, int64_t left)
{
    if (!p || left <= 0)
        return (vec){0};
    return left >= LANES ? load(p + k) : load_part(p + k, left);
}

INLINE void input_1d(int a, const ngi_cook_toom *t, const float *const *src, float *dst, int64_t stride,
                     int64_t channels, int64_t step, int64_t jump)
{
    for (int64_t k = 0; k < channels; k += step, dst += jump) {
        vec d[NGI_WINO_MAX_A], out[NGI_WINO_MAX_A];
#pragma GCC unroll 12
        for (int i = 0; i < a; i++)
            d[i] = load_pixel(src[i], k, channels - k);
        transform_in(a, t->bt, d, out);
#pragma GCC unroll 12
        for (int i = 0; i < a; i++)
            store(dst + i * stride, out[i]);
    }
}

enum { MAX_2D = 8 }; /* inputs of a 2-D tile's axis */

INLINE void input_2d(int a, const ngi_cook_toom *t, const float *const *src, float *dst, int64_t stride,
                     int64_t channels, int64_t step, int64_t jump)
{
    for (int64_t k = 0; k < channels; k += step, dst += jump) {
        vec half[MAX_2D][MAX_2D];
        for (int j = 0; j < a; j++) {
            vec d[MAX_2D], out[MAX_2D];
#pragma GCC unroll 8
            for (int i = 0; i < a; i++)
                d[i] = load_pixel(src[i * a + j], k, channels - k);
            transform_in(a, t->bt, d, out);
#pragma GCC unroll 8
            for (int i = 0; i < a; i++)
                half[i][j] = out[i];
        }
        for (int i = 0; i < a; i++) {
            vec out[MAX_2D];
            transform_in(a, t->bt, half[i], out);
#pragma GCC unroll 8
            for (int j = 0; j < a; j++)
                store(dst + (i * a + j) * stride, out[j]);
        }
    }
}

INLINE void copy(const float *src, float *dst, int64_t channels, int64_t step, int64_t jump)
{
    for (int64_t k = 0; k < channels; k += step, dst += jump)
        store(dst, load_pixel(src, k, channels - k));
}

static void input(const ngi_cook_toom *t, bool two_d, const float *const *src, float *dst, int64_t stride,
                  int64_t channels, int64_t step, int64_t jump)
{
    if (!t)
        copy(src[0], dst, channels, step, jump);
    else if (two_d && t->a == 6)
        input_2d(6, t, src, dst, stride, channels, step, jump);
    else if (two_d)
        input_2d(8, t, src, dst, stride, channels, step, jump);
    else if (t->a == 6)
        input_1d(6, t, src, dst, stride, channels, step, jump);
    else if (t->a == 8)
        input_1d(8, t, src, dst, stride, channels, step, jump);
    else if (t->a == 10)
        input_1d(10, t, src, dst, stride, channels, step, jump);
    else
        input_1d(12, t, src, dst, stride, channels, step, jump);
}

INLINE vec select(mask_vec mask, vec yes, vec no)
{
    return (vec)((mask & (mask_vec)yes) | (~mask & (mask_vec)no));
}

/* Bias, clamp, optional addition, full or partial store of one vector. */
INLINE void finish(float *dst, vec y, vec bias, float low, float high, bool accumulate, int64_t n)
{
    y += bias;
    vec lows = (vec){0} + low, highs = (vec){0} + high;
    y = select(y < lows, lows, y); /* NaN compares false and stays */
    y = select(y > highs, highs, y);
    if (accumulate)
        y += n >= LANES ? load(dst) : load_part(dst, n);
    if (n >= LANES)
        store(dst, y);
    else
        store_part(dst, y, n);
}

INLINE void output_1d(int a, int m, const ngi_cook_toom *t, const float *m_values, int64_t stride,
                      float *const *dst, const float *bias, float low, float high, bool accumulate,
                      int64_t channels)
{
    for (int64_t k = 0; k < channels; k += LANES) {
        vec v[NGI_WINO_MAX_A], y[MAX_M];
#pragma GCC unroll 12
        for (int i = 0; i < a; i++)
            v[i] = load(m_values + i * stride + k);
        transform_out(a, m, t->at, v, y);
        vec b = load(bias + k);
#pragma GCC unroll 6
        for (int i = 0; i < m; i++)
            if (dst[i])
                finish(dst[i] + k, y[i], b, low, high, accumulate, channels - k);
    }
}

INLINE void output_2d(int a, int m, const ngi_cook_toom *t, const float *m_values, int64_t stride,
                      float *const *dst, const float *bias, float low, float high, bool accumulate,
                      int64_t channels)
{
    for (int64_t k = 0; k < channels; k += LANES) {
        vec half[MAX_M][MAX_2D];
        for (int j = 0; j < a; j++) {
            vec v[MAX_2D], y[MAX_M];
#pragma GCC unroll 8
            for (int i = 0; i < a; i++)
                v[i] = load(m_values + (i * a + j) * stride + k);
            transform_out(a, m, t->at, v, y);
#pragma GCC unroll 6
            for (int i = 0; i < m; i++)
                half[i][j] = y[i];
        }
        vec b = load(bias + k);
        for (int i = 0; i < m; i++) {
            vec y[MAX_M];
            transform_out(a, m, t->at, half[i], y);
#pragma GCC unroll 6
            for (int j = 0; j < m; j++)
                if (dst[i * m + j])
                    finish(dst[i * m + j] + k, y[j], b, low, high, accumulate, channels - k);
        }
    }
}

static void output(const ngi_cook_toom *t, bool two_d, const float *m_values, int64_t stride,
                   float *const *dst, const float *bias, float low, float high, bool accumulate,
                   int64_t channels)
{
    bool six = t->m == 6;
    if (two_d && t->r == 5)
        output_2d(8, 4, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else if (two_d && six)
        output_2d(8, 6, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else if (two_d)
        output_2d(6, 4, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else if (t->a == 6)
        output_1d(6, 4, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else if (t->a == 8 && six)
        output_1d(8, 6, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else if (t->a == 8)
        output_1d(8, 4, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else if (t->a == 10 && six)
        output_1d(10, 6, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else if (t->a == 10)
        output_1d(10, 4, t, m_values, stride, dst, bias, low, high, accumulate, channels);
    else
        output_1d(12, 6, t, m_values, stride, dst, bias, low, high, accumulate, channels);
}

/* ---- A product with its bias and clamp --------------------------------------------------------- */

static void product(int64_t rows, int64_t k, const float *a, int64_t lda, const float *b, float *dst,
                    int64_t stride, const float *bias, float low, float high, bool accumulate,
                    int64_t channels)
{
    int64_t width = channels > LANES ? PANEL : LANES, most = channels > LANES ? ROWS : MAX_ROWS;
    int64_t count = (rows + most - 1) / most, step = width * 4 / count;
    const char *ahead = (const char *)(b + k * width);
    float room[MAX_ROWS * PANEL] __attribute__((aligned(64)));
    for (; rows > 0; ahead += k * step) {
        int64_t take = next_rows(rows, most);
        (channels > LANES ? tiles : halves)[take](k, a, lda, b, room, false, ahead, step);
        for (int64_t i = 0; i < take; i++)
            for (int64_t j = 0; j < channels; j += LANES)
                finish(dst + i * stride + j, load(room + i * width + j), load(bias + j), low, high,
                       accumulate, channels - j);
        a += take * lda;
        dst += take * stride;
        rows -= take;
    }
}

/* ---- Pools ------------------------------------------------------------------------------------ */

/* Not a number wins. */
INLINE vec larger(vec old, vec new)
{
    /* NOLINTNEXTLINE(misc-redundant-expression): what differs from itself is not a number */
    return select((new <= old) | (old != old), old, new);
}

/* `taps` is a constant at every call, or 0: it is in `n`. */
INLINE void join_taps(bool average, int taps, int n, const float *const *src, int64_t count, float scale,
                      const float *bias, float low, float high, float *dst)
{
    for (int64_t k = 0; k < count; k += LANES) {
        vec v = load_pixel(src[0], k, count - k);
        for (int t = 1; t < (taps ? taps : n); t++) {
            vec x = load_pixel(src[t], k, count - k);
            v = average ? v + x : larger(v, x);
        }
        if (average)
            v *= scale;
        if (bias)
            finish(dst + k, v, load_part(bias + k, count - k < LANES ? count - k : LANES), low, high, false,
                   count - k);
        else if (count - k >= LANES)
            store(dst + k, v);
        else
            store_part(dst + k, v, count - k);
    }
}

static void join(bool average, int taps, const float *const *src, int64_t count, float scale,
                 const float *bias, float low, float high, float *dst)
{
    if (taps == 3 && average)
        join_taps(true, 3, 0, src, count, scale, bias, low, high, dst);
    else if (taps == 3)
        join_taps(false, 3, 0, src, count, scale, bias, low, high, dst);
    else if (taps == 2 && !average)
        join_taps(false, 2, 0, src, count, scale, bias, low, high, dst);
    else
        join_taps(average, 0, taps, src, count, scale, bias, low, high, dst);
}

#include "exec/native/weights.inc.h"

#include "exec/native/gradients.inc.h"

extern const ngi_native_isa ISA;
const ngi_native_isa ISA = {.name = NAME,
                            .lanes = LANES,
                            .multiply = multiply,
                            .input = input,
                            .output = output,
                            .product = product,
                            .join = join,
                            .weights = weights,
                            .block = BLOCK,
                            .outer = outer,
                            .spread = spread,
                            .taps = taps,
                            .total = total};
