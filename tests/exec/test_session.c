/* What a plan promises beyond numbers: what is fused, aliased nodes, refusals, failing allocations, threads,
 * memory. */
#include "exec/random_net.h"

#include <pthread.h>

static ng_error err;

static ngi_plan *plan_of(const ngi_graph *g, ngi_plan_opts o)
{
    ngi_plan *p;
    o.batch = o.batch ? o.batch : 1;
    o.threads = o.threads ? o.threads : 1;
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    return p;
}

static ngi_run_session *session_of(ngi_plan *p)
{
    ngi_run_session *s;
    CHECK_OK(ngi_run_session_create(p, &s, &err), err);
    return s;
}

static void close_both(ngi_plan *p, ngi_run_session *s)
{
    ngi_run_session_free(s);
    ngi_plan_free(p);
}

static int steps_in(const ngi_plan *p)
{
    int lines = 0;
    for (const char *c = ngi_plan_kernels(p); *c; c++)
        lines += *c == '\n';
    return lines;
}

static int steps_of_plan(const ngi_graph *g, ngi_plan_opts o)
{
    o.backend = "ref";
    ngi_plan *p = plan_of(g, o);
    int n = steps_in(p);
    ngi_plan_free(p);
    return n;
}

static void chains_are_fused_unless_someone_looks(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 4, 4, 3);
    int conv = net_conv(g, in, net_window(3, 3, 1, 1, true), 6, false);
    int norm = net_batchnorm(g, conv, true, true), relu = net_activation(g, NGI_ACT_RELU, norm);
    int drop = net_op(g, NGI_OP_IDENTITY, NULL, relu),
        silu = net_activation(g, NGI_ACT_SILU, net_dense(g, drop, 4, true));
    net_output(g, silu);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = silu}), 2);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = silu, .keep_unfused = true}), 5);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = silu, .taps = &conv, .n_taps = 1}), 4);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = silu, .taps = &norm, .n_taps = 1}), 3);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = silu, .grads = &norm, .n_grads = 1}), 4);
    /* backward to the input: relu follows from its output and stays fused, silu does not */
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = silu, .grads = &in, .n_grads = 1}), 3);
    ngi_plan *p = plan_of(g, (ngi_plan_opts){.root = silu, .backend = "ref"});
    assert_string_equal(ngi_plan_kernels(p), "conv2d_1\tref\ndense_5\tref\n");
    ngi_plan_free(p);
    ngi_graph_free(g);
}

static void a_value_with_two_readers_is_not_folded(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int conv = net_conv(g, net_image(g, 4, 4, 3), net_window(1, 1, 1, 1, true), 6, true);
    int sum = net_op2(g, NGI_OP_ADD, net_batchnorm(g, conv, true, true), conv);
    net_output(g, sum);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = sum}), 3);
    ngi_graph_free(g);
}

static void nothing_else_runs(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 4, 4, 3), used = net_activation(g, NGI_ACT_TANH, in),
        unused = net_activation(g, NGI_ACT_RELU, in);
    (void)net_activation(g, NGI_ACT_RELU, unused);
    net_output(g, used);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = used}), 1);
    assert_int_equal(steps_of_plan(g, (ngi_plan_opts){.root = used, .taps = &unused, .n_taps = 1}), 2);
    ngi_graph_free(g);
}

static int affine(ngi_graph *g, int input, float scale)
{
    int w[NGI_NODE_WEIGHTS] = {net_weight(g, ngi_shape_of(1, (int64_t)1), scale, scale),
                               net_weight(g, ngi_shape_of(1, (int64_t)1), 0, 0), -1, -1};
    return net_node_of(g, NGI_OP_AFFINE, NULL, 1, &input, w);
}

static void check_gradient(const ngi_run_session *s, int node, float expected)
{
    const float *grad = ngi_run_gradient(s, node);
    assert_non_null(grad);
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(grad[i], expected, 0);
}

