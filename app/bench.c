/* netgaze bench: how long a forward run, a Grad-CAM and a gradient at the input take on this machine, on noise that is
 * always the same. The three take turns, so that whatever else the machine does strikes all of them alike. */
#include "precision.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { N_MEASURED = 3 };

/* One of the things measured. */
typedef struct measured {
    const char *name;   /* in JSON */
    const char *method; /* NULL: the forward run alone */
    int layer;          /* -1: none */
    ng_session *session;
    double *times; /* milliseconds, [repeats] */
    int n;
} measured;

typedef struct bench {
    const settings *s;
    ng_model *model;
    ng_model_info info;
    ng_layer_info layer;
    int layer_index, batch, threads;
    ng_calibration *calibration; /* by that noise, for int8; else NULL */
    float *input;                /* [batch] + the model's input */
    measured measured[N_MEASURED];
    double load, prepare; /* milliseconds: the model, and Grad-CAM's session */
    long peak;            /* bytes, after a first Grad-CAM */
} bench;

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static long peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss * 1024L : 0;
}

static bool make_noise(bench *b)
{
    size_t n = (size_t)b->batch * (size_t)b->info.input_height * (size_t)b->info.input_width *
               (size_t)b->info.input_channels;
    b->input = malloc(n * sizeof *b->input);
    uint32_t state = 1;
    for (size_t i = 0; b->input && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        b->input[i] = (float)(state >> 8) / 16777216.0f;
    }
    return b->input != NULL;
}

/* ---- Measuring ------------------------------------------------------------------------------ */

static int fail(const ng_error *err)
{
    complain("%s", err->text);
    return err->status == NG_E_MEMORY ? EXIT_ENVIRONMENT : EXIT_MODEL;
}

static int open_measured(const bench *b, measured *m)
{
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.backend = arithmetic_of(b->s);
    opts.calibration = b->calibration;
    opts.batch = b->batch;
    opts.threads = b->threads;
    opts.layers = &m->layer;
    opts.layer_count = m->layer >= 0;
    opts.forward_only = m->method == NULL;
    ng_error err;
    m->times = malloc((size_t)b->s->repeat * sizeof *m->times);
    if (!m->times)
        return say_out_of_memory();
    return ng_session_create(b->model, &opts, &m->session, &err) == NG_OK ? EXIT_DONE : fail(&err);
}

/* One run of the batch, with an explanation of every image where there is a method. */
static int run_once(const bench *b, measured *m, double *time)
{
    ng_error err;
    double start = milliseconds();
    if (ng_session_run(m->session, b->input, b->batch, &err) != NG_OK)
        return fail(&err);
    for (int i = 0; m->method && i < b->batch; i++) {
        ng_explain_opts opts;
        ng_explain_opts_init(&opts);
        opts.method = m->method;
        opts.layer = m->layer;
        ng_map map;
        if (ng_explain(m->session, i, &opts, &map, &err) != NG_OK)
            return fail(&err);
        ng_map_clear(&map);
    }
    *time = milliseconds() - start;
    return EXIT_DONE;
}

/* Grad-CAM's session first, so that the peak of memory is that of an explanation. */
static int open_all(bench *b)
{
    double ignored;
    for (int i = 0; i < N_MEASURED; i++) {
        measured *m = &b->measured[i];
        if (m->layer < 0 && m->method)
            continue;
        double start = milliseconds();
        int code = open_measured(b, m);
        if (i == 0)
            b->prepare = milliseconds() - start;
        if (code == EXIT_DONE)
            code = run_once(b, m, &ignored);
        if (code != EXIT_DONE)
            return code;
        if (i == 0)
            b->peak = peak_memory();
    }
    return EXIT_DONE;
}

static int calibrate(bench *b)
{
    ng_error err;
    if (!is_short(b->s) || strcmp(b->s->precision, "int8") != 0)
        return EXIT_DONE;
    if (ng_calibration_create(b->model, &b->calibration, &err) != NG_OK ||
        ng_calibration_add(b->calibration, b->input, &err) != NG_OK)
        return fail(&err);
    return EXIT_DONE;
}

static int measure(bench *b)
{
    int code = calibrate(b);
    if (code == EXIT_DONE)
        code = open_all(b);
    for (int k = 0; code == EXIT_DONE && k < b->s->repeat; k++)
        for (int i = 0; code == EXIT_DONE && i < N_MEASURED; i++) {
            measured *m = &b->measured[i];
            if (m->session)
                code = run_once(b, m, &m->times[m->n++]);
        }
    return code;
}

/* ---- Saying --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of sorted values, between neighbours in proportion (NumPy's default). */
static double quantile(const double *sorted, int n, double q)
{
    double at = q * (n - 1);
    int low = (int)at;
    return low + 1 < n ? sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]) : sorted[n - 1];
}

static json_t *measured_json(const measured *m)
{
    if (!m->n)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "median_ms", json_number(quantile(m->times, m->n, 0.5)));
    json_object_set_new(o, "q1_ms", json_number(quantile(m->times, m->n, 0.25)));
    json_object_set_new(o, "q3_ms", json_number(quantile(m->times, m->n, 0.75)));
    json_object_set_new(o, "min_ms", json_number(m->times[0]));
    json_object_set_new(o, "repeats", json_integer(m->n));
    return o;
}

