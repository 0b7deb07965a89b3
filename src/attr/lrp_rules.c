#include "attr/lrp_rules.h"

#include "attr/trace.h"

#include <math.h>

/* ---- Weights ---------------------------------------------------------------------------------- */

/* scale, offset: what the batch norm does to channel c. */
static void norm_of(const ngi_graph *g, int norm, int64_t c, double *scale, double *offset)
{
    const ngi_node *n = &g->nodes[norm];
    const float *v[NGI_NODE_WEIGHTS];
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        v[i] = n->weights[i] >= 0 ? g->weights[n->weights[i]].data : NULL;
    *scale = (v[0] ? v[0][c] : 1.0) / sqrt((double)v[3][c] + n->attr.epsilon);
    *offset = (v[1] ? v[1][c] : 0.0) - v[2][c] * *scale;
}

ng_status ngi_weighted_fold(const ngi_graph *g, int node, int norm, const float *input, const float *output,
                            ngi_weighted *w, ng_error *err)
{
    const ngi_node *n = &g->nodes[node];
    const ngi_weight *kernel = &g->weights[n->weights[0]];
    *w = (ngi_weighted){.graph = g, .node = node, .input = input, .output = output};
    w->count = ngi_shape_count(&kernel->shape);
    w->channels = n->shape.dim[n->shape.rank - 1];
    w->kernel = ngi_alloc((size_t)(w->count + w->channels), sizeof *w->kernel);
    if (!w->kernel)
        return ngi_fail_memory(err, (size_t)w->count * sizeof *w->kernel);
    w->bias = w->kernel + w->count;
    for (int64_t c = 0; c < w->channels; c++) {
        double scale = 1, offset = 0, bias = n->weights[1] >= 0 ? g->weights[n->weights[1]].data[c] : 0;
        if (norm >= 0)
            norm_of(g, norm, c, &scale, &offset);
        w->bias[c] = (float)(bias * scale + offset);
        for (int64_t i = c; i < w->count; i += w->channels) /* output channels are innermost in all layouts */
            w->kernel[i] = (float)(kernel->data[i] * scale);
    }
    return NG_OK;
}

void ngi_weighted_clear(ngi_weighted *w)
{
    ngi_free(w->kernel);
    *w = (ngi_weighted){0};
}

/* ---- Terms ------------------------------------------------------------------------------------ */

typedef enum part {
    ALL,
    ABOVE,
    BELOW,
    ONES,
    NONE
} part; /* of numbers: what is above, below zero; ones instead */

static float part_of(float x, part which)
{
    switch (which) {
    case ABOVE:
        return x > 0 ? x : 0;
    case BELOW:
        return x < 0 ? x : 0;
    case ONES:
        return 1;
    case NONE:
        return 0;
    default:
        return x;
    }
}

/* One of the sums that a rule is made of: changed inputs and weights. */
typedef struct term {
    part input, kernel, bias;
    part more; /* of kernel and, where there is one, bias: added gamma times */
    double gamma;
    float *x; /* the input as changed */
    ngi_single single;
    const float *z;
} term;

static float changed(const term *t, float value, part which)
{
    return which == NONE ? 0 : part_of(value, which) + (float)(t->gamma * part_of(value, t->more));
}

static int64_t input_count(const ngi_weighted *w)
{
    return ngi_shape_count(&w->graph->nodes[w->graph->nodes[w->node].inputs[0]].shape);
}

static ng_status term_open(const ngi_attr_job *job, const ngi_weighted *w, term *t, ng_error *err)
{
    int64_t count = input_count(w);
    float *weights = ngi_alloc((size_t)(w->count + w->channels), sizeof *weights);
    t->x = ngi_alloc((size_t)count, sizeof *t->x);
    ng_status status =
        weights && t->x ? NG_OK : ngi_fail_memory(err, (size_t)(w->count + count) * sizeof *weights);
    if (status == NG_OK) {
        for (int64_t i = 0; i < count; i++)
            t->x[i] = part_of(w->input[i], t->input);
        for (int64_t i = 0; i < w->count; i++)
            weights[i] = changed(t, w->kernel[i], t->kernel);
        for (int64_t c = 0; c < w->channels; c++)
            weights[w->count + c] = changed(t, w->bias[c], t->bias);
        status = ngi_single_create(job, w->node, weights, weights + w->count, true, &t->single, err);
    }
    if (status == NG_OK) {
        const float *x = t->x;
        status = ngi_single_forward(&t->single, &x, &t->z, err);
    }
    ngi_free(weights);
    return status;
}

