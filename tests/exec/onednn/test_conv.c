/* Convolutions and depthwise convolutions on oneDNN against plain loops: odd shapes, strides, dilation,
 * groups, both paddings, fused activations, partial batches, one to three threads, forward and backward. */
#include "oracle.h"

/* The activations that appear fused, in the forms that take different ways through the back end. */
static ngi_activation_attr any_activation(void)
{
    static const ngi_activation kinds[] = {
        NGI_ACT_LINEAR, NGI_ACT_RELU,       NGI_ACT_RELU, NGI_ACT_RELU,        NGI_ACT_RELU,
        NGI_ACT_RELU6,  NGI_ACT_LEAKY_RELU, NGI_ACT_SILU, NGI_ACT_SIGMOID,     NGI_ACT_TANH,
        NGI_ACT_ELU,    NGI_ACT_SOFTPLUS,   NGI_ACT_GELU, NGI_ACT_HARD_SIGMOID};
    int pick = random_int(0, (int)(sizeof kinds / sizeof *kinds) - 1);
    ngi_activation_attr act = activation(kinds[pick]);
    if (act.kind == NGI_ACT_LEAKY_RELU || act.kind == NGI_ACT_ELU)
        act.alpha = 0.25f;
    if (pick == 2)
        act.max_value = 1.5f;
    if (pick == 3) {
        act.max_value = 2.0f;
        act.alpha = 0.125f;
    }
    if (pick == 4)
        act.threshold = 0.5f;
    return act;
}

static bool from_output(const ngi_activation_attr *a)
{
    if (a->kind == NGI_ACT_RELU)
        return a->threshold == 0.0f && isinf(a->max_value);
    return a->kind == NGI_ACT_RELU6 || a->kind == NGI_ACT_LEAKY_RELU;
}

static layer any_layer(uint32_t seed)
{
    layer l = {.op = NGI_OP_CONV2D, .seed = seed, .groups = 1, .dilation = 1};
    random_state = seed * 747796405u + 7u;
    l.kh = random_int(1, 7);
    l.kw = random_int(0, 2) ? l.kh : random_int(1, 7);
    l.same = random_int(0, 1);
    l.stride = random_int(0, 2) ? 1 : random_int(1, 3);
    if (l.stride == 1 && random_int(0, 4) == 0)
        l.dilation = 2;
    int least_h = l.same ? 1 : (l.kh - 1) * l.dilation + 1,
        least_w = l.same ? 1 : (l.kw - 1) * l.dilation + 1;
    l.h = random_int(least_h, least_h + random_int(0, 28));
    l.w = random_int(least_w, least_w + random_int(0, 28));
    l.ic = random_int(0, 3) ? random_int(1, 24) : 16 * random_int(1, 4);
    l.oc = random_int(0, 3) ? random_int(1, 24) : 16 * random_int(1, 4);
    int kind = random_int(0, 5);
    if (kind == 0) {
        l.groups = random_int(2, 4);
        l.ic = l.groups * random_int(1, 9);
        l.oc = l.groups * random_int(1, 9);
    } else if (kind == 1) {
        l.op = NGI_OP_DEPTHWISE;
        l.oc = l.ic * (random_int(0, 2) ? 1 : random_int(2, 3));
    }
    l.bias = random_int(0, 3) != 0;
    l.act = any_activation();
    l.backward = random_int(0, 1);
    if (l.backward) /* those whose derivative follows from the output, as the plan fuses them */
        l.act = random_int(0, 1) ? activation(random_int(0, 1) ? NGI_ACT_RELU : NGI_ACT_RELU6) : l.act;
    if (l.backward && !from_output(&l.act))
        l.act = activation(NGI_ACT_LINEAR);
    l.batch = random_int(1, 3);
    l.n = random_int(1, l.batch);
    l.threads = random_int(1, 3);
    return l;
}

static void test_random_layers(void **state)
{
    (void)state;
    int passed_on = 0;
    for (uint32_t seed = 1; seed <= 400; seed++) {
        layer l = any_layer(seed);
        if (!check_layer(&l, NULL)) {
            print_message(
                "passed on: %s %dx%dx%d -> %d, %dx%d stride %d dilation %d groups %d same %d back %d\n",
                ngi_op_name(l.op), l.h, l.w, l.ic, l.oc, l.kh, l.kw, l.stride, l.dilation, l.groups, l.same,
                l.backward);
            passed_on++;
        }
    }
#ifdef __x86_64__
    assert_true(passed_on <= 20);
#else /* oneDNN has fewer kernels that are quick: 117 on aarch64 */
    assert_true(passed_on <= 150);
#endif
}

/* Each allocation of a kernel's making fails once: an error, and nothing left behind. */
static void test_allocation_failures(void **state)
{
    (void)state;
    layer l = {.op = NGI_OP_CONV2D,
               .h = 9,
               .w = 9,
               .ic = 20,
               .oc = 24,
               .kh = 3,
               .kw = 3,
               .stride = 1,
               .dilation = 1,
               .groups = 1,
               .same = true,
               .bias = true,
               .act = activation(NGI_ACT_RELU),
               .backward = true,
               .batch = 1,
               .n = 1,
               .threads = 1,
               .seed = 3};
    fixture f;
    fixture_init(&f, &l);
    ng_status status = NG_E_MEMORY;
    long k = 0;
    while (status == NG_E_MEMORY && k < 100) {
        ngi_kernel kernel = {0};
        ng_error err = {0};
        ngi_alloc_fail_at(++k);
        status = ngi_backend_onednn.prepare(&f.step, 1, 1, &kernel, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_E_MEMORY)
            assert_true(err.text[0] != 0 && !kernel.state);
        else
            kernel.destroy(&kernel);
    }
    assert_int_equal(status, NG_OK);
    assert_true(k > 3);
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_layers),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
