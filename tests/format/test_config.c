/* Keras configurations to graphs: files that Keras 3.15 and tf-keras wrote (fixtures/config, made by make_configs.py), what
 * the lowering of operators and nested models yields, and a table of refusals with their messages. */
#include "check.h"

#include "format/keras_config.h"

static ng_error err;
static ngi_graph *g;
static ngi_keras_layer *root;

static int clear(void **state)
{
    (void)state;
    ngi_graph_free(g);
    ngi_keras_layer_free(root);
    g = NULL;
    root = NULL;
    return 0;
}

static ng_status build_text(const char *text, const ngi_load_opts *opts)
{
    clear(NULL);
    return ngi_keras_build("m.json", text, strlen(text), opts, &g, &root, &err);
}

static void build_file(const char *name)
{
    char path[4096], *text;
    size_t size;
    clear(NULL);
    snprintf(path, sizeof path, "%s/config/%s", NETGAZE_FIXTURES, name);
    CHECK_OK(ngi_file_read(path, 1 << 20, &text, &size, &err), err);
    ng_status status = ngi_keras_build(name, text, size, NULL, &g, &root, &err);
    ngi_free(text);
    if (status != NG_OK)
        fail_msg("%s", err.text);
}

static int find_layer(const char *path)
{
    for (int i = 0; i < g->n_layers; i++)
        if (strcmp(g->layers[i].name, path) == 0)
            return i;
    fail_msg("no layer '%s'", path);
    return -1;
}

static const ngi_node *find_node(const char *name)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (strcmp(g->nodes[i].name, name) == 0)
            return &g->nodes[i];
    fail_msg("no node '%s'", name);
    return NULL;
}

static const ngi_weight *weight_of(const ngi_node *n, int slot)
{
    if (n->weights[slot] < 0)
        fail_msg("%s has no weight %d", n->name, slot);
    return &g->weights[n->weights[slot]];
}

/* ---- Files ------------------------------------------------------------------------------------- */

typedef struct file_row {
    const char *name;
    int64_t parameters;
    ngi_shape output;
} file_row;

/* What make_configs.py prints: Keras's own counts and shapes; `plain` without Normalization's counter. */
static const file_row files[] = {
    {"weighted_k3.json", 1528, {1, {3}}},
    {"plain_k3.json", 6, {1, {12}}},
    {"nested_k3.json", 146, {1, {2}}},
    {"shared_k3.json", 470, {1, {2}}},
    {"several_k3.json", 45, {1, {2}}},
    {"sequential_shape_k3.json", 402, {1, {2}}},
    {"sequential_built_k3.json", 402, {1, {2}}},
    {"sequential_base_k3.json", 117, {1, {1}}},
    {"operators_k3.json", 0, {1, {2}}},
    {"activations_k3.json", 0, {3, {4, 4, 2}}},
    {"preprocess_tf_k3.json", 56, {1, {2}}},
    {"preprocess_torch_k3.json", 56, {1, {2}}},
    {"preprocess_caffe_k3.json", 56, {1, {2}}},
    {"weighted_k2.json", 1528, {1, {3}}},
    {"plain_k2.json", 6, {1, {12}}},
    {"nested_k2.json", 146, {1, {2}}},
    {"shared_k2.json", 470, {1, {2}}},
    {"several_k2.json", 45, {1, {2}}},
    {"sequential_shape_k2.json", 402, {1, {2}}},
    {"sequential_built_k2.json", 402, {1, {2}}},
    {"sequential_base_k2.json", 117, {1, {1}}},
    {"operators_k2.json", 0, {1, {2}}},
    {"activations_k2.json", 0, {3, {4, 4, 2}}},
    {"preprocess_tf_k2.json", 56, {1, {2}}},
    {"preprocess_torch_k2.json", 56, {1, {2}}},
    {"preprocess_caffe_k2.json", 56, {1, {2}}},
};

static int tree_weights(const ngi_keras_layer *l)
{
    int sum = l->n_weights;
    for (int i = 0; i < l->n_children; i++)
        sum += tree_weights(&l->children[i]);
    return sum;
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char a[NGI_SHAPE_TEXT], b[NGI_SHAPE_TEXT];
        int64_t parameters = 0;
        int real = 0;
        build_file(files[i].name);
        for (int w = 0; w < g->n_weights; w++)
            if (!g->weights[w].constant) {
                parameters += ngi_shape_count(&g->weights[w].shape);
                real++;
            }
        const ngi_shape *out = &g->nodes[g->outputs[0]].shape;
        if (parameters != files[i].parameters || !ngi_shape_equal(out, &files[i].output))
            fail_msg("%s: %lld parameters, output %s; Keras has %lld and %s", files[i].name,
                     (long long)parameters, ngi_shape_text(out, a), (long long)files[i].parameters,
                     ngi_shape_text(&files[i].output, b));
        assert_int_equal(tree_weights(root), real); /* every weight hangs in the tree once */
        for (int l = 0; l < g->n_layers; l++)
            assert_true(g->layers[l].node >= 0);
    }
}