/* ---- Rules ------------------------------------------------------------------------------------ */

typedef struct sharing {
    const ngi_attr_job *job;
    const ngi_weighted *w;
    const float *relevance;
    float *r;
} sharing;

/* r += factor * sum over the terms of x * backward(R / sum of z), for outputs of this side of zero: ALL, ABOVE or BELOW. */
static ng_status share(const sharing *s, term *terms, int n, double factor, part side, double epsilon,
                       ng_error *err)
{
    const ngi_weighted *w = s->w;
    int64_t outputs = ngi_shape_count(&w->graph->nodes[w->node].shape);
    float *seed = ngi_alloc((size_t)outputs, sizeof *seed);
    ng_status status = seed ? NG_OK : ngi_fail_memory(err, (size_t)outputs * sizeof *seed);
    for (int i = 0; i < n && status == NG_OK; i++)
        status = term_open(s->job, w, &terms[i], err);
    for (int64_t k = 0; k < outputs && status == NG_OK; k++) {
        double z = 0;
        for (int i = 0; i < n; i++)
            z += terms[i].z[k];
        bool mine = side == ALL || part_of(w->output[k], side) != 0;
        seed[k] = mine ? (float)(factor * s->relevance[k] / ngi_stabilised(z, epsilon)) : 0;
    }
    for (int i = 0; i < n && status == NG_OK; i++) {
        status = ngi_single_backward(&terms[i].single, seed, err);
        if (status != NG_OK)
            break;
        const float *g = ngi_single_gradient(&terms[i].single, 0);
        for (int64_t k = 0; k < input_count(w); k++)
            s->r[k] += g[k] * terms[i].x[k];
    }
    for (int i = 0; i < n; i++) {
        ngi_single_clear(&terms[i].single);
        ngi_free(terms[i].x);
    }
    ngi_free(seed);
    return status;
}

static ng_status share_gamma(const sharing *s, double gamma, ng_error *err)
{
    term up[] = {{.input = ABOVE, .more = ABOVE, .gamma = gamma},
                 {.input = BELOW, .more = BELOW, .gamma = gamma, .bias = NONE}};
    term down[] = {{.input = ABOVE, .more = BELOW, .gamma = gamma},
                   {.input = BELOW, .more = ABOVE, .gamma = gamma, .bias = NONE}};
    NGI_TRY(share(s, up, 2, 1, ABOVE, NGI_LRP_STABILIZER, err));
    return share(s, down, 2, 1, BELOW, NGI_LRP_STABILIZER, err);
}

ng_status ngi_lrp_share(const ngi_attr_job *job, const ngi_weighted *w, ngi_lrp_rule rule, double epsilon,
                        double gamma, const float *relevance, float *r, ng_error *err)
{
    sharing s = {job, w, relevance, r};
    term whole[] = {{.input = ALL}}, flat[] = {{.input = ONES, .kernel = ONES, .bias = NONE}};
    term for_it[] = {{.input = ABOVE, .kernel = ABOVE, .bias = ABOVE},
                     {.input = BELOW, .kernel = BELOW, .bias = NONE}};
    term against[] = {{.input = ABOVE, .kernel = BELOW, .bias = BELOW},
                      {.input = BELOW, .kernel = ABOVE, .bias = NONE}};
    switch (rule) {
    case NGI_LRP_EPSILON:
        return share(&s, whole, 1, 1, ALL, epsilon, err);
    case NGI_LRP_GAMMA:
        return share_gamma(&s, gamma, err);
    case NGI_LRP_FLAT:
        return share(&s, flat, 1, 1, ALL, NGI_LRP_STABILIZER, err);
    case NGI_LRP_PLUS:
        return share(&s, for_it, 2, 1, ALL, NGI_LRP_STABILIZER, err);
    default:
        NGI_TRY(share(&s, for_it, 2, 2, ALL, NGI_LRP_STABILIZER, err));
        return share(&s, against, 2, -1, ALL, NGI_LRP_STABILIZER, err);
    }
}
