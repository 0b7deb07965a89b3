/* See model_cache.h. A pack holds: "sources" (a line a file), "config" and "facts" (texts), "weights" (a line a weight:
 * name and shape, in the graph's order) and "w0", "w1", ... (their values). */
#include "format/model_cache.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "format/keras_config.h"

/* Models of fewer bytes of weights are read in no time. */
#define LEAST_BYTES ((size_t)1 << 20)
/* A file written within the last seconds may be written again without its times changing. */
#define SETTLED     ((int64_t)2000000000)

/* ---- Sources --------------------------------------------------------------------------------- */

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static ngi_source look(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (ngi_source){.there = false};
    return (ngi_source){.there = true,
                        .device = (uint64_t)st.st_dev,
                        .inode = (uint64_t)st.st_ino,
                        .size = (uint64_t)st.st_size,
                        .written = nanoseconds(st.st_mtim),
                        .changed = nanoseconds(st.st_ctim)};
}

static bool same(const ngi_source *a, const ngi_source *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->written == b->written && a->changed == b->changed;
}

void ngi_source_note(const ngi_load_opts *opts, const char *path)
{
    ngi_sources *s = opts ? opts->sources : NULL;
    char whole[PATH_MAX];
    if (!s)
        return;
    if (s->n == s->capacity) {
        int more = s->capacity ? 2 * s->capacity : 8;
        void *bigger = ngi_realloc(s->items, (size_t)more, sizeof *s->items);
        if (!bigger) {
            s->failed = true;
            return;
        }
        s->items = bigger;
        s->capacity = more;
    }
    ngi_source source = look(path);
    source.path = ngi_strdup(source.there && realpath(path, whole) ? whole : path);
    if (!source.path || strchr(source.path, '\n'))
        s->failed = true;
    s->items[s->n++] = source;
}

void ngi_sources_clear(ngi_sources *s)
{
    for (int i = 0; i < s->n; i++)
        ngi_free(s->items[i].path);
    ngi_free(s->items);
    *s = (ngi_sources){0};
}

static ng_status write_sources(const ngi_sources *s, ngi_buffer *text)
{
    for (int i = 0; i < s->n; i++) {
        const ngi_source *f = &s->items[i];
        NGI_TRY(ngi_buffer_printf(text, NULL,
                                  "%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %s\n",
                                  f->there, f->device, f->inode, f->size, f->written, f->changed, f->path));
    }
    return NG_OK;
}

/* Whether every file of the text is as it was. */
static bool sources_hold(const char *text, size_t size)
{
    char line[PATH_MAX + 256];
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at : size;
        if (n >= sizeof line)
            return false;
        memcpy(line, text + at, n);
        line[n] = '\0';
        at += n + 1;
        ngi_source was;
        int there, start = 0;
        if (sscanf(line, "%d %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %n", &there,
                   &was.device, &was.inode, &was.size, &was.written, &was.changed, &start) != 6)
            return false;
        was.there = there != 0;
        ngi_source is = look(line + start);
        if (!same(&was, &is))
            return false;
    }
    return size > 0;
}

