/* The head that is trained on a base: (Dropout -> Dense relu)* -> Dropout -> Dense, forward and backward in plain C.
 * Its arrays are the graph's own weights, so that what is trained is what is saved and explained. */
#ifndef NGI_TRAIN_HEAD_H
#define NGI_TRAIN_HEAD_H

#include "nn/graph.h"

#define NGI_HEAD_MOST 8 /* dense layers */

typedef struct ngi_head_dense {
    int in, out;
    float *kernel, *bias;         /* [in,out], [out]; the graph's */
    int kernel_index, bias_index; /* of the graph's weights */
    bool relu;
} ngi_head_dense;

typedef struct ngi_train_head {
    int features; /* the node [in] that the first dense layer reads: where the base ends */
    int n;
    ngi_head_dense dense[NGI_HEAD_MOST]; /* [n], in order */
    double dropout;                      /* rate before each dense layer while training, 0 to below 1 */
} ngi_train_head;

/* Finds the last dense layers of a graph, `most` of them and before its final activation: what lies before is the base, dense
 * layers of its own too. */
NG_NODISCARD ng_status ngi_train_head_find(const ngi_graph *g, int most, double dropout, ngi_train_head *out,
                                           ng_error *err);
/* Keras's: kernels Glorot uniform (limit sqrt(6 / (in + out))), biases 0. */
void ngi_train_head_initialise(const ngi_train_head *h, uint64_t seed);
int ngi_train_head_classes(const ngi_train_head *h);

/* What a thread needs to run the head on up to `most` images. */
typedef struct ngi_head_work {
    int most;
    float *in[NGI_HEAD_MOST];   /* [most,in] what each dense layer read, after dropout */
    float *out[NGI_HEAD_MOST];  /* [most,out] after its relu; the last one's are the logits */
    float *grad[NGI_HEAD_MOST]; /* [most,out] */
    /* [in,width of out] (product.h) room for the kernel and its gradient; NULL where they are of that width themselves. */
    float *kernel[NGI_HEAD_MOST], *kernel_grad[NGI_HEAD_MOST];
    float *wide; /* [most,largest width] outputs or their gradients */
    float *block;
} ngi_head_work;

NG_NODISCARD ng_status ngi_head_work_create(const ngi_train_head *h, int most, ngi_head_work *out,
                                            ng_error *err);
void ngi_head_work_clear(ngi_head_work *w);

/* Which dropout masks are drawn: by seed, epoch and the image's place in the epoch. */
typedef struct ngi_head_draw {
    uint64_t seed;
    int64_t epoch, first; /* place of the first image */
} ngi_head_draw;

/* features [n,in] -> the logits [n,classes], which stay in `w`. draw NULL: no dropout (evaluation). */
const float *ngi_train_head_forward(const ngi_train_head *h, ngi_head_work *w, const float *features, int n,
                                    const ngi_head_draw *draw);
/* After a forward of the same images and draw: kernel_grads[i] [in,out] and bias_grads[i] [out] of each dense layer and
 * features_grad [n,in] are overwritten; the last may be NULL. */
void ngi_train_head_backward(const ngi_train_head *h, ngi_head_work *w, const float *logits_grad, int n,
                             const ngi_head_draw *draw, float *const *kernel_grads, float *const *bias_grads,
                             float *features_grad);

/* The gradient of a class's logit by the features, of the one image whose forward run without dropout is the last one in
 * `w`: Grad-CAM's weights, for a head of global average pooling. slope [in] */
void ngi_train_head_slope(const ngi_train_head *h, ngi_head_work *w, int class_index, float *slope);
/* After it: what a gradient by the slope [in] is for the kernels, added to kernel_grads. The relus' sides do not change with
 * the weights but at single points, so that this is exact. `w` must be run again afterwards. */
void ngi_train_head_slope_backward(const ngi_train_head *h, ngi_head_work *w, const float *slope_grad,
                                   float *const *kernel_grads);

#endif
