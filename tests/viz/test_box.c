/* Boxes around what a map shows: where they are in image pixels for every fit, which region is taken, what is drawn, and
 * what is refused. */
#include "check.h"

#include "base/base.h"

enum { CELLS = 8 };

static float cells[CELLS * CELLS];
static ng_error err;

static ng_map map_of_cells(void)
{
    float max = 0;
    for (int i = 0; i < CELLS * CELLS; i++)
        max = cells[i] > max ? cells[i] : max;
    return (ng_map){.height = CELLS, .width = CELLS, .data = cells, .signed_data = cells, .max = max};
}

/* An input of 80x80 that covers x0..x1, y0..y1 of the image. */
static ng_geometry geometry(int width, int height, double x0, double y0, double x1, double y1)
{
    return (ng_geometry){.image_width = width,
                         .image_height = height,
                         .input_width = 80,
                         .input_height = 80,
                         .x0 = x0,
                         .y0 = y0,
                         .x1 = x1,
                         .y1 = y1};
}

static ng_box box_of(const ng_geometry *g, double threshold)
{
    ng_box b;
    ng_map map = map_of_cells();
    CHECK_OK(ng_map_box(&map, g, threshold, &b, &err), err);
    return b;
}

static void check_box(ng_box b, int x, int y, int width, int height)
{
    if (b.x != x || b.y != y || b.width != width || b.height != height)
        fail_msg("box %d,%d %dx%d, expected %d,%d %dx%d", b.x, b.y, b.width, b.height, x, y, width, height);
}

/* One bright cell: between its centre and the next one's the map falls linearly from 1 to 0 over 10 pixels, so that at
 * half of the maximum the box is one cell (10 pixels) wide. */
static void test_one_cell(void **state)
{
    (void)state;
    memset(cells, 0, sizeof cells);
    cells[2 * CELLS + 5] = 4;
    ng_geometry square = geometry(80, 80, 0, 0, 80, 80);
    ng_box b = box_of(&square, 0.5);
    check_box(b, 50, 20, 10, 10);
    assert_true(b.pixels > 50 && b.pixels < 100); /* bilinear: the corners are below half */
    CHECK_NEAR(b.max, 4 * 0.95 * 0.95, 1e-5);     /* the pixel next to the centre */
    ng_geometry wide = geometry(160, 40, 0, 0, 160, 40);
    check_box(box_of(&wide, 0.5), 100, 10, 20, 5);
    ng_geometry crop = geometry(100, 80, 10, 0, 90, 80);
    check_box(box_of(&crop, 0.5), 60, 20, 10, 10);
    ng_geometry letterbox = geometry(80, 40, 0, -20, 80, 60);
    check_box(box_of(&letterbox, 0.5), 50, 0, 10, 10);
}

/* The largest region wins, not the brightest; regions that touch at a corner are one; lower thresholds join them. */
static void test_regions(void **state)
{
    (void)state;
    memset(cells, 0, sizeof cells);
    cells[0] = 10;
    for (int x = 3; x < 7; x++)
        cells[5 * CELLS + x] = cells[6 * CELLS + x] = 6;
    ng_geometry g = geometry(80, 80, 0, 0, 80, 80);
    ng_box b = box_of(&g, 0.3); /* 3 is half of 6 */
    check_box(b, 30, 50, 40, 20);
    CHECK_NEAR(b.max, 6, 1e-5);
    check_box(box_of(&g, 0.97), 0, 0, 5, 5);
    memset(cells, 0, sizeof cells);
    cells[9] = cells[18] = 1;
    check_box(box_of(&g, 0.55), 10, 10, 20, 20);
}

/* Outside of a centre crop nothing was seen: no box reaches there, though the map's edge is bright. */
static void test_outside_a_crop(void **state)
{
    (void)state;
    for (int i = 0; i < CELLS * CELLS; i++)
        cells[i] = 1;
    ng_geometry crop = geometry(120, 80, 20, 0, 100, 80);
    ng_box b = box_of(&crop, 0.2);
    check_box(b, 20, 0, 80, 80);
    assert_int_equal(b.pixels, 6400);
}

static void test_nothing_to_box(void **state)
{
    (void)state;
    memset(cells, 0, sizeof cells);
    ng_geometry g = geometry(80, 80, 0, 0, 80, 80);
    ng_box b = box_of(&g, 0.2);
    check_box(b, 0, 0, 0, 0);
    assert_int_equal(b.pixels, 0);
}

/* The overlay differs from the one without a box in a white frame on the box and a black one around it, nowhere else. */
static void test_drawn(void **state)
{
    (void)state;
    memset(cells, 0, sizeof cells);
    cells[2 * CELLS + 5] = 4;
    ng_geometry g = geometry(80, 80, 0, 0, 80, 80);
    ng_map map = map_of_cells();
    uint8_t *pixels = malloc(80 * 80 * 3);
    memset(pixels, 100, 80 * 80 * 3);
    ng_image image = {80, 80, 3, pixels}, plain, boxed;
    ng_render_opts opts;
    ng_render_opts_init(&opts);
    CHECK_OK(ng_render_overlay(&map, &image, &g, &opts, &plain, &err), err);
    opts.box = 0.5;
    CHECK_OK(ng_render_overlay(&map, &image, &g, &opts, &boxed, &err), err);
    for (int y = 0; y < 80; y++)
        for (int x = 0; x < 80; x++) {
            int outside = x < 49 || x > 60 || y < 19 || y > 30,
                black = x == 49 || x == 60 || y == 19 || y == 30,
                white = x == 50 || x == 59 || y == 20 || y == 29;
            int expected = outside ? plain.data[(y * 80 + x) * 3]
                           : black ? 0
                           : white ? 255
                                   : plain.data[(y * 80 + x) * 3];
            if (boxed.data[(y * 80 + x) * 3] != expected)
                fail_msg("pixel %d,%d: %d, expected %d", x, y, boxed.data[(y * 80 + x) * 3], expected);
        }
    ng_image_clear(&plain);
    ng_image_clear(&boxed);
    opts.compat = NG_COMPAT_PGC;
    CHECK_FAILS(ng_render_overlay(&map, &image, &g, &opts, &boxed, &err), NG_E_ARGUMENT, err,
                "draws no boxes");
    free(pixels);
}

static void test_refused(void **state)
{
    (void)state;
    ng_geometry g = geometry(80, 80, 0, 0, 80, 80);
    ng_map map = map_of_cells();
    ng_box b;
    CHECK_FAILS(ng_map_box(&map, &g, 0, &b, &err), NG_E_ARGUMENT, err, "above 0");
    CHECK_FAILS(ng_map_box(&map, &g, 1.01, &b, &err), NG_E_ARGUMENT, err, "above 0");
    CHECK_FAILS(ng_map_box(&map, &g, (double)NAN, &b, &err), NG_E_ARGUMENT, err, "above 0");
    for (long k = 1; k <= 2; k++) {
        ngi_alloc_fail_at(k);
        CHECK_FAILS(ng_map_box(&map, &g, 0.5, &b, &err), NG_E_MEMORY, err, "memory");
        ngi_alloc_fail_at(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_cell),       cmocka_unit_test(test_regions),
        cmocka_unit_test(test_outside_a_crop), cmocka_unit_test(test_nothing_to_box),
        cmocka_unit_test(test_drawn),          cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
