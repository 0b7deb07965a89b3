/* ng_image_load: every kind of file, orientation, depth, alpha and colour space, from several threads at
 * once. */
#include "image/pictures.h"

#include <pthread.h>

static ng_image load_with(const char *name, const ng_image_opts *opts)
{
    char path[4096];
    ng_error err;
    ng_image image;
    snprintf(path, sizeof path, IMAGES "%s", name);
    CHECK_OK(ng_image_load(path, opts, &image, &err), err);
    return image;
}

static void check_same(const char *name, const char *wanted, int tolerance)
{
    ng_image image = load_picture(name);
    check_picture(&image, wanted, tolerance);
    ng_image_clear(&image);
}

/* The one test whose reference does not go through the decoder. */
static void test_png_pixels(void **state)
{
    (void)state;
    static uint8_t raw[67 * 45 * 3 + 1];
    FILE *f = fopen(IMAGES "photo.bin", "rb");
    assert_non_null(f);
    assert_int_equal(fread(raw, 1, sizeof raw, f), sizeof raw - 1);
    fclose(f);
    ng_image photo = load_picture("photo.png"), wanted = {67, 45, 3, raw};
    assert_int_equal(difference(&photo, &wanted), 0);
    ng_image_clear(&photo);
}

static void test_kinds(void **state)
{
    (void)state;
    check_same("photo.bmp", "photo.png", 0);
    check_same("photo.tif", "photo.png", 0);
    check_same("photo.webp", "photo.png", 0);
    check_same("photo.jpg", "photo-jpg.png", 2); /* inverse DCTs differ by a level */
    check_same("palette.png", "palette-rgb.png", 0);
    check_same("frames.gif", "frames-first.png", 0);
}

static void test_profiles(void **state)
{
    (void)state;
    check_same("wide-gamut.png", "wide-gamut-srgb.png", 2);
    ng_image wide = load_picture("wide-gamut.png"), plain = load_picture("photo.png");
    assert_true(difference(&wide, &plain) > 10); /* the profile was used */
    ng_image_clear(&plain);
    ng_image_clear(&wide);
    check_same("srgb-profile.png", "photo.png", 0);
    check_same("damaged-profile.png", "photo.png", 0);
}

static void test_orientations(void **state)
{
    (void)state;
    for (int i = 1; i <= 8; i++) {
        char name[32], wanted[32];
        snprintf(name, sizeof name, "orientation-%d.jpg", i);
        snprintf(wanted, sizeof wanted, "orientation-%d.png", i);
        check_same(name, wanted, 3);
        ng_image image = load_picture(name);
        assert_int_equal(image.width, i < 5 ? 40 : 24);
        ng_image_clear(&image);
    }
}

static void test_grey_stays_grey(void **state)
{
    (void)state;
    static const char *const names[] = {"grey.jpg", "grey.png", "grey-alpha.png"};
    for (int i = 0; i < 3; i++) {
        ng_image image = load_picture(names[i]);
        assert_int_equal(image.channels, 1);
        ng_image_clear(&image);
    }
    check_same("grey-alpha.png", "grey.png", 0);
}

static void test_channels(void **state)
{
    (void)state;
    ng_image_opts o;
    ng_image_opts_init(&o);
    o.channels = 3;
    ng_image grey = load_picture("grey.png"), rgb = load_with("grey.png", &o);
    assert_int_equal(rgb.channels, 3);
    for (int k = 0; k < 3; k++)
        assert_int_equal(pixel_at(&rgb, 11, 5)[k], *pixel_at(&grey, 11, 5));
    ng_image_clear(&rgb);
    ng_image_clear(&grey);
    o.channels = 1;
    ng_image photo = load_picture("photo.png"), luma = load_with("photo.png", &o);
    assert_int_equal(luma.channels, 1);
    const uint8_t *p = pixel_at(&photo, 40, 30);
    assert_int_equal(*pixel_at(&luma, 40, 30), (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 32768) >> 16);
    ng_image_clear(&luma);
    ng_image_clear(&photo);
}

static void test_alpha(void **state)
{
    (void)state;
    check_same("alpha.png", "alpha-on-white.png", 1);
    ng_image_opts o;
    ng_image_opts_init(&o);
    o.background = 0;
    ng_image black = load_with("alpha.png", &o);
    check_picture(&black, "alpha-on-black.png", 1);
    ng_image_clear(&black);
}

/* Ink by ink: no profile is embedded, so only the hue is prescribed. */
static void test_cmyk(void **state)
{
    (void)state;
    ng_image image = load_picture("cmyk.jpg");
    assert_int_equal(image.channels, 3);
    const uint8_t *cyan = pixel_at(&image, 3, 8), *magenta = pixel_at(&image, 12, 8),
                  *yellow = pixel_at(&image, 20, 8), *black = pixel_at(&image, 28, 8);
    assert_true(cyan[0] < 60 && cyan[1] > 120 && cyan[2] > 180);
    assert_true(magenta[0] > 180 && magenta[1] < 60 && magenta[2] > 90);
    assert_true(yellow[0] > 220 && yellow[1] > 200 && yellow[2] < 60);
    assert_true(black[0] < 70 && black[1] < 70 && black[2] < 70);
    ng_image_clear(&image);
}

static int window(double v, double low, double high)
{
    double at = (v - low) / (high - low) * 255 + 0.5;
    return at < 0 ? 0 : at > 255 ? 255 : (int)at;
}

/* deep-grey.png holds 1000 + 3 i. */
static void test_deep_grey(void **state)
{
    (void)state;
    ng_image full = load_picture("deep-grey.png");
    assert_int_equal(full.channels, 1);
    ng_image_opts o;
    ng_image_opts_init(&o);
    o.window_center = 1500;
    o.window_width = 400;
    ng_image narrow = load_with("deep-grey.png", &o);
    for (int i = 0; i < 24 * 16; i++) {
        assert_int_equal(full.data[i], window(1000 + 3 * i, 1000, 2149));
        assert_int_equal(narrow.data[i], window(1000 + 3 * i, 1300, 1700));
    }
    assert_int_equal(narrow.data[0], 0);
    assert_int_equal(narrow.data[24 * 16 - 1], 255);
    ng_image_clear(&narrow);
    ng_image_clear(&full);
}

static void test_deep_rgb(void **state)
{
    (void)state;
    check_same("deep-rgb.png", "deep-rgb-8.png", 0);
}

static void test_float_grey(void **state)
{
    (void)state;
    ng_image image = load_picture("float-grey.tif"); /* -2 ... 3 in 30 steps */
    assert_int_equal(image.channels, 1);
    for (int i = 0; i < 30; i++)
        assert_int_equal(image.data[i], window(i, 0, 29));
    ng_image_clear(&image);
}

static void *load_often(void *failures)
{
    for (int i = 0; i < 40; i++) {
        ng_image good, bad;
        ng_error err;
        if (ng_image_load(IMAGES "photo.jpg", NULL, &good, &err) != NG_OK || good.width != 67)
            ++*(int *)failures;
        if (ng_image_load(IMAGES "truncated.jpg", NULL, &bad, &err) != NG_E_FORMAT || bad.data)
            ++*(int *)failures;
        ng_image_clear(&good);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    int failures[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_often, &failures[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads), /* first: the library starts under it */
        cmocka_unit_test(test_png_pixels),      cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_profiles),        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_grey_stays_grey), cmocka_unit_test(test_channels),
        cmocka_unit_test(test_alpha),           cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_deep_grey),       cmocka_unit_test(test_deep_rgb),
        cmocka_unit_test(test_float_grey),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
