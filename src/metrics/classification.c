/* Counts, losses and their bootstrap. */
#include "metrics/classification.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

/* ---- One image -------------------------------------------------------------------------------- */

double ngi_sigmoid(double z)
{
    return z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

static double log_sum_exp(const float *z, int k, int without, double t)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < k; i++)
        if (i != without && z[i] > top)
            top = z[i];
    for (int i = 0; i < k; i++)
        if (i != without)
            sum += exp((z[i] - top) / t);
    return top / t + log(sum);
}

void ngi_softmax(const float *z, int k, double t, double *p)
{
    double whole = log_sum_exp(z, k, -1, t);
    for (int i = 0; i < k; i++)
        p[i] = exp(z[i] / t - whole);
}

double ngi_log_odds(const float *z, int k, int c)
{
    return z[c] - log_sum_exp(z, k, c, 1);
}

/* -log(sigmoid(z)) or -log(1 - sigmoid(z)). */
static double binary_loss(double z, bool label)
{
    double x = label ? -z : z;
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double image_loss(const ngi_scores *s, int64_t i, double t)
{
    const float *z = s->logits + i * s->k;
    if (!s->label)
        return log_sum_exp(z, s->k, -1, t) - z[s->truth[i]] / t;
    double sum = 0;
    for (int c = 0; c < s->k; c++)
        sum += binary_loss(z[c] / t, s->label[i * s->k + c] != 0);
    return sum / s->k;
}

double ngi_log_loss(const ngi_scores *s, double t)
{
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++)
        sum += image_loss(s, i, t);
    return sum / (double)s->n;
}

static double image_brier(const ngi_scores *s, int64_t i, double *p)
{
    const float *z = s->logits + i * s->k;
    double sum = 0;
    if (!s->label)
        ngi_softmax(z, s->k, 1, p);
    for (int c = 0; c < s->k; c++) {
        double q = s->label ? ngi_sigmoid(z[c]) : p[c],
               t = s->label ? s->label[i * s->k + c] != 0 : s->truth[i] == c;
        sum += (q - t) * (q - t);
    }
    return s->label ? sum / s->k : sum;
}

static int best_of(const float *z, int k)
{
    int best = 0;
    for (int c = 1; c < k; c++)
        if (z[c] > z[best])
            best = c;
    return best;
}

/* ---- Counts ----------------------------------------------------------------------------------- */

typedef struct tally {
    double n, loss, brier;
    int64_t *images, *predicted, *hits; /* [k], one block */
    int k;
} tally;

static void tally_image(tally *t, const ngi_scores *s, const ngi_classification *c, const double *brier,
                        int64_t i)
{
    t->n++;
    t->loss += c->loss[i];
    t->brier += brier[i];
    if (!s->label) {
        t->images[s->truth[i]]++;
        t->predicted[c->predicted[i]]++;
        t->hits[s->truth[i]] += s->truth[i] == c->predicted[i];
        return;
    }
    for (int k = 0; k < s->k; k++) {
        int has = s->label[i * s->k + k] != 0, said = s->logits[i * s->k + k] > 0;
        t->images[k] += has;
        t->predicted[k] += said;
        t->hits[k] += has && said;
    }
}

static double f1_of(const tally *t, int k)
{
    int64_t all = t->images[k] + t->predicted[k];
    return all ? 2 * (double)t->hits[k] / (double)all : NAN;
}

