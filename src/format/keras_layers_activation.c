/* Activations: the names that Keras gives them, as layers, as the "activation" of other layers, and as functions on tensors.
 * Where Keras serialises an object ({"class_name": "LeakyReLU", "config": {...}}), its parameters are read. */
#include "format/keras_build.h"

#include <math.h>
#include <string.h>

typedef struct activation_row {
    const char *name;
    ngi_activation kind;
    float alpha, threshold;
} activation_row;

/* Names beside those of NGI_ACTIVATION_LIST, and default parameters; classes of layers and of functions too. */
static const activation_row rows[] = {
    {"swish", NGI_ACT_SILU, 0, 0},
    {"hard_swish", NGI_ACT_HARD_SILU, 0, 0},
    {"elu", NGI_ACT_ELU, 1, 0},
    {"celu", NGI_ACT_CELU, 1, 0},
    {"leaky_relu", NGI_ACT_LEAKY_RELU, 0.2f, 0},
    {"soft_shrink", NGI_ACT_SOFT_SHRINK, 0, 0.5f},
    {"hard_shrink", NGI_ACT_HARD_SHRINK, 0, 0.5f},
    {"squareplus", NGI_ACT_SQUAREPLUS, 4, 0},
    {"ReLU", NGI_ACT_RELU, 0, 0},
    {"LeakyReLU", NGI_ACT_LEAKY_RELU, 0.3f, 0},
    {"ELU", NGI_ACT_ELU, 1, 0},
    {"ThresholdedReLU", NGI_ACT_THRESHOLD, 0, 1},
    {"Relu", NGI_ACT_RELU, 0, 0},
    {"Relu6", NGI_ACT_RELU6, 0, 0},
    {"LeakyRelu", NGI_ACT_LEAKY_RELU, 0.2f, 0},
    {"Elu", NGI_ACT_ELU, 1, 0},
    {"Selu", NGI_ACT_SELU, 0, 0},
    {"Celu", NGI_ACT_CELU, 1, 0},
    {"Gelu", NGI_ACT_GELU_TANH, 0, 0},
    {"Silu", NGI_ACT_SILU, 0, 0},
    {"Softplus", NGI_ACT_SOFTPLUS, 0, 0},
    {"Softsign", NGI_ACT_SOFTSIGN, 0, 0},
    {"Sigmoid", NGI_ACT_SIGMOID, 0, 0},
    {"HardSigmoid", NGI_ACT_HARD_SIGMOID, 0, 0},
    {"HardSilu", NGI_ACT_HARD_SILU, 0, 0},
    {"HardTanh", NGI_ACT_HARD_TANH, 0, 0},
    {"LogSigmoid", NGI_ACT_LOG_SIGMOID, 0, 0},
    {"Tanh", NGI_ACT_TANH, 0, 0},
    {"TanhShrink", NGI_ACT_TANH_SHRINK, 0, 0},
    {"SoftShrink", NGI_ACT_SOFT_SHRINK, 0, 0.5f},
    {"HardShrink", NGI_ACT_HARD_SHRINK, 0, 0.5f},
    {"Threshold", NGI_ACT_THRESHOLD, 0, 0},
    {"Squareplus", NGI_ACT_SQUAREPLUS, 4, 0},
    {"SparsePlus", NGI_ACT_SPARSE_PLUS, 0, 0},
    {"SparseSigmoid", NGI_ACT_SPARSE_SIGMOID, 0, 0},
    {"Exp", NGI_ACT_EXPONENTIAL, 0, 0},
};

/* Names of NGI_ACTIVATION_LIST that are no names of Keras's, or need parameters that a name alone does not carry. */
static bool is_inner_name(const char *name)
{
    static const char *const names[] = {"hard_sigmoid_2", "gelu_tanh", "threshold"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool ngi_activation_find(const ngi_keras_builder *b, const char *name, ngi_activation_attr *out)
{
    *out = (ngi_activation_attr){.max_value = INFINITY};
    if (strcmp(name, "hard_sigmoid") == 0) {
        out->kind = b->keras2 ? NGI_ACT_HARD_SIGMOID_2 : NGI_ACT_HARD_SIGMOID;
        return true;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(name, rows[i].name) == 0) {
            *out = (ngi_activation_attr){rows[i].kind, rows[i].alpha, INFINITY, rows[i].threshold};
            return true;
        }
    for (int i = 0; i < NGI_ACT_COUNT; i++)
        if (strcmp(name, ngi_activation_name((ngi_activation)i)) == 0 && !is_inner_name(name)) {
            out->kind = (ngi_activation)i;
            return true;
        }
    return false;
}

/* ---- Parameters -------------------------------------------------------------------------------- */

/* Under the keys of all Keras versions. */
static ng_status read_parameters(const ngi_building_layer *l, const json_t *config, ngi_activation_attr *act,
                                 ng_error *err)
{
    bool rough = act->kind == NGI_ACT_GELU_TANH;
    const char *threshold =
        act->kind == NGI_ACT_THRESHOLD && json_object_get(config, "theta") ? "theta" : "threshold";
    NGI_TRY(ngi_json_float(config, "alpha", l->where, &act->alpha, err));
    NGI_TRY(ngi_json_float(config, "negative_slope", l->where, &act->alpha, err));
    NGI_TRY(ngi_json_float(config, "default_value", l->where, &act->alpha, err));
    NGI_TRY(ngi_json_float(config, "max_value", l->where, &act->max_value, err));
    NGI_TRY(ngi_json_float(config, threshold, l->where, &act->threshold, err));
    if (act->kind == NGI_ACT_SQUAREPLUS)
        NGI_TRY(ngi_json_float(config, "b", l->where, &act->alpha, err));
    NGI_TRY(ngi_json_bool(config, "approximate", l->where, &rough, err));
    if (act->kind == NGI_ACT_GELU || act->kind == NGI_ACT_GELU_TANH)
        act->kind = rough ? NGI_ACT_GELU_TANH : NGI_ACT_GELU;
    return NG_OK;
}

ng_status ngi_layer_elementwise(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix,
                                const ngi_activation_attr *act, int in, int *out, ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.act = *act;
    return ngi_layer_node(b, l, suffix, act->kind == NGI_ACT_LINEAR ? NGI_OP_IDENTITY : NGI_OP_ACTIVATION,
                          &attr, &in, 1, NULL, out, err);
}

/* ---- A serialised activation ------------------------------------------------------------------- */

/* "relu"; {"class_name": "function", "config": "relu"}; {"class_name": "ReLU", "config": {...}}. */
static ng_status read_name(const ngi_building_layer *l, const json_t *spec, const char **name,
                           const json_t **config, ng_error *err)
{
    const json_t *inner = json_object_get(spec, "config");
    *config = NULL;
    *name = json_string_value(spec);
    if (!*name && json_is_string(inner))
        *name = json_string_value(inner);
    if (!*name && json_is_object(inner)) {
        *name = json_string_value(json_object_get(spec, "class_name"));
        *config = inner;
    }
    if (!*name)
        return ngi_fail(err, NG_E_FORMAT, "%s: its activation has no name", l->where);
    if (strchr(*name, '>') && strncasecmp(*name, "keras", 5) != 0)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: its activation '%.60s' is a function of its own, whose code is not in the "
                        "file. Replace it by one that Keras names",
                        l->where, *name);
    *name = ngi_plain_class(*name);
    return NG_OK;
}

static ng_status softmax_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix,
                              const json_t *config, int in, int *out, ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    ngi_building_layer with = *l; /* the axis stands in the activation's own configuration */
    with.config = config;
    NGI_TRY(ngi_layer_one_axis(&with, -1, b->graph->nodes[in].shape.rank, &attr.axis, err));
    return ngi_layer_node(b, l, suffix, NGI_OP_SOFTMAX, &attr, &in, 1, NULL, out, err);
}

