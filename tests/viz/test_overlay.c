/* The default picture: a bright cell lands on its image pixels for every fit, colours and blending,
 * normalisation, signed maps, grey images, refused arguments, failed allocations. */
#include "image/pictures.h"

#include "base/base.h"
#include "viz/render.h"
#include "viz/scale.h"

#define CELLS 8

typedef struct world {
    ng_image image;
    ng_geometry geometry;
    ng_map map;
    float raw[CELLS * CELLS], signed_raw[CELLS * CELLS];
    ng_render_opts opts;
} world;

/* A mid-grey image fitted to a 64x64 input, and a map of zeros. */
static world *make_world(int width, int height, int channels, ng_fit fit)
{
    ng_error err;
    ng_image input;
    world *w = calloc(1, sizeof *w);
    w->image = (ng_image){width, height, channels, malloc((size_t)width * height * channels)};
    memset(w->image.data, 100, (size_t)width * height * channels);
    CHECK_OK(ng_image_fit(&w->image, 64, 64, fit, NG_RESAMPLE_PIL_BILINEAR, 0, &input, &w->geometry, &err),
             err);
    ng_image_clear(&input);
    w->map = (ng_map){.height = CELLS, .width = CELLS, .data = w->raw, .signed_data = w->signed_raw};
    ng_render_opts_init(&w->opts);
    return w;
}

static void free_world(world *w)
{
    free(w->image.data);
    free(w);
}

static ng_image overlay(const world *w)
{
    ng_error err;
    ng_image out;
    CHECK_OK(ng_render_overlay(&w->map, &w->image, &w->geometry, &w->opts, &out, &err), err);
    assert_int_equal(out.width, w->image.width);
    assert_int_equal(out.height, w->image.height);
    assert_int_equal(out.channels, 3);
    return out;
}

static ng_image heatmap(const world *w)
{
    ng_error err;
    ng_image out;
    CHECK_OK(ng_render_heatmap(&w->map, &w->geometry, &w->opts, &out, &err), err);
    return out;
}

/* Centre of the red of a gray heatmap, in pixels. */
static void center_of(const ng_image *image, double *x, double *y)
{
    double sum = 0;
    *x = *y = 0;
    for (int r = 0; r < image->height; r++)
        for (int c = 0; c < image->width; c++) {
            double v = pixel_at(image, c, r)[0];
            sum += v;
            *x += v * (c + 0.5);
            *y += v * (r + 0.5);
        }
    assert_true(sum > 0);
    *x /= sum;
    *y /= sum;
}

static void test_cell_lands_on_its_pixels(void **state)
{
    (void)state;
    static const int sizes[][2] = {{300, 120}, {110, 290}, {64, 64}, {37, 41}, {500, 300}};
    for (int f = NG_FIT_SQUASH; f <= NG_FIT_LETTERBOX; f++)
        for (int s = 0; s < 5; s++) {
            world *w = make_world(sizes[s][0], sizes[s][1], 3, (ng_fit)f);
            const ng_geometry *g = &w->geometry;
            int row = 3, column = 4; /* well inside every region */
            w->raw[row * CELLS + column] = 2;
            w->opts.colormap = "gray";
            ng_image heat = heatmap(w);
            double x, y;
            center_of(&heat, &x, &y);
            CHECK_NEAR(x, g->x0 + (column + 0.5) / CELLS * (g->x1 - g->x0), 0.3);
            CHECK_NEAR(y, g->y0 + (row + 0.5) / CELLS * (g->y1 - g->y0), 0.3);
            ng_image_clear(&heat);
            free_world(w);
        }
}

static void test_outside_a_crop(void **state)
{
    (void)state;
    world *w = make_world(200, 100, 3, NG_FIT_CROP); /* the network saw x 50..150 */
    for (int i = 0; i < CELLS * CELLS; i++)
        w->raw[i] = 1;
    ng_image out = overlay(w), heat = heatmap(w);
    for (int x = 0; x < 200; x++) {
        bool inside = x >= 50 && x < 150;
        assert_int_equal(pixel_at(&out, x, 40)[0], inside ? (int)(0.6 * 100 + 0.4 * 128 + 0.5) : 100);
        assert_int_equal(pixel_at(&heat, x, 40)[0], inside ? 128 : 0); /* jet's last red */
    }
    ng_image_clear(&heat);
    ng_image_clear(&out);
    free_world(w);
}

