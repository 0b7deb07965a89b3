/* Making a plan: which nodes run, which are visible afterwards, the way of the gradients. */
#include "exec/plan.h"

#include <string.h>

#define FEW_KINKS 1024
#define MAX_BATCH 65536 /* times NGI_MAX_ELEMENTS: no tensor's bytes overflow 64 bits */

/* ---- Marking nodes ----------------------------------------------------------------------------- */

static ng_status mark(const ngi_graph *g, const int *nodes, int n, bool *flags, bool *also, ng_error *err)
{
    for (int i = 0; i < n; i++) {
        if (nodes[i] < 0 || nodes[i] >= g->n_nodes)
            return ngi_fail(err, NG_E_ARGUMENT, "node %d: the graph has nodes 0 to %d", nodes[i],
                            g->n_nodes - 1);
        flags[nodes[i]] = true;
        if (also)
            also[nodes[i]] = true;
    }
    return NG_OK;
}

/* Everything that leads to a marked node is marked too, up to what is given. */
static void mark_ancestors(const ngi_plan *p, bool *flags)
{
    const ngi_graph *g = p->graph;
    for (int i = g->n_nodes - 1; i >= 0; i--)
        for (int k = 0; flags[i] && !p->given[i] && k < g->nodes[i].n_inputs; k++)
            flags[g->nodes[i].inputs[k]] = true;
}

/* Nodes between a wanted gradient and the root. */
static ng_status mark_path(ngi_plan *p, ng_error *err)
{
    const ngi_graph *g = p->graph;
    bool *to_root = ngi_alloc_zero((size_t)g->n_nodes, sizeof *to_root);
    if (!to_root)
        return ngi_fail_memory(err, (size_t)g->n_nodes);
    to_root[p->root] = true;
    mark_ancestors(p, to_root);
    for (int i = 0; i < g->n_nodes; i++) {
        p->on_path[i] = p->wanted[i] || p->trains[i];
        for (int k = 0; k < g->nodes[i].n_inputs && !p->on_path[i] && !p->given[i]; k++)
            p->on_path[i] = p->on_path[g->nodes[i].inputs[k]];
    }
    ng_status status = NG_OK;
    for (int i = 0; i < g->n_nodes; i++) {
        if (p->wanted[i] && !to_root[i] && status == NG_OK)
            status = ngi_fail(err, NG_E_ARGUMENT, "'%s' does not feed '%s': no gradient reaches it",
                              g->nodes[i].name, g->nodes[p->root].name);
        p->on_path[i] = p->on_path[i] && to_root[i];
    }
    ngi_free(to_root);
    return status;
}

static ng_status mark_nodes(ngi_plan *p, const ngi_plan_opts *o, ng_error *err)
{
    const ngi_graph *g = p->graph;
    NGI_TRY(mark(g, p->inputs, p->n_inputs, p->given, p->needed, err));
    if (!o->n_starts)
        NGI_TRY(mark(g, g->outputs, g->n_outputs, p->visible, p->needed, err));
    NGI_TRY(mark(g, o->taps, o->n_taps, p->visible, p->needed, err));
    NGI_TRY(mark(g, o->grads, o->n_grads, p->visible, p->needed, err));
    NGI_TRY(mark(g, o->grads, o->n_grads, p->wanted, NULL, err));
    NGI_TRY(mark(g, &o->root, 1, p->visible, p->needed, err));
    mark_ancestors(p, p->needed);
    for (int i = 0; i < g->n_nodes; i++)
        if (p->needed[i] && g->nodes[i].op == NGI_OP_INPUT && !p->given[i])
            return ngi_fail(err, NG_E_ARGUMENT, "a way leads from the input '%s' around the given nodes",
                            g->nodes[i].name);
    return mark_path(p, err);
}

/* Whether the derivative jumps somewhere. */
static bool has_kink(const ngi_node *n)
{
    switch (n->op) {
    case NGI_OP_PRELU:
    case NGI_OP_MAX_POOL:
    case NGI_OP_GLOBAL_MAX:
    case NGI_OP_MAXIMUM:
    case NGI_OP_MINIMUM:
        return true;
    case NGI_OP_ACTIVATION:
        return ngi_activation_has_kink(&n->attr.act);
    default:
        return false;
    }
}

