/* One batch through the network: losses and gradients, or losses alone. */
#include "train/fit_own.h"
#include "train/order.h"

#include <string.h>

/* ---- Workers ----------------------------------------------------------------------------------- */

void ngi_fit_clear_workers(ngi_fit *f)
{
    for (int i = 0; i < f->n_workers; i++) {
        ngi_head_work_clear(&f->workers[i].head);
        ngi_free(f->workers[i].head_grads);
        ngi_free(f->workers[i].room);
        ngi_fit_attention_clear(&f->workers[i]);
        f->workers[i] = (ngi_fit_worker){0};
    }
    f->n_workers = 0;
}

ng_status ngi_fit_workers(ngi_fit *f, int n, int most, ng_error *err)
{
    ngi_fit_clear_workers(f);
    for (int i = 0; i < n && i < NGI_TEAM_MOST; i++) {
        ngi_fit_worker *w = &f->workers[f->n_workers++];
        NGI_TRY(ngi_head_work_create(&f->o.head, most, &w->head, err));
        if (f->trunk)
            w->head_grads = ngi_alloc((size_t)f->head_total, sizeof *w->head_grads);
        w->room = ngi_alloc((size_t)f->classes, sizeof *w->room);
        if ((f->trunk && !w->head_grads) || !w->room)
            return ngi_fail_memory(err, (size_t)f->head_total * sizeof *w->head_grads);
        NGI_TRY(ngi_fit_attention_room(f, w, most, err));
    }
    return NG_OK;
}

/* ---- What is right ----------------------------------------------------------------------------- */

