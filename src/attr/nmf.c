/* Multiplicative updates (Lee & Seung, 2001), as scikit-learn's NMF has them with solver "mu". */
#include "attr/nmf.h"

#include <math.h>
#include <string.h>

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

void ngi_nmf_encode(const float *a, int64_t cells, int64_t channels, const double *h, int k, double *w)
{
    double gram[NGI_NMF_MOST][NGI_NMF_MOST], b[NGI_NMF_MOST];
    for (int p = 0; p < k; p++)
        for (int q = 0; q < k; q++) {
            gram[p][q] = 0;
            for (int64_t c = 0; c < channels; c++)
                gram[p][q] += h[p * channels + c] * h[q * channels + c];
        }
    for (int64_t i = 0; i < cells; i++) {
        double *row = w + i * k;
        for (int p = 0; p < k; p++) {
            b[p] = row[p] = 0;
            for (int64_t c = 0; c < channels; c++)
                b[p] += a[i * channels + c] > 0 ? a[i * channels + c] * h[p * channels + c] : 0;
        }
        for (int sweep = 0; sweep < 1000; sweep++) {
            double moved = 0, size = 0;
            for (int p = 0; p < k; p++) {
                double rest = b[p], before = row[p];
                for (int q = 0; q < k; q++)
                    rest -= q == p ? 0 : gram[p][q] * row[q];
                row[p] = gram[p][p] > 0 && rest > 0 ? rest / gram[p][p] : 0;
                moved = fmax(moved, fabs(row[p] - before));
                size = fmax(size, row[p]);
            }
            if (!(moved > 1e-10 * size))
                break;
        }
    }
}
