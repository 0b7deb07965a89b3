/* Builders, shape inference with its refusals, queries, preprocessing. */
#include "check.h"

#include "nn/preprocess.h"

static ngi_graph *g;
static ng_error err;

static int new_graph(void **state)
{
    (void)state;
    return ngi_graph_create(&g, &err) != NG_OK;
}

static int drop_graph(void **state)
{
    (void)state;
    ngi_graph_free(g);
    return 0;
}

static int layer(const char *name)
{
    int index;
    CHECK_OK(ngi_graph_add_layer(g, name, "Layer", true, &index, &err), err);
    return index;
}

static int weight(const char *name, ngi_shape shape)
{
    int index;
    CHECK_OK(ngi_graph_add_weight(g, name, &shape, true, NULL, &index, &err), err);
    return index;
}

static int node_of(const char *name, ngi_op op, const ngi_attr *attr, int in, int kernel, int bias)
{
    int index, owner = layer(name), weights[NGI_NODE_WEIGHTS] = {kernel, bias, -1, -1};
    CHECK_OK(ngi_graph_add_node(g, name, op, attr, owner, &in, in >= 0, weights, &index, &err), err);
    g->layers[owner].node = index;
    return index;
}

static int input(int64_t h, int64_t w, int64_t c)
{
    ngi_attr a;
    ngi_attr_init(&a);
    int index = node_of("input", NGI_OP_INPUT, &a, -1, -1, -1);
    g->nodes[index].shape = ngi_shape_of(3, h, w, c);
    g->inputs = ngi_alloc(1, sizeof *g->inputs);
    g->inputs[0] = index;
    g->n_inputs = 1;
    return index;
}

static void output(int node)
{
    g->outputs = ngi_alloc(1, sizeof *g->outputs);
    g->outputs[0] = node;
    g->n_outputs = 1;
}

