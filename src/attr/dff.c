/* Deep feature factorisation (Collins et al., 2018): the activations [cells,channels], where positive, as a product W H of
 * non-negative factors by multiplicative updates (Lee & Seung, 2001). A column of W shows where a concept is; the map is
 * that of the concept asked for, in the order of their share in the class score: sum_cells W h . dS/dA. */
#include "attr/attr.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ng_method_parameter parameters[] = {
    {.name = "concepts",
     .value = 4,
     .low = 1,
     .high = 32,
     .whole = 1,
     .summary = "that the activations are taken apart into"},
    {.name = "concept",
     .value = 1,
     .low = 1,
     .high = 32,
     .whole = 1,
     .summary = "whose map is drawn; 1: what speaks most for the class"},
    {.name = "iterations",
     .value = 200,
     .low = 1,
     .high = 100000,
     .whole = 1,
     .summary = "of the factorisation"},
    {.name = "seed", .value = 0, .low = 0, .high = 4294967295.0, .whole = 1, .summary = "of its beginning"},
};

extern const ngi_method ngi_method_dff;

static const double tiny = 1e-12; /* keeps divisions finite */

typedef struct factors {
    const double *a; /* [cells,channels], not negative */
    double *w, *h;   /* [cells,k], [k,channels] */
    double *square;  /* [k,k] */
    double *ratio;   /* [k * (cells or channels)] */
    int64_t cells, channels;
    int k;
} factors;

/* H *= (W^T A) / (W^T W H) */
static void update_h(factors *f)
{
    memset(f->square, 0, (size_t)f->k * (size_t)f->k * sizeof *f->square);
    memset(f->ratio, 0, (size_t)f->k * (size_t)f->channels * sizeof *f->ratio);
    for (int64_t i = 0; i < f->cells; i++)
        for (int p = 0; p < f->k; p++) {
            double w = f->w[i * f->k + p];
            for (int q = 0; q < f->k; q++)
                f->square[p * f->k + q] += w * f->w[i * f->k + q];
            for (int64_t c = 0; c < f->channels && w != 0; c++)
                f->ratio[p * f->channels + c] += w * f->a[i * f->channels + c];
        }
    for (int64_t c = 0; c < f->channels; c++) {
        double column[32];
        for (int p = 0; p < f->k; p++) {
            double below = tiny;
            for (int q = 0; q < f->k; q++)
                below += f->square[p * f->k + q] * f->h[q * f->channels + c];
            column[p] = f->h[p * f->channels + c] * f->ratio[p * f->channels + c] / below;
        }
        for (int p = 0; p < f->k; p++)
            f->h[p * f->channels + c] = column[p];
    }
}

/* W *= (A H^T) / (W H H^T) */
static void update_w(factors *f)
{
    for (int p = 0; p < f->k; p++)
        for (int q = 0; q < f->k; q++) {
            double sum = 0;
            for (int64_t c = 0; c < f->channels; c++)
                sum += f->h[p * f->channels + c] * f->h[q * f->channels + c];
            f->square[p * f->k + q] = sum;
        }
    for (int64_t i = 0; i < f->cells; i++) {
        double row[32];
        for (int p = 0; p < f->k; p++) {
            double above = 0, below = tiny;
            for (int64_t c = 0; c < f->channels; c++)
                above += f->a[i * f->channels + c] * f->h[p * f->channels + c];
            for (int q = 0; q < f->k; q++)
                below += f->w[i * f->k + q] * f->square[q * f->k + p];
            row[p] = f->w[i * f->k + p] * above / below;
        }
        memcpy(f->w + i * f->k, row, (size_t)f->k * sizeof *row);
    }
}

static void begin(factors *f, uint64_t seed)
{
    double mean = 0;
    for (int64_t i = 0; i < f->cells * f->channels; i++)
        mean += f->a[i] / (double)(f->cells * f->channels);
    double size = sqrt(mean / f->k);
    for (int64_t i = 0; i < f->cells * f->k; i++)
        f->w[i] = size * (0.5 + ngi_random_uniform(seed, 0, (uint64_t)i));
    for (int64_t i = 0; i < f->k * f->channels; i++)
        f->h[i] = size * (0.5 + ngi_random_uniform(seed, 1, (uint64_t)i));
}

