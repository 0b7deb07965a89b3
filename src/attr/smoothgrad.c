/* SmoothGrad (Smilkov et al., 2017): the mean of the gradients to n noisy copies of the input; variant squared: of their
 * squares (Hooker et al., 2019); VarGrad (Adebayo et al., 2018): their variance. The noise is normal, with a standard
 * deviation of sigma times the range of the input's values. */
#include "attr/attr.h"
#include "attr/reduce.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>

enum { MEAN, SQUARED };

#define COMMON                                                                                            \
    {.name = "samples", .value = 25, .low = 1, .high = 100000, .whole = 1, .summary = "noisy copies"},    \
        {.name = "sigma",                                                                                 \
         .value = 0.15,                                                                                   \
         .low = 0,                                                                                        \
         .high = 10,                                                                                      \
         .summary = "standard deviation of the noise, in ranges of the input's values"},                  \
    {                                                                                                     \
        .name = "seed", .value = 0, .low = 0, .high = 4294967295.0, .whole = 1, .summary = "of the noise" \
    }

static const ng_method_parameter smooth_parameters[] = {
    COMMON,
    {.name = "variant", .choices = "mean|squared", .summary = "of the gradients, or of their squares"},
    {.name = "reduce",
     .value = NGI_REDUCE_ABS_MAX,
     .choices = NGI_REDUCE_CHOICES,
     .summary = "how a pixel's channels become one number"},
};
static const ng_method_parameter var_parameters[] = {
    COMMON,
    {.name = "reduce",
     .value = NGI_REDUCE_ABS_MAX,
     .choices = NGI_REDUCE_CHOICES,
     .summary = "how a pixel's channels become one number"},
};

extern const ngi_method ngi_method_smoothgrad, ngi_method_vargrad;

typedef struct noisy {
    const float *input; /* [count] */
    int64_t count;
    double deviation;
    uint64_t seed;
    double *sums, *squares; /* [count] */
} noisy;

static void make(void *context, int i, float *const *x)
{
    const noisy *n = context;
    for (int64_t k = 0; k < n->count; k++)
        x[0][k] = (float)(n->input[k] + n->deviation * ngi_random_normal(n->seed, (uint64_t)i, (uint64_t)k));
}

static void take(void *context, int i, double score, const float *gradient)
{
    noisy *n = context;
    (void)i;
    (void)score;
    for (int64_t k = 0; k < n->count; k++) {
        n->sums[k] += gradient[k];
        n->squares[k] += (double)gradient[k] * gradient[k];
    }
}

static ng_status sample(const ngi_attr_job *job, const ngi_method *method, noisy *n, int *done, ng_error *err)
{
    float low, high;
    ngi_min_max(job->input, n->count, &low, &high);
    n->input = job->input;
    n->deviation = ngi_parameter(method, job, "sigma") * ((double)high - low);
    n->seed = (uint64_t)ngi_parameter(method, job, "seed");
    ngi_sampling s = {.count = (int)ngi_parameter(method, job, "samples"),
                      .least = 2, /* one gradient has no spread */
                      .gradient_node = job->graph->inputs[0],
                      .make = make,
                      .take = take,
                      .context = n};
    NGI_TRY(ngi_part_whole(job, &s.part, err));
    return ngi_attr_sample(job, &s, done, err);
}

static ng_status compute(const ngi_attr_job *job, const ngi_method *method, bool variance, ng_map *map,
                         ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    noisy n = {.count = ngi_shape_count(&shape)};
    n.sums = ngi_alloc_zero(2 * (size_t)n.count, sizeof *n.sums);
    if (!n.sums)
        return ngi_fail_memory(err, 2 * (size_t)n.count * sizeof *n.sums);
    n.squares = n.sums + n.count;
    int done;
    ng_status status = sample(job, method, &n, &done, err);
    if (status == NG_OK) {
        bool squared = !variance && ngi_parameter(method, job, "variant") == SQUARED;
        double norm = 0, error = 0, size = 0;
        for (int64_t k = 0; k < n.count; k++) {
            double mean = n.sums[k] / done, square = n.squares[k] / done, v = fmax(square - mean * mean, 0);
            norm += square;
            n.sums[k] = variance ? v : squared ? square : mean;
            double spread = variance ? 2 * v * v : squared ? 2 * v * v + 4 * mean * mean * v : v;
            error += done > 1 ? sqrt(spread / (done - 1)) / (double)n.count : 0;
            size = fmax(size, fabs(n.sums[k]));
        }
        map->gradient_norm = sqrt(norm);
        char copies[NGI_DONE_TEXT];
        ngi_attr_done(copies, done, (int)ngi_parameter(method, job, "samples"), "noisy copies");
        if (done > 1)
            snprintf(
                map->note, sizeof map->note, "%s; standard error of %s %.3g, %.2g of the largest%s", copies,
                variance  ? "a channel's variance"
                : squared ? "a channel's mean square"
                          : "a channel's gradient",
                error, size > 0 ? error / size : 0, variance || squared ? ", were the gradients normal" : "");
        else
            snprintf(map->note, sizeof map->note, "%s; standard error not known", copies);
        status = ngi_reduce_channels(job, (ngi_reduce)ngi_parameter(method, job, "reduce"), n.sums,
                                     n.count / shape.dim[2], shape.dim[2], map, err);
    }
    ngi_free(n.sums);
    return status;
}

static ng_status smoothgrad(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return compute(job, &ngi_method_smoothgrad, false, map, err);
}

static ng_status vargrad(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return compute(job, &ngi_method_vargrad, true, map, err);
}

const ngi_method ngi_method_smoothgrad = {
    .info =
        {
            .name = "smoothgrad",
            .title = "SmoothGrad",
            .summary = "gradient to the input, averaged over noisy copies of the image",
            .cost = "samples forwards + backwards to the input",
            .source = "Smilkov et al. 2017, arXiv:1706.03825",
            .assumes = "noise that does not change the class",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = sizeof smooth_parameters / sizeof *smooth_parameters,
            .parameters = smooth_parameters,
        },
    .check = ngi_attr_check_input,
    .compute = smoothgrad,
};

const ngi_method ngi_method_vargrad = {
    .info =
        {
            .name = "vargrad",
            .title = "VarGrad",
            .summary = "variance of the gradient to the input over noisy copies of the image",
            .cost = "samples forwards + backwards to the input",
            .source = "Adebayo et al. 2018, arXiv:1810.03292",
            .assumes = "noise that does not change the class",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = sizeof var_parameters / sizeof *var_parameters,
            .parameters = var_parameters,
        },
    .check = ngi_attr_check_input,
    .compute = vargrad,
};
