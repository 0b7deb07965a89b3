/* Runs of inputs that differ from a base's in a rectangle: of each map only what may have changed is computed, by kernels that
 * can; what must lie around it is copied from the base's run. The results are those of whole runs to the last bit, since a
 * kernel's parts are. */
#include "exec/rect.h"
#include "exec/session.h"

#include <string.h>

struct ngi_base {
    ngi_plan *plan;       /* counted */
    char *block;          /* all activations of the base's run */
    size_t *place;        /* [n_nodes] bytes, of storage nodes */
    const float **inputs; /* [plan's inputs], into the block */
};

static size_t item_size(const ngi_plan *p, int node)
{
    return p->levels[node] ? 1 : sizeof(float);
}

static char *place_in_base(const ngi_base *b, int node)
{
    return b->block + b->place[b->plan->storage[node]] +
           (size_t)b->plan->slice[node] * item_size(b->plan, node);
}

static char *place_in_session(const ngi_run_session *s, int node, int image)
{
    const ngi_plan *p = s->plan;
    return s->block + ngi_plan_place(p, node) + (size_t)ngi_session_skip(p, node, image) * item_size(p, node);
}

/* A rectangle of a node's map; both places have its strides. */
static void copy_rect(const ngi_plan *p, int node, ngi_rect r, char *to, const char *from)
{
    ngi_map_size m = ngi_map_size_of(&p->graph->nodes[node].shape);
    int64_t stride = p->stride[node] ? p->stride[node] : m.c; /* numbers from pixel to pixel */
    size_t item = item_size(p, node), step = (size_t)stride * item, pixel = (size_t)m.c * item;
    for (int64_t y = r.y0; y < r.y1 && r.x0 < r.x1; y++) {
        size_t at = (size_t)(y * m.w + r.x0) * step, width = (size_t)(r.x1 - r.x0);
        if (step == pixel)
            memcpy(to + at, from + at, width * pixel);
        else
            for (size_t x = 0; x < width; x++)
                memcpy(to + at + x * step, from + at + x * step, pixel);
    }
}

/* ---- The base ---------------------------------------------------------------------------------- */

/* A block for each storage node, one after the other. Returns their size. */
static size_t lay_out(ngi_base *b)
{
    const ngi_plan *p = b->plan;
    size_t end = 0;
    for (int i = 0; i < p->graph->n_nodes; i++) {
        if (!p->needed[i] || p->storage[i] != i || !(p->given[i] || p->step_of[i] >= 0))
            continue;
        b->place[i] = end;
        end += ((size_t)ngi_shape_count(&p->graph->nodes[i].shape) * item_size(p, i) + 63) / 64 * 64;
    }
    return end;
}

static void keep(const ngi_base *b, const ngi_run_session *s, int node)
{
    copy_rect(b->plan, node, ngi_map_all(&b->plan->graph->nodes[node].shape), place_in_base(b, node),
              place_in_session(s, node, 0));
}

static ng_status run_base(ngi_base *b, ngi_run_session *s, const float *const *inputs, ng_error *err)
{
    const ngi_plan *p = s->plan;
    s->images = 0;
    ngi_session_take(s, inputs, 1);
    for (int i = 0; i < p->n_inputs; i++) {
        keep(b, s, p->inputs[i]);
        b->inputs[i] = (const float *)place_in_base(b, p->inputs[i]);
    }
    for (int i = 0; i < p->n_steps; i++) {
        NGI_TRY(ngi_session_step(s, i, 1, NULL, err));
        keep(b, s, p->steps[i].step.node);
    }
    return NG_OK;
}

