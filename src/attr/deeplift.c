/* DeepLIFT with the rescale rule (Shrikumar et al., 2017): multipliers m instead of gradients, so that sum m (x - x0) is the
 * score's rise from a baseline exactly.
 *   linear operations      as the gradient
 *   y = f(x) elementwise   m_x = m_y (y - y0) / (x - x0), f' where the difference vanishes
 *   maximum pooling        a window's rise is shared by its maxima in the image and in the baseline (captum's rule); where the
 *                          image's maximum is one of the baseline's too, up to rounding, it gets all
 *   products               m_a = m (b + b0) / 2, which is exact
 * Other nonlinear operations (softmax or layer norm within the network, maxima of branches) are refused. */
#include "attr/baseline.h"
#include "attr/reduce.h"
#include "attr/trace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ng_method_parameter parameters[] = {
    {.name = "baseline", .choices = NGI_BASELINE_CHOICES, .summary = "what the image is compared with"},
    {.name = "blur",
     .value = 10,
     .low = 0.1,
     .high = 200,
     .summary = "of baseline blur: standard deviation in pixels"},
    {.name = "reduce", .choices = NGI_REDUCE_CHOICES, .summary = "how a pixel's channels become one number"},
};

extern const ngi_method ngi_method_deeplift;

static const double vanishing = 1e-7; /* a difference below this is none: the derivative is taken */

typedef struct lift {
    const ngi_attr_job *job;
    const ngi_graph *g;
    ngi_trace trace;    /* of the image and of the baseline */
    float **multiplier; /* [n_nodes], NULL where none has come yet */
} lift;

static int64_t count_of(const lift *l, int node)
{
    return ngi_shape_count(&l->g->nodes[node].shape);
}

static const float *value(const lift *l, int node, int baseline)
{
    return ngi_trace_of(&l->trace, l->g, node, baseline);
}

/* The multiplier of a node, zero at first. */
static float *multiplier_of(lift *l, int node)
{
    if (!l->multiplier[node])
        l->multiplier[node] = ngi_alloc_zero((size_t)count_of(l, node), sizeof(float));
    return l->multiplier[node];
}

static ng_status linear(lift *l, int node, ng_error *err)
{
    const ngi_node *n = &l->g->nodes[node];
    ngi_single s;
    const float **in = ngi_alloc((size_t)n->n_inputs, sizeof *in), *out;
    if (!in)
        return ngi_fail_memory(err, (size_t)n->n_inputs * sizeof *in);
    for (int i = 0; i < n->n_inputs; i++)
        in[i] = value(l, n->inputs[i], 0);
    ng_status status = ngi_single_create(l->job, node, NULL, NULL, false, &s, err);
    if (status == NG_OK)
        status = ngi_single_forward(&s, in, &out, err);
    if (status == NG_OK)
        status = ngi_single_backward(&s, l->multiplier[node], err);
    for (int i = 0; i < n->n_inputs && status == NG_OK; i++) {
        float *m = multiplier_of(l, n->inputs[i]);
        const float *g = ngi_single_gradient(&s, i);
        if (!m)
            status = ngi_fail_memory(err, (size_t)count_of(l, n->inputs[i]) * sizeof *m);
        for (int64_t k = 0; status == NG_OK && k < count_of(l, n->inputs[i]); k++)
            m[k] += g[k];
    }
    ngi_single_clear(&s);
    ngi_free(in);
    return status;
}

static void elementwise(const lift *l, int node, float *m)
{
    const ngi_node *n = &l->g->nodes[node];
    const float *x = value(l, n->inputs[0], 0), *x0 = value(l, n->inputs[0], 1), *y = value(l, node, 0),
                *y0 = value(l, node, 1);
    for (int64_t k = 0; k < count_of(l, node); k++) {
        double dx = (double)x[k] - x0[k];
        float slope;
        if (fabs(dx) < vanishing) {
            const float one = 1;
            ngi_activate_grad(&n->attr.act, x + k, &one, &slope, 1);
        } else
            slope = (float)(((double)y[k] - y0[k]) / dx);
        m[k] += l->multiplier[node][k] * slope;
    }
}

/* Values this near to a maximum, relative to the layer's largest, are equal to it but for rounding: what is flat in the image or
 * the baseline has such ties everywhere. */
static const double tied = 1e-5;

static double tie_of(const float *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return tied * most;
}

/* Where a window's maximum is: an index into x; -1: all of it is padding. Of tied ones `liked`, if it is one, else the
 * first. */
