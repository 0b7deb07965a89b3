/* Arithmetic in the graph: Rescaling, and the functions on tensors that preprocess_input and operators leave behind. Keras 3
 * has a class for each (TrueDivide, Subtract ...), Keras 2 has TFOpLambda with the function's name. A constant operand of one
 * number, or of one for each channel, becomes scale and offset. */
#include "format/keras_build.h"

#include <math.h>
#include <string.h>

static const char *const first_keys[] = {"x", "x1", "a", "value", NULL};
static const char *const second_keys[] = {"y", "x2", "b", "bias", NULL};

/* ---- Constants --------------------------------------------------------------------------------- */

/* A number, or a list of numbers in lists of one: what broadcasts along the last axis. */
static bool is_row(const json_t *v)
{
    const json_t *config = json_object_get(v, "config");
    v = json_is_object(config) ? json_object_get(config, "value") : v;
    while (json_array_size(v) == 1)
        v = json_array_get(v, 0);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_number(json_array_get(v, i)))
            return false;
    return json_is_number(v) || json_is_array(v);
}

/* A constant operand of `in`: 1 or c numbers. Free *out. */
static ng_status read_constant(const ngi_keras_builder *b, const ngi_building_layer *l, const json_t *value,
                               int in, double **out, int64_t *n, ng_error *err)
{
    const ngi_shape *s = &b->graph->nodes[in].shape;
    int64_t channels = s->dim[s->rank - 1];
    NGI_TRY(ngi_numbers(value, out, n, err));
    if (*n > 0 && is_row(value) && (*n == 1 || *n == channels))
        return NG_OK;
    ngi_free(*out);
    *out = NULL;
    return ngi_fail(err, NG_E_UNSUPPORTED,
                    "%s: a constant operand of %lld numbers; one, or one for each of the %lld channels, is "
                    "read",
                    l->where, (long long)*n, (long long)channels);
}

/* ---- Rescaling --------------------------------------------------------------------------------- */

ng_status ngi_lower_rescaling(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    int in = -1;
    int64_t n_scale = 0, n_offset = 1;
    double *scale = NULL, *offset = NULL, zero = 0;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *spec = json_object_get(l->config, "offset");
    NGI_TRY(read_constant(b, l, json_object_get(l->config, "scale"), in, &scale, &n_scale, err));
    ng_status status = NG_OK;
    if (spec && !json_is_null(spec))
        status = read_constant(b, l, spec, in, &offset, &n_offset, err);
    if (status == NG_OK)
        status =
            ngi_layer_affine(b, l, NULL, in, scale, n_scale, offset ? offset : &zero, n_offset, out, err);
    ngi_free(scale);
    ngi_free(offset);
    return status;
}

/* ---- Operators --------------------------------------------------------------------------------- */

/* One tensor and one constant as scale and offset. */
static ng_status constant_operator(ngi_keras_builder *b, ngi_building_layer *l, ngi_op op, ngi_call_arg x,
                                   ngi_call_arg y, int *out, ng_error *err)
{
    bool swapped = x.node < 0; /* the constant comes first */
    int in = swapped ? y.node : x.node;
    int64_t n = 0;
    double *c = NULL, one = swapped && op == NGI_OP_SUBTRACT ? -1 : 1, zero = 0;
    if (swapped && op == NGI_OP_DIVIDE)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: divides a constant by a tensor, which is not run",
                        l->where);
    NGI_TRY(read_constant(b, l, swapped ? x.value : y.value, in, &c, &n, err));
    for (int64_t i = 0; i < n; i++) {
        if (op == NGI_OP_DIVIDE)
            c[i] = 1 / c[i];
        if (op == NGI_OP_SUBTRACT && !swapped)
            c[i] = -c[i];
    }
    bool scales = op == NGI_OP_MULTIPLY || op == NGI_OP_DIVIDE;
    ng_status status = scales ? ngi_layer_affine(b, l, NULL, in, c, n, &zero, 1, out, err)
                              : ngi_layer_affine(b, l, NULL, in, &one, 1, c, n, out, err);
    ngi_free(c);
    return status;
}

static ng_status read_operands(const ngi_building_layer *l, const ngi_call *call, ngi_call_arg *x,
                               ngi_call_arg *y, ng_error *err)
{
    *x = ngi_call_find(l, call, 0, first_keys);
    *y = ngi_call_find(l, call, 1, second_keys);
    if (call->n_args > 2 || (x->node < 0 && !x->value) || (y->node < 0 && !y->value) ||
        (x->node < 0 && y->node < 0))
        return ngi_fail(err, NG_E_FORMAT, "%s: takes two operands, one of them a tensor", l->where);
    return NG_OK;
}

