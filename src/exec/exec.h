/* Execution: a plan (what runs in which order, where every activation and gradient lies in one block of
 * memory, which kernel does each step) and sessions that run it.
 *
 * A plan is immutable after it was made, holds the packed weights, and is shared by sessions (counted).
 * A session owns the block and the back ends' per-thread objects; one thread at a time uses it. */
#ifndef NGI_EXEC_H
#define NGI_EXEC_H

#include "nn/graph.h"

/* ---- Steps and kernels: the seam for back ends ---------------------------------------------- */

/* One operation to run: a node, or a convolution/dense with what was fused into it. A back end reads
 * this, not the node, so that fusing is done once. Pointers live as long as the plan. */
typedef struct ngi_step {
    const ngi_graph *graph;
    int node;  /* the node whose output this step writes (the last of the fused ones) */
    int root;  /* the node that names the operation: CONV2D, DENSE, ... (== node if nothing is fused) */
    ngi_op op; /* of root */
    const ngi_attr *attr; /* of root */
    int n_inputs;
    const int *inputs;            /* nodes read */
    const ngi_shape *in_shape[2]; /* of the first two inputs, without batch */
    const ngi_shape *out_shape;
    /* Convolution, depthwise, dense: kernel with a following batch norm folded in (double arithmetic,
     * rounded once); bias NULL if none. Other ops: their weights as they are in w. */
    const float *kernel, *bias;
    const float *w[NGI_NODE_WEIGHTS];
    float in_low, in_high; /* what inputs[0] was seen to lie in (ngi_plan_opts.ranges); 0, 0: not known */
    float in_levels,
        out_levels; /* of inputs[0] and of the output where they lie as bytes: levels a unit. 0: float32 */
    bool has_act;
    ngi_activation_attr act; /* fused after the bias; linear if has_act is false */
    /* A pool fused with a convolution, forward only: it comes behind the kernel's sums and before bias and activation,
     * which is the same for a maximum over what follows (both are monotone), and for a mean over what stands before a 1x1
     * kernel (both are linear, one over pixels, one over channels). NULL: none. */
    const ngi_node *pool;
    ngi_shape pool_in; /* what the kernel's sums are, the pool's input */
    bool backward;     /* the gradient to inputs[0] (and the others that need one) is wanted */
    bool
        fine; /* a gradient of this run passes relus or maxima, whose derivative jumps: kernels as exact as float32 allows */
    bool trains_kernel,
        trains_bias; /* the gradient of `kernel` (BATCHNORM: of its scale), of `bias` (its offset) is */
    /* Where weights in a kernel's own order are found and left, during `prepare` only; NULL: nowhere. `kernel` may be
     * NULL then, and `prepare` returns NG_E_NOT_FOUND (quietly) if it does not find what it needs: it is
     * asked again with the kernel there. */
    ngi_packing *packing;
} ngi_step;

/* Pixels [y0,y1) x [x0,x1) of a map (rect.h). */
typedef struct ngi_rect {
    int64_t y0, y1, x0, x1;
} ngi_rect;

/* What a kernel sees when it runs. Blocks do not overlap unless stated. n images. What lies as bytes (ngi_step.in_levels,
 * out_levels) is uint8_t, and counted in bytes where it says floats. */
typedef struct ngi_run {
    int n;
    const float *const *in; /* [n_inputs] activations, [n] + shape. Backward: kept only for the ops that
                               ngi_op_backward_reads names, else overwritten by then */
    int64_t
        out_stride; /* forward, of a kernel that says `strided`: floats between pixels of out; 0: channels */
    float *out;     /* [n] + out_shape. Backward: the forward's output, to be read only
                               where ngi_op_backward_reads names it or an activation is fused */
    /* Forward, of a kernel with `reach`: [n] what of out is wanted, none of an image where that is empty; NULL: all. */
    const ngi_rect *parts;
    const float *grad_out;  /* backward: dS/d(out), after the fused activation: the kernel applies its
                               derivative, which follows from `out` (ngi_activate_grad with x = out) */
    float *const *grad_in;  /* backward: [n_inputs], NULL where no gradient is wanted. Overwritten, except
                               where accumulate[i] is set: then added to. A node read twice has the same
                               block twice, the later one with accumulate: write in order */
    const bool *accumulate; /* [n_inputs] */
    bool activated;         /* backward: grad_out is before the fused activation already */
    float *grad_kernel,
        *grad_bias; /* a trainer's run: dS/d(step->kernel), dS/d(step->bias), overwritten; NULL: not wanted */
    void *scratch;  /* >= the kernel's scratch bytes, 64-byte aligned */
    void *context;  /* the back end's per-session object */
} ngi_run;

/* What an op's backward needs of the forward besides its weights. */
typedef struct ngi_backward_reads {
    bool in, out;
} ngi_backward_reads;
ngi_backward_reads ngi_op_backward_reads(ngi_op op);

