/* ng_probe: which layer's features tell the classes apart, by a linear head on each, all from one pass over the images. */
#include "api/api.h"

#include "metrics/interval.h"
#include "train/features.h"
#include "train/probe.h"
#include "train/team.h"

#include <math.h>
#include <string.h>

enum { MOST_LAYERS = 16 };

typedef struct probing {
    const ng_model *base;
    ng_probe_opts o;
    ng_image_opts image;
    ngi_dataset data, part; /* part: the images that are looked at, borrowed from data */
    int *layers, *nodes;    /* [n] in the network's order */
    int n;
    ngi_features features;
    int *classes, *fold; /* [n_rows] */
    const float **rows;  /* [n_rows] */
    int n_rows;
    ng_probe_result *out;
} probing;

void ng_probe_opts_init(ng_probe_opts *opts)
{
    *opts = (ng_probe_opts){.struct_size = sizeof *opts,
                            .folds = 5,
                            .images = 1000,
                            .fit = NG_FIT_SQUASH,
                            .resample = NG_RESAMPLE_PIL_BILINEAR,
                            .threads = 1};
}

/* ---- Layers ------------------------------------------------------------------------------------ */

static bool passes_on(ngi_op op)
{
    return op == NGI_OP_BATCHNORM || op == NGI_OP_ACTIVATION || op == NGI_OP_IDENTITY;
}

/* Whether all that reads the node is a norm or an activation, so that what comes behind it is the better place. */
static bool goes_on(const ngi_graph *g, int node)
{
    int readers = 0, passing = 0;
    for (int i = node + 1; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++)
            if (g->nodes[i].inputs[k] == node) {
                readers++;
                passing += passes_on(g->nodes[i].op);
            }
    return readers == 1 && passing == 1;
}

/* Every way to the output leads through the node, and it is a block's end. */
static bool is_cut(const ngi_graph *g, int layer, int logits, int *starts, bool *room)
{
    int node = g->layers[layer].node;
    return ngi_graph_is_candidate(g, layer) && !goes_on(g, node) &&
           ngi_graph_frontier(g, node, logits, starts, room) == 1;
}

static void add_layer(probing *p, int layer)
{
    int node = p->base->graph->layers[layer].node, at = p->n;
    for (int i = 0; i < p->n; i++)
        if (p->nodes[i] == node)
            return;
    for (; at > 0 && p->nodes[at - 1] > node; at--) {
        p->nodes[at] = p->nodes[at - 1];
        p->layers[at] = p->layers[at - 1];
    }
    p->nodes[at] = node;
    p->layers[at] = layer;
    p->n++;
}

static ng_status find_layers(probing *p, ng_error *err)
{
    const ngi_graph *g = p->base->graph;
    p->layers = ngi_alloc((size_t)g->n_layers, sizeof *p->layers);
    p->nodes = ngi_alloc((size_t)g->n_layers, sizeof *p->nodes);
    int *starts = ngi_alloc((size_t)g->n_nodes, sizeof *starts);
    bool *room = ngi_alloc(2 * (size_t)g->n_nodes, sizeof *room);
    bool fine = p->layers && p->nodes && starts && room;
    for (int i = 0; fine && i < (p->o.layers ? p->o.layer_count : g->n_layers); i++) {
        int layer = p->o.layers ? p->o.layers[i] : i;
        if (p->o.layers || is_cut(g, layer, p->base->head.logits, starts, room))
            add_layer(p, layer);
    }
    ngi_free(starts);
    ngi_free(room);
    if (!fine)
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *starts);
    int first = !p->o.layers && p->n > MOST_LAYERS ? p->n - MOST_LAYERS : 0; /* the deepest */
    p->n -= first;
    memmove(p->nodes, p->nodes + first, (size_t)p->n * sizeof *p->nodes);
    memmove(p->layers, p->layers + first, (size_t)p->n * sizeof *p->layers);
    return p->n
               ? NG_OK
               : ngi_fail(err, NG_E_UNSUPPORTED, "the base has no spatial layer that a head could be put on");
}

/* Multiply-adds of all nodes that lead to `node`. */
static double work_to(const ngi_graph *g, int node)
{
    double sum = 0;
    for (int i = 0; i <= node; i++) {
        const ngi_node *n = &g->nodes[i];
        if ((n->op != NGI_OP_CONV2D && n->op != NGI_OP_DEPTHWISE && n->op != NGI_OP_DENSE) ||
            (i != node && !ngi_graph_reaches(g, i, node)))
            continue;
        double kernel = (double)ngi_shape_count(&g->weights[n->weights[0]].shape);
        sum += kernel * (double)ngi_shape_count(&n->shape) / (double)n->shape.dim[n->shape.rank - 1];
    }
    return sum;
}

/* ---- Images ------------------------------------------------------------------------------------ */

