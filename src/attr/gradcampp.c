/* Grad-CAM++ (Chattopadhay et al., 2018): with Y = exp(S), whose derivatives are e^S g, e^S g^2, e^S g^3,
 *   alpha = g^2 / (2 g^2 + (sum_ab A_ab) g^3), 0 where the denominator is 0,
 *   w_k = sum_ij alpha relu(e^S g), map = sum_k w_k A_k.
 * The factor e^S is common to all channels and left out: it only scales the map and overflows for confident
 * predictions. pytorch-grad-cam leaves it out too, but adds 1e-6 to the denominator. */
#include "attr/attr.h"

static double alpha(double g, double sum)
{
    double denominator = 2 * g * g + sum * g * g * g;
    return denominator != 0 ? g * g / denominator : 0;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    double *sums = ngi_alloc_zero(2 * (size_t)p.channels, sizeof *sums);
    if (!sums)
        return ngi_fail_memory(err, 2 * (size_t)p.channels * sizeof *sums);
    double *weights = sums + p.channels;
    for (int64_t i = 0; i < p.cells; i++)
        for (int64_t k = 0; k < p.channels; k++)
            sums[k] += p.act[i * p.channels + k];
    for (int64_t i = 0; i < p.cells; i++)
        for (int64_t k = 0; k < p.channels; k++) {
            double g = p.grad[i * p.channels + k];
            if (g > 0)
                weights[k] += alpha(g, sums[k]) * g;
        }
    ngi_attr_weigh(&p, weights, map);
    ngi_free(sums);
    return NG_OK;
}

const ngi_method ngi_method_gradcampp = {
    .info =
        {
            .name = "gradcam++",
            .title = "Grad-CAM++",
            .summary = "channels weighted by positive gradients, second-order corrected",
            .cost = "1 forward + backward to the layer",
            .source = "Chattopadhay et al. 2018, arXiv:1710.11063",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
