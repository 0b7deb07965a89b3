/* Noisy linear imputation (ROAD: Rong et al., "A consistent and efficient evaluation strategy for attribution methods",
 * ICML 2022): a removed pixel is the mean of its neighbours, 1/6 for each of the four beside it, 1/12 for each across, over
 * the weights of those within the image; plus noise, so that the network does not see from its smoothness what is removed. */
#ifndef NGI_METRICS_IMPUTE_H
#define NGI_METRICS_IMPUTE_H

#include "base/base.h"

/* x [h,w,c]: pixels with removed [h,w] set are replaced, all channels alike; the others are kept. Not all may be removed.
 * Noise: normal, of deviation `noise` in x's units, by seed and stream. The linear system is solved by conjugate gradients
 * to a relative residual of 1e-6. */
NG_NODISCARD ng_status ngi_impute(float *x, int h, int w, int c, const uint8_t *removed, double noise,
                                  uint64_t seed, uint64_t stream, ng_error *err);

#endif
