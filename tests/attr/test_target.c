/* Targets: every seed is the finite difference of its score, for softmax, sigmoid, linear and one-output heads; the
 * scores are their formulas. */
#include "check.h"

#include "attr/attr.h"

enum { WIDTH = 5 };

static ngi_head make_head(int width, ngi_activation act, bool softmax)
{
    ngi_head h = {.activation = act, .softmax = softmax, .width = width, .classes = width};
    if (width == 1 && act == NGI_ACT_SIGMOID)
        h.classes = 2;
    return h;
}

static void outputs_of(const ngi_head *h, const float *z, float *out)
{
    double sum = 0;
    for (int i = 0; i < h->width; i++)
        sum += exp(z[i]);
    for (int i = 0; i < h->width; i++)
        out[i] = h->softmax                         ? (float)(exp(z[i]) / sum)
                 : h->activation == NGI_ACT_SIGMOID ? (float)(1 / (1 + exp(-(double)z[i])))
                                                    : z[i];
}

static double score_at(const ngi_head *h, const ngi_target *t, const float *z)
{
    float out[WIDTH];
    outputs_of(h, z, out);
    return ngi_target_score(h, t, z, out);
}

static void seeds_are_differences(void **state)
{
    (void)state;
    const ngi_head heads[] = {make_head(WIDTH, NGI_ACT_LINEAR, true),
                              make_head(WIDTH, NGI_ACT_SIGMOID, false),
                              make_head(WIDTH, NGI_ACT_LINEAR, false), make_head(1, NGI_ACT_SIGMOID, false)};
    const float z[WIDTH] = {0.3f, -1.2f, 0.9f, 0.1f, -0.4f};
    ng_error err;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (int kind = NG_TARGET_LOGIT; kind <= NG_TARGET_REST; kind++)
            for (int c = 0; c < heads[i].classes; c++) {
                const ngi_head *h = &heads[i];
                float scores[WIDTH], p[WIDTH], out[WIDTH], seed[WIDTH], near[WIDTH];
                outputs_of(h, z, out);
                ngi_head_scores(h, z, out, scores, p);
                ngi_target t;
                CHECK_OK(ngi_target_init(h, (ng_target)kind, c, -1, 0.6, scores, &t, &err), err);
                ngi_target_seed(h, &t, z, out, seed);
                for (int k = 0; k < h->width; k++) {
                    memcpy(near, z, sizeof z);
                    near[k] = z[k] + 0.01f;
                    double above = score_at(h, &t, near), step = (double)near[k];
                    near[k] = z[k] - 0.01f;
                    step -= near[k];
                    double slope = (above - score_at(h, &t, near)) / step;
                    if (!(fabs(slope - seed[k]) <= 2e-4))
                        fail_msg("head %zu, target %s, class %d, logit %d: seed %g, difference %g", i,
                                 ng_target_name((ng_target)kind), c, k, seed[k], slope);
                }
            }
}

/* Of log p and of the logit with it: how the seed changes along a direction. */
static void curves_are_differences_of_seeds(void **state)
{
    (void)state;
    const ngi_head heads[] = {make_head(WIDTH, NGI_ACT_LINEAR, true),
                              make_head(WIDTH, NGI_ACT_SIGMOID, false),
                              make_head(WIDTH, NGI_ACT_LINEAR, false), make_head(1, NGI_ACT_SIGMOID, false),
                              make_head(1, NGI_ACT_LINEAR, false)};
    const float z[WIDTH] = {0.3f, -1.2f, 0.9f, 0.1f, -0.4f};
    const double v[WIDTH] = {1, -0.5, 2, 0.25, -1};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (int c = 0; c < heads[i].classes; c++) {
            const ngi_head *h = &heads[i];
            ngi_target t = {.kind = NG_TARGET_REST, .class_index = c};
            float found[WIDTH], side[2][WIDTH], near[WIDTH], out[WIDTH];
            const double step = 0.01;
            for (int s = 0; s < 2; s++) {
                for (int k = 0; k < WIDTH; k++)
                    near[k] = (float)(z[k] + (s ? step : -step) * v[k]);
                outputs_of(h, near, out);
                ngi_target_seed(h, &t, near, out, side[s]);
            }
            ngi_target_curve(h, &t, z, v, found);
            for (int k = 0; k < h->width; k++)
                CHECK_NEAR(found[k], (side[1][k] - side[0][k]) / (2 * step), 2e-4);
        }
}

