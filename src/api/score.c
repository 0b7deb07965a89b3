/* The network run over a data set: images are read ahead by the loader's threads while sessions, one a thread, compute. Where
 * items have masks or boxes, the map of the predicted class is taken in the same run and only its share on the object kept. */
#include "api/evaluate.h"

#include "data/loader.h"
#include "tensor/tensor.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct scoring {
    const ng_model *model;
    const ngi_dataset *data;
    const ngi_view *view;
    const ng_evaluate_opts *o;
    ngi_loader *loader;
    int height, width, channels, k;
    bool places;
    pthread_mutex_t lock; /* guards the loader and all below */
    int64_t *slot_of;     /* [data items] place in the arrays, -1: not asked for */
    ngi_scored *out;      /* arrays [n_order] */
    bool *known;          /* [n_order] */
    size_t unread_capacity;
    ng_status status; /* of noting an unreadable image */
    int64_t done, total;
    float *buffers;               /* [threads] images [batch,h,w,c], regions [batch,h,w], a map [h,w] */
    size_t image, region, buffer; /* floats */
} scoring;

void ngi_scored_clear(ngi_scored *s)
{
    for (int64_t i = 0; i < s->n_unread; i++)
        ngi_free(s->unread[i].reason);
    ngi_free(s->unread);
    ngi_free(s->items);
    ngi_free(s->logits);
    ngi_free(s->energy);
    ngi_free(s->area);
    *s = (ngi_scored){0};
}

/* Under the lock. */
static void note_unread(scoring *s, int64_t item, const char *reason)
{
    void *array = s->out->unread;
    char *copy = ngi_strdup(reason);
    if (!copy || ngi_data_grow(&array, &s->unread_capacity, (size_t)s->out->n_unread, sizeof *s->out->unread,
                               NULL) != NG_OK) {
        ngi_free(copy);
        s->status = NG_E_MEMORY;
        return;
    }
    s->out->unread = array;
    s->out->unread[s->out->n_unread++] = (ngi_unread){item, copy};
    s->done++;
}

static void on_unreadable(void *user, int64_t item, const ng_error *why)
{
    note_unread(user, item, why->text);
}

void ngi_measure_place(const ng_map *map, const float *region, int height, int width, float *work,
                       double *energy, double *area)
{
    int64_t n = (int64_t)height * width;
    double all = 0, within = 0, size = 0;
    ngi_resize_bilinear(map->data, map->height, map->width, 0, 0, map->height, map->width, work, height,
                        width);
    for (int64_t i = 0; i < n; i++) {
        all += work[i];
        within += (double)work[i] * region[i];
        size += region[i];
    }
    *area = size / (double)n;
    *energy = all > 0 ? within / all : NAN;
}

static ng_status explain(scoring *s, ng_session *session, int at, const float *region, float *work,
                         double *energy, double *area, ng_error *err)
{
    ng_explain_opts o;
    ng_map map;
    ng_explain_opts_init(&o);
    o.method = s->view->method;
    o.parameters = s->view->parameters;
    o.layer = s->view->layer;
    NGI_TRY(ng_explain(session, at, &o, &map, err));
    ngi_measure_place(&map, region, s->height, s->width, work, energy, area);
    ng_map_clear(&map);
    return NG_OK;
}

/* Scores of one image of the last run; *finite false where there are none. */
static ng_status take_scores(scoring *s, ng_session *session, int at, int64_t slot, const float *region,
                             float *work, bool *finite, ng_error *err)
{
    const float *z = ng_session_logits(session) + (int64_t)at * s->model->head.classes;
    float *logits = s->out->logits + slot * s->k;
    bool one_output = s->model->head.classes == 2 && s->model->head.width == 1;
    memcpy(logits, z, (size_t)s->k * sizeof *logits);
    if (one_output)
        logits[0] = 0;
    *finite = ngi_find_non_finite(logits, s->k) < 0;
    if (!*finite || !s->places)
        return NG_OK;
    s->out->energy[slot] = s->out->area[slot] = NAN;
    if (region[0] < 0)
        return NG_OK;
    return explain(s, session, at, region, work, &s->out->energy[slot], &s->out->area[slot], err);
}

/* Under the lock, the next batch is copied out of the loader. items [batch] */
static ng_status take_batch(scoring *s, float *images, float *regions, int64_t *items, int *n, ng_error *err)
{
    ngi_loader_batch batch;
    NGI_TRY(ngi_loader_next(s->loader, &batch, err));
    if (s->status != NG_OK)
        return ngi_fail_memory(err, 256);
    *n = batch.n;
    if (batch.n == 0) /* behind the last one */
        return NG_OK;
    memcpy(images, batch.images, (size_t)batch.n * s->image * sizeof *images);
    if (s->places)
        memcpy(regions, batch.regions, (size_t)batch.n * s->region * sizeof *regions);
    memcpy(items, batch.items, (size_t)batch.n * sizeof *items);
    return NG_OK;
}

enum { MOST_BATCH = 256 };

/* Under the lock. */
static ng_status finish_batch(scoring *s, const int64_t *items, const bool *finite, int n, ng_error *err)
{
    char reason[1024];
    for (int i = 0; i < n; i++) {
        if (finite[i]) {
            s->known[s->slot_of[items[i]]] = true;
            s->done++;
            continue;
        }
        snprintf(reason, sizeof reason, "%.900s: the network's scores are not finite",
                 s->data->items[items[i]].path);
        note_unread(s, items[i], reason);
    }
    if (s->status != NG_OK)
        return ngi_fail_memory(err, sizeof reason);
    if (s->o->progress && s->o->progress(s->o->context, "images", s->done, s->total) != 0)
        return ngi_fail(err, NG_E_CANCELLED, "given up after %lld of %lld images", (long long)s->done,
                        (long long)s->total);
    return NG_OK;
}

