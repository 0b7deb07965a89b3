/* The control models. Shuffled: the last kernel holds the same values in another order, every other weight is untouched. Drawn
 * anew: kernels have He's deviation and know nothing of the old ones, what else is learned is as it begins. The hash is another,
 * and a seed gives the same weights every time. */
#include "check.h"

#include "api/api.h"

#include <math.h>

#define MODEL NETGAZE_FIXTURES "/models/keras3.15_nested_head/model.keras"
#define NORMED \
    NETGAZE_FIXTURES "/models/keras3.15_family_nasnet/model.keras" /* batch norms, separable convolutions */

static ng_error err;

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static ng_model *load(unsigned seed)
{
    ng_model *model;
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.shuffle_head = seed;
    CHECK_OK(ng_model_load(MODEL, &opts, &model, &err), err);
    return model;
}

static void test_only_the_last_kernel_is_reordered(void **state)
{
    (void)state;
    ng_model *plain = load(0), *shuffled = load(1), *again = load(1), *other = load(2);
    int changed = 0;
    for (int i = 0; i < plain->graph->n_weights; i++) {
        const ngi_weight *a = &plain->graph->weights[i], *b = &shuffled->graph->weights[i];
        size_t n = (size_t)ngi_shape_count(&a->shape), bytes = n * sizeof(float);
        assert_memory_equal(b->data, again->graph->weights[i].data, bytes);
        if (memcmp(a->data, b->data, bytes) == 0)
            continue;
        changed++;
        assert_true(strstr(a->name, "kernel") != NULL);
        assert_int_equal(a->shape.dim[a->shape.rank - 1], plain->head.width);
        assert_memory_not_equal(b->data, other->graph->weights[i].data, bytes);
        float *x = malloc(2 * bytes), *y = x + n;
        memcpy(x, a->data, bytes);
        memcpy(y, b->data, bytes);
        qsort(x, n, sizeof *x, ascending);
        qsort(y, n, sizeof *y, ascending);
        assert_memory_equal(x, y, bytes);
        free(x);
    }
    assert_int_equal(changed, 1);
    assert_string_not_equal(plain->file.hash, shuffled->file.hash);
    assert_string_equal(shuffled->file.hash, again->file.hash);
    ng_model_free(plain);
    ng_model_free(shuffled);
    ng_model_free(again);
    ng_model_free(other);
}

static ng_model *load_anew(const char *path, unsigned seed, double depth)
{
    ng_model *model;
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.shuffle_head = seed;
    opts.shuffle_depth = depth;
    opts.shuffle_redraw = 1;
    CHECK_OK(ng_model_load(path, &opts, &model, &err), err);
    return model;
}

/* Whether all values of a weight are this one. */
static bool all_are(const ngi_weight *w, float value)
{
    for (int64_t i = 0; i < ngi_shape_count(&w->shape); i++)
        if (w->data[i] != value)
            return false;
    return true;
}

/* A kernel of deviation sqrt(2 / fan_in), to within four standard errors, around zero. Adds up its numbers and their squares in
 * units of that, for all kernels together tell more. */
static void check_drawn(const ngi_weight *w, double fan_in, double *numbers, double *squares)
{
    int64_t n = ngi_shape_count(&w->shape);
    double mean = 0, square = 0, wanted = 2 / fan_in;
    for (int64_t i = 0; i < n; i++) {
        mean += w->data[i] / (double)n;
        square += (double)w->data[i] * w->data[i] / (double)n;
    }
    *numbers += (double)n;
    *squares += square / wanted * (double)n;
    if (!(fabs(mean) <= 4 * sqrt(wanted / (double)n) &&
          fabs(square - wanted) <= 4 * wanted * sqrt(2.0 / (double)n)))
        fail_msg("%s: mean %g, square %g, expected 0 and %g", w->name, mean, square, wanted);
}

static void test_everything_is_as_before_training(void **state)
{
    (void)state;
    ng_model *plain = load_anew(NORMED, 0, 1), *anew = load_anew(NORMED, 1, 1);
    int norms = 0, kernels = 0;
    double numbers = 0, squares = 0;
    for (int i = 0; i < anew->graph->n_nodes; i++) {
        const ngi_node *n = &anew->graph->nodes[i];
        const ngi_weight *w = n->weights[0] < 0 ? NULL : &anew->graph->weights[n->weights[0]];
        if (n->op == NGI_OP_BATCHNORM) {
            static const float begin[] = {1, 0, 0, 1};
            for (int k = 0; k < 4; k++)
                assert_true(n->weights[k] < 0 || all_are(&anew->graph->weights[n->weights[k]], begin[k]));
            norms++;
        } else if (w && (n->op == NGI_OP_CONV2D || n->op == NGI_OP_DEPTHWISE || n->op == NGI_OP_DENSE)) {
            const int64_t *d = w->shape.dim;
            check_drawn(w,
                        n->op == NGI_OP_DENSE       ? (double)d[0]
                        : n->op == NGI_OP_DEPTHWISE ? (double)(d[0] * d[1])
                                                    : (double)(d[0] * d[1] * d[2]),
                        &numbers, &squares);
            assert_memory_not_equal(w->data, plain->graph->weights[n->weights[0]].data, sizeof(float));
            assert_true(n->weights[1] < 0 || all_are(&anew->graph->weights[n->weights[1]], 0));
            kernels++;
        }
    }
    assert_true(norms >= 3 && kernels >= 4 && numbers > 1000);
    CHECK_NEAR(squares / numbers, 1, 4 * sqrt(2 / numbers));
    assert_string_not_equal(plain->file.hash, anew->file.hash);
    ng_model_free(plain);
    ng_model_free(anew);
}

static void test_the_last_layer_alone_is_drawn_anew(void **state)
{
    (void)state;
    ng_model *plain = load_anew(NORMED, 0, 0), *anew = load_anew(NORMED, 5, 0),
             *again = load_anew(NORMED, 5, 0);
    int changed = 0;
    for (int i = 0; i < plain->graph->n_weights; i++) {
        const ngi_weight *a = &plain->graph->weights[i], *b = &anew->graph->weights[i];
        size_t bytes = (size_t)ngi_shape_count(&a->shape) * sizeof(float);
        assert_memory_equal(b->data, again->graph->weights[i].data, bytes);
        if (memcmp(a->data, b->data, bytes) != 0) {
            assert_int_equal(a->shape.dim[a->shape.rank - 1], plain->head.width);
            changed++;
        }
    }
    assert_true(changed == 1 || changed == 2); /* the kernel, and a bias that was not zero */
    assert_string_equal(anew->file.hash, again->file.hash);
    ng_model_free(plain);
    ng_model_free(anew);
    ng_model_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_last_kernel_is_reordered),
        cmocka_unit_test(test_everything_is_as_before_training),
        cmocka_unit_test(test_the_last_layer_alone_is_drawn_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