static ng_status tensors(ngi_keras_builder *b, ngi_building_layer *l, ngi_op op, int x, int y, int *out,
                         ng_error *err)
{
    int inputs[2] = {x, y};
    ngi_attr attr;
    ngi_attr_init(&attr);
    return ngi_layer_node(b, l, NULL, op, &attr, inputs, 2, NULL, out, err);
}

static ng_status binary(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op,
                        int *out, ng_error *err)
{
    ngi_call_arg x, y;
    NGI_TRY(read_operands(l, call, &x, &y, err));
    if (x.node < 0 || y.node < 0)
        return constant_operator(b, l, op, x, y, out, err);
    return tensors(b, l, op, x.node, y.node, out, err);
}

ng_status ngi_lower_op_add(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                           ng_error *err)
{
    return binary(b, l, call, NGI_OP_ADD, out, err);
}

ng_status ngi_lower_op_subtract(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                ng_error *err)
{
    return binary(b, l, call, NGI_OP_SUBTRACT, out, err);
}

ng_status ngi_lower_op_multiply(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                ng_error *err)
{
    return binary(b, l, call, NGI_OP_MULTIPLY, out, err);
}

ng_status ngi_lower_op_divide(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    return binary(b, l, call, NGI_OP_DIVIDE, out, err);
}

ng_status ngi_lower_op_negative(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                ng_error *err)
{
    int in = -1;
    double minus = -1, zero = 0;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    return ngi_layer_affine(b, l, NULL, in, &minus, 1, &zero, 1, out, err);
}

ng_status ngi_lower_op_square(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    return tensors(b, l, NGI_OP_MULTIPLY, in, in, out, err);
}

/* ---- Limits ------------------------------------------------------------------------------------ */

/* sign * min(relu(sign * (x - low)), width) + low: with sign 1 the maximum with low, with sign -1 the minimum. */
static ng_status limit(ngi_keras_builder *b, ngi_building_layer *l, int in, double sign, double low,
                       double width, int *out, ng_error *err)
{
    ngi_activation_attr act = {.kind = NGI_ACT_RELU, .max_value = (float)width};
    double offset = -sign * low;
    if (sign > 0 && low == 0)
        return ngi_layer_elementwise(b, l, NULL, &act, in, out, err);
    NGI_TRY(ngi_layer_affine(b, l, "shifted", in, &sign, 1, &offset, 1, out, err));
    NGI_TRY(ngi_layer_elementwise(b, l, "limited", &act, *out, out, err));
    return ngi_layer_affine(b, l, NULL, *out, &sign, 1, &low, 1, out, err);
}

static ng_status extremum(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op,
                          int *out, ng_error *err)
{
    ngi_call_arg x, y;
    NGI_TRY(read_operands(l, call, &x, &y, err));
    if (x.node >= 0 && y.node >= 0)
        return tensors(b, l, op, x.node, y.node, out, err);
    const json_t *value = x.node < 0 ? x.value : y.value;
    if (!json_is_number(value))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a limit that is not one number", l->where);
    return limit(b, l, x.node < 0 ? y.node : x.node, op == NGI_OP_MAXIMUM ? 1 : -1, json_number_value(value),
                 INFINITY, out, err);
}

ng_status ngi_lower_op_maximum(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    return extremum(b, l, call, NGI_OP_MAXIMUM, out, err);
}

ng_status ngi_lower_op_minimum(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    return extremum(b, l, call, NGI_OP_MINIMUM, out, err);
}

ng_status ngi_lower_op_clip(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    static const char *const low_keys[] = {"x_min", "clip_value_min", NULL}, *const high_keys[] = {
                                                                                 "x_max", "clip_value_max",
                                                                                 NULL};
    ngi_call_arg x = ngi_call_find(l, call, 0, first_keys), low = ngi_call_find(l, call, 1, low_keys),
                 high = ngi_call_find(l, call, 2, high_keys);
    if (x.node < 0 || !json_is_number(low.value) || !json_is_number(high.value))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: limits that are not two numbers", l->where);
    double from = json_number_value(low.value), to = json_number_value(high.value);
    if (!(from <= to))
        return ngi_fail(err, NG_E_FORMAT, "%s: limits of %g and %g", l->where, from, to);
    return limit(b, l, x.node, 1, from, to - from, out, err);
}

/* ---- TFOpLambda and SlicingOpLambda ------------------------------------------------------------ */

