/* What a session takes is what the plan says: the block (ng_session_bytes) and little more, and nothing more for every
 * further image. */
#include "check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* with an allocator of their own */
size_t __sanitizer_get_current_allocated_bytes(void);             /* its header is Clang's only */
#else
#include <malloc.h>
#endif

static ng_error err;

/* Bytes that the process has allocated. */
static size_t allocated(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#endif
}

static void explain(ng_session *s, const float *input, int n)
{
    CHECK_OK(ng_session_run(s, input, n, &err), err);
    for (int i = 0; i < n; i++) {
        ng_map map;
        CHECK_OK(ng_explain(s, i, NULL, &map, &err), err);
        ng_map_clear(&map);
    }
}

static ng_model *load(ng_model_info *info)
{
    ng_model *model;
    CHECK_OK(ng_model_load(NETGAZE_FIXTURES "/models/"
                                            "keras3.10_mobile/model.keras",
                           NULL, &model, &err),
             err);
    ng_model_describe(model, info);
    assert_true(info->automatic_layer >= 0);
    return model;
}

static void a_session_takes_its_block(void **state)
{
    (void)state;
    ng_model_info info;
    ng_model *model = load(&info);
    for (int batch = 1; batch <= 64; batch *= 8) {
        ng_session_opts opts;
        ng_session_opts_init(&opts);
        opts.batch = batch;
        opts.layers = &info.automatic_layer;
        opts.layer_count = 1;
        ng_session *first, *second;
        CHECK_OK(ng_session_create(model, &opts, &first, &err), err);
        size_t before = allocated(), block = ng_session_bytes(first);
        CHECK_OK(ng_session_clone(first, &second, &err), err);
        size_t after = allocated();
        assert_true(after - before >= block);
        assert_true(after - before <= block + block / 50 + 65536);
        ng_session_free(second);
        ng_session_free(first);
    }
    ng_model_free(model);
}

static void images_take_nothing(void **state)
{
    (void)state;
    enum { N = 4 };
    ng_model_info info;
    ng_model *model = load(&info);
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.batch = N;
    opts.layers = &info.automatic_layer;
    opts.layer_count = 1;
    ng_session *s;
    CHECK_OK(ng_session_create(model, &opts, &s, &err), err);
    size_t count =
        (size_t)N * (size_t)info.input_height * (size_t)info.input_width * (size_t)info.input_channels;
    float *input = malloc(count * sizeof *input);
    for (size_t i = 0; i < count; i++)
        input[i] = (float)(i % 251) / 251;
    explain(s, input, N);
    size_t before = allocated();
    for (int k = 1; k <= 50; k++)
        explain(s, input, k % N + 1);
    assert_int_equal(allocated(), before);
    free(input);
    ng_session_free(s);
    ng_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_session_takes_its_block),
                                       cmocka_unit_test(images_take_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