/* "name\tkernel\n" lines. */
static json_t *kernels_json(const char *text)
{
    json_t *list = json_array();
    while (*text) {
        const char *tab = strchr(text, '\t'), *end = strchr(text, '\n');
        if (!tab || !end || end < tab)
            break;
        json_t *o = json_object();
        json_object_set_new(o, "node", json_stringn(text, (size_t)(tab - text)));
        json_object_set_new(o, "kernel", json_stringn(tab + 1, (size_t)(end - tab - 1)));
        json_array_append_new(list, o);
        text = end + 1;
    }
    return list;
}

static int print_json(const bench *b)
{
    ng_build_info build;
    ng_build_describe(&build);
    const measured *first = b->measured[0].session ? &b->measured[0] : &b->measured[1];
    json_t *o = json_object();
    json_object_set_new(o, "model", json_text(b->info.path));
    json_object_set_new(o, "hash", json_text(b->info.hash));
    json_object_set_new(o, "netgaze", json_text(build.version));
    json_object_set_new(o, "cpu", json_text(build.cpu));
    json_object_set_new(o, "features", json_text(build.cpu_features));
    json_object_set_new(o, "onednn", json_text(build.onednn));
    json_object_set_new(o, "isa", json_text(build.isa));
    json_object_set_new(o, "threads", json_integer(b->threads));
    json_object_set_new(o, "batch", json_integer(b->batch));
    json_object_set_new(o, "layer", b->layer.name ? json_text(b->layer.name) : json_null());
    for (int i = 0; i < N_MEASURED; i++)
        json_object_set_new(o, b->measured[i].name, measured_json(&b->measured[i]));
    json_object_set_new(o, "load_ms", json_number(b->load));
    json_object_set_new(o, "session_ms", json_number(b->prepare));
    json_object_set_new(o, "session_bytes", json_integer((json_int_t)ng_session_bytes(first->session)));
    json_object_set_new(o, "peak_memory_bytes", json_integer(b->peak));
    json_object_set_new(o, "kernels", kernels_json(ng_session_kernels(first->session)));
    return write_json_line(stdout, o) ? EXIT_DONE : say_out_of_memory();
}

static void print_text(const bench *b)
{
    ng_build_info build;
    ng_build_describe(&build);
    printf("%s, %d thread%s, batch %d, %d repeats\n", build.cpu, b->threads, b->threads > 1 ? "s" : "",
           b->batch, b->s->repeat);
    printf("%-16s %10s %10s %10s  ms a batch\n", "", "median", "quarter", "3 quarters");
    for (int i = 0; i < N_MEASURED; i++) {
        const measured *m = &b->measured[i];
        if (m->n)
            printf("%-16s %10.2f %10.2f %10.2f\n", m->name, quantile(m->times, m->n, 0.5),
                   quantile(m->times, m->n, 0.25), quantile(m->times, m->n, 0.75));
    }
    printf("model load %.0f ms, session %.0f ms, peak memory %.0f MB; `--json` lists the kernels\n", b->load,
           b->prepare, (double)b->peak / 1e6);
}

/* ---- The command ---------------------------------------------------------------------------- */

static int choose_layer(bench *b)
{
    ng_error err;
    b->layer_index = b->info.automatic_layer;
    if (b->s->layer && ng_model_find_layer(b->model, b->s->layer, &b->layer_index, &err) != NG_OK) {
        complain("--layer: %s", err.text);
        return EXIT_USAGE;
    }
    if (b->s->layer && ng_method_check(b->model, "gradcam", b->layer_index, &err) != NG_OK) {
        complain("--layer: %s", err.text);
        return EXIT_USAGE;
    }
    if (b->layer_index >= 0 && ng_model_layer(b->model, b->layer_index, &b->layer, &err) != NG_OK)
        return fail(&err);
    return EXIT_DONE;
}

static int prepare(bench *b)
{
    int rest;
    double start = milliseconds();
    int code = open_model(b->s, &b->model, &rest);
    b->load = milliseconds() - start;
    if (code == EXIT_DONE && b->s->n_arguments > rest) {
        complain("bench: one model is expected, '%s' is too many", b->s->arguments[rest]);
        code = EXIT_USAGE;
    }
    if (code != EXIT_DONE)
        return code;
    ng_model_describe(b->model, &b->info);
    b->batch = b->s->batch > 0 ? b->s->batch : 1;
    b->threads = b->s->threads > 0 ? b->s->threads : 1;
    code = choose_layer(b);
    if (code == EXIT_DONE && !make_noise(b))
        code = say_out_of_memory();
    bool at_input = ng_method_check(b->model, "saliency", b->info.input_layer, NULL) == NG_OK;
    b->measured[0] = (measured){.name = "gradcam", .method = "gradcam", .layer = b->layer_index};
    b->measured[1] = (measured){.name = "forward", .layer = -1};
    b->measured[2] = (measured){
        .name = "input_gradient", .method = "saliency", .layer = at_input ? b->info.input_layer : -1};
    return code;
}

int run_bench(const settings *s)
{
    bench b = {.s = s};
    int code = prepare(&b);
    if (code == EXIT_DONE)
        code = measure(&b);
    for (int i = 0; i < N_MEASURED; i++)
        if (b.measured[i].n)
            qsort(b.measured[i].times, (size_t)b.measured[i].n, sizeof(double), by_value);
    if (code == EXIT_DONE && s->json)
        code = print_json(&b);
    else if (code == EXIT_DONE)
        print_text(&b);
    for (int i = 0; i < N_MEASURED; i++) {
        ng_session_free(b.measured[i].session);
        free(b.measured[i].times);
    }
    ng_calibration_free(b.calibration);
    free(b.input);
    ng_model_free(b.model);
    return code;
}
