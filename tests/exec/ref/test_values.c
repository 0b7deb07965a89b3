/* Forward values against the definitions, element by element, and the conventions at ties and edges. */
#include "exec/ref/step.h"
#include "exec/ref/resize_goldens.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Element [y,x,c] of an image, 0 in the padding. */
static double pixel(const float *x, const ngi_shape *s, int64_t y, int64_t xx, int64_t c)
{
    bool inside = y >= 0 && y < s->dim[0] && xx >= 0 && xx < s->dim[1];
    return inside ? x[(y * s->dim[1] + xx) * s->dim[2] + c] : 0.0;
}

static void check_conv(ngi_graph *g, int node, bool depthwise)
{
    step_case c = step_prepare(g, node, 1, NULL);
    const ngi_attr *a = c.step.attr;
    const ngi_shape *is = c.step.in_shape[0], *os = c.step.out_shape;
    float *in = net_floats(step_in_count(&c, 0)), *out = net_floats(step_out_count(&c));
    step_forward(&c, (const float *const[]){in}, out, 1);
    int64_t groups = depthwise ? is->dim[2] : a->groups, per_in = is->dim[2] / groups,
            per_out = os->dim[2] / groups;
    for (int64_t i = 0; i < step_out_count(&c); i++) {
        int64_t oc = i % os->dim[2], ox = i / os->dim[2] % os->dim[1], oy = i / os->dim[2] / os->dim[1];
        double sum = c.step.bias ? c.step.bias[oc] : 0.0;
        for (int64_t ky = 0; ky < a->kernel_h; ky++)
            for (int64_t kx = 0; kx < a->kernel_w; kx++)
                for (int64_t ic = 0; ic < per_in; ic++) {
                    /* [kh,kw,ic/groups,oc], or [kh,kw,c,m] with output channel c*m+j */
                    int64_t w = ((ky * a->kernel_w + kx) * per_in + ic) * os->dim[2] + oc;
                    sum +=
                        c.step.kernel[w] * pixel(in, is, oy * a->stride_h - a->pad.top + ky * a->dilation_h,
                                                 ox * a->stride_w - a->pad.left + kx * a->dilation_w,
                                                 oc / per_out * per_in + ic);
                }
        CHECK_NEAR(out[i], sum, 1e-6);
    }
    step_free(&c);
    free(in);
    free(out);
    ngi_graph_free(g);
}

static void convolutions_follow_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        ngi_graph *g = net_new();
        ngi_attr a = net_window(net_int(1, 4), net_int(1, 3), net_int(1, 3), net_int(1, 2), i % 2);
        a.groups = net_int(1, 3);
        int in = net_image(g, net_int(7, 9), net_int(7, 9), a.groups * net_int(1, 3));
        check_conv(g, net_conv(g, in, a, a.groups * net_int(1, 5), i & 2), false);
        g = net_new();
        a.groups = 1;
        in = net_image(g, net_int(7, 9), net_int(7, 9), net_int(1, 5));
        check_conv(g, net_depthwise(g, in, a, net_int(1, 3), i & 2), true);
    }
}

/* Runs a node of one input on x and compares. */
static void check_outputs(ngi_graph *g, int node, const float *x, const float *expected, double tolerance)
{
    step_case c = step_prepare(g, node, 1, NULL);
    float *out = net_floats(step_out_count(&c));
    step_forward(&c, (const float *const[]){x}, out, 1);
    for (int64_t i = 0; i < step_out_count(&c); i++)
        if (!(fabs((double)out[i] - expected[i]) <= tolerance))
            fail_msg("%s: element %lld: expected %.9g, found %.9g", g->nodes[node].name, (long long)i,
                     expected[i], out[i]);
    step_free(&c);
    free(out);
}

static void check_gradients(ngi_graph *g, int node, const float *x, const float *seed, const float *expected)
{
    step_case c = step_prepare(g, node, 1, NULL);
    float *out = net_floats(step_out_count(&c)), *grad = net_floats(step_in_count(&c, 0));
    step_forward(&c, (const float *const[]){x}, out, 1);
    step_backward(&c, (const float *const[]){x}, out, seed, (float *const[]){grad}, (const bool[]){false}, 1);
    for (int64_t i = 0; i < step_in_count(&c, 0); i++)
        CHECK_NEAR(grad[i], expected[i], 1e-7);
    step_free(&c);
    free(out);
    free(grad);
}

static void padding_is_left_out_of_pools(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 3, 3, 1);
    ngi_attr a = net_window(3, 3, 2, 1, true);
    const float x[9] = {-1, -2, -3, -4, -5, -6, -7, -8, -9};
    check_outputs(g, net_op(g, NGI_OP_AVG_POOL, &a, in), x, (const float[]){-3, -4, -6, -7}, 1e-7);
    check_outputs(g, net_op(g, NGI_OP_MAX_POOL, &a, in), x, (const float[]){-1, -2, -4, -5}, 0);
    ngi_graph_free(g);
}

