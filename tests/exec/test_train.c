/* Gradients of weights: against finite differences, between the back ends, in parts; weights that change. */
#include "exec/random_net.h"

typedef struct trained_plan {
    ngi_plan *plan;
    ngi_run_session *session;
    float **grads; /* [n_weights] */
} trained_plan;

static bool *all_weights(const ngi_graph *g)
{
    bool *trained = calloc((size_t)g->n_weights, sizeof *trained);
    for (int i = 0; i < g->n_nodes; i++) {
        const ngi_node *n = &g->nodes[i];
        bool ours = n->op == NGI_OP_CONV2D || n->op == NGI_OP_DEPTHWISE || n->op == NGI_OP_DENSE ||
                    n->op == NGI_OP_BATCHNORM;
        for (int k = 0; ours && k < 2; k++)
            if (n->weights[k] >= 0)
                trained[n->weights[k]] = true;
    }
    return trained;
}

static trained_plan open_plan(const ngi_graph *g, int root, int batch, int threads, const char *backend,
                              const bool *trained)
{
    trained_plan t = {.grads = calloc((size_t)g->n_weights, sizeof *t.grads)};
    ng_error err = {0};
    ngi_plan_opts o = {
        .batch = batch, .threads = threads, .backend = backend, .root = root, .trained = trained};
    CHECK_OK(ngi_plan_create(g, &o, &t.plan, &err), err);
    CHECK_OK(ngi_run_session_create(t.plan, &t.session, &err), err);
    for (int i = 0; i < g->n_weights; i++)
        if (trained[i])
            t.grads[i] = calloc((size_t)ngi_shape_count(&g->weights[i].shape), sizeof(float));
    return t;
}

static void close_plan(const ngi_graph *g, trained_plan *t)
{
    for (int i = 0; i < g->n_weights; i++)
        free(t->grads[i]);
    free(t->grads);
    ngi_run_session_free(t->session);
    ngi_plan_free(t->plan);
}

static void run(trained_plan *t, const float *in, const float *seed, int n)
{
    ng_error err = {0};
    ngi_weight_grads to = {.grads = t->grads};
    CHECK_OK(ngi_run_forward(t->session, &in, n, &err), err);
    CHECK_OK(ngi_run_train(t->session, seed, n, &to, &err), err);
}

static double score(trained_plan *t, int root, const float *in, const float *seed, int n, int64_t k)
{
    ng_error err = {0};
    CHECK_OK(ngi_plan_update(t->plan, &err), err);
    CHECK_OK(ngi_run_forward(t->session, &in, n, &err), err);
    const float *out = ngi_run_activation(t->session, root);
    double sum = 0;
    for (int64_t i = 0; i < n * k; i++)
        sum += (double)out[i] * seed[i];
    return sum;
}

/* The derivative along the gradient itself, in every weight: central differences of the float32 network whose sums are
 * taken in double. */
static void check_weight(trained_plan *t, ngi_graph *g, int root, int weight, const float *in,
                         const float *seed, int n)
{
    int64_t count = ngi_shape_count(&g->weights[weight].shape), k = net_count(g, root);
    const float *grad = t->grads[weight];
    float *data = g->weights[weight].data, *kept = malloc((size_t)count * sizeof *kept);
    double norm = 0;
    for (int64_t i = 0; i < count; i++)
        norm += (double)grad[i] * grad[i];
    norm = sqrt(norm);
    memcpy(kept, data, (size_t)count * sizeof *kept);
    const double h = 2e-3;
    double sides[2];
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < count; i++)
            data[i] = kept[i] + (float)((side ? h : -h) * (norm > 0 ? grad[i] / norm : 1));
        sides[side] = score(t, root, in, seed, n, k);
    }
    memcpy(data, kept, (size_t)count * sizeof *kept);
    double numeric = (sides[1] - sides[0]) / (2 * h);
    if (!(fabs(numeric - norm) <= 4e-3 + 1e-2 * norm))
        fail_msg("%s: gradient %g, finite difference %g", g->weights[weight].name, norm, numeric);
    free(kept);
}

static void finite_differences(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 40; seed++) {
        net_random_state = seed;
        random_net r = net_random(6, true);
        bool *trained = all_weights(r.g);
        float *in = net_floats(2 * net_count(r.g, r.input)), *s = net_floats(2 * 5);
        trained_plan t = open_plan(r.g, r.logits, 2, 1, seed % 2 ? "ref" : "auto", trained);
        run(&t, in, s, 2);
        for (int w = 0; w < r.g->n_weights; w++)
            if (trained[w])
                check_weight(&t, r.g, r.logits, w, in, s, 2);
        close_plan(r.g, &t);
        free(in);
        free(s);
        free(trained);
        ngi_graph_free(r.g);
    }
}

