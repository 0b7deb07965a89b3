#include "attr/least_squares.h"

#include <math.h>

bool ngi_fit_solve(double *a, double *b, int n, double least)
{
    bool independent = true;
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++) {
            double sum = a[i * n + j], whole = sum;
            for (int k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            double pivot = a[j * n + j];
            bool vanishes = i == j && !(sum > least * whole);
            a[i * n + j] = vanishes ? INFINITY : i == j ? sqrt(sum) : sum / pivot;
            independent = independent && !vanishes;
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i * n + k] * b[k];
        b[i] /= a[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            b[i] -= a[k * n + i] * b[k];
        b[i] /= a[i * n + i];
    }
    return independent;
}

double ngi_fit_error(const double *a, const double *meat, int n, double *room)
{
    double sum = 0;
    for (int column = 0; column < n; column++) {
        double square = 0;
        for (int i = 0; i < n; i++) { /* room = a^-1 e_column */
            room[i] = i == column;
            for (int k = column; k < i; k++)
                room[i] -= a[i * n + k] * room[k];
            room[i] = i < column ? 0 : room[i] / a[i * n + i];
        }
        for (int i = n - 1; i >= 0; i--) {
            for (int k = i + 1; k < n; k++)
                room[i] -= a[k * n + i] * room[k];
            room[i] /= a[i * n + i];
        }
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++)
                square += room[i] * meat[i * n + k] * room[k];
        sum += sqrt(fmax(square, 0)) / n;
    }
    return sum;
}
