/* Concepts: the factorisation fits ever better, coding by it is the least-squares optimum, and the importance is what it is by
 * hand where the head is linear. */
#include "exec/net.h"

#include "attr/concepts.h"

enum { SIDE = 8, CHANNELS = 6, CLASSES = 3, K = 3, ROWS = 30 };

static double residual(const ngi_concepts *c)
{
    double sum = 0;
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t k = 0; k < c->channels; k++) {
            double fit = 0;
            for (int p = 0; p < c->k; p++)
                fit += c->w[i * c->k + p] * c->h[p * c->channels + k];
            sum += pow(c->table[i * c->channels + k] - fit, 2);
        }
    return sum;
}

static ngi_concepts learnt(int iterations)
{
    ngi_concepts c;
    ng_error err = {0};
    CHECK_OK(ngi_concepts_init(K, CHANNELS, &c, &err), err);
    net_random_state = 5;
    float *act = net_floats(ROWS * 4 * CHANNELS);
    for (int i = 0; i < ROWS; i++)
        CHECK_OK(ngi_concepts_add(&c, act + i * 4 * CHANNELS, 4, &err), err);
    free(act);
    CHECK_OK(ngi_concepts_learn(&c, iterations, 1, NULL, NULL, &err), err);
    return c;
}

static void learning_never_fits_worse(void **state)
{
    (void)state;
    double before = INFINITY;
    for (int n = 1; n < 60; n += 10) {
        ngi_concepts c = learnt(n);
        double now = residual(&c);
        assert_true(now <= before * (1 + 1e-9));
        for (int i = 0; i < K * CHANNELS; i++)
            assert_true(c.h[i] >= 0);
        before = now;
        ngi_concepts_clear(&c);
    }
}

/* Directions that are nearly one another, as concepts of one class are: what was put together of them is found again, and where
 * two of them are one direction, all of it is. */
static void codes_of_like_directions_are_exact(void **state)
{
    (void)state;
    enum { LIKE = 5, WIDE = 12, CELLS = 40 };
    double h[LIKE * WIDE], codes[CELLS * LIKE];
    float a[CELLS * WIDE];
    double put[CELLS * LIKE];
    net_random_state = 9;
    for (int k = 0; k < WIDE; k++) {
        double common = 1 + 0.5 * net_float();
        for (int p = 0; p < LIKE; p++)
            h[p * WIDE + k] = (p + 1) * (common + 0.03 * net_float());
    }
    for (int i = 0; i < CELLS; i++) {
        for (int p = 0; p < LIKE; p++)
            put[i * LIKE + p] = fmax((double)net_float(), 0);
        for (int k = 0; k < WIDE; k++) {
            double sum = 0;
            for (int p = 0; p < LIKE; p++)
                sum += put[i * LIKE + p] * h[p * WIDE + k];
            a[i * WIDE + k] = (float)sum;
        }
    }
    ngi_nmf_encode(a, CELLS, WIDE, h, LIKE, codes);
    for (int i = 0; i < CELLS * LIKE; i++) /* as well as floats know the sums */
        CHECK_NEAR(codes[i], put[i], 2e-4);
    memcpy(h + WIDE, h, WIDE * sizeof *h);
    ngi_nmf_encode(a, CELLS, WIDE, h, LIKE, codes);
    for (int i = 0; i < CELLS; i++)
        for (int p = 0; p < LIKE; p++)
            assert_true(codes[i * LIKE + p] >= 0 && codes[i * LIKE + p] < 1e3);
}

/* Karush, Kuhn and Tucker: the gradient is zero where a strength is above zero, and not negative where it is zero. */
static void codes_are_optimal(void **state)
{
    (void)state;
    ngi_concepts c = learnt(30);
    float *act = net_floats(10 * CHANNELS);
    double codes[10 * K];
    ngi_nmf_encode(act, 10, CHANNELS, c.h, K, codes);
    int above = 0;
    for (int i = 0; i < 10; i++)
        for (int p = 0; p < K; p++) {
            double slope = 0;
            for (int k = 0; k < CHANNELS; k++) {
                double rest = act[i * CHANNELS + k] > 0 ? -act[i * CHANNELS + k] : 0;
                for (int q = 0; q < K; q++)
                    rest += codes[i * K + q] * c.h[q * CHANNELS + k];
                slope += rest * c.h[p * CHANNELS + k];
            }
            above += codes[i * K + p] > 0;
            assert_true(codes[i * K + p] > 0 ? fabs(slope) < 1e-6 : slope > -1e-6);
        }
    assert_true(above > 5);
    free(act);
    ngi_concepts_clear(&c);
}

