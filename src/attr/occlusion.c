/* Occlusion (Zeiler & Fergus, 2014): how much the score falls when a window is covered. The value of a pixel is the mean
 * fall over the windows that cover it (captum.attr.Occlusion). Windows that change nothing are not run. Where time is limited,
 * windows come in an order drawn at random, so that the whole image is seen coarsely rather than its upper part. */
#include "attr/attr.h"
#include "attr/baseline.h"
#include "attr/partial.h"

#include <math.h>
#include <string.h>

static const ng_method_parameter parameters[] = {
    {.name = "window",
     .value = 0,
     .low = 0,
     .high = 10000,
     .whole = 1,
     .summary = "side in pixels of the input; 0: an eighth of it"},
    {.name = "stride",
     .value = 0,
     .low = 0,
     .high = 10000,
     .whole = 1,
     .summary = "pixels from window to window; 0: half a window"},
    {.name = "baseline",
     .value = NGI_BASELINE_GREY,
     .choices = NGI_BASELINE_CHOICES,
     .summary = "what covers the window"},
    {.name = "blur",
     .value = 10,
     .low = 0.1,
     .high = 200,
     .summary = "of baseline blur: standard deviation in pixels"},
};

extern const ngi_method ngi_method_occlusion;

typedef struct covering {
    const float *input;
    float *cover; /* [h,w,c] */
    int h, w, depth, window, stride, columns, rows;
    const int *list; /* [count] windows to run */
    double *scores;  /* [rows * columns] */
} covering;

/* Where a window begins; the last one of an axis is cut off at the input's end. */
static void place(const covering *o, int window, int *y, int *x)
{
    *y = window / o->columns * o->stride;
    *x = window % o->columns * o->stride;
}

static int end_of(int start, int window, int size)
{
    return start + window < size ? start + window : size;
}

static void make(void *context, int i, float *const *x)
{
    const covering *o = context;
    int top, left;
    memcpy(x[0], o->input, (size_t)o->h * (size_t)o->w * (size_t)o->depth * sizeof **x);
    place(o, o->list[i], &top, &left);
    size_t row = (size_t)(end_of(left, o->window, o->w) - left) * (size_t)o->depth * sizeof **x;
    for (int y = top; y < end_of(top, o->window, o->h); y++)
        memcpy(x[0] + ((int64_t)y * o->w + left) * o->depth, o->cover + ((int64_t)y * o->w + left) * o->depth,
               row);
}

static void take(void *context, int i, double score, const float *gradient)
{
    covering *o = context;
    (void)gradient;
    o->scores[o->list[i]] = score;
}

static bool changes(const covering *o, int window)
{
    int top, left;
    place(o, window, &top, &left);
    size_t row = (size_t)(end_of(left, o->window, o->w) - left) * (size_t)o->depth * sizeof(float);
    for (int y = top; y < end_of(top, o->window, o->h); y++) {
        int64_t at = ((int64_t)y * o->w + left) * o->depth;
        if (memcmp(o->input + at, o->cover + at, row) != 0)
            return true;
    }
    return false;
}

typedef struct room {
    int *list;
    bool *done;     /* [windows] */
    double *scores; /* [windows] */
    double *sums, *squares, *counts,
        *windows_of; /* [h,w]: of the falls of the windows run; how many there are */
} room;

/* Mean over the windows of each pixel of score - window's score. */
static void spread(const covering *o, const room *r, double score, ng_map *map)
{
    for (int k = 0; k < o->rows * o->columns; k++) {
        int top, left;
        double fall = score - o->scores[k];
        place(o, k, &top, &left);
        for (int y = top; y < end_of(top, o->window, o->h); y++)
            for (int x = left; x < end_of(left, o->window, o->w); x++) {
                int at = y * o->w + x;
                r->windows_of[at]++;
                r->counts[at] += r->done[k];
                r->sums[at] += r->done[k] ? fall : 0;
                r->squares[at] += r->done[k] ? fall * fall : 0;
            }
    }
    for (int i = 0; i < o->h * o->w; i++)
        map->signed_data[i] = r->counts[i] > 0 ? (float)(r->sums[i] / r->counts[i]) : 0;
}

/* Mean standard error of the pixels that were covered at all: the variance of a pixel's falls, pooled over the pixels that were
 * covered twice, over c of the pixel's C windows without replacement. -1: no pixel was. */
