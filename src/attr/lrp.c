/* Layer-wise relevance propagation (Bach et al., 2015; presets after Montavon et al., 2019, and Kohlbrenner et al., 2020). The
 * score is led back to the pixels: each layer shares its output's relevance among its inputs by what they contributed, by the
 * rules of lrp_rules.h where it has weights. A batch norm behind a convolution is folded into it first. ReLUs pass relevance
 * on; maxima give it to the winner; sums and means share it as epsilon does; of a product the first factor, the signal, gets it
 * all. Biases keep their share, as they do in zennit, so that the map's sum is the score less what biases took. */
#include "attr/lrp_rules.h"
#include "attr/reduce.h"
#include "attr/trace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EPSILON_PLUS_FLAT, EPSILON_PLUS, EPSILON_GAMMA, EPSILON_ALPHA_BETA, EPSILON };
static const ng_method_parameter parameters[] = {
    {.name = "preset",
     .choices = "epsilon-plus-flat|epsilon-plus|epsilon-gamma|epsilon-alpha2-beta1|epsilon",
     .summary = "rule of dense layers, of convolutions, of the first convolution (zennit's composites)"},
    {.name = "epsilon",
     .value = 1e-6,
     .low = 1e-12,
     .high = 1,
     .summary = "that keeps divisions apart from zero"},
    {.name = "gamma",
     .value = 0.25,
     .low = 0,
     .high = 100,
     .summary = "weight of what spoke for, of rule gamma"},
    {.name = "reduce", .choices = NGI_REDUCE_CHOICES, .summary = "how a pixel's channels become one number"},
};

extern const ngi_method ngi_method_lrp;

typedef struct propagation {
    const ngi_attr_job *job;
    const ngi_graph *g;
    ngi_trace trace;
    float **relevance; /* [n_nodes], NULL where none has come yet */
    int preset;
    double epsilon, gamma;
} propagation;

static int64_t count_of(const propagation *p, int node)
{
    return ngi_shape_count(&p->g->nodes[node].shape);
}

static const float *value(const propagation *p, int node)
{
    return ngi_trace_of(&p->trace, p->g, node, 0);
}

static float *relevance_of(propagation *p, int node)
{
    if (!p->relevance[node])
        p->relevance[node] = ngi_alloc_zero((size_t)count_of(p, node), sizeof(float));
    return p->relevance[node];
}

/* ---- Operations without weights --------------------------------------------------------------- */

/* in [n_inputs] gets the node's inputs' values, relevance of its inputs is made. */
static ng_status find_inputs(propagation *p, const ngi_node *n, const float **in, ng_error *err)
{
    for (int i = 0; i < n->n_inputs; i++) {
        in[i] = value(p, n->inputs[i]);
        if (!relevance_of(p, n->inputs[i]))
            return ngi_fail_memory(err, (size_t)count_of(p, n->inputs[i]) * sizeof(float));
    }
    return NG_OK;
}

/* R_i += a_i * (dz/da)^T (R / z) for operations that are sums of their inputs; routes: only (dz/da)^T R, for those that move
 * values or choose among them. */
static ng_status by_gradient(propagation *p, int node, bool routes, ng_error *err)
{
    const ngi_node *n = &p->g->nodes[node];
    const float **in = ngi_alloc((size_t)n->n_inputs, sizeof *in), *z;
    float *seed = ngi_alloc((size_t)count_of(p, node), sizeof *seed);
    ngi_single s = {0};
    ng_status status = in && seed ? find_inputs(p, n, in, err)
                                  : ngi_fail_memory(err, (size_t)count_of(p, node) * sizeof *seed);
    if (status == NG_OK)
        status = ngi_single_create(p->job, node, NULL, NULL, false, &s, err);
    if (status == NG_OK)
        status = ngi_single_forward(&s, in, &z, err);
    for (int64_t k = 0; k < count_of(p, node) && status == NG_OK; k++)
        seed[k] = routes ? p->relevance[node][k]
                         : (float)(p->relevance[node][k] / ngi_stabilised(z[k], NGI_LRP_STABILIZER));
    if (status == NG_OK)
        status = ngi_single_backward(&s, seed, err);
    for (int i = 0; i < n->n_inputs && status == NG_OK; i++) {
        const float *g = ngi_single_gradient(&s, i);
        for (int64_t k = 0; k < count_of(p, n->inputs[i]); k++)
            p->relevance[n->inputs[i]][k] += routes ? g[k] : g[k] * in[i][k];
    }
    ngi_single_clear(&s);
    ngi_free(seed);
    ngi_free(in);
    return status;
}

static ng_status pass_to_first(propagation *p, int node, ng_error *err)
{
    int in = p->g->nodes[node].inputs[0];
    float *r = relevance_of(p, in);
    if (!r)
        return ngi_fail_memory(err, (size_t)count_of(p, in) * sizeof *r);
    for (int64_t k = 0; k < count_of(p, in); k++)
        r[k] += p->relevance[node][k];
    return NG_OK;
}

