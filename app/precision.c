/* --precision bf16 or int8: a session of shorter numbers, set against a float32 one on some of the user's own images before
 * it is used. How far its probabilities and maps are off is said; where it is not faster here, it is refused. */
#include "precision.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    COMPARED = 8,    /* images at most */
    CALIBRATING = 64 /* images at most */
};
/* Slower by less than this, milliseconds an image, is no reason to refuse: nobody waits for it, and small models' times
 * are mostly noise. */
static const double noticed = 1;

typedef struct comparison {
    const settings *s;
    const ng_model *model;
    ng_model_info info;
    const fitting *fit;
    ng_session *fast, *plain;
    int layer;                                          /* of the maps; -1: none are compared */
    double fast_times[COMPARED], plain_times[COMPARED]; /* milliseconds of a forward run */
    int n, changed;          /* images compared; whose most likely class is another */
    double probability, map; /* largest differences; of maps in shares of their maximum */
    double correlation;      /* the least of two maps */
} comparison;

bool is_short(const settings *s)
{
    return s->precision && strcmp(s->precision, "f32") != 0;
}

const char *arithmetic_of(const settings *s)
{
    return is_short(s) ? s->precision : s->backend;
}

/* ---- Calibrating ------------------------------------------------------------------------------- */

static int fail(const ng_error *err)
{
    complain("%s", err->text);
    return err->status == NG_E_MEMORY ? EXIT_ENVIRONMENT : EXIT_MODEL;
}

/* Calls `use` for up to `most` of the images, evenly spread; images that cannot be read are left out, they are reported in
 * their turn. */
static int for_some(const ng_model *model, const inputs *in, const fitting *f, int most, int *used,
                    void *context, ng_status (*use)(void *context, const float *input, ng_error *err))
{
    int wanted = in->count < most ? in->count : most;
    *used = 0;
    for (int i = 0; i < wanted && !interrupted; i++) {
        picture p;
        ng_error err;
        if (picture_load(model, in->paths[(int64_t)i * in->count / wanted], f, &p, &err) != NG_OK)
            continue;
        ng_status status = use(context, picture_input(&p, 0), &err);
        picture_clear(&p);
        if (status != NG_OK)
            return fail(&err);
        (*used)++;
    }
    return EXIT_DONE;
}

static ng_status add_input(void *context, const float *input, ng_error *err)
{
    return ng_calibration_add(context, input, err);
}

/* By the images of --calibrate, or by those that are to be explained. */
static int calibrate(const settings *s, const ng_model *model, const inputs *in, const fitting *f,
                     ng_calibration **out)
{
    inputs own = {0};
    ng_error err;
    int code = EXIT_DONE, used;
    if (s->calibrate) {
        char *folder = (char *)s->calibrate;
        settings t = *s;
        t.arguments = &folder;
        t.n_arguments = 1;
        t.recursive = true;
        code = find_inputs(&t, 0, NULL, &own);
    }
    if (code == EXIT_DONE && ng_calibration_create(model, out, &err) != NG_OK)
        code = fail(&err);
    if (code == EXIT_DONE)
        code = for_some(model, s->calibrate ? &own : in, f, CALIBRATING, &used, *out, add_input);
    if (code == EXIT_DONE && s->calibrate && used == 0) {
        complain("--calibrate %s: no image there can be read", s->calibrate);
        code = EXIT_USAGE;
    }
    inputs_clear(&own);
    return code;
}

/* ---- Comparing --------------------------------------------------------------------------------- */

/* This thread's own time, which other programs disturb less. */
static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static ng_status timed_run(ng_session *session, const float *input, double *time, ng_error *err)
{
    double start = milliseconds();
    ng_status status = ng_session_run(session, input, 1, err);
    *time = milliseconds() - start;
    return status;
}

static int largest(const float *p, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = p[i] > p[best] ? i : best;
    return best;
}

static void compare_maps(comparison *c, const ng_map *fast, const ng_map *plain)
{
    int n = plain->height * plain->width;
    double top = 0, apart = 0;
    for (int i = 0; i < n; i++) {
        top = fmax(top, fabsf(plain->signed_data[i]));
        apart = fmax(apart, fabsf(fast->signed_data[i] - plain->signed_data[i]));
    }
    if (!(top > 0))
        return;
    c->map = fmax(c->map, apart / top);
    c->correlation = fmin(c->correlation, correlation(fast->signed_data, plain->signed_data, n));
}

