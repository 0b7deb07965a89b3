/* bytes.h with AVX-512 VNNI: 12 pixels x 32 channels in 24 of 32 registers, as the float32 kernels have them, four products
 * of bytes or two of 16-bit numbers a lane. Built with -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx512vnni -mfma. */
#include "exec/native/bytes.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, ROWS = 12, HALF = 16 };

/* ---- Sums of products -------------------------------------------------------------------------- */

/* GCC 12 copies the sums around at every intrinsic of these two instructions. */
INLINE __m512i add_products(bool wide, __m512i sum, __m512i a, __m512i b)
{
    if (wide)
        __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    else
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

typedef struct tile_args {
    const uint8_t *a;
    int64_t lda, taps, pitch, k;
    const int8_t *b, *ahead;
    int64_t step;
} tile_args;

/* sum[rows][width] = a * b. `rows`, `width` (vectors) and `wide` are constants at every call. */
INLINE void sum_up(int rows, int width, bool wide, const tile_args *t, __m512i (*sum)[2])
{
    const int8_t *b = t->b, *ahead = t->ahead;
    const int64_t lda = t->lda, step = t->step, k = t->k;
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    for (int64_t tap = 0; tap < t->taps; tap++) {
        const uint8_t *a = t->a + tap * t->pitch;
        const uint8_t *at[4] = {a, a + 3 * lda, a + 6 * lda, a + 9 * lda}; /* three rows each */
        for (int64_t p = 0; p < k; p++) {
            __m512i b0 = _mm512_loadu_si512(b), b1 = width > 1 ? _mm512_loadu_si512(b + 64) : b0;
            _mm_prefetch(ahead, _MM_HINT_T1);
#pragma GCC unroll 12
            for (int i = 0; i < rows; i++) {
                int32_t four;
                memcpy(&four, at[i / 3] + i % 3 * lda, sizeof four);
                __m512i x = _mm512_set1_epi32(four);
                sum[i][0] = add_products(wide, sum[i][0], x, b0);
                if (width > 1)
                    sum[i][1] = add_products(wide, sum[i][1], x, b1);
            }
#pragma GCC unroll 4
            for (int i = 0; i < (rows + 2) / 3; i++) {
                at[i] += 4;
                __asm__("" : "+r"(at[i])); /* or each row gets a pointer of its own */
            }
            b += width * 64;
            ahead += step;
        }
    }
}

/* ---- What becomes of them ---------------------------------------------------------------------- */

INLINE __m512 clamp(__m512 x, const ngi_bytes_end *end)
{
    return _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(end->low)), _mm512_set1_ps(end->high));
}

/* n of 16 channels. */
INLINE void put(void *out, __m512 x, bool bytes, int n)
{
    __mmask16 mask = (__mmask16)((1u << n) - 1);
    if (bytes) {
        __m128i q = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(x));
        if (n == LANES)
            _mm_storeu_si128(out, q);
        else
            _mm_mask_storeu_epi8(out, mask, q);
    } else if (n == LANES)
        _mm512_storeu_ps(out, x);
    else
        _mm512_mask_storeu_ps(out, mask, x);
}

INLINE int channels_of(const ngi_bytes_end *end, int half)
{
    int n = end->channels - half * HALF;
    return n < LANES ? n : LANES;
}

INLINE void finish(int rows, int width, bool bytes, __m512i (*sum)[2], const ngi_bytes_end *end, char *out,
                   int64_t stride)
{
    int64_t size = bytes ? 1 : sizeof(float);
#pragma GCC unroll 2
    for (int j = 0; j < width; j++) {
        __m512 scale = _mm512_loadu_ps(end->scale + j * LANES), bias = _mm512_loadu_ps(end->bias + j * LANES);
        int n = channels_of(end, j);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
            put(out + (i * stride + j * HALF) * size,
                clamp(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i][j]), scale, bias), end), bytes, n);
    }
}

typedef void tile_function(const tile_args *t, const ngi_bytes_end *end, void *out, int64_t stride);

