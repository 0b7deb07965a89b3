/* bench-worker MODEL INPUT.npy THREADS [BACKEND]: netgaze's side of bench/compare.py. INPUT is [n,h,w,c]. Reads a line, does it,
 * answers with a line:
 *   forward | METHOD[:NAME=VALUE,...]   milliseconds of one forward run of all n, or of one with an explanation of the first at the
 *                           automatic layer
 *   save WHAT FILE          writes the logits ("forward") or the signed map (METHOD) of WHAT's last run */
#include "bench.h"

#include <stdbool.h>
#include <string.h>

typedef struct worker {
    ng_model *model;
    ng_model_info info;
    ng_session *forward, *explain;
    ng_session *sample; /* of methods that run the network on many inputs, made when asked for */
    int layers[2];      /* of sample: the automatic one, the input */
    ng_array input;
    ng_map map;
    int threads;
    const char *backend; /* NULL: the automatic one */
} worker;

/* The session of a method: a few inputs at a time for those that run many, as the program does. */
static ng_session *session_of(worker *w, const ng_method_info *info)
{
    if (!info->samples || info->takes_gradient)
        return w->explain;
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.batch = 4;
    opts.backend = w->backend;
    opts.forward_only = 1;
    w->layers[0] = w->info.automatic_layer;
    w->layers[1] = w->info.input_layer;
    opts.layers = w->layers;
    opts.layer_count = 2;
    if (!w->sample)
        must(ng_session_create(w->model, &opts, &w->sample, &err));
    return w->sample;
}

static double run(worker *w, const char *what)
{
    bool plain = strcmp(what, "forward") == 0;
    char method[64];
    const char *colon = strchr(what, ':');
    snprintf(method, sizeof method, "%.*s", (int)(colon ? colon - what : (long)strlen(what)), what);
    ng_method_info info = {.samples = 0};
    for (int i = 0; i < ng_method_count() && !plain; i++) {
        must(ng_method_describe(i, &info, &err));
        if (strcmp(info.name, method) == 0)
            break;
    }
    ng_session *session = plain ? w->forward : session_of(w, &info);
    double start = milliseconds(clock_of(w->threads));
    must(ng_session_run(session, w->input.data, (int)w->input.shape[0], &err));
    if (!plain) {
        ng_explain_opts opts;
        ng_explain_opts_init(&opts);
        opts.method = method;
        opts.parameters = colon ? colon + 1 : NULL;
        opts.threads = w->threads;
        opts.layer = info.at_input && !info.at_layer ? w->info.input_layer : w->info.automatic_layer;
        ng_map_clear(&w->map);
        must(ng_explain(session, 0, &opts, &w->map, &err));
    }
    return milliseconds(clock_of(w->threads)) - start;
}

static void save(const worker *w, const char *what, const char *path)
{
    int64_t classes = w->info.class_count, cells[2] = {w->map.height, w->map.width};
    if (strcmp(what, "forward") == 0)
        must(ng_npy_save(path, 1, &classes, ng_session_probabilities(w->forward), &err));
    else
        must(ng_npy_save(path, 2, cells, w->map.data, &err));
}

static void open_sessions(worker *w)
{
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.batch = (int)w->input.shape[0];
    opts.threads = w->threads;
    opts.backend = w->backend;
    ng_calibration *calibration = NULL; /* by the one input: its error is not what is measured here */
    if (w->backend && strcmp(w->backend, "int8") == 0) {
        must(ng_calibration_create(w->model, &calibration, &err));
        must(ng_calibration_add(calibration, w->input.data, &err));
    }
    opts.calibration = calibration;
    opts.forward_only = 1;
    must(ng_session_create(w->model, &opts, &w->forward, &err));
    opts.forward_only = 0;
    opts.layers = &w->info.automatic_layer;
    opts.layer_count = 1;
    must(ng_session_create(w->model, &opts, &w->explain, &err));
    ng_calibration_free(calibration);
}

int main(int argc, char **argv)
{
    worker w = {.model = NULL};
    ng_model_opts opts;
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: %s MODEL INPUT.npy THREADS [BACKEND]\n", argv[0]);
        return 2;
    }
    must(ng_npy_load(argv[2], &w.input, &err));
    if (w.input.rank != 4) {
        fprintf(stderr, "%s: not [n,h,w,c]\n", argv[2]);
        return 2;
    }
    ng_model_opts_init(&opts);
    opts.input_height = (int)w.input.shape[1];
    opts.input_width = (int)w.input.shape[2];
    must(ng_model_load(argv[1], &opts, &w.model, &err));
    ng_model_describe(w.model, &w.info);
    w.threads = atoi(argv[3]);
    w.backend = argv[4]; /* NULL at the end */
    open_sessions(&w);
    printf("ready netgaze %s\n", ng_version());
    fflush(stdout);
    char line[4096], what[64], path[4000];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "save %63s %3999s", what, path) == 2) {
            save(&w, what, path);
            printf("saved\n");
        } else if (sscanf(line, "%63s", what) == 1)
            printf("%.6f\n", run(&w, what));
        fflush(stdout);
    }
    ng_map_clear(&w.map);
    ng_array_clear(&w.input);
    ng_session_free(w.forward);
    ng_session_free(w.explain);
    ng_session_free(w.sample);
    ng_model_free(w.model);
    return 0;
}
