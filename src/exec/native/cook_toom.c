/* Transform matrices by inverting the Vandermonde matrix of the points, in long double. */
#include "exec/native/native.h"

#include <math.h>

#define SIZE NGI_WINO_MAX_A

/* The positive ones of the pairs, by (a - 2) / 2: of all choices of small fractions those with the smallest error of a
 * convolution of 192 channels, in float32 against double (1-D, root of the mean square): F(4,3) 5e-7, F(4,5) 9e-7, F(4,7)
 * 2.2e-6, F(6,7) 5.3e-6. The usual 1, 2, 1/2, 3/2 give 8e-7, 9e-7, 4e-6 and, with 4, 2.4e-5. */
static const long double positive[][5] = {
    [2] = {1 / 2.0L, 5 / 3.0L},
    [3] = {1, 2, 1 / 2.0L},
    [4] = {2 / 5.0L, 4 / 5.0L, 5 / 4.0L, 3},
    [5] = {2 / 5.0L, 2 / 3.0L, 1, 3 / 2.0L, 3},
};

/* Finite point i of a - 1: 0, +p, -p, +q, ... */
static long double point(int a, int i)
{
    long double p = i == 0 ? 0 : positive[(a - 2) / 2][(i - 1) / 2];
    return i % 2 ? p : -p;
}

/* inverse[i][j] of v [n,n], by Gauss-Jordan with pivoting. */
static void invert(int n, long double v[SIZE][SIZE], long double inverse[SIZE][SIZE])
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            inverse[i][j] = i == j;
    for (int i = 0; i < n; i++) {
        int pivot = i;
        for (int k = i; k < n; k++)
            if (fabsl(v[k][i]) > fabsl(v[pivot][i]))
                pivot = k;
        for (int j = 0; j < n; j++) {
            long double a = v[i][j], b = inverse[i][j];
            v[i][j] = v[pivot][j];
            v[pivot][j] = a;
            inverse[i][j] = inverse[pivot][j];
            inverse[pivot][j] = b;
        }
        long double scale = v[i][i];
        for (int j = 0; j < n; j++) {
            v[i][j] /= scale;
            inverse[i][j] /= scale;
        }
        for (int k = 0; k < n; k++) {
            long double factor = k == i ? 0 : v[k][i];
            for (int j = 0; j < n; j++) {
                v[k][j] -= factor * v[i][j];
                inverse[k][j] -= factor * inverse[i][j];
            }
        }
    }
}

/* Row i of the Vandermonde matrix at power j; the last row is the point at infinity. */
static long double power(int a, int i, int j, int last)
{
    if (i == a - 1)
        return j == last;
    return j == 0 ? 1 : powl(point(a, i), j);
}

void ngi_cook_toom_init(ngi_cook_toom *t, int m, int r)
{
    int a = m + r - 1;
    long double v[SIZE][SIZE], inverse[SIZE][SIZE];
    *t = (ngi_cook_toom){.m = m, .r = r, .a = a};
    for (int i = 0; i < a; i++)
        for (int j = 0; j < a; j++)
            v[i][j] = power(a, i, j, a - 1);
    invert(a, v, inverse);
    for (int i = 0; i < a; i++) {
        long double scale = 1; /* moves the denominators from BT to G, where arithmetic is in double */
        for (int j = 0; i < a - 1 && j < a - 1; j++)
            if (j != i)
                scale *= point(a, i) - point(a, j);
        for (int j = 0; j < a; j++) {
            long double x = inverse[j][i] * scale;
            t->bt[i][j] = fabsl(x) < 1e-9L ? 0 : (float)x;
        }
        for (int j = 0; j < m; j++)
            t->at[j][i] = (float)power(a, i, j, m - 1);
        for (int j = 0; j < r; j++)
            t->g[i][j] = (double)(power(a, i, j, r - 1) / scale);
    }
}
