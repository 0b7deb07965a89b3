/* Methods that switch superpixels (SLIC) on and off and fit the score:
 *   LIME (Ribeiro et al., 2016)        ridge regression, samples weighted by exp(-d^2 / width^2), d the cosine distance to
 *                                      the whole image; as the authors' package and captum do for images
 *   Kernel SHAP (Lundberg & Lee, 2017) least squares with the Shapley kernel's distribution of coalition sizes, coalitions
 *                                      in complementary pairs, held to sum = S(x) - S(x0); all coalitions where they are few
 * The value of a pixel is its superpixel's coefficient. */
#include "attr/attr.h"
#include "attr/baseline.h"
#include "attr/slic.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SEGMENTS                                                                                            \
    {.name = "segments", .value = 50, .low = 2, .high = 1000, .whole = 1, .summary = "superpixels, about"}, \
    {                                                                                                       \
        .name = "compactness", .value = 10, .low = 0.01, .high = 1000,                                      \
        .summary = "of the superpixels: position against colour"                                            \
    }
#define REPLACED                                                                                            \
    {.name = "baseline",                                                                                    \
     .value = NGI_BASELINE_GREY,                                                                            \
     .choices = NGI_BASELINE_CHOICES,                                                                       \
     .summary = "what is seen where a superpixel is off"},                                                  \
        {.name = "blur",                                                                                    \
         .value = 10,                                                                                       \
         .low = 0.1,                                                                                        \
         .high = 200,                                                                                       \
         .summary = "of baseline blur: deviation in pixels"},                                               \
    {                                                                                                       \
        .name = "seed", .value = 0, .low = 0, .high = 4294967295.0, .whole = 1, .summary = "of the samples" \
    }

static const ng_method_parameter lime_parameters[] = {
    {.name = "samples",
     .value = 1000,
     .low = 2,
     .high = 1000000,
     .whole = 1,
     .summary = "images with superpixels off"},
    SEGMENTS,
    {.name = "width",
     .value = 0.25,
     .low = 0.001,
     .high = 100,
     .summary = "of the kernel, in cosine distances"},
    {.name = "ridge", .value = 1, .low = 0, .high = 1e6, .summary = "penalty of the squared coefficients"},
    REPLACED,
};
static const ng_method_parameter shap_parameters[] = {
    {.name = "samples", .value = 2000, .low = 2, .high = 1000000, .whole = 1, .summary = "coalitions"},
    SEGMENTS,
    REPLACED,
};

extern const ngi_method ngi_method_lime, ngi_method_kernelshap;

typedef struct study {
    const float *input, *cover; /* [pixels,depth] */
    const int *labels;          /* [pixels] */
    int64_t pixels, depth;
    int n;            /* superpixels */
    uint8_t *samples; /* [count,n] 0 or 1 */
    double *scores;   /* [count] */
    int count;
    bool enumerated; /* Kernel SHAP: the samples are all coalitions, in the order of their bits */
    double error;    /* mean standard error of a coefficient */
} study;

static void make(void *context, int i, float *const *x)
{
    const study *s = context;
    const uint8_t *on = s->samples + (int64_t)i * s->n;
    for (int64_t p = 0; p < s->pixels; p++)
        memcpy(x[0] + p * s->depth, (on[s->labels[p]] ? s->input : s->cover) + p * s->depth,
               (size_t)s->depth * sizeof(float));
}

static void take(void *context, int i, double score, const float *gradient)
{
    (void)gradient;
    ((study *)context)->scores[i] = score;
}

/* Solves a x = b, a [n,n] symmetric and positive definite, by Cholesky's decomposition in place; b becomes x. A pivot that
 * vanishes (a superpixel no sample tells apart) gives a zero. */
static void solve(double *a, double *b, int n)
{
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++) {
            double sum = a[i * n + j];
            for (int k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            double pivot = a[j * n + j];
            a[i * n + j] = i == j ? (sum > 1e-12 ? sqrt(sum) : INFINITY) : sum / pivot;
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i * n + k] * b[k];
        b[i] /= a[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            b[i] -= a[k * n + i] * b[k];
        b[i] /= a[i * n + i];
    }
}

/* Mean standard error of the coefficients of a weighted regression: `a` as solve() has left it, meat [n,n] the sum of
 * squared weights, squared residuals and the products of the inputs (White's estimate, which asks nothing of the noise).
 * room [n]. */
