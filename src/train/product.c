/* Blocks of the result stay in registers; what is multiplied with them lies near, TERMS terms at once. Multiplications and
 * additions are not fused (-ffp-contract=off), so that all kinds of registers give the same bytes. */
#include "train/product.h"

#include <stdbool.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { WIDE = 16, TERMS = 128 }; /* of a block's floats in a row; of a sum at once */

#define NAME(x) x##_4
#define LANES   4
#define ROWS    2
#define TALL    4
#include "train/product.inc.h"

#if defined __x86_64__
#define NAME(x) x##_8
#define LANES   8
#define ROWS    4
#define TALL    8
#include "train/product.inc.h"

/* Eight lanes too, but thirty-two registers. */
#define NAME(x) x##_many
#define LANES   8
#define ROWS    8
#define TALL    8
#include "train/product.inc.h"
#endif

void ngi_product_widen(const float *from, int rows, int n, float *to)
{
    size_t width = (size_t)ngi_product_width(n), have = (size_t)n;
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t k = 0; k < width; k++)
            to[r * width + k] = k < have ? from[r * have + k] : 0;
}

/* ---- By the processor -------------------------------------------------------------------------- */

typedef struct version {
    void (*sums)(const ngi_product *p, float *c);
    void (*dots)(const float *a, const float *b, int n, int rows, int width, float *c);
} version;

#define VERSION(x, set)                                                                               \
    set static void sums_of_##x(const ngi_product *p, float *c)                                       \
    {                                                                                                 \
        sums_##x(p, c);                                                                               \
    }                                                                                                 \
    set static void dots_of_##x(const float *a, const float *b, int n, int rows, int width, float *c) \
    {                                                                                                 \
        dots_##x(a, b, n, rows, width, c);                                                            \
    }                                                                                                 \
    static const version version_##x = {sums_of_##x, dots_of_##x};

VERSION(4, )
#if defined __x86_64__
VERSION(8, __attribute__((target("avx2"))))
VERSION(many, __attribute__((target("avx2,avx512f,avx512vl"))))
#endif

static const version *best(void)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        return &version_many;
    if (__builtin_cpu_supports("avx2"))
        return &version_8;
#endif
    return &version_4;
}

void ngi_product_sums(const ngi_product *p, float *c)
{
    best()->sums(p, c);
}

void ngi_product_dots(const float *a, const float *b, int n, int rows, int width, float *c)
{
    best()->dots(a, b, n, rows, width, c);
}