static void same_padding_is_tensorflows(void **state)
{
    (void)state;
    const int cases[][6] = {/* n, kernel, stride, dilation, before, after */
                            {5, 3, 1, 1, 1, 1}, {6, 3, 2, 1, 0, 1}, {5, 3, 2, 1, 1, 1}, {299, 3, 2, 1, 1, 1},
                            {4, 2, 1, 1, 0, 1}, {7, 3, 1, 2, 2, 2}, {8, 1, 2, 1, 0, 0}, {9, 7, 1, 1, 3, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int before, after;
        ngi_same_padding(cases[i][0], cases[i][1], cases[i][2], cases[i][3], &before, &after);
        assert_int_equal(before, cases[i][4]);
        assert_int_equal(after, cases[i][5]);
    }
}

static void a_small_net_is_inferred_and_queried(void **state)
{
    (void)state;
    ngi_attr a;
    ngi_attr_init(&a);
    int in = input(21, 33, 3);
    a.kernel_h = a.kernel_w = 3;
    a.stride_h = a.stride_w = 2;
    a.same = true;
    int conv =
        node_of("base/conv", NGI_OP_CONV2D, &a, in,
                weight("base/conv/kernel", ngi_shape_of(4, (int64_t)3, (int64_t)3, (int64_t)3, (int64_t)8)),
                weight("base/conv/bias", ngi_shape_of(1, (int64_t)8)));
    ngi_attr_init(&a);
    int drop = node_of("drop", NGI_OP_IDENTITY, &a, conv, -1, -1);
    int gap = node_of("gap", NGI_OP_GLOBAL_AVG, &a, drop, -1, -1);
    int dense = node_of("dense", NGI_OP_DENSE, &a, gap,
                        weight("dense/kernel", ngi_shape_of(2, (int64_t)8, (int64_t)4)), -1);
    int softmax = node_of("softmax", NGI_OP_SOFTMAX, &a, dense, -1, -1);
    int loose = node_of("loose", NGI_OP_IDENTITY, &a, conv, -1, -1);
    output(softmax);
    CHECK_OK(ngi_graph_infer(g, &err), err);
    ngi_shape expected = ngi_shape_of(3, (int64_t)11, (int64_t)17, (int64_t)8);
    assert_true(ngi_shape_equal(&g->nodes[conv].shape, &expected));
    assert_int_equal(g->nodes[conv].attr.pad.top, 1);
    assert_int_equal(g->nodes[conv].attr.pad.left, 1);
    assert_false(g->nodes[loose].feeds_output);
    assert_true(ngi_graph_reaches(g, conv, softmax));
    assert_false(ngi_graph_reaches(g, loose, softmax));
    double y, x;
    ngi_graph_stride(g, drop, &y, &x);
    CHECK_NEAR(y, 2, 0);
    ngi_graph_stride(g, gap, &y, &x);
    CHECK_NEAR(y, 0, 0);
    ngi_activation act;
    bool is_softmax;
    assert_int_equal(ngi_graph_logits(g, &act, &is_softmax), dense);
    assert_true(is_softmax);
    assert_int_equal(ngi_graph_automatic_layer(g), g->nodes[conv].layer); /* not the dropout after it */
    assert_true(ngi_graph_is_candidate(g, g->nodes[conv].layer));
    assert_false(ngi_graph_is_candidate(g, g->nodes[in].layer));
    assert_false(ngi_graph_is_candidate(g, g->nodes[gap].layer));
    assert_false(ngi_graph_is_candidate(g, g->nodes[loose].layer));
}

/* One op on [6,8,4] with a broken attribute or weight: refused with these words. */
static void bad_shapes_are_refused(void **state)
{
    (void)state;
    ngi_attr plain, a;
    ngi_attr_init(&plain);
    int in = input(6, 8, 4), w;
    w = weight("k", ngi_shape_of(4, (int64_t)3, (int64_t)3, (int64_t)5, (int64_t)2));
    a = plain;
    a.kernel_h = a.kernel_w = 3;
    CHECK_FAILS(ngi_node_infer(g, node_of("conv", NGI_OP_CONV2D, &a, in, w, -1), &err), NG_E_SHAPE, err,
                "k: expected [3,3,4,2], found [3,3,5,2]");
    a.kernel_h = 9;
    CHECK_FAILS(ngi_node_infer(g, node_of("tall", NGI_OP_MAX_POOL, &a, in, -1, -1), &err), NG_E_SHAPE, err,
                "give a larger input size");
    a = plain;
    a.stride_h = 0;
    CHECK_FAILS(ngi_node_infer(g, node_of("still", NGI_OP_MAX_POOL, &a, in, -1, -1), &err), NG_E_SHAPE, err,
                "stride is 0");
    a = plain;
    a.target = ngi_shape_of(2, (int64_t)7, (int64_t)-1);
    CHECK_FAILS(ngi_node_infer(g, node_of("reshape", NGI_OP_RESHAPE, &a, in, -1, -1), &err), NG_E_SHAPE, err,
                "does not reshape");
    a = plain;
    a.permutation[0] = 1;
    CHECK_FAILS(ngi_node_infer(g, node_of("permute", NGI_OP_PERMUTE, &a, in, -1, -1), &err), NG_E_SHAPE, err,
                "not a permutation");
    a = plain;
    a.pad = (ngi_pad){3, 3, 0, 0};
    CHECK_FAILS(ngi_node_infer(g, node_of("crop", NGI_OP_CROP, &a, in, -1, -1), &err), NG_E_SHAPE, err,
                "nothing is left");
    a = plain;
    a.begin[0] = 6;
    CHECK_FAILS(ngi_node_infer(g, node_of("slice", NGI_OP_SLICE, &a, in, -1, -1), &err), NG_E_SHAPE, err,
                "slice start");
    a = plain;
    a.axis = 3;
    CHECK_FAILS(ngi_node_infer(g, node_of("axis", NGI_OP_SOFTMAX, &a, in, -1, -1), &err), NG_E_SHAPE, err,
                "axis is 3");
    CHECK_FAILS(ngi_node_infer(g, node_of("bn", NGI_OP_BATCHNORM, &plain, in, -1, -1), &err), NG_E_SHAPE, err,
                "missing");
    CHECK_FAILS(ngi_node_infer(g, node_of("sub", NGI_OP_SUBTRACT, &plain, in, -1, -1), &err), NG_E_SHAPE, err,
                "inputs");
    int late = g->n_nodes + 5, out;
    CHECK_FAILS(ngi_graph_add_node(g, "loop", NGI_OP_IDENTITY, &plain, 0, &late, 1, NULL, &out, &err),
                NG_E_FORMAT, err, "cycle");
}

static void slices_and_broadcasts_follow_numpy(void **state)
{
    (void)state;
    ngi_attr a;
    ngi_attr_init(&a);
    int in = input(6, 8, 4), pair[2], out;
    a.begin[2] = 3;
    a.step[2] = -1;
    int flip = node_of("flip", NGI_OP_SLICE, &a, in, -1, -1);
    CHECK_OK(ngi_graph_infer(g, &err), err);
    assert_int_equal(g->nodes[flip].shape.dim[2], 4);
    ngi_attr_init(&a);
    a.keepdims = true;
    pair[0] = node_of("gap", NGI_OP_GLOBAL_AVG, &a, in, -1, -1);
    pair[1] = in;
    CHECK_OK(ngi_graph_add_node(g, "scale", NGI_OP_MULTIPLY, &a, 0, pair, 2, NULL, &out, &err), err);
    CHECK_OK(ngi_graph_infer(g, &err), err);
    assert_int_equal(g->nodes[out].shape.dim[1], 8);
}

static void preprocessing_equals_kerass(void **state)
{
    (void)state;
    const uint8_t pixels[6] = {0, 128, 255, 17, 99, 201};
    /* keras.applications.imagenet_utils.preprocess_input of the same pixels, float32 */
    const float expected[][6] = {
        {-1, 0.003921628f, 1, -0.866666675f, -0.223529398f, 0.576470613f},
        {-2.11790395f, 0.205182195f, 2.6400001f, -1.82678318f, -0.302520961f, 1.69882369f},
        {151.061005f, 11.2210007f, -123.680000f, 97.060997f, -17.7789993f, -106.680000f},
        {0, 0.501960814f, 1, 0.0666666701f, 0.388235301f, 0.788235307f},
        {0, 128, 255, 17, 99, 201},
    };
    float out[6];
    for (int mode = 0; mode < NGI_PREPROCESS_COUNT; mode++) {
        CHECK_OK(ngi_preprocess_apply((ngi_preprocess)mode, pixels, 2, 3, out, &err), err);
        for (int i = 0; i < 6; i++)
            CHECK_NEAR(out[i], expected[mode][i], 3e-7 * fmax(1, fabsf(expected[mode][i])));
    }
    CHECK_FAILS(ngi_preprocess_apply(NGI_PREPROCESS_CAFFE, pixels, 6, 1, out, &err), NG_E_ARGUMENT, err,
                "three channels");
    ngi_preprocess mode;
    assert_true(ngi_preprocess_of_architecture("inception_v3", &mode));
    assert_int_equal(mode, NGI_PREPROCESS_TF);
    assert_true(ngi_preprocess_of_architecture("ResNet50", &mode));
    assert_int_equal(mode, NGI_PREPROCESS_CAFFE);
    assert_true(ngi_preprocess_of_architecture("resnet50v2", &mode));
    assert_int_equal(mode, NGI_PREPROCESS_TF);
    assert_false(ngi_preprocess_of_architecture("my_net", &mode));
}

static void the_effective_range_follows_the_graph(void **state)
{
    (void)state;
    ngi_attr a;
    ngi_attr_init(&a);
    int in = input(4, 4, 3),
        w[NGI_NODE_WEIGHTS] = {weight("scale", ngi_shape_of(1, (int64_t)1)),
                               weight("offset", ngi_shape_of(1, (int64_t)1)), -1, -1},
        out;
    g->weights[w[0]].data[0] = 1 / 127.5f;
    g->weights[w[1]].data[0] = -1;
    assert_false(ngi_graph_has_preprocessing(g));
    CHECK_OK(ngi_graph_add_node(g, "rescaling", NGI_OP_AFFINE, &a, layer("rescaling"), &in, 1, w, &out, &err),
             err);
    node_of("unused", NGI_OP_IDENTITY, &a, in, -1, -1); /* feeds nothing: does not hide the rescaling */
    output(out);
    CHECK_OK(ngi_graph_infer(g, &err), err);
    assert_true(ngi_graph_has_preprocessing(g));
    float low, high;
    ngi_preprocess_range(g, NGI_PREPROCESS_RAW, &low, &high);
    CHECK_NEAR(low, -1, 1e-6);
    CHECK_NEAR(high, 1, 1e-6);
    ngi_preprocess_range(g, NGI_PREPROCESS_TF, &low, &high); /* doubled by mistake: the range gives it away */
    CHECK_NEAR(high, -0.992156863, 1e-6);
}

/* x * gate, where the gate comes from a second input that is given: only what the image leads to can be explained. */
static void a_fixed_input_is_a_constant(void **state)
{
    (void)state;
    ngi_attr a;
    ngi_attr_init(&a);
    int image = input(6, 8, 2), index, product, owner = layer("other");
    CHECK_OK(ngi_graph_add_node(g, "other", NGI_OP_INPUT, &a, owner, NULL, 0, NULL, &index, &err), err);
    g->layers[owner].node = index;
    g->nodes[index].shape = ngi_shape_of(3, (int64_t)3, (int64_t)4, (int64_t)2);
    a.scale_h = a.scale_w = 2;
    int large = node_of("large", NGI_OP_UPSAMPLE, &a, index, -1, -1);
    ngi_attr_init(&a);
    CHECK_OK(ngi_graph_add_node(g, "product", NGI_OP_MULTIPLY, &a, layer("product"), (int[]){large, image}, 2,
                                NULL, &product, &err),
             err);
    g->layers[g->nodes[product].layer].node = product;
    output(product);
    CHECK_OK(ngi_graph_infer(g, &err), err);
    assert_true(ngi_graph_is_candidate(g, g->nodes[large].layer));
    float values[24];
    for (int i = 0; i < 24; i++)
        values[i] = (float)i;
    CHECK_OK(ngi_graph_fix_input(g, index, values, &err), err);
    CHECK_OK(ngi_graph_infer(g, &err), err);
    assert_int_equal(g->nodes[index].op, NGI_OP_CONSTANT);
    assert_memory_equal(g->weights[g->nodes[index].weights[0]].data, values, sizeof values);
    assert_true(g->nodes[product].from_input && g->nodes[large].feeds_output);
    assert_false(g->nodes[large].from_input);
    assert_false(ngi_graph_is_candidate(g, g->nodes[large].layer));
    assert_int_equal(ngi_graph_automatic_layer(g), g->nodes[product].layer);
    double y, x;
    ngi_graph_stride(g, product, &y, &x); /* the image's way, though the other input is the first */
    CHECK_NEAR(y, 1, 0);
    ngi_graph_stride(g, large, &y, &x);
    CHECK_NEAR(y, 0, 0);
    g->nodes[index].weights[0] = -1;
    assert_int_equal(ngi_graph_infer(g, &err), NG_E_SHAPE);
    assert_non_null(strstr(err.text, "other: a constant without a value"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, new_graph, drop_graph)
    const struct CMUnitTest tests[] = {
        TEST(same_padding_is_tensorflows), TEST(a_small_net_is_inferred_and_queried),
        TEST(bad_shapes_are_refused),      TEST(slices_and_broadcasts_follow_numpy),
        TEST(preprocessing_equals_kerass), TEST(the_effective_range_follows_the_graph),
        TEST(a_fixed_input_is_a_constant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
