/* Augmentation against Keras 3's layers (tests/fixtures/make_augment_fixtures.py), its text, and its draws. */
#include "check.h"

#include "data/augment.h"

#define TOLERANCE 0.01 /* of 255; the two round coordinates differently */

static ng_array load(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, NETGAZE_FIXTURES "/augment/%s.npy", name);
    ng_array a;
    ng_error err;
    CHECK_OK(ng_npy_load(path, &a, &err), err);
    return a;
}

static void check_same(const float *found, const float *expected, int64_t n, double tolerance, int what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - (double)expected[i]) <= tolerance))
            fail_msg("case %d, value %lld: expected %g, found %g", what, (long long)i, (double)expected[i],
                     (double)found[i]);
}

static void pixels_equal_keras(void **state)
{
    (void)state;
    ng_array image = load("image"), cases = load("cases"), expected = load("expected");
    int h = (int)image.shape[0], w = (int)image.shape[1];
    size_t size = (size_t)h * (size_t)w * 3;
    float *found = malloc(size * sizeof *found), *work = malloc(size * sizeof *work);
    assert_true(found && work && cases.shape[1] == 11 && cases.shape[0] == 21);
    for (int i = 0; i < (int)cases.shape[0]; i++) {
        const float *c = cases.data + 11 * i;
        ngi_augment_draw d = {.move = {c[0] != 0, c[1] != 0, (double)c[2], (double)c[3], (double)c[4],
                                       (double)c[5], (double)c[6]},
                              .contrast = (double)c[8],
                              .brightness = (double)c[9],
                              .hue = (double)c[10]};
        memcpy(found, image.data, size * sizeof *found);
        ngi_augment_apply(&d, (ngi_fill)c[7], found, work, h, w, 3);
        check_same(found, expected.data + (size_t)i * size, (int64_t)size, TOLERANCE, i);
    }
    free(found);
    free(work);
    ng_array_clear(&image);
    ng_array_clear(&cases);
    ng_array_clear(&expected);
}

/* A grey image is treated like each channel of a colour image. */
static void grey_images_are_augmented_alike(void **state)
{
    (void)state;
    enum { H = 13, W = 17, PIXELS = H * W };
    float grey[PIXELS], colour[PIXELS * 3], work[PIXELS * 3];
    ngi_augment a;
    ng_error err;
    CHECK_OK(
        ngi_augment_parse(
            "flip=horizontal,rotation=0.2,zoom=0.3,translation=0.2,contrast=0.5,brightness=0.2,fill=nearest",
            &a, &err),
        err);
    for (int item = 0; item < 8; item++) {
        for (int i = 0; i < PIXELS * 3; i++)
            colour[i] = grey[i / 3] = (float)((i / 3 * 37 + item) % 251);
        ngi_augment_image(&a, 5, 1, item, colour, work, H, W, 3);
        ngi_augment_image(&a, 5, 1, item, grey, work, H, W, 1);
        for (int i = 0; i < PIXELS * 3; i++)
            CHECK_NEAR(grey[i / 3], colour[i], 0);
    }
    ngi_augment_draw erased = {
        .move = {.zoom_x = 1, .zoom_y = 1}, .contrast = 1, .hue = 0.3, .erase = true, .box = {2, 3, 9, 8}};
    for (int i = 0; i < PIXELS; i++)
        grey[i] = 100.5f;
    ngi_augment_apply(&erased, NGI_FILL_REFLECT, grey, work, H, W, 1);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            assert_int_equal(x >= 2 && x < 9 && y >= 3 && y < 8, grey[y * W + x] != 100.5f);
}

static void the_erased_box_is_keras_s(void **state)
{
    (void)state;
    ng_array image = load("image"), boxes = load("boxes"), masks = load("masks");
    int h = (int)image.shape[0], w = (int)image.shape[1], n = h * w * 3;
    float *found = malloc((size_t)n * sizeof *found);
    assert_non_null(found);
    for (int b = 0; b < 2; b++) {
        const float *box = boxes.data + 4 * b;
        ngi_augment_draw d = {.move = {.zoom_x = 1, .zoom_y = 1}, .contrast = 1, .erase = true, .seed = 3};
        for (int i = 0; i < 4; i++)
            d.box[i] = (double)box[i];
        memcpy(found, image.data, (size_t)n * sizeof *found);
        ngi_augment_apply(&d, NGI_FILL_REFLECT, found, found, h, w, 3);
        int black = 0, inside = 0;
        for (int i = 0; i < n; i++) {
            bool erased = masks.data[b * n + i] != 0;
            assert_true(erased == (found[i] != image.data[i]) || image.data[i] == 0);
            inside += erased;
            black += erased && found[i] == 0;
        }
        CHECK_NEAR((double)black / inside, 0.5, 0.12); /* half of a normal draw is clipped */
    }
    free(found);
    ng_array_clear(&image);
    ng_array_clear(&boxes);
    ng_array_clear(&masks);
}

