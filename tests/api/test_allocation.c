/* Every allocation of loading, opening a session, running and explaining fails in turn: the call says NG_E_MEMORY or does
 * without, leaves nothing behind (run it under the address sanitizer too), and works when it is called again. */
#include "check.h"

#include <stdbool.h>

#include "base/base.h"

#define CASE(name) NETGAZE_FIXTURES "/models/" name

static ng_error err;

/* What the calls under test work on; each makes its own and gives it back before it returns. */
typedef struct subject {
    const char *path, *labels, *cache, *method, *backend;
    ng_model *model;     /* borrowed */
    ng_session *session; /* borrowed, after a run */
    const float *input;  /* [n,h,w,c] */
    int layers[2];
} subject;

typedef ng_status (*action)(const subject *s);

/* Fails the k-th allocation of this thread for every k that there is; returns how many there were. */
static long fail_each(const char *what, action call, const subject *s)
{
    for (long k = 1;; k++) {
        err = (ng_error){0};
        ngi_alloc_fail_at(k);
        ng_status status = call(s);
        bool met = ngi_alloc_count() >= k;
        ngi_alloc_fail_at(0);
        if (status != NG_OK && (status != NG_E_MEMORY || strlen(err.text) < 10 || err.status != status))
            fail_msg("%s: allocation %ld fails: %s: '%s'", what, k, ng_status_name(status), err.text);
        err = (ng_error){0};
        if (!met) {
            CHECK_OK(status, err);
            return k - 1;
        }
        if (status != NG_OK && k % 16 == 1) { /* called again, it works */
            status = call(s);
            if (status != NG_OK)
                fail_msg("%s: after a failed allocation %ld: %s", what, k, err.text);
        }
    }
}

/* ---- The calls ------------------------------------------------------------------------------- */

static ng_status load(const subject *s)
{
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.labels = s->labels;
    opts.cache = s->cache;
    ng_model *model = (ng_model *)&opts;
    ng_status status = ng_model_load(s->path, &opts, &model, &err);
    if (status != NG_OK && model)
        fail_msg("a model beside an error");
    ng_model_free(model);
    return status;
}

static ng_session_opts session_opts(const subject *s)
{
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.backend = s->backend;
    opts.layers = s->layers;
    opts.layer_count = 2;
    opts.batch = 2;
    return opts;
}

static ng_status open_and_clone(const subject *s)
{
    ng_session_opts opts = session_opts(s);
    ng_session *session = NULL, *twin = NULL;
    ng_status status = ng_session_create(s->model, &opts, &session, &err);
    if (status == NG_OK)
        status = ng_session_clone(session, &twin, &err);
    ng_session_free(session);
    ng_session_free(twin);
    return status;
}

static ng_status run(const subject *s)
{
    return ng_session_run(s->session, s->input, 2, &err);
}

/* On a session of its own, whose parts are not there yet. */
static ng_status explain(const subject *s)
{
    ng_method_info info = {0};
    ng_session *session = NULL;
    for (int i = 0; i < ng_method_count(); i++) {
        CHECK_OK(ng_method_describe(i, &info, &err), err);
        if (strcmp(info.name, s->method) == 0)
            break;
    }
    ng_explain_opts opts;
    ng_explain_opts_init(&opts);
    opts.method = s->method;
    opts.layer = info.at_layer ? s->layers[0] : s->layers[1];
    for (int i = 0; i < info.parameter_count; i++) /* a few runs are enough */
        if (strcmp(info.parameters[i].name, "samples") == 0)
            opts.parameters = "samples=3";
        else if (strcmp(info.parameters[i].name, "steps") == 0)
            opts.parameters = "steps=3";
    ng_map map = {.data = (float *)&opts};
    ng_status status = ng_session_clone(s->session, &session, &err);
    if (status == NG_OK)
        status = ng_session_run(session, s->input, 2, &err);
    if (status == NG_OK) {
        status = ng_explain(session, 1, &opts, &map, &err);
        if (status != NG_OK && map.data)
            fail_msg("%s: a map beside an error", s->method);
        ng_map_clear(&map);
        if (status == NG_E_MEMORY) { /* the same session goes on */
            ng_error second = {0};
            CHECK_OK(ng_explain(session, 1, &opts, &map, &second), second);
            ng_map_clear(&map);
        }
    }
    ng_session_free(session);
    return status;
}

