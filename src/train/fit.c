/* Stages, epochs, what is watched and kept. */
#include "train/fit.h"

#include "data/region.h"
#include "train/fit_own.h"
#include "train/order.h"

#include <math.h>
#include <string.h>
#include <time.h>

double ngi_fit_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double wall_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
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
    if (!f->train || !f->val || !f->order)
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
                        .trained = f->o.trained,
                        .threads = f->o.images.threads,
                        .micro = f->o.micro > 0 ? f->o.micro : 4,
                        .memory = f->o.memory,
                        .backend = f->o.backend};
    if (o.micro > f->o.batch)
        o.micro = f->o.batch;
    return ngi_trunk_create(f->o.graph, &o, &f->trunk, err);
}

/* What the state's stage needs; with `pack` the weights as they were. */
static ng_status begin_stage(ngi_fit *f, const ngi_pack *pack, ng_error *err)
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
        status = begin_stage(f, pack, err);
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
    ngi_free(f->class_weights);
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

/* ---- Steps ------------------------------------------------------------------------------------- */

static double learning_rate(const ngi_fit *f)
{
    const ngi_stage_opts *s = ngi_fit_stage(f);
    ngi_schedule schedule = s->schedule;
    int64_t steps = s->epochs * ((f->n_train + f->o.batch - 1) / f->o.batch) - schedule.warmup_steps;
    if (schedule.decay_steps == 0)
        schedule.decay_steps = schedule.kind == NGI_SCHEDULE_STEP ? (steps + 2) / 3 : steps;
    return ngi_schedule_rate(&schedule, &f->state.plateau, f->state.step);
}

static ng_status fail_at(const ngi_fit *f, const char *what, double value, ng_error *err)
{
    const char *kept = f->o.checkpoint ? f->o.checkpoint : "";
    return ngi_fail(
        err, NG_E_LIMIT,
        "epoch %d, step %lld: %s is %g: training has diverged. Try a smaller learning rate (it was %g) or "
        "clipped gradients%s%s",
        f->state.epochs_done + 1, (long long)(f->state.step + 1), what, value, learning_rate(f),
        *kept ? "; the last good checkpoint is kept in " : "", kept);
}

static ng_status update(ngi_fit *f, const int64_t *items, int n, float *images, ng_error *err)
{
    double loss, right;
    ngi_fit_state *s = &f->state;
    NGI_TRY(ngi_fit_batch(f, items, n, images, s->place, s->place / f->o.batch, &loss, &right, err));
    if (!isfinite(loss))
        return fail_at(f, "the loss", loss, err);
    double rate = learning_rate(f);
    double norm =
        ngi_optimizer_step(&ngi_fit_stage(f)->optimizer, f->params.items, f->params.n, s->step + 1, rate);
    if (!isfinite(norm))
        return fail_at(f, "the gradients' norm", norm, err);
    if (images)
        NGI_TRY(ngi_trunk_update(f->trunk, err));
    s->norm = norm;
    s->rate = rate;
    s->step++;
    s->sum_loss += loss * n;
    s->sum_right += right;
    s->seen += n;
    return NG_OK;
}

static ng_status save(ngi_fit *f, ng_error *err)
{
    f->saved_at = ngi_fit_clock();
    return f->o.checkpoint ? ngi_checkpoint_save(f, err) : NG_OK;
}

static ng_status stop_here(const ngi_fit *f, ng_error *err)
{
    return ngi_fail(err, NG_E_CANCELLED, "interrupted after %d epochs and %lld images%s%s",
                    f->state.epochs_done, (long long)f->state.place,
                    f->o.checkpoint ? "; --resume goes on from " : "",
                    f->o.checkpoint ? f->o.checkpoint : "");
}

/* Between two updates: the caller hears, the checkpoint is written when it is time. */
static ng_status after_step(ngi_fit *f, ng_error *err)
{
    bool stop = f->o.on_step && f->o.on_step(f->o.user, &f->state, f->n_train);
    bool due = f->o.checkpoint_seconds > 0 && ngi_fit_clock() - f->saved_at >= f->o.checkpoint_seconds;
    if (stop || due)
        NGI_TRY(save(f, err));
    return stop ? stop_here(f, err) : NG_OK;
}

