/* Occlusion and Score-CAM, which run only what a window or a mask changes, give the bytes of maps made of whole runs: windows
 * at the rim and beyond it, several in a batch, on several threads. */
#include "exec/net.h"

#include "attr/attr.h"

enum { SIDE = 40, PIXELS = SIDE * SIDE, DEPTH = 3, CLASSES = 4, CHANNELS = 24 };

static ng_error err;

typedef struct scene {
    ngi_graph *g;
    ngi_head head;
    int node, layer, input_layer;
    float *input;
    ngi_plan *plan;
    ngi_run_session *run;
    ngi_pool *pool;
} scene;

static int add_layer(ngi_graph *g, const char *name, int node)
{
    int layer;
    CHECK_OK(ngi_graph_add_layer(g, name, "Test", true, &layer, &err), err);
    g->layers[layer].node = node;
    return layer;
}

/* A small inception whose last maps are 8x8 and mostly 0. */
static scene make_scene(int batch)
{
    scene s = {.g = net_new()};
    ngi_attr plain, join;
    ngi_attr_init(&plain);
    ngi_attr_init(&join);
    join.axis = 2;
    net_random_state = 11;
    int x = net_image(s.g, SIDE, SIDE, DEPTH);
    s.input_layer = add_layer(s.g, "image", x);
    s.g->nodes[x].layer = s.input_layer;
    int a = net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, x, net_window(3, 3, 1, 1, true), 16, true));
    int b = net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, a, net_window(3, 3, 1, 1, false), 16, true));
    ngi_attr pool = net_window(3, 3, 2, 1, false), mean = net_window(3, 3, 1, 1, true);
    int c = net_op(s.g, NGI_OP_MAX_POOL, &pool, b);
    int one = net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, c, net_window(1, 1, 1, 1, true), 16, true));
    int two = net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, c, net_window(1, 7, 1, 1, true), 16, true));
    int three = net_conv(s.g, net_op(s.g, NGI_OP_AVG_POOL, &mean, c), net_window(1, 1, 1, 1, true), 16, true);
    int all = net_node_of(s.g, NGI_OP_CONCAT, &join, 3, (int[]){one, two, three}, NULL);
    s.node =
        net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, all, net_window(3, 3, 2, 1, false), CHANNELS, true));
    ngi_weight *bias = &s.g->weights[s.g->n_weights - 1];
    for (int i = 0; i < CHANNELS; i++)
        bias->data[i] = -0.2f; /* few cells are above 0 */
    s.layer = add_layer(s.g, "last", s.node);
    int logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, s.node), CLASSES, true);
    net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, logits));
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    s.input = net_floats((int64_t)PIXELS * DEPTH);
    const int taps[] = {s.head.logits, s.head.output, s.node, x};
    ngi_plan_opts o = {.batch = batch, .threads = 1, .taps = taps, .n_taps = 4, .root = s.head.logits};
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

static double score_of(const scene *s, const float *input)
{
    const ngi_target target = {.kind = NG_TARGET_LOGIT, .class_index = 2};
    CHECK_OK(ngi_run_forward(s->run, &input, 1, &err), err);
    return ngi_target_score(&s->head, &target, ngi_run_activation(s->run, s->head.logits),
                            ngi_run_activation(s->run, s->head.output));
}

