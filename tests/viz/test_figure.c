/* Figures and grids: panels hold their pictures' own pixels, sizes stay sensible, words and colour bar are
 * there, the numbers on the bar are the map's. */
#include "image/pictures.h"

#include "base/base.h"
#include "viz/colorbar.h"

static ng_geometry squash(const ng_image *image)
{
    ng_error err;
    ng_image input;
    ng_geometry g;
    CHECK_OK(ng_image_fit(image, 75, 75, NG_FIT_SQUASH, NG_RESAMPLE_PIL_NEAREST, 0, &input, &g, &err), err);
    ng_image_clear(&input);
    return g;
}

static ng_image blank(int width, int height)
{
    ng_image image = {width, height, 3, malloc((size_t)width * height * 3)};
    for (int i = 0; i < width * height * 3; i++)
        image.data[i] = (uint8_t)(i * 7);
    return image;
}

static float cells[4] = {0, 0.5f, 2.5e-5f, 1};
static const ng_map map = {.height = 2, .width = 2, .data = cells};

static ng_image figure_of(const ng_image *image, const ng_render_opts *opts)
{
    ng_error err;
    ng_geometry g = squash(image);
    ng_image out;
    CHECK_OK(ng_render_figure(&map, image, &g, opts, &out, &err), err);
    return out;
}

/* Whether `small` stands somewhere in `large`, pixel for pixel; tells where. */
static bool find_picture(const ng_image *large, const ng_image *small, int *x, int *y)
{
    for (*y = 0; *y + small->height <= large->height; ++*y)
        for (*x = 0; *x + small->width <= large->width; ++*x) {
            int row = 0;
            while (row < small->height && memcmp(pixel_at(large, *x, *y + row), pixel_at(small, 0, row),
                                                 (size_t)small->width * 3) == 0)
                row++;
            if (row == small->height)
                return true;
        }
    return false;
}

static void test_panels(void **state)
{
    (void)state;
    ng_error err;
    ng_image image = blank(300, 260), overlay;
    ng_render_opts o;
    ng_render_opts_init(&o);
    ng_geometry g = squash(&image);
    CHECK_OK(ng_render_overlay(&map, &image, &g, &o, &overlay, &err), err);
    ng_image figure = figure_of(&image, &o);
    int left_x, left_y, right_x, right_y;
    assert_true(find_picture(&figure, &image, &left_x, &left_y));
    assert_true(find_picture(&figure, &overlay, &right_x, &right_y));
    assert_int_equal(left_y, right_y); /* aligned, side by side */
    assert_true(right_x >= left_x + 300);
    ng_image_clear(&figure);
    ng_image_clear(&overlay);
    free(image.data);
}

static int dark_pixels(const ng_image *image, int from, int to)
{
    int n = 0;
    for (int y = from; y < to; y++)
        for (int x = 0; x < image->width; x++)
            n += pixel_at(image, x, y)[0] < 80;
    return n;
}

static void test_title_and_bar(void **state)
{
    (void)state;
    ng_image image = blank(300, 260);
    ng_render_opts o;
    ng_render_opts_init(&o);
    ng_image plain = figure_of(&image, &o);
    o.title = "tabby, p = 0.93, mixed10";
    ng_image titled = figure_of(&image, &o);
    o.colorbar = 0;
    ng_image narrow = figure_of(&image, &o);
    assert_true(titled.height > plain.height + 10);
    assert_true(titled.width > narrow.width + 20);
    assert_true(dark_pixels(&titled, 0, 40) > 200);
    assert_true(dark_pixels(&plain, 0, 15) == 0); /* margin */
    ng_image_clear(&plain);
    ng_image_clear(&titled);
    ng_image_clear(&narrow);
    free(image.data);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        int width, height, least, most; /* of the figure's width */
    } cases[] = {{100, 75, 560, 800},  {1, 1, 500, 700},      {3000, 2000, 2000, 2400},
                 {20, 3000, 200, 800}, {3000, 8, 2000, 2400}, {299, 299, 600, 760}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ng_image image = blank(cases[i].width, cases[i].height);
        ng_render_opts o;
        ng_render_opts_init(&o);
        o.title = "A title of some length that is broken where the figure is narrow";
        ng_image figure = figure_of(&image, &o);
        assert_in_range(figure.width, cases[i].least, cases[i].most);
        assert_in_range(figure.height, 100, 1400);
        ng_image_clear(&figure);
        free(image.data);
    }
}

static void test_same_bytes_twice(void **state)
{
    (void)state;
    ng_image image = blank(120, 90);
    ng_render_opts o;
    ng_render_opts_init(&o);
    o.title = "twice";
    ng_image a = figure_of(&image, &o), b = figure_of(&image, &o);
    assert_int_equal(difference(&a, &b), 0);
    ng_image_clear(&a);
    ng_image_clear(&b);
    free(image.data);
}

