/* Near-duplicates: the hash against Pillow's, changed copies found, others not, the search against all pairs. */
#include "check.h"

#include <time.h>

#include "base/random.h"
#include "data/duplicates.h"
#include "image/image.h"

/* imagehash.dhash(Image.open(...).convert("RGB")) by its formula with Pillow. */
static void the_hash_is_imagehash_s(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t hash;
    } cases[] = {
#include "dhash_cases.h"
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[4096];
        snprintf(path, sizeof path, NETGAZE_FIXTURES "/images/%s", cases[i].name);
        ng_error err;
        ng_image image;
        ngi_fingerprint f;
        ng_image_opts opts;
        ng_image_opts_init(&opts);
        opts.channels = 3;
        CHECK_OK(ng_image_load(path, &opts, &image, &err), err);
        CHECK_OK(ngi_fingerprint_image(&image, &f, &err), err);
        if (f.hash != cases[i].hash)
            fail_msg("%s: expected %016llx, found %016llx", cases[i].name, (unsigned long long)cases[i].hash,
                     (unsigned long long)f.hash);
        ng_image_clear(&image);
    }
}

/* Smooth blobs by a number, with a gain and an offset of the grey levels. */
static void draw(int number, int w, int h, double gain, double offset, ng_image *out)
{
    ng_error err;
    CHECK_OK(ngi_image_create(w, h, 3, out, &err), err);
    for (int i = 0; i < w * h * 3; i++) {
        double x = (double)(i / 3 % w) / w, y = (double)(i / 3 / w) / h, v = 0;
        for (uint64_t k = 0; k < 6; k++) {
            double px = ngi_random_uniform(1, (uint64_t)number, 3 * k),
                   py = ngi_random_uniform(1, (uint64_t)number, 3 * k + 1);
            double sign = ngi_random_uniform(1, (uint64_t)number, 3 * k + 2) < 0.5 ? -1 : 1;
            v += sign * exp(-20 * ((x - px) * (x - px) + (y - py) * (y - py)));
        }
        v = 128 + gain * 60 * v + offset;
        out->data[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static void save(const char *folder, const char *name, ng_image *image)
{
    char path[4300];
    ng_error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_OK(ng_image_save(image, path, &err), err);
    ng_image_clear(image);
}

static int stop_at_two(void *user, int64_t done, int64_t total)
{
    (void)user;
    return done >= 2 && total == 8;
}

static void changed_copies_are_found(void **state)
{
    (void)state;
    char *folder = make_folder(), command[4300];
    snprintf(command, sizeof command, "mkdir -p '%s/train/a' '%s/val/a'", folder, folder);
    assert_int_equal(system(command), 0);
    ng_image image;
    for (int i = 0; i < 5; i++) {
        char name[40];
        snprintf(name, sizeof name, "train/a/%d.png", i);
        draw(i, 120, 90, 1, 0, &image);
        save(folder, name, &image);
    }
    draw(3, 75, 61, 0.8, 12, &image); /* smaller, paler, compressed */
    save(folder, "val/a/copy.jpg", &image);
    draw(9, 120, 90, 1, 0, &image);
    save(folder, "val/a/other.png", &image);
    snprintf(command, sizeof command, "%s/val/a/broken.png", folder);
    FILE *f = fopen(command, "w");
    assert_non_null(f);
    fclose(f);
    ng_error err;
    ngi_dataset d;
    ngi_duplicates found;
    CHECK_OK(ngi_dataset_open(folder, NULL, &d, &err), err);
    for (int threads = 1; threads <= 3; threads++) {
        CHECK_OK(ngi_duplicates_find(&d, threads, NULL, NULL, &found, &err), err);
        assert_int_equal(found.n, 1);
        assert_int_equal(found.unreadable, 1);
        assert_non_null(strstr(d.items[found.pairs[0].first].path, "train/a/3.png"));
        assert_non_null(strstr(d.items[found.pairs[0].second].path, "val/a/copy.jpg"));
        assert_true(found.pairs[0].correlation > 0.99);
        ngi_duplicates_clear(&found);
    }
    CHECK_FAILS(ngi_duplicates_find(&d, 1, stop_at_two, NULL, &found, &err), NG_E_CANCELLED, err,
                "cancelled");
    ngi_dataset_clear(&d);
    remove_folder(folder);
}

/* Fingerprints without files: random hashes, some of them a few bits from another, one grey picture each cluster. */
static void make_fingerprints(ngi_fingerprint *f, ngi_data_item *items, int n)
{
    for (int i = 0; i < n; i++) {
        uint64_t like = (uint64_t)(i % 7 == 0 ? i : i - i % 7); /* clusters of 7 */
        f[i] = (ngi_fingerprint){.hash = ngi_random_bits(2, 0, like), .readable = i % 50 != 3};
        for (int bit = 0; bit < i % 7 + i % 3; bit++)
            f[i].hash ^= (uint64_t)1 << (ngi_random_bits(3, (uint64_t)i, (uint64_t)bit) & 63);
        for (int k = 0; k < 256; k++)
            f[i].grey[k] = (uint8_t)(ngi_random_bits(4, like, (uint64_t)k) & 0xff);
        items[i] = (ngi_data_item){.split = (ngi_split)(ngi_random_bits(5, 0, (uint64_t)i) % 3)};
    }
}

static void the_search_misses_nothing(void **state)
{
    (void)state;
    enum { N = 1500 };
    static ngi_fingerprint f[N];
    static ngi_data_item items[N];
    ngi_dataset d = {.items = items, .n_items = N};
    make_fingerprints(f, items, N);
    ng_error err;
    ngi_duplicates found;
    CHECK_OK(ngi_duplicates_search(&d, f, &found, &err), err);
    int64_t expected = 0, at = 0;
    for (int64_t i = 0; i < N; i++) {
        bool in_split[3] = {false, false, false};
        for (int64_t k = 0; k < i; k++)
            if (f[i].readable && f[k].readable && i / 7 == k / 7 &&
                __builtin_popcountll(f[i].hash ^ f[k].hash) <= NGI_DUPLICATE_BITS)
                in_split[items[k].split] = true;
        for (int s = 0; s < 3; s++)
            expected += in_split[s];
        for (; at < found.n && found.pairs[at].second == i; at++)
            assert_true(in_split[items[found.pairs[at].first].split]);
    }
    assert_int_equal(found.n, expected);
    assert_int_equal(found.unreadable, N / 50);
    assert_true(expected > 500);
    ngi_duplicates_clear(&found);
}

/* Of the processor: what else the machine does does not count. */
static double search_seconds(const ngi_fingerprint *f, ngi_data_item *items, int64_t n, int64_t *pairs)
{
    ngi_dataset d = {.items = items, .n_items = n};
    ng_error err;
    ngi_duplicates found;
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    CHECK_OK(ngi_duplicates_search(&d, f, &found, &err), err);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    *pairs = found.n;
    ngi_duplicates_clear(&found);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

static void a_hundred_thousand_are_searched_quickly(void **state)
{
    (void)state;
    enum { N = 100000 };
    ngi_fingerprint *f = calloc(N, sizeof *f);
    ngi_data_item *items = calloc(N, sizeof *items);
    assert_true(f && items);
    make_fingerprints(f, items, N);
    int64_t pairs;
    double different = search_seconds(f, items, N, &pairs);
    for (int i = 0; i < N; i++)
        f[i] = f[0];
    double same = search_seconds(f, items, N, &pairs);
    assert_true(pairs > N && pairs < 3 * N);
    for (int i = 0; i < N; i++)
        items[i].split = NGI_SPLIT_TRAIN; /* no other split ever has a match */
    double undivided = search_seconds(f, items, N, &pairs);
    print_message("100,000 images searched in %.2f s, all the same in %.2f s, in one split in %.2f s\n",
                  different, same, undivided);
    assert_true(different < 20 && same < 20 && undivided < 20); /* all pairs are 5 billion */
    assert_int_equal(pairs, N - 1);
    free(f);
    free(items);
}

static void failing_allocations_are_reported(void **state)
{
    (void)state;
    static ngi_fingerprint f[4];
    static ngi_data_item items[4];
    for (int i = 0; i < 4; i++)
        f[i].readable = true;
    ngi_dataset d = {.items = items, .n_items = 4};
    for (long k = 1;; k++) {
        ng_error err;
        ngi_duplicates found;
        ngi_alloc_fail_at(k);
        ng_status status = ngi_duplicates_search(&d, f, &found, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_OK) {
            assert_int_equal(found.n, 3);
            assert_int_equal(k, 12);
            ngi_duplicates_clear(&found);
            return;
        }
        assert_int_equal(status, NG_E_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_imagehash_s),
        cmocka_unit_test(changed_copies_are_found),
        cmocka_unit_test(the_search_misses_nothing),
        cmocka_unit_test(a_hundred_thousand_are_searched_quickly),
        cmocka_unit_test(failing_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
