/* The number that is explained, and its gradient at the logits. Sums in double.
 *
 * log-probability: log p. contrast: z_a - z_b. finer: sum_c w_c (z_t - alpha z_c) with w = softmax over the classes next to t
 * by logit (FinerCAM, Zhang et al. 2025, arXiv:2501.11309). rest: z + log p, the logit less the cross entropy
 * (ReST, Cai 2025, arXiv:2501.06261). */
#include "attr/attr.h"

#include <math.h>
#include <string.h>

static bool is_binary(const ngi_head *head)
{
    return head->width == 1 && head->classes == 2;
}

/* The class is one of a distribution over all outputs: a softmax, or a linear head read as one. */
static bool is_distribution(const ngi_head *head)
{
    return head->softmax || (head->activation == NGI_ACT_LINEAR && head->width > 1);
}

ng_status ngi_target_init(const ngi_head *head, ng_target kind, int class_index, int against, double alpha,
                          const float *z, ngi_target *out, ng_error *err)
{
    *out = (ngi_target){.kind = kind, .class_index = class_index, .against = against, .alpha = alpha};
    if (kind != NG_TARGET_CONTRAST && kind != NG_TARGET_FINER)
        return NG_OK;
    if (head->classes < 2)
        return ngi_fail(err, NG_E_ARGUMENT, "target %s compares classes, but the model has one output only",
                        ng_target_name(kind));
    if (against >= head->classes || against == class_index)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "target %s: class %d against class %d: name two classes of 0 to %d",
                        ng_target_name(kind), class_index, against, head->classes - 1);
    while (out->n_rivals < NGI_RIVALS && out->n_rivals < head->classes - 1) {
        int best = -1; /* the nearest logit among the classes left */
        for (int c = 0; c < head->classes; c++) {
            bool taken = c == class_index;
            for (int k = 0; k < out->n_rivals; k++)
                taken = taken || out->rivals[k] == c;
            bool nearer = best < 0 || fabsf(z[c] - z[class_index]) < fabsf(z[best] - z[class_index]);
            if (!taken && nearer)
                best = c;
        }
        out->rivals[out->n_rivals++] = best;
    }
    for (int c = 0; c < head->classes && against < 0; c++)
        if (c != class_index && (out->against < 0 || z[c] > z[out->against]))
            out->against = c;
    return NG_OK;
}

/* Logit of a class; a one-output sigmoid has -z and +z. */
static double logit(const ngi_head *head, const float *z, int c)
{
    return is_binary(head) ? (c ? z[0] : -(double)z[0]) : z[c];
}

/* log p of a class from the logits, without cancellation where p is near 0 or 1. */
static double log_probability(const ngi_head *head, const float *z, int c)
{
    double own = logit(head, z, c), top = own, sum = 0;
    if (!is_distribution(head)) /* -log(1 + e^-z) */
        return own > 0 ? -log1p(exp(-own)) : own - log1p(exp(own));
    for (int i = 0; i < head->width; i++)
        top = z[i] > top ? z[i] : top;
    for (int i = 0; i < head->width; i++)
        sum += exp(z[i] - top);
    return own - top - log(sum);
}

static void finer_weights(const ngi_head *head, const ngi_target *t, const float *z, double w[NGI_RIVALS])
{
    double top = logit(head, z, t->rivals[0]), sum = 0;
    for (int k = 1; k < t->n_rivals; k++)
        top = fmax(top, logit(head, z, t->rivals[k]));
    for (int k = 0; k < t->n_rivals; k++)
        sum += w[k] = exp(logit(head, z, t->rivals[k]) - top);
    for (int k = 0; k < t->n_rivals; k++)
        w[k] /= sum;
}

double ngi_target_score(const ngi_head *head, const ngi_target *t, const float *logits, const float *output)
{
    double own = logit(head, logits, t->class_index), sum = 0, w[NGI_RIVALS];
    switch (t->kind) {
    case NG_TARGET_LOGIT:
        return own;
    case NG_TARGET_PROBABILITY:
        if (!head->softmax && head->activation == NGI_ACT_LINEAR)
            return own;
        return is_binary(head) ? (t->class_index ? output[0] : 1.0 / (1.0 + exp((double)logits[0])))
                               : output[t->class_index];
    case NG_TARGET_LOG_PROBABILITY:
        return log_probability(head, logits, t->class_index);
    case NG_TARGET_CONTRAST:
        return own - logit(head, logits, t->against);
    case NG_TARGET_FINER:
        finer_weights(head, t, logits, w);
        for (int k = 0; k < t->n_rivals; k++)
            sum += w[k] * (own - t->alpha * logit(head, logits, t->rivals[k]));
        return sum;
    case NG_TARGET_REST:
        return own + log_probability(head, logits, t->class_index);
    }
    return own;
}

