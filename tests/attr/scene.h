/* For the tests of methods: two small networks with an image batch, and running any method of the table on them. */
#ifndef NETGAZE_TESTS_SCENE_H
#define NETGAZE_TESTS_SCENE_H

#include "exec/net.h"

#include "attr/attr.h"

enum { SIDE = 13, LAST_SIDE = 7, BATCH = 3, CLASSES = 4 }; /* odd: "same" padding is the same on both sides */

/* Few samples, so that the tests are quick, and compact superpixels, for noise has no others; the table's own names. */
static inline const char *quick_parameters(const ng_method_info *m)
{
    static const struct {
        const char *name, *text;
    } rows[] = {{"smoothgrad", "samples=3"},
                {"vargrad", "samples=3"},
                {"integratedgradients", "steps=5"},
                {"guidedig", "steps=5"},
                {"rise", "samples=20"},
                {"occlusion", "window=6,stride=3"},
                {"lime", "samples=30,segments=6,compactness=100"},
                {"kernelshap", "samples=30,segments=6,compactness=100"},
                {"dff", "iterations=20"},
                {"xrai", "steps=3,segments=2"},
                {"extremalperturbation", "iterations=5,cells=4"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, m->name) == 0)
            return rows[i].text;
    return "";
}

typedef struct scene {
    ngi_graph *g;
    ngi_head head;
    int layer; /* explained by methods at a layer */
    float *input;
    float black[3], white[3];
} scene;

static inline int add_layer(ngi_graph *g, const char *name, int node)
{
    ng_error err = {0};
    int layer;
    CHECK_OK(ngi_graph_add_layer(g, name, "Test", true, &layer, &err), err);
    g->layers[layer].node = node;
    g->nodes[node].layer = layer;
    return layer;
}

/* pooled: convolutions, global average pooling, dense: the head of CAM. Else a shortcut and hidden layers. */
static inline scene make_scene(bool pooled)
{
    scene s = {.g = net_new(), .white = {1, 1, 1}};
    ngi_attr plain;
    ng_error err = {0};
    ngi_attr_init(&plain);
    net_random_state = 99;
    int x = net_image(s.g, SIDE, SIDE, 3);
    add_layer(s.g, "image", x);
    int c1 = net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, x, net_window(3, 3, 1, 1, true), 6, true));
    int c2 = net_batchnorm(s.g, net_conv(s.g, c1, net_window(3, 3, 2, 1, true), 8, true), true, true);
    int last = net_activation(s.g, NGI_ACT_RELU, c2), logits;
    s.layer = add_layer(s.g, "last", last);
    if (pooled)
        logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, last), CLASSES, true);
    else {
        int side = net_conv(s.g, last, net_window(3, 3, 1, 1, true), 8, true);
        int sum = net_activation(s.g, NGI_ACT_RELU, net_op2(s.g, NGI_OP_ADD, last, side));
        plain.target = ngi_shape_of(1, (int64_t)-1);
        int flat = net_op(s.g, NGI_OP_RESHAPE, &plain, sum);
        logits =
            net_dense(s.g, net_activation(s.g, NGI_ACT_RELU, net_dense(s.g, flat, 9, true)), CLASSES, true);
    }
    ngi_attr_init(&plain);
    int output = net_op(s.g, NGI_OP_SOFTMAX, &plain, logits);
    net_output(s.g, output);
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    assert_int_equal(s.head.logits, logits);
    s.input = net_floats(BATCH * SIDE * SIDE * 3);
    for (int i = 0; i < BATCH * SIDE * SIDE * 3; i++)
        s.input[i] = 0.5f + 0.5f * s.input[i];
    return s;
}

static inline void free_scene(scene *s)
{
    free(s->input);
    ngi_graph_free(s->g);
}

typedef struct runner {
    ngi_plan *plan;
    ngi_run_session *run;
    ngi_pool *pool;
    float seed[BATCH * CLASSES];
} runner;

