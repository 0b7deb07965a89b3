/* Models and weight files that five Keras versions saved: every weight must stand where its name says. Then
 * the built-in InceptionV3. */
#include "known_weights.h"

#include "format/h5.h"

#define FIXTURE(name) NETGAZE_FIXTURES "/h5/" name

static ng_error err;

/* Loads a model, with the weights of another file where one is given, and checks all its numbers. */
static void check_model(const char *path, const char *weights, const char *format, const char *producer,
                        int n_weights, uint32_t span)
{
    ngi_load_opts opts = {.weights = weights};
    ngi_model_file f;
    CHECK_OK(ngi_model_file_load(path, &opts, &f, &err), err);
    assert_string_equal(f.format, format);
    assert_string_equal(f.producer, producer);
    assert_int_equal(f.graph->n_weights, n_weights);
    assert_int_equal(strlen(f.hash), 32);
    check_known_weights(f.graph, span);
    ngi_model_file_clear(&f);
}

static void test_whole_models(void **state)
{
    (void)state;
    check_model(FIXTURE("keras-2.2.4-nested.h5"), NULL, "h5", "Keras 2.2.4", 27, 1000);
    check_model(FIXTURE("keras-2.2.4-flat.h5"), NULL, "h5", "Keras 2.2.4", 10, 1000);
    check_model(FIXTURE("tf_keras-2.12.0-sequential.h5"), NULL, "h5", "Keras 2.12.0", 19, 1000);
    check_model(FIXTURE("tf_keras-2.21.0-nested.h5"), NULL, "h5", "Keras 2.21.0", 27, 1000);
    check_model(FIXTURE("keras-3.15.1-sequential.h5"), NULL, "h5", "Keras 3.15.1", 19, 1000);
}

static void test_archives(void **state)
{
    (void)state;
    check_model(FIXTURE("tf_keras-2.21.0-nested.keras"), NULL, "keras", "Keras 2.21.0", 27, 1000);
    check_model(FIXTURE("keras-3.3.3-sequential.keras"), NULL, "keras", "Keras 3.3.3", 19, 1000);
    check_model(FIXTURE("keras-3.15.1-nested.keras"), NULL, "keras", "Keras 3.15.1", 27, 1000);
}

static void test_weight_types(void **state)
{
    (void)state;
    check_model(FIXTURE("keras-3.15.1-type-bfloat16.h5"), NULL, "h5", "Keras 3.15.1", 4, 128);
    check_model(FIXTURE("keras-3.15.1-type-bfloat16.keras"), NULL, "keras", "Keras 3.15.1", 4, 128);
    check_model(FIXTURE("keras-3.15.1-type-float16.keras"), NULL, "keras", "Keras 3.15.1", 4, 128);
    check_model(FIXTURE("keras-3.15.1-type-float64.keras"), NULL, "keras", "Keras 3.15.1", 4, 128);
}

static void test_weight_files(void **state)
{
    (void)state;
    /* save_weights of Keras 2; a .weights.h5 of Keras 2.12 (layers counted twice) and of Keras 3 */
    check_model(FIXTURE("keras-2.2.4-nested.h5"), FIXTURE("keras-2.2.4-nested-weights.h5"), "h5",
                "Keras 2.2.4", 27, 1000);
    check_model(FIXTURE("tf_keras-2.12.0-sequential.h5"), FIXTURE("tf_keras-2.12.0-sequential.weights.h5"),
                "h5", "Keras 2.12.0", 19, 1000);
    check_model(FIXTURE("keras-3.3.3-sequential.keras"), FIXTURE("keras-3.3.3-sequential.weights.h5"),
                "keras", "Keras 3.3.3", 19, 1000);
    /* another version's layout, a whole model and an archive, as weights of the same model */
    check_model(FIXTURE("keras-3.15.1-sequential.h5"), FIXTURE("keras-3.3.3-sequential.weights.h5"), "h5",
                "Keras 3.15.1", 19, 1000);
    check_model(FIXTURE("keras-3.15.1-nested.keras"), FIXTURE("tf_keras-2.21.0-nested.h5"), "keras",
                "Keras 3.15.1", 27, 1000);
    check_model(FIXTURE("tf_keras-2.21.0-nested.h5"), FIXTURE("tf_keras-2.21.0-nested.keras"), "h5",
                "Keras 2.21.0", 27, 1000);
}

/* The weights' automatic names are other ones, and partly those of other layers: the order decides, as in
 * Keras. */
static void test_weights_by_order(void **state)
{
    (void)state;
    check_model(FIXTURE("keras-2.2.4-flat.h5"), FIXTURE("keras-2.2.4-flat-shifted.h5"), "h5", "Keras 2.2.4",
                10, 1000);
}

