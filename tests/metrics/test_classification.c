/* Figures against scikit-learn, intervals against their definitions, and data where figures are not defined. */
#include "check.h"

#include "metrics/calibration.h"
#include "metrics/classification.h"

#include "classification_goldens.h"

static const ngi_scores one = {.n = N, .k = K, .logits = logits, .truth = truth};
static const ngi_scores many = {.n = N, .k = K, .logits = many_logits, .label = many_labels};
static const ngi_figure_opts opts = {.confidence = 0.95, .resamples = 400, .seed = 3};

static void quantiles_are_those_of_the_normal_distribution(void **state)
{
    (void)state;
    CHECK_NEAR(ngi_normal_quantile(0.975), 1.959963984540054, 1e-14);
    CHECK_NEAR(ngi_normal_quantile(0.025), -1.959963984540054, 1e-14);
    CHECK_NEAR(ngi_normal_quantile(0.5), 0, 1e-15);
    CHECK_NEAR(ngi_normal_quantile(1e-10), -6.361340902404056, 1e-12);
}

static void wilson(void **state)
{
    (void)state;
    ngi_interval i = ngi_wilson(8, 10, 0.95);
    CHECK_NEAR(i.value, 0.8, 1e-15);
    const double ends[2] = {i.low, i.high}; /* Wilson's definition: the score test just accepts them */
    for (int k = 0; k < 2; k++)
        CHECK_NEAR(fabs(0.8 - ends[k]) / sqrt(ends[k] * (1 - ends[k]) / 10), 1.959963984540054, 1e-12);
    assert_true(i.low < 0.8 && i.high > 0.8);
    i = ngi_wilson(0, 5, 0.95);
    assert_true(i.low == 0 && i.high > 0.4 && i.high < 0.45);
    assert_true(ngi_wilson(5, 5, 0.95).high == 1);
    assert_true(isnan(ngi_wilson(0, 0, 0.95).value));
}

/* scipy.stats.binomtest(gained, gained + lost).pvalue */
static void mcnemar(void **state)
{
    (void)state;
    CHECK_NEAR(ngi_mcnemar(0, 0), 1, 0);
    CHECK_NEAR(ngi_mcnemar(4, 4), 1, 0);
    CHECK_NEAR(ngi_mcnemar(0, 5), 0.0625, 1e-12);
    CHECK_NEAR(ngi_mcnemar(5, 0), 0.0625, 1e-12);
    CHECK_NEAR(ngi_mcnemar(12, 3), 0.03515625, 1e-12);
    CHECK_NEAR(ngi_mcnemar(150, 104), 0.004653603220768984, 1e-10);
    CHECK_NEAR(ngi_mcnemar(20000, 20400), 0.04713209701042834, 1e-9);
    assert_true(ngi_mcnemar(0, 5000) >= 0 && ngi_mcnemar(0, 5000) < 1e-300);
}

static void percentiles(void **state)
{
    (void)state;
    double draws[] = {5, NAN, 1, 3, 2, 4};
    ngi_interval i = ngi_percentile_interval(3, draws, 6, 0.5);
    CHECK_NEAR(i.low, 2, 1e-15);
    CHECK_NEAR(i.high, 4, 1e-15);
    assert_true(isnan(ngi_percentile_interval(3, draws, 0, 0.5).low));
}

static void holds(ngi_interval i)
{
    if (!(i.low <= i.value && i.value <= i.high && i.low < i.high))
        fail_msg("%g is not within %g to %g", i.value, i.low, i.high);
}