static inline ng_status open_runner(const scene *s, const char *backend, int n, runner *r, ng_error *err)
{
    const int grads[] = {s->g->layers[s->layer].node, s->g->inputs[0]};
    const int taps[] = {s->head.logits, s->g->inputs[0]};
    ngi_plan_opts o = {.batch = n,
                       .threads = 1,
                       .backend = backend,
                       .taps = taps,
                       .n_taps = 2,
                       .grads = grads,
                       .n_grads = 2,
                       .root = s->head.logits};
    *r = (runner){0};
    NGI_TRY(ngi_plan_create(s->g, &o, &r->plan, err));
    NGI_TRY(ngi_run_session_create(r->plan, &r->run, err));
    NGI_TRY(ngi_pool_create(r->plan, &r->pool, err));
    const float *input = s->input;
    return ngi_run_forward(r->run, &input, n, err);
}

static inline void close_runner(runner *r)
{
    ngi_pool_free(r->pool);
    ngi_run_session_free(r->run);
    ngi_plan_free(r->plan);
}

typedef struct request {
    int index, class_index, threads;
    ng_target target;
    const char *parameters;
    const float *baseline;
    ng_smooth smooth;
    bool eigen;
    double seconds;
} request;

static inline ng_status explain(const scene *s, runner *r, const ngi_method *m, request q, ng_map *map,
                                ng_error *err)
{
    ngi_attr_job job = {.graph = s->g,
                        .head = &s->head,
                        .run = r->run,
                        .pool = r->pool,
                        .index = q.index,
                        .input = s->input + (int64_t)q.index * SIDE * SIDE * 3,
                        .black = s->black,
                        .white = s->white,
                        .layer = m->info.at_layer ? s->layer : ngi_attr_input_layer(s->g),
                        .probability = 0.5f,
                        .bad_layer = -1,
                        .seed = r->seed,
                        .baseline = q.baseline,
                        .smooth = q.smooth,
                        .eigen = q.eigen,
                        .seconds = q.seconds,
                        .threads = q.threads};
    const float *z = ngi_run_activation(r->run, s->head.logits) + q.index * CLASSES;
    const char *text = q.parameters ? q.parameters : quick_parameters(&m->info);
    NGI_TRY(ngi_parameters_read(&m->info, text, job.parameters, err));
    NGI_TRY(ngi_target_init(&s->head, q.target, q.class_index, -1, 0.6, z, &job.target, err));
    *map = (ng_map){0};
    return ngi_attribute(m, &job, map, err);
}

static inline ng_map map_of(const scene *s, const char *backend, int n, const ngi_method *m, request q)
{
    runner r;
    ng_map map;
    ng_error err = {0};
    CHECK_OK(open_runner(s, backend, n, &r, &err), err);
    CHECK_OK(explain(s, &r, m, q, &map, &err), err);
    close_runner(&r);
    return map;
}

static inline void check_near(const ngi_method *m, const char *what, const ng_map *a, const ng_map *b,
                              double tolerance)
{
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->width, b->width);
    double most = 1e-12;
    for (int i = 0; i < a->height * a->width; i++)
        most = fmax(most, fabs((double)a->signed_data[i]));
    for (int i = 0; i < a->height * a->width; i++)
        if (!(fabs((double)a->signed_data[i] - b->signed_data[i]) <= tolerance * most))
            fail_msg("%s, %s: cell %d is %.9g and %.9g", m->info.name, what, i, a->signed_data[i],
                     b->signed_data[i]);
}

/* Runs `check` for every method that applies to the network. */
static inline void for_all(void (*check)(const scene *s, const ngi_method *m))
{
    for (int pooled = 0; pooled < 2; pooled++) {
        scene s = make_scene(pooled);
        int ran = 0;
        for (int i = 0; i < ngi_method_count(); i++) {
            const ngi_method *m = ngi_method_at(i);
            ng_error err = {0};
            ng_status status = m->check(s.g, m->info.at_layer ? s.layer : ngi_attr_input_layer(s.g), &err);
            if (status == NG_OK) {
                check(&s, m);
                ran++;
            } else if (strlen(err.text) < 20)
                fail_msg("%s refuses without a reason: '%s'", m->info.name, err.text);
        }
        assert_true(ran >= ngi_method_count() - 1); /* CAM wants the pooled head */
        free_scene(&s);
    }
}

#endif
