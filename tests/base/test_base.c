/* Errors, allocation, buffers, files, hashes. */
#include "check.h"

#include "base/base.h"

#include <sys/stat.h>
#include <sys/wait.h>

static void errors_are_recorded_and_prefixed(void **state)
{
    (void)state;
    ng_error err;
    memset(&err, 0x55, sizeof err); /* callers need not clear it */
    assert_int_equal(ngi_fail(&err, NG_E_IO, "%s: broken %d", "file", 7), NG_E_IO);
    assert_int_equal(err.status, NG_E_IO);
    assert_string_equal(err.text, "file: broken 7");
    ngi_error_prefix(&err, "while %s", "testing");
    assert_string_equal(err.text, "while testing: file: broken 7");
    char large[3000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    ngi_error_prefix(&err, "%s", large);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(ngi_fail(NULL, NG_E_SHAPE, "unheard"), NG_E_SHAPE);
    assert_string_equal(ng_status_name(NG_E_SHAPE), "NG_E_SHAPE");
    assert_string_equal(ng_status_name((ng_status)99), "NG_E_INTERNAL");
}

static void allocation_checks_overflow_and_fails_on_request(void **state)
{
    (void)state;
    assert_null(ngi_alloc(SIZE_MAX / 2, 3));
    void *nothing = ngi_alloc(0, 4);
    assert_non_null(nothing);
    ngi_free(nothing);
    ngi_alloc_fail_at(2);
    void *first = ngi_alloc(1, 1), *second = ngi_alloc(1, 1), *third = ngi_alloc_aligned(100);
    assert_int_equal(ngi_alloc_count(), 3);
    ngi_alloc_fail_at(0);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    assert_int_equal((uintptr_t)third % 64, 0);
    ngi_free(first);
    ngi_free_aligned(third);
}

static void buffers_grow(void **state)
{
    (void)state;
    ngi_buffer b = {0};
    ng_error err;
    for (int i = 0; i < 1000; i++)
        CHECK_OK(ngi_buffer_printf(&b, &err, "%d,", i), err);
    assert_int_equal(b.size, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(b.data), b.size);
    ngi_buffer_clear(&b);
    assert_null(b.data);
}

static void files_are_read_within_limits(void **state)
{
    (void)state;
    char *dir = make_folder(), *data, path[4200];
    size_t size;
    ng_error err;
    snprintf(path, sizeof path, "%s/file", dir);
    CHECK_FAILS(ngi_file_read(path, 10, &data, &size, &err), NG_E_NOT_FOUND, err, path);
    CHECK_OK(ng_file_save(path, "hello", 5, &err), err);
    CHECK_OK(ngi_file_read(path, 5, &data, &size, &err), err);
    assert_int_equal(size, 5);
    assert_string_equal(data, "hello");
    ngi_free(data);
    CHECK_FAILS(ngi_file_read(path, 4, &data, &size, &err), NG_E_LIMIT, err, "the limit is 4");
    CHECK_FAILS(ngi_file_read(dir, 4, &data, &size, &err), NG_E_IO, err, "is a directory");
    snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    CHECK_FAILS(ngi_file_read(path, 4, &data, &size, &err), NG_E_IO, err, "not a regular file");
    remove_folder(dir);
}

static void writing_is_atomic(void **state)
{
    (void)state;
    char *dir = make_folder(), path[4200], command[4400];
    ng_error err;
    snprintf(path, sizeof path, "%s/file", dir);
    CHECK_OK(ng_file_save(path, "old", 3, &err), err);
    ngi_writer w;
    CHECK_OK(ngi_writer_open(&w, path, &err), err);
    CHECK_OK(ngi_writer_add(&w, "new", 3, &err), err);
    char *data;
    size_t size;
    CHECK_OK(ngi_file_read(path, 100, &data, &size, &err), err);
    assert_string_equal(data, "old"); /* untouched until commit */
    ngi_free(data);
    ngi_writer_abort(&w);
    snprintf(command, sizeof command, "test \"$(ls '%s')\" = file", dir);
    assert_int_equal(system(command), 0); /* no temporary is left */
    snprintf(path, sizeof path, "%s/no/such/folder", dir);
    CHECK_FAILS(ng_file_save(path, "x", 1, &err), NG_E_IO, err, "cannot be written");
    CHECK_FAILS(ng_file_save("/dev/full/x", "x", 1, &err), NG_E_IO, err, "/dev/full/x");
    remove_folder(dir);
}

static void what_killed_writers_left_is_removed(void **state)
{
    (void)state;
    char *dir = make_folder(), path[4200], left[4300];
    ng_error err;
    snprintf(path, sizeof path, "%s/file", dir);
    long gone = fork();
    if (gone == 0)
        _exit(0);
    assert_int_equal(gone, waitpid((pid_t)gone, NULL, 0));
    const struct {
        const char *name;
        long writer;
        bool stays;
    } cases[] = {{"file", gone, false},
                 {"file", getpid(), true},
                 {"file", 1, true},
                 {"file2", gone, true},
                 {"fil", gone, true}};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            snprintf(left, sizeof left, "%s/%s.tmp-%ld-3", dir, cases[i].name, cases[i].writer);
            if (pass == 0)
                CHECK_OK(ng_file_save(left, "x", 1, &err), err);
            else
                assert_int_equal(cases[i].stays, ngi_path_exists(left));
        }
        ngi_file_sweep(path);
    }
    ngi_file_sweep("/no/such/folder/file");
    remove_folder(dir);
}

static void paths_are_joined_and_split(void **state)
{
    (void)state;
    const char *cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < 4; i++) {
        char *joined = ngi_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        ngi_free(joined);
    }
    const char *folders[][2] = {{"a/b", "a"}, {"b", "."}, {"/b", "/"}, {"a/b/c", "a/b"}};
    for (size_t i = 0; i < 4; i++) {
        char *folder = ngi_path_folder(folders[i][0]);
        assert_string_equal(folder, folders[i][1]);
        ngi_free(folder);
    }
}

static void hashes_equal_xxh128sum(void **state)
{
    (void)state;
    ngi_hash h;
    ng_error err;
    char whole[NGI_HASH_TEXT], pieces[NGI_HASH_TEXT];
    CHECK_OK(ngi_hash_init(&h, &err), err);
    ngi_hash_finish(&h, whole);
    assert_string_equal(whole, "99aa06d3014798d86001c324468d497f"); /* XXH3-128 of nothing */
    CHECK_OK(ngi_hash_init(&h, &err), err);
    ngi_hash_add(&h, "hello world", 11);
    ngi_hash_finish(&h, whole);
    CHECK_OK(ngi_hash_init(&h, &err), err);
    ngi_hash_add(&h, "hello", 5);
    ngi_hash_add(&h, " world", 6);
    ngi_hash_finish(&h, pieces);
    assert_string_equal(whole, pieces);
    assert_string_equal(whole, "df8d09e93f874900a99b8775cc15b6c7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_recorded_and_prefixed),
        cmocka_unit_test(allocation_checks_overflow_and_fails_on_request),
        cmocka_unit_test(buffers_grow),
        cmocka_unit_test(files_are_read_within_limits),
        cmocka_unit_test(writing_is_atomic),
        cmocka_unit_test(what_killed_writers_left_is_removed),
        cmocka_unit_test(paths_are_joined_and_split),
        cmocka_unit_test(hashes_equal_xxh128sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
