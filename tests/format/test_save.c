/* Models cut, given a new head, saved and read again. */
#include "check.h"

#include <stdbool.h>
#include <sys/stat.h>

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
        if (strcmp(x->name, y->name) != 0 || !ngi_shape_equal(&x->shape, &y->shape) ||
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
    CHECK_OK(ngi_model_compose(&base, cut, &small_head, &made, &err), err);
    check_head(made.graph, names, 7);
    char *folder = make_folder();
    check_round_trip(&made, folder, "m.keras", NULL);
    check_round_trip(&made, folder, "m.h5", NULL);
    check_round_trip(&made, folder, "m", NULL);
    remove_folder(folder);
    ngi_model_file_clear(&made);
    ngi_model_file_clear(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compose)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
