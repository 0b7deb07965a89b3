/* Weights' gradients of every instruction set this CPU has, against plain sums in double: all kernel shapes, strides and
 * dilations, maps from 1x1 to 40x40, odd channels, unaligned pointers, batches that are not full, one to four threads. */
#include "check.h"

#include "exec/native/native.h"

static uint32_t seed = 1;

static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* Activations behind a relu, or gradients that one has passed. */
static float *filled(int64_t n, bool positive)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)next_random() / (float)(1 << 23) - 1.0f;
        if (positive ? x[i] < 0 : next_random() % 3 == 0)
            x[i] = 0;
    }
    return x;
}

typedef struct gradient_case {
    ngi_gradient_shape s;
    int batch, n, threads;
    bool unaligned;
} gradient_case;

/* One element in double, and the sum of the products' magnitudes as the scale of its error. */
static double plain(const ngi_gradient_shape *s, int n, const float *in, const float *grad, int64_t at,
                    double *scale)
{
    int64_t o = at % s->out_c, i = at / s->out_c % s->in_c, tap = at / s->out_c / s->in_c;
    int64_t ky = tap / s->kernel_w, kx = tap % s->kernel_w;
    double sum = *scale = 0;
    for (int64_t line = 0; line < n * s->out_h; line++) {
        int64_t image = line / s->out_h, iy = line % s->out_h * s->stride_h - s->pad_top + ky * s->dilation_h;
        for (int64_t x = 0; x < s->out_w && iy >= 0 && iy < s->in_h; x++) {
            int64_t ix = x * s->stride_w - s->pad_left + kx * s->dilation_w;
            if (ix < 0 || ix >= s->in_w)
                continue;
            double term = (double)in[((image * s->in_h + iy) * s->in_w + ix) * s->in_c + i] *
                          grad[(line * s->out_w + x) * s->out_c + o];
            sum += term;
            *scale += fabs(term);
        }
    }
    return sum;
}

static void check(const ngi_native_isa *isa, const gradient_case *k)
{
    const ngi_gradient_shape *s = &k->s;
    int64_t n_in = k->n * s->in_h * s->in_w * s->in_c, n_grad = k->n * s->out_h * s->out_w * s->out_c,
            n_kernel = s->kernel_h * s->kernel_w * s->in_c * s->out_c;
    float *in = filled(n_in + 1, true), *grad = filled(n_grad + 1, false),
          *after = filled(n_kernel + 1, false);
    ngi_gradient c;
    ngi_gradient_init(&c, isa, s, k->batch, k->threads);
    void *scratch = ngi_alloc_aligned(ngi_gradient_scratch(&c));
    memset(scratch, 0xff, ngi_gradient_scratch(&c)); /* not numbers */
    ngi_gradient_run(&c, k->n, in + k->unaligned, grad + k->unaligned, after + k->unaligned, scratch);
    enum { SAMPLES = 30 };
    int64_t at[SAMPLES];
    double expected[SAMPLES], scale, most = 0;
    for (int t = 0; t < SAMPLES; t++) {
        at[t] = t < 2 ? t * (n_kernel - 1) : next_random() % n_kernel;
        expected[t] = plain(s, k->n, in + k->unaligned, grad + k->unaligned, at[t], &scale);
        most = fmax(most, scale); /* taps at the rim have fewer terms, and share the others' rounding */
    }
    for (int t = 0; t < SAMPLES; t++) {
        double got = after[k->unaligned + at[t]];
        if (!(fabs(got - expected[t]) <= 5e-6 * (most + 2)))
            fail_msg("%s %lldx%lldx%lld -> %lldx%lldx%lld, kernel %dx%d, stride %d,%d, dilation %d,%d, %d of "
                     "%d images, "
                     "%d threads: [%lld] is %.9g, expected %.9g (scale %g)",
                     isa->name, (long long)s->in_h, (long long)s->in_w, (long long)s->in_c,
                     (long long)s->out_h, (long long)s->out_w, (long long)s->out_c, s->kernel_h, s->kernel_w,
                     s->stride_h, s->stride_w, s->dilation_h, s->dilation_w, k->n, k->batch, k->threads,
                     (long long)at[t], got, expected[t], most);
    }
    ngi_free_aligned(scratch);
    free(in);
    free(grad);
    free(after);
}

