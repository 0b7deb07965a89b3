/* Integrated gradients (Sundararajan et al., 2017): (x - x0) times the mean gradient on the straight way from a baseline
 * x0 to the image x. The integral is taken by Gauss and Legendre's rule (as captum does by default) or the trapezoid
 * rule. Completeness, sum = S(x) - S(x0), is measured and put in the map's note. */
#include "attr/attr.h"
#include "attr/baseline.h"
#include "attr/integral.h"
#include "attr/reduce.h"

#include <stdio.h>

static const ng_method_parameter parameters[] = {
    {.name = "baseline", .choices = NGI_BASELINE_CHOICES, .summary = "where the way begins"},
    {.name = "blur",
     .value = 10,
     .low = 0.1,
     .high = 200,
     .summary = "of baseline blur: standard deviation in pixels"},
    {.name = "steps", .value = 50, .low = 1, .high = 10000, .whole = 1, .summary = "gradients on the way"},
    {.name = "rule",
     .choices = NGI_RULE_CHOICES,
     .summary = "of integration; riemann: the mean over both ends and what lies evenly between, as the "
                "saliency package has it"},
    {.name = "reduce", .choices = NGI_REDUCE_CHOICES, .summary = "how a pixel's channels become one number"},
};

extern const ngi_method ngi_method_integratedgradients;

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_integratedgradients;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    int64_t count = ngi_shape_count(&shape);
    int steps = (int)ngi_parameter(m, job, "steps");
    float *from = ngi_alloc((size_t)count, sizeof *from);
    double *values = ngi_alloc((size_t)count, sizeof *values);
    ngi_integral found;
    ng_status status = from && values ? NG_OK : ngi_fail_memory(err, (size_t)count * sizeof *values);
    if (status == NG_OK)
        status = ngi_baseline_make(job, (ngi_baseline)ngi_parameter(m, job, "baseline"),
                                   ngi_parameter(m, job, "blur"), from, err);
    if (status == NG_OK)
        status =
            ngi_integrate(job, from, steps, (ngi_rule)ngi_parameter(m, job, "rule"), values, &found, err);
    if (status == NG_OK)
        status = ngi_reduce_channels(job, (ngi_reduce)ngi_parameter(m, job, "reduce"), values,
                                     count / shape.dim[2], shape.dim[2], map, err);
    if (status == NG_OK) {
        char gradients[NGI_DONE_TEXT];
        map->gradient_norm = found.norm;
        snprintf(map->note, sizeof map->note,
                 "%s; completeness: the attributions sum to %.6g, the score rises by %.6g (%.6g to %.6g)",
                 ngi_attr_done(gradients, found.gradients, steps, "gradients"), found.sum,
                 found.last - found.first, found.first, found.last);
    }
    ngi_free(from);
    ngi_free(values);
    return status;
}

const ngi_method ngi_method_integratedgradients = {
    .info =
        {
            .name = "integratedgradients",
            .title = "Integrated gradients",
            .summary =
                "gradients summed on the way from a baseline to the image; adds up to the score's rise",
            .cost = "steps + 2 forwards + backwards to the input",
            .source = "Sundararajan et al. 2017, arXiv:1703.01365",
            .assumes = "the baseline shows nothing: what is as dark as a black baseline gets no evidence",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
