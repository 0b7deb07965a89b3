/* Plans on random networks: memory is reused without harm, fusing changes nothing, gradients are those of
 * finite differences, the back ends agree, runs repeat to the byte. */
#include "exec/random_net.h"

#define NETS  60
#define BATCH 3

typedef struct runner {
    const random_net *net;
    ngi_plan *plan;
    ngi_run_session *session;
} runner;

static runner run_make(const random_net *net, ngi_plan_opts o)
{
    runner r = {.net = net};
    ng_error err = {0};
    o.batch = BATCH;
    o.threads = 1;
    o.root = net->logits;
    CHECK_OK(ngi_plan_create(net->g, &o, &r.plan, &err), err);
    CHECK_OK(ngi_run_session_create(r.plan, &r.session, &err), err);
    return r;
}

static void run_free(runner *r)
{
    ngi_run_session_free(r->session);
    ngi_plan_free(r->plan);
}

static void run_forward(const runner *r, const float *input, int n)
{
    ng_error err = {0};
    CHECK_OK(ngi_run_forward(r->session, &input, n, &err), err);
}

static void run_backward(const runner *r, const float *seed, int n)
{
    ng_error err = {0};
    CHECK_OK(ngi_run_backward(r->session, seed, n, -1, &err), err);
}

static float *random_input(const random_net *net)
{
    return net_floats(BATCH * net_count(net->g, net->input));
}

static float *random_seed(const random_net *net)
{
    return net_floats(BATCH * net_count(net->g, net->logits));
}

/* All nodes, and those that feed the logits. */
static int *list_nodes(const random_net *net, bool feeding, int *n)
{
    int *list = malloc((size_t)net->g->n_nodes * sizeof *list);
    *n = 0;
    for (int i = 0; i < net->g->n_nodes; i++)
        if (!feeding || ngi_graph_reaches(net->g, i, net->logits))
            list[(*n)++] = i;
    return list;
}

static void check_same(const runner *a, const runner *b, int node, bool gradient, int n)
{
    const float *x = gradient ? ngi_run_gradient(a->session, node) : ngi_run_activation(a->session, node);
    const float *y = gradient ? ngi_run_gradient(b->session, node) : ngi_run_activation(b->session, node);
    assert_non_null(x);
    assert_non_null(y);
    if (memcmp(x, y, (size_t)(n * net_count(a->net->g, node)) * sizeof *x) != 0)
        fail_msg("%s: %s differ", a->net->g->nodes[node].name, gradient ? "gradients" : "activations");
}

static void check_near(const runner *a, const runner *b, int node, bool gradient, double tolerance)
{
    const float *x = gradient ? ngi_run_gradient(a->session, node) : ngi_run_activation(a->session, node);
    const float *y = gradient ? ngi_run_gradient(b->session, node) : ngi_run_activation(b->session, node);
    int64_t count = BATCH * net_count(a->net->g, node);
    double most = 0.0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)x[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)x[i] - y[i]) <= tolerance * (most + 1e-3)))
            fail_msg("%s: %s %lld: %.9g and %.9g of at most %.9g", a->net->g->nodes[node].name,
                     gradient ? "gradient" : "activation", (long long)i, x[i], y[i], most);
}

/* A plan that keeps everything against one that keeps what it must: any overlap of live blocks shows. */
static void memory_is_reused_without_harm(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(1, 25), false);
        int all, feeding;
        int *nodes = list_nodes(&net, false, &all), *feeders = list_nodes(&net, true, &feeding);
        const int tap = nodes[net_int(0, all - 1)];
        const int grads[2] = {feeders[net_int(0, feeding - 1)], feeders[net_int(0, feeding - 1)]};
        runner keep = run_make(&net, (ngi_plan_opts){.backend = "ref",
                                                     .taps = nodes,
                                                     .n_taps = all,
                                                     .grads = feeders,
                                                     .n_grads = feeding,
                                                     .keep_unfused = true});
        runner lean = run_make(&net, (ngi_plan_opts){.backend = "ref",
                                                     .taps = &tap,
                                                     .n_taps = 1,
                                                     .grads = grads,
                                                     .n_grads = 2,
                                                     .keep_unfused = true});
        assert_true(ngi_plan_bytes(lean.plan) <= ngi_plan_bytes(keep.plan));
        for (int pass = 0; pass < 3; pass++) {
            float *x = random_input(&net), *seed = random_seed(&net);
            run_forward(&keep, x, BATCH);
            run_forward(&lean, x, BATCH);
            for (int again = 0; again < 2; again++) {
                run_backward(&keep, seed, BATCH);
                run_backward(&lean, seed, BATCH);
                check_same(&keep, &lean, net.output, false, BATCH);
                check_same(&keep, &lean, net.logits, false, BATCH);
                check_same(&keep, &lean, tap, false, BATCH);
                for (int k = 0; k < 2; k++) {
                    check_same(&keep, &lean, grads[k], false, BATCH);
                    check_same(&keep, &lean, grads[k], true, BATCH);
                }
                seed[0] += 1.0f;
            }
            free(x);
            free(seed);
        }
        run_free(&keep);
        run_free(&lean);
        free(nodes);
        free(feeders);
        ngi_graph_free(net.g);
    }
}

