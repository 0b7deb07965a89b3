/* Our own convolution kernels, NHWC, float32, one group, no dilation.
 *
 * Winograd's (Cook-Toom) minimal filtering for stride 1 and 3, 5 or 7 taps along an axis (winograd.c):
 *
 *   1-D F(m,r): tiles of m outputs along one axis, the other axis's taps summed up: 1x7, 7x1, 1x3, 3x1, 5x5.
 *   2-D F(4x4,3x3): tiles of 4x4 outputs.
 *
 * A tile's a = m + r - 1 inputs (a x a in 2-D) are transformed, multiplied with transformed weights channel
 * by channel - one small matrix product per "frequency" - and transformed back.
 * Lavin & Gray 2016, arXiv:1509.09308; points after Barabasz et al. 2020, arXiv:1803.10986.
 *
 * Direct convolution for all others (direct.c): an output line's pixels are the rows of a matrix product whose inner
 * dimension is a line of the kernel, since kw * ic inputs lie side by side in NHWC. 1x1 is one product. */
#ifndef NGI_NATIVE_H
#define NGI_NATIVE_H

#include "exec/exec.h"

#define NGI_WINO_MAX_A 10              /* inputs of a 1-D tile */
#define NGI_WINO_MAX_FREQUENCIES 36

/* Transform matrices of F(m,r): V = BT d, U = G g, y = AT (U * V). */
typedef struct ngi_cook_toom {
    int m, r, a;
    float bt[NGI_WINO_MAX_A][NGI_WINO_MAX_A]; /* [a][a]; entries of the wrong parity are zero in rows 0, a-1 */
    float at[NGI_WINO_MAX_A][NGI_WINO_MAX_A]; /* [m][a] */
    double g[NGI_WINO_MAX_A][NGI_WINO_MAX_A]; /* [a][r] */
} ngi_cook_toom;

/* m + r - 1 must be 6, 8 or 10: points 0, +-1, +-2, +-1/2, +-3/2 and infinity come in pairs then. */
void ngi_cook_toom_init(ngi_cook_toom *t, int m, int r);

/* The arithmetic for one instruction set. `lanes` floats a vector; a panel is 2 * lanes output channels. */
typedef struct ngi_native_isa {
    const char *name;
    int lanes;
    /* c[rows][panel] (+)= a[rows][k] (row stride lda) * b[k][panel] */
    void (*multiply)(int64_t rows, int64_t k, const float *a, int64_t lda, const float *b, float *c,
                     bool accumulate);
    /* Transforms one tile: src[a] (2-D: [a*a]) point at pixels' channels, NULL is padding; frequency f goes to
     * dst + f * stride, channels rounded up to lanes. */
    void (*input)(const ngi_cook_toom *t, bool two_d, const float *const *src, float *dst, int64_t stride,
                  int64_t channels);
    /* The way back for one tile and panel: m_values + f * stride -> dst[m] (2-D: [m*m]), `channels` of them, NULL
     * skipped; y = min(max(AT m + bias, low), high), added to what is there if `accumulate`. */
    void (*output)(const ngi_cook_toom *t, bool two_d, const float *m_values, int64_t stride, float *const *dst,
                   const float *bias, float low, float high, bool accumulate, int64_t channels);
    /* dst[row * stride + c] = min(max(products[row][c] + bias[c], low), high), added if `accumulate`; `channels`
     * of a panel. */
    void (*finish)(int64_t rows, const float *products, float *dst, int64_t stride, const float *bias, float low,
                   float high, bool accumulate, int64_t channels);
} ngi_native_isa;

/* The best for this CPU; NULL never. */
const ngi_native_isa *ngi_native_isa_best(void);
/* All that this CPU can run, NULL-terminated: for tests. */
const ngi_native_isa *const *ngi_native_isa_all(void);

/* A convolution to prepare. kernel [kh,kw,ic,oc]; `transpose` makes the one that leads gradients back to the input:
 * kernel flipped, channels swapped, padding kh-1-pad (in_* and out_* are those of that convolution). */
typedef struct ngi_conv_shape {
    int64_t in_h, in_w, in_c, out_h, out_w, out_c;
    int kernel_h, kernel_w, pad_top, pad_left;
    int stride; /* both axes; 1 where `transpose` */
    bool transpose;
} ngi_conv_shape;

/* One tap of the (possibly flipped and transposed) kernel; i and o count this convolution's channels. */
float ngi_conv_tap(const ngi_conv_shape *s, const float *kernel, int y, int x, int64_t i, int64_t o);
/* Padding as the convolution sees it. */
int ngi_conv_pad_top(const ngi_conv_shape *s);
int ngi_conv_pad_left(const ngi_conv_shape *s);
/* Bytes that one pass's input should fill: half of the second-level cache. */
int64_t ngi_conv_budget(void);

/* A convolution ready to run; `shape`, `low`, `high` of a fused clamp (relu is 0..infinity). */
typedef struct ngi_native_conv {
    const ngi_native_isa *isa;
    ngi_conv_shape shape;
    int threads;
    float *weights; /* packed by panels of output channels */
    float *bias;    /* [panels * panel], zeros where there is none */
    int64_t panels;
    float low, high;
    /* Winograd; frequencies is 0 for the direct form. */
    ngi_cook_toom t;
    bool two_d, vertical; /* 1-D: tiles run along the height instead of the width */
    int others;           /* 1-D: taps of the other axis */
    int frequencies;
    int64_t in_lanes;     /* in_c rounded up to lanes */
    int64_t chunk;        /* 2-D: tiles a pass; 1-D: lines across a pass; direct: output lines (1x1: pixels) */
} ngi_native_conv;

/* NG_E_UNSUPPORTED, quietly, for shapes that have no transform. */
ng_status ngi_winograd_create(const ngi_native_isa *isa, const ngi_conv_shape *shape, const float *kernel,
                              const float *bias, int threads, ngi_native_conv **out, ng_error *err);
ng_status ngi_direct_create(const ngi_native_isa *isa, const ngi_conv_shape *shape, const float *kernel,
                            const float *bias, int threads, ngi_native_conv **out, ng_error *err);
void ngi_native_conv_free(ngi_native_conv *c);
size_t ngi_native_conv_scratch(const ngi_native_conv *c); /* bytes */
/* One image: in [in_h,in_w,in_c], out [out_h,out_w,out_c]. */
void ngi_native_conv_run(const ngi_native_conv *c, const float *in, float *out, bool accumulate, void *scratch);

/* The halves of the two above. */
size_t ngi_winograd_scratch(const ngi_native_conv *c);
size_t ngi_direct_scratch(const ngi_native_conv *c);
void ngi_winograd_run(const ngi_native_conv *c, const float *in, float *out, bool accumulate, void *scratch);
void ngi_direct_run(const ngi_native_conv *c, const float *in, float *out, bool accumulate, void *scratch);
/* A convolution with its packed weights (`bytes`, zeroed) and bias allocated; copies `bias`. */
ng_status ngi_native_conv_allocate(const ngi_native_conv *local, size_t weight_count, const float *bias,
                                   ngi_native_conv **out, ng_error *err);

#endif
