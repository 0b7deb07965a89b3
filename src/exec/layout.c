/* Where everything lies: lifetimes over the forward schedule (times 0..F-1) and the backward one (F..), then offsets in
 * one block: greedy by size, each in the smallest gap that is free during its life.
 *
 * What the backward pass reads stays to the end, since it may run again for another class; so does what the caller may
 * read. Gradients reuse the room of activations that only the forward pass needs. */
#include "exec/plan.h"

#include <stdlib.h>

#define ALIGNMENT  64
#define FOREVER    (1 << 30)
/* Blocks that are fitted between others, the largest ones; what is beyond is stacked, so that a file with
 * tens of thousands of tiny layers is planned in no time. Real networks have hundreds. */
#define MAX_FITTED 8192
#define MAX_BLOCK  ((size_t)1 << 46) /* bytes: far beyond any machine, far below an overflow */

/* One block: activations or gradients of a storage node. */
typedef struct block {
    size_t size, offset;
    int first, last; /* inclusive times */
    int node;
    bool gradient;
} block;

typedef struct layout {
    ngi_plan *p;
    block *blocks; /* [2 * n_nodes]: activations, then gradients; size 0 where unused */
} layout;

static block *gradient_block(layout *l, int node)
{
    int storage = l->p->grad_storage[node];
    return storage < 0 ? NULL : &l->blocks[l->p->graph->n_nodes + storage];
}

/* The block is in use at this time. */
static void use(layout *l, block *b, int node, int time)
{
    if (b->size == 0) {
        size_t size = l->p->levels[node] ? 1 : sizeof(float);
        size_t bytes = (size_t)l->p->batch * (size_t)ngi_shape_count(&l->p->graph->nodes[node].shape) * size;
        b->size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        b->first = b->last = time;
    }
    b->first = time < b->first ? time : b->first;
    b->last = time > b->last ? time : b->last;
}

static void use_activation(layout *l, int node, int time)
{
    int storage = l->p->storage[node];
    use(l, &l->blocks[storage], storage, time);
}

static void forward_uses(layout *l)
{
    ngi_plan *p = l->p;
    for (int i = 0; i < p->n_inputs; i++)
        use_activation(l, p->inputs[i], 0);
    for (int t = 0; t < p->n_steps; t++) {
        const ngi_step *s = &p->steps[t].step;
        for (int k = 0; k < s->n_inputs; k++)
            use_activation(l, s->inputs[k], t);
        use_activation(l, s->node, t);
    }
    for (int i = 0; i < p->graph->n_nodes; i++)
        if (p->visible[i])
            use_activation(l, i, FOREVER);
}

static void backward_uses(layout *l)
{
    ngi_plan *p = l->p;
    for (int i = 0; i < p->n_items; i++) {
        const ngi_backward_item *item = &p->items[i];
        int time = p->n_steps + i;
        use(l, gradient_block(l, item->node), item->node, time);
        if (item->step < 0) {
            int in = p->graph->nodes[item->node].inputs[0];
            use(l, gradient_block(l, in), in, time);
            continue;
        }
        const ngi_step *s = &p->steps[item->step].step;
        ngi_backward_reads reads = ngi_op_backward_reads(s->op);
        if (reads.out || s->has_act)
            use_activation(l, s->node, FOREVER);
        for (int k = 0; k < s->n_inputs; k++) {
            if (reads.in || s->trains_kernel)
                use_activation(l, s->inputs[k], FOREVER);
            if (gradient_block(l, s->inputs[k]))
                use(l, gradient_block(l, s->inputs[k]), s->inputs[k], time);
        }
    }
    if (p->grad_storage[p->root] >= 0) /* seeded before the first item */
        use(l, gradient_block(l, p->root), p->root, p->n_steps);
    for (int i = 0; i < p->graph->n_nodes; i++)
        if (p->wanted[i]) {
            use(l, gradient_block(l, i), i, p->n_steps);
            use(l, gradient_block(l, i), i, FOREVER);
        }
}

static int by_size(const void *a, const void *b)
{
    const block *x = *(block *const *)a, *y = *(block *const *)b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->gradient - y->gradient;
}

static bool overlap(const block *a, const block *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Best fit: the smallest gap that takes `b` between the blocks it shares time with, else behind the last of them.
 * placed [n] is in the order of the offsets; `b` is put in its place. */
static void place(block **placed, int n, block *b)
{
    size_t end = 0, best = SIZE_MAX;
    b->offset = 0;
    for (int i = 0; i < n; i++) {
        const block *other = placed[i];
        if (!overlap(other, b))
            continue;
        size_t gap = other->offset > end ? other->offset - end : 0;
        if (gap >= b->size && gap < best) {
            best = gap;
            b->offset = end;
        }
        end = other->offset + other->size > end ? other->offset + other->size : end;
    }
    if (best == SIZE_MAX)
        b->offset = end;
    int at = n;
    for (; at > 0 && placed[at - 1]->offset > b->offset; at--)
        placed[at] = placed[at - 1];
    placed[at] = b;
}

ng_status ngi_plan_lay_out(ngi_plan *p, ng_error *err)
{
    int nodes = p->graph->n_nodes, n = 0;
    layout l = {p, ngi_alloc_zero(2 * (size_t)nodes, sizeof *l.blocks)};
    block **order = ngi_alloc(2 * (size_t)nodes, sizeof(void *));  /* by size */
    block **placed = ngi_alloc(2 * (size_t)nodes, sizeof(void *)); /* by offset */
    if (!l.blocks || !order || !placed) {
        ngi_free(l.blocks);
        ngi_free(order);
        ngi_free(placed);
        return ngi_fail_memory(err, 2 * (size_t)nodes * sizeof *l.blocks);
    }
    forward_uses(&l);
    backward_uses(&l);
    for (int i = 0; i < 2 * nodes; i++)
        if (l.blocks[i].size) {
            l.blocks[i].node = i % nodes;
            l.blocks[i].gradient = i >= nodes;
            order[n++] = &l.blocks[i];
        }
    for (int i = 0; i < p->n_steps; i++) {
        p->scratch = p->steps[i].kernel.scratch > p->scratch ? p->steps[i].kernel.scratch : p->scratch;
        p->scratch = p->steps[i].trainer.scratch > p->scratch ? p->steps[i].trainer.scratch : p->scratch;
    }
    p->scratch = (p->scratch + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    p->bytes = p->scratch;
    qsort(order, (size_t)n, sizeof(void *), by_size);
    for (int i = 0; i < n && p->bytes <= MAX_BLOCK; i++) {
        block *b = order[i];
        if (i < MAX_FITTED)
            place(placed, i, b);
        else
            b->offset = p->bytes - p->scratch;
        (b->gradient ? p->grad_offset : p->offset)[b->node] = p->scratch + b->offset;
        size_t end = p->scratch + b->offset + b->size;
        p->bytes = end > p->bytes ? end : p->bytes;
    }
    ngi_free(l.blocks);
    ngi_free(order);
    ngi_free(placed);
    if (p->bytes > MAX_BLOCK)
        return ngi_fail(err, NG_E_LIMIT,
                        "the activations of %d images need more than %zu bytes; lower the batch", p->batch,
                        MAX_BLOCK);
    return NG_OK;
}
