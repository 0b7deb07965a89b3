/* Damaged model files: a table of case and message; every kind of file cut at many places and with single
 * bits flipped (each must load or give one clear error); every allocation failing in turn. Run it with
 * sanitizers too: nothing may be read out of bounds or leak. Files are made by
 * tests/fixtures/make_h5_raw.py and make_h5_fixtures.py. */
#include "check.h"

#include <fcntl.h>

#include "format/format.h"

#define FIXTURE(name) NETGAZE_FIXTURES "/h5/" name
#define BAD(name)     FIXTURE("raw-bad-" name)

static ng_error err;
static char *folder;

static const struct {
    const char *path;
    ng_status status;
    const char *fragment;
} cases[] = {
    /* models in HDF5 */
    {BAD("nan.h5"), NG_E_FORMAT, "d/kernel: value 0 is NaN"},
    {BAD("infinite.h5"), NG_E_FORMAT, "d/bias: value 0 is infinite"},
    {BAD("shape.h5"), NG_E_SHAPE, "d/kernel: expected [2,3], found [3,2]"},
    {BAD("integers.h5"), NG_E_SHAPE, "'kernel:0' holds integers"},
    {BAD("missing-bias.h5"), NG_E_SHAPE, "layer 'd' (Dense): expected 2 weights, found 1"},
    {BAD("missing-dataset.h5"), NG_E_NOT_FOUND, "/model_weights/d/more:0: no such dataset"},
    {BAD("missing-layer.h5"), NG_E_NOT_FOUND, "layer 'e' is listed, but its weights are missing"},
    {BAD("extra-weight.h5"), NG_E_SHAPE, "layer 'd' (Dense): expected 2 weights, found 3"},
    {BAD("other-model.h5"), NG_E_SHAPE, "expected 2 layers with weights, found 1; none is called 'e'"},
    {BAD("no-weights.h5"), NG_E_FORMAT, "no weights that Keras saved"},
    {BAD("no-config.h5"), NG_E_FORMAT, "no model_config"},
    {BAD("not-json.h5"), NG_E_FORMAT, "line 1, column"},
    {BAD("deep.h5"), NG_E_LIMIT, "the limit is 200"},
    {BAD("huge.h5"), NG_E_FORMAT, "[500,1000000]"},
    {FIXTURE("raw-types.h5"), NG_E_FORMAT, "no model_config"},
    {FIXTURE("raw-claims.h5"), NG_E_FORMAT, "claims 2147483648 bytes, none of which are in the file"},
    {FIXTURE("raw-compressed.h5"), NG_E_UNSUPPORTED, "h5repack"},
    {FIXTURE("raw-newest.h5"), NG_E_UNSUPPORTED, "h5repack"},
    {FIXTURE("raw-loop.h5"), NG_E_UNSUPPORTED, "several links to one group"},
    {FIXTURE("raw-external-data.h5"), NG_E_UNSUPPORTED, "type 0x07"},
    /* archives */
    {BAD("no-config.keras"), NG_E_FORMAT, "config.json is missing"},
    {BAD("no-weights.keras"), NG_E_FORMAT, "model.weights.h5 is missing"},
    {BAD("npz.keras"), NG_E_UNSUPPORTED, "NumPy's format"},
    {BAD("bomb.keras"), NG_E_LIMIT, "claims 8388608 bytes packed into 8157"},
    {BAD("claims.keras"), NG_E_LIMIT, "claims 4026531840 bytes"},
    {BAD("flipped.keras"), NG_E_FORMAT, "CRC"},
    {BAD("encrypted.keras"), NG_E_UNSUPPORTED, "encrypted"},
    {BAD("not-hdf5.keras"), NG_E_FORMAT, "not an HDF5 file"},
    {BAD("empty-weights.keras"), NG_E_FORMAT, "the HDF5 file is empty"},
    {BAD("metadata.keras"), NG_E_FORMAT, "metadata.json: line 1"},
    /* no models at all */
    {FIXTURE("nothing.h5"), NG_E_NOT_FOUND, "no such file or folder"},
    {NETGAZE_FIXTURES "/h5", NG_E_FORMAT, "a folder"},
    {"/dev/null", NG_E_FORMAT, "the file is empty"},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ngi_model_file f;
        CHECK_FAILS(ngi_model_file_load(cases[i].path, NULL, &f, &err), cases[i].status, err,
                    cases[i].fragment);
        if (!strstr(err.text, cases[i].path))
            fail_msg("'%s' does not name the file", err.text);
        assert_null(f.graph);
        assert_null(f.producer);
    }
}

