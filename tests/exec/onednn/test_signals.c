/* Signals that arrive while oneDNN computes: their handlers run, and nothing is written over. oneDNN's matrix products use the
 * stack pointer for other things meanwhile; a handler that started then would have its frame in the middle of the heap. */
#include "oracle.h"

#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void send_signals(suseconds_t every)
{
    const struct itimerval timer = {{0, every}, {0, every}};
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void test_handlers_leave_memory_alone(void **state)
{
    (void)state;
    enum { ENOUGH = 300, MOST_RUNS = 100000 };
    layer l = {.op = NGI_OP_DENSE,
               .h = 144,
               .w = 1,
               .ic = 384,
               .oc = 96,
               .kh = 1,
               .kw = 1,
               .stride = 1,
               .dilation = 1,
               .groups = 1,
               .act = activation(NGI_ACT_LINEAR),
               .batch = 1,
               .n = 1,
               .threads = 1,
               .seed = 7};
    fixture f;
    ngi_kernel k = {0};
    void *context = NULL;
    fixture_init(&f, &l);
    assert_int_equal(ngi_backend_onednn.prepare(&f.step, 1, 1, &k, NULL), NG_OK);
    assert_int_equal(ngi_backend_onednn.context_create(1, &context, NULL), NG_OK);
    void *scratch = ngi_alloc_aligned(k.scratch);
    float *expected = filled(f.y_count, NAN), *out = filled(f.y_count, NAN);
    const float *in[1] = {f.x};
    ngi_run run = {.n = 1, .in = in, .out = expected, .scratch = scratch, .context = context};
    assert_int_equal(k.forward(&k, &run, NULL), NG_OK);
    run.out = out;
    const struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    send_signals(200);
    for (int i = 0; i < MOST_RUNS && signals < ENOUGH; i++) {
        memset(out, 0xff, (size_t)f.y_count * sizeof *out);
        assert_int_equal(k.forward(&k, &run, NULL), NG_OK);
        assert_memory_equal(out, expected, (size_t)f.y_count * sizeof *out);
    }
    send_signals(0);
    assert_true(signals > 0);
    free(expected);
    free(out);
    ngi_free_aligned(scratch);
    ngi_backend_onednn.context_free(context);
    k.destroy(&k);
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_handlers_leave_memory_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
