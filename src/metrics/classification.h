/* Figures of a classifier on images whose classes are known, each with its interval: Wilson's for shares, DeLong's for areas
 * under ROC curves, bootstrap percentiles (images drawn anew) for the rest. Formulas are those of sklearn.metrics. */
#ifndef NGI_METRICS_CLASSIFICATION_H
#define NGI_METRICS_CLASSIFICATION_H

#include "metrics/interval.h"

/* What a model said of images, and what they are. All logits finite. */
typedef struct ngi_scores {
    int64_t n;
    int k;
    const float *logits;  /* [n,k]; of softmax, or with `labels` of one sigmoid a class */
    const int *truth;     /* [n] classes; NULL with labels */
    const uint8_t *label; /* [n,k] 1 where the image has the label; NULL for one class an image */
} ngi_scores;

typedef struct ngi_figure_opts {
    double confidence; /* of intervals: 0.95 */
    int resamples;     /* of the bootstrap: 1000; 0: no intervals for what needs it */
    uint64_t seed;
} ngi_figure_opts;

typedef struct ngi_class_figures {
    int64_t images, predicted, hits; /* that have the class; that are said to; both */
    ngi_interval precision, recall;  /* Wilson */
    ngi_interval f1;                 /* bootstrap; 2 hits / (images + predicted) */
    ngi_interval auc;                /* one against the rest, by the log odds of the class; DeLong */
} ngi_class_figures;

/* With labels an image is right if all its labels are, and losses are means over the classes. */
typedef struct ngi_classification {
    int64_t n, right;
    int k;
    ngi_interval accuracy;          /* Wilson */
    ngi_interval balanced_accuracy; /* mean recall of the classes that there are images of */
    ngi_interval macro_f1;          /* over the classes that there are images or predictions of */
    ngi_interval log_loss;          /* natural logarithm */
    ngi_interval brier;             /* sum over classes of (p - t)^2: 0 to 2; with labels the mean: 0 to 1 */
    double macro_auc;               /* mean over the classes where it is defined */
    ngi_class_figures *classes;     /* [k] */
    int64_t *confusion;             /* [k,k], rows the truth; NULL with labels */
    double *loss;                   /* [n] of each image */
    int *predicted;                 /* [n] most likely class; with labels too */
} ngi_classification;

NG_NODISCARD ng_status ngi_classification_judge(const ngi_scores *scores, const ngi_figure_opts *opts,
                                                ngi_classification *out, ng_error *err);
void ngi_classification_clear(ngi_classification *c);

/* Probabilities of one image, p [k], from its logits at temperature t (1: the model's own). */
void ngi_softmax(const float *z, int k, double t, double *p);
double ngi_sigmoid(double z);
/* z[c] - log sum exp of the others: what the softmax's probability of c is as log odds, without its rounding. */
double ngi_log_odds(const float *z, int k, int c);
/* Mean loss and mean squared error at a temperature. */
double ngi_log_loss(const ngi_scores *scores, double t);

#endif
