/* The share of a map's energy beside the object: by hand, its gradients against finite differences. */
#include "check.h"

#include "train/attention.h"

enum { CELLS = 6, CHANNELS = 3 };

static float number(int i)
{
    return (float)((i * 7919 + 13) % 101) / 50 - 0.9f;
}

static void the_share_is_right(void **state)
{
    (void)state;
    const float act[3] = {2, -1, 3}, slope[1] = {2}, region[3] = {1, 0, 0.5f};
    double work[3];
    CHECK_NEAR(ngi_attention_outside(act, slope, region, 3, 1, 1, work, NULL, NULL), 3.0 / 10, 1e-12);
    const float inside[3] = {1, 1, 1};
    CHECK_NEAR(ngi_attention_outside(act, slope, inside, 3, 1, 1, work, NULL, NULL), 0, 1e-12);
}

static void gradients_equal_finite_differences(void **state)
{
    (void)state;
    float act[CELLS * CHANNELS], slope[CHANNELS], region[CELLS], act_grad[CELLS * CHANNELS] = {0},
                                                                                  slope_grad[CHANNELS] = {0};
    double work[CELLS];
    for (int i = 0; i < CELLS * CHANNELS; i++)
        act[i] = number(i);
    for (int i = 0; i < CHANNELS; i++)
        slope[i] = number(i + 40);
    for (int i = 0; i < CELLS; i++)
        region[i] = (float)(i % 3) / 2;
    const double scale = 0.7;
    double share =
        ngi_attention_outside(act, slope, region, CELLS, CHANNELS, scale, work, act_grad, slope_grad);
    assert_true(share > 0.05 && share < 0.95);
    for (int i = 0; i < CELLS * CHANNELS + CHANNELS; i++) {
        float *x = i < CELLS * CHANNELS ? &act[i] : &slope[i - CELLS * CHANNELS], kept = *x;
        double sides[2], at[2];
        for (int side = 0; side < 2; side++) {
            *x = kept + (side ? 1e-3f : -1e-3f);
            at[side] = *x;
            sides[side] = ngi_attention_outside(act, slope, region, CELLS, CHANNELS, 1, work, NULL, NULL);
        }
        *x = kept;
        float found = i < CELLS * CHANNELS ? act_grad[i] : slope_grad[i - CELLS * CHANNELS];
        CHECK_NEAR(found, scale * (sides[1] - sides[0]) / (at[1] - at[0]), 1e-5);
    }
}

static void gradients_are_added(void **state)
{
    (void)state;
    const float act[2] = {1, 2}, slope[1] = {1}, region[2] = {1, 0};
    float act_grad[2] = {10, 20}, slope_grad[1] = {5};
    double work[2];
    ngi_attention_outside(act, slope, region, 2, 1, 9, work, act_grad, slope_grad);
    /* E = 2/3; dE/dM = (-2/9, 1/9); E does not change with the map's scale */
    CHECK_NEAR(act_grad[0], 10 - 2, 1e-5);
    CHECK_NEAR(act_grad[1], 20 + 1, 1e-5);
    CHECK_NEAR(slope_grad[0], 5, 1e-5);
}

static void a_map_of_nothing_has_no_gradient_and_nan_is_told(void **state)
{
    (void)state;
    float act[2] = {-1, -2}, act_grad[2] = {0}, slope_grad[1] = {0};
    const float slope[1] = {1}, region[2] = {1, 0};
    double work[2];
    assert_true(ngi_attention_outside(act, slope, region, 2, 1, 1, work, act_grad, slope_grad) == 0);
    assert_true(act_grad[0] == 0 && act_grad[1] == 0 && slope_grad[0] == 0);
    act[0] = NAN;
    assert_true(isnan(ngi_attention_outside(act, slope, region, 2, 1, 1, work, NULL, NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_is_right),
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(gradients_are_added),
        cmocka_unit_test(a_map_of_nothing_has_no_gradient_and_nan_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
