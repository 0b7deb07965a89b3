/* Figures with their uncertainty. */
#ifndef NGI_METRICS_INTERVAL_H
#define NGI_METRICS_INTERVAL_H

#include "base/base.h"

/* A figure and the ends of its interval; all NaN where the figure is not defined. */
typedef struct ngi_interval {
    double value, low, high;
} ngi_interval;

extern const ngi_interval ngi_undefined;

/* The x below which a standard normal variable lies with probability p, 0 < p < 1; right to 1e-14. */
double ngi_normal_quantile(double p);
/* Of a share, hits of n (Wilson, "Probable inference, the law of succession, and statistical inference", 1927). */
ngi_interval ngi_wilson(int64_t hits, int64_t n, double confidence);
/* Two-sided p of McNemar's exact test: that of `gained` and `lost` of as many draws of a fair coin, twice the smaller tail, at
 * most 1 (McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", 1947). */
double ngi_mcnemar(int64_t gained, int64_t lost);
/* Of a figure whose values on resampled data are draws [n], which are sorted: numpy.quantile's linear interpolation. Draws that
 * are NaN (the figure was not defined there) are left out. */
ngi_interval ngi_percentile_interval(double value, double *draws, int64_t n, double confidence);
/* Area under the ROC curve of scores [n], the higher the more positive: the probability that a positive one outranks a negative
 * one, ties counting half. Its interval by DeLong et al. ("Comparing the areas under two or more correlated receiver operating
 * characteristic curves", 1988) on the scale of log odds, which keeps it within 0 to 1. Undefined without positives or
 * negatives; of a perfect separation the interval is that of the value alone. */
NG_NODISCARD ng_status ngi_auc(const double *scores, const uint8_t *positive, int64_t n, double confidence,
                               ngi_interval *out, ng_error *err);

#endif
