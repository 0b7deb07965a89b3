/* Every instruction set this CPU has, against plain convolution in double: all kernel shapes, maps from 1x1
 * to 40x40, odd channels, unaligned pointers, one to sixteen threads, forward and back to the input. */
#include "check.h"

#include "exec/native/native.h"

static uint32_t seed = 1;

static float uniform(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
}

static float *filled(int64_t n, bool relu)
{
    float *x = malloc((size_t)n * sizeof *x + 4);
    for (int64_t i = 0; i < n; i++) {
        x[i] = uniform();
        if (relu && x[i] < 0)
            x[i] = 0;
    }
    return x;
}

/* One output element in double, and the sum of the products' magnitudes as the scale of its error. */
static double plain(const ngi_winograd_shape *s, const float *in, const float *kernel, int64_t y, int64_t x,
                    int64_t o, double *scale)
{
    double sum = 0;
    *scale = 0;
    for (int ky = 0; ky < s->kernel_h; ky++)
        for (int kx = 0; kx < s->kernel_w; kx++) {
            int64_t iy = y + ky - s->pad_top, ix = x + kx - s->pad_left;
            if (iy < 0 || iy >= s->in_h || ix < 0 || ix >= s->in_w)
                continue;
            for (int64_t i = 0; i < s->in_c; i++) {
                double term = (double)in[(iy * s->in_w + ix) * s->in_c + i] *
                              kernel[((int64_t)(ky * s->kernel_w + kx) * s->in_c + i) * s->out_c + o];
                sum += term;
                *scale += fabs(term);
            }
        }
    return sum;
}

/* The gradient at one input element: plain correlation with the flipped kernel. */
static double plain_back(const ngi_winograd_shape *s, const float *grad, const float *kernel, int64_t y,
                         int64_t x, int64_t i, double *scale)
{
    double sum = 0;
    *scale = 0;
    for (int ky = 0; ky < s->kernel_h; ky++)
        for (int kx = 0; kx < s->kernel_w; kx++) {
            int64_t oy = y - ky + s->pad_top, ox = x - kx + s->pad_left;
            if (oy < 0 || oy >= s->out_h || ox < 0 || ox >= s->out_w)
                continue;
            for (int64_t o = 0; o < s->out_c; o++) {
                double term = (double)grad[(oy * s->out_w + ox) * s->out_c + o] *
                              kernel[((int64_t)(ky * s->kernel_w + kx) * s->in_c + i) * s->out_c + o];
                sum += term;
                *scale += fabs(term);
            }
        }
    return sum;
}

static void check_forward(const ngi_native_isa *isa, const ngi_winograd_shape *s, int threads, bool unaligned)
{
    ng_error err;
    int64_t n_in = s->in_h * s->in_w * s->in_c, n_out = s->out_h * s->out_w * s->out_c;
    float *in = filled(n_in + 1, true) + unaligned, *bias = filled(s->out_c, false);
    float *kernel = filled((int64_t)s->kernel_h * s->kernel_w * s->in_c * s->out_c, false);
    float *out = (float *)malloc((size_t)(n_out + 1) * sizeof *out) + unaligned;
    ngi_winograd *c;
    CHECK_OK(ngi_winograd_create(isa, s, kernel, NULL, bias, threads, &c, &err), err);
    void *scratch = ngi_alloc_aligned(ngi_winograd_scratch(c));
    ngi_winograd_run(c, 1, in, out, s->out_c, false, scratch);
    for (int k = 0; k < 200; k++) {
        seed = seed * 1664525u + 1013904223u;
        int64_t at = seed % (uint32_t)n_out, o = at % s->out_c, x = at / s->out_c % s->out_w,
                y = at / s->out_c / s->out_w;
        double scale, expected = plain(s, in, kernel, y, x, o, &scale) + bias[o];
        if (!(fabs(out[at] - expected) <= (s->fine ? 4e-6 : 2e-5) * (scale + 1)))
            fail_msg("%s %lldx%lldx%lld -> %lld, kernel %dx%d, %d threads: [%lld,%lld,%lld] is %.9g, "
                     "expected %.9g",
                     isa->name, (long long)s->in_h, (long long)s->in_w, (long long)s->in_c,
                     (long long)s->out_c, s->kernel_h, s->kernel_w, threads, (long long)y, (long long)x,
                     (long long)o, out[at], expected);
    }
    /* again, adding: twice the same, bit for bit where nothing rounds */
    ngi_winograd_run(c, 1, in, out, s->out_c, true, scratch);
    for (int k = 0; k < 20; k++) {
        int64_t at = (int64_t)k * n_out / 20, o = at % s->out_c, x = at / s->out_c % s->out_w,
                y = at / s->out_c / s->out_w;
        double scale, expected = 2 * (plain(s, in, kernel, y, x, o, &scale) + bias[o]);
        CHECK_NEAR(out[at], expected, 4e-5 * (scale + 1));
    }
    ngi_winograd_free(c);
    ngi_free_aligned(scratch);
    free(in - unaligned);
    free(out - unaligned);
    free(kernel);
    free(bias);
}

