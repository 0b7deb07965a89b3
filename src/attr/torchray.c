/* torchray.attribution.extremal_perturbation with its defaults: reward preserve, blur, step 7, sigma 21, jitter.
 *   mask        a grid of cells `step` pixels apart, each spread by a kernel of radius sigma, joined by a soft maximum; it reaches
 *               a margin beyond the image
 *   image seen  from a pyramid of 8 blurs, deviation 20 to 0, zeros beyond the rim, by the mask's value
 *   area        the sorted mask, margin and all, is drawn to `area` ones and else zeros, ever more strongly
 *   descent     SGD, momentum and dampening 0.9; every other run sees the mirror image
 * As there, the map is the mask of the last run, before its step. */
#include "attr/torchray.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 8, STEP = 7, SIGMA = 21, RADIUS = 1 + SIGMA / STEP, PADDING = 1 + 2 * SIGMA / STEP };
enum { SIDE = 2 * RADIUS + 1, KERNEL = SIDE * SIDE }; /* cells that reach a pixel */
static const double coldness = 20, most_blur = 20;

typedef struct ray {
    const float *input;
    int h, w, depth;
    int rows, columns;   /* of cells */
    int high, wide;      /* of the mask with its margin */
    float *pyramid;      /* [LEVELS][h,w,depth] */
    float *reach;        /* [STEP,STEP,KERNEL] weights of the cells by the pixel's place between them */
    float *cells;        /* [rows,columns] */
    float *mask;         /* [high,wide] */
    double *slope;       /* [high,wide] of the loss */
    double *step;        /* [2][rows,columns] the cells' slope, their momentum */
    bool mirrored, felt; /* felt: the score has depended on the mask */
    double score;
} ray;

/* ---- The pyramid ------------------------------------------------------------------------------ */

/* One axis of a Gaussian with zeros beyond the rim: lines of `length` values, `apart` from one another. */
static void blur_axis(const float *x, float *y, int64_t length, int64_t apart, int64_t lines, const double *f,
                      int radius)
{
    for (int64_t line = 0; line < lines; line++) {
        int64_t start = line / apart * apart * length + line % apart;
        for (int64_t i = 0; i < length; i++) {
            double sum = 0;
            for (int64_t k = i < radius ? -i : -radius; k <= radius && i + k < length; k++)
                sum += f[k < 0 ? -k : k] * x[start + (i + k) * apart];
            y[start + i * apart] = (float)sum;
        }
    }
}

static void make_pyramid(ray *r, float *room)
{
    int64_t count = (int64_t)r->h * r->w * r->depth, row = (int64_t)r->w * r->depth;
    for (int level = 0; level < LEVELS; level++) {
        double deviation = most_blur * (1 - level / (LEVELS - 1.0)), f[4 * 20 + 1], sum = 0;
        int radius = (int)ceil(4 * deviation);
        float *out = r->pyramid + level * count;
        for (int k = 0; k <= radius; k++) {
            f[k] = k ? exp(-0.5 * k * k / (deviation * deviation)) : 1;
            sum += k ? 2 * f[k] : f[k];
        }
        for (int k = 0; k <= radius; k++)
            f[k] /= sum;
        blur_axis(r->input, room, r->h, row, row, f, radius);
        blur_axis(room, out, r->w, r->depth, (int64_t)r->h * r->depth, f, radius);
    }
}

/* ---- The mask --------------------------------------------------------------------------------- */

static void make_reach(ray *r)
{
    for (int y = 0; y < STEP; y++)
        for (int x = 0; x < STEP; x++)
            for (int k = 0; k < KERNEL; k++) {
                double dy = y - SIGMA - STEP * (k / SIDE - PADDING),
                       dx = x - SIGMA - STEP * (k % SIDE - PADDING),
                       z = fmax(sqrt(dy * dy + dx * dx) / SIGMA - 0.5, 0);
                r->reach[(y * STEP + x) * KERNEL + k] = (float)exp(-2 * z * z);
            }
}