/* ---- Models in models, shared layers ------------------------------------------------------------ */

static void check_nested(const char *file)
{
    build_file(file);
    const ngi_node *first = find_node("middle/inner/conv"), *second = find_node("middle/inner/conv:1");
    assert_memory_equal(first->weights, second->weights, sizeof first->weights);
    assert_string_equal(weight_of(first, 0)->name, "middle/inner/conv/kernel");
    assert_false(weight_of(first, 0)->trainable); /* the model around it is frozen */
    assert_true(weight_of(find_node("top/logits"), 0)->trainable);
    assert_false(g->layers[find_layer("middle")].trainable);
    /* A model's node is its first output of its first call; its input is what was passed in. */
    assert_ptr_equal(&g->nodes[g->layers[find_layer("middle")].node], find_node("middle/sum"));
    assert_ptr_equal(&g->nodes[g->layers[find_layer("middle/inner")].node], first);
    assert_ptr_equal(&g->nodes[g->layers[find_layer("middle/inner/in")].node], find_node("outer_in"));
    assert_ptr_equal(&g->nodes[second->inputs[0]], find_node("negative"));
    const ngi_node *sum = find_node("middle/sum");
    assert_ptr_equal(&g->nodes[sum->inputs[0]], first); /* both outputs of the inner model */
    assert_ptr_equal(&g->nodes[sum->inputs[1]], find_node("middle/inner/bn"));
}

static void test_nested(void **state)
{
    (void)state;
    check_nested("nested_k3.json");
    assert_int_equal(root->n_children, 5);
    const ngi_keras_layer *inner = &root->children[2].children[1];
    assert_string_equal(inner->name, "inner");
    assert_int_equal(inner->children[1].n_weights, 2);
    assert_int_equal(inner->children[2].n_weights, 4);
    assert_string_equal(g->weights[inner->children[2].first_weight].name, "middle/inner/bn/gamma");
    check_nested("nested_k2.json");
}

static void test_shared(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        build_file(i ? "shared_k2.json" : "shared_k3.json");
        const ngi_node *again = find_node("conv:1");
        assert_memory_equal(find_node("conv")->weights, again->weights, sizeof again->weights);
        assert_ptr_equal(&g->nodes[again->inputs[0]], find_node("conv/tanh"));
        assert_ptr_equal(&g->nodes[g->layers[find_layer("conv")].node], find_node("conv/tanh"));
        assert_non_null(find_node("conv:1/tanh"));
    }
}

static void test_several_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        build_file(i ? "several_k2.json" : "several_k3.json");
        assert_int_equal(g->n_inputs, 2);
        assert_string_equal(g->nodes[g->inputs[0]].name, "a");
        assert_int_equal(g->nodes[g->inputs[1]].shape.dim[0], 5);
        assert_int_equal(g->n_outputs, 2);
        assert_string_equal(g->nodes[g->outputs[1]].name, "second");
    }
}

/* ---- Operators ---------------------------------------------------------------------------------- */

static void check_affine(const char *name, const double *scale, const double *offset, int n)
{
    const ngi_node *node = find_node(name);
    assert_int_equal(node->op, NGI_OP_AFFINE);
    const ngi_weight *s = weight_of(node, 0), *o = weight_of(node, 1);
    for (int c = 0; c < n; c++) {
        CHECK_NEAR(s->data[s->shape.dim[0] > 1 ? c : 0], scale[c], 1e-7 * fabs(scale[c]));
        CHECK_NEAR(o->data[o->shape.dim[0] > 1 ? c : 0], offset[c], 1e-6 * fabs(offset[c]));
    }
}

/* Through the nodes between input and convolution, pixel value 255 in channel 0, 0 in the others. */
static void run_preprocessing(float pixel[3])
{
    for (int i = 1; g->nodes[i].op != NGI_OP_CONV2D; i++) {
        const ngi_node *n = &g->nodes[i];
        float in[3] = {pixel[0], pixel[1], pixel[2]};
        if (!n->feeds_output)
            continue;
        for (int c = 0; c < 3; c++)
            if (n->op == NGI_OP_SLICE)
                pixel[c] = in[n->attr.begin[2] + c * n->attr.step[2]];
            else {
                const ngi_weight *s = weight_of(n, 0), *o = weight_of(n, 1);
                assert_int_equal(n->op, NGI_OP_AFFINE);
                pixel[c] =
                    in[c] * s->data[s->shape.dim[0] > 1 ? c : 0] + o->data[o->shape.dim[0] > 1 ? c : 0];
            }
    }
}

