/* Dense layers on oneDNN against plain loops: one row and several, small and wide, with and without bias
 * and a fused activation, forward and backward. */
#include "oracle.h"

static void test_shapes(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1},    {1, 3, 1},   {1, 2048, 256}, {1, 256, 128}, {1, 128, 5},
                                   {1, 17, 999}, {5, 33, 12}, {64, 20, 7},    {3, 1, 4}};
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t variant = 0; variant < 8; variant++) {
            layer l = {.op = NGI_OP_DENSE, .h = sizes[i][0], .w = 1, .ic = sizes[i][1], .oc = sizes[i][2]};
            l.kh = l.kw = l.stride = l.dilation = l.groups = 1;
            l.seed = i * 8 + variant + 1;
            l.bias = variant % 2;
            l.act = activation(variant & 2 ? NGI_ACT_RELU : NGI_ACT_LINEAR);
            l.backward = variant & 4;
            l.batch = 4;
            l.n = 1 + (int)(i % 4);
            l.threads = 1 + (int)(variant % 3);
            assert_true(check_layer(&l, NULL));
        }
}

static void test_activations(void **state)
{
    (void)state;
    static const ngi_activation kinds[] = {NGI_ACT_TANH, NGI_ACT_SIGMOID, NGI_ACT_SILU, NGI_ACT_GELU_TANH};
    for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        layer l = {.op = NGI_OP_DENSE,
                   .h = 1,
                   .w = 1,
                   .ic = 40,
                   .oc = 30,
                   .kh = 1,
                   .kw = 1,
                   .stride = 1,
                   .dilation = 1,
                   .groups = 1,
                   .bias = true,
                   .batch = 2,
                   .n = 2,
                   .threads = 1,
                   .seed = 90 + i};
        l.act = activation(kinds[i]);
        assert_true(check_layer(&l, NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
