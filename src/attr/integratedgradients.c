/* Integrated gradients (Sundararajan et al., 2017): (x - x0) times the mean gradient on the straight way from a baseline
 * x0 to the image x. The integral is taken by Gauss and Legendre's rule (as captum does by default) or the trapezoid
 * rule. Completeness, sum = S(x) - S(x0), is measured and put in the map's note. */
#include "attr/attr.h"
#include "attr/baseline.h"
#include "attr/reduce.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEGENDRE, TRAPEZOID };

static const ng_method_parameter parameters[] = {
    {.name = "baseline", .choices = NGI_BASELINE_CHOICES, .summary = "where the way begins"},
    {.name = "blur",
     .value = 10,
     .low = 0.1,
     .high = 200,
     .summary = "of baseline blur: standard deviation in pixels"},
    {.name = "steps", .value = 50, .low = 1, .high = 10000, .whole = 1, .summary = "gradients on the way"},
    {.name = "rule", .choices = "gausslegendre|trapezoid", .summary = "of integration"},
    {.name = "reduce", .choices = NGI_REDUCE_CHOICES, .summary = "how a pixel's channels become one number"},
};

extern const ngi_method ngi_method_integratedgradients;

typedef struct way {
    const float *from, *to; /* [count] */
    int64_t count;
    int steps;
    double *places, *weights; /* [steps], in 0..1 */
    double *sums;             /* [count] */
    double first, last;       /* scores at both ends */
} way;

/* Places and weights of the n-point Gauss-Legendre rule on 0..1: Newton's method on the Legendre polynomial. */
static void legendre(int n, double *places, double *weights)
{
    for (int i = 0; i < n; i++) {
        double x = cos(3.14159265358979323846 * (i + 0.75) / (n + 0.5)), slope = 1;
        for (int pass = 0; pass < 100; pass++) {
            double before = 1, value = x;
            for (int k = 2; k <= n; k++) {
                double next = ((2 * k - 1) * x * value - (k - 1) * before) / k;
                before = value;
                value = next;
            }
            slope = n * (x * value - before) / (x * x - 1);
            double step = value / slope;
            x -= step;
            if (fabs(step) < 1e-15)
                break;
        }
        places[n - 1 - i] = (1 + x) / 2;
        weights[n - 1 - i] = 1 / ((1 - x * x) * slope * slope);
    }
}

static void trapezoid(int n, double *places, double *weights)
{
    for (int i = 0; i < n; i++) {
        places[i] = n > 1 ? (double)i / (n - 1) : 0.5;
        weights[i] = n > 1 ? (i == 0 || i == n - 1 ? 0.5 : 1.0) / (n - 1) : 1;
    }
}

/* Samples 0 and 1 are the ends, for completeness. */
static void make(void *context, int i, float *const *x)
{
    const way *w = context;
    double place = i < 2 ? i : w->places[i - 2];
    for (int64_t k = 0; k < w->count; k++)
        x[0][k] = (float)(w->from[k] + place * ((double)w->to[k] - w->from[k]));
}

static void take(void *context, int i, double score, const float *gradient)
{
    way *w = context;
    if (i < 2)
        *(i ? &w->last : &w->first) = score;
    else
        for (int64_t k = 0; k < w->count; k++)
            w->sums[k] += w->weights[i - 2] * gradient[k];
}

static ng_status integrate(const ngi_attr_job *job, way *w, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_integratedgradients;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    (ngi_parameter(m, job, "rule") == LEGENDRE ? legendre : trapezoid)(w->steps, w->places, w->weights);
    ngi_sampling s = {.count = w->steps + 2,
                      .gradient_node = job->graph->inputs[0],
                      .make = make,
                      .take = take,
                      .context = w};
    int done;
    NGI_TRY(ngi_part_whole(job, &s.part, err));
    NGI_TRY(ngi_attr_sample(job, &s, &done, err));
    if (done < s.count)
        return ngi_fail(err, NG_E_LIMIT,
                        "the time sufficed for %d of %d gradients: integrated gradients needs all of them. "
                        "Lower steps, or "
                        "give more time",
                        done < 2 ? 0 : done - 2, w->steps);
    double sum = 0, norm = 0;
    for (int64_t k = 0; k < w->count; k++) {
        norm += w->sums[k] * w->sums[k];
        w->sums[k] *= (double)w->to[k] - w->from[k];
        sum += w->sums[k];
    }
    map->gradient_norm = sqrt(norm);
    NGI_TRY(ngi_reduce_channels(job, (ngi_reduce)ngi_parameter(m, job, "reduce"), w->sums,
                                w->count / shape.dim[2], shape.dim[2], map, err));
    snprintf(map->note, sizeof map->note,
             "completeness: the attributions sum to %.6g, the score rises by %.6g (%.6g to %.6g)", sum,
             w->last - w->first, w->first, w->last);
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_integratedgradients;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    way w = {
        .to = job->input, .count = ngi_shape_count(&shape), .steps = (int)ngi_parameter(m, job, "steps")};
    float *from = ngi_alloc((size_t)w.count, sizeof *from);
    w.from = from;
    w.sums = ngi_alloc_zero((size_t)w.count + 2 * (size_t)w.steps, sizeof *w.sums);
    ng_status status = from && w.sums ? NG_OK : ngi_fail_memory(err, (size_t)w.count * sizeof *w.sums);
    if (status == NG_OK) {
        w.places = w.sums + w.count;
        w.weights = w.places + w.steps;
        status = ngi_baseline_make(job, (ngi_baseline)ngi_parameter(m, job, "baseline"),
                                   ngi_parameter(m, job, "blur"), from, err);
    }
    if (status == NG_OK)
        status = integrate(job, &w, map, err);
    ngi_free(from);
    ngi_free(w.sums);
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