static void crops_cover_the_image_and_keep_a_ramp(void **state)
{
    (void)state;
    ngi_shape s = ngi_shape_of(3, (int64_t)SIDE, (int64_t)SIDE, (int64_t)2);
    float image[SIDE * SIDE * 2], plane[2 * SIDE * SIDE], out[SIDE * SIDE * 2];
    double first[4], last[4];
    ngi_concepts_box(SIDE, SIDE, 0, 3, 0.5, first);
    ngi_concepts_box(SIDE, SIDE, 8, 3, 0.5, last);
    assert_true(first[0] == 0 && first[1] == 0 && last[2] == SIDE && last[3] == SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) {
        image[2 * i] = (float)(i % SIDE);
        image[2 * i + 1] = (float)(i / SIDE);
    }
    ngi_concepts_crop(image, &s, 4, 3, 0.5, plane, out); /* the middle: cells 2 to 6 */
    for (int i = 0; i < SIDE * SIDE; i++) {
        CHECK_NEAR(out[2 * i], 2 + (i % SIDE + 0.5) / 2 - 0.5, 1e-5);
        CHECK_NEAR(out[2 * i + 1], 2 + (i / SIDE + 0.5) / 2 - 0.5, 1e-5);
    }
}

/* Behind global pooling the score is bias + sum m_p c_p: the total index of p is c_p^2 / sum c_q^2. */
static void importance_of_a_linear_head_is_known(void **state)
{
    (void)state;
    ngi_graph *g = net_new();
    ngi_attr plain;
    ng_error err = {0};
    ngi_attr_init(&plain);
    net_random_state = 3;
    int layer, x = net_image(g, SIDE, SIDE, 3);
    int last = net_activation(g, NGI_ACT_RELU, net_conv(g, x, net_window(3, 3, 1, 1, true), CHANNELS, true));
    CHECK_OK(ngi_graph_add_layer(g, "last", "Test", true, &layer, &err), err);
    g->layers[layer].node = last;
    g->nodes[last].layer = layer;
    int logits = net_dense(g, net_op(g, NGI_OP_GLOBAL_AVG, &plain, last), CLASSES, true);
    net_output(g, net_op(g, NGI_OP_SOFTMAX, &plain, logits));
    CHECK_OK(ngi_graph_infer(g, &err), err);
    ngi_head head = ngi_head_of(g);
    const int taps[] = {last, head.logits, head.output};
    ngi_plan_opts o = {.batch = 1, .threads = 1, .taps = taps, .n_taps = 3, .root = head.logits};
    ngi_plan *plan;
    ngi_run_session *run;
    ngi_pool *pool;
    CHECK_OK(ngi_plan_create(g, &o, &plan, &err), err);
    CHECK_OK(ngi_run_session_create(plan, &run, &err), err);
    CHECK_OK(ngi_pool_create(plan, &pool, &err), err);
    float *input = net_floats(SIDE * SIDE * 3), seed[CLASSES];
    const float *inputs = input;
    CHECK_OK(ngi_run_forward(run, &inputs, 1, &err), err);
    ngi_attr_job job = {.graph = g,
                        .head = &head,
                        .run = run,
                        .pool = pool,
                        .input = input,
                        .layer = layer,
                        .bad_layer = -1,
                        .seed = seed,
                        .threads = 3};
    job.target.class_index = 1;
    ngi_concepts c = learnt(50), again = learnt(50);
    CHECK_OK(ngi_concepts_weigh(&c, &job, 1024, 7, &err), err);
    job.threads = 1;
    CHECK_OK(ngi_concepts_weigh(&again, &job, 1024, 7, &err), err);
    assert_memory_equal(c.sums, again.sums, K * sizeof *c.sums);
    double codes[SIDE * SIDE * K], parts[K] = {0}, all = 0;
    const float *w = g->weights[g->nodes[head.logits].weights[0]].data;
    ngi_nmf_encode(ngi_run_activation(run, last), SIDE * SIDE, CHANNELS, c.h, K, codes);
    for (int p = 0; p < K; p++) {
        for (int i = 0; i < SIDE * SIDE; i++)
            for (int k = 0; k < CHANNELS; k++)
                parts[p] += codes[i * K + p] * c.h[p * CHANNELS + k] * w[k * CLASSES + 1] / (SIDE * SIDE);
        all += parts[p] * parts[p];
    }
    for (int p = 0; p < K; p++)
        CHECK_NEAR(c.sums[p], parts[p] * parts[p] / all, 0.06);
    for (int r = 1; r < K; r++)
        assert_true(c.sums[c.order[r - 1]] >= c.sums[c.order[r]]);
    for (long k = 1, fine = 0; !fine; k++) { /* no failing allocation does harm */
        ngi_alloc_fail_at(k);
        ng_status status = ngi_concepts_weigh(&again, &job, 4, 7, &err);
        ngi_alloc_fail_at(0);
        fine = status == NG_OK;
        assert_true(fine || status == NG_E_MEMORY);
    }
    ngi_concepts_clear(&c);
    ngi_concepts_clear(&again);
    ngi_pool_free(pool);
    ngi_run_session_free(run);
    ngi_plan_free(plan);
    free(input);
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learning_never_fits_worse),
        cmocka_unit_test(codes_of_like_directions_are_exact),
        cmocka_unit_test(codes_are_optimal),
        cmocka_unit_test(crops_cover_the_image_and_keep_a_ramp),
        cmocka_unit_test(importance_of_a_linear_head_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
