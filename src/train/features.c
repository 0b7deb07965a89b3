/* The file: a header of 64 bytes, the marks, the rows. */
#include "train/features.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC      "ngfeat\1"
#define UNREADABLE 1

typedef struct header {
    char magic[8];
    uint64_t n, width;
    char key[NGI_HASH_TEXT + 7]; /* padded to 64 bytes in all */
} header;

_Static_assert(sizeof(header) == 64, "rows begin at a multiple of 64 bytes");

static uint64_t checksum(const float *row, int64_t width)
{
    char hex[NGI_HASH_TEXT];
    ngi_hash h;
    if (ngi_hash_init(&h, NULL) != NG_OK)
        return 0; /* it is computed again the next time */
    ngi_hash_add(&h, row, (size_t)width * sizeof *row);
    ngi_hash_finish(&h, hex);
    hex[16] = '\0';
    uint64_t sum = strtoull(hex, NULL, 16);
    return sum > UNREADABLE ? sum : UNREADABLE + 1;
}

/* ---- The file ---------------------------------------------------------------------------------- */

static size_t rows_at(int64_t n)
{
    return (sizeof(header) + (size_t)n * sizeof(uint64_t) + 63) / 64 * 64;
}

static void point(ngi_features *f, void *base)
{
    f->base = base;
    f->marks = (uint64_t *)((char *)base + sizeof(header));
    f->rows = (float *)((char *)base + rows_at(f->n));
}

static bool matches(const header *h, const ngi_features *f, const char *key)
{
    return memcmp(h->magic, MAGIC, sizeof h->magic) == 0 && h->n == (uint64_t)f->n &&
           h->width == (uint64_t)f->width && memcmp(h->key, key, NGI_HASH_TEXT) == 0;
}

static bool map(ngi_features *f, int file)
{
    void *base = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (base == MAP_FAILED)
        return false;
    f->mapped = true;
    point(f, base);
    return true;
}

/* Whether the file is there and its own. */
static bool map_old(ngi_features *f, const char *path, const char *key)
{
    struct stat s;
    header h;
    int file = open(path, O_RDWR | O_CLOEXEC);
    bool fine = file >= 0 && fstat(file, &s) == 0 && (size_t)s.st_size == f->size &&
                read(file, &h, sizeof h) == (ssize_t)sizeof h && matches(&h, f, key) &&
                posix_fallocate(file, 0, (off_t)f->size) == 0 && map(f, file);
    if (file >= 0)
        close(file);
    return fine;
}

static ng_status fill_new(ngi_features *f, int file, const char *path, const char *key, ng_error *err)
{
    header h = {.magic = MAGIC, .n = (uint64_t)f->n, .width = (uint64_t)f->width};
    memcpy(h.key, key, NGI_HASH_TEXT);
    int code = posix_fallocate(file, 0, (off_t)f->size);
    if (code == 0 && write(file, &h, sizeof h) != (ssize_t)sizeof h)
        code = errno;
    if (code == 0 && !map(f, file))
        code = errno;
    return code ? ngi_fail(err, NG_E_IO, "%s: %s: the features of %lld images take %.0f MB", path,
                           strerror(code), (long long)f->n, (double)f->size / 1e6)
                : NG_OK;
}

static ng_status map_new(ngi_features *f, const char *path, const char *key, ng_error *err)
{
    char *temporary = ngi_sprintf("%s.tmp-%ld", path, (long)getpid());
    if (!temporary)
        return ngi_fail_memory(err, strlen(path) + 32);
    int file = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    ng_status status = file < 0 ? ngi_fail(err, NG_E_IO, "%s: %s", temporary, strerror(errno))
                                : fill_new(f, file, path, key, err);
    if (status == NG_OK && rename(temporary, path) != 0)
        status = ngi_fail(err, NG_E_IO, "%s: %s", path, strerror(errno));
    if (file >= 0) {
        close(file);
        if (status != NG_OK)
            unlink(temporary);
    }
    ngi_free(temporary);
    return status;
}

/* Rows whose checksum is not theirs (a machine that lost power) count as missing. */
static void check_rows(ngi_features *f)
{
    for (int64_t i = 0; i < f->n; i++) {
        if (f->marks[i] == 0)
            continue;
        if (f->marks[i] == UNREADABLE || f->marks[i] != checksum(f->rows + i * f->width, f->width))
            f->marks[i] = 0; /* an image that was unreadable may be readable now */
        else
            f->found++;
    }
}

ng_status ngi_features_open(const char *path, const char key[NGI_HASH_TEXT], int64_t n, int64_t width,
                            ngi_features *out, ng_error *err)
{
    *out = (ngi_features){.n = n, .width = width};
    if (n < 1 || width < 1 || n > (int64_t)1 << 40 || width > NGI_FEATURES_WIDTH)
        return ngi_fail(err, NG_E_LIMIT, "features of %lld images, %lld numbers each, are not possible",
                        (long long)n, (long long)width);
    out->size = rows_at(n) + (size_t)n * (size_t)width * sizeof(float);
    ng_status status = NG_OK;
    if (!path) {
        void *base = ngi_alloc_aligned(out->size);
        if (!base)
            return ngi_fail_memory(err, out->size);
        point(out, base);
        memset(out->marks, 0, (size_t)n * sizeof *out->marks);
    } else if (!map_old(out, path, key)) {
        status = map_new(out, path, key, err);
    }
    if (status == NG_OK)
        check_rows(out);
    else
        ngi_features_clear(out);
    return status;
}

void ngi_features_clear(ngi_features *f)
{
    if (f->mapped)
        munmap(f->base, f->size);
    else
        ngi_free_aligned(f->base);
    *f = (ngi_features){0};
}

