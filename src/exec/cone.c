/* Changes are led from the input through the ops, then what is needed back from the outputs to the input. */
#include "exec/cone.h"
#include "exec/rect.h"

#include <string.h>

ng_status ngi_cone_init(ngi_cone *c, const ngi_plan *p, ng_error *err)
{
    size_t count = (size_t)p->graph->n_nodes * (size_t)p->batch;
    c->changed = ngi_alloc_zero(3 * count, sizeof *c->changed);
    if (!c->changed)
        return ngi_fail_memory(err, 3 * count * sizeof *c->changed);
    c->needed = c->changed + count;
    c->made = c->needed + count;
    return NG_OK;
}

void ngi_cone_clear(ngi_cone *c)
{
    ngi_free(c->changed);
    *c = (ngi_cone){0};
}

ngi_map_size ngi_map_size_of(const ngi_shape *s)
{
    if (s->rank == 3)
        return (ngi_map_size){s->dim[0], s->dim[1], s->dim[2]};
    int64_t c = s->rank > 0 ? s->dim[s->rank - 1] : 1;
    return (ngi_map_size){1, ngi_shape_count(s) / c, c};
}

ngi_rect ngi_map_all(const ngi_shape *s)
{
    ngi_map_size m = ngi_map_size_of(s);
    return (ngi_rect){0, m.h, 0, m.w};
}

ngi_rect ngi_cone_difference(const ngi_shape *s, const float *a, const float *b)
{
    ngi_map_size m = ngi_map_size_of(s);
    size_t row = (size_t)(m.w * m.c) * sizeof *a, pixel = (size_t)m.c * sizeof *a;
    ngi_rect r = {.y0 = m.h, .x0 = m.w};
    for (int64_t y = 0; y < m.h; y++) {
        const float *p = a + y * m.w * m.c, *q = b + y * m.w * m.c;
        if (memcmp(p, q, row) == 0)
            continue;
        r.y0 = y < r.y0 ? y : r.y0;
        r.y1 = y + 1;
        int64_t left = 0, right = m.w;
        while (left < r.x0 && memcmp(p + left * m.c, q + left * m.c, pixel) == 0)
            left++;
        while (right > r.x1 && memcmp(p + (right - 1) * m.c, q + (right - 1) * m.c, pixel) == 0)
            right--;
        r.x0 = left;
        r.x1 = right;
    }
    return ngi_rect_empty(r) ? (ngi_rect){0} : r;
}

/* ---- Changes, forwards ------------------------------------------------------------------------- */

/* Of a convolution or a pool. */
static ngi_rect window_change(const ngi_attr *a, ngi_rect in, const ngi_shape *out)
{
    ngi_window_axis(&in.y0, &in.y1, (int64_t)(a->kernel_h - 1) * a->dilation_h + 1, a->stride_h, a->pad.top,
                    out->dim[0]);
    ngi_window_axis(&in.x0, &in.x1, (int64_t)(a->kernel_w - 1) * a->dilation_w + 1, a->stride_w, a->pad.left,
                    out->dim[1]);
    return in;
}

/* Of an op whose pixels stay where they are. */
static ngi_rect pixel_change(const ngi_shape *in, ngi_rect change, const ngi_shape *out)
{
    bool alike = in->rank == 3 && out->rank == 3 && in->dim[0] == out->dim[0] && in->dim[1] == out->dim[1];
    return alike ? change : ngi_map_all(out);
}

static ngi_rect shifted(ngi_rect r, int64_t down, int64_t right, const ngi_shape *out)
{
    r = (ngi_rect){r.y0 + down, r.y1 + down, r.x0 + right, r.x1 + right};
    return ngi_rect_meet(r, ngi_map_all(out));
}

/* What of a node's map may change where input k does in `change`, which is not empty. Nodes that a step has taken in are nodes
 * here, too. */
static ngi_rect node_change(const ngi_plan *p, int node, int k, ngi_rect change)
{
    const ngi_node *n = &p->graph->nodes[node];
    const ngi_shape *in = &p->graph->nodes[n->inputs[k]].shape;
    switch (n->op) {
    case NGI_OP_CONV2D:
    case NGI_OP_DEPTHWISE:
    case NGI_OP_MAX_POOL:
    case NGI_OP_AVG_POOL:
        return window_change(&n->attr, change, &n->shape);
    case NGI_OP_IDENTITY:
    case NGI_OP_BATCHNORM:
    case NGI_OP_ACTIVATION:
    case NGI_OP_AFFINE:
    case NGI_OP_ADD:
    case NGI_OP_SUBTRACT:
    case NGI_OP_MULTIPLY:
    case NGI_OP_DIVIDE:
    case NGI_OP_AVERAGE:
    case NGI_OP_MAXIMUM:
    case NGI_OP_MINIMUM:
        return pixel_change(in, change, &n->shape);
    case NGI_OP_CONCAT:
        return n->attr.axis == n->shape.rank - 1 ? pixel_change(in, change, &n->shape)
                                                 : ngi_map_all(&n->shape);
    case NGI_OP_ZERO_PAD:
        return shifted(change, n->attr.pad.top, n->attr.pad.left, &n->shape);
    case NGI_OP_CROP:
        return shifted(change, -n->attr.pad.top, -n->attr.pad.left, &n->shape);
    default:
        return ngi_map_all(&n->shape);
    }
}