static void test_preprocessing(void **state)
{
    (void)state;
    static const struct {
        const char *mode;
        float expected[3];
    } modes[] = {{"tf", {1, -1, -1}},
                 {"torch", {2.2489083f, -2.0357143f, -1.8044445f}},
                 {"caffe", {-103.939f, -116.779f, 131.32f}}};
    for (size_t i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "preprocess_%s_k%d.json", modes[i / 2].mode, 2 + (int)i % 2);
        build_file(name);
        float pixel[3] = {255, 0, 0};
        run_preprocessing(pixel);
        for (int c = 0; c < 3; c++)
            CHECK_NEAR(pixel[c], modes[i / 2].expected[c], 1e-4);
    }
}

static void test_operators(void **state)
{
    (void)state;
    build_file("operators_k3.json");
    check_affine("add_1", (double[]){1}, (double[]){0.5}, 1);
    check_affine("true_divide", (double[]){0.25}, (double[]){0}, 1);
    check_affine("subtract_1", (double[]){-1}, (double[]){1}, 1); /* 1 - x */
    const ngi_node *item = find_node("get_item");                 /* x[:, 1:7, ::2, 1:] of 8x8x4 */
    assert_int_equal(item->attr.begin[0], 1);
    assert_int_equal(item->attr.step[1], 2);
    assert_true(ngi_shape_equal(&item->shape, &(ngi_shape){3, {6, 4, 3}}));
    assert_int_equal(find_node("multiply_2")->inputs[0], find_node("multiply_2")->inputs[1]);
    check_affine("clip", (double[]){1}, (double[]){-1}, 1); /* clip(x, -1, 2) = min(relu(x + 1), 3) - 1 */
    CHECK_NEAR(find_node("clip/limited")->attr.act.max_value, 3, 0);
    const ngi_node *stack = find_node("stack"); /* stack([x[..., 0], x[..., 4]]) */
    assert_int_equal(stack->op, NGI_OP_SLICE);
    assert_int_equal(stack->attr.step[2], 4);
    assert_int_equal(find_node("pad")->attr.pad.left, 2);
    build_file("operators_k2.json");
    assert_int_equal(find_node("tf.stack")->op, NGI_OP_SLICE);
    check_affine("tf.math.subtract", (double[]){-1}, (double[]){1}, 1);
}

/* hard_sigmoid changed between Keras 2 and 3; gelu is exact in both. */
static void test_activations(void **state)
{
    (void)state;
    build_file("activations_k3.json");
    assert_int_equal(find_node("hard_sigmoid")->attr.act.kind, NGI_ACT_HARD_SIGMOID);
    assert_int_equal(find_node("gelu")->attr.act.kind, NGI_ACT_GELU);
    assert_int_equal(find_node("hard_swish")->attr.act.kind, NGI_ACT_HARD_SILU);
    CHECK_NEAR(find_node("leaky_relu")->attr.act.alpha, 0.2f, 0);
    CHECK_NEAR(find_node("squareplus")->attr.act.alpha, 4, 0);
    CHECK_NEAR(find_node("soft_shrink")->attr.act.threshold, 0.5, 0);
    build_file("activations_k2.json");
    assert_int_equal(find_node("hard_sigmoid")->attr.act.kind, NGI_ACT_HARD_SIGMOID_2);
    build_file("weighted_k3.json");
    CHECK_NEAR(find_node("dense/leaky_relu")->attr.act.alpha, 0.3f, 0); /* a serialised LeakyReLU() */
    build_file("weighted_k2.json");
    CHECK_NEAR(find_node("dense/leaky_relu")->attr.act.alpha, 0.3f, 0);
    assert_int_equal(find_node("depthwise_conv2d/hard_sigmoid_2")->attr.act.kind, NGI_ACT_HARD_SIGMOID_2);
}

/* ---- Small configurations ------------------------------------------------------------------------ */

#define INPUT                                                                                         \
    "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"in\",\"batch_input_shape\":[null,8,8,3]}," \
    "\"inbound_nodes\":[]}"
#define LAYER(class_name, config)                                          \
    "{\"class_name\":\"" class_name "\",\"config\":{\"name\":\"x\"" config \
    "},\"inbound_nodes\":[[[\"in\",0,0,{}]]]}"
#define MODEL(layers, out)                                                     \
    "{\"class_name\":\"Model\",\"config\":{\"name\":\"m\",\"layers\":[" layers \
    "],\"input_layers\":[[\"in\",0,0]],"                                       \
    "\"output_layers\":[[\"" out "\",0,0]]}}"
#define ONE(class_name, config) MODEL(INPUT "," LAYER(class_name, config), "x")
#define TENSOR                  "{\"class_name\":\"__keras_tensor__\",\"config\":{\"keras_history\":[\"in\",0,0]}}"
/* A function of Keras 3 on the input: arguments after the input. */
#define OP(class_name, config, args)                                                \
    MODEL(INPUT ",{\"module\":\"keras.src.ops.numpy\",\"class_name\":\"" class_name \
                "\",\"config\":{\"name\":\"x\"" config "},"                         \
                "\"inbound_nodes\":[{\"args\":[" TENSOR args "],\"kwargs\":{}}]}",  \
          "x")