static int64_t next_size(const ngi_fit *f)
{
    int64_t left = f->n_train - f->state.place;
    return left < f->o.batch ? left : f->o.batch;
}

static ng_status run_features(ngi_fit *f, ng_error *err)
{
    while (f->state.place < f->n_train) {
        int n = (int)next_size(f);
        NGI_TRY(update(f, f->order + f->state.place, n, NULL, err));
        f->state.place += n;
        NGI_TRY(after_step(f, err));
    }
    return NG_OK;
}

static ng_status run_loader(ngi_fit *f, ngi_loader *l, ng_error *err)
{
    int64_t first = f->state.place, skipped = f->state.skipped;
    while (f->state.place < f->n_train) {
        ngi_loader_batch batch;
        NGI_TRY(ngi_loader_next(l, &batch, err));
        f->state.skipped = skipped + ngi_loader_skipped(l);
        if (batch.n == 0)
            break;
        f->state.place =
            first + batch.number * f->o.batch; /* batches of nothing but unreadable images are passed over */
        f->regions = batch.regions;
        NGI_TRY(update(f, batch.items, batch.n, batch.images, err));
        f->state.place += next_size(f);
        NGI_TRY(after_step(f, err));
    }
    f->state.place = f->n_train;
    return NG_OK;
}

static ng_status run_images(ngi_fit *f, ng_error *err)
{
    ngi_loader *l = NULL;
    ngi_loader_options o = f->o.images;
    o.order = f->order + f->state.place;
    o.n_order = f->n_train - f->state.place;
    o.batch = f->o.batch;
    o.augment = f->o.augment;
    o.background_swap = f->o.background_swap;
    o.donors = f->donors;
    o.n_donors = f->n_donors;
    if (f->cells) {
        o.grid_h = (int)f->o.graph->nodes[f->o.maps].shape.dim[0];
        o.grid_w = (int)f->o.graph->nodes[f->o.maps].shape.dim[1];
    }
    o.seed = f->o.seed;
    o.epoch = f->state.epochs_done;
    o.skip_unreadable = true;
    o.unreadable = f->o.on_unreadable;
    o.user = f->o.user;
    NGI_TRY(ngi_loader_create(&o, &l, err));
    ng_status status = run_loader(f, l, err);
    ngi_loader_free(l);
    return status;
}

/* ---- Epochs ------------------------------------------------------------------------------------ */

static ng_status evaluate(ngi_fit *f, ngi_epoch *e, ng_error *err)
{
    int64_t judged;
    e->val_loss = e->val_accuracy = NAN;
    return f->n_val
               ? ngi_fit_evaluate(f, f->val, f->n_val, &e->val_loss, &e->val_accuracy, NULL, &judged, err)
               : NG_OK;
}

static ng_status swap_average(ngi_fit *f, ng_error *err)
{
    if (!f->params.average)
        return NG_OK;
    ngi_params_swap_average(&f->params);
    return f->trunk ? ngi_trunk_update(f->trunk, err) : NG_OK;
}

/* Keeps the weights that the graph has now, if they are the best so far. */
static void judge(ngi_fit *f, double loss, int epoch)
{
    ngi_fit_state *s = &f->state;
    if (f->o.keep_last || !s->has_best || loss < s->best) {
        ngi_params_get(&f->params, f->params.best);
        s->best_epoch = epoch;
    }
    if (!s->has_best || loss < s->best) {
        s->best = loss;
        s->wait = 0;
    } else {
        s->wait++;
    }
    s->has_best = true;
}

static ng_status remember(ngi_fit *f, const ngi_epoch *e, ng_error *err)
{
    if (f->n_history == f->history_capacity) {
        int capacity = f->history_capacity ? 2 * f->history_capacity : 32;
        ngi_epoch *larger = ngi_realloc(f->history, (size_t)capacity, sizeof *larger);
        if (!larger)
            return ngi_fail_memory(err, (size_t)capacity * sizeof *larger);
        f->history = larger;
        f->history_capacity = capacity;
    }
    f->history[f->n_history++] = *e;
    return NG_OK;
}

