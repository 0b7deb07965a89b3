/* Ablation-CAM is its formula whatever the head: each channel set to zero by hand and all that lies behind the layer run
 * again on the reference code gives the same map as the ways that run less. */
#include "exec/net.h"

#include "attr/attr.h"

enum { SIDE = 10, CLASSES = 5, CHANNELS = 12, CELLS = 25 };

typedef enum head_kind {
    POOLED,        /* pool, dense */
    POOLED_HIDDEN, /* pool, dropout, dense, relu, dense */
    FLAT_HIDDEN,   /* flatten, dense, relu, dense */
    AROUND,        /* as POOLED_HIDDEN, but the pool is read behind the hidden layer too */
    CONVOLUTION,   /* convolution, relu, pool, dense */
    SCALED,        /* relu between pool and dense: not linear in the channels */
    HEADS
} head_kind;

typedef struct scene {
    ngi_graph *g;
    ngi_head head;
    int layer, node;
} scene;

static int pool_of(ngi_graph *g, int node)
{
    ngi_attr plain;
    ngi_attr_init(&plain);
    return net_op(g, NGI_OP_GLOBAL_AVG, &plain, node);
}

static int flatten(ngi_graph *g, int node)
{
    ngi_attr flat;
    ngi_attr_init(&flat);
    flat.target = ngi_shape_of(1, (int64_t)-1);
    return net_op(g, NGI_OP_RESHAPE, &flat, node);
}

static int hidden(ngi_graph *g, int node)
{
    return net_activation(g, NGI_ACT_RELU, net_dense(g, node, 70, true)); /* more than one block of outputs */
}

static int build_head(ngi_graph *g, head_kind kind, int last)
{
    ngi_attr plain;
    ngi_attr_init(&plain);
    switch (kind) {
    case POOLED_HIDDEN:
        last = hidden(g, net_op(g, NGI_OP_IDENTITY, &plain, pool_of(g, last)));
        break;
    case FLAT_HIDDEN:
        last = hidden(g, flatten(g, last));
        break;
    case AROUND:
        last = pool_of(g, last);
        last = net_op2(g, NGI_OP_ADD, last, net_dense(g, hidden(g, last), CHANNELS, true));
        break;
    case CONVOLUTION:
        last = pool_of(
            g, net_activation(g, NGI_ACT_RELU, net_conv(g, last, net_window(3, 3, 1, 1, true), 7, true)));
        break;
    case SCALED:
        last = net_activation(g, NGI_ACT_TANH, pool_of(g, last));
        break;
    default:
        last = pool_of(g, last);
    }
    return net_dense(g, last, CLASSES, kind != FLAT_HIDDEN);
}

static scene make_scene(head_kind kind)
{
    scene s = {.g = net_new()};
    ngi_attr plain;
    ng_error err = {0};
    ngi_attr_init(&plain);
    net_random_state = 7 + (uint32_t)kind;
    int x = net_image(s.g, SIDE, SIDE, 3);
    s.node =
        net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, x, net_window(3, 3, 2, 1, true), CHANNELS, true));
    CHECK_OK(ngi_graph_add_layer(s.g, "last", "Test", true, &s.layer, &err), err);
    s.g->layers[s.layer].node = s.node;
    net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, build_head(s.g, kind, s.node)));
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    return s;
}

/* ---- The formula ------------------------------------------------------------------------------- */

typedef struct tail {
    ngi_plan *plan;
    ngi_run_session *run;
} tail;

static double score_of(const scene *s, const tail *t, const ngi_target *target, const float *act)
{
    ng_error err = {0};
    CHECK_OK(ngi_run_forward(t->run, &act, 1, &err), err);
    return ngi_target_score(&s->head, target, ngi_run_activation(t->run, s->head.logits),
                            ngi_run_activation(t->run, s->head.output));
}