/* Stopping at one wanted node gives that node's gradient of the full pass, whatever ran before. */
static void backward_to_one_node_gives_its_gradient(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(5, 30), false);
        int feeding;
        int *feeders = list_nodes(&net, true, &feeding);
        ngi_plan_opts o = {.backend = "ref", .grads = feeders, .n_grads = feeding};
        runner full = run_make(&net, o), partial = run_make(&net, o);
        for (int pass = 0; pass < 4; pass++) {
            float *x = random_input(&net), *seed = random_seed(&net);
            ng_error err = {0};
            int to = feeders[net_int(0, feeding - 1)];
            run_forward(&full, x, BATCH);
            run_forward(&partial, x, BATCH);
            run_backward(&full, seed, BATCH);
            CHECK_OK(ngi_run_backward(partial.session, seed, BATCH, to, &err), err);
            check_same(&full, &partial, to, true, BATCH);
            free(x);
            free(seed);
        }
        run_free(&full);
        run_free(&partial);
        free(feeders);
        ngi_graph_free(net.g);
    }
}

static void fusing_changes_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(1, 20), false);
        int feeding;
        int *feeders = list_nodes(&net, true, &feeding);
        const int grads[2] = {net.input, feeders[net_int(0, feeding - 1)]};
        float *x = random_input(&net), *seed = random_seed(&net);
        runner plain = run_make(
            &net, (ngi_plan_opts){.backend = "ref", .grads = grads, .n_grads = 2, .keep_unfused = true});
        runner fused = run_make(&net, (ngi_plan_opts){.backend = "ref", .grads = grads, .n_grads = 2});
        run_forward(&plain, x, BATCH);
        run_forward(&fused, x, BATCH);
        run_backward(&plain, seed, BATCH);
        run_backward(&fused, seed, BATCH);
        check_near(&plain, &fused, net.output, false, 1e-5);
        check_near(&plain, &fused, net.logits, false, 1e-5);
        for (int k = 0; k < 2; k++) {
            check_near(&plain, &fused, grads[k], false, 1e-5);
            check_near(&plain, &fused, grads[k], true, 1e-4);
        }
        run_free(&plain);
        run_free(&fused);
        free(x);
        free(seed);
        free(feeders);
        ngi_graph_free(net.g);
    }
}

static double score(const runner *r, const float *input, const float *seed)
{
    run_forward(r, input, 1);
    const float *y = ngi_run_activation(r->session, r->net->logits);
    double sum = 0.0;
    for (int64_t i = 0; i < net_count(r->net->g, r->net->logits); i++)
        sum += (double)y[i] * seed[i];
    return sum;
}

static void gradients_are_those_of_differences(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(1, 12), true);
        float *x = random_input(&net), *seed = random_seed(&net);
        runner r = run_make(&net, (ngi_plan_opts){.backend = "ref", .grads = &net.input, .n_grads = 1});
        int64_t count = net_count(net.g, net.input);
        float *grad = malloc((size_t)count * sizeof *grad);
        run_forward(&r, x, 1);
        run_backward(&r, seed, 1);
        memcpy(grad, ngi_run_gradient(r.session, net.input), (size_t)count * sizeof *grad);
        double most = 0.0;
        for (int64_t k = 0; k < count; k++)
            most = fmax(most, fabs((double)grad[k]));
        for (int64_t k = 0; k < count; k++) {
            const float kept = x[k], eps = 0.01f;
            x[k] = kept + eps;
            double high = score(&r, x, seed);
            x[k] = kept - eps;
            double low = score(&r, x, seed), expected = (high - low) / (2.0 * eps);
            x[k] = kept;
            if (!(fabs(grad[k] - expected) <= 0.02 * most + 1e-3))
                fail_msg("net %d, input %lld: difference %.7g, gradient %.7g of at most %.7g", i,
                         (long long)k, expected, grad[k], most);
        }
        run_free(&r);
        free(grad);
        free(x);
        free(seed);
        ngi_graph_free(net.g);
    }
}

