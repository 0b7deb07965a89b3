/* How alike two maps are: Pearson's and Spearman's correlation (ties share their mean rank, as in scipy.stats.spearmanr) and
 * the structural similarity index (Wang et al., 2004) as skimage.metrics.structural_similarity computes it by default: uniform
 * windows of 7x7, population corrected, borders of half a window left out; maps scaled to 0..1. */
#include <math.h>
#include <stdlib.h>

#include "tensor/tensor.h"

enum { WINDOW = 7 };

static double pearson(const double *a, const double *b, size_t n)
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < n; i++) {
        mean_a += a[i] / (double)n;
        mean_b += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double x = a[i] - mean_a, y = b[i] - mean_b;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

typedef struct ranked {
    double value;
    size_t index;
} ranked;

static int by_value(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? -1 : 1)
                                : (x->index > y->index) - (x->index < y->index);
}

/* ranks [n] of x [n]; equal values get their mean rank. */
static void rank(const double *x, size_t n, ranked *order, double *ranks)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (ranked){x[i], i};
    qsort(order, n, sizeof *order, by_value);
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        while (end < n && order[end].value == order[i].value)
            end++;
        for (size_t k = i; k < end; k++)
            ranks[order[k].index] = (double)(i + end - 1) / 2;
        i = end;
    }
}

static void scale(double *x, size_t n)
{
    double low = x[0], high = x[0];
    for (size_t i = 1; i < n; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    for (size_t i = 0; i < n; i++)
        x[i] = high > low ? (x[i] - low) / (high - low) : 0;
}

/* Of one window at (y, x). */
static double window_similarity(const double *a, const double *b, int w, int y, int x)
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03, n = WINDOW * WINDOW;
    double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
    for (int i = y; i < y + WINDOW; i++)
        for (int k = x; k < x + WINDOW; k++) {
            double p = a[i * w + k], q = b[i * w + k];
            ma += p / n;
            mb += q / n;
            aa += p * p / n;
            bb += q * q / n;
            ab += p * q / n;
        }
    double correct = n / (n - 1), va = correct * (aa - ma * ma), vb = correct * (bb - mb * mb),
           vab = correct * (ab - ma * mb);
    return (2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
}

/* NaN for maps smaller than a window. */
static double structural(double *a, double *b, int h, int w)
{
    if (h < WINDOW || w < WINDOW)
        return NAN;
    double sum = 0;
    scale(a, (size_t)h * (size_t)w);
    scale(b, (size_t)h * (size_t)w);
    for (int y = 0; y + WINDOW <= h; y++)
        for (int x = 0; x + WINDOW <= w; x++)
            sum += window_similarity(a, b, w, y, x);
    return sum / ((double)(h - WINDOW + 1) * (w - WINDOW + 1));
}

ng_status ng_map_similarity(const ng_map *first, const ng_map *second, ng_similarity *out, ng_error *err)
{
    size_t n = (size_t)first->height * (size_t)first->width;
    if (first->height != second->height || first->width != second->width || n == 0)
        return ngi_fail(err, NG_E_SHAPE, "maps of %dx%d and %dx%d cells cannot be compared", first->height,
                        first->width, second->height, second->width);
    double *values = ngi_alloc(4 * n, sizeof *values);
    ranked *order = ngi_alloc(n, sizeof *order);
    if (!values || !order) {
        ngi_free(values);
        ngi_free(order);
        return ngi_fail_memory(err, 4 * n * sizeof *values);
    }
    double *a = values, *b = a + n, *ra = b + n, *rb = ra + n;
    for (size_t i = 0; i < n; i++) {
        a[i] = first->signed_data[i];
        b[i] = second->signed_data[i];
    }
    rank(a, n, order, ra);
    rank(b, n, order, rb);
    out->pearson = pearson(a, b, n);
    out->spearman = pearson(ra, rb, n);
    out->ssim = structural(a, b, first->height, first->width);
    ngi_free(values);
    ngi_free(order);
    return NG_OK;
}
