/* Deep feature factorisation (Collins et al., 2018): the activations [cells,channels], where positive, as a product W H of
 * non-negative factors by multiplicative updates (Lee & Seung, 2001). A column of W shows where a concept is; the map is
 * that of the concept asked for, in the order of their share in the class score: sum_cells W h . dS/dA. */
#include "attr/attr.h"
#include "attr/nmf.h"

#include <math.h>
#include <stdio.h>

static const ng_method_parameter parameters[] = {
    {.name = "concepts",
     .value = 4,
     .low = 1,
     .high = NGI_NMF_MOST,
     .whole = 1,
     .summary = "that the activations are taken apart into"},
    {.name = "concept",
     .value = 1,
     .low = 1,
     .high = NGI_NMF_MOST,
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

/* The concept of this rank by its share in the score. */
static int choose(const ngi_nmf *f, const float *gradient, int rank, double *share)
{
    double shares[NGI_NMF_MOST];
    int order[NGI_NMF_MOST];
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
    size_t count = (size_t)(p.cells * p.channels) + ngi_nmf_room(p.cells, p.channels, k);
    double *room = ngi_alloc_zero(count, sizeof *room), share;
    if (!room)
        return ngi_fail_memory(err, count * sizeof *room);
    for (int64_t i = 0; i < p.cells * p.channels; i++)
        room[i] = p.act[i] > 0 ? p.act[i] : 0;
    ngi_nmf f = {.a = room, .cells = p.cells, .channels = p.channels, .k = k};
    ngi_nmf_place(&f, room + p.cells * p.channels);
    ngi_nmf_begin(&f, (uint64_t)ngi_parameter(&ngi_method_dff, job, "seed"));
    int iterations = (int)ngi_parameter(&ngi_method_dff, job, "iterations");
    double end = job->seconds > 0 ? ngi_attr_seconds() + job->seconds : INFINITY;
    ng_status status = NG_OK;
    int done = 0;
    for (; done < iterations && status == NG_OK && (done == 0 || ngi_attr_seconds() < end); done++) {
        ngi_nmf_step(&f);
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
        char updates[NGI_DONE_TEXT];
        snprintf(map->note, sizeof map->note, "concept %d of %d; its share in the score: %.4g; %s", rank, k,
                 share, ngi_attr_done(updates, done, iterations, "iterations"));
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
