/* A plan's packed weights in the cache: one pack a kind of plan. What kind a plan is follows from its steps - what is
 * fused, where gradients go - and from whatever decides how a back end orders weights: its version and, since that stands
 * still while kernels are worked on, the hash of their sources; the instruction set, the threads. */
#include "exec/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/cache.h"

/* Plans that pack less than this are made in no time. */
#define LEAST_BYTES ((size_t)1 << 20)

static bool has_kernel(const ngi_step *s)
{
    return s->op == NGI_OP_CONV2D || s->op == NGI_OP_DEPTHWISE || s->op == NGI_OP_DENSE;
}

static ng_status hash_steps(const ngi_plan *p, char hex[NGI_HASH_TEXT])
{
    ngi_hash h;
    NGI_TRY(ngi_hash_init(&h, NULL));
    for (int i = 0; i < p->n_steps; i++) {
        const ngi_step *s = &p->steps[i].step;
        if (!has_kernel(s))
            continue;
        /* a dense layer's kernel is used in place in both directions */
        int parts[] = {s->root,         s->node,
                       s->op,           s->backward && s->op != NGI_OP_DENSE,
                       s->pool != NULL, p->steps[i].preferred,
                       s->fine};
        ngi_hash_add(&h, parts, sizeof parts);
    }
    ngi_hash_finish(&h, hex);
    return NG_OK;
}

static bool make_key(const ngi_plan *p, const char *identity, char key[NGI_PACK_KEY])
{
    char steps[NGI_HASH_TEXT];
    if (hash_steps(p, steps) != NG_OK)
        return false;
    int n =
        snprintf(key, NGI_PACK_KEY,
                 "plan 2 of netgaze %d.%d.%d " NGI_KERNELS_HASH ": %s %s, %s, %d threads, %s, onednn %s %s",
                 NG_VERSION_MAJOR, NG_VERSION_MINOR, NG_VERSION_PATCH, identity, steps, p->backend,
                 p->threads, ngi_native_isa_name(), ngi_onednn_version(), ngi_onednn_isa());
    return n > 0 && n < NGI_PACK_KEY;
}

void ngi_plan_open_pack(ngi_plan *p, const char *cache, const char *identity)
{
    char key[NGI_PACK_KEY];
    if (!make_key(p, identity, key))
        return;
    p->pack = ngi_cache_open(cache, key);
    p->packing.from = p->pack;
    for (int i = 0; i < p->n_steps; i++)
        p->steps[i].step.packing = has_kernel(&p->steps[i].step) ? &p->packing : NULL;
}

void ngi_plan_save_pack(ngi_plan *p, const char *cache, const char *identity)
{
    char key[NGI_PACK_KEY], title[NGI_PACK_TITLE];
    size_t bytes = 0;
    for (int i = 0; i < p->packing.n; i++)
        bytes += p->packing.items[i].size;
    if (!p->packing.missed || p->packing.failed || bytes < LEAST_BYTES || !make_key(p, identity, key))
        return;
    snprintf(title, sizeof title, "packed for %s, %d thread%s: %.100s", ngi_native_isa_name(), p->threads,
             p->threads == 1 ? "" : "s", p->graph->name ? p->graph->name : "");
    ngi_cache_save(cache, key, title, p->packing.items, p->packing.n);
}
