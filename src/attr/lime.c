/* LIME (Ribeiro et al., 2016): ridge regression of the score on which superpixels are seen, samples weighted by
 * exp(-d^2 / width^2), d the cosine distance to the whole image; as the authors' package and captum do for images. */
#include "attr/least_squares.h"
#include "attr/superpixel.h"
#include "base/random.h"

#include <math.h>

static const ng_method_parameter parameters[] = {
    {.name = "samples",
     .value = 1000,
     .low = 2,
     .high = 1000000,
     .whole = 1,
     .summary = "images with superpixels off"},
    NGI_SEGMENT_PARAMETERS,
    {.name = "width",
     .value = 0.25,
     .low = 0.001,
     .high = 100,
     .summary = "of the kernel, in cosine distances"},
    {.name = "ridge", .value = 1, .low = 0, .high = 1e6, .summary = "penalty of the squared coefficients"},
    NGI_COVER_PARAMETERS,
};

extern const ngi_method ngi_method_lime;

/* Sample 0 is the whole image; the others have each superpixel on with probability 1/2. */
static ng_status draw(const ngi_attr_job *job, ngi_study *s, uint64_t seed, ng_error *err)
{
    (void)job;
    (void)err;
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < s->n; k++)
            s->samples[(int64_t)i * s->n + k] =
                i == 0 || ngi_random_uniform(seed, (uint64_t)i, (uint64_t)k) < 0.5;
    return NG_OK;
}

/* A sample's nearness to the whole image: exp(-d^2 / width^2), d the cosine distance. */
static double weight_of(const uint8_t *on, int n, double width)
{
    int lit = 0;
    for (int k = 0; k < n; k++)
        lit += on[k];
    double d = lit ? 1 - sqrt((double)lit / n) : 1;
    return exp(-d * d / (width * width));
}

/* Weighted ridge regression with an intercept that is not penalised (scikit-learn's Ridge): coefficients [n]. */
static ng_status fit(const ngi_attr_job *job, ngi_study *s, int count, double *coefficients, ng_error *err)
{
    size_t n = (size_t)s->n;
    double *a = ngi_alloc_zero(2 * n * n + 2 * n, sizeof *a), total = 0, mean = 0;
    if (!a)
        return ngi_fail_memory(err, 2 * n * n * sizeof *a);
    double *meat = a + n * n, *means = meat + n * n, *room = means + n;
    double width = ngi_parameter(&ngi_method_lime, job, "width"),
           ridge = ngi_parameter(&ngi_method_lime, job, "ridge");
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++) {
            const uint8_t *on = s->samples + (int64_t)i * s->n;
            double weight = weight_of(on, s->n, width);
            if (pass == 0) {
                total += weight;
                mean += weight * s->scores[i];
                for (int k = 0; k < s->n; k++)
                    means[k] += weight * on[k];
                continue;
            }
            for (int k = 0; k < s->n; k++) {
                double x = on[k] - means[k] / total;
                coefficients[k] += weight * x * (s->scores[i] - mean / total);
                for (int l = 0; l <= k; l++)
                    a[(size_t)k * n + (size_t)l] += weight * x * (on[l] - means[l] / total);
            }
        }
    for (size_t k = 0; k < n; k++) {
        a[k * n + k] += ridge;
        for (size_t l = k + 1; l < n; l++)
            a[k * n + l] = a[l * n + k];
    }
    (void)ngi_fit_solve(a, coefficients, s->n, NGI_FIT_LEAST);
    for (int i = 0; i < count; i++) {
        const uint8_t *on = s->samples + (int64_t)i * s->n;
        double weight = weight_of(on, s->n, width), rest = s->scores[i] - mean / total;
        for (int k = 0; k < s->n; k++)
            rest -= coefficients[k] * (on[k] - means[k] / total);
        for (size_t k = 0; k < n * n; k++)
            meat[k] += weight * rest * (on[k / n] - means[k / n] / total) * weight * rest *
                       (on[k % n] - means[k % n] / total);
    }
    s->error = ngi_fit_error(a, meat, s->n, room);
    ngi_free(a);
    return NG_OK;
}

static const ngi_fitting fitting = {&ngi_method_lime, draw, fit};

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return ngi_superpixel_map(job, &fitting, map, err);
}

const ngi_method ngi_method_lime = {
    .info =
        {
            .name = "lime",
            .title = "LIME",
            .summary = "linear model of the score over superpixels, near the image",
            .cost = "samples forwards",
            .source = "Ribeiro et al. 2016, arXiv:1602.04938",
            .assumes = "superpixels that follow the objects; a score that is nearly linear in them",
            .at_input = 1,
            .samples = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