/* Every image of the batch meets the same constant, and the gradient goes past it. */
static void a_constant_is_the_same_for_every_image(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 2, 1), other = net_image(g, 2, 2, 1),
        product = net_op2(g, NGI_OP_MULTIPLY, other, in);
    const float value[4] = {1, -2, 3, 0.5f}, x[8] = {1, 2, 3, 4, 5, 6, 7, 8},
                ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, *in_x = x;
    CHECK_OK(ngi_graph_fix_input(g, other, value, &err), err);
    g->n_inputs = 1;
    net_output(g, product);
    ngi_plan *p = plan_of(g, (ngi_plan_opts){.batch = 2, .root = product, .grads = &in, .n_grads = 1});
    ngi_run_session *s = session_of(p);
    CHECK_OK(ngi_run_forward(s, &in_x, 2, &err), err);
    CHECK_OK(ngi_run_backward(s, ones, 2, -1, &err), err);
    for (int i = 0; i < 8; i++) {
        CHECK_NEAR(ngi_run_activation(s, product)[i], value[i % 4] * x[i], 0);
        CHECK_NEAR(ngi_run_gradient(s, in)[i], value[i % 4], 0);
    }
    ngi_run_session_free(s);
    ngi_plan_free(p);
    ngi_graph_free(g);
}

/* Aliases share activations, but a dropout's own gradient is not its input's where that has other readers. */
static void aliased_nodes_have_their_own_gradients(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 2, 1), drop = net_op(g, NGI_OP_IDENTITY, NULL, in);
    int sum = net_op2(g, NGI_OP_ADD, affine(g, drop, 2), affine(g, in, 3)),
        end = net_op(g, NGI_OP_IDENTITY, NULL, sum);
    net_output(g, end);
    const int grads[4] = {in, drop, sum, end};
    ngi_plan *p = plan_of(g, (ngi_plan_opts){.root = end, .grads = grads, .n_grads = 4});
    ngi_run_session *s = session_of(p);
    const float x[4] = {1, 2, 3, 4}, seed[4] = {1, 1, 1, 1}, *in_x = x;
    CHECK_OK(ngi_run_forward(s, &in_x, 1, &err), err);
    CHECK_OK(ngi_run_backward(s, seed, 1, -1, &err), err);
    check_gradient(s, in, 5);
    check_gradient(s, drop, 2);
    check_gradient(s, sum, 1);
    check_gradient(s, end, 1);
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(ngi_run_activation(s, end)[i], 5 * x[i], 0);
    assert_memory_equal(ngi_run_activation(s, drop), x, sizeof x);
    close_both(p, s);
    ngi_graph_free(g);
}

static void a_network_may_be_no_more_than_its_input(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 2, 1), drop = net_op(g, NGI_OP_IDENTITY, NULL, in);
    net_output(g, drop);
    ngi_plan *p = plan_of(g, (ngi_plan_opts){.root = drop, .grads = &in, .n_grads = 1, .batch = 2});
    ngi_run_session *s = session_of(p);
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, *inputs = x;
    CHECK_OK(ngi_run_forward(s, &inputs, 2, &err), err);
    CHECK_OK(ngi_run_backward(s, x, 2, -1, &err), err);
    assert_memory_equal(ngi_run_activation(s, drop), x, sizeof x);
    assert_memory_equal(ngi_run_gradient(s, in), x, sizeof x);
    close_both(p, s);
    ngi_graph_free(g);
}

/* Keras's ReLU(max_value=5) passes the gradient at 5 and stops it above: the fused output cannot tell. */
static void a_cut_relu_stops_gradients_above_its_maximum(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 1, 1, 1), dense = net_dense(g, in, 1, false);
    g->weights[g->nodes[dense].weights[0]].data[0] = 1;
    ngi_attr a;
    ngi_attr_init(&a);
    a.act = (ngi_activation_attr){NGI_ACT_RELU, 0, 5, 0};
    int relu = net_op(g, NGI_OP_ACTIVATION, &a, dense);
    net_output(g, relu);
    const char *const names[] = {"ref", "onednn", "auto"};
    for (int b = 0; b < 3; b++) {
        ngi_plan *p =
            plan_of(g, (ngi_plan_opts){.root = relu, .grads = &in, .n_grads = 1, .backend = names[b]});
        ngi_run_session *s = session_of(p);
        const float xs[4] = {-1, 3, 5, 7}, expected[4] = {0, 1, 1, 0}, seed = 1;
        for (int i = 0; i < 4; i++) {
            const float *x = &xs[i];
            CHECK_OK(ngi_run_forward(s, &x, 1, &err), err);
            CHECK_OK(ngi_run_backward(s, &seed, 1, -1, &err), err);
            CHECK_NEAR(ngi_run_gradient(s, in)[0], expected[i], 0);
        }
        close_both(p, s);
    }
    ngi_graph_free(g);
}

