/* Grad-CAM (Selvaraju et al., 2017): w_k = mean over cells of dS/dA_k, map = sum_k w_k A_k; the relu is
 * applied by the frame. Sums in double, rounded once. */
#include "attr/attr.h"

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    double *weights = ngi_alloc_zero((size_t)p.channels, sizeof *weights);
    if (!weights)
        return ngi_fail_memory(err, (size_t)p.channels * sizeof *weights);
    for (int64_t i = 0; i < p.cells; i++)
        for (int64_t k = 0; k < p.channels; k++)
            weights[k] += p.grad[i * p.channels + k];
    for (int64_t k = 0; k < p.channels; k++)
        weights[k] /= (double)p.cells;
    ng_status status = ngi_attr_weigh(job, &p, weights, map, err);
    ngi_free(weights);
    return status;
}

const ngi_method ngi_method_gradcam = {
    .info =
        {
            .name = "gradcam",
            .title = "Grad-CAM",
            .summary = "channels weighted by the mean gradient of the class score",
            .cost = "1 forward + backward to the layer",
            .source = "Selvaraju et al. 2017, arXiv:1610.02391",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
