/* A fit is made: items, room, the weights and the trunk of a stage. */
#include "train/fit.h"

#include "data/region.h"
#include "train/fit_own.h"
#include "train/order.h"

#include <time.h>

double ngi_fit_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const ngi_stage_opts *ngi_fit_stage(const ngi_fit *f)
{
    return &f->o.stages[f->state.stage == NGI_STAGE_TOP];
}

int64_t ngi_fit_items(const ngi_dataset *d, const ngi_features *f, ngi_split split, int64_t *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n_items; i++)
        if (d->items[i].split == split && ngi_features_row(f, i))
            out[n++] = i;
    return n;
}

/* ---- Making ------------------------------------------------------------------------------------ */

static int64_t head_total(const ngi_train_head *h)
{
    int64_t sum = 0;
    for (int i = 0; i < h->n; i++)
        sum += ((int64_t)h->dense[i].in + 1) * h->dense[i].out;
    return sum;
}

static ng_status find_items(ngi_fit *f, ng_error *err)
{
    const ngi_dataset *d = f->o.images.data;
    size_t n = (size_t)d->n_items;
    f->train = ngi_alloc(n, sizeof *f->train);
    f->val = ngi_alloc(n, sizeof *f->val);
    f->order = ngi_alloc(n, sizeof *f->order);
    f->draws = f->o.balanced_sampler ? ngi_alloc(n, sizeof *f->draws) : NULL;
    if (!f->train || !f->val || !f->order || (f->o.balanced_sampler && !f->draws))
        return ngi_fail_memory(err, n * sizeof *f->train);
    f->n_train = ngi_fit_items(d, f->o.features, NGI_SPLIT_TRAIN, f->train);
    f->n_val = ngi_fit_items(d, f->o.features, NGI_SPLIT_VAL, f->val);
    if (f->n_train == 0)
        return ngi_fail(err, NG_E_ARGUMENT, "there is no image to train on that can be read");
    if (f->o.background_swap > 0) {
        f->donors = ngi_alloc((size_t)f->n_train, sizeof *f->donors);
        if (!f->donors)
            return ngi_fail_memory(err, (size_t)f->n_train * sizeof *f->donors);
        for (int64_t i = 0; i < f->n_train; i++)
            if (ngi_region_known(&d->items[f->train[i]]))
                f->donors[f->n_donors++] = f->train[i];
    }
    if (f->o.balanced_weights) {
        f->class_weights = ngi_alloc((size_t)f->classes, sizeof *f->class_weights);
        if (!f->class_weights)
            return ngi_fail_memory(err, (size_t)f->classes * sizeof *f->class_weights);
        ngi_class_weights(d, f->train, f->n_train, f->class_weights);
    }
    return NG_OK;
}

static ng_status make_room(ngi_fit *f, ng_error *err)
{
    size_t batch = (size_t)(f->o.batch > NGI_EVALUATION_BATCH ? f->o.batch : NGI_EVALUATION_BATCH);
    size_t k = (size_t)f->classes;
    f->rows = ngi_alloc(batch * (size_t)f->width, sizeof *f->rows);
    f->targets = ngi_alloc(batch * k, sizeof *f->targets);
    f->logits_grad = ngi_alloc(batch * k, sizeof *f->logits_grad);
    f->weights = ngi_alloc(batch, sizeof *f->weights);
    f->each = ngi_alloc(batch, sizeof *f->each);
    f->outside = ngi_alloc(batch, sizeof *f->outside);
    f->right = ngi_alloc(batch, sizeof *f->right);
    f->grads = ngi_alloc_zero((size_t)f->o.graph->n_weights, sizeof *f->grads);
    if (f->o.frozen && !(f->kept = ngi_alloc(batch * (size_t)f->o.frozen->width, sizeof *f->kept)))
        return ngi_fail_memory(err, batch * (size_t)f->o.frozen->width * sizeof *f->kept);
    bool fine = f->rows && f->targets && f->logits_grad && f->weights && f->each && f->outside && f->right &&
                f->grads;
    return fine ? NG_OK : ngi_fail_memory(err, batch * ((size_t)f->width + 2 * k) * sizeof *f->rows);
}

static ng_status make_params(ngi_fit *f, ng_error *err)
{
    const ngi_graph *g = f->o.graph;
    int *weights = ngi_alloc((size_t)g->n_weights, sizeof *weights), n = 0;
    if (!weights)
        return ngi_fail_memory(err, (size_t)g->n_weights * sizeof *weights);
    for (int i = 0; i < f->o.head.n; i++) {
        weights[n++] = f->o.head.dense[i].kernel_index;
        weights[n++] = f->o.head.dense[i].bias_index;
    }
    for (int i = 0; f->state.stage == NGI_STAGE_TOP && i < g->n_weights; i++)
        if (f->o.trained[i])
            weights[n++] = i;
    ngi_params_clear(&f->params);
    ng_status status = ngi_params_create(g, weights, n, &ngi_fit_stage(f)->optimizer, &f->params, err);
    for (int i = 2 * f->o.head.n; status == NG_OK && i < n; i++)
        f->grads[weights[i]] = ngi_params_grad(&f->params, i);
    ngi_free(weights);
    return status;
}

