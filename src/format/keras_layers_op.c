/* Arithmetic in the graph: Rescaling and Normalization, and the op layers that preprocess_input and operators on tensors
 * leave behind (Keras 3: TrueDivide, Subtract, GetItem, Stack ...; Keras 2: TFOpLambda, SlicingOpLambda). */
#include "format/keras_build.h"

#include <math.h>
#include <string.h>

/* ---- Constants --------------------------------------------------------------------------------- */

#define MOST_VALUES 65536

/* Appends all numbers of a nested list. */
static bool flatten_numbers(const json_t *value, double *out, int *n, int depth)
{
    if (json_is_number(value)) {
        if (*n == MOST_VALUES)
            return false;
        out[(*n)++] = json_number_value(value);
        return true;
    }
    if (!json_is_array(value) || depth > 8)
        return false;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!flatten_numbers(json_array_get(value, i), out, n, depth + 1))
            return false;
    return true;
}

/* A constant operand as 1 or `channels` numbers: a number, a nested list, {"class_name": "__tensor__", ...}. */
static ng_status read_constant(const ngi_building_layer *l, const json_t *value, int64_t channels, double **out, int *n,
                               ng_error *err)
{
    const json_t *inner = json_object_get(json_object_get(value, "config"), "value");
    *n = 0;
    *out = ngi_alloc(MOST_VALUES, sizeof **out);
    if (!*out)
        return ngi_fail_memory(err, MOST_VALUES * sizeof **out);
    if (flatten_numbers(inner ? inner : value, *out, n, 0) && (*n == 1 || *n == channels))
        return NG_OK;
    ngi_free(*out);
    *out = NULL;
    return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a constant of %d values; one, or one for each of %lld channels, is read",
                    l->where, *n, (long long)channels);
}

/* x * scale + offset with constants of 1 or c values. */
static ng_status affine(ngi_keras_builder *b, ngi_building_layer *l, int in, const double *scale, int n_scale,
                        const double *offset, int n_offset, int *out, ng_error *err)
{
    int w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_layer_constant(b, l, "scale", scale, n_scale, &w[0], err));
    NGI_TRY(ngi_layer_constant(b, l, "offset", offset, n_offset, &w[1], err));
    return ngi_layer_node(b, l, NULL, NGI_OP_AFFINE, &attr, &in, 1, w, out, err);
}

static int64_t channels_of(const ngi_keras_builder *b, int node)
{
    const ngi_shape *s = &b->graph->nodes[node].shape;
    return s->rank ? s->dim[s->rank - 1] : 1;
}

/* ---- Layers ------------------------------------------------------------------------------------ */

ng_status ngi_lower_rescaling(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1, n_scale, n_offset = 1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    double *scale, zero = 0, *offset = &zero;
    NGI_TRY(read_constant(l, json_object_get(l->config, "scale"), channels_of(b, in), &scale, &n_scale, err));
    const json_t *spec = json_object_get(l->config, "offset");
    ng_status status = NG_OK;
    if (spec && !json_is_null(spec))
        status = read_constant(l, spec, channels_of(b, in), &offset, &n_offset, err);
    if (status == NG_OK)
        status = affine(b, l, in, scale, n_scale, offset, n_offset, out, err);
    if (offset != &zero)
        ngi_free(offset);
    ngi_free(scale);
    return status;
}

/* Mean and variance from the configuration, spread over the channels. */
static ng_status given_moment(ngi_keras_builder *b, ngi_building_layer *l, const char *key, int64_t channels, int *out,
                              ng_error *err)
{
    double *values;
    int n;
    NGI_TRY(read_constant(l, json_object_get(l->config, key), channels, &values, &n, err));
    for (int i = n; i < channels && i < MOST_VALUES; i++)
        values[i] = values[0];
    ng_status status = ngi_layer_constant(b, l, key, values, (int)channels, out, err);
    ngi_free(values);
    return status;
}