static ng_status compare_explained(comparison *c, int class_index, ng_error *err)
{
    ng_map fast = {0}, plain = {0};
    ng_explain_opts opts;
    ng_explain_opts_init(&opts);
    opts.layer = c->layer;
    opts.class_index = class_index;
    ng_status status = ng_explain(c->fast, 0, &opts, &fast, err);
    if (status == NG_OK)
        status = ng_explain(c->plain, 0, &opts, &plain, err);
    if (status == NG_OK)
        compare_maps(c, &fast, &plain);
    ng_map_clear(&fast);
    ng_map_clear(&plain);
    return status;
}

static ng_status compare_input(void *context, const float *input, ng_error *err)
{
    comparison *c = context;
    int classes = c->info.class_count;
    ng_status status = timed_run(c->fast, input, &c->fast_times[c->n], err);
    if (status == NG_OK)
        status = timed_run(c->plain, input, &c->plain_times[c->n], err);
    if (status != NG_OK)
        return status;
    const float *p = ng_session_probabilities(c->fast), *q = ng_session_probabilities(c->plain);
    for (int i = 0; i < classes; i++)
        c->probability = fmax(c->probability, fabsf(p[i] - q[i]));
    c->changed += largest(p, classes) != largest(q, classes);
    c->n++;
    return c->layer < 0 ? NG_OK : compare_explained(c, largest(q, classes), err);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, int n)
{
    qsort(times, (size_t)n, sizeof *times, by_value);
    return n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
}

static int conclude(comparison *c)
{
    const char *name = c->s->precision;
    if (c->n == 0)
        return EXIT_DONE; /* no image can be read: the run will say so */
    double fast = median(c->fast_times, c->n), plain = median(c->plain_times, c->n);
    if (fast > plain + noticed) {
        complain("--precision %s: slower here: %.1f ms an image, float32 takes %.1f; leave it out", name,
                 fast, plain);
        return EXIT_USAGE;
    }
    if (c->s->quiet)
        return EXIT_DONE;
    char maps[120] = "";
    if (c->layer >= 0)
        snprintf(maps, sizeof maps,
                 "; Grad-CAM maps by at most %.1f %% of their maximum, correlation from %.4f", 100 * c->map,
                 c->correlation);
    complain(
        "%s: on %d of these images probabilities differ from float32's by at most %.2g, another class is the "
        "most likely on %d%s; %.1f ms an image, float32 %.1f",
        name, c->n, c->probability, c->changed, maps, fast, plain);
    return EXIT_DONE;
}

static int compare(comparison *c, const inputs *in)
{
    if (strcmp(ng_session_kernels(c->fast), ng_session_kernels(c->plain)) == 0) {
        ng_build_info build;
        ng_build_describe(&build);
        complain("--precision %s: no layer of this model can use it on this processor (%s); leave it out",
                 c->s->precision, build.cpu_features);
        return EXIT_USAGE;
    }
    c->correlation = 1;
    int used, code = for_some(c->model, in, c->fit, COMPARED, &used, c, compare_input);
    return code == EXIT_DONE ? conclude(c) : code;
}

/* ---- Opening ----------------------------------------------------------------------------------- */

int open_checked(const settings *s, const ng_model *model, const inputs *in, const fitting *f,
                 const int *layers, int n, bool forward_only, ng_session **session)
{
    if (!is_short(s))
        return open_session(s, model, layers, n, forward_only, session);
    comparison c = {.s = s, .model = model, .fit = f, .layer = -1};
    ng_calibration *calibration = NULL;
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.backend = s->precision;
    opts.batch = s->batch > 0 ? s->batch : 1;
    opts.layers = layers;
    opts.layer_count = n;
    opts.forward_only = forward_only;
    ng_model_describe(model, &c.info);
    if (n && !forward_only && ng_method_check(model, "gradcam", layers[0], NULL) == NG_OK)
        c.layer = layers[0];
    int code = strcmp(s->precision, "int8") == 0 ? calibrate(s, model, in, f, &calibration) : EXIT_DONE;
    opts.calibration = calibration;
    ng_error err;
    if (code == EXIT_DONE && ng_session_create(model, &opts, session, &err) != NG_OK)
        code = fail(&err);
    ng_calibration_free(calibration);
    if (code == EXIT_DONE)
        code = open_session(s, model, layers, n, forward_only, &c.plain);
    c.fast = *session;
    if (code == EXIT_DONE)
        code = compare(&c, in);
    ng_session_free(c.plain);
    return code;
}