static void test_blending(void **state)
{
    (void)state;
    world *w = make_world(64, 64, 3, NG_FIT_SQUASH);
    w->raw[0] = 1;
    ng_image heat = heatmap(w);
    for (double alpha = 0; alpha <= 1; alpha += 0.25) {
        w->opts.alpha = alpha;
        ng_image out = overlay(w);
        for (int i = 0; i < 64 * 64 * 3; i++)
            CHECK_NEAR(out.data[i], (1 - alpha) * 100 + alpha * heat.data[i], 0.5001);
        ng_image_clear(&out);
    }
    ng_image_clear(&heat);
    free_world(w);
}

/* A grey image stays grey under a gray map, and a black-and-white colour map adds no colour. */
static void test_grey_base(void **state)
{
    (void)state;
    world *w = make_world(50, 30, 1, NG_FIT_SQUASH);
    w->raw[27] = 3;
    w->opts.colormap = "gray";
    ng_image out = overlay(w);
    for (int i = 0; i < 50 * 30; i++) {
        assert_int_equal(out.data[3 * i], out.data[3 * i + 1]);
        assert_int_equal(out.data[3 * i], out.data[3 * i + 2]);
    }
    ng_image_clear(&out);
    free_world(w);
}

static int red_at_cell(const ng_image *gray, int row, int column)
{
    int side = gray->width / CELLS;
    return pixel_at(gray, column * side + side / 2, row * side + side / 2)[0];
}

static void test_signed(void **state)
{
    (void)state;
    world *w =
        make_world(72, 72, 3, NG_FIT_SQUASH); /* 9 pixels a cell: the middle one is the cell's own value */
    w->signed_raw[0] = -4;
    w->signed_raw[7] = 2;
    w->opts.use_signed = 1;
    w->opts.colormap = "gray";
    ng_image gray = heatmap(w);
    assert_int_equal(red_at_cell(&gray, 0, 0), 0);
    assert_int_equal(red_at_cell(&gray, 4, 4), 128);
    assert_int_equal(red_at_cell(&gray, 0, 7), 191);
    ng_image_clear(&gray);
    w->opts.colormap = NULL; /* blue for negative, red for positive */
    ng_image color = heatmap(w);
    const uint8_t *negative = pixel_at(&color, 4, 4), *positive = pixel_at(&color, 67, 4);
    assert_true(negative[2] > negative[0] + 50);
    assert_true(positive[0] > positive[2] + 50);
    ng_image_clear(&color);
    memset(w->signed_raw, 0, sizeof w->signed_raw);
    w->opts.colormap = "gray";
    gray = heatmap(w); /* nothing at all: the middle */
    assert_int_equal(red_at_cell(&gray, 0, 0), 128);
    ng_image_clear(&gray);
    free_world(w);
}

static ngi_scale scale_of(const float *values, int n, ng_norm norm, int use_signed)
{
    ng_error err;
    ngi_scale s;
    ng_render_opts o;
    ng_render_opts_init(&o);
    o.norm = norm;
    o.use_signed = use_signed;
    o.norm_low = -1;
    o.norm_high = 5;
    CHECK_OK(ngi_scale_of(values, n, &o, &s, &err), err);
    return s;
}

static void check_scale(ngi_scale s, double low, double high)
{
    CHECK_NEAR(s.low, low, 1e-6);
    CHECK_NEAR(s.high, high, 1e-6);
}

static void test_normalisation(void **state)
{
    (void)state;
    float values[101];
    for (int i = 0; i < 101; i++)
        values[i] = (float)(i + 1); /* the 99th percentile is 100 */
    values[100] = 1000;
    check_scale(scale_of(values, 101, NG_NORM_MAX, 0), 0, 1000);
    check_scale(scale_of(values, 101, NG_NORM_MINMAX, 0), 1, 1000);
    check_scale(scale_of(values, 101, NG_NORM_PERCENTILE, 0), 0, 100);
    check_scale(scale_of(values, 101, NG_NORM_RANGE, 0), -1, 5);
    check_scale(scale_of(values, 101, NG_NORM_NONE, 0), 0, 1);
    check_scale(scale_of(values, 101, NG_NORM_MAX, 1), -1000, 1000);
    check_scale(scale_of(values, 101, NG_NORM_PERCENTILE, 1), -100, 100);
    check_scale(scale_of(values, 101, NG_NORM_RANGE, 1), -5, 5);
    float zero[2] = {0, 0}, shown[2];
    for (int norm = NG_NORM_MAX; norm <= NG_NORM_NONE; norm++) {
        ngi_scale_apply(scale_of(zero, 2, (ng_norm)norm, 0), zero, 2, shown);
        CHECK_NEAR(shown[0], norm == NG_NORM_RANGE ? 1.0 / 6 : 0, 1e-6);
    }
    float wide[3] = {-1, 0.25f, 7};
    float clipped[3];
    ngi_scale_apply((ngi_scale){0, 1}, wide, 3, clipped);
    CHECK_NEAR(clipped[0], 0, 0);
    CHECK_NEAR(clipped[1], 0.25, 1e-7);
    CHECK_NEAR(clipped[2], 1, 0);
}

