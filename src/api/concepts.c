/* ng_concepts: the session's network run on crops and images, for src/attr/concepts.c. */
#include "attr/concepts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"

struct ng_concepts {
    ng_session *session;
    ng_concepts_opts opts;
    int layer, class_index, images;
    ngi_shape input, cells; /* of the network; of the layer */
    float *crops;           /* [batch] inputs */
    float *planes;          /* [2,h,w] */
    float *directions;      /* [k,channels] of length 1, after learning */
    double *lengths;        /* [k] of the bank's rows */
    ngi_concepts bank;
};

void ng_concepts_opts_init(ng_concepts_opts *opts)
{
    *opts = (ng_concepts_opts){.struct_size = sizeof *opts,
                               .count = 10,
                               .crops = 4,
                               .crop = 0.3,
                               .iterations = 200,
                               .design = 32,
                               .threads = 1};
}

void ng_concepts_free(ng_concepts *c)
{
    if (!c)
        return;
    ngi_concepts_clear(&c->bank);
    ngi_free(c->crops);
    ngi_free(c->planes);
    ngi_free(c->directions);
    ngi_free(c->lengths);
    ngi_free(c);
}

static ng_status check_opts(const ng_concepts_opts *o, ng_error *err)
{
    if (o->count < 1 || o->count > NGI_NMF_MOST || o->crops < 1 || o->crops > 16 ||
        !(o->crop >= 0.05 && o->crop <= 1))
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "%d concepts of %d crops a side of %g of the image: expected 1 to %d, 1 to 16, 0.05 to 1",
            o->count, o->crops, o->crop, NGI_NMF_MOST);
    if (o->iterations < 1 || o->iterations > 100000 || o->design < 2 || o->design > 1024)
        return ngi_fail(err, NG_E_ARGUMENT, "%d iterations, %d points: expected 1 to 100000, 2 to 1024",
                        o->iterations, o->design);
    return NG_OK;
}

ng_status ng_concepts_create(ng_session *session, int layer, int class_index, const ng_concepts_opts *opts,
                             ng_concepts **out, ng_error *err)
{
    *out = NULL;
    ng_concepts_opts defaults;
    ng_concepts_opts_init(&defaults);
    opts = opts ? opts : &defaults;
    NGI_TRY(check_opts(opts, err));
    const ngi_graph *g = ngi_session_model(session)->graph;
    if (layer < 0 || layer >= g->n_layers)
        return ngi_fail(err, NG_E_ARGUMENT, "layer %d: the model has layers 0 to %d", layer, g->n_layers - 1);
    NGI_TRY(ngi_attr_check_spatial(g, layer, err));
    ng_concepts *c = ngi_alloc_zero(1, sizeof *c);
    if (!c)
        return ngi_fail_memory(err, sizeof *c);
    c->session = session;
    c->opts = *opts;
    c->layer = layer;
    c->class_index = class_index;
    c->input = ngi_attr_input_shape(g);
    c->cells = g->nodes[g->layers[layer].node].shape;
    size_t count = (size_t)ngi_shape_count(&c->input), k = (size_t)opts->count;
    c->crops = ngi_alloc((size_t)ngi_session_batch(session) * count, sizeof *c->crops);
    c->planes = ngi_alloc(2 * (size_t)(c->input.dim[0] * c->input.dim[1]), sizeof *c->planes);
    c->directions = ngi_alloc_zero(k * (size_t)c->cells.dim[2], sizeof *c->directions);
    c->lengths = ngi_alloc_zero(k, sizeof *c->lengths);
    ng_status status = c->crops && c->planes && c->directions && c->lengths
                           ? ngi_concepts_init(opts->count, c->cells.dim[2], &c->bank, err)
                           : ngi_fail_memory(err, count * sizeof(float));
    if (status != NG_OK) {
        ng_concepts_free(c);
        return status;
    }
    *out = c;
    return NG_OK;
}

