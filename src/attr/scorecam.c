/* Score-CAM (Wang et al., 2020): every channel, upsampled to the input and scaled to 0..1, masks the input; the weights
 * are the softmax over channels of the scores. The score of a baseline that the paper subtracts is the same for all
 * channels and cancels in the softmax.
 *
 * Faster-Score-CAM (tf-keras-vis, max_N): only the channels that vary most; the others get no weight. Variant pgc
 * upsamples with aligned corners, as pytorch-grad-cam's UpsamplingBilinear2d does. Variant tkv does so too, and takes the
 * class's probability as a channel's weight, without a softmax over channels.
 *
 * Channels are scaled to 0..1 before they are upsampled as well as after: those that are multiples of one another, such as
 * all with the same single cell, are then one mask to the last bit, and have one score, which is computed once. So have
 * those without variation, which mask everything away. Where time is limited, channels come in an order drawn at random, and the map is that of a sample of them. */
#include "attr/attr.h"
#include "attr/partial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAPER, PGC, TKV };

static const ng_method_parameter parameters[] = {
    {.name = "variant",
     .choices = "paper|pgc|tkv",
     .summary = "paper; pgc: a channel is upsampled corner-aligned; tkv: so too, and its weight is the "
                "class's probability itself"},
    {.name = "channels",
     .value = 0,
     .low = 0,
     .high = 1e6,
     .whole = 1,
     .summary = "only so many channels, those that vary most (Faster-Score-CAM); 0: all"},
};

extern const ngi_method ngi_method_scorecam;

typedef struct masking {
    float *planes;      /* [channels,cells] */
    const float *input; /* [height,width,depth] */
    int64_t cells, depth;
    int h, w, height, width; /* of the map, of the input */
    bool aligned;
    const int *list; /* [count] channels */
    double *scores;  /* [count] */
} masking;

/* x[0] = input * mask. The mask is made in the first cells of x, then spread over the channels from the end. */
static void make(void *context, int i, float *const *x)
{
    const masking *m = context;
    float *out = x[0], low, high;
    int64_t pixels = (int64_t)m->height * m->width;
    const float *plane = m->planes + m->list[i] * m->cells;
    if (m->aligned)
        ngi_resize_aligned(plane, m->h, m->w, out, m->height, m->width);
    else
        ngi_resize_bilinear(plane, m->h, m->w, 0, 0, m->h, m->w, out, m->height, m->width);
    ngi_min_max(out, pixels, &low, &high);
    float scale = high > low ? 1 / (high - low) : 0;
    for (int64_t p = pixels - 1; p >= 0; p--) {
        float mask = (out[p] - low) * scale;
        for (int64_t c = m->depth - 1; c >= 0; c--)
            out[p * m->depth + c] = m->input[p * m->depth + c] * mask;
    }
}

static void take(void *context, int i, double score, const float *gradient)
{
    (void)gradient;
    ((masking *)context)->scores[i] = score;
}

/* ---- Which channels -------------------------------------------------------------------------- */

typedef struct spread {
    double value; /* standard deviation of the channel's cells */
    int channel;
} spread;

static int by_spread(const void *a, const void *b)
{
    const spread *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? 1 : -1) : x->channel - y->channel;
}

static int by_channel(const void *a, const void *b)
{
    return ((const spread *)a)->channel - ((const spread *)b)->channel;
}

/* The `wanted` channels that vary most, in their order. */
static void choose(const masking *m, int channels, int wanted, spread *list)
{
    for (int k = 0; k < channels; k++) {
        const float *plane = m->planes + k * m->cells;
        double mean = ngi_sum(plane, m->cells) / (double)m->cells, square = 0;
        for (int64_t i = 0; i < m->cells; i++)
            square += (plane[i] - mean) * (plane[i] - mean);
        list[k] = (spread){sqrt(square / (double)m->cells), k};
    }
    qsort(list, (size_t)channels, sizeof *list, by_spread);
    qsort(list, (size_t)wanted, sizeof *list, by_channel);
}

