/* Maps of several layers as one. */
#include "check.h"

#include <math.h>

#include "attr/attr.h"

static ng_map make_map(int h, int w, const float *values)
{
    ng_map m = {.height = h, .width = w};
    m.data = ngi_alloc((size_t)(h * w), sizeof *m.data);
    m.signed_data = ngi_alloc((size_t)(h * w), sizeof *m.signed_data);
    for (int i = 0; i < h * w; i++) {
        m.signed_data[i] = values[i];
        m.data[i] = values[i] > 0 ? values[i] : 0;
    }
    ngi_min_max(m.data, h * w, &m.min, &m.max);
    ngi_min_max(m.signed_data, h * w, &m.signed_min, &m.signed_max);
    return m;
}

/* At the maps' own size nothing is resized: the formulas by hand. */
static void the_rules_are_those_of_the_libraries(void **state)
{
    (void)state;
    ng_map maps[2] = {make_map(2, 2, (const float[]){4, 2, -1, 0}),
                      make_map(2, 2, (const float[]){1, 1, 3, 2})};
    ng_map out;
    ng_error err = {0};
    CHECK_OK(ngi_attr_fuse(maps, 2, 2, 2, NG_FUSE_MEAN, &out, &err), err);
    const double means[4] = {(1 + 0) / 2.0, (0.5 + 0) / 2, (0 + 1) / 2.0, (0 + 0.5) / 2};
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(out.data[i], means[i], 1e-6);
    assert_memory_equal(out.data, out.signed_data, 4 * sizeof(float));
    assert_true(out.max == out.data[0]);
    ng_map_clear(&out);
    CHECK_OK(ngi_attr_fuse(maps, 2, 2, 2, NG_FUSE_MAX, &out, &err), err);
    const double largest[4] = {tanh(2), tanh(1), tanh(2), tanh(2 * 2 / 3.0)};
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(out.data[i], largest[i], 1e-6);
    ng_map_clear(&out);
    ng_map_clear(&maps[0]);
    ng_map_clear(&maps[1]);
}

static void a_silent_layer_is_named_and_all_silent_ones_say_why(void **state)
{
    (void)state;
    ng_map maps[2] = {make_map(1, 2, (const float[]){-1, -2}), make_map(2, 1, (const float[]){1, 2})}, out;
    ng_error err = {0};
    maps[0].status = NG_MAP_ALL_NEGATIVE;
    strcpy(maps[0].note, "all evidence speaks against the class");
    CHECK_OK(ngi_attr_fuse(maps, 2, 4, 4, NG_FUSE_MAX, &out, &err), err);
    assert_int_equal(out.status, NG_MAP_OK);
    assert_non_null(strstr(out.note, "1 of the 2 layers"));
    ng_map_clear(&out);
    CHECK_OK(ngi_attr_fuse(maps, 1, 4, 4, NG_FUSE_MEAN, &out, &err), err);
    assert_int_equal(out.status, NG_MAP_ALL_NEGATIVE);
    assert_string_equal(out.note, maps[0].note);
    assert_true(out.max == 0 && out.min == 0);
    ng_map_clear(&out);
    for (long k = 1; k <= 3; k++) {
        ngi_alloc_fail_at(k);
        CHECK_FAILS(ngi_attr_fuse(maps, 2, 4, 4, NG_FUSE_MEAN, &out, &err), NG_E_MEMORY, err, "");
        ngi_alloc_fail_at(0);
        assert_null(out.data);
    }
    ng_map_clear(&maps[0]);
    ng_map_clear(&maps[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_are_those_of_the_libraries),
        cmocka_unit_test(a_silent_layer_is_named_and_all_silent_ones_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
