/* Opening the model, and the commands that only look at it: layers, doctor, methods, man, completion. */
#include "app.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_size(const char *text, ng_model_opts *opts)
{
    int h = 0, w = 0, used = 0;
    if (!text)
        return EXIT_DONE;
    if (sscanf(text, "%dx%d%n", &h, &w, &used) != 2 || text[used]) {
        if (sscanf(text, "%d%n", &h, &used) != 1 || text[used])
            h = 0;
        w = h;
    }
    if (h < 1 || w < 1 || h > 16384 || w > 16384) {
        complain("--input-size: '%s' is not a size such as 299 or 240x320", text);
        return EXIT_USAGE;
    }
    opts->input_height = h;
    opts->input_width = w;
    return EXIT_DONE;
}

/* Preprocessing is the most frequent mistake: always said, and warned about when it cannot be right. */
static void say_preprocessing(const ng_model_info *info)
{
    const ng_preprocess_info *p = &info->preprocess;
    fprintf(stderr, "netgaze: preprocessing '%s' (%s): the first layer sees %.4g to %.4g\n", p->mode, p->origin, p->low, p->high);
    if (strcmp(p->origin, "assumed") == 0)
        complain("warning: neither the model nor its name says how pixels are scaled; '%s' is assumed. Name it with --preprocess",
                 p->mode);
    else if (p->high - p->low < 0.1f)
        complain("warning: this range is too narrow to be right: is the scaling done twice? See --preprocess");
    else if (strcmp(p->mode, "raw") == 0 && strcmp(p->origin, "option") == 0 && p->high > 200)
        complain("warning: the network sees raw pixels; most networks expect a smaller range. See --preprocess");
}

int open_model(const settings *s, ng_model **model, int *images)
{
    *images = s->model ? 0 : 1;
    const char *path = s->model ? s->model : s->n_arguments ? s->arguments[0] : NULL;
    if (!path) {
        complain("a model is missing; see --help");
        return EXIT_USAGE;
    }
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.weights = s->weights;
    opts.preprocess = s->preprocess;
    opts.labels = s->labels;
    if (read_size(s->input_size, &opts) != EXIT_DONE)
        return EXIT_USAGE;
    ng_error err;
    ng_status status = ng_model_load(path, &opts, model, &err);
    if (status != NG_OK) {
        complain("%s", err.text);
        bool usage = status == NG_E_ARGUMENT && strstr(err.text, "preprocessing '");
        return status == NG_E_MEMORY ? EXIT_ENVIRONMENT : usage ? EXIT_USAGE : EXIT_MODEL;
    }
    ng_model_info info;
    ng_model_describe(*model, &info);
    if (!s->quiet)
        say_preprocessing(&info);
    return EXIT_DONE;
}

/* ---- layers ------------------------------------------------------------------------------------ */

static json_t *layer_json(const ng_layer_info *l, int index)
{
    json_t *shape = json_array();
    for (int i = 0; i < l->rank; i++)
        json_array_append_new(shape, json_integer(l->shape[i]));
    return json_pack("{s:i, s:s, s:s, s:o, s:[f,f], s:I, s:b, s:b, s:b}", "index", index, "name", l->name, "class", l->class_name,
                     "shape", shape, "stride", l->stride_y, l->stride_x, "parameters", (json_int_t)l->parameters, "trainable",
                     l->trainable, "candidate", l->candidate, "automatic", l->automatic);
}

static void print_layer(const ng_layer_info *l, int width)
{
    char shape[96] = "", stride[40] = "";
    for (int i = 0; i < l->rank; i++) {
        size_t used = strlen(shape);
        snprintf(shape + used, sizeof shape - used, "%s%lld", i ? "x" : "", (long long)l->shape[i]);
    }
    if (l->stride_y > 0)
        snprintf(stride, sizeof stride, l->stride_y == l->stride_x ? "%g" : "%gx%g", l->stride_y, l->stride_x);
    printf("%c %-*s  %-24s %14s %7s %11lld  %s\n", l->automatic ? '*' : ' ', width, l->name, l->class_name, shape, stride,
           (long long)l->parameters, l->trainable ? "yes" : "no");
}

