/* XGrad-CAM (Fu et al., 2020): w_k = sum(g A) / (sum A + eps), eps 1e-7 as in pytorch-grad-cam. */
#include "attr/attr.h"

#define XGRADCAM_EPSILON 1e-7

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    double *sums = ngi_alloc_zero(2 * (size_t)p.channels, sizeof *sums);
    if (!sums)
        return ngi_fail_memory(err, 2 * (size_t)p.channels * sizeof *sums);
    double *weights = sums + p.channels;
    for (int64_t i = 0; i < p.cells; i++)
        for (int64_t k = 0; k < p.channels; k++) {
            double a = p.act[i * p.channels + k];
            sums[k] += a;
            weights[k] += a * p.grad[i * p.channels + k];
        }
    for (int64_t k = 0; k < p.channels; k++)
        weights[k] /= sums[k] + XGRADCAM_EPSILON;
    ng_status status = ngi_attr_weigh(job, &p, weights, map, err);
    ngi_free(sums);
    return status;
}

const ngi_method ngi_method_xgradcam = {
    .info =
        {
            .name = "xgradcam",
            .title = "XGrad-CAM",
            .summary = "channels weighted by gradient times normalised activation",
            .cost = "1 forward + backward to the layer",
            .source = "Fu et al. 2020, arXiv:2008.02312",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
