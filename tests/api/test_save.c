/* Every model of tests/fixtures/models is saved in every format and read again: the logits are those of before. Where a target
 * cannot express a layer, the error says so, and only the cases of the list below are such. */
#include "check.h"

#include <dirent.h>
#include <stdbool.h>

#define MAX_CASES 2000

typedef struct saved_as {
    const char *format, *dtype, *name;
} saved_as;

static const saved_as forms[] = {{"keras", NULL, "m.keras"}, {"h5", NULL, "m.h5"}, {"tfjs", NULL, "m"}};
enum { N_FORMS = sizeof forms / sizeof *forms };

/* Cases whose name holds `part` cannot be written in these formats. */
static const struct {
    const char *part, *formats;
} refused[] = {
    {"convnext", "tfjs"},
    {"layer_act_celu", "h5 tfjs"},
    {"layer_act_exponential", "tfjs"},
    {"layer_act_hard_shrink", "h5 tfjs"},
    {"layer_act_log_sigmoid", "h5 tfjs"},
    {"layer_act_soft_shrink", "h5 tfjs"},
    {"layer_act_sparse_plus", "h5 tfjs"},
    {"layer_act_sparse_sigmoid", "h5 tfjs"},
    {"layer_act_squareplus", "h5 tfjs"},
    {"layer_act_tanh_shrink", "h5 tfjs"},
    {"layer_conv_groups", "tfjs"},
    {"layer_layer_relu_all", "tfjs"},
    {"layer_layer_relu_threshold", "tfjs"},
    {"layer_depthwise_dilated", "tfjs"},
    {"layer_layer_elu_07", "tfjs"},
    {"layer_layer_softmax_h", "tfjs"},
    {"layer_op_divide", "h5 tfjs"},
    {"tf_keras2.21_layer_op_divide", "keras"},
    {"tf_keras2.21_layer_op_flip", "keras h5 tfjs"},
    {"layer_op_slice", "h5 tfjs"},
    {"tf_keras2.21_layer_op_slice", "keras"},
    {"layer_resizing", "tfjs"},
    {"layer_up_bilinear", "tfjs"},
};

static ng_error err;

static bool may_be_refused(const char *name, const char *format)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strstr(name, refused[i].part) && strstr(refused[i].formats, format))
            return true;
    return false;
}

/* The logits of the case's images; NULL where the model is one of those that are not run. */
static float *logits_of(const ng_model *model, const char *folder, size_t *n)
{
    char path[1100];
    ng_array input = {0};
    snprintf(path, sizeof path, "%s/input.npy", folder);
    CHECK_OK(ng_npy_load(path, &input, &err), err);
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.batch = (int)input.shape[0];
    ng_session *s = NULL;
    CHECK_OK(ng_session_create(model, &opts, &s, &err), err);
    CHECK_OK(ng_session_run(s, input.data, opts.batch, &err), err);
    ng_model_info info;
    ng_model_describe(model, &info);
    *n = (size_t)info.class_count * (size_t)opts.batch;
    float *copy = malloc(*n * sizeof *copy);
    memcpy(copy, ng_session_logits(s), *n * sizeof *copy);
    ng_session_free(s);
    ng_array_clear(&input);
    return copy;
}

static double difference(const float *a, const float *b, size_t n)
{
    double worst = 0, top = 0;
    for (size_t i = 0; i < n; i++) {
        top = fmax(top, fabs((double)a[i]));
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= worst))
            worst = isfinite(d) ? d : INFINITY;
    }
    return top > 0 ? worst / top : worst;
}

typedef struct tally {
    int saved, exact, refused, failures;
    double worst;
} tally;

static void check_form(tally *t, const char *name, const char *folder, const ng_model *model,
                       const float *expected, size_t n, const saved_as *form, const char *out)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", out, form->name);
    ng_save_opts opts;
    ng_save_opts_init(&opts);
    opts.format = form->format;
    err = (ng_error){0};
    ng_status status = ng_model_save(model, path, &opts, &err);
    bool allowed = may_be_refused(name, form->format);
    if (status == NG_E_UNSUPPORTED && allowed) {
        t->refused++;
        return;
    }
    if (status != NG_OK || allowed) {
        print_message("  %s as %s: %s: %s\n", name, form->format, ng_status_name(status), err.text);
        t->failures++;
        return;
    }
    ng_model *back = NULL;
    size_t found = 0;
    if (ng_model_load(path, NULL, &back, &err) != NG_OK) {
        print_message("  %s as %s is not read back: %s\n", name, form->format, err.text);
        t->failures++;
        return;
    }
    float *again = logits_of(back, folder, &found);
    double off = found == n ? difference(expected, again, n) : INFINITY;
    if (!(off <= 2e-6)) {
        print_message("  %s as %s: logits differ by %.3g\n", name, form->format, off);
        t->failures++;
    }
    t->worst = off > t->worst ? off : t->worst;
    t->saved++;
    t->exact += off == 0;
    free(again);
    ng_model_free(back);
}

static void check_case(tally *t, const char *name)
{
    char folder[1000], path[1100];
    static const char *const files[] = {"model.keras", "model.h5", "model.json", "folder"};
    snprintf(folder, sizeof folder, "%s/models/%s", NETGAZE_FIXTURES, name);
    ng_model *model = NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files && !model; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        if (access(path, R_OK) == 0 && ng_model_load(path, NULL, &model, &err) != NG_OK)
            return; /* one of those that are refused */
    }
    if (!model)
        return;
    size_t n;
    float *expected = logits_of(model, folder, &n);
    char *out = make_folder();
    for (int i = 0; i < N_FORMS; i++)
        check_form(t, name, folder, model, expected, n, &forms[i], out);
    remove_folder(out);
    free(expected);
    ng_model_free(model);
}

static void saved_models_compute_the_same(void **state)
{
    (void)state;
    DIR *d = opendir(NETGAZE_FIXTURES "/models");
    assert_non_null(d);
    const char *only = getenv("NETGAZE_CASES");
    tally t = {0};
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && (!only || strstr(e->d_name, only)))
            check_case(&t, e->d_name);
    closedir(d);
    print_message("%d saved and read again, %d to the bit, worst %.2g; %d refused\n", t.saved, t.exact,
                  t.worst, t.refused);
    assert_true(t.saved > 0);
    assert_int_equal(0, t.failures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(saved_models_compute_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
