/* Fingerprints and the search among them; see duplicates.h. */
#include "data/duplicates.h"

#include "image/image.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 4, BUCKETS = 65536, MAX_THREADS = 64 };

ng_status ngi_fingerprint_image(const ng_image *image, ngi_fingerprint *out, ng_error *err)
{
    ng_image grey, small = {0}, picture = {0};
    *out = (ngi_fingerprint){0};
    NGI_TRY(ngi_image_convert(image, 1, &grey, err));
    ng_status status = ngi_image_resize(&grey, 9, 8, NG_RESAMPLE_PIL_LANCZOS, &small, err);
    if (status == NG_OK)
        status = ngi_image_resize(&grey, 16, 16, NG_RESAMPLE_PIL_BOX, &picture, err);
    if (status == NG_OK) {
        for (int y = 0; y < 8; y++)
            for (int x = 0; x < 8; x++)
                out->hash = out->hash << 1 | (small.data[9 * y + x] < small.data[9 * y + x + 1]);
        memcpy(out->grey, picture.data, sizeof out->grey);
        out->readable = true;
    }
    ng_image_clear(&picture);
    ng_image_clear(&small);
    ng_image_clear(&grey);
    return status;
}

/* Pearson's; of pictures without any contrast 1 where they are equally bright. */
static double correlate(const uint8_t a[256], const uint8_t b[256])
{
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (int i = 0; i < 256; i++) {
        sa += a[i];
        sb += b[i];
        saa += (double)a[i] * a[i];
        sbb += (double)b[i] * b[i];
        sab += (double)a[i] * b[i];
    }
    double va = saa - sa * sa / 256, vb = sbb - sb * sb / 256;
    if (va < 256 && vb < 256) /* deviations below one grey level */
        return fabs(sa - sb) <= 2 * 256;
    return va < 256 || vb < 256 ? 0 : (sab - sa * sb / 256) / sqrt(va * vb);
}

/* Items by the value of a part: those of value v are item[start[v]] to item[start[v + 1]], ascending. */
typedef struct part_index {
    int64_t *start; /* [BUCKETS + 1] */
    int64_t *item;
} part_index;

static unsigned part_of(uint64_t hash, int part)
{
    return (unsigned)(hash >> 16 * part) & 0xffff;
}

/* indexed [n]: the items that are in the index. */
static ng_status index_part(const ngi_fingerprint *f, const bool *indexed, int64_t n, int part,
                            part_index *out, ng_error *err)
{
    out->start = ngi_alloc_zero(BUCKETS + 1, sizeof *out->start);
    out->item = ngi_alloc((size_t)n, sizeof *out->item);
    if (!out->start || !out->item)
        return ngi_fail_memory(err, (size_t)n * sizeof *out->item);
    for (int64_t i = 0; i < n; i++)
        out->start[part_of(f[i].hash, part) + 1] += indexed[i];
    for (int v = 0; v < BUCKETS; v++)
        out->start[v + 1] += out->start[v];
    for (int64_t i = n - 1; i >= 0; i--) /* from behind: start[v + 1] walks down to the start of v */
        if (indexed[i])
            out->item[--out->start[part_of(f[i].hash, part) + 1]] = i;
    memmove(out->start, out->start + 1, BUCKETS * sizeof *out->start);
    int64_t all = 0;
    for (int64_t i = 0; i < n; i++)
        all += indexed[i];
    out->start[BUCKETS] = all;
    return NG_OK;
}

/* What is alike in every byte and of one split has one match with any image: the earliest speaks for all of them. */
typedef struct look {
    const ngi_fingerprint *fingerprint;
    ngi_split split;
    int64_t item;
} look;

static int compare_kinds(const look *a, const look *b)
{
    const ngi_fingerprint *x = a->fingerprint, *y = b->fingerprint;
    if (a->split != b->split)
        return a->split < b->split ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return memcmp(x->grey, y->grey, sizeof x->grey);
}

static int compare_looks(const void *a, const void *b)
{
    const look *x = a, *y = b;
    int kinds = compare_kinds(x, y);
    return kinds ? kinds : (x->item > y->item) - (x->item < y->item);
}