/* Up to o.images of those that are not for testing: a stratified part, groups whole. */
static ng_status choose_images(probing *p, ng_error *err)
{
    const ngi_dataset *d = &p->data;
    size_t most = (size_t)d->n_items;
    int64_t *items = ngi_alloc(most, sizeof *items), n = 0;
    int *fold = ngi_alloc(most, sizeof *fold);
    p->part = *d;
    p->part.n_items = 0;
    p->part.items = ngi_alloc(most, sizeof *p->part.items);
    ng_status status =
        items && fold && p->part.items ? NG_OK : ngi_fail_memory(err, most * sizeof *p->part.items);
    for (int64_t i = 0; status == NG_OK && i < d->n_items; i++)
        if (d->items[i].split != NGI_SPLIT_TEST)
            items[n++] = i;
    int parts = p->o.images > 0 && n > p->o.images ? (int)((n + p->o.images - 1) / p->o.images) : 1;
    if (status == NG_OK)
        status = ngi_probe_folds(d, items, n, parts, p->o.seed, fold, err);
    for (int64_t i = 0; status == NG_OK && i < n; i++)
        if (fold[i] == 0)
            p->part.items[p->part.n_items++] = d->items[items[i]];
    ngi_free(items);
    ngi_free(fold);
    return status;
}

static ng_status open_data(probing *p, const char *data, ng_error *err)
{
    ngi_data_options options = {.group_pattern = p->o.group};
    NGI_TRY(ngi_dataset_open(data, &options, &p->data, err));
    if (p->data.multi_label)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%s: images have several labels; a probe is for one class an image", data);
    if (p->data.n_classes < 2)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: one class: there is nothing to tell apart", data);
    return choose_images(p, err);
}

static int show_progress(void *user, int64_t done, int64_t total)
{
    const probing *p = user;
    return p->o.progress ? p->o.progress(p->o.context, done, total) : 0;
}

static ng_status compute(probing *p, ng_error *err)
{
    const ngi_graph *g = p->base->graph;
    const ngi_shape *in = &g->nodes[g->inputs[0]].shape;
    ngi_trunk_opts opts = {.features = p->nodes[p->n - 1],
                           .threads = p->o.threads,
                           .micro = 2,
                           .taps = p->nodes,
                           .n_taps = p->n};
    ngi_features_run run = {.images = {.data = &p->part,
                                       .height = (int)in->dim[0],
                                       .width = (int)in->dim[1],
                                       .channels = (int)in->dim[2],
                                       .fit = p->o.fit,
                                       .resample = p->o.resample,
                                       .preprocess = p->base->preprocess,
                                       .image = &p->image,
                                       .threads = p->o.threads},
                            .graph = g,
                            .features = opts.features,
                            .taps = p->nodes,
                            .n_taps = p->n,
                            .progress = show_progress,
                            .user = p};
    static const char none[NGI_HASH_TEXT];
    NGI_TRY(ngi_features_open(NULL, none, p->part.n_items, ngi_features_width(&run), &p->features, err));
    NGI_TRY(ngi_trunk_create(g, &opts, &run.trunk, err));
    ng_status status = ngi_features_compute(&p->features, &run, err);
    ngi_trunk_free(run.trunk);
    return status;
}

/* None is empty: else what is held out would be judged by a head that nothing was learnt for. */
static ng_status check_folds(const probing *p, ng_error *err)
{
    if (p->n_rows < 2 * p->o.folds)
        return ngi_fail(err, NG_E_ARGUMENT, "%d images that can be read are too few for %d folds", p->n_rows,
                        p->o.folds);
    for (int k = 0; k < p->o.folds; k++) {
        int i = 0;
        while (i < p->n_rows && p->fold[i] != k)
            i++;
        if (i == p->n_rows)
            return ngi_fail(err, NG_E_ARGUMENT,
                            "the images are of %d groups, which stay whole: too few for %d folds", k,
                            p->o.folds);
    }
    return NG_OK;
}

static ng_status deal(probing *p, ng_error *err)
{
    size_t most = (size_t)p->part.n_items;
    int64_t *items = ngi_alloc(most, sizeof *items);
    p->rows = ngi_alloc(most, sizeof *p->rows);
    p->classes = ngi_alloc(most, sizeof *p->classes);
    p->fold = ngi_alloc(most, sizeof *p->fold);
    bool fine = items && p->rows && p->classes && p->fold;
    for (int64_t i = 0; fine && i < p->part.n_items; i++) {
        const float *row = ngi_features_row(&p->features, i);
        if (!row)
            continue;
        items[p->n_rows] = i;
        p->rows[p->n_rows] = row;
        p->classes[p->n_rows++] = p->part.items[i].class_index;
    }
    ng_status status = fine ? ngi_probe_folds(&p->part, items, p->n_rows, p->o.folds, p->o.seed, p->fold, err)
                            : ngi_fail_memory(err, most * sizeof *items);
    ngi_free(items);
    return status == NG_OK ? check_folds(p, err) : status;
}

