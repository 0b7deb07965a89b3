/* Average drop and increase (Chattopadhay et al., Grad-CAM++, 2018), deletion and insertion (Petsiuk et al., RISE, 2018; the
 * authors remove 224 pixels a step, make them zero, and insert into a blur of 11x11), ROAD (Rong et al., 2022; the imputation is
 * in impute.c). All inputs are made first or on the way, run as samples of the network, and their probabilities kept. */
#include "metrics/faithfulness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attr/baseline.h"
#include "metrics/impute.h"

#define ROAD_NOISE 0.01 /* of the range from black to white: the authors' 0.01, whatever the input's scale */

/* Which inputs are run, in their order: the image times the map; then 0 .. steps deleted, 0 .. steps inserted; then most and
 * least relevant removed at each of ROAD's shares. */
typedef struct trial {
    const ngi_attr_job *job;
    const ng_faithfulness_opts *opts;
    int h, w, c, pixels;
    float *scaled;            /* [h,w] the map at the input, 0 to 1 */
    int *order;               /* [h*w] pixels, the most relevant first */
    float *deleted, *blurred; /* [h,w,c] what deleted pixels become, what is inserted into */
    uint8_t *removed;         /* [h,w] */
    float *imputed;           /* [2 road][h,w,c] */
    int n_drop, n_curve;      /* samples: 0 or 1, steps + 1 or 0 */
    int count;
    double *scores; /* [count] */
} trial;

void ng_faithfulness_opts_init(ng_faithfulness_opts *opts)
{
    *opts = (ng_faithfulness_opts){.struct_size = sizeof *opts,
                                   .drop = 1,
                                   .steps = 20,
                                   .deletion = "grey",
                                   .insertion = "blur",
                                   .blur = 10,
                                   .threads = 1};
}

/* ---- What is run ----------------------------------------------------------------------------- */

typedef struct ranked {
    float value;
    int pixel;
} ranked;

static int by_relevance(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->value != y->value ? (x->value > y->value ? -1 : 1)
                                : (x->pixel > y->pixel) - (x->pixel < y->pixel);
}

/* The pixels of the input in the order of the signed map. */
static ng_status rank_pixels(trial *t, const ng_map *map, ng_error *err)
{
    ranked *all = ngi_alloc((size_t)t->pixels, sizeof *all);
    if (!all)
        return ngi_fail_memory(err, (size_t)t->pixels * sizeof *all);
    const float *values = map->signed_data ? map->signed_data : map->data;
    ngi_resize_bilinear(values, map->height, map->width, 0, 0, map->height, map->width, t->scaled, t->h,
                        t->w);
    for (int p = 0; p < t->pixels; p++)
        all[p] = (ranked){t->scaled[p], p};
    qsort(all, (size_t)t->pixels, sizeof *all, by_relevance);
    for (int p = 0; p < t->pixels; p++)
        t->order[p] = all[p].pixel;
    ngi_free(all);
    return NG_OK;
}

void ngi_map_scale(const ng_map *map, int h, int w, float *out)
{
    float low, high;
    int64_t pixels = (int64_t)h * w;
    ngi_resize_bilinear(map->data, map->height, map->width, 0, 0, map->height, map->width, out, h, w);
    ngi_min_max(out, pixels, &low, &high);
    for (int64_t p = 0; p < pixels; p++)
        out[p] = high > low ? (out[p] - low) / (high - low) : 0;
}

void ngi_mask_input(const ngi_attr_job *job, const float *scaled, float *out)
{
    ngi_shape s = ngi_attr_input_shape(job->graph);
    int64_t depth = s.dim[2];
    for (int64_t i = 0; i < ngi_shape_count(&s); i++) {
        float black = job->black[i % depth];
        out[i] = black + (job->input[i] - black) * scaled[i / depth];
    }
}

/* How many pixels are changed at a point of a curve. */
static int64_t changed(const trial *t, int at)
{
    return ((int64_t)t->pixels * at + t->opts->steps / 2) / t->opts->steps;
}

