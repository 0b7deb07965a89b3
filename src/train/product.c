/* Blocks of the result stay in registers. Multiplications and additions are not fused (-ffp-contract=off), so that AVX2 and the
 * plain build of the same code give the same bytes. */
#include "train/product.h"

enum { LANES = NGI_PRODUCT_LANES, ROWS = 4, COLUMNS = 2 }; /* of a block, columns in vectors */

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

void ngi_product_widen(const float *from, int rows, int n, float *to)
{
    size_t width = (size_t)ngi_product_width(n), have = (size_t)n;
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t k = 0; k < width; k++)
            to[r * width + k] = k < have ? from[r * have + k] : 0;
}

/* A block of `rows` times `columns` vectors, both constants, at this row and column of c. */
INLINE void block(const ngi_product *p, size_t row, size_t column, int rows, int columns, float *c)
{
    size_t width = (size_t)p->width;
    const float *a = p->a + row * p->row, *b = p->b + column;
    lanes sum[2 * ROWS * COLUMNS] = {0};
    c += row * width + column;
    for (int r = 0; p->add && r < rows; r++)
        for (int k = 0; k < columns; k++)
            sum[r * columns + k] = *(const loose *)(c + (size_t)r * width + k * LANES);
    for (int i = 0; i < p->n; i++, a += p->step, b += width)
        for (int k = 0; k < columns; k++) {
            lanes x = *(const loose *)(b + k * LANES);
            for (int r = 0; r < rows; r++)
                sum[r * columns + k] += a[(size_t)r * p->row] * x;
        }
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < columns; k++)
            *(loose *)(c + (size_t)r * width + k * LANES) = sum[r * columns + k];
}

INLINE void sums(const ngi_product *p, float *c)
{
    size_t column = 0, rows = (size_t)p->rows, width = (size_t)p->width;
    for (; column + COLUMNS * LANES <= width; column += COLUMNS * LANES) {
        size_t row = 0;
        for (; row + ROWS <= rows; row += ROWS)
            block(p, row, column, ROWS, COLUMNS, c);
        for (; row < rows; row++)
            block(p, row, column, 1, COLUMNS, c);
    }
    for (size_t row = 0; column < width && row < rows;) {
        bool whole = row + 2 * ROWS <= rows;
        if (whole)
            block(p, row, column, 2 * ROWS, 1, c);
        else
            block(p, row, column, 1, 1, c);
        row += whole ? 2 * ROWS : 1;
    }
}

INLINE void dots(const float *a, const float *b, int n, int rows, int width, float *c)
{
    for (int i = 0; i < n; i++)
        for (int r = 0; r < rows; r++) {
            const float *x = a + (size_t)i * (size_t)width, *y = b + (size_t)r * (size_t)width;
            lanes s = {0};
            for (int k = 0; k < width; k += LANES)
                s += *(const loose *)(x + k) * *(const loose *)(y + k);
            c[(size_t)i * (size_t)rows + (size_t)r] =
                ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
        }
}

#if defined __x86_64__
__attribute__((target("avx2"))) static void sums_avx2(const ngi_product *p, float *c)
{
    sums(p, c);
}

__attribute__((target("avx2"))) static void dots_avx2(const float *a, const float *b, int n, int rows,
                                                      int width, float *c)
{
    dots(a, b, n, rows, width, c);
}

#define HAS_AVX2 __builtin_cpu_supports("avx2")
#else
#define sums_avx2 sums
#define dots_avx2 dots
#define HAS_AVX2  0
#endif

void ngi_product_sums(const ngi_product *p, float *c)
{
    if (HAS_AVX2)
        sums_avx2(p, c);
    else
        sums(p, c);
}

void ngi_product_dots(const float *a, const float *b, int n, int rows, int width, float *c)
{
    if (HAS_AVX2)
        dots_avx2(a, b, n, rows, width, c);
    else
        dots(a, b, n, rows, width, c);
}