/* Every kind of convolution with a batch norm and an activation behind it, wide enough for every kernel. */
static int wide_net(ngi_graph **out, int *input)
{
    ngi_graph *g = net_new();
    ngi_attr none;
    ngi_attr_init(&none);
    *input = net_image(g, 17, 17, 16);
    static const int windows[][5] = {/* kh, kw, stride, dilation, groups */
                                     {3, 3, 1, 1, 1}, {1, 7, 1, 1, 1}, {7, 1, 1, 1, 1}, {1, 1, 1, 1, 1},
                                     {3, 3, 1, 2, 1}, {3, 3, 1, 1, 4}, {3, 3, 2, 1, 1}, {1, 1, 2, 1, 1}};
    int node = *input;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        ngi_attr a = net_window(windows[i][0], windows[i][1], windows[i][2], windows[i][3], true);
        a.groups = windows[i][4];
        node = net_conv(g, node, a, 32, i % 2);
        if (i % 3)
            node = net_batchnorm(g, node, true, true);
        node = net_activation(g, i % 4 == 3 ? NGI_ACT_LEAKY_RELU : NGI_ACT_RELU, node);
    }
    node = net_activation(
        g, NGI_ACT_RELU,
        net_batchnorm(g, net_depthwise(g, node, net_window(3, 3, 1, 1, true), 2, false), true, true));
    node = net_batchnorm(g, net_op(g, NGI_OP_GLOBAL_AVG, &none, node), true, true);
    node = net_dense(g, node, 5, true);
    net_output(g, node);
    *out = g;
    return node;
}

static void compare(const ngi_graph *g, float *const *a, float *const *b, double tolerance, const char *what)
{
    for (int w = 0; w < g->n_weights; w++) {
        double most = 0, off = 0;
        for (int64_t i = 0; a[w] && i < ngi_shape_count(&g->weights[w].shape); i++) {
            most = fmax(most, fabs((double)a[w][i]));
            off = fmax(off, fabs((double)a[w][i] - b[w][i]));
        }
        if (!(off <= tolerance * most))
            fail_msg("%s: weight %d (%s): off by %g of %g", what, w, g->weights[w].name, off, most);
    }
}

static void back_ends_agree(void **state)
{
    (void)state;
    ngi_graph *g;
    net_random_state = 7;
    int input, root = wide_net(&g, &input);
    bool *trained = all_weights(g);
    float *in = net_floats(4 * net_count(g, input)), *seed = net_floats(4 * 5);
    for (int n = 3; n <= 4; n++) { /* a batch that is not full, and a full one */
        trained_plan ref = open_plan(g, root, 4, 1, "ref", trained);
        run(&ref, in, seed, n);
        static const char *const backends[] = {"onednn", "auto"};
        for (int b = 0; b < 2; b++)
            for (int threads = 1; threads <= 2; threads++) {
                trained_plan t = open_plan(g, root, 4, threads, backends[b], trained);
                run(&t, in, seed, n);
                compare(g, ref.grads, t.grads, 2e-4, backends[b]);
                close_plan(g, &t);
            }
        close_plan(g, &ref);
    }
    free(in);
    free(seed);
    free(trained);
    ngi_graph_free(g);
}

/* A batch in two parts sums up to the same gradients. */
static void parts_add_up(void **state)
{
    (void)state;
    ngi_graph *g;
    net_random_state = 8;
    int input, root = wide_net(&g, &input);
    bool *trained = all_weights(g);
    float *in = net_floats(4 * net_count(g, input)), *seed = net_floats(4 * 5);
    trained_plan whole = open_plan(g, root, 4, 1, "auto", trained),
                 parts = open_plan(g, root, 2, 1, "auto", trained);
    run(&whole, in, seed, 4);
    run(&parts, in, seed, 2);
    run(&parts, in + 2 * net_count(g, input), seed + 2 * 5, 2);
    compare(g, whole.grads, parts.grads, 1e-5, "parts");
    close_plan(g, &whole);
    close_plan(g, &parts);
    free(in);
    free(seed);
    free(trained);
    ngi_graph_free(g);
}

