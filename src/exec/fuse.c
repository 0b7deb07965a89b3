/* Steps: a convolution or dense layer takes a following batch norm into its weights and a following activation into
 * its kernel, where nobody needs the value between. Kernels are asked of the back ends in turn. */
#include "exec/plan.h"

#include <math.h>
#include <string.h>

/* The only consumer of a node among the needed ones; -1: none or several. */
static int only_consumer(const ngi_plan *p, int node)
{
    return p->uses[node] == 1 ? p->reader[node] : -1;
}

/* Whether the derivative follows from the activation's output alone. Not so where a ReLU is cut at a maximum other than
 * 6: Keras passes the gradient at the maximum itself, and the output does not tell that from what was cut. */
static bool derivable(const ngi_activation_attr *a)
{
    switch (a->kind) {
    case NGI_ACT_LINEAR:
    case NGI_ACT_RELU6:
        return true;
    case NGI_ACT_LEAKY_RELU:
        return a->alpha > 0;
    case NGI_ACT_RELU:
        return a->alpha >= 0 && a->threshold == 0 && (isinf(a->max_value) || a->max_value == 6);
    default:
        return false;
    }
}

static bool has_kernel(ngi_op op)
{
    return op == NGI_OP_CONV2D || op == NGI_OP_DEPTHWISE || op == NGI_OP_DENSE;
}

static const float *weight_data(const ngi_graph *g, int weight)
{
    return weight < 0 ? NULL : g->weights[weight].data;
}

/* kernel * scale and (bias - mean) * scale + beta, in double, rounded once. */
static ng_status fold(ngi_plan_step *s, const ngi_graph *g, const ngi_node *norm, ng_error *err)
{
    const ngi_weight *kernel = &g->weights[g->nodes[s->step.root].weights[0]];
    int64_t count = ngi_shape_count(&kernel->shape),
            channels = s->step.out_shape->dim[s->step.out_shape->rank - 1];
    const float *gamma = weight_data(g, norm->weights[0]), *beta = weight_data(g, norm->weights[1]);
    const float *mean = weight_data(g, norm->weights[2]), *variance = weight_data(g, norm->weights[3]);
    s->folded_kernel = ngi_alloc_aligned((size_t)count * sizeof(float));
    s->folded_bias = ngi_alloc_aligned((size_t)channels * sizeof(float));
    double *scale = ngi_alloc((size_t)channels, sizeof *scale);
    if (!s->folded_kernel || !s->folded_bias || !scale) {
        ngi_free(scale);
        return ngi_fail_memory(err, (size_t)count * sizeof(float));
    }
    for (int64_t c = 0; c < channels; c++) {
        scale[c] = (gamma ? gamma[c] : 1.0) / sqrt((double)variance[c] + norm->attr.epsilon);
        double bias = s->step.bias ? s->step.bias[c] : 0.0;
        s->folded_bias[c] = (float)((bias - mean[c]) * scale[c] + (beta ? beta[c] : 0.0));
    }
    for (int64_t i = 0; i < count; i += channels) /* the output channel is innermost in all three layouts */
        for (int64_t c = 0; c < channels; c++)
            s->folded_kernel[i + c] = (float)(kernel->data[i + c] * scale[c]);
    ngi_free(scale);
    s->step.kernel = s->folded_kernel;
    s->step.bias = s->folded_bias;
    return NG_OK;
}

/* Takes what follows into the step; returns the last node taken in `fused`. */
static ng_status fuse(ngi_plan *p, ngi_plan_step *s, ng_error *err)
{
    const ngi_graph *g = p->graph;
    int next = p->visible[s->step.node] ? -1 : only_consumer(p, s->step.node);
    if (next >= 0 && g->nodes[next].op == NGI_OP_BATCHNORM) {
        NGI_TRY(fold(s, g, &g->nodes[next], err));
        s->step.node = next;
        next = p->visible[next] ? -1 : only_consumer(p, next);
    }
    if (next < 0 || g->nodes[next].op != NGI_OP_ACTIVATION)
        return NG_OK;
    const ngi_activation_attr *act = &g->nodes[next].attr.act;
    if (p->on_path[next] && p->on_path[s->step.inputs[0]] && !derivable(act))
        return NG_OK;
    s->step.has_act = act->kind != NGI_ACT_LINEAR;
    s->step.act = *act;
    s->step.node = next;
    return NG_OK;
}