static void exchange(const trial *t, int at, const float *from, const float *to, float *out)
{
    int64_t n = changed(t, at);
    memcpy(out, from, (size_t)t->pixels * (size_t)t->c * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        size_t p = (size_t)t->order[i] * (size_t)t->c;
        memcpy(out + p, to + p, (size_t)t->c * sizeof *out);
    }
}

static void make(void *context, int i, float *const *x)
{
    const trial *t = context;
    size_t image = (size_t)t->pixels * (size_t)t->c;
    if (i < t->n_drop)
        ngi_mask_input(t->job, t->scaled, x[0]);
    else if ((i -= t->n_drop) < t->n_curve)
        exchange(t, i, t->job->input, t->deleted, x[0]);
    else if ((i -= t->n_curve) < t->n_curve)
        exchange(t, i, t->blurred, t->job->input, x[0]);
    else
        memcpy(x[0], t->imputed + (size_t)(i - t->n_curve) * image, image * sizeof **x);
}

static void take(void *context, int i, double score, const float *gradient)
{
    (void)gradient;
    ((trial *)context)->scores[i] = score;
}

/* ---- What is made before --------------------------------------------------------------------- */

static ng_status find_baseline(const char *name, const char *what, ngi_baseline *out, ng_error *err)
{
    int index = 0;
    for (const char *p = NGI_BASELINE_CHOICES;; index++) {
        size_t length = strcspn(p, "|");
        if (name && strlen(name) == length && strncmp(p, name, length) == 0) {
            *out = (ngi_baseline)index;
            return NG_OK;
        }
        if (!p[length])
            return ngi_fail(err, NG_E_ARGUMENT, "%s: '%s' is not one of %s", what, name ? name : "",
                            NGI_BASELINE_CHOICES);
        p += length + 1;
    }
}

static ng_status make_baselines(trial *t, ng_error *err)
{
    ngi_baseline deletion = NGI_BASELINE_GREY, insertion = NGI_BASELINE_BLUR;
    NGI_TRY(find_baseline(t->opts->deletion, "deletion", &deletion, err));
    NGI_TRY(find_baseline(t->opts->insertion, "insertion", &insertion, err));
    NGI_TRY(ngi_baseline_make(t->job, deletion, t->opts->blur, t->deleted, err));
    return ngi_baseline_make(t->job, insertion, t->opts->blur, t->blurred, err);
}

/* At share k of road + 1 the most relevant pixels are imputed, then the least relevant ones. */
static ng_status make_imputed(trial *t, ng_error *err)
{
    double range = fabs((double)t->job->white[0] - t->job->black[0]);
    size_t image = (size_t)t->pixels * (size_t)t->c;
    for (int i = 0; i < 2 * t->opts->road; i++) {
        float *x = t->imputed + (size_t)i * image;
        int64_t n = (int64_t)t->pixels * (i / 2 + 1) / (t->opts->road + 1);
        memcpy(x, t->job->input, image * sizeof *x);
        memset(t->removed, 0, (size_t)t->pixels);
        for (int64_t p = 0; p < n; p++)
            t->removed[t->order[i % 2 ? t->pixels - 1 - p : p]] = 1;
        NGI_TRY(
            ngi_impute(x, t->h, t->w, t->c, t->removed, ROAD_NOISE * range, t->opts->seed, (uint64_t)i, err));
    }
    return NG_OK;
}

static ng_status allocate(trial *t, ng_error *err)
{
    size_t pixels = (size_t)t->pixels, image = pixels * (size_t)t->c, road = 2 * (size_t)t->opts->road;
    t->scaled = ngi_alloc(pixels, sizeof *t->scaled);
    t->order = ngi_alloc(pixels, sizeof *t->order);
    t->deleted = ngi_alloc(image, sizeof *t->deleted);
    t->blurred = ngi_alloc(image, sizeof *t->blurred);
    t->removed = ngi_alloc(pixels, 1);
    t->imputed = ngi_alloc(road * image, sizeof *t->imputed);
    t->scores = ngi_alloc((size_t)t->count, sizeof *t->scores);
    return t->scaled && t->order && t->deleted && t->blurred && t->removed && t->imputed && t->scores
               ? NG_OK
               : ngi_fail_memory(err, (road + 2) * image * sizeof(float));
}

