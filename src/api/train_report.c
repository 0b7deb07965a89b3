/* What a run of ng_train shows: where the network looks after each epoch, and at its end how good it is. Neither may cost the
 * run: what goes wrong here is a warning. */
#include "api/train.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static bool make_folder(ngi_training *t)
{
    if (mkdir(t->out->report, 0777) == 0 || errno == EEXIST)
        return true;
    ngi_training_tell(t, NG_TRAIN_WARNING, "%s: %s", t->out->report, strerror(errno));
    t->out->report[0] = 0;
    return false;
}

void ngi_training_watch_begin(ngi_training *t, int epochs_done)
{
    ngi_watch_opts o = {.data = &t->data,
                        .images = t->o.watch,
                        .folder = t->out->report,
                        .title = t->path,
                        .layer = -1,
                        .fit = t->o.fit,
                        .resample = t->o.resample,
                        .image = &t->image,
                        .threads = t->o.threads,
                        .backend = t->o.backend,
                        .resume = t->out->resumed,
                        .before = epochs_done + 1};
    ng_error err;
    if (t->o.watch < 1 || !*t->out->report || !make_folder(t))
        return;
    if (ngi_watch_open(t->model, &o, &t->watch, &err) != NG_OK)
        ngi_training_tell(t, NG_TRAIN_WARNING, "nothing is watched: %s", err.text);
}

void ngi_training_watch(ngi_training *t, int epoch)
{
    ng_error err;
    if (!t->watch || ngi_watch_add(t->watch, t->model, epoch, &err) == NG_OK)
        return;
    ngi_training_tell(t, NG_TRAIN_WARNING, "epoch %d is not watched: %s", epoch, err.text);
}

static int show(void *context, const char *what, int64_t done, int64_t total)
{
    (void)what;
    return ngi_training_show(context, NG_TRAIN_REPORT, done, total);
}

void ngi_training_report(ngi_training *t, const char *data)
{
    ng_error err;
    ng_evaluate_opts o;
    ng_evaluate_opts_init(&o);
    o.fit = t->o.fit;
    o.resample = t->o.resample;
    o.image = &t->image;
    o.threads = t->o.threads;
    o.backend = t->o.backend;
    o.command = t->o.command;
    o.progress = show;
    o.context = t;
    if (t->watch && ngi_watch_finish(t->watch, &err) != NG_OK)
        ngi_training_tell(t, NG_TRAIN_WARNING, "the watched images' strip: %s", err.text);
    if (!*t->out->report || !make_folder(t))
        return;
    if (ngi_evaluate(t->model, &t->data, data, t->out->report, &o, NULL, &err) == NG_OK)
        return;
    ngi_training_tell(t, NG_TRAIN_WARNING, "%s is saved, its report is not: %s. `netgaze evaluate` makes it",
                      t->path, err.text);
    t->out->report[0] = 0;
}