static double mean_error(const double *a, const double *meat, int n, double *room)
{
    double sum = 0;
    for (int column = 0; column < n; column++) {
        double square = 0;
        for (int i = 0; i < n; i++) { /* room = a^-1 e_column */
            room[i] = i == column;
            for (int k = column; k < i; k++)
                room[i] -= a[i * n + k] * room[k];
            room[i] = i < column ? 0 : room[i] / a[i * n + i];
        }
        for (int i = n - 1; i >= 0; i--) {
            for (int k = i + 1; k < n; k++)
                room[i] -= a[k * n + i] * room[k];
            room[i] /= a[i * n + i];
        }
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++)
                square += room[i] * meat[i * n + k] * room[k];
        sum += sqrt(fmax(square, 0)) / n;
    }
    return sum;
}

/* ---- LIME ------------------------------------------------------------------------------------ */

/* Sample 0 is the whole image; the others have each superpixel on with probability 1/2. */
static void draw_lime(study *s, uint64_t seed)
{
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < s->n; k++)
            s->samples[(int64_t)i * s->n + k] =
                i == 0 || ngi_random_uniform(seed, (uint64_t)i, (uint64_t)k) < 0.5;
}

/* A sample's nearness to the whole image: exp(-d^2 / width^2), d the cosine distance. */
static double lime_weight(const uint8_t *on, int n, double width)
{
    int lit = 0;
    for (int k = 0; k < n; k++)
        lit += on[k];
    double d = lit ? 1 - sqrt((double)lit / n) : 1;
    return exp(-d * d / (width * width));
}

/* Weighted ridge regression with an intercept that is not penalised (scikit-learn's Ridge): coefficients [n]. */
static ng_status fit_lime(study *s, int count, double width, double ridge, double *coefficients,
                          ng_error *err)
{
    size_t n = (size_t)s->n;
    double *a = ngi_alloc_zero(2 * n * n + 2 * n, sizeof *a), total = 0, mean = 0;
    if (!a)
        return ngi_fail_memory(err, 2 * n * n * sizeof *a);
    double *meat = a + n * n, *means = meat + n * n, *room = means + n;
    memset(coefficients, 0, n * sizeof *coefficients);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++) {
            const uint8_t *on = s->samples + (int64_t)i * s->n;
            double weight = lime_weight(on, s->n, width);
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
    solve(a, coefficients, s->n);
    for (int i = 0; i < count; i++) {
        const uint8_t *on = s->samples + (int64_t)i * s->n;
        double weight = lime_weight(on, s->n, width), rest = s->scores[i] - mean / total;
        for (int k = 0; k < s->n; k++)
            rest -= coefficients[k] * (on[k] - means[k] / total);
        for (size_t k = 0; k < n * n; k++)
            meat[k] += weight * rest * (on[k / n] - means[k / n] / total) * weight * rest *
                       (on[k % n] - means[k % n] / total);
    }
    s->error = mean_error(a, meat, s->n, room);
    ngi_free(a);
    return NG_OK;
}

/* ---- Kernel SHAP ------------------------------------------------------------------------------ */

/* Of so few superpixels all coalitions are run where the samples suffice. */
static bool enumerable(int n, int count)
{
    return n <= 20 && (1 << n) <= count;
}

static double binomial(int n, int k)
{
    double value = 1;
    for (int i = 1; i <= k; i++)
        value = value * (n - k + i) / i;
    return value;
}

/* A coalition whose size has the kernel's distribution, by partial shuffling. */
static void draw_coalition(uint8_t *on, int n, uint64_t seed, uint64_t stream, int *order)
{
    double total = 0, sum = 0, u = ngi_random_uniform(seed, stream, 0);
    int size = 1;
    for (int k = 1; k < n; k++)
        total += 1.0 / ((double)k * (n - k));
    for (; size < n - 1; size++) {
        sum += 1.0 / ((double)size * (n - size)) / total;
        if (u < sum)
            break;
    }
    for (int k = 0; k < n; k++) {
        order[k] = k;
        on[k] = 0;
    }
    for (int k = 0; k < size; k++) {
        int other = k + (int)(ngi_random_uniform(seed, stream, (uint64_t)k + 1) * (n - k)), swap = order[k];
        order[k] = order[other];
        order[other] = swap;
        on[order[k]] = 1;
    }
}

