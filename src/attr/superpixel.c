#include "attr/superpixel.h"

#include "attr/partial.h"
#include "attr/slic.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Samples ---------------------------------------------------------------------------------- */

enum { LEAST = 4 }; /* of Kernel SHAP both ends and a pair */

static void make(void *context, int i, float *const *x)
{
    const ngi_study *s = context;
    const uint8_t *on = s->samples + (int64_t)i * s->n;
    for (int64_t p = 0; p < s->pixels; p++)
        memcpy(x[0] + p * s->depth, (on[s->labels[p]] ? s->input : s->cover) + p * s->depth,
               (size_t)s->depth * sizeof(float));
}

static void take(void *context, int i, double score, const float *gradient)
{
    (void)gradient;
    ((ngi_study *)context)->scores[i] = score;
}

typedef struct room {
    float *cover;
    int *labels;
    double *coefficients;
} room;

static ng_status sample_and_fit(const ngi_attr_job *job, const ngi_fitting *f, ngi_study *s, room *r,
                                ng_map *map, ng_error *err)
{
    int done;
    NGI_TRY(f->draw(job, s, (uint64_t)ngi_parameter(f->method, job, "seed"), err));
    ngi_sampling sampling = {
        .count = s->count, .least = LEAST, .gradient_node = -1, .make = make, .take = take, .context = s};
    NGI_TRY(ngi_part_whole(job, &sampling.part, err));
    NGI_TRY(ngi_attr_sample(job, &sampling, &done, err));
    NGI_TRY(f->fit(job, s, done, r->coefficients, err));
    for (int64_t p = 0; p < s->pixels; p++)
        map->signed_data[p] = (float)r->coefficients[r->labels[p]];
    char samples[NGI_DONE_TEXT], text[NGI_ERROR_TEXT];
    if (s->exact)
        snprintf(map->note, sizeof map->note, "all %d coalitions of %d superpixels: exact", done, s->n);
    else
        snprintf(map->note, sizeof map->note, "%s; %d superpixels; %s",
                 ngi_attr_done(samples, done, s->count, "samples"), s->n,
                 ngi_error_text(text, s->error, map));
    return NG_OK;
}

static ng_status run(const ngi_attr_job *job, const ngi_fitting *f, ngi_study *s, room *r, ng_map *map,
                     ng_error *err)
{
    const ngi_method *method = f->method;
    double range = 0;
    for (int64_t c = 0; c < s->depth; c++)
        range = fmax(range, fabs((double)job->white[c] - job->black[c]));
    NGI_TRY(ngi_baseline_make(job, (ngi_baseline)ngi_parameter(method, job, "baseline"),
                              ngi_parameter(method, job, "blur"), r->cover, err));
    NGI_TRY(ngi_slic(s->input, map->height, map->width, (int)s->depth, range,
                     (int)ngi_parameter(method, job, "segments"), ngi_parameter(method, job, "compactness"),
                     r->labels, &s->n, err));
    s->count = (int)ngi_parameter(method, job, "samples");
    s->cover = r->cover;
    s->labels = r->labels;
    size_t bits = (size_t)s->count * (size_t)s->n;
    if (s->n < 2)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: the image is one superpixel; ask for more segments",
                        method->info.name);
    s->samples = ngi_alloc(bits, 1);
    s->scores = ngi_alloc((size_t)s->count, sizeof *s->scores);
    r->coefficients = ngi_alloc_zero((size_t)s->n, sizeof *r->coefficients);
    ng_status status = s->samples && s->scores && r->coefficients ? sample_and_fit(job, f, s, r, map, err)
                                                                  : ngi_fail_memory(err, bits);
    ngi_free(s->samples);
    ngi_free(s->scores);
    ngi_free(r->coefficients);
    return status;
}

ng_status ngi_superpixel_map(const ngi_attr_job *job, const ngi_fitting *f, ng_map *map, ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    ngi_study s = {.input = job->input, .pixels = (int64_t)map->height * map->width, .depth = shape.dim[2]};
    room r = {.cover = ngi_alloc((size_t)(s.pixels * s.depth), sizeof *r.cover),
              .labels = ngi_alloc((size_t)s.pixels, sizeof *r.labels)};
    ng_status status = r.cover && r.labels
                           ? run(job, f, &s, &r, map, err)
                           : ngi_fail_memory(err, (size_t)(s.pixels * s.depth) * sizeof *r.cover);
    ngi_free(r.cover);
    ngi_free(r.labels);
    return status;
}