static void check_backward(const ngi_native_isa *isa, const ngi_winograd_shape *s)
{
    ng_error err;
    int64_t n_in = s->in_h * s->in_w * s->in_c, n_out = s->out_h * s->out_w * s->out_c;
    float *grad = filled(n_out, false), *result = malloc((size_t)n_in * sizeof *result);
    float *kernel = filled((int64_t)s->kernel_h * s->kernel_w * s->in_c * s->out_c, false);
    ngi_winograd_shape back = {s->out_h,    s->out_w,   s->out_c,    s->in_h, s->in_w, s->in_c, s->kernel_h,
                               s->kernel_w, s->pad_top, s->pad_left, true,    s->fine, 1};
    ngi_winograd *c;
    CHECK_OK(ngi_winograd_create(isa, &back, kernel, NULL, NULL, 1, &c, &err), err);
    void *scratch = ngi_alloc_aligned(ngi_winograd_scratch(c));
    ngi_winograd_run(c, 1, grad, result, s->in_c, false, scratch);
    for (int k = 0; k < 100; k++) {
        seed = seed * 1664525u + 1013904223u;
        int64_t at = seed % (uint32_t)n_in, i = at % s->in_c, x = at / s->in_c % s->in_w,
                y = at / s->in_c / s->in_w;
        double scale, expected = plain_back(s, grad, kernel, y, x, i, &scale);
        CHECK_NEAR(result[at], expected, 2e-5 * (scale + 1));
    }
    ngi_winograd_free(c);
    ngi_free_aligned(scratch);
    free(grad);
    free(result);
    free(kernel);
}

static int some_threads(int k)
{
    static const int counts[] = {1, 2, 3, 4, 16};
    return counts[k % 5];
}

static const int kernels[][2] = {{3, 3}, {5, 5}, {1, 7}, {7, 1}, {1, 3}, {3, 1}, {7, 7}, {1, 5}, {5, 1}};

static ngi_winograd_shape shape_of(int64_t h, int64_t w, int64_t ic, int64_t oc, int kh, int kw, bool same)
{
    int top = same ? kh / 2 : 0, left = same ? kw / 2 : 0;
    return (ngi_winograd_shape){
        h, w, ic, h + 2 * top - kh + 1, w + 2 * left - kw + 1, oc, kh, kw, top, left, false, false, 1};
}

static void all_kernels_on_all_map_sizes(void **state)
{
    (void)state;
    for (const ngi_native_isa *const *isa = ngi_native_isa_all(); *isa; isa++)
        for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
            for (int size = 1; size <= 40; size++) {
                int kh = kernels[k][0], kw = kernels[k][1], w = (size * 7) % 40 + 1;
                bool same = size < 8 || w < 8 || size % 2;
                int ic = 1 + (size * 5) % 37, oc = 1 + (size * 11) % 71;
                ngi_winograd_shape s = shape_of(size, w, ic, oc, kh, kw, same);
                s.fine = size % 7 < 2;
                check_forward(*isa, &s, size % 5 == 0 ? some_threads(size / 5) : 1, size % 3 == 0);
                if (size % 4 == 0)
                    check_backward(*isa, &s);
            }
}