/* out [n_items]: the readable ones, of equal ones in a split the first. */
static ng_status choose_indexed(const ngi_dataset *d, const ngi_fingerprint *f, bool *out, ng_error *err)
{
    int64_t n = 0;
    look *looks = ngi_alloc((size_t)d->n_items, sizeof *looks);
    if (!looks)
        return ngi_fail_memory(err, (size_t)d->n_items * sizeof *looks);
    for (int64_t i = 0; i < d->n_items; i++)
        if (f[i].readable)
            looks[n++] = (look){&f[i], d->items[i].split, i};
    if (n)
        qsort(looks, (size_t)n, sizeof *looks, compare_looks);
    for (int64_t i = 0; i < n; i++)
        out[looks[i].item] = i == 0 || compare_kinds(&looks[i - 1], &looks[i]) != 0;
    ngi_free(looks);
    return NG_OK;
}

static ng_status make_index(const ngi_dataset *d, const ngi_fingerprint *f, part_index *parts, ng_error *err)
{
    bool *indexed = ngi_alloc_zero((size_t)d->n_items, sizeof *indexed);
    if (!indexed)
        return ngi_fail_memory(err, (size_t)d->n_items);
    ng_status status = choose_indexed(d, f, indexed, err);
    for (int part = 0; part < PARTS && status == NG_OK; part++)
        status = index_part(f, indexed, d->n_items, part, &parts[part], err);
    ngi_free(indexed);
    return status;
}

typedef struct search {
    const ngi_dataset *d;
    const ngi_fingerprint *f;
    part_index parts[PARTS];
    ngi_duplicate best[NGI_SPLIT_COUNT]; /* of the item in hand; correlation 0: none */
} search;

static bool perfect(const ngi_duplicate *p)
{
    return p->correlation > 0 && p->bits == 0 && p->correlation > 0.9999;
}

static void consider(search *s, int64_t first, int64_t second)
{
    ngi_duplicate *best = &s->best[s->d->items[first].split];
    int bits = __builtin_popcountll(s->f[first].hash ^ s->f[second].hash);
    if (bits > NGI_DUPLICATE_BITS || perfect(best))
        return;
    double correlation = correlate(s->f[first].grey, s->f[second].grey);
    if (correlation < NGI_DUPLICATE_CORRELATION)
        return;
    bool better = best->correlation == 0 || correlation > best->correlation ||
                  (!(correlation < best->correlation) &&
                   (bits < best->bits || (bits == best->bits && first < best->first)));
    if (better)
        *best = (ngi_duplicate){first, second, bits, correlation};
}

/* All earlier items with this value of the part, until every split has its perfect match. */
static void walk_bucket(search *s, int part, unsigned value, int64_t second)
{
    const part_index *p = &s->parts[part];
    for (int64_t k = p->start[value]; k < p->start[value + 1] && p->item[k] < second; k++) {
        bool enough = true;
        for (int i = 0; i < NGI_SPLIT_COUNT; i++)
            enough &= perfect(&s->best[i]);
        if (enough)
            return;
        consider(s, p->item[k], second);
    }
}

static void find_matches(search *s, int64_t second)
{
    memset(s->best, 0, sizeof s->best);
    for (int part = 0; part < PARTS; part++) {
        unsigned value = part_of(s->f[second].hash, part);
        walk_bucket(s, part, value, second);
        for (int bit = 0; bit < 16; bit++)
            walk_bucket(s, part, value ^ 1u << bit, second);
    }
}

static ng_status keep_matches(const search *s, ngi_duplicates *out, ng_error *err)
{
    for (int i = 0; i < NGI_SPLIT_COUNT; i++) {
        if (s->best[i].correlation == 0)
            continue;
        void *array = out->pairs;
        NGI_TRY(ngi_data_grow(&array, &out->capacity, (size_t)out->n, sizeof *out->pairs, err));
        out->pairs = array;
        int64_t at =
            out->n++; /* into its place among this item's: items lie by split, but only where they are read */
        for (; at > 0 && out->pairs[at - 1].second == s->best[i].second &&
               out->pairs[at - 1].first > s->best[i].first;
             at--)
            out->pairs[at] = out->pairs[at - 1];
        out->pairs[at] = s->best[i];
    }
    return NG_OK;
}

