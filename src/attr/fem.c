/* FEM (Fuad et al., 2020): a channel's weight is the share of its cells more than k standard deviations above its mean;
 * population standard deviation, k 2. No class is looked at. */
#include "attr/attr.h"

#include <math.h>

static const ng_method_parameter parameters[] = {
    {.name = "k",
     .value = 2,
     .low = 0,
     .high = 10,
     .summary = "standard deviations above the mean from which a cell counts"},
};

extern const ngi_method ngi_method_fem;

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p = {0};
    p.act = ngi_attr_activations(job, &p.cells, &p.channels);
    double k = ngi_parameter(&ngi_method_fem, job, "k");
    double *weights = ngi_alloc((size_t)p.channels, sizeof *weights);
    if (!weights)
        return ngi_fail_memory(err, (size_t)p.channels * sizeof *weights);
    for (int64_t c = 0; c < p.channels; c++) {
        double mean = 0, square = 0, above = 0, n = (double)p.cells;
        for (int64_t i = 0; i < p.cells; i++)
            mean += p.act[i * p.channels + c] / n;
        for (int64_t i = 0; i < p.cells; i++)
            square += (p.act[i * p.channels + c] - mean) * (p.act[i * p.channels + c] - mean) / n;
        for (int64_t i = 0; i < p.cells; i++)
            above += p.act[i * p.channels + c] > mean + k * sqrt(square);
        weights[c] = above / n;
    }
    ng_status status = ngi_attr_weigh(job, &p, weights, map, err);
    ngi_free(weights);
    return status;
}

const ngi_method ngi_method_fem = {
    .info =
        {
            .name = "fem",
            .title = "FEM",
            .summary = "channels weighted by how many of their cells stand out",
            .cost = "1 forward",
            .source = "Fuad et al. 2020, doi:10.1109/IPTA50016.2020.9286629",
            .assumes = "the class is not looked at",
            .at_layer = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