static ngi_gradient_shape shape_of(int64_t h, int64_t w, int64_t ic, int64_t oc, int kh, int kw, int stride,
                                   int dilation, bool same)
{
    int reach_h = (kh - 1) * dilation, reach_w = (kw - 1) * dilation;
    int top = same ? reach_h / 2 : 0, left = same ? reach_w / 2 : 0;
    int64_t out_h = (h + (same ? reach_h : 0) - reach_h - 1) / stride + 1,
            out_w = (w + (same ? reach_w : 0) - reach_w - 1) / stride + 1;
    return (ngi_gradient_shape){h,  w,      ic,     out_h,    out_w,    oc,  kh,
                                kw, stride, stride, dilation, dilation, top, left};
}

static const int kernels[][4] = {/* height, width, stride, dilation */
                                 {1, 1, 1, 1}, {3, 3, 1, 1}, {5, 5, 1, 1}, {1, 7, 1, 1}, {7, 1, 1, 1},
                                 {1, 3, 1, 1}, {3, 1, 1, 1}, {1, 5, 1, 1}, {5, 1, 1, 1}, {7, 7, 1, 1},
                                 {3, 3, 2, 1}, {1, 1, 2, 1}, {3, 3, 1, 2}, {2, 3, 1, 1}, {5, 3, 3, 2}};

static void all_kernels_on_all_map_sizes(void **state)
{
    (void)state;
    const ngi_native_isa *const *all = ngi_native_isa_all();
    for (int i = 0; all[i]; i++)
        for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
            for (int t = 0; t < 32; t++) {
                const int *w = kernels[k];
                int64_t h = t < 4 ? t + 1 : 1 + (int64_t)next_random() % 40,
                        x = t < 2 ? 1 : 1 + (int64_t)next_random() % 40;
                bool same = t % 3 != 0 || h <= (w[0] - 1) * w[3] || x <= (w[1] - 1) * w[3];
                int64_t ic = 1 + next_random() % 70, oc = 1 + next_random() % 70;
                gradient_case c = {.s = shape_of(h, x, ic, oc, w[0], w[1], w[2], w[3], same),
                                   .batch = 1 + t % 4,
                                   .threads = 1 + t / 4 % 4,
                                   .unaligned = t % 2};
                c.n = 1 + (int)(next_random() % (uint32_t)c.batch);
                check(all[i], &c);
            }
}

/* More places than a pass takes. */
static void large_batches(void **state)
{
    (void)state;
    static const int shapes[][4] = {{3, 3, 1, 1}, {1, 7, 1, 1}, {1, 1, 1, 1}, {3, 3, 2, 1}};
    for (int k = 0; k < 4; k++) {
        const int *w = shapes[k];
        gradient_case c = {.s = shape_of(40, 37, 150, 90, w[0], w[1], w[2], w[3], true),
                           .batch = 5,
                           .n = 5,
                           .threads = 1 + k % 2};
        ngi_gradient g;
        ngi_gradient_init(&g, ngi_native_isa_best(), &c.s, c.batch, c.threads);
        assert_true(w[2] == 2 || g.most < c.n * g.lines * g.along);
        check(ngi_native_isa_best(), &c);
    }
}

/* Off by no more than this of the gradients' root mean square: what short sums (gradients.inc.h) are for, and what is asked of a
 * trained layer. */
static void transforms_are_exact_enough(void **state)
{
    (void)state;
    static const struct {
        int size, kernel_h, kernel_w;
        double most;
    } rows[] = {{17, 1, 7, 4e-6}, {17, 7, 1, 4e-6},   {8, 3, 3, 1e-6}, {8, 1, 3, 1e-6},
                {35, 5, 5, 4e-6}, {35, 3, 3, 3.5e-6}, {17, 1, 1, 3e-7}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        ngi_gradient_shape s =
            shape_of(rows[k].size, rows[k].size, 32, 32, rows[k].kernel_h, rows[k].kernel_w, 1, 1, true);
        int64_t n_kernel = s.kernel_h * s.kernel_w * s.in_c * s.out_c;
        float *in = filled(4 * s.in_h * s.in_w * s.in_c, true),
              *grad = filled(4 * s.out_h * s.out_w * s.out_c, false),
              *to = calloc((size_t)n_kernel, sizeof *to);
        ngi_gradient c;
        ngi_gradient_init(&c, ngi_native_isa_best(), &s, 4, 1);
        void *scratch = ngi_alloc_aligned(ngi_gradient_scratch(&c));
        ngi_gradient_run(&c, 4, in, grad, to, scratch);
        double off = 0, norm = 0, scale;
        for (int64_t at = 0; at < n_kernel; at += 7) {
            double expected = plain(&s, 4, in, grad, at, &scale);
            off += (to[at] - expected) * (to[at] - expected);
            norm += expected * expected;
        }
        off = sqrt(off / norm);
        if (!(off <= rows[k].most))
            fail_msg("%dx%d on %dx%d: off by %.2g, allowed %g", s.kernel_h, s.kernel_w, rows[k].size,
                     rows[k].size, off, rows[k].most);
        ngi_free_aligned(scratch);
        free(in);
        free(grad);
        free(to);
    }
}

