/* One prepared kernel run by several threads at once, each with its own context and scratch, gives every
 * one the bytes that a single thread gets. */
#include <pthread.h>

#include "oracle.h"

#define THREADS 4
#define ROUNDS  20

typedef struct worker {
    const fixture *f;
    const ngi_kernel *kernel;
    const float *expected; /* [y_count] */
    int failures;
} worker;

static void *work(void *argument)
{
    worker *w = argument;
    void *context = NULL;
    if (ngi_backend_onednn.context_create(1, &context, NULL) != NG_OK) {
        w->failures++;
        return NULL;
    }
    size_t bytes = (size_t)w->f->y_count * sizeof(float);
    void *scratch = ngi_alloc_aligned(w->kernel->scratch);
    float *out = ngi_alloc_aligned(bytes);
    const float *in[1] = {w->f->x};
    ngi_run run = {.n = 1, .in = in, .out = out, .scratch = scratch, .context = context};
    for (int i = 0; i < ROUNDS && scratch && out; i++) {
        memset(out, 0xff, bytes);
        w->failures += w->kernel->forward(w->kernel, &run, NULL) != NG_OK;
        w->failures += memcmp(out, w->expected, bytes) != 0;
    }
    w->failures += !scratch || !out;
    ngi_free_aligned(scratch);
    ngi_free_aligned(out);
    ngi_backend_onednn.context_free(context);
    return NULL;
}

static void share(layer l)
{
    fixture f;
    ngi_kernel k = {0};
    void *context = NULL;
    fixture_init(&f, &l);
    assert_int_equal(ngi_backend_onednn.prepare(&f.step, 1, 1, &k, NULL), NG_OK);
    assert_int_equal(ngi_backend_onednn.context_create(1, &context, NULL), NG_OK);
    void *scratch = ngi_alloc_aligned(k.scratch);
    float *expected = filled(f.y_count, NAN);
    const float *in[1] = {f.x};
    ngi_run run = {.n = 1, .in = in, .out = expected, .scratch = scratch, .context = context};
    assert_int_equal(k.forward(&k, &run, NULL), NG_OK);
    worker workers[THREADS];
    pthread_t ids[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.f = &f, .kernel = &k, .expected = expected};
        assert_int_equal(pthread_create(&ids[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    free(expected);
    ngi_free_aligned(scratch);
    ngi_backend_onednn.context_free(context);
    k.destroy(&k);
    fixture_clear(&f);
}

static void test_shared_kernels(void **state)
{
    (void)state;
    layer l = {.op = NGI_OP_CONV2D,
               .h = 17,
               .w = 17,
               .ic = 96,
               .oc = 80,
               .kh = 3,
               .kw = 3,
               .stride = 1,
               .dilation = 1,
               .groups = 1,
               .same = true,
               .bias = true,
               .act = activation(NGI_ACT_RELU),
               .batch = 1,
               .n = 1,
               .threads = 1,
               .seed = 4};
    share(l);
    l.kh = l.kw = 1;
    l.ic = 3;
    share(l);
    l.op = NGI_OP_DEPTHWISE;
    l.ic = l.oc = 33;
    l.kh = l.kw = 3;
    share(l);
    layer dense = {.op = NGI_OP_DENSE,
                   .h = 1,
                   .w = 1,
                   .ic = 2048,
                   .oc = 256,
                   .kh = 1,
                   .kw = 1,
                   .stride = 1,
                   .dilation = 1,
                   .groups = 1,
                   .bias = true,
                   .act = activation(NGI_ACT_RELU),
                   .batch = 1,
                   .n = 1,
                   .threads = 1,
                   .seed = 6};
    share(dense);
}

/* A step of another kind is passed on without an error. */
static void test_other_steps(void **state)
{
    (void)state;
    layer l = {.op = NGI_OP_CONCAT,
               .h = 2,
               .w = 2,
               .ic = 2,
               .oc = 2,
               .kh = 1,
               .kw = 1,
               .stride = 1,
               .dilation = 1,
               .groups = 1,
               .batch = 1,
               .n = 1,
               .threads = 1};
    fixture f = {.l = l};
    ngi_kernel k = {0};
    ng_error err = {0};
    fixture_step(&f);
    assert_int_equal(ngi_backend_onednn.prepare(&f.step, 1, 1, &k, &err), NG_E_UNSUPPORTED);
    assert_string_equal(err.text, "");
    assert_null(k.state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_kernels),
        cmocka_unit_test(test_other_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
