/* Saliency (Simonyan et al., 2014): |dS/dx| of every pixel, the largest over the channels; or their sum. */
#include "attr/attr.h"

#include <math.h>

static const ng_method_parameter parameters[] = {
    {.name = "reduce",
     .choices = "max|sum|l2",
     .summary = "how a pixel's channels become one number, of |dS/dx|"},
};

extern const ngi_method ngi_method_saliency;

static double reduce(const float *g, int64_t channels, int how)
{
    double value = 0;
    for (int64_t k = 0; k < channels; k++) {
        double a = fabs((double)g[k]);
        value = how == 0 ? fmax(value, a) : value + (how == 1 ? a : a * a);
    }
    return how == 2 ? sqrt(value) : value;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    int how = (int)ngi_parameter(&ngi_method_saliency, job, "reduce");
    for (int64_t i = 0; i < p.cells; i++)
        map->signed_data[i] = (float)reduce(p.grad + i * p.channels, p.channels, how);
    return NG_OK;
}

const ngi_method ngi_method_saliency = {
    .info =
        {
            .name = "saliency",
            .title = "Saliency",
            .summary = "absolute gradient of the class score at every input pixel",
            .cost = "1 forward + backward to the input",
            .source = "Simonyan et al. 2014, arXiv:1312.6034",
            .assumes = "the score is nearly linear around the image",
            .takes_gradient = 1,
            .at_input = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
