/* Guided integrated gradients (Kapishnikov et al., 2021): the way from the baseline to the image is not straight: at each
 * step the features with the smallest gradients move first, held within a band around the straight way. After the
 * authors' guided_ig.py (PAIR saliency): fraction 0.25, distance 0.02. */
#include "attr/attr.h"
#include "attr/baseline.h"
#include "attr/reduce.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ng_method_parameter parameters[] = {
    {.name = "baseline", .choices = NGI_BASELINE_CHOICES, .summary = "where the way begins"},
    {.name = "blur",
     .value = 10,
     .low = 0.1,
     .high = 200,
     .summary = "of baseline blur: standard deviation in pixels"},
    {.name = "steps", .value = 200, .low = 1, .high = 10000, .whole = 1, .summary = "gradients on the way"},
    {.name = "fraction",
     .value = 0.25,
     .low = 0.001,
     .high = 1,
     .summary = "of the features that move at once"},
    {.name = "distance", .value = 0.02, .low = 0, .high = 1, .summary = "from the straight way, at most"},
    {.name = "reduce", .choices = NGI_REDUCE_CHOICES, .summary = "how a pixel's channels become one number"},
};

extern const ngi_method ngi_method_guidedig;

enum { MOST_MOVES = 1000 }; /* within a step: each fixes a share of the features, so that some dozens do */

typedef struct walk {
    int64_t count;
    const float *from, *to; /* [count] */
    double *x, *sums;       /* where it is; the attributions */
    double *size, *sorted;  /* |gradient|, infinite where a feature is at its end; room */
    const float *gradient;
    double low, high, target, fraction; /* of this step: the band, the distance to be left */
    double score;
} walk;

static void make(void *context, int i, float *const *x)
{
    const walk *w = context;
    (void)i;
    for (int64_t k = 0; k < w->count; k++)
        x[0][k] = (float)w->x[k];
}

static double place(const walk *w, int64_t k, double alpha)
{
    return w->from[k] + ((double)w->to[k] - w->from[k]) * alpha;
}

static double distance_left(const walk *w)
{
    double sum = 0;
    for (int64_t k = 0; k < w->count; k++)
        sum += fabs(w->to[k] - w->x[k]);
    return sum;
}

/* The value at `rank` of the sorted a [n]: Hoare's selection; a is permuted. */
static double select_rank(double *a, int64_t n, int64_t rank)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        double pivot = a[low + (high - low) / 2];
        int64_t i = low, k = high;
        while (i <= k) {
            while (a[i] < pivot)
                i++;
            while (a[k] > pivot)
                k--;
            if (i <= k) {
                double swap = a[i];
                a[i++] = a[k];
                a[k--] = swap;
            }
        }
        if (rank <= k)
            high = k;
        else if (rank >= i)
            low = i;
        else
            break;
    }
    return a[rank];
}

static void move_to(walk *w, int64_t k, double x)
{
    w->sums[k] += (x - w->x[k]) * w->gradient[k];
    w->x[k] = x;
}

/* Features behind the band are drawn to its lower end. */
static void catch_up(walk *w)
{
    for (int64_t k = 0; k < w->count; k++) {
        double whole = (double)w->to[k] - w->from[k];
        double alpha = whole != 0 ? (w->x[k] - w->from[k]) / whole : w->high;
        if (alpha < w->low)
            move_to(w, k, place(w, k, w->low));
    }
}

/* Moves the features of least gradient towards the band's upper end. True when the step's distance is reached. */
static bool move_least(walk *w, double left)
{
    for (int64_t k = 0; k < w->count; k++) {
        if (w->x[k] == place(w, k, w->high))
            w->size[k] = INFINITY;
        w->sorted[k] = w->size[k];
    }
    int64_t rank = (int64_t)floor((double)(w->count - 1) * w->fraction);
    double threshold = select_rank(w->sorted, w->count, rank), reach = 0;
    for (int64_t k = 0; k < w->count; k++)
        if (w->size[k] <= threshold && isfinite(w->size[k]))
            reach += fabs(w->x[k] - place(w, k, w->high));
    double gamma = reach > 0 ? (left - w->target) / reach : INFINITY;
    for (int64_t k = 0; k < w->count; k++)
        if (w->size[k] <= threshold && isfinite(w->size[k])) {
            double end = place(w, k, w->high);
            move_to(w, k, gamma > 1 ? end : w->x[k] + (end - w->x[k]) * gamma);
        }
    return gamma <= 1 || !isfinite(threshold);
}

