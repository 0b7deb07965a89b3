/* The reference back end: every operation in plain loops, forward and backward. It is the oracle that
 * the others are tested against and runs what they have no kernel for. Sums are taken in double, in a
 * fixed order, image by image: the same bytes whatever the batch. */
#ifndef NGI_EXEC_REF_H
#define NGI_EXEC_REF_H

#include "exec/exec.h"

/* Source cells of one output cell along an axis: value = (1 - lerp) * x[low] + lerp * x[high]. */
typedef struct ngi_ref_tap {
    int64_t low, high;
    float lerp;
} ngi_ref_tap;

/* A prepared step. */
typedef struct ngi_ref {
    ngi_step step;               /* a copy */
    const struct ngi_ref_op *op; /* its row */
    int64_t in_count, out_count; /* elements of the first input and of the output, one image */
    size_t op_scratch;           /* bytes the op itself uses; the fused activation's gradient follows it */
    float *coefficients;         /* BATCHNORM, AFFINE: scale [c], offset [c] */
    ngi_ref_tap *taps;           /* UPSAMPLE, RESIZE: rows [oh], then columns [ow] */
} ngi_ref;

/* One row for each op; scratch (bytes) and prepare may be NULL. */
typedef struct ngi_ref_op {
    void (*forward)(const ngi_ref *k, const ngi_run *run);
    void (*backward)(const ngi_ref *k, const ngi_run *run);
    size_t (*scratch)(const ngi_ref *k);
    ng_status (*prepare)(ngi_ref *k, ng_error *err);
} ngi_ref_op;

/* X(op suffix, function stem, scratch hook, prepare hook): each op has _forward and _backward. */
#define NGI_REF_OPS(X)                                                  \
    X(CONSTANT, constant, NULL, NULL)                                   \
    X(IDENTITY, identity, NULL, NULL)                                   \
    X(CONV2D, conv, ngi_ref_conv_scratch, NULL)                         \
    X(DEPTHWISE, depthwise, ngi_ref_depthwise_scratch, NULL)            \
    X(DENSE, dense, ngi_ref_dense_scratch, NULL)                        \
    X(BATCHNORM, affine, NULL, ngi_ref_batchnorm_prepare)               \
    X(LAYERNORM, layernorm, ngi_ref_layernorm_scratch, NULL)            \
    X(ACTIVATION, activation, NULL, NULL)                               \
    X(PRELU, prelu, ngi_ref_eltwise_scratch, NULL)                      \
    X(SOFTMAX, softmax, ngi_ref_softmax_scratch, NULL)                  \
    X(MAX_POOL, max_pool, ngi_ref_pool_scratch, NULL)                   \
    X(AVG_POOL, avg_pool, ngi_ref_pool_scratch, NULL)                   \
    X(GLOBAL_AVG, global_avg, ngi_ref_pool_scratch, NULL)               \
    X(GLOBAL_MAX, global_max, ngi_ref_pool_scratch, NULL)               \
    X(RESHAPE, identity, NULL, NULL)                                    \
    X(PERMUTE, permute, NULL, NULL)                                     \
    X(ZERO_PAD, zero_pad, NULL, NULL)                                   \
    X(CROP, crop, NULL, NULL)                                           \
    X(UPSAMPLE, resize, ngi_ref_resize_scratch, ngi_ref_resize_prepare) \
    X(RESIZE, resize, ngi_ref_resize_scratch, ngi_ref_resize_prepare)   \
    X(ADD, add, ngi_ref_eltwise_scratch, NULL)                          \
    X(SUBTRACT, subtract, ngi_ref_eltwise_scratch, NULL)                \
    X(MULTIPLY, multiply, ngi_ref_eltwise_scratch, NULL)                \
    X(DIVIDE, divide, ngi_ref_eltwise_scratch, NULL)                    \
    X(AVERAGE, average, ngi_ref_eltwise_scratch, NULL)                  \
    X(MAXIMUM, maximum, ngi_ref_eltwise_scratch, NULL)                  \
    X(MINIMUM, minimum, ngi_ref_eltwise_scratch, NULL)                  \
    X(CONCAT, concat, NULL, NULL)                                       \
    X(AFFINE, affine, NULL, ngi_ref_affine_prepare)                     \
    X(SLICE, slice, NULL, NULL)

#define NGI_REF_DECLARE(op, stem, scratch, prepare)                      \
    void ngi_ref_##stem##_forward(const ngi_ref *k, const ngi_run *run); \
    void ngi_ref_##stem##_backward(const ngi_ref *k, const ngi_run *run);
NGI_REF_OPS(NGI_REF_DECLARE)
#undef NGI_REF_DECLARE

size_t ngi_ref_conv_scratch(const ngi_ref *k);
size_t ngi_ref_depthwise_scratch(const ngi_ref *k);
size_t ngi_ref_dense_scratch(const ngi_ref *k);
size_t ngi_ref_pool_scratch(const ngi_ref *k);
size_t ngi_ref_layernorm_scratch(const ngi_ref *k);
size_t ngi_ref_softmax_scratch(const ngi_ref *k);
size_t ngi_ref_resize_scratch(const ngi_ref *k);
size_t ngi_ref_eltwise_scratch(const ngi_ref *k);
ng_status ngi_ref_batchnorm_prepare(ngi_ref *k, ng_error *err);
ng_status ngi_ref_affine_prepare(ngi_ref *k, ng_error *err);
ng_status ngi_ref_resize_prepare(ngi_ref *k, ng_error *err);

/* train.c */
ng_status ngi_ref_prepare_trainer(const ngi_step *step, int batch, int threads, ngi_kernel *out,
                                  ng_error *err);

/* ---- Small shared loops (store.c) ------------------------------------------------------------ */

/* dst = src, or dst += src. */
void ngi_ref_store(float *dst, const float *src, int64_t n, bool accumulate);
void ngi_ref_store_double(float *dst, const double *src, int64_t n, bool accumulate);
/* Zeros unless the gradient is to be added to what is there. */
void ngi_ref_clear(float *dst, int64_t n, bool accumulate);
/* Sum of a*b in double: eight partial sums in a fixed order. */
double ngi_ref_dot(const float *a, const float *b, int64_t n);
/* acc += x * row, in double. */
void ngi_ref_multiply_add(double *acc, float x, const float *row, int64_t n);
/* Shape without batch of input i. */
const ngi_shape *ngi_ref_in_shape(const ngi_ref *k, int i);

#endif
