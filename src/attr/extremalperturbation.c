/* A mask found by gradient descent, under which the image is seen and elsewhere blurred.
 *   extremal    (Fong et al., 2019): what share of the image must be seen for the highest score? The mask's values, sorted, are
 *               drawn to `area` ones and else zeros, ever more strongly. SGD with momentum.
 *   meaningful  (Fong & Vedaldi, 2017): what must be taken away for the lowest score? Little area and smooth edges are paid
 *               for. Adam; the map is 1 - mask.
 *   torchray    extremal by the authors' own mask, blurs and descent (torchray.c)
 * The mask is a grid, upsampled bilinearly. */
#include "attr/attr.h"
#include "attr/baseline.h"
#include "attr/torchray.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ng_method_parameter parameters[] = {
    {.name = "variant",
     .choices = "extremal|meaningful|torchray",
     .summary =
         "what is asked of the mask; torchray: extremal as its authors' code has it, whose cells, 7 pixels "
         "apart, and blurs are its own (it takes 800 iterations)"},
    {.name = "area",
     .value = 0.1,
     .low = 0.001,
     .high = 0.999,
     .summary = "of extremal: share of the image that is seen"},
    {.name = "iterations",
     .value = 200,
     .low = 1,
     .high = 100000,
     .whole = 1,
     .summary = "of gradient descent"},
    {.name = "cells",
     .value = 28,
     .low = 2,
     .high = 256,
     .whole = 1,
     .summary = "of the mask, along each side"},
    {.name = "blur",
     .value = 10,
     .low = 0.1,
     .high = 200,
     .summary = "of what is not seen: standard deviation in pixels"},
    {.name = "sparsity",
     .value = 1,
     .low = 0,
     .high = 1e6,
     .summary = "of meaningful: price of the area taken away"},
    {.name = "smoothness",
     .value = 1,
     .low = 0,
     .high = 1e6,
     .summary = "of meaningful: price of the mask's edges"},
};

extern const ngi_method ngi_method_extremalperturbation;

enum { EXTREMAL, MEANINGFUL, TORCHRAY };

typedef struct search {
    const float *input, *blurred; /* [h,w,c] */
    int h, w, depth, cells, variant;
    float *grid, *mask;         /* [cells,cells], [h,w] */
    double *slope;              /* [cells,cells] of the loss */
    double *first, *second;     /* momentum; Adam's second moment */
    double area, weight, scale; /* scale: the score's size, by which losses are made comparable */
    double sparsity, smoothness, score;
    bool felt; /* the score has depended on the mask */
    int step;
    int *order;
} search;

static void make(void *context, int i, float *const *x)
{
    const search *s = context;
    (void)i;
    for (int64_t p = 0; p < (int64_t)s->h * s->w; p++)
        for (int64_t k = p * s->depth; k < (p + 1) * s->depth; k++)
            x[0][k] = s->blurred[k] + (s->input[k] - s->blurred[k]) * s->mask[p];
}

/* Adds what a pixel's slope gives to the grid: the transpose of half-pixel bilinear upsampling. */
static void spread(const search *s, int y, int x, double slope)
{
    double gy = fmin(fmax((y + 0.5) * s->cells / s->h - 0.5, 0), s->cells - 1);
    double gx = fmin(fmax((x + 0.5) * s->cells / s->w - 0.5, 0), s->cells - 1);
    int y0 = (int)gy, x0 = (int)gx, y1 = y0 + 1 < s->cells ? y0 + 1 : y0,
        x1 = x0 + 1 < s->cells ? x0 + 1 : x0;
    double fy = gy - y0, fx = gx - x0;
    s->slope[y0 * s->cells + x0] += slope * (1 - fy) * (1 - fx);
    s->slope[y0 * s->cells + x1] += slope * (1 - fy) * fx;
    s->slope[y1 * s->cells + x0] += slope * fy * (1 - fx);
    s->slope[y1 * s->cells + x1] += slope * fy * fx;
}