static void take(void *context, int i, double score, const float *gradient)
{
    walk *w = context;
    (void)i;
    w->score = score;
    w->gradient = gradient;
    for (int64_t k = 0; k < w->count; k++)
        w->size[k] = fabsf(gradient[k]);
    for (int moves = 0; moves < MOST_MOVES; moves++) {
        catch_up(w);
        double left = distance_left(w);
        if (fabs(left - w->target) <= 1e-9 * fmax(1, fmax(fabs(left), fabs(w->target))) ||
            move_least(w, left))
            return;
    }
}

static ng_status go(const ngi_attr_job *job, walk *w, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_guidedig;
    int n = (int)ngi_parameter(m, job, "steps");
    double band = ngi_parameter(m, job, "distance"), total = 0, sum = 0, first = 0, norm = 0;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    ngi_steps s = {job, 0, n};
    ngi_attr_job one = ngi_job_of_steps(&s);
    w->fraction = ngi_parameter(m, job, "fraction");
    ngi_sampling sampling = {
        .count = 1, .gradient_node = job->graph->inputs[0], .make = make, .take = take, .context = w};
    NGI_TRY(ngi_part_whole(job, &sampling.part, err));
    ngi_sampling first_step = sampling;
    first_step.take = NULL;
    for (int64_t k = 0; k < w->count; k++)
        w->x[k] = w->from[k];
    total = distance_left(w);
    if (job->seconds > 0) { /* as many steps as the time will take, found from one */
        double begin = ngi_attr_seconds();
        NGI_TRY(ngi_attr_sample(&one, &first_step, NULL, err));
        double most = job->seconds / fmax(ngi_attr_seconds() - begin, 1e-9) - 1;
        n = most < 1 ? 1 : most < n ? (int)most : n;
        s.total = n;
    }
    for (s.done = 0; s.done < n; s.done++) {
        double alpha = (double)(s.done + 1) / n;
        w->low = fmax(alpha - band, 0);
        w->high = fmin(alpha + band, 1);
        w->target = total * (1 - alpha);
        NGI_TRY(ngi_attr_sample(&one, &sampling, NULL, err));
        first = s.done == 0 ? w->score : first;
        norm += sqrt(ngi_dot(w->gradient, w->gradient, w->count)) / n;
    }
    size_t at = (size_t)job->index * (size_t)job->head->width;
    double last =
        ngi_target_score(job->head, &job->target, ngi_run_activation(job->run, job->head->logits) + at,
                         ngi_run_activation(job->run, job->head->output) + at);
    for (int64_t k = 0; k < w->count; k++)
        sum += w->sums[k];
    map->gradient_norm = norm;
    NGI_TRY(ngi_reduce_channels(job, (ngi_reduce)ngi_parameter(m, job, "reduce"), w->sums,
                                w->count / shape.dim[2], shape.dim[2], map, err));
    char taken[NGI_DONE_TEXT];
    snprintf(map->note, sizeof map->note,
             "%s; completeness: the attributions sum to %.6g, the score rises by %.6g (%.6g to %.6g)",
             ngi_attr_done(taken, n, (int)ngi_parameter(m, job, "steps"), "steps"), sum, last - first, first,
             last);
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_guidedig;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    walk w = {.to = job->input, .count = ngi_shape_count(&shape)};
    float *from = ngi_alloc((size_t)w.count, sizeof *from);
    w.from = from;
    w.x = ngi_alloc_zero(4 * (size_t)w.count, sizeof *w.x);
    ng_status status = from && w.x ? NG_OK : ngi_fail_memory(err, 4 * (size_t)w.count * sizeof *w.x);
    if (status == NG_OK) {
        w.sums = w.x + w.count;
        w.size = w.sums + w.count;
        w.sorted = w.size + w.count;
        status = ngi_baseline_make(job, (ngi_baseline)ngi_parameter(m, job, "baseline"),
                                   ngi_parameter(m, job, "blur"), from, err);
    }
    if (status == NG_OK)
        status = go(job, &w, map, err);
    ngi_free(from);
    ngi_free(w.x);
    return status;
}

const ngi_method ngi_method_guidedig = {
    .info =
        {
            .name = "guidedig",
            .title = "Guided integrated gradients",
            .summary = "integrated gradients on a way that avoids steep noise",
            .cost = "steps forwards + backwards to the input",
            .source = "Kapishnikov et al. 2021, arXiv:2106.09788",
            .assumes = "the baseline shows nothing",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