/* `images` at a time of three; [3,out_h,out_w,out_c] */
static float *run_with(ngi_winograd_shape s, const float *kernel, const float *in, int images, int threads)
{
    ng_error err;
    ngi_winograd *c;
    s.images = images;
    CHECK_OK(ngi_winograd_create(ngi_native_isa_best(), &s, kernel, NULL, NULL, threads, &c, &err), err);
    void *scratch = ngi_alloc_aligned(ngi_winograd_scratch(c));
    int64_t in_count = s.in_h * s.in_w * s.in_c, out_count = s.out_h * s.out_w * s.out_c;
    float *out = malloc((size_t)(3 * out_count) * sizeof *out);
    for (int i = 0; i < 3; i += images)
        ngi_winograd_run(c, images, in + i * in_count, out + i * out_count, s.out_c, false, scratch);
    ngi_free_aligned(scratch);
    ngi_winograd_free(c);
    return out;
}

static void any_number_of_threads_and_images_gives_the_same_bytes(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 4, 7, 16}, sides[] = {8, 17, 71};
    for (size_t k = 0; k < 3 * sizeof kernels / sizeof *kernels; k++) {
        int side = sides[k % 3];
        ngi_winograd_shape s = shape_of(side, side, 40, 72, kernels[k / 3][0], kernels[k / 3][1], true);
        float *in = filled(3 * side * side * 40, true), *kernel = filled(49 * 40 * 72, false);
        float *alone = run_with(s, kernel, in, 1, 1);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            float *out = run_with(s, kernel, in, i % 2 ? 1 : 3, counts[i]);
            assert_memory_equal(out, alone, (size_t)(3 * side * side * 72) * sizeof *out);
            free(out);
        }
        free(alone);
        free(in);
        free(kernel);
    }
}

/* 1x1 convolutions of all widths, to pixels that lie apart, forward and back. */
static void products(void **state)
{
    (void)state;
    ng_error err;
    for (const ngi_native_isa *const *isa = ngi_native_isa_all(); *isa; isa++)
        for (int k = 0; k < 120; k++) {
            int64_t rows = 1 + k * 7 % 101, ic = 1 + k * 13 % 83, oc = 1 + k * 29 % 97, gap = k % 3;
            bool back = k % 2;
            int threads = some_threads(k);
            float *in = filled(rows * ic, true), *kernel = filled(ic * oc, false), *bias = filled(oc, false);
            float *out = filled(rows * (oc + gap), false),
                  *before = malloc(sizeof *out * (size_t)(rows * (oc + gap)));
            memcpy(before, out, sizeof *out * (size_t)(rows * (oc + gap)));
            ngi_product *c;
            CHECK_OK(ngi_product_create(*isa, ic, oc, back, kernel, NULL, bias, threads, &c, &err), err);
            c->low = 0;
            for (int twice = 0; twice < 2; twice++)
                ngi_product_run(c, rows, in, out, oc + gap, twice);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t o = 0; o < oc + gap; o++) {
                    double sum = o < oc ? bias[o] : 0, scale = 1;
                    for (int64_t i = 0; i < ic && o < oc; i++) {
                        double term =
                            (double)in[r * ic + i] * (back ? kernel[o * ic + i] : kernel[i * oc + o]);
                        sum += term;
                        scale += fabs(term);
                    }
                    double expected = o >= oc ? before[r * (oc + gap) + o] : sum > 0 ? 2 * sum : 0;
                    CHECK_NEAR(out[r * (oc + gap) + o], expected, 4e-6 * scale);
                }
            ngi_product_free(c);
            free(in);
            free(kernel);
            free(bias);
            free(out);
            free(before);
        }
}

/* One number of a convolution with strides and without padding, in double. */
static double plain_direct(const ngi_direct *c, const float *in, const float *kernel, int64_t y, int64_t x,
                           int64_t o, double *scale)
{
    double sum = 0;
    *scale = 1;
    for (int ky = 0; ky < c->kernel_h; ky++)
        for (int kx = 0; kx < c->kernel_w; kx++)
            for (int64_t i = 0; i < c->in_c; i++) {
                double term =
                    (double)in[((y * c->stride_h + ky) * c->in_w + x * c->stride_w + kx) * c->in_c + i] *
                    kernel[((ky * c->kernel_w + kx) * c->in_c + i) * c->out_c + o];
                sum += term;
                *scale += fabs(term);
            }
    return sum;
}

