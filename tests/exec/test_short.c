/* Convolutions of bf16 and 8-bit numbers are exact for the rounded numbers: inputs and weights are rounded here by their
 * definition, multiplied and added in double, and the kernels must agree. Transformed 8-bit ones must agree with the weights
 * as they are, to a tenth of what 8 bits would cost. Where the processor has no such kernels the step is float32, and agrees
 * with the numbers as they are. */
#include "exec/net.h"

#include "exec/calibrate.h"
#include "exec/native/native.h"

typedef struct scene {
    ngi_graph *g;
    int input, conv;
    float *x;
} scene;

typedef struct variant {
    int side, in, out, kernel, stride;
    bool bias, relu, positive; /* inputs from 0 up */
} variant;

static const variant variants[] = {
    {9, 16, 24, 1, 1, true, true, true},    {9, 16, 24, 1, 1, false, false, true},
    {12, 32, 16, 3, 1, true, true, true},   {13, 16, 32, 3, 2, true, true, true},
    {10, 24, 20, 5, 1, true, false, false}, {8, 48, 32, 3, 1, false, true, false},
    {17, 64, 64, 3, 1, true, true, true},   {26, 32, 48, 3, 1, true, true, true},
    {23, 18, 33, 3, 1, false, false, true}, {25, 96, 64, 3, 1, true, true, true},
    {11, 14, 70, 3, 2, true, true, true},   {15, 8, 40, 7, 1, false, true, false},
};

static scene make_scene(const variant *v)
{
    scene s = {.g = net_new()};
    ng_error err = {0};
    net_random_state = 5;
    s.input = net_image(s.g, v->side, v->side, v->in);
    s.conv = net_conv(s.g, s.input, net_window(v->kernel, v->kernel, v->stride, 1, true), v->out, v->bias);
    net_output(s.g, v->relu ? net_activation(s.g, NGI_ACT_RELU, s.conv) : s.conv);
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    int64_t n = ngi_shape_count(&s.g->nodes[s.input].shape);
    s.x = net_floats(n);
    for (int64_t i = 0; i < n && v->positive; i++)
        s.x[i] = fabsf(s.x[i]);
    return s;
}

/* ---- Rounding by definition -------------------------------------------------------------------- */

/* To the nearest of the 8-bit mantissas, ties to even. */
static double to_bf16(double value)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits += 0x7FFF + (bits >> 16 & 1);
    bits &= 0xFFFF0000;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Values [n] as multiples of range / levels. */
static void to_levels(const float *from, int64_t n, int64_t step, double range, double levels, double *to)
{
    for (int64_t i = 0; i < n; i += step)
        to[i] = range > 0 ? rint(from[i] * (levels / range)) * (range / levels) : 0;
}

static double largest(const float *x, int64_t n, int64_t step)
{
    double most = 0;
    for (int64_t i = 0; i < n; i += step)
        most = fmax(most, fabs(x[i]));
    return most;
}

/* How a kernel rounds. CARRIED: what a weight loses is added to the next tap's, behind the last one to the next input
 * channel's first. */
typedef enum rounding { NONE, BF16, NEAREST, CARRIED, TRANSFORMED } rounding;

static const struct {
    const char *name; /* part of the kernel's */
    rounding how;
    double allowed; /* of the largest output */
} arithmetics[] = {{"bf16 ", BF16, 2e-4},
                   {"int8 direct", CARRIED, 2e-6},
                   {"int8 winograd", TRANSFORMED, 2e-3},
                   {"int8 ", NEAREST, 2e-4},
                   {"", NONE, 2e-4}};

/* w [taps,in] of one output, `out` numbers apart. */
static void carry(const variant *v, const float *w, double *to)
{
    int taps = v->kernel * v->kernel;
    float step = (float)(largest(w, (int64_t)taps * v->in * v->out - (v->out - 1), v->out) / 127);
    double carried = 0;
    for (int i = 0; i < v->in; i++)
        for (int t = 0; t < taps; t++) {
            int64_t at = (int64_t)(t * v->in + i) * v->out;
            double wanted = (double)w[at] / step + carried, found = fmax(fmin(rint(wanted), 127), -127);
            to[at] = found * step;
            carried = wanted - found;
        }
}