ng_status ngi_duplicates_search(const ngi_dataset *d, const ngi_fingerprint *fingerprints,
                                ngi_duplicates *out, ng_error *err)
{
    search s = {.d = d, .f = fingerprints};
    *out = (ngi_duplicates){0};
    ng_status status = make_index(d, fingerprints, s.parts, err);
    for (int64_t i = 0; i < d->n_items && status == NG_OK; i++) {
        out->unreadable += !fingerprints[i].readable;
        if (!fingerprints[i].readable)
            continue;
        find_matches(&s, i);
        status = keep_matches(&s, out, err);
    }
    for (int part = 0; part < PARTS; part++) {
        ngi_free(s.parts[part].start);
        ngi_free(s.parts[part].item);
    }
    if (status != NG_OK)
        ngi_duplicates_clear(out);
    return status;
}

typedef struct reading {
    const ngi_dataset *d;
    ngi_fingerprint *out;
    int (*progress)(void *user, int64_t done, int64_t total);
    void *user;
    pthread_mutex_t lock;
    int64_t taken, done;
    ng_status status;
    ng_error error;
} reading;

static ng_status read_one(const reading *r, int64_t item, ng_error *err)
{
    ng_image_opts opts;
    ng_image image;
    ng_image_opts_init(&opts);
    opts.channels = 3;
    NGI_TRY(ng_image_load(r->d->items[item].path, &opts, &image, err));
    ng_status status = ngi_fingerprint_image(&image, &r->out[item], err);
    ng_image_clear(&image);
    return status;
}

static void *run_reader(void *argument)
{
    reading *r = argument;
    pthread_mutex_lock(&r->lock);
    while (r->status == NG_OK && r->taken < r->d->n_items) {
        int64_t item = r->taken++;
        pthread_mutex_unlock(&r->lock);
        ng_error why;
        ng_status status = read_one(r, item, &why);
        pthread_mutex_lock(&r->lock);
        r->done++;
        if (status == NG_E_MEMORY && r->status == NG_OK) {
            r->status = status;
            r->error = why;
        }
        if (r->progress && r->status == NG_OK && r->progress(r->user, r->done, r->d->n_items) != 0)
            r->status = ngi_fail(&r->error, NG_E_CANCELLED, "the search for duplicates was cancelled");
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static ng_status read_all(reading *r, int threads, ng_error *err)
{
    pthread_t started[MAX_THREADS];
    int n = 0;
    if (pthread_mutex_init(&r->lock, NULL) != 0)
        return ngi_fail(err, NG_E_INTERNAL, "duplicates: no lock could be made");
    while (n < threads - 1 && n < MAX_THREADS && pthread_create(&started[n], NULL, run_reader, r) == 0)
        n++;
    run_reader(r); /* this thread is one of them */
    while (n > 0)
        pthread_join(started[--n], NULL);
    pthread_mutex_destroy(&r->lock);
    return r->status == NG_OK ? NG_OK : ngi_fail(err, r->status, "%s", r->error.text);
}

ng_status ngi_duplicates_find(const ngi_dataset *d, int threads,
                              int (*progress)(void *user, int64_t done, int64_t total), void *user,
                              ngi_duplicates *out, ng_error *err)
{
    *out = (ngi_duplicates){0};
    reading r = {.d = d, .progress = progress, .user = user};
    r.out = ngi_alloc_zero((size_t)d->n_items, sizeof *r.out);
    if (!r.out)
        return ngi_fail_memory(err, (size_t)d->n_items * sizeof *r.out);
    ng_status status = read_all(&r, threads, err);
    if (status == NG_OK)
        status = ngi_duplicates_search(d, r.out, out, err);
    ngi_free(r.out);
    return status;
}

void ngi_duplicates_clear(ngi_duplicates *d)
{
    ngi_free(d->pairs);
    *d = (ngi_duplicates){0};
}
