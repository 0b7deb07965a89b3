/* XXH3-128 through libxxhash: names models in sidecars and caches, at memory speed; not for security. */
#include "base/base.h"

#include <stdio.h>
#include <xxhash.h>

ng_status ngi_hash_init(ngi_hash *h, ng_error *err)
{
    h->state = XXH3_createState();
    if (!h->state)
        return ngi_fail(err, NG_E_MEMORY, "out of memory: a hash state could not be allocated");
    XXH3_128bits_reset(h->state);
    return NG_OK;
}

void ngi_hash_add(ngi_hash *h, const void *bytes, size_t size)
{
    if (size)
        XXH3_128bits_update(h->state, bytes, size);
}

void ngi_hash_finish(ngi_hash *h, char hex[NGI_HASH_TEXT])
{
    XXH128_hash_t digest = XXH3_128bits_digest(h->state);
    snprintf(hex, NGI_HASH_TEXT, "%016llx%016llx", (unsigned long long)digest.high64,
             (unsigned long long)digest.low64);
    ngi_hash_clear(h);
}

void ngi_hash_clear(ngi_hash *h)
{
    XXH3_freeState(h->state);
    h->state = NULL;
}
