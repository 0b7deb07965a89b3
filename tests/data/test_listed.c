/* CSV data sets, groups that stay together, and what is refused. */
#include "check.h"

#include <sys/stat.h>
#include <time.h>

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

static char *write_csv(const char *text)
{
    static char path[4300];
    snprintf(path, sizeof path, "%s/list.csv", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void rows_become_items(void **state)
{
    (void)state;
    const char *path = write_csv("\xef\xbb\xbflabel,mask,path,group,split,box\r\n"
                                 "dog,m/1.png,b.jpg,p1,train,\r\n"
                                 "\"a \"\"quoted\"\", \nlabel\",,\"with,comma.jpg\",,val,1 2 30.5 4\r\n"
                                 "\r\n"
                                 "dog|cat|dog,,/abs/a.jpg,p1,train,");
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_open(path, NULL, &d, &err), err);
    assert_int_equal(d.n_classes, 3);
    assert_string_equal(d.classes[0], "a \"quoted\", \nlabel");
    assert_string_equal(d.classes[1], "cat");
    assert_int_equal(d.n_items, 3);
    assert_true(d.given_splits && d.has_boxes && d.has_groups && d.has_masks && d.multi_label);
    const ngi_data_item *both = &d.items[0], *dog = &d.items[1], *odd = &d.items[2];
    assert_string_equal(both->path, "/abs/a.jpg");
    assert_int_equal(both->n_labels, 2);
    assert_int_equal(both->labels[0], 1);
    assert_int_equal(both->labels[1], 2);
    assert_int_equal(dog->class_index, 2);
    assert_null(dog->labels);
    assert_non_null(strstr(dog->mask, "/m/1.png"));
    assert_memory_equal(dog->path, folder, strlen(folder));
    assert_string_equal(dog->group, "p1");
    assert_int_equal(odd->split, NGI_SPLIT_VAL);
    assert_null(odd->group);
    assert_true(odd->box[0] == 1 && odd->box[1] == 2 && odd->box[2] == 30.5 && odd->box[3] == 4);
    ngi_dataset_clear(&d);
}

static void what_is_not_understood_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *fragment;
        ng_status status;
    } cases[] = {
        {"", "the file is empty", NG_E_FORMAT},
        {"path,label\n", "found the header only", NG_E_NOT_FOUND},
        {"path,class\na,b\n", "line 1: no column is called 'class'", NG_E_FORMAT},
        {"path,split\na,train\n", "a column 'label'", NG_E_FORMAT},
        {"path,label,path\na,b,c\n", "two columns 'path'", NG_E_FORMAT},
        {"path,label\na,b\nc\n", "line 3: expected 2 fields as in the header, found 1", NG_E_FORMAT},
        {"path,label\na,\"b\n", "line 2: a quoted field is never closed", NG_E_FORMAT},
        {"path,label\na,\"b\"c\n", "line 2: a quote inside a field", NG_E_FORMAT},
        {"path,label\na,b\"c\n", "line 2: a quote inside a field", NG_E_FORMAT},
        {"path,label\n,b\n", "line 2: the path is empty", NG_E_FORMAT},
        {"path,label\na,b||c\n", "line 2: an empty label", NG_E_FORMAT},
        {"path,label\na,b\na,c\n", "listed twice", NG_E_FORMAT},
        {"path,label,split\na,b,dev\n", "line 2: expected the split train, val or test, found 'dev'",
         NG_E_FORMAT},
        {"path,label,box\na,b,1 2 3\n", "line 2: expected a box", NG_E_FORMAT},
        {"path,label,box\na,b,1 2 3 -4\n", "line 2: expected a box", NG_E_FORMAT},
        {"path,label,box\na,b,1 2 3 inf\n", "line 2: expected a box", NG_E_FORMAT},
        {"path,label,split,group\na,b,train,g\nc,b,test,g\n", "the group 'g' is in two splits",
         NG_E_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ng_error err;
        ngi_dataset d;
        CHECK_FAILS(ngi_dataset_open(write_csv(cases[i].text), NULL, &d, &err), cases[i].status, err,
                    cases[i].fragment);
        assert_int_equal(d.n_items, 0);
    }
    ng_error err;
    ngi_dataset d;
    CHECK_FAILS(ngi_dataset_open("/nowhere.csv", NULL, &d, &err), NG_E_NOT_FOUND, err, "/nowhere.csv");
}