static int64_t place_of_maximum(const ngi_node *n, const ngi_shape *in, const float *x, double tie,
                                int64_t oy, int64_t ox, int64_t c, int64_t liked)
{
    double most = -INFINITY;
    int64_t best = -1;
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < n->attr.kernel_h * n->attr.kernel_w; k++) {
            int64_t y = oy * n->attr.stride_h - n->attr.pad.top + k / n->attr.kernel_w,
                    xx = ox * n->attr.stride_w - n->attr.pad.left + k % n->attr.kernel_w;
            if (y < 0 || y >= in->dim[0] || xx < 0 || xx >= in->dim[1])
                continue;
            int64_t at = (y * in->dim[1] + xx) * in->dim[2] + c;
            if (pass == 0)
                most = fmax(most, x[at]);
            else if (x[at] >= most - tie && (best < 0 || at == liked))
                best = at;
        }
    return best;
}

static ng_status max_pool(const lift *l, int node, float *m, ng_error *err)
{
    const ngi_node *n = &l->g->nodes[node];
    const ngi_shape *in = &l->g->nodes[n->inputs[0]].shape, *out = &n->shape;
    const float *x = value(l, n->inputs[0], 0), *x0 = value(l, n->inputs[0], 1), *ys = value(l, node, 0),
                *y0s = value(l, node, 1);
    int64_t count = ngi_shape_count(in);
    double tie = tie_of(x, count), tie0 = tie_of(x0, count);
    double *shares = ngi_alloc_zero(2 * (size_t)count, sizeof *shares), *slopes = shares + count;
    if (!shares)
        return ngi_fail_memory(err, 2 * (size_t)count * sizeof *shares);
    for (int64_t i = 0; i < ngi_shape_count(out); i++) {
        int64_t c = i % out->dim[2], ox = i / out->dim[2] % out->dim[1], oy = i / out->dim[2] / out->dim[1];
        int64_t here = place_of_maximum(n, in, x, tie, oy, ox, c, -1),
                there = place_of_maximum(n, in, x0, tie0, oy, ox, c, here);
        if (here < 0)
            continue;
        double y = ys[i], y0 = y0s[i], top = fmax(y, y0);
        slopes[here] += l->multiplier[node][i];
        shares[here] += l->multiplier[node][i] * (top - y0);
        shares[there] += l->multiplier[node][i] * (y - top);
    }
    double least = fmax(vanishing, fmax(tie, tie0));
    for (int64_t k = 0; k < count; k++) {
        double dx = (double)x[k] - x0[k];
        m[k] += (float)(fabs(dx) < least ? slopes[k] : shares[k] / dx);
    }
    ngi_free(shares);
    return NG_OK;
}

/* Both factors of one size, or the second one a number a channel. */
static void product(lift *l, int node, float *a, float *b)
{
    const ngi_node *n = &l->g->nodes[node];
    int64_t na = count_of(l, n->inputs[0]), nb = count_of(l, n->inputs[1]);
    for (int64_t k = 0; k < count_of(l, node); k++) {
        int64_t ka = k % na, kb = k % nb;
        double m = l->multiplier[node][k];
        a[ka] += (float)(m * ((double)value(l, n->inputs[1], 0)[kb] + value(l, n->inputs[1], 1)[kb]) / 2);
        b[kb] += (float)(m * ((double)value(l, n->inputs[0], 0)[ka] + value(l, n->inputs[0], 1)[ka]) / 2);
    }
}

static bool is_refused(const ngi_graph *g, const ngi_node *n)
{
    if (n->op == NGI_OP_MULTIPLY) {
        const ngi_shape *a = &g->nodes[n->inputs[0]].shape;
        const ngi_shape *b = n->n_inputs == 2 ? &g->nodes[n->inputs[1]].shape : a;
        int64_t ca = ngi_shape_count(a), cb = ngi_shape_count(b), out = ngi_shape_count(&n->shape);
        bool channels = cb == n->shape.dim[n->shape.rank - 1] || cb == out;
        return n->n_inputs != 2 || ca != out || !channels;
    }
    return n->op == NGI_OP_SOFTMAX || n->op == NGI_OP_LAYERNORM || n->op == NGI_OP_PRELU ||
           n->op == NGI_OP_DIVIDE || n->op == NGI_OP_MAXIMUM || n->op == NGI_OP_MINIMUM ||
           n->op == NGI_OP_GLOBAL_MAX;
}

static ng_status step(lift *l, int node, ng_error *err)
{
    const ngi_node *n = &l->g->nodes[node];
    bool by_rule = n->op == NGI_OP_ACTIVATION || n->op == NGI_OP_MAX_POOL || n->op == NGI_OP_MULTIPLY;
    if (!by_rule)
        return linear(l, node, err);
    for (int i = 0; i < n->n_inputs; i++)
        if (!multiplier_of(l, n->inputs[i]))
            return ngi_fail_memory(err, (size_t)count_of(l, n->inputs[i]) * sizeof(float));
    float *m = l->multiplier[n->inputs[0]];
    if (n->op == NGI_OP_MAX_POOL)
        return max_pool(l, node, m, err);
    if (n->op == NGI_OP_MULTIPLY)
        product(l, node, m, l->multiplier[n->inputs[1]]);
    else
        elementwise(l, node, m);
    return NG_OK;
}