/* ---- Cut and flipped files --------------------------------------------------------------------- */

/* A file in memory, written out with damage under one name. */
typedef struct victim {
    char *bytes, *path;
    size_t size;
} victim;

static void take(victim *v, const char *source, const char *name)
{
    CHECK_OK(ngi_file_read(source, 1 << 24, &v->bytes, &v->size, &err), err);
    v->path = ngi_path_join(folder, name);
}

static void release(victim *v)
{
    ngi_free(v->bytes);
    ngi_free(v->path);
}

/* Not atomic, and without truncating to nothing first, which would wait for the disk: there are thousands. */
static void put(const victim *v, size_t size)
{
    int fd = open(v->path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, v->bytes, size) != (ssize_t)size || ftruncate(fd, (off_t)size) != 0 ||
        close(fd) != 0)
        fail_msg("%s cannot be written", v->path);
}

/* Loads the model at `path`: either it works, or there is one error that says something and leaves nothing
 * behind. */
static bool loads(const char *path, const char *what, size_t at)
{
    ngi_model_file f;
    err = (ng_error){0};
    ng_status status = ngi_model_file_load(path, NULL, &f, &err);
    if (status == NG_OK) {
        if (!f.graph || f.graph->n_nodes == 0)
            fail_msg("%s %zu: success without a graph", what, at);
    } else {
        if (err.status != status || strlen(err.text) < 10 || status == NG_E_INTERNAL)
            fail_msg("%s %zu: %s with the text '%s'", what, at, ng_status_name(status), err.text);
        if (f.graph)
            fail_msg("%s %zu: a graph beside an error", what, at);
    }
    ngi_model_file_clear(&f);
    return status == NG_OK;
}

/* Cuts at every `step`-th length: never loads, except past the part that matters (the end of an archive's
 * comment). */
static void cut_everywhere(const char *source, const char *name, size_t step)
{
    victim v;
    take(&v, source, name);
    for (size_t size = 0; size < v.size; size += step) {
        put(&v, size);
        if (loads(v.path, name, size))
            fail_msg("%s loads although it is cut after %zu of %zu bytes", name, size, v.size);
    }
    put(&v, v.size);
    assert_true(loads(v.path, name, v.size));
    release(&v);
}

/* Flips every `step`-th bit; returns how many of the files still load. `model` is what is loaded, if not
 * the victim. */