static void take(void *context, int i, double score, const float *gradient)
{
    search *s = context;
    (void)i;
    s->score = score;
    int n = s->cells * s->cells;
    memset(s->slope, 0, (size_t)n * sizeof *s->slope);
    double sign = s->variant == EXTREMAL ? -1 : 1;
    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w; x++) {
            double sum = 0;
            int64_t p = ((int64_t)y * s->w + x) * s->depth;
            for (int64_t k = p; k < p + s->depth; k++)
                sum += (double)gradient[k] * (s->input[k] - s->blurred[k]);
            s->felt = s->felt || sum != 0;
            spread(s, y, x, sign * sum / s->scale);
        }
}

static void sort_cells(const search *s, int *order)
{
    int n = s->cells * s->cells;
    for (int k = 0; k < n; k++) { /* insertion: the order hardly changes from step to step */
        int cell = order[k], at = k;
        for (; at > 0 && (s->grid[order[at - 1]] > s->grid[cell]); at--)
            order[at] = order[at - 1];
        order[at] = cell;
    }
}

/* weight * mean (sorted mask - its ideal)^2 */
static void add_area(search *s)
{
    int n = s->cells * s->cells;
    sort_cells(s, s->order);
    for (int k = 0; k < n; k++) {
        double ideal = k >= (1 - s->area) * n ? 1 : 0;
        s->slope[s->order[k]] += s->weight * 2 * (s->grid[s->order[k]] - ideal) / n;
    }
}

/* sparsity * mean |1 - m| + smoothness * mean of squared differences to the neighbours */
static void add_prices(search *s)
{
    int c = s->cells, n = c * c;
    for (int y = 0, k = 0; y < c; y++)
        for (int x = 0; x < c; x++, k++) {
            const int next[2] = {x + 1 < c ? k + 1 : -1, y + 1 < c ? k + c : -1}; /* right and below */
            s->slope[k] -= s->sparsity / n;
            for (int i = 0; i < 2; i++)
                if (next[i] >= 0) {
                    double difference = 2 * s->smoothness * (s->grid[k] - s->grid[next[i]]) / n;
                    s->slope[k] += difference;
                    s->slope[next[i]] -= difference;
                }
        }
}

static void descend(search *s)
{
    int n = s->cells * s->cells;
    s->step++;
    for (int k = 0; k < n; k++) {
        double value = s->grid[k], g = s->slope[k];
        if (s->variant == EXTREMAL) { /* TorchRay's rate is for a mean over the mask's cells */
            s->first[k] = 0.9 * s->first[k] + g;
            value -= 0.01 * s->first[k];
        } else {
            s->first[k] = 0.9 * s->first[k] + 0.1 * g;
            s->second[k] = 0.999 * s->second[k] + 0.001 * g * g;
            double m = s->first[k] / (1 - pow(0.9, s->step)), v = s->second[k] / (1 - pow(0.999, s->step));
            value -= 0.1 * m / (sqrt(v) + 1e-8);
        }
        s->grid[k] = (float)fmin(fmax(value, 0), 1);
    }
    ngi_resize_bilinear(s->grid, s->cells, s->cells, 0, 0, s->cells, s->cells, s->mask, s->h, s->w);
}