static void only_what_was_asked_for_is_readable(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 4, 4, 3), a = net_activation(g, NGI_ACT_TANH, in),
        b = net_activation(g, NGI_ACT_TANH, a);
    int root = net_activation(g, NGI_ACT_TANH, b), out = net_activation(g, NGI_ACT_TANH, root);
    net_output(g, out);
    ngi_plan *p = plan_of(g, (ngi_plan_opts){.root = root, .grads = &b, .n_grads = 1});
    ngi_run_session *s = session_of(p);
    assert_null(ngi_run_activation(s, a));
    assert_null(ngi_run_gradient(s, a));
    assert_null(ngi_run_gradient(s, root));
    assert_non_null(ngi_run_activation(s, b));
    assert_non_null(ngi_run_activation(s, root));
    assert_non_null(ngi_run_activation(s, out));
    assert_non_null(ngi_run_gradient(s, b));
    close_both(p, s);
    ngi_graph_free(g);
}

#define PLAN_FAILS(g, status, fragment, ...)                                                        \
    do {                                                                                            \
        ngi_plan *refused = NULL;                                                                   \
        CHECK_FAILS(ngi_plan_create(g, &(ngi_plan_opts){__VA_ARGS__}, &refused, &err), status, err, \
                    fragment);                                                                      \
        assert_null(refused);                                                                       \
    } while (0)

static void impossible_plans_are_refused(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 4, 4, 3), a = net_activation(g, NGI_ACT_TANH, in),
        b = net_activation(g, NGI_ACT_RELU, in);
    const int far = 99;
    net_output(g, a);
    PLAN_FAILS(g, NG_E_ARGUMENT, "activation_2' does not feed 'activation_1", .batch = 1, .threads = 1,
               .root = a, .grads = &b, .n_grads = 1);
    PLAN_FAILS(g, NG_E_ARGUMENT, "node 99", .batch = 1, .threads = 1, .root = a, .taps = &far, .n_taps = 1);
    PLAN_FAILS(g, NG_E_ARGUMENT, "batch 0", .batch = 0, .threads = 1, .root = a);
    PLAN_FAILS(g, NG_E_ARGUMENT, "batch 1000000", .batch = 1000000, .threads = 1, .root = a);
    PLAN_FAILS(g, NG_E_ARGUMENT, "root node -1", .batch = 1, .threads = 1, .root = -1);
    PLAN_FAILS(g, NG_E_ARGUMENT, "gpu", .batch = 1, .threads = 1, .root = a, .backend = "gpu");
    ngi_graph_free(g);
}

static void impossible_runs_are_refused_and_the_session_lives(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 2, 1), a = net_activation(g, NGI_ACT_TANH, in);
    net_output(g, a);
    const float x[8] = {0}, *inputs = x;
    ngi_plan *p = plan_of(g, (ngi_plan_opts){.root = a, .grads = &in, .n_grads = 1, .batch = 2});
    ngi_run_session *s = session_of(p);
    CHECK_FAILS(ngi_run_backward(s, x, 1, -1, &err), NG_E_ARGUMENT, err, "after a forward of 0");
    CHECK_FAILS(ngi_run_forward(s, &inputs, 3, &err), NG_E_ARGUMENT, err, "3 images");
    CHECK_FAILS(ngi_run_forward(s, &inputs, 0, &err), NG_E_ARGUMENT, err, "0 images");
    CHECK_OK(ngi_run_forward(s, &inputs, 2, &err), err);
    CHECK_FAILS(ngi_run_backward(s, x, 1, -1, &err), NG_E_ARGUMENT, err,
                "backward of 1 images after a forward of 2");
    CHECK_OK(ngi_run_backward(s, x, 2, -1, &err), err);
    close_both(p, s);
    p = plan_of(g, (ngi_plan_opts){.root = a});
    s = session_of(p);
    CHECK_OK(ngi_run_forward(s, &inputs, 1, &err), err);
    CHECK_FAILS(ngi_run_backward(s, x, 1, -1, &err), NG_E_ARGUMENT, err, "without gradients");
    close_both(p, s);
    ngi_graph_free(g);
}

