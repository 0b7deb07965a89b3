/* netgaze train: options in, epochs out, one line each. */
#include "app.h"
#include "images.h"
#include "work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct reporter {
    const settings *s;
    progress line;    /* of images through the base or the duplicates' search */
    int shown;        /* the event kind that the line is of; -1: none */
    bool live;        /* a terminal */
    double began;     /* the epoch, in seconds */
    double last_step; /* when its line was shown */
    int epoch;
    bool heading;
    bool failed; /* standard output */
} reporter;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- What is said ------------------------------------------------------------------------------ */

static void end_line(reporter *r)
{
    if (r->shown >= 0)
        progress_end(&r->line);
    r->shown = -1;
}

static void show_progress(reporter *r, const ng_train_event *e)
{
    if (r->shown != (int)e->kind) {
        end_line(r);
        const char *what = e->kind == NG_TRAIN_DUPLICATES ? "images looked at for duplicates"
                           : e->kind == NG_TRAIN_FEATURES ? "images through the base"
                                                          : "images of the report";
        progress_begin(&r->line, what, (int)e->total, !r->s->quiet);
        r->shown = (int)e->kind;
    }
    progress_show(&r->line, (int)e->done);
}

static void show_step(reporter *r, const ng_train_event *e)
{
    double now = seconds();
    end_line(r);
    if (e->epoch != r->epoch) {
        r->epoch = e->epoch;
        r->began = now;
    }
    if (!r->live || now - r->last_step < 0.2 || now - r->began < 0.5)
        return;
    r->last_step = now;
    double each = (now - r->began) / (double)e->done;
    int left = (int)(each * (double)(e->total - e->done) + 0.5);
    int most = (int)(each * (double)e->total * (e->epoch_total - e->epoch)) + left;
    char line[200];
    snprintf(line, sizeof line,
             "epoch %d of %d: %lld of %lld images, loss %.4f, %d:%02d left, %d:%02d:%02d at most for all",
             e->epoch, e->epoch_total, (long long)e->done, (long long)e->total, e->loss, left / 60, left % 60,
             most / 3600, most / 60 % 60, most % 60);
    say_progress(line);
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *epoch_json(const ng_train_epoch *e)
{
    json_t *o = json_object();
    json_object_set_new(o, "epoch", json_integer(e->epoch));
    json_object_set_new(o, "stage", json_string(e->stage));
    json_object_set_new(o, "loss", number_or_null(e->loss));
    json_object_set_new(o, "accuracy", number_or_null(e->accuracy));
    json_object_set_new(o, "val_loss", number_or_null(e->val_loss));
    json_object_set_new(o, "val_accuracy", number_or_null(e->val_accuracy));
    json_object_set_new(o, "learning_rate", number_or_null(e->learning_rate));
    json_object_set_new(o, "gradient_norm", number_or_null(e->gradient_norm));
    json_object_set_new(o, "seconds", number_or_null(e->seconds));
    json_object_set_new(o, "images", json_integer(e->images));
    json_object_set_new(o, "skipped", json_integer(e->skipped));
    return o;
}

/* A dash where there is none: nothing to validate on. */
static const char *figure_text(double value, char text[24])
{
    if (!isfinite(value))
        return "-";
    snprintf(text, 24, "%.4f", value);
    return text;
}

static void print_epoch(reporter *r, const ng_train_epoch *e)
{
    char loss[24], accuracy[24];
    say_progress("");
    if (r->s->json) {
        r->failed |= !write_json_line(stdout, epoch_json(e));
    } else {
        if (!r->heading)
            printf("epoch  stage      loss  accuracy  val loss  val accuracy  learning rate   seconds\n");
        printf("%5d  %-5s  %8.4f  %8.4f  %8s  %12s  %13.3g  %8.1f\n", e->epoch, e->stage, e->loss,
               e->accuracy, figure_text(e->val_loss, loss), figure_text(e->val_accuracy, accuracy),
               e->learning_rate, e->seconds);
        r->heading = true;
    }
    fflush(stdout);
}

static int report(void *context, const ng_train_event *e)
{
    reporter *r = context;
    switch (e->kind) {
    case NG_TRAIN_DUPLICATES:
    case NG_TRAIN_FEATURES:
    case NG_TRAIN_REPORT:
        show_progress(r, e);
        break;
    case NG_TRAIN_STEP:
        show_step(r, e);
        break;
    case NG_TRAIN_EPOCH:
        print_epoch(r, &e->epochs[e->epoch_count - 1]);
        break;
    case NG_TRAIN_NOTE:
        if (!r->s->quiet)
            complain("%s", e->text);
        break;
    case NG_TRAIN_WARNING:
        complain("warning: %s", e->text);
        break;
    }
    return interrupted != 0;
}

/* ---- Options ----------------------------------------------------------------------------------- */

/* "256,64" into units [8]. */
static int read_hidden(const char *text, int *units, int *count)
{
    *count = 0;
    while (text && *text) {
        char *end;
        long value = strtol(text, &end, 10);
        if (end == text || value < 1 || value > 65536 || *count == 7 || (*end && *end != ',')) {
            complain("--hidden: expected up to 7 whole numbers from 1 to 65536 with commas between them");
            return EXIT_USAGE;
        }
        units[(*count)++] = (int)value;
        text = *end ? end + 1 : end;
    }
    return EXIT_DONE;
}

static int find_layer(const ng_model *base, const char *option, const char *name, int *layer)
{
    ng_error err;
    if (!name || ng_model_find_layer(base, name, layer, &err) == NG_OK)
        return EXIT_DONE;
    complain("%s: %s", option, err.text);
    return EXIT_USAGE;
}

static int read_memory(const char *text, int64_t *memory)
{
    uint64_t bytes;
    if (!text)
        return EXIT_DONE;
    if (!read_bytes(text, &bytes) || bytes == 0) {
        complain("--memory: '%s' is not a size such as 500M or 4G", text);
        return EXIT_USAGE;
    }
    *memory = (int64_t)bytes;
    return EXIT_DONE;
}

/* The options of training that are numbers and names, as they are. */
static void copy_options(const settings *s, ng_train_opts *o)
{
    const train_settings *t = &s->train;
    o->val = t->val;
    o->test = t->test;
    o->group = t->group;
    o->duplicates = !t->no_duplicates;
    o->pooling = t->pooling;
    o->dropout = t->dropout;
    o->loss = t->loss;
    o->label_smoothing = t->label_smoothing;
    o->epochs = t->epochs;
    o->fine_epochs = t->fine_epochs;
    o->train_norms = t->train_norms;
    o->batch = t->batch;
    o->optimizer = t->optimizer;
    o->rate = t->rate;
    o->fine_rate = t->fine_rate;
    o->momentum = t->momentum;
    o->epsilon = t->epsilon;
    o->weight_decay = isnan(t->weight_decay) ? -1 : t->weight_decay;
    o->clip = t->clip;
    o->ema = t->ema;
    o->schedule = t->schedule;
    o->warmup = t->warmup;
    o->balanced_weights = t->class_weights;
    o->balanced_sampler = t->balanced;
    o->patience = t->patience;
    o->keep_last = t->keep_last;
    o->augment = s->augment;
    o->attention = t->attention;
    o->background_swap = t->background_swap;
    o->seed = (uint64_t)(s->seed < 0 ? 0 : s->seed);
    o->threads = threads_of(s);
    o->micro_batch = t->micro_batch;
    o->resume = t->resume;
    o->checkpoint_minutes = t->checkpoint_minutes;
    o->folder = t->folder;
    o->features = t->features;
    o->report = t->no_report ? "" : t->report;
    o->watch = t->watch;
    o->backend = s->backend;
}

static int read_options(const settings *s, const ng_model *base, ng_train_opts *o, ng_image_opts *image,
                        int *hidden)
{
    fitting fit;
    copy_options(s, o);
    int code = read_fitting(s, &fit);
    if (code == EXIT_DONE)
        code = read_hidden(s->train.hidden, hidden, &o->hidden_count);
    if (code == EXIT_DONE)
        code = read_memory(s->train.memory, &o->memory);
    if (code == EXIT_DONE)
        code = find_layer(base, "--base-layer", s->train.base_layer, &o->base_layer);
    if (code == EXIT_DONE)
        code = find_layer(base, "--unfreeze", s->train.unfreeze, &o->unfreeze_layer);
    if (code != EXIT_DONE)
        return code;
    ng_image_opts_init(image);
    image->window_center = fit.window_center;
    image->window_width = fit.window_width;
    o->fit = fit.fit;
    o->resample = fit.resample;
    o->image = image;
    o->hidden = hidden;
    return EXIT_DONE;
}

/* ---- The end ----------------------------------------------------------------------------------- */

static json_t *result_json(const settings *s, const ng_train_result *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "saved", json_text(s->output));
    json_object_set_new(o, "epochs", json_integer(r->epoch_count));
    json_object_set_new(o, "best_epoch", json_integer(r->best_epoch));
    json_object_set_new(o, "train_images", json_integer(r->train_images));
    json_object_set_new(o, "val_images", json_integer(r->val_images));
    json_object_set_new(o, "test_images", json_integer(r->test_images));
    json_object_set_new(o, "unreadable", json_integer(r->unreadable));
    json_object_set_new(o, "duplicates_across", json_integer(r->duplicates_across));
    json_object_set_new(o, "val_loss", number_or_null(r->val_loss));
    json_object_set_new(o, "val_accuracy", number_or_null(r->val_accuracy));
    json_object_set_new(o, "test_loss", number_or_null(r->test_loss));
    json_object_set_new(o, "test_accuracy", number_or_null(r->test_accuracy));
    json_object_set_new(o, "checked_images", json_integer(r->checked_images));
    json_object_set_new(o, "largest_difference", number_or_null(r->largest_difference));
    json_object_set_new(o, "folder", json_text(r->folder));
    json_object_set_new(o, "report", json_text(r->report));
    return o;
}