static ng_status cohere(const subject *s)
{
    ng_explain_opts opts;
    ng_explain_opts_init(&opts);
    opts.layer = s->layers[0];
    ng_map map = {0};
    double coherency = -1;
    float before = ng_session_logits(s->session)[0];
    ng_status status = ng_explain(s->session, 1, &opts, &map, &err);
    if (status == NG_OK)
        status = ng_map_coherency(s->session, 1, &map, &opts, &coherency, &err);
    if (status == NG_OK && !(coherency > 0 && coherency <= 1))
        fail_msg("coherency %g", coherency);
    if (ng_session_logits(s->session)[0] != before)
        fail_msg("the session's run is another one");
    ng_map_clear(&map);
    return status;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_loading(void **state)
{
    (void)state;
    static const char *const paths[] = {
        CASE("keras3.15_mobile/model.json"), CASE("keras3.15_mobile/model.h5"),
        CASE("keras3.15_nested_head/model.keras"), CASE("keras2.2.4_nested_sequential/model.h5")};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        subject s = {.path = paths[i], .cache = "off"};
        assert_true(fail_each(paths[i], load, &s) > 50);
    }
}

/* An entry of the cache that cannot be kept for want of memory is no failure of the model. */
static void test_loading_through_the_cache(void **state)
{
    (void)state;
    char *folder = make_folder();
    subject s = {.path = CASE("keras3.15_mobile/model.h5"), .cache = folder};
    assert_true(fail_each("cache", load, &s) > 10);
    remove_folder(folder);
}

/* A network with a head that CAM takes, and its input. */
static void with_model(const char *path, const char *input, const char *backend,
                       void (*body)(const subject *s))
{
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.cache = "off";
    ng_model *model = NULL;
    ng_array x = {0};
    CHECK_OK(ng_model_load(path, &opts, &model, &err), err);
    CHECK_OK(ng_npy_load(input, &x, &err), err);
    assert_true(x.shape[0] >= 2);
    ng_model_info info;
    ng_model_describe(model, &info);
    subject s = {.path = path, .model = model, .input = x.data, .backend = backend};
    s.layers[0] = info.automatic_layer;
    s.layers[1] = info.input_layer;
    ng_session_opts session = session_opts(&s);
    CHECK_OK(ng_session_create(model, &session, &s.session, &err), err);
    CHECK_OK(ng_session_run(s.session, x.data, 2, &err), err);
    body(&s);
    ng_session_free(s.session);
    ng_model_free(model);
    ng_array_clear(&x);
}

static void run_and_open(const subject *s)
{
    fail_each("run", run, s);
    assert_true(fail_each("session", open_and_clone, s) > 10);
}

static void explain_by_every_method(const subject *s)
{
    int tried = 0;
    for (int i = 0; i < ng_method_count(); i++) {
        ng_method_info info;
        CHECK_OK(ng_method_describe(i, &info, &err), err);
        if (ng_method_check(s->model, info.name, s->layers[info.at_layer ? 0 : 1], NULL) != NG_OK)
            continue;
        subject with = *s;
        with.method = info.name;
        if (fail_each(info.name, explain, &with) < 5)
            fail_msg("%s: hardly any allocation was met", info.name);
        tried++;
    }
    assert_true(tried >= 20);
}

/* NaN in the network makes the library look for the first bad layer, by a plan of its own. */
static void run_on_nan(const subject *s)
{
    ng_model_info info;
    ng_model_describe(s->model, &info);
    size_t n = 2 * (size_t)info.input_height * (size_t)info.input_width * (size_t)info.input_channels;
    float *input = malloc(n * sizeof *input);
    for (size_t i = 0; i < n; i++)
        input[i] = 3e38f * (i % 2 ? 1.0f : -1.0f); /* finite; overflows behind the first weights */
    subject with = *s;
    with.input = input;
    fail_each("run on huge values", run, &with);
    free(input);
}

#define MODEL CASE("keras3.15_nested_head/model.keras"), CASE("keras3.15_nested_head/input.npy")

static void test_sessions(void **state)
{
    (void)state;
    with_model(MODEL, "onednn", run_and_open);
    with_model(MODEL, "ref", run_and_open);
    with_model(MODEL, "auto", run_on_nan);
}

static void test_methods(void **state)
{
    (void)state;
    with_model(MODEL, "auto", explain_by_every_method);
}

static void explain_again(const subject *s)
{
    assert_true(fail_each("coherency", cohere, s) > 10);
}

static void test_coherency(void **state)
{
    (void)state;
    with_model(MODEL, "auto", explain_again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loading),   cmocka_unit_test(test_loading_through_the_cache),
        cmocka_unit_test(test_sessions),  cmocka_unit_test(test_methods),
        cmocka_unit_test(test_coherency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