typedef struct ngi_kernel {
    void *state;    /* the back end's: primitives, packed weights */
    bool packed;    /* it has its own copy of step->kernel: the plan may free a folded one (bias and
                            w stay) */
    char name[64];  /* "ref", "brgconv:avx512_core": shown to the user */
    bool strided;   /* its forward can write pixels apart from each other */
    size_t scratch; /* bytes wanted in ngi_run.scratch */
    ng_status (*forward)(const struct ngi_kernel *k, const ngi_run *run, ng_error *err);
    ng_status (*backward)(const struct ngi_kernel *k, const ngi_run *run, ng_error *err);
    /* Of a kernel whose forward can make a part of a map, to the bytes that a whole run has there: widens *out, not empty, to
     * what is made then, and returns what is read for it, of every input. NULL: it makes whole maps only. */
    ngi_rect (*reach)(const struct ngi_kernel *k, ngi_rect *out);
    /* With `reach`: what of out may have other bytes where inputs differ in this rectangle, not empty. With a transform that
     * is more than the windows that meet it: all outputs of a tile are rounded together. */
    ngi_rect (*spread)(const struct ngi_kernel *k, ngi_rect in);
    /* Of a step that trains: its weights have other values now. NULL where they are used in place. */
    ng_status (*update)(struct ngi_kernel *k, const float *kernel, const float *bias, ng_error *err);
    void (*destroy)(struct ngi_kernel *k);
} ngi_kernel;

/* What of a step a back end can take as bytes. */
enum { NGI_READS_BYTES = 1, NGI_WRITES_BYTES = 2 };

typedef struct ngi_backend {
    const char *name;
    bool (*usable)(void); /* on this processor; a plan's list goes without it where it is not. NULL: always */
    /* Makes a kernel for one step at batch <= `batch`, `threads` threads. Returns NG_E_UNSUPPORTED
     * (quietly, without touching err) to pass the step to the next back end in the list. */
    ng_status (*prepare)(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err);
    /* Whether `prepare` would take this step with its pool. NULL: none. */
    bool (*pools)(const ngi_step *step);
    /* What it can read and write as bytes if it is asked to `prepare` this step so, which it then must do. NULL: nothing. */
    int (*bytes)(const ngi_step *step);
    /* Makes the kernel of a step's weight gradients, whose `backward` writes them and reads in, grad_out (activated).
     * May be NULL. */
    ng_status (*prepare_trainer)(const ngi_step *step, int batch, int threads, ngi_kernel *out,
                                 ng_error *err);
    /* Per-session object; may be NULL functions. */
    ng_status (*context_create)(int threads, void **out, ng_error *err);
    void (*context_free)(void *context);
} ngi_backend;

/* native_2d: what of native is quicker than bf16. */
extern const ngi_backend ngi_backend_native, ngi_backend_native_2d, ngi_backend_int8, ngi_backend_onednn,
    ngi_backend_onednn_bf16, ngi_backend_onednn_int8, ngi_backend_ref;
/* "auto": native, onednn, then ref. "onednn": onednn, then ref (for what it has no kernel for). "ref": ref only. */
const ngi_backend *const *ngi_backends_find(const char *name, ng_error *err); /* NULL-terminated list */

/* Version of oneDNN in use ("2.6.3") and the instruction set it settled on ("avx512_core"). Static texts. */
const char *ngi_onednn_version(void);
const char *ngi_onednn_isa(void);
/* The instruction set of our own kernels ("avx2"). Static. */
const char *ngi_native_isa_name(void);

/* ---- Plans ----------------------------------------------------------------------------------- */

typedef struct ngi_plan ngi_plan;

typedef struct ngi_span {
    float low, high;
} ngi_span;

typedef struct ngi_plan_opts {
    int batch, threads;
    const char *backend; /* NULL: "auto" */
    const int *taps;     /* nodes whose activations stay readable after a run */
    int n_taps;
    const int *grads; /* nodes whose gradient is wanted; their activations stay readable too */
    int n_grads;
    int root; /* node whose gradient the caller seeds (the logits, or the output) */
    /* A part of the network: these nodes are given by the caller instead of the graph's inputs, and only what lies
     * between them and the taps, gradients and root runs. They must cut: no way may lead around them. */
    const int *starts;
    int n_starts; /* 0: the graph's inputs */
    /* Packed weights are kept in this folder and found there by the next plan of the same kind; `identity` names the
     * graph's weights. Which kernels were measured to be the best (tune.h) is read from it too. NULL: neither. */
    const char *cache, *identity;
    const bool *trained; /* [n_weights]: these change between runs, their gradients are wanted. NULL: none */
    const ngi_span *ranges; /* [n_nodes] of activations, for 8-bit kernels; NULL: not known, there are none */
    bool keep_unfused;      /* no batch norm or activation is fused: for tests */
} ngi_plan_opts;

NG_NODISCARD ng_status ngi_plan_create(const ngi_graph *g, const ngi_plan_opts *opts, ngi_plan **out,
                                       ng_error *err);
