/* A system without any font: figures and grids are drawn without words instead of failing or showing empty
 * boxes. */
#include "image/pictures.h"

#include "image/text.h"

static void hide_fonts(const char *folder)
{
    char path[4200];
    ng_error err;
    snprintf(path, sizeof path, "%s/fonts.conf", folder);
    const char *text =
        "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\"><fontconfig></fontconfig>";
    CHECK_OK(ng_file_save(path, text, strlen(text), &err), err);
    setenv("FONTCONFIG_FILE", path, 1);
}

static void test_pictures_without_words(void **state)
{
    (void)state;
    char *folder = make_folder();
    hide_fonts(folder);
    ng_error err;
    ng_image mask, input, figure, grid, photo = load_picture("photo.png");
    CHECK_OK(ngi_text_draw("words", &(ngi_text_style){.pixels = 20}, &mask, &err), err);
    assert_null(mask.data);
    float cells[4] = {0, 1, 2, 3};
    ng_map map = {.height = 2, .width = 2, .data = cells};
    ng_geometry g;
    CHECK_OK(ng_image_fit(&photo, 75, 75, NG_FIT_SQUASH, NG_RESAMPLE_PIL_NEAREST, 0, &input, &g, &err), err);
    ng_render_opts o;
    ng_render_opts_init(&o);
    o.title = "a title";
    CHECK_OK(ng_render_figure(&map, &photo, &g, &o, &figure, &err), err);
    CHECK_OK(ng_render_grid(&photo, (const char *const[]){"a caption"}, 1, 1, "a title", &grid, &err), err);
    assert_true(figure.width > 2 * photo.width);
    ng_image_clear(&grid);
    ng_image_clear(&figure);
    ng_image_clear(&input);
    ng_image_clear(&photo);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pictures_without_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