int run_layers(const settings *s)
{
    ng_model *model;
    int images, code = open_model(s, &model, &images), width = 5;
    if (code != EXIT_DONE)
        return code;
    ng_model_info info;
    ng_model_describe(model, &info);
    ng_layer_info l;
    ng_error err;
    for (int i = 0; i < info.layer_count; i++)
        if (ng_model_layer(model, i, &l, &err) == NG_OK && (int)strlen(l.name) > width)
            width = (int)strlen(l.name);
    if (!s->json)
        printf("  %-*s  %-24s %14s %7s %11s  trainable\n", width, "layer", "class", "output", "stride", "parameters");
    for (int i = 0; i < info.layer_count; i++) {
        if (ng_model_layer(model, i, &l, &err) != NG_OK || (s->candidates && !l.candidate))
            continue;
        if (s->json) {
            char *line = json_line(layer_json(&l, i));
            fputs(line ? line : "", stdout);
            free(line);
        } else
            print_layer(&l, width);
    }
    if (!s->json)
        printf("\n%s: %s%s%s, %d layers, %lld parameters, %d classes (%s). * is explained by default.\n", info.path, info.format,
               *info.producer ? ", " : "", info.producer, info.layer_count, (long long)info.parameter_count, info.class_count,
               info.activation);
    ng_model_free(model);
    return EXIT_DONE;
}

/* ---- methods ----------------------------------------------------------------------------------- */

int run_methods(const settings *s)
{
    ng_method_info m;
    ng_error err;
    for (int i = 0; i < ng_method_count(); i++) {
        if (ng_method_describe(i, &m, &err) != NG_OK)
            continue;
        if (!s->json) {
            printf("%-20s %s\n%20s cost: %s; %s\n", m.name, m.summary, "", m.cost, m.source);
            continue;
        }
        char *line = json_line(json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", m.name, "title", m.title, "summary", m.summary, "cost",
                                         m.cost, "source", m.source));
        fputs(line ? line : "", stdout);
        free(line);
    }
    return EXIT_DONE;
}

/* ---- doctor ------------------------------------------------------------------------------------ */

static int show_kernels(const settings *s)
{
    ng_model *model;
    int images, code = open_model(s, &model, &images);
    if (code != EXIT_DONE)
        return code;
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.backend = s->backend;
    ng_session *session;
    ng_error err;
    ng_status status = ng_session_create(model, &opts, &session, &err);
    if (status == NG_OK) {
        if (s->json) {
            char *line = json_line(json_pack("{s:I, s:s}", "session_bytes", (json_int_t)ng_session_bytes(session), "kernels",
                                             ng_session_kernels(session)));
            fputs(line ? line : "", stdout);
            free(line);
        } else
            printf("\n%.1f MB for activations; kernels:\n%s", (double)ng_session_bytes(session) / 1e6, ng_session_kernels(session));
        ng_session_free(session);
    } else
        complain("%s", err.text);
    ng_model_free(model);
    return status == NG_OK ? EXIT_DONE : exit_code_of(status);
}

int run_doctor(const settings *s)
{
    ng_build_info b;
    ng_build_describe(&b);
    const char *rows[][2] = {{"version", b.version}, {"build", b.build_type}, {"compiler", b.compiler}, {"cpu", b.cpu},
                             {"features", b.cpu_features}, {"onednn", b.onednn}, {"onednn_isa", b.isa}, {"vips", b.vips},
                             {"hdf5", b.hdf5}, {"libzip", b.libzip}, {"jansson", b.jansson}};
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_object_set_new(object, rows[i][0], json_string(rows[i][1]));
        if (!s->json)
            printf("%-11s %s\n", rows[i][0], rows[i][1]);
    }
    json_object_set_new(object, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    if (s->json) {
        char *line = json_line(object);
        fputs(line ? line : "", stdout);
        free(line);
    } else {
        printf("%-11s %ld\n", "cores", sysconf(_SC_NPROCESSORS_ONLN));
        json_decref(object);
    }
    return s->n_arguments || s->model ? show_kernels(s) : EXIT_DONE;
}

int run_manual(const settings *s)
{
    (void)s;
    print_manual();
    return EXIT_DONE;
}

int run_completion(const settings *s)
{
    if (s->n_arguments && strcmp(s->arguments[0], "bash") != 0) {
        complain("completion: only bash is known");
        return EXIT_USAGE;
    }
    print_completion();
    return EXIT_DONE;
}
