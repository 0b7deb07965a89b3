/* Our own kernels, NHWC, float32: 1x1 convolutions as one matrix product, pools, weights' gradients, and Winograd's (Cook-Toom) minimal
 * filtering for stride 1, one group, no dilation and kernels with 3, 5 or 7 taps along an axis:
 *
 *   1-D F(m,r): tiles of m outputs along one axis, the other axis's taps summed up: 1x7, 7x1, 1x3, 3x1, 7x7.
 *   2-D F(m x m,3x3), F(4x4,5x5): tiles of m x m outputs. m is 4 or 6, whichever needs fewer products on a map; with 4
 *   results are as exact as a direct convolution's.
 *
 * A tile's a = m + r - 1 inputs (a x a in 2-D) are transformed, multiplied with transformed weights channel
 * by channel - one small matrix product per "frequency" - and transformed back.
 * Lavin & Gray 2016, arXiv:1509.09308; points after Barabasz et al. 2020, arXiv:1803.10986. */
#ifndef NGI_NATIVE_H
#define NGI_NATIVE_H

#include "exec/exec.h"

#define NGI_WINO_MAX_A           12 /* inputs of a 1-D tile */
#define NGI_WINO_MAX_FREQUENCIES 64

/* Transform matrices of F(m,r): V = BT d, U = G g, y = AT (U * V). */
typedef struct ngi_cook_toom {
    int m, r, a;
    float bt[NGI_WINO_MAX_A]
            [NGI_WINO_MAX_A]; /* [a][a]; entries of the wrong parity are zero in rows 0, a-1 */
    float at[NGI_WINO_MAX_A][NGI_WINO_MAX_A]; /* [m][a] */
    double g[NGI_WINO_MAX_A][NGI_WINO_MAX_A]; /* [a][r] */
} ngi_cook_toom;

/* m + r - 1 must be 6, 8, 10 or 12, m 4 or 6: the points are then 0, pairs of +p and -p, and infinity. */
void ngi_cook_toom_init(ngi_cook_toom *t, int m, int r);

/* The arithmetic for one instruction set. `lanes` floats a vector; a panel is 2 * lanes output channels. */
typedef struct ngi_native_isa {
    const char *name;
    int lanes;
    /* c[rows][panel] (+)= a[rows][k] (row stride lda) * b[k][panel] */
    void (*multiply)(int64_t rows, int64_t k, const float *a, int64_t lda, const float *b, float *c,
                     bool accumulate);
    /* Transforms one tile: src[a] (2-D: [a*a]) point at pixels' channels, NULL is padding; a vector at every `step`th
     * channel goes, of frequency f, to dst + f * stride, the next one `jump` behind it; beyond `channels` are
     * zeros. t NULL: copies src[0]. */
    void (*input)(const ngi_cook_toom *t, bool two_d, const float *const *src, float *dst, int64_t stride,
                  int64_t channels, int64_t step, int64_t jump);
    /* The way back for one tile and panel: m_values + f * stride -> dst[m] (2-D: [m*m]), `channels` of them, NULL
     * skipped; y = min(max(AT m + bias, low), high), added to what is there if `accumulate`. */
    void (*output)(const ngi_cook_toom *t, bool two_d, const float *m_values, int64_t stride,
                   float *const *dst, const float *bias, float low, float high, bool accumulate,
                   int64_t channels);
    /* dst[i * stride + o] = min(max(a[rows][k] (row stride lda) * b + bias, low), high), added to what is there if
     * `accumulate`, for `channels` <= panel; b [k][panel], or [k][lanes] where these are enough; bias [panel] */
    void (*product)(int64_t rows, int64_t k, const float *a, int64_t lda, const float *b, float *dst,
                    int64_t stride, const float *bias, float low, float high, bool accumulate,
                    int64_t channels);
    /* dst[count] = the maximum, or the sum times `scale`, of src[taps][count]; then, where there is a bias,
     * min(max(that + bias, low), high) */
    void (*join)(bool average, int taps, const float *const *src, int64_t count, float scale,
                 const float *bias, float low, float high, float *dst);
    /* Of one input channel, a panel of weights: taps [kernel][panel], transformed; one row after the other goes to dst, `step`
     * floats apart, by frequency and within it by the `others`' tap. */
    void (*weights)(const ngi_cook_toom *t, bool two_d, int others, const float *taps, float *dst,
                    int64_t step);
    /* Of weights' gradients. */
    int block; /* input channels at a time, at most `lanes` */
    /* c[rows][panel] = the sum over k of a[k][block] times b[k][panel], rows <= block */
    void (*outer)(int64_t rows, int64_t k, const float *a, const float *b, float *c);
    /* The gradients of a tile's outputs src[m] (2-D: [m*m]), NULL is zeros, back through the output's transform: a panel of
     * which `channels` are there, frequency f to dst + f * stride. t NULL: copies src[0]. */
    void (*spread)(const ngi_cook_toom *t, bool two_d, const float *const *src, float *dst, int64_t stride,
                   int64_t channels);
    /* sums [frequencies][block][panel] back through the weights' transform (none: t NULL): tap k of input channel i, `channels`
     * of them, goes to dst + k * step + i * row, or is added to it if `accumulate` */
    void (*taps)(const ngi_cook_toom *t, bool two_d, int64_t rows, const float *sums, float *dst,
                 int64_t step, int64_t row, bool accumulate, int64_t channels);
    /* dst[channels] = the sum over rows of x[rows][channels] (row stride `stride`), in double */
    void (*total)(int64_t rows, const float *x, int64_t stride, int64_t channels, float *dst);
} ngi_native_isa;

