/* Localisation, faithfulness, imputation and intervals against NumPy, SciPy, Quantus and pytorch-grad-cam
 * (make_map_goldens.py), and by hand. */
#include "exec/net.h"

#include "metrics/faithfulness.h"
#include "metrics/impute.h"
#include "metrics/map_goldens.h"

/* ---- Localisation ---------------------------------------------------------------------------- */

static const ng_geometry crop = {.image_width = IMAGE_W,
                                 .image_height = IMAGE_H,
                                 .input_width = 64,
                                 .input_height = 64,
                                 .fit = NG_FIT_CROP,
                                 .x0 = 7.5,
                                 .y0 = 0,
                                 .x1 = 44.5,
                                 .y1 = 37};

static ng_image mask_of(const uint8_t *pixels)
{
    return (ng_image){.width = IMAGE_W, .height = IMAGE_H, .channels = 1, .data = (uint8_t *)pixels};
}

static void check_located(const float *values, const double *expected)
{
    ng_map map = {.height = MAP_H, .width = MAP_W, .data = (float *)values};
    ng_image mask = mask_of(image_mask);
    ng_localisation l;
    ng_error err;
    CHECK_OK(ng_map_localise(&map, &crop, &mask, 0.3, &l, &err), err);
    CHECK_NEAR(l.area, expected[0], 1e-12);
    CHECK_NEAR(l.energy, expected[1], 1e-6);
    CHECK_NEAR(l.rank, expected[2], 1e-6);
    CHECK_NEAR(l.pointing, expected[3], 0);
    CHECK_NEAR(l.pointing_near, expected[4], 0);
    CHECK_NEAR(l.box_iou, expected[5], 1e-12);
    for (int i = 0; i < NG_IOU_SHARES; i++)
        CHECK_NEAR(l.iou[i], expected[6 + i], 1e-12);
}

static void localisation_is_numpys(void **state)
{
    (void)state;
    check_located(map_on, located_on);
    check_located(map_off, located_off);
    check_located(map_near, located_near);
}

static void odd_localisation(void **state)
{
    (void)state;
    float nothing[MAP_H * MAP_W] = {0}, even[MAP_H * MAP_W];
    uint8_t empty[IMAGE_W * IMAGE_H] = {0};
    ng_map map = {.height = MAP_H, .width = MAP_W, .data = nothing};
    ng_image mask = mask_of(image_mask);
    ng_localisation l;
    ng_error err;
    CHECK_OK(ng_map_localise(&map, &crop, &mask, 0.3, &l, &err), err);
    assert_true(l.area > 0 && l.energy == 0 && !l.pointing && !l.pointing_near && l.iou[0] == 0 &&
                l.box_iou == 0);
    for (int i = 0; i < MAP_H * MAP_W; i++)
        even[i] = 2;
    map.data = even; /* every pixel of the crop is tied: the region's share of it is all that rank can say */
    CHECK_OK(ng_map_localise(&map, &crop, &mask, 0.3, &l, &err), err);
    CHECK_NEAR(l.energy, l.area * IMAGE_W / 37, 1e-12);
    CHECK_NEAR(l.rank, l.energy, 1e-12);
    ng_image bad = mask_of(empty);
    CHECK_FAILS(ng_map_localise(&map, &crop, &bad, 0.3, &l, &err), NG_E_ARGUMENT, err, "empty");
    bad = mask;
    bad.width--;
    CHECK_FAILS(ng_map_localise(&map, &crop, &bad, 0.3, &l, &err), NG_E_SHAPE, err, "51x37");
    CHECK_FAILS(ng_map_localise(&map, &crop, &mask, 0, &l, &err), NG_E_ARGUMENT, err, "box share");
}

/* ---- Imputation ------------------------------------------------------------------------------ */

static void imputation_is_scipys(void **state)
{
    (void)state;
    float x[SIDE * SIDE * CHANNELS], noisy[SIDE * SIDE * CHANNELS];
    ng_error err;
    memcpy(x, input, sizeof x);
    CHECK_OK(ngi_impute(x, SIDE, SIDE, CHANNELS, hole, 0, 0, 0, &err), err);
    for (int i = 0; i < SIDE * SIDE * CHANNELS; i++)
        CHECK_NEAR(x[i], filled[i], 2e-5);
    memcpy(noisy, input, sizeof noisy);
    CHECK_OK(ngi_impute(noisy, SIDE, SIDE, CHANNELS, hole, 0.01, 3, 0, &err), err);
    double squares = 0;
    int n = 0;
    for (int i = 0; i < SIDE * SIDE * CHANNELS; i++) {
        double d = (double)noisy[i] - x[i];
        assert_true(hole[i / CHANNELS] || d == 0);
        squares += d * d;
        n += hole[i / CHANNELS];
    }
    assert_true(sqrt(squares / n) > 0.008 && sqrt(squares / n) < 0.012);
    uint8_t all[SIDE * SIDE];
    memset(all, 1, sizeof all);
    CHECK_FAILS(ngi_impute(x, SIDE, SIDE, CHANNELS, all, 0, 0, 0, &err), NG_E_ARGUMENT, err, "all pixels");
}

