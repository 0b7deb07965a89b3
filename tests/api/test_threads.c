/* One model, many threads: sessions that are clones of one, sessions with plans of their own, and methods that use threads
 * within one explanation give the same bytes as one thread alone. Run it under the thread sanitizer (`make tsan`). */
#include "check.h"

#include <pthread.h>
#include <stdbool.h>

#define MODEL NETGAZE_FIXTURES "/models/keras3.15_nested_head/"

enum { THREADS = 4, ROUNDS = 3, METHODS = 5, MOST_CELLS = 1024, MOST_CLASSES = 32 };

static const char *const methods[METHODS] = {"gradcam", "scorecam", "rise", "smoothgrad",
                                             "integratedgradients"};
static const char *const parameters[METHODS] = {"", "", "samples=12", "samples=6", "steps=6"};

typedef struct answer {
    float logits[2 * MOST_CLASSES], map[METHODS][MOST_CELLS];
} answer;

typedef struct worker {
    const ng_model *model;
    const ng_session *base; /* NULL: makes a plan of its own */
    const float *input;     /* [2,h,w,c] */
    int layers[2], threads;
    answer *out;
    ng_error err;
    bool failed;
} worker;

static ng_status open_session(const worker *w, ng_session **session, ng_error *err)
{
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.layers = w->layers;
    opts.layer_count = 2;
    opts.batch = 2;
    return w->base ? ng_session_clone(w->base, session, err)
                   : ng_session_create(w->model, &opts, session, err);
}

static ng_status explain_all(const worker *w, ng_session *session, answer *out, ng_error *err)
{
    ng_model_info info;
    ng_model_describe(w->model, &info);
    for (int m = 0; m < METHODS; m++) {
        ng_explain_opts opts;
        ng_explain_opts_init(&opts);
        opts.method = methods[m];
        opts.parameters = parameters[m];
        opts.threads = w->threads;
        opts.layer = m < 2 ? w->layers[0] : w->layers[1];
        ng_map map;
        ng_status status = ng_explain(session, 1, &opts, &map, err);
        if (status != NG_OK)
            return status;
        memcpy(out->map[m], map.signed_data, (size_t)map.height * (size_t)map.width * sizeof(float));
        ng_map_clear(&map);
    }
    memcpy(out->logits, ng_session_logits(session), 2 * (size_t)info.class_count * sizeof(float));
    return NG_OK;
}

static void *work(void *context)
{
    worker *w = context;
    for (int round = 0; round < ROUNDS && !w->failed; round++) {
        ng_session *session = NULL;
        ng_status status = open_session(w, &session, &w->err);
        if (status == NG_OK)
            status = ng_session_run(session, w->input, 2, &w->err);
        if (status == NG_OK)
            status = explain_all(w, session, w->out, &w->err);
        ng_session_free(session);
        w->failed = status != NG_OK;
    }
    return NULL;
}

static void test_threads_give_the_bytes_of_one(void **state)
{
    (void)state;
    ng_error err;
    ng_model *model;
    ng_session *base;
    ng_array x;
    ng_model_info info;
    answer *answers = calloc(THREADS + 1, sizeof *answers);
    worker workers[THREADS + 1];
    pthread_t threads[THREADS];
    CHECK_OK(ng_model_load(MODEL "model.keras", NULL, &model, &err), err);
    CHECK_OK(ng_npy_load(MODEL "input.npy", &x, &err), err);
    ng_model_describe(model, &info);
    assert_true(info.class_count <= MOST_CLASSES && info.input_height * info.input_width <= MOST_CELLS);
    worker first = {.model = model,
                    .input = x.data,
                    .layers = {info.automatic_layer, info.input_layer},
                    .threads = 1,
                    .out = &answers[THREADS]};
    workers[THREADS] = first;
    CHECK_OK(open_session(&first, &base, &err), err);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = first;
        workers[i].base = i % 2 ? base : NULL;
        workers[i].threads = 1 + i;
        workers[i].out = &answers[i];
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    work(&workers[THREADS]);
    for (int i = 0; i <= THREADS; i++) {
        if (workers[i].failed)
            fail_msg("thread %d: %s", i, workers[i].err.text);
        assert_memory_equal(&answers[i], &answers[THREADS], sizeof *answers);
    }
    bool blank = true;
    for (int i = 0; i < MOST_CELLS; i++)
        blank = blank && answers[0].map[0][i] == 0;
    assert_false(blank);
    free(answers);
    ng_session_free(base);
    ng_model_free(model);
    ng_array_clear(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_give_the_bytes_of_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
