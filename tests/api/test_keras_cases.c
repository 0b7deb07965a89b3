/* Every case of tests/fixtures/models: models saved by Keras itself, of many versions and in all formats, with the float64
 * results of the Keras that saved them (tests/fixtures/make_keras_cases.py; case_write.py describes a case's files). Each
 * file is loaded and run on every back end; logits, outputs, Grad-CAM and HiResCAM maps must be Keras's.
 *
 * NETGAZE_CASES=TEXT runs the cases whose name holds TEXT, NETGAZE_CASES_VERBOSE=1 prints each. */
#include "check.h"

#include <dirent.h>
#include <stdbool.h>

#define MAX_MAPS  4
#define MAX_FILES 8
#define MAX_CASES 2000

typedef struct case_map {
    char layer[200];
    int class_index;
} case_map;

typedef struct keras_case {
    char name[200], folder[1000];
    char files[MAX_FILES][64];
    int n_files;
    case_map maps[MAX_MAPS];
    int n_maps;
    char output[64], image[64];          /* of several; empty: not said */
    char value_name[64], value_file[64]; /* of another input */
    int height, width;                   /* run at; 0: the model's own */
    double tolerance;
    char refused[200]; /* empty: the model must load */
} keras_case;

/* What went wrong and how far off the rest was. */
typedef struct tally {
    int runs, refusals, failures;
    double worst_logits, worst_output, worst_map;
    char worst_name[800];
} tally;

static const char *const backends[] = {"ref", "onednn", "auto"};
enum { N_BACKENDS = sizeof backends / sizeof *backends };

/* ---- Reading cases --------------------------------------------------------------------------- */

static void parse_line(keras_case *c, char *line)
{
    line[strcspn(line, "\r\n")] = '\0';
    char *value = strchr(line, ' ');
    if (!value)
        return;
    *value++ = '\0';
    if (strcmp(line, "model") == 0 && c->n_files < MAX_FILES)
        snprintf(c->files[c->n_files++], sizeof *c->files, "%s", value);
    else if (strcmp(line, "tolerance") == 0)
        c->tolerance = strtod(value, NULL);
    else if (strcmp(line, "layer") == 0 && c->n_maps < MAX_MAPS)
        snprintf(c->maps[c->n_maps++].layer, sizeof c->maps->layer, "%s", value);
    else if (strcmp(line, "class") == 0 && c->n_maps)
        c->maps[c->n_maps - 1].class_index = atoi(value);
    else if (strcmp(line, "output") == 0)
        snprintf(c->output, sizeof c->output, "%s", value);
    else if (strcmp(line, "image") == 0)
        snprintf(c->image, sizeof c->image, "%s", value);
    else if (strcmp(line, "value") == 0)
        sscanf(value, "%63s %63s", c->value_name, c->value_file);
    else if (strcmp(line, "size") == 0)
        sscanf(value, "%dx%d", &c->height, &c->width);
    else if (strcmp(line, "refused") == 0)
        snprintf(c->refused, sizeof c->refused, "%s", value);
}

static bool read_case(const char *name, keras_case *c)
{
    *c = (keras_case){0};
    char path[1100], line[1000];
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->folder, sizeof c->folder, "%s/models/%s", NETGAZE_FIXTURES, name);
    snprintf(path, sizeof path, "%s/case.txt", c->folder);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    while (fgets(line, sizeof line, file))
        parse_line(c, line);
    fclose(file);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the folders under fixtures/models in order; frees nothing on failure, which ends the test. */
static int list_cases(char **names)
{
    DIR *folder = opendir(NETGAZE_FIXTURES "/models");
    if (!folder)
        return 0;
    const char *only = getenv("NETGAZE_CASES");
    int n = 0;
    for (struct dirent *e; (e = readdir(folder)) && n < MAX_CASES;)
        if (e->d_name[0] != '.' && (!only || strstr(e->d_name, only)))
            names[n++] = strdup(e->d_name);
    closedir(folder);
    qsort(names, (size_t)n, sizeof *names, by_name);
    return n;
}

static ng_array load_npy(const keras_case *c, const char *file)
{
    ng_error err = {0};
    ng_array array = {0};
    char path[1100];
    snprintf(path, sizeof path, "%s/%s", c->folder, file);
    CHECK_OK(ng_npy_load(path, &array, &err), err);
    return array;
}

static int64_t elements(const ng_array *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++)
        n *= a->shape[i];
    return n;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* Largest difference in units of the largest expected value; infinity for NaN. */
static double relative(const float *found, const float *expected, int64_t n)
{
    double top = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)found[i] - expected[i]);
        if (!(d <= worst))
            worst = isfinite(d) ? d : INFINITY;
        top = fmax(top, fabs((double)expected[i]));
    }
    return top > 0 ? worst / top : worst;
}

