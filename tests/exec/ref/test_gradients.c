/* The backward of every op against central differences of its forward, over random shapes; that gradients
 * are added where asked, and that an image's result does not depend on the batch it is in. */
#include "exec/ref/step.h"

#define BATCH  2
#define MAX_IN 4

typedef struct trial {
    step_case c;
    float *in[MAX_IN], *grad[MAX_IN], *shifted; /* shifted: a copy of the input that is moved */
    float *out, *seed;
} trial;

/* Sum of seed * out in double. */
static double score(const trial *t, const float *const *in, int n)
{
    float *out = malloc((size_t)(n * step_out_count(&t->c)) * sizeof *out);
    step_forward(&t->c, in, out, n);
    double sum = 0.0;
    for (int64_t i = 0; i < n * step_out_count(&t->c); i++)
        sum += (double)out[i] * t->seed[i];
    free(out);
    return sum;
}

static void check_differences(trial *t, double eps, double tolerance)
{
    const float *in[MAX_IN];
    for (int k = 0; k < t->c.step.n_inputs; k++) {
        int64_t count = BATCH * step_in_count(&t->c, k);
        memcpy(in, t->in, sizeof in);
        float *moved = malloc((size_t)count * sizeof *moved);
        memcpy(moved, t->in[k], (size_t)count * sizeof *moved);
        in[k] = moved;
        int64_t stride = count > 300 ? count / 150 : 1;
        for (int64_t i = 0; i < count; i += stride) {
            moved[i] = (float)(t->in[k][i] + eps);
            double high = score(t, in, BATCH), at_high = moved[i];
            moved[i] = (float)(t->in[k][i] - eps);
            double low = score(t, in, BATCH), at_low = moved[i];
            moved[i] = t->in[k][i];
            double expected = (high - low) / (at_high - at_low);
            if (!(fabs(t->grad[k][i] - expected) <= tolerance * (1.0 + fabs(expected))))
                fail_msg("%s input %d element %lld of %lld: difference %.7g, gradient %.7g",
                         t->c.step.graph->nodes[t->c.step.node].name, k, (long long)i, (long long)count,
                         expected, t->grad[k][i]);
        }
        free(moved);
    }
}

static void check_accumulation(trial *t)
{
    float *sums[MAX_IN] = {0};
    bool accumulate[MAX_IN] = {0};
    for (int k = 0; k < t->c.step.n_inputs; k++) {
        int64_t count = BATCH * step_in_count(&t->c, k);
        sums[k] = malloc((size_t)count * sizeof *sums[k]);
        accumulate[k] = k != 1; /* both ways in one call where there are two inputs */
        for (int64_t i = 0; i < count; i++)
            sums[k][i] = accumulate[k] ? 3.0f : NAN;
    }
    step_backward(&t->c, (const float *const *)t->in, t->out, t->seed, sums, accumulate, BATCH);
    for (int k = 0; k < t->c.step.n_inputs; k++) {
        for (int64_t i = 0; i < BATCH * step_in_count(&t->c, k); i++)
            CHECK_NEAR(sums[k][i], t->grad[k][i] + (accumulate[k] ? 3.0 : 0.0),
                       2e-6 * (3 + fabs(t->grad[k][i])));
        free(sums[k]);
    }
}

/* The second image alone: the same bytes; gradients that nobody wants are not written. */
static void check_single(trial *t)
{
    const float *in[MAX_IN] = {0};
    float *grad[MAX_IN] = {0}, *out = malloc((size_t)step_out_count(&t->c) * sizeof *out);
    const bool overwrite[MAX_IN] = {0};
    for (int k = 0; k < t->c.step.n_inputs; k++)
        in[k] = t->in[k] + step_in_count(&t->c, k);
    step_forward(&t->c, in, out, 1);
    assert_memory_equal(out, t->out + step_out_count(&t->c), (size_t)step_out_count(&t->c) * sizeof *out);
    for (int k = 0; k < t->c.step.n_inputs; k++) {
        size_t bytes = (size_t)step_in_count(&t->c, k) * sizeof(float);
        grad[k] = malloc(bytes);
        step_backward(&t->c, in, out, t->seed + step_out_count(&t->c), grad, overwrite, 1);
        assert_memory_equal(grad[k], t->grad[k] + step_in_count(&t->c, k), bytes);
        free(grad[k]);
        grad[k] = NULL;
    }
    free(out);
}

