/* Every activation and its derivative against Keras in float64; in place, in pieces, not a number. */
#include "check.h"

#include "nn/graph.h"
#include "nn/activation_goldens.h"

#define COUNT(a)  (sizeof(a) / sizeof *(a))
#define TOLERANCE 2.4e-7 /* relative: two float32 roundings */

static void check_value(const ngi_activation_attr *a, const char *what, float x, double found,
                        double expected)
{
    /* The reference itself, 1 - y or 1 + erf in float64, is good to about 1e-16. */
    double limit = TOLERANCE * fabs(expected) + 1e-16;
    if (!(fabs(found - expected) <= limit) && !(isinf(found) && expected > 3.4e38))
        fail_msg("%s(alpha %g, max %g, threshold %g) %s at %.9g: expected %.17g, found %.17g",
                 ngi_activation_name(a->kind), a->alpha, a->max_value, a->threshold, what, x, expected,
                 found);
}

static void values_are_keras(void **state)
{
    (void)state;
    for (size_t g = 0; g < COUNT(goldens); g++) {
        float y[GOLDEN_POINTS];
        ngi_activate(&goldens[g].attr, golden_x, y, GOLDEN_POINTS);
        for (int i = 0; i < GOLDEN_POINTS; i++)
            check_value(&goldens[g].attr, "value", golden_x[i], y[i], goldens[g].y[i]);
    }
}

/* The true derivative, where TensorFlow adds both branches' at the kink. */
static bool doubled_by_tensorflow(ngi_activation kind, float x)
{
    return kind == NGI_ACT_CELU && x == 0.0f;
}

static void derivatives_are_tensorflows(void **state)
{
    (void)state;
    for (size_t g = 0; g < COUNT(goldens); g++) {
        float dy[GOLDEN_POINTS], dx[GOLDEN_POINTS];
        for (int i = 0; i < GOLDEN_POINTS; i++)
            dy[i] = i % 2 ? 2.0f : -1.0f;
        ngi_activate_grad(&goldens[g].attr, golden_x, dy, dx, GOLDEN_POINTS);
        for (int i = 0; i < GOLDEN_POINTS; i++)
            if (!doubled_by_tensorflow(goldens[g].attr.kind, golden_x[i]))
                check_value(&goldens[g].attr, "derivative", golden_x[i], (double)dx[i] / dy[i],
                            goldens[g].slope[i]);
    }
}

/* The derivative, as it is computed, just beside each point where it might jump. */
static void kinks_are_known(void **state)
{
    (void)state;
    static const float points[] = {-3, -2.5f, -1, -0.5f, 0, 0.5f, 1, 2, 2.5f, 3, 6};
    for (size_t g = 0; g < COUNT(goldens); g++) {
        ngi_activation_attr a = goldens[g].attr;
        bool jumps = false;
        for (size_t i = 0; i <= COUNT(points); i++) {
            float at = i < COUNT(points) ? points[i] : a.threshold;
            const float x[2] = {at - 1e-4f, at + 1e-4f}, dy[2] = {1, 1};
            float slope[2];
            ngi_activate_grad(&a, x, dy, slope, 2);
            jumps = jumps || fabsf(slope[1] - slope[0]) > 0.05f * (1 + fabsf(slope[0]));
        }
        if (ngi_activation_has_kink(&a) < jumps)
            fail_msg("%s(alpha %g) has a kink", ngi_activation_name(a.kind), a.alpha);
        bool plain = a.threshold == 0 && isinf(a.max_value);
        if (plain && a.alpha != 1 && ngi_activation_has_kink(&a) > jumps)
            fail_msg("%s(alpha %g) has no kink", ngi_activation_name(a.kind), a.alpha);
    }
}