/* The k-th allocation of plan and session fails, for every k: an error, and nothing is left behind. */
static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    const char *const names[] = {"ref", "onednn", "auto"};
    for (int b = 0; b < 3; b++) {
        net_random_state = 11;
        random_net net = net_random(12, false);
        ngi_plan_opts o = {.batch = 2,
                           .threads = 1,
                           .root = net.logits,
                           .grads = &net.input,
                           .n_grads = 1,
                           .backend = names[b]};
        for (long k = 1;; k++) {
            ngi_plan *p = NULL;
            ngi_run_session *s = NULL;
            err = (ng_error){0};
            ngi_alloc_fail_at(k);
            ng_status status = ngi_plan_create(net.g, &o, &p, &err);
            if (status == NG_OK)
                status = ngi_run_session_create(p, &s, &err);
            bool reached = ngi_alloc_count() >= k;
            ngi_alloc_fail_at(0);
            close_both(p, s);
            if (!reached) {
                assert_int_equal(status, NG_OK);
                assert_true(k > 20);
                break;
            }
            if (status != NG_E_MEMORY || !strstr(err.text, "memory"))
                fail_msg("%s, allocation %ld: %s: %s", names[b], k, ng_status_name(status), err.text);
        }
        ngi_graph_free(net.g);
    }
}

typedef struct thread_job {
    ngi_plan *plan;
    const random_net *net;
    const float *input, *seed;
    float *logits, *grad; /* the results */
    bool ok;
} thread_job;

static void *thread_main(void *argument)
{
    thread_job *job = argument;
    ngi_run_session *s = NULL;
    size_t out = (size_t)net_count(job->net->g, job->net->logits) * sizeof(float);
    size_t in = (size_t)net_count(job->net->g, job->net->input) * sizeof(float);
    job->ok = ngi_run_session_create(job->plan, &s, NULL) == NG_OK;
    for (int i = 0; i < 30 && job->ok; i++) {
        job->ok = ngi_run_forward(s, &job->input, 1, NULL) == NG_OK &&
                  ngi_run_backward(s, job->seed, 1, -1, NULL) == NG_OK;
        if (job->ok && i > 0)
            job->ok = memcmp(job->logits, ngi_run_activation(s, job->net->logits), out) == 0 &&
                      memcmp(job->grad, ngi_run_gradient(s, job->net->input), in) == 0;
        if (job->ok) {
            memcpy(job->logits, ngi_run_activation(s, job->net->logits), out);
            memcpy(job->grad, ngi_run_gradient(s, job->net->input), in);
        }
    }
    ngi_run_session_free(s);
    return NULL;
}