static void figures_are_those_of_scikit_learn(void **state)
{
    (void)state;
    ngi_classification c;
    ng_error err;
    CHECK_OK(ngi_classification_judge(&one, &opts, &c, &err), err);
    CHECK_NEAR(c.accuracy.value, figures[0], 1e-14);
    CHECK_NEAR(c.balanced_accuracy.value, figures[1], 1e-14);
    CHECK_NEAR(c.macro_f1.value, figures[2], 1e-14);
    CHECK_NEAR(c.log_loss.value, figures[3], 1e-12);
    CHECK_NEAR(c.brier.value, figures[4], 1e-12);
    double sum = 0;
    for (int k = 0; k < K; k++) {
        const ngi_class_figures *f = &c.classes[k];
        CHECK_NEAR(f->precision.value, precision[k], 1e-14);
        CHECK_NEAR(f->recall.value, recall[k], 1e-14);
        CHECK_NEAR(f->f1.value, f1[k], 1e-14);
        CHECK_NEAR(f->auc.value, auc[k], 1e-12);
        double slope = auc[k] * (1 - auc[k]), half = 1.959963984540054 * auc_deviation[k] / slope,
               odds = log(auc[k] / (1 - auc[k]));
        CHECK_NEAR(f->auc.low, 1 / (1 + exp(half - odds)), 1e-9);
        CHECK_NEAR(f->auc.high, 1 / (1 + exp(-half - odds)), 1e-9);
        holds(f->precision);
        holds(f->recall);
        holds(f->f1);
        sum += f->auc.value;
        for (int j = 0; j < K; j++)
            assert_int_equal(c.confusion[k * K + j], confusion[k * K + j]);
    }
    CHECK_NEAR(c.macro_auc, sum / K, 1e-14);
    holds(c.accuracy);
    holds(c.balanced_accuracy);
    holds(c.macro_f1);
    holds(c.log_loss);
    holds(c.brier);
    ngi_classification_clear(&c);
}

static void figures_of_several_labels(void **state)
{
    (void)state;
    ngi_classification c;
    ng_error err;
    CHECK_OK(ngi_classification_judge(&many, &opts, &c, &err), err);
    CHECK_NEAR(c.accuracy.value, many_figures[0], 1e-14);
    CHECK_NEAR(c.macro_f1.value, many_figures[1], 1e-14);
    CHECK_NEAR(c.log_loss.value, many_figures[2], 1e-12);
    CHECK_NEAR(c.brier.value, many_figures[3], 1e-12);
    for (int k = 0; k < K; k++) {
        CHECK_NEAR(c.classes[k].precision.value, many_precision[k], 1e-14);
        CHECK_NEAR(c.classes[k].recall.value, many_recall[k], 1e-14);
        CHECK_NEAR(c.classes[k].f1.value, many_f1[k], 1e-14);
        CHECK_NEAR(c.classes[k].auc.value, many_auc[k], 1e-12);
    }
    assert_null(c.confusion);
    ngi_classification_clear(&c);
}

/* The spread of the bootstrap's means is the standard error: half a 95 % interval of the loss is 1.96 of them. */
static void the_bootstrap_is_as_wide_as_the_standard_error(void **state)
{
    (void)state;
    ngi_classification c;
    ng_error err;
    ngi_figure_opts o = opts;
    o.resamples = 4000;
    CHECK_OK(ngi_classification_judge(&one, &o, &c, &err), err);
    double mean = c.log_loss.value, squares = 0;
    for (int i = 0; i < N; i++)
        squares += (c.loss[i] - mean) * (c.loss[i] - mean);
    double half = 1.96 * sqrt(squares / N / N);
    CHECK_NEAR((c.log_loss.high - c.log_loss.low) / 2, half, 0.05 * half);
    ngi_interval first = c.log_loss;
    ngi_classification_clear(&c);
    CHECK_OK(ngi_classification_judge(&one, &o, &c, &err), err);
    assert_true(c.log_loss.low == first.low && c.log_loss.high == first.high);
    ngi_classification_clear(&c);
    o.seed = 4;
    CHECK_OK(ngi_classification_judge(&one, &o, &c, &err), err);
    assert_true(c.log_loss.low != first.low);
    ngi_classification_clear(&c);
}

static void bins(void **state)
{
    (void)state;
    ngi_reliability r;
    ng_error err;
    CHECK_OK(ngi_reliability_judge(&one, 1, 7, false, 0.95, &r, &err), err);
    for (int b = 0; b < 7; b++)
        assert_int_equal(r.bins[b].n, width_counts[b]);
    CHECK_NEAR(r.ece, width_errors[0], 1e-12);
    CHECK_NEAR(r.mce, width_errors[1], 1e-12);
    CHECK_OK(ngi_reliability_judge(&one, 1, 7, true, 0.95, &r, &err), err);
    for (int b = 0; b < 7; b++)
        assert_int_equal(r.bins[b].n, mass_counts[b]);
    CHECK_NEAR(r.ece, mass_errors[0], 1e-12);
    CHECK_NEAR(r.mce, mass_errors[1], 1e-12);
    CHECK_OK(ngi_reliability_judge(&many, 1, 7, false, 0.95, &r, &err), err);
    CHECK_NEAR(r.ece, many_errors[0], 1e-12);
    CHECK_NEAR(r.mce, many_errors[1], 1e-12);
    CHECK_FAILS(ngi_reliability_judge(&one, 1, 0, false, 0.95, &r, &err), NG_E_ARGUMENT, err, "0 bins");
}