/* From the logits to the input. */
static ng_status go_back(lift *l, ng_error *err)
{
    const ngi_attr_job *job = l->job;
    int logits = job->head->logits, input = l->g->inputs[0];
    float *seed = multiplier_of(l, logits);
    if (!seed)
        return ngi_fail_memory(err, (size_t)count_of(l, logits) * sizeof *seed);
    ngi_target_seed(job->head, &job->target, value(l, logits, 0), value(l, logits, 0), seed);
    for (int i = logits; i > input; i--) {
        if (!l->multiplier[i] || !l->g->nodes[i].from_input) /* constants do not differ */
            continue;
        if (job->progress && i % 16 == 0 && job->progress(job->context, logits - i, logits))
            return ngi_fail(err, NG_E_CANCELLED, "interrupted at '%s'", l->g->nodes[i].name);
        NGI_TRY(step(l, i, err));
        ngi_free(l->multiplier[i]);
        l->multiplier[i] = NULL;
    }
    return multiplier_of(l, input) ? NG_OK : ngi_fail_memory(err, (size_t)count_of(l, input) * sizeof *seed);
}

static ng_status run(lift *l, float *both, double *values, ng_map *map, ng_error *err)
{
    const ngi_attr_job *job = l->job;
    const ngi_method *m = &ngi_method_deeplift;
    ngi_shape shape = ngi_attr_input_shape(l->g);
    int64_t count = ngi_shape_count(&shape);
    memcpy(both, job->input, (size_t)count * sizeof *both);
    NGI_TRY(ngi_baseline_make(job, (ngi_baseline)ngi_parameter(m, job, "baseline"),
                              ngi_parameter(m, job, "blur"), both + count, err));
    NGI_TRY(ngi_trace_create(job, both, 2, &l->trace, err));
    NGI_TRY(go_back(l, err));
    const float *multiplier = l->multiplier[l->g->inputs[0]];
    double sum = 0, ends[2];
    for (int64_t k = 0; k < count; k++) {
        values[k] = multiplier[k] * ((double)both[k] - both[count + k]);
        sum += values[k];
    }
    for (int i = 0; i < 2; i++)
        ends[i] = ngi_target_score(job->head, &job->target, value(l, job->head->logits, i),
                                   value(l, job->head->output, i));
    map->gradient_norm = sqrt(ngi_dot(multiplier, multiplier, count));
    NGI_TRY(ngi_reduce_channels(job, (ngi_reduce)ngi_parameter(m, job, "reduce"), values,
                                count / shape.dim[2], shape.dim[2], map, err));
    snprintf(map->note, sizeof map->note,
             "the attributions sum to %.6g, the score rises by %.6g (%.6g to %.6g)", sum, ends[0] - ends[1],
             ends[1], ends[0]);
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    size_t count = (size_t)ngi_shape_count(&shape);
    if (job->target.kind != NG_TARGET_LOGIT && job->target.kind != NG_TARGET_CONTRAST)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "DeepLIFT explains logits: use --target logit or contrast, not %s",
                        ng_target_name(job->target.kind));
    lift l = {.job = job, .g = job->graph};
    l.multiplier = ngi_alloc_zero((size_t)l.g->n_nodes, sizeof *l.multiplier);
    float *both = ngi_alloc(2 * count, sizeof *both);
    double *values = ngi_alloc(count, sizeof *values);
    ng_status status = l.multiplier && both && values ? run(&l, both, values, map, err)
                                                      : ngi_fail_memory(err, count * sizeof *values);
    for (int i = 0; i < l.g->n_nodes && l.multiplier; i++)
        ngi_free(l.multiplier[i]);
    ngi_free(l.multiplier);
    ngi_trace_clear(&l.trace);
    ngi_free(both);
    ngi_free(values);
    return status;
}

static ng_status check(const ngi_graph *g, int layer, ng_error *err)
{
    NGI_TRY(ngi_attr_check_input(g, layer, err));
    int logits = ngi_head_of(g).logits;
    for (int i = 0; i < logits; i++)
        if (is_refused(g, &g->nodes[i]) && ngi_graph_reaches(g, i, logits))
            return ngi_fail(
                err, NG_E_UNSUPPORTED,
                "DeepLIFT has no rule here for '%s' (%s). Use integratedgradients, which needs none",
                g->nodes[i].name, ngi_op_name(g->nodes[i].op));
    return NG_OK;
}

const ngi_method ngi_method_deeplift = {
    .info =
        {
            .name = "deeplift",
            .title = "DeepLIFT (rescale)",
            .summary = "differences to a baseline led back through the network; adds up to the score's rise",
            .cost = "2 forwards + 1 backward, node by node",
            .source = "Shrikumar et al. 2017, arXiv:1704.02685",
            .assumes = "the baseline shows nothing",
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = check,
    .compute = compute,
};
