/* Whether a model is as often right as it says: reliability curves, expected calibration error, temperature (Guo et al., "On
 * calibration of modern neural networks", 2017). */
#ifndef NGI_METRICS_CALIBRATION_H
#define NGI_METRICS_CALIBRATION_H

#include "metrics/classification.h"

/* Predictions whose confidence is alike. */
typedef struct ngi_bin {
    double low, high; /* (low, high]; of equal mass: the least and the greatest confidence in it */
    int64_t n, hits;
    double confidence; /* mean */
    ngi_interval accuracy;
} ngi_bin;

enum { NGI_MAX_BINS = 100 };

typedef struct ngi_reliability {
    int n_bins;
    ngi_bin bins[NGI_MAX_BINS]; /* empty ones too */
    double ece, mce;            /* mean gap weighted by n, greatest gap */
} ngi_reliability;

/* A prediction: with classes the most likely one of each image, with labels every class of every image, where "right" is that
 * the image has the label. Confidence is the probability at temperature t. Equal mass: numpy.array_split of the sorted. */
NG_NODISCARD ng_status ngi_reliability_judge(const ngi_scores *scores, double t, int bins, bool equal_mass,
                                             double confidence, ngi_reliability *out, ng_error *err);

/* The temperature that logits are divided by to make the given truth most likely: the root of the loss's derivative in 1/T,
 * which rises with 1/T, by Newton's steps kept within a bracket. The interval is that of 1/T by Fisher information. */
typedef struct ngi_temperature {
    ngi_interval t;
    bool
        bounded; /* the best is beyond NGI_TEMPERATURE_LOW or _HIGH: a model that is never wrong, or no better than chance */
} ngi_temperature;

#define NGI_TEMPERATURE_LOW  0.01
#define NGI_TEMPERATURE_HIGH 100.0

ngi_temperature ngi_temperature_fit(const ngi_scores *scores, double confidence);

#endif