static void trial_clear(trial *t)
{
    ngi_free(t->scaled);
    ngi_free(t->order);
    ngi_free(t->deleted);
    ngi_free(t->blurred);
    ngi_free(t->removed);
    ngi_free(t->imputed);
    ngi_free(t->scores);
}

/* ---- What comes of it ------------------------------------------------------------------------ */

/* RISE's (sum - ends / 2) / (n - 1) of n = steps + 1 points. */
static double area(const double *scores, int steps)
{
    double sum = -(scores[0] + scores[steps]) / 2;
    for (int i = 0; i <= steps; i++)
        sum += scores[i];
    return sum / steps;
}

static void conclude(const trial *t, ng_faithfulness *out)
{
    const double *s = t->scores;
    double y = out->probability;
    if (t->n_drop) {
        out->drop = y > 0 ? fmax(0, y - s[0]) / y : 0;
        out->increase = s[0] > y;
        out->complexity = ngi_sum(t->scaled, t->pixels) / t->pixels;
        s++;
    }
    if (t->n_curve) {
        out->deletion = area(s, t->opts->steps);
        out->insertion = area(s + t->n_curve, t->opts->steps);
        s += 2 * t->n_curve;
    }
    int road = t->opts->road;
    if (road) {
        out->road_morf = out->road_lerf = 0;
        for (int i = 0; i < road; i++) {
            out->road_morf += s[2 * i] / road;
            out->road_lerf += s[2 * i + 1] / road;
        }
        out->road = (out->road_lerf - out->road_morf) / 2;
    }
    out->runs = t->count;
}

double ng_adcc(double coherency, double complexity, double drop)
{
    bool some = coherency > 0 && complexity < 1 && drop < 1;
    return some ? 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop)) : 0;
}

static ng_status run(trial *t, const ng_map *map, ng_error *err)
{
    ngi_sampling s = {.count = t->count, .gradient_node = -1, .make = make, .take = take, .context = t};
    NGI_TRY(allocate(t, err));
    NGI_TRY(rank_pixels(t, map, err));
    ngi_map_scale(map, t->h, t->w, t->scaled);
    if (t->n_curve)
        NGI_TRY(make_baselines(t, err));
    NGI_TRY(make_imputed(t, err));
    NGI_TRY(ngi_part_whole(t->job, &s.part, err));
    return ngi_attr_sample(t->job, &s, NULL, err);
}

static ng_status check(const ng_map *map, const ng_faithfulness_opts *o, ng_error *err)
{
    if (!map || !map->data || map->height < 1 || map->width < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "faithfulness needs a map with cells");
    if (o->steps < 0 || o->steps > 10000 || o->road < 0 || o->road > 99)
        return ngi_fail(err, NG_E_ARGUMENT, "%d steps, ROAD at %d shares: expected 0 to 10000 and 0 to 99",
                        o->steps, o->road);
    if (!(o->blur > 0 && o->blur <= 200))
        return ngi_fail(err, NG_E_ARGUMENT, "blur %g: expected above 0 to 200 pixels", o->blur);
    return NG_OK;
}

ng_status ngi_faithfulness(const ngi_attr_job *job, const ng_map *map, const ng_faithfulness_opts *opts,
                           ng_faithfulness *out, ng_error *err)
{
    NGI_TRY(check(map, opts, err));
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    trial t = {.job = job,
               .opts = opts,
               .h = (int)shape.dim[0],
               .w = (int)shape.dim[1],
               .c = (int)shape.dim[2],
               .n_drop = opts->drop != 0,
               .n_curve = opts->steps ? opts->steps + 1 : 0};
    t.pixels = t.h * t.w;
    t.count = t.n_drop + 2 * t.n_curve + 2 * opts->road;
    *out = (ng_faithfulness){job->probability, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0};
    ng_status status = t.count ? run(&t, map, err) : NG_OK;
    if (status == NG_OK && t.scores)
        conclude(&t, out);
    trial_clear(&t);
    return status;
}
