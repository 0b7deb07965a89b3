/* Random networks with branches, merges, shared nodes, aliases and fusible chains. */
#ifndef NETGAZE_TESTS_RANDOM_NET_H
#define NETGAZE_TESTS_RANDOM_NET_H

#include "exec/net.h"

typedef struct random_net {
    ngi_graph *g;
    int input, logits, output;
} random_net;

static const ngi_activation net_smooth[] = {NGI_ACT_TANH, NGI_ACT_SILU, NGI_ACT_SIGMOID, NGI_ACT_ELU};
static const ngi_activation net_any[] = {NGI_ACT_RELU, NGI_ACT_RELU6, NGI_ACT_LEAKY_RELU, NGI_ACT_SILU,
                                         NGI_ACT_LINEAR};

static inline int net_random_activation(ngi_graph *g, int node, bool smooth)
{
    return net_activation(g, smooth ? net_smooth[net_int(0, 3)] : net_any[net_int(0, 4)], node);
}

/* conv or depthwise, then perhaps a batch norm and an activation: what the plan fuses. */
static inline int net_random_conv(ngi_graph *g, int node, bool smooth)
{
    int k = net_int(0, 1) ? 3 : 1;
    ngi_attr a = net_window(k, k, 1, 1, true);
    int r = net_int(0, 3) ? net_conv(g, node, a, net_int(0, 1) ? 16 : net_int(3, 20), net_int(0, 1))
                          : net_depthwise(g, node, a, 1, net_int(0, 1));
    if (net_int(0, 2))
        r = net_batchnorm(g, r, net_int(0, 1), net_int(0, 1));
    return net_int(0, 3) ? net_random_activation(g, r, smooth) : r;
}

/* A channel-wise gate: node * sigmoid(dense(mean(node))). */
static inline int net_gate(ngi_graph *g, int node)
{
    ngi_attr a;
    ngi_attr_init(&a);
    a.keepdims = true;
    int mean = net_op(g, NGI_OP_GLOBAL_AVG, &a, node);
    int gate = net_activation(g, NGI_ACT_SIGMOID, net_dense(g, mean, (int)net_channels(g, node), true));
    return net_op2(g, NGI_OP_MULTIPLY, node, gate);
}

static inline int net_random_unary(ngi_graph *g, int node, bool smooth)
{
    const ngi_shape s = g->nodes[node].shape;
    ngi_attr a = net_window(2, 2, net_int(1, 2), 1, true);
    switch (net_int(0, 8)) {
    case 0:
        return net_op(g, NGI_OP_AVG_POOL, &a, node);
    case 1:
        return net_op(g, smooth ? NGI_OP_AVG_POOL : NGI_OP_MAX_POOL, &a, node);
    case 2:
        return net_op(g, NGI_OP_IDENTITY, NULL, node);
    case 3: {
        ngi_attr_init(&a);
        a.target = ngi_shape_of(2, (int64_t)-1, s.dim[2]);
        int flat = net_op(g, NGI_OP_RESHAPE, &a, node);
        a.target = s;
        return net_op(g, NGI_OP_RESHAPE, &a, net_int(0, 1) ? flat : net_random_activation(g, flat, smooth));
    }
    case 4:
        return net_gate(g, node);
    case 5:
        a.pad = (ngi_pad){1, 0, 0, 1};
        return s.dim[0] < 10 ? net_op(g, NGI_OP_ZERO_PAD, &a, node) : node;
    case 6:
        return net_batchnorm(g, node, true, true);
    case 7:
        a.axis = 2;
        a.epsilon = 0.1f;
        return net_op(g, NGI_OP_LAYERNORM, &a, node);
    default:
        return net_random_conv(g, node, smooth);
    }
}

/* A merge of `node` with an earlier node of the same size, or with itself. */
static inline int net_random_merge(ngi_graph *g, int node, bool smooth)
{
    static const ngi_op ops[] = {NGI_OP_ADD, NGI_OP_AVERAGE, NGI_OP_MULTIPLY, NGI_OP_SUBTRACT,
                                 NGI_OP_MAXIMUM};
    int other = node;
    for (int i = net_int(0, g->n_nodes - 1); i >= 0; i--) {
        const ngi_shape *a = &g->nodes[i].shape, *b = &g->nodes[node].shape;
        if (a->rank != 3 || a->dim[0] != b->dim[0] || a->dim[1] != b->dim[1])
            continue;
        if (a->dim[2] != b->dim[2]) {
            ngi_attr c;
            ngi_attr_init(&c);
            c.axis = 2;
            return a->dim[2] + b->dim[2] <= 48
                       ? net_node_of(g, NGI_OP_CONCAT, &c, 3, (int[]){node, i, node}, NULL)
                       : node;
        }
        other = i;
        break;
    }
    return net_op2(g, ops[net_int(0, smooth ? 3 : 4)], node, other);
}

/* `smooth`: no kinks, so that the whole net may be differentiated numerically. */
static inline random_net net_random(int ops, bool smooth)
{
    random_net r = {.g = net_new()};
    ngi_attr a;
    ngi_attr_init(&a);
    r.input = net_image(r.g, net_int(3, 9), net_int(3, 9), net_int(1, 4));
    int node = net_random_conv(r.g, r.input, smooth);
    for (int i = 0; i < ops; i++) {
        int from = node;
        if (net_int(0, 4) == 0) { /* branch off an earlier node */
            int candidate = net_int(0, r.g->n_nodes - 1);
            if (r.g->nodes[candidate].shape.rank == 3)
                from = candidate;
        }
        node = net_int(0, 2) ? net_random_unary(r.g, from, smooth) : net_random_merge(r.g, from, smooth);
    }
    r.logits = net_dense(r.g, net_op(r.g, NGI_OP_GLOBAL_AVG, &a, node), 5, true);
    r.output = net_op(r.g, NGI_OP_SOFTMAX, &a, r.logits);
    net_output(r.g, r.output);
    return r;
}

#endif
