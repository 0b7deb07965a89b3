/* ng_train: data, new model, features, the fit, the file, its check. */
#include "api/train.h"

#include "train/log.h"
#include "train/team.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void ng_train_opts_init(ng_train_opts *opts)
{
    *opts = (ng_train_opts){.struct_size = sizeof *opts,
                            .val = 0.2,
                            .duplicates = 1,
                            .fit = NG_FIT_SQUASH,
                            .resample = NG_RESAMPLE_PIL_BILINEAR,
                            .base_layer = -1,
                            .pooling = "avg",
                            .dropout = 0.2,
                            .epochs = 30,
                            .fine_epochs = 10,
                            .unfreeze_layer = -1,
                            .batch = 32,
                            .optimizer = "adam",
                            .rate = 1e-3,
                            .fine_rate = 1e-5,
                            .momentum = 0.9,
                            .epsilon = 1e-7,
                            .weight_decay = -1,
                            .schedule = "constant",
                            .patience = 10,
                            .threads = 1,
                            .micro_batch = 4,
                            .checkpoint_minutes = 5};
}

const char *ng_train_loss(int i)
{
    return i >= 0 && i < NGI_LOSS_COUNT ? ngi_loss_name((ngi_loss_kind)i) : NULL;
}

const char *ng_train_optimizer(int i)
{
    return i >= 0 && i < NGI_OPTIMIZER_COUNT ? ngi_optimizer_name((ngi_optimizer_kind)i) : NULL;
}

const char *ng_train_schedule(int i)
{
    return i >= 0 && i < NGI_SCHEDULE_COUNT ? ngi_schedule_name((ngi_schedule_kind)i) : NULL;
}

/* ---- The caller hears -------------------------------------------------------------------------- */

static int tell(ngi_training *t, const ng_train_event *e)
{
    if (t->o.progress && t->o.progress(t->o.context, e) != 0)
        t->stopped = true;
    return t->stopped;
}

void ngi_training_tell(ngi_training *t, ng_train_event_kind kind, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ng_train_event e = {.kind = kind, .text = text};
    tell(t, &e);
}

int ngi_training_show(ngi_training *t, ng_train_event_kind kind, int64_t done, int64_t total)
{
    ng_train_event e = {.kind = kind, .done = done, .total = total};
    return tell(t, &e);
}

static int show_features(void *user, int64_t done, int64_t total)
{
    return ngi_training_show(user, NG_TRAIN_FEATURES, done, total);
}

static void note_unreadable(void *user, int64_t item, const ng_error *why)
{
    ngi_training *t = user;
    if (t->left_out[item])
        return;
    t->left_out[item] = true;
    ngi_training_tell(t, NG_TRAIN_WARNING, "left out: %s", why->text);
}

static int epochs_at_most(const ngi_training *t)
{
    return t->o.epochs + (t->trained ? t->o.fine_epochs : 0);
}

static int on_step(void *user, const ngi_fit_state *s, int64_t places)
{
    ngi_training *t = user;
    ng_train_event e = {.kind = NG_TRAIN_STEP,
                        .done = s->place,
                        .total = places,
                        .epoch = s->epochs_done + 1,
                        .epoch_total = epochs_at_most(t),
                        .loss = s->seen ? s->sum_loss / (double)s->seen : 0};
    return tell(t, &e);
}

static ng_train_epoch public_epoch(const ngi_epoch *e)
{
    return (ng_train_epoch){.stage = e->stage == NGI_STAGE_HEAD ? "head" : "top",
                            .epoch = e->epoch,
                            .loss = e->loss,
                            .accuracy = e->accuracy,
                            .val_loss = e->val_loss,
                            .val_accuracy = e->val_accuracy,
                            .learning_rate = e->rate,
                            .gradient_norm = e->norm,
                            .seconds = e->seconds,
                            .images = e->images,
                            .skipped = e->skipped};
}

