/* One block for everything. */
#include "train/params.h"

#include <string.h>

static ng_status allocate(ngi_params *p, bool average, ng_error *err)
{
    size_t rows = 2 + (size_t)p->n_slots + average, total = (size_t)p->total;
    p->grads = ngi_alloc_zero(rows * total, sizeof *p->grads);
    if (!p->grads)
        return ngi_fail_memory(err, rows * total * sizeof *p->grads);
    p->best = p->grads + total;
    p->slots = p->best + total;
    p->average = average ? p->slots + (size_t)p->n_slots * total : NULL;
    return NG_OK;
}

static void point(ngi_params *p)
{
    int64_t at = 0;
    for (int i = 0; i < p->n; i++) {
        ngi_trained *t = &p->items[i];
        t->grad = p->grads + at;
        for (int s = 0; s < p->n_slots; s++)
            t->slot[s] = p->slots + s * p->total + at;
        t->average = p->average ? p->average + at : NULL;
        at += t->count;
    }
}

ng_status ngi_params_create(const ngi_graph *g, const int *weights, int n, const ngi_optimizer *o,
                            ngi_params *out, ng_error *err)
{
    *out = (ngi_params){.n = n, .n_slots = ngi_optimizer_slots(o)};
    out->items = ngi_alloc_zero((size_t)n, sizeof *out->items);
    out->weights = ngi_alloc((size_t)n, sizeof *out->weights);
    if (!out->items || !out->weights) {
        ngi_params_clear(out);
        return ngi_fail_memory(err, (size_t)n * sizeof *out->items);
    }
    for (int i = 0; i < n; i++) {
        const ngi_weight *w = &g->weights[weights[i]];
        out->weights[i] = weights[i];
        out->items[i] = (ngi_trained){.weight = w->data, .count = ngi_shape_count(&w->shape), .decays = true};
        out->total += out->items[i].count;
    }
    ng_status status = allocate(out, o->ema > 0, err);
    if (status != NG_OK) {
        ngi_params_clear(out);
        return status;
    }
    point(out);
    ngi_params_get(out, out->best);
    if (out->average)
        ngi_params_get(out, out->average);
    return NG_OK;
}

void ngi_params_clear(ngi_params *p)
{
    ngi_free(p->items);
    ngi_free(p->weights);
    ngi_free(p->grads);
    *p = (ngi_params){0};
}

void ngi_params_zero_grads(ngi_params *p)
{
    memset(p->grads, 0, (size_t)p->total * sizeof *p->grads);
}

float *ngi_params_grad(const ngi_params *p, int i)
{
    return p->grads + (p->items[i].grad - p->grads);
}

void ngi_params_swap_average(ngi_params *p)
{
    if (!p->average)
        return;
    for (int i = 0; i < p->n; i++)
        for (int64_t k = 0; k < p->items[i].count; k++) {
            float kept = p->items[i].weight[k];
            p->items[i].weight[k] = p->items[i].average[k];
            p->items[i].average[k] = kept;
        }
    p->averaged = !p->averaged;
}

void ngi_params_get(const ngi_params *p, float *values)
{
    for (int i = 0; i < p->n; i++) {
        memcpy(values, p->items[i].weight, (size_t)p->items[i].count * sizeof *values);
        values += p->items[i].count;
    }
}

void ngi_params_set(ngi_params *p, const float *values)
{
    for (int i = 0; i < p->n; i++) {
        memcpy(p->items[i].weight, values, (size_t)p->items[i].count * sizeof *values);
        values += p->items[i].count;
    }
}
