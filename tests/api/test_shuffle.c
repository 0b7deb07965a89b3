/* The control model: the last kernel holds the same values in another order, every other weight is untouched, the hash is
 * another, and a seed gives the same order every time. */
#include "check.h"

#include "api/api.h"

#define MODEL NETGAZE_FIXTURES "/models/keras3.15_nested_head/model.keras"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_only_the_last_kernel_is_reordered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
