/* Reliability curves and temperature. */
#include "metrics/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reliability ------------------------------------------------------------------------------ */

typedef struct prediction {
    double confidence;
    int64_t index; /* equal confidences stay in order */
    bool right;
} prediction;

static int by_confidence(const void *a, const void *b)
{
    const prediction *x = a, *y = b;
    return x->confidence != y->confidence ? (x->confidence < y->confidence ? -1 : 1)
                                          : (x->index > y->index) - (x->index < y->index);
}

static int64_t list_predictions(const ngi_scores *s, double t, double *p, prediction *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const float *z = s->logits + i * s->k;
        if (s->label) {
            for (int c = 0; c < s->k; c++, n++)
                out[n] = (prediction){ngi_sigmoid(z[c] / t), n, s->label[i * s->k + c] != 0};
            continue;
        }
        int best = 0;
        for (int c = 1; c < s->k; c++)
            if (z[c] > z[best])
                best = c;
        ngi_softmax(z, s->k, t, p);
        out[n] = (prediction){p[best], n, best == s->truth[i]};
        n++;
    }
    return n;
}

/* One bin of sorted predictions [n], whose sum of confidences is not yet divided. */
static void fill_bin(const prediction *p, int64_t n, double confidence, ngi_bin *bin)
{
    double sum = 0;
    bin->n = n;
    for (int64_t i = 0; i < n; i++) {
        sum += p[i].confidence;
        bin->hits += p[i].right;
    }
    bin->confidence = n ? sum / (double)n : NAN;
    bin->accuracy = ngi_wilson(bin->hits, n, confidence);
}

static void fill_bins(const prediction *p, int64_t n, bool equal_mass, double confidence,
                      ngi_reliability *out)
{
    int64_t first = 0, rest = n % out->n_bins;
    for (int b = 0; b < out->n_bins; b++) {
        ngi_bin *bin = &out->bins[b];
        bin->low = (double)b / out->n_bins;
        bin->high = (double)(b + 1) / out->n_bins;
        int64_t end = first;
        if (equal_mass)
            end += n / out->n_bins + (b < rest);
        else
            while (end < n && (p[end].confidence <= bin->high || b + 1 == out->n_bins))
                end++;
        fill_bin(p + first, end - first, confidence, bin);
        if (equal_mass && end > first) {
            bin->low = p[first].confidence;
            bin->high = p[end - 1].confidence;
        }
        if (end > first) {
            double gap = fabs(bin->accuracy.value - bin->confidence);
            out->ece += gap * (double)bin->n / (double)n;
            out->mce = fmax(out->mce, gap);
        }
        first = end;
    }
}

ng_status ngi_reliability_judge(const ngi_scores *s, double t, int bins, bool equal_mass, double confidence,
                                ngi_reliability *out, ng_error *err)
{
    *out = (ngi_reliability){.n_bins = bins};
    if (bins < 1 || bins > NGI_MAX_BINS || s->n < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "%d bins: expected 1 to %d, and an image", bins, NGI_MAX_BINS);
    size_t n = (size_t)s->n * (s->label ? (size_t)s->k : 1);
    prediction *predictions = ngi_alloc(n, sizeof *predictions);
    double *p = ngi_alloc((size_t)s->k, sizeof *p);
    ng_status status = predictions && p ? NG_OK : ngi_fail_memory(err, n * sizeof *predictions);
    if (status == NG_OK) {
        list_predictions(s, t, p, predictions);
        qsort(predictions, n, sizeof *predictions, by_confidence);
        fill_bins(predictions, (int64_t)n, equal_mass, confidence, out);
    }
    ngi_free(predictions);
    ngi_free(p);
    return status;
}

/* ---- Temperature ------------------------------------------------------------------------------ */

typedef struct slope {
    double first, second; /* derivatives of the summed loss in b = 1/T */
} slope;

/* Loss is log sum exp(b z) - b z[truth]: its derivative is the mean of z less z[truth], the second its variance. */
static slope slope_of(const float *z, int k, int truth, double b)
{
    double top = -INFINITY, sum = 0, mean = 0, squares = 0;
    for (int c = 0; c < k; c++)
        top = fmax(top, z[c]);
    for (int c = 0; c < k; c++) {
        double e = exp(b * (z[c] - top)), x = z[c] - top; /* from the top: little is lost */
        sum += e;
        mean += e * x;
        squares += e * x * x;
    }
    mean /= sum;
    return (slope){mean - (z[truth] - top), squares / sum - mean * mean};
}

static slope slope_at(const ngi_scores *s, double b)
{
    slope all = {0};
    for (int64_t i = 0; i < s->n; i++) {
        const float *z = s->logits + i * s->k;
        for (int c = 0; c < (s->label ? s->k : 1); c++) {
            float pair[2] = {0, z[c]};
            slope one = s->label ? slope_of(pair, 2, s->label[i * s->k + c] != 0, b)
                                 : slope_of(z, s->k, s->truth[i], b);
            all.first += one.first;
            all.second += one.second;
        }
    }
    return all;
}

ngi_temperature ngi_temperature_fit(const ngi_scores *s, double confidence)
{
    double low = 1 / NGI_TEMPERATURE_HIGH, high = 1 / NGI_TEMPERATURE_LOW, b = 1;
    double at_low = slope_at(s, low).first, at_high = slope_at(s, high).first;
    if (!(at_low < 0) || !(at_high > 0)) {
        double t = at_low < 0 ? NGI_TEMPERATURE_LOW : NGI_TEMPERATURE_HIGH;
        return (ngi_temperature){{t, NAN, NAN}, true};
    }
    slope here = slope_at(s, b);
    for (int i = 0; i < 200 && here.first != 0; i++) {
        if (here.first < 0)
            low = b;
        else
            high = b;
        double next = here.second > 0 ? b - here.first / here.second : 0;
        if (!(next > low && next < high))
            next = sqrt(low * high);
        bool settled = fabs(next - b) <= 1e-14 * b;
        b = next;
        here = slope_at(s, b);
        if (settled)
            break;
    }
    double half = -ngi_normal_quantile((1 - confidence) / 2) / sqrt(here.second);
    return (ngi_temperature){{1 / b, 1 / (b + half), b > half ? 1 / (b - half) : INFINITY}, false};
}