/* `inner`: the activation is one of another layer, and its node has its name. */
static ng_status activation_node(ngi_keras_builder *b, ngi_building_layer *l, bool inner, const json_t *spec,
                                 int in, int *out, ng_error *err)
{
    const char *name = "";
    const json_t *config = NULL;
    ngi_activation_attr act;
    NGI_TRY(read_name(l, spec, &name, &config, err));
    if (strcmp(name, "softmax") == 0 || strcmp(name, "Softmax") == 0)
        return softmax_node(b, l, inner ? "softmax" : NULL, config, in, out, err);
    if (!ngi_activation_find(b, name, &act))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: its activation '%.60s' is not run; replace it by one of those that "
                        "docs/compatibility.md lists",
                        l->where, name);
    NGI_TRY(read_parameters(l, config, &act, err));
    if (inner && act.kind == NGI_ACT_LINEAR)
        return NG_OK;
    return ngi_layer_elementwise(b, l, inner ? ngi_activation_name(act.kind) : NULL, &act, in, out, err);
}

ng_status ngi_layer_activation(ngi_keras_builder *b, ngi_building_layer *l, int in, int *out, ng_error *err)
{
    const json_t *spec = json_object_get(l->config, "activation");
    *out = in;
    return spec && !json_is_null(spec) ? activation_node(b, l, true, spec, in, out, err) : NG_OK;
}

/* ---- Layers and functions ---------------------------------------------------------------------- */

ng_status ngi_lower_activation(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    return activation_node(b, l, false, json_object_get(l->config, "activation"), in, out, err);
}

/* A layer or a function that is one activation, found by its class. */
static ng_status by_class(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                          ng_error *err)
{
    int in = -1;
    ngi_activation_attr act;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    if (!ngi_activation_find(b, l->class_name, &act))
        return ngi_fail(err, NG_E_INTERNAL, "%s: no activation of this class", l->where);
    NGI_TRY(read_parameters(l, l->config, &act, err));
    return ngi_layer_elementwise(b, l, NULL, &act, in, out, err);
}

ng_status ngi_lower_op_activation(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                  ng_error *err)
{
    return by_class(b, l, call, out, err);
}

ng_status ngi_lower_relu(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                         ng_error *err)
{
    return by_class(b, l, call, out, err);
}

ng_status ngi_lower_softmax(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    return softmax_node(b, l, NULL, l->config, in, out, err);
}

/* alpha has the input's shape, with 1 along shared axes. */
ng_status ngi_lower_prelu(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                          ng_error *err)
{
    int in = -1, at = 0, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    NGI_TRY(ngi_call_input(l, call, &in, err));
    ngi_shape shape = b->graph->nodes[in].shape;
    const json_t *shared = json_object_get(l->config, "shared_axes");
    for (size_t i = 0; i < json_array_size(shared); i++) {
        int64_t axis;
        if (!ngi_json_to_int(json_array_get(shared, i), -NGI_MAX_RANK - 1, NGI_MAX_RANK, &axis))
            return ngi_fail(err, NG_E_FORMAT, "%s: \"shared_axes\": entry %zu is not an axis", l->where, i);
        NGI_TRY(ngi_layer_axis(l, axis, shape.rank, &at, err));
        shape.dim[at] = 1;
    }
    NGI_TRY(ngi_layer_weight(b, l, 0, "alpha", shape, true, &w[0], err));
    ngi_attr attr;
    ngi_attr_init(&attr);
    return ngi_layer_node(b, l, NULL, NGI_OP_PRELU, &attr, &in, 1, w, out, err);
}