static int on_epoch(void *user, const ngi_epoch *history, int n)
{
    ngi_training *t = user;
    ng_error err;
    for (int i = 0; i < n; i++)
        t->epochs[i] = public_epoch(&history[i]);
    if (ngi_log_write(t->out->folder, history, n, &err) != NG_OK)
        ngi_training_tell(t, NG_TRAIN_WARNING, "metrics could not be written: %s", err.text);
    ngi_training_watch(t, history[n - 1].epoch);
    ng_train_event e = {.kind = NG_TRAIN_EPOCH,
                        .epoch_total = epochs_at_most(t),
                        .epochs = t->epochs,
                        .epoch_count = n,
                        .model = t->model};
    return tell(t, &e);
}

/* ---- Options ----------------------------------------------------------------------------------- */

static ng_status check_options(const ng_train_opts *o, ng_error *err)
{
    const struct {
        const char *name;
        double value, low, high;
    } ranges[] = {{"dropout", o->dropout, 0, 0.99},
                  {"label smoothing", o->label_smoothing, 0, 0.99},
                  {"epochs", o->epochs, 0, 1e6},
                  {"epochs of the second stage", o->fine_epochs, 0, 1e6},
                  {"batch", o->batch, 1, 4096},
                  {"learning rate", o->rate, 1e-12, 1e3},
                  {"learning rate of the second stage", o->fine_rate, 1e-12, 1e3},
                  {"momentum", o->momentum, 0, 0.9999},
                  {"epsilon", o->epsilon, 1e-12, 10},
                  {"weight decay", o->weight_decay, -1, 1},
                  {"clip", o->clip, 0, 1e9},
                  {"ema", o->ema, 0, 0.999999},
                  {"warm-up", o->warmup, 0, 1e9},
                  {"attention loss", o->attention, 0, 1e6},
                  {"background swap", o->background_swap, 0, 1},
                  {"patience", o->patience, 0, 1e6},
                  {"threads", o->threads, 1, NGI_TEAM_MOST},
                  {"micro-batch", o->micro_batch, 1, 256},
                  {"hidden layers", o->hidden_count, 0, NGI_HEAD_MOST - 1}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high))
            return ngi_fail(err, NG_E_ARGUMENT, "%s %g: expected %g to %g", ranges[i].name, ranges[i].value,
                            ranges[i].low, ranges[i].high);
    return NG_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* `given`, or the model's path without its ending and `suffix`, into out [size]. */
static ng_status name_folder(const ngi_training *t, const char *given, const char *suffix, char *out,
                             size_t size, ng_error *err)
{
    size_t stem = strlen(t->path);
    while (stem > 1 && t->path[stem - 1] == '/')
        stem--;
    stem -= ends_with(t->path, ".keras") ? 6 : ends_with(t->path, ".h5") ? 3 : 0;
    int n =
        given ? snprintf(out, size, "%s", given) : snprintf(out, size, "%.*s%s", (int)stem, t->path, suffix);
    if (n < 0 || (size_t)n >= size)
        return ngi_fail(err, NG_E_ARGUMENT, "%.60s...: the path is too long", t->path);
    return NG_OK;
}

static ng_status find_folders(ngi_training *t, ng_error *err)
{
    ng_train_result *r = t->out;
    NGI_TRY(name_folder(t, t->o.folder, "-train", r->folder, sizeof r->folder, err));
    NGI_TRY(name_folder(t, t->o.report, "-report", r->report, sizeof r->report, err));
    if (mkdir(t->out->folder, 0777) != 0 && errno != EEXIST)
        return ngi_fail(err, NG_E_IO, "%s: %s", t->out->folder, strerror(errno));
    t->checkpoint = ngi_path_join(t->out->folder, "checkpoint");
    t->frozen_path = ngi_path_join(t->out->folder, "frozen");
    t->features_path = t->o.features ? ngi_strdup(t->o.features) : ngi_path_join(t->out->folder, "features");
    return t->checkpoint && t->features_path && t->frozen_path ? NG_OK
                                                               : ngi_fail_memory(err, strlen(t->path) + 64);
}

/* ---- The run ----------------------------------------------------------------------------------- */

