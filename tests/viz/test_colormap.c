/* Colour maps: the tables by their known ends, and matplotlib's jet against its rounded table. */
#include "check.h"

#include "viz/colormap.h"

static void check_color(const char *name, int level, int r, int g, int b)
{
    ng_error err;
    uint8_t rgb[256 * 3];
    CHECK_OK(ng_colormap_table(name, rgb, &err), err);
    assert_int_equal(rgb[3 * level], r);
    assert_int_equal(rgb[3 * level + 1], g);
    assert_int_equal(rgb[3 * level + 2], b);
}

static void test_known_colors(void **state)
{
    (void)state;
    check_color("jet", 0, 0, 0, 128); /* RGB order: low is blue */
    check_color("jet", 255, 128, 0, 0);
    check_color("jet-matplotlib", 255, 128, 0, 0);
    check_color("viridis", 0, 68, 1, 84);
    check_color("viridis", 255, 253, 231, 37);
    check_color("gray", 100, 100, 100, 100);
    check_color("coolwarm", 0, 59, 76, 192);
    check_color("coolwarm", 255, 180, 4, 38);
    check_color(NULL, 255, 128, 0, 0);
}

static void test_list(void **state)
{
    (void)state;
    ng_error err;
    uint8_t rgb[256 * 3];
    assert_true(ng_colormap_count() >= 9);
    for (int i = 0; i < ng_colormap_count(); i++)
        CHECK_OK(ng_colormap_table(ng_colormap_name(i), rgb, &err), err);
    assert_null(ng_colormap_name(-1));
    assert_null(ng_colormap_name(ng_colormap_count()));
    CHECK_FAILS(ng_colormap_table("hot", rgb, &err), NG_E_ARGUMENT, err, "there are jet, ");
}

static void test_exact_jet(void **state)
{
    (void)state;
    ng_error err;
    uint8_t rgb[256 * 3];
    CHECK_OK(ng_colormap_table("jet-matplotlib", rgb, &err), err);
    for (int level = 0; level < 256; level++) {
        double exact[3];
        ngi_jet_exact(level, exact);
        for (int k = 0; k < 3; k++)
            CHECK_NEAR(exact[k] * 255, rgb[3 * level + k], 0.5001);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_colors),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_exact_jet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
