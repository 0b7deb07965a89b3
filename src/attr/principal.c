/* The leading eigenvector of X X^T by subspace iteration with Rayleigh-Ritz steps: a block of vectors converges with the
 * ratio to the first eigenvalue outside the block, so that a small gap behind the first does no harm. */
#include "attr/principal.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 6, MOST_STEPS = 2000, JACOBI_SWEEPS = 30 };
static const double converged = 1e-12; /* squared residual relative to the squared eigenvalue */
static const double rounding = 1e-13;  /* what is left of a vector in the others' span */

/* y = M x for one vector [rows]. */
typedef void multiply(const void *matrix, const double *x, double *y);

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Gram-Schmidt, twice, of q [n][rows]. A vector that lies in the others' span, as it does where the matrix has fewer
 * dimensions than the block, leaves rounding only, whose direction may be one that is there already: it becomes zero. */
static void orthonormalise(double *q, int n, int64_t rows)
{
    for (int i = 0; i < n; i++) {
        double *v = q + i * rows, whole = sqrt(dot(v, v, rows));
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0; k < i; k++) {
                double overlap = dot(v, q + k * rows, rows);
                for (int64_t r = 0; r < rows; r++)
                    v[r] -= overlap * q[k * rows + r];
            }
        double norm = sqrt(dot(v, v, rows));
        for (int64_t r = 0; r < rows; r++)
            v[r] = norm > fmax(rounding * whole, 1e-300) ? v[r] / norm : 0;
    }
}

/* Cyclic Jacobi of the symmetric a [BLOCK,BLOCK]; the columns of e become its eigenvectors. */
static void jacobi(double a[BLOCK][BLOCK], double e[BLOCK][BLOCK])
{
    for (int i = 0; i < BLOCK; i++)
        for (int k = 0; k < BLOCK; k++)
            e[i][k] = i == k;
    for (int sweep = 0; sweep < JACOBI_SWEEPS; sweep++)
        for (int p = 0; p < BLOCK; p++)
            for (int q = p + 1; q < BLOCK; q++) {
                if (a[p][q] == 0)
                    continue;
                double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
                double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int k = 0; k < BLOCK; k++) {
                    double x = a[k][p], y = a[k][q];
                    a[k][p] = c * x - s * y;
                    a[k][q] = s * x + c * y;
                }
                for (int k = 0; k < BLOCK; k++) {
                    double x = a[p][k], y = a[q][k], u = e[k][p], v = e[k][q];
                    a[p][k] = c * x - s * y;
                    a[q][k] = s * x + c * y;
                    e[k][p] = c * u - s * v;
                    e[k][q] = s * u + c * v;
                }
            }
}