static const struct {
    const char *function;
    ngi_lower_function *lower;
} functions[] = {
    {"math.add", ngi_lower_op_add},
    {"__operators__.add", ngi_lower_op_add},
    {"nn.bias_add", ngi_lower_op_add},
    {"math.subtract", ngi_lower_op_subtract},
    {"math.multiply", ngi_lower_op_multiply},
    {"math.truediv", ngi_lower_op_divide},
    {"math.divide", ngi_lower_op_divide},
    {"math.divide_no_nan", ngi_lower_op_divide},
    {"math.negative", ngi_lower_op_negative},
    {"math.square", ngi_lower_op_square},
    {"math.maximum", ngi_lower_op_maximum},
    {"math.minimum", ngi_lower_op_minimum},
    {"clip_by_value", ngi_lower_op_clip},
    {"__operators__.getitem", ngi_lower_op_getitem},
    {"stack", ngi_lower_op_stack},
    {"concat", ngi_lower_op_concat},
    {"reshape", ngi_lower_op_reshape},
    {"transpose", ngi_lower_op_transpose},
    {"compat.v1.transpose", ngi_lower_op_transpose},
    {"expand_dims", ngi_lower_op_expand},
    {"squeeze", ngi_lower_op_squeeze},
    {"math.reduce_mean", ngi_lower_op_mean},
    {"math.reduce_max", ngi_lower_op_max},
    {"pad", ngi_lower_op_pad},
    {"compat.v1.pad", ngi_lower_op_pad},
    {"image.resize", ngi_lower_op_resize},
    {"cast", ngi_lower_op_cast},
    {"identity", ngi_lower_identity},
    {"stop_gradient", ngi_lower_identity},
};

static const char *const activations[][2] = {
    {"nn.relu", "relu"},
    {"nn.relu6", "relu6"},
    {"nn.leaky_relu", "leaky_relu"},
    {"nn.elu", "elu"},
    {"nn.selu", "selu"},
    {"nn.gelu", "gelu"},
    {"nn.silu", "silu"},
    {"nn.swish", "silu"},
    {"math.sigmoid", "sigmoid"},
    {"nn.sigmoid", "sigmoid"},
    {"math.tanh", "tanh"},
    {"nn.tanh", "tanh"},
    {"math.softplus", "softplus"},
    {"nn.softplus", "softplus"},
    {"nn.softsign", "softsign"},
    {"math.exp", "exponential"},
};

/* tf.nn.softmax(x, axis=-1). */
static ng_status softmax(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                         ng_error *err)
{
    static const char *const keys[] = {"axis", NULL};
    int in = -1;
    int64_t axis = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *value = ngi_call_find(l, call, 1, keys).value;
    if (value && !json_is_null(value) && !ngi_json_to_int(value, -NGI_MAX_RANK - 1, NGI_MAX_RANK, &axis))
        return ngi_fail(err, NG_E_FORMAT, "%s: \"axis\" is not a number", l->where);
    NGI_TRY(ngi_layer_axis(l, axis, b->graph->nodes[in].shape.rank, &attr.axis, err));
    return ngi_layer_node(b, l, NULL, NGI_OP_SOFTMAX, &attr, &in, 1, NULL, out, err);
}

static ng_status activation(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call,
                            const char *name, int *out, ng_error *err)
{
    static const char *const alpha_keys[] = {"alpha", NULL}, *const rough_keys[] = {"approximate", NULL};
    ngi_call_arg x = ngi_call_find(l, call, 0, first_keys), alpha = ngi_call_find(l, call, 1, alpha_keys);
    ngi_activation_attr act;
    if (x.node < 0 || !ngi_activation_find(b, name, &act))
        return ngi_fail(err, NG_E_FORMAT, "%s: takes one tensor", l->where);
    if (json_is_number(alpha.value))
        act.alpha = (float)json_number_value(alpha.value);
    if (act.kind == NGI_ACT_GELU && json_is_true(ngi_call_find(l, call, 1, rough_keys).value))
        act.kind = NGI_ACT_GELU_TANH;
    return ngi_layer_elementwise(b, l, NULL, &act, x.node, out, err);
}

ng_status ngi_lower_lambda(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                           ng_error *err)
{
    const char *function = strcmp(l->class_name, "SlicingOpLambda") == 0 ? "__operators__.getitem" : "";
    NGI_TRY(ngi_json_string(l->config, "function", l->where, &function, err));
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(function, functions[i].function) == 0)
            return functions[i].lower(b, l, call, out, err);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (strcmp(function, activations[i][0]) == 0)
            return activation(b, l, call, activations[i][1], out, err);
    if (strcmp(function, "nn.softmax") == 0)
        return softmax(b, l, call, out, err);
    return ngi_fail(err, NG_E_UNSUPPORTED,
                    "%s: the TensorFlow function 'tf.%.80s' is not run; replace it by a Keras layer",
                    l->where, function);
}