ng_status ngi_training_compute(ngi_training *t, int node, ngi_features *rows, ng_error *err)
{
    ngi_trunk_opts opts = {.features = node,
                           .threads = t->o.threads,
                           .micro = t->o.micro_batch,
                           .memory = t->o.memory,
                           .backend = t->o.backend};
    ngi_features_run run = {.images = ngi_training_images(t),
                            .graph = t->model->graph,
                            .features = node,
                            .progress = show_features,
                            .unreadable = note_unreadable,
                            .user = t};
    if (rows->found == t->data.n_items)
        return NG_OK;
    if (rows->found)
        ngi_training_tell(t, NG_TRAIN_NOTE, "features of %lld of %lld images are there from an earlier run",
                          (long long)rows->found, (long long)t->data.n_items);
    NGI_TRY(ngi_trunk_create(t->model->graph, &opts, &run.trunk, err));
    ng_status status = ngi_features_compute(rows, &run, err);
    ngi_trunk_free(run.trunk);
    return status;
}

static ng_status open_fit(ngi_training *t, ng_error *err)
{
    ngi_fit_opts o = {.graph = t->model->graph,
                      .head = t->head,
                      .features = &t->features,
                      .frozen = t->frozen.rows ? &t->frozen : NULL,
                      .frozen_node = t->frozen_node,
                      .images = ngi_training_images(t),
                      .augment = &t->augment,
                      .trained = t->trained,
                      .loss = t->loss,
                      .batch = t->o.batch,
                      .micro = t->o.micro_batch,
                      .memory = t->o.memory,
                      .attention = t->o.attention,
                      .maps = t->model->graph->nodes[t->head.features].inputs[0],
                      .background_swap = t->o.background_swap,
                      .balanced_weights = t->o.balanced_weights,
                      .balanced_sampler = t->o.balanced_sampler,
                      .seed = t->o.seed,
                      .patience = t->o.patience,
                      .keep_last = t->o.keep_last,
                      .backend = t->o.backend,
                      .checkpoint = t->checkpoint,
                      .key = t->key,
                      .checkpoint_seconds = 60 * t->o.checkpoint_minutes,
                      .resume = t->o.resume,
                      .on_step = on_step,
                      .on_epoch = on_epoch,
                      .on_unreadable = note_unreadable,
                      .user = t};
    NGI_TRY(ngi_training_stage(t, false, &o.stages[0], err));
    NGI_TRY(ngi_training_stage(t, true, &o.stages[1], err));
    t->epochs = ngi_alloc_zero((size_t)epochs_at_most(t) + 1, sizeof *t->epochs);
    if (!t->epochs)
        return ngi_fail_memory(err, (size_t)epochs_at_most(t) * sizeof *t->epochs);
    NGI_TRY(ngi_fit_create(&o, &t->fit, err));
    t->out->resumed = ngi_fit_resumed(t->fit);
    int n;
    const ngi_epoch *history = ngi_fit_history(t->fit, &n);
    if (t->out->resumed)
        ngi_training_tell(t, NG_TRAIN_NOTE, "goes on from %s, after %d epochs", t->checkpoint, n);
    ngi_training_watch_begin(t, n);
    return n ? ngi_log_write(t->out->folder, history, n, err) : NG_OK;
}

static ng_status save_model(ngi_training *t, ng_error *err)
{
    NGI_TRY(ngi_model_hash(t->model->file.config, t->model->file.config_size, t->model->graph,
                           t->model->file.hash, err));
    /* A folder that a run which was killed later has written is not written over; it is checked like what is new. */
    if (t->out->resumed && ngi_path_is_directory(t->path))
        return NG_OK;
    return ngi_model_save(&t->model->file, t->path, NULL, err);
}

static ng_status judge_split(ngi_training *t, ngi_split split, double *loss, double *accuracy, int64_t *n,
                             ng_error *err)
{
    int64_t *items = ngi_alloc((size_t)t->data.n_items, sizeof *items);
    if (!items)
        return ngi_fail_memory(err, (size_t)t->data.n_items * sizeof *items);
    *loss = *accuracy = NAN;
    *n = ngi_fit_items(&t->data, &t->features, split, items);
    ng_status status = *n ? ngi_fit_evaluate(t->fit, items, *n, loss, accuracy, NULL, n, err) : NG_OK;
    ngi_free(items);
    return status;
}

