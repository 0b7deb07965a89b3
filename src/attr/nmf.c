/* Multiplicative updates (Lee & Seung, 2001), as scikit-learn's NMF has them with solver "mu". */
#include "attr/nmf.h"

#include <math.h>
#include <string.h>

#include "attr/least_squares.h"
#include "base/random.h"

static const double tiny = 1e-12; /* keeps divisions finite */

/* H *= (W^T A) / (W^T W H) */
static void update_h(ngi_nmf *f)
{
    memset(f->square, 0, (size_t)f->k * (size_t)f->k * sizeof *f->square);
    memset(f->ratio, 0, (size_t)f->k * (size_t)f->channels * sizeof *f->ratio);
    for (int64_t i = 0; i < f->cells; i++)
        for (int p = 0; p < f->k; p++) {
            double w = f->w[i * f->k + p];
            for (int q = 0; q < f->k; q++)
                f->square[p * f->k + q] += w * f->w[i * f->k + q];
            for (int64_t c = 0; c < f->channels && w != 0; c++)
                f->ratio[p * f->channels + c] += w * f->a[i * f->channels + c];
        }
    for (int64_t c = 0; c < f->channels; c++) {
        double column[NGI_NMF_MOST];
        for (int p = 0; p < f->k; p++) {
            double below = tiny;
            for (int q = 0; q < f->k; q++)
                below += f->square[p * f->k + q] * f->h[q * f->channels + c];
            column[p] = f->h[p * f->channels + c] * f->ratio[p * f->channels + c] / below;
        }
        for (int p = 0; p < f->k; p++)
            f->h[p * f->channels + c] = column[p];
    }
}

/* W *= (A H^T) / (W H H^T) */
static void update_w(ngi_nmf *f)
{
    for (int p = 0; p < f->k; p++)
        for (int q = 0; q < f->k; q++) {
            double sum = 0;
            for (int64_t c = 0; c < f->channels; c++)
                sum += f->h[p * f->channels + c] * f->h[q * f->channels + c];
            f->square[p * f->k + q] = sum;
        }
    for (int64_t i = 0; i < f->cells; i++) {
        double row[NGI_NMF_MOST];
        for (int p = 0; p < f->k; p++) {
            double above = 0, below = tiny;
            for (int64_t c = 0; c < f->channels; c++)
                above += f->a[i * f->channels + c] * f->h[p * f->channels + c];
            for (int q = 0; q < f->k; q++)
                below += f->w[i * f->k + q] * f->square[q * f->k + p];
            row[p] = f->w[i * f->k + p] * above / below;
        }
        memcpy(f->w + i * f->k, row, (size_t)f->k * sizeof *row);
    }
}

void ngi_nmf_begin(ngi_nmf *f, uint64_t seed)
{
    double mean = 0;
    for (int64_t i = 0; i < f->cells * f->channels; i++)
        mean += f->a[i] / (double)(f->cells * f->channels);
    double size = sqrt(mean / f->k);
    for (int64_t i = 0; i < f->cells * f->k; i++)
        f->w[i] = size * (0.5 + ngi_random_uniform(seed, 0, (uint64_t)i));
    for (int64_t i = 0; i < f->k * f->channels; i++)
        f->h[i] = size * (0.5 + ngi_random_uniform(seed, 1, (uint64_t)i));
}

void ngi_nmf_step(ngi_nmf *f)
{
    update_h(f);
    update_w(f);
}

size_t ngi_nmf_room(int64_t cells, int64_t channels, int k)
{
    int64_t longest = cells > channels ? cells : channels;
    return (size_t)((cells + channels + longest + k) * k);
}

void ngi_nmf_place(ngi_nmf *f, double *room)
{
    f->w = room;
    f->h = f->w + f->cells * f->k;
    f->square = f->h + f->channels * f->k;
    f->ratio = f->square + (int64_t)f->k * f->k;
}

/* ---- Codes ------------------------------------------------------------------------------------ */

/* min |h^T x - a|^2, x >= 0, from the products of h's rows and of them with a: the active set method of Lawson and Hanson (1974)
 * in the form of Bro and de Jong (1997). Exact also where rows are nearly one another, as concepts of one class are. */
