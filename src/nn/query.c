/* Questions asked of a graph: reachability, stride, where the logits are, which layer to explain. */
#include "nn/graph.h"

/* A bit a node on the stack: an answer that wants memory could be wrong for the lack of it. */
bool ngi_graph_reaches(const ngi_graph *g, int from, int to)
{
    uint64_t reached[NGI_MAX_NODES / 64] = {0}; /* 8 KiB */
    if (from == to)
        return true;
    if (from > to)
        return false;
    reached[from / 64] |= UINT64_C(1) << from % 64;
    for (int i = from + 1; i <= to; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++) {
            int in = g->nodes[i].inputs[k];
            if (reached[in / 64] >> in % 64 & 1)
                reached[i / 64] |= UINT64_C(1) << i % 64;
        }
    return reached[to / 64] >> to % 64 & 1;
}

int ngi_graph_frontier(const ngi_graph *g, int node, int root, int *starts, bool *room)
{
    bool *behind = room, *leads = room + g->n_nodes; /* depends on node; is on a way to root */
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        behind[i] = i == node;
        leads[i] = i == root;
        for (int k = 0; k < g->nodes[i].n_inputs && !behind[i]; k++)
            behind[i] = behind[g->nodes[i].inputs[k]];
    }
    starts[n++] = node;
    for (int i = root; i > node; i--)
        for (int k = 0; leads[i] && behind[i] && k < g->nodes[i].n_inputs; k++) {
            int in = g->nodes[i].inputs[k];
            bool first = !leads[in];
            leads[in] = true;
            if (first && !behind[in])
                starts[n++] = in;
        }
    return n;
}

static bool is_spatial(const ngi_shape *s)
{
    return s->rank == 3 && s->dim[0] * s->dim[1] > 1;
}

/* The first of a node's inputs that the graph's input leads to, not a constant's. */
static int way_back(const ngi_graph *g, const ngi_node *n)
{
    for (int k = 0; k < n->n_inputs; k++)
        if (g->nodes[n->inputs[k]].from_input)
            return n->inputs[k];
    return -1;
}

/* Follows a way back to the graph's input and multiplies what each op does to the raster. */
void ngi_graph_stride(const ngi_graph *g, int index, double *stride_y, double *stride_x)
{
    double y = 1, x = 1;
    *stride_y = *stride_x = 0;
    for (int i = index, back; g->nodes[i].op != NGI_OP_INPUT; i = back) {
        const ngi_node *n = &g->nodes[i];
        back = way_back(g, n);
        if (back < 0 || n->shape.rank != 3 || g->nodes[back].shape.rank != 3)
            return;
        const ngi_shape *in = &g->nodes[back].shape;
        switch (n->op) {
        case NGI_OP_CONV2D:
        case NGI_OP_DEPTHWISE:
        case NGI_OP_MAX_POOL:
        case NGI_OP_AVG_POOL:
            y *= n->attr.stride_h;
            x *= n->attr.stride_w;
            break;
        case NGI_OP_UPSAMPLE:
        case NGI_OP_RESIZE:
            y *= (double)in->dim[0] / (double)n->shape.dim[0];
            x *= (double)in->dim[1] / (double)n->shape.dim[1];
            break;
        case NGI_OP_GLOBAL_AVG:
        case NGI_OP_GLOBAL_MAX:
        case NGI_OP_RESHAPE:
        case NGI_OP_PERMUTE:
            return;
        default:
            break;
        }
    }
    *stride_y = y;
    *stride_x = x;
}

int ngi_graph_logits(const ngi_graph *g, ngi_activation *act, bool *softmax)
{
    *act = NGI_ACT_LINEAR;
    *softmax = false;
    int output = g->outputs[0], i = output;
    while (g->nodes[i].op == NGI_OP_IDENTITY || g->nodes[i].op == NGI_OP_RESHAPE)
        i = g->nodes[i].inputs[0];
    const ngi_node *n = &g->nodes[i];
    if (n->op == NGI_OP_SOFTMAX) {
        *softmax = true;
        return n->inputs[0];
    }
    if (n->op == NGI_OP_ACTIVATION && n->attr.act.kind == NGI_ACT_SIGMOID) {
        *act = NGI_ACT_SIGMOID;
        return n->inputs[0];
    }
    return output;
}

bool ngi_graph_is_candidate(const ngi_graph *g, int layer)
{
    int node = g->layers[layer].node;
    if (node < 0)
        return false;
    const ngi_node *n = &g->nodes[node];
    return n->op != NGI_OP_INPUT && n->from_input && n->feeds_output && is_spatial(&n->shape);
}

int ngi_graph_automatic_layer(const ngi_graph *g)
{
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const ngi_node *n = &g->nodes[i];
        if (!n->feeds_output || !n->from_input || !is_spatial(&n->shape) || n->op == NGI_OP_INPUT)
            continue;
        int node = i; /* a dropout's value is its input's: name the layer that made it */
        while (g->nodes[node].op == NGI_OP_IDENTITY && g->nodes[node].n_inputs == 1)
            node = g->nodes[node].inputs[0];
        int layer = g->nodes[node].op == NGI_OP_INPUT ? -1 : g->nodes[node].layer;
        if (layer >= 0 && g->layers[layer].node == node)
            return layer;
        if (g->nodes[i].layer >= 0 && g->layers[g->nodes[i].layer].node == i)
            return g->nodes[i].layer;
    }
    return -1;
}
