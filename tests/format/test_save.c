/* Models cut, given a new head, saved and read again. */
#include "check.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "format/keras_config.h"
#include "format/save.h"

#define CASE(name) NETGAZE_FIXTURES "/models/" name

static ng_error err;

static ngi_model_file load(const char *path)
{
    ngi_model_file f;
    err = (ng_error){0};
    CHECK_OK(ngi_model_file_load(path, NULL, &f, &err), err);
    return f;
}

static int layer_of(const ngi_graph *g, const char *name)
{
    for (int i = 0; i < g->n_layers; i++)
        if (strcmp(g->layers[i].name, name) == 0)
            return i;
    fail_msg("no layer %s", name);
    return -1;
}

/* The layer in a weight's name; what follows is "kernel" or "depthwise_kernel" for one thing. */
static bool same_owner(const char *a, const char *b)
{
    size_t n = (size_t)(strrchr(a, '/') - a), m = (size_t)(strrchr(b, '/') - b);
    return n == m && strncmp(a, b, n) == 0;
}

/* The same nodes, layers and weights in the same order, to the bit. */
static void check_same_graph(const ngi_graph *a, const ngi_graph *b, const char *what)
{
    if (a->n_nodes != b->n_nodes || a->n_layers != b->n_layers || a->n_weights != b->n_weights)
        fail_msg("%s: %d nodes, %d layers, %d weights; expected %d, %d, %d", what, b->n_nodes, b->n_layers,
                 b->n_weights, a->n_nodes, a->n_layers, a->n_weights);
    for (int i = 0; i < a->n_nodes; i++) {
        const ngi_node *x = &a->nodes[i], *y = &b->nodes[i];
        if (x->op != y->op || strcmp(x->name, y->name) != 0 || !ngi_shape_equal(&x->shape, &y->shape) ||
            x->n_inputs != y->n_inputs ||
            memcmp(x->inputs, y->inputs, (size_t)x->n_inputs * sizeof *x->inputs) != 0 ||
            memcmp(x->weights, y->weights, sizeof x->weights) != 0)
            fail_msg("%s: node %d is %s '%s', expected %s '%s'", what, i, ngi_op_name(y->op), y->name,
                     ngi_op_name(x->op), x->name);
    }
    for (int i = 0; i < a->n_layers; i++)
        if (strcmp(a->layers[i].name, b->layers[i].name) != 0 ||
            a->layers[i].trainable != b->layers[i].trainable)
            fail_msg("%s: layer %d is '%s', expected '%s'", what, i, b->layers[i].name, a->layers[i].name);
    for (int i = 0; i < a->n_weights; i++) {
        const ngi_weight *x = &a->weights[i], *y = &b->weights[i];
        if (!same_owner(x->name, y->name) || !ngi_shape_equal(&x->shape, &y->shape) ||
            memcmp(x->data, y->data, (size_t)ngi_shape_count(&x->shape) * sizeof(float)) != 0)
            fail_msg("%s: weight %d is '%s', expected '%s'", what, i, y->name, x->name);
    }
}

static char *in_folder(const char *folder, const char *name)
{
    char *path = malloc(strlen(folder) + strlen(name) + 2);
    sprintf(path, "%s/%s", folder, name);
    return path;
}

/* Saves, reads, compares; the folder is the caller's. */
static void check_round_trip(const ngi_model_file *f, const char *folder, const char *name,
                             const ngi_save_opts *opts)
{
    char *path = in_folder(folder, name);
    CHECK_OK(ngi_model_save(f, path, opts, &err), err);
    ngi_model_file back = load(path);
    check_same_graph(f->graph, back.graph, path);
    assert_int_equal(opts ? opts->n_labels : 0, back.n_labels);
    for (int i = 0; i < back.n_labels; i++)
        assert_string_equal(opts->labels[i], back.labels[i]);
    if (opts && opts->preprocess)
        assert_string_equal(opts->preprocess, back.preprocess);
    ngi_model_file_clear(&back);
    free(path);
}

/* ---- Composing --------------------------------------------------------------------------------- */

static const ngi_new_head small_head = {.pooling = "avg",
                                        .hidden = (int[]){5, 4},
                                        .n_hidden = 2,
                                        .dropout = 0.25,
                                        .classes = 3,
                                        .activation = "softmax"};

