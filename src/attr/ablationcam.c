/* Ablation-CAM (Desai & Ramaswamy, 2020): w_k = (S - S_k) / S, S_k the score with channel k set to zero. Only what lies
 * behind the layer is run again. Where the layer is averaged or flattened into a Dense layer and nothing else, that
 * layer's outputs are a sum over channels: without channel k they are the sum less its addend, and only what lies behind
 * the Dense layer is run again. A channel that is zero already changes nothing and is not run. Where time is limited, channels
 * come in an order drawn at random, and those run stand for all. */
#include "attr/attr.h"
#include "attr/partial.h"

#include <string.h>

enum { BATCH = 32, DENSE_BATCH = 256, BLOCK = 64, NO_CHANNEL = -1 };

/* The Dense layer that the explained one leads to. */
typedef struct dense {
    int node;            /* -1: there is none */
    bool pooled;         /* each channel's mean is an input, else its every cell */
    const float *inputs; /* [n_inputs]: [n] means, or the flattened [cells,n] */
    const float *rows;   /* [n_inputs,width] */
    int64_t n_inputs, width;
    double *outputs; /* [width] */
} dense;

typedef struct ablation {
    const int *channels; /* [count] to be switched off; NO_CHANNEL: none is */
    int64_t cells, n;    /* of the layer: [cells,n] */
    dense dense;
    /* Without a Dense layer: the values of what the part begins with, the layer first. */
    const float *const *base; /* [n_starts] */
    const int *starts;        /* [n_starts] nodes */
    int n_starts;
    const ngi_graph *graph;
    double *scores; /* [count] */
} ablation;

/* ---- Through a Dense layer --------------------------------------------------------------------- */

/* The node that alone reads this one on the way to an output; -1: there are none or several. */
static int only_reader(const ngi_graph *g, int node)
{
    int reader = -1;
    for (int i = node + 1; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++)
            if (g->nodes[i].inputs[k] == node && g->nodes[i].feeds_output) {
                if (reader >= 0)
                    return -1;
                reader = i;
            }
    return reader;
}

static dense find_dense(const ngi_graph *g, int layer_node)
{
    dense d = {.node = -1};
    for (int i = only_reader(g, layer_node); i >= 0; i = only_reader(g, i)) {
        const ngi_node *n = &g->nodes[i];
        bool flat = g->nodes[n->inputs[0]].shape.rank == 1;
        if (n->op == NGI_OP_DENSE && flat)
            return (dense){.node = i,
                           .pooled = d.pooled,
                           .rows = g->weights[n->weights[0]].data,
                           .n_inputs = g->weights[n->weights[0]].shape.dim[0],
                           .width = g->weights[n->weights[0]].shape.dim[1]};
        if (ngi_attr_pools_everything(g, i))
            d.pooled = true;
        else if (n->op != NGI_OP_IDENTITY && n->op != NGI_OP_RESHAPE)
            break;
    }
    return (dense){.node = -1};
}

/* sums [m] += scale * inputs * rows, for outputs from `at` on and every step-th input from `first` on. */
static void add_rows(const dense *d, int64_t first, int64_t step, double scale, int64_t at, int64_t m,
                     double *sums)
{
    for (int64_t i = first; i < d->n_inputs; i += step) {
        double x = scale * d->inputs[i];
        const float *row = d->rows + i * d->width + at;
        for (int64_t o = 0; o < m; o++)
            sums[o] += x * row[o];
    }
}

/* The outputs without a channel's inputs, every n-th of them. */
static void make_dense(const ablation *a, int channel, float *x)
{
    const dense *d = &a->dense;
    for (int64_t at = 0; at < d->width; at += BLOCK) {
        int64_t m = d->width - at < BLOCK ? d->width - at : BLOCK;
        double sums[BLOCK];
        memcpy(sums, d->outputs + at, (size_t)m * sizeof *sums);
        if (channel != NO_CHANNEL)
            add_rows(d, channel, a->n, -1, at, m, sums);
        for (int64_t o = 0; o < m; o++)
            x[at + o] = (float)sums[o];
    }
}

static void average(const float *act, int64_t cells, int64_t n, float *means)
{
    for (int64_t k = 0; k < n; k++) {
        double sum = 0;
        for (int64_t i = 0; i < cells; i++)
            sum += act[i * n + k];
        means[k] = (float)(sum / (double)cells);
    }
}

/* means [n] is room. d->outputs is allocated here. */
static ng_status open_dense(const ngi_graph *g, const float *act, const ablation *a, float *means, dense *d,
                            ng_error *err)
{
    int bias = g->nodes[d->node].weights[1];
    if (d->pooled)
        average(act, a->cells, a->n, means);
    d->inputs = d->pooled ? means : act;
    d->outputs = ngi_alloc((size_t)d->width, sizeof *d->outputs);
    if (!d->outputs)
        return ngi_fail_memory(err, (size_t)d->width * sizeof *d->outputs);
    for (int64_t o = 0; o < d->width; o++)
        d->outputs[o] = bias < 0 ? 0 : g->weights[bias].data[o];
    for (int64_t at = 0; at < d->width; at += BLOCK)
        add_rows(d, 0, 1, 1, at, d->width - at < BLOCK ? d->width - at : BLOCK, d->outputs + at);
    return NG_OK;
}