static void ties_follow_tensorflow(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 2, 1);
    ngi_attr a = net_window(2, 2, 1, 1, false);
    const float same[4] = {3, 5, 5, 5}, seed[1] = {6};
    check_gradients(g, net_op(g, NGI_OP_MAX_POOL, &a, in), same, seed, (const float[]){0, 6, 0, 0});
    check_gradients(g, net_op(g, NGI_OP_GLOBAL_MAX, &a, in), same, seed, (const float[]){0, 2, 2, 2});
    const float kink[4] = {0, -1, 1, 0}, ones[4] = {1, 1, 1, 1};
    check_gradients(g, net_activation(g, NGI_ACT_RELU, in), kink, ones, (const float[]){0, 0, 1, 0});
    int w[NGI_NODE_WEIGHTS] = {net_weight(g, ngi_shape_of(3, (int64_t)1, (int64_t)1, (int64_t)1), 0.5f, 0.5f),
                               -1, -1, -1};
    check_gradients(g, net_node_of(g, NGI_OP_PRELU, NULL, 1, &in, w), kink, ones,
                    (const float[]){0, 0.5f, 1, 0});
    ngi_graph_free(g);
}

static void first_of_equal_inputs_gets_the_gradient(void **state)
{
    (void)state;
    const ngi_op ops[] = {NGI_OP_MAXIMUM, NGI_OP_MINIMUM};
    for (int i = 0; i < 2; i++) {
        ngi_graph *g = net_new();
        ngi_shape s = ngi_shape_of(1, (int64_t)4);
        int in[3] = {net_input(g, s), net_input(g, s), net_input(g, s)};
        step_case c = step_prepare(g, net_node_of(g, ops[i], NULL, 3, in, NULL), 1, NULL);
        const float a[4] = {1, 1, 2, 0}, b[4] = {1, 2, 2, 0}, d[4] = {1, 2, 1, 0}, seed[4] = {1, 1, 1, 1};
        float out[4], ga[4], gb[4], gd[4];
        const float *const inputs[3] = {a, b, d};
        step_forward(&c, inputs, out, 1);
        step_backward(&c, inputs, out, seed, (float *const[]){ga, gb, gd}, (const bool[3]){0}, 1);
        const float expected[2][3][4] = {{{1, 0, 1, 1}, {0, 1, 0, 0}, {0, 0, 0, 0}},
                                         {{1, 1, 0, 1}, {0, 0, 0, 0}, {0, 0, 1, 0}}};
        assert_memory_equal(ga, expected[i][0], sizeof ga);
        assert_memory_equal(gb, expected[i][1], sizeof gb);
        assert_memory_equal(gd, expected[i][2], sizeof gd);
        step_free(&c);
        ngi_graph_free(g);
    }
}

/* A node that reads the same tensor twice: both gradients land in one block. */
static void a_square_has_the_slope_2x(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 1, 1, 3);
    step_case c = step_prepare(g, net_op2(g, NGI_OP_MULTIPLY, in, in), 1, NULL);
    const float x[3] = {1, -2, 0.5f}, seed[3] = {1, 1, 2};
    float out[3], grad[3] = {9, 9, 9};
    step_forward(&c, (const float *const[]){x, x}, out, 1);
    step_backward(&c, (const float *const[]){x, x}, out, seed, (float *const[]){grad, grad},
                  (const bool[]){false, true}, 1);
    assert_memory_equal(grad, ((const float[]){2, -4, 2}), sizeof grad);
    step_free(&c);
    ngi_graph_free(g);
}

static double merged(ngi_op op, double a, double b)
{
    switch (op) {
    case NGI_OP_ADD:
        return a + b;
    case NGI_OP_SUBTRACT:
        return a - b;
    case NGI_OP_MULTIPLY:
        return a * b;
    case NGI_OP_DIVIDE:
        return a / b;
    case NGI_OP_AVERAGE:
        return (a + b) / 2;
    case NGI_OP_MAXIMUM:
        return a > b ? a : b;
    default:
        return a < b ? a : b;
    }
}

/* The element of a broadcast tensor that [y,x,c] of the full one reads. */
static int64_t broadcast_index(const ngi_shape *s, const int64_t at[3])
{
    int64_t index = 0;
    for (int k = 0; k < s->rank; k++)
        index = index * s->dim[k] + (s->dim[k] == 1 ? 0 : at[3 - s->rank + k]);
    return index;
}

