/* CRAFT (Fel et al., "CRAFT: Concept recursive activation factorization for explainability", CVPR 2023): the mean
 * activations of crops of a class's images, factorised without negative numbers; a concept is a direction of the layer's
 * channels. What it does for the class is the total Sobol index of its strength. Crops are a fixed grid, resized
 * bilinearly; design points are a Latin hypercube from the seed, where the authors take a Halton sequence. The recursion
 * into earlier layers is left out. */
#include "attr/concepts.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

enum { BATCH = 32, MOST_DESIGN = 1024 };

ng_status ngi_concepts_init(int k, int64_t channels, ngi_concepts *out, ng_error *err)
{
    *out = (ngi_concepts){.k = k, .channels = channels};
    out->sums = ngi_alloc_zero(2 * (size_t)k, sizeof *out->sums);
    if (!out->sums)
        return ngi_fail_memory(err, 2 * (size_t)k * sizeof *out->sums);
    out->squares = out->sums + k;
    for (int i = 0; i < k; i++)
        out->order[i] = i;
    return NG_OK;
}

void ngi_concepts_clear(ngi_concepts *c)
{
    ngi_free(c->table);
    ngi_free(c->w);
    ngi_free(c->sums);
    *c = (ngi_concepts){0};
}

/* ---- Crops ------------------------------------------------------------------------------------ */

void ngi_concepts_box(int h, int w, int index, int per_side, double share, double box[4])
{
    double step = per_side > 1 ? (1 - share) / (per_side - 1) : 0, from = per_side > 1 ? 0 : (1 - share) / 2;
    double y = from + index / per_side * step, x = from + index % per_side * step;
    box[0] = y * h;
    box[1] = x * w;
    box[2] = (y + share) * h;
    box[3] = (x + share) * w;
}

void ngi_concepts_crop(const float *image, const ngi_shape *s, int index, int per_side, double share,
                       float *plane, float *out)
{
    int h = (int)s->dim[0], w = (int)s->dim[1], depth = (int)s->dim[2];
    int64_t pixels = (int64_t)h * w;
    double box[4];
    ngi_concepts_box(h, w, index, per_side, share, box);
    for (int k = 0; k < depth; k++) {
        float *large = plane + pixels;
        for (int64_t p = 0; p < pixels; p++)
            plane[p] = image[p * depth + k];
        ngi_resize_bilinear(plane, h, w, box[0], box[1], box[2], box[3], large, h, w);
        for (int64_t p = 0; p < pixels; p++)
            out[p * depth + k] = large[p];
    }
}

ng_status ngi_concepts_add(ngi_concepts *c, const float *act, int64_t cells, ng_error *err)
{
    if (c->rows == c->room) {
        int64_t room = c->room ? 2 * c->room : 64;
        double *more = ngi_realloc(c->table, (size_t)(room * c->channels), sizeof *more);
        if (!more)
            return ngi_fail_memory(err, (size_t)(room * c->channels) * sizeof *more);
        c->table = more;
        c->room = room;
    }
    double *row = c->table + c->rows++ * c->channels;
    memset(row, 0, (size_t)c->channels * sizeof *row);
    for (int64_t i = 0; i < cells; i++)
        for (int64_t k = 0; k < c->channels; k++)
            row[k] += act[i * c->channels + k] / (double)cells;
    for (int64_t k = 0; k < c->channels; k++)
        row[k] = fmax(row[k], 0);
    return NG_OK;
}

ng_status ngi_concepts_learn(ngi_concepts *c, int iterations, uint64_t seed,
                             int (*progress)(void *context, int done, int total), void *context,
                             ng_error *err)
{
    ngi_nmf f = {.a = c->table, .cells = c->rows, .channels = c->channels, .k = c->k};
    size_t count = ngi_nmf_room(c->rows, c->channels, c->k);
    double *room = ngi_alloc_zero(count, sizeof *room);
    if (!room)
        return ngi_fail_memory(err, count * sizeof *room);
    ngi_nmf_place(&f, room);
    ngi_nmf_begin(&f, seed);
    for (int i = 0; i < iterations; i++) {
        if (progress && progress(context, i, iterations)) {
            ngi_free(room);
            return ngi_fail(err, NG_E_CANCELLED, "interrupted after %d of %d iterations", i, iterations);
        }
        ngi_nmf_step(&f);
    }
    ngi_free(c->w);
    c->w = f.w;
    c->h = f.h;
    return NG_OK;
}

/* ---- Importance ------------------------------------------------------------------------------- */

typedef struct design {
    const ngi_concepts *c;
    int points;
    double *a, *b; /* [points,k] in 0..1 */
    double *codes; /* [cells,k] the image's concepts */
    int64_t cells;
    const float *const *base; /* of the part's starts */
    const int *starts;
    int n_starts;
    const ngi_graph *graph;
    double *scores; /* [points * (k + 1)]: of a, then of a with column p from b */
} design;

