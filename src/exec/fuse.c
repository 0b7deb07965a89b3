/* Steps: a convolution or dense layer takes a following batch norm into its weights and a following activation into
 * its kernel, where nobody needs the value between. Kernels are asked of the back ends in turn. */
#include "exec/plan.h"

#include <math.h>
#include <stdio.h>
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

/* The factor of each channel, gamma / sqrt(variance + epsilon): [channels]. */
void ngi_norm_scale(const ngi_graph *g, const ngi_node *norm, double *scale, int64_t channels)
{
    const float *gamma = weight_data(g, norm->weights[0]), *variance = weight_data(g, norm->weights[3]);
    for (int64_t c = 0; c < channels; c++)
        scale[c] = (gamma ? gamma[c] : 1.0) / sqrt((double)variance[c] + norm->attr.epsilon);
}

static double *make_scale(const ngi_plan_step *s, const ngi_graph *g, int64_t *channels, ng_error *err)
{
    *channels = s->step.out_shape->dim[s->step.out_shape->rank - 1];
    double *scale = ngi_alloc((size_t)*channels, sizeof *scale);
    if (scale)
        ngi_norm_scale(g, &g->nodes[s->norm], scale, *channels);
    else
        (void)ngi_fail_memory(err, (size_t)*channels * sizeof *scale);
    return scale;
}

/* (bias - mean) * scale + beta, in double, rounded once. */
static ng_status fold_bias(ngi_plan_step *s, const ngi_graph *g, ng_error *err)
{
    const ngi_node *norm = &g->nodes[s->norm];
    const float *beta = weight_data(g, norm->weights[1]), *mean = weight_data(g, norm->weights[2]);
    const float *own = s->step.w[1];
    int64_t channels;
    double *scale = make_scale(s, g, &channels, err);
    if (!scale)
        return NG_E_MEMORY;
    if (!s->folded_bias)
        s->folded_bias = ngi_alloc_aligned((size_t)channels * sizeof(float));
    for (int64_t c = 0; c < channels && s->folded_bias; c++) {
        double bias = own ? own[c] : 0.0;
        s->folded_bias[c] = (float)((bias - mean[c]) * scale[c] + (beta ? beta[c] : 0.0));
    }
    ngi_free(scale);
    s->step.bias = s->folded_bias;
    return s->folded_bias ? NG_OK : ngi_fail_memory(err, (size_t)channels * sizeof(float));
}

/* kernel * scale, in double, rounded once. */
static ng_status fold_kernel(ngi_plan_step *s, const ngi_graph *g, ng_error *err)
{
    const ngi_weight *kernel = &g->weights[g->nodes[s->step.root].weights[0]];
    int64_t count = ngi_shape_count(&kernel->shape), channels;
    double *scale = make_scale(s, g, &channels, err);
    if (!scale)
        return NG_E_MEMORY;
    if (!s->folded_kernel)
        s->folded_kernel = ngi_alloc_aligned((size_t)count * sizeof(float));
    /* the output channel is innermost in all three layouts */
    for (int64_t i = 0; i < count && s->folded_kernel; i += channels)
        for (int64_t c = 0; c < channels; c++)
            s->folded_kernel[i + c] = (float)(kernel->data[i + c] * scale[c]);
    ngi_free(scale);
    s->step.kernel = s->folded_kernel;
    return s->folded_kernel ? NG_OK : ngi_fail_memory(err, (size_t)count * sizeof(float));
}

ng_status ngi_plan_fold(const ngi_plan *p, ngi_plan_step *s, ng_error *err)
{
    if (s->norm < 0)
        return NG_OK;
    NGI_TRY(fold_bias(s, p->graph, err));
    return fold_kernel(s, p->graph, err);
}

/* Takes what follows into the step; returns the last node taken in `fused`. */
static ng_status fuse(ngi_plan *p, ngi_plan_step *s, ng_error *err)
{
    const ngi_graph *g = p->graph;
    int next = p->visible[s->step.node] ? -1 : only_consumer(p, s->step.node);
    if (next >= 0 && g->nodes[next].op == NGI_OP_BATCHNORM) {
        s->norm = next;
        NGI_TRY(fold_bias(s, g, err));
        s->step.node = next;
        next = p->visible[next] ? -1 : only_consumer(p, next);
    }
    if (next < 0 || g->nodes[next].op != NGI_OP_ACTIVATION)
        return NG_OK;
    const ngi_activation_attr *act = &g->nodes[next].attr.act;
    bool back =
        p->on_path[s->step.inputs[0]] || p->trains[s->step.root] || (s->norm >= 0 && p->trains[s->norm]);
    if (p->on_path[next] && back && !derivable(act))
        return NG_OK;
    s->step.has_act = act->kind != NGI_ACT_LINEAR;
    s->step.act = *act;
    s->step.node = next;
    return NG_OK;
}

