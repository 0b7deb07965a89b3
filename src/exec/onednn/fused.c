/* Activations that a primitive applies itself (eltwise post-ops). Only those whose oneDNN formula is
 * Keras's are listed; the others run by hand after the primitive. Formulas: ngi_activate.
 *
 * One difference is left: oneDNN's relu and clip make 0 of not-a-number where TensorFlow keeps it;
 * native/overflow.c tells when there may have been any. */
#include <math.h>

#include "exec/onednn/kernel.h"

/* Keras's ReLU with a threshold of 0 and at most one of slope and maximum. */
static bool relu_post_op(const ngi_activation_attr *act, dnnl_alg_kind_t *kind, float *alpha, float *beta)
{
    if (act->threshold != 0.0f)
        return false;
    if (isinf(act->max_value) && act->max_value > 0.0f) {
        *kind = dnnl_eltwise_relu;
        *alpha = act->alpha;
        *beta = 0.0f;
        return true;
    }
    *kind = dnnl_eltwise_clip;
    *alpha = 0.0f;
    *beta = act->max_value;
    return act->alpha == 0.0f && act->max_value >= 0.0f;
}

bool ngi_fused_post_op(const ngi_activation_attr *act, dnnl_alg_kind_t *kind, float *alpha, float *beta)
{
    *alpha = *beta = 0.0f;
    switch (act->kind) {
    case NGI_ACT_RELU:
        return relu_post_op(act, kind, alpha, beta);
    case NGI_ACT_RELU6:
        *kind = dnnl_eltwise_clip;
        *beta = 6.0f;
        return true;
    case NGI_ACT_LEAKY_RELU:
        *kind = dnnl_eltwise_relu;
        *alpha = act->alpha;
        return true;
    case NGI_ACT_SILU:
        *kind = dnnl_eltwise_swish;
        *alpha = 1.0f;
        return true;
    case NGI_ACT_SIGMOID:
        *kind = dnnl_eltwise_logistic;
        return true;
    case NGI_ACT_TANH:
        *kind = dnnl_eltwise_tanh;
        return true;
    case NGI_ACT_ELU:
        *kind = dnnl_eltwise_elu;
        *alpha = act->alpha;
        return true;
    default:
        return false;
    }
}
