/* Resampling of float maps against OpenCV and SciPy (tests/fixtures/make_image_fixtures.py), and by hand.
 * uint8 resizing is compared with OpenCV's in tests/image/test_fit.c, where pictures can be read. */
#include "check.h"

#include "tensor/tensor.h"

#define IMAGES NETGAZE_FIXTURES "/images/"

static void load(const char *name, int h, int w, ng_array *out)
{
    ng_error err;
    CHECK_OK(ng_npy_load(name, out, &err), err);
    assert_int_equal(out->rank, 2);
    assert_int_equal(out->shape[0], h);
    assert_int_equal(out->shape[1], w);
}

static void check_close(const float *got, const float *wanted, int n, double tolerance)
{
    for (int i = 0; i < n; i++)
        CHECK_NEAR(got[i], wanted[i], tolerance);
}

static void test_bilinear_is_opencv(void **state)
{
    (void)state;
    ng_array cam, wanted;
    float got[13 * 19];
    load(IMAGES "cam.npy", 8, 8, &cam);
    load(IMAGES "cam-cv-19x13.npy", 13, 19, &wanted);
    ngi_resize_bilinear(cam.data, 8, 8, 0, 0, 8, 8, got, 13, 19);
    check_close(got, wanted.data, 13 * 19, 1e-11); /* of values around 2e-5 */
    ng_array_clear(&wanted);
    ng_array_clear(&cam);
}

static void test_aligned_is_scipy(void **state)
{
    (void)state;
    ng_array cam, wanted;
    float got[13 * 19];
    load(IMAGES "cam.npy", 8, 8, &cam);
    load(IMAGES "cam-zoom-19x13.npy", 13, 19, &wanted);
    ngi_resize_aligned(cam.data, 8, 8, got, 13, 19);
    check_close(got, wanted.data, 13 * 19, 1e-11);
    ng_array_clear(&wanted);
    ng_array_clear(&cam);
}

/* Windows: half of the map gives half of the picture; parts outside repeat the edge. */
static void test_windows(void **state)
{
    (void)state;
    const float src[4] = {0, 1, 2, 3};
    float whole[8], right[4], outside[4];
    ngi_resize_bilinear(src, 1, 4, 0, 0, 1, 4, whole, 1, 8);
    const float wanted[8] = {0, 0.25f, 0.75f, 1.25f, 1.75f, 2.25f, 2.75f, 3};
    check_close(whole, wanted, 8, 1e-7);
    ngi_resize_bilinear(src, 1, 4, 0, 2, 1, 4, right, 1, 4);
    check_close(right, whole + 4, 4, 1e-7);
    ngi_resize_bilinear(src, 1, 4, 0, -4, 1, 0, outside, 1, 4);
    check_close(outside, (const float[4]){0, 0, 0, 0}, 4, 0);
}

/* Rows wider than one block of columns agree with the same picture taken in pieces. */
static void test_wide(void **state)
{
    (void)state;
    enum { W = 700 };
    const float src[6] = {1, -2, 5, 0, 3, 4};
    static float whole[2 * W], piece[2 * 100];
    ngi_resize_bilinear(src, 2, 3, 0, 0, 2, 3, whole, 2, W);
    for (int i = 0; i < W / 100; i++) {
        ngi_resize_bilinear(src, 2, 3, 0, 3.0 * i / 7, 2, 3.0 * (i + 1) / 7, piece, 2, 100);
        check_close(piece, whole + 100 * i, 100, 1e-5);
        check_close(piece + 100, whole + W + 100 * i, 100, 1e-5);
    }
}

static void test_single_cell(void **state)
{
    (void)state;
    const float src[1] = {7};
    float got[6];
    ngi_resize_bilinear(src, 1, 1, 0, 0, 1, 1, got, 2, 3);
    check_close(got, (const float[6]){7, 7, 7, 7, 7, 7}, 6, 0);
    ngi_resize_aligned(src, 1, 1, got, 2, 3);
    check_close(got, (const float[6]){7, 7, 7, 7, 7, 7}, 6, 0);
}

static void test_cv_arguments(void **state)
{
    (void)state;
    ng_error err;
    uint8_t px[4] = {1, 2, 3, 4};
    CHECK_FAILS(ngi_resize_cv_u8(px, 0, 2, 1, px, 2, 2, &err), NG_E_ARGUMENT, err, "positive");
    uint8_t out[9];
    ngi_alloc_fail_at(1);
    CHECK_FAILS(ngi_resize_cv_u8(px, 2, 2, 1, out, 3, 3, &err), NG_E_MEMORY, err, "out of memory");
    ngi_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bilinear_is_opencv),
        cmocka_unit_test(test_aligned_is_scipy),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_single_cell),
        cmocka_unit_test(test_cv_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