const float *ngi_features_row(const ngi_features *f, int64_t item)
{
    return f->marks[item] > UNREADABLE ? f->rows + item * f->width : NULL;
}

void ngi_features_set(ngi_features *f, int64_t item)
{
    f->marks[item] = checksum(f->rows + item * f->width, f->width);
}

/* ---- The key ----------------------------------------------------------------------------------- */

static void add_text(ngi_hash *h, const char *text)
{
    ngi_hash_add(h, text, strlen(text) + 1);
}

ng_status ngi_features_key(const ngi_loader_options *o, const char *model, const char *cut,
                           char key[NGI_HASH_TEXT], ng_error *err)
{
    ngi_hash h;
    NGI_TRY(ngi_hash_init(&h, err));
    const ng_image_opts *image = o->image;
    char text[400];
    add_text(&h, ng_version());
    add_text(&h, model);
    add_text(&h, cut);
    snprintf(text, sizeof text, "%d %d %d %d %d %d %.17g %.17g %d %lld", o->height, o->width, o->channels,
             (int)o->fit, (int)o->resample, (int)o->preprocess, image ? image->window_center : 0,
             image ? image->window_width : 0, image ? image->background : 255,
             image ? (long long)image->max_pixels : 0);
    add_text(&h, text);
    for (int64_t i = 0; i < o->data->n_items; i++) {
        struct stat s = {0};
        const char *path = o->data->items[i].path;
        bool there = stat(path, &s) == 0;
        snprintf(text, sizeof text, "%d %lld %lld.%09ld", there, (long long)s.st_size,
                 (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
        add_text(&h, path);
        add_text(&h, text);
    }
    ngi_hash_finish(&h, key);
    return NG_OK;
}

/* ---- Computing --------------------------------------------------------------------------------- */

static int64_t channels_of(const ngi_graph *g, int node)
{
    const ngi_shape *s = &g->nodes[node].shape;
    return s->dim[s->rank - 1];
}

int64_t ngi_features_width(const ngi_features_run *r)
{
    int64_t sum = r->n_taps ? 0 : ngi_shape_count(&r->graph->nodes[r->features].shape);
    for (int i = 0; i < r->n_taps; i++)
        sum += channels_of(r->graph, r->taps[i]);
    return sum;
}

typedef struct batch_rows {
    const ngi_features_run *run;
    ngi_features *f;
    const int64_t *items;
} batch_rows;

/* Means over height and width, float32 sums in double. */
static void pool(const float *x, int64_t cells, int64_t channels, float *out)
{
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        for (int64_t i = 0; i < cells; i++)
            sum += x[i * channels + c];
        out[c] = (float)(sum / (double)cells);
    }
}

static void give_rows(void *context, int tap, int64_t first, int n, const float *values)
{
    const batch_rows *b = context;
    const ngi_features_run *r = b->run;
    int64_t at = 0;
    for (int i = 0; i < tap; i++)
        at += channels_of(r->graph, r->taps[i]);
    int node = r->n_taps ? r->taps[tap] : r->features;
    int64_t count = ngi_shape_count(&r->graph->nodes[node].shape);
    int64_t channels = r->n_taps ? channels_of(r->graph, node) : count;
    for (int i = 0; i < n; i++) {
        float *row = b->f->rows + b->items[first + i] * b->f->width + at;
        pool(values + i * count, count / channels, channels, row);
    }
}

/* What the loader calls back: the row's mark, then the caller. */
typedef struct unreadable_note {
    ngi_features *f;
    const ngi_features_run *run;
} unreadable_note;

static void note_unreadable(void *user, int64_t item, const ng_error *why)
{
    const unreadable_note *u = user;
    u->f->marks[item] = UNREADABLE;
    if (u->run->unreadable)
        u->run->unreadable(u->run->user, item, why);
}

static ng_status compute_batches(ngi_features *f, const ngi_features_run *r, ngi_loader *l, int64_t total,
                                 ng_error *err)
{
    ngi_loader_batch batch;
    for (int64_t done = 0;;) {
        NGI_TRY(ngi_loader_next(l, &batch, err));
        if (batch.n == 0)
            return NG_OK;
        batch_rows rows = {r, f, batch.items};
        NGI_TRY(ngi_trunk_forward(r->trunk, batch.images, batch.n, give_rows, &rows, err));
        for (int i = 0; i < batch.n; i++)
            ngi_features_set(f, batch.items[i]);
        done += batch.n;
        if (r->progress && r->progress(r->user, done + ngi_loader_skipped(l), total))
            return ngi_fail(err, NG_E_CANCELLED, "interrupted while features were computed: they are kept");
    }
}

ng_status ngi_features_compute(ngi_features *f, const ngi_features_run *run, ng_error *err)
{
    int64_t *order = ngi_alloc((size_t)f->n, sizeof *order), n = 0;
    if (!order)
        return ngi_fail_memory(err, (size_t)f->n * sizeof *order);
    for (int64_t i = 0; i < f->n; i++)
        if (f->marks[i] == 0)
            order[n++] = i;
    unreadable_note note = {f, run};
    ngi_loader_options o = run->images;
    o.order = order;
    o.n_order = n;
    o.batch = ngi_trunk_micro(run->trunk) * (o.threads > 1 ? o.threads : 1);
    o.skip_unreadable = true;
    o.unreadable = note_unreadable;
    o.user = &note;
    ngi_loader *l = NULL;
    ng_status status = n ? ngi_loader_create(&o, &l, err) : NG_OK;
    if (status == NG_OK && n)
        status = compute_batches(f, run, l, n, err);
    ngi_loader_free(l);
    ngi_free(order);
    return status;
}