/* The convolution that is the only one to read this mean's result, where nobody else wants to know that; -1: none.
 * A mean over pixels and a sum over channels can change places. */
static int conv_behind_mean(const ngi_plan *p, int node)
{
    int next = p->graph->nodes[node].op == NGI_OP_AVG_POOL && !p->visible[node] ? only_consumer(p, node) : -1;
    bool conv = next >= 0 && p->graph->nodes[next].op == NGI_OP_CONV2D && !p->on_path[next];
    return conv ? next : -1;
}

/* Whether the first back end takes the step with this pool; the step has it then. */
static bool takes_pool(const ngi_plan *p, ngi_step *step, const ngi_node *pool, const ngi_shape *in)
{
    const ngi_backend *b = p->backends[0];
    ngi_step asked = *step;
    asked.pool = pool;
    asked.pool_in = *in;
    asked.out_shape = &p->graph->nodes[asked.node].shape;
    if (!b->pools || !b->pools(&asked))
        return false;
    *step = asked;
    return true;
}

/* A step that ends in a convolution's activation takes the maximum behind it. */
static void fuse_maximum(ngi_plan *p, ngi_plan_step *s)
{
    const ngi_graph *g = p->graph;
    int end = s->step.node, next = p->visible[end] ? -1 : only_consumer(p, end);
    if (s->step.op != NGI_OP_CONV2D || next < 0 || g->nodes[next].op != NGI_OP_MAX_POOL || p->on_path[next])
        return;
    s->step.node = next;
    if (!takes_pool(p, &s->step, &g->nodes[next], &g->nodes[end].shape))
        s->step.node = end;
}

static void set_range(ngi_step *step, const ngi_span *ranges)
{
    if (!ranges || !step->n_inputs)
        return;
    step->in_low = ranges[step->inputs[0]].low;
    step->in_high = ranges[step->inputs[0]].high;
}

/* A step of a mean and the convolution behind it; false, and nothing done, where they stay apart. */
static bool start_with_mean(const ngi_plan *p, int mean, const ngi_span *ranges, ngi_plan_step *s)
{
    const ngi_graph *g = p->graph;
    int conv = conv_behind_mean(p, mean);
    if (conv < 0)
        return false;
    const ngi_node *n = &g->nodes[conv], *pool = &g->nodes[mean];
    const ngi_shape *in = &g->nodes[pool->inputs[0]].shape;
    ngi_step step = {.graph = g,
                     .node = conv,
                     .root = conv,
                     .op = n->op,
                     .attr = &n->attr,
                     .n_inputs = 1,
                     .inputs = pool->inputs,
                     .in_shape = {in}};
    set_range(&step, ranges);
    ngi_shape sums = *in; /* of a 1x1 kernel, the only one that takes it */
    sums.dim[sums.rank - 1] = n->shape.dim[n->shape.rank - 1];
    if (!takes_pool(p, &step, pool, &sums))
        return false;
    s->step = step;
    return true;
}

