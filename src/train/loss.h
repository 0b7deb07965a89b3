/* Losses of a classifier's logits, with Keras's formulas and its reduction: the mean over the batch of each image's loss
 * times its weight (keras.losses, reduction="sum_over_batch_size"). */
#ifndef NGI_TRAIN_LOSS_H
#define NGI_TRAIN_LOSS_H

#include "base/base.h"

/* X(kind, text, summary) */
#define NGI_LOSS_LIST(X)                                                                                     \
    X(SOFTMAX, "softmax", "categorical cross-entropy: one class an image")                                   \
    X(SIGMOID, "sigmoid", "binary cross-entropy of each class: several labels an image")                     \
    X(FOCAL, "focal", "categorical focal cross-entropy (Lin et al., 2017): images already right weigh less") \
    X(ORDINAL, "ordinal", "squared distance between cumulative distributions: classes in an order")

typedef enum ngi_loss_kind {
#define NGI_LOSS_ENUM(kind, text, summary) NGI_LOSS_##kind,
    NGI_LOSS_LIST(NGI_LOSS_ENUM)
#undef NGI_LOSS_ENUM
        NGI_LOSS_COUNT
} ngi_loss_kind;

typedef struct ngi_loss {
    ngi_loss_kind kind;
    double label_smoothing; /* 0 to below 1: targets become t (1 - s) + s / k; SIGMOID: t (1 - s) + s / 2 */
    double gamma, alpha;    /* FOCAL: 2 and 0.25 in Keras */
} ngi_loss;

const char *ngi_loss_name(ngi_loss_kind kind);
const char *ngi_loss_summary(ngi_loss_kind kind);
NG_NODISCARD ng_status ngi_loss_find(const char *name, ngi_loss_kind *out, ng_error *err);

/* logits [n,k], targets [n,k] (softmax kinds: rows that sum to 1), weights [n] or NULL (ones). Writes dL/dlogits [n,k] to
 * grad (NULL: not wanted) and, where wanted, each image's own unweighted loss to each [n]; work [k] is overwritten. `divisor` is what the sum is
 * divided by: n, or the whole batch's size where it comes in parts, so that parts add up. Returns this part's share of the
 * mean. Not a number where logits are not. */
double ngi_loss_eval(const ngi_loss *loss, const float *logits, const float *targets, const float *weights,
                     int n, int k, double divisor, double *work, float *grad, double *each);

#endif