static ng_status end_epoch(ngi_fit *f, double began, ng_error *err)
{
    ngi_fit_state *s = &f->state;
    double seen = s->seen ? (double)s->seen : 1;
    ngi_epoch e = {.stage = s->stage,
                   .epoch = s->epochs_done + 1,
                   .loss = s->sum_loss / seen,
                   .accuracy = s->sum_right / seen,
                   .rate = s->rate,
                   .norm = s->norm,
                   .images = s->seen,
                   .skipped = s->skipped};
    if (s->seen == 0)
        return ngi_fail(err, NG_E_IO, "epoch %d: none of the images could be read any more", e.epoch);
    NGI_TRY(swap_average(f, err));
    NGI_TRY(evaluate(f, &e, err));
    double watched = f->n_val ? e.val_loss : e.loss;
    if (!isfinite(watched))
        return fail_at(f, f->n_val ? "the validation loss" : "the loss", watched, err);
    judge(f, watched, e.epoch);
    NGI_TRY(swap_average(f, err));
    ngi_schedule_epoch(&ngi_fit_stage(f)->schedule, &s->plateau, watched);
    e.seconds = ngi_fit_clock() - began;
    e.wall = wall_clock();
    NGI_TRY(remember(f, &e, err));
    s->epoch++;
    s->epochs_done++;
    s->place = s->seen = s->skipped = 0;
    s->sum_loss = s->sum_right = 0;
    return NG_OK;
}

static bool stage_ended(const ngi_fit *f)
{
    return f->state.epoch >= ngi_fit_stage(f)->epochs ||
           (f->o.patience > 0 && f->state.wait >= f->o.patience);
}

static ng_status run_epoch(ngi_fit *f, ng_error *err)
{
    double began = ngi_fit_clock();
    uint64_t seed = f->o.seed;
    int64_t epoch = f->state.epochs_done;
    if (f->o.balanced_sampler)
        NGI_TRY(ngi_order_balanced(f->o.images.data, f->train, f->n_train, seed, epoch, f->order, err));
    else
        ngi_order_shuffle(f->train, f->n_train, seed, epoch, f->order);
    NGI_TRY(f->trunk ? run_images(f, err) : run_features(f, err));
    return end_epoch(f, began, err);
}

/* The stage's best weights into the graph; then the next stage. */
static ng_status end_stage(ngi_fit *f, ng_error *err)
{
    ngi_fit_state *s = &f->state;
    ngi_params_set(&f->params, f->params.best);
    if (s->stage == NGI_STAGE_HEAD && f->o.trained && f->o.stages[1].epochs > 0) {
        int done = s->epochs_done, best = s->best_epoch;
        *s = (ngi_fit_state){.stage = NGI_STAGE_TOP, .epochs_done = done, .best_epoch = best};
        return begin_stage(f, NULL, err);
    }
    s->stage = NGI_STAGE_DONE;
    return f->trunk ? ngi_trunk_update(f->trunk, err) : NG_OK;
}

/* A stage that only makes things worse gives back what it began with. */
static ng_status judge_start(ngi_fit *f, ng_error *err)
{
    ngi_epoch e = {0};
    if (f->state.stage != NGI_STAGE_TOP || f->state.has_best || f->n_val == 0 || f->o.stages[0].epochs == 0)
        return NG_OK;
    NGI_TRY(evaluate(f, &e, err));
    if (isfinite(e.val_loss))
        judge(f, e.val_loss, f->state.best_epoch);
    return NG_OK;
}

ng_status ngi_fit_run(ngi_fit *f, ng_error *err)
{
    while (f->state.stage != NGI_STAGE_DONE) {
        NGI_TRY(judge_start(f, err));
        while (!stage_ended(f)) {
            NGI_TRY(run_epoch(f, err));
            NGI_TRY(save(f, err));
            if (f->o.on_epoch && f->o.on_epoch(f->o.user, f->history, f->n_history))
                return stop_here(f, err);
        }
        NGI_TRY(end_stage(f, err));
        NGI_TRY(save(f, err));
    }
    return NG_OK;
}
