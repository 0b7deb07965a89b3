/* Multinomial logistic regression with an L2 penalty, by L-BFGS (Liu and Nocedal, 1989). */
#ifndef NGI_TRAIN_LOGISTIC_H
#define NGI_TRAIN_LOGISTIC_H

#include "base/base.h"

typedef struct ngi_logistic {
    int n, d, k;
    const double *x; /* [n,d] */
    const int *y;    /* [n] classes 0 to k - 1 */
    double l2; /* of mean cross-entropy + l2 / 2 |W|^2; the biases are free. scikit-learn's C is 1 / (n l2) */
} ngi_logistic;

/* w [k,d + 1], the bias last, from zeros. *value gets the objective; may be NULL. */
NG_NODISCARD ng_status ngi_logistic_fit(const ngi_logistic *p, double *w, double *value, ng_error *err);
/* The likeliest class of row x [d]. */
int ngi_logistic_predict(int d, int k, const double *w, const double *x);

#endif
