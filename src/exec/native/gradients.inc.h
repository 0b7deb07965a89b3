/* The arithmetic of gradient.c; part of kernels.inc.h. */

/* Input channels of a register tile; with four lanes no more than a vector, so that a transform writes a block at once. */
#define BLOCK (ROWS < LANES ? ROWS : LANES)

/* ---- The matrix product ----------------------------------------------------------------------- */

/* Places that are summed up before they are added to the sums of all: float32's rounding grows with a sum, and a transform
 * makes ten times of it. F(7,6) is off by 5e-6 of the largest gradient so, by 1e-5 without. */
enum { PART = 64 };

/* `rows` is a constant at every call. Rows of a follow each other, and blocks lie one behind the other: what comes later is
 * asked for early. */
INLINE void outer_tile(int rows, int64_t k, const float *a, const float *b, float *c)
{
    for (int64_t first = 0; first < k; first += PART) {
        vec sum[BLOCK][2];
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
            sum[i][0] = sum[i][1] = (vec){0};
        for (int64_t p = first; p < k && p < first + PART; p++) {
            __builtin_prefetch(a + 24 * BLOCK, 0, 3);
            vec b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 12
            for (int i = 0; i < rows; i++) {
                sum[i][0] += a[i] * b0;
                sum[i][1] += a[i] * b1;
            }
            a += BLOCK;
            b += PANEL;
        }
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                float *at = c + i * PANEL + j * LANES;
                store(at, first ? load(at) + sum[i][j] : sum[i][j]);
            }
    }
}

#define OUTER(name, rows)                                                                           \
    static __attribute__((noinline)) void name(int64_t k, const float *a, const float *b, float *c) \
    {                                                                                               \
        outer_tile(rows, k, a, b, c);                                                               \
    }
OUTER(outer_1, 1)
OUTER(outer_2, 2)
OUTER(outer_3, 3)
OUTER(outer_4, 4)
#if LANES > 4
OUTER(outer_5, 5)
OUTER(outer_6, 6)
#endif
#if LANES > 8
OUTER(outer_7, 7)
OUTER(outer_8, 8)
OUTER(outer_9, 9)
OUTER(outer_10, 10)
OUTER(outer_11, 11)
OUTER(outer_12, 12)
#endif

static void outer(int64_t rows, int64_t k, const float *a, const float *b, float *c)
{
    static void (*const outers[])(int64_t, const float *, const float *, float *) = {
        NULL,
        outer_1,
        outer_2,
        outer_3,
        outer_4,
#if LANES > 4
        outer_5,
        outer_6,
#endif
#if LANES > 8
        outer_7,
        outer_8,
        outer_9,
        outer_10,
        outer_11,
        outer_12,
#endif
    };
    outers[rows](k, a, b, c);
}

/* ---- Transforms ------------------------------------------------------------------------------- */

/* out = A g, [a]: the way of transform_out's products back. */
INLINE void transform_gradient(int a, int m, const float (*at)[NGI_WINO_MAX_A], const vec *g, vec *out)
{
    out[0] = g[0];
    out[a - 1] = g[m - 1];
#pragma GCC unroll 12
    for (int i = 1; i < a - 1; i += 2) {
        vec even = g[0], odd = at[1][i] * g[1];
#pragma GCC unroll 6
        for (int k = 2; k < m; k += 2) {
            even += at[k][i] * g[k];
            odd += at[k + 1][i] * g[k + 1];
        }
        out[i] = even + odd;
        out[i + 1] = even - odd;
    }
}

INLINE void spread_1d(int a, int m, const ngi_cook_toom *t, const float *const *src, float *dst,
                      int64_t stride, int64_t channels)
{
    for (int64_t k = 0; k < PANEL; k += LANES) {
        vec g[MAX_M], out[NGI_WINO_MAX_A];
#pragma GCC unroll 6
        for (int i = 0; i < m; i++)
            g[i] = load_pixel(src[i], k, channels - k);
        transform_gradient(a, m, t->at, g, out);
#pragma GCC unroll 12
        for (int i = 0; i < a; i++)
            store(dst + i * stride + k, out[i]);
    }
}

