/* Packs and the cache's folder: what is written is found, whatever is damaged is not opened, several processes at once,
 * the size limit. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <utime.h>

#include "base/cache.h"

static ng_error err;
static const char key[] = "test 1";
static int syncs;
static bool disk_fails;

/* In the place of the C library's: what was asked of the disk is counted. */
int fsync(int fd)
{
    (void)fd;
    syncs++;
    errno = EIO;
    return disk_fails ? -1 : 0;
}

static char *path_in(const char *folder, const char *name)
{
    char *path = ngi_path_join(folder, name);
    assert_non_null(path);
    return path;
}

static void save(const char *path, uint32_t seed)
{
    uint32_t big[5000];
    for (int i = 0; i < 5000; i++)
        big[i] = seed * 1000003u + (uint32_t)i;
    ngi_pack_item items[] = {
        {"big", big, sizeof big}, {"small", "abc", 3}, {"empty", "", 0}, {"seed", &seed, 4}};
    CHECK_OK(ngi_pack_save(path, key, "a title", items, 4, false, &err), err);
}

/* Whole, and of one writer. */
static void check_content(const ngi_pack *p)
{
    size_t size = 0;
    uint32_t *seed = ngi_pack_find(p, "seed", &size), *big;
    assert_int_equal(size, 4);
    big = ngi_pack_find(p, "big", &size);
    assert_int_equal(size, 20000);
    assert_int_equal((uintptr_t)big % 64, 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(big[i], *seed * 1000003u + (uint32_t)i);
    assert_memory_equal(ngi_pack_find(p, "small", &size), "abc", 3);
    assert_int_equal(size, 3);
    assert_non_null(ngi_pack_find(p, "empty", &size));
    assert_int_equal(size, 0);
    assert_null(ngi_pack_find(p, "other", &size));
}

static void written_is_found(void **state)
{
    (void)state;
    char *folder = make_folder(), *path = path_in(folder, "a"), title[NGI_PACK_TITLE];
    assert_null(ngi_pack_open(path, key));
    save(path, 7);
    ngi_pack *p = ngi_pack_open(path, key);
    assert_non_null(p);
    check_content(p);
    assert_true(ngi_pack_title(path, title));
    assert_string_equal(title, "a title");
    assert_null(ngi_pack_open(path, "test 2"));
    /* private: what one writes, the file and another do not see */
    size_t size;
    ((uint32_t *)ngi_pack_find(p, "big", &size))[9] = 1;
    ngi_pack *other = ngi_pack_open(path, key);
    check_content(other);
    ngi_pack_rest(other);
    check_content(other);
    save(path, 8); /* under the open ones */
    ngi_pack *newer = ngi_pack_open(path, key);
    check_content(newer);
    check_content(other);
    ngi_pack_close(p);
    ngi_pack_close(other);
    ngi_pack_close(newer);
    ngi_pack_close(NULL);
    ngi_free(path);
    remove_folder(folder);
}

static void write_bytes(const char *path, const char *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static void damage_is_noticed(void **state)
{
    (void)state;
    char *folder = make_folder(), *path = path_in(folder, "a"), *bytes;
    size_t size;
    save(path, 7);
    CHECK_OK(ngi_file_read(path, 1 << 20, &bytes, &size, &err), err);
    size_t head = 1000; /* header and table, byte by byte; the rest in steps; padding may be anything */
    uint64_t padded = 0;
    for (size_t i = 0; i < size; i += i < head ? 1 : 37) {
        bytes[i] ^= 16;
        write_bytes(path, bytes, size);
        ngi_pack *p = ngi_pack_open(path, key);
        if (p) {
            check_content(p);
            padded++;
        }
        ngi_pack_close(p);
        bytes[i] ^= 16;
    }
    assert_true(padded < 100); /* of 1000 + 500 tries */
    for (size_t n = 0; n < size; n += n < head ? 7 : 501) {
        write_bytes(path, bytes, n);
        assert_null(ngi_pack_open(path, key));
    }
    write_bytes(path, bytes, size);
    ngi_pack *p = ngi_pack_open(path, key);
    assert_non_null(p);
    ngi_pack_close(p);
    ngi_free(bytes);
    ngi_free(path);
    remove_folder(folder);
}

static void processes_at_once(void **state)
{
    (void)state;
    enum { PROCESSES = 4, ROUNDS = 60 };
    char *folder = make_folder(), *path = path_in(folder, "a");
    save(path, 99);
    for (int k = 0; k < PROCESSES; k++) {
        pid_t child = fork();
        if (child == 0) {
            for (uint32_t i = 0; i < ROUNDS; i++) {
                if (k % 2 == 0)
                    save(path, (uint32_t)k * 1000 + i);
                ngi_pack *p = ngi_pack_open(path, key);
                if (!p)
                    _exit(1);
                check_content(p);
                ngi_pack_close(p);
            }
            _exit(0);
        }
        assert_true(child > 0);
    }
    for (int k = 0; k < PROCESSES; k++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    ngi_free(path);
    remove_folder(folder);
}

static int listed(const char *folder, uint64_t *bytes)
{
    ngi_cache_file *files;
    int n;
    CHECK_OK(ngi_cache_list(folder, &files, &n, &err), err);
    *bytes = 0;
    for (int i = 0; i < n; i++)
        *bytes += files[i].bytes;
    ngi_cache_list_free(files, n);
    return n;
}

static void least_recently_used_goes_first(void **state)
{
    (void)state;
    char *folder = make_folder(), *below = path_in(folder, "made/here"), keys[5][16];
    static char block[10000];
    ngi_pack_item item = {"x", block, sizeof block};
    uint64_t bytes;
    assert_int_equal(listed(below, &bytes), 0);
    for (int i = 0; i < 4; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        ngi_cache_save(below, keys[i], keys[i], &item, 1);
        usleep(20000);
    }
    assert_int_equal(listed(below, &bytes), 4);
    ngi_pack_close(ngi_cache_open(below, "k0")); /* used: now the most recent */
    CHECK_OK(ngi_cache_set_limit(below, bytes * 3 / 4, &err), err);
    assert_int_equal(listed(below, &bytes), 3);
    assert_null(ngi_cache_open(below, "k1"));
    usleep(20000);
    ngi_cache_save(below, "k4", "k4", &item, 1); /* k2 makes room */
    assert_int_equal(listed(below, &bytes), 3);
    assert_null(ngi_cache_open(below, "k2"));
    ngi_pack *k0 = ngi_cache_open(below, "k0");
    assert_non_null(k0);
    ngi_pack_close(k0);
    CHECK_OK(ngi_cache_set_limit(below, 5000, &err), err); /* too small for any */
    ngi_cache_save(below, "k5", "k5", &item, 1);
    assert_int_equal(listed(below, &bytes), 0);
    ngi_free(below);
    remove_folder(folder);
}

static void check_folder(const char *setting, const char *expected)
{
    char *found = ngi_cache_folder(setting);
    if (expected)
        assert_string_equal(found, expected);
    else
        assert_null(found);
    ngi_free(found);
}

static void where_the_folder_is(void **state)
{
    (void)state;
    setenv("HOME", "/h", 1);
    setenv("XDG_CACHE_HOME", "/x", 1);
    setenv("NETGAZE_CACHE", "/n", 1);
    check_folder(NULL, "/n");
    check_folder("/given", "/given");
    check_folder("off", NULL);
    setenv("NETGAZE_CACHE", "off", 1);
    check_folder(NULL, NULL);
    unsetenv("NETGAZE_CACHE");
    check_folder(NULL, "/x/netgaze");
    setenv("XDG_CACHE_HOME", "relative", 1);
    check_folder(NULL, "/h/.cache/netgaze");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    check_folder(NULL, NULL);
}

static void abandoned_files_go(void **state)
{
    (void)state;
    char *folder = make_folder(), *old = path_in(folder, "a" NGI_CACHE_ENDING ".tmp-1-2"),
         *fresh = path_in(folder, "b" NGI_CACHE_ENDING ".tmp-1-2");
    uint64_t bytes;
    write_bytes(old, "x", 1);
    write_bytes(fresh, "x", 1);
    utime(old, &(struct utimbuf){1000000, 1000000});
    assert_int_equal(listed(folder, &bytes), 0);
    assert_false(ngi_path_exists(old));
    assert_true(ngi_path_exists(fresh)); /* someone may be writing it */
    ngi_free(old);
    ngi_free(fresh);
    remove_folder(folder);
}

/* What is to last is on the disk before it has its name; what can be made again does not wait. */
static void lasting_waits_for_the_disk(void **state)
{
    (void)state;
    char *folder = make_folder(), *path = path_in(folder, "a"), *file = path_in(folder, "b");
    ngi_pack_item item = {"small", "abc", 3};
    syncs = 0;
    CHECK_OK(ngi_pack_save(path, key, "", &item, 1, false, &err), err);
    assert_int_equal(syncs, 0);
    CHECK_OK(ngi_pack_save(path, key, "", &item, 1, true, &err), err);
    assert_int_equal(syncs, 1);
    CHECK_OK(ng_file_save(file, "abc", 3, &err), err);
    assert_int_equal(syncs, 2);
    disk_fails = true;
    ngi_free(file);
    file = path_in(folder, "c");
    assert_int_equal(ng_file_save(file, "abc", 3, &err), NG_E_IO);
    assert_false(ngi_path_exists(file));
    assert_int_equal(ngi_file_settle(path, file, &err), NG_E_IO);
    assert_false(ngi_path_exists(file));
    disk_fails = false;
    CHECK_OK(ngi_file_settle(path, file, &err), err);
    assert_true(ngi_path_exists(file));
    assert_false(ngi_path_exists(path));
    assert_int_equal(ngi_file_settle(path, file, &err), NG_E_IO);
    ngi_free(path);
    ngi_free(file);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_is_found),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(lasting_waits_for_the_disk),
        cmocka_unit_test(processes_at_once),
        cmocka_unit_test(least_recently_used_goes_first),
        cmocka_unit_test(where_the_folder_is),
        cmocka_unit_test(abandoned_files_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