/* ---- Samples ----------------------------------------------------------------------------------- */

static void make(void *context, int i, float *const *x)
{
    const ablation *a = context;
    int channel = a->channels[i];
    if (a->dense.node >= 0) {
        make_dense(a, channel, x[0]);
        return;
    }
    for (int s = 0; s < a->n_starts; s++)
        memcpy(x[s], a->base[s], (size_t)ngi_shape_count(&a->graph->nodes[a->starts[s]].shape) * sizeof **x);
    for (int64_t cell = 0; cell < a->cells && channel != NO_CHANNEL; cell++)
        x[0][cell * a->n + channel] = 0;
}

static void take(void *context, int i, double score, const float *gradient)
{
    (void)gradient;
    ((ablation *)context)->scores[i] = score;
}

/* Finds the part to run again, and what its samples are made from. */
static ng_status find_part(const ngi_attr_job *job, const float *act, float *means, ablation *a,
                           ngi_part **part, ng_error *err)
{
    int node = job->graph->layers[job->layer].node;
    a->dense = find_dense(job->graph, node);
    if (a->dense.node >= 0) {
        NGI_TRY(ngi_part_tail(job, a->dense.node, DENSE_BATCH, false, part, err));
        a->n_starts = ngi_part_starts(*part, &a->starts);
        if (a->n_starts == 1)
            return open_dense(job->graph, act, a, means, &a->dense, err);
        a->dense.node = -1; /* something behind it is read from before it */
    }
    NGI_TRY(ngi_part_tail(job, node, BATCH, false, part, err));
    a->n_starts = ngi_part_starts(*part, &a->starts);
    return ngi_part_base(job, *part, &a->base, err);
}

/* The channels that are not zero everywhere, behind NO_CHANNEL; their number. */
static int list_channels(const ngi_attr_pair *p, int *channels)
{
    int count = 0;
    channels[count++] = NO_CHANNEL;
    for (int64_t k = 0; k < p->channels; k++) {
        bool zero = true;
        for (int64_t i = 0; i < p->cells && zero; i++)
            zero = p->act[i * p->channels + k] == 0;
        if (!zero)
            channels[count++] = (int)k;
    }
    return count;
}

/* ---- The map ----------------------------------------------------------------------------------- */

/* Room for everything that depends on the number of channels n. */
typedef struct room {
    int *channels;            /* [n+1] */
    double *scores, *weights; /* [n+1], [n] */
    float *means;             /* [n] */
} room;

static ng_status compute_in(const ngi_attr_job *job, const ngi_attr_pair *p, const room *r, ng_map *map,
                            ng_error *err)
{
    ngi_part *part;
    ablation a = {.channels = r->channels,
                  .cells = p->cells,
                  .n = p->channels,
                  .graph = job->graph,
                  .scores = r->scores};
    ng_status status = find_part(job, p->act, r->means, &a, &part, err);
    int count = list_channels(p, r->channels), done = 0;
    if (job->seconds > 0)
        ngi_partial_order(r->channels + 1, count - 1);
    if (status == NG_OK) {
        ngi_sampling s = {
            .part = part, .count = count, .gradient_node = -1, .make = make, .take = take, .context = &a};
        status = ngi_attr_sample(job, &s, &done, err);
    }
    ngi_free(a.dense.outputs);
    NGI_TRY(status);
    double score = r->scores[0]; /* by the same way as the others */
    double share = done > 1 && done < count ? (double)(count - 1) / (done - 1) : 1;
    for (int i = 1; i < done; i++)
        r->weights[r->channels[i]] = score != 0 ? share * (score - r->scores[i]) / score : 0;
    NGI_TRY(ngi_attr_weigh(job, p, r->weights, map, err));
    if (done == count)
        return NG_OK;
    ngi_partial partial = {.act = p->act,
                           .cells = p->cells,
                           .channels = p->channels,
                           .seen = r->channels + 1,
                           .weights = r->weights,
                           .n = done - 1,
                           .total = count - 1};
    ngi_partial_note(map, "channels", done - 1, count - 1,
                     job->eigen ? -1 : ngi_partial_error(&partial, map));
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p = {0};
    p.act = ngi_attr_activations(job, &p.cells, &p.channels);
    size_t n = (size_t)p.channels;
    room r = {.channels = ngi_alloc(n + 1, sizeof *r.channels),
              .scores = ngi_alloc(n + 1, sizeof *r.scores),
              .weights = ngi_alloc_zero(n, sizeof *r.weights),
              .means = ngi_alloc(n, sizeof *r.means)};
    ng_status status = r.channels && r.scores && r.weights && r.means
                           ? compute_in(job, &p, &r, map, err)
                           : ngi_fail_memory(err, n * (2 * sizeof(double) + sizeof(float) + sizeof(int)));
    ngi_free(r.channels);
    ngi_free(r.scores);
    ngi_free(r.weights);
    ngi_free(r.means);
    return status;
}

const ngi_method ngi_method_ablationcam = {
    .info =
        {
            .name = "ablationcam",
            .title = "Ablation-CAM",
            .summary = "channels weighted by how much the score falls without them",
            .cost = "1 forward + one of what lies behind the layer for each channel",
            .source = "Desai & Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
            .assumes = "channels act one by one",
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
