/* Batches equal what one image after the other gives, for any number of threads; unreadable images; the end. */
#include "check.h"

#include "data/loader.h"
#include "image/image.h"

enum { N = 11, H = 20, W = 24, SIZE = H * W * 3 };

static char *folder;
static ngi_dataset data;

/* N pictures of different sizes; the fourth and the last cannot be read. */
static int set_up(void **state)
{
    (void)state;
    folder = make_folder();
    char path[4300];
    snprintf(path, sizeof path, "mkdir '%s/a'", folder);
    assert_int_equal(system(path), 0);
    ng_error err;
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "%s/a/%02d.png", folder, i);
        ng_image image;
        CHECK_OK(ngi_image_create(30 + i, 25, 3, &image, &err), err);
        for (int k = 0; k < image.width * image.height * 3; k++)
            image.data[k] = (uint8_t)(k * (i + 3) / 5);
        CHECK_OK(ng_image_save(&image, path, &err), err);
        ng_image_clear(&image);
        if (i == 3 || i == N - 1) {
            FILE *f = fopen(path, "w");
            assert_non_null(f);
            fputs("no picture", f);
            fclose(f);
        }
    }
    CHECK_OK(ngi_dataset_scan(folder, &data, &err), err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ngi_dataset_clear(&data);
    remove_folder(folder);
    return 0;
}

static const int64_t readable[] = {5, 0, 9, 1, 1, 8, 2, 4, 6, 7, 5};
enum { N_READABLE = 11 };

static ngi_loader_options options(void)
{
    return (ngi_loader_options){.data = &data,
                                .order = readable,
                                .n_order = N_READABLE,
                                .batch = 4,
                                .height = H,
                                .width = W,
                                .channels = 3,
                                .fit = NG_FIT_SQUASH,
                                .resample = NG_RESAMPLE_PIL_BILINEAR,
                                .preprocess = NGI_PREPROCESS_CAFFE};
}

/* All batches of an epoch, one behind the other. */
static int read_all(const ngi_loader_options *o, float *images, int64_t *items)
{
    ng_error err;
    ngi_loader *l;
    ngi_loader_batch b;
    int n = 0;
    CHECK_OK(ngi_loader_create(o, &l, &err), err);
    for (;;) {
        CHECK_OK(ngi_loader_next(l, &b, &err), err);
        if (b.n == 0)
            break;
        memcpy(images + n * SIZE, b.images, (size_t)b.n * SIZE * sizeof *images);
        memcpy(items + n, b.items, (size_t)b.n * sizeof *items);
        memset(b.images, 0x5a, (size_t)b.n * SIZE * sizeof *images); /* the caller's to change */
        n += b.n;
    }
    ngi_loader_free(l);
    return n;
}

static void expect_plain(int64_t item, const float *found)
{
    static float expected[SIZE];
    ng_error err;
    ng_image_opts opts;
    ng_image whole, image;
    ng_image_opts_init(&opts);
    opts.channels = 3;
    CHECK_OK(ng_image_load(data.items[item].path, &opts, &whole, &err), err);
    CHECK_OK(ng_image_fit(&whole, W, H, NG_FIT_SQUASH, NG_RESAMPLE_PIL_BILINEAR, 0, &image, NULL, &err), err);
    CHECK_OK(ngi_preprocess_apply(NGI_PREPROCESS_CAFFE, image.data, H * W, 3, expected, &err), err);
    ng_image_clear(&whole);
    ng_image_clear(&image);
    assert_memory_equal(found, expected, sizeof expected);
}

static void batches_equal_single_images(void **state)
{
    (void)state;
    static float images[N_READABLE * SIZE];
    int64_t items[N_READABLE];
    ngi_loader_options o = options();
    ngi_augment nothing = {0};
    for (int run = 0; run < 2; run++) { /* an augmentation that does nothing is the same bytes */
        o.augment = run ? &nothing : NULL;
        assert_int_equal(read_all(&o, images, items), N_READABLE);
        for (int i = 0; i < N_READABLE; i++) {
            assert_int_equal(items[i], readable[i]);
            expect_plain(items[i], images + i * SIZE);
        }
    }
}