static void test_norm_names(void **state)
{
    (void)state;
    ng_error err;
    ng_norm found;
    for (int norm = NG_NORM_MAX; norm <= NG_NORM_NONE; norm++) {
        CHECK_OK(ng_norm_find(ng_norm_name((ng_norm)norm), &found, &err), err);
        assert_int_equal(found, norm);
    }
    CHECK_FAILS(ng_norm_find("l2", &found, &err), NG_E_ARGUMENT, err, "max, minmax, percentile, range, none");
}

static void test_refused(void **state)
{
    (void)state;
    ng_error err;
    ng_image out;
    world *w = make_world(40, 30, 3, NG_FIT_SQUASH);
    ng_image other = {40, 29, 3, w->image.data}, none = {0};
#define REFUSED(status, fragment)                                                                       \
    CHECK_FAILS(ng_render_overlay(&w->map, &w->image, &w->geometry, &w->opts, &out, &err), status, err, \
                fragment)
    CHECK_FAILS(ng_render_overlay(&w->map, &other, &w->geometry, &w->opts, &out, &err), NG_E_SHAPE, err,
                "40x29");
    CHECK_FAILS(ng_render_overlay(&w->map, &none, &w->geometry, &w->opts, &out, &err), NG_E_ARGUMENT, err,
                "no image");
    CHECK_FAILS(ng_render_overlay(&w->map, &w->image, NULL, &w->opts, &out, &err), NG_E_ARGUMENT, err,
                "geometry");
    w->opts.alpha = NAN;
    REFUSED(NG_E_ARGUMENT, "alpha");
    w->opts.alpha = 0.4;
    w->opts.colormap = "rainbow";
    REFUSED(NG_E_ARGUMENT, "no colour map is called 'rainbow'; there are jet, jet-matplotlib, viridis");
    w->opts.colormap = NULL;
    w->opts.norm = NG_NORM_RANGE;
    REFUSED(NG_E_ARGUMENT, "not an interval");
    w->opts.norm = NG_NORM_MAX;
    w->opts.compat = NG_COMPAT_PGC;
    w->opts.use_signed = 1;
    REFUSED(NG_E_ARGUMENT, "compat pgc draws no signed maps");
    w->opts.compat = NG_COMPAT_NONE;
    w->map.signed_data = NULL;
    REFUSED(NG_E_ARGUMENT, "no signed values");
    w->opts.use_signed = 0;
    w->raw[CELLS + 2] = NAN;
    REFUSED(NG_E_ARGUMENT, "row 1, column 2");
    w->raw[CELLS + 2] = 0;
    w->geometry.x1 = w->geometry.x0;
    REFUSED(NG_E_ARGUMENT, "not a rectangle");
    free_world(w);
}

static void test_failed_allocations(void **state)
{
    (void)state;
    world *w = make_world(40, 30, 3, NG_FIT_SQUASH);
    w->raw[9] = 1;
    for (int c = NG_COMPAT_NONE; c <= NG_COMPAT_TKV; c++) {
        w->opts.compat = (ng_compat)c;
        for (long k = 1;; k++) {
            ng_error err;
            ng_image out;
            ngi_alloc_fail_at(k);
            ng_status status = ng_render_overlay(&w->map, &w->image, &w->geometry, &w->opts, &out, &err);
            ngi_alloc_fail_at(0);
            if (status == NG_OK) {
                assert_true(k > 3);
                ng_image_clear(&out);
                break;
            }
            assert_int_equal(status, NG_E_MEMORY);
            assert_null(out.data);
        }
    }
    free_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cell_lands_on_its_pixels),
        cmocka_unit_test(test_outside_a_crop),
        cmocka_unit_test(test_blending),
        cmocka_unit_test(test_grey_base),
        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_norm_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