/* x [n] and the kernel w [m], whose innermost axis has `out` channels, as the back end sees them. */
static void round_both(rounding how, const variant *v, const float *x, int64_t n, const float *w, int64_t m,
                       double *rx, double *rw)
{
    for (int64_t i = 0; i < n; i++)
        rx[i] = how == BF16 ? to_bf16(x[i]) : x[i];
    for (int64_t i = 0; i < m; i++)
        rw[i] = how == BF16 ? to_bf16(w[i]) : w[i];
    if (how == NONE || how == BF16)
        return;
    to_levels(x, n, 1, largest(x, n, 1), v->positive ? 255 : 127, rx);
    for (int o = 0; o < v->out; o++)
        if (how == NEAREST)
            to_levels(w + o, m - o, v->out, largest(w + o, m - o, v->out), 127, rw + o);
        else if (how == CARRIED)
            carry(v, w + o, rw + o);
}

/* One output [y,x,o] of a "same" convolution. */
static double convolve(const scene *s, const variant *v, const double *x, const double *w, int64_t row,
                       int64_t column, int o)
{
    const ngi_attr *a = &s->g->nodes[s->conv].attr;
    double sum = v->bias ? s->g->weights[s->g->nodes[s->conv].weights[1]].data[o] : 0;
    for (int ky = 0; ky < v->kernel; ky++)
        for (int kx = 0; kx < v->kernel; kx++) {
            int64_t y = row * v->stride + ky - a->pad.top, at = column * v->stride + kx - a->pad.left;
            if (y < 0 || at < 0 || y >= v->side || at >= v->side)
                continue;
            for (int c = 0; c < v->in; c++)
                sum +=
                    x[(y * v->side + at) * v->in + c] * w[((ky * v->kernel + kx) * v->in + c) * v->out + o];
        }
    return v->relu && sum < 0 ? 0 : sum;
}

/* ---- The kernels ------------------------------------------------------------------------------- */

/* The last kernel listed is the convolution's. */
static int arithmetic_of(const char *kernels)
{
    int k = 0;
    while (!strstr(kernels, arithmetics[k].name))
        k++;
    return k;
}

static void check_outputs(const scene *s, const variant *v, const char *kernels, const float *out)
{
    int k = arithmetic_of(kernels);
    const ngi_shape *shape = &s->g->nodes[s->conv].shape;
    const ngi_weight *kernel = &s->g->weights[s->g->nodes[s->conv].weights[0]];
    int64_t n = ngi_shape_count(&s->g->nodes[s->input].shape), m = ngi_shape_count(&kernel->shape);
    double *rx = malloc((size_t)n * sizeof *rx), *rw = malloc((size_t)m * sizeof *rw);
    assert_true(rx && rw);
    round_both(arithmetics[k].how, v, s->x, n, kernel->data, m, rx, rw);
    double most = 0;
    for (int64_t i = 0; i < ngi_shape_count(shape); i++)
        most = fmax(most, fabs(out[i]));
    assert_true(most > 0);
    for (int64_t y = 0; y < shape->dim[0]; y++)
        for (int64_t x = 0; x < shape->dim[1]; x++)
            for (int o = 0; o < v->out; o++) {
                double wanted = convolve(s, v, rx, rw, y, x, o);
                double found = out[(y * shape->dim[1] + x) * v->out + o];
                if (!(fabs(found - wanted) <= arithmetics[k].allowed * most))
                    fail_msg("%s %dx%d kernel: [%d,%d,%d] is %.7g, expected %.7g", kernels, v->kernel,
                             v->kernel, (int)y, (int)x, o, found, wanted);
            }
    free(rx);
    free(rw);
}

