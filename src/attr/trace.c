#include "attr/trace.h"

#include <stdio.h>
#include <string.h>

ng_status ngi_trace_create(const ngi_attr_job *job, const float *input, int n, ngi_trace *out, ng_error *err)
{
    const ngi_graph *g = job->graph;
    *out = (ngi_trace){0};
    int *nodes = ngi_alloc((size_t)g->n_nodes, sizeof *nodes);
    if (!nodes)
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *nodes);
    for (int i = 0; i < g->n_nodes; i++)
        nodes[i] = i;
    ngi_plan_opts opts = {.batch = n,
                          .threads = job->threads > 0 ? job->threads : 1,
                          .backend = ngi_pool_backend(job->pool),
                          .taps = nodes,
                          .n_taps = g->n_nodes,
                          .root = job->head->logits,
                          .keep_unfused = true};
    ng_status status = ngi_plan_create(g, &opts, &out->plan, err);
    if (status == NG_OK)
        status = ngi_run_session_create(out->plan, &out->run, err);
    if (status == NG_OK)
        status = ngi_run_forward(out->run, &input, n, err);
    ngi_free(nodes);
    if (status != NG_OK)
        ngi_trace_clear(out);
    return status;
}

void ngi_trace_clear(ngi_trace *t)
{
    ngi_run_session_free(t->run);
    ngi_plan_free(t->plan);
    *t = (ngi_trace){0};
}

const float *ngi_trace_of(const ngi_trace *t, const ngi_graph *g, int node, int index)
{
    return ngi_run_activation(t->run, node) + index * ngi_shape_count(&g->nodes[node].shape);
}

/* ---- Single nodes ----------------------------------------------------------------------------- */

static ng_status copy_weight(const ngi_graph *from, int weight, const float *values, ngi_graph *to,
                             int *index, ng_error *err)
{
    const ngi_weight *w = &from->weights[weight];
    size_t bytes = (size_t)ngi_shape_count(&w->shape) * sizeof(float);
    float *data = ngi_alloc_aligned(bytes);
    if (!data)
        return ngi_fail_memory(err, bytes);
    memcpy(data, values ? values : w->data, bytes);
    ng_status status = ngi_graph_add_weight(to, w->name, &w->shape, false, data, index, err);
    if (status != NG_OK)
        ngi_free_aligned(data);
    return status;
}

static ng_status add_bias(const ngi_node *n, const float *values, ngi_graph *to, int *index, ng_error *err)
{
    ngi_shape shape = ngi_shape_of(1, n->shape.dim[n->shape.rank - 1]);
    size_t bytes = (size_t)shape.dim[0] * sizeof(float);
    float *data = ngi_alloc_aligned(bytes);
    if (!data)
        return ngi_fail_memory(err, bytes);
    memcpy(data, values, bytes);
    ng_status status = ngi_graph_add_weight(to, "bias", &shape, false, data, index, err);
    if (status != NG_OK)
        ngi_free_aligned(data);
    return status;
}

static ng_status add_inputs(const ngi_graph *g, const ngi_node *n, ngi_graph *to, int *inputs, ng_error *err)
{
    to->inputs = ngi_alloc((size_t)n->n_inputs, sizeof *to->inputs);
    to->outputs = ngi_alloc(1, sizeof *to->outputs);
    if (!to->inputs || !to->outputs)
        return ngi_fail_memory(err, (size_t)n->n_inputs * sizeof *inputs);
    ngi_attr plain;
    ngi_attr_init(&plain);
    for (int i = 0; i < n->n_inputs; i++) {
        char name[32];
        snprintf(name, sizeof name, "input_%d", i);
        NGI_TRY(ngi_graph_add_node(to, name, NGI_OP_INPUT, &plain, 0, NULL, 0, NULL, &inputs[i], err));
        to->nodes[inputs[i]].shape = g->nodes[n->inputs[i]].shape;
        to->inputs[to->n_inputs++] = inputs[i];
    }
    return NG_OK;
}

static ng_status build(const ngi_attr_job *job, int node, const float *kernel, const float *bias,
                       bool has_bias, int *inputs, ngi_single *s, ng_error *err)
{
    const ngi_graph *g = job->graph;
    const ngi_node *n = &g->nodes[node];
    int weights[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1}, layer;
    NGI_TRY(ngi_graph_create(&s->graph, err));
    NGI_TRY(ngi_graph_add_layer(s->graph, n->name, "Single", false, &layer, err));
    NGI_TRY(add_inputs(g, n, s->graph, inputs, err));
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        if (n->weights[i] >= 0)
            NGI_TRY(copy_weight(g, n->weights[i],
                                i == 0   ? kernel
                                : i == 1 ? bias
                                         : NULL,
                                s->graph, &weights[i], err));
    if (has_bias && weights[1] < 0)
        NGI_TRY(add_bias(n, bias, s->graph, &weights[1], err));
    NGI_TRY(ngi_graph_add_node(s->graph, n->name, n->op, &n->attr, 0, inputs, n->n_inputs, weights, &s->node,
                               err));
    s->graph->outputs[s->graph->n_outputs++] = s->node;
    NGI_TRY(ngi_graph_infer(s->graph, err));
    ngi_plan_opts opts = {.batch = 1,
                          .threads = job->threads > 0 ? job->threads : 1,
                          .backend = ngi_pool_backend(job->pool),
                          .grads = s->graph->inputs,
                          .n_grads = n->n_inputs,
                          .root = s->node,
                          .keep_unfused = true};
    NGI_TRY(ngi_plan_create(s->graph, &opts, &s->plan, err));
    return ngi_run_session_create(s->plan, &s->run, err);
}

ng_status ngi_single_create(const ngi_attr_job *job, int node, const float *kernel, const float *bias,
                            bool has_bias, ngi_single *out, ng_error *err)
{
    *out = (ngi_single){0};
    int *inputs = ngi_alloc((size_t)job->graph->nodes[node].n_inputs, sizeof *inputs);
    if (!inputs)
        return ngi_fail_memory(err, sizeof *inputs);
    ng_status status = build(job, node, kernel, bias, has_bias, inputs, out, err);
    ngi_free(inputs);
    if (status != NG_OK)
        ngi_single_clear(out);
    return status;
}

void ngi_single_clear(ngi_single *s)
{
    ngi_run_session_free(s->run);
    ngi_plan_free(s->plan);
    ngi_graph_free(s->graph);
    *s = (ngi_single){0};
}

ng_status ngi_single_forward(ngi_single *s, const float *const *in, const float **out, ng_error *err)
{
    NGI_TRY(ngi_run_forward(s->run, in, 1, err));
    *out = ngi_run_activation(s->run, s->node);
    return NG_OK;
}

ng_status ngi_single_backward(ngi_single *s, const float *seed, ng_error *err)
{
    return ngi_run_backward(s->run, seed, 1, -1, err);
}

const float *ngi_single_gradient(const ngi_single *s, int input)
{
    return ngi_run_gradient(s->run, s->graph->inputs[input]);
}