/* Means over the classes where the figure is defined. */
static double macro_f1(const tally *t)
{
    double sum = 0, n = 0;
    for (int k = 0; k < t->k; k++)
        if (t->images[k] + t->predicted[k]) {
            sum += f1_of(t, k);
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

static double balanced_accuracy(const tally *t)
{
    double sum = 0, n = 0;
    for (int k = 0; k < t->k; k++)
        if (t->images[k]) {
            sum += (double)t->hits[k] / (double)t->images[k];
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

/* ---- The bootstrap ---------------------------------------------------------------------------- */

enum { BALANCED, MACRO_F1, LOG_LOSS, BRIER, FIGURES }; /* then the F1 of each class */

static void figures_of(const tally *t, double *out, int64_t stride)
{
    out[BALANCED * stride] = balanced_accuracy(t);
    out[MACRO_F1 * stride] = macro_f1(t);
    out[LOG_LOSS * stride] = t->loss / t->n;
    out[BRIER * stride] = t->brier / t->n;
    for (int k = 0; k < t->k; k++)
        out[(FIGURES + k) * stride] = f1_of(t, k);
}

static void resample(const ngi_scores *s, const ngi_classification *c, const double *brier, uint64_t seed,
                     uint64_t stream, tally *t)
{
    memset(t->images, 0, (size_t)t->k * 3 * sizeof *t->images);
    t->n = t->loss = t->brier = 0;
    for (int64_t i = 0; i < s->n; i++)
        tally_image(t, s, c, brier, (int64_t)(ngi_random_uniform(seed, stream, (uint64_t)i) * (double)s->n));
}

/* Fills the figures that tally gives, with intervals. */
static ng_status bootstrap(const ngi_scores *s, const ngi_figure_opts *o, const double *brier, tally *t,
                           ngi_classification *c, ng_error *err)
{
    int64_t n = o->resamples > 0 ? o->resamples : 0, figures = FIGURES + s->k;
    double *draws = ngi_alloc((size_t)(figures * (n + 1)), sizeof *draws); /* [figures][n], then the values */
    if (!draws)
        return ngi_fail_memory(err, (size_t)(figures * (n + 1)) * sizeof *draws);
    double *value = draws + figures * n;
    figures_of(t, value, 1);
    for (int64_t r = 0; r < n; r++) {
        resample(s, c, brier, o->seed, (uint64_t)r, t);
        figures_of(t, draws + r, n);
    }
    for (int64_t f = 0; f < figures; f++) {
        ngi_interval found = ngi_percentile_interval(value[f], draws + f * n, n, o->confidence);
        if (f == BALANCED)
            c->balanced_accuracy = found;
        else if (f == MACRO_F1)
            c->macro_f1 = found;
        else if (f == LOG_LOSS)
            c->log_loss = found;
        else if (f == BRIER)
            c->brier = found;
        else
            c->classes[f - FIGURES].f1 = found;
    }
    ngi_free(draws);
    return NG_OK;
}

/* ---- All together ----------------------------------------------------------------------------- */

static ng_status judge_areas(const ngi_scores *s, const ngi_figure_opts *o, ngi_classification *c,
                             ng_error *err)
{
    double *scores = ngi_alloc((size_t)s->n, sizeof *scores), sum = 0, defined = 0;
    uint8_t *positive = ngi_alloc((size_t)s->n, 1);
    ng_status status = scores && positive ? NG_OK : ngi_fail_memory(err, (size_t)s->n * (sizeof *scores + 1));
    for (int k = 0; k < s->k && status == NG_OK; k++) {
        for (int64_t i = 0; i < s->n; i++) {
            const float *z = s->logits + i * s->k;
            scores[i] = s->label ? z[k] : ngi_log_odds(z, s->k, k);
            positive[i] = s->label ? s->label[i * s->k + k] : s->truth[i] == k;
        }
        ngi_interval *auc = &c->classes[k].auc;
        status = ngi_auc(scores, positive, s->n, o->confidence, auc, err);
        if (status == NG_OK && !isnan(auc->value)) {
            sum += auc->value;
            defined++;
        }
    }
    c->macro_auc = defined > 0 ? sum / defined : NAN;
    ngi_free(scores);
    ngi_free(positive);
    return status;
}

static bool is_right(const ngi_scores *s, const ngi_classification *c, int64_t i)
{
    if (!s->label)
        return c->predicted[i] == s->truth[i];
    for (int k = 0; k < s->k; k++)
        if ((s->logits[i * s->k + k] > 0) != (s->label[i * s->k + k] != 0))
            return false;
    return true;
}

static void judge_images(const ngi_scores *s, double *brier, double *p, tally *t, ngi_classification *c)
{
    for (int64_t i = 0; i < s->n; i++) {
        c->loss[i] = image_loss(s, i, 1);
        c->predicted[i] = best_of(s->logits + i * s->k, s->k);
        brier[i] = image_brier(s, i, p);
        tally_image(t, s, c, brier, i);
        c->right += is_right(s, c, i);
        if (c->confusion)
            c->confusion[(int64_t)s->truth[i] * s->k + c->predicted[i]]++;
    }
}

static void judge_classes(const tally *t, double confidence, ngi_classification *c)
{
    for (int k = 0; k < t->k; k++) {
        ngi_class_figures *f = &c->classes[k];
        f->images = t->images[k];
        f->predicted = t->predicted[k];
        f->hits = t->hits[k];
        f->precision = ngi_wilson(f->hits, f->predicted, confidence);
        f->recall = ngi_wilson(f->hits, f->images, confidence);
    }
}

static ng_status allocate(const ngi_scores *s, ngi_classification *c, ng_error *err)
{
    size_t n = (size_t)s->n, k = (size_t)s->k;
    c->classes = ngi_alloc_zero(k, sizeof *c->classes);
    c->loss = ngi_alloc(n, sizeof *c->loss);
    c->predicted = ngi_alloc(n, sizeof *c->predicted);
    c->confusion = s->label ? NULL : ngi_alloc_zero(k * k, sizeof *c->confusion);
    bool fine = c->classes && c->loss && c->predicted && (s->label || c->confusion);
    return fine ? NG_OK : ngi_fail_memory(err, n * 16 + k * k * sizeof *c->confusion);
}

static ng_status judge(const ngi_scores *s, const ngi_figure_opts *o, double *work, int64_t *counts,
                       ngi_classification *c, ng_error *err)
{
    double *brier = work, *p = work + s->n;
    tally t = {.images = counts, .predicted = counts + s->k, .hits = counts + 2 * (int64_t)s->k, .k = s->k};
    judge_images(s, brier, p, &t, c);
    judge_classes(&t, o->confidence, c);
    c->accuracy = ngi_wilson(c->right, s->n, o->confidence);
    NGI_TRY(judge_areas(s, o, c, err));
    return bootstrap(s, o, brier, &t, c, err);
}

ng_status ngi_classification_judge(const ngi_scores *s, const ngi_figure_opts *opts, ngi_classification *out,
                                   ng_error *err)
{
    *out = (ngi_classification){.n = s->n, .k = s->k};
    if (s->n < 1 || s->k < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "there are no images to judge a classifier by");
    double *work = ngi_alloc((size_t)(s->n + s->k), sizeof *work);
    int64_t *counts = ngi_alloc_zero((size_t)s->k * 3, sizeof *counts);
    ng_status status =
        work && counts ? allocate(s, out, err) : ngi_fail_memory(err, (size_t)s->n * sizeof *work);
    if (status == NG_OK)
        status = judge(s, opts, work, counts, out, err);
    ngi_free(work);
    ngi_free(counts);
    if (status != NG_OK)
        ngi_classification_clear(out);
    return status;
}

void ngi_classification_clear(ngi_classification *c)
{
    ngi_free(c->classes);
    ngi_free(c->confusion);
    ngi_free(c->loss);
    ngi_free(c->predicted);
    *c = (ngi_classification){0};
}
