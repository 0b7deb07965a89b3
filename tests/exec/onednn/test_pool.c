/* Pools on oneDNN against plain loops. Average pools leave the padding out of the mean; the gradient of a
 * max pool goes to the first of several equal maxima, so the inputs have few distinct values. */
#include "oracle.h"

static layer any_pool(uint32_t seed)
{
    layer l = {.seed = seed, .groups = 1, .dilation = 1, .act = activation(NGI_ACT_LINEAR)};
    random_state = seed * 2891336453u + 3u;
    l.op = random_int(0, 1) ? NGI_OP_MAX_POOL : NGI_OP_AVG_POOL;
    l.kh = random_int(1, 5);
    l.kw = random_int(0, 2) ? l.kh : random_int(1, 5);
    l.same = random_int(0, 1);
    l.stride = random_int(1, 3);
    l.h = random_int(l.same ? 1 : l.kh, 40);
    l.w = random_int(l.same ? 1 : l.kw, 40);
    l.ic = random_int(1, 70);
    l.backward = random_int(0, 1);
    l.batch = random_int(1, 3);
    l.n = random_int(1, l.batch);
    l.threads = random_int(1, 3);
    return l;
}

static void test_random_pools(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        layer l = any_pool(seed);
        if (!check_layer(&l, NULL))
            fail_layer(&l, "none", "passed on");
    }
}

static void test_whole_map(void **state)
{
    (void)state;
    for (int op = 0; op < 2; op++) {
        layer l = {.op = op ? NGI_OP_MAX_POOL : NGI_OP_AVG_POOL,
                   .h = 8,
                   .w = 8,
                   .ic = 2048,
                   .kh = 8,
                   .kw = 8,
                   .stride = 8,
                   .dilation = 1,
                   .groups = 1,
                   .backward = true,
                   .batch = 1,
                   .n = 1,
                   .threads = 2,
                   .seed = 5};
        assert_true(check_layer(&l, NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_pools),
        cmocka_unit_test(test_whole_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
