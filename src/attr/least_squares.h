/* Normal equations: their solution and its standard error. */
#ifndef NGI_LEAST_SQUARES_H
#define NGI_LEAST_SQUARES_H

#include <stdbool.h>

/* Of regressions on samples: what float64 leaves of a pivot that is zero. */
#define NGI_FIT_LEAST 1e-14

/* Solves a x = b, a [n,n] symmetric and positive definite, by Cholesky's decomposition in place; b becomes x. A pivot that
 * vanishes, not above `least` of its diagonal (a superpixel no sample tells apart), gives a zero; false if there is one. */
bool ngi_fit_solve(double *a, double *b, int n, double least);
/* Mean standard error of the coefficients of a weighted regression: `a` as ngi_fit_solve has left it, meat [n,n] the sum of
 * squared weights, squared residuals and the products of the inputs (White's estimate, which asks nothing of the noise).
 * room [n]. */
double ngi_fit_error(const double *a, const double *meat, int n, double *room);

#endif