/* (x - mean) / max(sqrt(variance), 1e-7): a batch norm whose epsilon is 1e-14. */
ng_status ngi_lower_normalization(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    bool invert = false;
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.epsilon = 1e-14f;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_json_bool(l->config, "invert", l->where, &invert, err));
    const json_t *axis = json_object_get(l->config, "axis");
    bool last = json_is_array(axis) && json_array_size(axis) == 1;
    if (last || json_is_integer(axis)) {
        int at;
        NGI_TRY(ngi_layer_axis(l, json_integer_value(last ? json_array_get(axis, 0) : axis),
                               b->graph->nodes[in].shape.rank, &at, err));
        last = at == b->graph->nodes[in].shape.rank - 1;
    }
    int64_t channels = channels_of(b, in);
    bool given = json_object_get(l->config, "mean") && !json_is_null(json_object_get(l->config, "mean"));
    if (invert || (!last && !given) || channels > MOST_VALUES)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: only normalisation of the last axis is run (axis=-1, invert=False)",
                        l->where);
    if (given) {
        NGI_TRY(given_moment(b, l, "mean", channels, &w[2], err));
        NGI_TRY(given_moment(b, l, "variance", channels, &w[3], err));
    } else {
        NGI_TRY(ngi_layer_weight(b, l, 0, "mean", ngi_shape_of(1, channels), false, &w[2], err));
        NGI_TRY(ngi_layer_weight(b, l, 1, "variance", ngi_shape_of(1, channels), false, &w[3], err));
    }
    return ngi_layer_node(b, l, NULL, NGI_OP_BATCHNORM, &attr, &in, 1, w, out, err);
}

/* ---- Binary operators -------------------------------------------------------------------------- */

/* The two operands, wherever they stand. */
static ng_status operands(const ngi_building_layer *l, const ngi_call *call, ngi_call_arg *x, ngi_call_arg *y,
                          ng_error *err)
{
    bool second = call->n_args >= 2;
    *x = call->args[0];
    *y = second ? call->args[1] : call->y;
    if (call->n_args < 1 || (x->node < 0 && y->node < 0) || (y->node < 0 && !y->value))
        return ngi_fail(err, NG_E_FORMAT, "%s: two operands are expected", l->where);
    return NG_OK;
}

/* One tensor and one constant as scale and offset. */
static ng_status constant_operator(ngi_keras_builder *b, ngi_building_layer *l, ngi_op op, ngi_call_arg x, ngi_call_arg y,
                                   int *out, ng_error *err)
{
    bool swapped = x.node < 0; /* constant first */
    int in = swapped ? y.node : x.node, n;
    double *c, one = swapped && op == NGI_OP_SUBTRACT ? -1 : 1, zero = 0;
    if (swapped && op == NGI_OP_DIVIDE)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a constant divided by a tensor is not run", l->where);
    NGI_TRY(read_constant(l, swapped ? x.value : y.value, channels_of(b, in), &c, &n, err));
    for (int i = 0; i < n; i++) {
        if (op == NGI_OP_DIVIDE)
            c[i] = 1 / c[i];
        if (op == NGI_OP_SUBTRACT && !swapped)
            c[i] = -c[i];
    }
    bool scales = op == NGI_OP_MULTIPLY || op == NGI_OP_DIVIDE;
    ng_status status = scales ? affine(b, l, in, c, n, &zero, 1, out, err) : affine(b, l, in, &one, 1, c, n, out, err);
    ngi_free(c);
    return status;
}

static ng_status binary(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op, int *out, ng_error *err)
{
    ngi_call_arg x, y;
    NGI_TRY(operands(l, call, &x, &y, err));
    if (x.node < 0 || y.node < 0)
        return constant_operator(b, l, op, x, y, out, err);
    int inputs[2] = {x.node, y.node};
    ngi_attr attr;
    ngi_attr_init(&attr);
    return ngi_layer_node(b, l, NULL, op, &attr, inputs, 2, NULL, out, err);
}

/* A merge layer has tensors only, any number of them; an op layer has two operands. */
static bool is_merge(const ngi_call *call)
{
    if (call->y.node >= 0 || call->y.value)
        return false;
    for (int i = 0; i < call->n_args; i++)
        if (call->args[i].node < 0)
            return false;
    return call->n_args != 2;
}

ng_status ngi_lower_op_add(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    return is_merge(call) ? ngi_lower_add(b, l, call, out, err) : binary(b, l, call, NGI_OP_ADD, out, err);
}

ng_status ngi_lower_op_subtract(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    return binary(b, l, call, NGI_OP_SUBTRACT, out, err);
}

ng_status ngi_lower_op_multiply(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    return is_merge(call) ? ngi_lower_multiply(b, l, call, out, err) : binary(b, l, call, NGI_OP_MULTIPLY, out, err);
}

ng_status ngi_lower_op_divide(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    return binary(b, l, call, NGI_OP_DIVIDE, out, err);
}

/* ---- Slicing ----------------------------------------------------------------------------------- */

static bool is_ellipsis(const json_t *item)
{
    const char *class_name = json_string_value(json_object_get(item, "class_name"));
    return class_name && strcmp(class_name, "__ellipsis__") == 0;
}

