/* The folder of packs: where it is, how large it may grow, what is thrown out first. Everything here is for speed
 * only: whatever fails leaves the program as it is without a cache. */
#ifndef NGI_BASE_CACHE_H
#define NGI_BASE_CACHE_H

#include "base/pack.h"

#define NGI_CACHE_LIMIT  ((uint64_t)2 << 30) /* bytes of all files, where nobody has said another limit */
#define NGI_CACHE_ENDING ".ngpack"
#define NGI_CACHE_TUNED  "tuned-" /* what the names of measurements' files begin with */

/* The folder, as a new string: `setting` if it is not NULL, else $NETGAZE_CACHE, else $XDG_CACHE_HOME/netgaze, else
 * ~/.cache/netgaze. NULL where there is no cache: the setting or variable is "off", there is no home, or no memory. */
char *ngi_cache_folder(const char *setting);
/* A pack of the folder by a hash of its key; folder NULL: none. */
ngi_pack *ngi_cache_open(const char *folder, const char *key);
/* Keeps a pack, makes the folder if need be, and throws out the least recently used beyond the limit. */
void ngi_cache_save(const char *folder, const char *key, const char *title, const ngi_pack_item *items,
                    int n);

typedef struct ngi_cache_file {
    char *name; /* in the folder */
    char title[NGI_PACK_TITLE];
    uint64_t bytes;
    int64_t used; /* nanoseconds since 1970 */
} ngi_cache_file;

/* The packs of a folder, the most recently used first; none where there is no folder. */
NG_NODISCARD ng_status ngi_cache_list(const char *folder, ngi_cache_file **files, int *n, ng_error *err);
void ngi_cache_list_free(ngi_cache_file *files, int n);
uint64_t ngi_cache_limit(const char *folder);
NG_NODISCARD ng_status ngi_cache_set_limit(const char *folder, uint64_t bytes, ng_error *err);
/* Removes packs until the rest has at most this many bytes; `keep` (a name, or NULL) stays. */
NG_NODISCARD ng_status ngi_cache_trim(const char *folder, uint64_t bytes, const char *keep, ng_error *err);

/* Makes the folder and those above it, for the user alone. */
NG_NODISCARD ng_status ngi_cache_make_folder(const char *folder, ng_error *err);
/* Removes packs and measurements; the limit stays. */
NG_NODISCARD ng_status ngi_cache_clear(const char *folder, ng_error *err);

#endif
