/* Concatenation without copies: a node that only a concatenation of channels reads is written to its place there, with the
 * concatenation's channels between its pixels. Only where no gradient passes: what a backward run reads stays apart. */
#include "exec/plan.h"

/* Whether input `node` of the concatenation `concat` can be written in place. */
bool ngi_plan_may_slice(const ngi_plan *p, int node, int concat)
{
    return p->uses[node] == 1 && p->reader[node] == concat && !p->visible[node] && !p->given[node] &&
           !p->on_path[node] && p->storage[node] == node && p->step_of[node] >= 0;
}

static bool fits(const ngi_plan *p, int node, int concat)
{
    return ngi_plan_may_slice(p, node, concat) && p->steps[p->step_of[node]].kernel.strided;
}

size_t ngi_plan_place(const ngi_plan *p, int node)
{
    size_t size = p->levels[node] ? 1 : sizeof(float);
    return p->offset[p->storage[node]] + (size_t)p->slice[node] * size;
}

void ngi_plan_slice(ngi_plan *p)
{
    const ngi_graph *g = p->graph;
    for (int i = g->n_nodes - 1; i >= 0; i--) { /* the outer one of nested concatenations first */
        const ngi_node *n = &g->nodes[i];
        if (n->op != NGI_OP_CONCAT || p->step_of[i] < 0 || n->attr.axis != n->shape.rank - 1)
            continue;
        int64_t at = p->slice[i], stride = p->stride[i] ? p->stride[i] : n->shape.dim[n->attr.axis];
        for (int k = 0; k < n->n_inputs; k++) {
            int in = n->inputs[k];
            if (fits(p, in, i)) {
                p->storage[in] = p->storage[i];
                p->slice[in] = at;
                p->stride[in] = stride;
            }
            at += g->nodes[in].shape.dim[n->attr.axis];
        }
    }
}
