#include "attr/regions.h"

#include <math.h>
#include <string.h>

#include "attr/felzenszwalb.h"
#include "attr/slic.h"

enum { SIDE = 224, SCALES = 6, SLIC_SCALES = 5, LEAST = 150, DILATION = 5 };
static const double scales[SCALES] = {50, 100, 150, 250, 500, 1200};
static const double sigma = 0.8;

void ngi_regions_clear(ngi_regions *r)
{
    ngi_free(r->first);
    ngi_free(r->list);
    *r = (ngi_regions){0};
}

/* The labels within `radius` of a pixel, each once: the regions that cover it when they are widened by a disk. */
static int labels_near(const int *labels, int h, int w, int y, int x, int radius, int *found)
{
    int n = 0;
    for (int dy = -radius; dy <= radius; dy++)
        for (int dx = -radius; dx <= radius; dx++) {
            if (dy * dy + dx * dx > radius * radius || y + dy < 0 || y + dy >= h || x + dx < 0 || x + dx >= w)
                continue;
            int label = labels[(y + dy) * w + x + dx], k = 0;
            while (k < n && found[k] != label)
                k++;
            if (k == n)
                found[n++] = label;
        }
    return n;
}

/* Lists each pixel's regions: labels [n_scales][h,w], counts [n_scales] of segments. */
static ng_status list_regions(const int *labels, const int *counts, int n_scales, int radius, ngi_regions *r,
                              ng_error *err)
{
    enum { MOST = (2 * DILATION + 1) * (2 * DILATION + 1) };
    int64_t pixels = (int64_t)r->h * r->w;
    int found[MOST];
    r->first = ngi_alloc_zero((size_t)pixels + 1, sizeof *r->first);
    if (!r->first)
        return ngi_fail_memory(err, (size_t)pixels * sizeof *r->first);
    for (int pass = 0; pass < 2; pass++) { /* count, then write */
        int64_t at = 0;
        for (int64_t p = 0; p < pixels; p++) {
            int base = 0;
            r->first[p] = at;
            for (int s = 0; s < n_scales; s++) {
                int n = labels_near(labels + s * pixels, r->h, r->w, (int)(p / r->w), (int)(p % r->w), radius,
                                    found);
                for (int k = 0; k < n && pass == 1; k++)
                    r->list[at + k] = base + found[k];
                at += n;
                base += counts[s];
            }
            r->n = base;
        }
        r->first[pixels] = at;
        if (pass == 0 && !(r->list = ngi_alloc((size_t)at, sizeof *r->list)))
            return ngi_fail_memory(err, (size_t)at * sizeof *r->list);
    }
    return NG_OK;
}

static ng_status segment(const ngi_attr_job *job, const ngi_shape *s, double *image, double *resized,
                         int *small, int *counts, ng_error *err)
{
    int64_t count = ngi_shape_count(s);
    float low, high;
    ngi_min_max(job->input, count, &low, &high);
    for (int64_t i = 0; i < count; i++)
        image[i] = high > low ? ((double)job->input[i] - low) / ((double)high - low) * 2 - 1 : 0;
    NGI_TRY(
        ngi_resize_spline(image, (int)s->dim[0], (int)s->dim[1], (int)s->dim[2], resized, SIDE, SIDE, err));
    return ngi_felzenszwalb(resized, SIDE, SIDE, (int)s->dim[2], scales, SCALES, sigma, LEAST, small, counts,
                            err);
}

ng_status ngi_regions_felzenszwalb(const ngi_attr_job *job, ngi_regions *out, ng_error *err)
{
    ngi_shape s = ngi_attr_input_shape(job->graph);
    size_t count = (size_t)ngi_shape_count(&s), pixels = (size_t)(s.dim[0] * s.dim[1]);
    size_t resized = (size_t)SIDE * SIDE * (size_t)s.dim[2];
    int counts[SCALES];
    *out = (ngi_regions){.h = (int)s.dim[0], .w = (int)s.dim[1]};
    double *image = ngi_alloc(count + resized, sizeof *image);
    int *labels = ngi_alloc(SCALES * ((size_t)SIDE * SIDE + pixels), sizeof *labels);
    ng_status status = image && labels ? NG_OK : ngi_fail_memory(err, (count + resized) * sizeof *image);
    if (status == NG_OK)
        status = segment(job, &s, image, image + count, labels, counts, err);
    if (status == NG_OK) {
        int *large = labels + SCALES * SIDE * SIDE;
        for (int k = 0; k < SCALES; k++)
            ngi_resize_nearest(labels + k * SIDE * SIDE, SIDE, SIDE, large + (size_t)k * pixels, out->h,
                               out->w);
        status = list_regions(large, counts, SCALES, DILATION, out, err);
    }
    ngi_free(image);
    ngi_free(labels);
    if (status != NG_OK)
        ngi_regions_clear(out);
    return status;
}

ng_status ngi_regions_slic(const ngi_attr_job *job, int segments, ngi_regions *out, ng_error *err)
{
    ngi_shape s = ngi_attr_input_shape(job->graph);
    size_t pixels = (size_t)(s.dim[0] * s.dim[1]);
    int counts[SLIC_SCALES];
    double range = 0;
    *out = (ngi_regions){.h = (int)s.dim[0], .w = (int)s.dim[1]};
    int *labels = ngi_alloc(SLIC_SCALES * pixels, sizeof *labels);
    ng_status status = labels ? NG_OK : ngi_fail_memory(err, SLIC_SCALES * pixels * sizeof *labels);
    for (int64_t c = 0; c < s.dim[2]; c++)
        range = fmax(range, fabs((double)job->white[c] - job->black[c]));
    for (int k = 0; k < SLIC_SCALES && status == NG_OK; k++)
        status = ngi_slic(job->input, out->h, out->w, (int)s.dim[2], range, segments << k, 10,
                          labels + (size_t)k * pixels, &counts[k], err);
    if (status == NG_OK)
        status = list_regions(labels, counts, SLIC_SCALES, 0, out, err);
    ngi_free(labels);
    if (status != NG_OK)
        ngi_regions_clear(out);
    return status;
}