/* The best for this CPU; NULL never. */
const ngi_native_isa *ngi_native_isa_best(void);
/* Matrix units, which oneDNN uses for shorter numbers and our own kernels don't. */
bool ngi_native_has_amx(void);
/* All that this CPU can run, NULL-terminated: for tests. */
const ngi_native_isa *const *ngi_native_isa_all(void);

/* A convolution to prepare. kernel [kh,kw,ic,oc]; `transpose` makes the one that leads gradients back to the input:
 * kernel flipped, channels swapped, padding kh-1-pad (in_* and out_* are those of that convolution). */
typedef struct ngi_winograd_shape {
    int64_t in_h, in_w, in_c, out_h, out_w, out_c;
    int kernel_h, kernel_w, pad_top, pad_left;
    bool transpose;
    bool fine;  /* m is 4 */
    int images; /* that a run has, mostly */
} ngi_winograd_shape;

/* A convolution ready to run. */
typedef struct ngi_winograd {
    const ngi_native_isa *isa;
    ngi_winograd_shape shape;
    int pad_top, pad_left;
    int threads;
    ngi_cook_toom t;
    bool two_d, vertical; /* 1-D: tiles run along the height instead of the width */
    int others;           /* 1-D: taps of the other axis */
    int frequencies;
    int64_t in_lanes;     /* in_c rounded up to lanes */
    int64_t panels;       /* of output channels */
    const float *weights; /* [panels][frequencies][others][in_c][panel] */
    float *owned;         /* NULL: the weights are borrowed */
    float *bias;          /* [panels * panel], zeros where there is none */
    float low, high;      /* fused clamp: relu is 0..infinity */
    int64_t chunk;        /* 2-D: tiles a pass; 1-D: lines across a pass */
    int64_t group;        /* output tiles of a pass that one thread multiplies at a time, at most */
} ngi_winograd;

/* Tiles of m outputs that an axis of so many takes. */
static inline int64_t ngi_tiles_of(int64_t outputs, int m)
{
    return (outputs + m - 1) / m;
}

/* Whether lines of several images go through one pass: they don't read each other. */
static inline bool ngi_winograd_joins(const ngi_winograd *c)
{
    return !c->two_d && c->others == 1;
}

/* Bytes of the transformed weights; 0 for shapes that have no transform. */
size_t ngi_winograd_weight_bytes(const ngi_native_isa *isa, const ngi_winograd_shape *shape);
bool ngi_winograd_is_2d(const ngi_native_isa *isa, const ngi_winograd_shape *shape);
/* Transforms `kernel`, or borrows weights that were `packed` before (64-byte aligned; the other is NULL).
 * NG_E_UNSUPPORTED, quietly, for shapes that have no transform. */
