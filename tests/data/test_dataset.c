/* Class folders, given splits, stratified splits, and what is refused. */
#include "check.h"

#include <sys/stat.h>

#include "data/data.h"

static char *folder;

static int set_up(void **state)
{
    (void)state;
    folder = make_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* An empty file at a path below the folder; folders on the way are made. */
static void put(const char *name)
{
    char path[4500];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
}

static void put_many(const char *class_name, int n)
{
    char name[200];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s/%05d.jpg", class_name, i);
        put(name);
    }
}

static void classes_are_folders_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    put("zebra/b.PNG");
    put("zebra/deep/er/a.jpeg");
    put("zebra/notes.txt");
    put("zebra/.hidden.jpg");
    put("Apple, \"red\" {1} \xc3\xa9\n/only.jpg");
    put(".git/x.jpg");
    put("readme.jpg");
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_scan(folder, &d, &err), err);
    assert_int_equal(d.n_classes, 2);
    assert_string_equal(d.classes[0], "Apple, \"red\" {1} \xc3\xa9\n");
    assert_string_equal(d.classes[1], "zebra");
    assert_int_equal(d.n_items, 3);
    assert_false(d.given_splits);
    assert_int_equal(ngi_dataset_count(&d, 0, NGI_SPLIT_TRAIN), 1);
    assert_non_null(strstr(d.items[1].path, "/zebra/b.PNG"));
    assert_non_null(strstr(d.items[2].path, "/zebra/deep/er/a.jpeg"));
    ngi_dataset_clear(&d);
}

static void given_splits_share_their_classes(void **state)
{
    (void)state;
    put_many("train/b", 3);
    put_many("validation/a", 2);
    put_many("test/b", 1);
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_scan(folder, &d, &err), err);
    assert_true(d.given_splits);
    assert_int_equal(d.n_classes, 2);
    assert_string_equal(d.classes[0], "a");
    assert_int_equal(ngi_dataset_count(&d, 0, NGI_SPLIT_VAL), 2);
    assert_int_equal(ngi_dataset_count(&d, 0, NGI_SPLIT_TRAIN), 0);
    assert_int_equal(ngi_dataset_count(&d, 1, NGI_SPLIT_TRAIN), 3);
    assert_int_equal(ngi_dataset_count(&d, 1, NGI_SPLIT_TEST), 1);
    ngi_dataset_clear(&d);
}

static void splits_are_stratified_and_follow_the_seed(void **state)
{
    (void)state;
    put_many("many", 100);
    put_many("few", 2);
    put_many("one", 1);
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_scan(folder, &d, &err), err); /* few, many, one */
    CHECK_OK(ngi_dataset_split(&d, 0.2, 0.1, 7, &err), err);
    assert_int_equal(ngi_dataset_count(&d, 1, NGI_SPLIT_VAL), 20);
    assert_int_equal(ngi_dataset_count(&d, 1, NGI_SPLIT_TEST), 10);
    assert_int_equal(ngi_dataset_count(&d, 2, NGI_SPLIT_TRAIN), 1);
    ngi_split first[103];
    for (int i = 0; i < 103; i++)
        first[i] = d.items[i].split;
    int changed = 0;
    CHECK_OK(ngi_dataset_split(&d, 0.2, 0.1, 8, &err), err);
    for (int i = 0; i < 103; i++)
        changed += d.items[i].split != first[i];
    assert_true(changed > 10);
    CHECK_OK(ngi_dataset_split(&d, 0.2, 0.1, 7, &err), err);
    for (int i = 0; i < 103; i++)
        assert_int_equal(d.items[i].split, first[i]);
    CHECK_OK(ngi_dataset_split(&d, 0.5, 0.49, 7, &err), err);
    for (int c = 0; c < 3; c++)
        assert_true(ngi_dataset_count(&d, c, NGI_SPLIT_TRAIN) >= 1);
    CHECK_FAILS(ngi_dataset_split(&d, 0.6, 0.4, 7, &err), NG_E_ARGUMENT, err, "leave something to train on");
    CHECK_FAILS(ngi_dataset_split(&d, (double)NAN, 0, 7, &err), NG_E_ARGUMENT, err, "val nan");
    ngi_dataset_clear(&d);
}

static void what_is_no_data_set_is_refused(void **state)
{
    (void)state;
    ng_error err;
    ngi_dataset d;
    CHECK_FAILS(ngi_dataset_scan("/nowhere/at all", &d, &err), NG_E_NOT_FOUND, err, "/nowhere/at all");
    put("a/notes.txt");
    CHECK_FAILS(ngi_dataset_scan(folder, &d, &err), NG_E_NOT_FOUND, err, "found 1 folders and no image");
    char link[4300];
    snprintf(link, sizeof link, "%s/a/again", folder);
    assert_int_equal(symlink(folder, link), 0);
    CHECK_FAILS(ngi_dataset_scan(folder, &d, &err), NG_E_LIMIT, err, "loop of links");
    assert_int_equal(d.n_items, 0);
}

/* Listed in the order of their bytes, whatever the folder's own order is, and split. */
static void a_hundred_thousand_images_in_a_folder(void **state)
{
    (void)state;
    enum { N = 100000 };
    char from[2][4400], to[4400];
    put("b/0.png");
    for (int i = 0; i < 2; i++) { /* a file system may allow a file 65,000 names */
        snprintf(to, sizeof to, "a/%06d.jpg", i);
        put(to);
        snprintf(from[i], sizeof from[i], "%s/a/%06d.jpg", folder, i);
    }
    for (int i = 2; i < N; i++) {
        snprintf(to, sizeof to, "%s/a/%06d.jpg", folder, i * 7919 % N);
        if (link(from[i % 2], to) != 0)
            assert_int_equal(i * 7919 % N, 1);
    }
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_scan(folder, &d, &err), err);
    assert_int_equal(d.n_items, N); /* the one of b, and one of a less */
    for (int64_t i = 1; i < d.n_items - 1; i++)
        assert_true(strcmp(d.items[i - 1].path, d.items[i].path) < 0);
    CHECK_OK(ngi_dataset_split(&d, 0.2, 0.1, 1, &err), err);
    CHECK_NEAR((double)ngi_dataset_count(&d, 0, NGI_SPLIT_VAL), N * 0.2, 1);
    CHECK_NEAR((double)ngi_dataset_count(&d, 0, NGI_SPLIT_TEST), N * 0.1, 1);
    ngi_dataset_clear(&d);
}

static void failing_allocations_are_reported(void **state)
{
    (void)state;
    put_many("a", 70); /* more than the first size of an array */
    put_many("b", 2);
    for (long k = 1;; k++) {
        ng_error err = {0};
        ngi_dataset d;
        ngi_alloc_fail_at(k);
        ng_status status = ngi_dataset_scan(folder, &d, &err);
        if (status == NG_OK)
            status = ngi_dataset_split(&d, 0.2, 0, 1, &err);
        ngi_alloc_fail_at(0);
        ngi_dataset_clear(&d);
        if (status == NG_OK) {
            assert_true(k > 100);
            return;
        }
        assert_int_equal(status, NG_E_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(classes_are_folders_in_the_order_of_their_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(given_splits_share_their_classes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_are_stratified_and_follow_the_seed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_data_set_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hundred_thousand_images_in_a_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failing_allocations_are_reported, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