static void test_wrong_weight_files(void **state)
{
    (void)state;
    static const struct {
        const char *model, *weights;
        ng_status status;
        const char *fragment;
    } rows[] = {
        {FIXTURE("keras-2.2.4-flat.h5"), FIXTURE("keras-2.2.4-nested-weights.h5"), NG_E_SHAPE,
         "expected 5 layers with weights, found 3"},
        {FIXTURE("keras-3.15.1-nested.keras"), FIXTURE("keras-3.3.3-sequential.weights.h5"), NG_E_NOT_FOUND,
         "inner/conv2d_2/kernel: "},
        {FIXTURE("keras-3.3.3-sequential.keras"), FIXTURE("keras-3.15.1-type-float16.keras"), NG_E_NOT_FOUND,
         "/vars/0' is missing"},
        {FIXTURE("keras-3.15.1-type-float16.keras"), FIXTURE("keras-3.15.1-nested.keras"), NG_E_NOT_FOUND,
         "conv2d/kernel: the weight 'layers/conv2d/vars/0' is missing"},
        {FIXTURE("keras-2.2.4-flat.h5"), FIXTURE("nothing.h5"), NG_E_NOT_FOUND, "nothing.h5: No such file"},
        {FIXTURE("keras-2.2.4-flat.h5"), FIXTURE("a.weights.json"), NG_E_UNSUPPORTED, "shards"},
        {FIXTURE("keras-3.3.3-sequential.weights.h5"), NULL, NG_E_FORMAT, "--model inception_v3 --weights"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ngi_load_opts opts = {.weights = rows[i].weights};
        ngi_model_file f;
        CHECK_FAILS(ngi_model_file_load(rows[i].model, &opts, &f, &err), rows[i].status, err,
                    rows[i].fragment);
        assert_null(f.graph);
    }
}

/* Layers of a model that an unknown layer of the file stands beside. */
static void test_surplus_layer(void **state)
{
    (void)state;
    ngi_h5 *h;
    ngi_graph *g;
    ngi_keras_layer *root;
    CHECK_OK(ngi_h5_open(FIXTURE("keras-3.3.3-sequential.weights.h5"), &h, &err), err);
    static const char pool_only[] =
        "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":[{\"class_name\":"
        "\"GlobalAveragePooling2D\",\"config\":{\"name\":\"p\",\"batch_input_shape\":"
        "[null,4,4,6]}}]}}";
    CHECK_OK(ngi_keras_build("text", pool_only, strlen(pool_only), NULL, &g, &root, &err), err);
    CHECK_FAILS(ngi_h5_bind(h, g, root, &err), NG_E_SHAPE, err, "'layers/dense' holds weights of a layer");
    ngi_keras_layer_free(root);
    ngi_graph_free(g);
    ngi_h5_close(h);
}

/* ---- InceptionV3 ------------------------------------------------------------------------------- */

static ngi_graph *build_inception(int classes, int side)
{
    ngi_buffer config = {0};
    ngi_graph *g;
    ngi_keras_layer *root;
    CHECK_OK(ngi_inception_v3_config(classes, side, side, &config, &err), err);
    CHECK_OK(ngi_keras_build("inception_v3", config.data, config.size, NULL, &g, &root, &err), err);
    ngi_keras_layer_free(root);
    ngi_buffer_clear(&config);
    return g;
}

static int64_t count_parameters(const ngi_graph *g)
{
    int64_t n = 0;
    for (int i = 0; i < g->n_weights; i++)
        n += ngi_shape_count(&g->weights[i].shape);
    return n;
}

/* Names and order of Keras, on which reading weights by order rests; its parameter counts. */
static void test_inception_v3(void **state)
{
    (void)state;
    char *names, *rest;
    size_t size;
    CHECK_OK(ngi_file_read(FIXTURE("inception_v3-layers.txt"), 1 << 20, &names, &size, &err), err);
    ngi_graph *g = build_inception(1000, 299);
    assert_int_equal(g->n_layers, 313);
    char *name = strtok_r(names, "\n", &rest);
    for (int i = 0; i < g->n_layers; i++, name = strtok_r(NULL, "\n", &rest)) {
        assert_non_null(name);
        assert_string_equal(g->layers[i].name, name);
    }
    assert_null(name);
    assert_int_equal(count_parameters(g), 23851784);
    ngi_graph_free(g);
    ngi_free(names);
}

static void test_inception_v3_without_top(void **state)
{
    (void)state;
    ngi_graph *g = build_inception(0, 75);
    assert_int_equal(g->n_layers, 311);
    assert_int_equal(count_parameters(g), 21802784);
    ngi_shape expected = ngi_shape_of(3, (int64_t)1, (int64_t)1, (int64_t)2048);
    assert_true(ngi_shape_equal(&g->nodes[g->outputs[0]].shape, &expected));
    ngi_graph_free(g);
}

static void test_inception_v3_weights(void **state)
{
    (void)state;
    char *folder = make_folder();
    ngi_model_file f;
    setenv("KERAS_HOME", folder, 1);
    CHECK_FAILS(ngi_model_file_load("inception_v3", NULL, &f, &err), NG_E_NOT_FOUND, err,
                "looked for inception_v3_weights_tf_dim_ordering_tf_kernels.h5 and");
    assert_non_null(strstr(err.text, folder));
    assert_non_null(strstr(err.text, "--weights"));
    unsetenv("KERAS_HOME");
    setenv("HOME", folder, 1);
    CHECK_FAILS(ngi_model_file_load("inception_v3", NULL, &f, &err), NG_E_NOT_FOUND, err, "/.keras/models");
    ngi_load_opts opts = {.weights = FIXTURE("keras-2.2.4-flat.h5")};
    CHECK_FAILS(ngi_model_file_load("inception_v3", &opts, &f, &err), NG_E_SHAPE, err,
                "expected 189 layers with weights, found 5");
    opts.input_height = opts.input_width = 74;
    CHECK_FAILS(ngi_model_file_load("inception_v3", &opts, &f, &err), NG_E_ARGUMENT, err, "at least 75 x 75");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_models),
        cmocka_unit_test(test_archives),
        cmocka_unit_test(test_weight_types),
        cmocka_unit_test(test_weight_files),
        cmocka_unit_test(test_weights_by_order),
        cmocka_unit_test(test_wrong_weight_files),
        cmocka_unit_test(test_surplus_layer),
        cmocka_unit_test(test_inception_v3),
        cmocka_unit_test(test_inception_v3_without_top),
        cmocka_unit_test(test_inception_v3_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
