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
    double *pivot;       /* [n] of the preconditioner */
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

/* Modified incomplete Cholesky factors with A's own entries off the diagonal (Gustafsson 1978): what elimination would fill in is
 * taken from the pivots, a little less than all of it, so that they stay positive. */
static void find_pivots(unknowns *u)
{
    const double share = 0.97;
    for (int i = 0; i < u->n; i++) {
        u->pivot[i] = u->diagonal[i];
        for (int k = 0; k < 4; k++) {
            int j = u->neighbour[i][k];
            if (j < 0)
                continue;
            double later = 0, weight = around[k].weight;
            for (int m = 4; m < 8; m++)
                later += u->neighbour[j][m] >= 0 ? around[m].weight : 0;
            u->pivot[i] -= weight / u->pivot[j] * (weight + share * (later - weight));
        }
    }
}

static void unknowns_clear(unknowns *u)
{
    ngi_free(u->pixel);
    ngi_free(u->neighbour);
    ngi_free(u->diagonal);
    ngi_free(u->pivot);
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
    u->pivot = ngi_alloc(n, sizeof *u->pivot);
    bool fine = index && u->pixel && u->neighbour && u->diagonal && u->pivot;
    for (int p = 0; fine && p < pixels; p++)
        if (removed[p])
            u->pixel[index[p]] = p;
    for (int i = 0; fine && i < u->n; i++)
        connect(u, index, i, h, w);
    if (fine)
        find_pivots(u);
    ngi_free(index);
    if (fine)
        return NG_OK;
    unknowns_clear(u);
    return ngi_fail_memory(err, (size_t)pixels * sizeof *index + n * sizeof *u->neighbour);
}

/* Four channels: their systems have one matrix and are solved together. */
enum { LANES = 4 };
typedef struct lanes {
    double of[LANES];
} lanes;

/* a + factor b. */
static lanes plus(lanes a, lanes factor, const lanes *b)
{
    for (int m = 0; m < LANES; m++)
        a.of[m] += factor.of[m] * b->of[m];
    return a;
}

static lanes times(lanes a, const lanes *b)
{
    for (int m = 0; m < LANES; m++)
        a.of[m] *= b->of[m];
    return a;
}

static lanes all(double value)
{
    return (lanes){{value, value, value, value}};
}

/* The sum over unknown i's neighbours first..last, each at its weight. */
static lanes gather(const unknowns *u, int i, int first, int last, const lanes *v)
{
    lanes sum = all(0);
    for (int k = first; k <= last; k++)
        if (u->neighbour[i][k] >= 0)
            sum = plus(sum, all(around[k].weight), &v[u->neighbour[i][k]]);
    return sum;
}

static lanes dot(const lanes *a, const lanes *b, int n)
{
    lanes sum = all(0);
    for (int i = 0; i < n; i++)
        sum = plus(sum, a[i], &b[i]);
    return sum;
}

/* z = M^-1 r. */
static void precondition(const unknowns *u, const lanes *r, lanes *z)
{
    for (int i = 0; i < u->n; i++) {
        lanes before = plus(gather(u, i, 0, 3, z), all(1), &r[i]);
        z[i] = times(all(1 / u->pivot[i]), &before);
    }
    for (int i = u->n - 1; i >= 0; i--) {
        lanes behind = gather(u, i, 4, 7, z);
        z[i] = plus(z[i], all(1 / u->pivot[i]), &behind);
    }
}

/* out = A v. */
static void multiply(const unknowns *u, const lanes *v, lanes *out)
{
    for (int i = 0; i < u->n; i++) {
        lanes others = gather(u, i, 0, 7, v);
        out[i] = plus(times(all(u->diagonal[i]), &v[i]), all(-1), &others);
    }
}

static bool any_above(lanes a, lanes b)
{
    bool above = false;
    for (int m = 0; m < LANES; m++)
        above = above || a.of[m] > b.of[m];
    return above;
}

/* a / b, 0 where b is: a channel without a residual stays as it is. */
static lanes ratio(lanes a, lanes b)
{
    for (int m = 0; m < LANES; m++)
        a.of[m] = b.of[m] != 0 ? a.of[m] / b.of[m] : 0;
    return a;
}

/* Preconditioned conjugate gradients from v as it is, to a relative residual of 1e-6; room [4n]. */
static void solve(const unknowns *u, const lanes *b, lanes *v, lanes *room)
{
    int n = u->n;
    lanes *r = room, *z = r + n, *p = z + n, *q = p + n, rz = all(0);
    multiply(u, v, q);
    for (int i = 0; i < n; i++)
        r[i] = plus(b[i], all(-1), &q[i]);
    const lanes bb = dot(b, b, n), start = dot(r, r, n),
                end = plus(times(all(1e-12), &bb), all(1e-12), &start);
    for (int step = 0; step < 4 * n + 100 && any_above(dot(r, r, n), end); step++) {
        precondition(u, r, z);
        lanes next = dot(r, z, n), beta = ratio(next, rz);
        rz = next;
        for (int i = 0; i < n; i++)
            p[i] = step ? plus(z[i], beta, &p[i]) : z[i];
        multiply(u, p, q);
        lanes alpha = ratio(rz, dot(p, q, n)), back = times(all(-1), &alpha);
        for (int i = 0; i < n; i++) {
            v[i] = plus(v[i], alpha, &p[i]);
            r[i] = plus(r[i], back, &q[i]);
        }
    }
}

/* b of `count` channels from k on, and the mean of the known pixels as a start. */
static void set_up(const unknowns *u, const float *x, const uint8_t *removed, int pixels, int c, int k,
                   int count, lanes *b, lanes *v)
{
    lanes mean = all(0);
    for (int p = 0; p < pixels; p++)
        for (int m = 0; m < count && !removed[p]; m++)
            mean.of[m] += x[(size_t)p * (size_t)c + (size_t)(k + m)] / (double)(pixels - u->n);
    for (int i = 0; i < u->n; i++) {
        b[i] = all(0);
        v[i] = mean;
        for (int n = 0; n < 8; n++) {
            int other = u->neighbour[i][n];
            if (other >= 0 || other == OUTSIDE)
                continue;
            const float *known = x + (size_t)(-1 - other) * (size_t)c + k;
            for (int m = 0; m < count; m++)
                b[i].of[m] += around[n].weight * known[m];
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
    lanes *b = ngi_alloc(6 * n, sizeof *b);
    for (int k = 0; b && k < c; k += LANES) {
        int count = c - k < LANES ? c - k : LANES;
        lanes *v = b + n;
        set_up(&u, x, removed, h * w, c, k, count, b, v);
        solve(&u, b, v, v + n);
        for (size_t i = 0; i < n * (size_t)count; i++) {
            size_t lane = i % (size_t)count, of = i / (size_t)count;
            size_t at = (size_t)u.pixel[of] * (size_t)c + (size_t)k + lane;
            x[at] = (float)(v[of].of[lane] + (noise > 0 ? noise * ngi_random_normal(seed, stream, at) : 0));
        }
    }
    bool fine = b != NULL;
    ngi_free(b);
    unknowns_clear(&u);
    return fine ? NG_OK : ngi_fail_memory(err, 6 * n * sizeof *b);
}
