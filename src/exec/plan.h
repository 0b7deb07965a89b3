/* Inside a plan: shared by plan.c (what runs), fuse.c (steps), layout.c (where it lies) and session.c. */
#ifndef NGI_EXEC_PLAN_H
#define NGI_EXEC_PLAN_H

#include <stdatomic.h>

#include "exec/exec.h"

#define NGI_MAX_BACKENDS 5

/* A step with its kernel. Node numbers index the plan's per-node tables. */
typedef struct ngi_plan_step {
    ngi_step step;
    ngi_kernel kernel;
    int backend;                        /* index into the plan's back ends */
    int preferred;                      /* the back end that was measured to be the best; -1: not measured */
    int norm;                           /* the batch norm that is folded into the kernel; -1: none */
    float *folded_kernel, *folded_bias; /* owned; NULL where the graph's weights are used as they are */
    bool *accumulate;                   /* [n_inputs]: the backward pass adds to this gradient */
    bool backward, trains;
    ngi_kernel trainer; /* of the weight gradients, if it trains */
    int trainer_backend;
    int place;       /* of its weights' gradients (ngi_weight_grads) */
    bool place_ends; /* it is the last of a run to add something there */
} ngi_plan_step;

/* What the backward pass does, in order: a step's kernel, or passing a gradient on through a reshape. */
typedef struct ngi_backward_item {
    int step; /* -1: pass node's gradient to its input */
    int node;
    bool accumulate; /* passing on */
    uint64_t
        serves; /* a bit for each wanted node (modulo 64) that this item's gradients lead to, one for weights */
} ngi_backward_item;

struct ngi_plan {
    atomic_int references;
    const ngi_graph *graph;
    int batch, threads, root;
    int *inputs; /* [n_inputs] nodes whose activations the caller gives */
    int n_inputs;
    char *backend; /* as it was asked for */
    const ngi_backend *backends[NGI_MAX_BACKENDS];
    int n_backends;
    ngi_plan_step *steps;
    int n_steps;
    ngi_backward_item *items;
    int n_items;
    /* Per node */
    bool *given;                     /* one of `inputs` */
    bool *needed, *visible, *wanted; /* run at all; readable after a run; gradient readable */
    bool *trains;                    /* has weights whose gradient is wanted */
    bool *on_path;                   /* between a wanted node or one that trains and the root */
    int *uses, *path_uses;           /* times it is read by needed nodes, by nodes on the path */
    int *reader;                     /* the last needed node that reads it */
    int *step_of;                    /* the step that writes it; -1: none */
    int *storage;                    /* node whose block holds this one's activations */
    float *levels;                   /* a unit, of what lies as bytes; 0: float32 */
    int64_t *slice,
        *stride;       /* floats (or bytes) from there to the first pixel, and from pixel to pixel; stride 0:
                                        they follow each other */
    int *grad_storage; /* likewise for gradients; -1: no gradient */
    size_t *offset, *grad_offset; /* bytes, of storage nodes */
    size_t scratch;               /* bytes at the block's start */
    size_t bytes;                 /* of the block */
    char *kernels;
    ngi_pack *pack;      /* packed weights that kernels have borrowed; NULL: they own theirs */
    ngi_packing packing; /* while kernels are made */
    bool training;       /* some weights are trained */
    int n_places;        /* where their gradients are added */
    bool fine;           /* gradients pass many nodes' places where the derivative jumps (ngi_step.fine) */
};

/* fuse.c: makes the steps (fused, folded) and their kernels. */
ng_status ngi_plan_make_steps(ngi_plan *p, const ngi_plan_opts *o, ng_error *err);
ng_status ngi_plan_make_kernels(ngi_plan *p, ng_error *err);
/* bytes.c: sets `levels`, of the nodes and of the steps. ranges [n_nodes] or NULL. */
ng_status ngi_plan_choose_bytes(ngi_plan *p, const ngi_span *ranges, ng_error *err);
/* slice.c: whether the node's kernel, if it can, is to write straight into this concatenation of channels. */
bool ngi_plan_may_slice(const ngi_plan *p, int node, int concat);
/* slice.c: which nodes are written straight into the concatenation that reads them. */
void ngi_plan_slice(ngi_plan *p);
/* Where an activation lies in a session's block, in bytes. */
size_t ngi_plan_place(const ngi_plan *p, int node);
/* tune.c: sets `preferred` of the steps. */
void ngi_plan_read_choices(ngi_plan *p, const char *cache);
/* train.c: which nodes train, the kernels of their gradients, where these are added: steps with the same weights at one
 * place, others each at its own. */
void ngi_plan_mark_trained(ngi_plan *p, const bool *trained);
void ngi_plan_set_trained(const ngi_plan *p, ngi_plan_step *s, const bool *trained);
ng_status ngi_plan_make_trainers(ngi_plan *p, ng_error *err);
void ngi_plan_find_places(ngi_plan *p);
/* Floats of the gradients that a step that trains sums up. */
int64_t ngi_step_kernel_count(const ngi_plan_step *s);
int64_t ngi_step_bias_count(const ngi_plan_step *s);
/* Adds a step's sums to the gradients of the graph's weights, grads [n_weights] (NULL: not wanted). kernel, bias may be
 * NULL where the step does not train them. */
ng_status ngi_plan_unfold(const ngi_plan *p, const ngi_plan_step *s, const float *kernel, const float *bias,
                          float *const *grads, ng_error *err);
/* fuse.c: a step's folded weights from the graph's as they are now; the [channels] factors of a batch norm. */
ng_status ngi_plan_fold(const ngi_plan *p, ngi_plan_step *s, ng_error *err);
void ngi_norm_scale(const ngi_graph *g, const ngi_node *norm, double *scale, int64_t channels);
/* packed.c: finds the packed weights of an earlier plan of this kind; keeps this one's if anything was packed anew. */
void ngi_plan_open_pack(ngi_plan *p, const char *cache, const char *identity);
void ngi_plan_save_pack(ngi_plan *p, const char *cache, const char *identity);
#define NGI_SERVES_WEIGHTS ((uint64_t)1 << 63)
/* plan.c: the bit of a wanted node in ngi_backward_item.serves. */
uint64_t ngi_plan_wanted_bit(const ngi_plan *p, int node);
/* layout.c: lifetimes and offsets. */
ng_status ngi_plan_lay_out(ngi_plan *p, ng_error *err);

#endif