static bool passes_gradient(const ngi_plan *p, int node)
{
    const ngi_node *n = &p->graph->nodes[node];
    bool passes = false;
    for (int k = 0; k < n->n_inputs && p->on_path[node] && !p->given[node]; k++)
        passes = passes || p->on_path[n->inputs[k]];
    return passes;
}

/* A relu that float32's rounding puts on the other side of its kink changes a gradient by a whole weight. Of a million of
 * them a few are that near; of the units of a small head hardly ever one. */
static void find_kinks(ngi_plan *p)
{
    int64_t kinks = 0;
    for (int i = 0; i < p->graph->n_nodes; i++)
        if (passes_gradient(p, i) && has_kink(&p->graph->nodes[i]))
            kinks += ngi_shape_count(&p->graph->nodes[i].shape);
    p->fine = kinks > FEW_KINKS;
}

/* ---- Storage: nodes that share a block --------------------------------------------------------- */

static bool is_alias(const ngi_node *n)
{
    return n->op == NGI_OP_IDENTITY || n->op == NGI_OP_RESHAPE;
}

static void count_uses(ngi_plan *p)
{
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const ngi_node *n = &p->graph->nodes[i];
        for (int k = 0; k < n->n_inputs && p->needed[i] && !p->given[i]; k++) {
            p->uses[n->inputs[k]]++;
            p->path_uses[n->inputs[k]] += p->on_path[i];
            p->reader[n->inputs[k]] = i;
        }
    }
}

static void choose_storage(ngi_plan *p)
{
    const ngi_graph *g = p->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const ngi_node *n = &g->nodes[i];
        bool alias = is_alias(n) && !p->given[i];
        p->storage[i] = alias ? p->storage[n->inputs[0]] : i;
        p->grad_storage[i] = p->on_path[i] ? i : -1;
        /* A reshape shares its input's gradient where it is the only one to contribute to it. */
        if (p->on_path[i] && alias && p->on_path[n->inputs[0]] && p->path_uses[n->inputs[0]] == 1)
            p->grad_storage[i] = p->grad_storage[n->inputs[0]];
    }
}

/* ---- The backward schedule --------------------------------------------------------------------- */

/* Wanted nodes are numbered in their order; note_served does the same. */
uint64_t ngi_plan_wanted_bit(const ngi_plan *p, int node)
{
    int index = 0;
    for (int i = 0; i < node; i++)
        index += p->wanted[i];
    return (uint64_t)1 << (index % 64);
}

/* For each item the wanted nodes among the ancestors of its node. */
static ng_status note_served(ngi_plan *p, ng_error *err)
{
    const ngi_graph *g = p->graph;
    uint64_t *above =
        ngi_alloc_zero((size_t)g->n_nodes, sizeof *above); /* wanted nodes at or above each node */
    if (!above)
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *above);
    for (int i = 0, index = 0; i < g->n_nodes; i++) {
        above[i] = p->wanted[i] ? (uint64_t)1 << (index++ % 64) : 0;
        above[i] |= p->trains[i] ? NGI_SERVES_WEIGHTS : 0;
        for (int k = 0; k < g->nodes[i].n_inputs && !p->given[i]; k++)
            above[i] |= above[g->nodes[i].inputs[k]];
    }
    for (int i = 0; i < p->n_items; i++) {
        const ngi_backward_item *item = &p->items[i];
        int root = item->step < 0 ? item->node : p->steps[item->step].step.root;
        if (item->step >= 0 && p->steps[item->step].trains)
            p->items[i].serves = NGI_SERVES_WEIGHTS;
        for (int k = 0; k < g->nodes[root].n_inputs; k++)
            p->items[i].serves |= above[g->nodes[root].inputs[k]];
    }
    ngi_free(above);
    return NG_OK;
}

/* Marks one step's gradients as written and notes which were before. */
static void schedule_step(ngi_plan *p, int index, bool *written)
{
    ngi_plan_step *s = &p->steps[index];
    for (int k = 0; k < s->step.n_inputs; k++) {
        int storage = p->grad_storage[s->step.inputs[k]];
        if (storage < 0)
            continue;
        s->accumulate[k] = written[storage];
        written[storage] = true;
    }
    p->items[p->n_items++] = (ngi_backward_item){.step = index, .node = s->step.node};
}

