/* Correlations and structural similarity against scipy.stats and skimage.metrics.structural_similarity, on maps with ties. */
#include "check.h"

#include "netgaze/netgaze.h"

enum { H = 9, W = 11 };

static void fill(float *a, float *b)
{
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
            a[i * W + j] = (float)((i * 7 + j * 13) % 17) / 4 - 1.5f;
            b[i * W + j] = (float)((i * 5 + j * 3) % 11) / 4 + 0.25f * a[i * W + j];
        }
}

static void figures_are_those_of_scipy_and_skimage(void **state)
{
    (void)state;
    float a[H * W], b[H * W];
    fill(a, b);
    ng_map first = {.height = H, .width = W, .signed_data = a},
           second = {.height = H, .width = W, .signed_data = b};
    ng_similarity s;
    ng_error err;
    CHECK_OK(ng_map_similarity(&first, &second, &s, &err), err);
    CHECK_NEAR(s.pearson, 0.35854924663283826, 1e-9);
    CHECK_NEAR(s.spearman, 0.3334194119021486, 1e-9);
    CHECK_NEAR(s.ssim, 0.332559153518077, 1e-9);
    CHECK_OK(ng_map_similarity(&first, &first, &s, &err), err);
    CHECK_NEAR(s.pearson, 1, 1e-12);
    CHECK_NEAR(s.spearman, 1, 1e-12);
    CHECK_NEAR(s.ssim, 1, 1e-12);
}

static void odd_maps(void **state)
{
    (void)state;
    float a[H * W], b[H * W] = {0};
    fill(a, b);
    memset(b, 0, sizeof b);
    ng_map first = {.height = H, .width = W, .signed_data = a},
           flat = {.height = H, .width = W, .signed_data = b};
    ng_map small = {.height = 2, .width = 2, .signed_data = a};
    ng_similarity s;
    ng_error err;
    CHECK_OK(ng_map_similarity(&first, &flat, &s, &err), err);
    assert_true(s.pearson == 0 && s.spearman == 0 && isfinite(s.ssim));
    CHECK_OK(ng_map_similarity(&small, &small, &s, &err), err);
    assert_true(isnan(s.ssim));
    CHECK_FAILS(ng_map_similarity(&first, &small, &s, &err), NG_E_SHAPE, err, "9x11 and 2x2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_scipy_and_skimage),
        cmocka_unit_test(odd_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
