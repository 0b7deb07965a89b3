/* Models kept in the cache: the configuration and the decoded weights of a file that was read before, in a pack that is
 * mapped. Which file it was is told by its name, place, size and times - as make and git tell - so that
 * opening a model again reads none of its weights. */
#ifndef NGI_FORMAT_MODEL_CACHE_H
#define NGI_FORMAT_MODEL_CACHE_H

#include "base/cache.h"
#include "format/format.h"

/* A file that a reader has looked at, as it was before it was read. */
typedef struct ngi_source {
    char *path;
    bool there;
    uint64_t device, inode, size;
    int64_t written, changed; /* nanoseconds since 1970: of the content, of the file */
} ngi_source;

typedef struct ngi_sources {
    ngi_source *items;
    int n, capacity;
    bool failed; /* memory ran out: the list is not complete */
} ngi_sources;

void ngi_sources_clear(ngi_sources *s);

/* Fills `out` from the cache; NG_E_NOT_FOUND (quietly) if the model is not there or its files have changed. */
ng_status ngi_model_cache_load(const char *path, const ngi_load_opts *opts, ngi_model_file *out);
/* Keeps a model that was just read from `sources`. Small ones are not worth it. */
void ngi_model_cache_save(const char *path, const ngi_load_opts *opts, const ngi_sources *sources,
                          const ngi_model_file *file);

#endif