ng_status ngi_winograd_create(const ngi_native_isa *isa, const ngi_winograd_shape *shape, const float *kernel,
                              const float *packed, const float *bias, int threads, ngi_winograd **out,
                              ng_error *err);
/* Other weights for one that transformed its own. */
void ngi_winograd_update(ngi_winograd *c, const float *kernel, const float *bias);
void ngi_winograd_free(ngi_winograd *c);
size_t ngi_winograd_scratch(const ngi_winograd *c); /* bytes */
/* 2-D: rows of the output at a time in front of a pool, so that what lies between stays in the cache. */
int64_t ngi_winograd_band(const ngi_winograd *c);
/* in [n,in_h,in_w,in_c], out [n,out_h,out_w] pixels of out_c floats, `stride` floats apart. */
void ngi_winograd_run(const ngi_winograd *c, int n, const float *in, float *out, int64_t stride,
                      bool accumulate, void *scratch);
/* Widens a part of the output to whole tiles; returns what of the input these read. */
ngi_rect ngi_winograd_reach(const ngi_winograd *c, ngi_rect *out);
/* The outputs of the tiles that read any of `in`. */
ngi_rect ngi_winograd_spread(const ngi_winograd *c, ngi_rect in);
/* A part of the output that begins with whole tiles, to the bytes that a whole run has there; `out` is where row `out_row` goes. */
void ngi_winograd_part(const ngi_winograd *c, const float *in, ngi_rect part, float *out, int64_t out_row,
                       int64_t stride, bool accumulate, void *scratch);

/* ---- 1x1 convolutions: one matrix product ------------------------------------------------------ */

typedef struct ngi_product {
    const ngi_native_isa *isa;
    int64_t in_c, out_c;
    bool transpose; /* of a kernel [out_c,in_c], to lead gradients back */
    int threads;
    const float *weights; /* [panels][in_c][panel]; the last panel has [in_c][lanes] where these are enough */
    float *owned;         /* NULL: the weights are borrowed */
    float *bias;          /* [panels * panel], zeros where there is none */
    float low, high;      /* fused clamp */
} ngi_product;

size_t ngi_product_weight_bytes(const ngi_native_isa *isa, int64_t in_c, int64_t out_c);
/* kernel [in_c,out_c], or borrows `packed` ones as ngi_winograd_create does. */
ng_status ngi_product_create(const ngi_native_isa *isa, int64_t in_c, int64_t out_c, bool transpose,
                             const float *kernel, const float *packed, const float *bias, int threads,
                             ngi_product **out, ng_error *err);
void ngi_product_update(ngi_product *c, const float *kernel, const float *bias);
void ngi_product_free(ngi_product *c);
/* in [rows,in_c], out [rows] of out_c floats, `stride` floats apart. */
void ngi_product_run(const ngi_product *c, int64_t rows, const float *in, float *out, int64_t stride,
                     bool accumulate);
/* Without accumulating, the part of a map [..,w,in_c] whose output is [..,w] pixels. */
void ngi_product_part(const ngi_product *c, int64_t w, ngi_rect part, const float *in, float *out,
                      int64_t stride);

/* ---- Convolutions with strides ------------------------------------------------------------------ */

/* Without padding, as a sum of matrix products: a row of the kernel meets pixels that follow each other. */
typedef struct ngi_direct {
    const ngi_native_isa *isa;
    int64_t in_h, in_w, in_c, out_h, out_w, out_c; /* out_c a whole number of panels */
    int kernel_h, kernel_w, stride_h, stride_w;
    int threads;
    const float *weights; /* [panels][kernel_h][kernel_w * in_c][panel] */
    float *owned;         /* NULL: the weights are borrowed */
    float *bias;          /* [out_c] */
    float low, high;      /* fused clamp */
} ngi_direct;

size_t ngi_direct_weight_bytes(const ngi_direct *c);
/* Completes a *c whose isa, sizes and threads are set. */
ng_status ngi_direct_init(ngi_direct *c, const float *kernel, const float *packed, const float *bias,
                          ng_error *err);