void ngi_plan_free(ngi_plan *p);       /* drops one reference */
ngi_plan *ngi_plan_share(ngi_plan *p); /* one more reference; returns p */
int ngi_plan_batch(const ngi_plan *p);
const char *ngi_plan_backend(const ngi_plan *p); /* as it was asked for: "auto" */
size_t ngi_plan_bytes(const ngi_plan *p);        /* of a session's block */
const char *ngi_plan_kernels(const ngi_plan *p); /* "name\tkernel\n" per step */
/* Takes up the graph's trained weights as they are now. No session may be running. */
NG_NODISCARD ng_status ngi_plan_update(ngi_plan *p, ng_error *err);
/* The same of one step, several of them at a time by several threads. */
int ngi_plan_steps(const ngi_plan *p);
NG_NODISCARD ng_status ngi_plan_update_step(ngi_plan *p, int step, ng_error *err);

/* ---- Runs ------------------------------------------------------------------------------------ */

typedef struct ngi_run_session ngi_run_session;

NG_NODISCARD ng_status ngi_run_session_create(ngi_plan *p, ngi_run_session **out, ng_error *err);
void ngi_run_session_free(ngi_run_session *s);
/* inputs[i]: [n] + shape of graph->inputs[i], or of the plan's starts[i]; read during the call only. n <= batch. */
NG_NODISCARD ng_status ngi_run_forward(ngi_run_session *s, const float *const *inputs, int n, ng_error *err);
/* The activations of one image's run, for others near it. inputs as for ngi_run_forward. The session's own are used up. */
typedef struct ngi_base ngi_base;
NG_NODISCARD ng_status ngi_base_create(ngi_run_session *s, const float *const *inputs, ngi_base **out,
                                       ng_error *err);
void ngi_base_free(ngi_base *b);
/* ngi_run_forward, to the same bytes: where an image is the base's to the last bit outside of a rectangle, only what depends on
 * the rectangle is computed. Runs whole where more than the share `most` of a whole run's arithmetic would be left. The base is
 * of a session of the same plan. Afterwards there is no backward, and nothing is known of an overflow. */
NG_NODISCARD ng_status ngi_run_forward_near(ngi_run_session *s, const ngi_base *b, double most,
                                            const float *const *inputs, int n, ng_error *err);
/* Whether a number of the last forward left float32's range: then there may have been infinities, and what is not a number
 * where a kernel's relu made 0 of it. Computing exponentials may raise it too. */
bool ngi_run_overflowed(const ngi_run_session *s);
/* native/overflow.c: the threads' flags. */
void ngi_overflow_clear(int threads);
bool ngi_overflow_seen(int threads);
/* Gradient of S = sum(seed * root activation): seed [n] + root shape. After it ngi_run_gradient(node) is
 * readable for node `to`, one of `grads`; -1: for all of them. The forward's activations must be those of the same n
 * images; may be called again with another seed without a new forward. Only steps between root and `to` run. */
NG_NODISCARD ng_status ngi_run_backward(ngi_run_session *s, const float *seed, int n, int to, ng_error *err);

/* What a ReLU (of any maximum, without slope) does with the gradient that comes to it. */
typedef enum ngi_relu_rule {
    NGI_RELU_GRADIENT, /* g * [x > 0] */
    NGI_RELU_GUIDED,   /* g * [x > 0] * [g > 0]: guided backpropagation, Springenberg et al. 2015 */
    NGI_RELU_DECONV,   /* g * [g > 0]: deconvnet, Zeiler and Fergus 2014 */
} ngi_relu_rule;

/* ngi_run_backward under another rule; the gradient read at a ReLU's own output is what the rule let through. */
NG_NODISCARD ng_status ngi_run_backward_rule(ngi_run_session *s, const float *seed, int n, int to,
                                             ngi_relu_rule rule, ng_error *err);
/* The same for one image of the last forward, 0 the first; seed: root shape. The gradient stands where the backward pass of
 * all images would leave it; those of other images are not defined. */
NG_NODISCARD ng_status ngi_run_backward_image(ngi_run_session *s, const float *seed, int image, int to,
                                              ngi_relu_rule rule, ng_error *err);
/* Where a run adds the gradients of trained weights: grads[i] has the shape of the graph's weight i, NULL where it is not
 * wanted. Runs of several sessions that share grads are told by `take` and `pass` (NULL: none) when something is about to be
 * added at a place, of ngi_plan_places, and when all has been. A gradient has one place, and all runs come by the places in
 * the same order. */
typedef struct ngi_weight_grads {
    float *const *grads;
    void (*take)(void *context, int place);
    void (*pass)(void *context, int place);
    void *context;
} ngi_weight_grads;

int ngi_plan_places(const ngi_plan *p);
/* ngi_run_backward to all nodes and to the trained weights. */
NG_NODISCARD ng_status ngi_run_train(ngi_run_session *s, const float *seed, int n, const ngi_weight_grads *to,
                                     ng_error *err);
/* Of a tap, a `grads` node, an output or the root; else NULL. */
const float *ngi_run_activation(const ngi_run_session *s, int node);
const float *ngi_run_gradient(const ngi_run_session *s, int node); /* NULL if not in grads */

#endif
