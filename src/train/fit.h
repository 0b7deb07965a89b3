/* Training in two stages: the head on features that were computed once, then, if wanted, the top of the base with it,
 * behind augmented images. Batch norms always use their moving statistics. All that a run depends on is its options and
 * ngi_fit_state, which with the arrays of the weights makes a checkpoint: a run that goes on from there ends with the same
 * bytes. */
#ifndef NGI_TRAIN_FIT_H
#define NGI_TRAIN_FIT_H

#include "train/features.h"
#include "train/head.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"

typedef enum ngi_stage { NGI_STAGE_HEAD, NGI_STAGE_TOP, NGI_STAGE_DONE } ngi_stage;

typedef struct ngi_stage_opts {
    int epochs;
    ngi_optimizer optimizer;
    ngi_schedule schedule; /* decay_steps 0: COSINE until the stage's end, STEP a third of it */
} ngi_stage_opts;

/* An epoch as it went. Numbers that there are none of are NaN. */
typedef struct ngi_epoch {
    int32_t stage, epoch;          /* epoch from 1, over both stages */
    double loss, accuracy;         /* while training, as Keras reports them: with dropout and augmentation */
    double val_loss, val_accuracy; /* of the weights at its end (their averages, if these are kept) */
    double rate, norm;             /* of the last step: learning rate, gradients' global norm */
    double seconds, wall;          /* it took (since the run went on); at its end, since 1970 */
    int64_t images, skipped;
} ngi_epoch;

typedef struct ngi_fit_state {
    int32_t stage;       /* ngi_stage */
    int32_t epoch;       /* of the stage, from 0 */
    int32_t epochs_done; /* over both stages */
    int32_t wait;        /* epochs since the best one */
    int64_t step, place; /* updates of the stage; images of the epoch that were taken */
    double sum_loss, sum_right;
    int64_t seen, skipped; /* of the epoch */
    double norm, rate;
    double best;                  /* loss that is watched */
    int32_t has_best, best_epoch; /* over both stages, from 1; 0: the stage's start */
    ngi_plateau plateau;
} ngi_fit_state;

typedef struct ngi_fit_opts {
    const ngi_graph *graph;
    ngi_train_head head;
    const ngi_features *features; /* a row an item of the data */
    /* For a second stage whose images are never changed (no augmentation, no loss on attention): what node `frozen_node`
     * (ngi_trunk_frozen) says of each item, instead of its image. NULL: images are run through the whole network. */
    const ngi_features *frozen;
    int frozen_node;
    ngi_loader_options
        images; /* data, size, preprocessing, threads; order, batch, augmentation are set here */
    const ngi_augment *augment; /* of the second stage; NULL: none */
    const bool *trained;        /* [n_weights] of the base in the second stage; NULL: there is none */
    ngi_stage_opts stages[2];
    ngi_loss loss;
    int batch;
    int micro;      /* images of a thread's run; 0: 4 */
    int64_t memory; /* bytes of activations; 0: no limit */
    bool balanced_weights, balanced_sampler;
    /* Second stage, images whose object's region is known. The loss on where the network looks (attention.h) weighs so much
     * beside the other one: of the true class's Grad-CAM at node `maps` [h,w,c], whose global average is the head's
     * features. 0: none. */
    double attention;
    int maps;
    double background_swap; /* probability that the object is laid on another training image's background */
    uint64_t seed;
    int patience;   /* epochs without a better watched loss that end a stage; 0: none do */
    bool keep_last; /* the last epoch's weights, not the best one's */
    const char *backend, *cache, *identity;
    const char *checkpoint; /* file; NULL: none is written */
    const char *key; /* what the run is, by its options and data: a checkpoint of another one is refused */
    double checkpoint_seconds;
    bool resume;
    /* All by the calling thread; not 0 stops after a checkpoint: NG_E_CANCELLED. May be NULL. */
    int (*on_step)(void *user, const ngi_fit_state *state, int64_t places);
    int (*on_epoch)(void *user, const ngi_epoch *history, int n);
    void (*on_unreadable)(void *user, int64_t item, const ng_error *why);
    void *user;
} ngi_fit_opts;

typedef struct ngi_fit ngi_fit;

NG_NODISCARD ng_status ngi_fit_create(const ngi_fit_opts *opts, ngi_fit **out, ng_error *err);
void ngi_fit_free(ngi_fit *f);
/* Whether it goes on from a checkpoint. */
bool ngi_fit_resumed(const ngi_fit *f);
/* Trains to the end; the graph then has the weights that are kept. */
NG_NODISCARD ng_status ngi_fit_run(ngi_fit *f, ng_error *err);
const ngi_epoch *ngi_fit_history(const ngi_fit *f, int *n);
int ngi_fit_best_epoch(
    const ngi_fit *f); /* from 1, over both stages; 0: the weights at the last stage's start */

/* Loss, accuracy and, where wanted, logits [n,classes] of items with the graph's weights as they are: from the features
 * in the first stage, from the images else. Items that cannot be read are left out; *judged gets how many were not. */
NG_NODISCARD ng_status ngi_fit_evaluate(ngi_fit *f, const int64_t *items, int64_t n, double *loss,
                                        double *accuracy, float *logits, int64_t *judged, ng_error *err);

/* Items of a split whose features could be computed; out [n_items]. */
int64_t ngi_fit_items(const ngi_dataset *d, const ngi_features *f, ngi_split split, int64_t *out);

#endif
