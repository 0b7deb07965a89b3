/* Update rules of Keras 3: keras/src/optimizers/{base_optimizer,sgd,adam,adamw}.py. One step is, in this order: clipping by
 * the global norm (clip_by_global_norm), decoupled weight decay, the rule, the moving average. Arithmetic is float32 as
 * Keras's; the gradients' norm is summed in double. */
#include "train/optimizer.h"

#include "train/choice.h"

#include <math.h>
#include <string.h>

static const char *const names[NGI_OPTIMIZER_COUNT] = {
#define ROW(kind, text) [NGI_OPTIMIZER_##kind] = text,
    NGI_OPTIMIZER_LIST(ROW)
#undef ROW
};

const char *ngi_optimizer_name(ngi_optimizer_kind kind)
{
    return names[kind];
}

ng_status ngi_optimizer_find(const char *name, ngi_optimizer_kind *out, ng_error *err)
{
    int found;
    NGI_TRY(ngi_choice_find("optimizer", names, NGI_OPTIMIZER_COUNT, name, &found, err));
    *out = (ngi_optimizer_kind)found;
    return NG_OK;
}

void ngi_optimizer_init(ngi_optimizer *o, ngi_optimizer_kind kind)
{
    *o = (ngi_optimizer){.kind = kind, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7};
    if (kind == NGI_OPTIMIZER_ADAMW)
        o->weight_decay = 0.004;
}

int ngi_optimizer_slots(const ngi_optimizer *o)
{
    if (o->kind == NGI_OPTIMIZER_SGD)
        return o->momentum != 0;
    return 2;
}

/* g is scale * grad[i] throughout. */
static void step_sgd(const ngi_optimizer *o, ngi_trained *t, float scale, float rate)
{
    float *restrict w = t->weight, *restrict m = t->slot[0], momentum = (float)o->momentum;
    const float *restrict grad = t->grad;
    if (o->momentum == 0) {
        for (int64_t i = 0; i < t->count; i++)
            w[i] -= scale * grad[i] * rate;
        return;
    }
    for (int64_t i = 0; i < t->count; i++) {
        float move = scale * grad[i] * rate;
        m[i] = m[i] * momentum - move;
        w[i] += o->nesterov ? m[i] * momentum - move : m[i];
    }
}

static void step_adam(const ngi_optimizer *o, ngi_trained *t, float scale, int64_t step, double rate)
{
    float *restrict w = t->weight, *restrict m = t->slot[0], *restrict v = t->slot[1];
    const float *restrict grad = t->grad;
    /* In float32 like Keras: 1 - 0.999f is 4.7e-5 off, and the same model should come out. */
    float power1 = powf((float)o->beta1, (float)step), power2 = powf((float)o->beta2, (float)step);
    float alpha = (float)rate * sqrtf(1 - power2) / (1 - power1);
    float rest1 = (float)(1 - o->beta1), rest2 = (float)(1 - o->beta2), epsilon = (float)o->epsilon;
    for (int64_t i = 0; i < t->count; i++) {
        float g = scale * grad[i];
        m[i] += (g - m[i]) * rest1;
        v[i] += (g * g - v[i]) * rest2;
        w[i] -= m[i] * alpha / (sqrtf(v[i]) + epsilon);
    }
}

static void decay(ngi_trained *t, float share)
{
    for (int64_t i = 0; i < t->count; i++)
        t->weight[i] -= t->weight[i] * share;
}

/* The first step's average is the weights themselves. */
static void average(ngi_trained *t, float keep)
{
    for (int64_t i = 0; i < t->count; i++)
        t->average[i] = keep * t->average[i] + (1 - keep) * t->weight[i];
}

static double global_norm(const ngi_trained *weights, int n)
{
    double sum = 0;
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < weights[k].count; i++)
            sum += (double)weights[k].grad[i] * weights[k].grad[i];
    return sqrt(sum);
}

double ngi_optimizer_step(const ngi_optimizer *o, ngi_trained *weights, int n, int64_t step, double rate)
{
    double norm = global_norm(weights, n);
    float scale = o->clip_norm > 0 && norm > o->clip_norm ? (float)(o->clip_norm / norm) : 1;
    for (int k = 0; k < n; k++) {
        ngi_trained *t = &weights[k];
        if (o->weight_decay > 0 && t->decays)
            decay(t, (float)(o->weight_decay * rate));
        if (o->kind == NGI_OPTIMIZER_SGD)
            step_sgd(o, t, scale, (float)rate);
        else
            step_adam(o, t, scale, step, rate);
        if (o->ema > 0)
            average(t, step == 1 ? 0 : (float)o->ema);
    }
    return norm;
}
