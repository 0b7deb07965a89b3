#include "metrics/impute.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

/* Neighbours of a pixel and their weights; those outside of the image do not count. */
static const struct {
    int dy, dx;
    double weight;
} around[8] = {{-1, -1, 1.0 / 12}, {-1, 0, 1.0 / 6},  {-1, 1, 1.0 / 12}, {0, -1, 1.0 / 6},
               {0, 1, 1.0 / 6},    {1, -1, 1.0 / 12}, {1, 0, 1.0 / 6},   {1, 1, 1.0 / 12}};

/* The unknowns: removed pixels in a row, with what the equations need of their neighbours. */
typedef struct unknowns {
    int n;
    int *pixel;          /* [n] */
    int (*neighbour)[8]; /* [n] unknown, -1 - pixel where it is known, or OUTSIDE */
    double *diagonal;    /* [n] sum of the weights within the image */
} unknowns;

enum { OUTSIDE = INT32_MIN };

static void connect(unknowns *u, const int *index, int i, int h, int w)
{
    int x = u->pixel[i] % w, y = u->pixel[i] / w;
    u->diagonal[i] = 0;
    for (int k = 0; k < 8; k++) {
        int py = y + around[k].dy, px = x + around[k].dx;
        bool within = py >= 0 && py < h && px >= 0 && px < w;
        u->neighbour[i][k] = !within                   ? OUTSIDE
                             : index[py * w + px] >= 0 ? index[py * w + px]
                                                       : -1 - (py * w + px);
        u->diagonal[i] += within ? around[k].weight : 0;
    }
}

static void unknowns_clear(unknowns *u)
{
    ngi_free(u->pixel);
    ngi_free(u->neighbour);
    ngi_free(u->diagonal);
}

static ng_status find_unknowns(const uint8_t *removed, int h, int w, unknowns *u, ng_error *err)
{
    int pixels = h * w;
    int *index = ngi_alloc((size_t)pixels, sizeof *index);
    *u = (unknowns){0};
    for (int p = 0; index && p < pixels; p++)
        index[p] = removed[p] ? u->n++ : -1;
    size_t n = (size_t)u->n;
    u->pixel = ngi_alloc(n, sizeof *u->pixel);
    u->neighbour = ngi_alloc(n, sizeof *u->neighbour);
    u->diagonal = ngi_alloc(n, sizeof *u->diagonal);
    bool fine = index && u->pixel && u->neighbour && u->diagonal;
    for (int p = 0; fine && p < pixels; p++)
        if (removed[p])
            u->pixel[index[p]] = p;
    for (int i = 0; fine && i < u->n; i++)
        connect(u, index, i, h, w);
    ngi_free(index);
    if (fine)
        return NG_OK;
    unknowns_clear(u);
    return ngi_fail_memory(err, (size_t)pixels * sizeof *index + n * sizeof *u->neighbour);
}

/* out = A v. */
static void multiply(const unknowns *u, const double *v, double *out)
{
    for (int i = 0; i < u->n; i++) {
        double sum = u->diagonal[i] * v[i];
        for (int k = 0; k < 8; k++)
            if (u->neighbour[i][k] >= 0)
                sum -= around[k].weight * v[u->neighbour[i][k]];
        out[i] = sum;
    }
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Conjugate gradients, preconditioned by the diagonal, from v as it is; room [4n]. */
static void solve(const unknowns *u, const double *b, double *v, double *room)
{
    int n = u->n;
    double *r = room, *z = r + n, *p = z + n, *q = p + n;
    multiply(u, v, q);
    for (int i = 0; i < n; i++)
        r[i] = b[i] - q[i];
    double end = 1e-12 * (dot(b, b, n) + dot(r, r, n)), rz = 0;
    for (int step = 0; step < 4 * n + 100 && dot(r, r, n) > end; step++) {
        for (int i = 0; i < n; i++)
            z[i] = r[i] / u->diagonal[i];
        double next = dot(r, z, n), beta = step ? next / rz : 0;
        rz = next;
        for (int i = 0; i < n; i++)
            p[i] = z[i] + (step ? beta * p[i] : 0);
        multiply(u, p, q);
        double alpha = rz / dot(p, q, n);
        for (int i = 0; i < n; i++) {
            v[i] += alpha * p[i];
            r[i] -= alpha * q[i];
        }
    }
}

/* b of channel k, and the mean of the known pixels as a start. */
static void set_up(const unknowns *u, const float *x, const uint8_t *removed, int pixels, int c, int k,
                   double *b, double *v)
{
    double mean = 0;
    for (int p = 0; p < pixels; p++)
        mean += removed[p] ? 0 : x[(size_t)p * (size_t)c + (size_t)k];
    mean /= pixels - u->n;
    for (int i = 0; i < u->n; i++) {
        b[i] = 0;
        v[i] = mean;
        for (int m = 0; m < 8; m++) {
            int other = u->neighbour[i][m];
            if (other < 0 && other != OUTSIDE)
                b[i] += around[m].weight * x[(size_t)(-1 - other) * (size_t)c + (size_t)k];
        }
    }
}

ng_status ngi_impute(float *x, int h, int w, int c, const uint8_t *removed, double noise, uint64_t seed,
                     uint64_t stream, ng_error *err)
{
    unknowns u;
    NGI_TRY(find_unknowns(removed, h, w, &u, err));
    if (u.n == h * w) {
        unknowns_clear(&u);
        return ngi_fail(err, NG_E_ARGUMENT, "imputation: all pixels are removed: nothing is left to go by");
    }
    size_t n = (size_t)u.n;
    double *b = ngi_alloc(6 * n, sizeof *b);
    for (int k = 0; b && k < c; k++) {
        double *v = b + n;
        set_up(&u, x, removed, h * w, c, k, b, v);
        solve(&u, b, v, v + n);
        for (size_t i = 0; i < n; i++) {
            size_t at = (size_t)u.pixel[i] * (size_t)c + (size_t)k;
            x[at] = (float)(v[i] + (noise > 0 ? noise * ngi_random_normal(seed, stream, at) : 0));
        }
    }
    bool fine = b != NULL;
    ngi_free(b);
    unknowns_clear(&u);
    return fine ? NG_OK : ngi_fail_memory(err, 6 * n * sizeof *b);
}