typedef struct fitting {
    int k;
    double gram[NGI_NMF_MOST][NGI_NMF_MOST], b[NGI_NMF_MOST];
    bool in[NGI_NMF_MOST]; /* what is above zero */
    double x[NGI_NMF_MOST];
} fitting;

/* s: the least squares solution of those that are in; false where they are not independent. */
static bool solve_inner(const fitting *f, double *s)
{
    double a[NGI_NMF_MOST * NGI_NMF_MOST], x[NGI_NMF_MOST];
    int list[NGI_NMF_MOST], n = 0;
    for (int p = 0; p < f->k; p++)
        if (f->in[p])
            list[n++] = p;
    for (int i = 0; i < n; i++) {
        x[i] = f->b[list[i]];
        for (int j = 0; j < n; j++)
            a[i * n + j] = f->gram[list[i]][list[j]];
    }
    if (!ngi_fit_solve(a, x, n, 1e-12))
        return false;
    memset(s, 0, (size_t)f->k * sizeof *s);
    for (int i = 0; i < n; i++)
        s[list[i]] = x[i];
    return true;
}

/* What is not in and by which the fit would gain most; -1: none. */
static int find_gain(const fitting *f, const bool *tried)
{
    int best = -1;
    double most = 0;
    for (int p = 0; p < f->k; p++) {
        double gain = f->b[p], size = fabs(f->b[p]);
        for (int q = 0; q < f->k; q++) {
            gain -= f->gram[p][q] * f->x[q];
            size += f->gram[p][q] * f->x[q];
        }
        if (!f->in[p] && !tried[p] && gain > fmax(most, 1e-13 * size)) {
            most = gain;
            best = p;
        }
    }
    return best;
}

/* Goes from x towards s as far as nothing falls below zero; what comes to zero is out. True: all the way. */
static bool go_towards(fitting *f, const double *s)
{
    double step = 1;
    int first = -1;
    for (int p = 0; p < f->k; p++)
        if (f->in[p] && s[p] <= 0 && f->x[p] / (f->x[p] - s[p]) <= step) {
            step = f->x[p] > 0 ? f->x[p] / (f->x[p] - s[p]) : 0;
            first = p;
        }
    for (int p = 0; p < f->k; p++)
        f->x[p] += step * (s[p] - f->x[p]);
    for (int p = 0; p < f->k; p++)
        if (f->in[p] && (p == first || (first >= 0 && f->x[p] <= 0))) {
            f->in[p] = false;
            f->x[p] = 0;
        }
    return first < 0;
}

static void fit_code(fitting *f)
{
    bool tried[NGI_NMF_MOST] = {false};
    double s[NGI_NMF_MOST];
    memset(f->in, 0, sizeof f->in);
    memset(f->x, 0, sizeof f->x);
    for (int turn = 0; turn < 8 * NGI_NMF_MOST; turn++) { /* of as many as there are, but for rounding */
        int p = find_gain(f, tried);
        if (p < 0)
            return;
        f->in[p] = true;
        tried[p] = true; /* until something else has moved: what is in the others' span is left out */
        if (!solve_inner(f, s)) {
            f->in[p] = false;
            continue;
        }
        while (!go_towards(f, s))
            if (!solve_inner(f, s))
                break;
        if (f->in[p])
            memset(tried, 0, sizeof tried);
    }
}

void ngi_nmf_encode(const float *a, int64_t cells, int64_t channels, const double *h, int k, double *w)
{
    fitting f = {.k = k};
    for (int p = 0; p < k; p++)
        for (int q = 0; q < k; q++)
            for (int64_t c = 0; c < channels; c++)
                f.gram[p][q] += h[p * channels + c] * h[q * channels + c];
    for (int64_t i = 0; i < cells; i++) {
        for (int p = 0; p < k; p++) {
            f.b[p] = 0;
            for (int64_t c = 0; c < channels; c++)
                f.b[p] += a[i * channels + c] > 0 ? a[i * channels + c] * h[p * channels + c] : 0;
        }
        fit_code(&f);
        memcpy(w + i * k, f.x, (size_t)k * sizeof *w);
    }
}