/* The concept of this rank by its share in the score. */
static int choose(const factors *f, const float *gradient, int rank, double *share)
{
    double shares[32];
    int order[32];
    for (int p = 0; p < f->k; p++) {
        shares[p] = 0;
        for (int64_t i = 0; i < f->cells; i++)
            for (int64_t c = 0; c < f->channels; c++)
                shares[p] += f->w[i * f->k + p] * f->h[p * f->channels + c] * gradient[i * f->channels + c];
        int at = p;
        for (; at > 0 && shares[order[at - 1]] < shares[p]; at--)
            order[at] = order[at - 1];
        order[at] = p;
    }
    *share = shares[order[rank - 1]];
    return order[rank - 1];
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    int k = (int)ngi_parameter(&ngi_method_dff, job, "concepts"),
        rank = (int)ngi_parameter(&ngi_method_dff, job, "concept");
    if (rank > k)
        return ngi_fail(err, NG_E_ARGUMENT, "dff: concept %d of %d: it must be one of them", rank, k);
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    int64_t longest = p.cells > p.channels ? p.cells : p.channels;
    size_t count = (size_t)(p.cells * p.channels + (p.cells + p.channels + longest + k) * k);
    double *room = ngi_alloc_zero(count, sizeof *room), share;
    if (!room)
        return ngi_fail_memory(err, count * sizeof *room);
    for (int64_t i = 0; i < p.cells * p.channels; i++)
        room[i] = p.act[i] > 0 ? p.act[i] : 0;
    factors f = {.a = room, .cells = p.cells, .channels = p.channels, .k = k};
    f.w = room + p.cells * p.channels;
    f.h = f.w + p.cells * k;
    f.square = f.h + p.channels * k;
    f.ratio = f.square + k * k;
    begin(&f, (uint64_t)ngi_parameter(&ngi_method_dff, job, "seed"));
    int iterations = (int)ngi_parameter(&ngi_method_dff, job, "iterations");
    double end = job->seconds > 0 ? ngi_attr_seconds() + job->seconds : INFINITY;
    ng_status status = NG_OK;
    int done = 0;
    for (; done < iterations && status == NG_OK && (done == 0 || ngi_attr_seconds() < end); done++) {
        update_h(&f);
        update_w(&f);
        if (done % 16 == 15 && job->progress && job->progress(job->context, done, iterations))
            status = ngi_fail(err, NG_E_CANCELLED, "interrupted after %d of %d iterations", done, iterations);
    }
    if (status == NG_OK) {
        int concept = choose(&f, p.grad, rank, &share);
        double size = 0; /* of the concept's direction, so that maps of concepts can be compared */
        for (int64_t c = 0; c < p.channels; c++)
            size += f.h[concept * p.channels + c] * f.h[concept * p.channels + c];
        for (int64_t i = 0; i < p.cells; i++)
            map->signed_data[i] = (float)(f.w[i * k + concept] * sqrt(size));
        int n = snprintf(map->note, sizeof map->note, "concept %d of %d; its share in the score: %.4g", rank,
                         k, share);
        if (done < iterations)
            snprintf(map->note + n, sizeof map->note - (size_t)n, "; %d of %d iterations in the time given",
                     done, iterations);
    }
    ngi_free(room);
    return status;
}

const ngi_method ngi_method_dff = {
    .info =
        {
            .name = "dff",
            .title = "Deep feature factorisation",
            .summary = "activations taken apart into concepts, without labels; the map of one of them",
            .cost = "1 forward + backward to the layer, and the factorisation",
            .source = "Collins et al. 2018, arXiv:1806.10206",
            .assumes = "activations that are not negative: what is below zero is left out",
            .takes_gradient = 1,
            .at_layer = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