/* z = x s + o by channel: R (z - o) / z. */
static ng_status by_scale(propagation *p, int node, ng_error *err)
{
    const ngi_node *n = &p->g->nodes[node];
    int64_t channels = n->shape.dim[n->shape.rank - 1];
    float *r = relevance_of(p, n->inputs[0]);
    if (!r)
        return ngi_fail_memory(err, (size_t)count_of(p, n->inputs[0]) * sizeof *r);
    const float *w[NGI_NODE_WEIGHTS], *z = value(p, node);
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        w[i] = n->weights[i] >= 0 ? p->g->weights[n->weights[i]].data : NULL;
    bool one = n->op == NGI_OP_AFFINE && ngi_shape_count(&p->g->weights[n->weights[1]].shape) == 1;
    for (int64_t k = 0; k < count_of(p, node); k++) {
        int64_t c = one ? 0 : k % channels;
        double offset = n->op == NGI_OP_AFFINE
                            ? w[1][c]
                            : (w[1] ? w[1][c] : 0.0) -
                                  w[2][c] * (w[0] ? w[0][c] : 1.0) / sqrt((double)w[3][c] + n->attr.epsilon);
        r[k] += (float)(p->relevance[node][k] * (z[k] - offset) / ngi_stabilised(z[k], p->epsilon));
    }
    return NG_OK;
}

/* ---- Operations with weights ------------------------------------------------------------------ */

/* The batch norm that alone reads the node; -1: none. */
static int norm_behind(const ngi_graph *g, int node)
{
    int found = -1;
    for (int i = node + 1; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++)
            if (g->nodes[i].inputs[k] == node) {
                if (found >= 0 || g->nodes[i].op != NGI_OP_BATCHNORM)
                    return -1;
                found = i;
            }
    return found;
}

static bool has_kernel(ngi_op op)
{
    return op == NGI_OP_CONV2D || op == NGI_OP_DEPTHWISE || op == NGI_OP_DENSE;
}

/* Whether no other weighted operation lies between the input and this one. */
static bool is_first(const ngi_graph *g, int node)
{
    for (int i = 0; i < node; i++)
        if (has_kernel(g->nodes[i].op) && ngi_graph_reaches(g, i, node))
            return false;
    return true;
}

static ngi_lrp_rule rule_of(const propagation *p, int node)
{
    static const ngi_lrp_rule of_convolutions[] = {NGI_LRP_PLUS, NGI_LRP_PLUS, NGI_LRP_GAMMA,
                                                   NGI_LRP_ALPHA_BETA, NGI_LRP_EPSILON};
    if (p->g->nodes[node].op == NGI_OP_DENSE)
        return NGI_LRP_EPSILON;
    if (p->preset == EPSILON_PLUS_FLAT && is_first(p->g, node))
        return NGI_LRP_FLAT;
    return of_convolutions[p->preset];
}

/* norm: the batch norm behind the node that is folded into it; -1: none. */
static ng_status by_weights(propagation *p, int node, int norm, ng_error *err)
{
    int in = p->g->nodes[node].inputs[0], out = norm >= 0 ? norm : node;
    float *r = relevance_of(p, in);
    if (!r)
        return ngi_fail_memory(err, (size_t)count_of(p, in) * sizeof *r);
    ngi_weighted w;
    NGI_TRY(ngi_weighted_fold(p->g, node, norm, value(p, in), value(p, out), &w, err));
    ng_status status =
        ngi_lrp_share(p->job, &w, rule_of(p, node), p->epsilon, p->gamma, p->relevance[out], r, err);
    ngi_weighted_clear(&w);
    return status;
}

/* ---- The way back ----------------------------------------------------------------------------- */

static ng_status step(propagation *p, int node, ng_error *err)
{
    const ngi_graph *g = p->g;
    const ngi_node *n = &g->nodes[node];
    int source = n->n_inputs ? n->inputs[0] : -1;
    bool folded =
        n->op == NGI_OP_BATCHNORM && has_kernel(g->nodes[source].op) && norm_behind(g, source) == node;
    if (has_kernel(n->op) || folded)
        return by_weights(p, folded ? source : node, folded ? node : -1, err);
    switch (n->op) {
    case NGI_OP_ACTIVATION:
    case NGI_OP_PRELU:
    case NGI_OP_IDENTITY:
    case NGI_OP_RESHAPE:
    case NGI_OP_MULTIPLY:
        return pass_to_first(p, node, err);
    case NGI_OP_BATCHNORM:
    case NGI_OP_AFFINE:
        return by_scale(p, node, err);
    case NGI_OP_MAX_POOL:
    case NGI_OP_GLOBAL_MAX:
    case NGI_OP_MAXIMUM:
    case NGI_OP_PERMUTE:
    case NGI_OP_ZERO_PAD:
    case NGI_OP_CROP:
    case NGI_OP_SLICE:
    case NGI_OP_CONCAT:
        return by_gradient(p, node, true, err);
    default:
        return by_gradient(p, node, false, err);
    }
}