static ng_status finish(ngi_training *t, const char *data, ng_error *err)
{
    ng_train_result *r = t->out;
    NGI_TRY(save_model(t, err));
    NGI_TRY(ngi_training_check(t, err));
    NGI_TRY(judge_split(t, NGI_SPLIT_VAL, &r->val_loss, &r->val_accuracy, &r->val_images, err));
    NGI_TRY(judge_split(t, NGI_SPLIT_TEST, &r->test_loss, &r->test_accuracy, &r->test_images, err));
    ngi_fit_history(t->fit, &r->epoch_count);
    r->best_epoch = ngi_fit_best_epoch(t->fit);
    for (int64_t i = 0; i < t->data.n_items; i++) {
        r->train_images += ngi_features_row(&t->features, i) && t->data.items[i].split == NGI_SPLIT_TRAIN;
        r->unreadable += t->left_out[i];
    }
    ngi_training_report(t, data);
    (void)unlink(t->checkpoint); /* last: a run that is killed before this is resumed to all that it writes */
    (void)unlink(t->frozen_path);
    return NG_OK;
}

/* Half-written files of runs that were killed. */
static void sweep(const ngi_training *t)
{
    const char *const written[] = {t->path, t->checkpoint, t->features_path, t->frozen_path};
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        ngi_file_sweep(written[i]);
}

static ng_status run(ngi_training *t, const char *data, ng_error *err)
{
    NGI_TRY(check_options(&t->o, err));
    NGI_TRY(find_folders(t, err));
    sweep(t);
    bool unfinished = ngi_path_exists(t->checkpoint);
    if (t->o.resume && !unfinished && ngi_path_exists(t->path)) {
        t->out->finished_before = 1;
        return NG_OK;
    }
    if (unfinished && !t->o.resume)
        ngi_training_tell(t, NG_TRAIN_WARNING,
                          "%s is left of a run that was not finished: it begins anew (resume would go on)",
                          t->checkpoint);
    NGI_TRY(ngi_training_open_data(t, data, err));
    if (!(t->left_out = ngi_alloc_zero((size_t)t->data.n_items, sizeof *t->left_out)))
        return ngi_fail_memory(err, (size_t)t->data.n_items);
    NGI_TRY(ngi_training_make_model(t, err));
    if (!(unfinished && t->o.resume && ngi_path_is_directory(t->path)))
        NGI_TRY(ngi_model_check_save(&t->model->file, t->path, NULL, err)); /* not at the end of all work */
    NGI_TRY(ngi_training_find_key(t, err));
    NGI_TRY(ngi_training_compute(t, t->head.features, &t->features, err));
    NGI_TRY(ngi_training_freeze(t, err));
    NGI_TRY(open_fit(t, err));
    NGI_TRY(ngi_fit_run(t->fit, err));
    return finish(t, data, err);
}

ng_status ng_train(const ng_model *base, const char *data, const char *path, const ng_train_opts *opts,
                   ng_train_result *out, ng_error *err)
{
    ngi_training t = {.base = base, .path = path, .out = out};
    ng_train_opts_init(&t.o);
    if (opts)
        t.o = *opts;
    *out = (ng_train_result){.val_loss = NAN, .val_accuracy = NAN, .test_loss = NAN, .test_accuracy = NAN};
    ng_image_opts_init(&t.image);
    if (t.o.image)
        t.image = *t.o.image;
    ng_status status = run(&t, data, err);
    ngi_fit_free(t.fit);
    ngi_watch_close(t.watch);
    ngi_features_clear(&t.features);
    ngi_features_clear(&t.frozen);
    ng_model_free(t.model);
    ngi_dataset_clear(&t.data);
    ngi_free(t.weight_of);
    ngi_free(t.trained);
    ngi_free(t.left_out);
    ngi_free(t.epochs);
    ngi_free(t.checkpoint);
    ngi_free(t.features_path);
    ngi_free(t.frozen_path);
    return status;
}