#define TILE(name, rows, width)                                                                         \
    static __attribute__((noinline)) void name(const tile_args *t, const ngi_bytes_end *end, void *out, \
                                               int64_t stride)                                          \
    {                                                                                                   \
        __m512i sum[ROWS][2];                                                                           \
        sum_up(rows, width, false, t, sum);                                                             \
        if (end->bytes)                                                                                 \
            finish(rows, width, true, sum, end, out, stride);                                           \
        else                                                                                            \
            finish(rows, width, false, sum, end, out, stride);                                          \
    }
#define TILES(width, name)                                                                               \
    TILE(name##_1, 1, width)                                                                             \
    TILE(name##_2, 2, width)                                                                             \
    TILE(name##_3, 3, width)                                                                             \
    TILE(name##_4, 4, width)                                                                             \
    TILE(name##_5, 5, width)                                                                             \
    TILE(name##_6, 6, width)                                                                             \
    TILE(name##_7, 7, width)                                                                             \
    TILE(name##_8, 8, width)                                                                             \
    TILE(name##_9, 9, width)                                                                             \
    TILE(name##_10, 10, width)                                                                           \
    TILE(name##_11, 11, width)                                                                           \
    TILE(name##_12, 12, width)                                                                           \
    static tile_function *const name##s[ROWS + 1] = {NULL,      name##_1,  name##_2, name##_3, name##_4, \
                                                     name##_5,  name##_6,  name##_7, name##_8, name##_9, \
                                                     name##_10, name##_11, name##_12}
TILES(2, whole);
TILES(1, half);

/* The last two tiles are made alike, rather than one full and one sliver. */
INLINE int64_t next_rows(int64_t rows)
{
    return rows >= 2 * ROWS ? ROWS : rows > ROWS ? (rows + 1) / 2 : rows;
}

static void product(const ngi_bytes_rows *r, const ngi_bytes_end *end)
{
    tile_function *const *tiles = end->channels > HALF ? wholes : halfs;
    tile_args t = {r->in, r->lda, r->taps, r->pitch, r->k4, r->weights, r->ahead, r->step};
    int64_t size = end->bytes ? 1 : sizeof(float);
    char *out = r->out;
    for (int64_t left = r->rows, take; left > 0; left -= take) {
        take = next_rows(left);
        tiles[take](&t, end, out, r->stride);
        t.a += take * r->lda;
        t.ahead += r->taps * r->k4 * r->step;
        out += take * r->stride * size;
    }
}

/* ---- The transform ----------------------------------------------------------------------------- */

typedef void wide_function(const tile_args *t, const float *scale, float *out);

#define WIDE(rows)                                                                                        \
    static __attribute__((noinline)) void wide_##rows(const tile_args *t, const float *scale, float *out) \
    {                                                                                                     \
        __m512i sum[ROWS][2];                                                                             \
        sum_up(rows, 2, true, t, sum);                                                                    \
        __m512 scale0 = _mm512_loadu_ps(scale), scale1 = _mm512_loadu_ps(scale + HALF);                   \
        _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++)                                           \
        {                                                                                                 \
            _mm512_storeu_ps(out + i * NGI_BYTES_PANEL, _mm512_cvtepi32_ps(sum[i][0]) * scale0);          \
            _mm512_storeu_ps(out + i * NGI_BYTES_PANEL + HALF, _mm512_cvtepi32_ps(sum[i][1]) * scale1);   \
        }                                                                                                 \
    }
WIDE(1)
WIDE(2)
WIDE(3)
WIDE(4)
WIDE(5)
WIDE(6)
WIDE(7)
WIDE(8)
WIDE(9)
WIDE(10)
WIDE(11)
WIDE(12)
static wide_function *const wides[ROWS + 1] = {NULL,   wide_1, wide_2, wide_3,  wide_4,  wide_5, wide_6,
                                               wide_7, wide_8, wide_9, wide_10, wide_11, wide_12};

static void multiply(int64_t rows, int64_t k2, const int16_t *a, int64_t lda, const int16_t *b,
                     const float *scale, float *out)
{
    tile_args t = {.a = (const uint8_t *)a,
                   .lda = lda * (int64_t)sizeof *a,
                   .taps = 1,
                   .k = k2,
                   .b = (const int8_t *)b,
                   .ahead = (const int8_t *)(b + 2 * k2 * NGI_BYTES_PANEL),
                   .step = 64};
    for (int64_t take; rows > 0; rows -= take) {
        take = next_rows(rows);
        wides[take](&t, scale, out);
        t.a += take * t.lda;
        out += take * NGI_BYTES_PANEL;
    }
}

/* 32 numbers of 16 bits. */
typedef int16_t shorts __attribute__((vector_size(64)));

/* out = BT d for the points 0, 1, -1, 2, -2 and infinity. */
INLINE void transform_in(const shorts *d, int step, shorts *out)
{
    shorts d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    shorts even = d4 - 4 * d2, odd = d3 - 4 * d1, narrow = d4 - d2, slope = 2 * (d3 - d1);
    out[0] = 4 * (d0 - d2) + narrow;
    out[step] = even + odd;
    out[2 * step] = even - odd;
    out[3 * step] = narrow + slope;
    out[4 * step] = narrow - slope;
    out[5 * step] = 4 * (d1 - d3) + d5 - d3;
}

static void input(const uint8_t *in, int64_t channels, int64_t pitch, int16_t *out, int64_t stride)
{
    for (int64_t c = 0; c < channels; c += 32) {
        shorts d[36];
#pragma GCC unroll 36
        for (int i = 0; i < 36; i++)
            d[i] = (shorts)_mm512_cvtepu8_epi16(
                _mm256_loadu_si256((const void *)(in + i / 6 * pitch + i % 6 * channels + c)));
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++)
            transform_in(d + j, 6, d + j);
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++)
            transform_in(d + 6 * i, 1, d + 6 * i);
#pragma GCC unroll 36
        for (int i = 0; i < 36; i++)
            _mm512_storeu_si512(out + i * stride + c, (__m512i)d[i]);
    }
}

/* out[4] = AT m. */
INLINE void transform_out(const __m512 *m, int step, __m512 *out)
{
    __m512 s1 = m[step] + m[2 * step], d1 = m[step] - m[2 * step];
    __m512 s2 = m[3 * step] + m[4 * step], d2 = m[3 * step] - m[4 * step];
    out[0] = m[0] + s1 + s2;
    out[1] = d1 + 2 * d2;
    out[2] = s1 + 4 * s2;
    out[3] = d1 + 8 * d2 + m[5 * step];
}

static void output(const float *in, int64_t stride, const ngi_bytes_end *end, int h, int w, void *out,
                   int64_t pitch, int64_t step)
{
    int64_t size = end->bytes ? 1 : sizeof(float);
    for (int j = 0; j * HALF < end->channels; j++) {
        __m512 half[6][4], bias = _mm512_loadu_ps(end->bias + j * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) {
            __m512 m[6];
#pragma GCC unroll 6
            for (int x = 0; x < 6; x++)
                m[x] = _mm512_loadu_ps(in + (6 * i + x) * stride + j * LANES);
            if (i == 1)
                m[1] += bias; /* what is added at this frequency comes to every pixel */
            transform_out(m, 1, half[i]);
        }
        int n = channels_of(end, j);
        for (int x = 0; x < w; x++) {
            __m512 m[6], column[4];
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++)
                m[i] = half[i][x];
            transform_out(m, 1, column);
#pragma GCC unroll 4
            for (int y = 0; y < 4; y++)
                if (y < h)
                    put((char *)out + (y * pitch + x * step + j * HALF) * size, clamp(column[y], end),
                        end->bytes, n);
        }
    }
}

/* ---- Bytes ------------------------------------------------------------------------------------- */

static void to_bytes(const float *x, int64_t n, float levels, int zero, uint8_t *q)
{
    ngi_bytes_end end = {.low = zero ? 1 - (float)zero : 0, .high = 255 - (float)zero};
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t left = n - i < LANES ? n - i : LANES;
        __m512 v = _mm512_maskz_loadu_ps((__mmask16)((1u << left) - 1), x + i);
        v = clamp(v * levels, &end) + (float)zero;
        put(q + i, v, true, (int)left);
    }
}

static void larger(uint8_t *restrict best, const uint8_t *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        best[i] = best[i] > x[i] ? best[i] : x[i];
}

const ngi_bytes_isa ngi_bytes_isa_vnni = {"vnni", product, multiply, input, output, to_bytes, larger};
#else
typedef int ngi_bytes_no_vnni;
#endif