static ng_status run(const ngi_attr_job *job, search *s, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_extremalperturbation;
    size_t at = (size_t)job->index * (size_t)job->head->width;
    int cells = s->cells * s->cells;
    double whole =
        ngi_target_score(job->head, &job->target, ngi_run_activation(job->run, job->head->logits) + at,
                         ngi_run_activation(job->run, job->head->output) + at);
    ngi_steps progress = {job, 0, (int)ngi_parameter(m, job, "iterations")};
    ngi_attr_job one = ngi_job_of_steps(&progress);
    s->scale = fabs(whole) > 1e-6 ? fabs(whole) : 1;
    s->weight = 300.0 / 100; /* TorchRay begins at 300 for scores of the size of 100 */
    for (int k = 0; k < cells; k++) {
        s->grid[k] = s->variant == EXTREMAL ? 0.5f : 1.0f;
        s->order[k] = k;
    }
    for (int64_t p = 0; p < (int64_t)s->h * s->w; p++)
        s->mask[p] = s->grid[0];
    ngi_sampling sampling = {
        .count = 1, .gradient_node = job->graph->inputs[0], .make = make, .take = take, .context = s};
    NGI_TRY(ngi_part_whole(job, &sampling.part, err));
    double end = job->seconds > 0 ? ngi_attr_seconds() + job->seconds : INFINITY;
    for (; progress.done < progress.total && (progress.done == 0 || ngi_attr_seconds() < end);
         progress.done++) {
        NGI_TRY(ngi_attr_sample(&one, &sampling, NULL, err));
        if (s->variant == EXTREMAL)
            add_area(s);
        else
            add_prices(s);
        descend(s);
        s->weight *= 1.0035;
    }
    for (int64_t p = 0; p < (int64_t)s->h * s->w && s->felt; p++)
        map->signed_data[p] = s->variant == EXTREMAL ? s->mask[p] : 1 - s->mask[p];
    char updates[NGI_DONE_TEXT];
    snprintf(map->note, sizeof map->note, "score through the mask %.6g, of the whole image %.6g; %s",
             s->score, whole, ngi_attr_done(updates, progress.done, progress.total, "iterations"));
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_extremalperturbation;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    if (ngi_parameter(m, job, "variant") == TORCHRAY)
        return ngi_torchray(job, ngi_parameter(m, job, "area"), (int)ngi_parameter(m, job, "iterations"), map,
                            err);
    search s = {.input = job->input,
                .h = map->height,
                .w = map->width,
                .depth = (int)shape.dim[2],
                .cells = (int)ngi_parameter(m, job, "cells"),
                .variant = (int)ngi_parameter(m, job, "variant"),
                .area = ngi_parameter(m, job, "area"),
                .sparsity = ngi_parameter(m, job, "sparsity"),
                .smoothness = ngi_parameter(m, job, "smoothness")};
    size_t n = (size_t)s.cells * (size_t)s.cells, pixels = (size_t)s.h * (size_t)s.w;
    float *blurred = ngi_alloc(pixels * (size_t)s.depth, sizeof *blurred);
    s.blurred = blurred;
    s.grid = ngi_alloc(n + pixels, sizeof *s.grid);
    s.slope = ngi_alloc_zero(3 * n, sizeof *s.slope);
    s.order = ngi_alloc(n, sizeof *s.order);
    ng_status status =
        blurred && s.grid && s.slope && s.order ? NG_OK : ngi_fail_memory(err, pixels * sizeof *blurred);
    if (status == NG_OK) {
        s.mask = s.grid + n;
        s.first = s.slope + n;
        s.second = s.first + n;
        status = ngi_baseline_make(job, NGI_BASELINE_BLUR, ngi_parameter(m, job, "blur"), blurred, err);
    }
    if (status == NG_OK)
        status = run(job, &s, map, err);
    ngi_free(blurred);
    ngi_free(s.grid);
    ngi_free(s.slope);
    ngi_free(s.order);
    return status;
}

const ngi_method ngi_method_extremalperturbation = {
    .info =
        {
            .name = "extremalperturbation",
            .title = "Extremal perturbation",
            .summary = "the mask of a given area through which the score is highest",
            .cost = "iterations forwards + backwards to the input",
            .source = "Fong et al. 2019, arXiv:1910.08485; variant meaningful: Fong & Vedaldi 2017, "
                      "arXiv:1704.03296",
            .assumes = "a blurred image still looks like an image to the network",
            .takes_gradient = 1,
            .at_input = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
