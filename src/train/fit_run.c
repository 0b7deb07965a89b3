/* Stages, epochs, what is watched and kept. */
#include "train/fit_own.h"
#include "train/order.h"

#include <math.h>
#include <time.h>

static double wall_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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
        f->state.epochs_done + 1, (long long)f->state.step + 1, what, value, learning_rate(f),
        *kept ? "; the last good checkpoint is kept in " : "", kept);
}

static ng_status update(ngi_fit *f, const int64_t *items, int n, float *images, ng_error *err)
{
    double loss, right, norm;
    ngi_fit_state *s = &f->state;
    NGI_TRY(ngi_fit_batch(f, items, n, images, s->place, s->place / f->o.batch, &loss, &right, err));
    if (!isfinite(loss))
        return fail_at(f, "the loss", loss, err);
    double rate = learning_rate(f);
    NGI_TRY(ngi_optimizer_step(&ngi_fit_stage(f)->optimizer, f->params.items, f->params.n, s->step + 1, rate,
                               f->n_workers, &norm, err));
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

static ng_status run_kept(ngi_fit *f, ng_error *err)
{
    int64_t *items = ngi_alloc((size_t)f->o.batch, sizeof *items);
    if (!items)
        return ngi_fail_memory(err, (size_t)f->o.batch * sizeof *items);
    ng_status status = NG_OK;
    while (f->state.place < f->n_train && status == NG_OK) {
        int size = (int)next_size(f), n = ngi_fit_gather(f, f->order + f->state.place, size, items);
        f->state.skipped += size - n;
        status = n ? update(f, items, n, f->kept, err) : NG_OK;
        if (status != NG_OK)
            break;
        f->state.place += size;
        status = after_step(f, err);
    }
    ngi_free(items);
    return status;
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
    o.draws = f->draws ? f->draws + f->state.place : NULL;
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
    if (f->n_val == 0)
        return NG_OK;
    NGI_TRY(ngi_fit_evaluate(f, f->val, f->n_val, &e->val_loss, &e->val_accuracy, NULL, &judged, err));
    return judged ? NG_OK : ngi_fail(err, NG_E_IO, "none of the validation images could be read any more");
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

static ng_status find_order(ngi_fit *f, ng_error *err)
{
    const ngi_dataset *d = f->o.images.data;
    int64_t epoch = f->state.epochs_done;
    if (!f->o.balanced_sampler) {
        ngi_order_shuffle(f->train, f->n_train, f->o.seed, epoch, f->order);
        return NG_OK;
    }
    NGI_TRY(ngi_order_balanced(d, f->train, f->n_train, f->o.seed, epoch, f->order, err));
    return ngi_order_draws(f->order, f->n_train, d->n_items, f->draws, err);
}

static ng_status run_epoch(ngi_fit *f, ng_error *err)
{
    double began = ngi_fit_clock();
    NGI_TRY(find_order(f, err));
    if (f->trunk)
        NGI_TRY(f->kept ? run_kept(f, err) : run_images(f, err));
    else
        NGI_TRY(run_features(f, err));
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
        return ngi_fit_begin_stage(f, NULL, err);
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