static void test_forms(void **state)
{
    (void)state;
    /* The list that Sequential's config was before Keras 2.2.3; a call without keyword arguments; a single reference. */
    CHECK_OK(build_text("{\"class_name\":\"Sequential\",\"config\":[{\"class_name\":\"Conv2D\",\"config\":{"
                        "\"name\":\"c\","
                        "\"batch_input_shape\":[null,8,8,3],\"filters\":2,\"kernel_size\":3}}]}",
                        NULL),
             err);
    assert_string_equal(g->nodes[0].name, "c_input");
    CHECK_OK(
        build_text("{\"class_name\":\"Functional\",\"config\":{\"name\":\"m\",\"layers\":[" INPUT
                   ",{\"class_name\":"
                   "\"ReLU\",\"config\":{\"name\":\"r\",\"max_value\":6},\"inbound_nodes\":[[\"in\",0,0]]}],"
                   "\"input_layers\":[\"in\",0,0],\"output_layers\":{\"a\":[\"r\",0,0]}}}",
                   NULL),
        err);
    CHECK_NEAR(find_node("r")->attr.act.max_value, 6, 0);
    /* A NumPy scalar for a number, as Keras 2.12 writes. */
    CHECK_OK(
        build_text(ONE("LeakyReLU", ",\"alpha\":{\"class_name\":\"__numpy__\",\"config\":{\"value\":0.25}}"),
                   NULL),
        err);
    CHECK_NEAR(find_node("x")->attr.act.alpha, 0.25, 0);
    /* model_config around it, as in HDF5 attributes of some writers. */
    CHECK_OK(build_text("{\"model_config\":" ONE("Flatten", "") "}", NULL), err);
    /* A class of someone's own around a plain configuration is still one. */
    CHECK_OK(build_text("{\"class_name\":\"Clinic>Net\",\"config\":{\"name\":\"m\",\"layers\":[" INPUT
                        "],\"input_layers\":"
                        "[[\"in\",0,0]],\"output_layers\":[[\"in\",0,0]]}}",
                        NULL),
             err);
    /* training=True: Keras 2 obeys it at inference, unless the batch norm is frozen. */
    CHECK_OK(
        build_text(
            MODEL(INPUT
                  ",{\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"x\",\"trainable\":false},"
                  "\"inbound_nodes\":[[[\"in\",0,0,{\"training\":true}]]]}",
                  "x"),
            NULL),
        err);
    /* Keras 3 does not: it saves training=True for RandomFlip wherever nobody says otherwise. */
    CHECK_OK(build_text(MODEL(INPUT ",{\"class_name\":\"RandomFlip\",\"config\":{\"name\":\"x\"},\"inbound_"
                                    "nodes\":[{\"args\":[" TENSOR "],\"kwargs\":{\"training\":true}}]}",
                              "x"),
                        NULL),
             err);
    /* HDF5 files of Keras 3 leave the module out: an operator is told from the layer of the same name by its config. */
    CHECK_OK(build_text(MODEL(INPUT ",{\"class_name\":\"Multiply\",\"config\":{\"name\":\"x\"},\"inbound_"
                                    "nodes\":[{\"args\":[" TENSOR ",2],\"kwargs\":{}}]}",
                              "x"),
                        NULL),
             err);
    assert_int_equal(find_node("x")->op, NGI_OP_AFFINE);
    CHECK_OK(
        build_text(MODEL(INPUT ",{\"class_name\":\"Multiply\",\"config\":{\"name\":\"x\",\"trainable\":true},"
                               "\"inbound_nodes\":[{\"args\":[[" TENSOR "," TENSOR "," TENSOR
                               "]],\"kwargs\":{}}]}",
                         "x"),
                   NULL),
        err);
    assert_int_equal(find_node("x")->n_inputs, 3);
}

static void test_open_size(void **state)
{
    (void)state;
    const char *text =
        "{\"class_name\":\"Model\",\"config\":{\"name\":\"%s\",\"layers\":[{\"class_name\":\"InputLayer\","
        "\"config\":{\"name\":\"in\",\"batch_input_shape\":[null,null,null,3]},\"inbound_nodes\":[]}],"
        "\"input_layers\":[[\"in\",0,0]],\"output_layers\":[[\"in\",0,0]]}}";
    char named[1024];
    snprintf(named, sizeof named, text, "inception_v3");
    CHECK_OK(build_text(named, NULL), err);
    assert_int_equal(g->nodes[0].shape.dim[0], 299);
    CHECK_OK(build_text(named, &(ngi_load_opts){.input_height = 150, .input_width = 200}), err);
    assert_int_equal(g->nodes[0].shape.dim[1], 200);
    snprintf(named, sizeof named, text, "mine");
    CHECK_FAILS(build_text(named, NULL), NG_E_ARGUMENT, err, "--input-size");
}

/* ---- Refusals ------------------------------------------------------------------------------------ */

typedef struct refusal {
    const char *text;
    ng_status status;
    const char *message;
} refusal;