/* Checks one node of a graph, which is freed. `spaced`: inputs away from kinks and ties. */
static void check_node(ngi_graph *g, int node, bool spaced, double eps, double tolerance,
                       const ngi_activation_attr *act)
{
    trial t = {.c = step_prepare(g, node, BATCH, act)};
    const bool overwrite[MAX_IN] = {0};
    for (int k = 0; k < t.c.step.n_inputs; k++) {
        int64_t count = BATCH * step_in_count(&t.c, k);
        t.in[k] = spaced ? net_spaced(count) : net_floats(count);
        t.grad[k] = net_floats(count);
    }
    t.out = net_floats(BATCH * step_out_count(&t.c));
    t.seed = net_floats(BATCH * step_out_count(&t.c));
    step_forward(&t.c, (const float *const *)t.in, t.out, BATCH);
    step_backward(&t.c, (const float *const *)t.in, t.out, t.seed, t.grad, overwrite, BATCH);
    check_differences(&t, eps, tolerance);
    check_accumulation(&t);
    check_single(&t);
    for (int k = 0; k < MAX_IN; k++) {
        free(t.in[k]);
        free(t.grad[k]);
    }
    free(t.out);
    free(t.seed);
    step_free(&t.c);
    ngi_graph_free(g);
}

static void check_linear(ngi_graph *g, int node)
{
    check_node(g, node, false, 0.25, 2e-5, NULL);
}

static void check_smooth(ngi_graph *g, int node)
{
    check_node(g, node, false, 4e-3, 1e-3, NULL);
}

static void check_kinked(ngi_graph *g, int node)
{
    check_node(g, node, true, 8e-3, 1e-3, NULL);
}

static ngi_attr random_window(int h, int w, bool pool)
{
    ngi_attr a;
    do {
        a = net_window(net_int(1, 4), net_int(1, 4), net_int(1, 3), pool ? 1 : net_int(1, 2), net_int(0, 1));
        a.stride_w = net_int(1, 2);
    } while (!a.same && ((a.kernel_h - 1) * a.dilation_h >= h || (a.kernel_w - 1) * a.dilation_w >= w));
    if (!a.same && net_int(0, 2) == 0 && !pool)
        a.pad = (ngi_pad){net_int(0, 2), net_int(0, 2), net_int(0, 2), net_int(0, 2)};
    return a;
}

static void convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        int h = net_int(1, 7), w = net_int(1, 6), groups = net_int(1, 3);
        ngi_graph *g = net_new();
        ngi_attr a = random_window(h, w, false);
        a.groups = groups;
        int in = net_image(g, h, w, groups * net_int(1, 3));
        check_linear(g, net_conv(g, in, a, groups * net_int(1, 9), net_int(0, 1)));
    }
}

static void depthwise_convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        int h = net_int(1, 7), w = net_int(1, 6);
        ngi_graph *g = net_new();
        int in = net_image(g, h, w, net_int(1, 9));
        check_linear(g, net_depthwise(g, in, random_window(h, w, false), net_int(1, 3), net_int(0, 1)));
    }
}

static void dense_layers(void **state)
{
    (void)state;
    for (int rank = 1; rank <= 3; rank++)
        for (int i = 0; i < 5; i++) {
            ngi_graph *g = net_new();
            ngi_shape s = {.rank = rank};
            for (int k = 0; k < rank; k++)
                s.dim[k] = net_int(1, 11);
            check_linear(g, net_dense(g, net_input(g, s), net_int(1, 19), net_int(0, 1)));
        }
}

