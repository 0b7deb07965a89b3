/* XRAI (Kapishnikov et al., 2019): integrated gradients from black and from white, averaged; then whole regions, taken in the
 * order of the attribution they add for each new pixel. A pixel's value is that of the region with which it came. The
 * regions are superpixels at several scales; the authors' are Felzenszwalb's, here they are SLIC's. */
#include "attr/attr.h"
#include "attr/slic.h"

#include <math.h>
#include <stdio.h>

enum { SCALES = 5 };

static const ng_method_parameter parameters[] = {
    {.name = "steps",
     .value = 25,
     .low = 1,
     .high = 10000,
     .whole = 1,
     .summary = "gradients from each baseline"},
    {.name = "segments",
     .value = 20,
     .low = 2,
     .high = 1000,
     .whole = 1,
     .summary = "superpixels at the coarsest scale; each scale has twice as many"},
};

extern const ngi_method ngi_method_xrai, ngi_method_integratedgradients;

typedef struct region {
    double sum;   /* attribution of its pixels that are not taken */
    int64_t left; /* how many those are */
} region;

typedef struct regions {
    int *labels[SCALES];   /* [pixels] */
    int first[SCALES + 1]; /* of a scale's regions among all */
    region *all;
} regions;

/* Adds the integrated gradients from one baseline to sums [pixels]. */
static ng_status add_gradients(const ngi_attr_job *job, const char *baseline, float *room, const ng_map *map,
                               double *sums, double *norm, ng_error *err)
{
    char text[64];
    ngi_attr_job other = *job;
    ng_map part = {.height = map->height, .width = map->width, .signed_data = room};
    snprintf(text, sizeof text, "baseline=%s,steps=%d", baseline,
             (int)ngi_parameter(&ngi_method_xrai, job, "steps"));
    NGI_TRY(ngi_parameters_read(&ngi_method_integratedgradients.info, text, other.parameters, err));
    NGI_TRY(ngi_method_integratedgradients.compute(&other, &part, err));
    for (int64_t i = 0; i < (int64_t)map->height * map->width; i++)
        sums[i] += room[i] / 2.0;
    *norm += part.gradient_norm / 2;
    return NG_OK;
}

static ng_status segment(const ngi_attr_job *job, const ng_map *map, regions *r, ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    int wanted = (int)ngi_parameter(&ngi_method_xrai, job, "segments"), count;
    double range = 0;
    for (int64_t c = 0; c < shape.dim[2]; c++)
        range = fmax(range, fabs((double)job->white[c] - job->black[c]));
    for (int s = 0; s < SCALES; s++) {
        NGI_TRY(ngi_slic(job->input, map->height, map->width, (int)shape.dim[2], range, wanted << s, 10,
                         r->labels[s], &count, err));
        r->first[s + 1] = r->first[s] + count;
    }
    r->all = ngi_alloc_zero((size_t)r->first[SCALES], sizeof *r->all);
    return r->all ? NG_OK : ngi_fail_memory(err, (size_t)r->first[SCALES] * sizeof *r->all);
}

/* Takes the best region until every pixel is taken. */
static void take_regions(regions *r, const double *sums, bool *taken, ng_map *map)
{
    int64_t pixels = (int64_t)map->height * map->width;
    for (int s = 0; s < SCALES; s++)
        for (int64_t i = 0; i < pixels; i++) {
            region *one = &r->all[r->first[s] + r->labels[s][i]];
            one->sum += sums[i];
            one->left++;
        }
    for (int64_t left = pixels; left > 0;) {
        int best = -1;
        for (int k = 0; k < r->first[SCALES]; k++)
            if (r->all[k].left > 0 && (best < 0 || r->all[k].sum * (double)r->all[best].left >
                                                       r->all[best].sum * (double)r->all[k].left))
                best = k;
        int scale = 0;
        while (r->first[scale + 1] <= best)
            scale++;
        double value = r->all[best].sum / (double)r->all[best].left;
        for (int64_t i = 0; i < pixels; i++) {
            if (taken[i] || r->labels[scale][i] != best - r->first[scale])
                continue;
            taken[i] = true;
            left--;
            map->signed_data[i] = (float)value;
            for (int s = 0; s < SCALES; s++) {
                region *one = &r->all[r->first[s] + r->labels[s][i]];
                one->sum -= sums[i];
                one->left--;
            }
        }
    }
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    size_t pixels = (size_t)map->height * (size_t)map->width;
    regions r = {0};
    double *sums = ngi_alloc_zero(pixels, sizeof *sums);
    bool *taken = ngi_alloc_zero(pixels, sizeof *taken);
    int *labels = ngi_alloc(SCALES * pixels, sizeof *labels);
    float *room = ngi_alloc(pixels, sizeof *room);
    ng_status status =
        sums && taken && labels && room ? NG_OK : ngi_fail_memory(err, SCALES * pixels * sizeof *labels);
    for (int s = 0; s < SCALES && labels; s++)
        r.labels[s] = labels + (size_t)s * pixels;
    if (status == NG_OK)
        status = segment(job, map, &r, err);
    if (status == NG_OK)
        status = add_gradients(job, "black", room, map, sums, &map->gradient_norm, err);
    if (status == NG_OK)
        status = add_gradients(job, "white", room, map, sums, &map->gradient_norm, err);
    if (status == NG_OK)
        take_regions(&r, sums, taken, map);
    ngi_free(r.all);
    ngi_free(sums);
    ngi_free(taken);
    ngi_free(labels);
    ngi_free(room);
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
            .assumes = "superpixels that follow the objects",
            .takes_gradient = 1,
            .at_input = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
