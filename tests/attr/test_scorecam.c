/* Score-CAM by its formula on the reference code, a forward run for every channel, is the map that it makes with fewer runs;
 * channels whose masks are one are run once. */
#include "exec/net.h"

#include "attr/attr.h"

enum { SIDE = 12, CELLS = SIDE * SIDE, CLASSES = 4, CHANNELS = 9, DIFFERENT = 5 };

typedef struct scene {
    ngi_graph *g;
    ngi_head head;
    int layer, node;
    float *input;
    ngi_plan *plan;
    ngi_run_session *run;
    ngi_pool *pool;
} scene;

/* Channel k is `factor` times channel `of`, to the last bit: a power of two. */
static void make_multiple(ngi_graph *g, int node, int k, int of, float factor)
{
    for (int i = 0; i < 2; i++) { /* kernel, bias */
        ngi_weight *w = &g->weights[g->nodes[node].weights[i]];
        int64_t n = ngi_shape_count(&w->shape) / CHANNELS;
        for (int64_t j = 0; j < n; j++)
            w->data[j * CHANNELS + k] = factor * w->data[j * CHANNELS + of];
    }
}

static void make_dead(ngi_graph *g, int node, int k)
{
    g->weights[g->nodes[node].weights[1]].data[k] = -1000;
}

/* Channels 0 to 3 differ, 4, 5 and 6 are multiples of 0 and 2, 7 and 8 vanish. */
static scene make_scene(void)
{
    scene s = {.g = net_new()};
    ngi_attr plain;
    ng_error err = {0};
    ngi_attr_init(&plain);
    net_random_state = 5;
    int x = net_image(s.g, SIDE, SIDE, 3);
    int conv = net_conv(s.g, x, net_window(3, 3, 1, 1, true), CHANNELS, true);
    make_multiple(s.g, conv, 4, 0, 4);
    make_multiple(s.g, conv, 5, 2, 0.5f);
    make_multiple(s.g, conv, 6, 0, 2);
    make_dead(s.g, conv, 7);
    make_dead(s.g, conv, 8);
    s.node = net_activation(s.g, NGI_ACT_RELU, conv);
    CHECK_OK(ngi_graph_add_layer(s.g, "last", "Test", true, &s.layer, &err), err);
    s.g->layers[s.layer].node = s.node;
    int logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, s.node), CLASSES, true);
    net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, logits));
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    s.input = net_floats((int64_t)CELLS * 3);
    const int taps[] = {s.head.logits, s.head.output, s.node};
    ngi_plan_opts o = {
        .batch = 1, .threads = 1, .backend = "ref", .taps = taps, .n_taps = 3, .root = s.head.logits};
    CHECK_OK(ngi_plan_create(s.g, &o, &s.plan, &err), err);
    CHECK_OK(ngi_run_session_create(s.plan, &s.run, &err), err);
    CHECK_OK(ngi_pool_create(s.plan, &s.pool, &err), err);
    return s;
}

static void free_scene(scene *s)
{
    ngi_pool_free(s->pool);
    ngi_run_session_free(s->run);
    ngi_plan_free(s->plan);
    free(s->input);
    ngi_graph_free(s->g);
}

static double score_of(const scene *s, const ngi_target *target, const float *input)
{
    ng_error err = {0};
    CHECK_OK(ngi_run_forward(s->run, &input, 1, &err), err);
    return ngi_target_score(&s->head, target, ngi_run_activation(s->run, s->head.logits),
                            ngi_run_activation(s->run, s->head.output));
}

/* act [CELLS,CHANNELS]. The map has the input's size, so that nothing is resampled. */
static void map_by_formula(const scene *s, const ngi_target *target, const float *act, double *map)
{
    double scores[CHANNELS], sum = 0;
    float masked[CELLS * 3];
    for (int k = 0; k < CHANNELS; k++) {
        double low = act[k], high = act[k];
        for (int i = 0; i < CELLS; i++) {
            low = fmin(low, (double)act[i * CHANNELS + k]);
            high = fmax(high, (double)act[i * CHANNELS + k]);
        }
        for (int i = 0; i < CELLS * 3; i++)
            masked[i] =
                high > low ? (float)(s->input[i] * (act[i / 3 * CHANNELS + k] - low) / (high - low)) : 0;
        scores[k] = score_of(s, target, masked);
    }
    for (int k = 0; k < CHANNELS; k++)
        sum += exp(scores[k] - scores[0]);
    for (int i = 0; i < CELLS; i++) {
        map[i] = 0;
        for (int k = 0; k < CHANNELS; k++)
            map[i] += exp(scores[k] - scores[0]) / sum * act[i * CHANNELS + k];
    }
}

static int note_total(void *context, int done, int total)
{
    (void)done;
    *(int *)context = total;
    return 0;
}

static ng_map explain(const scene *s, const ngi_target *target, const char *parameters, int *runs)
{
    ng_error err = {0};
    ng_map map = {0};
    float seed[CLASSES];
    const ngi_method *m = ngi_method_find("scorecam", &err);
    ngi_attr_job job = {.graph = s->g,
                        .head = &s->head,
                        .run = s->run,
                        .pool = s->pool,
                        .input = s->input,
                        .layer = s->layer,
                        .target = *target,
                        .probability = 0.5f,
                        .bad_layer = -1,
                        .seed = seed,
                        .threads = 2,
                        .progress = note_total,
                        .context = runs};
    assert_non_null(m);
    CHECK_OK(ngi_parameters_read(&m->info, parameters, job.parameters, &err), err);
    CHECK_OK(ngi_run_forward(s->run, &job.input, 1, &err), err);
    CHECK_OK(ngi_attribute(m, &job, &map, &err), err);
    return map;
}

static void fewer_runs_make_the_same_map(void **state)
{
    (void)state;
    scene s = make_scene();
    const ngi_target target = {.kind = NG_TARGET_LOGIT, .class_index = 2};
    int runs = 0;
    ng_map map = explain(&s, &target, "", &runs);
    assert_int_equal(runs, DIFFERENT);
    float act[CELLS * CHANNELS];
    double expected[CELLS];
    memcpy(act, ngi_run_activation(s.run, s.node), sizeof act);
    map_by_formula(&s, &target, act, expected);
    for (int i = 0; i < CELLS; i++)
        if (!(fabs(map.signed_data[i] - expected[i]) <= 1e-6))
            fail_msg("cell %d is %.9g, by the formula %.9g", i, map.signed_data[i], expected[i]);
    ng_map_clear(&map);
    free_scene(&s);
}

/* The three channels that vary most, 4, 6 and 0, have one mask; a fourth has its own. */
static void so_do_chosen_channels(void **state)
{
    (void)state;
    scene s = make_scene();
    const ngi_target target = {.kind = NG_TARGET_LOGIT, .class_index = 2};
    int runs = 0;
    ng_map three = explain(&s, &target, "channels=3", &runs);
    assert_int_equal(runs, 1);
    ng_map four = explain(&s, &target, "channels=4", &runs);
    assert_int_equal(runs, 2);
    ng_map_clear(&three);
    ng_map_clear(&four);
    free_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fewer_runs_make_the_same_map),
                                       cmocka_unit_test(so_do_chosen_channels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
