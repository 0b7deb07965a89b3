/* TF.js layers models: every storage type, names, shards; the dispatcher with netgaze.json; a table of damage with its
 * messages. The models are written by the test. */
#include "check.h"

#include "format/format.h"

#include <sys/stat.h>

static ng_error err;
static ngi_model_file file;
static char *folder;

static int enter(void **state)
{
    (void)state;
    folder = make_folder();
    return 0;
}

static int leave(void **state)
{
    (void)state;
    ngi_model_file_clear(&file);
    remove_folder(folder);
    return 0;
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char *path = ngi_path_join(folder, name);
    CHECK_OK(ng_file_save(path, bytes, size, &err), err);
    ngi_free(path);
}

static ng_status load(const char *name)
{
    char *path = ngi_path_join(folder, name);
    ngi_model_file_clear(&file);
    err = (ng_error){0};
    ng_status status = ngi_model_file_load(path, NULL, &file, &err);
    ngi_free(path);
    return status;
}

/* A Dense layer of 2 inputs and 3 units; `manifest` is the whole list of groups. */
static void write_model(const char *manifest)
{
    char text[8192];
    snprintf(text, sizeof text,
             "{\"format\":\"layers-model\",\"modelTopology\":{\"keras_version\":\"2.2.4\",\"model_config\":{"
             "\"class_name\":"
             "\"Sequential\",\"config\":{\"name\":\"net\",\"layers\":[{\"class_name\":\"Dense\",\"config\":{"
             "\"name\":\"d\","
             "\"units\":3,\"batch_input_shape\":[null,2]}}]}}},\"weightsManifest\":%s}",
             manifest);
    write_file("model.json", text, strlen(text));
}

#define GROUP(paths, weights) "[{\"paths\":[" paths "],\"weights\":[" weights "]}]"
#define WEIGHT(name, shape, dtype, more) \
    "{\"name\":\"" name "\",\"shape\":" shape ",\"dtype\":\"" dtype "\"" more "}"
#define QUANTISED(dtype, more) ",\"quantization\":{\"dtype\":\"" dtype "\"" more "}"
#define KERNEL                 WEIGHT("d/kernel", "[2,3]", "float32", "")
#define BIAS                   WEIGHT("d/bias", "[3]", "float32", "")

static const float kernel[6] = {1, -2, 3.5f, 0, 1e-3f, -7}, bias[3] = {0.25f, 0, 9};

static void write_floats(void)
{
    float all[9];
    memcpy(all, kernel, sizeof kernel);
    memcpy(all + 6, bias, sizeof bias);
    write_file("a.bin", all, sizeof all);
}

static const ngi_weight *weight(const char *name)
{
    for (int i = 0; i < file.graph->n_weights; i++)
        if (strcmp(file.graph->weights[i].name, name) == 0)
            return &file.graph->weights[i];
    fail_msg("no weight '%s'", name);
    return NULL;
}

static void test_floats(void **state)
{
    (void)state;
    write_floats();
    write_model(GROUP("\"a.bin\"", KERNEL "," BIAS));
    CHECK_OK(load("."), err);
    assert_memory_equal(weight("d/kernel")->data, kernel, sizeof kernel);
    assert_memory_equal(weight("d/bias")->data, bias, sizeof bias);
    assert_string_equal(file.format, "tfjs");
    assert_string_equal(file.producer, "Keras 2.2.4");
    assert_string_equal(file.architecture, "");
    assert_int_equal(strlen(file.hash), NGI_HASH_TEXT - 1);
    char hash[NGI_HASH_TEXT];
    memcpy(hash, file.hash, sizeof hash);
    CHECK_OK(load("model.json"), err);
    assert_string_equal(file.hash, hash);
    write_file("a.bin", (float[9]){0}, 36); /* other weights, another model */
    CHECK_OK(load("model.json"), err);
    assert_string_not_equal(file.hash, hash);
}