static void fused_activations(void **state)
{
    (void)state;
    const ngi_activation_attr acts[] = {{NGI_ACT_RELU, 0, INFINITY, 0},
                                        {NGI_ACT_RELU, 0.5f, INFINITY, 0},
                                        {NGI_ACT_RELU6, 0, INFINITY, 0},
                                        {NGI_ACT_RELU, 0, 6, 0},
                                        {NGI_ACT_LEAKY_RELU, 0.25f, INFINITY, 0}};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        ngi_graph *g = net_new();
        int node = net_depthwise(g, net_image(g, 3, 3, 4), net_window(1, 1, 1, 1, false), 1, false);
        for (int c = 0; c < 4; c++) /* keeps the spaced inputs away from the kinks */
            g->weights[g->nodes[node].weights[0]].data[c] = c % 2 ? 21.0f : -1.0f;
        check_node(g, node, true, 8e-3, 1e-3, &acts[i]);
    }
}

static void pools(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        int h = net_int(1, 7), w = net_int(1, 6);
        ngi_attr a = random_window(h, w, true);
        ngi_graph *g = net_new(), *m = net_new();
        check_linear(g, net_op(g, NGI_OP_AVG_POOL, &a, net_image(g, h, w, net_int(1, 5))));
        check_kinked(m, net_op(m, NGI_OP_MAX_POOL, &a, net_image(m, h, w, net_int(1, 5))));
    }
}

static void global_pools(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        ngi_attr a;
        ngi_attr_init(&a);
        a.keepdims = i % 2;
        int h = net_int(1, 5), w = net_int(1, 5), c = net_int(1, 9);
        ngi_graph *g = net_new(), *m = net_new();
        check_linear(g, net_op(g, NGI_OP_GLOBAL_AVG, &a, net_image(g, h, w, c)));
        check_kinked(m, net_op(m, NGI_OP_GLOBAL_MAX, &a, net_image(m, h, w, c)));
    }
}

static void normalisations(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        ngi_graph *g = net_new();
        check_linear(g, net_batchnorm(g, net_image(g, net_int(1, 4), 3, net_int(1, 6)), i & 1, i & 2));
    }
    for (int i = 0; i < 24; i++) {
        ngi_graph *g = net_new();
        int in = net_image(g, 2, 3, net_int(2, 6));
        ngi_attr a;
        ngi_attr_init(&a);
        a.axis = i % 3;
        a.rms = i & 4;
        a.epsilon = 0.1f;
        ngi_shape s = {.rank = 3 - a.axis};
        for (int k = a.axis; k < 3; k++)
            s.dim[k - a.axis] = g->nodes[in].shape.dim[k];
        int w[NGI_NODE_WEIGHTS] = {i & 1 ? net_weight(g, s, 0.5f, 1.5f) : -1,
                                   i & 2 ? net_weight(g, s, -1, 1) : -1, -1, -1};
        check_smooth(g, net_node_of(g, NGI_OP_LAYERNORM, &a, 1, &in, w));
    }
    for (int i = 0; i < 6; i++) {
        ngi_graph *g = net_new();
        int in = net_image(g, 2, 3, 4);
        ngi_shape scale = ngi_shape_of(1, (int64_t)(i & 1 ? 4 : 1)),
                  offset = ngi_shape_of(1, (int64_t)(i & 2 ? 4 : 1));
        int w[NGI_NODE_WEIGHTS] = {net_weight(g, scale, -2, 2), net_weight(g, offset, -2, 2), -1, -1};
        check_linear(g, net_node_of(g, NGI_OP_AFFINE, NULL, 1, &in, w));
    }
}

static void softmaxes(void **state)
{
    (void)state;
    for (int axis = 0; axis < 3; axis++) {
        ngi_graph *g = net_new();
        ngi_attr a;
        ngi_attr_init(&a);
        a.axis = axis;
        check_smooth(g, net_op(g, NGI_OP_SOFTMAX, &a, net_image(g, 3, 4, 5)));
    }
}