/* ---- Faithfulness: mean of each channel, Dense, softmax --------------------------------------- */

typedef struct setting {
    ngi_graph *g;
    ngi_head head;
    ngi_plan *plan;
    ngi_run_session *run;
    ngi_pool *pool;
    ngi_attr_job job;
    ng_map map;
} setting;

static ng_status open_setting(setting *s, ng_error *err)
{
    const int grads[] = {s->g->inputs[0]}, taps[] = {s->head.logits, s->g->inputs[0]};
    ngi_plan_opts o = {.batch = 2,
                       .threads = 1,
                       .backend = "ref",
                       .taps = taps,
                       .n_taps = 2,
                       .grads = grads,
                       .n_grads = 1,
                       .root = s->head.logits};
    NGI_TRY(ngi_plan_create(s->g, &o, &s->plan, err));
    NGI_TRY(ngi_run_session_create(s->plan, &s->run, err));
    NGI_TRY(ngi_pool_create(s->plan, &s->pool, err));
    const float *x = input;
    return ngi_run_forward(s->run, &x, 1, err);
}

static void close_setting(setting *s)
{
    ngi_pool_free(s->pool);
    ngi_run_session_free(s->run);
    ngi_plan_free(s->plan);
    s->pool = NULL;
    s->run = NULL;
    s->plan = NULL;
}

static setting make_setting(float *positive)
{
    setting s = {.g = net_new()};
    ngi_attr plain;
    ng_error err = {0};
    ngi_attr_init(&plain);
    int x = net_image(s.g, SIDE, SIDE, CHANNELS);
    s.g->nodes[x].layer = 0;
    s.g->layers[0].node = x;
    int logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, x), CLASSES, true);
    memcpy(s.g->weights[0].data, kernel, sizeof kernel);
    memcpy(s.g->weights[1].data, bias, sizeof bias);
    net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, logits));
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        positive[i] = cells[i] > 0 ? cells[i] : 0;
    s.map = (ng_map){
        .height = 4, .width = 3, .data = positive, .signed_data = (float *)cells, .class_index = TARGET};
    return s;
}

static ng_status score(setting *s, const ng_faithfulness_opts *o, ng_faithfulness *out, ng_error *err)
{
    s->job = (ngi_attr_job){.graph = s->g,
                            .head = &s->head,
                            .run = s->run,
                            .pool = s->pool,
                            .input = input,
                            .black = black,
                            .white = white,
                            .target = {.kind = NG_TARGET_PROBABILITY, .class_index = TARGET},
                            .probability = (float)faithful[0],
                            .threads = o->threads};
    return ngi_faithfulness(&s->job, &s->map, o, out, err);
}

static ng_faithfulness_opts all_figures(void)
{
    ng_faithfulness_opts o;
    ng_faithfulness_opts_init(&o);
    o.steps = STEPS;
    o.road = ROAD;
    o.blur = 2;
    return o;
}

static void faithfulness_is_numpys(void **state)
{
    (void)state;
    float positive[12];
    setting s = make_setting(positive);
    ng_faithfulness_opts o = all_figures();
    ng_faithfulness f, again;
    ng_error err = {0};
    CHECK_OK(open_setting(&s, &err), err);
    CHECK_OK(score(&s, &o, &f, &err), err);
    CHECK_NEAR(f.drop, faithful[1], 1e-5);
    CHECK_NEAR(f.increase, faithful[2], 0);
    CHECK_NEAR(f.deletion, faithful[3], 1e-5);
    CHECK_NEAR(f.insertion, faithful[4], 1e-5);
    CHECK_NEAR(f.road_morf, faithful[5], 3e-3); /* the noise */
    CHECK_NEAR(f.road_lerf, faithful[6], 3e-3);
    CHECK_NEAR(f.road, (f.road_lerf - f.road_morf) / 2, 1e-12);
    assert_true(fabs(faithful[6] - faithful[5]) > 0.02);
    assert_int_equal(f.runs, 1 + 2 * (STEPS + 1) + 2 * ROAD);
    o.threads = 3;
    CHECK_OK(score(&s, &o, &again, &err), err);
    assert_memory_equal(&f, &again, offsetof(ng_faithfulness, runs));
    close_setting(&s);
    ngi_graph_free(s.g);
}

