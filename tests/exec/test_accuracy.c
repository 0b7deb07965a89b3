/* Float32 against a forward run in double: within 1e-5 of the largest score, with the fast transforms and without; closer
 * where a gradient passes relus, whose derivative jumps. */
#include "exec/net.h"

#include "exec/forward64.h"

#define BOUND 1e-5
#define FINE  3e-6

static ng_error err;

static int conv(ngi_graph *g, int x, int kh, int kw, int stride, int oc)
{
    x = net_batchnorm(g, net_conv(g, x, net_window(kh, kw, stride, 1, true), oc, false), true, true);
    return net_activation(g, NGI_ACT_RELU, x);
}

static int join(ngi_graph *g, int n, const int *nodes)
{
    ngi_attr a;
    ngi_attr_init(&a);
    a.axis = 2;
    return net_node_of(g, NGI_OP_CONCAT, &a, n, nodes, NULL);
}

/* A small inception: every kernel shape of the real one, twelve convolutions deep. */
static ngi_graph *make_net(int *logits)
{
    ngi_graph *g = net_new();
    int x = conv(g, net_image(g, 49, 47, 3), 3, 3, 2, 32);
    x = conv(g, conv(g, x, 3, 3, 1, 32), 3, 3, 1, 48);
    for (int block = 0; block < 3; block++) {
        ngi_attr pool = net_window(3, 3, 1, 1, true);
        int a = conv(g, x, 1, 1, 1, 40), b = conv(g, conv(g, x, 1, 1, 1, 32), 5, 5, 1, 48),
            c = conv(g, conv(g, conv(g, x, 1, 1, 1, 48), 1, 7, 1, 48), 7, 1, 1, 64),
            d = conv(g, net_op(g, NGI_OP_AVG_POOL, &pool, x), 1, 1, 1, 32),
            e = join(g, 2, (int[]){conv(g, x, 1, 3, 1, 32), conv(g, x, 3, 1, 1, 24)});
        x = join(g, 5, (int[]){a, b, c, d, e});
        if (block == 1) {
            ngi_attr down = net_window(3, 3, 2, 1, true);
            x = join(g, 2, (int[]){conv(g, x, 3, 3, 2, 64), net_op(g, NGI_OP_MAX_POOL, &down, x)});
        }
    }
    x = net_activation(g, NGI_ACT_RELU, net_dense(g, net_op(g, NGI_OP_GLOBAL_AVG, NULL, x), 64, true));
    *logits = net_dense(g, x, 50, true);
    net_output(g, *logits);
    return g;
}

/* The largest difference, relative to the largest score. `wanted`: a node whose gradient is asked for, or -1. */
static double distance(const ngi_graph *g, int logits, const float *input, const double *exact,
                       const char *backend, int wanted)
{
    ngi_plan_opts o = {.batch = 1,
                       .threads = 1,
                       .backend = backend,
                       .root = logits,
                       .grads = &wanted,
                       .n_grads = wanted >= 0};
    ngi_plan *p;
    ngi_run_session *s;
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    bool winograd = strstr(ngi_plan_kernels(p), "winograd:") != NULL;
    assert_int_equal(winograd, strcmp(backend, "auto") == 0);
    CHECK_OK(ngi_run_session_create(p, &s, &err), err);
    CHECK_OK(ngi_run_forward(s, &input, 1, &err), err);
    const float *scores = ngi_run_activation(s, logits);
    double most = 0, scale = 0;
    for (int64_t i = 0; i < net_count(g, logits); i++) {
        scale = fmax(scale, fabs(exact[i]));
        most = scores[i] == scores[i] ? fmax(most, fabs(scores[i] - exact[i])) : INFINITY;
    }
    ngi_run_session_free(s);
    ngi_plan_free(p);
    return most / scale;
}

static void within_the_bound(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 3; seed++) {
        int logits;
        net_random_state = seed;
        ngi_graph *g = make_net(&logits);
        float *input = net_floats(net_count(g, g->inputs[0]));
        double *exact = forward64(g, input, logits);
        double fast = distance(g, logits, input, exact, "auto", -1),
               fine = distance(g, logits, input, exact, "auto", g->inputs[0]),
               direct = distance(g, logits, input, exact, "onednn", -1);
        print_message("seed %u: %.2g with Winograd, %.2g with its finer tiles, %.2g without\n", seed, fast,
                      fine, direct);
        assert_true(fast <= BOUND);
        assert_true(fine <= FINE);
        assert_true(direct <= BOUND);
        free(exact);
        free(input);
        ngi_graph_free(g);
    }
}

static bool has_large_tiles(const ngi_graph *g, int logits, int wanted)
{
    ngi_plan_opts o = {.batch = 1, .threads = 1, .root = logits, .grads = &wanted, .n_grads = 1};
    ngi_plan *p;
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    bool large = strstr(ngi_plan_kernels(p), ":F(6") != NULL;
    ngi_plan_free(p);
    return large;
}

/* Behind the last block there are a mean and a dense layer with few relus; behind all others many, and a maximum. */
static void finer_tiles_where_a_gradient_passes_kinks(void **state)
{
    (void)state;
    int logits, last = -1, before = -1;
    ngi_graph *g = make_net(&logits);
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == NGI_OP_CONCAT && g->nodes[i].n_inputs == 5) {
            before = last;
            last = i;
        }
    assert_true(has_large_tiles(g, logits, last));
    assert_false(has_large_tiles(g, logits, before));
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(within_the_bound),
                                       cmocka_unit_test(finer_tiles_where_a_gradient_passes_kinks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
