/* A ring of batches. Threads take images one by one in the order given, as long as the batch has a free place in the
 * ring; the caller waits for the batch it wants, and frees its place with the next call. */
#include "data/loader.h"

#include "image/image.h"

#include <pthread.h>
#include <string.h>

#define MAX_THREADS 64

typedef struct outcome {
    ng_status status;
    ng_error error;
} outcome;

struct ngi_loader {
    ngi_loader_options o;
    ng_image_opts image;
    int64_t size, cells; /* floats of an image, cells of its grid */
    int64_t work_size;   /* floats that a thread needs */
    int64_t n_batches;
    int places;        /* of the ring */
    float *images;     /* [places][batch][size] */
    float *regions;    /* [places][batch][cells]; NULL without a grid */
    outcome *outcomes; /* [places][batch] */
    int *done;         /* [places] images of the batch that are finished */
    int64_t *items;    /* [batch] the caller's */
    float *work;       /* [threads][work_size] */
    int64_t skipped;
    pthread_mutex_t lock;
    pthread_cond_t room, finished;
    bool has_lock, stop;
    int64_t taken;   /* images that threads have begun */
    int64_t current; /* the batch asked for next */
    int64_t freed;   /* batches whose places may be used again */
    pthread_t threads[MAX_THREADS];
    int n_threads;
};

typedef struct worker_start {
    ngi_loader *loader;
    float *work;
} worker_start;

static int64_t batch_size(const ngi_loader *l, int64_t batch)
{
    int64_t rest = l->o.n_order - batch * l->o.batch;
    return rest < l->o.batch ? rest : l->o.batch;
}

/* The next image that has a place; -1: there is none any more. Holds the lock. */
static int64_t take(ngi_loader *l)
{
    while (!l->stop && l->taken < l->o.n_order && l->taken / l->o.batch >= l->freed + l->places)
        pthread_cond_wait(&l->room, &l->lock);
    return l->stop || l->taken >= l->o.n_order ? -1 : l->taken++;
}

static void *run_worker(void *argument)
{
    ngi_loader *l = ((worker_start *)argument)->loader;
    float *work = ((worker_start *)argument)->work;
    ngi_free(argument);
    pthread_mutex_lock(&l->lock);
    for (int64_t index; (index = take(l)) >= 0;) {
        pthread_mutex_unlock(&l->lock);
        int64_t batch = index / l->o.batch, place = batch % l->places;
        int64_t slot = place * l->o.batch + index % l->o.batch;
        outcome *result = &l->outcomes[slot];
        result->status = ngi_loader_image(
            &l->o, &l->image, l->o.order[index], l->o.draws ? l->o.draws[index] : l->o.order[index], work,
            l->images + slot * l->size, l->regions ? l->regions + slot * l->cells : NULL, &result->error);
        pthread_mutex_lock(&l->lock);
        if (++l->done[place] == batch_size(l, batch))
            pthread_cond_broadcast(&l->finished);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static ng_status check_options(const ngi_loader_options *o, ng_error *err)
{
    if (o->channels != 1 && o->channels != 3)
        return ngi_fail(err, NG_E_ARGUMENT, "the model's input has %d channels, images have 1 or 3",
                        o->channels);
    if (o->batch < 1 || o->height < 1 || o->width < 1 || o->height > NGI_MAX_SIDE ||
        o->width > NGI_MAX_SIDE || o->n_order < 0 || o->threads < 0 || o->ahead < 0)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "loader: batches of %d images %dx%dx%d on %d threads cannot be made", o->batch,
                        o->height, o->width, o->channels, o->threads);
    if (o->grid_h < 0 || o->grid_w < 0 || o->grid_h > o->height || o->grid_w > o->width ||
        (o->grid_h > 0) != (o->grid_w > 0))
        return ngi_fail(err, NG_E_ARGUMENT, "loader: an input of %dx%d has no grid of %dx%d cells", o->height,
                        o->width, o->grid_h, o->grid_w);
    if (o->augment && o->augment->hue.on && o->channels != 3)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "augment: hue is for colour images, the model's input has %d channel", o->channels);
    for (int64_t i = 0; i < o->n_order; i++)
        if (o->order[i] < 0 || o->order[i] >= o->data->n_items)
            return ngi_fail(err, NG_E_ARGUMENT, "loader: item %lld of %lld", (long long)o->order[i],
                            (long long)o->data->n_items);
    return NG_OK;
}

static ng_status allocate(ngi_loader *l, int threads, ng_error *err)
{
    size_t slots = (size_t)l->places * (size_t)l->o.batch, size = (size_t)l->size;
    if (slots > SIZE_MAX / sizeof(float) / size)
        return ngi_fail(err, NG_E_LIMIT, "loader: %d batches of %d images do not fit in memory", l->places,
                        l->o.batch);
    l->images = ngi_alloc_aligned(slots * size * sizeof *l->images);
    l->outcomes = ngi_alloc_zero(slots, sizeof *l->outcomes);
    l->done = ngi_alloc_zero((size_t)l->places, sizeof *l->done);
    l->items = ngi_alloc((size_t)l->o.batch, sizeof *l->items);
    l->work = ngi_alloc((size_t)threads * (size_t)l->work_size, sizeof *l->work);
    if (l->cells && !(l->regions = ngi_alloc(slots * (size_t)l->cells, sizeof *l->regions)))
        return ngi_fail_memory(err, slots * (size_t)l->cells * sizeof *l->regions);
    return l->images && l->outcomes && l->done && l->items && l->work
               ? NG_OK
               : ngi_fail_memory(err, slots * size * sizeof *l->images);
}