/* Nothing has changed since the reader looked, nor could without being noticed. */
static bool settled(const ngi_sources *s)
{
    struct timespec now;
    if (s->failed || s->n == 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return false;
    for (int i = 0; i < s->n; i++) {
        ngi_source is = look(s->items[i].path);
        if (!same(&s->items[i], &is) || (is.there && nanoseconds(now) - is.written < SETTLED))
            return false;
    }
    return true;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static ng_status add_place(ngi_hash *h, const char *path)
{
    char whole[PATH_MAX];
    const char *keras = getenv("KERAS_HOME"), *home = getenv("HOME");
    if (path && realpath(path, whole))
        path = whole;
    else { /* an architecture's name: its weights are looked for below the home */
        ngi_hash_add(h, keras ? keras : "", keras ? strlen(keras) + 1 : 1);
        ngi_hash_add(h, home ? home : "", home ? strlen(home) + 1 : 1);
    }
    ngi_hash_add(h, path ? path : "", path ? strlen(path) + 1 : 1);
    return NG_OK;
}

static ng_status make_key(const char *path, const ngi_load_opts *opts, char key[NGI_PACK_KEY])
{
    ngi_hash h;
    char hex[NGI_HASH_TEXT];
    NGI_TRY(ngi_hash_init(&h, NULL));
    NGI_TRY(add_place(&h, path));
    NGI_TRY(add_place(&h, opts->weights));
    ngi_hash_finish(&h, hex);
    snprintf(key, NGI_PACK_KEY, "model 2 of netgaze %d.%d.%d: %s at %dx%d", NG_VERSION_MAJOR,
             NG_VERSION_MINOR, NG_VERSION_PATCH, hex, opts->input_height, opts->input_width);
    return NG_OK;
}

/* ---- Loading --------------------------------------------------------------------------------- */

static ng_status describe_weights(const ngi_graph *g, ngi_buffer *text)
{
    char shape[NGI_SHAPE_TEXT];
    for (int i = 0; i < g->n_weights; i++)
        NGI_TRY(ngi_buffer_printf(text, NULL, "%s %s %d\n", g->weights[i].name,
                                  ngi_shape_text(&g->weights[i].shape, shape), g->weights[i].constant));
    return NG_OK;
}

/* The graph's weights are those of the pack, in number, name and shape. */
static bool weights_agree(const ngi_graph *g, const ngi_pack *p)
{
    size_t size;
    const char *kept = ngi_pack_find(p, "weights", &size);
    ngi_buffer text = {0};
    bool agree = kept && describe_weights(g, &text) == NG_OK && text.size == size &&
                 (size == 0 || memcmp(text.data, kept, size) == 0);
    ngi_buffer_clear(&text);
    return agree;
}

static bool take_values(ngi_graph *g, const ngi_pack *p)
{
    if (!weights_agree(g, p))
        return false;
    for (int i = 0; i < g->n_weights; i++) {
        char name[16];
        size_t size = 0;
        ngi_weight *w = &g->weights[i];
        if (w->data)
            continue; /* a constant of the configuration */
        snprintf(name, sizeof name, "w%d", i);
        w->data = ngi_pack_find(p, name, &size);
        w->borrowed = true;
        if (!w->data || size != (size_t)ngi_shape_count(&w->shape) * sizeof(float))
            return false;
    }
    return true;
}

/* "format\0producer\0architecture\0hash\0notes\0", no notes as "" */
static bool take_facts(ngi_model_file *out, const ngi_pack *p)
{
    size_t size;
    const char *facts = ngi_pack_find(p, "facts", &size), *texts[5];
    if (!facts || size == 0 || facts[size - 1] != '\0')
        return false;
    for (int i = 0; i < 5; i++) {
        if (size == 0)
            return false;
        texts[i] = facts;
        size_t n = strlen(facts) + 1;
        facts += n;
        size -= n;
    }
    out->format = ngi_format_name(texts[0]);
    out->producer = ngi_strdup(texts[1]);
    out->architecture = ngi_strdup(texts[2]);
    snprintf(out->hash, sizeof out->hash, "%s", texts[3]);
    out->notes = *texts[4] ? ngi_strdup(texts[4]) : NULL;
    return out->format && out->producer && out->architecture && (out->notes || !*texts[4]) && size == 0;
}

static ng_status build(const char *path, const ngi_load_opts *opts, ngi_pack *p, ngi_model_file *out)
{
    size_t size;
    const char *config = ngi_pack_find(p, "config", &size);
    ngi_load_opts later = *opts;
    ngi_keras_layer *root = NULL;
    later.values_later = true;
    later.max_values = 0;
    if (!config || ngi_keras_build(path, config, size, &later, &out->graph, &root, NULL) != NG_OK)
        return NG_E_NOT_FOUND;
    ngi_keras_layer_free(root);
    bool whole = take_values(out->graph, p) && take_facts(out, p) &&
                 ngi_model_keep_config(out, config, size, NULL) == NG_OK;
    if (!whole) {
        ngi_model_file_clear(out);
        return NG_E_NOT_FOUND;
    }
    out->graph->values = p;
    ngi_pack_rest(p); /* packed weights make most of them unnecessary */
    return NG_OK;
}

ng_status ngi_model_cache_load(const char *path, const ngi_load_opts *opts, ngi_model_file *out)
{
    char key[NGI_PACK_KEY];
    if (!opts->cache || make_key(path, opts, key) != NG_OK)
        return NG_E_NOT_FOUND;
    ngi_pack *p = ngi_cache_open(opts->cache, key);
    if (!p)
        return NG_E_NOT_FOUND;
    size_t size;
    const char *sources = ngi_pack_find(p, "sources", &size);
    ng_status status = sources && sources_hold(sources, size) ? build(path, opts, p, out) : NG_E_NOT_FOUND;
    if (status != NG_OK)
        ngi_pack_close(p);
    return status;
}

/* ---- Saving ---------------------------------------------------------------------------------- */

typedef struct texts {
    ngi_buffer sources, weights, facts;
} texts;

static ng_status make_texts(const ngi_sources *sources, const ngi_model_file *f, texts *t)
{
    const char *facts[] = {f->format, f->producer, f->architecture, f->hash, f->notes ? f->notes : ""};
    NGI_TRY(write_sources(sources, &t->sources));
    NGI_TRY(describe_weights(f->graph, &t->weights));
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        NGI_TRY(ngi_buffer_add(&t->facts, facts[i], strlen(facts[i]) + 1, NULL));
    return NG_OK;
}

static void save(const char *path, const ngi_load_opts *opts, const ngi_model_file *f, const char *key,
                 const texts *t)
{
    const ngi_graph *g = f->graph;
    size_t n = (size_t)g->n_weights + 4;
    ngi_pack_item *items = ngi_alloc_zero(n, sizeof *items);
    char(*names)[16] = ngi_alloc(n, sizeof *names);
    char title[NGI_PACK_TITLE];
    if (items && names) {
        items[0] = (ngi_pack_item){"sources", t->sources.data, t->sources.size};
        items[1] = (ngi_pack_item){"weights", t->weights.data, t->weights.size};
        items[2] = (ngi_pack_item){"facts", t->facts.data, t->facts.size};
        items[3] = (ngi_pack_item){"config", f->config, f->config_size};
        for (int i = 0; i < g->n_weights; i++) {
            snprintf(names[i], sizeof names[i], "w%d", i);
            items[i + 4] = (ngi_pack_item){names[i], g->weights[i].data,
                                           (size_t)ngi_shape_count(&g->weights[i].shape) * sizeof(float)};
        }
        snprintf(title, sizeof title, "weights of %.200s", path);
        ngi_cache_save(opts->cache, key, title, items, (int)n);
    }
    ngi_free(items);
    ngi_free(names);
}

void ngi_model_cache_save(const char *path, const ngi_load_opts *opts, const ngi_sources *sources,
                          const ngi_model_file *f)
{
    size_t bytes = 0;
    char key[NGI_PACK_KEY];
    texts t = {0};
    for (int i = 0; i < f->graph->n_weights; i++)
        bytes += (size_t)ngi_shape_count(&f->graph->weights[i].shape) * sizeof(float);
    if (!opts->cache || !f->config || bytes < LEAST_BYTES || !settled(sources))
        return;
    if (make_key(path, opts, key) == NG_OK && make_texts(sources, f, &t) == NG_OK)
        save(path, opts, f, key, &t);
    ngi_buffer_clear(&t.sources);
    ngi_buffer_clear(&t.weights);
    ngi_buffer_clear(&t.facts);
}
