/* Where there are more features than images, the regression is done on the Cholesky factor of the images' Gram matrix: a
 * rotation of the features that loses nothing, as the solution is a combination of the images. */
#include "train/probe.h"

#include "base/random.h"
#include "data/group.h"
#include "train/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLD_STREAM 0x666f6c64 /* "fold" */

/* ---- Folds ------------------------------------------------------------------------------------- */

typedef struct unit {
    const char *group;
    uint64_t key;
    int class_index;
    int64_t first; /* place of its first item */
} unit;

static int by_class(const void *a, const void *b)
{
    const unit *x = a, *y = b;
    if (x->class_index != y->class_index)
        return x->class_index - y->class_index;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int by_name(const void *a, const void *b)
{
    const unit *x = a, *y = b;
    int order = x->group && y->group ? strcmp(x->group, y->group) : (x->group == NULL) - (y->group == NULL);
    return order ? order : x->first < y->first ? -1 : x->first > y->first;
}

ng_status ngi_probe_folds(const ngi_dataset *d, const int64_t *items, int64_t n, int k, uint64_t seed,
                          int *fold, ng_error *err)
{
    unit *units = ngi_alloc((size_t)n, sizeof *units);
    int64_t *leader = ngi_alloc((size_t)n, sizeof *leader), n_units = 0;
    if (!units || !leader) {
        ngi_free(units);
        ngi_free(leader);
        return ngi_fail_memory(err, (size_t)n * sizeof *units);
    }
    for (int64_t i = 0; i < n; i++)
        units[i] = (unit){d->items[items[i]].group, ngi_random_bits(seed, FOLD_STREAM, (uint64_t)i),
                          d->items[items[i]].class_index, i};
    qsort(units, (size_t)n, sizeof *units, by_name);
    for (int64_t i = 0; i < n; i++) { /* one unit a group, led by its first image */
        bool same = n_units && units[i].group && units[n_units - 1].group &&
                    strcmp(units[i].group, units[n_units - 1].group) == 0;
        leader[units[i].first] = same ? units[n_units - 1].first : units[i].first;
        if (!same)
            units[n_units++] = units[i];
    }
    qsort(units, (size_t)n_units, sizeof *units, by_class);
    for (int64_t i = 0; i < n_units; i++) /* round about, class after class */
        fold[units[i].first] = (int)(i % k);
    for (int64_t i = 0; i < n; i++)
        fold[i] = fold[leader[i]];
    ngi_free(units);
    ngi_free(leader);
    return NG_OK;
}

/* ---- Features ---------------------------------------------------------------------------------- */

/* x [n,width] of means 0 and deviations 1; what is constant becomes 0. */
static void standardise(const ngi_probe *p, double *x)
{
    for (int64_t j = 0; j < p->width; j++) {
        double mean = 0, square = 0;
        for (int i = 0; i < p->n; i++)
            mean += p->rows[i][j];
        mean /= p->n;
        for (int i = 0; i < p->n; i++)
            square += (p->rows[i][j] - mean) * (p->rows[i][j] - mean);
        double deviation = sqrt(square / p->n), scale = deviation > 1e-12 ? 1 / deviation : 0;
        for (int i = 0; i < p->n; i++)
            x[i * p->width + j] = (p->rows[i][j] - mean) * scale;
    }
}

/* The lower Cholesky factor of x x^T, [n,n] over `l`; where rank is lost a column is 0. */
static void factor(const double *x, int n, int64_t width, double *l)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double sum[4] = {0};
            const double *a = x + i * width, *b = x + j * width;
            int64_t c = 0;
            for (; c + 4 <= width; c += 4)
                for (int k = 0; k < 4; k++)
                    sum[k] += a[c + k] * b[c + k];
            for (; c < width; c++)
                sum[0] += a[c] * b[c];
            l[(int64_t)i * n + j] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        }
    double scale = 0;
    for (int i = 0; i < n; i++)
        scale = fmax(scale, l[(int64_t)i * n + i]);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double *at = &l[(int64_t)i * n + j];
            const double *a = l + (int64_t)i * n, *b = l + (int64_t)j * n;
            for (int k = 0; j <= i && k < j; k++)
                *at -= a[k] * b[k];
            if (j == i)
                *at = *at > 1e-10 * scale ? sqrt(*at) : 0;
            else
                *at = j < i && b[j] > 0 ? *at / b[j] : 0;
        }
}

/* ---- Cross-validation -------------------------------------------------------------------------- */

typedef struct validation {
    const ngi_probe *p;
    double *x; /* [n,d] */
    int d;
    double *train, *w; /* [n,d], [k,d + 1] */
    int *y;            /* [n] */
} validation;

/* Images of the fold that a fit on the others says rightly; *n gets how many it has. */
static ng_status judge_fold(validation *v, int fold, int *right, int *n, ng_error *err)
{
    const ngi_probe *p = v->p;
    ngi_logistic problem = {.d = v->d, .k = p->k, .x = v->train, .y = v->y};
    for (int i = 0; i < p->n; i++)
        if (p->fold[i] != fold) {
            memcpy(v->train + (int64_t)problem.n * v->d, v->x + (int64_t)i * v->d,
                   (size_t)v->d * sizeof *v->x);
            v->y[problem.n++] = p->classes[i];
        }
    *right = *n = 0;
    if (problem.n == 0)
        return NG_OK;
    problem.l2 = (double)p->width / (10.0 * problem.n);
    NGI_TRY(ngi_logistic_fit(&problem, v->w, NULL, err));
    for (int i = 0; i < p->n; i++)
        if (p->fold[i] == fold) {
            *right += ngi_logistic_predict(v->d, p->k, v->w, v->x + (int64_t)i * v->d) == p->classes[i];
            ++*n;
        }
    return NG_OK;
}

static ng_status validate(validation *v, ngi_probe_result *out, ng_error *err)
{
    const ngi_probe *p = v->p;
    double sum = 0, squares = 0;
    int folds = 0;
    *out = (ngi_probe_result){0};
    for (int f = 0; f < p->folds; f++) {
        int right, n;
        NGI_TRY(judge_fold(v, f, &right, &n, err));
        if (n == 0)
            continue;
        double share = (double)right / n;
        out->right += right;
        sum += share;
        squares += share * share;
        folds++;
    }
    double mean = sum / folds;
    out->error = folds > 1 ? sqrt(fmax(0, squares / folds - mean * mean) / (folds - 1)) : 0;
    return NG_OK;
}

ng_status ngi_probe_run(const ngi_probe *p, ngi_probe_result *out, ng_error *err)
{
    size_t n = (size_t)p->n, width = (size_t)p->width, d = width > n ? n : width;
    double *whole = ngi_alloc(n * width, sizeof *whole),
           *rotated = width > n ? ngi_alloc(n * n, sizeof *rotated) : NULL;
    validation v = {.p = p, .d = (int)d};
    v.train = ngi_alloc(n * d, sizeof *v.train);
    v.w = ngi_alloc((size_t)p->k * (d + 1), sizeof *v.w);
    v.y = ngi_alloc(n, sizeof *v.y);
    ng_status status = whole && (rotated || width <= n) && v.train && v.w && v.y
                           ? NG_OK
                           : ngi_fail_memory(err, n * width * sizeof *whole);
    if (status == NG_OK) {
        standardise(p, whole);
        if (rotated)
            factor(whole, p->n, p->width, rotated);
        v.x = rotated ? rotated : whole;
        status = validate(&v, out, err);
    }
    ngi_free(whole);
    ngi_free(rotated);
    ngi_free(v.train);
    ngi_free(v.w);
    ngi_free(v.y);
    return status;
}