static void check_variant(const variant *v, const char *backend, int threads)
{
    scene s = make_scene(v);
    ngi_calibration *c;
    ngi_plan *plan;
    ngi_run_session *run;
    ng_error err = {0};
    int root = s.g->outputs[0];
    CHECK_OK(ngi_calibration_create(s.g, root, &c, &err), err);
    const float *input = s.x;
    CHECK_OK(ngi_calibration_add(c, input, &err), err);
    ngi_plan_opts o = {.batch = 1,
                       .threads = threads,
                       .backend = backend,
                       .root = root,
                       .ranges = ngi_calibration_ranges(c)};
    CHECK_OK(ngi_plan_create(s.g, &o, &plan, &err), err);
    CHECK_OK(ngi_run_session_create(plan, &run, &err), err);
    CHECK_OK(ngi_run_forward(run, &input, 1, &err), err);
    if (!strstr(ngi_plan_kernels(plan), backend))
        print_message("%s: float32 here (%s)\n", backend, ngi_plan_kernels(plan));
    check_outputs(&s, v, ngi_plan_kernels(plan), ngi_run_activation(run, root));
    ngi_run_session_free(run);
    ngi_plan_free(plan);
    ngi_calibration_free(c);
    free(s.x);
    ngi_graph_free(s.g);
}

static void bf16_products_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        check_variant(&variants[i], "bf16", 1);
}

static void int8_products_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        for (int threads = 1; threads <= 3; threads++)
            check_variant(&variants[i], "int8", threads);
}

/* What processors use that our own kernels leave to oneDNN. */
static void onednns_int8_products_are_exact(void **state)
{
    (void)state;
    const char *set = getenv("NETGAZE_MAX_ISA");
    char *before = set ? strdup(set) : NULL;
    assert_int_equal(setenv("NETGAZE_MAX_ISA", "avx2", 1), 0);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        check_variant(&variants[i], "int8", 1);
    assert_int_equal(before ? setenv("NETGAZE_MAX_ISA", before, 1) : unsetenv("NETGAZE_MAX_ISA"), 0);
    free(before);
}

#if defined(__x86_64__)
static bool kernels_hold(const variant *v, const char *name)
{
    scene s = make_scene(v);
    ngi_plan *plan;
    ng_error err = {0};
    ngi_plan_opts o = {.batch = 1, .threads = 1, .backend = "bf16", .root = s.g->outputs[0]};
    CHECK_OK(ngi_plan_create(s.g, &o, &plan, &err), err);
    bool found = strstr(ngi_plan_kernels(plan), name) != NULL;
    ngi_plan_free(plan);
    free(s.x);
    ngi_graph_free(s.g);
    return found;
}

/* A fifth of the products in float32 is less than all of them at twice the rate. */
static void bf16_leaves_transforms_alone(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("avx512bf16") || ngi_native_has_amx() || getenv("NETGAZE_MAX_ISA") ||
        getenv("ONEDNN_MAX_CPU_ISA"))
        skip();
    assert_true(kernels_hold(&(variant){17, 64, 64, 3, 1, true, true, true}, "winograd"));
    assert_true(kernels_hold(&(variant){17, 64, 64, 1, 1, true, true, true}, "bf16 "));
}
#endif

/* Without ranges, and where a gradient is wanted, convolutions stay what they are. */
static void float32_where_it_must_be(void **state)
{
    (void)state;
    static const char *const backends[] = {"bf16", "int8"};
    scene s = make_scene(&variants[0]);
    int root = s.g->outputs[0];
    ng_error err = {0};
    for (int i = 0; i < 2; i++) {
        ngi_plan *plan;
        ngi_plan_opts o = {
            .batch = 1, .threads = 1, .backend = backends[i], .grads = &s.input, .n_grads = 1, .root = root};
        CHECK_OK(ngi_plan_create(s.g, &o, &plan, &err), err);
        assert_null(strstr(ngi_plan_kernels(plan), "bf16"));
        assert_null(strstr(ngi_plan_kernels(plan), "int8"));
        ngi_plan_free(plan);
    }
    free(s.x);
    ngi_graph_free(s.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_products_are_exact),
        cmocka_unit_test(int8_products_are_exact),
        cmocka_unit_test(onednns_int8_products_are_exact),
        cmocka_unit_test(float32_where_it_must_be),
#if defined(__x86_64__)
        cmocka_unit_test(bf16_leaves_transforms_alone),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
