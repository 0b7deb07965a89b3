/* The base of a network that is trained: images to features, and back. A batch is run in micro-batches of fixed size, one
 * to a thread at a time; their weight gradients are added in order, so that the bytes depend on the size of the
 * micro-batches but not on the number of threads. */
#ifndef NGI_TRAIN_TRUNK_H
#define NGI_TRAIN_TRUNK_H

#include "exec/exec.h"

typedef struct ngi_trunk ngi_trunk;

typedef struct ngi_trunk_opts {
    int features;     /* the node where the trunk ends */
    const int *start; /* the node where it begins, by which every way must lead; NULL: the network's input */
    const bool *
        trained; /* [n_weights]; NULL: forward only. All false: ngi_trunk_train runs `rest` and no backward */
    int threads;
    int micro; /* images of a micro-batch */
    int64_t
        memory; /* bytes that the activations of all threads may take: smaller micro-batches; 0: no limit */
    const int *taps; /* nodes whose activations ngi_trunk_forward gives out, instead of `features` */
    int n_taps;
    const char *backend, *cache, *identity; /* as in ngi_plan_opts */
} ngi_trunk_opts;

/* The deepest node that every way to `root` leads through and up to which nothing is trained: what it says of an image never
 * changes. -1: none. */
int ngi_trunk_frozen(const ngi_graph *g, const bool *trained, int root);

NG_NODISCARD ng_status ngi_trunk_create(const ngi_graph *g, const ngi_trunk_opts *opts, ngi_trunk **out,
                                        ng_error *err);
void ngi_trunk_free(ngi_trunk *t);
int ngi_trunk_micro(const ngi_trunk *t);    /* what --memory has left of it */
size_t ngi_trunk_bytes(const ngi_trunk *t); /* of all threads' activations */

/* Gets the activations of node `tap` (or of the features) for images first to first + n - 1, in any order, by several
 * threads at a time. */
typedef void ngi_trunk_give(void *context, int tap, int64_t first, int n, const float *values);

/* images [n] + the input's shape, or the start's. */
NG_NODISCARD ng_status ngi_trunk_forward(ngi_trunk *t, const float *images, int64_t n, ngi_trunk_give *give,
                                         void *context, ng_error *err);

typedef struct ngi_trunk_step {
    void *context;
    /* The rest of the network: features [n,width] of images first.. give the loss's gradient there [n,width]. Several
     * threads at a time, each under its own `worker` number. */
    void (*rest)(void *context, int worker, int64_t first, int n, const float *features, float *grad);
    /* When the micro-batch's gradients are added: one at a time, in order. */
    void (*add)(void *context, int worker);
} ngi_trunk_step;

/* Forward, rest, backward; the trained weights' gradients are added to grads[i] (of the graph's weight i). */
NG_NODISCARD ng_status ngi_trunk_train(ngi_trunk *t, const float *images, int64_t n,
                                       const ngi_trunk_step *step, float *const *grads, ng_error *err);
/* Takes up the trained weights as they are now. */
NG_NODISCARD ng_status ngi_trunk_update(ngi_trunk *t, ng_error *err);

#endif
