/* Float32 against a forward run in double: within 1e-5 of the largest score, with the fast transforms and without. */
#include "exec/net.h"

#include "exec/forward64.h"

#define BOUND 1e-5

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
    *logits = net_dense(g, net_op(g, NGI_OP_GLOBAL_AVG, NULL, x), 50, true);
    net_output(g, *logits);
    return g;
}

/* The largest difference, relative to the largest score. */
static double distance(const ngi_graph *g, int logits, const float *input, const double *exact,
                       const char *backend)
{
    ngi_plan_opts o = {.batch = 1, .threads = 1, .backend = backend, .root = logits};
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
        double fast = distance(g, logits, input, exact, "auto"),
               direct = distance(g, logits, input, exact, "onednn");
        print_message("seed %u: %.2g with Winograd, %.2g without\n", seed, fast, direct);
        assert_true(fast <= BOUND);
        assert_true(direct <= BOUND);
        free(exact);
        free(input);
        ngi_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(within_the_bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