static ng_status make_trunk(ngi_fit *f, ng_error *err)
{
    ngi_trunk_opts o = {.features = f->cells ? f->o.maps : f->o.head.features,
                        .start = f->kept ? &f->o.frozen_node : NULL,
                        .trained = f->o.trained,
                        .threads = f->o.images.threads,
                        .micro = f->o.micro > 0 ? f->o.micro : 4,
                        .memory = f->o.memory,
                        .backend = f->o.backend};
    if (o.micro > f->o.batch)
        o.micro = f->o.batch;
    return ngi_trunk_create(f->o.graph, &o, &f->trunk, err);
}

ng_status ngi_fit_begin_stage(ngi_fit *f, const ngi_pack *pack, ng_error *err)
{
    if (f->state.stage == NGI_STAGE_DONE) /* of a run that was cut off before its model was saved */
        f->state.stage = f->o.trained ? NGI_STAGE_TOP : NGI_STAGE_HEAD;
    NGI_TRY(make_params(f, err));
    if (pack)
        NGI_TRY(ngi_checkpoint_take(f, pack, err));
    if (f->state.stage == NGI_STAGE_HEAD)
        return ngi_fit_workers(f, 1, f->o.batch > NGI_EVALUATION_BATCH ? f->o.batch : NGI_EVALUATION_BATCH,
                               err);
    NGI_TRY(make_trunk(f, err));
    return ngi_fit_workers(f, f->o.images.threads > 1 ? f->o.images.threads : 1, ngi_trunk_micro(f->trunk),
                           err);
}

/* The maps that the loss on attention is of. */
static ng_status find_maps(ngi_fit *f, ng_error *err)
{
    const ngi_graph *g = f->o.graph;
    const ngi_node *pool = &g->nodes[f->o.head.features];
    if (f->o.attention == 0)
        return NG_OK;
    if (pool->op != NGI_OP_GLOBAL_AVG || pool->inputs[0] != f->o.maps)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "a loss on attention needs a head of global average pooling of a spatial layer");
    const ngi_shape *maps = &g->nodes[f->o.maps].shape;
    f->cells = (int)(maps->dim[0] * maps->dim[1]);
    return NG_OK;
}

static ng_status start(ngi_fit *f, ng_error *err)
{
    f->classes = ngi_train_head_classes(&f->o.head);
    f->width = f->o.head.dense[0].in;
    f->head_total = head_total(&f->o.head);
    if (f->classes != f->o.images.data->n_classes)
        return ngi_fail(err, NG_E_SHAPE, "the head has %d classes, the data %d", f->classes,
                        f->o.images.data->n_classes);
    NGI_TRY(find_maps(f, err));
    NGI_TRY(find_items(f, err));
    NGI_TRY(make_room(f, err));
    if (f->o.stages[0].epochs == 0 && f->o.trained)
        f->state.stage = NGI_STAGE_TOP;
    ngi_pack *pack = NULL;
    ng_status status = f->o.resume && f->o.checkpoint ? ngi_checkpoint_open(f, &pack, err) : NG_E_NOT_FOUND;
    f->resumed = status == NG_OK;
    bool done = f->state.stage == NGI_STAGE_DONE;
    if (status == NG_E_NOT_FOUND || status == NG_OK)
        status = ngi_fit_begin_stage(f, pack, err);
    if (done)
        f->state.stage = NGI_STAGE_DONE;
    ngi_pack_close(pack);
    f->saved_at = ngi_fit_clock();
    return status;
}

ng_status ngi_fit_create(const ngi_fit_opts *opts, ngi_fit **out, ng_error *err)
{
    *out = NULL;
    ngi_fit *f = ngi_alloc_zero(1, sizeof *f);
    if (!f)
        return ngi_fail_memory(err, sizeof *f);
    f->o = *opts;
    ng_status status = start(f, err);
    if (status == NG_OK)
        *out = f;
    else
        ngi_fit_free(f);
    return status;
}

void ngi_fit_free(ngi_fit *f)
{
    if (!f)
        return;
    ngi_fit_clear_workers(f);
    ngi_trunk_free(f->trunk);
    ngi_params_clear(&f->params);
    ngi_free(f->history);
    ngi_free(f->train);
    ngi_free(f->val);
    ngi_free(f->order);
    ngi_free(f->draws);
    ngi_free(f->class_weights);
    ngi_free(f->kept);
    ngi_free(f->rows);
    ngi_free(f->targets);
    ngi_free(f->logits_grad);
    ngi_free(f->weights);
    ngi_free(f->each);
    ngi_free(f->outside);
    ngi_free(f->donors);
    ngi_free(f->right);
    ngi_free(f->grads);
    ngi_free(f);
}

bool ngi_fit_resumed(const ngi_fit *f)
{
    return f->resumed;
}

const ngi_epoch *ngi_fit_history(const ngi_fit *f, int *n)
{
    *n = f->n_history;
    return f->history;
}

int ngi_fit_best_epoch(const ngi_fit *f)
{
    return f->state.best_epoch;
}