static void check_head(const ngi_graph *g, const char *const names[], int n)
{
    assert_true(g->n_layers > n);
    for (int i = 0; i < n; i++)
        assert_string_equal(names[i], g->layers[g->n_layers - n + i].name);
    const ngi_shape *out = &g->nodes[g->outputs[0]].shape;
    assert_int_equal(1, g->n_outputs);
    assert_int_equal(1, out->rank);
}

static void test_compose(void **state)
{
    (void)state;
    static const char *const names[] = {
        "head_pool",    "head_dense_1_dropout",     "head_dense_1",    "head_dense_2_dropout",
        "head_dense_2", "head_predictions_dropout", "head_predictions"};
    ngi_model_file base = load(CASE("keras3.15_flat/model.keras")), made;
    int cut = base.graph->n_layers - 3;
    while (base.graph->nodes[base.graph->layers[cut].node].shape.rank != 3)
        cut--;
    CHECK_OK(ngi_model_compose(&base, cut, &small_head, NULL, &made, &err), err);
    check_head(made.graph, names, 7);
    char *folder = make_folder();
    check_round_trip(&made, folder, "m.keras", NULL);
    check_round_trip(&made, folder, "m.h5", NULL);
    check_round_trip(&made, folder, "m", NULL);
    remove_folder(folder);
    ngi_model_file_clear(&made);
    ngi_model_file_clear(&base);
}

/* Anywhere in a model inside a model, and where others branch off: what is behind the cut is gone, what is before it has its
 * weights and its own names. */
static void test_cut_inside_a_nested_model(void **state)
{
    (void)state;
    ngi_model_file base = load(CASE("keras3.15_nested_functional/model.keras")), made;
    char *folder = make_folder();
    for (int i = 0; i < base.graph->n_layers; i++) {
        const ngi_node *node = &base.graph->nodes[base.graph->layers[i].node];
        const ngi_new_head head = {.pooling = "flatten", .classes = 2, .activation = "linear"};
        int *weight_of = malloc((size_t)base.graph->n_weights * sizeof *weight_of), kept = 0;
        CHECK_OK(ngi_model_compose(&base, i, &head, weight_of, &made, &err), err);
        const ngi_graph *g = made.graph;
        for (int m = 0; m < base.graph->n_weights; m++) {
            if (weight_of[m] < 0)
                continue;
            const ngi_weight *old = &base.graph->weights[m], *w = &g->weights[weight_of[m]];
            kept++;
            assert_true(ngi_shape_equal(&old->shape, &w->shape));
            assert_memory_equal(old->data, w->data, (size_t)ngi_shape_count(&w->shape) * sizeof(float));
        }
        assert_int_equal(g->n_weights - 2, kept); /* all but the head's */
        free(weight_of);
        assert_int_equal(2, g->nodes[g->outputs[0]].shape.dim[0]);
        assert_true(g->n_layers <= base.graph->n_layers + 2);
        for (int k = 0; k < g->n_layers; k++)
            assert_null(strchr(g->layers[k].name, '/'));
        for (int k = 0; k < g->n_weights; k++) {
            const ngi_weight *w = &g->weights[k];
            bool found = strncmp(w->name, "head_", 5) == 0;
            for (int m = 0; m < base.graph->n_weights && !found; m++) {
                const ngi_weight *old = &base.graph->weights[m];
                found = ngi_shape_equal(&old->shape, &w->shape) && old->trainable == w->trainable &&
                        memcmp(old->data, w->data, (size_t)ngi_shape_count(&w->shape) * sizeof(float)) == 0;
            }
            if (!found)
                fail_msg("cut at %s: weight %s is none of the base's", base.graph->layers[i].name, w->name);
        }
        assert_true(node->shape.rank == 1 || strcmp(g->layers[g->n_layers - 2].name, "head_flatten") == 0);
        check_round_trip(&made, folder, "m.keras", NULL);
        ngi_model_file_clear(&made);
    }
    remove_folder(folder);
    ngi_model_file_clear(&base);
}

