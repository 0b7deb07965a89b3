/* Building small graphs for the tests of the executor and its back ends: random weights, shapes inferred. */
#ifndef NETGAZE_TESTS_NET_H
#define NETGAZE_TESTS_NET_H

#include "check.h"

#include "exec/exec.h"

static uint32_t net_random_state = 1;

static inline uint32_t net_bits(void)
{
    net_random_state = net_random_state * 1664525u + 1013904223u;
    return net_random_state >> 8;
}

static inline float net_float(void) /* -1..1 */
{
    return (float)net_bits() / 8388608.0f - 1.0f;
}

static inline int net_int(int low, int high) /* both included */
{
    return low + (int)(net_bits() % (uint32_t)(high - low + 1));
}

static inline float *net_floats(int64_t n)
{
    float *v = malloc((size_t)(n > 0 ? n : 1) * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < n; i++)
        v[i] = net_float();
    return v;
}

/* Values at least 0.04 apart and from 0, in random order: no kink or tie within a finite difference. */
static inline float *net_spaced(int64_t n)
{
    float *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)(i - n / 2) * 0.04f + 0.02f;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = net_int(0, (int)i);
        float swap = v[i];
        v[i] = v[j];
        v[j] = swap;
    }
    return v;
}

static inline ngi_graph *net_new(void)
{
    ngi_graph *g;
    ng_error err = {0};
    int layer;
    CHECK_OK(ngi_graph_create(&g, &err), err);
    CHECK_OK(ngi_graph_add_layer(g, "net", "Test", true, &layer, &err), err);
    return g;
}

static inline int net_weight(ngi_graph *g, ngi_shape shape, float low, float high)
{
    ng_error err = {0};
    char name[32];
    int index;
    snprintf(name, sizeof name, "weight_%d", g->n_weights);
    CHECK_OK(ngi_graph_add_weight(g, name, &shape, true, NULL, &index, &err), err);
    for (int64_t i = 0; i < ngi_shape_count(&shape); i++)
        g->weights[index].data[i] = low + (high - low) * (0.5f + 0.5f * net_float());
    return index;
}

static inline void net_append(int **list, int *n, int value)
{
    *list = ngi_realloc(*list, (size_t)*n + 1, sizeof **list);
    assert_non_null(*list);
    (*list)[(*n)++] = value;
}

/* weights: NULL or NGI_NODE_WEIGHTS indices. */
static inline int net_node_of(ngi_graph *g, ngi_op op, const ngi_attr *attr, int n_inputs, const int *inputs,
                              const int *weights)
{
    ng_error err = {0};
    ngi_attr plain;
    char name[32];
    int index;
    ngi_attr_init(&plain);
    snprintf(name, sizeof name, "%s_%d", ngi_op_name(op), g->n_nodes);
    CHECK_OK(
        ngi_graph_add_node(g, name, op, attr ? attr : &plain, 0, inputs, n_inputs, weights, &index, &err),
        err);
    if (op != NGI_OP_INPUT)
        CHECK_OK(ngi_node_infer(g, index, &err), err);
    return index;
}

static inline int net_input(ngi_graph *g, ngi_shape shape)
{
    int index = net_node_of(g, NGI_OP_INPUT, NULL, 0, NULL, NULL);
    g->nodes[index].shape = shape;
    net_append(&g->inputs, &g->n_inputs, index);
    return index;
}

static inline int net_image(ngi_graph *g, int h, int w, int c)
{
    return net_input(g, ngi_shape_of(3, (int64_t)h, (int64_t)w, (int64_t)c));
}

static inline int net_op(ngi_graph *g, ngi_op op, const ngi_attr *attr, int input)
{
    return net_node_of(g, op, attr, 1, &input, NULL);
}

static inline int net_op2(ngi_graph *g, ngi_op op, int a, int b)
{
    return net_node_of(g, op, NULL, 2, (int[]){a, b}, NULL);
}

static inline int net_activation(ngi_graph *g, ngi_activation kind, int input)
{
    ngi_attr a;
    ngi_attr_init(&a);
    a.act.kind = kind;
    a.act.alpha = kind == NGI_ACT_LEAKY_RELU ? 0.3f : 1.0f; /* ELU has no kink with 1 */
    if (kind == NGI_ACT_RELU)
        a.act.alpha = 0.0f;
    return net_op(g, NGI_OP_ACTIVATION, &a, input);
}

static inline ngi_attr net_window(int kh, int kw, int stride, int dilation, bool same)
{
    ngi_attr a;
    ngi_attr_init(&a);
    a.kernel_h = kh, a.kernel_w = kw;
    a.stride_h = a.stride_w = stride;
    a.dilation_h = a.dilation_w = dilation;
    a.same = same;
    return a;
}

static inline int64_t net_channels(const ngi_graph *g, int node)
{
    const ngi_shape *s = &g->nodes[node].shape;
    return s->dim[s->rank - 1];
}

static inline int net_conv(ngi_graph *g, int input, ngi_attr a, int oc, bool bias)
{
    int64_t ic = net_channels(g, input) / a.groups;
    float scale = 1.0f / sqrtf((float)(ic * a.kernel_h * a.kernel_w));
    int w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    w[0] = net_weight(g, ngi_shape_of(4, (int64_t)a.kernel_h, (int64_t)a.kernel_w, ic, (int64_t)oc), -scale,
                      scale);
    if (bias)
        w[1] = net_weight(g, ngi_shape_of(1, (int64_t)oc), -0.5f, 0.5f);
    return net_node_of(g, NGI_OP_CONV2D, &a, 1, &input, w);
}

static inline int net_depthwise(ngi_graph *g, int input, ngi_attr a, int multiplier, bool bias)
{
    int64_t c = net_channels(g, input);
    int w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    w[0] = net_weight(g, ngi_shape_of(4, (int64_t)a.kernel_h, (int64_t)a.kernel_w, c, (int64_t)multiplier),
                      -1, 1);
    if (bias)
        w[1] = net_weight(g, ngi_shape_of(1, c * multiplier), -0.5f, 0.5f);
    return net_node_of(g, NGI_OP_DEPTHWISE, &a, 1, &input, w);
}

static inline int net_dense(ngi_graph *g, int input, int out, bool bias)
{
    int64_t in = net_channels(g, input);
    float scale = 1.0f / sqrtf((float)in);
    int w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    w[0] = net_weight(g, ngi_shape_of(2, in, (int64_t)out), -scale, scale);
    if (bias)
        w[1] = net_weight(g, ngi_shape_of(1, (int64_t)out), -0.5f, 0.5f);
    return net_node_of(g, NGI_OP_DENSE, NULL, 1, &input, w);
}

static inline int net_batchnorm(ngi_graph *g, int input, bool scale, bool center)
{
    ngi_shape c = ngi_shape_of(1, net_channels(g, input));
    ngi_attr a;
    ngi_attr_init(&a);
    a.epsilon = 1e-3f;
    int w[NGI_NODE_WEIGHTS] = {scale ? net_weight(g, c, 0.5f, 1.5f) : -1,
                               center ? net_weight(g, c, -0.5f, 0.5f) : -1, net_weight(g, c, -0.5f, 0.5f),
                               net_weight(g, c, 0.3f, 2.0f)};
    return net_node_of(g, NGI_OP_BATCHNORM, &a, 1, &input, w);
}

static inline void net_output(ngi_graph *g, int node)
{
    net_append(&g->outputs, &g->n_outputs, node);
}

static inline int64_t net_count(const ngi_graph *g, int node)
{
    return ngi_shape_count(&g->nodes[node].shape);
}

#endif