static const refusal refusals[] = {
    {"", NG_E_FORMAT, "m.json: empty"},
    {"{", NG_E_FORMAT, "m.json: line 1"},
    {"[1]", NG_E_FORMAT, "not an object"},
    {"{\"class_name\":1,\"class_name\":2}", NG_E_FORMAT, "duplicate"},
    {"{\"class_name\":\"MyModel\",\"config\":{}}", NG_E_UNSUPPORTED, "the model is a 'MyModel'"},
    {"{\"class_name\":\"Model\",\"config\":{\"layers\":[]}}", NG_E_FORMAT, "0 layers"},
    {"{\"class_name\":\"Model\",\"config\":{\"layers\":[1]}}", NG_E_FORMAT, "no class_name"},
    {"{\"class_name\":\"Model\",\"config\":{\"layers\":[{\"class_name\":\"ReLU\"}]}}", NG_E_FORMAT,
     "no name"},
    {"{\"class_name\":\"Model\",\"config\":{\"layers\":[{\"class_name\":\"ReLU\",\"name\":\"r\"}]}}",
     NG_E_FORMAT, "layer 'r' (ReLU): has no config"},
    {"{\"class_name\":\"Sequential\",\"config\":{\"layers\":[{\"class_name\":\"ReLU\",\"config\":{\"name\":"
     "\"r\"}}]}}",
     NG_E_FORMAT, "the input shape is not said"},
    {MODEL(INPUT "," INPUT, "in"), NG_E_FORMAT, "another layer of the same model has this name"},
    {MODEL(INPUT, "y"), NG_E_FORMAT, "output_layers of model 'm': takes its input from a layer 'y'"},
    {MODEL(INPUT
           ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"gone\",0,0,{}]]]}",
           "x"),
     NG_E_FORMAT, "layer 'x' (ReLU): takes its input from a layer 'gone'"},
    {MODEL(INPUT
           ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"in\",3,0,{}]]]}",
           "x"),
     NG_E_FORMAT, "from call 3 of layer 'in', which is called 1 times"},
    {MODEL(INPUT
           ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"in\",0,1,{}]]]}",
           "x"),
     NG_E_FORMAT, "takes output 1 of layer 'in', which has 1"},
    {MODEL(INPUT
           ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"in\",-1,0,{}]]]}",
           "x"),
     NG_E_FORMAT, "from call -1"},
    {MODEL(INPUT ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"in\"]]]}",
           "x"),
     NG_E_FORMAT, "not of the form [layer, call, output]"},
    {MODEL(INPUT ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[7]}", "x"),
     NG_E_FORMAT, "a call is not a list"},
    {MODEL(INPUT ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[]}", "x"),
     NG_E_FORMAT, "has no inbound_nodes"},
    {MODEL(INPUT
           ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"y\",0,0,{}]]]},"
           "{\"class_name\":\"ReLU\",\"config\":{\"name\":\"y\"},\"inbound_nodes\":[[[\"x\",0,0,{}]]]}",
           "x"),
     NG_E_FORMAT, "the layers form a cycle"},
    {MODEL(INPUT
           ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"x\",0,0,{}]]]}",
           "x"),
     NG_E_FORMAT, "the layers form a cycle"},
    {"{\"class_name\":\"Model\",\"config\":{\"name\":\"m\",\"layers\":[" INPUT
     ",{\"class_name\":\"InputLayer\",\"config\":{"
     "\"name\":\"other\",\"batch_shape\":[null,2]},\"inbound_nodes\":[]}],\"input_layers\":[[\"in\",0,0]],"
     "\"output_layers\":"
     "[[\"other\",0,0]]}}",
     NG_E_FORMAT, "layer 'other' (InputLayer): is not among the inputs"},
    {"{\"class_name\":\"Model\",\"config\":{\"name\":\"m\",\"layers\":[" INPUT
     "],\"input_layers\":[],\"output_layers\":"
     "[[\"in\",0,0]]}}",
     NG_E_FORMAT, "input_layers of model 'm': there are none"},
    {"{\"class_name\":\"Model\",\"config\":{\"name\":\"m\",\"layers\":[{\"class_name\":\"InputLayer\","
     "\"config\":{\"name\":"
     "\"in\",\"batch_shape\":[null,-3,8,3]}}],\"input_layers\":[[\"in\",0,0]],\"output_layers\":[[\"in\",0,0]"
     "]}}",
     NG_E_FORMAT, "dimension 1 of the input shape is not a size"},
    {"{\"class_name\":\"Model\",\"config\":{\"name\":\"m\",\"layers\":[{\"class_name\":\"InputLayer\","
     "\"config\":{\"name\":"
     "\"in\",\"batch_shape\":[null,8,8,null]}}],\"input_layers\":[[\"in\",0,0]],\"output_layers\":[[\"in\",0,"
     "0]]}}",
     NG_E_FORMAT, "dimension 3 of the input shape is open"},
    /* Classes */
    {ONE("Conv3D", ""), NG_E_UNSUPPORTED, "layer 'x' (Conv3D): this class is not read"},
    {ONE("Clinic>Conv2D", ""), NG_E_UNSUPPORTED, "registered as 'Clinic>Conv2D'"},
    {ONE("Lambda", ""), NG_E_UNSUPPORTED, "Lambda holds Python code"},
    {ONE("KerasLayer", ""), NG_E_UNSUPPORTED, "opaque TensorFlow graph"},
    {ONE("Dense", ",\"units\":2,\"dtype\":{\"class_name\":\"QuantizedDTypePolicy\",\"config\":{}}"),
     NG_E_UNSUPPORTED, "quantised by Keras"},
    {MODEL(INPUT ",{\"class_name\":\"Dropout\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"in\",0,0,{"
                 "\"training\":true}]]]}",
           "x"),
     NG_E_UNSUPPORTED, "called with training=True"},
    {MODEL(INPUT ",{\"class_name\":\"RandomFlip\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[[[\"in\",0,"
                 "0,{\"training\":1}]]]}",
           "x"),
     NG_E_UNSUPPORTED, "called with training=True"},
    {MODEL(INPUT ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[{\"args\":[" TENSOR
                 "],\"kwargs\":"
                 "{\"mask\":" TENSOR "}}]}",
           "x"),
     NG_E_UNSUPPORTED, "called with a tensor as 'mask'"},
    {MODEL(
         INPUT
         ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[{\"args\":[{\"a\":" TENSOR
         "}]}]}",
         "x"),
     NG_E_UNSUPPORTED, "tensors in a dictionary"},
    {MODEL(INPUT ",{\"class_name\":\"ReLU\",\"config\":{\"name\":\"x\"},\"inbound_nodes\":[{\"args\":[" TENSOR
                 "," TENSOR "]}]}",
           "x"),
     NG_E_FORMAT, "takes one tensor, is called with 2 arguments"},
    {MODEL(INPUT ",{\"class_name\":\"Model\",\"config\":{\"name\":\"x\",\"layers\":[" INPUT
                 "],\"input_layers\":[[\"in\",0,0]],"
                 "\"output_layers\":[[\"in\",0,0]]},\"inbound_nodes\":[[[\"in\",0,0,{}],[\"in\",0,0,{}]]]}",
           "x"),
     NG_E_FORMAT, "a model of 1 inputs, called with 2"},
    /* Fields */
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":3,\"data_format\":\"channels_first\""), NG_E_UNSUPPORTED,
     "data_format is 'channels_first'"},
    {ONE("Conv2D", ",\"filters\":\"two\",\"kernel_size\":3"), NG_E_FORMAT,
     "layer 'x' (Conv2D): \"filters\": expected a whole number"},
    {ONE("Conv2D", ",\"filters\":-1,\"kernel_size\":3"), NG_E_FORMAT, "\"filters\""},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":[3,3,3]"), NG_E_FORMAT,
     "\"kernel_size\": expected one number or two"},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":99999999"), NG_E_FORMAT, "\"kernel_size\""},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":9"), NG_E_SHAPE, "give a larger input size"},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":3,\"strides\":0"), NG_E_FORMAT, "\"strides\""},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":3,\"groups\":2"), NG_E_FORMAT, "2 groups on 3 channels"},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":3,\"padding\":\"causal\""), NG_E_UNSUPPORTED,
     "padding 'causal'"},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":3,\"activation\":\"snake\""), NG_E_UNSUPPORTED,
     "activation 'snake'"},
    {ONE("Conv2D", ",\"filters\":2,\"kernel_size\":3,\"activation\":\"Mine>relu\""), NG_E_UNSUPPORTED,
     "a function of its own"},
    {ONE("Activation", ""), NG_E_FORMAT, "its activation has no name"},
    {ONE("BatchNormalization", ",\"axis\":1"), NG_E_UNSUPPORTED, "normalises axis 1"},
    {ONE("BatchNormalization", ",\"axis\":[1,3]"), NG_E_UNSUPPORTED, "several are not run"},
    {ONE("BatchNormalization", ",\"axis\":9"), NG_E_FORMAT, "expected one axis"},
    {ONE("BatchNormalization", ",\"renorm\":true"), NG_E_UNSUPPORTED, "renorm"},
    {ONE("LeakyReLU", ",\"alpha\":1e300"), NG_E_FORMAT, "\"alpha\": expected a number"},
    {ONE("Reshape", ",\"target_shape\":[7,5]"), NG_E_SHAPE, "does not reshape"},
    {ONE("Permute", ",\"dims\":[1,1,2]"), NG_E_SHAPE, "permutation"},
    {ONE("UpSampling2D", ",\"interpolation\":\"bicubic\""), NG_E_UNSUPPORTED, "interpolation 'bicubic'"},
    {ONE("Concatenate", ",\"axis\":0"), NG_E_UNSUPPORTED, "the batch is not to be touched"},
    {ONE("Subtract", ""), NG_E_SHAPE, "1 inputs"},
    {ONE("Normalization", ",\"axis\":1"), NG_E_UNSUPPORTED, "normalises axis 1"},
    {ONE("Normalization", ",\"mean\":[1,2],\"variance\":1"), NG_E_FORMAT, "2 numbers for 3 channels"},
    {ONE("Rescaling", ",\"scale\":[1,2]"), NG_E_UNSUPPORTED, "a constant operand of 2 numbers"},
    {ONE("Rescaling", ""), NG_E_UNSUPPORTED, "a constant operand of 0 numbers"},
    {ONE("TFOpLambda", ",\"function\":\"linalg.svd\""), NG_E_UNSUPPORTED,
     "the TensorFlow function 'tf.linalg.svd'"},
    {ONE("SlicingOpLambda", ""), NG_E_UNSUPPORTED, "this indexing is not read"},
    /* Functions of Keras 3 */
    {OP("Cholesky", "", ""), NG_E_UNSUPPORTED, "layer 'x' (Cholesky): this class is not read"},
    {OP("TrueDivide", "", ",0"), NG_E_FORMAT, "its scale is not finite"},
    {OP("Add", "", ""), NG_E_FORMAT, "takes two operands"},
    {OP("Add", "", ",[[[1]],[[2]],[[3]]]"), NG_E_UNSUPPORTED,
     "a constant operand of 3 numbers"}, /* not along the last axis */
    {OP("GetItem", "", ",[0]"), NG_E_UNSUPPORTED, "takes images out of the batch"},
    {OP("GetItem", "", ",[{\"class_name\":\"__ellipsis__\"},null]"), NG_E_UNSUPPORTED,
     "neither a number nor a slice"},
    {OP("GetItem", "", ",[{\"class_name\":\"__ellipsis__\"},3]"), NG_E_SHAPE, "slice start"},
    {OP("GetItem", "",
        ",[{\"class_name\":\"__slice__\",\"config\":{}},{\"class_name\":\"__slice__\",\"config\":{\"start\":"
        "5,\"stop\":2}}]"),
     NG_E_SHAPE, "an empty slice"},
    {OP("GetItem", "",
        ",[{\"class_name\":\"__slice__\",\"config\":{}},{\"class_name\":\"__slice__\",\"config\":{\"step\":0}"
        "}]"),
     NG_E_FORMAT, "a slice of step 0"},
    {OP("Mean", ",\"axis\":[3]", ""), NG_E_UNSUPPORTED, "reduces other axes"},
    {OP("Reshape", ",\"newshape\":[8,24]", ""), NG_E_UNSUPPORTED, "does not keep the batch"},
    {OP("Transpose", ",\"axes\":[3,1,2,0]", ""), NG_E_UNSUPPORTED, "does not keep the batch first"},
    {OP("Transpose", ",\"axes\":[0,1,1,2]", ""), NG_E_SHAPE, "permutation"},
    {OP("Cast", ",\"dtype\":\"int32\"", ""), NG_E_UNSUPPORTED, "a cast to 'int32'"},
    {OP("Clip", ",\"x_min\":2,\"x_max\":1", ""), NG_E_FORMAT, "limits of 2 and 1"},
    {OP("Stack", ",\"axis\":0", ""), NG_E_UNSUPPORTED, "the batch is not to be touched"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        err = (ng_error){0};
        ng_status status = build_text(refusals[i].text, NULL);
        if (status != refusals[i].status || !strstr(err.text, refusals[i].message) ||
            !strstr(err.text, "m.json"))
            fail_msg("%.300s\nexpected %s with '%s'\nfound %s: %s", refusals[i].text,
                     ng_status_name(refusals[i].status), refusals[i].message, ng_status_name(status),
                     err.text);
        assert_null(g);
        assert_null(root);
    }
}