/* A weight that lies across three shards, and two groups. */
static void test_shards(void **state)
{
    (void)state;
    const char *bytes = (const char *)kernel;
    write_file("a.bin", bytes, 5);
    write_file("b.bin", bytes + 5, 0);
    write_file("c.bin", bytes + 5, 19);
    write_file("d.bin", bias, sizeof bias);
    write_model("[{\"paths\":[\"a.bin\",\"b.bin\",\"c.bin\"],\"weights\":[" KERNEL "]},"
                "{\"paths\":[\"d.bin\"],\"weights\":[" BIAS "]}]");
    CHECK_OK(load("."), err);
    assert_memory_equal(weight("d/kernel")->data, kernel, sizeof kernel);
    assert_memory_equal(weight("d/bias")->data, bias, sizeof bias);
}

static void test_storage(void **state)
{
    (void)state;
    /* uint8 and uint16: q * scale + min in double. */
    const uint8_t bytes[] = {0, 1, 2, 3,   128, 255, /* kernel */ 0,
                             0, 1, 0, 255, 255 /* bias, little endian */};
    write_file("a.bin", bytes, sizeof bytes);
    write_model(GROUP(
        "\"a.bin\"",
        WEIGHT("d/kernel", "[2,3]", "float32", QUANTISED("uint8", ",\"scale\":0.1,\"min\":-3.3")) "," WEIGHT(
            "d/bias", "[3]", "float32", QUANTISED("uint16", ",\"scale\":1e-5,\"min\":-0.25"))));
    CHECK_OK(load("."), err);
    for (int i = 0; i < 6; i++)
        assert_true(weight("d/kernel")->data[i] == (float)(bytes[i] * 0.1 + -3.3));
    assert_true(weight("d/bias")->data[1] == (float)(1 * 1e-5 + -0.25));
    assert_true(weight("d/bias")->data[2] == (float)(65535 * 1e-5 + -0.25));
    /* float16 with a denormal; int32 and its quantised form, which is rounded. */
    const uint8_t halves[] = {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b,
                              0x00, 0x80, 0x55, 0x35, 0,    3,    7};
    write_file("a.bin", halves, sizeof halves);
    write_model(
        GROUP("\"a.bin\"", WEIGHT("d/kernel", "[2,3]", "float32", QUANTISED("float16", "")) "," WEIGHT(
                               "d/bias", "[3]", "int32", QUANTISED("uint8", ",\"scale\":0.5,\"min\":-1"))));
    CHECK_OK(load("."), err);
    const float halves_as[6] = {1, -2, 5.9604644775390625e-8f, 65504, -0.0f, 0.333251953125f};
    assert_memory_equal(weight("d/kernel")->data, halves_as, sizeof halves_as);
    assert_true(weight("d/bias")->data[1] == 1 && weight("d/bias")->data[2] == 3); /* 0.5 -> 1, 2.5 -> 3 */
    const int32_t whole[9] = {1, -2, 3, 4, 5, -2147483647 - 1, 7, 8, 9};
    write_file("a.bin", whole, sizeof whole);
    write_model(GROUP("\"a.bin\"",
                      WEIGHT("d/kernel", "[2,3]", "int32", "") "," WEIGHT("d/bias", "[3]", "int32", "")));
    CHECK_OK(load("."), err);
    assert_true(weight("d/kernel")->data[1] == -2 && weight("d/kernel")->data[5] == -2147483648.0f);
}

/* Names: with ":0", behind the model's name, and counters that nothing reads. */
static void test_names(void **state)
{
    (void)state;
    write_floats();
    static const char *const names[][2] = {
        {"d/kernel:0", "d/bias:0"}, {"net/d/kernel", "net/d/bias"}, {"a/b/d/kernel", "d/bias"}};
    for (size_t i = 0; i < 3; i++) {
        char manifest[1024];
        snprintf(
            manifest, sizeof manifest,
            GROUP("\"a.bin\"", WEIGHT("%s", "[2,3]", "float32", "") "," WEIGHT("%s", "[3]", "float32", "")),
            names[i][0], names[i][1]);
        write_model(manifest);
        CHECK_OK(load("."), err);
        assert_memory_equal(weight("d/bias")->data, bias, sizeof bias);
    }
}