static void note(tally *t, const keras_case *c, const char *run, const char *what, double off, double *worst)
{
    if (off > *worst) {
        *worst = off;
        snprintf(t->worst_name, sizeof t->worst_name, "%s %s", run, what);
    }
    if (!(off <= c->tolerance)) {
        print_message("  %s: %s differ by %.3g, allowed %.3g\n", run, what, off, c->tolerance);
        t->failures++;
    }
}

static void complain(tally *t, const char *run, const char *what, const ng_error *err)
{
    print_message("  %s: %s: %s\n", run, what, err->text);
    t->failures++;
}

static void check_scores(tally *t, const keras_case *c, const char *run, const ng_model *model,
                         const ng_session *s)
{
    ng_model_info info;
    ng_model_describe(model, &info);
    ng_array logits = load_npy(c, "logits.npy"), output = load_npy(c, "output.npy");
    if (logits.shape[1] != info.class_count) {
        print_message("  %s: %d classes, expected %d\n", run, info.class_count, (int)logits.shape[1]);
        t->failures++;
    } else {
        note(t, c, run, "logits", relative(ng_session_logits(s), logits.data, elements(&logits)),
             &t->worst_logits);
        /* A linear head's outputs are its logits; netgaze's probabilities are their softmax. */
        if (strcmp(info.activation, "linear") != 0)
            note(t, c, run, "outputs", relative(ng_session_probabilities(s), output.data, elements(&output)),
                 &t->worst_output);
    }
    ng_array_clear(&logits);
    ng_array_clear(&output);
}