static void check_direct(const ngi_native_isa *isa, int k)
{
    ng_error err;
    ngi_direct c = {.isa = isa,
                    .in_h = 7 + k % 19,
                    .in_w = 8 + k * 5 % 23,
                    .in_c = 1 + k * 13 % 37,
                    .out_c = (1 + k % 3) * 2 * isa->lanes,
                    .kernel_h = 1 + k % 4,
                    .kernel_w = 1 + k / 4 % 4,
                    .stride_h = 1 + k % 3,
                    .stride_w = 1 + k / 3 % 3,
                    .threads = some_threads(k)};
    c.out_h = (c.in_h - c.kernel_h) / c.stride_h + 1;
    c.out_w = (c.in_w - c.kernel_w) / c.stride_w + 1;
    int64_t stride = c.out_c + k % 3, pixels = c.out_h * c.out_w;
    float *in = filled(c.in_h * c.in_w * c.in_c, true), *bias = filled(c.out_c, false),
          *out = filled(pixels * stride, false);
    float *kernel = filled(c.kernel_h * c.kernel_w * c.in_c * c.out_c, false);
    CHECK_OK(ngi_direct_init(&c, kernel, NULL, bias, &err), err);
    c.low = 0;
    void *scratch = ngi_alloc_aligned(ngi_direct_scratch(&c));
    ngi_direct_part(&c, in, (ngi_rect){0, c.out_h, 0, c.out_w}, out, stride, scratch);
    for (int64_t at = 0; at < pixels * c.out_c; at += 1 + at % 5) {
        double scale, sum = bias[at % c.out_c] + plain_direct(&c, in, kernel, at / c.out_c / c.out_w,
                                                              at / c.out_c % c.out_w, at % c.out_c, &scale);
        CHECK_NEAR(out[at / c.out_c * stride + at % c.out_c], sum > 0 ? sum : 0, 2e-6 * scale);
    }
    ngi_direct_clear(&c);
    ngi_free_aligned(scratch);
    free(in);
    free(bias);
    free(out);
    free(kernel);
}

static void strides(void **state)
{
    (void)state;
    for (const ngi_native_isa *const *isa = ngi_native_isa_all(); *isa; isa++)
        for (int k = 0; k < 100; k++)
            check_direct(*isa, k);
}

/* One cell of a pool in double; *any tells whether a NaN is among what it is made of. */
static double plain_pool(const ngi_native_pool *p, const float *in, int64_t oy, int64_t ox, int64_t c,
                         bool *any)
{
    double sum = 0, most = -INFINITY;
    int count = 0;
    *any = false;
    for (int64_t y = oy * p->stride[0] - p->before[0], ky = 0; ky < p->kernel[0]; ky++, y++)
        for (int64_t x = ox * p->stride[1] - p->before[1], kx = 0; kx < p->kernel[1]; kx++, x++) {
            if (y < 0 || y >= p->h || x < 0 || x >= p->w)
                continue;
            double v = in[(y * p->w + x) * p->c + c];
            *any = *any || v != v;
            most = v > most ? v : most;
            sum += v;
            count++;
        }
    return p->average ? sum / count : most;
}