static ng_status schedule_backward(ngi_plan *p, ng_error *err)
{
    const ngi_graph *g = p->graph;
    bool *written = ngi_alloc_zero((size_t)g->n_nodes, sizeof *written);
    p->items = ngi_alloc((size_t)g->n_nodes, sizeof *p->items);
    if (!written || !p->items) {
        ngi_free(written);
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *p->items);
    }
    for (int i = p->root; i >= 0; i--) {
        const ngi_node *n = &g->nodes[i];
        if (!p->on_path[i] || p->given[i])
            continue;
        if (is_alias(n)) {
            int in = n->inputs[0], storage = p->grad_storage[in];
            if (storage < 0 || storage == p->grad_storage[i])
                continue;
            p->items[p->n_items++] =
                (ngi_backward_item){.step = -1, .node = i, .accumulate = written[storage]};
            written[storage] = true;
            continue;
        }
        int step = p->step_of[i];
        if (step >= 0 && (p->steps[step].backward || p->steps[step].trains))
            schedule_step(p, step, written);
    }
    ngi_free(written);
    return NG_OK;
}

/* ---- Life -------------------------------------------------------------------------------------- */

static ng_status list_kernels(ngi_plan *p, ng_error *err)
{
    ngi_buffer text = {0};
    ng_status status = ngi_buffer_add(&text, "", 0, err);
    for (int i = 0; i < p->n_steps && status == NG_OK; i++)
        status = ngi_buffer_printf(&text, err, "%s\t%s\n", p->graph->nodes[p->steps[i].step.root].name,
                                   p->steps[i].kernel.name);
    p->kernels = text.data;
    return status;
}

static ng_status allocate_tables(ngi_plan *p, ng_error *err)
{
    size_t n = (size_t)p->graph->n_nodes;
    p->given = ngi_alloc_zero(n, sizeof *p->given);
    p->needed = ngi_alloc_zero(n, sizeof *p->needed);
    p->visible = ngi_alloc_zero(n, sizeof *p->visible);
    p->wanted = ngi_alloc_zero(n, sizeof *p->wanted);
    p->on_path = ngi_alloc_zero(n, sizeof *p->on_path);
    p->trains = ngi_alloc_zero(n, sizeof *p->trains);
    p->uses = ngi_alloc_zero(n, sizeof *p->uses);
    p->path_uses = ngi_alloc_zero(n, sizeof *p->path_uses);
    p->reader = ngi_alloc_zero(n, sizeof *p->reader);
    p->step_of = ngi_alloc_zero(n, sizeof *p->step_of);
    p->storage = ngi_alloc_zero(n, sizeof *p->storage);
    p->levels = ngi_alloc_zero(n, sizeof *p->levels);
    p->slice = ngi_alloc_zero(n, sizeof *p->slice);
    p->stride = ngi_alloc_zero(n, sizeof *p->stride);
    p->grad_storage = ngi_alloc_zero(n, sizeof *p->grad_storage);
    p->offset = ngi_alloc_zero(n, sizeof *p->offset);
    p->grad_offset = ngi_alloc_zero(n, sizeof *p->grad_offset);
    bool all = p->given && p->needed && p->visible && p->wanted && p->on_path && p->trains && p->uses &&
               p->path_uses && p->reader && p->step_of && p->storage && p->levels && p->slice && p->stride &&
               p->grad_storage && p->offset && p->grad_offset;
    return all ? NG_OK : ngi_fail_memory(err, n * 32);
}

static ng_status copy_inputs(ngi_plan *p, const ngi_plan_opts *o, ng_error *err)
{
    const int *list = o->n_starts ? o->starts : p->graph->inputs;
    p->n_inputs = o->n_starts ? o->n_starts : p->graph->n_inputs;
    p->inputs = ngi_alloc((size_t)p->n_inputs, sizeof *p->inputs);
    if (!p->inputs)
        return ngi_fail_memory(err, (size_t)p->n_inputs * sizeof *p->inputs);
    memcpy(p->inputs, list, (size_t)p->n_inputs * sizeof *p->inputs);
    return NG_OK;
}

