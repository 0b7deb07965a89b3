/* XRAI (Kapishnikov et al., 2019), after the authors' xrai.py (PAIR's saliency package), algorithm "full": integrated
 * gradients from the image's own least and greatest value, averaged, the largest of a pixel's channels taken; then whole
 * regions, in the order of the mean attribution of the pixels that each adds. A pixel's value is that mean of the region
 * with which it came; a region that would add fewer than 50 pixels is left out, and what no region took gets its own mean. */
#include "attr/attr.h"
#include "attr/integral.h"
#include "attr/regions.h"

#include <math.h>
#include <stdio.h>

enum { FELZENSZWALB, SLIC }; /* of parameter regions */
enum { LEAST_PIXELS = 50 };  /* that a region must add */

static const ng_method_parameter parameters[] = {
    {.name = "steps",
     .value = 25,
     .low = 1,
     .high = 10000,
     .whole = 1,
     .summary = "gradients from each baseline; the authors take 100 with rule riemann"},
    {.name = "rule", .choices = NGI_RULE_CHOICES, .summary = "of integration"},
    {.name = "regions",
     .choices = "felzenszwalb|slic",
     .summary = "segments of the image at several scales: the authors', or superpixels"},
    {.name = "segments",
     .value = 20,
     .low = 2,
     .high = 1000,
     .whole = 1,
     .summary = "of slic, at the coarsest of five scales; each scale has twice as many"},
};

extern const ngi_method ngi_method_xrai;

typedef struct region {
    double sum;   /* attribution of its pixels that are not taken */
    int64_t left; /* how many those are */
    bool out;     /* taken, or too small by now */
} region;

/* values [pixels] = the largest channel of the mean of both integrals; *gradients: how many were taken. */
static ng_status attribute(const ngi_attr_job *job, double *values, double *norm, int *gradients,
                           ng_error *err)
{
    ngi_shape s = ngi_attr_input_shape(job->graph);
    int64_t count = ngi_shape_count(&s), depth = s.dim[2];
    float ends[2];
    ngi_min_max(job->input, count, &ends[0], &ends[1]);
    float *from = ngi_alloc((size_t)count, sizeof *from);
    double *parts = ngi_alloc(2 * (size_t)count, sizeof *parts);
    ng_status status = from && parts ? NG_OK : ngi_fail_memory(err, 2 * (size_t)count * sizeof *parts);
    ngi_attr_job half = *job;
    half.seconds = job->seconds / 2;
    for (int e = 0; e < 2 && status == NG_OK; e++) {
        ngi_integral found;
        for (int64_t i = 0; i < count; i++)
            from[i] = ends[e];
        status = ngi_integrate(&half, from, (int)ngi_parameter(&ngi_method_xrai, job, "steps"),
                               (ngi_rule)ngi_parameter(&ngi_method_xrai, job, "rule"), parts + e * count,
                               &found, err);
        if (status == NG_OK) {
            *norm += found.norm / 2;
            *gradients += found.gradients;
        }
    }
    for (int64_t i = 0; i < count && status == NG_OK; i++) {
        double mean = (parts[i] + parts[count + i]) / 2;
        values[i / depth] = i % depth == 0 ? mean : fmax(values[i / depth], mean);
    }
    ngi_free(from);
    ngi_free(parts);
    return status;
}

/* The region of the highest mean; -1: none is left. */
static int best_region(region *all, int n)
{
    int best = -1;
    double gain = -INFINITY;
    for (int k = 0; k < n; k++) {
        all[k].out = all[k].out || all[k].left < LEAST_PIXELS;
        double mean = all[k].out ? -INFINITY : all[k].sum / (double)all[k].left;
        if (mean > gain) {
            gain = mean;
            best = k;
        }
    }
    return best;
}

static bool covers(const ngi_regions *r, int64_t pixel, int wanted)
{
    for (int64_t i = r->first[pixel]; i < r->first[pixel + 1]; i++)
        if (r->list[i] == wanted)
            return true;
    return false;
}

/* Returns how many regions were taken. */
static int take_regions(const ngi_regions *r, const double *values, region *all, bool *taken, ng_map *map)
{
    int64_t pixels = (int64_t)r->h * r->w, rest = 0;
    int count = 0;
    double sum = 0;
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t i = r->first[p]; i < r->first[p + 1]; i++) {
            all[r->list[i]].sum += values[p];
            all[r->list[i]].left++;
        }
    for (int best; (best = best_region(all, r->n)) >= 0; count++) {
        double mean = all[best].sum / (double)all[best].left;
        for (int64_t p = 0; p < pixels; p++) {
            if (taken[p] || !covers(r, p, best))
                continue;
            taken[p] = true;
            map->signed_data[p] = (float)mean;
            for (int64_t i = r->first[p]; i < r->first[p + 1]; i++) {
                all[r->list[i]].sum -= values[p];
                all[r->list[i]].left--;
            }
        }
        all[best].out = true;
    }
    for (int64_t p = 0; p < pixels; p++) {
        sum += taken[p] ? 0 : values[p];
        rest += !taken[p];
    }
    for (int64_t p = 0; p < pixels; p++)
        if (!taken[p])
            map->signed_data[p] = (float)(sum / (double)rest);
    return count;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    size_t pixels = (size_t)map->height * (size_t)map->width;
    ngi_regions r = {0};
    region *all = NULL;
    int gradients = 0;
    char done[NGI_DONE_TEXT];
    double *values = ngi_alloc_zero(pixels, sizeof *values);
    bool *taken = ngi_alloc_zero(pixels, sizeof *taken);
    ng_status status = values && taken ? NG_OK : ngi_fail_memory(err, pixels * sizeof *values);
    if (status == NG_OK)
        status = attribute(job, values, &map->gradient_norm, &gradients, err);
    if (status == NG_OK)
        status = ngi_parameter(&ngi_method_xrai, job, "regions") == SLIC
                     ? ngi_regions_slic(job, (int)ngi_parameter(&ngi_method_xrai, job, "segments"), &r, err)
                     : ngi_regions_felzenszwalb(job, &r, err);
    if (status == NG_OK && !(all = ngi_alloc_zero((size_t)r.n, sizeof *all)))
        status = ngi_fail_memory(err, (size_t)r.n * sizeof *all);
    if (status == NG_OK)
        snprintf(map->note, sizeof map->note, "%s; %d of %d regions",
                 ngi_attr_done(done, gradients, 2 * (int)ngi_parameter(&ngi_method_xrai, job, "steps"),
                               "gradients"),
                 take_regions(&r, values, all, taken, map), r.n);
    ngi_regions_clear(&r);
    ngi_free(all);
    ngi_free(values);
    ngi_free(taken);
    return status;
}

const ngi_method ngi_method_xrai = {
    .info =
        {
            .name = "xrai",
            .title = "XRAI",
            .summary = "regions in the order of the integrated gradients they hold",
            .cost = "2 (steps + 2) forwards + backwards to the input",
            .source = "Kapishnikov et al. 2019, arXiv:1906.02825",
            .assumes = "segments that follow the objects",
            .takes_gradient = 1,
            .at_input = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