static ng_status make_step(ngi_plan *p, int node, const ngi_plan_opts *o, ng_error *err)
{
    const ngi_graph *g = p->graph;
    const ngi_node *n = &g->nodes[node];
    ngi_plan_step *s = &p->steps[p->n_steps++];
    if (!o->keep_unfused && start_with_mean(p, node, o->ranges, s))
        n = &g->nodes[s->step.root];
    else
        s->step = (ngi_step){.graph = g,
                             .node = node,
                             .root = node,
                             .op = n->op,
                             .attr = &n->attr,
                             .n_inputs = n->n_inputs,
                             .inputs = n->inputs,
                             .out_shape = &n->shape};
    s->norm = s->preferred = -1;
    s->step.act.max_value = INFINITY;
    s->accumulate = ngi_alloc_zero((size_t)n->n_inputs, sizeof *s->accumulate);
    if (!s->accumulate)
        return ngi_fail_memory(err, (size_t)n->n_inputs);
    for (int i = 0; i < s->step.n_inputs && i < 2; i++)
        s->step.in_shape[i] = &g->nodes[s->step.inputs[i]].shape;
    set_range(&s->step, o->ranges);
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        s->step.w[i] = weight_data(g, n->weights[i]);
    if (has_kernel(n->op)) {
        s->step.kernel = s->step.w[0];
        s->step.bias = s->step.w[1];
        if (!o->keep_unfused) {
            NGI_TRY(fuse(p, s, err));
            if (!s->step.pool)
                fuse_maximum(p, s);
        }
    }
    for (int i = 0; i < n->n_inputs; i++)
        s->backward = s->backward || (p->on_path[s->step.node] && p->on_path[s->step.inputs[i]]);
    s->step.backward = s->backward;
    s->step.fine = p->fine && (p->on_path[s->step.node] ||
                               !p->training); /* what is frozen is mostly run without a gradient */
    ngi_plan_set_trained(p, s, o->trained);
    return NG_OK;
}

ng_status ngi_plan_make_steps(ngi_plan *p, const ngi_plan_opts *o, ng_error *err)
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
        status = make_step(p, i, o, err);
        /* what was fused must not run again: these nodes follow each other as only consumers */
        for (int last = p->steps[p->n_steps - 1].step.node; last > i; last = g->nodes[last].inputs[0])
            done[last] = true;
    }
    for (int i = 0; i < p->n_steps; i++)
        p->step_of[p->steps[i].step.node] = i;
    ngi_free(done);
    return status;
}

static ng_status ask_backends(ngi_plan *p, ngi_plan_step *s, ng_error *err)
{
    for (int i = s->preferred >= 0 ? -1 : 0; i < p->n_backends; i++) {
        int b = i < 0 ? s->preferred : i;
        ng_status status = p->backends[b]->prepare(&s->step, p->batch, p->threads, &s->kernel, err);
        s->backend = b;
        if (status != NG_E_UNSUPPORTED)
            return status;
    }
    return ngi_fail(err, NG_E_INTERNAL, "%s: no back end runs %s", p->graph->nodes[s->step.node].name,
                    ngi_op_name(s->step.op));
}

#define FOLDED "folded" /* a kernel with its batch norm, where the back end uses it as it is */

static size_t kernel_bytes(const ngi_plan *p, const ngi_plan_step *s)
{
    return (size_t)ngi_shape_count(&p->graph->weights[p->graph->nodes[s->step.root].weights[0]].shape) *
           sizeof(float);
}

/* A kernel is folded only if nobody has it in another form. */
static ng_status make_kernel(ngi_plan *p, ngi_plan_step *s, ng_error *err)
{
    ngi_packing *packing = s->step.packing; /* NULL without a cache */
    char owner[48];
    snprintf(owner, sizeof owner, "%d-%d", s->step.root, s->step.node);
    p->packing.owner = owner;
    if (s->norm >= 0)
        s->step.kernel = ngi_packing_find(packing, FOLDED, kernel_bytes(p, s));
    if (s->norm >= 0 && !s->step.kernel && !p->pack)
        NGI_TRY(fold_kernel(s, p->graph, err));
    ng_status status = ask_backends(p, s, err);
    if (status == NG_E_NOT_FOUND && s->norm >= 0 && !s->step.kernel) {
        NGI_TRY(fold_kernel(s, p->graph, err));
        status = ask_backends(p, s, err);
    }
    s->step.packing = NULL;
    NGI_TRY(status);
    if (s->kernel.packed && s->folded_kernel && !s->trains) {
        ngi_free_aligned(s->folded_kernel);
        s->folded_kernel = NULL;
        s->step.kernel = NULL;
    } else if (s->folded_kernel)
        ngi_packing_keep(packing, FOLDED, s->folded_kernel, kernel_bytes(p, s));
    p->packing.owner = NULL;
    return NG_OK;
}

ng_status ngi_plan_make_kernels(ngi_plan *p, ng_error *err)
{
    for (int i = 0; i < p->n_steps; i++)
        NGI_TRY(make_kernel(p, &p->steps[i], err));
    return NG_OK;
}