/* ---- Limits -------------------------------------------------------------------------------------- */

static void add(ngi_buffer *b, const char *text)
{
    CHECK_OK(ngi_buffer_add(b, text, strlen(text), &err), err);
}

static void expect(ngi_buffer *b, ng_status status, const char *message)
{
    if (status == NG_OK)
        CHECK_OK(build_text(b->data, NULL), err);
    else
        CHECK_FAILS(build_text(b->data, NULL), status, err, message);
    ngi_buffer_clear(b);
}

static void test_deep_json(void **state)
{
    (void)state;
    ngi_buffer b = {0};
    for (int i = 0; i < 100000; i++)
        add(&b, "[");
    expect(&b, NG_E_LIMIT, "nested 100000 deep");
}

/* Each model holds the next. */
static void test_deep_models(void **state)
{
    (void)state;
    for (int depth = NGI_MAX_NESTING; depth <= NGI_MAX_NESTING + 1; depth++) {
        ngi_buffer b = {0};
        for (int i = 0; i <= depth; i++)
            add(&b, "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":[");
        add(&b, "{\"class_name\":\"ReLU\",\"config\":{\"name\":\"r\",\"batch_input_shape\":[null,2]}}");
        for (int i = 0; i <= depth; i++)
            add(&b, "]}}");
        expect(&b, depth > NGI_MAX_NESTING ? NG_E_LIMIT : NG_OK, "models are nested more than 16 deep");
    }
}

/* Sixteen models, each calling the next one ten times: 10^16 calls from one page of text. */
static void test_repeated_models(void **state)
{
    (void)state;
    ngi_buffer b = {0};
    for (int i = 0; i < 16; i++)
        add(&b, "{\"class_name\":\"Model\",\"name\":\"m\",\"config\":{\"name\":\"m\",\"layers\":[" INPUT ",");
    add(&b, "{\"class_name\":\"ReLU\",\"config\":{\"name\":\"m\"},\"inbound_nodes\":[[[\"in\",0,0,{}]]]}");
    for (int i = 0; i < 16; i++) {
        add(&b, "],\"input_layers\":[[\"in\",0,0]],\"output_layers\":[[\"m\",0,0]]}");
        add(&b, i == 15 ? "}" : ",\"inbound_nodes\":[");
        for (int k = 0; k < 10 && i < 15; k++)
            add(&b, k < 9 ? "[[\"in\",0,0,{}]]," : "[[\"in\",0,0,{}]]]}");
    }
    expect(&b, NG_E_LIMIT, "more than 65536 times");
}

/* A long chain written backwards: neither deep recursion nor quadratic time. */
static void test_long_chain(void **state)
{
    (void)state;
    enum { N = 30000 };
    ngi_buffer b = {0};
    add(&b, "{\"class_name\":\"Model\",\"config\":{\"name\":\"m\",\"layers\":[");
    for (int i = N; i > 0; i--)
        CHECK_OK(ngi_buffer_printf(
                     &b, &err,
                     "{\"class_name\":\"ReLU\",\"config\":{\"name\":\"n%d\"},\"inbound_nodes\":[[[\"n%d\""
                     ",0,0,{}]]]},",
                     i, i - 1),
                 err);
    add(&b, "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"n0\",\"batch_shape\":[null,2]},\"inbound_"
            "nodes\":[]}],");
    CHECK_OK(
        ngi_buffer_printf(&b, &err, "\"input_layers\":[[\"n0\",0,0]],\"output_layers\":[[\"n%d\",0,0]]}}", N),
        err);
    expect(&b, NG_OK, NULL);
    assert_int_equal(g->n_nodes, N + 1);
}

/* More weights than the files hold, or than any model may have, are refused before memory is taken for them. */
static void test_claimed_weights(void **state)
{
    (void)state;
    const char *dense = "{\"class_name\":\"Sequential\",\"config\":{\"layers\":[{\"class_name\":\"Dense\","
                        "\"config\":{\"name\":"
                        "\"d\",\"units\":1000000,\"batch_input_shape\":[null,1000000]}}]}}";
    CHECK_FAILS(build_text(dense, NULL), NG_E_LIMIT, err, "[1000000,1000000] is more than a model may have");
    CHECK_FAILS(build_text(dense, &(ngi_load_opts){.max_values = 1000}), NG_E_FORMAT, err,
                "layer 'd' (Dense): the weight files hold too little for its weight 'kernel' of shape "
                "[1000000,1000000]");
}

/* Every allocation fails once: an error, no leak, no crash. */
static void test_allocation_failure(void **state)
{
    (void)state;
    char path[4096], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/config/nested_k3.json", NETGAZE_FIXTURES);
    CHECK_OK(ngi_file_read(path, 1 << 20, &text, &size, &err), err);
    ng_status status = NG_E_MEMORY;
    int k = 0;
    while (status == NG_E_MEMORY && k < 10000) {
        clear(NULL);
        ngi_alloc_fail_at(++k);
        status = ngi_keras_build("m.json", text, size, NULL, &g, &root, &err);
    }
    ngi_alloc_fail_at(0);
    ngi_free(text);
    CHECK_OK(status, err);
    assert_true(k > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_files, clear),
        cmocka_unit_test_teardown(test_nested, clear),
        cmocka_unit_test_teardown(test_shared, clear),
        cmocka_unit_test_teardown(test_several_ends, clear),
        cmocka_unit_test_teardown(test_preprocessing, clear),
        cmocka_unit_test_teardown(test_operators, clear),
        cmocka_unit_test_teardown(test_activations, clear),
        cmocka_unit_test_teardown(test_forms, clear),
        cmocka_unit_test_teardown(test_open_size, clear),
        cmocka_unit_test_teardown(test_refusals, clear),
        cmocka_unit_test_teardown(test_deep_json, clear),
        cmocka_unit_test_teardown(test_deep_models, clear),
        cmocka_unit_test_teardown(test_repeated_models, clear),
        cmocka_unit_test_teardown(test_long_chain, clear),
        cmocka_unit_test_teardown(test_claimed_weights, clear),
        cmocka_unit_test_teardown(test_allocation_failure, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
