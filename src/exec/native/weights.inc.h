/* The transform of weights; part of kernels.inc.h. In double, rounded once: it is done once a kernel, and its error would be
 * in every product. */

/* As many doubles as a register holds, and the floats that they are made of: others become slow code. */
#define HALF (LANES / 2)
typedef double double_vec __attribute__((vector_size(8 * HALF)));
typedef float half_vec __attribute__((vector_size(4 * HALF)));
typedef float loose_half __attribute__((vector_size(4 * HALF), aligned(4), may_alias));

enum { MAX_KERNEL = 49, MAX_SIDE = 5 }; /* taps; of a 2-D kernel's axis */

/* *out = sum over k < n of g[k] * taps[k * stride] */
INLINE void combine(const double *g, int n, const double_vec *taps, int stride, double_vec *out)
{
    double_vec sum = g[0] * taps[0];
    for (int k = 1; k < n; k++)
        sum += g[k] * taps[k * stride];
    *out = sum;
}

INLINE void store_rounded(float *dst, const double_vec *x)
{
    *(loose_half *)dst = __builtin_convertvector(*x, half_vec);
}

static void weights_1d(const ngi_cook_toom *t, int others, const double_vec *taps, float *dst, int64_t step)
{
    double_vec u;
    for (int f = 0; f < t->a; f++)
        for (int j = 0; j < others; j++, dst += step) {
            combine(t->g[f], t->r, taps + j * t->r, 1, &u);
            store_rounded(dst, &u);
        }
}

static void weights_2d(const ngi_cook_toom *t, const double_vec *taps, float *dst, int64_t step)
{
    double_vec half[MAX_SIDE], u;
    for (int f = 0; f < t->a; f++) {
        for (int x = 0; x < t->r; x++)
            combine(t->g[f], t->r, taps + x, t->r, &half[x]);
        for (int k = 0; k < t->a; k++, dst += step) {
            combine(t->g[k], t->r, half, 1, &u);
            store_rounded(dst, &u);
        }
    }
}

static void weights(const ngi_cook_toom *t, bool two_d, int others, const float *taps, float *dst,
                    int64_t step)
{
    int count = two_d ? t->r * t->r : t->r * others;
    for (int64_t k = 0; k < PANEL; k += HALF) {
        double_vec wide[MAX_KERNEL];
        for (int i = 0; i < count; i++)
            wide[i] = __builtin_convertvector(*(const loose_half *)(taps + i * PANEL + k), double_vec);
        if (two_d)
            weights_2d(t, wide, dst + k, step);
        else
            weights_1d(t, others, wide, dst + k, step);
    }
}
