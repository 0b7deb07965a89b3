/* A step's kernel on oneDNN: what conv.c and dense.c make and backend.c runs. */
#ifndef NGI_ONEDNN_KERNEL_H
#define NGI_ONEDNN_KERNEL_H

#include <signal.h>

#include "exec/exec.h"
#include "exec/onednn/pass.h"

typedef struct ngi_onednn_kernel {
    const char *node; /* its name, borrowed from the graph */
    ngi_step step;    /* of one that trains: what its passes are made anew from; packing NULL */
    int threads;
    dnnl_data_type_t type;      /* of a convolution's products in the forward pass */
    ngi_pass forward, backward; /* backward.main.primitive NULL: none */
    float *scales;              /* of int8: [2,out channels], the results' and the weights'; else NULL */
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
/* int8.c: the forward pass of a convolution whose input's range is known, k->has_act and k->act set. */
ng_status ngi_onednn_int8(ngi_onednn_kernel *k, const ngi_step *step, ng_error *err);
/* The whole kernel of a pool, which needs no oneDNN. */
ng_status ngi_onednn_pool(const ngi_step *step, int threads, ngi_kernel *out, ng_error *err);

/* train.c: the kernel of a step's weight gradients. */
ng_status ngi_onednn_prepare_trainer(const ngi_step *step, int batch, int threads, ngi_kernel *out,
                                     ng_error *err);
/* conv.c: the geometry of a convolution at batch n, and its kernel as the graph has it. */
typedef struct ngi_conv_geometry {
    dnnl_dims_t in, out; /* n, c, h, w */
    ngi_window window;
    int weight_rank; /* 4: oihw, 5: goihw */
    dnnl_dims_t weights;
} ngi_conv_geometry;
void ngi_onednn_geometry(const ngi_step *step, int n, ngi_conv_geometry *out);
/* The graph's order of the kernel: [kh,kw,ic/groups,oc]. */
dnnl_status_t ngi_onednn_kernel_md(const ngi_conv_geometry *c, ngi_md *md);

/* pass.c: the parts of a primitive. */
dnnl_status_t ngi_prim_finish(ngi_prim *prim);
void ngi_prim_clear(ngi_prim *prim);
dnnl_status_t ngi_prim_reorder(ngi_prim *prim, ngi_md_view from, ngi_md_view to);
dnnl_status_t ngi_prim_run(const ngi_prim *prim, dnnl_stream_t stream, const dnnl_exec_arg_t *args,
                           int n_args, void *scratchpad);
ngi_md_view ngi_prim_md(const ngi_prim *prim, dnnl_query_t what);

/* Around making and running primitives: the calling thread's number of OpenMP threads, and its signals held back. */
typedef struct ngi_onednn_turn {
    int threads, before;
    sigset_t signals; /* before */
} ngi_onednn_turn;

ngi_onednn_turn ngi_onednn_enter(int threads);
void ngi_onednn_leave(const ngi_onednn_turn *turn);
ng_status ngi_onednn_run_status(const char *node, dnnl_status_t status, ng_error *err);

/* Number of the calling thread in an OpenMP team, from 0. */
int ngi_onednn_thread(void);

/* The eltwise post-op of an activation; false where oneDNN has none with the same formula. */
bool ngi_fused_post_op(const ngi_activation_attr *act, dnnl_alg_kind_t *kind, float *alpha, float *beta);

#endif