/* Two threads, two inputs, one plan that is let go before they end: each gets what it gets alone. */
static void threads_share_a_plan(void **state)
{
    (void)state;
    random_net net = net_random(18, false);
    ngi_plan *p = plan_of(net.g, (ngi_plan_opts){.root = net.logits, .grads = &net.input, .n_grads = 1});
    thread_job jobs[4];
    pthread_t threads[2];
    float *seed = net_floats(net_count(net.g, net.logits)), *inputs[2];
    for (int i = 0; i < 2; i++)
        inputs[i] = net_floats(net_count(net.g, net.input));
    for (int i = 0; i < 4; i++)
        jobs[i] = (thread_job){p,
                               &net,
                               inputs[i % 2],
                               seed,
                               net_floats(net_count(net.g, net.logits)),
                               net_floats(net_count(net.g, net.input)),
                               false};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_main, &jobs[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 2; i < 4; i++)
        thread_main(&jobs[i]);
    for (int i = 0; i < 2; i++) {
        assert_true(jobs[i].ok && jobs[i + 2].ok);
        assert_memory_equal(jobs[i].logits, jobs[i + 2].logits,
                            (size_t)net_count(net.g, net.logits) * sizeof(float));
        assert_memory_equal(jobs[i].grad, jobs[i + 2].grad,
                            (size_t)net_count(net.g, net.input) * sizeof(float));
    }
    for (int i = 0; i < 4; i++) {
        free(jobs[i].logits);
        free(jobs[i].grad);
    }
    free(inputs[0]);
    free(inputs[1]);
    free(seed);
    ngi_plan_free(p);
    ngi_graph_free(net.g);
}

static void a_session_keeps_its_plan(void **state)
{
    (void)state;
    random_net net = net_random(5, false);
    ngi_plan *p = plan_of(net.g, (ngi_plan_opts){.root = net.logits});
    ngi_run_session *s = session_of(p);
    ngi_plan_free(p);
    float *x = net_floats(net_count(net.g, net.input));
    CHECK_OK(ngi_run_forward(s, (const float *const *)&x, 1, &err), err);
    ngi_run_session_free(s);
    free(x);
    ngi_graph_free(net.g);
}

/* A deep chain needs two buffers and the input, not one for each layer; keeping them all shows the difference. */
static void a_chain_needs_two_buffers(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 16, 16, 8), node = in, taps[50];
    for (int i = 0; i < 50; i++)
        taps[i] = node = net_activation(g, NGI_ACT_TANH, node);
    net_output(g, node);
    const size_t tensor = 16 * 16 * 8 * sizeof(float);
    ngi_plan *lean = plan_of(g, (ngi_plan_opts){.root = node});
    ngi_plan *keep = plan_of(g, (ngi_plan_opts){.root = node, .taps = taps, .n_taps = 50});
    assert_true(ngi_plan_bytes(lean) <= 3 * tensor);
    assert_true(ngi_plan_bytes(keep) >= 50 * tensor);
    ngi_plan_free(lean);
    ngi_plan_free(keep);
    ngi_graph_free(g);
}

/* As many layers as a file may have, every gradient path open: planning must not grow with their square. */
static void many_layers_are_planned_in_no_time(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    int in = net_image(g, 2, 2, 1), node = in;
    for (int i = 0; i < NGI_MAX_NODES - 1; i++)
        node = i % 2 ? net_op2(g, NGI_OP_ADD, node, net_int(0, node)) : net_activation(g, NGI_ACT_TANH, node);
    net_output(g, node);
    ngi_plan_free(plan_of(g, (ngi_plan_opts){.root = node, .grads = &in, .n_grads = 1, .backend = "ref"}));
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_are_fused_unless_someone_looks),
        cmocka_unit_test(a_value_with_two_readers_is_not_folded),
        cmocka_unit_test(nothing_else_runs),
        cmocka_unit_test(a_constant_is_the_same_for_every_image),
        cmocka_unit_test(aliased_nodes_have_their_own_gradients),
        cmocka_unit_test(a_network_may_be_no_more_than_its_input),
        cmocka_unit_test(a_cut_relu_stops_gradients_above_its_maximum),
        cmocka_unit_test(only_what_was_asked_for_is_readable),
        cmocka_unit_test(impossible_plans_are_refused),
        cmocka_unit_test(impossible_runs_are_refused_and_the_session_lives),
        cmocka_unit_test(every_failed_allocation_is_an_error),
        cmocka_unit_test(threads_share_a_plan),
        cmocka_unit_test(a_session_keeps_its_plan),
        cmocka_unit_test(a_chain_needs_two_buffers),
        cmocka_unit_test(many_layers_are_planned_in_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