static void merges_broadcast_like_numpy(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        ngi_op op = (ngi_op)(NGI_OP_ADD + i % 7);
        ngi_graph *g = net_new();
        ngi_shape s[2];
        const int64_t full[3] = {net_int(1, 3), net_int(1, 4), net_int(1, 5)};
        for (int k = 0; k < 2; k++) {
            s[k].rank = net_int(1, 3);
            for (int j = 0; j < s[k].rank; j++)
                s[k].dim[j] = net_int(0, 2) ? full[3 - s[k].rank + j] : 1;
        }
        step_case c = step_prepare(g, net_op2(g, op, net_input(g, s[0]), net_input(g, s[1])), 1, NULL);
        float *a = net_floats(ngi_shape_count(&s[0])), *b = net_floats(ngi_shape_count(&s[1]));
        float *out = net_floats(step_out_count(&c));
        step_forward(&c, (const float *const[]){a, b}, out, 1);
        const ngi_shape *o = c.step.out_shape;
        for (int64_t e = 0; e < step_out_count(&c); e++) {
            int64_t at[3] = {0}, rest = e;
            for (int k = 1; k <= o->rank; k++) {
                at[3 - k] = rest % o->dim[o->rank - k];
                rest /= o->dim[o->rank - k];
            }
            double expected = merged(op, a[broadcast_index(&s[0], at)], b[broadcast_index(&s[1], at)]);
            CHECK_NEAR(out[e], expected, 1e-6 * (1 + fabs(expected)));
        }
        step_free(&c);
        free(a);
        free(b);
        free(out);
        ngi_graph_free(g);
    }
}

static void moves_put_elements_where_they_belong(void **state)
{
    (void)state;
    float x[24];
    for (int i = 0; i < 24; i++)
        x[i] = (float)i;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 3, 4);
    ngi_attr a;
    ngi_attr_init(&a);
    a.permutation[0] = 2, a.permutation[1] = 0, a.permutation[2] = 1;
    float expected[64];
    for (int c = 0; c < 4; c++)
        for (int p = 0; p < 6; p++)
            expected[c * 6 + p] = x[p * 4 + c];
    check_outputs(g, net_op(g, NGI_OP_PERMUTE, &a, in), x, expected, 0);
    for (int k = 0; k < 3; k++)
        a.begin[k] = k, a.step[k] = 1, a.extent[k] = -1;
    a.begin[2] = 3, a.step[2] = -2; /* [0:, 1:, 3::-2] */
    const float sliced[8] = {7, 5, 11, 9, 19, 17, 23, 21};
    check_outputs(g, net_op(g, NGI_OP_SLICE, &a, in), x, sliced, 0);
    a.pad = (ngi_pad){.top = 1, .left = 1, .right = 1};
    check_outputs(g, net_op(g, NGI_OP_CROP, &a, in), x, (const float[]){16, 17, 18, 19}, 0);
    memset(expected, 0, sizeof expected);
    for (int r = 0; r < 2; r++)
        memcpy(expected + (r + 1) * 20 + 4, x + r * 12, 12 * sizeof *x);
    check_outputs(g, net_op(g, NGI_OP_ZERO_PAD, &a, in), x, expected, 0);
    ngi_graph_free(g);
}

/* A slice of one element may carry any step. */
static void a_lone_element_may_have_a_huge_step(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    ngi_attr a;
    ngi_attr_init(&a);
    for (int k = 0; k < 3; k++)
        a.begin[k] = 1, a.step[k] = NGI_MAX_ELEMENTS, a.extent[k] = -1;
    const float x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    check_outputs(g, net_op(g, NGI_OP_SLICE, &a, net_image(g, 2, 2, 2)), x, (const float[]){7}, 0);
    ngi_graph_free(g);
}

static void concatenation_keeps_the_order(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    ngi_attr a;
    ngi_attr_init(&a);
    a.axis = 1;
    int in[2] = {net_image(g, 2, 1, 2), net_image(g, 2, 2, 2)};
    step_case c = step_prepare(g, net_node_of(g, NGI_OP_CONCAT, &a, 2, in, NULL), 1, NULL);
    const float x[4] = {1, 2, 3, 4}, y[8] = {5, 6, 7, 8, 9, 10, 11, 12};
    const float expected[12] = {1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12};
    float out[12];
    step_forward(&c, (const float *const[]){x, y}, out, 1);
    assert_memory_equal(out, expected, sizeof out);
    step_free(&c);
    ngi_graph_free(g);
}