/* A nested model's weights under their path, and under the layer's own name. */
static void test_nested_names(void **state)
{
    (void)state;
    static const char *const names[] = {"base/d/kernel", "d/kernel", "net/base/d/kernel"};
    write_file("a.bin", kernel, 4);
    for (size_t i = 0; i < 3; i++) {
        char text[2048];
        snprintf(text, sizeof text,
                 "{\"modelTopology\":{\"class_name\":\"Sequential\",\"config\":{\"name\":\"net\",\"layers\":["
                 "{\"class_name\":"
                 "\"Sequential\",\"config\":{\"name\":\"base\",\"layers\":[{\"class_name\":\"Dense\","
                 "\"config\":{\"name\":\"d\","
                 "\"units\":1,\"use_bias\":false,\"batch_input_shape\":[null,1]}}]}}]}},"
                 "\"weightsManifest\":" GROUP("\"a.bin\"", WEIGHT("%s", "[1,1]", "float32", "")) "}",
                 names[i]);
        write_file("model.json", text, strlen(text));
        CHECK_OK(load("."), err);
        assert_true(weight("base/d/kernel")->data[0] == kernel[0]);
    }
}

static void test_settings(void **state)
{
    (void)state;
    write_floats();
    write_model(GROUP("\"a.bin\"", KERNEL "," BIAS));
    const char *settings =
        "{\"labels\":[\"cat\",\"dog\",\"\xc3\xa9l\xc3\xa9phant\"],\"preprocess\":\"unit\"}";
    write_file("netgaze.json", settings, strlen(settings));
    CHECK_OK(load("."), err);
    assert_int_equal(file.n_labels, 3);
    assert_string_equal(file.labels[1], "dog");
    assert_string_equal(file.preprocess, "unit");
    CHECK_OK(load("model.json"), err); /* in the same folder */
    assert_int_equal(file.n_labels, 3);
    write_file("model.json.netgaze.json", "{\"preprocess\":\"tf\"}", 19); /* the file's own comes first */
    CHECK_OK(load("model.json"), err);
    assert_string_equal(file.preprocess, "tf");
    assert_int_equal(file.n_labels, 0);
    static const char *const bad[][2] = {{"[]", "expected an object"},
                                         {"{\"labels\":3}", "labels"},
                                         {"{\"labels\":[1]}", "label 0 is not a string"},
                                         {"{\"preprocess\":1}", "preprocess"},
                                         {"{\"label\":[]}", "\"label\" is not known"},
                                         {"{", "netgaze.json: line 1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("netgaze.json", bad[i][0], strlen(bad[i][0]));
        CHECK_FAILS(load("."), NG_E_FORMAT, err, bad[i][1]);
    }
}

/* ---- Damage -------------------------------------------------------------------------------------- */

typedef struct damage {
    const char *manifest;
    ng_status status;
    const char *message;
} damage;

#define A "\"a.bin\""

/* a.bin holds the nine floats. */
static const damage damages[] = {
    {"7", NG_E_FORMAT, "no weightsManifest"},
    {"[7]", NG_E_FORMAT, "group 0 of the weightsManifest"},
    {GROUP(A, "7"), NG_E_FORMAT, "no name or no dtype"},
    {GROUP(A, KERNEL), NG_E_FORMAT, "the weight files hold too little for its weight 'bias' of shape [3]"},
    {GROUP(A, KERNEL "," WEIGHT("e/bias", "[3]", "float32", "")), NG_E_FORMAT,
     "weight 'e/bias' of the manifest belongs to no layer"},
    {GROUP(A, KERNEL "," KERNEL "," BIAS), NG_E_FORMAT, "two weights of the manifest stand for d/kernel"},
    {GROUP(A, WEIGHT("d/kernel", "[3,2]", "float32", "") "," BIAS), NG_E_SHAPE,
     "d/kernel: expected [2,3], found [3,2]"},
    {GROUP(A, WEIGHT("d/kernel", "[2,-3]", "float32", "") "," BIAS), NG_E_FORMAT,
     "dimension 1 is not a size"},
    {GROUP(A, WEIGHT("d/kernel", "[1,1,1,1,2,3]", "float32", "") "," BIAS), NG_E_FORMAT,
     "at most 5 dimensions"},
    {GROUP(A, WEIGHT("d/kernel", "[2000000000,2000000000]", "float32", "")), NG_E_LIMIT, "claims more than"},
    {GROUP(A, WEIGHT("d/kernel", "[2147483648,1]", "float32", "") "," BIAS), NG_E_LIMIT,
     "the weightsManifest claims"},
    {GROUP(A, WEIGHT("d/kernel", "[536870912,1]", "float32", "") "," BIAS), NG_E_SHAPE,
     "expected [2,3], found [536870912,1]"},
    {GROUP(A, WEIGHT("d/kernel", "[2,3]", "string", "") "," BIAS), NG_E_UNSUPPORTED, "of type 'string'"},
    {GROUP(A, WEIGHT("d/kernel", "[2,3]", "float32", QUANTISED("uint4", "")) "," BIAS), NG_E_UNSUPPORTED,
     "quantised to 'uint4'"},
    {GROUP(A, WEIGHT("d/kernel", "[2,3]", "float32", QUANTISED("uint8", ",\"scale\":1")) "," BIAS),
     NG_E_FORMAT, "has no scale and min"},
    {GROUP(A,
           WEIGHT("d/kernel", "[2,3]", "float32", QUANTISED("uint8", ",\"scale\":1e39,\"min\":0")) "," BIAS),
     NG_E_FORMAT, "d/kernel: value 2 is infinite"},
    {GROUP(A "," A, KERNEL "," BIAS), NG_E_FORMAT, "hold more bytes than the manifest lists"},
    {GROUP("", KERNEL "," BIAS), NG_E_FORMAT, "weight 'd/kernel' reaches past the end of the shards"},
    {GROUP("\"short.bin\"", KERNEL "," BIAS), NG_E_FORMAT,
     "weight 'd/bias' reaches past the end of the shards"},
    {GROUP("\"gone.bin\"", KERNEL "," BIAS), NG_E_NOT_FOUND, "gone.bin"},
    {GROUP("\".\"", KERNEL "," BIAS), NG_E_IO, "is a directory"},
    {GROUP("\"../a.bin\"", KERNEL "," BIAS), NG_E_FORMAT,
     "shard path '../a.bin' does not stay in the model's folder"},
    {GROUP("\"/etc/passwd\"", KERNEL "," BIAS), NG_E_FORMAT, "does not stay in the model's folder"},
    {GROUP("\"x/../../a.bin\"", KERNEL "," BIAS), NG_E_FORMAT, "does not stay in the model's folder"},
    {GROUP("7", KERNEL "," BIAS), NG_E_FORMAT, "shard path '(not a string)'"},
    {GROUP("\"nan.bin\"", KERNEL "," BIAS), NG_E_FORMAT, "d/bias: value 1 is NaN"},
};

static void test_damage(void **state)
{
    (void)state;
    float all[9] = {0};
    write_floats();
    write_file("short.bin", all, 35);
    all[7] = NAN;
    write_file("nan.bin", all, 36);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        write_model(damages[i].manifest);
        ng_status status = load(".");
        if (status != damages[i].status || !strstr(err.text, damages[i].message) || !strstr(err.text, folder))
            fail_msg("%s\nexpected %s with '%s'\nfound %s: %s", damages[i].manifest,
                     ng_status_name(damages[i].status), damages[i].message, ng_status_name(status), err.text);
        assert_null(file.graph);
    }
}

