/* Masks and boxes as regions; objects on other backgrounds; where the object is after the loader has moved it. */
#include "check.h"

#include "data/loader.h"
#include "data/region.h"
#include "image/image.h"

enum { SIDE = 64, GRID = 4, N = 4 };

static char *folder;
static ngi_dataset data;

/* A square of colour `object` on a ground of colour `ground`; the object's place differs from image to image. */
static void write_image(int i, int object, int ground)
{
    ng_error err;
    ng_image image, mask;
    char path[4200];
    CHECK_OK(ngi_image_create(SIDE, SIDE, 3, &image, &err), err);
    CHECK_OK(ngi_image_create(SIDE, SIDE, 1, &mask, &err), err);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            bool on = x >= 16 && x < 32 && y >= 16 * (i % 3) && y < 16 * (i % 3) + 16;
            memset(image.data + (y * SIDE + x) * 3, on ? object : ground, 3);
            mask.data[y * SIDE + x] = on; /* 0 and 1, as many masks are */
        }
    snprintf(path, sizeof path, "%s/%d.png", folder, i);
    CHECK_OK(ng_image_save(&image, path, &err), err);
    snprintf(path, sizeof path, "%s/mask%d.png", folder, i);
    CHECK_OK(ng_image_save(&mask, path, &err), err);
    ng_image_clear(&image);
    ng_image_clear(&mask);
}

/* Items 0 and 1 have masks, 2 a box, 3 nothing. */
static int set_up(void **state)
{
    (void)state;
    folder = make_folder();
    char path[4200];
    snprintf(path, sizeof path, "%s/list.csv", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("path,label,mask,box\n", f);
    for (int i = 0; i < N; i++) {
        write_image(i, 200 + i, 20 * (i + 1));
        fprintf(f, "%d.png,a,", i);
        fprintf(f, i < 2 ? "mask%d.png,\n" : i == 2 ? ",16 32 16 16\n" : ",\n", i);
    }
    fclose(f);
    ng_error err;
    CHECK_OK(ngi_dataset_open(path, NULL, &data, &err), err);
    assert_int_equal(data.n_items, N);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ngi_dataset_clear(&data);
    remove_folder(folder);
    return 0;
}

static const int64_t order[N] = {0, 1, 2, 3}, donors[2] = {0, 1};

static ngi_loader_options options(void)
{
    return (ngi_loader_options){.data = &data,
                                .order = order,
                                .n_order = N,
                                .batch = N,
                                .height = SIDE,
                                .width = SIDE,
                                .channels = 3,
                                .resample = NG_RESAMPLE_PIL_BILINEAR,
                                .preprocess = NGI_PREPROCESS_RAW,
                                .grid_h = GRID,
                                .grid_w = GRID};
}

static ngi_loader *open_loader(const ngi_loader_options *o, ngi_loader_batch *b)
{
    ng_error err;
    ngi_loader *l;
    CHECK_OK(ngi_loader_create(o, &l, &err), err);
    CHECK_OK(ngi_loader_next(l, b, &err), err);
    assert_int_equal(b->n, N);
    return l;
}

static float pixel(const ngi_loader_batch *b, int i, int y, int x)
{
    return b->images[((i * SIDE + y) * SIDE + x) * 3];
}

static void masks_and_boxes_are_regions(void **state)
{
    (void)state;
    ng_error err;
    for (int i = 0; i < 3; i++) {
        ng_image region;
        assert_true(ngi_region_known(&data.items[i]));
        CHECK_OK(ngi_region_load(&data.items[i], SIDE, SIDE, &region, &err), err);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                assert_int_equal(region.data[y * SIDE + x],
                                 x >= 16 && x < 32 && y >= 16 * i && y < 16 * i + 16 ? 255 : 0);
        ng_image_clear(&region);
    }
    assert_false(ngi_region_known(&data.items[3]));
    ng_image half; /* a mask of another size than its image */
    CHECK_OK(ngi_region_load(&data.items[0], SIDE / 2, SIDE / 2, &half, &err), err);
    assert_int_equal(half.width, SIDE / 2);
    assert_int_equal(half.data[4 * SIDE / 2 + 12], 255);
    assert_int_equal(half.data[20 * SIDE / 2 + 12], 0);
    ng_image_clear(&half);
    ngi_data_item gone = {.path = (char *)"x.png", .mask = (char *)"/nowhere/mask.png"};
    CHECK_FAILS(ngi_region_load(&gone, 4, 4, &half, &err), NG_E_NOT_FOUND, err,
                "mask of x.png: /nowhere/mask.png");
}

static void grids_are_means_of_cells(void **state)
{
    (void)state;
    const float plane[6] = {1, 0, 0, /**/ 1, 1, 0};
    float grid[4];
    ngi_region_pool(plane, 2, 3, grid, 1, 2);
    CHECK_NEAR(grid[0], (1 + 1 + 0.5) / 3, 1e-7);
    CHECK_NEAR(grid[1], 0.5 / 3, 1e-7);
    ngi_region_pool(plane, 2, 3, grid, 2, 2);
    CHECK_NEAR(grid[0], 1 / 1.5, 1e-7);
    CHECK_NEAR(grid[3], 0.5 / 1.5, 1e-7);
}

static void the_loader_gives_regions_with_the_images(void **state)
{
    (void)state;
    ngi_loader_options o = options();
    ngi_loader_batch b;
    ngi_loader *l = open_loader(&o, &b);
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < GRID * GRID; c++)
            CHECK_NEAR(b.regions[i * GRID * GRID + c], c == i * GRID + 1, 1e-6);
    assert_true(b.regions[3 * GRID * GRID] == -1);
    ngi_loader_free(l);
}