/* What the cells around a pixel of the mask give: values [KERNEL], shares [KERNEL] by the soft maximum; the pixel's value. */
static double pool(const ray *r, int y, int x, float *values, double *shares)
{
    const float *reach = r->reach + (y % STEP * STEP + x % STEP) * KERNEL;
    double top = 0, sum = 0, mean = 0;
    for (int k = 0; k < KERNEL; k++) {
        int row = y / STEP + k / SIDE - PADDING, column = x / STEP + k % SIDE - PADDING;
        bool there = row >= 0 && row < r->rows && column >= 0 && column < r->columns;
        values[k] = there ? reach[k] * r->cells[row * r->columns + column] : 0;
        top = fmax(top, values[k]);
    }
    for (int k = 0; k < KERNEL; k++)
        sum += shares[k] = exp(coldness * (values[k] - top));
    for (int k = 0; k < KERNEL; k++) {
        shares[k] /= sum;
        mean += shares[k] * values[k];
    }
    return mean;
}

static void make_mask(ray *r)
{
    float values[KERNEL];
    double shares[KERNEL];
    for (int y = 0; y < r->high; y++)
        for (int x = 0; x < r->wide; x++)
            r->mask[y * r->wide + x] = (float)fmin(fmax(pool(r, y, x, values, shares), 0), 1);
}

/* The cells' slope from the mask's. */
static void lead_back(const ray *r)
{
    float values[KERNEL];
    double shares[KERNEL];
    memset(r->step, 0, (size_t)(r->rows * r->columns) * sizeof *r->step);
    for (int y = 0; y < r->high; y++)
        for (int x = 0; x < r->wide; x++) {
            const float *reach = r->reach + (y % STEP * STEP + x % STEP) * KERNEL;
            double mean = pool(r, y, x, values, shares), slope = r->slope[y * r->wide + x];
            for (int k = 0; k < KERNEL && slope != 0; k++) {
                int row = y / STEP + k / SIDE - PADDING, column = x / STEP + k % SIDE - PADDING;
                if (row >= 0 && row < r->rows && column >= 0 && column < r->columns)
                    r->step[row * r->columns + column] +=
                        slope * shares[k] * (1 + coldness * (values[k] - mean)) * reach[k];
            }
        }
}

/* ---- A run ------------------------------------------------------------------------------------ */

/* The two levels that a pixel of the image is between, and its place between them. */
static double find_levels(const ray *r, int y, int x, int *low, int *high)
{
    double at = (double)r->mask[(y + SIGMA) * r->wide + x + SIGMA] * (LEVELS - 1);
    *low = (int)at;
    *high = *low + 1 < LEVELS ? *low + 1 : LEVELS - 1;
    return at - *low;
}

static void make(void *context, int i, float *const *out)
{
    const ray *r = context;
    int64_t count = (int64_t)r->h * r->w * r->depth;
    (void)i;
    for (int y = 0; y < r->h; y++)
        for (int x = 0; x < r->w; x++) {
            int low, high;
            double share = find_levels(r, y, x, &low, &high);
            const float *a = r->pyramid + low * count + ((int64_t)y * r->w + x) * r->depth,
                        *b = r->pyramid + high * count + ((int64_t)y * r->w + x) * r->depth;
            float *to = out[0] + ((int64_t)y * r->w + (r->mirrored ? r->w - 1 - x : x)) * r->depth;
            for (int k = 0; k < r->depth; k++)
                to[k] = (float)((1 - share) * a[k] + share * b[k]);
        }
}

/* slope = that of -score. */
static void take(void *context, int i, double score, const float *gradient)
{
    ray *r = context;
    int64_t count = (int64_t)r->h * r->w * r->depth;
    (void)i;
    r->score = score;
    memset(r->slope, 0, (size_t)(r->high * r->wide) * sizeof *r->slope);
    for (int y = 0; y < r->h; y++)
        for (int x = 0; x < r->w; x++) {
            int low, high;
            (void)find_levels(r, y, x, &low, &high);
            const float *a = r->pyramid + low * count + ((int64_t)y * r->w + x) * r->depth,
                        *b = r->pyramid + high * count + ((int64_t)y * r->w + x) * r->depth,
                        *g = gradient + ((int64_t)y * r->w + (r->mirrored ? r->w - 1 - x : x)) * r->depth;
            double sum = 0;
            for (int k = 0; k < r->depth; k++)
                sum += (double)g[k] * (b[k] - a[k]);
            r->felt = r->felt || sum != 0;
            r->slope[(y + SIGMA) * r->wide + x + SIGMA] = -sum * (LEVELS - 1);
        }
}

typedef struct ranked {
    float value;
    int at;
} ranked;

static int by_value(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? -1 : 1) : x->at - y->at;
}