/* Files that are no model at all. */
static void test_other_files(void **state)
{
    (void)state;
    CHECK_FAILS(load("."), NG_E_FORMAT, err, "without a model.json");
    CHECK_FAILS(load("gone"), NG_E_NOT_FOUND, err, "gone: no such file or folder");
    write_file("empty", "", 0);
    CHECK_FAILS(load("empty"), NG_E_FORMAT, err, "the file is empty (0 bytes)");
    write_file("text", "hello", 5);
    CHECK_FAILS(load("text"), NG_E_FORMAT, err, "not a model");
    static const char *const texts[][2] = {
        {"{\"format\":\"graph-model\",\"modelTopology\":{\"node\":[]}}", "graph model"},
        {"{\"modelTopology\":{\"node\":[]}}", "graph model"},
        {"{\"class_name\":\"Model\",\"config\":{}}", "a Keras configuration without weights"},
        {"{}", "modelTopology is missing"},
        {"{\"modelTopology\":{\"model_config\":3}}", "no model configuration"},
        {"{\"a\":1", "line 1"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_file("m.json", texts[i][0], strlen(texts[i][0]));
        ng_status status = load("m.json");
        if (status == NG_OK || !strstr(err.text, texts[i][1]))
            fail_msg("%s: expected '%s', found '%s'", texts[i][0], texts[i][1], err.text);
    }
    write_file("saved_model.pb", "x", 1);
    CHECK_FAILS(load("."), NG_E_UNSUPPORTED, err, "without Keras's layers (no keras_metadata.pb)");
    write_file("keras_metadata.pb", "x", 1);
    CHECK_FAILS(load("."), NG_E_UNSUPPORTED, err, "tf_keras.models.load_model('DIR').save('model.h5')");
    write_file("net.ONNX", "\x08\x08", 2);
    CHECK_FAILS(load("net.ONNX"), NG_E_UNSUPPORTED, err, "net.ONNX: an ONNX model, which is not read");
    write_file("empty.onnx", "", 0);
    CHECK_FAILS(load("empty.onnx"), NG_E_FORMAT, err, "the file is empty (0 bytes)");
}

/* Every byte of model.json changed in turn: a model or an error, never a crash. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    write_floats();
    write_model(GROUP("\"a.bin\"", KERNEL "," BIAS));
    char *path = ngi_path_join(folder, "model.json"), *text;
    size_t size;
    CHECK_OK(ngi_file_read(path, 1 << 20, &text, &size, &err), err);
    ngi_free(path);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            text[i] ^= (char)(1 << bit);
            FILE *f = fopen((path = ngi_path_join(folder, "m.json")), "wb");
            fwrite(text, 1, size, f);
            fclose(f);
            ngi_free(path);
            text[i] ^= (char)(1 << bit);
            if (load("m.json") != NG_OK)
                assert_true(err.text[0] != '\0');
        }
    ngi_free(text);
}

static void test_allocation_failure(void **state)
{
    (void)state;
    write_floats();
    write_model(GROUP("\"a.bin\"", KERNEL "," BIAS));
    write_file("netgaze.json", "{\"labels\":[\"a\",\"b\",\"c\"]}", 24);
    ng_status status = NG_E_MEMORY;
    int k = 0;
    char *path = ngi_path_join(folder, "model.json");
    while (status == NG_E_MEMORY && k < 10000) {
        ngi_model_file_clear(&file);
        ngi_alloc_fail_at(++k);
        status = ngi_model_file_load(path, NULL, &file, &err);
    }
    ngi_alloc_fail_at(0);
    ngi_free(path);
    CHECK_OK(status, err);
    assert_true(k > 20);
    assert_int_equal(file.n_labels, 3); /* nothing was left out silently */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(test_floats),        TEST(test_shards),
        TEST(test_storage),       TEST(test_names),
        TEST(test_nested_names),  TEST(test_settings),
        TEST(test_damage),        TEST(test_other_files),
        TEST(test_flipped_bytes), TEST(test_allocation_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