static ng_status build(ngi_plan *p, const ngi_plan_opts *o, ng_error *err)
{
    NGI_TRY(allocate_tables(p, err));
    NGI_TRY(copy_inputs(p, o, err));
    p->backend = ngi_strdup(o->backend ? o->backend : "auto");
    if (!p->backend)
        return ngi_fail_memory(err, 8);
    const ngi_backend *const *list = ngi_backends_find(p->backend, err);
    if (!list)
        return NG_E_ARGUMENT;
    for (; *list; list++)
        if (!(*list)->usable || (*list)->usable())
            p->backends[p->n_backends++] = *list;
    ngi_plan_mark_trained(p, o->trained);
    NGI_TRY(mark_nodes(p, o, err));
    find_kinks(p);
    count_uses(p);
    choose_storage(p);
    NGI_TRY(ngi_plan_make_steps(p, o, err));
    NGI_TRY(ngi_plan_choose_bytes(p, o->ranges, err));
    NGI_TRY(schedule_backward(p, err));
    NGI_TRY(note_served(p, err));
    if (o->cache)
        ngi_plan_read_choices(p, o->cache);
    if (o->cache && o->identity)
        ngi_plan_open_pack(p, o->cache, o->identity);
    NGI_TRY(ngi_plan_make_kernels(p, err));
    if (o->cache && o->identity)
        ngi_plan_save_pack(p, o->cache, o->identity);
    ngi_packing_clear(&p->packing);
    NGI_TRY(ngi_plan_make_trainers(p, err));
    ngi_plan_find_places(p);
    ngi_plan_slice(p);
    NGI_TRY(ngi_plan_lay_out(p, err));
    return list_kernels(p, err);
}

ng_status ngi_plan_create(const ngi_graph *g, const ngi_plan_opts *o, ngi_plan **out, ng_error *err)
{
    *out = NULL;
    if (o->batch < 1 || o->batch > MAX_BATCH || o->threads < 1 || o->root < 0 || o->root >= g->n_nodes)
        return ngi_fail(err, NG_E_ARGUMENT, "batch %d (1 to %d), threads %d (from 1), root node %d (0 to %d)",
                        o->batch, MAX_BATCH, o->threads, o->root, g->n_nodes - 1);
    ngi_plan *p = ngi_alloc_zero(1, sizeof *p);
    if (!p)
        return ngi_fail_memory(err, sizeof *p);
    atomic_init(&p->references, 1);
    p->graph = g;
    p->batch = o->batch;
    p->threads = o->threads;
    p->root = o->root;
    ng_status status = build(p, o, err);
    if (status != NG_OK) {
        ngi_plan_free(p);
        return status;
    }
    *out = p;
    return NG_OK;
}

void ngi_plan_free(ngi_plan *p)
{
    if (!p || atomic_fetch_sub(&p->references, 1) > 1)
        return;
    for (int i = 0; i < p->n_steps; i++) {
        ngi_plan_step *s = &p->steps[i];
        if (s->kernel.destroy)
            s->kernel.destroy(&s->kernel);
        if (s->trainer.destroy)
            s->trainer.destroy(&s->trainer);
        ngi_free_aligned(s->folded_kernel);
        ngi_free_aligned(s->folded_bias);
        ngi_free(s->accumulate);
    }
    ngi_free(p->steps);
    ngi_free(p->items);
    ngi_free(p->backend);
    ngi_free(p->inputs);
    ngi_free(p->given);
    ngi_free(p->needed);
    ngi_free(p->visible);
    ngi_free(p->wanted);
    ngi_free(p->on_path);
    ngi_free(p->trains);
    ngi_free(p->uses);
    ngi_free(p->path_uses);
    ngi_free(p->reader);
    ngi_free(p->step_of);
    ngi_free(p->storage);
    ngi_free(p->levels);
    ngi_free(p->slice);
    ngi_free(p->stride);
    ngi_free(p->grad_storage);
    ngi_free(p->offset);
    ngi_free(p->grad_offset);
    ngi_free(p->kernels);
    ngi_packing_clear(&p->packing);
    ngi_pack_close(p->pack); /* after the kernels that borrow from it */
    ngi_free(p);
}

ngi_plan *ngi_plan_share(ngi_plan *p)
{
    atomic_fetch_add(&p->references, 1);
    return p;
}

int ngi_plan_batch(const ngi_plan *p)
{
    return p->batch;
}

const char *ngi_plan_backend(const ngi_plan *p)
{
    return p->backend;
}

size_t ngi_plan_bytes(const ngi_plan *p)
{
    return p->bytes;
}

const char *ngi_plan_kernels(const ngi_plan *p)
{
    return p->kernels;
}