/* One Rayleigh-Ritz step: q is turned to the Ritz vectors, largest first, and z = M q with it. Returns the first value. */
static double rotate(double *q, double *z, double *room, int64_t rows)
{
    double a[BLOCK][BLOCK], e[BLOCK][BLOCK];
    int order[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        for (int k = 0; k < BLOCK; k++)
            a[i][k] = (dot(q + i * rows, z + k * rows, rows) + dot(q + k * rows, z + i * rows, rows)) / 2;
    jacobi(a, e);
    for (int i = 0; i < BLOCK; i++) {
        int at = i;
        for (; at > 0 && a[order[at - 1]][order[at - 1]] < a[i][i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    double *const both[] = {q, z};
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < BLOCK; i++)
            for (int64_t r = 0; r < rows; r++) {
                double sum = 0;
                for (int k = 0; k < BLOCK; k++)
                    sum += e[k][order[i]] * both[b][k * rows + r];
                room[i * rows + r] = sum;
            }
        memcpy(both[b], room, BLOCK * (size_t)rows * sizeof *room);
    }
    return a[order[0]][order[0]];
}

/* The leading eigenvector v [rows] of a symmetric, positive semi-definite matrix. Returns its eigenvalue; -1 where
 * memory ran out. */
static double leading(multiply *by, const void *matrix, int64_t rows, double *v)
{
    double *q = ngi_alloc(3 * BLOCK * (size_t)rows, sizeof *q), value = -1;
    if (!q)
        return -1;
    double *z = q + BLOCK * rows, *room = z + BLOCK * rows;
    for (int64_t i = 0; i < BLOCK * rows; i++)
        q[i] = ngi_random_normal(1, 0, (uint64_t)i);
    for (int step = 0; step < MOST_STEPS; step++) {
        orthonormalise(q, BLOCK, rows);
        for (int i = 0; i < BLOCK; i++)
            by(matrix, q + i * rows, z + i * rows);
        value = rotate(q, z, room, rows);
        double residual = 0;
        for (int64_t r = 0; r < rows; r++)
            residual += (z[r] - value * q[r]) * (z[r] - value * q[r]);
        memcpy(v, q, (size_t)rows * sizeof *v);
        if (!(residual > converged * value * value))
            break;
        memcpy(q, z, BLOCK * (size_t)rows * sizeof *q);
    }
    ngi_free(q);
    return value > 0 ? value : 0;
}

static void choose_sign(double *v, int64_t n)
{
    double low = 0, high = 0;
    for (int64_t i = 0; i < n; i++) {
        low = fmin(low, v[i]);
        high = fmax(high, v[i]);
    }
    for (int64_t i = 0; i < n && -low > high; i++)
        v[i] = -v[i];
}

typedef struct table {
    double *x;    /* [rows,columns], centred */
    double *room; /* [columns] */
    int64_t rows, columns;
} table;

/* y = X (X^T v) */
static void multiply_gram(const void *matrix, const double *v, double *y)
{
    const table *t = matrix;
    memset(t->room, 0, (size_t)t->columns * sizeof *t->room);
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < t->columns; c++)
            t->room[c] += v[r] * t->x[r * t->columns + c];
    for (int64_t r = 0; r < t->rows; r++)
        y[r] = dot(t->x + r * t->columns, t->room, t->columns);
}

ng_status ngi_principal_projection(const double *x, int64_t rows, int64_t columns, double *projection,
                                   ng_error *err)
{
    table t = {.rows = rows, .columns = columns};
    t.x = ngi_alloc((size_t)rows * (size_t)columns, sizeof *t.x);
    t.room = ngi_alloc_zero((size_t)columns, sizeof *t.room);
    double value = -1;
    if (t.x && t.room) {
        for (int64_t i = 0; i < rows * columns; i++)
            t.room[i % columns] += x[i] / (double)rows;
        for (int64_t i = 0; i < rows * columns; i++)
            t.x[i] = x[i] - t.room[i % columns];
        value = leading(multiply_gram, &t, rows, projection);
    }
    ngi_free(t.x);
    ngi_free(t.room);
    if (value < 0)
        return ngi_fail_memory(err, (size_t)rows * (size_t)columns * sizeof *t.x);
    for (int64_t i = 0; i < rows; i++)
        projection[i] *= sqrt(value); /* X v = s u */
    choose_sign(projection, rows);
    return NG_OK;
}

typedef struct square {
    const double *k;
    int64_t rows;
} square;

static void multiply_kernel(const void *matrix, const double *v, double *y)
{
    const square *s = matrix;
    for (int64_t r = 0; r < s->rows; r++)
        y[r] = dot(s->k + r * s->rows, v, s->rows);
}

ng_status ngi_principal_kernel(double *k, int64_t rows, double *projection, ng_error *err)
{
    double *mean = ngi_alloc_zero((size_t)rows, sizeof *mean), all = 0;
    if (!mean)
        return ngi_fail_memory(err, (size_t)rows * sizeof *mean);
    for (int64_t i = 0; i < rows * rows; i++) {
        mean[i / rows] += k[i] / (double)rows;
        all += k[i] / ((double)rows * (double)rows);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < rows; c++)
            k[r * rows + c] += all - mean[r] - mean[c];
    ngi_free(mean);
    square s = {k, rows};
    double value = leading(multiply_kernel, &s, rows, projection);
    if (value < 0)
        return ngi_fail_memory(err, BLOCK * 3 * (size_t)rows * sizeof *mean);
    for (int64_t i = 0; i < rows; i++)
        projection[i] *= sqrt(value);
    choose_sign(projection, rows);
    return NG_OK;
}
