/* How well a layer's pooled features tell the classes apart: a linear head, cross-validated. */
#ifndef NGI_TRAIN_PROBE_H
#define NGI_TRAIN_PROBE_H

#include "data/data.h"

/* Deals items [n] to folds 0 to k - 1, stratified by class, groups whole, at random by `seed`; fold [n]. */
NG_NODISCARD ng_status ngi_probe_folds(const ngi_dataset *d, const int64_t *items, int64_t n, int k,
                                       uint64_t seed, int *fold, ng_error *err);

typedef struct ngi_probe {
    int n, k, folds;          /* images, classes, folds */
    const float *const *rows; /* [n] each [width] */
    int64_t width;
    const int *classes, *fold; /* [n] */
} ngi_probe;

typedef struct ngi_probe_result {
    int right;    /* held-out predictions, of n */
    double error; /* standard error of the accuracy over the folds */
} ngi_probe_result;

/* Features are standardised over all images, without their labels. The penalty is such that the logits have the same prior
 * spread whatever the width: scikit-learn's C is 10 / width. */
NG_NODISCARD ng_status ngi_probe_run(const ngi_probe *p, ngi_probe_result *out, ng_error *err);

#endif