static void the_transform_is_used_where_it_saves(void **state)
{
    (void)state;
    static const struct {
        int h, w, kernel_h, kernel_w, stride, m;
        bool two_d;
    } rows[] = {{17, 17, 1, 7, 1, 6, false}, {17, 17, 7, 1, 1, 6, false}, {8, 8, 3, 3, 1, 4, true},
                {8, 8, 1, 3, 1, 4, false},   {35, 35, 5, 5, 1, 4, true},  {36, 36, 3, 3, 1, 6, true},
                {8, 8, 1, 1, 1, 0, false},   {17, 17, 3, 3, 2, 0, false}, {1, 1, 3, 3, 1, 0, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ngi_gradient_shape s = shape_of(rows[i].h, rows[i].w, 32, 32, rows[i].kernel_h, rows[i].kernel_w,
                                        rows[i].stride, 1, rows[i].stride == 1);
        ngi_gradient c;
        ngi_gradient_init(&c, ngi_native_isa_best(), &s, 1, 1);
        assert_int_equal(c.transforms ? c.t.m : 0, rows[i].m);
        assert_int_equal(c.two_d, rows[i].two_d);
    }
}

static void any_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    const ngi_native_isa *const *all = ngi_native_isa_all();
    for (int i = 0; all[i]; i++)
        for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
            const int *w = kernels[k];
            ngi_gradient_shape s = shape_of(19, 23, 45, 71, w[0], w[1], w[2], w[3], true);
            size_t n_kernel = (size_t)(s.kernel_h * s.kernel_w * s.in_c * s.out_c);
            float *in = filled(2 * s.in_h * s.in_w * s.in_c, true),
                  *grad = filled(2 * s.out_h * s.out_w * s.out_c, false);
            float *first = calloc(n_kernel, sizeof *first), *other = calloc(n_kernel, sizeof *other);
            for (int threads = 1; threads <= 4; threads++) {
                float *to = threads == 1 ? first : other;
                ngi_gradient c;
                ngi_gradient_init(&c, all[i], &s, 2, threads);
                void *scratch = ngi_alloc_aligned(ngi_gradient_scratch(&c));
                ngi_gradient_run(&c, 2, in, grad, to, scratch);
                assert_memory_equal(to, first, n_kernel * sizeof *to);
                ngi_free_aligned(scratch);
            }
            free(in);
            free(grad);
            free(first);
            free(other);
        }
}

static void totals(void **state)
{
    (void)state;
    const ngi_native_isa *const *all = ngi_native_isa_all();
    for (int i = 0; all[i]; i++)
        for (int64_t channels = 1; channels < 80; channels++) {
            enum { ROWS = 37 };
            int64_t stride = channels + channels % 3;
            float *x = filled(ROWS * stride, false), *to = filled(channels, false);
            double expected[80];
            for (int64_t c = 0; c < channels; c++) {
                double sum = 0;
                for (int r = 0; r < ROWS; r++)
                    sum += x[r * stride + c];
                expected[c] = sum;
            }
            all[i]->total(ROWS, x, stride, channels, to);
            for (int64_t c = 0; c < channels; c++)
                assert_true(to[c] == (float)expected[c]);
            free(x);
            free(to);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kernels_on_all_map_sizes),
        cmocka_unit_test(large_batches),
        cmocka_unit_test(transforms_are_exact_enough),
        cmocka_unit_test(the_transform_is_used_where_it_saves),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bytes),
        cmocka_unit_test(totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