static double error_of(const covering *o, const room *r)
{
    double squares = 0, freedom = 0, sum = 0, seen = 0;
    for (int i = 0; i < o->h * o->w; i++)
        if (r->counts[i] >= 2) {
            squares += fmax(r->squares[i] - r->sums[i] * r->sums[i] / r->counts[i], 0);
            freedom += r->counts[i] - 1;
        }
    if (freedom == 0)
        return -1;
    for (int i = 0; i < o->h * o->w; i++)
        if (r->counts[i] > 0) {
            sum += sqrt(squares / freedom * (1 / r->counts[i] - 1 / r->windows_of[i]));
            seen++;
        }
    return sum / seen;
}

static ng_status run(const ngi_attr_job *job, covering *o, room *r, ng_map *map, ng_error *err)
{
    int windows = o->rows * o->columns, count = 0, taken;
    size_t at = (size_t)job->index * (size_t)job->head->width;
    double score =
        ngi_target_score(job->head, &job->target, ngi_run_activation(job->run, job->head->logits) + at,
                         ngi_run_activation(job->run, job->head->output) + at);
    NGI_TRY(ngi_baseline_make(job, (ngi_baseline)ngi_parameter(&ngi_method_occlusion, job, "baseline"),
                              ngi_parameter(&ngi_method_occlusion, job, "blur"), o->cover, err));
    for (int k = 0; k < windows; k++) {
        r->scores[k] = score;
        r->done[k] = !changes(o, k);
        if (!r->done[k])
            r->list[count++] = k;
    }
    if (job->seconds > 0)
        ngi_partial_order(r->list, count);
    o->list = r->list;
    o->scores = r->scores;
    ngi_sampling s = {
        .count = count, .gradient_node = -1, .base = &o->input, .make = make, .take = take, .context = o};
    NGI_TRY(ngi_part_whole(job, &s.part, err));
    NGI_TRY(ngi_attr_sample(job, &s, &taken, err));
    for (int k = 0; k < taken; k++)
        r->done[r->list[k]] = true;
    spread(o, r, score, map);
    if (taken < count)
        ngi_partial_note(map, "windows", taken, count, error_of(o, r));
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_method *m = &ngi_method_occlusion;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    covering o = {.input = job->input, .h = map->height, .w = map->width, .depth = (int)shape.dim[2]};
    int least = o.h < o.w ? o.h : o.w, window = (int)ngi_parameter(m, job, "window"),
        stride = (int)ngi_parameter(m, job, "stride");
    o.window = window > 0 ? window : least / 8 > 0 ? least / 8 : 1;
    o.stride = stride > 0 ? stride : o.window / 2 > 0 ? o.window / 2 : 1;
    o.rows = o.h > o.window ? (o.h - o.window + o.stride - 1) / o.stride + 1 : 1;
    o.columns = o.w > o.window ? (o.w - o.window + o.stride - 1) / o.stride + 1 : 1;
    size_t windows = (size_t)o.rows * (size_t)o.columns, cells = (size_t)o.h * (size_t)o.w;
    room r = {.list = ngi_alloc(windows, sizeof *r.list),
              .done = ngi_alloc(windows, sizeof *r.done),
              .scores = ngi_alloc(windows, sizeof *r.scores),
              .sums = ngi_alloc_zero(4 * cells, sizeof *r.sums)};
    r.squares = r.sums ? r.sums + cells : NULL;
    r.counts = r.sums ? r.squares + cells : NULL;
    r.windows_of = r.sums ? r.counts + cells : NULL;
    o.cover = ngi_alloc(cells * (size_t)o.depth, sizeof *o.cover);
    bool all = r.list && r.done && r.scores && r.sums && o.cover;
    ng_status status = all ? run(job, &o, &r, map, err) : ngi_fail_memory(err, cells * 4 * sizeof(double));
    ngi_free(o.cover);
    ngi_free(r.list);
    ngi_free(r.done);
    ngi_free(r.scores);
    ngi_free(r.sums);
    return status;
}

const ngi_method ngi_method_occlusion = {
    .info =
        {
            .name = "occlusion",
            .title = "Occlusion",
            .summary = "how much the score falls when a window of the image is covered",
            .cost = "1 forward a window: some 225 with the defaults",
            .source = "Zeiler & Fergus 2014, arXiv:1311.2901",
            .assumes = "a covered image still looks like an image to the network",
            .at_input = 1,
            .samples = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