/* start or stop of a slice on an axis of n elements, Python's way; `fallback` where it is null. */
static int64_t clamp_index(const json_t *value, int64_t n, int64_t low, int64_t high, int64_t fallback)
{
    if (!json_is_integer(value))
        return fallback;
    int64_t i = json_integer_value(value);
    i = i < 0 ? i + n : i;
    return i < low ? low : i > high ? high : i;
}

/* One entry of x[...] on axis `at`: an index (the axis goes) or a slice. */
static ng_status read_item(const ngi_building_layer *l, const json_t *item, int at, int64_t n, ngi_attr *attr, bool *drop,
                           ng_error *err)
{
    if (json_is_integer(item)) {
        int64_t i = json_integer_value(item);
        attr->begin[at] = i < 0 ? i + n : i;
        attr->extent[at] = 1;
        *drop = true;
        return NG_OK;
    }
    const json_t *slice = json_object_get(item, "config");
    slice = json_is_object(slice) ? slice : item;
    if (!json_is_object(slice))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: an index that is neither a number nor a slice", l->where);
    const json_t *step_value = json_object_get(slice, "step");
    int64_t step = json_is_integer(step_value) ? json_integer_value(step_value) : 1;
    if (step == 0 || step > INT32_MAX || step < -INT32_MAX)
        return ngi_fail(err, NG_E_FORMAT, "%s: a slice of step %lld", l->where, (long long)step);
    bool up = step > 0;
    int64_t begin = clamp_index(json_object_get(slice, "start"), n, up ? 0 : -1, up ? n : n - 1, up ? 0 : n - 1);
    int64_t end = clamp_index(json_object_get(slice, "stop"), n, up ? 0 : -1, up ? n : n - 1, up ? n : -1);
    int64_t count = up ? (end - begin + step - 1) / step : (begin - end - step - 1) / -step;
    if (count < 1)
        return ngi_fail(err, NG_E_SHAPE, "%s: an empty slice", l->where);
    attr->begin[at] = begin;
    attr->step[at] = step;
    attr->extent[at] = count;
    return NG_OK;
}

static bool is_whole(const json_t *item)
{
    const json_t *slice = json_object_get(item, "config");
    slice = json_is_object(slice) ? slice : item;
    const json_t *step = json_object_get(slice, "step");
    return json_is_object(slice) && !json_is_integer(json_object_get(slice, "start")) &&
           !json_is_integer(json_object_get(slice, "stop")) && (!json_is_integer(step) || json_integer_value(step) == 1);
}

/* x[items]: items count the batch axis, which must stay whole. */
static ng_status slice_node(ngi_keras_builder *b, ngi_building_layer *l, int in, const json_t *items, int *out,
                            ng_error *err)
{
    const ngi_shape shape = b->graph->nodes[in].shape;
    bool drop[NGI_MAX_RANK] = {false}, dropped = false;
    ngi_attr attr;
    ngi_attr_init(&attr);
    int axis = 0; /* with batch */
    size_t n = json_array_size(items);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(items, i);
        if (is_ellipsis(item)) {
            axis = shape.rank + 1 - (int)(n - i - 1);
            continue;
        }
        if (axis < 0 || axis > shape.rank || (axis == 0 && !is_whole(item)))
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: this indexing is not read: it touches the batch or too many axes",
                            l->where);
        if (axis > 0)
            NGI_TRY(read_item(l, item, axis - 1, shape.dim[axis - 1], &attr, &drop[axis - 1], err));
        axis++;
    }
    for (int i = 0; i < shape.rank; i++)
        dropped = dropped || drop[i];
    NGI_TRY(ngi_layer_node(b, l, dropped ? "slice" : NULL, NGI_OP_SLICE, &attr, &in, 1, NULL, out, err));
    if (!dropped)
        return NG_OK;
    ngi_attr_init(&attr);
    for (int i = 0; i < shape.rank; i++)
        if (!drop[i])
            attr.target.dim[attr.target.rank++] = b->graph->nodes[*out].shape.dim[i];
    return ngi_layer_node(b, l, NULL, NGI_OP_RESHAPE, &attr, out, 1, NULL, out, err);
}

ng_status ngi_lower_get_item(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *key = call->n_args > 1 ? call->args[1].value : json_object_get(call->kwargs, "key");
    if (!json_is_array(key))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: this indexing is not read", l->where);
    return slice_node(b, l, in, key, out, err);
}

ng_status ngi_lower_slicing_op(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *items = json_object_get(call->kwargs, "slice_spec");
    if (!json_is_array(items))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: this indexing is not read", l->where);
    return slice_node(b, l, in, items, out, err);
}

