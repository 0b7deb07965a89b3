/* What a plan joins of a forward run - means behind 1x1 kernels, maxima behind transforms, concatenations without copies -
 * against the reference back end, which does every node by itself. */
#include "net.h"

#include "exec/plan.h"

static ng_error err;

static int conv(ngi_graph *g, int in, int kh, int kw, int channels, bool same)
{
    ngi_attr a = net_window(kh, kw, 1, 1, same);
    int64_t from = g->nodes[in].shape.dim[2];
    int weights[NGI_NODE_WEIGHTS] = {
        net_weight(g, ngi_shape_of(4, (int64_t)kh, (int64_t)kw, from, (int64_t)channels), -0.1f, 0.1f),
        net_weight(g, ngi_shape_of(1, (int64_t)channels), -0.2f, 0.2f), -1, -1};
    return net_activation(g, NGI_ACT_RELU, net_node_of(g, NGI_OP_CONV2D, &a, 1, &in, weights));
}

static int join(ngi_graph *g, int n, const int *in)
{
    ngi_attr a;
    ngi_attr_init(&a);
    a.axis = 2;
    return net_node_of(g, NGI_OP_CONCAT, &a, n, in, NULL);
}

/* 3x3 with a maximum behind it, then a block of branches, one of them a concatenation itself. */
static ngi_graph *inception(int size, int channels, int *inner)
{
    ngi_graph *g = net_new();
    int x = net_image(g, size, size + 3, 19);
    ngi_attr max = net_window(3, 3, 2, 1, size % 2), mean = net_window(3, 3, 1, 1, true);
    x = net_op(g, NGI_OP_MAX_POOL, &max, conv(g, x, 3, 3, channels, size % 3 == 0));
    int a = conv(g, x, 1, 1, channels + 5, true), b = conv(g, x, 1, 1, 17, true);
    int c = conv(g, b, 1, 3, 21, true), d = conv(g, b, 3, 1, 23, true);
    *inner = join(g, 2, (int[]){c, d});
    int pooled = conv(g, net_op(g, NGI_OP_AVG_POOL, &mean, x), 1, 1, channels, true);
    max.stride_h = max.stride_w = 1;
    max.same = true;
    int last = net_op(g, NGI_OP_MAX_POOL, &max, x);
    x = join(g, 4, (int[]){a, *inner, pooled, last});
    net_append(&g->outputs, &g->n_outputs, x);
    return g;
}

static ngi_plan *plan_of(const ngi_graph *g, const char *backend, int threads, const int *taps, int n_taps)
{
    ngi_plan_opts o = {.batch = 3,
                       .threads = threads,
                       .backend = backend,
                       .taps = taps,
                       .n_taps = n_taps,
                       .root = g->outputs[0]};
    ngi_plan *p;
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    return p;
}

static ngi_run_session *run(ngi_plan *p, const float *input)
{
    ngi_run_session *s;
    CHECK_OK(ngi_run_session_create(p, &s, &err), err);
    CHECK_OK(ngi_run_forward(s, &input, 2, &err), err);
    return s;
}

static void check_near(const ngi_graph *g, int node, const ngi_run_session *a, const ngi_run_session *b)
{
    const float *x = ngi_run_activation(a, node), *y = ngi_run_activation(b, node);
    for (int64_t i = 0; i < 2 * ngi_shape_count(&g->nodes[node].shape); i++)
        CHECK_NEAR(x[i], y[i], 2e-5);
}

/* How many nodes lie within another one's block; kernels that pool. */
static int sliced(const ngi_plan *p)
{
    int n = 0;
    for (int i = 0; i < p->graph->n_nodes; i++)
        n += p->stride[i] != 0;
    return n;
}

static int pooled(const ngi_plan *p)
{
    int n = 0;
    for (int i = 0; i < p->n_steps; i++)
        n += p->steps[i].step.pool != NULL;
    return n;
}

static void joined_steps_give_what_the_nodes_give(void **state)
{
    (void)state;
    bool own = strcmp(ngi_native_isa_name(), "plain") != 0;
#if !defined(__x86_64__)
    own = true;
#endif
    for (int size = 25; size < 45; size++) {
        int inner;
        ngi_graph *g = inception(size, 16 + size % 7 * 8, &inner);
        const float *input = net_floats(2 * ngi_shape_count(&g->nodes[g->inputs[0]].shape));
        ngi_plan *fast = plan_of(g, "auto", 1 + size % 3, NULL, 0), *plain = plan_of(g, "ref", 1, NULL, 0);
        if (own) {
            assert_int_equal(sliced(fast), 6); /* all of both concatenations */
            assert_int_equal(pooled(fast), 2);
        }
        assert_int_equal(pooled(plain), 0);
        ngi_run_session *a = run(fast, input), *b = run(plain, input);
        check_near(g, g->outputs[0], a, b);
        ngi_run_session_free(a);
        ngi_run_session_free(b);
        ngi_plan_free(fast);
        ngi_plan_free(plain);
        free((void *)input);
        ngi_graph_free(g);
    }
}

/* What somebody looks at is there, apart. */
/* A window behind a 2-D transform that begins beyond the rows made so far. */
static void windows_may_lie_apart(void **state)
{
    (void)state;
    for (int size = 12; size < 40; size++)
        for (int stride = 3; stride < 8; stride++) {
            ngi_graph *g = net_new();
            net_random_state = (uint32_t)size;
            ngi_attr max = net_window(2, 2, stride, 1, false);
            int x = conv(g, net_image(g, size, size, 16), 3, 3, 16, true);
            x = net_op(g, NGI_OP_MAX_POOL, &max, x);
            net_append(&g->outputs, &g->n_outputs, x);
            ngi_plan *p = plan_of(g, "auto", 1, NULL, 0), *q = plan_of(g, "ref", 1, NULL, 0);
            float *input = net_floats(2 * net_count(g, g->inputs[0]));
            ngi_run_session *a = run(p, input), *b = run(q, input);
            check_near(g, x, a, b);
            free(input);
            ngi_run_session_free(a);
            ngi_run_session_free(b);
            ngi_plan_free(p);
            ngi_plan_free(q);
            ngi_graph_free(g);
        }
}

static void taps_are_not_joined(void **state)
{
    (void)state;
    int inner;
    ngi_graph *g = inception(31, 24, &inner);
    const float *input = net_floats(2 * ngi_shape_count(&g->nodes[g->inputs[0]].shape));
    int taps[64], n = 0;
    for (int i = 1; i < g->n_nodes; i++)
        taps[n++] = i;
    ngi_plan *fast = plan_of(g, "auto", 1, taps, n), *plain = plan_of(g, "ref", 1, taps, n);
    assert_int_equal(sliced(fast) + pooled(fast), 0);
    ngi_run_session *a = run(fast, input), *b = run(plain, input);
    for (int i = 0; i < n; i++)
        check_near(g, taps[i], a, b);
    ngi_run_session_free(a);
    ngi_run_session_free(b);
    ngi_plan_free(fast);
    ngi_plan_free(plain);
    free((void *)input);
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_steps_give_what_the_nodes_give),
        cmocka_unit_test(taps_are_not_joined),
        cmocka_unit_test(windows_may_lie_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
