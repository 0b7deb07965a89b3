/* Losses: Keras's values and gradients, finite differences, parts of a batch, numbers that are none. */
#include "check.h"

#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include "train/goldens.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

static ngi_loss loss_of(int i)
{
    return (ngi_loss){golden_losses[i].kind, golden_losses[i].smoothing, golden_losses[i].gamma,
                      golden_losses[i].alpha};
}

static void losses_and_gradients_are_those_of_keras(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH(golden_losses); i++) {
        ngi_loss l = loss_of(i);
        const float *t = golden_losses[i].several ? golden_several : golden_one_hot;
        float grad[N * K];
        double each[N], work[K], sum = 0;
        double value = ngi_loss_eval(&l, golden_logits, t, golden_weights, N, K, N, work, grad, each);
        CHECK_NEAR(value, golden_losses[i].loss, 1e-6 * golden_losses[i].loss);
        for (int j = 0; j < N * K; j++)
            CHECK_NEAR(grad[j], golden_losses[i].grad[j], 1e-6);
        for (int j = 0; j < N; j++)
            sum += each[j] * golden_weights[j] / N;
        CHECK_NEAR(sum, value, 1e-12);
    }
}

static void gradients_equal_finite_differences(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH(golden_losses); i++) {
        ngi_loss l = loss_of(i);
        const float *t = golden_losses[i].several ? golden_several : golden_one_hot;
        float z[N * K], grad[N * K];
        double work[K];
        memcpy(z, golden_logits, sizeof z);
        ngi_loss_eval(&l, z, t, NULL, N, K, N, work, grad, NULL);
        for (int j = 0; j < N * K; j++) {
            double sides[2], at[2];
            for (int side = 0; side < 2; side++) {
                z[j] = golden_logits[j] + (side ? 1e-3f : -1e-3f);
                at[side] = z[j];
                sides[side] = ngi_loss_eval(&l, z, t, NULL, N, K, N, work, NULL, NULL);
            }
            z[j] = golden_logits[j];
            CHECK_NEAR(grad[j], (sides[1] - sides[0]) / (at[1] - at[0]), 2e-6);
        }
    }
}

static void parts_of_a_batch_add_up(void **state)
{
    (void)state;
    ngi_loss l = {.kind = NGI_LOSS_SOFTMAX};
    float whole[N * K], parts[N * K];
    double work[K];
    double all = ngi_loss_eval(&l, golden_logits, golden_one_hot, NULL, N, K, N, work, whole, NULL), sum = 0;
    for (int i = 0; i < N; i++)
        sum += ngi_loss_eval(&l, golden_logits + i * K, golden_one_hot + i * K, NULL, 1, K, N, work,
                             parts + i * K, NULL);
    CHECK_NEAR(all, sum, 1e-12);
    assert_memory_equal(whole, parts, sizeof whole);
}

static void far_logits_stay_finite_and_nan_is_told(void **state)
{
    (void)state;
    for (int kind = 0; kind < NGI_LOSS_COUNT; kind++) {
        ngi_loss l = {.kind = (ngi_loss_kind)kind, .gamma = 2, .alpha = 0.25};
        float z[3] = {-2000, 0, 2000}, t[3] = {1, 0, 0}, grad[3];
        double work[3], value = ngi_loss_eval(&l, z, t, NULL, 1, 3, 1, work, grad, NULL);
        assert_true(isfinite(value) && value > 0);
        for (int c = 0; c < 3; c++)
            assert_true(isfinite(grad[c]));
        z[0] = NAN;
        assert_true(isnan(ngi_loss_eval(&l, z, t, NULL, 1, 3, 1, work, grad, NULL)));
    }
}

static void names_are_found(void **state)
{
    (void)state;
    ng_error err;
    for (int i = 0; i < NGI_LOSS_COUNT; i++) {
        ngi_loss_kind found;
        CHECK_OK(ngi_loss_find(ngi_loss_name((ngi_loss_kind)i), &found, &err), err);
        assert_int_equal(found, i);
    }
    ngi_loss_kind kind;
    CHECK_FAILS(ngi_loss_find("hinge", &kind, &err), NG_E_NOT_FOUND, err, "softmax, sigmoid, focal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_keras),
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(parts_of_a_batch_add_up),
        cmocka_unit_test(far_logits_stay_finite_and_nan_is_told),
        cmocka_unit_test(names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