static ng_status add_crops(ng_concepts *c, const float *input, ng_error *err)
{
    int total = c->opts.crops * c->opts.crops, batch = ngi_session_batch(c->session);
    int64_t count = ngi_shape_count(&c->input), cells = c->cells.dim[0] * c->cells.dim[1];
    for (int first = 0; first < total; first += batch) {
        int n = total - first < batch ? total - first : batch;
        for (int i = 0; i < n; i++)
            ngi_concepts_crop(input, &c->input, first + i, c->opts.crops, c->opts.crop, c->planes,
                              c->crops + i * count);
        NGI_TRY(ng_session_run(c->session, c->crops, n, err));
        const float *act = ng_session_activations(c->session, c->layer);
        if (!act)
            return ngi_fail(err, NG_E_ARGUMENT, "layer %d was not named when the session was created",
                            c->layer);
        for (int i = 0; i < n; i++)
            NGI_TRY(ngi_concepts_add(&c->bank, act + i * cells * c->cells.dim[2], cells, err));
    }
    return NG_OK;
}

ng_status ng_concepts_add(ng_concepts *c, const float *input, ng_error *err)
{
    ng_status status = add_crops(c, input, err);
    c->images += status == NG_OK;
    c->bank.rows = (int64_t)c->images * c->opts.crops * c->opts.crops; /* all of an image's or none */
    return status;
}

ng_status ng_concepts_learn(ng_concepts *c, ng_error *err)
{
    if (c->images == 0)
        return ngi_fail(err, NG_E_ARGUMENT, "no image was added: there is nothing to learn concepts from");
    NGI_TRY(ngi_concepts_learn(&c->bank, c->opts.iterations, c->opts.seed, c->opts.progress, c->opts.context,
                               err));
    for (int p = 0; p < c->bank.k; p++) {
        const double *row = c->bank.h + p * c->bank.channels;
        double square = 0;
        for (int64_t k = 0; k < c->bank.channels; k++)
            square += row[k] * row[k];
        c->lengths[p] = sqrt(square);
        for (int64_t k = 0; k < c->bank.channels; k++)
            c->directions[p * c->bank.channels + k] = square > 0 ? (float)(row[k] / c->lengths[p]) : 0;
    }
    return NG_OK;
}

static ng_status check_learnt(const ng_concepts *c, ng_error *err)
{
    return c->bank.h ? NG_OK : ngi_fail(err, NG_E_ARGUMENT, "the concepts have not been learnt yet");
}

ng_status ng_concepts_weigh(ng_concepts *c, const float *input, ng_error *err)
{
    ng_explain_opts request;
    ngi_attr_job job;
    NGI_TRY(check_learnt(c, err));
    NGI_TRY(ng_session_run(c->session, input, 1, err));
    ng_explain_opts_init(&request);
    request.layer = c->layer;
    request.class_index = c->class_index;
    request.threads = c->opts.threads;
    request.progress = c->opts.progress;
    request.context = c->opts.context;
    NGI_TRY(ngi_session_job(c->session, 0, &request, &job, err));
    return ngi_concepts_weigh(&c->bank, &job, c->opts.design, c->opts.seed, err);
}

/* The strongest crop of each image, strongest first. */
static void find_examples(const ng_concepts *c, int concept, ng_concept *out)
{
    int per_image = c->opts.crops * c->opts.crops;
    for (int i = 0; i < NG_CONCEPT_EXAMPLES; i++)
        out->examples[i] = (ng_concept_example){.image = -1};
    for (int image = 0; image < c->images; image++) {
        int best = image * per_image;
        for (int row = best; row < (image + 1) * per_image; row++)
            if (c->bank.w[row * c->bank.k + concept] > c->bank.w[best * c->bank.k + concept])
                best = row;
        double box[4], strength = c->bank.w[best * c->bank.k + concept] * c->lengths[concept];
        int at = NG_CONCEPT_EXAMPLES;
        while (at > 0 && (out->examples[at - 1].image < 0 || out->examples[at - 1].strength < strength))
            at--;
        if (at == NG_CONCEPT_EXAMPLES)
            continue;
        memmove(out->examples + at + 1, out->examples + at,
                (size_t)(NG_CONCEPT_EXAMPLES - 1 - at) * sizeof *out->examples);
        ngi_concepts_box(1, 1, best % per_image, c->opts.crops, c->opts.crop, box);
        out->examples[at] = (ng_concept_example){image, box[1], box[0], box[3], box[2], strength};
    }
}

