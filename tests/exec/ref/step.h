/* One node as a step of its own, prepared and run on the reference back end. */
#ifndef NETGAZE_TESTS_STEP_H
#define NETGAZE_TESTS_STEP_H

#include "exec/net.h"

typedef struct step_case {
    ngi_step step;
    ngi_kernel kernel;
    void *scratch;
    int batch;
} step_case;

static inline step_case step_prepare(const ngi_graph *g, int node, int batch, const ngi_activation_attr *act)
{
    const ngi_node *n = &g->nodes[node];
    ng_error err = {0};
    step_case c = {.batch = batch,
                   .step = {.graph = g,
                            .node = node,
                            .root = node,
                            .op = n->op,
                            .attr = &n->attr,
                            .n_inputs = n->n_inputs,
                            .inputs = n->inputs,
                            .out_shape = &n->shape,
                            .backward = true}};
    for (int i = 0; i < n->n_inputs && i < 2; i++)
        c.step.in_shape[i] = &g->nodes[n->inputs[i]].shape;
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        c.step.w[i] = n->weights[i] < 0 ? NULL : g->weights[n->weights[i]].data;
    if (n->op == NGI_OP_CONV2D || n->op == NGI_OP_DEPTHWISE || n->op == NGI_OP_DENSE) {
        c.step.kernel = c.step.w[0];
        c.step.bias = c.step.w[1];
    }
    if (act) {
        c.step.has_act = true;
        c.step.act = *act;
    }
    CHECK_OK(ngi_backend_ref.prepare(&c.step, batch, 1, &c.kernel, &err), err);
    c.scratch = ngi_alloc_aligned(c.kernel.scratch);
    assert_non_null(c.scratch);
    return c;
}

static inline void step_free(step_case *c)
{
    c->kernel.destroy(&c->kernel);
    ngi_free_aligned(c->scratch);
}

static inline int64_t step_in_count(const step_case *c, int i)
{
    return net_count(c->step.graph, c->step.inputs[i]);
}

static inline int64_t step_out_count(const step_case *c)
{
    return ngi_shape_count(c->step.out_shape);
}

static inline void step_forward(const step_case *c, const float *const *in, float *out, int n)
{
    ng_error err = {0};
    ngi_run run = {.n = n, .in = in, .out = out, .scratch = c->scratch};
    CHECK_OK(c->kernel.forward(&c->kernel, &run, &err), err);
}

static inline void step_backward(const step_case *c, const float *const *in, float *out,
                                 const float *grad_out, float *const *grad_in, const bool *accumulate, int n)
{
    ng_error err = {0};
    ngi_run run = {.n = n,
                   .in = in,
                   .out = out,
                   .grad_out = grad_out,
                   .grad_in = grad_in,
                   .accumulate = accumulate,
                   .scratch = c->scratch};
    CHECK_OK(c->kernel.backward(&c->kernel, &run, &err), err);
}

#endif