static ng_status start(ngi_loader *l, int threads, ng_error *err)
{
    if (pthread_mutex_init(&l->lock, NULL) != 0)
        return ngi_fail(err, NG_E_INTERNAL, "loader: no lock could be made");
    pthread_cond_init(&l->room, NULL);
    pthread_cond_init(&l->finished, NULL);
    l->has_lock = true;
    for (int i = 0; i < threads; i++) {
        worker_start *s = ngi_alloc(1, sizeof *s);
        if (!s)
            return ngi_fail_memory(err, sizeof *s);
        *s = (worker_start){l, l->work + i * l->work_size};
        if (pthread_create(&l->threads[l->n_threads], NULL, run_worker, s) == 0)
            l->n_threads++;
        else
            ngi_free(s);
    }
    return l->n_threads ? NG_OK : ngi_fail(err, NG_E_INTERNAL, "loader: no thread could be started");
}

ng_status ngi_loader_create(const ngi_loader_options *options, ngi_loader **out, ng_error *err)
{
    *out = NULL;
    NGI_TRY(check_options(options, err));
    ngi_loader *l = ngi_alloc_zero(1, sizeof *l);
    if (!l)
        return ngi_fail_memory(err, sizeof *l);
    l->o = *options;
    if (options->image)
        l->image = *options->image;
    else
        ng_image_opts_init(&l->image);
    l->image.channels = options->channels;
    int threads = options->threads < 1 ? 1 : options->threads < MAX_THREADS ? options->threads : MAX_THREADS;
    l->places = (options->ahead < 1 ? 2 : options->ahead < 1024 ? options->ahead : 1024) + 1;
    l->size = (int64_t)options->height * options->width * options->channels;
    l->cells = (int64_t)options->grid_h * options->grid_w;
    l->work_size = ngi_loader_work(options);
    l->n_batches = (options->n_order + options->batch - 1) / options->batch;
    ng_status status = allocate(l, threads, err);
    if (status == NG_OK)
        status = start(l, threads, err);
    if (status == NG_OK)
        *out = l;
    else
        ngi_loader_free(l);
    return status;
}

/* Frees the place of the batch the caller has had, and waits for the next one. */
static int64_t wait_for_batch(ngi_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->freed = l->current;
    pthread_cond_broadcast(&l->room);
    int64_t place = l->current % l->places;
    while (l->done[place] < batch_size(l, l->current))
        pthread_cond_wait(&l->finished, &l->lock);
    l->done[place] = 0;
    l->current++;
    pthread_mutex_unlock(&l->lock);
    return place;
}

/* Row `from` of x [n,size] becomes row `to`. */
static void move_down(float *x, int64_t size, int64_t from, int64_t to)
{
    if (x && from != to)
        memcpy(x + to * size, x + from * size, (size_t)size * sizeof *x);
}

ng_status ngi_loader_next(ngi_loader *l, ngi_loader_batch *out, ng_error *err)
{
    *out = (ngi_loader_batch){.items = l->items};
    while (out->n == 0 && l->current < l->n_batches) {
        int64_t place = wait_for_batch(l);
        out->number = l->current - 1;
        out->images = l->images + place * l->o.batch * l->size;
        float *regions = l->regions ? l->regions + place * l->o.batch * l->cells : NULL;
        out->regions = regions;
        for (int64_t i = 0; i < batch_size(l, out->number); i++) {
            int64_t item = l->o.order[out->number * l->o.batch + i];
            const outcome *result = &l->outcomes[place * l->o.batch + i];
            if (result->status == NG_OK) {
                move_down(out->images, l->size, i, out->n);
                move_down(regions, l->cells, i, out->n);
                l->items[out->n++] = item;
                continue;
            }
            if (!l->o.skip_unreadable || result->status == NG_E_MEMORY) {
                out->n = 0;
                return ngi_fail(err, result->status, "%s", result->error.text);
            }
            l->skipped++;
            if (l->o.unreadable)
                l->o.unreadable(l->o.user, item, &result->error);
        }
    }
    return NG_OK;
}

int64_t ngi_loader_skipped(const ngi_loader *l)
{
    return l->skipped;
}

void ngi_loader_free(ngi_loader *l)
{
    if (!l)
        return;
    if (l->has_lock) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_broadcast(&l->room);
        pthread_mutex_unlock(&l->lock);
        for (int i = 0; i < l->n_threads; i++)
            pthread_join(l->threads[i], NULL);
        pthread_mutex_destroy(&l->lock);
        pthread_cond_destroy(&l->room);
        pthread_cond_destroy(&l->finished);
    }
    ngi_free_aligned(l->images);
    ngi_free(l->regions);
    ngi_free(l->outcomes);
    ngi_free(l->done);
    ngi_free(l->items);
    ngi_free(l->work);
    ngi_free(l);
}
