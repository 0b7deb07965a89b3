/* What lies as bytes between the layers of an 8-bit plan. Activations that are always written by 8-bit kernels and read by
 * them, and by nobody else, are; all others are float32, and rounded by the kernel that reads them.
 *
 * A maximum keeps the levels of its input, and what is written into one concatenation is read as one tensor: such nodes are
 * a group with the levels of the widest range among them, or no bytes at all. */
#include "exec/plan.h"

/* Narrower ranges have more levels a unit than float32 has numbers for. */
#define LEAST_HIGH 1e-30f

typedef struct groups {
    int *of; /* [n_nodes]: a node of the same group, itself of the first one */
    bool *refused;
    float *high; /* of the first ones: what the group was seen to reach */
} groups;

static int find(const groups *g, int node)
{
    while (g->of[node] != node)
        node = g->of[node] = g->of[g->of[node]];
    return node;
}

static void join(groups *g, int a, int b)
{
    g->of[find(g, a)] = find(g, b);
}

static bool joins(const ngi_step *s)
{
    return s->op == NGI_OP_MAX_POOL || s->op == NGI_OP_CONCAT;
}

static void join_nodes(const ngi_plan *p, groups *g)
{
    for (int i = 0; i < p->graph->n_nodes; i++) {
        g->of[i] = i;
        if (p->needed[i] && p->storage[i] != i)
            join(g, i, p->graph->nodes[i].inputs[0]);
    }
    for (int i = 0; i < p->n_steps; i++) {
        const ngi_step *s = &p->steps[i].step;
        for (int k = 0; k < s->n_inputs && joins(s); k++)
            join(g, s->node, s->inputs[k]);
    }
}

/* Every input of a concatenation is to lie in its place. */
static bool all_in_place(const ngi_plan *p, const ngi_step *s)
{
    bool all = s->attr->axis == s->out_shape->rank - 1;
    for (int k = 0; k < s->n_inputs; k++)
        all = all && ngi_plan_may_slice(p, s->inputs[k], s->node);
    return all;
}

static void refuse(const ngi_plan *p, groups *g)
{
    for (int i = 0; i < p->graph->n_nodes; i++)
        if (p->visible[i] || p->on_path[i] || p->given[i])
            g->refused[find(g, i)] = true;
    for (int i = 0; i < p->n_steps; i++) {
        const ngi_step *s = &p->steps[i].step;
        int can = p->backends[0]->bytes(s);
        if (s->op == NGI_OP_CONCAT && !all_in_place(p, s))
            can = 0;
        if (!(can & NGI_WRITES_BYTES))
            g->refused[find(g, s->node)] = true;
        for (int k = 0; k < s->n_inputs && !(can & NGI_READS_BYTES); k++)
            g->refused[find(g, s->inputs[k])] = true;
    }
}

static void take_ranges(const ngi_plan *p, const ngi_span *ranges, groups *g)
{
    for (int i = 0; i < p->graph->n_nodes; i++) {
        int first = find(g, i);
        g->high[first] = ranges[i].high > g->high[first] ? ranges[i].high : g->high[first];
        if (ranges[i].low < 0)
            g->refused[first] = true;
    }
}

static void set_levels(ngi_plan *p, const groups *g)
{
    for (int i = 0; i < p->graph->n_nodes; i++) {
        int first = find(g, i);
        bool bytes = p->needed[i] && !g->refused[first] && g->high[first] > LEAST_HIGH;
        p->levels[i] = bytes ? 255 / g->high[first] : 0;
    }
    for (int i = 0; i < p->n_steps; i++) {
        ngi_step *s = &p->steps[i].step;
        s->in_levels = s->n_inputs ? p->levels[s->inputs[0]] : 0;
        s->out_levels = p->levels[s->node];
    }
}

ng_status ngi_plan_choose_bytes(ngi_plan *p, const ngi_span *ranges, ng_error *err)
{
    size_t n = (size_t)p->graph->n_nodes;
    if (!ranges || !p->backends[0]->bytes)
        return NG_OK;
    groups g = {ngi_alloc(n, sizeof *g.of), ngi_alloc_zero(n, sizeof *g.refused),
                ngi_alloc_zero(n, sizeof *g.high)};
    bool all = g.of && g.refused && g.high;
    if (all) {
        join_nodes(p, &g);
        refuse(p, &g);
        take_ranges(p, ranges, &g);
        set_levels(p, &g);
    }
    ngi_free(g.of);
    ngi_free(g.refused);
    ngi_free(g.high);
    return all ? NG_OK : ngi_fail_memory(err, n * sizeof *g.high);
}
