/* Update rules and learning rates: Keras's numbers after one step and after twelve, clipped, decayed and averaged; many weights in
 * slices and by threads against one after another. */
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
    double norm;
    ng_error err;
    CHECK_OK(ngi_optimizer_step(o, x->trained, 2, step, 0.05, 1, &norm, &err), err);
    return norm;
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

/* ---- Many weights ------------------------------------------------------------------------------ */

enum { SIZES = 4 };

/* Of sizes with something over everywhere, and of several slices. */
static const int64_t sizes[SIZES] = {1, 33, (1 << 15) + 7, (1 << 16) + 16};

typedef struct many {
    float *block, *w, *slot[2], *average, *grads;
    int64_t total;
    ngi_trained trained[SIZES];
} many;

static void many_start(many *x)
{
    *x = (many){0};
    for (int i = 0; i < SIZES; i++)
        x->total += sizes[i];
    x->block = calloc(5 * (size_t)x->total, sizeof *x->block);
    assert_non_null(x->block);
    float *rows[5];
    for (int i = 0; i < 5; i++)
        rows[i] = x->block + i * x->total;
    x->w = rows[0];
    x->slot[0] = rows[1];
    x->slot[1] = rows[2];
    x->average = rows[3];
    x->grads = rows[4];
    for (int64_t i = 0; i < x->total; i++) {
        x->w[i] = (float)sin((double)i);
        x->grads[i] = (float)cos(7 * (double)i);
    }
    for (int64_t i = 0, at = 0; i < SIZES; at += sizes[i++])
        x->trained[i] = (ngi_trained){.weight = x->w + at,
                                      .grad = x->grads + at,
                                      .slot = {x->slot[0] + at, x->slot[1] + at},
                                      .average = x->average + at,
                                      .count = sizes[i],
                                      .decays = i % 2};
}

/* The same rule, one weight after another. */
static void one_by_one(const ngi_optimizer *o, many *x, float scale, float rate)
{
    float alpha = rate * sqrtf(1 - powf(0.999f, 1)) / (1 - powf(0.9f, 1)), m = (float)o->momentum;
    for (int k = 0; k < SIZES; k++)
        for (int64_t i = 0; i < sizes[k]; i++) {
            const ngi_trained *t = &x->trained[k];
            float *w = &t->weight[i], g = scale * t->grad[i];
            if (t->decays)
                *w -= *w * (float)(o->weight_decay * 0.05);
            if (o->kind == NGI_OPTIMIZER_SGD) {
                float move = g * rate;
                t->slot[0][i] = 0 - move;
                *w += t->slot[0][i] * m - move;
            } else {
                t->slot[0][i] += g * (float)(1 - 0.9);
                t->slot[1][i] += g * g * (float)(1 - 0.999);
                *w -= t->slot[0][i] * alpha / (sqrtf(t->slot[1][i]) + 1e-7f);
            }
            t->average[i] = *w;
        }
}

static void check_many(const ngi_optimizer *o)
{
    many plain, found;
    many_start(&plain);
    double sum = 0, first = 0;
    for (int64_t i = 0; i < plain.total; i++)
        sum += (double)plain.grads[i] * plain.grads[i];
    for (int threads = 1; threads <= 4; threads++) {
        double norm;
        ng_error err;
        many_start(&found);
        CHECK_OK(ngi_optimizer_step(o, found.trained, SIZES, 1, 0.05, threads, &norm, &err), err);
        CHECK_NEAR(norm, sqrt(sum), 1e-12 * norm);
        if (threads == 1) {
            first = norm;
            one_by_one(o, &plain, (float)(o->clip_norm / norm), (float)0.05);
        }
        assert_true(norm == first);
        assert_memory_equal(found.block, plain.block, 5 * (size_t)plain.total * sizeof *plain.block);
        free(found.block);
    }
    free(plain.block);
}

static void slices_and_threads_change_nothing(void **state)
{
    (void)state;
    ngi_optimizer o;
    ngi_optimizer_init(&o, NGI_OPTIMIZER_ADAMW);
    o.ema = 0.9;
    o.clip_norm = 3;
    check_many(&o);
    ngi_optimizer_init(&o, NGI_OPTIMIZER_SGD);
    o.ema = 0.9;
    o.clip_norm = 3;
    o.weight_decay = 0.01;
    o.momentum = 0.5;
    o.nesterov = true;
    check_many(&o);
}

/* ---- Learning rates ---------------------------------------------------------------------------- */

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
        cmocka_unit_test(slices_and_threads_change_nothing),
        cmocka_unit_test(rates_are_those_of_keras),
        cmocka_unit_test(a_plateau_lowers_the_rate_as_in_keras),
        cmocka_unit_test(names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
