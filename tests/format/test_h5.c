/* Access to HDF5 files: number types, texts in all their storage forms, features that are refused. The
 * files are made by tests/fixtures/make_h5_raw.py. */
#include "check.h"

#include "format/h5.h"

#define RAW(name) NETGAZE_FIXTURES "/h5/raw-" name ".h5"

static ng_error err;

/* Opens a file, or fails the test. */
static ngi_h5 *open_file(const char *path)
{
    ngi_h5 *h;
    CHECK_OK(ngi_h5_open(path, &h, &err), err);
    return h;
}

static void check_ramp(ngi_h5 *h, const char *name)
{
    ngi_shape shape, expected = ngi_shape_of(2, (int64_t)2, (int64_t)3);
    bool integer;
    float data[6];
    CHECK_OK(ngi_h5_shape(h, name, &shape, &integer, &err), err);
    assert_true(ngi_shape_equal(&shape, &expected));
    assert_false(integer);
    CHECK_OK(ngi_h5_read(h, name, data, 6, &err), err);
    for (int i = 0; i < 6; i++)
        CHECK_NEAR(data[i], i / 4.0, 0);
}

static void test_number_types(void **state)
{
    (void)state;
    static const char *const names[] = {"little-f2", "little-f4", "little-f8", "big-f2", "big-f4",
                                        "big-f8",    "uint16",    "opaque",    "compact"};
    ngi_h5 *h = open_file(RAW("types"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_ramp(h, names[i]);
    ngi_shape shape;
    bool integer;
    float one;
    CHECK_OK(ngi_h5_shape(h, "/scalar", &shape, &integer, &err), err);
    assert_int_equal(shape.rank, 0);
    CHECK_OK(ngi_h5_read(h, "scalar", &one, 1, &err), err);
    CHECK_NEAR(one, 2.5, 0);
    CHECK_OK(ngi_h5_shape(h, "empty", &shape, &integer, &err), err);
    assert_int_equal(ngi_shape_count(&shape), 0);
    CHECK_OK(ngi_h5_read(h, "empty", &one, 0, &err), err);
    ngi_h5_close(h);
}

static void test_numbers_refused(void **state)
{
    (void)state;
    float data[8];
    ngi_shape shape;
    bool integer = false;
    ngi_h5 *h = open_file(RAW("types"));
    CHECK_OK(ngi_h5_shape(h, "integer", &shape, &integer, &err), err);
    assert_true(integer);
    CHECK_FAILS(ngi_h5_read(h, "integer", data, 3, &err), NG_E_UNSUPPORTED, err, "integer weights");
    CHECK_FAILS(ngi_h5_read(h, "flag", data, 2, &err), NG_E_UNSUPPORTED, err, "flag: numbers of a kind");
    CHECK_FAILS(ngi_h5_read(h, "rank6", data, 1, &err), NG_E_UNSUPPORTED, err,
                "6 dimensions, the limit is 5");
    CHECK_FAILS(ngi_h5_read(h, "little-f4", data, 5, &err), NG_E_SHAPE, err, "expected 5 numbers, found 6");
    CHECK_FAILS(ngi_h5_read(h, "nowhere/x", data, 1, &err), NG_E_NOT_FOUND, err,
                "nowhere/x: no such dataset");
    CHECK_FAILS(ngi_h5_read(h, "/", data, 1, &err), NG_E_FORMAT, err, "not a dataset");
    CHECK_FAILS(ngi_h5_read(h, "scalar/x", data, 1, &err), NG_E_NOT_FOUND, err, "no such dataset");
    ngi_h5_close(h);
}

static void check_text(ngi_h5 *h, const char *name, const char *expected)
{
    char *text;
    size_t size;
    CHECK_OK(ngi_h5_text(h, "/", name, &text, &size, &err), err);
    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    ngi_free(text);
}

static void test_texts(void **state)
{
    (void)state;
    ngi_h5 *h = open_file(RAW("texts"));
    check_text(h, "variable", "Gr\xc3\xbc\xc3\x9f\x65");
    check_text(h, "fixed", "fixed length");
    check_text(h, "empty", "");
    char *text;
    size_t size;
    CHECK_OK(ngi_h5_text(h, "/", "nothing", &text, &size, &err), err);
    assert_null(text);
    CHECK_FAILS(ngi_h5_text(h, "/", "number", &text, &size, &err), NG_E_FORMAT, err,
                "number: an attribute is not text");
    CHECK_FAILS(ngi_h5_text(h, "/", "fixed_list", &text, &size, &err), NG_E_FORMAT, err,
                "3 texts, expected one");
    ngi_h5_close(h);
}

static void test_lists(void **state)
{
    (void)state;
    ngi_h5 *h = open_file(RAW("texts"));
    ngi_names names;
    bool found;
    CHECK_OK(ngi_h5_names(h, "/", "fixed_list", &names, &found, &err), err);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.items[1], "bcd");
    assert_string_equal(names.items[2], "");
    ngi_names_clear(&names);
    CHECK_OK(ngi_h5_names(h, "/", "variable_list", &names, &found, &err), err);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.items[2], "three");
    ngi_names_clear(&names);
    CHECK_OK(ngi_h5_names(h, "/", "empty_list", &names, &found, &err), err);
    assert_true(found);
    assert_int_equal(names.count, 0);
    CHECK_OK(ngi_h5_names(h, "/", "pieces", &names, &found, &err), err); /* pieces0, pieces1, pieces2 */
    assert_true(found);
    assert_int_equal(names.count, 300);
    assert_string_equal(names.items[299], "layer_0299");
    ngi_names_clear(&names);
    CHECK_OK(ngi_h5_names(h, "/", "nothing", &names, &found, &err), err);
    assert_false(found);
    ngi_h5_close(h);
}