/* weight * mean (sorted mask - its ideal)^2 */
static void add_area(const ray *r, double area, double weight, ranked *room)
{
    int n = r->high * r->wide, zeros = (int)(n * (1 - area));
    for (int i = 0; i < n; i++)
        room[i] = (ranked){r->mask[i], i};
    qsort(room, (size_t)n, sizeof *room, by_value);
    for (int i = 0; i < n; i++)
        r->slope[room[i].at] += weight * 2 * (room[i].value - (i >= zeros)) / n;
}

static void descend(const ray *r, bool first)
{
    int n = r->rows * r->columns;
    double *momentum = r->step + n;
    for (int k = 0; k < n; k++) {
        momentum[k] = first ? r->step[k] : 0.9 * momentum[k] + 0.1 * r->step[k];
        r->cells[k] = (float)fmin(fmax(r->cells[k] - 0.01 * momentum[k], 0), 1);
    }
}

/* ---- The whole -------------------------------------------------------------------------------- */

static ng_status search(const ngi_attr_job *job, ray *r, double area, int iterations, ranked *room,
                        ng_map *map, ng_error *err)
{
    ngi_steps progress = {job, 0, iterations};
    ngi_attr_job one = ngi_job_of_steps(&progress);
    double end = job->seconds > 0 ? ngi_attr_seconds() + job->seconds : INFINITY, weight = 300;
    ngi_sampling sampling = {
        .count = 1, .gradient_node = job->graph->inputs[0], .make = make, .take = take, .context = r};
    NGI_TRY(ngi_part_whole(job, &sampling.part, err));
    for (; progress.done < iterations && (progress.done == 0 || ngi_attr_seconds() < end); progress.done++) {
        if (progress.done)
            descend(r, progress.done == 1);
        make_mask(r);
        r->mirrored = progress.done % 2 == 0;
        NGI_TRY(ngi_attr_sample(&one, &sampling, NULL, err));
        add_area(r, area, weight, room);
        lead_back(r);
        weight *= 1.0035;
    }
    for (int y = 0; y < r->h && r->felt; y++)
        for (int x = 0; x < r->w; x++)
            map->signed_data[y * r->w + x] = r->mask[(y + SIGMA) * r->wide + x + SIGMA];
    char done[NGI_DONE_TEXT];
    snprintf(map->note, sizeof map->note, "score through the mask %.6g; %s", r->score,
             ngi_attr_done(done, progress.done, iterations, "iterations"));
    return NG_OK;
}

ng_status ngi_torchray(const ngi_attr_job *job, double area, int iterations, ng_map *map, ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    ray r = {.input = job->input, .h = map->height, .w = map->width, .depth = (int)shape.dim[2]};
    r.rows = (r.h + STEP - 1) / STEP;
    r.columns = (r.w + STEP - 1) / STEP;
    r.high = STEP * (r.rows + 2 * PADDING - 2 * RADIUS) - STEP + 1;
    r.wide = STEP * (r.columns + 2 * PADDING - 2 * RADIUS) - STEP + 1;
    size_t count = (size_t)ngi_shape_count(&shape), pixels = (size_t)r.high * (size_t)r.wide,
           cells = (size_t)r.rows * (size_t)r.columns, bytes = LEVELS * count * sizeof(float);
    float *room = ngi_alloc(count, sizeof *room);
    ranked *sorted = ngi_alloc(pixels, sizeof *sorted);
    r.pyramid = ngi_alloc(LEVELS * count, sizeof *r.pyramid);
    r.reach = ngi_alloc(STEP * STEP * KERNEL + cells + pixels, sizeof *r.reach);
    r.slope = ngi_alloc_zero(pixels + 2 * cells, sizeof *r.slope);
    ng_status status =
        room && sorted && r.pyramid && r.reach && r.slope ? NG_OK : ngi_fail_memory(err, bytes);
    if (status == NG_OK) {
        r.cells = r.reach + STEP * STEP * KERNEL;
        r.mask = r.cells + cells;
        r.step = r.slope + pixels;
        for (size_t k = 0; k < cells; k++)
            r.cells[k] = 1;
        make_reach(&r);
        make_pyramid(&r, room);
        status = search(job, &r, area, iterations, sorted, map, err);
    }
    ngi_free(room);
    ngi_free(sorted);
    ngi_free(r.pyramid);
    ngi_free(r.reach);
    ngi_free(r.slope);
    return status;
}
