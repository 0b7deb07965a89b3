/* Test-time augmentation of any method: the mean of its maps of the image and its mirror image, at several strengths of the
 * network's input. The versions are those of pytorch-grad-cam's aug_smooth (ttach's HorizontalFlip and Multiply): mirrored
 * or not, times 0.9, 1 and 1.1. Maps are averaged as they are, so that what they sum to keeps its meaning; under
 * NG_SMOOTH_SCALED each map's relu is scaled to 0..1 first, as there. A class is explained, and its rivals are those of the
 * image itself, whatever the versions' own scores. */
#include "attr/attr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const float factors[] = {1.0f, 0.9f, 1.1f};
enum { FACTORS = sizeof factors / sizeof *factors };

typedef struct versions {
    const ngi_attr_job *job;
    int done, total;
} versions;

/* The whole work's progress, from that of one version. */
static int report(void *context, int done, int total)
{
    const versions *v = context;
    int share = total > 0 ? (int)(1000.0 * done / total) : 0;
    return v->job->progress(v->job->context, 1000 * v->done + share, 1000 * v->total);
}

/* out = factor * the image, mirrored or not; [h,w,c]. */
static void make_version(const float *image, const ngi_shape *s, bool mirrored, float factor, float *out)
{
    int64_t width = s->dim[1], depth = s->dim[2];
    for (int64_t row = 0; row < s->dim[0]; row++)
        for (int64_t x = 0; x < width; x++) {
            const float *from = image + (row * width + (mirrored ? width - 1 - x : x)) * depth;
            for (int64_t c = 0; c < depth; c++)
                out[(row * width + x) * depth + c] = factor * from[c];
        }
}

/* The relu, scaled to 0..1 (pytorch-grad-cam's scale_cam_image). */
static void scale(float *values, int64_t n)
{
    float low, high;
    for (int64_t i = 0; i < n; i++)
        values[i] = values[i] > 0 ? values[i] : 0;
    ngi_min_max(values, n, &low, &high);
    for (int64_t i = 0; i < n; i++)
        values[i] = (values[i] - low) / (1e-7f + (high - low));
}

/* Adds a version's map, led back, to sums [h,w]. */
static void add(const ng_map *map, bool mirrored, double weight, double *sums)
{
    for (int y = 0; y < map->height; y++)
        for (int x = 0; x < map->width; x++)
            sums[y * map->width + x] +=
                weight * map->signed_data[y * map->width + (mirrored ? map->width - 1 - x : x)];
}

typedef struct room {
    ngi_run_session *run;
    float *input, *baseline;
    double *sums; /* [h,w] of the map */
} room;

static ng_status run_versions(const ngi_method *method, const ngi_attr_job *job, room *r, ng_map *map,
                              ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    int n_factors = job->smooth == NG_SMOOTH_FLIP ? 1 : FACTORS, total = 2 * n_factors;
    int64_t cells = (int64_t)map->height * map->width;
    versions v = {job, 0, total};
    ngi_attr_job one = *job;
    one.run = r->run;
    one.index = 0;
    one.input = r->input;
    one.smooth = NG_SMOOTH_NONE;
    one.seconds = job->seconds / total;
    one.progress = job->progress ? report : NULL;
    one.context = &v;
    double norm = 0;
    for (; v.done < total; v.done++) {
        bool mirrored = v.done % 2;
        make_version(job->input, &shape, mirrored, factors[v.done / 2], r->input);
        if (job->baseline)
            make_version(job->baseline, &shape, mirrored, 1, r->baseline);
        one.baseline = job->baseline ? r->baseline : NULL;
        const float *input = r->input;
        NGI_TRY(ngi_run_forward(r->run, &input, 1, err));
        memset(map->signed_data, 0, (size_t)cells * sizeof *map->signed_data); /* as methods find it */
        NGI_TRY(method->compute(&one, map, err));
        if (job->smooth == NG_SMOOTH_SCALED)
            scale(map->signed_data, cells);
        add(map, mirrored, 1.0 / total, r->sums);
        norm += map->gradient_norm / total;
    }
    for (int64_t i = 0; i < cells; i++)
        map->signed_data[i] = (float)r->sums[i];
    map->gradient_norm = norm;
    snprintf(map->note, sizeof map->note, "mean of %d maps: the image and its mirror image%s", total,
             n_factors > 1 ? ", each times 1, 0.9 and 1.1" : "");
    return NG_OK;
}

ng_status ngi_attr_augment(const ngi_method *method, const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    size_t count = (size_t)ngi_shape_count(&shape), cells = (size_t)map->height * (size_t)map->width;
    if (job->graph->n_inputs != 1)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "a model of %d inputs cannot be smoothed by mirroring one of them",
                        job->graph->n_inputs);
    room r = {.input = ngi_alloc(2 * count, sizeof *r.input), .sums = ngi_alloc_zero(cells, sizeof *r.sums)};
    r.baseline = r.input ? r.input + count : NULL;
    ng_status status =
        r.input && r.sums ? NG_OK : ngi_fail_memory(err, 2 * count * sizeof(float) + cells * sizeof(double));
    if (status == NG_OK)
        status = ngi_run_session_create(ngi_pool_plan(job->pool), &r.run, err);
    if (status == NG_OK)
        status = run_versions(method, job, &r, map, err);
    ngi_run_session_free(r.run);
    ngi_free(r.input);
    ngi_free(r.sums);
    return status;
}

/* ---- Names ---------------------------------------------------------------------------------- */

static const char *const names[] = {
#define TEXT(name, text) text,
    NG_SMOOTH_LIST(TEXT)
#undef TEXT
};

const char *ng_smooth_name(ng_smooth smooth)
{
    return (size_t)smooth < sizeof names / sizeof *names ? names[smooth] : "unknown";
}

ng_status ng_smooth_find(const char *name, ng_smooth *out, ng_error *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (ng_smooth)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT, "smoothing '%s' is not known; known: none, flip, augment, scaled",
                    name);
}
