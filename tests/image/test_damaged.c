/* Files that must be refused, each with one clear message that names it, and saving that cannot work. */
#include "image/pictures.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/base.h"

static const struct {
    const char *name;
    ng_status status;
    const char *message;
} cases[] = {
    {"truncated.jpg", NG_E_FORMAT, "truncated.jpg: damaged or truncated"},
    {"truncated.png", NG_E_FORMAT, "truncated.png: damaged or truncated"},
    {"truncated.webp", NG_E_FORMAT, "truncated.webp: "},
    {"truncated.tif", NG_E_FORMAT, "truncated.tif: "},
    {"truncated.gif", NG_E_FORMAT, "truncated.gif: "},
    {"flipped.png", NG_E_FORMAT, "flipped.png: damaged or truncated"},
    {"empty.jpg", NG_E_FORMAT, "empty.jpg: the file is empty"},
    {"text.jpg", NG_E_FORMAT, "text.jpg: not an image in a known format"},
    {"vector.svg", NG_E_FORMAT, "vector.svg: not an image in a known format"},
    {"photo.bin", NG_E_FORMAT, "photo.bin: not an image in a known format"},
    {"huge.png", NG_E_LIMIT, "huge.png: 60000x60000 pixels, the limit is 200000000"},
    {"absent.png", NG_E_NOT_FOUND, "absent.png"},
    {"", NG_E_IO, "is a directory"},
};

static void test_damaged_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[4096];
        ng_error err;
        ng_image image;
        snprintf(path, sizeof path, IMAGES "%s", cases[i].name);
        CHECK_FAILS(ng_image_load(path, NULL, &image, &err), cases[i].status, err, cases[i].message);
        assert_null(image.data);
        assert_null(strchr(err.text, '\n'));
        CHECK_OK(ng_image_load(IMAGES "photo.png", NULL, &image, &err), err); /* nothing is left behind */
        ng_image_clear(&image);
    }
}

/* Every shorter version of the files fails or, for a cut that leaves the picture whole, gives the whole
 * picture. */
static void test_every_truncation(void **state)
{
    (void)state;
    static const char *const names[] = {"photo.jpg", "palette.png"};
    static char bytes[20000];
    char *folder = make_folder(), path[4096], cut[4200];
    snprintf(cut, sizeof cut, "%s/cut", folder);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, IMAGES "%s", names[i]);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        size_t size = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        ng_image whole = load_picture(names[i]);
        for (size_t n = 0; n < size; n += 37) {
            ng_error err;
            ng_image image;
            CHECK_OK(ng_file_save(cut, bytes, n, &err), err);
            if (ng_image_load(cut, NULL, &image, &err) == NG_OK)
                assert_int_equal(difference(&image, &whole), 0);
            else
                assert_null(image.data);
            ng_image_clear(&image);
        }
        ng_image_clear(&whole);
    }
    remove_folder(folder);
}

static void test_options(void **state)
{
    (void)state;
    ng_error err;
    ng_image image;
    ng_image_opts o;
    ng_image_opts_init(&o);
    o.max_pixels = 67 * 45 - 1;
    CHECK_FAILS(ng_image_load(IMAGES "photo.png", &o, &image, &err), NG_E_LIMIT, err,
                "67x45 pixels, the limit is 3014");
    ng_image_opts_init(&o);
    o.channels = 2;
    CHECK_FAILS(ng_image_load(IMAGES "photo.png", &o, &image, &err), NG_E_ARGUMENT, err, "channels 2");
    ng_image_opts_init(&o);
    o.window_width = NAN;
    CHECK_FAILS(ng_image_load(IMAGES "photo.png", &o, &image, &err), NG_E_ARGUMENT, err, "window width");
}

static void test_failed_allocations(void **state)
{
    (void)state;
    ng_image_opts o;
    ng_image_opts_init(&o);
    o.channels = 1;
    for (long k = 1;; k++) {
        ng_error err;
        ng_image image;
        ngi_alloc_fail_at(k);
        ng_status status = ng_image_load(IMAGES "photo.png", &o, &image, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_OK) {
            assert_int_equal(k, 4); /* file, pixels, conversion */
            ng_image_clear(&image);
            break;
        }
        assert_int_equal(status, NG_E_MEMORY);
        assert_null(image.data);
    }
}

/* ---- Saving --------------------------------------------------------------------------------- */

static int count_files(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static double mean_difference(const ng_image *a, const ng_image *b)
{
    double sum = 0;
    (void)difference(a, b); /* fails where the shapes differ */
    size_t n = (size_t)a->width * a->height * a->channels;
    for (size_t i = 0; i < n; i++)
        sum += abs(a->data[i] - b->data[i]);
    return sum / (double)n;
}

static void test_save_and_load(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double tolerance; /* of the mean difference */
    } files[] = {{"a.png", 0}, {"a.tif", 0}, {"a.TIFF", 0}, {"a.jpg", 6}, {"a.jpeg", 6}, {"a.webp", 9}};
    static const char *const sources[] = {"photo.png", "grey.png"};
    char *folder = make_folder(), path[4200];
    for (int s = 0; s < 2; s++) {
        ng_image source = load_picture(sources[s]);
        ng_image_opts o;
        ng_image_opts_init(&o);
        o.channels = source.channels; /* WebP has no grey */
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            ng_error err;
            ng_image back;
            snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
            CHECK_OK(ng_image_save(&source, path, &err), err);
            CHECK_OK(ng_image_load(path, &o, &back, &err), err);
            CHECK_NEAR(mean_difference(&back, &source), 0, files[i].tolerance);
            ng_image_clear(&back);
        }
        ng_image_clear(&source);
    }
    assert_int_equal(count_files(folder), 6);
    remove_folder(folder);
}

static void test_save_fails(void **state)
{
    (void)state;
    ng_error err;
    ng_image photo = load_picture("photo.png"), none = {0};
    char *folder = make_folder(), path[4200];
    snprintf(path, sizeof path, "%s/missing/a.png", folder);
    CHECK_FAILS(ng_image_save(&photo, path, &err), NG_E_IO, err,
                "missing/a.png: cannot be written: No such file");
    snprintf(path, sizeof path, "%s/a.xyz", folder);
    CHECK_FAILS(ng_image_save(&photo, path, &err), NG_E_ARGUMENT, err, "the extension must be .png");
    snprintf(path, sizeof path, "%s/a.png", folder);
    CHECK_FAILS(ng_image_save(&none, path, &err), NG_E_ARGUMENT, err, "there is no image");
    CHECK_FAILS(ng_image_save(&photo, NULL, &err), NG_E_ARGUMENT, err, "no path");
    CHECK_FAILS(ng_image_save(&photo, "/dev/full/a.png", &err), NG_E_IO, err, "/dev/full/a.png");
    if (geteuid() != 0) { /* root may write anywhere */
        chmod(folder, 0500);
        CHECK_FAILS(ng_image_save(&photo, path, &err), NG_E_IO, err, "Permission denied");
        chmod(folder, 0700);
    }
    assert_int_equal(mkdir(path, 0700), 0); /* the name is taken by a folder */
    CHECK_FAILS(ng_image_save(&photo, path, &err), NG_E_IO, err, "a.png: writing failed");
    assert_int_equal(count_files(folder), 1); /* no temporary is left */
    ng_image_clear(&photo);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_files), cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_options),       cmocka_unit_test(test_failed_allocations),
        cmocka_unit_test(test_save_and_load), cmocka_unit_test(test_save_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