static void print_result(const settings *s, const ng_train_result *r)
{
    printf("%s: of epoch %d of %d", s->output, r->best_epoch, r->epoch_count);
    if (r->val_images)
        printf("; validation: accuracy %.4f, loss %.4f (%lld images)", r->val_accuracy, r->val_loss,
               (long long)r->val_images);
    if (r->test_images)
        printf("; test: accuracy %.4f, loss %.4f (%lld images)", r->test_accuracy, r->test_loss,
               (long long)r->test_images);
    if (r->checked_images)
        printf("\nthe saved file says what training said: logits of %d images within %.1e", r->checked_images,
               r->largest_difference);
    else
        printf("\nthe saved file was not compared with training: no image could be read again");
    printf("; metrics: %s\n", r->folder);
    if (*r->report)
        printf("report: %s/report.html%s%s\n", r->report,
               s->train.watch ? "; where it looked meanwhile: " : "",
               s->train.watch ? "watch.html beside it" : "");
}

static int code_of(ng_status status)
{
    switch (status) {
    case NG_E_CANCELLED:
        return EXIT_INTERRUPTED;
    case NG_E_MEMORY:
    case NG_E_IO:
    case NG_E_INTERNAL:
        return EXIT_ENVIRONMENT;
    case NG_E_UNSUPPORTED:
        return EXIT_MODEL;
    default:
        return EXIT_USAGE;
    }
}

