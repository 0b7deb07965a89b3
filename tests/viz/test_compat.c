/* Pictures in the way of the article, Keras, pytorch-grad-cam and tf-keras-vis, against what those make of
 * the same map and image (tests/fixtures/make_image_fixtures.py). */
#include "image/pictures.h"

#include "viz/render.h"

#define INPUT 75

typedef struct scene {
    ng_image photo, input;
    ng_geometry geometry;
    ng_map map;
    ng_array cam;
    ng_render_opts opts;
} scene;

static scene make_scene(ng_compat compat)
{
    ng_error err;
    scene s = {.photo = load_picture("photo.png")};
    CHECK_OK(ng_image_fit(&s.photo, INPUT, INPUT, NG_FIT_SQUASH, NG_RESAMPLE_PIL_NEAREST, 0, &s.input,
                          &s.geometry, &err),
             err);
    CHECK_OK(ng_npy_load(IMAGES "cam.npy", &s.cam, &err), err);
    for (int i = 0; i < 64; i++)
        s.cam.data[i] = s.cam.data[i] > 0 ? s.cam.data[i] : 0;
    s.map = (ng_map){.height = 8, .width = 8, .data = s.cam.data};
    ng_render_opts_init(&s.opts);
    s.opts.compat = compat;
    return s;
}

static void clear_scene(scene *s)
{
    ng_image_clear(&s->photo);
    ng_image_clear(&s->input);
    ng_array_clear(&s->cam);
}

static void check_compat(ng_compat compat, const char *name)
{
    ng_error err;
    scene s = make_scene(compat);
    ng_image heatmap, overlay;
    char file[64];
    CHECK_OK(ng_render_heatmap(&s.map, &s.geometry, &s.opts, &heatmap, &err), err);
    snprintf(file, sizeof file, "%s-heatmap.png", name);
    check_picture(&heatmap, file, 0);
    CHECK_OK(ng_render_overlay(&s.map, &s.photo, &s.geometry, &s.opts, &overlay, &err), err);
    snprintf(file, sizeof file, "%s-overlay.png", name);
    check_picture(&overlay, file, 0);
    ng_image_clear(&overlay);
    ng_image_clear(&heatmap);
    clear_scene(&s);
}

static void test_article(void **state)
{
    (void)state;
    check_compat(NG_COMPAT_ARTICLE, "article");
    ng_error err;
    scene s = make_scene(NG_COMPAT_ARTICLE);
    uint8_t levels[INPUT * INPUT];
    CHECK_OK(ngi_article_levels(s.map.data, 8, 8, levels, INPUT, INPUT, &err), err);
    check_picture(&(ng_image){INPUT, INPUT, 1, levels}, "article-levels.png", 0);
    clear_scene(&s);
}

/* A named colour map replaces the library's: gray shows the article's uint8 map itself. */
static void test_article_in_gray(void **state)
{
    (void)state;
    ng_error err;
    scene s = make_scene(NG_COMPAT_ARTICLE);
    s.opts.colormap = "gray";
    ng_image heatmap, levels = load_picture("article-levels.png");
    CHECK_OK(ng_render_heatmap(&s.map, &s.geometry, &s.opts, &heatmap, &err), err);
    for (int i = 0; i < INPUT * INPUT; i++)
        assert_int_equal(heatmap.data[3 * i], levels.data[i]);
    ng_image_clear(&levels);
    ng_image_clear(&heatmap);
    clear_scene(&s);
}

static void test_keras(void **state)
{
    (void)state;
    check_compat(NG_COMPAT_KERAS, "keras");
}

static void test_pgc(void **state)
{
    (void)state;
    check_compat(NG_COMPAT_PGC, "pgc");
}

