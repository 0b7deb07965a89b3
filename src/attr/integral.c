/* Integrated gradients' integral, for the methods that take it: see integratedgradients.c. */
#include "attr/integral.h"

#include <math.h>
#include <string.h>

typedef struct way {
    const float *from, *to; /* [count] */
    int64_t count;
    int steps;
    double *places, *weights; /* [steps], in 0..1, in the order in which they are run */
    double weight;            /* of those that were taken */
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

static void riemann(int n, double *places, double *weights)
{
    for (int i = 0; i < n; i++) {
        places[i] = n > 1 ? (double)i / (n - 1) : 0;
        weights[i] = 1.0 / n;
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
    w->weight += i < 2 ? 0 : w->weights[i - 2];
}

/* Under a time limit the places are run in an order of which every beginning is spread over the way, from the middle on: by
 * their numbers with the bits reversed and the lowest turned. Then a part of them is an estimate of the whole. */
static ng_status spread_order(way *w, ng_error *err)
{
    double *copy = ngi_alloc(2 * (size_t)w->steps, sizeof *copy);
    int bits = 0, n = 0;
    if (!copy)
        return ngi_fail_memory(err, 2 * (size_t)w->steps * sizeof *copy);
    memcpy(copy, w->places, 2 * (size_t)w->steps * sizeof *copy); /* the weights lie behind them */
    while (1 << bits < w->steps)
        bits++;
    for (int i = 0; i < 1 << bits; i++) {
        int from = 0;
        for (int b = 0; b < bits; b++)
            from |= ((i >> b & 1) ^ (b == 0)) << (bits - 1 - b);
        if (from < w->steps) {
            w->places[n] = copy[from];
            w->weights[n++] = copy[w->steps + from];
        }
    }
    ngi_free(copy);
    return NG_OK;
}

static ng_status integrate(const ngi_attr_job *job, way *w, ngi_integral *out, ng_error *err)
{
    if (job->seconds > 0)
        NGI_TRY(spread_order(w, err));
    ngi_sampling s = {.count = w->steps + 2,
                      .least = 3, /* both ends and a gradient */
                      .gradient_node = job->graph->inputs[0],
                      .make = make,
                      .take = take,
                      .context = w};
    int done;
    NGI_TRY(ngi_part_whole(job, &s.part, err));
    NGI_TRY(ngi_attr_sample(job, &s, &done, err));
    double norm = 0;
    *out = (ngi_integral){.gradients = done - 2, .first = w->first, .last = w->last};
    for (int64_t k = 0; k < w->count; k++) {
        if (done < s.count)
            w->sums[k] /= w->weight;
        norm += w->sums[k] * w->sums[k];
        w->sums[k] *= (double)w->to[k] - w->from[k];
        out->sum += w->sums[k];
    }
    out->norm = sqrt(norm);
    return NG_OK;
}

ng_status ngi_integrate(const ngi_attr_job *job, const float *from, int steps, ngi_rule rule, double *values,
                        ngi_integral *out, ng_error *err)
{
    void (*const rules[])(int, double *, double *) = {legendre, trapezoid, riemann};
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    way w = {
        .from = from, .to = job->input, .count = ngi_shape_count(&shape), .steps = steps, .sums = values};
    w.places = ngi_alloc(2 * (size_t)steps, sizeof *w.places);
    if (!w.places)
        return ngi_fail_memory(err, 2 * (size_t)steps * sizeof *w.places);
    w.weights = w.places + steps;
    memset(values, 0, (size_t)w.count * sizeof *values);
    rules[rule](steps, w.places, w.weights);
    ng_status status = integrate(job, &w, out, err);
    ngi_free(w.places);
    return status;
}