static void regions_move_with_their_images(void **state)
{
    (void)state;
    ngi_augment flip;
    ng_error err;
    CHECK_OK(ngi_augment_parse("flip=horizontal", &flip, &err), err);
    ngi_loader_options o = options();
    o.augment = &flip;
    bool seen[2] = {false, false};
    for (o.epoch = 0; o.epoch < 8; o.epoch++) {
        ngi_loader_batch b;
        ngi_loader *l = open_loader(&o, &b);
        for (int i = 0; i < 3; i++) {
            bool flipped = pixel(&b, i, 16 * i + 8, 40) > 190; /* the object is on the right now */
            seen[flipped] = true;
            for (int c = 0; c < GRID * GRID; c++)
                CHECK_NEAR(b.regions[i * GRID * GRID + c], c == i * GRID + (flipped ? 2 : 1), 1e-6);
        }
        ngi_loader_free(l);
    }
    assert_true(seen[0] && seen[1]);
}

static void objects_are_laid_on_other_backgrounds(void **state)
{
    (void)state;
    ngi_loader_options o = options();
    o.background_swap = 1;
    o.donors = donors;
    o.n_donors = 2;
    ngi_loader_batch b;
    ngi_loader *l = open_loader(&o, &b);
    for (int i = 0; i < 2; i++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                bool on = x >= 16 && x < 32 && y >= 16 * i && y < 16 * i + 16;
                /* the other's ground, without the other's object */
                CHECK_NEAR(pixel(&b, i, y, x), on ? 200 + i : 20 * (2 - i), 0);
            }
    float ground = pixel(&b, 2, 0, 0);
    assert_true(ground == 20 || ground == 40);
    assert_true(pixel(&b, 3, 0, 0) == 80); /* not known where its object is */
    ngi_loader_free(l);
}

static void half_the_objects_are_swapped_at_a_half(void **state)
{
    (void)state;
    ngi_loader_options o = options();
    o.background_swap = 0.5;
    o.donors = donors;
    o.n_donors = 2;
    int swapped = 0;
    for (o.epoch = 0; o.epoch < 100; o.epoch++) {
        ngi_loader_batch b;
        ngi_loader *l = open_loader(&o, &b);
        swapped += pixel(&b, 0, 0, 63) != 20;
        ngi_loader_free(l);
    }
    assert_in_range(swapped, 30, 70);
}

static void an_object_without_surroundings_stays(void **state)
{
    (void)state;
    uint8_t pixels[16 * 16] = {0}, all[16 * 16];
    memset(all, 255, sizeof all);
    ng_image image = {16, 16, 1, pixels}, region = {16, 16, 1, all};
    assert_false(ngi_region_remove(&image, &region));
}

static void a_grid_must_fit_the_input(void **state)
{
    (void)state;
    ngi_loader_options o = options();
    ngi_loader *l;
    ng_error err;
    o.grid_h = SIDE + 1;
    CHECK_FAILS(ngi_loader_create(&o, &l, &err), NG_E_ARGUMENT, err, "grid of 65x4 cells");
    o.grid_h = 0;
    CHECK_FAILS(ngi_loader_create(&o, &l, &err), NG_E_ARGUMENT, err, "grid of 0x4 cells");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_and_boxes_are_regions),
        cmocka_unit_test(grids_are_means_of_cells),
        cmocka_unit_test(the_loader_gives_regions_with_the_images),
        cmocka_unit_test(regions_move_with_their_images),
        cmocka_unit_test(objects_are_laid_on_other_backgrounds),
        cmocka_unit_test(half_the_objects_are_swapped_at_a_half),
        cmocka_unit_test(an_object_without_surroundings_stays),
        cmocka_unit_test(a_grid_must_fit_the_input),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