/* Adds weight * d logit(c) / d logits. */
static void add_logit(const ngi_head *head, int c, double weight, float *seed)
{
    if (is_binary(head))
        seed[0] += (float)(c ? weight : -weight);
    else
        seed[c] += (float)weight;
}

/* The probability's gradient is taken in float32 from the model's own output, as TensorFlow's SoftmaxGrad does, so that
 * it saturates where Keras's does. */
static void seed_probability(const ngi_head *head, int c, const float *output, float *seed)
{
    int unit = is_binary(head) ? 0 : c;
    float sign = is_binary(head) && c == 0 ? -1.0f : 1.0f;
    if (head->softmax)
        for (int j = 0; j < head->width; j++)
            seed[j] = ((j == unit ? 1.0f : 0.0f) - output[unit]) * output[j];
    else if (head->activation == NGI_ACT_LINEAR)
        seed[unit] = sign;
    else
        seed[unit] = sign * output[unit] * (1.0f - output[unit]);
}

static void seed_log_probability(const ngi_head *head, int c, const float *logits, float *seed)
{
    if (is_distribution(head))
        for (int j = 0; j < head->width; j++)
            seed[j] = (float)((j == c) - exp(log_probability(head, logits, j)));
    else /* d log sigmoid(z) = 1 - sigmoid(z) */
        add_logit(head, c, 1.0 - exp(log_probability(head, logits, c)), seed);
}

static void seed_finer(const ngi_head *head, const ngi_target *t, const float *logits, float *seed)
{
    double w[NGI_RIVALS], own = logit(head, logits, t->class_index);
    double score = ngi_target_score(head, t, logits, NULL);
    finer_weights(head, t, logits, w);
    add_logit(head, t->class_index, 1, seed);
    for (int k = 0; k < t->n_rivals; k++) {
        double part = own - t->alpha * logit(head, logits, t->rivals[k]);
        add_logit(head, t->rivals[k], w[k] * (part - score - t->alpha), seed);
    }
}

void ngi_target_seed(const ngi_head *head, const ngi_target *t, const float *logits, const float *output,
                     float *seed)
{
    memset(seed, 0, (size_t)head->width * sizeof *seed);
    switch (t->kind) {
    case NG_TARGET_LOGIT:
        add_logit(head, t->class_index, 1, seed);
        break;
    case NG_TARGET_PROBABILITY:
        seed_probability(head, t->class_index, output, seed);
        break;
    case NG_TARGET_LOG_PROBABILITY:
        seed_log_probability(head, t->class_index, logits, seed);
        break;
    case NG_TARGET_CONTRAST:
        add_logit(head, t->class_index, 1, seed);
        add_logit(head, t->against, -1, seed);
        break;
    case NG_TARGET_FINER:
        seed_finer(head, t, logits, seed);
        break;
    case NG_TARGET_REST:
        seed_log_probability(head, t->class_index, logits, seed);
        add_logit(head, t->class_index, 1, seed);
        break;
    }
}

void ngi_target_curve(const ngi_head *head, const ngi_target *t, const float *logits, const double *v,
                      float *out)
{
    double mean = 0;
    memset(out, 0, (size_t)head->width * sizeof *out);
    if (!is_distribution(head)) {
        int unit = is_binary(head) ? 0 : t->class_index;
        double p = exp(log_probability(head, logits, t->class_index));
        out[unit] = (float)(-p * (1 - p) * v[unit]);
        return;
    }
    for (int j = 0; j < head->width; j++)
        mean += exp(log_probability(head, logits, j)) * v[j];
    for (int j = 0; j < head->width; j++)
        out[j] = (float)(-exp(log_probability(head, logits, j)) * (v[j] - mean));
}

/* ---- Names ---------------------------------------------------------------------------------- */

static const char *const names[] = {
#define TEXT(name, text) text,
    NG_TARGET_LIST(TEXT)
#undef TEXT
};

const char *ng_target_name(ng_target target)
{
    return (size_t)target < sizeof names / sizeof *names ? names[target] : "unknown";
}

ng_status ng_target_find(const char *name, ng_target *out, ng_error *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (ng_target)i;
            return NG_OK;
        }
    return ngi_fail(
        err, NG_E_ARGUMENT,
        "target '%s' is not known; known: logit, probability, log-probability, contrast, finer, rest", name);
}