static void check_map(tally *t, const keras_case *c, const char *run, ng_session *s, int index, int layer,
                      const char *method, int map_index)
{
    ng_error err = {0};
    ng_map map = {0};
    ng_explain_opts opts;
    ng_explain_opts_init(&opts);
    opts.method = method;
    opts.layer = layer;
    opts.class_index = c->maps[map_index].class_index;
    char file[64], what[300];
    if (map_index)
        snprintf(file, sizeof file, "%s_%d.npy", method, map_index + 1);
    else
        snprintf(file, sizeof file, "%s.npy", method);
    snprintf(what, sizeof what, "%s of image %d at %s", method, index, c->maps[map_index].layer);
    if (ng_explain(s, index, &opts, &map, &err) != NG_OK) {
        complain(t, run, what, &err);
        return;
    }
    ng_array expected = load_npy(c, file);
    int64_t cells = expected.shape[1] * expected.shape[2];
    if (map.height != expected.shape[1] || map.width != expected.shape[2]) {
        print_message("  %s: %s is %dx%d, expected %dx%d\n", run, what, map.height, map.width,
                      (int)expected.shape[1], (int)expected.shape[2]);
        t->failures++;
    } else {
        const float *found = strcmp(method, "gradcam") == 0 ? map.data : map.signed_data;
        note(t, c, run, what, relative(found, expected.data + index * cells, cells), &t->worst_map);
    }
    ng_array_clear(&expected);
    ng_map_clear(&map);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void run_session(tally *t, const keras_case *c, const char *run, const ng_model *model,
                        const char *backend)
{
    ng_error err = {0};
    int layers[MAX_MAPS];
    for (int i = 0; i < c->n_maps; i++)
        if (ng_model_find_layer(model, c->maps[i].layer, &layers[i], &err) != NG_OK) {
            complain(t, run, "finding the layer", &err);
            return;
        }
    ng_array input = load_npy(c, "input.npy");
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.batch = (int)input.shape[0];
    opts.backend = backend;
    opts.layers = layers;
    opts.layer_count = c->n_maps;
    ng_session *s = NULL;
    if (ng_session_create(model, &opts, &s, &err) != NG_OK ||
        ng_session_run(s, input.data, opts.batch, &err) != NG_OK) {
        complain(t, run, "running", &err);
    } else {
        check_scores(t, c, run, model, s);
        for (int i = 0; i < c->n_maps; i++)
            for (int image = 0; image < opts.batch; image++) {
                check_map(t, c, run, s, image, layers[i], "gradcam", i);
                check_map(t, c, run, s, image, layers[i], "hirescam", i);
            }
    }
    t->runs++;
    ng_session_free(s);
    ng_array_clear(&input);
}

static ng_status load(const keras_case *c, const char *file, ng_model **model, ng_error *err)
{
    char path[1100];
    ng_array value = {0};
    ng_input_value given = {c->value_name, &value};
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.output = c->output[0] ? c->output : NULL;
    opts.image_input = c->image[0] ? c->image : NULL;
    opts.input_height = c->height;
    opts.input_width = c->width;
    if (c->value_name[0]) {
        value = load_npy(c, c->value_file);
        opts.inputs = &given;
        opts.input_count = 1;
    }
    snprintf(path, sizeof path, "%s/%s", c->folder, file);
    ng_status status = ng_model_load(path, &opts, model, err);
    ng_array_clear(&value);
    return status;
}

static void run_file(tally *t, const keras_case *c, const char *file)
{
    ng_error err = {0};
    ng_model *model = NULL;
    char run[400];
    snprintf(run, sizeof run, "%s/%s", c->name, file);
    ng_status status = load(c, file, &model, &err);
    if (c->refused[0]) {
        t->refusals++;
        if (status == NG_OK || !strstr(err.text, c->refused)) {
            print_message("  %s: expected an error that holds '%s', found %s: %s\n", run, c->refused,
                          ng_status_name(status), err.text);
            t->failures++;
        }
    } else if (status != NG_OK) {
        complain(t, run, "loading", &err);
    } else {
        for (int b = 0; b < N_BACKENDS; b++) {
            snprintf(run, sizeof run, "%s/%s on %s", c->name, file, backends[b]);
            run_session(t, c, run, model, backends[b]);
        }
    }
    ng_model_free(model);
}

static void cases_equal_keras(void **state)
{
    (void)state;
    static char *names[MAX_CASES];
    int n = list_cases(names), cases = 0, files = 0;
    tally t = {0};
    bool verbose = getenv("NETGAZE_CASES_VERBOSE");
    for (int i = 0; i < n; i++) {
        keras_case c;
        if (read_case(names[i], &c)) {
            cases++;
            if (verbose)
                print_message("%s\n", c.name);
            if (c.n_files == 0 || (!c.refused[0] && !(c.tolerance > 0)))
                fail_msg("%s/case.txt names no model or no tolerance", c.folder);
            for (int f = 0; f < c.n_files; f++, files++)
                run_file(&t, &c, c.files[f]);
        }
        free(names[i]);
    }
    print_message(
        "%d cases, %d model files, %d runs, %d refusals; worst: logits %.2g, outputs %.2g, maps %.2g (%s)\n",
        cases, files, t.runs, t.refusals, t.worst_logits, t.worst_output, t.worst_map, t.worst_name);
    if (cases == 0)
        fail_msg("no cases under %s/models", NETGAZE_FIXTURES);
    if (t.failures)
        fail_msg("%d differences in %d cases", t.failures, cases);
}

/* ---- A nested model is its flat form --------------------------------------------------------- */

/* Logits and the Grad-CAM map of both images, one after the other. */
static size_t results(const char *name, float *out, size_t room)
{
    keras_case c;
    ng_error err = {0};
    assert_true(read_case(name, &c));
    char path[1100];
    snprintf(path, sizeof path, "%s/%s", c.folder, c.files[0]);
    ng_model *model = NULL;
    ng_session *s = NULL;
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    int layer;
    CHECK_OK(ng_model_load(path, NULL, &model, &err), err);
    CHECK_OK(ng_model_find_layer(model, "mixed0", &layer, &err), err); /* by its bare name in both */
    opts.layers = &layer;
    opts.layer_count = 1;
    opts.batch = 2;
    CHECK_OK(ng_session_create(model, &opts, &s, &err), err);
    ng_array input = load_npy(&c, "input.npy");
    CHECK_OK(ng_session_run(s, input.data, 2, &err), err);
    ng_model_info info;
    ng_model_describe(model, &info);
    size_t n = (size_t)info.class_count * 2;
    memcpy(out, ng_session_logits(s), n * sizeof *out);
    for (int i = 0; i < 2; i++) {
        ng_map map;
        CHECK_OK(ng_explain(s, i, NULL, &map, &err), err);
        size_t cells = (size_t)(map.height * map.width);
        assert_true(n + cells <= room);
        memcpy(out + n, map.signed_data, cells * sizeof *out);
        n += cells;
        ng_map_clear(&map);
    }
    ng_array_clear(&input);
    ng_session_free(s);
    ng_model_free(model);
    return n;
}

static void nested_equals_flat(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"keras3.15_pair_nested", "keras3.15_pair_flat"},
                                           {"tf_keras2.21_pair_nested", "tf_keras2.21_pair_flat"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        float nested[1000], flat[1000];
        size_t n = results(pairs[i][0], nested, 1000);
        assert_int_equal(n, results(pairs[i][1], flat, 1000));
        assert_memory_equal(nested, flat, n * sizeof *nested);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cases_equal_keras),
                                       cmocka_unit_test(nested_equals_flat)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
