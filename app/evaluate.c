/* netgaze evaluate: how good a model is on labelled images, and where it looks when it is right and when it is not. */
#include "judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int show(void *context, const char *what, int64_t done, int64_t total)
{
    judging *j = context;
    if (!j->what || strcmp(j->what, what) != 0) {
        progress_end(&j->progress);
        progress_begin(&j->progress, what, (int)total, j->wanted);
        j->what = what;
    }
    progress_show(&j->progress, (int)done);
    return interrupted != 0;
}

json_t *figure_json(ng_figure f)
{
    json_t *o = json_object();
    const char *const names[] = {"value", "low", "high"};
    const double values[] = {f.value, f.low, f.high};
    for (int i = 0; i < 3; i++)
        json_object_set_new(o, names[i], isfinite(values[i]) ? json_real(values[i]) : json_null());
    return o;
}

static json_t *summary_json(const settings *s, const ng_evaluation *e)
{
    json_t *o = json_object();
    json_object_set_new(o, "report", json_text(s->output));
    json_object_set_new(o, "split", json_string(e->split));
    json_object_set_new(o, "images", json_integer(e->images));
    json_object_set_new(o, "right", json_integer(e->right));
    json_object_set_new(o, "unreadable", json_integer(e->unreadable));
    json_object_set_new(o, "gone", json_integer(e->gone));
    json_object_set_new(o, "accuracy", figure_json(e->accuracy));
    json_object_set_new(o, "balanced_accuracy", figure_json(e->balanced_accuracy));
    json_object_set_new(o, "macro_f1", figure_json(e->macro_f1));
    json_object_set_new(o, "macro_auc", isfinite(e->macro_auc) ? json_real(e->macro_auc) : json_null());
    json_object_set_new(o, "log_loss", figure_json(e->log_loss));
    json_object_set_new(o, "brier", figure_json(e->brier));
    json_object_set_new(o, "calibration_error", json_number(e->calibration_error));
    json_object_set_new(o, "calibration_error_scaled", json_number(e->calibration_error_scaled));
    json_object_set_new(o, "temperature", figure_json(e->temperature));
    json_object_set_new(o, "energy_in_mask", figure_json(e->energy));
    return o;
}

void print_share(const char *name, ng_figure f)
{
    if (isfinite(f.value))
        printf("%-22s %6.2f %%   (%.2f to %.2f)\n", name, 100 * f.value, 100 * f.low, 100 * f.high);
}

static void print_number(const char *name, ng_figure f)
{
    if (isfinite(f.value))
        printf("%-22s %6.4f     (%.4f to %.4f)\n", name, f.value, f.low, f.high);
}

static void print_summary(const settings *s, const ng_evaluation *e)
{
    printf("%lld of %lld images right (%s)\n", (long long)e->right, (long long)e->images, e->split);
    print_share("accuracy", e->accuracy);
    print_share("balanced accuracy", e->balanced_accuracy);
    print_share("F1, mean of classes", e->macro_f1);
    if (isfinite(e->macro_auc))
        printf("%-22s %6.4f\n", "AUC, mean of classes", e->macro_auc);
    print_number("log loss", e->log_loss);
    print_number("Brier score", e->brier);
    printf("%-22s %6.2f %%\n", "calibration error", 100 * e->calibration_error);
    print_number("temperature", e->temperature);
    print_share("map on the object", e->energy);
    printf("%s/report.html\n", s->output);
}

int read_judging(const settings *s, judging *j)
{
    fitting fit;
    *j = (judging){.wanted = !s->quiet};
    int code = read_fitting(s, &fit);
    if (code != EXIT_DONE)
        return code;
    ng_image_opts_init(&j->image);
    j->image.window_center = fit.window_center;
    j->image.window_width = fit.window_width;
    ng_evaluate_opts *o = &j->o;
    ng_evaluate_opts_init(o);
    o->image = &j->image;
    o->split = s->split;
    o->method = s->method;
    o->parameters = s->parameters;
    o->fit = fit.fit;
    o->resample = fit.resample;
    o->colormap = s->colormap;
    o->pictures = s->top >= 0 ? s->top : o->pictures;
    o->seed = s->seed > 0 ? (uint64_t)s->seed : 0;
    o->threads = threads_of(s);
    o->batch = s->batch > 0 ? s->batch : 1;
    o->backend = s->backend;
    o->title = s->title;
    o->progress = show;
    o->context = j;
    return EXIT_DONE;
}

int begin_judging(const settings *s, judging *j)
{
    int code = make_folder(s->output);
    if (code != EXIT_DONE)
        return code;
    if (!(j->command = command_line(s)))
        return say_out_of_memory();
    j->o.command = j->command;
    catch_interrupts(true);
    return EXIT_DONE;
}

int end_judging(judging *j, ng_status status, const ng_error *err)
{
    catch_interrupts(false);
    progress_end(&j->progress);
    free(j->command);
    if (status == NG_OK)
        return EXIT_DONE;
    complain("%s", err->text);
    return data_failure_code(status);
}

int say_gone(int64_t gone, int64_t left_out)
{
    if (gone)
        complain("%lld image%s could not be read any more when the pictures were made", (long long)gone,
                 gone == 1 ? "" : "s");
    return gone || left_out ? EXIT_SOME_FAILED : EXIT_DONE;
}

static int finish(const settings *s, const ng_evaluation *found)
{
    if (s->json && !write_json_line(stdout, summary_json(s, found)))
        return say_out_of_memory();
    if (!s->json)
        print_summary(s, found);
    if (found->unreadable)
        complain("%lld image%s could not be read; the report names %s", (long long)found->unreadable,
                 found->unreadable == 1 ? "" : "s", found->unreadable == 1 ? "it" : "them");
    return say_gone(found->gone, found->unreadable);
}

static int evaluate(const settings *s, const ng_model *model, const char *data)
{
    judging j;
    ng_evaluation found;
    ng_error err;
    int code = read_judging(s, &j);
    if (code == EXIT_DONE && s->layer && ng_model_find_layer(model, s->layer, &j.o.layer, &err) != NG_OK) {
        complain("--layer: %s", err.text);
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = begin_judging(s, &j);
    if (code != EXIT_DONE)
        return code;
    ng_status status = ng_evaluate(model, data, s->output, &j.o, &found, &err);
    code = end_judging(&j, status, &err);
    return code == EXIT_DONE ? finish(s, &found) : code;
}

int run_evaluate(const settings *s)
{
    if (s->n_arguments != (s->model ? 1 : 2)) {
        complain(
            "evaluate: expected a model and one folder or CSV file of images by class, found %d arguments",
            s->n_arguments + (s->model != NULL));
        return EXIT_USAGE;
    }
    if (!s->output) {
        complain("evaluate: name the report's folder with -o DIR");
        return EXIT_USAGE;
    }
    ng_model *model = NULL;
    int rest, code = open_model(s, &model, &rest);
    if (code == EXIT_DONE)
        code = evaluate(s, model, s->arguments[rest]);
    ng_model_free(model);
    return code;
}