/* What of a node that runs may change: by its kernel where that knows, else by what its op does. */
static ngi_rect change_of(const ngi_cone *c, const ngi_plan *p, int node, int image)
{
    const ngi_node *n = &p->graph->nodes[node];
    const ngi_plan_step *s = p->step_of[node] < 0 ? NULL : &p->steps[p->step_of[node]];
    bool knows = s && s->kernel.spread;
    const int *inputs = knows ? s->step.inputs : n->inputs; /* of all nodes in a step, or of this one */
    ngi_rect all = {0};
    for (int k = 0; k < (knows ? s->step.n_inputs : n->n_inputs); k++) {
        ngi_rect change = c->changed[inputs[k] * p->batch + image];
        if (ngi_rect_empty(change))
            continue;
        if (knows)
            change = s->kernel.spread(&s->kernel, change);
        else if (p->levels[node] || p->levels[inputs[k]]) /* nobody knows what bytes share */
            change = ngi_map_all(&n->shape);
        else
            change = node_change(p, node, k, change);
        all = ngi_rect_join(all, change);
    }
    return all;
}

static void lead_changes(ngi_cone *c, const ngi_plan *p, int n)
{
    for (int node = 0; node < p->graph->n_nodes; node++)
        for (int i = 0; i < n && p->needed[node] && !p->given[node]; i++)
            c->changed[node * p->batch + i] = change_of(c, p, node, i);
}

/* ---- Needs, backwards -------------------------------------------------------------------------- */

static void need(ngi_cone *c, const ngi_plan *p, int node, int image, ngi_rect r)
{
    ngi_rect *old = &c->needed[node * p->batch + image];
    *old = ngi_rect_join(*old, r);
}

static void need_all(ngi_cone *c, const ngi_plan *p, int node, int image)
{
    need(c, p, node, image, ngi_map_all(&p->graph->nodes[node].shape));
}

/* What a step computes of each image and reads for it. A kernel that knows no parts runs for all images or none. */
static void plan_step(ngi_cone *c, const ngi_plan *p, int node, int n)
{
    const ngi_plan_step *s = &p->steps[p->step_of[node]];
    bool parts = s->kernel.reach != NULL, any = false;
    ngi_rect *made = &c->made[node * p->batch];
    for (int i = 0; i < n; i++) {
        ngi_rect needed = c->needed[node * p->batch + i];
        bool moves =
            s->step.op == NGI_OP_CONCAT && parts; /* what it needs it has from its inputs, changed or not */
        made[i] = moves ? needed : ngi_rect_meet(c->changed[node * p->batch + i], needed);
        any = any || !ngi_rect_empty(made[i]);
    }
    for (int i = 0; i < n && any; i++) {
        if (parts && ngi_rect_empty(made[i]))
            continue;
        ngi_rect reads = {0};
        if (parts)
            reads = s->kernel.reach(&s->kernel, &made[i]);
        else
            made[i] = ngi_map_all(s->step.out_shape);
        for (int k = 0; k < s->step.n_inputs; k++)
            if (parts)
                need(c, p, s->step.inputs[k], i, reads);
            else
                need_all(c, p, s->step.inputs[k], i);
    }
}

/* A node that is another one's values. */
static void plan_alias(ngi_cone *c, const ngi_plan *p, int node, int n)
{
    const ngi_node *a = &p->graph->nodes[node];
    for (int i = 0; i < n; i++) {
        ngi_rect needed = c->needed[node * p->batch + i];
        if (a->op == NGI_OP_IDENTITY)
            need(c, p, a->inputs[0], i, needed);
        else if (!ngi_rect_empty(needed))
            need_all(c, p, a->inputs[0], i);
    }
}

static void lead_needs(ngi_cone *c, const ngi_plan *p, int n)
{
    for (int node = 0; node < p->graph->n_nodes; node++)
        for (int i = 0; i < n; i++)
            c->needed[node * p->batch + i] =
                p->visible[node] ? ngi_map_all(&p->graph->nodes[node].shape) : (ngi_rect){0};
    for (int node = p->graph->n_nodes - 1; node >= 0; node--) {
        if (!p->needed[node] || p->given[node])
            continue;
        if (p->step_of[node] >= 0)
            plan_step(c, p, node, n);
        else if (p->storage[node] != node)
            plan_alias(c, p, node, n);
    }
}

/* ---- What it saves ----------------------------------------------------------------------------- */

/* Of a whole step, in multiplications or so. */
static double work_of(const ngi_step *s)
{
    const ngi_attr *a = s->attr;
    double out = (double)ngi_shape_count(s->pool ? &s->pool_in : s->out_shape);
    switch (s->op) {
    case NGI_OP_CONV2D:
        return out * a->kernel_h * a->kernel_w * (double)s->in_shape[0]->dim[2] / a->groups;
    case NGI_OP_DEPTHWISE:
    case NGI_OP_MAX_POOL:
    case NGI_OP_AVG_POOL:
        return out * a->kernel_h * a->kernel_w;
    case NGI_OP_DENSE:
        return out * (double)s->in_shape[0]->dim[s->in_shape[0]->rank - 1];
    default:
        return out;
    }
}

double ngi_cone_fill(ngi_cone *c, const ngi_plan *p, int n)
{
    double all = 0, left = 0;
    lead_changes(c, p, n);
    lead_needs(c, p, n);
    for (int t = 0; t < p->n_steps; t++) {
        const ngi_step *s = &p->steps[t].step;
        double work = work_of(s), area = (double)ngi_rect_area(ngi_map_all(s->out_shape));
        for (int i = 0; i < n; i++)
            left += work * (double)ngi_rect_area(c->made[s->node * p->batch + i]) / area;
        all += n * work;
    }
    return all > 0 ? left / all : 1;
}
