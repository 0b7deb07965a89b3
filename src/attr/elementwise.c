/* The CAMs that need no channel weights, since gradient and activation meet cell by cell:
 *   HiResCAM     sum_k g A         (Draelos & Carin 2020): exact for GAP -> Dense heads
 *   element-wise sum_k relu(g A)   (pytorch-grad-cam's GradCAMElementWise)
 *   LayerCAM     sum_k relu(g) A   (Jiang et al. 2021) */
#include "attr/attr.h"

static double product(double g, double a)
{
    return g * a;
}

static double positive_product(double g, double a)
{
    return g * a > 0 ? g * a : 0;
}

static double positive_gradient(double g, double a)
{
    return g > 0 ? g * a : 0;
}

static ng_status sum_cells(const ngi_attr_job *job, double (*term)(double g, double a), ng_map *map,
                           ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    size_t count = (size_t)(p.cells * p.channels);
    double *terms = job->eigen ? ngi_alloc(count, sizeof *terms) : NULL;
    if (job->eigen && !terms)
        return ngi_fail_memory(err, count * sizeof *terms);
    for (int64_t i = 0; i < p.cells; i++) {
        double sum = 0;
        for (int64_t k = i * p.channels; k < (i + 1) * p.channels; k++) {
            double value = term(p.grad[k], p.act[k]);
            sum += value;
            if (terms)
                terms[k] = value;
        }
        map->signed_data[i] = (float)sum;
    }
    ng_status status = terms ? ngi_attr_principal(terms, p.cells, p.channels, map, err) : NG_OK;
    ngi_free(terms);
    return status;
}

static ng_status hirescam(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return sum_cells(job, product, map, err);
}

static ng_status elementwise(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return sum_cells(job, positive_product, map, err);
}

static ng_status layercam(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return sum_cells(job, positive_gradient, map, err);
}

const ngi_method ngi_method_hirescam = {
    .info =
        {
            .name = "hirescam",
            .title = "HiResCAM",
            .summary = "gradient times activation, summed over channels cell by cell",
            .cost = "1 forward + backward to the layer",
            .source = "Draelos & Carin 2020, arXiv:2011.08891",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = hirescam,
};

const ngi_method ngi_method_gradcamelementwise = {
    .info =
        {
            .name = "gradcamelementwise",
            .title = "Grad-CAM element-wise",
            .summary = "positive products of gradient and activation, summed",
            .cost = "1 forward + backward to the layer",
            .source = "pytorch-grad-cam, GradCAMElementWise",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = elementwise,
};

const ngi_method ngi_method_layercam = {
    .info =
        {
            .name = "layercam",
            .title = "LayerCAM",
            .summary = "activations weighted by positive gradients cell by cell: sharp at early layers",
            .cost = "1 forward + backward to the layer",
            .source = "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = layercam,
};
