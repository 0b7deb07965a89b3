/* Which images an epoch takes, in which order; what each is to be taught, and how much it weighs. */
#ifndef NGI_TRAIN_ORDER_H
#define NGI_TRAIN_ORDER_H

#include "data/data.h"

/* A permutation of items [n] into out [n] by seed and epoch (Fisher and Yates). */
void ngi_order_shuffle(const int64_t *items, int64_t n, uint64_t seed, int64_t epoch, int64_t *out);
/* n places, shared evenly between the classes that have images (by their first label): images of rare classes come several
 * times, of frequent ones not all; which is drawn anew for each epoch. */
NG_NODISCARD ng_status ngi_order_balanced(const ngi_dataset *d, const int64_t *items, int64_t n,
                                          uint64_t seed, int64_t epoch, int64_t *out, ng_error *err);
/* What each place of an epoch's order [n] draws its augmentation by: the item where it comes first, another number below
 * n * n_items each time it comes again. NG_E_MEMORY is all that can go wrong. */
NG_NODISCARD ng_status ngi_order_draws(const int64_t *order, int64_t n, int64_t n_items, int64_t *draws,
                                       ng_error *err);
/* weights [classes] of n / (k n_c) over `items`, with k the classes that have images (scikit-learn's "balanced"); 0 where a
 * class has none. */
void ngi_class_weights(const ngi_dataset *d, const int64_t *items, int64_t n, double *weights);
/* The item's target [classes]: ones at its labels. */
void ngi_target_row(const ngi_dataset *d, int64_t item, float *row);
/* Mean of its labels' weights; 1 where weights is NULL. */
float ngi_item_weight(const ngi_dataset *d, int64_t item, const double *weights);

#endif