static void scores_are_their_formulas(void **state)
{
    (void)state;
    const ngi_head h = make_head(WIDTH, NGI_ACT_LINEAR, true);
    const float z[WIDTH] = {2.0f, -1.0f, 1.5f, 0.5f, 1.75f};
    float p[WIDTH];
    ngi_target t;
    ng_error err;
    outputs_of(&h, z, p);
    CHECK_OK(ngi_target_init(&h, NG_TARGET_LOG_PROBABILITY, 3, -1, 0.6, z, &t, &err), err);
    CHECK_NEAR(ngi_target_score(&h, &t, z, p), log(p[3]), 1e-6);
    CHECK_OK(ngi_target_init(&h, NG_TARGET_CONTRAST, 3, -1, 0.6, z, &t, &err), err);
    assert_int_equal(t.against, 0);
    CHECK_NEAR(ngi_target_score(&h, &t, z, p), -1.5, 1e-6);
    CHECK_OK(ngi_target_init(&h, NG_TARGET_CONTRAST, 0, 1, 0.6, z, &t, &err), err);
    CHECK_NEAR(ngi_target_score(&h, &t, z, p), 3, 1e-6);
    CHECK_OK(ngi_target_init(&h, NG_TARGET_REST, 0, -1, 0.6, z, &t, &err), err);
    CHECK_NEAR(ngi_target_score(&h, &t, z, p), 2 + log(p[0]), 1e-6);
    CHECK_OK(ngi_target_init(&h, NG_TARGET_FINER, 0, -1, 0.5, z, &t, &err), err);
    assert_int_equal(t.rivals[0], 4); /* the nearest logits: 1.75, 1.5, 0.5 */
    assert_int_equal(t.rivals[1], 2);
    assert_int_equal(t.rivals[2], 3);
    double w = p[4] + p[2] + p[3];
    double finer = (p[4] * (2 - 0.5 * 1.75) + p[2] * (2 - 0.5 * 1.5) + p[3] * (2 - 0.5 * 0.5)) / w;
    CHECK_NEAR(ngi_target_score(&h, &t, z, p), finer, 1e-6);
}

static void saturation_is_survived(void **state)
{
    (void)state;
    const ngi_head h = make_head(2, NGI_ACT_LINEAR, true);
    const float z[2] = {200.0f, -200.0f}, p[2] = {1.0f, 0.0f};
    float seed[2];
    ngi_target t;
    ng_error err;
    CHECK_OK(ngi_target_init(&h, NG_TARGET_LOG_PROBABILITY, 1, -1, 0.6, z, &t, &err), err);
    CHECK_NEAR(ngi_target_score(&h, &t, z, p), -400, 1e-3);
    ngi_target_seed(&h, &t, z, p, seed);
    CHECK_NEAR(seed[0], -1, 1e-6);
    CHECK_NEAR(seed[1], 1, 1e-6);
}

static void what_cannot_be_compared_is_refused(void **state)
{
    (void)state;
    const ngi_head one = make_head(1, NGI_ACT_LINEAR, false), five = make_head(WIDTH, NGI_ACT_LINEAR, true);
    const float z[WIDTH] = {0};
    ngi_target t;
    ng_target found;
    ng_error err;
    CHECK_FAILS(ngi_target_init(&one, NG_TARGET_CONTRAST, 0, -1, 0.6, z, &t, &err), NG_E_ARGUMENT, err,
                "one output");
    CHECK_FAILS(ngi_target_init(&five, NG_TARGET_CONTRAST, 2, 2, 0.6, z, &t, &err), NG_E_ARGUMENT, err,
                "two classes");
    CHECK_FAILS(ngi_target_init(&five, NG_TARGET_CONTRAST, 2, 5, 0.6, z, &t, &err), NG_E_ARGUMENT, err,
                "0 to 4");
    CHECK_FAILS(ng_target_find("loss", &found, &err), NG_E_ARGUMENT, err, "log-probability");
    for (int i = 0; i <= NG_TARGET_REST; i++) {
        CHECK_OK(ng_target_find(ng_target_name((ng_target)i), &found, &err), err);
        assert_int_equal(found, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_are_differences),
        cmocka_unit_test(curves_are_differences_of_seeds),
        cmocka_unit_test(scores_are_their_formulas),
        cmocka_unit_test(saturation_is_survived),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