INLINE void spread_2d(int a, int m, const ngi_cook_toom *t, const float *const *src, float *dst,
                      int64_t stride, int64_t channels)
{
    for (int64_t k = 0; k < PANEL; k += LANES) {
        vec half[MAX_2D][MAX_M];
        for (int j = 0; j < m; j++) {
            vec g[MAX_M], out[MAX_2D];
#pragma GCC unroll 6
            for (int i = 0; i < m; i++)
                g[i] = load_pixel(src[i * m + j], k, channels - k);
            transform_gradient(a, m, t->at, g, out);
#pragma GCC unroll 8
            for (int i = 0; i < a; i++)
                half[i][j] = out[i];
        }
        for (int i = 0; i < a; i++) {
            vec out[MAX_2D];
            transform_gradient(a, m, t->at, half[i], out);
#pragma GCC unroll 8
            for (int j = 0; j < a; j++)
                store(dst + (i * a + j) * stride + k, out[j]);
        }
    }
}

static void spread(const ngi_cook_toom *t, bool two_d, const float *const *src, float *dst, int64_t stride,
                   int64_t channels)
{
    bool six = t && t->m == 6;
    if (!t)
        for (int64_t k = 0; k < PANEL; k += LANES)
            store(dst + k, load_pixel(src[0], k, channels - k));
    else if (two_d && t->a == 6)
        spread_2d(6, 4, t, src, dst, stride, channels);
    else if (two_d && six)
        spread_2d(8, 6, t, src, dst, stride, channels);
    else if (two_d)
        spread_2d(8, 4, t, src, dst, stride, channels);
    else if (t->a == 6)
        spread_1d(6, 4, t, src, dst, stride, channels);
    else if (t->a == 8 && six)
        spread_1d(8, 6, t, src, dst, stride, channels);
    else if (t->a == 8)
        spread_1d(8, 4, t, src, dst, stride, channels);
    else if (t->a == 10 && six)
        spread_1d(10, 6, t, src, dst, stride, channels);
    else if (t->a == 10)
        spread_1d(10, 4, t, src, dst, stride, channels);
    else
        spread_1d(12, 6, t, src, dst, stride, channels);
}

enum { MAX_R = 7 }; /* taps of an axis */

/* out = GT v, [r]: the rows of +p and -p agree in even taps and differ in sign in odd ones; those of 0 and infinity have one
 * tap. */
INLINE void transform_taps(int a, int r, const float (*g)[MAX_R], const vec *v, vec *out)
{
    out[0] = g[0][0] * v[0];
#pragma GCC unroll 7
    for (int k = 1; k < r; k++)
        out[k] = (vec){0};
    out[r - 1] = v[a - 1];
#pragma GCC unroll 12
    for (int i = 1; i < a - 1; i += 2) {
        vec sum = v[i] + v[i + 1], difference = v[i] - v[i + 1];
#pragma GCC unroll 7
        for (int k = 0; k < r; k++)
            out[k] += g[i][k] * (k % 2 ? difference : sum);
    }
}

INLINE void put_part(float *dst, vec x, bool accumulate, int64_t n)
{
    if (n >= LANES)
        store(dst, accumulate ? load(dst) + x : x);
    else
        store_part(dst, accumulate ? load_part(dst, n) + x : x, n);
}

INLINE void taps_1d(int a, int r, const float (*g)[MAX_R], const float *sums, int64_t stride, float *dst,
                    int64_t step, bool accumulate, int64_t channels)
{
    vec v[NGI_WINO_MAX_A], y[MAX_R];
#pragma GCC unroll 12
    for (int i = 0; i < a; i++)
        v[i] = load(sums + i * stride);
    transform_taps(a, r, g, v, y);
#pragma GCC unroll 7
    for (int i = 0; i < r; i++)
        put_part(dst + i * step, y[i], accumulate, channels);
}

