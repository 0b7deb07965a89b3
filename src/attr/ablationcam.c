/* Ablation-CAM (Desai & Ramaswamy, 2020): w_k = (S - S_k) / S, S_k the score with channel k set to zero. Only what lies
 * behind the layer is run again; where that begins with global average pooling, only what lies behind the pooling. A
 * channel that is zero already changes nothing and is not run. */
#include "attr/attr.h"

#include <string.h>

enum { BATCH = 32 };

typedef struct ablation {
    const int *channels;      /* [count] to be switched off */
    int64_t cells, n;         /* of the start that is changed: [cells,n] */
    const float *const *base; /* [n_starts] */
    const int64_t *sizes;     /* [n_starts] elements */
    int n_starts;
    double *scores; /* [count] */
} ablation;

static void make(void *context, int i, float *const *x)
{
    const ablation *a = context;
    for (int s = 0; s < a->n_starts; s++)
        memcpy(x[s], a->base[s], (size_t)a->sizes[s] * sizeof **x);
    for (int64_t cell = 0; cell < a->cells; cell++)
        x[0][cell * a->n + a->channels[i]] = 0;
}

static void take(void *context, int i, double score, const float *gradient)
{
    (void)gradient;
    ((ablation *)context)->scores[i] = score;
}

/* The global average pooling that alone reads the node; -1: it is read otherwise. */
static int only_pool(const ngi_graph *g, int node)
{
    int pool = -1;
    for (int i = node + 1; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++)
            if (g->nodes[i].inputs[k] == node && g->nodes[i].feeds_output) {
                if (pool >= 0 || !ngi_attr_pools_everything(g, i))
                    return -1;
                pool = i;
            }
    return pool;
}

/* Finds the part to run again and its starts' values; `pooled` [channels] is room for the means. */
static ng_status find_part(const ngi_attr_job *job, const float *act, float *pooled, ablation *a,
                           ngi_part **part, int64_t *sizes, const float **base, ng_error *err)
{
    const ngi_graph *g = job->graph;
    int node = g->layers[job->layer].node, pool = only_pool(g, node);
    const int *starts;
    const float *const *values;
    if (pool >= 0) {
        NGI_TRY(ngi_part_tail(job, pool, BATCH, false, part, err));
        if (ngi_part_starts(*part, &starts) == 1) {
            for (int64_t k = 0; k < a->n; k++) {
                double sum = 0;
                for (int64_t i = 0; i < a->cells; i++)
                    sum += act[i * a->n + k];
                pooled[k] = (float)(sum / (double)a->cells);
            }
            a->cells = 1;
            a->n_starts = 1;
            sizes[0] = a->n;
            base[0] = pooled;
            return NG_OK;
        }
    }
    NGI_TRY(ngi_part_tail(job, node, BATCH, false, part, err));
    NGI_TRY(ngi_part_base(job, *part, &values, err));
    a->n_starts = ngi_part_starts(*part, &starts);
    for (int i = 0; i < a->n_starts; i++) {
        sizes[i] = ngi_shape_count(&g->nodes[starts[i]].shape);
        base[i] = values[i];
    }
    return NG_OK;
}

/* Room for everything that depends on the number of channels. */
typedef struct room {
    int *channels;
    double *scores, *weights;
    float *pooled;
} room;

static ng_status compute_in(const ngi_attr_job *job, const ngi_attr_pair *p, const room *r, ng_map *map,
                            ng_error *err)
{
    ngi_part *part;
    int64_t sizes[NGI_MAX_INPUTS];
    const float *base[NGI_MAX_INPUTS];
    ablation a = {.channels = r->channels,
                  .cells = p->cells,
                  .n = p->channels,
                  .sizes = sizes,
                  .base = base,
                  .scores = r->scores};
    NGI_TRY(find_part(job, p->act, r->pooled, &a, &part, sizes, base, err));
    int count = 0;
    for (int64_t k = 0; k < p->channels; k++) {
        bool zero = true;
        for (int64_t i = 0; i < p->cells && zero; i++)
            zero = p->act[i * p->channels + k] == 0;
        if (!zero)
            r->channels[count++] = (int)k;
    }
    ngi_sampling s = {
        .part = part, .count = count, .gradient_node = -1, .make = make, .take = take, .context = &a};
    NGI_TRY(ngi_attr_sample(job, &s, NULL, err));
    size_t at = (size_t)job->index * (size_t)job->head->width;
    double score =
        ngi_target_score(job->head, &job->target, ngi_run_activation(job->run, job->head->logits) + at,
                         ngi_run_activation(job->run, job->head->output) + at);
    for (int i = 0; i < count; i++)
        r->weights[r->channels[i]] = score != 0 ? (score - r->scores[i]) / score : 0;
    ngi_attr_weigh(p, r->weights, map);
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p = {0};
    p.act = ngi_attr_activations(job, &p.cells, &p.channels);
    size_t n = (size_t)p.channels;
    room r = {.channels = ngi_alloc(n, sizeof *r.channels),
              .scores = ngi_alloc(n, sizeof *r.scores),
              .weights = ngi_alloc_zero(n, sizeof *r.weights),
              .pooled = ngi_alloc(n, sizeof *r.pooled)};
    ng_status status = r.channels && r.scores && r.weights && r.pooled
                           ? compute_in(job, &p, &r, map, err)
                           : ngi_fail_memory(err, n * (2 * sizeof(double) + sizeof(float) + sizeof(int)));
    ngi_free(r.channels);
    ngi_free(r.scores);
    ngi_free(r.weights);
    ngi_free(r.pooled);
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
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