/* Samples 0 and 1: nothing and everything. */
static ng_status draw_shap(study *s, uint64_t seed, ng_error *err)
{
    int *order = ngi_alloc((size_t)s->n, sizeof *order);
    if (!order)
        return ngi_fail_memory(err, (size_t)s->n * sizeof *order);
    for (int k = 0; k < s->n; k++) {
        s->samples[k] = 0;
        s->samples[s->n + k] = 1;
    }
    s->enumerated = enumerable(s->n, s->count);
    if (s->enumerated)
        s->count = 1 << s->n;
    for (int i = 2; i < s->count; i++) {
        uint8_t *on = s->samples + (int64_t)i * s->n;
        if (s->enumerated)
            for (int k = 0; k < s->n; k++)
                on[k] = (i - 1) >> k & 1; /* 1 .. 2^n - 2 */
        else if (i % 2 == 0)
            draw_coalition(on, s->n, seed, (uint64_t)i, order);
        else
            for (int k = 0; k < s->n; k++)
                on[k] = !on[k - s->n];
    }
    ngi_free(order);
    return NG_OK;
}

/* Coalitions that were drawn have their kernel in their number. */
static double shap_weight(const study *s, const uint8_t *on)
{
    int size = 0;
    for (int k = 0; k < s->n; k++)
        size += on[k];
    return s->enumerated ? (s->n - 1) / (binomial(s->n, size) * size * (s->n - size)) : 1;
}

static double shap_error(const study *s, int count, const double *phi, const double *a, double *meat,
                         double *room)
{
    int m = s->n - 1;
    double rise = s->scores[1] - s->scores[0];
    for (int i = 2; i < count; i++) {
        const uint8_t *on = s->samples + (int64_t)i * s->n;
        double weight = shap_weight(s, on), rest = s->scores[i] - s->scores[0] - on[m] * rise;
        for (int k = 0; k < m; k++)
            rest -= phi[k] * (on[k] - on[m]);
        for (int k = 0; k < m; k++)
            for (int l = 0; l < m && on[k] != on[m]; l++)
                meat[k * m + l] += weight * rest * (on[k] - on[m]) * weight * rest * (on[l] - on[m]);
    }
    return mean_error(a, meat, m, room);
}

/* min sum w (y - sum phi)^2 with sum phi = S(x) - S(x0): the last coefficient is eliminated. */
static ng_status fit_shap(study *s, int count, double *phi, ng_error *err)
{
    int m = s->n - 1;
    size_t square = (size_t)m * (size_t)m;
    double *a = ngi_alloc_zero(2 * square + (size_t)m, sizeof *a), rise = s->scores[1] - s->scores[0],
           rest = rise;
    if (!a)
        return ngi_fail_memory(err, 2 * square * sizeof *a);
    memset(phi, 0, (size_t)s->n * sizeof *phi);
    for (int i = 2; i < count; i++) {
        const uint8_t *on = s->samples + (int64_t)i * s->n;
        double weight = shap_weight(s, on), y = s->scores[i] - s->scores[0] - on[m] * rise;
        for (int k = 0; k < m; k++) {
            double x = on[k] - on[m];
            phi[k] += weight * x * y;
            for (int l = 0; l <= k && x != 0; l++)
                a[k * m + l] += weight * x * (on[l] - on[m]);
        }
    }
    for (int k = 0; k < m; k++)
        for (int l = k + 1; l < m; l++)
            a[k * m + l] = a[l * m + k];
    solve(a, phi, m);
    for (int k = 0; k < m; k++)
        rest -= phi[k];
    phi[m] = rest;
    if (!(s->enumerated && count == s->count)) /* else it is exact */
        s->error = shap_error(s, count, phi, a, a + square, a + 2 * square);
    ngi_free(a);
    return NG_OK;
}

/* ---- Both ------------------------------------------------------------------------------------- */

typedef struct room {
    float *cover;
    int *labels;
    double *coefficients;
} room;