INLINE void taps_2d(int a, int r, const float (*g)[MAX_R], const float *sums, int64_t stride, float *dst,
                    int64_t step, bool accumulate, int64_t channels)
{
    vec half[MAX_R][MAX_2D];
    for (int j = 0; j < a; j++) {
        vec v[MAX_2D], y[MAX_R];
#pragma GCC unroll 8
        for (int i = 0; i < a; i++)
            v[i] = load(sums + (i * a + j) * stride);
        transform_taps(a, r, g, v, y);
#pragma GCC unroll 7
        for (int i = 0; i < r; i++)
            half[i][j] = y[i];
    }
    for (int i = 0; i < r; i++) {
        vec y[MAX_R];
        transform_taps(a, r, g, half[i], y);
#pragma GCC unroll 7
        for (int j = 0; j < r; j++)
            put_part(dst + (i * r + j) * step, y[j], accumulate, channels);
    }
}

/* One vector of one input channel. */
static void taps_vector(const ngi_cook_toom *t, bool two_d, const float (*g)[MAX_R], const float *sums,
                        float *dst, int64_t step, bool accumulate, int64_t channels)
{
    enum { STRIDE = BLOCK * PANEL };
    if (!t)
        put_part(dst, load(sums), accumulate, channels);
    else if (two_d && t->a == 6)
        taps_2d(6, 3, g, sums, STRIDE, dst, step, accumulate, channels);
    else if (two_d && t->r == 3)
        taps_2d(8, 3, g, sums, STRIDE, dst, step, accumulate, channels);
    else if (two_d)
        taps_2d(8, 5, g, sums, STRIDE, dst, step, accumulate, channels);
    else if (t->a == 6)
        taps_1d(6, 3, g, sums, STRIDE, dst, step, accumulate, channels);
    else if (t->a == 8 && t->r == 3)
        taps_1d(8, 3, g, sums, STRIDE, dst, step, accumulate, channels);
    else if (t->a == 8)
        taps_1d(8, 5, g, sums, STRIDE, dst, step, accumulate, channels);
    else if (t->a == 10 && t->r == 5)
        taps_1d(10, 5, g, sums, STRIDE, dst, step, accumulate, channels);
    else if (t->a == 10)
        taps_1d(10, 7, g, sums, STRIDE, dst, step, accumulate, channels);
    else
        taps_1d(12, 7, g, sums, STRIDE, dst, step, accumulate, channels);
}

static void taps(const ngi_cook_toom *t, bool two_d, int64_t rows, const float *sums, float *dst,
                 int64_t step, int64_t row, bool accumulate, int64_t channels)
{
    float g[NGI_WINO_MAX_A][MAX_R];
    for (int i = 0; t && i < t->a; i++)
        for (int k = 0; k < t->r; k++)
            g[i][k] = (float)t->g[i][k];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < channels; k += LANES)
            taps_vector(t, two_d, g, sums + i * PANEL + k, dst + i * row + k, step, accumulate, channels - k);
}

/* ---- Sums over places -------------------------------------------------------------------------- */

static void total(int64_t rows, const float *x, int64_t stride, int64_t channels, float *dst)
{
    for (int64_t k = 0; k < channels; k += PANEL) {
        int64_t n = channels - k < PANEL ? channels - k : PANEL;
        double_vec sum[4] = {{0}};
        float room[PANEL] = {0};
        for (int64_t r = 0; r < rows; r++) {
            const float *from = x + r * stride + k;
            if (n < PANEL)
                from = memcpy(room, from, (size_t)n * sizeof *from);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[j] += __builtin_convertvector(*(const loose_half *)(from + j * HALF), double_vec);
        }
        for (int j = 0; j < 4; j++)
            *(loose_half *)(room + j * HALF) = __builtin_convertvector(sum[j], half_vec);
        memcpy(dst + k, room, (size_t)n * sizeof *dst);
    }
}
