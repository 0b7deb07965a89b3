/* Not-a-number that arises inside a network, from numbers too large for float32, is seen on every back end, also where a
 * kernel's relu makes 0 of it and all scores are finite; and a network of ordinary numbers is not suspected. */
#include "check.h"

#include <stdbool.h>

#include "api/api.h"
#include "base/random.h"

/* Two convolutions with relu of 4 channels each, global average, dense: of 8x8x3 pixels. */
static const char model_json[] =
    "{\"modelTopology\":{\"keras_version\":\"2.15.0\",\"model_config\":{\"class_name\":\"Sequential\","
    "\"config\":"
    "{\"name\":\"net\",\"layers\":["
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"a\",\"filters\":4,\"kernel_size\":[3,3],"
    "\"activation\":"
    "\"relu\",\"use_bias\":false,\"batch_input_shape\":[null,8,8,3]}},"
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"b\",\"filters\":4,\"kernel_size\":[3,3],"
    "\"activation\":"
    "\"relu\",\"use_bias\":false}},"
    "{\"class_name\":\"GlobalAveragePooling2D\",\"config\":{\"name\":\"pool\"}},"
    "{\"class_name\":\"Dense\",\"config\":{\"name\":\"d\",\"units\":3,\"activation\":\"softmax\"}}]}}},"
    "\"weightsManifest\":[{\"paths\":[\"w.bin\"],\"weights\":["
    "{\"name\":\"a/kernel\",\"shape\":[3,3,3,4],\"dtype\":\"float32\"},"
    "{\"name\":\"b/kernel\",\"shape\":[3,3,4,4],\"dtype\":\"float32\"},"
    "{\"name\":\"d/kernel\",\"shape\":[4,3],\"dtype\":\"float32\"},"
    "{\"name\":\"d/bias\",\"shape\":[3],\"dtype\":\"float32\"}]}]}";

enum { A = 108, B = 144, D = 15, PIXELS = 192 };

static ng_error err;

static float noise(int i)
{
    return (float)ngi_random_uniform(1, 0, (uint64_t)i) - 0.5f;
}

/* Kernels of both convolutions multiplied by `factor`. All that a gives is positive, infinity where factors are large, and b
 * takes half of its channels from the other half. */
static ng_model *load(const char *folder, float factor)
{
    static float weights[A + B + D];
    char *path = ngi_path_join(folder, "model.json"), *values = ngi_path_join(folder, "w.bin");
    ng_model *model;
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.cache = "off";
    for (int i = 0; i < A + B + D; i++)
        weights[i] = i >= A + B ? noise(i) : fabsf(noise(i)) * (i >= A && (i - A) / 4 % 2 ? -factor : factor);
    CHECK_OK(ng_file_save(values, weights, sizeof weights, &err), err);
    CHECK_OK(ng_file_save(path, model_json, sizeof model_json - 1, &err), err);
    CHECK_OK(ng_model_load(path, &opts, &model, &err), err);
    ngi_free(path);
    ngi_free(values);
    return model;
}

static ng_map explain(const ng_model *model, const float *input, const char *backend, int threads,
                      bool *finite)
{
    ng_model_info info;
    ng_session *session;
    ng_map map;
    ng_session_opts opts;
    ng_model_describe(model, &info);
    ng_session_opts_init(&opts);
    opts.layers = &info.automatic_layer;
    opts.layer_count = 1;
    opts.backend = backend;
    opts.threads = threads;
    CHECK_OK(ng_session_create(model, &opts, &session, &err), err);
    CHECK_OK(ng_session_run(session, input, 1, &err), err);
    *finite = ngi_find_non_finite(ng_session_logits(session), info.class_count) < 0;
    CHECK_OK(ng_explain(session, 0, NULL, &map, &err), err);
    ng_session_free(session);
    return map;
}

static void test_overflow_is_seen(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "onednn", "auto"};
    static const float factors[] = {1e-10f, 1e20f, 1e30f};
    float input[PIXELS];
    char *folder = make_folder();
    int swallowed = 0;
    for (int i = 0; i < PIXELS; i++)
        input[i] = fabsf(noise(1000 + i)) * 1e20f;
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++)
        for (int i = 0; i < 6; i++) {
            bool finite;
            ng_model *model = load(folder, factors[f]);
            ng_map map = explain(model, input, backends[i / 2], 1 + i % 2, &finite);
            bool fine = f == 0;
            if ((map.status == NG_MAP_NON_FINITE) == fine || (!fine && !strstr(map.note, "layer a")))
                fail_msg("weights times %g on %s, %d threads: the map is %s: %s", (double)factors[f],
                         backends[i / 2], 1 + i % 2, ng_map_status_name(map.status), map.note);
            swallowed += !fine && finite;
            ng_map_clear(&map);
            ng_model_free(model);
        }
    remove_folder(folder);
    if (swallowed == 0)
        fail_msg("no kernel here makes 0 of not-a-number: the test shows nothing");
}

/* None of what networks of the fixtures compute is suspected, or every image would be computed twice. */
static void test_no_false_alarm(void **state)
{
    (void)state;
    static const char *const names[] = {"mobile",
                                        "nested_head",
                                        "excite",
                                        "head_sigmoid",
                                        "layer_act_silu",
                                        "layer_act_gelu",
                                        "layer_act_softplus",
                                        "layer_act_sigmoid",
                                        "layer_act_elu",
                                        "head_softmax_layer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1000], input[1000];
        snprintf(path, sizeof path, "%s/models/keras3.15_%s/model.keras", NETGAZE_FIXTURES, names[i]);
        snprintf(input, sizeof input, "%s/models/keras3.15_%s/input.npy", NETGAZE_FIXTURES, names[i]);
        ng_model *model;
        ng_array x;
        CHECK_OK(ng_model_load(path, NULL, &model, &err), err);
        CHECK_OK(ng_npy_load(input, &x, &err), err);
        ngi_plan *plan;
        ngi_run_session *run;
        ngi_plan_opts opts = {.batch = 1,
                              .threads = 1,
                              .backend = "auto",
                              .taps = &model->head.logits,
                              .n_taps = 1,
                              .root = model->head.logits};
        CHECK_OK(ngi_plan_create(model->graph, &opts, &plan, &err), err);
        CHECK_OK(ngi_run_session_create(plan, &run, &err), err);
        const float *inputs[1] = {x.data};
        CHECK_OK(ngi_run_forward(run, inputs, 1, &err), err);
        if (ngi_run_overflowed(run))
            fail_msg("%s overflows", names[i]);
        ngi_run_session_free(run);
        ngi_plan_free(plan);
        ng_array_clear(&x);
        ng_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overflow_is_seen),
                                       cmocka_unit_test(test_no_false_alarm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