static void what_was_not_asked_for_is_nan(void **state)
{
    (void)state;
    float positive[12];
    setting s = make_setting(positive);
    ng_faithfulness_opts o = all_figures();
    ng_faithfulness f;
    ng_error err = {0};
    CHECK_OK(open_setting(&s, &err), err);
    o.drop = o.steps = o.road = 0;
    CHECK_OK(score(&s, &o, &f, &err), err);
    assert_true(isnan(f.drop) && isnan(f.increase) && isnan(f.deletion) && isnan(f.insertion) &&
                isnan(f.road));
    assert_int_equal(f.runs, 0);
    o.steps = 1;
    o.deletion = "red";
    CHECK_FAILS(score(&s, &o, &f, &err), NG_E_ARGUMENT, err, "'red' is not one of black");
    o.deletion = "black";
    o.blur = 0;
    CHECK_FAILS(score(&s, &o, &f, &err), NG_E_ARGUMENT, err, "blur");
    close_setting(&s);
    ngi_graph_free(s.g);
}

static void no_failing_allocation_harms(void **state)
{
    (void)state;
    float positive[12];
    setting s = make_setting(positive);
    ng_faithfulness_opts o = all_figures();
    ng_faithfulness f;
    ng_error err = {0};
    bool done = false;
    for (long k = 1; !done && k < 2000; k++) {
        CHECK_OK(open_setting(&s, &err), err);
        ngi_alloc_fail_at(k);
        ng_status status = score(&s, &o, &f, &err);
        done = ngi_alloc_count() < k;
        ngi_alloc_fail_at(0);
        assert_true(status == (done ? NG_OK : NG_E_MEMORY));
        close_setting(&s);
    }
    assert_true(done);
    ngi_graph_free(s.g);
}

/* ---- Intervals -------------------------------------------------------------------------------- */

static void a_mean_has_its_interval(void **state)
{
    (void)state;
    enum { N = 400 };
    double x[N];
    int groups[N];
    ng_mean m, again, grouped;
    ng_error err;
    for (int i = 0; i < N; i++) { /* pairs of equal values */
        x[i] = (i / 2 * 37 % 101) / 101.0;
        groups[i] = 7 * (i / 2);
    }
    double mean = 0, squares = 0;
    for (int i = 0; i < N; i++)
        mean += x[i] / N;
    for (int i = 0; i < N; i++)
        squares += (x[i] - mean) * (x[i] - mean) / N;
    double half = 1.96 * sqrt(squares / N); /* the normal approximation */
    CHECK_OK(ng_mean_bootstrap(x, NULL, N, 0.95, 4000, 1, &m, &err), err);
    CHECK_NEAR(m.value, mean, 1e-12);
    CHECK_NEAR(m.low, mean - half, 0.06 * half);
    CHECK_NEAR(m.high, mean + half, 0.06 * half);
    assert_int_equal(m.n, N);
    CHECK_OK(ng_mean_bootstrap(x, NULL, N, 0.95, 4000, 1, &again, &err), err);
    assert_memory_equal(&m, &again, sizeof m);
    CHECK_OK(ng_mean_bootstrap(x, groups, N, 0.95, 4000, 1, &grouped, &err), err);
    CHECK_NEAR(grouped.value, mean, 1e-12);
    CHECK_NEAR(grouped.high - grouped.low, 2 * sqrt(2) * half,
               0.1 * half); /* half as many independent ones */
    x[0] = x[1] = NAN;
    CHECK_OK(ng_mean_bootstrap(x, groups, N, 0.95, 100, 1, &m, &err), err);
    assert_int_equal(m.n, N - 2);
    CHECK_OK(ng_mean_bootstrap(x, NULL, 2, 0.95, 100, 1, &m, &err), err);
    assert_true(m.n == 0 && isnan(m.value) && isnan(m.low));
    CHECK_FAILS(ng_mean_bootstrap(x, NULL, N, 1, 100, 1, &m, &err), NG_E_ARGUMENT, err, "confidence 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localisation_is_numpys),        cmocka_unit_test(odd_localisation),
        cmocka_unit_test(imputation_is_scipys),          cmocka_unit_test(faithfulness_is_numpys),
        cmocka_unit_test(what_was_not_asked_for_is_nan), cmocka_unit_test(no_failing_allocation_harms),
        cmocka_unit_test(a_mean_has_its_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
