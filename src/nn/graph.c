/* The graph's life: creation, the builders that readers append with, release. */
#include "nn/graph.h"

#include <math.h>
#include <string.h>

static const char *const op_names[] = {
#define NAME(kind, text) text,
    NGI_OP_LIST(NAME)
#undef NAME
};

const char *ngi_op_name(ngi_op op)
{
    return (unsigned)op < NGI_OP_COUNT ? op_names[op] : "unknown";
}

ng_status ngi_graph_create(ngi_graph **out, ng_error *err)
{
    *out = ngi_alloc_zero(1, sizeof **out);
    return *out ? NG_OK : ngi_fail_memory(err, sizeof **out);
}

void ngi_graph_free(ngi_graph *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n_layers; i++) {
        ngi_free(g->layers[i].name);
        ngi_free(g->layers[i].class_name);
    }
    for (int i = 0; i < g->n_nodes; i++) {
        ngi_free(g->nodes[i].name);
        ngi_free(g->nodes[i].inputs);
    }
    for (int i = 0; i < g->n_weights; i++) {
        ngi_free(g->weights[i].name);
        if (!g->weights[i].borrowed)
            ngi_free_aligned(g->weights[i].data);
    }
    ngi_pack_close(g->values);
    ngi_free(g->layers);
    ngi_free(g->nodes);
    ngi_free(g->weights);
    ngi_free(g->inputs);
    ngi_free(g->outputs);
    ngi_free(g->name);
    ngi_free(g);
}

void ngi_attr_init(ngi_attr *attr)
{
    *attr = (ngi_attr){.kernel_h = 1,
                       .kernel_w = 1,
                       .stride_h = 1,
                       .stride_w = 1,
                       .dilation_h = 1,
                       .dilation_w = 1,
                       .groups = 1,
                       .scale_h = 1,
                       .scale_w = 1};
    attr->act.max_value = INFINITY;
    for (int i = 0; i < NGI_MAX_RANK; i++) {
        attr->permutation[i] = i;
        attr->step[i] = 1;
        attr->extent[i] = -1;
    }
}

/* Room for one more element of `size` bytes in *array. */
static ng_status grow(void **array, int *capacity, int count, size_t size, ng_error *err)
{
    if (count < *capacity)
        return NG_OK;
    if (count >= NGI_MAX_NODES)
        return ngi_fail(err, NG_E_LIMIT, "the model has more than %d layers, nodes or weights",
                        NGI_MAX_NODES);
    int more = *capacity ? 2 * *capacity : 64;
    void *bigger = ngi_realloc(*array, (size_t)more, size);
    if (!bigger)
        return ngi_fail_memory(err, (size_t)more * size);
    *array = bigger;
    *capacity = more;
    return NG_OK;
}

ng_status ngi_graph_add_layer(ngi_graph *g, const char *name, const char *class_name, bool trainable,
                              int *out, ng_error *err)
{
    NGI_TRY(grow((void **)&g->layers, &g->layer_capacity, g->n_layers, sizeof *g->layers, err));
    ngi_layer layer = {ngi_strdup(name), ngi_strdup(class_name), trainable, -1};
    if (!layer.name || !layer.class_name) {
        ngi_free(layer.name);
        ngi_free(layer.class_name);
        return ngi_fail_memory(err, strlen(name));
    }
    g->layers[g->n_layers] = layer;
    *out = g->n_layers++;
    return NG_OK;
}

ng_status ngi_graph_add_weight(ngi_graph *g, const char *name, const ngi_shape *shape, bool trainable,
                               float *data, int *out, ng_error *err)
{
    NGI_TRY(grow((void **)&g->weights, &g->weight_capacity, g->n_weights, sizeof *g->weights, err));
    int64_t count = ngi_shape_count(shape);
    if (count < 0) {
        char text[NGI_SHAPE_TEXT];
        return ngi_fail(err, NG_E_LIMIT, "%s: a weight of shape %s is beyond the limits", name,
                        ngi_shape_text(shape, text));
    }
    ngi_weight weight = {.name = ngi_strdup(name), .shape = *shape, .data = data, .trainable = trainable};
    size_t bytes = (size_t)count * sizeof(float);
    bool later = g->values_later && !data;
    if (!data && !later && (weight.data = ngi_alloc_aligned(bytes)))
        memset(weight.data, 0, bytes);
    if (!weight.name || (!weight.data && !later)) {
        ngi_free(weight.name);
        if (!data)
            ngi_free_aligned(weight.data);
        return ngi_fail_memory(err, bytes);
    }
    g->weights[g->n_weights] = weight;
    *out = g->n_weights++;
    return NG_OK;
}

ng_status ngi_graph_add_node(ngi_graph *g, const char *name, ngi_op op, const ngi_attr *attr, int layer,
                             const int *inputs, int n_inputs, const int weights[NGI_NODE_WEIGHTS], int *out,
                             ng_error *err)
{
    NGI_TRY(grow((void **)&g->nodes, &g->node_capacity, g->n_nodes, sizeof *g->nodes, err));
    if (n_inputs < 0 || n_inputs > NGI_MAX_INPUTS)
        return ngi_fail(err, NG_E_LIMIT, "%s: %d inputs, the limit is %d", name, n_inputs, NGI_MAX_INPUTS);
    for (int i = 0; i < n_inputs; i++)
        if (inputs[i] < 0 || inputs[i] >= g->n_nodes)
            return ngi_fail(err, NG_E_FORMAT, "%s: input %d does not come before it: is there a cycle?", name,
                            i);
    ngi_node node = {.name = ngi_strdup(name),
                     .op = op,
                     .attr = *attr,
                     .layer = layer,
                     .n_inputs = n_inputs,
                     .inputs = ngi_alloc((size_t)n_inputs, sizeof *inputs)};
    if (!node.name || !node.inputs) {
        ngi_free(node.name);
        ngi_free(node.inputs);
        return ngi_fail_memory(err, strlen(name));
    }
    if (n_inputs)
        memcpy(node.inputs, inputs, (size_t)n_inputs * sizeof *inputs);
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        node.weights[i] = weights ? weights[i] : -1;
    g->nodes[g->n_nodes] = node;
    *out = g->n_nodes++;
    return NG_OK;
}

ng_status ngi_graph_fix_input(ngi_graph *g, int node, const float *values, ng_error *err)
{
    ngi_node *n = &g->nodes[node];
    size_t bytes = (size_t)ngi_shape_count(&n->shape) * sizeof *values;
    char *name = ngi_sprintf("%s/value", n->name);
    float *data = ngi_alloc_aligned(bytes);
    int weight = -1;
    ng_status status = name && data ? NG_OK : ngi_fail_memory(err, bytes);
    if (status == NG_OK) {
        memcpy(data, values, bytes);
        status = ngi_graph_add_weight(g, name, &n->shape, false, data, &weight, err);
    }
    ngi_free(name);
    if (status != NG_OK) {
        ngi_free_aligned(data);
        return status;
    }
    g->weights[weight].constant = true;
    n->op = NGI_OP_CONSTANT;
    n->weights[0] = weight;
    return NG_OK;
}
