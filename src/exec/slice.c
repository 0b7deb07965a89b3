/* Concatenation without copies: a node that only a concatenation of channels reads is written to its place there, with the
 * concatenation's channels between its pixels. Only where no gradient passes: what a backward run reads stays apart. */
#include "exec/plan.h"

/* Whether input `node` of the concatenation `concat` can be written in place. */
static bool fits(const ngi_plan *p, int node, int concat)
{
    int step = p->step_of[node];
    return p->uses[node] == 1 && p->reader[node] == concat && !p->visible[node] && !p->given[node] &&
           !p->on_path[node] && p->storage[node] == node && step >= 0 && p->steps[step].kernel.strided;
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