static void temperatures(void **state)
{
    (void)state;
    ngi_temperature t = ngi_temperature_fit(&one, 0.95);
    assert_false(t.bounded);
    CHECK_NEAR(t.t.value, temperature[0], 1e-6);
    CHECK_NEAR(ngi_log_loss(&one, t.t.value), temperature[1], 1e-12);
    holds(t.t);
    CHECK_NEAR(ngi_temperature_fit(&many, 0.95).t.value, many_temperature[0], 1e-6);
    float sure[4] = {3, 0, 0, 3};
    int right[2] = {0, 1}, wrong[2] = {1, 0};
    ngi_scores s = {.n = 2, .k = 2, .logits = sure, .truth = right};
    t = ngi_temperature_fit(&s, 0.95);
    assert_true(t.bounded && t.t.value == NGI_TEMPERATURE_LOW);
    s.truth = wrong;
    t = ngi_temperature_fit(&s, 0.95);
    assert_true(t.bounded && t.t.value == NGI_TEMPERATURE_HIGH);
}

static void what_is_not_defined(void **state)
{
    (void)state;
    float z[6] = {2, 1, 0, 1e30f, -1e30f, 0};
    int all_first[2] = {0, 0};
    ngi_scores s = {.n = 2, .k = 3, .logits = z, .truth = all_first};
    ngi_classification c;
    ng_error err;
    CHECK_OK(ngi_classification_judge(&s, &opts, &c, &err), err);
    assert_true(c.accuracy.value == 1 && c.balanced_accuracy.value == 1 && c.macro_f1.value == 1);
    assert_true(isnan(c.macro_auc) && isnan(c.classes[1].recall.value) && isnan(c.classes[1].f1.value));
    assert_true(isfinite(c.log_loss.value) && isfinite(c.brier.value));
    ngi_classification_clear(&c);
    s.n = 0;
    CHECK_FAILS(ngi_classification_judge(&s, &opts, &c, &err), NG_E_ARGUMENT, err, "no images");
}

/* Probabilities that float32, or double, rounds to 1 still differ as log odds. */
static void areas_see_through_saturation(void **state)
{
    (void)state;
    float z[8] = {60, 0, 80, 0, 70, 0, 90, 0};
    int t[4] = {1, 0, 1, 0};
    ngi_scores s = {.n = 4, .k = 2, .logits = z, .truth = t};
    ngi_classification c;
    ng_error err;
    CHECK_OK(ngi_classification_judge(&s, &opts, &c, &err), err);
    assert_true(c.classes[0].auc.value == 1);
    ngi_classification_clear(&c);
}

static void memory_runs_out(void **state)
{
    (void)state;
    ng_error err;
    ngi_classification c;
    for (long k = 1;; k++) {
        ngi_alloc_fail_at(k);
        ng_status status = ngi_classification_judge(&one, &opts, &c, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_OK)
            break;
        assert_int_equal(status, NG_E_MEMORY);
        assert_null(c.classes);
        assert_true(k < 100);
    }
    ngi_classification_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_the_normal_distribution),
        cmocka_unit_test(wilson),
        cmocka_unit_test(mcnemar),
        cmocka_unit_test(percentiles),
        cmocka_unit_test(figures_are_those_of_scikit_learn),
        cmocka_unit_test(figures_of_several_labels),
        cmocka_unit_test(the_bootstrap_is_as_wide_as_the_standard_error),
        cmocka_unit_test(bins),
        cmocka_unit_test(temperatures),
        cmocka_unit_test(what_is_not_defined),
        cmocka_unit_test(areas_see_through_saturation),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