static void back_ends_agree(void **state)
{
    (void)state;
    const char *const names[] = {"auto", "onednn"};
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(1, 20), true);
        float *x = random_input(&net), *seed = random_seed(&net);
        int feeding;
        int *feeders = list_nodes(&net, true, &feeding);
        const int grads[2] = {net.input, feeders[net_int(0, feeding - 1)]};
        ngi_plan_opts o = {.backend = "ref", .grads = grads, .n_grads = 2};
        runner ref = run_make(&net, o);
        run_forward(&ref, x, BATCH);
        run_backward(&ref, seed, BATCH);
        for (int b = 0; b < 2; b++) {
            o.backend = names[b];
            runner fast = run_make(&net, o);
            run_forward(&fast, x, BATCH);
            run_backward(&fast, seed, BATCH);
            check_near(&ref, &fast, net.logits, false, 1e-4);
            check_near(&ref, &fast, net.output, false, 1e-4);
            for (int k = 0; k < 2; k++)
                check_near(&ref, &fast, grads[k], true, 1e-3);
            run_free(&fast);
        }
        run_free(&ref);
        free(feeders);
        free(x);
        free(seed);
        ngi_graph_free(net.g);
    }
}

/* Run again, in a second session, and image by image: the same bytes. */
static void runs_repeat_to_the_byte(void **state)
{
    (void)state;
    const char *const names[] = {"ref", "auto", "onednn"};
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(1, 15), false);
        float *x = random_input(&net), *seed = random_seed(&net);
        int64_t in = net_count(net.g, net.input), out = net_count(net.g, net.logits);
        runner one =
            run_make(&net, (ngi_plan_opts){.backend = names[i % 3], .grads = &net.input, .n_grads = 1});
        runner two = {&net, one.plan, NULL};
        ng_error err = {0};
        CHECK_OK(ngi_run_session_create(one.plan, &two.session, &err), err);
        run_forward(&one, x, BATCH);
        run_backward(&one, seed, BATCH);
        for (int again = 0; again < 2; again++) {
            run_forward(&two, x, BATCH);
            run_backward(&two, seed, BATCH);
            check_same(&one, &two, net.output, false, BATCH);
            check_same(&one, &two, net.input, true, BATCH);
        }
        for (int k = 0; k < BATCH; k++) {
            run_forward(&two, x + k * in, 1);
            run_backward(&two, seed + k * out, 1);
            const float *logits = ngi_run_activation(one.session, net.logits) + k * out;
            const float *grad = ngi_run_gradient(one.session, net.input) + k * in;
            assert_memory_equal(ngi_run_activation(two.session, net.logits), logits,
                                (size_t)out * sizeof *logits);
            assert_memory_equal(ngi_run_gradient(two.session, net.input), grad, (size_t)in * sizeof *grad);
        }
        ngi_run_session_free(two.session);
        run_free(&one);
        free(x);
        free(seed);
        ngi_graph_free(net.g);
    }
}