static void mixed_batches_equal_keras(void **state)
{
    (void)state;
    ng_array batch = load("mix_batch"), box = load("cut_boxes");
    ng_array images[2] = {load("mix_up_images"), load("cut_mix_images")};
    ng_array targets[2] = {load("mix_up_targets"), load("cut_mix_targets")};
    const int partner[3] = {2, 0, 1};
    const float one_hot[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    float found[3 * 6 * 7 * 3], t[12];
    for (int cut = 0; cut < 2; cut++) {
        double weight[3] = {0.9, 0.35, 0.5}, boxes[3][4];
        memcpy(found, batch.data, sizeof found);
        for (int i = 0; i < 12; i++)
            boxes[i / 4][i % 4] = (double)box.data[i];
        if (cut)
            ngi_cut_mix(found, batch.data, partner, boxes, weight, 3, 6, 7, 3);
        else
            ngi_mix_up(found, batch.data, partner, weight, 3, 6 * 7 * 3);
        ngi_mix_up(t, one_hot, partner, weight, 3, 4);
        check_same(found, images[cut].data, 3 * 6 * 7 * 3, 1e-4, cut);
        check_same(t, targets[cut].data, 12, 1e-6, cut);
        ng_array_clear(&images[cut]);
        ng_array_clear(&targets[cut]);
    }
    ng_array_clear(&batch);
    ng_array_clear(&box);
}

static void the_text_is_read(void **state)
{
    (void)state;
    ng_error err;
    ngi_augment a;
    CHECK_OK(ngi_augment_parse("none", &a, &err), err);
    assert_false(a.flip_horizontal || a.rotation.on || a.mixup.on);
    CHECK_OK(
        ngi_augment_parse(
            "flip=horizontal,rotation=0.05,zoom=-0.2:0.1,hue=0.3,cutout=0,mixup=0.2,fill=constant", &a, &err),
        err);
    assert_true(a.flip_horizontal && !a.flip_vertical && a.fill == NGI_FILL_CONSTANT);
    assert_true(a.rotation.on && a.rotation.low == -0.05 && a.rotation.high == 0.05);
    assert_true(a.zoom.low == -0.2 && a.zoom.high == 0.1);
    assert_true(a.hue.low == 0 && a.hue.high == 0.3 && !a.cutout.on && a.mixup.on);
    static const char *const wrong[][2] = {
        {"spin=1", "'spin' is not known; there are flip"},
        {"flip", "expected flip=VALUE"},
        {"flip=left", "expected flip=horizontal"},
        {"rotation=x", "rotation: expected a number from 0 to 1"},
        {"rotation=2", "rotation: expected"},
        {"rotation=-0.1", "rotation: expected"},
        {"zoom=nan", "zoom: expected"},
        {"zoom=0.2:0.1", "zoom: expected"},
        {"hue=0.1:", "hue: expected"},
        {"hue=0.1,hue=0.1", "hue is given twice"},
        {"fill=wrap", "expected fill=reflect"},
        {"flip=vertical,", "'' is not known"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_FAILS(ngi_augment_parse(wrong[i][0], &a, &err), NG_E_ARGUMENT, err, wrong[i][1]);
    const char *name;
    int rows = 0;
    while (ngi_augment_help(rows, &name))
        rows++;
    assert_int_equal(rows, 11);
}

#define EVERYTHING                                                                                          \
    "flip=horizontal_and_vertical,rotation=0.1,zoom=0.2,translation=0.1,contrast=0.3,brightness=0.2,hue=0." \
    "4,cutout=1"

static void draws_follow_seed_epoch_and_item(void **state)
{
    (void)state;
    ng_error err;
    ngi_augment a;
    CHECK_OK(ngi_augment_parse(EVERYTHING, &a, &err), err);
    ngi_augment_draw d, e;
    double sum = 0, square = 0;
    int flips = 0, erased = 0;
    enum { N = 4000 };
    for (int i = 0; i < N; i++) {
        ngi_augment_draw_image(&a, 1, i / 100, i % 100, 50, 40, &d);
        ngi_augment_draw_image(&a, 1, i / 100, i % 100, 50, 40, &e);
        assert_true(d.move.turns == e.move.turns && d.seed == e.seed && d.hue == e.hue);
        assert_true(fabs(d.move.turns) <= 0.1 && fabs(d.move.zoom_x - 1) <= 0.2 && fabs(d.hue) <= 0.2);
        if (d.erase)
            assert_true(d.box[0] >= 0 && d.box[2] <= 40 && d.box[1] >= 0 && d.box[3] <= 50);
        sum += d.move.turns;
        square += d.move.turns * d.move.turns;
        flips += d.move.flip_vertical;
        erased += d.erase;
    }
    CHECK_NEAR(sum / N, 0, 0.004);
    CHECK_NEAR(square / N, 0.01 / 3, 0.0002);
    CHECK_NEAR((double)flips / N, 0.5, 0.03);
    CHECK_NEAR((double)erased / N, 0.5, 0.03); /* of a uniform draw below a uniform draw */
    ngi_augment_draw_image(&a, 1, 2, 3, 50, 40, &d);
    static const int64_t other[3][3] = {{2, 2, 3}, {1, 3, 2}, {1, 2, 4}};
    for (int i = 0; i < 3; i++) {
        ngi_augment_draw_image(&a, (uint64_t)other[i][0], other[i][1], other[i][2], 50, 40, &e);
        assert_true(d.move.turns != e.move.turns && d.contrast != e.contrast);
    }
}

static void batches_are_mixed_by_their_number(void **state)
{
    (void)state;
    enum { N = 64, K = 8, SIZE = 3 * 3 * 3 };
    static float first[N * SIZE], again[N * SIZE], targets[N * K], t[N * K];
    static const char *const texts[] = {"mixup=0.2", "cutmix=1", "mixup=0.001,cutmix=0.5"};
    for (int which = 0; which < 3; which++) {
        ng_error err;
        ngi_augment a;
        CHECK_OK(ngi_augment_parse(texts[which], &a, &err), err);
        for (int64_t batch = 0; batch < 4; batch++) {
            for (int run = 0; run < 2; run++) {
                float *x = run ? again : first, *y = run ? t : targets;
                for (int i = 0; i < N * SIZE; i++)
                    x[i] = (float)(i / SIZE);
                for (int i = 0; i < N * K; i++)
                    y[i] = i % K == i / K % K;
                CHECK_OK(ngi_augment_batch(&a, 9, 1, batch, x, y, N, 3, 3, 3, K, &err), err);
            }
            assert_memory_equal(first, again, sizeof first);
            assert_memory_equal(targets, t, sizeof t);
            int changed = 0;
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int k = 0; k < K; k++)
                    sum += (double)targets[i * K + k];
                CHECK_NEAR(sum, 1, 1e-5);
                changed += targets[i * K + i % K] < 0.999f;
            }
            assert_true(changed > N / 16 || which == 2);
        }
    }
}

static void failing_allocations_are_reported(void **state)
{
    (void)state;
    float x[2 * 12] = {0}, y[4] = {0};
    for (long k = 1;; k++) {
        ng_error err;
        ngi_augment a = {0};
        ngi_alloc_fail_at(k);
        ng_status status = ngi_augment_parse("mixup=0.2", &a, &err);
        if (status == NG_OK)
            status = ngi_augment_batch(&a, 1, 1, 1, x, y, 2, 2, 2, 3, 2, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_OK) {
            assert_int_equal(k, 6);
            return;
        }
        assert_int_equal(status, NG_E_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_equal_keras),
        cmocka_unit_test(grey_images_are_augmented_alike),
        cmocka_unit_test(the_erased_box_is_keras_s),
        cmocka_unit_test(mixed_batches_equal_keras),
        cmocka_unit_test(the_text_is_read),
        cmocka_unit_test(draws_follow_seed_epoch_and_item),
        cmocka_unit_test(batches_are_mixed_by_their_number),
        cmocka_unit_test(failing_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
