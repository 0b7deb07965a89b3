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

/* Weights [first, first + count) of an array. */
typedef struct slice {
    const ngi_trained *of;
    int64_t first, count;
} slice;

/* g is scale * grad[i] throughout. */
NGI_BY_PROCESSOR static void step_sgd(const change *c, slice s)
{
    float *restrict w = s.of->weight + s.first;
    const float *restrict grad = s.of->grad + s.first;
    float scale = c->scale, rate = c->rate, momentum = (float)c->o->momentum;
    if (c->o->momentum == 0) {
        for (int64_t i = 0; i < s.count; i++)
            w[i] -= scale * grad[i] * rate;
        return;
    }
    float *restrict m = s.of->slot[0] + s.first;
    bool nesterov = c->o->nesterov;
    for (int64_t i = 0; i < s.count; i++) {
        float move = scale * grad[i] * rate;
        m[i] = m[i] * momentum - move;
        w[i] += nesterov ? m[i] * momentum - move : m[i];
    }
}

NGI_BY_PROCESSOR static void step_adam(const change *c, slice s)
{
    float *restrict w = s.of->weight + s.first, *restrict m = s.of->slot[0] + s.first,
                    *restrict v = s.of->slot[1] + s.first;
    const float *restrict grad = s.of->grad + s.first;
    float rest1 = (float)(1 - c->o->beta1), rest2 = (float)(1 - c->o->beta2), epsilon = (float)c->o->epsilon;
    float scale = c->scale, alpha = c->alpha;
    for (int64_t i = 0; i < s.count; i++) {
        float g = scale * grad[i];
        m[i] += (g - m[i]) * rest1;
        v[i] += (g * g - v[i]) * rest2;
        w[i] -= m[i] * alpha / (sqrtf(v[i]) + epsilon);
    }
}

NGI_BY_PROCESSOR static void decay(slice s, float share)
{
    float *w = s.of->weight + s.first;
    for (int64_t i = 0; i < s.count; i++)
        w[i] -= w[i] * share;
}

NGI_BY_PROCESSOR static void average(slice s, float keep)
{
    float *restrict mean = s.of->average + s.first;
    const float *restrict w = s.of->weight + s.first;
    for (int64_t i = 0; i < s.count; i++)
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

static slice find_slice(const change *c, int64_t number)
{
    const ngi_trained *t = c->weights;
    for (; number >= slices_of(t); t++)
        number -= slices_of(t);
    int64_t first = number * SLICE, left = t->count - first;
    return (slice){t, first, left < SLICE ? left : SLICE};
}

static ng_status measure(void *context, int worker, int64_t number, ng_error *err)
{
    const change *c = context;
    (void)worker;
    (void)err;
    slice s = find_slice(c, number);
    c->squares[number] = squares(s.of->grad + s.first, s.count);
    return NG_OK;
}

static ng_status step_slice(void *context, int worker, int64_t number, ng_error *err)
{
    const change *c = context;
    (void)worker;
    (void)err;
    slice s = find_slice(c, number);
    if (c->decay > 0 && s.of->decays)
        decay(s, c->decay);
    if (c->o->kind == NGI_OPTIMIZER_SGD)
        step_sgd(c, s);
    else
        step_adam(c, s);
    if (c->o->ema > 0)
        average(s, c->keep);
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