/* The part behind any node, given what lies in front, has the whole network's logits and gradient there. */
static void a_part_gives_what_the_whole_gives(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(1, 25), false);
        int all, feeding;
        int *nodes = list_nodes(&net, false, &all), *feeders = list_nodes(&net, true, &feeding);
        runner whole = run_make(&net, (ngi_plan_opts){.backend = "ref",
                                                      .taps = nodes,
                                                      .n_taps = all,
                                                      .grads = feeders,
                                                      .n_grads = feeding,
                                                      .keep_unfused = true});
        float *x = random_input(&net), *seed = random_seed(&net);
        run_forward(&whole, x, BATCH);
        run_backward(&whole, seed, BATCH);
        int *starts = malloc((size_t)all * sizeof *starts), cut = feeders[net_int(0, feeding - 1)];
        bool *room = malloc(2 * (size_t)all);
        ngi_plan_opts o = {
            .backend = "ref", .grads = &cut, .n_grads = 1, .starts = starts, .keep_unfused = true};
        o.n_starts = ngi_graph_frontier(net.g, cut, net.logits, starts, room);
        assert_int_equal(starts[0], cut);
        runner part = run_make(&net, o);
        const float **given = malloc((size_t)o.n_starts * sizeof *given);
        for (int k = 0; k < o.n_starts; k++)
            given[k] = ngi_run_activation(whole.session, starts[k]);
        ng_error err = {0};
        CHECK_OK(ngi_run_forward(part.session, given, BATCH, &err), err);
        run_backward(&part, seed, BATCH);
        check_same(&whole, &part, net.logits, false, BATCH);
        check_same(&whole, &part, cut, true, BATCH);
        if (o.n_starts > 1) { /* without the shortcuts the input is missing, or it is no part at all */
            ngi_plan *plan;
            o.n_starts = 1;
            o.batch = o.threads = 1;
            o.root = net.logits;
            ng_status status = ngi_plan_create(net.g, &o, &plan, &err);
            if (status != NG_OK)
                assert_non_null(strstr(err.text, "around the given nodes"));
            else
                ngi_plan_free(plan);
        }
        run_free(&part);
        run_free(&whole);
        free(given);
        free(room);
        free(starts);
        free(seed);
        free(x);
        free(nodes);
        free(feeders);
        ngi_graph_free(net.g);
    }
}

/* y = g through a 1x1 convolution's transpose: [n,cells,oc] to [n,cells,ic]. */
static float *through(const ngi_graph *g, int conv, const float *grad)
{
    int64_t ic = net_channels(g, g->nodes[conv].inputs[0]), oc = net_channels(g, conv);
    int64_t cells = BATCH * net_count(g, conv) / oc;
    const float *w = g->weights[g->nodes[conv].weights[0]].data;
    float *out = calloc((size_t)(cells * ic), sizeof *out);
    for (int64_t i = 0; i < cells; i++)
        for (int64_t a = 0; a < ic; a++)
            for (int64_t b = 0; b < oc; b++)
                out[i * ic + a] += w[a * oc + b] * grad[i * oc + b];
    return out;
}

static void apply_rule(ngi_relu_rule rule, const float *x, float *g, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        g[i] = (rule == NGI_RELU_DECONV || x[i] > 0) && (rule == NGI_RELU_GRADIENT || g[i] > 0) ? g[i] : 0;
}

static float *rule_by_hand(const runner *r, const float *seed, ngi_relu_rule rule, int conv, int relu,
                           int sum, int out)
{
    const ngi_graph *g = r->net->g;
    int64_t n = BATCH * net_count(g, out);
    float *top = malloc((size_t)n * sizeof *top);
    memcpy(top, seed, (size_t)n * sizeof *top);
    apply_rule(rule, ngi_run_activation(r->session, sum), top, n);
    float *middle = through(g, sum, top);
    apply_rule(rule, ngi_run_activation(r->session, conv), middle, BATCH * net_count(g, relu));
    float *bottom = through(g, conv, middle);
    free(top);
    free(middle);
    return bottom;
}

