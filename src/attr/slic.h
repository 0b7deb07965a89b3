/* Superpixels: SLIC (Achanta et al., 2012). */
#ifndef NGI_SLIC_H
#define NGI_SLIC_H

#include "tensor/tensor.h"

/* labels [h,w] gets segments 0..*count-1, each connected. x [h,w,c]; a colour difference of `range` (black to white) counts
 * as 100, as in Lab; compactness weighs position against colour. About `wanted` segments come out. */
NG_NODISCARD ng_status ngi_slic(const float *x, int h, int w, int c, double range, int wanted,
                                double compactness, int *labels, int *count, ng_error *err);

#endif