static void threads_change_nothing(void **state)
{
    (void)state;
    static float first[N_READABLE * SIZE], again[N_READABLE * SIZE];
    int64_t items[N_READABLE];
    ng_error err;
    ngi_augment a;
    CHECK_OK(ngi_augment_parse("flip=horizontal,rotation=0.1,zoom=0.1,hue=0.2,cutout=1", &a, &err), err);
    ngi_loader_options o = options();
    o.augment = &a;
    o.seed = 4;
    read_all(&o, first, items);
    assert_memory_equal(first + 3 * SIZE, first + 4 * SIZE, SIZE * sizeof *first); /* one item twice */
    int64_t draws[N_READABLE];
    memcpy(draws, readable, sizeof draws);
    draws[4] += N; /* the second time otherwise; nothing else is another */
    o.draws = draws;
    read_all(&o, again, items);
    assert_memory_not_equal(first + 4 * SIZE, again + 4 * SIZE, SIZE * sizeof *first);
    memcpy(again + 4 * SIZE, first + 4 * SIZE, SIZE * sizeof *first);
    assert_memory_equal(first, again, sizeof first);
    o.draws = NULL;
    for (int threads = 2; threads <= 5; threads++) {
        o.threads = threads;
        o.ahead = 6 - threads;
        read_all(&o, again, items);
        assert_memory_equal(first, again, sizeof first);
    }
    o.epoch = 1;
    read_all(&o, again, items);
    assert_memory_not_equal(first, again, sizeof first);
}

static int told;

static void tell(void *user, int64_t item, const ng_error *why)
{
    assert_ptr_equal(user, &told);
    assert_true(item == 3 || item == N - 1);
    assert_non_null(strstr(why->text, item == 3 ? "03.png" : "10.png"));
    told++;
}

static void unreadable_images_are_told_and_left_out(void **state)
{
    (void)state;
    static const int64_t order[] = {0, 3, 1, 3, 10, 10, 2}; /* the second batch of three has none */
    static float images[7 * SIZE];
    int64_t items[7];
    ngi_loader_options o = options();
    o.order = order;
    o.n_order = 7;
    o.batch = 3;
    o.threads = 3;
    o.skip_unreadable = true;
    o.unreadable = tell;
    o.user = &told;
    told = 0;
    assert_int_equal(read_all(&o, images, items), 3);
    assert_int_equal(told, 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(items[i], i);
        expect_plain(i, images + i * SIZE);
    }
    o.skip_unreadable = false;
    ng_error err;
    ngi_loader *l;
    ngi_loader_batch b;
    CHECK_OK(ngi_loader_create(&o, &l, &err), err);
    CHECK_FAILS(ngi_loader_next(l, &b, &err), NG_E_FORMAT, err, "03.png");
    assert_int_equal(b.n, 0);
    ngi_loader_free(l); /* with threads at work */
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    ng_error err;
    ngi_loader *l;
    ngi_loader_batch b;
    ngi_augment a = {0};
    ngi_loader_options o = options();
    o.n_order = 0;
    CHECK_OK(ngi_loader_create(&o, &l, &err), err);
    CHECK_OK(ngi_loader_next(l, &b, &err), err);
    assert_int_equal(b.n, 0);
    ngi_loader_free(l);
    o = options();
    o.batch = 0;
    CHECK_FAILS(ngi_loader_create(&o, &l, &err), NG_E_ARGUMENT, err, "batches of 0 images");
    o = options();
    o.channels = 1;
    o.augment = &a;
    CHECK_OK(ngi_loader_create(&o, &l, &err), err);
    ngi_loader_free(l);
    a.hue.on = true;
    CHECK_FAILS(ngi_loader_create(&o, &l, &err), NG_E_ARGUMENT, err, "hue is for colour images");
    o.channels = 5;
    CHECK_FAILS(ngi_loader_create(&o, &l, &err), NG_E_ARGUMENT, err, "5 channels");
    static const int64_t wrong[] = {N};
    o = options();
    o.order = wrong;
    o.n_order = 1;
    CHECK_FAILS(ngi_loader_create(&o, &l, &err), NG_E_ARGUMENT, err, "item 11 of 11");
    assert_null(l);
    ngi_loader_free(NULL);
}

static void failing_allocations_are_reported(void **state)
{
    (void)state;
    ngi_loader_options o = options();
    o.n_order = 0;
    o.threads = 2;
    for (long k = 1;; k++) {
        ng_error err;
        ngi_loader *l;
        ngi_alloc_fail_at(k);
        ng_status status = ngi_loader_create(&o, &l, &err);
        ngi_alloc_fail_at(0);
        ngi_loader_free(l);
        if (status == NG_OK) {
            assert_int_equal(k, 9);
            return;
        }
        assert_int_equal(status, NG_E_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_equal_single_images),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(unreadable_images_are_told_and_left_out),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(failing_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