/* After its weights changed a plan computes what a new plan does, forward and back. */
static void changed_weights(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "onednn", "auto"};
    ng_error err = {0};
    for (int b = 0; b < 3; b++) {
        ngi_graph *g;
        net_random_state = 9;
        int input, root = wide_net(&g, &input);
        bool *trained = all_weights(g);
        float *in = net_floats(2 * net_count(g, input)), *seed = net_floats(2 * 5);
        trained_plan old = open_plan(g, root, 2, 2, backends[b], trained);
        run(&old, in, seed, 2);
        for (int w = 0; w < g->n_weights; w++)
            for (int64_t i = 0; old.grads[w] && i < ngi_shape_count(&g->weights[w].shape); i++) {
                g->weights[w].data[i] -= 0.01f * old.grads[w][i];
                old.grads[w][i] = 0;
            }
        CHECK_OK(ngi_plan_update(old.plan, &err), err);
        trained_plan fresh = open_plan(g, root, 2, 2, backends[b], trained);
        run(&old, in, seed, 2);
        run(&fresh, in, seed, 2);
        assert_memory_equal(ngi_run_activation(old.session, root), ngi_run_activation(fresh.session, root),
                            2 * 5 * sizeof(float));
        compare(g, fresh.grads, old.grads, 0, backends[b]);
        close_plan(g, &old);
        close_plan(g, &fresh);
        free(in);
        free(seed);
        free(trained);
        ngi_graph_free(g);
    }
}

/* Only what is asked for is trained: a frozen front has no gradient and costs none. The gradients behind it are the same bytes,
 * but for auto's kernels, which are less exact in front where no gradient passes. */
static void frozen_front(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "onednn", "auto"};
    for (int b = 0; b < 3; b++) {
        ngi_graph *g;
        net_random_state = 10;
        int input, root = wide_net(&g, &input);
        bool *trained = all_weights(g), *back = calloc((size_t)g->n_weights, sizeof *back);
        for (int w = g->n_weights / 2; w < g->n_weights; w++)
            back[w] = trained[w];
        float *in = net_floats(2 * net_count(g, input)), *seed = net_floats(2 * 5);
        trained_plan whole = open_plan(g, root, 2, 1, backends[b], trained),
                     half = open_plan(g, root, 2, 1, backends[b], back);
        run(&whole, in, seed, 2);
        run(&half, in, seed, 2);
        compare(g, half.grads, whole.grads, b < 2 ? 0 : 1e-5, backends[b]);
        assert_true(ngi_plan_bytes(half.plan) < ngi_plan_bytes(whole.plan));
        close_plan(g, &whole);
        close_plan(g, &half);
        free(in);
        free(seed);
        free(back);
        free(trained);
        ngi_graph_free(g);
    }
}

typedef struct visits {
    int places, taken, passed;
    int order[64];
} visits;

static void take_place(void *context, int place)
{
    visits *v = context;
    assert_true(place >= 0 && place < v->places);
    v->order[v->taken++] = place;
}

static void pass_place(void *context, int place)
{
    visits *v = context;
    assert_int_equal(v->order[v->taken - 1], place);
    v->passed++;
}

/* A layer that is called twice adds to one gradient: nobody else may come in between. */
static void places_of_gradients(void **state)
{
    (void)state;
    ng_error err = {0};
    for (int shared = 0; shared < 2; shared++) {
        ngi_graph *g = net_new();
        net_random_state = 11;
        ngi_attr a = net_window(3, 3, 1, 1, true);
        int input = net_image(g, 5, 5, 16), first = net_conv(g, input, a, 16, true),
            second = net_conv(g, first, a, 16, true), third = net_conv(g, second, a, 16, true);
        if (shared)
            for (int k = 0; k < 2; k++)
                g->nodes[third].weights[k] = g->nodes[first].weights[k];
        net_output(g, third);
        bool *trained = all_weights(g);
        float *in = net_floats(net_count(g, input)), *seed = net_floats(net_count(g, third));
        trained_plan t = open_plan(g, third, 1, 1, "auto", trained);
        visits v = {.places = ngi_plan_places(t.plan)};
        ngi_weight_grads to = {t.grads, take_place, pass_place, &v};
        const float *inputs = in;
        CHECK_OK(ngi_run_forward(t.session, &inputs, 1, &err), err);
        CHECK_OK(ngi_run_train(t.session, seed, 1, &to, &err), err);
        assert_int_equal(v.taken, 3);
        assert_int_equal(v.passed, shared ? 2 : 3); /* once, behind the second call */
        assert_int_equal(v.order[0] == v.order[2], shared);
        assert_true(v.order[0] != v.order[1]);
        trained_plan ref = open_plan(g, third, 1, 1, "ref", trained);
        run(&ref, in, seed, 1);
        compare(g, ref.grads, t.grads, 1e-5, "places");
        close_plan(g, &ref);
        close_plan(g, &t);
        free(in);
        free(seed);
        free(trained);
        ngi_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_differences), cmocka_unit_test(back_ends_agree),
        cmocka_unit_test(parts_add_up),       cmocka_unit_test(changed_weights),
        cmocka_unit_test(frozen_front),       cmocka_unit_test(places_of_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