/* Stack along a new last axis: each tensor gets an axis of one, then they are joined. */
ng_status ngi_lower_stack(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int axis = 0, inputs[NGI_CALL_ARGS];
    NGI_TRY(ngi_json_int(l->config, "axis", l->where, -NGI_MAX_RANK, NGI_MAX_RANK, &axis, err));
    ngi_attr attr;
    for (int i = 0; i < call->n_args; i++) {
        if (call->args[i].node < 0)
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a constant among the inputs is not read", l->where);
        ngi_attr_init(&attr);
        attr.target = b->graph->nodes[call->args[i].node].shape;
        if (attr.target.rank == NGI_MAX_RANK || (axis != -1 && axis != attr.target.rank + 1))
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: only stacking along a new last axis is run", l->where);
        attr.target.dim[attr.target.rank++] = 1;
        char suffix[32];
        snprintf(suffix, sizeof suffix, "expand%d", i);
        NGI_TRY(ngi_layer_node(b, l, suffix, NGI_OP_RESHAPE, &attr, &call->args[i].node, 1, NULL, &inputs[i], err));
    }
    if (call->n_args < 1)
        return ngi_fail(err, NG_E_FORMAT, "%s: no inputs", l->where);
    ngi_attr_init(&attr);
    attr.axis = b->graph->nodes[inputs[0]].shape.rank - 1;
    return ngi_layer_node(b, l, NULL, NGI_OP_CONCAT, &attr, inputs, call->n_args, NULL, out, err);
}

/* ---- TFOpLambda -------------------------------------------------------------------------------- */

static const struct {
    const char *function;
    ngi_op op;
} operators[] = {{"math.truediv", NGI_OP_DIVIDE},       {"math.divide", NGI_OP_DIVIDE},
                 {"__operators__.truediv", NGI_OP_DIVIDE}, {"math.subtract", NGI_OP_SUBTRACT},
                 {"math.add", NGI_OP_ADD},              {"__operators__.add", NGI_OP_ADD},
                 {"nn.bias_add", NGI_OP_ADD},           {"math.multiply", NGI_OP_MULTIPLY}};

static const struct {
    const char *function;
    ngi_activation kind;
} functions[] = {{"nn.relu", NGI_ACT_RELU},       {"nn.relu6", NGI_ACT_RELU6},   {"math.sigmoid", NGI_ACT_SIGMOID},
                 {"nn.sigmoid", NGI_ACT_SIGMOID}, {"math.tanh", NGI_ACT_TANH},   {"nn.tanh", NGI_ACT_TANH},
                 {"nn.silu", NGI_ACT_SILU},       {"nn.swish", NGI_ACT_SILU},    {"math.exp", NGI_ACT_EXPONENTIAL},
                 {"cast", NGI_ACT_LINEAR},        {"identity", NGI_ACT_LINEAR},  {"stop_gradient", NGI_ACT_LINEAR}};

/* tf.reduce_mean(x, axis=[1, 2]): a global average. */
static ng_status reduce_mean(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *axes = json_object_get(call->kwargs, "axis");
    NGI_TRY(ngi_json_bool(call->kwargs, "keepdims", l->where, &attr.keepdims, err));
    bool spatial = json_array_size(axes) == 2;
    for (size_t i = 0; i < 2 && spatial; i++) {
        json_int_t a = json_integer_value(json_array_get(axes, i));
        spatial = (a < 0 ? a + 4 : a) == (json_int_t)i + 1;
    }
    if (!spatial)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a mean over other axes than height and width is not run", l->where);
    return ngi_layer_node(b, l, NULL, NGI_OP_GLOBAL_AVG, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_lambda_op(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    const char *function = "";
    NGI_TRY(ngi_json_string(l->config, "function", l->where, &function, err));
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(function, operators[i].function) == 0)
            return binary(b, l, call, operators[i].op, out, err);
    if (strcmp(function, "math.reduce_mean") == 0)
        return reduce_mean(b, l, call, out, err);
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    ngi_attr attr;
    ngi_attr_init(&attr);
    if (strcmp(function, "nn.softmax") == 0) {
        attr.axis = b->graph->nodes[in].shape.rank - 1;
        return ngi_layer_node(b, l, NULL, NGI_OP_SOFTMAX, &attr, &in, 1, NULL, out, err);
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(function, functions[i].function) == 0) {
            attr.act.kind = functions[i].kind;
            return ngi_layer_node(b, l, NULL, attr.act.kind == NGI_ACT_LINEAR ? NGI_OP_IDENTITY : NGI_OP_ACTIVATION, &attr,
                                  &in, 1, NULL, out, err);
        }
    return ngi_fail(err, NG_E_UNSUPPORTED, "%s: the TensorFlow function '%s' is not read; replace it by a Keras layer",
                    l->where, function);
}