static size_t flip_everywhere(const char *source, const char *name, size_t step, const char *model)
{
    victim v;
    size_t good = 0, all = 0;
    take(&v, source, name);
    for (size_t bit = 0; bit < v.size * 8; bit += step, all++) {
        v.bytes[bit / 8] ^= (char)(1 << bit % 8);
        put(&v, v.size);
        good += loads(model ? model : v.path, name, bit);
        v.bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    put(&v, v.size);
    release(&v);
    print_message("%s: %zu of %zu files with a flipped bit still load\n", name, good, all);
    return good;
}

static void test_cut(void **state)
{
    (void)state;
    cut_everywhere(BAD("good.h5"), "cut.h5", 61);
    cut_everywhere(FIXTURE("keras-2.2.4-flat.h5"), "flat.h5", 997);
    cut_everywhere(FIXTURE("keras-3.15.1-type-float64.keras"), "cut.keras", 61);
    cut_everywhere(FIXTURE("keras-3.3.3-sequential.keras"), "stored.keras", 1999);
}

static void test_flipped_h5(void **state)
{
    (void)state;
    assert_true(flip_everywhere(BAD("good.h5"), "flip.h5", 53, NULL) > 0);
    flip_everywhere(FIXTURE("keras-2.2.4-flat.h5"), "flat.h5", 331, NULL);
    flip_everywhere(FIXTURE("keras-3.15.1-sequential.h5"), "sequential.h5", 997, NULL);
}

/* The archive's own checksums find what the structure does not. */
static void test_flipped_archives(void **state)
{
    (void)state;
    flip_everywhere(FIXTURE("keras-3.15.1-type-float64.keras"), "packed.keras", 29, NULL);
    flip_everywhere(FIXTURE("keras-3.3.3-sequential.keras"), "stored.keras", 997, NULL);
}

/* ---- TensorFlow.js ----------------------------------------------------------------------------- */

static const char tfjs_model[] =
    "{\"format\":\"layers-model\",\"modelTopology\":{\"keras_version\":\"2.2.4\",\"model_config\":{\"class_"
    "name\":"
    "\"Sequential\",\"config\":{\"name\":\"net\",\"layers\":[{\"class_name\":\"Dense\",\"config\":{\"name\":"
    "\"d\","
    "\"units\":3,\"activation\":\"linear\",\"batch_input_shape\":[null,2]}}]}}},\"weightsManifest\":[{"
    "\"paths\":"
    "[\"group1-shard1of2.bin\",\"group1-shard2of2.bin\"],\"weights\":[{\"name\":\"d/kernel\",\"shape\":[2,3],"
    "\"dtype\":\"float32\"},{\"name\":\"d/bias\",\"shape\":[3],\"dtype\":\"float32\"}]}]}";

static void test_tfjs(void **state)
{
    (void)state;
    static const float values[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    char *model = ngi_path_join(folder, "model.json"), *a = ngi_path_join(folder, "group1-shard1of2.bin"),
         *b = ngi_path_join(folder, "group1-shard2of2.bin");
    CHECK_OK(ng_file_save(model, tfjs_model, sizeof tfjs_model - 1, &err), err);
    CHECK_OK(ng_file_save(a, values, 20, &err), err);
    CHECK_OK(ng_file_save(b, values + 5, 16, &err), err);
    assert_true(loads(model, "model.json", 0));
    char *copy = ngi_sprintf("%s.copy", model);
    CHECK_OK(ng_file_save(copy, tfjs_model, sizeof tfjs_model - 1, &err), err);
    flip_everywhere(copy, "model.json", 1, NULL);
    cut_everywhere(copy, "model.json", 1);
    CHECK_OK(ng_file_save(copy, values, 20, &err), err);
    size_t good = flip_everywhere(copy, "group1-shard1of2.bin", 1, model);
    assert_true(good > 0 && good <= 160);
    for (size_t size = 0; size < 40; size++) {
        static const char more[40];
        if (size == 20)
            continue;
        CHECK_OK(ng_file_save(a, more, size, &err), err);
        if (loads(model, "shard", size))
            fail_msg("a shard of %zu bytes in the place of 20 is read", size);
    }
    ngi_free(copy);
    ngi_free(model);
    ngi_free(a);
    ngi_free(b);
}

/* ---- Allocation failures ----------------------------------------------------------------------- */

static void fail_every_allocation(const char *path)
{
    for (long k = 1;; k++) {
        ngi_model_file f;
        err = (ng_error){0};
        ngi_alloc_fail_at(k);
        ng_status status = ngi_model_file_load(path, NULL, &f, &err);
        long made = ngi_alloc_count();
        ngi_alloc_fail_at(0);
        if (status != NG_OK && status != NG_E_MEMORY && made >= k)
            fail_msg("%s: allocation %ld fails: %s: %s", path, k, ng_status_name(status), err.text);
        ngi_model_file_clear(&f);
        if (made < k) {
            CHECK_OK(status, err);
            return;
        }
    }
}

static void test_allocation_failures(void **state)
{
    (void)state;
    fail_every_allocation(BAD("good.h5"));
    fail_every_allocation(FIXTURE("keras-3.15.1-type-float64.keras"));
    fail_every_allocation(FIXTURE("keras-2.2.4-flat.h5"));
}

static int enter(void **state)
{
    (void)state;
    folder = make_folder();
    return 0;
}

static int leave(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test_setup_teardown(test_cut, enter, leave),
        cmocka_unit_test_setup_teardown(test_flipped_h5, enter, leave),
        cmocka_unit_test_setup_teardown(test_flipped_archives, enter, leave),
        cmocka_unit_test_setup_teardown(test_tfjs, enter, leave),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
