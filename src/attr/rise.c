/* RISE (Petsiuk et al., 2018): the mean of random masks, each weighted by the score of the image seen through it,
 *   map = sum_i S(x m_i) m_i / (N p).
 * A mask is a grid of s x s cells, each on with probability p, upsampled bilinearly to (s + 1) cells' size and cut out
 * at a random place, as the authors' code does. What is masked becomes zero at the network's input in their code; here
 * black, or another baseline. The note gives the standard error of the mean, relative to the map's range. */
#include "attr/attr.h"
#include "attr/baseline.h"
#include "attr/partial.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>

static const ng_method_parameter parameters[] = {
    {.name = "samples", .value = 2000, .low = 1, .high = 1000000, .whole = 1, .summary = "masks"},
    {.name = "cells",
     .value = 7,
     .low = 1,
     .high = 64,
     .whole = 1,
     .summary = "of a mask's grid, along each side"},
    {.name = "p",
     .value = 0.5,
     .low = 0.01,
     .high = 0.99,
     .summary = "probability that a cell lets the image through"},
    {.name = "baseline",
     .value = NGI_BASELINE_ZERO,
     .choices = NGI_BASELINE_CHOICES,
     .summary = "what masked pixels become"},
    {.name = "blur",
     .value = 10,
     .low = 0.1,
     .high = 200,
     .summary = "of baseline blur: standard deviation in pixels"},
    {.name = "seed", .value = 0, .low = 0, .high = 4294967295.0, .whole = 1, .summary = "of the masks"},
};

extern const ngi_method ngi_method_rise;

typedef struct masking {
    const float *input, *cover; /* [h,w,c] */
    int h, w, depth, cells;
    double p;
    uint64_t seed;
    float *mask;            /* [h,w], for take */
    double *sums, *squares; /* [h,w] of S m, (S m)^2 */
} masking;

/* Mask i. Value of a pixel: the half-pixel bilinear interpolation of the grid, resized to (cells + 1) * cell and cut out at
 * a random offset of less than a cell (skimage.transform.resize order 1, mode reflect, in the authors' code). */
static void make_mask(const masking *m, int i, float *mask)
{
    int s = m->cells;
    double cell_h = ceil((double)m->h / s), cell_w = ceil((double)m->w / s);
    uint64_t stream = (uint64_t)i;
    float grid[64 * 64];
    for (int k = 0; k < s * s; k++)
        grid[k] = ngi_random_uniform(m->seed, stream, (uint64_t)k + 2) < m->p ? 1.0f : 0.0f;
    int dy = (int)(ngi_random_uniform(m->seed, stream, 0) * cell_h),
        dx = (int)(ngi_random_uniform(m->seed, stream, 1) * cell_w);
    /* the window of the enlarged grid that is cut out, in grid cells */
    double y = dy * s / ((s + 1) * cell_h), x = dx * s / ((s + 1) * cell_w);
    ngi_resize_bilinear(grid, s, s, y, x, y + m->h * s / ((s + 1) * cell_h),
                        x + m->w * s / ((s + 1) * cell_w), mask, m->h, m->w);
}

static void make(void *context, int i, float *const *x)
{
    const masking *m = context;
    float *out = x[0];
    make_mask(m, i, out);
    for (int64_t p = (int64_t)m->h * m->w - 1; p >= 0; p--) {
        float mask = out[p];
        for (int64_t k = p * m->depth + m->depth - 1; k >= p * m->depth; k--)
            out[k] = m->cover[k] + (m->input[k] - m->cover[k]) * mask;
    }
}

static void take(void *context, int i, double score, const float *gradient)
{
    masking *m = context;
    (void)gradient;
    make_mask(m, i, m->mask);
    for (int64_t p = 0; p < (int64_t)m->h * m->w; p++) {
        double value = score * m->mask[p];
        m->sums[p] += value;
        m->squares[p] += value * value;
    }
}

static ng_status run(const ngi_attr_job *job, masking *m, ng_map *map, ng_error *err)
{
    ngi_sampling s = {.count = (int)ngi_parameter(&ngi_method_rise, job, "samples"),
                      .gradient_node = -1,
                      .make = make,
                      .take = take,
                      .context = m};
    int done;
    NGI_TRY(ngi_part_whole(job, &s.part, err));
    NGI_TRY(ngi_attr_sample(job, &s, &done, err));
    int64_t cells = (int64_t)m->h * m->w;
    double error = 0;
    for (int64_t i = 0; i < cells; i++) {
        double mean = m->sums[i] / done, variance = m->squares[i] / done - mean * mean;
        error += done > 1 ? sqrt(fmax(variance, 0) / (done - 1)) / m->p / (double)cells : 0;
        map->signed_data[i] = (float)(mean / m->p);
    }
    char masks[NGI_DONE_TEXT], text[NGI_ERROR_TEXT];
    snprintf(map->note, sizeof map->note, "%s; %s", ngi_attr_done(masks, done, s.count, "masks"),
             ngi_error_text(text, done > 1 ? error : -1, map));
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_method *r = &ngi_method_rise;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    size_t cells = (size_t)map->height * (size_t)map->width;
    masking m = {.input = job->input,
                 .h = map->height,
                 .w = map->width,
                 .depth = (int)shape.dim[2],
                 .cells = (int)ngi_parameter(r, job, "cells"),
                 .p = ngi_parameter(r, job, "p"),
                 .seed = (uint64_t)ngi_parameter(r, job, "seed")};
    float *cover = ngi_alloc(cells * (size_t)m.depth, sizeof *cover);
    m.cover = cover;
    m.mask = ngi_alloc(cells, sizeof *m.mask);
    m.sums = ngi_alloc_zero(2 * cells, sizeof *m.sums);
    m.squares = m.sums ? m.sums + cells : NULL;
    ng_status status = cover && m.mask && m.sums ? NG_OK : ngi_fail_memory(err, 2 * cells * sizeof *m.sums);
    if (status == NG_OK)
        status = ngi_baseline_make(job, (ngi_baseline)ngi_parameter(r, job, "baseline"),
                                   ngi_parameter(r, job, "blur"), cover, err);
    if (status == NG_OK)
        status = run(job, &m, map, err);
    ngi_free(cover);
    ngi_free(m.mask);
    ngi_free(m.sums);
    return status;
}

const ngi_method ngi_method_rise = {
    .info =
        {
            .name = "rise",
            .title = "RISE",
            .summary = "mean of random masks weighted by the score of what they let through",
            .cost = "samples forwards",
            .source = "Petsiuk et al. 2018, arXiv:1806.07421",
            .assumes = "a masked image still looks like an image; --target probability, as the authors have "
                       "it, keeps scores positive",
            .at_input = 1,
            .samples = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