static void every_activation_has_a_golden_and_a_name(void **state)
{
    (void)state;
    for (int kind = 0; kind < NGI_ACT_COUNT; kind++) {
        bool found = false;
        for (size_t g = 0; g < COUNT(goldens); g++)
            found = found || goldens[g].attr.kind == (ngi_activation)kind;
        if (!found)
            fail_msg("no golden for %s", ngi_activation_name((ngi_activation)kind));
        assert_string_not_equal(ngi_activation_name((ngi_activation)kind), "?");
    }
    assert_string_equal(ngi_activation_name(NGI_ACT_HARD_SILU), "hard_silu");
    assert_string_equal(ngi_activation_name(NGI_ACT_COUNT), "?");
}

/* The compiler's vector loops and their scalar rest give the same bits, in place too. */
static void place_and_position_do_not_matter(void **state)
{
    (void)state;
    enum { N = 57 };
    for (size_t g = 0; g < COUNT(goldens); g++) {
        const ngi_activation_attr *a = &goldens[g].attr;
        float x[N], y[N], inside[N], dy[N], dx[N];
        for (int i = 0; i < N; i++) {
            x[i] = (float)(i - 28) * 0.37f;
            dy[i] = 1.0f + (float)i * 0.01f;
        }
        ngi_activate(a, x, y, N);
        ngi_activate_grad(a, x, dy, dx, N);
        memcpy(inside, x, sizeof x);
        ngi_activate(a, inside, inside, N);
        assert_memory_equal(inside, y, sizeof y);
        memcpy(inside, dy, sizeof dy);
        ngi_activate_grad(a, x, inside, inside, N);
        assert_memory_equal(inside, dx, sizeof dx);
        for (int i = 0; i < N; i++) {
            float one, slope;
            ngi_activate(a, x + i, &one, 1);
            ngi_activate_grad(a, x + i, dy + i, &slope, 1);
            assert_memory_equal(&one, y + i, sizeof one);
            assert_memory_equal(&slope, dx + i, sizeof slope);
        }
    }
}

static void not_a_number_stays_one(void **state)
{
    (void)state;
    for (size_t g = 0; g < COUNT(goldens); g++) {
        float x[9], y[9];
        for (int i = 0; i < 9; i++)
            x[i] = NAN;
        ngi_activate(&goldens[g].attr, x, y, 9);
        for (int i = 0; i < 9; i++)
            if (!isnan(y[i]))
                fail_msg("%s of NaN is %g", ngi_activation_name(goldens[g].attr.kind), y[i]);
    }
}

static void far_arguments_stay_finite(void **state)
{
    (void)state;
    static const ngi_activation bounded[] = {
        NGI_ACT_SIGMOID, NGI_ACT_TANH,        NGI_ACT_ELU,      NGI_ACT_SELU,     NGI_ACT_CELU,
        NGI_ACT_GELU,    NGI_ACT_GELU_TANH,   NGI_ACT_SILU,     NGI_ACT_SOFTPLUS, NGI_ACT_SOFTSIGN,
        NGI_ACT_MISH,    NGI_ACT_LOG_SIGMOID, NGI_ACT_HARD_SILU};
    const float x[4] = {-1e30f, -500.0f, 500.0f, 1e30f}, dy[4] = {1, 1, 1, 1};
    for (size_t b = 0; b < COUNT(bounded); b++) {
        const ngi_activation_attr a = {bounded[b], 1.0f, INFINITY, 0.0f};
        float y[4], dx[4];
        ngi_activate(&a, x, y, 4);
        ngi_activate_grad(&a, x, dy, dx, 4);
        for (int i = 0; i < 4; i++)
            if (!isfinite(y[i]) || !(fabsf(dx[i]) <= 2.0f))
                fail_msg("%s at %g: value %g, derivative %g", ngi_activation_name(a.kind), x[i], y[i], dx[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_keras),
        cmocka_unit_test(derivatives_are_tensorflows),
        cmocka_unit_test(kinks_are_known),
        cmocka_unit_test(every_activation_has_a_golden_and_a_name),
        cmocka_unit_test(place_and_position_do_not_matter),
        cmocka_unit_test(not_a_number_stays_one),
        cmocka_unit_test(far_arguments_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
