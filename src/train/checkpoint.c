/* A checkpoint is a pack (base/pack.h): whole or not there, checked when it is opened. */
#include "base/pack.h"
#include "train/fit_own.h"

#include <stdio.h>
#include <string.h>

static void key_of(const ngi_fit *f, char *key)
{
    snprintf(key, NGI_PACK_KEY, "netgaze checkpoint 1, %s", f->o.key ? f->o.key : "");
}

ng_status ngi_checkpoint_save(const ngi_fit *f, ng_error *err)
{
    const ngi_params *p = &f->params;
    size_t row = (size_t)p->total * sizeof(float);
    char key[NGI_PACK_KEY], title[NGI_PACK_TITLE];
    float *weights = ngi_alloc((size_t)p->total, sizeof *weights);
    if (!weights)
        return ngi_fail_memory(err, row);
    ngi_params_get(p, weights);
    const ngi_pack_item items[] = {
        {"state", &f->state, sizeof f->state},
        {"history", f->history, (size_t)f->n_history * sizeof *f->history},
        {"weights", weights, row},
        {"best", p->best, row},
        {"slots", p->slots, row * (size_t)p->n_slots},
        {"average", p->average, p->average ? row : 0},
    };
    key_of(f, key);
    snprintf(title, sizeof title, "training, %d epochs done", f->state.epochs_done);
    ng_status status =
        ngi_pack_save(f->o.checkpoint, key, title, items, (int)(sizeof items / sizeof *items), true, err);
    if (status != NG_OK)
        ngi_error_prefix(err, "the checkpoint");
    ngi_free(weights);
    return status;
}

static ng_status refuse(const ngi_fit *f, ng_error *err)
{
    return ngi_fail(err, NG_E_ARGUMENT,
                    "%s: the checkpoint is of another run (other options, images, base or version) or "
                    "damaged; resume with "
                    "the same options, or begin anew without --resume",
                    f->o.checkpoint);
}

ng_status ngi_checkpoint_open(ngi_fit *f, ngi_pack **out, ng_error *err)
{
    char key[NGI_PACK_KEY];
    *out = NULL;
    if (!ngi_path_exists(f->o.checkpoint))
        return NG_E_NOT_FOUND;
    key_of(f, key);
    ngi_pack *pack = ngi_pack_open(f->o.checkpoint, key);
    size_t size = 0, history = 0;
    const void *state = pack ? ngi_pack_find(pack, "state", &size) : NULL;
    const void *epochs = pack ? ngi_pack_find(pack, "history", &history) : NULL;
    if (!state || !epochs || size != sizeof f->state || history % sizeof *f->history) {
        ngi_pack_close(pack);
        return refuse(f, err);
    }
    memcpy(&f->state, state, sizeof f->state);
    f->n_history = f->history_capacity = (int)(history / sizeof *f->history);
    f->history = ngi_alloc((size_t)f->n_history, sizeof *f->history);
    if (!f->history) {
        ngi_pack_close(pack);
        return ngi_fail_memory(err, history);
    }
    memcpy(f->history, epochs, history);
    *out = pack;
    return NG_OK;
}

static bool take_row(const ngi_pack *pack, const char *name, float *to, int64_t count)
{
    size_t size = 0;
    const void *from = ngi_pack_find(pack, name, &size);
    if (!from || size != (size_t)count * sizeof *to)
        return false;
    if (size)
        memcpy(to, from, size);
    return true;
}

ng_status ngi_checkpoint_take(ngi_fit *f, const ngi_pack *pack, ng_error *err)
{
    ngi_params *p = &f->params;
    bool fine = take_row(pack, "best", p->best, p->total) &&
                take_row(pack, "slots", p->slots, p->total * p->n_slots) &&
                take_row(pack, "average", p->average, p->average ? p->total : 0) &&
                take_row(pack, "weights", p->grads, p->total);
    if (!fine)
        return refuse(f, err);
    ngi_params_set(p, p->grads);
    return NG_OK;
}