static void activations(void **state)
{
    (void)state;
    for (int kind = 0; kind < NGI_ACT_COUNT; kind++) {
        ngi_graph *g = net_new();
        ngi_attr a;
        ngi_attr_init(&a);
        a.act =
            (ngi_activation_attr){(ngi_activation)kind, 0.5f, INFINITY, kind == NGI_ACT_RELU ? 0.0f : 0.52f};
        check_kinked(g, net_op(g, NGI_OP_ACTIVATION, &a, net_image(g, 3, 4, 3)));
    }
    ngi_graph *g = net_new(); /* more than one of the chunks in which gradients are added */
    check_kinked(g, net_activation(g, NGI_ACT_RELU, net_image(g, 30, 25, 2)));
}

static void prelus(void **state)
{
    (void)state;
    const ngi_shape shapes[] = {ngi_shape_of(3, (int64_t)1, (int64_t)1, (int64_t)4),
                                ngi_shape_of(3, (int64_t)2, (int64_t)3, (int64_t)4),
                                ngi_shape_of(3, (int64_t)2, (int64_t)1, (int64_t)4),
                                ngi_shape_of(3, (int64_t)1, (int64_t)3, (int64_t)1)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        ngi_graph *g = net_new();
        int in = net_image(g, 2, 3, 4), w[NGI_NODE_WEIGHTS] = {net_weight(g, shapes[i], -1, 1), -1, -1, -1};
        check_kinked(g, net_node_of(g, NGI_OP_PRELU, NULL, 1, &in, w));
    }
}

static int random_part(ngi_graph *g, const int64_t full[3])
{
    ngi_shape s = {.rank = net_int(1, 3)};
    for (int k = 0; k < s.rank; k++)
        s.dim[k] = net_int(0, 2) ? full[3 - s.rank + k] : 1;
    return net_input(g, s);
}

static void merges(void **state)
{
    (void)state;
    const ngi_op ops[] = {NGI_OP_ADD, NGI_OP_SUBTRACT, NGI_OP_MULTIPLY, NGI_OP_AVERAGE};
    for (int i = 0; i < 80; i++) {
        ngi_graph *g = net_new();
        ngi_op op = ops[i % 4];
        const int64_t full[3] = {net_int(1, 3), net_int(1, 4), net_int(1, 5)};
        int n = op == NGI_OP_SUBTRACT ? 2 : net_int(1, 3), in[3];
        for (int k = 0; k < n; k++)
            in[k] = random_part(g, full);
        check_node(g, net_node_of(g, op, NULL, n, in, NULL), false, 0.1, 2e-5, NULL);
    }
}

/* Divisors away from zero; extrema of spaced values, all different. */
static void quotients_and_extrema(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        ngi_graph *g = net_new();
        const int64_t full[3] = {net_int(1, 3), net_int(1, 4), net_int(1, 5)};
        int a = random_part(g, full), b = random_part(g, full);
        int node = net_op2(g, i % 2 ? NGI_OP_MAXIMUM : NGI_OP_MINIMUM, a, b);
        trial t = {.c = step_prepare(g, node, BATCH, NULL)};
        int64_t na = BATCH * step_in_count(&t.c, 0), nb = BATCH * step_in_count(&t.c, 1);
        float *both = net_spaced(na + nb);
        const bool overwrite[MAX_IN] = {0};
        t.in[0] = both, t.in[1] = both + na;
        t.grad[0] = net_floats(na), t.grad[1] = net_floats(nb);
        t.out = net_floats(BATCH * step_out_count(&t.c)), t.seed = net_floats(BATCH * step_out_count(&t.c));
        step_forward(&t.c, (const float *const *)t.in, t.out, BATCH);
        step_backward(&t.c, (const float *const *)t.in, t.out, t.seed, t.grad, overwrite, BATCH);
        check_differences(&t, 8e-3, 1e-3);
        check_accumulation(&t);
        check_single(&t);
        /* the same inputs, divided, with the divisors moved away from 0 */
        int quotient = net_op2(g, NGI_OP_DIVIDE, a, b);
        step_free(&t.c);
        t.c = step_prepare(g, quotient, BATCH, NULL);
        for (int64_t j = 0; j < nb; j++)
            t.in[1][j] = 1.5f + fabsf(t.in[1][j]);
        step_forward(&t.c, (const float *const *)t.in, t.out, BATCH);
        step_backward(&t.c, (const float *const *)t.in, t.out, t.seed, t.grad, overwrite, BATCH);
        check_differences(&t, 8e-3, 1e-3);
        check_accumulation(&t);
        check_single(&t);
        step_free(&t.c);
        free(both), free(t.grad[0]), free(t.grad[1]), free(t.out), free(t.seed);
        ngi_graph_free(g);
    }
}