static void normalisations_follow_the_definition(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 1, 1, 3);
    ngi_attr a;
    ngi_attr_init(&a);
    a.axis = 2;
    const float x[3] = {1, 2, 6}; /* mean 3, variance 14/3 */
    check_outputs(g, net_op(g, NGI_OP_SOFTMAX, &a, in), x,
                  (const float[]){0.0065732632f, 0.0178679819f, 0.9755587549f}, 1e-7);
    a.epsilon = 13.0f / 3.0f; /* the standard deviation becomes 3 */
    check_outputs(g, net_op(g, NGI_OP_LAYERNORM, &a, in), x, (const float[]){-2.0f / 3, -1.0f / 3, 1}, 1e-6);
    a.rms = true;
    check_outputs(g, net_op(g, NGI_OP_LAYERNORM, &a, in), x, (const float[]){1.0f / 3, 2.0f / 3, 2}, 1e-6);
    const float far[3] = {1000, 1001, -1e30f}; /* no overflow */
    a.rms = false;
    check_outputs(g, net_op(g, NGI_OP_SOFTMAX, &a, in), far, (const float[]){0.2689414214f, 0.7310585786f, 0},
                  1e-7);
    ngi_graph_free(g);
}

static void resizing_is_keras(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(goldens); i++) {
        ngi_graph *g = net_new();
        ngi_attr a;
        ngi_attr_init(&a);
        a.scale_h = goldens[i].scale_h, a.scale_w = goldens[i].scale_w;
        a.size_h = goldens[i].size_h, a.size_w = goldens[i].size_w;
        a.bilinear = goldens[i].bilinear;
        a.crop_to_aspect = goldens[i].crop;
        int node = net_op(g, goldens[i].op, &a, net_image(g, goldens[i].h, goldens[i].w, goldens[i].c));
        assert_int_equal(g->nodes[node].shape.dim[0], goldens[i].oh);
        assert_int_equal(g->nodes[node].shape.dim[1], goldens[i].ow);
        ngi_free(g->nodes[node].name); /* the failure names the case */
        g->nodes[node].name = ngi_strdup(goldens[i].name);
        check_outputs(g, node, goldens[i].x, goldens[i].y, 1e-6);
        ngi_graph_free(g);
    }
}

static void not_a_number_reaches_the_output(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 2, 1), other = net_image(g, 2, 2, 1);
    ngi_attr a = net_window(2, 2, 1, 1, false);
    const float ones[4] = {1, 1, 1, 1};
    for (int at = 0; at < 4; at++) {
        float x[4] = {1, 2, 3, 4}, out[4];
        x[at] = NAN;
        const ngi_op pools[] = {NGI_OP_MAX_POOL, NGI_OP_AVG_POOL, NGI_OP_GLOBAL_MAX, NGI_OP_GLOBAL_AVG};
        for (size_t i = 0; i < COUNT(pools); i++) {
            step_case c = step_prepare(g, net_op(g, pools[i], &a, in), 1, NULL);
            step_forward(&c, (const float *const[]){x}, out, 1);
            assert_true(isnan(out[0]));
            step_free(&c);
        }
        for (int i = 0; i < 4; i++) {
            step_case c =
                step_prepare(g, net_op2(g, i & 1 ? NGI_OP_MAXIMUM : NGI_OP_MINIMUM, in, other), 1, NULL);
            step_forward(&c, i & 2 ? (const float *const[]){x, ones} : (const float *const[]){ones, x}, out,
                         1);
            assert_true(isnan(out[at]));
            step_free(&c);
        }
    }
    ngi_graph_free(g);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int node = net_batchnorm(g, net_image(g, 2, 2, 3), true, true);
    const ngi_node *n = &g->nodes[node];
    ngi_step step = {.graph = g,
                     .node = node,
                     .root = node,
                     .op = n->op,
                     .attr = &n->attr,
                     .n_inputs = 1,
                     .inputs = n->inputs,
                     .out_shape = &n->shape,
                     .in_shape = {&n->shape}};
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        step.w[i] = g->weights[n->weights[i]].data;
    for (long k = 1; k <= 2; k++) {
        ngi_kernel kernel = {0};
        ng_error err;
        ngi_alloc_fail_at(k);
        CHECK_FAILS(ngi_backend_ref.prepare(&step, 1, 1, &kernel, &err), NG_E_MEMORY, err, "memory");
        ngi_alloc_fail_at(0);
    }
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_follow_the_definition),
        cmocka_unit_test(padding_is_left_out_of_pools),
        cmocka_unit_test(ties_follow_tensorflow),
        cmocka_unit_test(first_of_equal_inputs_gets_the_gradient),
        cmocka_unit_test(a_square_has_the_slope_2x),
        cmocka_unit_test(merges_broadcast_like_numpy),
        cmocka_unit_test(moves_put_elements_where_they_belong),
        cmocka_unit_test(a_lone_element_may_have_a_huge_step),
        cmocka_unit_test(concatenation_keeps_the_order),
        cmocka_unit_test(normalisations_follow_the_definition),
        cmocka_unit_test(resizing_is_keras),
        cmocka_unit_test(not_a_number_reaches_the_output),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