/* ---- Layers judged ----------------------------------------------------------------------------- */

static ng_status judge_layer(void *context, int worker, int64_t part, ng_error *err)
{
    probing *p = context;
    (void)worker;
    int64_t at = 0;
    for (int64_t i = 0; i < part; i++)
        at += p->out->layers[i].features;
    ng_probe_layer *layer = &p->out->layers[part];
    const float **rows = ngi_alloc((size_t)p->n_rows, sizeof *rows);
    if (!rows)
        return ngi_fail_memory(err, (size_t)p->n_rows * sizeof *rows);
    for (int i = 0; i < p->n_rows; i++)
        rows[i] = p->rows[i] + at;
    ngi_probe probe = {.n = p->n_rows,
                       .k = p->data.n_classes,
                       .folds = p->o.folds,
                       .rows = rows,
                       .width = layer->features,
                       .classes = p->classes,
                       .fold = p->fold};
    ngi_probe_result result;
    ng_status status = ngi_probe_run(&probe, &result, err);
    if (status == NG_OK) {
        ngi_interval interval = ngi_wilson(result.right, p->n_rows, 0.95);
        layer->accuracy = interval.value;
        layer->low = interval.low;
        layer->high = interval.high;
        layer->error = result.error;
    }
    ngi_free(rows);
    return status;
}

/* The earliest layer that is within one standard error of the best (Breiman et al., 1984). */
static void recommend(ng_probe_result *r)
{
    int best = 0;
    for (int i = 1; i < r->layer_count; i++)
        if (r->layers[i].accuracy > r->layers[best].accuracy)
            best = i;
    r->best = best;
    r->recommended = best;
    for (int i = best; i >= 0; i--)
        if (r->layers[i].accuracy >= r->layers[best].accuracy - r->layers[best].error)
            r->recommended = i;
}

static ng_status judge(probing *p, ng_error *err)
{
    const ngi_graph *g = p->base->graph;
    ng_probe_result *r = p->out;
    double all = work_to(g, p->base->head.logits);
    r->layers = ngi_alloc_zero((size_t)p->n, sizeof *r->layers);
    if (!r->layers)
        return ngi_fail_memory(err, (size_t)p->n * sizeof *r->layers);
    r->layer_count = p->n;
    r->images = p->n_rows;
    r->unreadable = p->part.n_items - p->n_rows;
    r->left_out = p->data.n_items - p->part.n_items;
    r->folds = p->o.folds;
    for (int i = 0; i < p->n; i++) {
        const ngi_shape *s = &g->nodes[p->nodes[i]].shape;
        r->layers[i] = (ng_probe_layer){.layer = p->layers[i],
                                        .name = g->layers[p->layers[i]].name,
                                        .features = s->dim[s->rank - 1],
                                        .share = all > 0 ? work_to(g, p->nodes[i]) / all : 0};
    }
    NGI_TRY(ngi_team_run(p->o.threads, p->n, judge_layer, p, err));
    recommend(r);
    return NG_OK;
}

static ng_status run(probing *p, const char *data, ng_error *err)
{
    if (p->o.folds < 2 || p->o.folds > 100 || p->o.threads < 1 || p->o.layer_count < 0)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%d folds, %d threads: expected 2 to 100 folds, a thread at least", p->o.folds,
                        p->o.threads);
    for (int i = 0; i < p->o.layer_count; i++)
        if (p->o.layers[i] < 0 || p->o.layers[i] >= p->base->graph->n_layers)
            return ngi_fail(err, NG_E_ARGUMENT, "layer %d: the base has layers 0 to %d", p->o.layers[i],
                            p->base->graph->n_layers - 1);
    NGI_TRY(find_layers(p, err));
    NGI_TRY(open_data(p, data, err));
    NGI_TRY(compute(p, err));
    NGI_TRY(deal(p, err));
    return judge(p, err);
}

ng_status ng_probe(const ng_model *base, const char *data, const ng_probe_opts *opts, ng_probe_result *out,
                   ng_error *err)
{
    probing p = {.base = base, .out = out};
    *out = (ng_probe_result){0};
    ng_probe_opts_init(&p.o);
    if (opts)
        p.o = *opts;
    ng_image_opts_init(&p.image);
    if (p.o.image)
        p.image = *p.o.image;
    ng_status status = run(&p, data, err);
    ngi_features_clear(&p.features);
    ngi_free(p.part.items);
    ngi_dataset_clear(&p.data);
    ngi_free(p.layers);
    ngi_free(p.nodes);
    ngi_free(p.classes);
    ngi_free(p.fold);
    ngi_free(p.rows);
    if (status != NG_OK)
        ng_probe_result_clear(out);
    return status;
}

void ng_probe_result_clear(ng_probe_result *result)
{
    ngi_free(result->layers);
    *result = (ng_probe_result){0};
}