static ng_status sample_and_fit(const ngi_attr_job *job, const ngi_method *method, bool shap, study *s,
                                room *r, ng_map *map, ng_error *err)
{
    uint64_t seed = (uint64_t)ngi_parameter(method, job, "seed");
    int done;
    if (shap)
        NGI_TRY(draw_shap(s, seed, err));
    else
        draw_lime(s, seed);
    ngi_sampling sampling = {
        .count = s->count, .gradient_node = -1, .make = make, .take = take, .context = s};
    NGI_TRY(ngi_part_whole(job, &sampling.part, err));
    NGI_TRY(ngi_attr_sample(job, &sampling, &done, err));
    NGI_TRY(shap ? fit_shap(s, done, r->coefficients, err)
                 : fit_lime(s, done, ngi_parameter(method, job, "width"), ngi_parameter(method, job, "ridge"),
                            r->coefficients, err));
    for (int64_t p = 0; p < s->pixels; p++)
        map->signed_data[p] = (float)r->coefficients[r->labels[p]];
    float low, high;
    char samples[NGI_DONE_TEXT];
    ngi_min_max(map->signed_data, s->pixels, &low, &high);
    if (shap && s->enumerated && done == s->count)
        snprintf(map->note, sizeof map->note, "all %d coalitions of %d superpixels: exact", done, s->n);
    else
        snprintf(map->note, sizeof map->note,
                 "%s; %d superpixels; standard error of a value %.3g, %.2g of the map's range",
                 ngi_attr_done(samples, done, s->count, "samples"), s->n, s->error,
                 high > low ? s->error / ((double)high - low) : 0);
    return NG_OK;
}

static ng_status run(const ngi_attr_job *job, const ngi_method *method, bool shap, study *s, room *r,
                     ng_map *map, ng_error *err)
{
    double range = 0;
    for (int64_t c = 0; c < s->depth; c++)
        range = fmax(range, fabs((double)job->white[c] - job->black[c]));
    NGI_TRY(ngi_baseline_make(job, (ngi_baseline)ngi_parameter(method, job, "baseline"),
                              ngi_parameter(method, job, "blur"), r->cover, err));
    NGI_TRY(ngi_slic(s->input, map->height, map->width, (int)s->depth, range,
                     (int)ngi_parameter(method, job, "segments"), ngi_parameter(method, job, "compactness"),
                     r->labels, &s->n, err));
    s->count = (int)ngi_parameter(method, job, "samples");
    s->cover = r->cover;
    s->labels = r->labels;
    size_t bits = (size_t)s->count * (size_t)s->n;
    if (s->n < 2)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: the image is one superpixel; ask for more segments",
                        method->info.name);
    s->samples = ngi_alloc(bits, 1);
    s->scores = ngi_alloc((size_t)s->count, sizeof *s->scores);
    r->coefficients = ngi_alloc_zero((size_t)s->n, sizeof *r->coefficients);
    ng_status status = s->samples && s->scores && r->coefficients
                           ? sample_and_fit(job, method, shap, s, r, map, err)
                           : ngi_fail_memory(err, bits);
    ngi_free(s->samples);
    ngi_free(s->scores);
    ngi_free(r->coefficients);
    return status;
}

static ng_status compute(const ngi_attr_job *job, const ngi_method *method, bool shap, ng_map *map,
                         ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    study s = {.input = job->input, .pixels = (int64_t)map->height * map->width, .depth = shape.dim[2]};
    room r = {.cover = ngi_alloc((size_t)(s.pixels * s.depth), sizeof *r.cover),
              .labels = ngi_alloc((size_t)s.pixels, sizeof *r.labels)};
    ng_status status = r.cover && r.labels
                           ? run(job, method, shap, &s, &r, map, err)
                           : ngi_fail_memory(err, (size_t)(s.pixels * s.depth) * sizeof *r.cover);
    ngi_free(r.cover);
    ngi_free(r.labels);
    return status;
}

static ng_status lime(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return compute(job, &ngi_method_lime, false, map, err);
}

static ng_status kernelshap(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return compute(job, &ngi_method_kernelshap, true, map, err);
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
            .parameter_count = sizeof lime_parameters / sizeof *lime_parameters,
            .parameters = lime_parameters,
        },
    .check = ngi_attr_check_input,
    .compute = lime,
};

const ngi_method ngi_method_kernelshap = {
    .info =
        {
            .name = "kernelshap",
            .title = "Kernel SHAP",
            .summary = "Shapley values of superpixels: the score's rise, shared out fairly",
            .cost = "samples forwards",
            .source = "Lundberg & Lee 2017, arXiv:1705.07874",
            .assumes = "superpixels that follow the objects; a baseline that shows nothing",
            .at_input = 1,
            .samples = 1,
            .parameter_count = sizeof shap_parameters / sizeof *shap_parameters,
            .parameters = shap_parameters,
        },
    .check = ngi_attr_check_input,
    .compute = kernelshap,
};