ng_status ng_concepts_describe(const ng_concepts *c, int rank, ng_concept *out, ng_error *err)
{
    *out = (ng_concept){0};
    NGI_TRY(check_learnt(c, err));
    if (rank < 0 || rank >= c->bank.k)
        return ngi_fail(err, NG_E_ARGUMENT, "concept %d: there are 0 to %d", rank, c->bank.k - 1);
    int concept = c->bank.order[rank], n = c->bank.images;
    double own = 0, all = 0;
    for (int64_t row = 0; row < c->bank.rows; row++)
        for (int p = 0; p < c->bank.k; p++) {
            double strength = c->bank.w[row * c->bank.k + p] * c->lengths[p];
            all += strength;
            own += p == concept ? strength : 0;
        }
    out->importance = n ? c->bank.sums[concept] / n : 0;
    double variance =
        n > 1 ? (c->bank.squares[concept] - n * out->importance * out->importance) / (n - 1) : 0;
    out->error = n > 1 ? sqrt(fmax(variance, 0) / n) : 0;
    out->share = all > 0 ? own / all : 0;
    out->direction = c->directions + concept * c->bank.channels;
    out->channels = c->bank.channels;
    find_examples(c, concept, out);
    return NG_OK;
}

static ng_status make_map(const ng_concepts *c, int concept, const double *codes, ng_map *out, ng_error *err)
{
    int64_t cells = c->cells.dim[0] * c->cells.dim[1];
    *out = (ng_map){.height = (int)c->cells.dim[0], .width = (int)c->cells.dim[1]};
    out->data = ngi_alloc((size_t)cells, sizeof *out->data);
    out->signed_data = ngi_alloc((size_t)cells, sizeof *out->signed_data);
    if (!out->data || !out->signed_data)
        return ngi_fail_memory(err, 2 * (size_t)cells * sizeof(float));
    for (int64_t i = 0; i < cells; i++)
        out->data[i] = out->signed_data[i] = (float)(codes[i * c->bank.k + concept] * c->lengths[concept]);
    ngi_min_max(out->data, cells, &out->min, &out->max);
    out->signed_min = out->min;
    out->signed_max = out->max;
    out->layer = c->layer;
    out->class_index = c->class_index;
    out->logit = ng_session_logits(c->session)[c->class_index];
    out->probability = ng_session_probabilities(c->session)[c->class_index];
    if (!(out->max > 0)) {
        out->status = NG_MAP_CONSTANT;
        snprintf(out->note, sizeof out->note, "the concept is nowhere in this image");
    }
    return NG_OK;
}

ng_status ng_concepts_maps(ng_concepts *c, const float *input, ng_map *maps, ng_error *err)
{
    int64_t cells = c->cells.dim[0] * c->cells.dim[1];
    memset(maps, 0, (size_t)c->bank.k * sizeof *maps);
    NGI_TRY(check_learnt(c, err));
    NGI_TRY(ng_session_run(c->session, input, 1, err));
    double *codes = ngi_alloc((size_t)(cells * c->bank.k), sizeof *codes);
    if (!codes)
        return ngi_fail_memory(err, (size_t)(cells * c->bank.k) * sizeof *codes);
    ngi_nmf_encode(ng_session_activations(c->session, c->layer), cells, c->bank.channels, c->bank.h,
                   c->bank.k, codes);
    ng_status status = NG_OK;
    for (int r = 0; r < c->bank.k && status == NG_OK; r++)
        status = make_map(c, c->bank.order[r], codes, &maps[r], err);
    ngi_free(codes);
    for (int r = 0; r < c->bank.k && status != NG_OK; r++)
        ng_map_clear(&maps[r]);
    return status;
}
