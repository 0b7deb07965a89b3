/* Evaluating where things change meanwhile: an image that vanishes between being judged and being drawn. */
#include "api/judged.h"

enum { IMAGES = 15, GONE = 4 };

static int set_up(void **state)
{
    (void)state;
    folder = make_folder();
    write_data(IMAGES, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* After the last image was judged the first ones are taken away. */
static int take_away(void *context, const char *what, int64_t done, int64_t total)
{
    (void)context;
    if (strcmp(what, "images") == 0 && done == total)
        take_pictures_away(GONE);
    return 0;
}

static int count(const char *text, const char *words)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, words)); at++)
        n++;
    return n;
}

static void vanished_images_are_counted(void **state)
{
    (void)state;
    ng_model *model;
    ng_evaluation found;
    ng_evaluate_opts o;
    char *text;
    size_t size;
    CHECK_OK(ng_model_load(MODEL, NULL, &model, &err), err);
    ng_evaluate_opts_init(&o);
    o.threads = 2;
    o.progress = take_away;
    CHECK_OK(ng_evaluate(model, place("list.csv"), folder, &o, &found, &err), err);
    assert_int_equal(found.images, IMAGES);
    assert_int_equal(found.unreadable, 0);
    assert_int_equal(found.gone, GONE); /* each section shows up to 24: all images are shown */
    CHECK_OK(ngi_file_read(place("report.html"), 1 << 24, &text, &size, &err), err);
    assert_non_null(strstr(text, "4 images could be judged, but not read again to be shown"));
    assert_true(count(text, "could not be read any more") >= GONE);
    assert_int_equal(count(text, "<image id=\"p"), IMAGES - GONE);
    ngi_free(text);
    CHECK_OK(ngi_file_read(place("report.json"), 1 << 24, &text, &size, &err), err);
    assert_non_null(strstr(text, "\"gone\": 4,"));
    ngi_free(text);
    ng_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vanished_images_are_counted)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