/* ---- Which have one mask --------------------------------------------------------------------- */

/* To 0..1, zeros where nothing varies. By division: what is the maximum becomes 1 whatever it was. */
static void scale_plane(float *plane, int64_t cells)
{
    float low, high;
    ngi_min_max(plane, cells, &low, &high);
    for (int64_t i = 0; i < cells; i++)
        plane[i] = high > low ? (plane[i] - low) / (high - low) : 0;
}

typedef struct candidate {
    const float *plane;
    size_t bytes;
    int channel;
} candidate;

static int by_plane(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    int order = memcmp(x->plane, y->plane, x->bytes);
    return order != 0 ? order : x->channel - y->channel;
}

static bool is_same(const candidate *a, const candidate *b)
{
    return memcmp(a->plane, b->plane, a->bytes) == 0;
}

/* ---- The map --------------------------------------------------------------------------------- */

/* weights [channels], zero for channels that are not among the n chosen: the softmax of their scores; or the scores
 * themselves, for the n to stand for all `wanted`. */
static void weigh(const spread *chosen, int n, int wanted, const int *sample_of, const double *scores,
                  bool softmax, double *weights)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        top = fmax(top, scores[sample_of[chosen[i].channel]]);
    for (int i = 0; i < n; i++)
        sum += exp(scores[sample_of[chosen[i].channel]] - top);
    for (int i = 0; i < n; i++) {
        double score = scores[sample_of[chosen[i].channel]];
        weights[chosen[i].channel] = softmax ? exp(score - top) / sum : score * wanted / n;
    }
}

typedef struct room {
    float *planes;
    spread *chosen;        /* [channels] */
    candidate *candidates; /* [channels] */
    int *list, *sample_of; /* [channels] each: of a sample, its channel; of a channel, its sample */
    double *scores, *weights;
    float *nothing; /* the input behind a mask of zeros */
} room;

/* The samples: one for every mask that a chosen channel has. In a hurry they come in an order drawn at random. */
static int list_samples(const masking *m, const room *r, int wanted, bool hurried)
{
    int count = 0;
    size_t bytes = (size_t)m->cells * sizeof *m->planes;
    for (int i = 0; i < wanted; i++) {
        float *plane = m->planes + r->chosen[i].channel * m->cells;
        scale_plane(plane, m->cells);
        r->candidates[i] = (candidate){plane, bytes, r->chosen[i].channel};
    }
    qsort(r->candidates, (size_t)wanted, sizeof *r->candidates, by_plane);
    const candidate *c = r->candidates;
    for (int i = 0; i < wanted; i++)
        if (i == 0 || !is_same(&c[i - 1], &c[i]))
            r->list[count++] = c[i].channel;
    if (hurried)
        ngi_partial_order(r->list, count);
    for (int s = 0; s < count; s++)
        r->sample_of[r->list[s]] = s;
    for (int i = 1; i < wanted; i++)
        if (is_same(&c[i - 1], &c[i]))
            r->sample_of[c[i].channel] = r->sample_of[c[i - 1].channel];
    return count;
}

/* What the map of the first n chosen channels is worth. */
static void say_partial(const ngi_attr_job *job, const ngi_attr_pair *p, const room *r, int n, int wanted,
                        bool softmax, ng_map *map)
{
    for (int i = 0; i < n; i++)
        r->list[i] = r->chosen[i].channel;
    ngi_partial partial = {.act = p->act,
                           .cells = p->cells,
                           .channels = p->channels,
                           .seen = r->list,
                           .weights = r->weights,
                           .ratio = softmax,
                           .n = n,
                           .total = wanted};
    ngi_partial_note(map, "channels", n, wanted, job->eigen ? -1 : ngi_partial_error(&partial, map));
}