static void map_by_formula(const scene *s, const ngi_target *target, const float *act, double *map)
{
    const int taps[] = {s->head.logits, s->head.output};
    ngi_plan_opts o = {.batch = 1,
                       .threads = 1,
                       .backend = "ref",
                       .taps = taps,
                       .n_taps = 2,
                       .root = s->head.logits,
                       .starts = &s->node,
                       .n_starts = 1};
    tail t;
    ng_error err = {0};
    float changed[CELLS * CHANNELS];
    CHECK_OK(ngi_plan_create(s->g, &o, &t.plan, &err), err);
    CHECK_OK(ngi_run_session_create(t.plan, &t.run, &err), err);
    double score = score_of(s, &t, target, act);
    for (int i = 0; i < CELLS; i++)
        map[i] = 0;
    for (int k = 0; k < CHANNELS; k++) {
        memcpy(changed, act, sizeof changed);
        for (int i = 0; i < CELLS; i++)
            changed[i * CHANNELS + k] = 0;
        double weight = (score - score_of(s, &t, target, changed)) / score;
        for (int i = 0; i < CELLS; i++)
            map[i] += weight * act[i * CHANNELS + k];
    }
    ngi_run_session_free(t.run);
    ngi_plan_free(t.plan);
}

/* ---- The method -------------------------------------------------------------------------------- */

typedef struct runner {
    ngi_plan *plan;
    ngi_run_session *run;
    ngi_pool *pool;
} runner;

static runner open_runner(const scene *s, const float *input)
{
    const int taps[] = {s->head.logits, s->head.output, s->g->inputs[0], s->node};
    ngi_plan_opts o = {.batch = 1, .threads = 1, .taps = taps, .n_taps = 4, .root = s->head.logits};
    runner r;
    ng_error err = {0};
    CHECK_OK(ngi_plan_create(s->g, &o, &r.plan, &err), err);
    CHECK_OK(ngi_run_session_create(r.plan, &r.run, &err), err);
    CHECK_OK(ngi_pool_create(r.plan, &r.pool, &err), err);
    CHECK_OK(ngi_run_forward(r.run, &input, 1, &err), err);
    return r;
}

static void check_head(head_kind kind, ng_target target)
{
    scene s = make_scene(kind);
    ng_error err = {0};
    ng_map map = {0};
    double expected[CELLS], most = 0;
    float *input = net_floats(SIDE * SIDE * 3), seed[CLASSES];
    runner r = open_runner(&s, input);
    ngi_attr_job job = {.graph = s.g,
                        .head = &s.head,
                        .run = r.run,
                        .pool = r.pool,
                        .input = input,
                        .layer = s.layer,
                        .probability = 0.5f,
                        .bad_layer = -1,
                        .seed = seed,
                        .threads = 2};
    const float *z = ngi_run_activation(r.run, s.head.logits);
    CHECK_OK(ngi_target_init(&s.head, target, 2, -1, 0.6, z, &job.target, &err), err);
    map_by_formula(&s, &job.target, ngi_run_activation(r.run, s.node), expected);
    CHECK_OK(ngi_attribute(ngi_method_find("ablationcam", &err), &job, &map, &err), err);
    assert_int_equal(map.height * map.width, CELLS);
    for (int i = 0; i < CELLS; i++)
        most = fmax(most, fabs(expected[i]));
    assert_true(most > 0);
    for (int i = 0; i < CELLS; i++)
        if (!(fabs(map.signed_data[i] - expected[i]) <= 2e-5 * most))
            fail_msg("head %d, target %d, cell %d: %.9g, by the formula %.9g", (int)kind, (int)target, i,
                     map.signed_data[i], expected[i]);
    ng_map_clear(&map);
    ngi_pool_free(r.pool);
    ngi_run_session_free(r.run);
    ngi_plan_free(r.plan);
    free(input);
    ngi_graph_free(s.g);
}

static void every_head_gives_the_formula(void **state)
{
    (void)state;
    for (int kind = 0; kind < HEADS; kind++) {
        check_head((head_kind)kind, NG_TARGET_LOGIT);
        check_head((head_kind)kind, NG_TARGET_PROBABILITY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_head_gives_the_formula)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