static void check_pool(const ngi_native_isa *isa, int k)
{
    ngi_attr a;
    ngi_attr_init(&a);
    a.kernel_h = 1 + k % 4;
    a.kernel_w = k % 7 == 0 ? 9 : 1 + k / 4 % 4;
    a.stride_h = 1 + k % 3;
    a.stride_w = 1 + k % 2;
    int64_t h = 9 + k % 11, w = 9 + k % 13, c = 1 + k * 17 % 70, gap = k % 3;
    ngi_shape in_shape = ngi_shape_of(3, h, w, c);
    int after;
    ngi_same_padding(h, a.kernel_h, a.stride_h, 1, &a.pad.top, &after);
    ngi_same_padding(w, a.kernel_w, a.stride_w, 1, &a.pad.left, &after);
    ngi_shape out_shape =
        ngi_shape_of(3, (h + a.stride_h - 1) / a.stride_h, (w + a.stride_w - 1) / a.stride_w, c);
    ngi_native_pool p;
    assert_true(ngi_native_pool_init(&p, isa, k % 2 ? NGI_OP_AVG_POOL : NGI_OP_MAX_POOL, &a, &in_shape,
                                     &out_shape, some_threads(k)));
    float *in = filled(h * w * c, false), *bias = filled(c, false),
          *out = filled(p.oh * p.ow * (c + gap), false);
    if (k % 5 == 0)
        in[h * w / 2 * c] = NAN;
    ngi_native_end then = {k % 3 ? bias : NULL, -0.5f, 0.5f};
    void *scratch = ngi_alloc_aligned(ngi_native_pool_scratch(&p) * (size_t)p.threads);
    ngi_native_pool_part(&p, in, 0, (ngi_rect){0, p.oh, 0, p.ow}, out, c + gap, &then, scratch);
    for (int64_t i = 0; i < p.oh * p.ow * c; i++) {
        bool any;
        double expected = plain_pool(&p, in, i / c / p.ow, i / c % p.ow, i % c, &any);
        float found = out[i / c * (c + gap) + i % c];
        if (any) {
            assert_true(found != found);
            continue;
        }
        if (then.bias)
            expected = fmin(fmax(expected + bias[i % c], -0.5), 0.5);
        CHECK_NEAR(found, expected, 1e-6);
    }
    ngi_free_aligned(scratch);
    free(in);
    free(bias);
    free(out);
}

static void pools(void **state)
{
    (void)state;
    for (const ngi_native_isa *const *isa = ngi_native_isa_all(); *isa; isa++)
        for (int k = 0; k < 210; k++)
            check_pool(*isa, k);
}

/* BT, G, AT reproduce a direct 1-D convolution in double. */
static void transforms_are_exact(void **state)
{
    (void)state;
    for (int k = 0; k < 6; k++) {
        ngi_cook_toom t;
        int r = 3 + k / 2 * 2;
        ngi_cook_toom_init(&t, k % 2 ? 6 : 4, r);
        double d[NGI_WINO_MAX_A], g[7];
        for (int i = 0; i < t.a; i++)
            d[i] = uniform();
        for (int i = 0; i < r; i++)
            g[i] = uniform();
        for (int y = 0; y < t.m; y++) {
            double direct = 0, fast = 0;
            for (int i = 0; i < r; i++)
                direct += d[y + i] * g[i];
            for (int f = 0; f < t.a; f++) {
                double u = 0, v = 0;
                for (int i = 0; i < r; i++)
                    u += t.g[f][i] * g[i];
                for (int i = 0; i < t.a; i++)
                    v += t.bt[f][i] * d[i];
                fast += t.at[y][f] * u * v;
            }
            CHECK_NEAR(fast, direct, 2e-6);
        }
    }
}

static void allocation_failures_are_reported(void **state)
{
    (void)state;
    ng_error err;
    ngi_winograd_shape s = shape_of(9, 9, 16, 16, 3, 3, true);
    float *kernel = filled(9 * 16 * 16, false);
    for (long k = 1; k < 10; k++) {
        ngi_winograd *c;
        ngi_alloc_fail_at(k);
        ng_status status = ngi_winograd_create(ngi_native_isa_best(), &s, kernel, NULL, NULL, 1, &c, &err);
        bool reached = ngi_alloc_count() >= k;
        ngi_alloc_fail_at(0);
        assert_int_equal(status, reached ? NG_E_MEMORY : NG_OK);
        ngi_winograd_free(c);
    }
    free(kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transforms_are_exact),
        cmocka_unit_test(all_kernels_on_all_map_sizes),
        cmocka_unit_test(products),
        cmocka_unit_test(pools),
        cmocka_unit_test(strides),
        cmocka_unit_test(any_number_of_threads_and_images_gives_the_same_bytes),
        cmocka_unit_test(allocation_failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