static ng_status compute_in(const ngi_attr_job *job, const ngi_attr_pair *p, room *r, ng_map *map,
                            ng_error *err)
{
    ngi_shape input = ngi_attr_input_shape(job->graph);
    int channels = (int)p->channels, budget = (int)ngi_parameter(&ngi_method_scorecam, job, "channels");
    int variant = (int)ngi_parameter(&ngi_method_scorecam, job, "variant");
    int wanted = budget > 0 && budget < channels ? budget : channels, count, done;
    for (int64_t i = 0; i < p->cells; i++)
        for (int64_t k = 0; k < p->channels; k++)
            r->planes[k * p->cells + i] = p->act[i * p->channels + k];
    masking m = {.planes = r->planes,
                 .input = job->input,
                 .cells = p->cells,
                 .depth = input.dim[2],
                 .h = map->height,
                 .w = map->width,
                 .height = (int)input.dim[0],
                 .width = (int)input.dim[1],
                 .aligned = variant != PAPER,
                 .list = r->list,
                 .scores = r->scores};
    for (int64_t i = 0; i < ngi_shape_count(&input); i++)
        r->nothing[i] = m.input[i] * 0.0f; /* of the input's sign, as behind a mask */
    choose(&m, channels, wanted, r->chosen);
    count = list_samples(&m, r, wanted, job->seconds > 0);
    const float *base = r->nothing;
    ngi_sampling s = {
        .count = count, .gradient_node = -1, .base = &base, .make = make, .take = take, .context = &m};
    NGI_TRY(ngi_part_whole(job, &s.part, err));
    ngi_attr_job scored = *job;
    scored.target.kind = variant == TKV ? NG_TARGET_PROBABILITY : job->target.kind;
    NGI_TRY(ngi_attr_sample(&scored, &s, &done, err));
    int kept = 0; /* channels that time did not suffice for get no weight */
    for (int i = 0; i < wanted; i++)
        if (r->sample_of[r->chosen[i].channel] < done)
            r->chosen[kept++] = r->chosen[i];
    weigh(r->chosen, kept, wanted, r->sample_of, r->scores, variant != TKV, r->weights);
    NGI_TRY(ngi_attr_weigh(job, p, r->weights, map, err));
    if (kept < wanted)
        say_partial(job, p, r, kept, wanted, variant != TKV, map);
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p = {0};
    p.act = ngi_attr_activations(job, &p.cells, &p.channels);
    ngi_shape input = ngi_attr_input_shape(job->graph);
    size_t n = (size_t)p.channels, inputs = (size_t)ngi_shape_count(&input);
    room r = {.planes = ngi_alloc(n * (size_t)p.cells, sizeof *r.planes),
              .chosen = ngi_alloc(n, sizeof *r.chosen),
              .candidates = ngi_alloc(n, sizeof *r.candidates),
              .list = ngi_alloc(n, sizeof *r.list),
              .sample_of = ngi_alloc(n, sizeof *r.sample_of),
              .scores = ngi_alloc(n, sizeof *r.scores),
              .weights = ngi_alloc_zero(n, sizeof *r.weights),
              .nothing = ngi_alloc(inputs, sizeof *r.nothing)};
    bool all =
        r.nothing && r.planes && r.chosen && r.candidates && r.list && r.sample_of && r.scores && r.weights;
    ng_status status =
        all ? compute_in(job, &p, &r, map, err) : ngi_fail_memory(err, n * (size_t)p.cells * sizeof(float));
    ngi_free(r.planes);
    ngi_free(r.chosen);
    ngi_free(r.candidates);
    ngi_free(r.list);
    ngi_free(r.sample_of);
    ngi_free(r.scores);
    ngi_free(r.weights);
    ngi_free(r.nothing);
    return status;
}

const ngi_method ngi_method_scorecam = {
    .info =
        {
            .name = "scorecam",
            .title = "Score-CAM",
            .summary = "channels weighted by the score of the input that they let through",
            .cost = "1 forward for each channel that varies in its own way",
            .source = "Wang et al. 2020, arXiv:1910.01279",
            .assumes = "a masked image still looks like an image to the network",
            .at_layer = 1,
            .sums_channels = 1,
            .samples = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
