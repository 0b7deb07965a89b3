/* Grad-CAM (Selvaraju et al., 2017): w_k = mean over cells of dS/dA_k, map = sum_k w_k A_k; the relu is
 * applied by the frame. Sums in double, rounded once. */
#include "attr/attr.h"

#include <math.h>

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    NGI_TRY(ngi_attr_backward(job, err));
    int node = job->graph->layers[job->layer].node;
    int64_t channels = job->graph->nodes[node].shape.dim[2], cells = (int64_t)map->height * map->width;
    int64_t image = job->index * cells * channels;
    const float *act = ngi_run_activation(job->run, node) + image;  /* [h,w,c] */
    const float *grad = ngi_run_gradient(job->run, node) + image;   /* [h,w,c] */
    double *weights = ngi_alloc_zero((size_t)channels, sizeof *weights);
    if (!weights)
        return ngi_fail_memory(err, (size_t)channels * sizeof *weights);
    double squares = 0;
    for (int64_t i = 0; i < cells; i++)
        for (int64_t k = 0; k < channels; k++) {
            double g = grad[i * channels + k];
            weights[k] += g;
            squares += g * g;
        }
    for (int64_t k = 0; k < channels; k++)
        weights[k] /= (double)cells;
    for (int64_t i = 0; i < cells; i++) {
        double sum = 0;
        for (int64_t k = 0; k < channels; k++)
            sum += weights[k] * act[i * channels + k];
        map->signed_data[i] = (float)sum;
    }
    map->gradient_norm = sqrt(squares);
    ngi_free(weights);
    return NG_OK;
}

const ngi_method ngi_method_gradcam = {
    .info = {"gradcam", "Grad-CAM", "channels weighted by the mean gradient of the class score",
             "1 forward + backward to the layer", "Selvaraju et al. 2017, arXiv:1610.02391"},
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
