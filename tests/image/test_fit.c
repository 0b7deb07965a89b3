/* ng_image_fit: every resampling bit for bit as its model, the three fits and their geometry, bad arguments,
 * failed allocations. */
#include "image/pictures.h"

#include "base/base.h"

static const struct {
    int width, height;
} sizes[] = {{29, 31}, {120, 80}, {90, 20}};

static void test_resampling_is_exact(void **state)
{
    (void)state;
    static const char *const sources[] = {"photo", "grey"};
    for (int s = 0; s < 2; s++) {
        char name[64];
        snprintf(name, sizeof name, "%s.png", sources[s]);
        ng_image source = load_picture(name);
        for (int r = NG_RESAMPLE_PIL_NEAREST; r <= NG_RESAMPLE_CV_BILINEAR; r++)
            for (int i = 0; i < 3; i++) {
                ng_error err;
                ng_image out;
                CHECK_OK(ng_image_fit(&source, sizes[i].width, sizes[i].height, NG_FIT_SQUASH, (ng_resample)r,
                                      0, &out, NULL, &err),
                         err);
                snprintf(name, sizeof name, "%s-%s-%dx%d.png", sources[s], ng_resample_name((ng_resample)r),
                         sizes[i].width, sizes[i].height);
                check_picture(&out, name, 0);
                ng_image_clear(&out);
            }
        ng_image_clear(&source);
    }
}

/* OpenCV takes the mean of 2x2 where both sides are halved. */
static void test_opencv_halving(void **state)
{
    (void)state;
    ng_error err;
    ng_image even = load_picture("even.png"), out;
    CHECK_OK(ng_image_fit(&even, 32, 23, NG_FIT_SQUASH, NG_RESAMPLE_CV_BILINEAR, 0, &out, NULL, &err), err);
    check_picture(&out, "even-cv-bilinear-32x23.png", 0);
    ng_image_clear(&out);
    ng_image_clear(&even);
}

static void test_same_size_is_a_copy(void **state)
{
    (void)state;
    ng_image photo = load_picture("photo.png");
    for (int r = NG_RESAMPLE_PIL_NEAREST; r <= NG_RESAMPLE_CV_BILINEAR; r++)
        for (int f = NG_FIT_SQUASH; f <= NG_FIT_LETTERBOX; f++) {
            ng_error err;
            ng_image out;
            ng_geometry g;
            CHECK_OK(
                ng_image_fit(&photo, photo.width, photo.height, (ng_fit)f, (ng_resample)r, 9, &out, &g, &err),
                err);
            assert_int_equal(difference(&out, &photo), 0);
            CHECK_NEAR(g.x0, 0, 0);
            CHECK_NEAR(g.y1, photo.height, 1e-12);
            ng_image_clear(&out);
        }
    ng_image_clear(&photo);
}

static void check_region(const ng_geometry *g, double x0, double y0, double x1, double y1)
{
    CHECK_NEAR(g->x0, x0, 1e-9);
    CHECK_NEAR(g->y0, y0, 1e-9);
    CHECK_NEAR(g->x1, x1, 1e-9);
    CHECK_NEAR(g->y1, y1, 1e-9);
}

static ng_geometry fit_geometry(int width, int height, ng_fit fit)
{
    ng_error err;
    uint8_t *data = calloc((size_t)width * height, 1);
    ng_image image = {width, height, 1, data}, out;
    ng_geometry g;
    CHECK_OK(ng_image_fit(&image, 100, 100, fit, NG_RESAMPLE_PIL_NEAREST, 7, &out, &g, &err), err);
    assert_int_equal(out.width, 100);
    assert_int_equal(out.height, 100);
    if (fit == NG_FIT_LETTERBOX && width > height) {
        assert_int_equal(*pixel_at(&out, 50, 0), 7);
        assert_int_equal(*pixel_at(&out, 50, 50), 0);
        assert_int_equal(*pixel_at(&out, 50, 99), 7);
    }
    ng_image_clear(&out);
    free(data);
    return g;
}

static void test_geometry(void **state)
{
    (void)state;
    ng_geometry g = fit_geometry(400, 200, NG_FIT_SQUASH);
    check_region(&g, 0, 0, 400, 200);
    g = fit_geometry(400, 200, NG_FIT_CROP);
    check_region(&g, 100, 0, 300, 200);
    g = fit_geometry(200, 400, NG_FIT_CROP);
    check_region(&g, 0, 100, 200, 300);
    g = fit_geometry(400, 200, NG_FIT_LETTERBOX);
    check_region(&g, 0, -100, 400, 300);
    g = fit_geometry(200, 400, NG_FIT_LETTERBOX);
    check_region(&g, -100, 0, 300, 400);
}