static ng_status go_back(propagation *p, ng_error *err)
{
    const ngi_attr_job *job = p->job;
    int logits = job->head->logits, input = p->g->inputs[0];
    float *r = relevance_of(p, logits);
    if (!r)
        return ngi_fail_memory(err, (size_t)count_of(p, logits) * sizeof *r);
    ngi_target_seed(job->head, &job->target, value(p, logits), value(p, job->head->output), r);
    for (int j = 0; j < job->head->width; j++) /* the score's terms: of a logit, the logit */
        r[j] *= value(p, logits)[j];
    for (int i = logits; i > input; i--) {
        if (!p->relevance[i] || !p->g->nodes[i].from_input) /* a constant keeps its share */
            continue;
        if (job->progress && i % 8 == 0 && job->progress(job->context, logits - i, logits))
            return ngi_fail(err, NG_E_CANCELLED, "interrupted at '%s'", p->g->nodes[i].name);
        NGI_TRY(step(p, i, err));
        ngi_free(p->relevance[i]);
        p->relevance[i] = NULL;
    }
    return relevance_of(p, input) ? NG_OK : ngi_fail_memory(err, (size_t)count_of(p, input) * sizeof *r);
}

static ng_status run(propagation *p, double *values, ng_map *map, ng_error *err)
{
    const ngi_attr_job *job = p->job;
    ngi_shape shape = ngi_attr_input_shape(p->g);
    NGI_TRY(ngi_trace_create(job, job->input, 1, &p->trace, err));
    double score = ngi_target_score(job->head, &job->target, value(p, job->head->logits),
                                    value(p, job->head->output)),
           sum = 0;
    NGI_TRY(go_back(p, err));
    for (int64_t k = 0; k < ngi_shape_count(&shape); k++) {
        values[k] = p->relevance[p->g->inputs[0]][k];
        sum += values[k];
    }
    NGI_TRY(ngi_reduce_channels(job, (ngi_reduce)ngi_parameter(&ngi_method_lrp, job, "reduce"), values,
                                shape.dim[0] * shape.dim[1], shape.dim[2], map, err));
    snprintf(map->note, sizeof map->note,
             "relevance: %.6g of the score %.6g reached the pixels, biases kept the rest", sum, score);
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_lrp;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    size_t count = (size_t)ngi_shape_count(&shape);
    if (job->target.kind != NG_TARGET_LOGIT && job->target.kind != NG_TARGET_CONTRAST)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "LRP shares out logits: use --target logit or contrast, not %s",
                        ng_target_name(job->target.kind));
    propagation p = {.job = job,
                     .g = job->graph,
                     .preset = (int)ngi_parameter(m, job, "preset"),
                     .epsilon = ngi_parameter(m, job, "epsilon"),
                     .gamma = ngi_parameter(m, job, "gamma")};
    p.relevance = ngi_alloc_zero((size_t)p.g->n_nodes, sizeof *p.relevance);
    double *values = ngi_alloc(count, sizeof *values);
    ng_status status =
        p.relevance && values ? run(&p, values, map, err) : ngi_fail_memory(err, count * sizeof *values);
    for (int i = 0; i < p.g->n_nodes && p.relevance; i++)
        ngi_free(p.relevance[i]);
    ngi_free(p.relevance);
    ngi_trace_clear(&p.trace);
    ngi_free(values);
    return status;
}

static ng_status check(const ngi_graph *g, int layer, ng_error *err)
{
    NGI_TRY(ngi_attr_check_input(g, layer, err));
    int logits = ngi_head_of(g).logits;
    for (int i = 0; i < logits; i++) {
        const ngi_node *n = &g->nodes[i];
        bool gate = n->op == NGI_OP_MULTIPLY &&
                    ngi_shape_count(&g->nodes[n->inputs[0]].shape) != ngi_shape_count(&n->shape);
        bool refused = n->op == NGI_OP_SOFTMAX || n->op == NGI_OP_LAYERNORM || n->op == NGI_OP_DIVIDE ||
                       n->op == NGI_OP_MINIMUM;
        if ((gate || refused) && ngi_graph_reaches(g, i, logits))
            return ngi_fail(err, NG_E_UNSUPPORTED,
                            "LRP has no rule here for '%s' (%s). Use integratedgradients, which needs none",
                            n->name, ngi_op_name(n->op));
    }
    return NG_OK;
}

const ngi_method ngi_method_lrp = {
    .info =
        {
            .name = "lrp",
            .title = "LRP",
            .summary = "the score shared out layer by layer, down to the pixels",
            .cost = "1 forward + 2 to 5 times a backward, node by node",
            .source = "Bach et al. 2015, doi:10.1371/journal.pone.0130140",
            .assumes = "rules that suit the layers; see the presets",
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = check,
    .compute = compute,
};