/* A Latin hypercube: each column has one point in each of `points` equal steps. */
static void draw(int points, int k, uint64_t seed, uint64_t stream, double *out)
{
    int order[MOST_DESIGN];
    for (int p = 0; p < k; p++) {
        for (int i = 0; i < points; i++)
            order[i] = i;
        for (int i = points - 1; i > 0; i--) {
            uint64_t at = (uint64_t)p * (uint64_t)points + (uint64_t)i;
            int other = (int)(ngi_random_uniform(seed, 2 * stream, at) * (i + 1)), swap = order[i];
            order[i] = order[other];
            order[other] = swap;
        }
        for (int i = 0; i < points; i++) {
            uint64_t at = (uint64_t)p * (uint64_t)points + (uint64_t)i;
            out[i * k + p] = (order[i] + ngi_random_uniform(seed, 2 * stream + 1, at)) / points;
        }
    }
}

static void make(void *context, int i, float *const *x)
{
    const design *d = context;
    const ngi_concepts *c = d->c;
    int column = i / d->points - 1, point = i % d->points;
    double m[NGI_NMF_MOST];
    for (int p = 0; p < c->k; p++)
        m[p] = (p == column ? d->b : d->a)[point * c->k + p];
    for (int s = 1; s < d->n_starts; s++)
        memcpy(x[s], d->base[s], (size_t)ngi_shape_count(&d->graph->nodes[d->starts[s]].shape) * sizeof **x);
    for (int64_t cell = 0; cell < d->cells; cell++) {
        float *to = x[0] + cell * c->channels;
        memset(to, 0, (size_t)c->channels * sizeof *to);
        for (int p = 0; p < c->k; p++) {
            double strength = m[p] * d->codes[cell * c->k + p];
            for (int64_t k = 0; k < c->channels && strength > 0; k++)
                to[k] += (float)(strength * c->h[p * c->channels + k]);
        }
    }
}

static void take(void *context, int i, double score, const float *gradient)
{
    (void)gradient;
    ((design *)context)->scores[i] = score;
}

static void add_indices(const design *d, ngi_concepts *c)
{
    int n = d->points;
    double mean = 0, variance = 0;
    for (int i = 0; i < n; i++)
        mean += d->scores[i] / n;
    for (int i = 0; i < n; i++)
        variance += (d->scores[i] - mean) * (d->scores[i] - mean) / (n - 1);
    for (int p = 0; p < c->k; p++) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            double moved = d->scores[i] - d->scores[(p + 1) * n + i];
            sum += moved * moved;
        }
        double index = variance > 0 ? sum / (2 * n * variance) : 0;
        c->sums[p] += index;
        c->squares[p] += index * index;
    }
    c->images++;
    for (int i = 0; i < c->k; i++) { /* insertion by importance; ties by number */
        int at = i;
        for (; at > 0 && c->sums[c->order[at - 1]] < c->sums[i]; at--)
            c->order[at] = c->order[at - 1];
        c->order[at] = i;
    }
}

ng_status ngi_concepts_weigh(ngi_concepts *c, const ngi_attr_job *job, int points, uint64_t seed,
                             ng_error *err)
{
    design d = {.c = c, .points = points, .graph = job->graph};
    const float *act = ngi_attr_activations(job, &d.cells, &(int64_t){0});
    size_t count = (size_t)(2 * points * c->k + d.cells * c->k + points * (c->k + 1));
    double *room = ngi_alloc(count, sizeof *room);
    if (!room)
        return ngi_fail_memory(err, count * sizeof *room);
    d.a = room;
    d.b = d.a + points * c->k;
    d.codes = d.b + points * c->k;
    d.scores = d.codes + d.cells * c->k;
    draw(points, c->k, seed, 0, d.a);
    draw(points, c->k, seed, 1, d.b);
    ngi_nmf_encode(act, d.cells, c->channels, c->h, c->k, d.codes);
    ngi_sampling s = {
        .count = points * (c->k + 1), .gradient_node = -1, .make = make, .take = take, .context = &d};
    ng_status status = ngi_part_tail(job, job->graph->layers[job->layer].node, BATCH, false, &s.part, err);
    if (status == NG_OK) {
        d.n_starts = ngi_part_starts(s.part, &d.starts);
        status = ngi_part_base(job, s.part, &d.base, err);
    }
    if (status == NG_OK)
        status = ngi_attr_sample(job, &s, NULL, err);
    if (status == NG_OK)
        add_indices(&d, c);
    ngi_free(room);
    return status;
}
