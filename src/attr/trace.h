/* Going back through a network node by node, by rules of one's own: all activations of one or more inputs, and a runner
 * for the operation of one node, with other weights if wanted. */
#ifndef NGI_TRACE_H
#define NGI_TRACE_H

#include "attr/attr.h"

/* Activations of every node for n inputs. */
typedef struct ngi_trace {
    ngi_plan *plan;
    ngi_run_session *run;
} ngi_trace;

/* input [n,h,w,c]: of a model with one input. */
NG_NODISCARD ng_status ngi_trace_create(const ngi_attr_job *job, const float *input, int n, ngi_trace *out,
                                        ng_error *err);
void ngi_trace_clear(ngi_trace *t);
/* Of image `index`. */
const float *ngi_trace_of(const ngi_trace *t, const ngi_graph *g, int node, int index);

/* One node as a network of its own. */
typedef struct ngi_single {
    ngi_graph *graph;
    ngi_plan *plan;
    ngi_run_session *run;
    int node; /* in the small graph */
} ngi_single;

/* kernel, bias: in place of the node's first two weights, of their sizes; NULL: the node's own. A node without a bias may
 * be given one where has_bias is set (a folded batch norm's). */
NG_NODISCARD ng_status ngi_single_create(const ngi_attr_job *job, int node, const float *kernel,
                                         const float *bias, bool has_bias, ngi_single *out, ng_error *err);
void ngi_single_clear(ngi_single *s);
/* in [n_inputs] without batch; *out is borrowed. */
NG_NODISCARD ng_status ngi_single_forward(ngi_single *s, const float *const *in, const float **out,
                                          ng_error *err);
/* The gradients of sum(seed * out) at the inputs, after a forward: ngi_single_gradient gives each. */
NG_NODISCARD ng_status ngi_single_backward(ngi_single *s, const float *seed, ng_error *err);
const float *ngi_single_gradient(const ngi_single *s, int input);

#endif
