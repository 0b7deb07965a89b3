/* Logistic regression at its optimum, folds, and cross-validated accuracy: rotation to fewer features loses nothing. */
#include "train/probe.h"
#include "base/random.h"
#include "check.h"
#include "train/logistic.h"

enum { N = 60, D = 5, K = 3 };

static double x[N * D];
static int y[N];

static void make_problem(void)
{
    for (int i = 0; i < N; i++) {
        y[i] = i % K;
        for (int j = 0; j < D; j++)
            x[i * D + j] = ngi_random_normal(4, (uint64_t)i, (uint64_t)j) + (j == y[i]);
    }
}

/* Written down anew: mean cross-entropy and penalty. */
static double objective(const double *w, double l2)
{
    double loss = 0, penalty = 0;
    for (int i = 0; i < N; i++) {
        double z[K], sum = 0;
        for (int c = 0; c < K; c++) {
            z[c] = w[c * (D + 1) + D];
            for (int j = 0; j < D; j++)
                z[c] += w[c * (D + 1) + j] * x[i * D + j];
            sum += exp(z[c]);
        }
        loss += log(sum) - z[y[i]];
    }
    for (int c = 0; c < K; c++)
        for (int j = 0; j < D; j++)
            penalty += w[c * (D + 1) + j] * w[c * (D + 1) + j];
    return loss / N + l2 / 2 * penalty;
}

static void optimum(void **state)
{
    (void)state;
    ng_error err;
    double w[K * (D + 1)], value;
    make_problem();
    ngi_logistic p = {.n = N, .d = D, .k = K, .x = x, .y = y, .l2 = 0.05};
    CHECK_OK(ngi_logistic_fit(&p, w, &value, &err), err);
    CHECK_NEAR(value, objective(w, p.l2), 1e-12);
    for (int i = 0; i < K * (D + 1); i++) { /* it is convex: no slope is the optimum */
        const double h = 1e-5;
        double kept = w[i];
        w[i] = kept + h;
        double up = objective(w, p.l2);
        w[i] = kept - h;
        double down = objective(w, p.l2);
        w[i] = kept;
        CHECK_NEAR((up - down) / (2 * h), 0, 3e-6);
        assert_true(up > value && down > value);
    }
    int right = 0;
    for (int i = 0; i < N; i++)
        right += ngi_logistic_predict(D, K, w, x + i * D) == y[i];
    assert_true(right > N / 2);
}

static void folds(void **state)
{
    (void)state;
    static ngi_data_item items[N];
    static const char *const names[] = {"p", "q", "r", "s", "t", "u", "v"};
    ngi_dataset d = {.items = items, .n_items = N, .n_classes = K};
    int64_t all[N];
    int fold[N], again[N], count[5][K] = {{0}};
    ng_error err;
    for (int i = 0; i < N; i++) {
        items[i] = (ngi_data_item){.class_index = i % K};
        all[i] = i;
    }
    CHECK_OK(ngi_probe_folds(&d, all, N, 5, 1, fold, &err), err);
    for (int i = 0; i < N; i++)
        count[fold[i]][i % K]++;
    for (int f = 0; f < 5; f++)
        for (int c = 0; c < K; c++)
            assert_int_equal(count[f][c], 4);
    CHECK_OK(ngi_probe_folds(&d, all, N, 5, 2, again, &err), err);
    assert_memory_not_equal(fold, again, sizeof fold);
    for (int i = 0; i < N; i++)
        items[i].group = (char *)names[i % 7];
    CHECK_OK(ngi_probe_folds(&d, all, N, 5, 1, fold, &err), err);
    for (int i = 0; i < N; i++)
        assert_int_equal(fold[i], fold[i % 7]);
}

static ngi_probe_result run_probe(int width, const double *values)
{
    static float rows[N][200];
    const float *row[N];
    int fold[N];
    ng_error err;
    ngi_probe_result result;
    for (int i = 0; i < N; i++) {
        row[i] = rows[i];
        fold[i] = i / K % 5;
        for (int j = 0; j < width; j++)
            rows[i][j] = (float)(j < D ? values[i * D + j] * 7 + 3
                                       : 2.5); /* the scale is taken out; constants say nothing */
    }
    ngi_probe p = {.n = N, .k = K, .folds = 5, .rows = row, .width = width, .classes = y, .fold = fold};
    CHECK_OK(ngi_probe_run(&p, &result, &err), err);
    return result;
}

static void accuracies(void **state)
{
    (void)state;
    double clear[N * D], noise[N * D];
    make_problem();
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) {
            noise[i * D + j] = ngi_random_normal(9, (uint64_t)i, (uint64_t)j);
            clear[i * D + j] = noise[i * D + j] / 10 + (j == y[i]);
        }
    assert_int_equal(run_probe(D, clear).right, N);
    assert_int_equal(run_probe(200, clear).right, N); /* by the images' Gram matrix */
    assert_in_range(run_probe(D, noise).right, N / 6, N / 2);
    ngi_probe_result some = run_probe(D, x);
    assert_in_range(some.right, N / 2, N - 1);
    assert_true(some.error > 0 && some.error < 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimum),
        cmocka_unit_test(folds),
        cmocka_unit_test(accuracies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
