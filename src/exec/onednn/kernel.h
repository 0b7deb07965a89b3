/* A step's kernel on oneDNN: what conv.c, dense.c and pool.c make and backend.c runs. */
#ifndef NGI_ONEDNN_KERNEL_H
#define NGI_ONEDNN_KERNEL_H

#include "exec/exec.h"
#include "exec/onednn/pass.h"

typedef struct ngi_onednn_kernel {
    const char *node; /* its name, borrowed from the graph */
    int threads;
    ngi_pass forward, backward; /* backward.main.primitive NULL: none */
    bool has_act;
    ngi_activation_attr act;
    bool act_by_hand;          /* applied after the primitive, not by it */
    size_t at_grad, at_result; /* offsets in scratch: gradient before the activation, and result to add */
    /* Max pool: its backward runs here. Height, width and channels in, height and width out. */
    ngi_window window;
    int64_t h, w, c, oh, ow;
} ngi_onednn_kernel;

/* Set up forward and, if the step asks for it, backward. NG_E_UNSUPPORTED leaves err untouched; the
 * caller clears the passes on failure. `attr` carries the fused activation, if any. */
ng_status ngi_onednn_conv(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                          ng_error *err);
ng_status ngi_onednn_dense(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                           ng_error *err);
ng_status ngi_onednn_pool(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                          ng_error *err);

/* Window from a step's attributes (kernel, strides, dilation, padding). */
ngi_window ngi_onednn_window(const ngi_attr *attr);
/* Gradient of a max pool of one image: to the first maximum of each window in row-major order, as
 * TensorFlow does. in, grad_in [h,w,c]; grad_out [oh,ow,c]; grad_in is added to; at: [c] scratch. */
void ngi_max_pool_backward(const ngi_onednn_kernel *k, const float *in, const float *grad_out, float *grad_in,
                           void *scratch);
size_t ngi_max_pool_scratch(const ngi_onednn_kernel *k);

/* The eltwise post-op of an activation; false where oneDNN has none with the same formula. */
bool ngi_fused_post_op(const ngi_activation_attr *act, dnnl_alg_kind_t *kind, float *alpha, float *beta);

#endif
