/* Random-CAM: channels weighted by uniform random numbers from -1 to 1. The control: what a method must be better than. */
#include "attr/attr.h"
#include "base/random.h"

static const ng_method_parameter parameters[] = {
    {.name = "seed",
     .value = 0,
     .low = 0,
     .high = 4294967295.0,
     .whole = 1,
     .summary = "of the random weights"},
};

extern const ngi_method ngi_method_randomcam;

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p = {0};
    p.act = ngi_attr_activations(job, &p.cells, &p.channels);
    uint64_t seed = (uint64_t)ngi_parameter(&ngi_method_randomcam, job, "seed");
    double *weights = ngi_alloc((size_t)p.channels, sizeof *weights);
    if (!weights)
        return ngi_fail_memory(err, (size_t)p.channels * sizeof *weights);
    for (int64_t k = 0; k < p.channels; k++)
        weights[k] = 2 * ngi_random_uniform(seed, 0, (uint64_t)k) - 1;
    ng_status status = ngi_attr_weigh(job, &p, weights, map, err);
    ngi_free(weights);
    return status;
}

const ngi_method ngi_method_randomcam = {
    .info =
        {
            .name = "randomcam",
            .title = "Random-CAM",
            .summary = "channels weighted at random: the control that a method must beat",
            .cost = "1 forward",
            .source = "pytorch-grad-cam, RandomCAM",
            .assumes = "",
            .at_layer = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