/* A name of the head's that the base has goes to the base. */
static void test_names_stay_unique(void **state)
{
    (void)state;
    ngi_model_file base = load(CASE("keras3.15_flat/model.keras")), once, twice;
    const ngi_new_head head = {
        .pooling = "max", .hidden = (int[]){4}, .n_hidden = 1, .classes = 3, .activation = "sigmoid"};
    int cut = layer_of(base.graph, "mixed0");
    CHECK_OK(ngi_model_compose(&base, cut, &head, NULL, &once, &err), err);
    CHECK_OK(ngi_model_compose(&once, layer_of(once.graph, "head_dense_1"), &head, NULL, &twice, &err), err);
    assert_int_equal(layer_of(twice.graph, "head_dense_1") + 1, layer_of(twice.graph, "head_dense_1_1"));
    layer_of(twice.graph, "head_pool");
    layer_of(twice.graph, "head_predictions");
    ngi_model_file_clear(&twice);
    ngi_model_file_clear(&once);
    ngi_model_file_clear(&base);
}

static void test_heads_that_are_refused(void **state)
{
    (void)state;
    ngi_model_file base = load(CASE("keras3.15_flat/model.keras")), made;
    int cut = layer_of(base.graph, "mixed0");
    const struct {
        ngi_new_head head;
        const char *words;
    } cases[] = {{{"mean", NULL, 0, 0, 2, "softmax"}, "'mean' is not known; avg, max and flatten"},
                 {{"avg", NULL, 0, 1, 2, "softmax"}, "dropout is 1"},
                 {{"avg", NULL, 0, NAN, 2, "softmax"}, "dropout is"},
                 {{"avg", NULL, 0, 0, 0, "softmax"}, "would have 0 units"},
                 {{"avg", (int[]){-1}, 1, 0, 2, "softmax"}, "'head_dense_1' would have -1 units"},
                 {{"avg", NULL, 0, 0, 2, "relu"}, "'relu' is not known; softmax, sigmoid and linear"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_FAILS(ngi_model_compose(&base, cut, &cases[i].head, NULL, &made, &err), NG_E_ARGUMENT, err,
                    cases[i].words);
    CHECK_FAILS(ngi_model_compose(&base, -1, &cases[0].head, NULL, &made, &err), NG_E_ARGUMENT, err,
                "no layer -1");
    CHECK_FAILS(ngi_model_compose(&base, base.graph->n_layers, &cases[0].head, NULL, &made, &err),
                NG_E_ARGUMENT, err, "no layer");
    ngi_model_file_clear(&base);
}

/* Random cuts and heads of several models, in a random format each. */
static void test_random_heads(void **state)
{
    (void)state;
    static const char *const bases[] = {
        CASE("keras3.15_flat/model.keras"), CASE("keras2.2.4_mobile/model.h5"),
        CASE("keras2.3.1_converted/model.json"), CASE("keras3.15_nested_functional/model.keras"),
        CASE("keras2.2.4_shared/model.h5")};
    static const char *const poolings[] = {"avg", "max", "flatten"}, *const names[] = {"m.keras", "m.h5",
                                                                                       "m"};
    static const char *const activations[] = {"softmax", "sigmoid", "linear"};
    unsigned seed = 20;
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++) {
        ngi_model_file base = load(bases[b]), made;
        for (int i = 0; i < 12; i++) {
            int hidden[3] = {1 + rand_r(&seed) % 9, 1 + rand_r(&seed) % 9, 1 + rand_r(&seed) % 9};
            ngi_new_head head = {.pooling = poolings[rand_r(&seed) % 3],
                                 .hidden = hidden,
                                 .n_hidden = rand_r(&seed) % 4,
                                 .dropout = rand_r(&seed) % 2 * 0.3,
                                 .classes = 1 + rand_r(&seed) % 7,
                                 .activation = activations[rand_r(&seed) % 3]};
            int cut = rand_r(&seed) % base.graph->n_layers;
            int rank = base.graph->nodes[base.graph->layers[cut].node].shape.rank;
            if (rank != 1 && rank != 3)
                head.pooling = "flatten";
            CHECK_OK(ngi_model_compose(&base, cut, &head, NULL, &made, &err), err);
            for (int w = 0; w < made.graph->n_weights; w++) /* the head's zeros get values */
                if (strncmp(made.graph->weights[w].name, "head_", 5) == 0)
                    for (int64_t k = 0; k < ngi_shape_count(&made.graph->weights[w].shape); k++)
                        made.graph->weights[w].data[k] = (float)(rand_r(&seed) % 1000) / 1000 - 0.5f;
            char *folder = make_folder();
            check_round_trip(&made, folder, names[rand_r(&seed) % 3], NULL);
            remove_folder(folder);
            ngi_model_file_clear(&made);
        }
        ngi_model_file_clear(&base);
    }
}

/* ---- Labels and preprocessing ------------------------------------------------------------------ */

static char *odd_labels[] = {(char[]){"plain"},  (char[]){"caf\303\251 \"quoted\""},
                             (char[]){"a/b\\c"}, (char[]){"\346\227\245\346\234\254\nline"},
                             (char[]){""},       (char[]){"{\"x\": 1}"},
                             (char[]){"\t%s"}};
static const ngi_save_opts odd = {.preprocess = "caffe", .labels = odd_labels, .n_labels = 7};

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_labels_travel_inside(void **state)
{
    (void)state;
    char *folder = make_folder();
    static const char *const names[] = {"m.keras", "m.h5", "m"};
    ngi_model_file f = load(CASE("keras2.3.1_converted/model.json")), again;
    CHECK_OK(ngi_model_compose(&f, 0, &small_head, NULL, &again, &err), err);
    for (int i = 0; i < 3; i++)
        check_round_trip(&again, folder, names[i], &odd);
    /* What lies beside the model is later knowledge, and wins. */
    char *beside = in_folder(folder, "m.keras.netgaze.json"), *path = in_folder(folder, "m.keras");
    write_text(beside, "{\"labels\": [\"x\", \"y\", \"z\"]}");
    ngi_model_file back = load(path);
    assert_int_equal(3, back.n_labels);
    assert_string_equal("y", back.labels[1]);
    assert_null(back.preprocess);
    ngi_model_file_clear(&back);
    char *const bad[] = {(char *)"\xff\xfe"};
    const ngi_save_opts not_text = {.labels = bad, .n_labels = 1};
    CHECK_FAILS(ngi_model_save(&again, path, &not_text, &err), NG_E_ARGUMENT, err, "UTF-8");
    const ngi_save_opts unknown = {.preprocess = "magic"};
    CHECK_FAILS(ngi_model_save(&again, path, &unknown, &err), NG_E_ARGUMENT, err, "'magic' is not known");
    free(beside);
    free(path);
    remove_folder(folder);
    ngi_model_file_clear(&again);
    ngi_model_file_clear(&f);
}

/* ---- Files ------------------------------------------------------------------------------------- */

static int count_files(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static char *slurp(const char *path, long *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = ftell(f);
    rewind(f);
    char *bytes = malloc((size_t)*size + 1);
    assert_int_equal(*size, (long)fread(bytes, 1, (size_t)*size, f));
    fclose(f);
    return bytes;
}

static void check_same_bytes(const char *folder, const char *a, const char *b)
{
    char *first = in_folder(folder, a), *second = in_folder(folder, b);
    long n, m;
    char *x = slurp(first, &n), *y = slurp(second, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
    free(first);
    free(second);
}

/* No time, place or process gets into a file. */
static void test_equal_models_give_equal_bytes(void **state)
{
    (void)state;
    ngi_model_file f = load(CASE("keras3.15_flat/model.keras"));
    char *folder = make_folder();
    static const char *const names[] = {"1.keras", "1.h5", "1", "2.keras", "2.h5", "2"};
    for (int i = 0; i < 6; i++) {
        char *path = in_folder(folder, names[i]);
        if (i == 3)
            sleep(2); /* the times of a zip member count two seconds */
        CHECK_OK(ngi_model_save(&f, path, &odd, &err), err);
        free(path);
    }
    check_same_bytes(folder, "1.keras", "2.keras");
    check_same_bytes(folder, "1.h5", "2.h5");
    check_same_bytes(folder, "1/model.json", "2/model.json");
    check_same_bytes(folder, "1/group1-shard1of1.bin", "2/group1-shard1of1.bin");
    remove_folder(folder);
    ngi_model_file_clear(&f);
}

static void test_paths_that_cannot_be_written(void **state)
{
    (void)state;
    ngi_model_file f = load(CASE("keras3.15_flat/model.keras"));
    char *folder = make_folder(), *full = in_folder(folder, "full"), *inside = in_folder(folder, "full/x");
    static const char *const names[] = {"none/m.keras", "none/m.h5", "none/m"};
    for (int i = 0; i < 3; i++) {
        char *path = in_folder(folder, names[i]);
        CHECK_FAILS(ngi_model_save(&f, path, NULL, &err), NG_E_IO, err, "No such file");
        assert_non_null(strstr(err.text, path));
        free(path);
    }
    mkdir(full, 0777);
    CHECK_OK(ngi_model_save(&f, full, NULL, &err), err); /* empty: taken */
    write_text(inside, "mine");
    CHECK_FAILS(ngi_model_save(&f, full, NULL, &err), NG_E_IO, err, "is there already");
    assert_int_equal(0, access(inside, R_OK));
    const ngi_save_opts as_keras = {.format = "keras"}, odd_format = {.format = "onnx"},
                        half = {.dtype = "float16"}, odd_type = {.dtype = "int4"};
    CHECK_FAILS(ngi_model_save(&f, full, &as_keras, &err), NG_E_IO, err, "full");
    CHECK_FAILS(ngi_model_save(&f, "m.keras", &odd_format, &err), NG_E_ARGUMENT, err,
                "'onnx' is not written");
    CHECK_FAILS(ngi_model_save(&f, "m.keras", &half, &err), NG_E_ARGUMENT, err, "TensorFlow.js models only");
    CHECK_FAILS(ngi_model_save(&f, "m", &odd_type, &err), NG_E_ARGUMENT, err, "'int4' are not written");
    assert_int_equal(1, count_files(folder)); /* nothing half done is left */
    free(inside);
    free(full);
    remove_folder(folder);
    ngi_model_file_clear(&f);
}

/* A disk that is full after a few KB: the old file stays as it was, and nothing is left beside it. */
static void test_full_disk(void **state)
{
    (void)state;
    ngi_model_file f = load(CASE("keras3.15_flat/model.keras"));
    char *folder = make_folder();
    static const char *const names[] = {"m.keras", "m.h5", "m"};
    struct rlimit before, tight;
    getrlimit(RLIMIT_FSIZE, &before);
    tight = before;
    tight.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        char *path = in_folder(folder, names[i]);
        if (i < 2)
            write_text(path, "old");
        setrlimit(RLIMIT_FSIZE, &tight);
        ng_status status = ngi_model_save(&f, path, NULL, &err);
        setrlimit(RLIMIT_FSIZE, &before);
        assert_int_equal(NG_E_IO, status);
        assert_non_null(strstr(err.text, "File too large"));
        if (i < 2) {
            long n;
            char *text = slurp(path, &n);
            assert_int_equal(3, n);
            assert_memory_equal("old", text, 3);
            free(text);
        }
        free(path);
    }
    assert_int_equal(2, count_files(folder));
    remove_folder(folder);
    ngi_model_file_clear(&f);
}

static void test_allocations_fail(void **state)
{
    (void)state;
    ngi_model_file base = load(CASE("keras3.15_nested_functional/model.keras"));
    char *folder = make_folder();
    static const char *const names[] = {"m.keras", "m.h5", "m"};
    for (int i = 0; i < 3; i++) {
        char *path = in_folder(folder, names[i]);
        bool met = true;
        for (long k = 1; met; k += 1 + k / 100) {
            ngi_model_file made;
            err = (ng_error){0};
            ngi_alloc_fail_at(k);
            ng_status status =
                ngi_model_compose(&base, base.graph->n_layers - 1, &small_head, NULL, &made, &err);
            if (status == NG_OK)
                status = ngi_model_save(&made, path, &odd, &err);
            met = ngi_alloc_count() >= k;
            ngi_alloc_fail_at(0);
            ngi_model_file_clear(&made);
            if (status != (met ? NG_E_MEMORY : NG_OK))
                fail_msg("%s: allocation %ld fails: %s: %s", names[i], k, ng_status_name(status), err.text);
            assert_int_equal(met ? 0 : 1, count_files(folder));
        }
        char command[4200];
        snprintf(command, sizeof command, "rm -rf '%s'", path);
        assert_int_equal(0, system(command));
        free(path);
    }
    remove_folder(folder);
    ngi_model_file_clear(&base);
}

/* ---- Quantised weights ------------------------------------------------------------------------- */

/* A model of one dense layer with these weights. */
static ngi_model_file dense_of(const float *values, int n)
{
    static const char config[] = "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"m\", \"layers\": "
                                 "[{\"class_name\": \"InputLayer\", "
                                 "\"config\": {\"name\": \"i\", \"batch_input_shape\": [null, %d]}}, "
                                 "{\"class_name\": \"Dense\", \"config\": "
                                 "{\"name\": \"d\", \"units\": 1, \"use_bias\": false}}]}}";
    char text[1000];
    int size = snprintf(text, sizeof text, config, n);
    ngi_model_file f = {.format = "keras"};
    ngi_keras_layer *tree;
    CHECK_OK(ngi_keras_build("test", text, (size_t)size, NULL, &f.graph, &tree, &err), err);
    CHECK_OK(ngi_model_keep_config(&f, text, (size_t)size, &err), err);
    memcpy(f.graph->weights[0].data, values, (size_t)n * sizeof *values);
    ngi_keras_layer_free(tree);
    return f;
}

static void check_quantised(const float *values, const float *expected, int n, const char *dtype,
                            double tolerance)
{
    ngi_model_file f = dense_of(values, n);
    char *folder = make_folder(), *path = in_folder(folder, "m");
    const ngi_save_opts opts = {.dtype = dtype};
    CHECK_OK(ngi_model_save(&f, path, &opts, &err), err);
    ngi_model_file back = load(path);
    for (int i = 0; i < n; i++)
        CHECK_NEAR(expected[i], back.graph->weights[0].data[i], tolerance);
    ngi_model_file_clear(&back);
    free(path);
    remove_folder(folder);
    ngi_model_file_clear(&f);
}

/* Expected: numpy.float16(x). */
static void test_float16(void **state)
{
    (void)state;
    const float x[] = {
        0.0f,     -0.0f,    1.0f,      1.00048828125f, 1.00146484375f, 0.1f, -65519.0f, 6.103515625e-05f,
        6.0e-08f, 2.9e-08f, -3.0e-08f, 6.0975552e-05f, 3.14159265f};
    const float y[] = {0.0f,
                       0.0f,
                       1.0f,
                       1.0f,
                       1.001953125f,
                       0.0999755859375f,
                       -65504.0f,
                       6.103515625e-05f,
                       5.960464477539063e-08f,
                       0.0f,
                       -5.960464477539063e-08f,
                       6.0975551605224609e-05f,
                       3.140625f};
    check_quantised(x, y, 13, "float16", 0);
    ngi_model_file f = dense_of((const float[]){1, 65520.0f}, 2);
    const ngi_save_opts opts = {.dtype = "float16"};
    char *folder = make_folder(), *path = in_folder(folder, "m");
    CHECK_FAILS(ngi_model_save(&f, path, &opts, &err), NG_E_ARGUMENT, err, "which float16 cannot hold");
    assert_int_equal(0, count_files(folder));
    free(path);
    remove_folder(folder);
    ngi_model_file_clear(&f);
}

/* Steps of the range's 255th part; zero stays zero where it is inside, one value stays what it is. */
static void test_uint8(void **state)
{
    (void)state;
    float x[256], y[256];
    for (int i = 0; i < 256; i++)
        x[i] = -0.3f + 0.7f * (float)i / 255;
    double scale = ((double)x[255] - x[0]) / 255, below = nearbyint(-x[0] / scale);
    assert_int_equal(109, (int)below);
    for (int i = 0; i < 256; i++)
        y[i] = (float)((i - below) * scale);
    check_quantised(x, y, 256, "uint8", 1e-7);
    const float with_zero[] = {-1.3f, 0.0f, 2.1f, 0.7f};
    ngi_model_file f = dense_of(with_zero, 4);
    char *folder = make_folder(), *path = in_folder(folder, "m");
    const ngi_save_opts opts = {.dtype = "uint8"};
    CHECK_OK(ngi_model_save(&f, path, &opts, &err), err);
    ngi_model_file back = load(path);
    assert_true(back.graph->weights[0].data[1] == 0);
    ngi_model_file_clear(&back);
    ngi_model_file_clear(&f);
    free(path);
    remove_folder(folder);
    const float same[] = {-2.5f, -2.5f, -2.5f};
    check_quantised(same, same, 3, "uint8", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compose),
        cmocka_unit_test(test_cut_inside_a_nested_model),
        cmocka_unit_test(test_names_stay_unique),
        cmocka_unit_test(test_heads_that_are_refused),
        cmocka_unit_test(test_random_heads),
        cmocka_unit_test(test_labels_travel_inside),
        cmocka_unit_test(test_equal_models_give_equal_bytes),
        cmocka_unit_test(test_paths_that_cannot_be_written),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_allocations_fail),
        cmocka_unit_test(test_float16),
        cmocka_unit_test(test_uint8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
