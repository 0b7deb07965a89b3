/* Update rules and learning rates: Keras's numbers after one step and after twelve, clipped, decayed and averaged. */
#include "check.h"

#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include "train/goldens.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))
enum { FIRST = 4 }; /* elements of the first of two weights */

typedef struct weights {
    float w[COUNT], slot[2][COUNT], average[COUNT];
    ngi_trained trained[2];
} weights;

static void weights_start(weights *x)
{
    memset(x, 0, sizeof *x);
    memcpy(x->w, golden_start, sizeof x->w);
    memcpy(x->average, golden_start, sizeof x->average);
    for (int i = 0; i < 2; i++) {
        int at = i * FIRST;
        x->trained[i] = (ngi_trained){.weight = x->w + at,
                                      .slot = {x->slot[0] + at, x->slot[1] + at},
                                      .average = x->average + at,
                                      .count = i ? COUNT - FIRST : FIRST,
                                      .decays = true};
    }
}

static double take_step(const ngi_optimizer *o, weights *x, int step)
{
    for (int i = 0; i < 2; i++)
        x->trained[i].grad = golden_grads + (step - 1) * COUNT + i * FIRST;
    return ngi_optimizer_step(o, x->trained, 2, step, 0.05);
}

static void check(const float *found, const float *wanted, int row)
{
    for (int i = 0; i < COUNT; i++)
        if (!(fabsf(found[i] - wanted[i]) <= 3e-7f * (1 + fabsf(wanted[i]))))
            fail_msg("case %d, weight %d: %.9g, Keras %.9g", row, i, found[i], wanted[i]);
}

static void updates_are_those_of_keras(void **state)
{
    (void)state;
    for (int k = 0; k < LENGTH(golden_optimizers); k++) {
        ngi_optimizer o;
        ngi_optimizer_init(&o, golden_optimizers[k].kind);
        o.momentum = golden_optimizers[k].momentum;
        o.nesterov = golden_optimizers[k].nesterov;
        o.epsilon = golden_optimizers[k].epsilon;
        o.weight_decay = golden_optimizers[k].weight_decay;
        o.clip_norm = golden_optimizers[k].clip_norm;
        o.ema = golden_optimizers[k].ema;
        weights x;
        weights_start(&x);
        for (int step = 1; step <= STEPS; step++) {
            take_step(&o, &x, step);
            if (step == 1)
                check(x.w, golden_optimizers[k].first, k);
        }
        check(x.w, golden_optimizers[k].last, k);
        if (o.ema > 0)
            check(x.average, golden_optimizers[k].average, k);
    }
}

static void defaults_are_those_of_keras(void **state)
{
    (void)state;
    ngi_optimizer o;
    ngi_optimizer_init(&o, NGI_OPTIMIZER_ADAMW);
    assert_true(o.weight_decay == 0.004 && o.beta1 == 0.9 && o.beta2 == 0.999 && o.epsilon == 1e-7);
    assert_int_equal(ngi_optimizer_slots(&o), 2);
    ngi_optimizer_init(&o, NGI_OPTIMIZER_SGD);
    assert_true(o.weight_decay == 0 && o.momentum == 0);
    assert_int_equal(ngi_optimizer_slots(&o), 0);
}

static void decay_spares_what_it_should(void **state)
{
    (void)state;
    ngi_optimizer o;
    ngi_optimizer_init(&o, NGI_OPTIMIZER_ADAMW);
    weights with, without;
    weights_start(&with);
    weights_start(&without);
    without.trained[1].decays = false;
    double norm = take_step(&o, &with, 1), sum = 0;
    take_step(&o, &without, 1);
    assert_memory_equal(with.w, without.w, FIRST * sizeof(float));
    for (int i = FIRST; i < COUNT; i++)
        assert_true(with.w[i] != without.w[i]);
    for (int i = 0; i < COUNT; i++)
        sum += (double)golden_grads[i] * golden_grads[i];
    CHECK_NEAR(norm, sqrt(sum), 1e-12);
}

static void rates_are_those_of_keras(void **state)
{
    (void)state;
    ngi_schedule s;
    ngi_plateau none = {0};
    ngi_schedule_init(&s, NGI_SCHEDULE_COSINE, 0.2);
    s.warmup_steps = 4;
    s.decay_steps = 10;
    s.floor = 0.1;
    for (int i = 0; i < RATES; i++)
        CHECK_NEAR(ngi_schedule_rate(&s, &none, i), golden_cosine[i], 1e-7);
    ngi_schedule_init(&s, NGI_SCHEDULE_STEP, 0.2);
    s.decay_steps = 5;
    s.factor = 0.3;
    for (int i = 0; i < RATES; i++)
        CHECK_NEAR(ngi_schedule_rate(&s, &none, i), golden_drops[i], 1e-7);
    ngi_schedule_init(&s, NGI_SCHEDULE_CONSTANT, 0.2);
    assert_true(ngi_schedule_rate(&s, &none, 1000) == 0.2);
}

static void a_plateau_lowers_the_rate_as_in_keras(void **state)
{
    (void)state;
    ngi_schedule s;
    ngi_plateau p = {0};
    ngi_schedule_init(&s, NGI_SCHEDULE_PLATEAU, 0.1);
    s.factor = 0.5;
    s.patience = 2;
    s.min_delta = 1e-3;
    s.floor = 0.02;
    for (int i = 0; i < EPOCHS; i++) {
        CHECK_NEAR(ngi_schedule_rate(&s, &p, i), golden_plateau[i], 1e-7);
        ngi_schedule_epoch(&s, &p, golden_epoch_losses[i]);
    }
}

static void names_are_found(void **state)
{
    (void)state;
    ng_error err;
    ngi_optimizer_kind o;
    ngi_schedule_kind s;
    CHECK_OK(ngi_optimizer_find("adamw", &o, &err), err);
    assert_int_equal(o, NGI_OPTIMIZER_ADAMW);
    CHECK_FAILS(ngi_optimizer_find("lion", &o, &err), NG_E_NOT_FOUND, err, "sgd, adam or adamw");
    CHECK_OK(ngi_schedule_find("plateau", &s, &err), err);
    assert_int_equal(s, NGI_SCHEDULE_PLATEAU);
    CHECK_FAILS(ngi_schedule_find("linear", &s, &err), NG_E_NOT_FOUND, err,
                "constant, cosine, step or plateau");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_are_those_of_keras),
        cmocka_unit_test(defaults_are_those_of_keras),
        cmocka_unit_test(decay_spares_what_it_should),
        cmocka_unit_test(rates_are_those_of_keras),
        cmocka_unit_test(a_plateau_lowers_the_rate_as_in_keras),
        cmocka_unit_test(names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