static void test_tkv(void **state)
{
    (void)state;
    ng_error err;
    scene s = make_scene(NG_COMPAT_TKV);
    s.opts.colormap = "gray";
    s.opts.alpha = 0.25;
    ng_image heatmap, overlay, levels = load_picture("tkv-levels.png");
    CHECK_OK(ng_render_heatmap(&s.map, &s.geometry, &s.opts, &heatmap, &err), err);
    CHECK_OK(ng_render_overlay(&s.map, &s.photo, &s.geometry, &s.opts, &overlay, &err), err);
    for (int i = 0; i < INPUT * INPUT; i++) {
        assert_in_range(abs(heatmap.data[3 * i] - levels.data[i]), 0, 1);
        assert_in_range(fabs(0.75 * s.input.data[3 * i] + 0.25 * heatmap.data[3 * i] - overlay.data[3 * i]) <=
                            0.5001,
                        1, 1);
    }
    ng_image_clear(&levels);
    ng_image_clear(&overlay);
    ng_image_clear(&heatmap);
    clear_scene(&s);
}

/* A map that is zero everywhere: no NaN, no crash, the lowest colour. */
static void test_zero_map(void **state)
{
    (void)state;
    for (int c = NG_COMPAT_NONE; c <= NG_COMPAT_TKV; c++) {
        ng_error err;
        scene s = make_scene((ng_compat)c);
        ng_image heatmap, overlay;
        memset(s.map.data, 0, 64 * sizeof(float));
        CHECK_OK(ng_render_heatmap(&s.map, &s.geometry, &s.opts, &heatmap, &err), err);
        CHECK_OK(ng_render_overlay(&s.map, &s.photo, &s.geometry, &s.opts, &overlay, &err), err);
        const uint8_t *p = pixel_at(&heatmap, 20, 20);
        assert_int_equal(p[0], 0);
        assert_int_equal(p[1], 0);
        if (c == NG_COMPAT_KERAS) /* array_to_img stretches its one colour: dark blue to full blue */
            assert_int_equal(p[2], 255);
        else
            assert_int_equal(p[2], 128);
        ng_image_clear(&overlay);
        ng_image_clear(&heatmap);
        clear_scene(&s);
    }
}

/* Pictures of the network's view keep the geometry: crop and letterbox are drawn on the fitted image. */
static void test_other_fits(void **state)
{
    (void)state;
    ng_error err;
    scene s = make_scene(NG_COMPAT_ARTICLE);
    for (int f = NG_FIT_CROP; f <= NG_FIT_LETTERBOX; f++) {
        ng_image input, overlay;
        ng_geometry g;
        CHECK_OK(
            ng_image_fit(&s.photo, INPUT, INPUT, (ng_fit)f, NG_RESAMPLE_CV_BILINEAR, 0, &input, &g, &err),
            err);
        s.opts.compat = NG_COMPAT_ARTICLE;
        CHECK_OK(ng_render_overlay(&s.map, &s.photo, &g, &s.opts, &overlay, &err), err);
        for (int i = 0; i < INPUT * INPUT * 3; i += 7)
            assert_in_range(overlay.data[i], (int)(0.7 * input.data[i]),
                            (int)(0.7 * input.data[i] + 0.3 * 255 + 1));
        ng_image_clear(&overlay);
        s.opts.compat = NG_COMPAT_KERAS;
        CHECK_FAILS(ng_render_overlay(&s.map, &s.photo, &g, &s.opts, &overlay, &err), NG_E_UNSUPPORTED, err,
                    "use fit squash");
        ng_image_clear(&input);
    }
    clear_scene(&s);
}

static void test_names(void **state)
{
    (void)state;
    ng_error err;
    for (int c = NG_COMPAT_NONE; c <= NG_COMPAT_TKV; c++) {
        ng_compat found;
        CHECK_OK(ng_compat_find(ng_compat_name((ng_compat)c), &found, &err), err);
        assert_int_equal(found, c);
    }
    ng_compat found;
    CHECK_FAILS(ng_compat_find("torch", &found, &err), NG_E_ARGUMENT, err, "none, article, keras, pgc, tkv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_article),    cmocka_unit_test(test_article_in_gray),
        cmocka_unit_test(test_keras),      cmocka_unit_test(test_pgc),
        cmocka_unit_test(test_tkv),        cmocka_unit_test(test_zero_map),
        cmocka_unit_test(test_other_fits), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
