/* A loss on where the network looks: the share of the Grad-CAM's energy that lies beside the object, which is 1 minus the
 * energy pointing game (Wang et al. 2020, Score-CAM, section 4.2) as a loss: Rao, Boehle, Parchami-Araghi, Schiele 2023,
 * "Studying How to Efficiently and Effectively Guide Models with Explanations", equation 3.
 *
 *   M_p = sum_k w_k A_pk           Grad-CAM of the true class, w the gradient of its logit by the pooled features
 *   E   = sum_p relu(M_p) (1 - m_p) / sum_p relu(M_p)
 *   dE/dM_p = [M_p > 0] (1 - m_p - E) / sum relu(M),  dE/dA_pk = w_k dE/dM_p,  dE/dw_k = sum_p A_pk dE/dM_p
 *
 * E does not depend on the map's scale, so that the pooling's 1 / cells needs no place in it. */
#ifndef NGI_TRAIN_ATTENTION_H
#define NGI_TRAIN_ATTENTION_H

#include "base/base.h"

/* act [cells,channels], slope [channels]: w; region [cells]: m, 0 beside the object to 1 on it. Returns E, and 0, without a
 * gradient, where the map is nowhere above 0. scale * dE/dA is added to act_grad [cells,channels], scale * dE/dw to slope_grad
 * [channels]; each may be NULL. work [cells] */
double ngi_attention_outside(const float *act, const float *slope, const float *region, int cells,
                             int channels, double scale, double *work, float *act_grad, float *slope_grad);

#endif
