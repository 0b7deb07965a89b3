/* Wilson's interval, McNemar's test, percentile intervals, the area under the ROC curve with DeLong's variance by mid-ranks (Sun and Xu, "Fast
 * implementation of DeLong's algorithm", 2014). */
#include "metrics/interval.h"

#include <math.h>
#include <stdlib.h>

const ngi_interval ngi_undefined = {NAN, NAN, NAN};

/* Halley steps on erfc from a rough start: its own rounding is all that remains. */
double ngi_normal_quantile(double p)
{
    const double root_two = 1.4142135623730951, root_tau = 2.5066282746310002;
    if (p > 0.5)
        return -ngi_normal_quantile(1 - p);
    double t = sqrt(-2 * log(p));
    double x = (2.30753 + t * 0.27061) / (1 + t * (0.99229 + t * 0.04481)) - t; /* Hastings, to 3e-3 */
    for (int i = 0; i < 4; i++) {
        double u = (0.5 * erfc(-x / root_two) - p) * root_tau * exp(x * x / 2);
        x -= u / (1 + x * u / 2);
    }
    return x;
}

ngi_interval ngi_wilson(int64_t hits, int64_t n, double confidence)
{
    if (n <= 0)
        return ngi_undefined;
    double z = -ngi_normal_quantile((1 - confidence) / 2), p = (double)hits / (double)n, m = (double)n;
    double middle = p + z * z / (2 * m), half = z * sqrt(p * (1 - p) / m + z * z / (4 * m * m)),
           whole = 1 + z * z / m;
    return (ngi_interval){p, hits == 0 ? 0 : (middle - half) / whole,
                          hits == n ? 1 : (middle + half) / whole};
}

double ngi_mcnemar(int64_t gained, int64_t lost)
{
    int64_t few = gained < lost ? gained : lost;
    double n = (double)(gained + lost), tail = 0;
    for (int64_t i = few; i >= 0; i--) { /* terms fall, from the largest on */
        double k = (double)i, term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2));
        tail += term;
        if (term < 1e-18 * tail)
            break;
    }
    return fmin(1, 2 * tail);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, int64_t n, double q)
{
    double at = q * (double)(n - 1), below = floor(at);
    int64_t i = (int64_t)below, next = i + 1 < n ? i + 1 : i;
    return sorted[i] + (at - below) * (sorted[next] - sorted[i]);
}

ngi_interval ngi_percentile_interval(double value, double *draws, int64_t n, double confidence)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(draws[i]))
            draws[kept++] = draws[i];
    if (isnan(value) || kept == 0)
        return (ngi_interval){value, NAN, NAN};
    qsort(draws, (size_t)kept, sizeof *draws, by_number);
    return (ngi_interval){value, quantile(draws, kept, (1 - confidence) / 2),
                          quantile(draws, kept, (1 + confidence) / 2)};
}

/* ---- The area under the ROC curve ------------------------------------------------------------ */

typedef struct scored {
    double score;
    bool positive;
} scored;

static int by_score(const void *a, const void *b)
{
    double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x > y) - (x < y);
}

/* Mean and variance of the shares that each one of a side outranks of the other, added up group by group of equal scores. */
typedef struct placements {
    double n, sum, squares;
} placements;

static void place(placements *p, double count, double share)
{
    p->n += count;
    p->sum += count * share;
    p->squares += count * share * share;
}

static double variance_of_mean(const placements *p)
{
    if (p->n < 2)
        return 0;
    double mean = p->sum / p->n, spread = p->squares - p->n * mean * mean;
    return spread > 0 ? spread / (p->n - 1) / p->n : 0;
}

static ngi_interval auc_of_sorted(const scored *s, int64_t n, double positives, double negatives,
                                  double confidence)
{
    placements up = {0}, down = {0};
    double below_positive = 0, below_negative = 0;
    for (int64_t i = 0; i < n;) {
        double here_positive = 0, here = 0;
        int64_t end = i;
        for (; end < n && s[end].score == s[i].score; end++)
            here_positive += s[end].positive;
        here = (double)(end - i) - here_positive;
        place(&up, here_positive, (below_negative + here / 2) / negatives);
        place(&down, here, (positives - below_positive - here_positive / 2) / positives);
        below_positive += here_positive;
        below_negative += here;
        i = end;
    }
    double auc = up.sum / positives, deviation = sqrt(variance_of_mean(&up) + variance_of_mean(&down));
    if (!(auc > 0 && auc < 1))
        return (ngi_interval){auc, auc, auc};
    double z = -ngi_normal_quantile((1 - confidence) / 2), logit = log(auc / (1 - auc)),
           half = z * deviation / (auc * (1 - auc));
    return (ngi_interval){auc, 1 / (1 + exp(half - logit)), 1 / (1 + exp(-half - logit))};
}

ng_status ngi_auc(const double *scores, const uint8_t *positive, int64_t n, double confidence,
                  ngi_interval *out, ng_error *err)
{
    *out = ngi_undefined;
    int64_t positives = 0;
    for (int64_t i = 0; i < n; i++)
        positives += positive[i] != 0;
    if (positives == 0 || positives == n)
        return NG_OK;
    scored *s = ngi_alloc((size_t)n, sizeof *s);
    if (!s)
        return ngi_fail_memory(err, (size_t)n * sizeof *s);
    for (int64_t i = 0; i < n; i++)
        s[i] = (scored){scores[i], positive[i] != 0};
    qsort(s, (size_t)n, sizeof *s, by_score);
    *out = auc_of_sorted(s, n, (double)positives, (double)(n - positives), confidence);
    ngi_free(s);
    return NG_OK;
}