/* conv -> relu -> dense -> relu -> dense by hand: what each rule lets through, fused and not, on each back end. */
static void relu_rules(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "onednn"};
    for (int b = 0; b < 4; b++) {
        random_net net = {.g = net_new()};
        net.input = net_image(net.g, 5, 4, 3);
        int conv = net_conv(net.g, net.input, net_window(1, 1, 1, 1, true), 6, true);
        int relu = net_activation(net.g, NGI_ACT_RELU, conv);
        int sum = net_conv(net.g, relu, net_window(1, 1, 1, 1, true), 4, true);
        net.output = net.logits = net_activation(net.g, NGI_ACT_RELU, sum);
        net_output(net.g, net.output);
        const int grads[] = {net.input, conv, relu, sum}, some[] = {net.input};
        bool fused = b % 2;
        runner r = run_make(&net, (ngi_plan_opts){.backend = backends[b / 2],
                                                  .grads = fused ? some : grads,
                                                  .n_grads = fused ? 1 : 4,
                                                  .keep_unfused = !fused});
        runner plain = run_make(
            &net, (ngi_plan_opts){.backend = "ref", .grads = grads, .n_grads = 4, .keep_unfused = true});
        float *x = random_input(&net), *seed = random_seed(&net);
        run_forward(&r, x, BATCH);
        run_forward(&plain, x, BATCH);
        ng_error err = {0};
        for (int rule = NGI_RELU_GRADIENT; rule <= NGI_RELU_DECONV; rule++) {
            CHECK_OK(ngi_run_backward_rule(r.session, seed, BATCH, -1, (ngi_relu_rule)rule, &err), err);
            float *g = rule_by_hand(&plain, seed, (ngi_relu_rule)rule, conv, relu, sum, net.output);
            int64_t n = BATCH * net_count(net.g, net.input);
            const float *found = ngi_run_gradient(r.session, net.input);
            for (int64_t i = 0; i < n; i++)
                CHECK_NEAR(g[i], found[i], 1e-5);
            free(g);
        }
        free(x);
        free(seed);
        run_free(&r);
        run_free(&plain);
        ngi_graph_free(net.g);
    }
}

/* The gradients that image i gets from a backward pass of its own, in any order, are those that it gets from one of all. */
static void check_each_image(const runner *r, const int *nodes, int n, const float *seed, ngi_relu_rule rule)
{
    ng_error err = {0};
    int64_t width = net_count(r->net->g, r->net->logits);
    CHECK_OK(ngi_run_backward_rule(r->session, seed, BATCH, -1, rule, &err), err);
    float *expected[2];
    for (int k = 0; k < n; k++) {
        size_t bytes = (size_t)(BATCH * net_count(r->net->g, nodes[k])) * sizeof(float);
        expected[k] = malloc(bytes);
        assert_non_null(expected[k]);
        memcpy(expected[k], ngi_run_gradient(r->session, nodes[k]), bytes);
    }
    for (int image = BATCH - 1; image >= 0; image--) {
        CHECK_OK(ngi_run_backward_image(r->session, seed + image * width, image, -1, rule, &err), err);
        for (int k = 0; k < n; k++) {
            int64_t count = net_count(r->net->g, nodes[k]);
            if (memcmp(expected[k] + image * count, ngi_run_gradient(r->session, nodes[k]) + image * count,
                       (size_t)count * sizeof(float)) != 0)
                fail_msg("%s: image %d alone has another gradient", r->net->g->nodes[nodes[k]].name, image);
        }
    }
    for (int k = 0; k < n; k++)
        free(expected[k]);
}

static void an_image_alone_has_its_gradient(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        random_net net = net_random(net_int(1, 25), false);
        int feeding;
        int *feeders = list_nodes(&net, true, &feeding);
        const int grads[2] = {net.input, feeders[net_int(0, feeding - 1)]};
        float *x = random_input(&net), *seed = random_seed(&net);
        runner r =
            run_make(&net, (ngi_plan_opts){.backend = i % 2 ? "auto" : "ref", .grads = grads, .n_grads = 2});
        run_forward(&r, x, BATCH);
        check_each_image(&r, grads, 2, seed, NGI_RELU_GRADIENT);
        check_each_image(&r, grads, 2, seed, NGI_RELU_GUIDED);
        check_each_image(&r, grads, 2, seed, NGI_RELU_DECONV);
        ng_error err = {0};
        CHECK_FAILS(ngi_run_backward_image(r.session, seed, BATCH, -1, NGI_RELU_GRADIENT, &err),
                    NG_E_ARGUMENT, err, "image 3 after a forward of 3");
        run_free(&r);
        free(x);
        free(seed);
        free(feeders);
        ngi_graph_free(net.g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_alone_has_its_gradient),
        cmocka_unit_test(memory_is_reused_without_harm),
        cmocka_unit_test(backward_to_one_node_gives_its_gradient),
        cmocka_unit_test(fusing_changes_nothing),
        cmocka_unit_test(gradients_are_those_of_differences),
        cmocka_unit_test(back_ends_agree),
        cmocka_unit_test(runs_repeat_to_the_byte),
        cmocka_unit_test(a_part_gives_what_the_whole_gives),
        cmocka_unit_test(relu_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