static ng_status score_batch(void *context, ng_session *session, int worker, int64_t index, ng_error *err)
{
    (void)index;
    scoring *s = context;
    float *images = s->buffers + (size_t)worker * s->buffer,
          *regions = images + (size_t)s->o->batch * s->image,
          *work = regions + (size_t)s->o->batch * s->region;
    int64_t items[MOST_BATCH];
    bool finite[MOST_BATCH];
    int n = 0;
    pthread_mutex_lock(&s->lock);
    ng_status status = take_batch(s, images, regions, items, &n, err);
    pthread_mutex_unlock(&s->lock);
    if (status != NG_OK || n == 0)
        return status;
    NGI_TRY(ng_session_run(session, images, n, err));
    for (int i = 0; i < n; i++)
        NGI_TRY(take_scores(s, session, i, s->slot_of[items[i]], regions + (size_t)i * s->region, work,
                            &finite[i], err));
    pthread_mutex_lock(&s->lock);
    status = finish_batch(s, items, finite, n, err);
    pthread_mutex_unlock(&s->lock);
    return status;
}

/* ---- Around it --------------------------------------------------------------------------------- */

static ng_status allocate(scoring *s, const ngi_dataset *data, int64_t n_order, int threads, ng_error *err)
{
    size_t n = (size_t)n_order, k = (size_t)s->k;
    s->image = (size_t)s->height * (size_t)s->width * (size_t)s->channels;
    s->region = s->places ? (size_t)s->height * (size_t)s->width : 0;
    s->buffer = (size_t)s->o->batch * (s->image + s->region) + s->region;
    s->buffers = ngi_alloc((size_t)threads * s->buffer, sizeof *s->buffers);
    s->slot_of = ngi_alloc((size_t)data->n_items, sizeof *s->slot_of);
    s->known = ngi_alloc_zero(n, sizeof *s->known);
    s->out->items = ngi_alloc(n, sizeof *s->out->items);
    s->out->logits = ngi_alloc(n * k, sizeof *s->out->logits);
    bool fine = s->buffers && s->slot_of && s->known && s->out->items && s->out->logits;
    if (s->places) {
        s->out->energy = ngi_alloc(n, sizeof *s->out->energy);
        s->out->area = ngi_alloc(n, sizeof *s->out->area);
        fine = fine && s->out->energy && s->out->area;
    }
    return fine ? NG_OK : ngi_fail_memory(err, n * k * sizeof *s->out->logits);
}

static ng_status open_loader(scoring *s, const ngi_dataset *data, const int64_t *order, int64_t n_order,
                             int threads, ng_error *err)
{
    ngi_loader_options options = {.data = data,
                                  .order = order,
                                  .n_order = n_order,
                                  .batch = s->o->batch,
                                  .height = s->height,
                                  .width = s->width,
                                  .channels = s->channels,
                                  .fit = s->o->fit,
                                  .resample = s->o->resample,
                                  .preprocess = s->model->preprocess,
                                  .image = s->o->image,
                                  .grid_h = s->places ? s->height : 0,
                                  .grid_w = s->places ? s->width : 0,
                                  .threads = threads,
                                  .ahead = 2 * threads,
                                  .skip_unreadable = true,
                                  .unreadable = on_unreadable,
                                  .user = s};
    return ngi_loader_create(&options, &s->loader, err);
}

/* Closes the gaps that unreadable images left. */
static void compact(scoring *s, const int64_t *order, int64_t n_order)
{
    ngi_scored *out = s->out;
    for (int64_t i = 0; i < n_order; i++) {
        if (!s->known[i])
            continue;
        out->items[out->n] = order[i];
        memmove(out->logits + out->n * s->k, out->logits + i * s->k, (size_t)s->k * sizeof *out->logits);
        if (s->places) {
            out->energy[out->n] = out->energy[i];
            out->area[out->n] = out->area[i];
        }
        out->n++;
    }
}

ng_status ngi_score(const ng_model *model, const ngi_dataset *data, const int64_t *order, int64_t n_order,
                    const ngi_view *view, ng_session *session, const ng_evaluate_opts *o, bool places,
                    ngi_scored *out, ng_error *err)
{
    *out = (ngi_scored){0};
    ng_model_info info;
    ng_model_describe(model, &info);
    scoring s = {.model = model,
                 .data = data,
                 .view = view,
                 .o = o,
                 .height = info.input_height,
                 .width = info.input_width,
                 .channels = info.input_channels,
                 .k = info.class_count,
                 .places = places && *view->method,
                 .out = out,
                 .total = n_order};
    int threads = o->threads < 1 ? 1 : o->threads;
    pthread_mutex_init(&s.lock, NULL);
    ng_status status = allocate(&s, data, n_order, threads, err);
    for (int64_t i = 0; status == NG_OK && i < n_order; i++)
        s.slot_of[order[i]] = i;
    if (status == NG_OK)
        status = open_loader(&s, data, order, n_order, threads, err);
    if (status == NG_OK)
        status = ngi_crew_run(session, threads, (n_order + o->batch - 1) / o->batch, score_batch, &s, err);
    if (status == NG_OK)
        compact(&s, order, n_order);
    ngi_loader_free(s.loader);
    pthread_mutex_destroy(&s.lock);
    ngi_free(s.buffers);
    ngi_free(s.slot_of);
    ngi_free(s.known);
    if (status != NG_OK)
        ngi_scored_clear(out);
    return status;
}