static ng_map explain(const scene *s, const char *method, const char *parameters, int layer, int threads)
{
    ng_map map = {0};
    float seed[CLASSES];
    const float black[DEPTH] = {-1, -1, -1}, white[DEPTH] = {1, 1, 1};
    const ngi_method *m = ngi_method_find(method, &err);
    ngi_attr_job job = {.graph = s->g,
                        .head = &s->head,
                        .run = s->run,
                        .pool = s->pool,
                        .input = s->input,
                        .black = black,
                        .white = white,
                        .layer = layer,
                        .target = {.kind = NG_TARGET_LOGIT, .class_index = 2},
                        .probability = 0.5f,
                        .bad_layer = -1,
                        .seed = seed,
                        .threads = threads};
    assert_non_null(m);
    CHECK_OK(ngi_parameters_read(&m->info, parameters, job.parameters, &err), err);
    CHECK_OK(ngi_run_forward(s->run, &job.input, 1, &err), err);
    CHECK_OK(ngi_attribute(m, &job, &map, &err), err);
    return map;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* The mean fall over the windows that cover a pixel, each of a whole run. Grey is 0 here. */
static void occlude(const scene *s, int window, int stride, float *map)
{
    static double sums[PIXELS], counts[PIXELS];
    static float x[PIXELS * DEPTH];
    double score = score_of(s, s->input);
    memset(sums, 0, sizeof sums);
    memset(counts, 0, sizeof counts);
    for (int top = 0; top == 0 || top + window - stride < SIDE; top += stride)
        for (int left = 0; left == 0 || left + window - stride < SIDE; left += stride) {
            memcpy(x, s->input, sizeof x);
            for (int y = top; y < least(top + window, SIDE); y++)
                for (int i = left * DEPTH; i < least(left + window, SIDE) * DEPTH; i++)
                    x[y * SIDE * DEPTH + i] = 0;
            double fall = score - score_of(s, x);
            for (int y = top; y < least(top + window, SIDE); y++)
                for (int i = left; i < least(left + window, SIDE); i++) {
                    sums[y * SIDE + i] += fall;
                    counts[y * SIDE + i]++;
                }
        }
    for (int i = 0; i < PIXELS; i++)
        map[i] = counts[i] > 0 ? (float)(sums[i] / counts[i]) : 0;
}

static void occlusion(void **state)
{
    (void)state;
    static const int cases[][4] = {{5, 3, 4, 2}, {8, 8, 3, 1}, {7, 5, 4, 3}, {39, 3, 2, 2}, {1, 13, 1, 1}};
    static float expected[PIXELS];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int *c = cases[i];
        char parameters[64];
        scene s = make_scene(c[2]);
        snprintf(parameters, sizeof parameters, "window=%d,stride=%d", c[0], c[1]);
        ng_map map = explain(&s, "occlusion", parameters, s.input_layer, c[3]);
        occlude(&s, c[0], c[1], expected);
        if (memcmp(map.signed_data, expected, sizeof expected) != 0)
            fail_msg("window %d, stride %d: not the map of whole runs", c[0], c[1]);
        ng_map_clear(&map);
        free_scene(&s);
    }
}

/* One channel's mask on the input, as scorecam.c makes it. */
static void mask(const scene *s, const float *act, int channel, int side, float *x)
{
    static float plane[PIXELS], spread[PIXELS];
    float low, high;
    for (int i = 0; i < side * side; i++)
        plane[i] = act[i * CHANNELS + channel];
    ngi_min_max(plane, (int64_t)side * side, &low, &high);
    for (int i = 0; i < side * side; i++)
        plane[i] = high > low ? (plane[i] - low) / (high - low) : 0;
    ngi_resize_bilinear(plane, side, side, 0, 0, side, side, spread, SIDE, SIDE);
    ngi_min_max(spread, PIXELS, &low, &high);
    float scale = high > low ? 1 / (high - low) : 0;
    for (int i = 0; i < PIXELS * DEPTH; i++) {
        float m = (spread[i / DEPTH] - low) * scale;
        x[i] = s->input[i] * m;
    }
}

static void scorecam(void **state)
{
    (void)state;
    for (int batch = 1; batch <= 4; batch++) {
        scene s = make_scene(batch);
        ng_map map = explain(&s, "scorecam", "", s.layer, 2);
        int side = map.height, cells = side * side;
        float *act = malloc((size_t)(cells * CHANNELS) * sizeof *act), x[PIXELS * DEPTH];
        memcpy(act, ngi_run_activation(s.run, s.node), (size_t)(cells * CHANNELS) * sizeof *act);
        double scores[CHANNELS], top = -INFINITY, sum = 0;
        for (int k = 0; k < CHANNELS; k++) {
            mask(&s, act, k, side, x);
            scores[k] = score_of(&s, x);
            top = fmax(top, scores[k]);
        }
        for (int k = 0; k < CHANNELS; k++)
            sum += exp(scores[k] - top);
        for (int i = 0; i < cells; i++) {
            double value = 0;
            for (int k = 0; k < CHANNELS; k++)
                value += exp(scores[k] - top) / sum * act[i * CHANNELS + k];
            float expected = (float)value;
            if (memcmp(&map.signed_data[i], &expected, sizeof expected) != 0)
                fail_msg("batch %d, cell %d: %.9g, with whole runs %.9g", batch, i, map.signed_data[i],
                         value);
        }
        free(act);
        ng_map_clear(&map);
        free_scene(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(occlusion), cmocka_unit_test(scorecam)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