static int largest(const float *x, int k)
{
    int best = 0;
    for (int i = 1; i < k; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* 0 or 1 of one class an image; of several labels the share of classes that are said rightly (Keras's
 * binary_accuracy). */
static double right_share(const ngi_fit *f, const float *logits, const float *target)
{
    int k = f->classes, right = 0;
    if (f->o.loss.kind != NGI_LOSS_SIGMOID)
        return largest(logits, k) == largest(target, k);
    for (int i = 0; i < k; i++)
        right += (logits[i] > 0) == (target[i] > 0.5f);
    return (double)right / k;
}

/* ---- Gradients --------------------------------------------------------------------------------- */

typedef struct head_batch {
    ngi_fit *f;
    int64_t place; /* of its first image in the epoch */
    int n;
    const int64_t *items; /* [n] */
    bool maps;            /* the head is given maps, not features */
} head_batch;

/* The head on images first to first + n - 1 of the batch: losses, the head's gradients in the worker's row, or at once where
 * they belong in the first stage, whose batch is one piece. `from` are
 * features [n,width], or maps [n,cells,width], and so is grad. */
static void run_head(void *context, int worker, int64_t first, int n, const float *from, float *grad)
{
    const head_batch *b = context;
    ngi_fit *f = b->f;
    ngi_fit_worker *w = &f->workers[worker];
    int64_t at = first * f->classes;
    ngi_head_draw draw = {f->o.seed, f->state.epochs_done, b->place + first};
    const float *features = b->maps ? w->pooled : from;
    if (b->maps)
        ngi_fit_pool(f, from, n, w->pooled);
    const float *logits = ngi_train_head_forward(&f->o.head, &w->head, features, n, &draw);
    ngi_loss_eval(&f->o.loss, logits, f->targets + at, f->weights + first, n, f->classes, b->n, w->room,
                  f->logits_grad + at, f->each + first);
    for (int i = 0; i < n; i++)
        f->right[first + i] =
            right_share(f, logits + (size_t)i * (size_t)f->classes, f->targets + at + i * f->classes);
    float *kernels[NGI_HEAD_MOST], *biases[NGI_HEAD_MOST], *to = f->trunk ? w->head_grads : f->params.grads;
    for (int i = 0; i < f->o.head.n; i++) {
        const ngi_head_dense *d = &f->o.head.dense[i];
        kernels[i] = to;
        biases[i] = to + (int64_t)d->in * d->out;
        to = biases[i] + d->out;
    }
    ngi_train_head_backward(&f->o.head, &w->head, f->logits_grad + at, n, &draw, kernels, biases,
                            b->maps ? w->pooled_grad : grad);
    if (b->maps)
        ngi_fit_attend(f, w, b->items + first, first, n, b->n, from, kernels, grad);
}

static void add_head(void *context, int worker)
{
    ngi_fit *f = ((const head_batch *)context)->f;
    const float *from = f->workers[worker].head_grads;
    for (int64_t i = 0; i < f->head_total; i++)
        f->params.grads[i] += from[i];
}

/* Targets, weights and, in the second stage, mixed images. */
static ng_status prepare(ngi_fit *f, const int64_t *items, int n, float *images, int64_t number,
                         ng_error *err)
{
    const ngi_loader_options *o = &f->o.images;
    for (int i = 0; i < n; i++) {
        ngi_target_row(o->data, items[i], f->targets + (int64_t)i * f->classes);
        f->weights[i] = ngi_item_weight(o->data, items[i], f->class_weights);
    }
    if (images && f->o.augment)
        return ngi_augment_batch(f->o.augment, f->o.seed, f->state.epochs_done, number, images, f->targets, n,
                                 o->height, o->width, o->channels, f->classes, err);
    return NG_OK;
}

ng_status ngi_fit_batch(ngi_fit *f, const int64_t *items, int n, float *images, int64_t place, int64_t number,
                        double *loss, double *right, ng_error *err)
{
    head_batch b = {f, place, n, items, images && f->cells};
    NGI_TRY(prepare(f, items, n, images, number, err));
    if (images) {
        ngi_params_zero_grads(&f->params);
        ngi_trunk_step step = {&b, run_head, add_head};
        NGI_TRY(ngi_trunk_train(f->trunk, images, n, &step, f->grads, err));
    } else {
        for (int i = 0; i < n; i++)
            memcpy(f->rows + (int64_t)i * f->width, ngi_features_row(f->o.features, items[i]),
                   (size_t)f->width * sizeof *f->rows);
        run_head(&b, 0, 0, n, f->rows, NULL);
    }
    *loss = *right = 0;
    for (int i = 0; i < n; i++) {
        *loss += (f->each[i] * f->weights[i] + (b.maps ? f->outside[i] : 0)) / n;
        *right += f->right[i];
    }
    return NG_OK;
}

/* ---- Evaluation -------------------------------------------------------------------------------- */

typedef struct judgement {
    ngi_fit *f;
    double loss, right;
    int64_t n;
    float *logits; /* of the next item; NULL: not wanted */
} judgement;

/* The head on f->rows [n]. */
static void judge_rows(judgement *j, const int64_t *items, int n)
{
    ngi_fit *f = j->f;
    ngi_fit_worker *w = &f->workers[0];
    for (int first = 0; first < n; first += w->head.most) {
        int part = n - first < w->head.most ? n - first : w->head.most;
        const float *logits =
            ngi_train_head_forward(&f->o.head, &w->head, f->rows + (int64_t)first * f->width, part, NULL);
        for (int i = 0; i < part; i++)
            ngi_target_row(f->o.images.data, items[first + i], f->targets + (int64_t)i * f->classes);
        ngi_loss_eval(&f->o.loss, logits, f->targets, NULL, part, f->classes, part, w->room, NULL, f->each);
        for (int i = 0; i < part; i++) {
            j->loss += f->each[i];
            j->right +=
                right_share(f, logits + (size_t)i * (size_t)f->classes, f->targets + (int64_t)i * f->classes);
        }
        if (j->logits) {
            memcpy(j->logits, logits, (size_t)part * (size_t)f->classes * sizeof *logits);
            j->logits += (int64_t)part * f->classes;
        }
    }
    j->n += n;
}

static void judge_features(judgement *j, const int64_t *items, int64_t n)
{
    ngi_fit *f = j->f;
    int64_t kept[NGI_EVALUATION_BATCH];
    for (int64_t i = 0; i < n;) {
        int count = 0;
        for (; i < n && count < NGI_EVALUATION_BATCH; i++) {
            const float *row = ngi_features_row(f->o.features, items[i]);
            if (!row)
                continue;
            memcpy(f->rows + (int64_t)count * f->width, row, (size_t)f->width * sizeof *row);
            kept[count++] = items[i];
        }
        judge_rows(j, kept, count);
    }
}

static void keep_rows(void *context, int tap, int64_t first, int n, const float *values)
{
    const ngi_fit *f = context;
    (void)tap;
    if (f->cells)
        ngi_fit_pool(f, values, n, f->rows + first * f->width);
    else
        memcpy(f->rows + first * f->width, values, (size_t)n * (size_t)f->width * sizeof *values);
}

int ngi_fit_gather(ngi_fit *f, const int64_t *items, int64_t n, int64_t *found)
{
    int count = 0;
    size_t width = (size_t)f->o.frozen->width;
    for (int64_t i = 0; i < n; i++) {
        const float *row = ngi_features_row(f->o.frozen, items[i]);
        if (!row)
            continue;
        memcpy(f->kept + (size_t)count * width, row, width * sizeof *row);
        found[count++] = items[i];
    }
    return count;
}

static ng_status judge_kept(judgement *j, const int64_t *items, int64_t n, ng_error *err)
{
    ngi_fit *f = j->f;
    int64_t found[NGI_EVALUATION_BATCH];
    for (int64_t i = 0; i < n; i += NGI_EVALUATION_BATCH) {
        int64_t size = n - i < NGI_EVALUATION_BATCH ? n - i : NGI_EVALUATION_BATCH;
        int count = ngi_fit_gather(f, items + i, size, found);
        NGI_TRY(ngi_trunk_forward(f->trunk, f->kept, count, keep_rows, f, err));
        judge_rows(j, found, count);
    }
    return NG_OK;
}

static ng_status judge_images(judgement *j, const int64_t *items, int64_t n, ng_error *err)
{
    ngi_fit *f = j->f;
    ngi_loader *l = NULL;
    ngi_loader_options o = f->o.images;
    o.order = items;
    o.n_order = n;
    o.batch = NGI_EVALUATION_BATCH < f->o.batch ? NGI_EVALUATION_BATCH : f->o.batch;
    o.augment = NULL;
    o.skip_unreadable = true;
    NGI_TRY(ngi_loader_create(&o, &l, err));
    ngi_loader_batch batch = {.n = 1};
    ng_status status = NG_OK;
    while (status == NG_OK && batch.n) {
        status = ngi_loader_next(l, &batch, err);
        if (status == NG_OK && batch.n)
            status = ngi_trunk_forward(f->trunk, batch.images, batch.n, keep_rows, f, err);
        if (status == NG_OK && batch.n)
            judge_rows(j, batch.items, batch.n);
    }
    ngi_loader_free(l);
    return status;
}

ng_status ngi_fit_evaluate(ngi_fit *f, const int64_t *items, int64_t n, double *loss, double *accuracy,
                           float *logits, int64_t *judged, ng_error *err)
{
    judgement j = {.f = f, .logits = logits};
    if (f->trunk)
        NGI_TRY(f->kept ? judge_kept(&j, items, n, err) : judge_images(&j, items, n, err));
    else
        judge_features(&j, items, n);
    *judged = j.n;
    *loss = j.loss / (double)j.n;
    *accuracy = j.right / (double)j.n;
    return NG_OK;
}