static void test_structures_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        ng_status status;
        const char *fragment;
    } rows[] = {
        {RAW("soft-link"), NG_E_UNSUPPORTED, "soft links, which Keras does not write"},
        {RAW("external-link"), NG_E_UNSUPPORTED, "a message of type 0x02"},
        {RAW("external-data"), NG_E_UNSUPPORTED, "a message of type 0x07"},
        {RAW("compressed"), NG_E_UNSUPPORTED, "h5repack -l CONTI -f NONE"},
        {RAW("newest"), NG_E_UNSUPPORTED, "a superblock of a newer version"},
        {RAW("claims"), NG_E_FORMAT, "a dataset claims 2147483648 bytes, none of which are in the file"},
        {RAW("loop"), NG_E_UNSUPPORTED, "several links to one group"},
        {NETGAZE_FIXTURES "/h5", NG_E_IO, "a folder, expected an HDF5 file"},
        {NETGAZE_FIXTURES "/h5/nothing.h5", NG_E_NOT_FOUND, "No such file"},
        {"/dev/null", NG_E_IO, "not a regular file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ngi_h5 *h = (ngi_h5 *)&err;
        CHECK_FAILS(ngi_h5_open(rows[i].path, &h, &err), rows[i].status, err, rows[i].fragment);
        assert_null(h);
    }
}

/* The bytes are lent, and two images live side by side. */
static void test_images(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    CHECK_OK(ngi_file_read(RAW("types"), 1 << 20, &bytes, &size, &err), err);
    ngi_h5 *a, *b;
    CHECK_OK(ngi_h5_open_image("one", bytes, size, &a, &err), err);
    CHECK_OK(ngi_h5_open_image("one", bytes, size, &b, &err), err);
    check_ramp(a, "little-f4");
    ngi_h5_close(a);
    check_ramp(b, "big-f8");
    ngi_h5_close(b);
    CHECK_FAILS(ngi_h5_open_image("one", bytes, size - 1, &a, &err), NG_E_FORMAT, err,
                "one: the HDF5 file is truncated");
    ngi_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_types), cmocka_unit_test(test_numbers_refused),
        cmocka_unit_test(test_texts),        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_images),       cmocka_unit_test(test_structures_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
