/* A step's kernel on oneDNN: what conv.c and dense.c make and backend.c runs. */
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
} ngi_onednn_kernel;

/* Set up forward and, if the step asks for it, backward. NG_E_UNSUPPORTED leaves err untouched; the
 * caller clears the passes on failure. `attr` carries the fused activation, if any. */
ng_status ngi_onednn_conv(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                          ng_error *err);
ng_status ngi_onednn_dense(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                           ng_error *err);
/* The whole kernel of a pool, which needs no oneDNN. */
ng_status ngi_onednn_pool(const ngi_step *step, int threads, ngi_kernel *out, ng_error *err);

/* Number of the calling thread in an OpenMP team, from 0. */
int ngi_onednn_thread(void);

/* The eltwise post-op of an activation; false where oneDNN has none with the same formula. */
bool ngi_fused_post_op(const ngi_activation_attr *act, dnnl_alg_kind_t *kind, float *alpha, float *beta);

#endif
