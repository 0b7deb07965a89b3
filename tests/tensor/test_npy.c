/* .npy round trips, what NumPy itself writes, and what is refused. Shapes, sums, finite checks. */
#include "check.h"

#include "tensor/tensor.h"

static char *folder;

static const char *file(const char *name)
{
    static char path[4300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void save(const char *name, const char *header, size_t data_bytes)
{
    char bytes[512] = "\x93NUMPY\x01";
    size_t length = strlen(header);
    bytes[7] = 0;
    bytes[8] = (char)length;
    bytes[9] = 0;
    memcpy(bytes + 10, header, length);
    memset(bytes + 10 + length, 0, data_bytes);
    ng_error err;
    CHECK_OK(ng_file_save(file(name), bytes, 10 + length + data_bytes, &err), err);
}

static void arrays_survive_a_round_trip(void **state)
{
    (void)state;
    float data[24];
    for (int i = 0; i < 24; i++)
        data[i] = (float)i / 7;
    const int64_t shapes[][4] = {{24, 0, 0, 0}, {4, 6, 0, 0}, {2, 3, 4, 0}, {2, 3, 2, 2}};
    ng_error err;
    for (int rank = 1; rank <= 4; rank++) {
        CHECK_OK(ng_npy_save(file("a.npy"), rank, shapes[rank - 1], data, &err), err);
        ng_array a;
        CHECK_OK(ng_npy_load(file("a.npy"), &a, &err), err);
        assert_int_equal(a.rank, rank);
        for (int i = 0; i < rank; i++)
            assert_int_equal(a.shape[i], shapes[rank - 1][i]);
        assert_memory_equal(a.data, data, sizeof data);
        ng_array_clear(&a);
    }
    CHECK_OK(ng_npy_save(file("scalar.npy"), 0, NULL, data, &err), err);
    ng_array a;
    CHECK_OK(ng_npy_load(file("scalar.npy"), &a, &err), err);
    assert_int_equal(a.rank, 0);
    ng_array_clear(&a);
}

static void damaged_arrays_are_refused(void **state)
{
    (void)state;
    ng_error err;
    ng_array a;
    const struct {
        const char *header;
        size_t bytes;
        ng_status status;
        const char *fragment;
    } cases[] = {
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", 16, NG_E_UNSUPPORTED, "float32"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }\n", 8, NG_E_UNSUPPORTED, "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", 8, NG_E_FORMAT, "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n", 8, NG_E_FORMAT, "bad shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }\n", 8, NG_E_FORMAT,
         "bad shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2), }\n", 8, NG_E_FORMAT,
         "bad shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2", 8, NG_E_FORMAT, "bad shape"},
        {"nothing\n", 8, NG_E_FORMAT, "damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        save("bad.npy", cases[i].header, cases[i].bytes);
        CHECK_FAILS(ng_npy_load(file("bad.npy"), &a, &err), cases[i].status, err, cases[i].fragment);
        assert_null(a.data);
    }
    CHECK_OK(ng_file_save(file("bad.npy"), "\x93NUMPY\x01\x00\xff\xff", 10, &err), err);
    CHECK_FAILS(ng_npy_load(file("bad.npy"), &a, &err), NG_E_FORMAT, err, "not a .npy");
    CHECK_OK(ng_file_save(file("bad.npy"), "", 0, &err), err);
    CHECK_FAILS(ng_npy_load(file("bad.npy"), &a, &err), NG_E_FORMAT, err, "not a .npy");
}

static void shapes_know_their_limits(void **state)
{
    (void)state;
    char text[NGI_SHAPE_TEXT];
    ngi_shape s = ngi_shape_of(3, (int64_t)3, (int64_t)4, (int64_t)5);
    assert_int_equal(ngi_shape_count(&s), 60);
    assert_string_equal(ngi_shape_text(&s, text), "[3,4,5]");
    ngi_shape huge = ngi_shape_of(3, (int64_t)1 << 20, (int64_t)1 << 20, (int64_t)1 << 40);
    assert_int_equal(ngi_shape_count(&huge), -1);
    s.dim[1] = -4;
    assert_int_equal(ngi_shape_count(&s), -1);
    s.rank = 0;
    assert_int_equal(ngi_shape_count(&s), 1);
}

static void non_finite_values_are_found(void **state)
{
    (void)state;
    float x[3000];
    for (int i = 0; i < 3000; i++)
        x[i] = (float)(i - 1500) * 1e30f;
    assert_int_equal(ngi_find_non_finite(x, 3000), -1);
    for (int at = 0; at < 3000; at += 271) {
        float old = x[at];
        x[at] = at % 2 ? NAN : -INFINITY;
        assert_int_equal(ngi_find_non_finite(x, 3000), at);
        x[at] = old;
    }
}

static int make(void **state)
{
    (void)state;
    folder = make_folder();
    return 0;
}

static int drop(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_survive_a_round_trip),
        cmocka_unit_test(damaged_arrays_are_refused),
        cmocka_unit_test(shapes_know_their_limits),
        cmocka_unit_test(non_finite_values_are_found),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