static ng_status make_step(ngi_plan *p, int node, bool keep_unfused, ng_error *err)
{
    const ngi_graph *g = p->graph;
    const ngi_node *n = &g->nodes[node];
    ngi_plan_step *s = &p->steps[p->n_steps++];
    s->step = (ngi_step){.graph = g,
                         .node = node,
                         .root = node,
                         .op = n->op,
                         .attr = &n->attr,
                         .n_inputs = n->n_inputs,
                         .inputs = n->inputs,
                         .out_shape = &n->shape};
    s->step.act.max_value = INFINITY;
    s->accumulate = ngi_alloc_zero((size_t)n->n_inputs, sizeof *s->accumulate);
    if (!s->accumulate)
        return ngi_fail_memory(err, (size_t)n->n_inputs);
    for (int i = 0; i < n->n_inputs && i < 2; i++)
        s->step.in_shape[i] = &g->nodes[n->inputs[i]].shape;
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        s->step.w[i] = weight_data(g, n->weights[i]);
    if (has_kernel(n->op)) {
        s->step.kernel = s->step.w[0];
        s->step.bias = s->step.w[1];
        if (!keep_unfused)
            NGI_TRY(fuse(p, s, err));
    }
    for (int i = 0; i < n->n_inputs; i++)
        s->backward = s->backward || (p->on_path[s->step.node] && p->on_path[n->inputs[i]]);
    s->step.backward = s->backward;
    return NG_OK;
}

ng_status ngi_plan_make_steps(ngi_plan *p, bool keep_unfused, ng_error *err)
{
    const ngi_graph *g = p->graph;
    bool *done = ngi_alloc_zero((size_t)g->n_nodes, sizeof *done);
    p->steps = ngi_alloc_zero((size_t)g->n_nodes, sizeof *p->steps);
    if (!done || !p->steps) {
        ngi_free(done);
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *p->steps);
    }
    ng_status status = NG_OK;
    for (int i = 0; i < g->n_nodes && status == NG_OK; i++) {
        p->step_of[i] = -1;
        bool runs =
            p->needed[i] && !p->given[i] && !done[i] && p->storage[i] == i && g->nodes[i].op != NGI_OP_INPUT;
        if (!runs)
            continue;
        status = make_step(p, i, keep_unfused, err);
        /* what was fused must not run again: at most two nodes follow each other as only consumers */
        for (int last = p->steps[p->n_steps - 1].step.node; last > i; last = g->nodes[last].inputs[0])
            done[last] = true;
    }
    for (int i = 0; i < p->n_steps; i++)
        p->step_of[p->steps[i].step.node] = i;
    ngi_free(done);
    return status;
}

static ng_status make_kernel(ngi_plan *p, ngi_plan_step *s, ng_error *err)
{
    for (int b = 0; b < p->n_backends; b++) {
        ng_status status = p->backends[b]->prepare(&s->step, p->batch, p->threads, &s->kernel, err);
        if (status == NG_E_UNSUPPORTED)
            continue;
        if (status != NG_OK)
            return status;
        s->backend = b;
        if (s->kernel.packed && s->folded_kernel) {
            ngi_free_aligned(s->folded_kernel);
            s->folded_kernel = NULL;
            s->step.kernel = NULL;
        }
        return NG_OK;
    }
    return ngi_fail(err, NG_E_INTERNAL, "%s: no back end runs %s", p->graph->nodes[s->step.node].name,
                    ngi_op_name(s->step.op));
}

ng_status ngi_plan_make_kernels(ngi_plan *p, ng_error *err)
{
    for (int i = 0; i < p->n_steps; i++)
        NGI_TRY(make_kernel(p, &p->steps[i], err));
    return NG_OK;
}
