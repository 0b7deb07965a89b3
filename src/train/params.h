/* The weights that are trained, with all that belongs to them as rows of numbers one behind another: gradients, the
 * optimizer's slots, moving averages, the best values so far. */
#ifndef NGI_TRAIN_PARAMS_H
#define NGI_TRAIN_PARAMS_H

#include "nn/graph.h"
#include "train/optimizer.h"

typedef struct ngi_params {
    ngi_trained *items; /* [n] */
    int *weights;       /* [n] of the graph */
    int n, n_slots;
    int64_t total;  /* numbers of all weights */
    float *grads;   /* [total] */
    float *slots;   /* [n_slots][total] */
    float *average; /* [total]; NULL without a moving average */
    float *best;    /* [total] */
    bool averaged;  /* the graph holds the averages, `average` the weights */
} ngi_params;

/* weights [n]: indices into the graph's. */
NG_NODISCARD ng_status ngi_params_create(const ngi_graph *g, const int *weights, int n,
                                         const ngi_optimizer *o, ngi_params *out, ng_error *err);
void ngi_params_clear(ngi_params *p);
void ngi_params_zero_grads(ngi_params *p);
float *ngi_params_grad(const ngi_params *p, int i); /* of the i-th weight */
/* The graph's weights and their averages change places; without an average nothing happens. */
void ngi_params_swap_average(ngi_params *p);
void ngi_params_get(const ngi_params *p, float *values /* [total] */); /* from the graph */
void ngi_params_set(ngi_params *p, const float *values /* [total] */); /* into the graph */

#endif
