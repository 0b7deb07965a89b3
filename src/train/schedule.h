/* Learning-rate schedules: constant, cosine (keras CosineDecay), step (ExponentialDecay with staircase), plateau
 * (ReduceLROnPlateau), each behind an optional linear warm-up. */
#ifndef NGI_TRAIN_SCHEDULE_H
#define NGI_TRAIN_SCHEDULE_H

#include "base/base.h"

#define NGI_SCHEDULE_LIST(X) \
    X(CONSTANT, "constant")  \
    X(COSINE, "cosine")      \
    X(STEP, "step")          \
    X(PLATEAU, "plateau")

typedef enum ngi_schedule_kind {
#define NGI_SCHEDULE_ENUM(kind, text) NGI_SCHEDULE_##kind,
    NGI_SCHEDULE_LIST(NGI_SCHEDULE_ENUM)
#undef NGI_SCHEDULE_ENUM
        NGI_SCHEDULE_COUNT
} ngi_schedule_kind;

typedef struct ngi_schedule {
    ngi_schedule_kind kind;
    double rate;          /* after the warm-up */
    int64_t warmup_steps; /* from 0 to `rate`, linear */
    int64_t decay_steps;  /* COSINE: until the end; STEP: between two drops */
    double floor;         /* COSINE: share of the rate at the end (alpha); PLATEAU: least rate. 0 */
    double factor;        /* STEP, PLATEAU: what a drop multiplies by. 0.1 */
    int patience;         /* PLATEAU: epochs without an improvement of more than min_delta. 10 */
    double min_delta;     /* PLATEAU: 1e-4 */
} ngi_schedule;

/* What PLATEAU remembers: part of a checkpoint. Zeroed at the start. */
typedef struct ngi_plateau {
    bool started;
    double best, scale; /* of the monitored loss; product of the drops */
    int wait;
} ngi_plateau;

const char *ngi_schedule_name(ngi_schedule_kind kind);
NG_NODISCARD ng_status ngi_schedule_find(const char *name, ngi_schedule_kind *out, ng_error *err);
void ngi_schedule_init(ngi_schedule *s, ngi_schedule_kind kind, double rate);
/* Learning rate of the step-th update, from 0. */
double ngi_schedule_rate(const ngi_schedule *s, const ngi_plateau *p, int64_t step);
/* At an epoch's end, with the loss that is watched. */
void ngi_schedule_epoch(const ngi_schedule *s, ngi_plateau *p, double loss);

#endif