static int train(const settings *s, const ng_model *base, const char *data)
{
    int hidden[8];
    ng_train_opts opts;
    ng_image_opts image;
    ng_train_result result;
    ng_error err;
    ng_train_opts_init(&opts);
    int code = read_options(s, base, &opts, &image, hidden);
    if (code != EXIT_DONE)
        return code;
    reporter r = {.s = s, .shown = -1, .live = !s->quiet && isatty(STDERR_FILENO)};
    char *line = command_line(s);
    if (!line)
        return say_out_of_memory();
    opts.command = line;
    opts.progress = report;
    opts.context = &r;
    catch_interrupts(true);
    ng_status status = ng_train(base, data, s->output, &opts, &result, &err);
    catch_interrupts(false);
    free(line);
    end_line(&r);
    say_progress("");
    if (status != NG_OK) {
        complain("%s", err.text);
        return code_of(status);
    }
    if (result.finished_before) {
        complain("%s is finished: there is nothing to resume. Leave out --resume to train anew", s->output);
        return EXIT_DONE;
    }
    if (s->json)
        r.failed |= !write_json_line(stdout, result_json(s, &result));
    else
        print_result(s, &result);
    if (r.failed)
        return say_out_of_memory();
    if (result.unreadable)
        complain("%lld images could not be read and were left out", (long long)result.unreadable);
    return result.unreadable ? EXIT_SOME_FAILED : EXIT_DONE;
}

int run_train(const settings *s)
{
    ng_model *base = NULL;
    int rest;
    int code = open_model(s, &base, &rest);
    if (code != EXIT_DONE)
        return code;
    if (s->n_arguments - rest != 1 || !s->output) {
        complain("train: expected a base, a folder or CSV file of images by class, and -o OUT.keras");
        code = EXIT_USAGE;
    } else {
        code = train(s, base, s->arguments[rest]);
    }
    ng_model_free(base);
    return code;
}