static void moves(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        ngi_attr a;
        ngi_attr_init(&a);
        int h = net_int(3, 5), w = net_int(3, 6), c = net_int(1, 4);
        a.pad = (ngi_pad){net_int(0, 1), net_int(0, 1), net_int(0, 1), net_int(0, 1)};
        ngi_graph *g = net_new();
        check_linear(g, net_op(g, NGI_OP_ZERO_PAD, &a, net_image(g, h, w, c)));
        g = net_new();
        check_linear(g, net_op(g, NGI_OP_CROP, &a, net_image(g, h, w, c)));
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        memcpy(a.permutation, orders[i % 6], sizeof orders[0]);
        g = net_new();
        check_linear(g, net_op(g, NGI_OP_PERMUTE, &a, net_image(g, h, w, c)));
        const int64_t dims[3] = {h, w, c};
        for (int k = 0; k < 3; k++) {
            a.step[k] = net_int(0, 1) ? net_int(1, 2) : -net_int(1, 2);
            a.begin[k] = net_int(0, (int)dims[k] - 1);
            a.extent[k] = -1;
        }
        g = net_new();
        check_linear(g, net_op(g, NGI_OP_SLICE, &a, net_image(g, h, w, c)));
        g = net_new();
        check_linear(g, net_op(g, i % 2 ? NGI_OP_IDENTITY : NGI_OP_RESHAPE,
                               &(ngi_attr){.target = ngi_shape_of(2, (int64_t)-1, (int64_t)c)},
                               net_image(g, h, w, c)));
    }
}

static void concatenations(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        ngi_graph *g = net_new();
        ngi_attr a;
        ngi_attr_init(&a);
        a.axis = i % 3;
        int in[4];
        for (int k = 0; k < 4; k++)
            in[k] = net_image(g, a.axis == 0 ? net_int(1, 3) : 2, a.axis == 1 ? net_int(1, 3) : 3,
                              a.axis == 2 ? net_int(1, 3) : 4);
        check_linear(g, net_node_of(g, NGI_OP_CONCAT, &a, 4, in, NULL));
    }
}

static void resizes(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        ngi_attr a;
        ngi_attr_init(&a);
        a.bilinear = i % 2;
        a.crop_to_aspect = i & 2;
        a.scale_h = net_int(1, 4), a.scale_w = net_int(1, 4);
        a.size_h = net_int(1, 9), a.size_w = net_int(1, 9);
        ngi_graph *g = net_new();
        check_linear(g, net_op(g, i & 4 ? NGI_OP_UPSAMPLE : NGI_OP_RESIZE, &a,
                               net_image(g, net_int(1, 6), net_int(1, 6), net_int(1, 3))));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),   cmocka_unit_test(depthwise_convolutions),
        cmocka_unit_test(dense_layers),   cmocka_unit_test(fused_activations),
        cmocka_unit_test(pools),          cmocka_unit_test(global_pools),
        cmocka_unit_test(normalisations), cmocka_unit_test(softmaxes),
        cmocka_unit_test(activations),    cmocka_unit_test(prelus),
        cmocka_unit_test(merges),         cmocka_unit_test(quotients_and_extrema),
        cmocka_unit_test(moves),          cmocka_unit_test(concatenations),
        cmocka_unit_test(resizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
