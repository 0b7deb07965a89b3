/* Losses of logits and their gradients, in double. Formulas are those of Keras 3 (keras/src/losses/losses.py) from logits:
 *
 *   softmax   -sum_c t_c log p_c                                        CategoricalCrossentropy
 *   sigmoid   mean_c softplus(z_c) - t_c z_c                            BinaryCrossentropy
 *   focal     -alpha sum_c t_c (1 - p_c)^gamma log p_c                  CategoricalFocalCrossentropy
 *   ordinal   sum_c (P_c - T_c)^2, P and T running sums of p and t      Hou, Yu, Samaras 2017: squared EMD loss
 *
 * Keras clips the focal loss's p to [1e-7, 1 - 1e-7], where its gradient vanishes; here the logarithm is that of the
 * softmax itself, so that an image that is very wrong still has a gradient. */
#include "train/loss.h"

#include "train/choice.h"

#include <math.h>
#include <string.h>

#define NAME(kind, text, summary)    [NGI_LOSS_##kind] = text,
#define SUMMARY(kind, text, summary) [NGI_LOSS_##kind] = summary,
static const char *const names[NGI_LOSS_COUNT] = {NGI_LOSS_LIST(NAME)};
static const char *const summaries[NGI_LOSS_COUNT] = {NGI_LOSS_LIST(SUMMARY)};
#undef NAME
#undef SUMMARY

const char *ngi_loss_name(ngi_loss_kind kind)
{
    return names[kind];
}

const char *ngi_loss_summary(ngi_loss_kind kind)
{
    return summaries[kind];
}

ng_status ngi_loss_find(const char *name, ngi_loss_kind *out, ng_error *err)
{
    int found;
    NGI_TRY(ngi_choice_find("loss", names, NGI_LOSS_COUNT, name, &found, err));
    *out = (ngi_loss_kind)found;
    return NG_OK;
}

/* One image's logits: log p_c = z[c] - norm. */
typedef struct row {
    const float *z, *t; /* [k] */
    double norm;        /* log sum exp z */
    double keep, add;   /* smoothing: target c is t[c] * keep + add */
} row;

static double target(const row *r, int c)
{
    return r->t[c] * r->keep + r->add;
}

static double probability(const row *r, int c)
{
    return exp(r->z[c] - r->norm);
}

/* A NaN or infinity among the logits comes through as NaN. */
static double log_sum_exp(const float *z, int k)
{
    double max = z[0], sum = 0;
    for (int c = 1; c < k; c++)
        max = z[c] > max ? z[c] : max;
    for (int c = 0; c < k; c++)
        sum += exp(z[c] - max);
    return max + log(sum);
}

/* The gradient's part that comes through the softmax: g holds dL/dp_c * p_c, and becomes dL/dz_c. */
static void through_softmax(const row *r, int k, double scale, const double *q, double sum, float *grad)
{
    for (int c = 0; c < k; c++)
        grad[c] = (float)(scale * (q[c] - probability(r, c) * sum));
}

static double softmax_loss(const row *r, int k, double scale, float *grad)
{
    double loss = 0, mass = 0;
    for (int c = 0; c < k; c++) {
        double t = target(r, c);
        mass += t;
        loss -= t * (r->z[c] - r->norm);
    }
    for (int c = 0; grad && c < k; c++)
        grad[c] = (float)(scale * (probability(r, c) * mass - target(r, c)));
    return loss;
}

static double sigmoid_loss(const row *r, int k, double scale, float *grad)
{
    double loss = 0;
    for (int c = 0; c < k; c++) {
        double z = r->z[c], t = target(r, c), e = exp(-fabs(z));
        loss += (z > 0 ? z : 0) - z * t + log1p(e);
        if (grad)
            grad[c] = (float)(scale / k * ((z >= 0 ? 1 / (1 + e) : e / (1 + e)) - t));
    }
    return loss / k;
}

/* work [k] */
static double focal_loss(const ngi_loss *l, const row *r, int k, double scale, float *grad, double *work)
{
    double loss = 0, sum = 0;
    for (int c = 0; c < k; c++) {
        double log_p = r->z[c] - r->norm, p = exp(log_p), rest = -expm1(log_p);
        double weight = l->alpha * target(r, c) * pow(rest, l->gamma);
        loss -= weight * log_p;
        double slope = l->gamma > 0 && rest > 0 ? l->gamma * p / rest * log_p : 0;
        work[c] = weight * (slope - 1);
        sum += work[c];
    }
    if (grad)
        through_softmax(r, k, scale, work, sum, grad);
    return loss;
}

/* work [k] */
static double ordinal_loss(const row *r, int k, double scale, float *grad, double *work)
{
    double loss = 0, above = 0, sum = 0;
    for (int c = 0; c < k; c++) {
        above += probability(r, c) - target(r, c);
        loss += above * above;
        work[c] = above;
    }
    /* dL/dp_c = 2 sum of the differences from c on */
    for (int c = k - 1, later = 0; c >= 0; c--, later = 1)
        work[c] = 2 * work[c] + (later ? work[c + 1] : 0);
    for (int c = 0; c < k; c++) {
        work[c] *= probability(r, c);
        sum += work[c];
    }
    if (grad)
        through_softmax(r, k, scale, work, sum, grad);
    return loss;
}

double ngi_loss_eval(const ngi_loss *loss, const float *logits, const float *targets, const float *weights,
                     int n, int k, double divisor, double *work, float *grad, double *each)
{
    double total = 0, smooth = loss->label_smoothing;
    for (int i = 0; i < n; i++) {
        row r = {.z = logits + (int64_t)i * k, .t = targets + (int64_t)i * k, .keep = 1 - smooth};
        float *g = grad ? grad + (int64_t)i * k : NULL;
        double weight = weights ? weights[i] : 1, scale = weight / divisor, value = NAN;
        r.add = loss->kind == NGI_LOSS_SIGMOID ? smooth / 2 : smooth / k;
        r.norm = loss->kind == NGI_LOSS_SIGMOID ? 0 : log_sum_exp(r.z, k);
        switch (loss->kind) {
        case NGI_LOSS_SOFTMAX:
            value = softmax_loss(&r, k, scale, g);
            break;
        case NGI_LOSS_SIGMOID:
            value = sigmoid_loss(&r, k, scale, g);
            break;
        case NGI_LOSS_FOCAL:
            value = focal_loss(loss, &r, k, scale, g, work);
            break;
        case NGI_LOSS_ORDINAL:
            value = ordinal_loss(&r, k, scale, g, work);
            break;
        case NGI_LOSS_COUNT:
            break;
        }
        total += value * scale;
        if (each)
            each[i] = value;
    }
    return total;
}
