/* Every convolution and pool shape of InceptionV3 at 299x299: correct, and on an optimised implementation
 * of oneDNN. Its reference code is hundreds of times slower and is chosen without a word. */
#include "oracle.h"

/* side of the input, channels in, channels out, kernel height and width, stride, same padding */
static const int convolutions[][7] = {
    {299, 3, 32, 3, 3, 2, 0},   {149, 32, 32, 3, 3, 1, 0},  {147, 32, 64, 3, 3, 1, 1},
    {73, 64, 80, 1, 1, 1, 0},   {73, 80, 192, 3, 3, 1, 0},  {35, 192, 64, 1, 1, 1, 1},
    {35, 192, 48, 1, 1, 1, 1},  {35, 48, 64, 5, 5, 1, 1},   {35, 64, 96, 3, 3, 1, 1},
    {35, 96, 96, 3, 3, 1, 1},   {35, 192, 32, 1, 1, 1, 1},  {35, 256, 64, 1, 1, 1, 1},
    {35, 256, 48, 1, 1, 1, 1},  {35, 288, 64, 1, 1, 1, 1},  {35, 288, 48, 1, 1, 1, 1},
    {35, 288, 384, 3, 3, 2, 0}, {35, 96, 96, 3, 3, 2, 0},   {17, 768, 192, 1, 1, 1, 1},
    {17, 768, 128, 1, 1, 1, 1}, {17, 128, 128, 1, 7, 1, 1}, {17, 128, 192, 7, 1, 1, 1},
    {17, 128, 128, 7, 1, 1, 1}, {17, 128, 192, 1, 7, 1, 1}, {17, 768, 160, 1, 1, 1, 1},
    {17, 160, 160, 1, 7, 1, 1}, {17, 160, 192, 7, 1, 1, 1}, {17, 160, 160, 7, 1, 1, 1},
    {17, 160, 192, 1, 7, 1, 1}, {17, 192, 192, 1, 7, 1, 1}, {17, 192, 192, 7, 1, 1, 1},
    {17, 192, 320, 3, 3, 2, 0}, {17, 192, 192, 3, 3, 2, 0}, {8, 1280, 320, 1, 1, 1, 1},
    {8, 1280, 384, 1, 1, 1, 1}, {8, 384, 384, 1, 3, 1, 1},  {8, 384, 384, 3, 1, 1, 1},
    {8, 1280, 448, 1, 1, 1, 1}, {8, 448, 384, 3, 3, 1, 1},  {8, 1280, 192, 1, 1, 1, 1},
    {8, 2048, 320, 1, 1, 1, 1}, {8, 2048, 384, 1, 1, 1, 1}, {8, 2048, 448, 1, 1, 1, 1},
    {8, 2048, 192, 1, 1, 1, 1},
};

/* side, channels, kernel, stride, max, same padding */
static const int pools[][6] = {{147, 64, 3, 2, 1, 0}, {71, 192, 3, 2, 1, 0}, {35, 192, 3, 1, 0, 1},
                               {35, 288, 3, 2, 1, 0}, {17, 768, 3, 1, 0, 1}, {17, 768, 3, 2, 1, 0},
                               {8, 1280, 3, 1, 0, 1}};

static layer convolution(uint32_t i)
{
    const int *c = convolutions[i];
    return (layer){.op = NGI_OP_CONV2D,
                   .h = c[0],
                   .w = c[0],
                   .ic = c[1],
                   .oc = c[2],
                   .kh = c[3],
                   .kw = c[4],
                   .stride = c[5],
                   .dilation = 1,
                   .groups = 1,
                   .same = c[6],
                   .bias = true,
                   .act = activation(NGI_ACT_RELU),
                   .batch = 1,
                   .n = 1,
                   .threads = 1,
                   .seed = 700 + i};
}

/* The implementations of a layer, without running it. */
static void prepare_only(const layer *l, char name[64])
{
    fixture f = {.l = *l};
    ngi_kernel k = {0};
    f.kernel = calloc((size_t)l->kh * l->kw * l->ic * l->oc, sizeof(float));
    f.bias = calloc((size_t)l->oc, sizeof(float));
    assert_non_null(f.kernel);
    assert_non_null(f.bias);
    fixture_step(&f);
    if (ngi_backend_onednn.prepare(&f.step, l->batch, l->threads, &k, NULL) != NG_OK)
        fail_layer(l, "none", "passed on");
    memcpy(name, k.name, sizeof k.name);
    k.destroy(&k);
    fixture_clear(&f);
}

static void test_optimised(void **state)
{
    (void)state;
    char name[64];
    for (int threads = 1; threads <= 2; threads++)
        for (uint32_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++) {
            layer l = convolution(i);
            l.backward = true;
            l.threads = threads;
            prepare_only(&l, name);
            if (strstr(name, "ref"))
                fail_layer(&l, name, "slow implementation");
        }
}

static void test_small_maps_correct(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++) {
        layer l = convolution(i);
        if ((int64_t)l.h * l.w * l.ic * l.oc * l.kh * l.kw > 20000000)
            l.h = l.w = 5; /* the loops it is compared with are slow */
        l.backward = true;
        assert_true(check_layer(&l, NULL));
    }
}

static void test_pools(void **state)
{
    (void)state;
    char name[64];
    for (uint32_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        const int *p = pools[i];
        layer l = {.op = p[4] ? NGI_OP_MAX_POOL : NGI_OP_AVG_POOL,
                   .h = p[0],
                   .w = p[0],
                   .ic = p[1],
                   .kh = p[2],
                   .kw = p[2],
                   .stride = p[3],
                   .dilation = 1,
                   .groups = 1,
                   .same = p[5],
                   .backward = true,
                   .batch = 1,
                   .n = 1,
                   .threads = 1,
                   .seed = 900 + i};
        assert_true(check_layer(&l, name));
        assert_null(strstr(name, "ref"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimised),
        cmocka_unit_test(test_small_maps_correct),
        cmocka_unit_test(test_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