ng_status ngi_base_create(ngi_run_session *s, const float *const *inputs, ngi_base **out, ng_error *err)
{
    *out = NULL;
    ngi_base *b = ngi_alloc_zero(1, sizeof *b);
    if (!b)
        return ngi_fail_memory(err, sizeof *b);
    size_t nodes = (size_t)s->plan->graph->n_nodes, bytes = 0;
    b->plan = ngi_plan_share(s->plan);
    b->place = ngi_alloc_zero(nodes, sizeof *b->place);
    b->inputs = ngi_alloc_zero((size_t)s->plan->n_inputs, sizeof *b->inputs);
    bool fine = b->place && b->inputs;
    if (fine) {
        bytes = lay_out(b);
        fine = (b->block = ngi_alloc_aligned(bytes)) != NULL;
    }
    ng_status status =
        fine ? run_base(b, s, inputs, err) : ngi_fail_memory(err, nodes * sizeof *b->place + bytes);
    if (status != NG_OK) {
        ngi_base_free(b);
        return status;
    }
    *out = b;
    return NG_OK;
}

void ngi_base_free(ngi_base *b)
{
    if (!b)
        return;
    ngi_free_aligned(b->block);
    ngi_free(b->place);
    ngi_free(b->inputs);
    ngi_plan_free(b->plan);
    ngi_free(b);
}

/* ---- Runs -------------------------------------------------------------------------------------- */

/* What is needed of a node around what was made of it. */
static void surround(const ngi_run_session *s, const ngi_base *b, int node, int image)
{
    const ngi_plan *p = s->plan;
    ngi_rect all = s->cone.needed[node * p->batch + image],
             hole = ngi_rect_meet(s->cone.made[node * p->batch + image], all);
    char *to = place_in_session(s, node, image);
    const char *from = place_in_base(b, node);
    if (ngi_rect_empty(hole)) {
        copy_rect(p, node, all, to, from);
        return;
    }
    copy_rect(p, node, (ngi_rect){all.y0, hole.y0, all.x0, all.x1}, to, from);
    copy_rect(p, node, (ngi_rect){hole.y0, hole.y1, all.x0, hole.x0}, to, from);
    copy_rect(p, node, (ngi_rect){hole.y0, hole.y1, hole.x1, all.x1}, to, from);
    copy_rect(p, node, (ngi_rect){hole.y1, all.y1, all.x0, all.x1}, to, from);
}

static ng_status run_step(const ngi_run_session *s, const ngi_base *b, int step, int n, ng_error *err)
{
    const ngi_plan *p = s->plan;
    const ngi_plan_step *k = &p->steps[step];
    const ngi_rect *made = &s->cone.made[k->step.node * p->batch];
    bool any = false;
    for (int i = 0; i < n; i++)
        any = any || !ngi_rect_empty(made[i]);
    if (any)
        NGI_TRY(ngi_session_step(s, step, n, k->kernel.reach ? made : NULL, err));
    for (int i = 0; i < n; i++)
        surround(s, b, k->step.node, i);
    return NG_OK;
}

static double find_cone(ngi_run_session *s, const ngi_base *b, const float *const *inputs, int n)
{
    const ngi_plan *p = s->plan;
    for (int k = 0; k < p->n_inputs; k++) {
        const ngi_shape *shape = &p->graph->nodes[p->inputs[k]].shape;
        for (int i = 0; i < n; i++)
            s->cone.changed[p->inputs[k] * p->batch + i] =
                ngi_cone_difference(shape, b->inputs[k], inputs[k] + i * ngi_shape_count(shape));
    }
    return ngi_cone_fill(&s->cone, p, n);
}

ng_status ngi_run_forward_near(ngi_run_session *s, const ngi_base *b, double most, const float *const *inputs,
                               int n, ng_error *err)
{
    const ngi_plan *p = s->plan;
    if (n < 1 || n > p->batch || b->plan != p)
        return ngi_fail(err, NG_E_ARGUMENT, "%d images, the plan is for 1 to %d; the base is of %s plan", n,
                        p->batch, b->plan == p ? "this" : "another");
    if (!s->cone.changed)
        NGI_TRY(ngi_cone_init(&s->cone, p, err));
    if (find_cone(s, b, inputs, n) > most)
        return ngi_run_forward(s, inputs, n, err);
    s->images = 0; /* no gradient: what it reads may not be there */
    ngi_session_take(s, inputs, n);
    for (int i = 0; i < p->n_steps; i++)
        NGI_TRY(run_step(s, b, i, n, err));
    return NG_OK;
}
