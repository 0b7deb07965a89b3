/* Comparing two models where things go wrong: images that vanish between being judged and being drawn, allocations that fail;
 * threads do not change a byte. */
#include "api/judged.h"

enum { IMAGES = 20, STRIDE = 7 };

static ng_model *models[2]; /* the second one's head is drawn anew */

static int set_up(void **state)
{
    (void)state;
    folder = make_folder();
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    for (int m = 0; m < 2; m++) {
        ng_model_opts opts;
        ng_model_opts_init(&opts);
        opts.cache = "off";
        opts.shuffle_head = (unsigned)m * 5;
        CHECK_OK(ng_model_load(MODEL, &opts, &models[m], &err), err);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++)
        ng_model_free(models[m]);
    remove_folder(folder);
    return 0;
}

/* After the last image was judged by B all are taken away. */
static int take_away(void *context, const char *what, int64_t done, int64_t total)
{
    (void)context;
    if (strcmp(what, "images by B") == 0 && done == total)
        take_pictures_away(IMAGES);
    return 0;
}

/* Or after the last one was drawn with A's map. */
static int take_away_later(void *context, const char *what, int64_t done, int64_t total)
{
    (void)context;
    if (strcmp(what, "pictures of A") == 0 && done == total)
        take_pictures_away(IMAGES);
    return 0;
}

static ng_status compare(int threads, int (*progress)(void *, const char *, int64_t, int64_t),
                         ng_comparison *out)
{
    ng_evaluate_opts o;
    ng_evaluate_opts_init(&o);
    o.threads = threads;
    o.progress = progress;
    o.resamples = 20;
    return ng_compare(models[0], models[1], place("list.csv"), folder, &o, NULL, out, &err);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    char *text[3];
    size_t size[3];
    ng_comparison found;
    write_data(IMAGES, "5 5 20 15");
    for (int t = 1; t < 3; t++) {
        CHECK_OK(compare(t, NULL, &found), err);
        CHECK_OK(ngi_file_read(place("compare.html"), 1 << 24, &text[t], &size[t], &err), err);
    }
    assert_int_equal(found.images, IMAGES);
    assert_int_equal(found.both_right + found.only_a + found.only_b + found.both_wrong, found.images);
    assert_int_equal(found.placed, found.images);
    assert_true(found.only_a + found.only_b > 0);
    assert_int_equal(size[1], size[2]);
    assert_memory_equal(text[1], text[2], size[1]);
    ngi_free(text[1]);
    ngi_free(text[2]);
}

static void vanished_images_are_counted(void **state)
{
    (void)state;
    ng_comparison found;
    write_data(IMAGES, "5 5 20 15");
    CHECK_OK(compare(2, take_away, &found), err);
    assert_int_equal(found.images, IMAGES);
    assert_int_equal(found.gone, found.only_a + found.only_b); /* those that would be shown */
    char *text;
    size_t size;
    CHECK_OK(ngi_file_read(place("compare.html"), 1 << 24, &text, &size, &err), err);
    assert_non_null(strstr(text, "could be judged, but not read again to be shown"));
    assert_non_null(strstr(text, "could not be read any more"));
    ngi_free(text);
}

static void images_that_vanish_before_the_second_model_count_too(void **state)
{
    (void)state;
    ng_comparison found;
    write_data(IMAGES, "5 5 20 15");
    CHECK_OK(compare(2, take_away_later, &found), err);
    assert_int_equal(found.images, IMAGES);
    assert_int_equal(found.gone, found.only_a + found.only_b);
}

/* Every STRIDE-th allocation of the calling thread fails in turn. */
static void memory_runs_out(void **state)
{
    (void)state;
    write_data(IMAGES, "5 5 20 15");
    for (long k = 1, met = 1; met; k += STRIDE) {
        err = (ng_error){0};
        ngi_alloc_fail_at(k);
        ng_status status = compare(1, NULL, NULL);
        met = ngi_alloc_count() >= k;
        ngi_alloc_fail_at(0);
        if (status != NG_OK && (status != NG_E_MEMORY || strlen(err.text) < 10))
            fail_msg("allocation %ld fails: %s: '%s'", k, ng_status_name(status), err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_change_nothing),
                                       cmocka_unit_test(vanished_images_are_counted),
                                       cmocka_unit_test(images_that_vanish_before_the_second_model_count_too),
                                       cmocka_unit_test(memory_runs_out)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