/* A white square in the image lands where the geometry says that it does. */
static void test_geometry_matches_pixels(void **state)
{
    (void)state;
    uint8_t data[60 * 120] = {0};
    for (int y = 20; y < 30; y++)
        for (int x = 70; x < 80; x++)
            data[y * 120 + x] = 255;
    ng_image image = {120, 60, 1, data};
    for (int f = NG_FIT_SQUASH; f <= NG_FIT_LETTERBOX; f++) {
        ng_error err;
        ng_image out;
        ng_geometry g;
        CHECK_OK(ng_image_fit(&image, 90, 90, (ng_fit)f, NG_RESAMPLE_PIL_BILINEAR, 0, &out, &g, &err), err);
        double sum = 0, sum_x = 0, sum_y = 0;
        for (int y = 0; y < 90; y++)
            for (int x = 0; x < 90; x++) {
                double v = *pixel_at(&out, x, y);
                sum += v;
                sum_x += v * (x + 0.5);
                sum_y += v * (y + 0.5);
            }
        CHECK_NEAR(g.x0 + sum_x / sum / 90 * (g.x1 - g.x0), 75, 0.2);
        CHECK_NEAR(g.y0 + sum_y / sum / 90 * (g.y1 - g.y0), 25, 0.2);
        ng_image_clear(&out);
    }
}

static void test_names(void **state)
{
    (void)state;
    ng_error err;
    for (int r = NG_RESAMPLE_PIL_NEAREST; r <= NG_RESAMPLE_CV_BILINEAR; r++) {
        ng_resample found;
        CHECK_OK(ng_resample_find(ng_resample_name((ng_resample)r), &found, &err), err);
        assert_int_equal(found, r);
    }
    for (int f = NG_FIT_SQUASH; f <= NG_FIT_LETTERBOX; f++) {
        ng_fit found;
        CHECK_OK(ng_fit_find(ng_fit_name((ng_fit)f), &found, &err), err);
        assert_int_equal(found, f);
    }
    ng_resample resample;
    ng_fit fit;
    CHECK_FAILS(ng_resample_find("cubic", &resample, &err), NG_E_ARGUMENT, err,
                "nearest, bilinear, bicubic, lanczos");
    CHECK_FAILS(ng_fit_find("stretch", &fit, &err), NG_E_ARGUMENT, err, "squash, crop, letterbox");
    CHECK_FAILS(ng_fit_find(NULL, &fit, &err), NG_E_ARGUMENT, err, "squash");
}

static void test_bad_arguments(void **state)
{
    (void)state;
    ng_error err;
    uint8_t data[200] = {0};
    ng_image none = {0}, image = {10, 10, 1, data}, line = {100, 1, 1, data}, out;
    CHECK_FAILS(ng_image_fit(&none, 5, 5, NG_FIT_SQUASH, NG_RESAMPLE_PIL_BOX, 0, &out, NULL, &err),
                NG_E_ARGUMENT, err, "no image");
    CHECK_FAILS(ng_image_fit(&image, 0, 5, NG_FIT_SQUASH, NG_RESAMPLE_PIL_BOX, 0, &out, NULL, &err),
                NG_E_ARGUMENT, err, "0x5");
    CHECK_FAILS(ng_image_fit(&image, 5, 5, (ng_fit)9, NG_RESAMPLE_PIL_BOX, 0, &out, NULL, &err),
                NG_E_ARGUMENT, err, "fit 9");
    CHECK_FAILS(ng_image_fit(&image, 5, 5, NG_FIT_SQUASH, (ng_resample)9, 0, &out, NULL, &err), NG_E_ARGUMENT,
                err, "resampling 9");
    CHECK_FAILS(ng_image_fit(&line, 2000, 2000, NG_FIT_CROP, NG_RESAMPLE_PIL_BOX, 0, &out, NULL, &err),
                NG_E_LIMIT, err, "letterbox");
    assert_null(out.data);
}

/* Every allocation may fail: the error says so, nothing leaks (the sanitizers look). */
static void test_failed_allocations(void **state)
{
    (void)state;
    ng_image photo = load_picture("photo.png");
    for (int r = NG_RESAMPLE_PIL_NEAREST; r <= NG_RESAMPLE_CV_BILINEAR; r++)
        for (long k = 1;; k++) {
            ng_error err;
            ng_image out;
            ngi_alloc_fail_at(k);
            ng_status status = ng_image_fit(&photo, 50, 50, NG_FIT_CROP, (ng_resample)r, 0, &out, NULL, &err);
            ngi_alloc_fail_at(0);
            if (status == NG_OK) {
                assert_true(k > 2);
                ng_image_clear(&out);
                break;
            }
            assert_int_equal(status, NG_E_MEMORY);
            assert_null(out.data);
        }
    ng_image_clear(&photo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resampling_is_exact),     cmocka_unit_test(test_opencv_halving),
        cmocka_unit_test(test_same_size_is_a_copy),     cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_geometry_matches_pixels), cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_arguments),           cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
