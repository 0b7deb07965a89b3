/* Update rules of Keras 3: keras/src/optimizers/{base_optimizer,sgd,adam,adamw}.py. One step is, in this order: clipping by
 * the global norm (clip_by_global_norm), decoupled weight decay, the rule, the moving average. Arithmetic is float32 as
 * Keras's; the gradients' norm is summed in double. All weights are rounded alike on every processor. */
#include "train/optimizer.h"

#include "base/processor.h"
#include "train/choice.h"
#include "train/team.h"

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

/* ---- Rules, of one slice ----------------------------------------------------------------------- */

/* One step: what is the same for all weights. */
typedef struct change {
    const ngi_optimizer *o;
    ngi_trained *weights;
    int n;
    float scale, rate, decay; /* of gradients; decay: the share of a weight */
    float alpha;              /* Adam's rate, corrected for its moments' start */
    float keep;               /* of the average */
    double *squares;          /* [slices] the gradients' */
} change;

/* g is scale * grad[i] throughout. */
NGI_BY_PROCESSOR static void step_sgd(const change *c, const ngi_trained *t)
{
    float *restrict w = t->weight, *restrict m = t->slot[0], momentum = (float)c->o->momentum;
    const float *restrict grad = t->grad;
    float scale = c->scale, rate = c->rate;
    if (c->o->momentum == 0) {
        for (int64_t i = 0; i < t->count; i++)
            w[i] -= scale * grad[i] * rate;
        return;
    }
    bool nesterov = c->o->nesterov;
    for (int64_t i = 0; i < t->count; i++) {
        float move = scale * grad[i] * rate;
        m[i] = m[i] * momentum - move;
        w[i] += nesterov ? m[i] * momentum - move : m[i];
    }
}

NGI_BY_PROCESSOR static void step_adam(const change *c, const ngi_trained *t)
{
    float *restrict w = t->weight, *restrict m = t->slot[0], *restrict v = t->slot[1];
    const float *restrict grad = t->grad;
    float rest1 = (float)(1 - c->o->beta1), rest2 = (float)(1 - c->o->beta2), epsilon = (float)c->o->epsilon;
    float scale = c->scale, alpha = c->alpha;
    for (int64_t i = 0; i < t->count; i++) {
        float g = scale * grad[i];
        m[i] += (g - m[i]) * rest1;
        v[i] += (g * g - v[i]) * rest2;
        w[i] -= m[i] * alpha / (sqrtf(v[i]) + epsilon);
    }
}

NGI_BY_PROCESSOR static void decay(const ngi_trained *t, float share)
{
    float *w = t->weight;
    for (int64_t i = 0; i < t->count; i++)
        w[i] -= w[i] * share;
}

NGI_BY_PROCESSOR static void average(const ngi_trained *t, float keep)
{
    float *restrict mean = t->average;
    const float *restrict w = t->weight;
    for (int64_t i = 0; i < t->count; i++)
        mean[i] = keep * mean[i] + (1 - keep) * w[i];
}

/* In LANES sums, whatever the processor. */
NGI_BY_PROCESSOR static double squares(const float *x, int64_t n)
{
    enum { LANES = 16 };
    double sum[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            sum[k] += (double)x[i + k] * (double)x[i + k];
    for (int k = 0; i < n; i++, k++)
        sum[k] += (double)x[i] * (double)x[i];
    for (int k = 0; k < LANES; k++)
        all += sum[k];
    return all;
}

/* ---- Slices ------------------------------------------------------------------------------------ */

/* Weights are cut into slices in order, never two in one, so that no thread changes a sum. */
enum { SLICE = 1 << 15 };

static int64_t slices_of(const ngi_trained *t)
{
    return (t->count + SLICE - 1) / SLICE;
}

static int64_t slices(const change *c)
{
    int64_t n = 0;
    for (int i = 0; i < c->n; i++)
        n += slices_of(&c->weights[i]);
    return n;
}

static ngi_trained slice(const change *c, int64_t number)
{
    const ngi_trained *t = c->weights;
    for (; number >= slices_of(t); t++)
        number -= slices_of(t);
    int64_t first = number * SLICE, left = t->count - first;
    ngi_trained s = {.weight = t->weight + first,
                     .grad = t->grad + first,
                     .count = left < SLICE ? left : SLICE,
                     .decays = t->decays};
    for (int i = 0; i < ngi_optimizer_slots(c->o); i++)
        s.slot[i] = t->slot[i] + first;
    if (c->o->ema > 0)
        s.average = t->average + first;
    return s;
}

static ng_status measure(void *context, int worker, int64_t number, ng_error *err)
{
    const change *c = context;
    (void)worker;
    (void)err;
    ngi_trained t = slice(c, number);
    c->squares[number] = squares(t.grad, t.count);
    return NG_OK;
}

static ng_status step_slice(void *context, int worker, int64_t number, ng_error *err)
{
    const change *c = context;
    (void)worker;
    (void)err;
    ngi_trained t = slice(c, number);
    if (c->decay > 0 && t.decays)
        decay(&t, c->decay);
    if (c->o->kind == NGI_OPTIMIZER_SGD)
        step_sgd(c, &t);
    else
        step_adam(c, &t);
    if (c->o->ema > 0)
        average(&t, c->keep);
    return NG_OK;
}

/* ---- A step ------------------------------------------------------------------------------------ */

/* In float32 like Keras: 1 - 0.999f is 4.7e-5 off, and the same model should come out. */
static float adam_rate(const ngi_optimizer *o, int64_t step, double rate)
{
    float power1 = powf((float)o->beta1, (float)step), power2 = powf((float)o->beta2, (float)step);
    return (float)rate * sqrtf(1 - power2) / (1 - power1);
}

static ng_status run(change *c, int64_t n, int64_t step, double rate, int threads, double *norm,
                     ng_error *err)
{
    const ngi_optimizer *o = c->o;
    NGI_TRY(ngi_team_run(threads, n, measure, c, err));
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += c->squares[i];
    *norm = sqrt(sum);
    c->scale = o->clip_norm > 0 && *norm > o->clip_norm ? (float)(o->clip_norm / *norm) : 1;
    c->rate = (float)rate;
    c->decay = (float)(o->weight_decay * rate);
    c->alpha = adam_rate(o, step, rate);
    c->keep = step == 1 ? 0 : (float)o->ema; /* the first step's average is the weights themselves */
    return ngi_team_run(threads, n, step_slice, c, err);
}

ng_status ngi_optimizer_step(const ngi_optimizer *o, ngi_trained *weights, int n, int64_t step, double rate,
                             int threads, double *norm, ng_error *err)
{
    change c = {.o = o, .weights = weights, .n = n};
    int64_t count = slices(&c);
    c.squares = ngi_alloc((size_t)count, sizeof *c.squares);
    if (!c.squares)
        return ngi_fail_memory(err, (size_t)count * sizeof *c.squares);
    ng_status status = run(&c, count, step, rate, threads, norm, err);
    ngi_free(c.squares);
    return status;
}