void ngi_direct_update(ngi_direct *c, const float *kernel, const float *bias);
void ngi_direct_clear(ngi_direct *c);
size_t ngi_direct_scratch(const ngi_direct *c); /* bytes */
/* The part of the output [out_h,out_w] pixels; what it reads. */
void ngi_direct_part(const ngi_direct *c, const float *in, ngi_rect part, float *out, int64_t stride,
                     void *scratch);
ngi_rect ngi_direct_reach(const ngi_direct *c, ngi_rect out);
/* The outputs that read any of `in`. */
ngi_rect ngi_direct_spread(const ngi_direct *c, ngi_rect in);

/* ---- Weights' gradients --------------------------------------------------------------------------- */

/* A convolution of one group, or a dense layer: a 1x1 kernel on a map of one pixel. */
typedef struct ngi_gradient_shape {
    int64_t in_h, in_w, in_c, out_h, out_w, out_c;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
} ngi_gradient_shape;

/* A sum of matrix products over places - tiles of the transform, or pixels: what is at an input's place, [in_c], times the
 * gradient at the output's place, [out_c]. */
typedef struct ngi_gradient {
    const ngi_native_isa *isa;
    ngi_gradient_shape shape;
    int threads;
    bool transforms, two_d, vertical; /* else a product for every tap; as in ngi_winograd */
    ngi_cook_toom t;
    int frequencies;        /* 1 without a transform */
    int64_t lines, along;   /* places of an image: lines, and on each of them */
    int64_t blocks, panels; /* of input and output channels */
    int64_t most;           /* places a pass */
} ngi_gradient;

/* Of up to `batch` images at once. */
void ngi_gradient_init(ngi_gradient *c, const ngi_native_isa *isa, const ngi_gradient_shape *shape, int batch,
                       int threads);
size_t ngi_gradient_scratch(const ngi_gradient *c); /* bytes */
/* in [n,in_h,in_w,in_c], grad [n,out_h,out_w,out_c]; overwrites kernel [kernel_h,kernel_w,in_c,out_c]. */
void ngi_gradient_run(const ngi_gradient *c, int n, const float *in, const float *grad, float *kernel,
                      void *scratch);

/* The back end's prepare_trainer. */
ng_status ngi_native_prepare_trainer(const ngi_step *step, int batch, int threads, ngi_kernel *out,
                                     ng_error *err);

/* ---- Pools ------------------------------------------------------------------------------------- */

typedef struct ngi_native_pool {
    const ngi_native_isa *isa;
    int64_t h, w, c, oh, ow;
    int64_t kernel[2], stride[2], before[2];
    bool average;
    int threads;
} ngi_native_pool;

/* What is done behind a pool: bias NULL: nothing. */
typedef struct ngi_native_end {
    const float *bias; /* [c] */
    float low, high;
} ngi_native_end;

/* False where a window would hold nothing but padding. */
bool ngi_native_pool_init(ngi_native_pool *p, const ngi_native_isa *isa, ngi_op op, const ngi_attr *attr,
                          const ngi_shape *in, const ngi_shape *out, int threads);
size_t ngi_native_pool_scratch(const ngi_native_pool *p); /* bytes, of one thread */
/* The input rows [from, to) that row `oy` of the result is made of. */
void ngi_native_pool_rows(const ngi_native_pool *p, int64_t oy, int64_t *from, int64_t *to);
/* What of the input a part of the result is made of. */
ngi_rect ngi_native_pool_reach(const ngi_native_pool *p, ngi_rect out);
/* The results that are made of any of `in`. */
ngi_rect ngi_native_pool_spread(const ngi_native_pool *p, ngi_rect in);
/* A part of the result, with pixels `stride` floats apart; `out` is the result's first row, `in` row `in_row` of the input
 * [h,w,c]. */
void ngi_native_pool_part(const ngi_native_pool *p, const float *in, int64_t in_row, ngi_rect part,
                          float *out, int64_t stride, const ngi_native_end *then, void *scratch);

#endif
