/* What the files of ngi_fit share. */
#ifndef NGI_TRAIN_FIT_OWN_H
#define NGI_TRAIN_FIT_OWN_H

#include "train/fit.h"
#include "train/params.h"
#include "train/team.h"

#define NGI_EVALUATION_BATCH 64

/* A thread's own things for the head. */
typedef struct ngi_fit_worker {
    ngi_head_work head;
    float *head_grads; /* kernels and biases of the head one behind another; NULL in the first stage */
    double *room;      /* [classes] of the loss */
    /* With a loss on attention: */
    float *pooled, *pooled_grad; /* [most,width] */
    float *slope, *slope_grad;   /* [width] */
    double *cells;               /* [cells] */
} ngi_fit_worker;

struct ngi_fit {
    ngi_fit_opts o;
    ngi_fit_state state;
    ngi_epoch *history; /* [n_history] */
    int n_history, history_capacity;
    int64_t *train, *val, *order; /* [n_train], [n_val], [n_train] the epoch's */
    int64_t *draws;               /* [n_train] of the order; NULL: no image comes twice */
    int64_t n_train, n_val;
    double *class_weights;                 /* [classes] or NULL */
    ngi_params params;                     /* the head's kernels and biases first */
    ngi_trunk *trunk;                      /* second stage */
    ngi_fit_worker workers[NGI_TEAM_MOST]; /* the first stage uses one */
    int n_workers, classes, width;
    int cells;            /* of the maps; 0: attention is not looked at */
    const float *regions; /* [n,cells] of the batch */
    int64_t *donors;      /* [n_donors] of backgrounds */
    int64_t n_donors;
    int64_t head_total; /* numbers of the head's weights */
    /* The batch: [batch,...], of images also [batch] + the input's shape in the loader. */
    float *kept;                                   /* [batch,frozen width]; NULL: images are read */
    float *rows, *targets, *weights, *logits_grad; /* rows [max(batch, 64),width] */
    double *each, *outside; /* outside: the share of energy beside the object, times its weight */
    double *right;
    float **grads;   /* [n_weights] of the trunk's */
    double saved_at; /* seconds of the clock */
    bool resumed;
};

const ngi_stage_opts *ngi_fit_stage(const ngi_fit *f);
double ngi_fit_clock(void);
/* What the state's stage needs; with `pack` the weights as they were. */
NG_NODISCARD ng_status ngi_fit_begin_stage(ngi_fit *f, const ngi_pack *pack, ng_error *err);

/* Gathers what is kept of items [n] into f->kept, and those that have it into found; returns how many. */
int ngi_fit_gather(ngi_fit *f, const int64_t *items, int64_t n, int64_t *found);

/* fit_batch.c: one update's gradients of items [n] whose first is at `place` of the epoch; images NULL in the first stage.
 * Returns the mean loss. */
NG_NODISCARD ng_status ngi_fit_batch(ngi_fit *f, const int64_t *items, int n, float *images, int64_t place,
                                     int64_t number, double *loss, double *right, ng_error *err);
NG_NODISCARD ng_status ngi_fit_workers(ngi_fit *f, int n, int most, ng_error *err);
void ngi_fit_clear_workers(ngi_fit *f);

/* fit_attention.c: the room of a worker for `most` images; freeing it. */
NG_NODISCARD ng_status ngi_fit_attention_room(const ngi_fit *f, ngi_fit_worker *w, int most, ng_error *err);
void ngi_fit_attention_clear(ngi_fit_worker *w);
/* maps [n,cells,width] -> their means [n,width]. */
void ngi_fit_pool(const ngi_fit *f, const float *maps, int n, float *pooled);
/* pooled_grad [n,width] of the worker spread over grad [n,cells,width], and the loss on attention of the images first to
 * first + n - 1 of the batch (items [n], of `batch` images) added to that, to the kernels' gradients and to f->outside. */
void ngi_fit_attend(ngi_fit *f, ngi_fit_worker *w, const int64_t *items, int64_t first, int n, int batch,
                    const float *maps, float *const *kernel_grads, float *grad);

/* checkpoint.c */
NG_NODISCARD ng_status ngi_checkpoint_save(const ngi_fit *f, ng_error *err);
/* State and history; NG_E_NOT_FOUND (quietly) if there is no checkpoint, an error if it is another run's. */
NG_NODISCARD ng_status ngi_checkpoint_open(ngi_fit *f, ngi_pack **pack, ng_error *err);
/* The weights, after params were made for the state's stage. */
NG_NODISCARD ng_status ngi_checkpoint_take(ngi_fit *f, const ngi_pack *pack, ng_error *err);

#endif
