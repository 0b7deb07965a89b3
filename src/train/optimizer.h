/* Optimizers with the update rules of Keras 3 (keras/src/optimizers): SGD, Adam, AdamW, their order of clipping, decay and
 * moving average. State is the caller's arrays, so that a checkpoint is their bytes. */
#ifndef NGI_TRAIN_OPTIMIZER_H
#define NGI_TRAIN_OPTIMIZER_H

#include "base/base.h"

#define NGI_OPTIMIZER_LIST(X) \
    X(SGD, "sgd")             \
    X(ADAM, "adam")           \
    X(ADAMW, "adamw")

typedef enum ngi_optimizer_kind {
#define NGI_OPTIMIZER_ENUM(kind, text) NGI_OPTIMIZER_##kind,
    NGI_OPTIMIZER_LIST(NGI_OPTIMIZER_ENUM)
#undef NGI_OPTIMIZER_ENUM
        NGI_OPTIMIZER_COUNT
} ngi_optimizer_kind;

typedef struct ngi_optimizer {
    ngi_optimizer_kind kind;
    double momentum; /* SGD. 0 */
    bool nesterov;
    double beta1, beta2, epsilon; /* Adam: 0.9, 0.999, 1e-7 */
    double weight_decay; /* decoupled: w -= w * decay * rate before the update. AdamW: 0.004 in Keras */
    double clip_norm;    /* of all gradients together (global_clipnorm); 0: none */
    double ema;          /* momentum of the moving average of the weights (use_ema); 0: none */
} ngi_optimizer;

const char *ngi_optimizer_name(ngi_optimizer_kind kind);
NG_NODISCARD ng_status ngi_optimizer_find(const char *name, ngi_optimizer_kind *out, ng_error *err);
/* Keras's defaults of the kind. */
void ngi_optimizer_init(ngi_optimizer *o, ngi_optimizer_kind kind);
/* Arrays of the weight's size that the rule keeps for each weight: 0 to 2, the average not counted. */
int ngi_optimizer_slots(const ngi_optimizer *o);

/* One weight that is trained. Slots start as zeros, the average as the weights. */
typedef struct ngi_trained {
    float *weight;
    const float *grad;
    float *slot[2]; /* momentum; or first and second moment */
    float *average; /* NULL without ema */
    int64_t count;
    bool decays; /* weight decay applies: kernels; Keras excludes nothing by itself */
} ngi_trained;

/* One step, the `step`-th (from 1), at learning rate `rate`: clips by the global norm, decays, updates, averages. `norm`: the
 * gradients' before clipping. To the same bytes with any number of threads. */
NG_NODISCARD ng_status ngi_optimizer_step(const ngi_optimizer *o, ngi_trained *weights, int n, int64_t step,
                                          double rate, int threads, double *norm, ng_error *err);

#endif