static void test_compat_figures(void **state)
{
    (void)state;
    ng_image image = blank(120, 90);
    for (int c = NG_COMPAT_ARTICLE; c <= NG_COMPAT_TKV; c++) {
        ng_render_opts o;
        ng_render_opts_init(&o);
        o.compat = (ng_compat)c;
        ng_image figure = figure_of(&image, &o);
        assert_true(figure.width > 500); /* two panels, enlarged */
        ng_image_clear(&figure);
    }
    free(image.data);
}

static void check_ticks(double low, double high, int count, double first, double last, int decimals,
                        int exponent)
{
    ngi_ticks t = ngi_ticks_of((ngi_scale){low, high}, 5);
    assert_int_equal(t.count, count);
    CHECK_NEAR(t.value[0], first, fabs(high) * 1e-9);
    CHECK_NEAR(t.value[t.count - 1], last, fabs(high) * 1e-9);
    assert_int_equal(t.decimals, decimals);
    assert_int_equal(t.exponent, exponent);
}

static void test_ticks(void **state)
{
    (void)state;
    check_ticks(0, 1, 6, 0, 1, 1, 0);
    check_ticks(0, 2.7e-5, 6, 0, 2.5e-5, 1, -5);
    check_ticks(-3, 3, 7, -3, 3, 0, 0);
    check_ticks(0, 0, 1, 0, 0, 0, 0);
    check_ticks(0, 123456, 7, 0, 120000, 1, 5);
    check_ticks(0.5, 0.75, 6, 0.5, 0.75, 2, 0);
    static const double highs[] = {1e-300, 1e-12, 0.037, 1.0001, 9.99, 1e30};
    for (size_t i = 0; i < sizeof highs / sizeof *highs; i++)
        for (int wanted = 1; wanted <= 5; wanted++) {
            ngi_ticks t = ngi_ticks_of((ngi_scale){0, highs[i]}, wanted);
            assert_in_range(t.count, 1, NGI_MAX_TICKS);
            for (int k = 0; k < t.count; k++)
                assert_true(t.value[k] >= 0 && t.value[k] <= highs[i] * 1.000001);
        }
}

static void test_grid(void **state)
{
    (void)state;
    ng_error err;
    ng_image images[5], out, without;
    for (int i = 0; i < 5; i++)
        images[i] = blank(200 + 20 * i, 200);
    const char *const captions[5] = {
        "tabby 0.91", NULL, "a caption much too long for the narrow cell that it is under", "", "dog"};
    CHECK_OK(ng_render_grid(images, captions, 5, 3, "Top five", &out, &err), err);
    CHECK_OK(ng_render_grid(images, NULL, 5, 3, NULL, &without, &err), err);
    assert_in_range(out.width, 3 * 280, 3 * 280 + 100);
    assert_true(out.height > without.height + 40);
    for (int i = 0; i < 5; i++) {
        int x, y;
        assert_true(find_picture(&out, &images[i], &x, &y));
        assert_true((x > out.width / 3) == (i % 3 > 0));
        assert_true((y > out.height / 2) == (i >= 3));
    }
    ng_image_clear(&without);
    ng_image_clear(&out);
    CHECK_FAILS(ng_render_grid(images, captions, 0, 3, NULL, &out, &err), NG_E_ARGUMENT, err, "0 pictures");
    CHECK_FAILS(ng_render_grid(images, captions, 5, 0, NULL, &out, &err), NG_E_ARGUMENT, err, "0 columns");
    CHECK_FAILS(ng_render_grid(images, captions, 1000000, 3, NULL, &out, &err), NG_E_LIMIT, err,
                "the limit is");
    for (int i = 0; i < 5; i++)
        free(images[i].data);
}

static void test_failed_allocations(void **state)
{
    (void)state;
    ng_image image = blank(60, 40);
    ng_geometry g = squash(&image);
    ng_render_opts o;
    ng_render_opts_init(&o);
    o.title = "t";
    for (long k = 1;; k++) {
        ng_error err;
        ng_image out;
        ngi_alloc_fail_at(k);
        ng_status status = ng_render_figure(&map, &image, &g, &o, &out, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_OK) {
            assert_true(k > 10);
            ng_image_clear(&out);
            break;
        }
        assert_int_equal(status, NG_E_MEMORY);
        assert_null(out.data);
    }
    for (long k = 1;; k++) {
        ng_error err;
        ng_image out;
        ngi_alloc_fail_at(k);
        ng_status status = ng_render_grid(&image, (const char *const[]){"c"}, 1, 1, "t", &out, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_OK) {
            assert_true(k > 4);
            ng_image_clear(&out);
            break;
        }
        assert_int_equal(status, NG_E_MEMORY);
        assert_null(out.data);
    }
    free(image.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_panels),         cmocka_unit_test(test_title_and_bar),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_same_bytes_twice),
        cmocka_unit_test(test_compat_figures), cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_grid),           cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