static void groups_stay_together_and_classes_keep_their_shares(void **state)
{
    (void)state;
    size_t size = 1 << 20, used = 0;
    char *text = malloc(size);
    assert_non_null(text);
    used += (size_t)snprintf(text, size, "path,label,group\n");
    for (int i = 0; i < 2000; i++) /* 200 groups of 1 to 19 images, classes at 10:1 */
        used += (size_t)snprintf(text + used, size - used, "%04d.jpg,%s,p%d\n", i, i % 11 ? "many" : "few",
                                 (int)sqrt((double)i * 20));
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_open(write_csv(text), NULL, &d, &err), err);
    free(text);
    ngi_split first[2000];
    for (uint64_t seed = 1; seed <= 5; seed++) {
        CHECK_OK(ngi_dataset_split(&d, 0.2, 0.1, seed, &err), err);
        for (int64_t i = 0; i < d.n_items; i++)
            for (int64_t k = i + 1; k < d.n_items; k++)
                if (strcmp(d.items[i].group, d.items[k].group) == 0)
                    assert_int_equal(d.items[i].split, d.items[k].split);
        for (int c = 0; c < 2; c++) {
            double n = c == 0 ? 182 : 1818;
            CHECK_NEAR((double)ngi_dataset_count(&d, c, NGI_SPLIT_VAL) / n, 0.2, 0.02);
            CHECK_NEAR((double)ngi_dataset_count(&d, c, NGI_SPLIT_TEST) / n, 0.1, 0.02);
        }
        int same = 0;
        for (int64_t i = 0; i < d.n_items; i++) {
            same += d.items[i].split == first[i] && seed > 1;
            first[i] = d.items[i].split;
        }
        assert_true(same < 1900);
    }
    CHECK_OK(ngi_dataset_split(&d, 0.2, 0.1, 5, &err), err);
    for (int64_t i = 0; i < d.n_items; i++)
        assert_int_equal(d.items[i].split, first[i]);
    ngi_dataset_clear(&d);
}

static void every_class_keeps_a_group_to_train_on(void **state)
{
    (void)state;
    const char *path = write_csv("path,label,group\na,one,g\nb,two,h\nc,two,h\nd,two,i\ne,three,i\n");
    ng_error err;
    ngi_dataset d;
    for (uint64_t seed = 0; seed < 20; seed++) {
        CHECK_OK(ngi_dataset_open(path, NULL, &d, &err), err);
        CHECK_OK(ngi_dataset_split(&d, 0.49, 0.5, seed, &err), err);
        for (int c = 0; c < d.n_classes; c++)
            assert_true(ngi_dataset_count(&d, c, NGI_SPLIT_TRAIN) >= 1);
        ngi_dataset_clear(&d);
    }
}

static void a_pattern_names_the_groups(void **state)
{
    (void)state;
    const char *path = write_csv("path,label,group\nx_y/p1_a.jpg,b,\np1_b.jpg,b,\np2_a.jpg,c,own\n");
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_open(path, &(ngi_data_options){"^([^_]+)_"}, &d, &err), err);
    assert_string_equal(d.items[0].group, "p1");
    assert_string_equal(d.items[1].group, "p1");
    assert_string_equal(d.items[2].group, "own");
    ngi_dataset_clear(&d);
    CHECK_FAILS(ngi_dataset_open(path, &(ngi_data_options){"^q"}, &d, &err), NG_E_ARGUMENT, err,
                "does not match the file's name");
    CHECK_FAILS(ngi_dataset_open(path, &(ngi_data_options){"("}, &d, &err), NG_E_ARGUMENT, err,
                "the group pattern '('");
}

static void an_unreadable_folder_is_named(void **state)
{
    (void)state;
    char path[4300];
    snprintf(path, sizeof path, "%s/locked", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    bool root = geteuid() == 0; /* who reads everything */
    if (root)
        assert_int_equal(seteuid(65534), 0);
    ng_error err = {0};
    ngi_dataset d;
    ng_status status = ngi_dataset_open(folder, NULL, &d, &err);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, NG_E_IO);
    assert_non_null(strstr(err.text, "/locked: "));
    chmod(path, 0755);
}

static void a_hundred_thousand_files_are_listed_quickly(void **state)
{
    (void)state;
    char path[4400];
    for (int i = 0; i < 100000; i++) {
        if (i % 50000 == 0) {
            snprintf(path, sizeof path, "%s/c%d", folder, i / 50000);
            assert_int_equal(mkdir(path, 0777), 0);
        }
        snprintf(path, sizeof path, "%s/c%d/%06d.jpg", folder, i / 50000, i);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fclose(f);
    }
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    ng_error err;
    ngi_dataset d;
    CHECK_OK(ngi_dataset_open(folder, &(ngi_data_options){"^....."}, &d, &err), err);
    CHECK_OK(ngi_dataset_split(&d, 0.1, 0.1, 1, &err), err);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    print_message("100,000 files opened, grouped and split in %.2f s\n", seconds);
    assert_int_equal(d.n_items, 100000);
    assert_true(seconds < 20); /* a quadratic walk takes hours */
    ngi_dataset_clear(&d);
}

static void failing_allocations_are_reported(void **state)
{
    (void)state;
    const char *path = write_csv("path,label,group,mask\na,b|c,g,m\nd,c,,\ne,b,g,\n");
    for (long k = 1;; k++) {
        ng_error err = {0};
        ngi_dataset d = {0};
        ngi_alloc_fail_at(k);
        ng_status status = ngi_dataset_open(path, &(ngi_data_options){"."}, &d, &err);
        if (status == NG_OK)
            status = ngi_dataset_split(&d, 0.2, 0, 1, &err);
        ngi_alloc_fail_at(0);
        ngi_dataset_clear(&d);
        if (status == NG_OK) {
            assert_true(k > 15);
            return;
        }
        assert_int_equal(status, NG_E_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_become_items, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_understood_is_refused_with_its_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(groups_stay_together_and_classes_keep_their_shares, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_class_keeps_a_group_to_train_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pattern_names_the_groups, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unreadable_folder_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hundred_thousand_files_are_listed_quickly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failing_allocations_are_reported, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
