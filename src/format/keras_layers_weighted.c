/* Layers with weights: convolutions, Dense, normalisations. Weight order is Keras's layer.weights. */
#include "format/keras_build.h"

#include <string.h>

#define MOST_FILTERS (1 << 20)
#define MOST_WINDOW  4096

static ng_status read_padding(const ngi_building_layer *l, ngi_attr *attr, ng_error *err)
{
    const char *padding = "valid";
    NGI_TRY(ngi_json_string(l->config, "padding", l->where, &padding, err));
    attr->same = strcmp(padding, "same") == 0;
    if (!attr->same && strcmp(padding, "valid") != 0)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: padding '%s'; expected valid or same", l->where, padding);
    return NG_OK;
}

/* Window, strides, dilation, padding, groups of a convolution. */
static ng_status read_convolution(const ngi_building_layer *l, ngi_attr *attr, ng_error *err)
{
    ngi_attr_init(attr);
    int kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1};
    NGI_TRY(ngi_layer_channels_last(l, err));
    NGI_TRY(ngi_json_pair(l->config, "kernel_size", l->where, 1, MOST_WINDOW, kernel, err));
    NGI_TRY(ngi_json_pair(l->config, "strides", l->where, 1, MOST_WINDOW, stride, err));
    NGI_TRY(ngi_json_pair(l->config, "dilation_rate", l->where, 1, MOST_WINDOW, dilation, err));
    attr->kernel_h = kernel[0];
    attr->kernel_w = kernel[1];
    attr->stride_h = stride[0];
    attr->stride_w = stride[1];
    attr->dilation_h = dilation[0];
    attr->dilation_w = dilation[1];
    NGI_TRY(ngi_json_int(l->config, "groups", l->where, 1, MOST_FILTERS, &attr->groups, err));
    return read_padding(l, attr, err);
}

/* The input of a convolution: [h,w,c]. */
static ng_status spatial_input(const ngi_keras_builder *b, const ngi_building_layer *l, const ngi_call *call,
                               int *in, int64_t *channels, ng_error *err)
{
    NGI_TRY(ngi_call_input(l, call, in, err));
    const ngi_shape *s = &b->graph->nodes[*in].shape;
    if (s->rank != 3)
        return ngi_fail(err, NG_E_SHAPE, "%s: its input has %d dimensions without the batch, expected 3",
                        l->where, s->rank);
    *channels = s->dim[2];
    return NG_OK;
}

ng_status ngi_lower_conv2d(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                           ng_error *err)
{
    ngi_attr attr;
    int in = -1, filters = 0, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    int64_t channels = 0;
    bool bias = true;
    NGI_TRY(spatial_input(b, l, call, &in, &channels, err));
    NGI_TRY(read_convolution(l, &attr, err));
    NGI_TRY(ngi_json_int(l->config, "filters", l->where, 1, MOST_FILTERS, &filters, err));
    NGI_TRY(ngi_json_bool(l->config, "use_bias", l->where, &bias, err));
    if (filters == 0 || channels % attr.groups)
        return ngi_fail(err, NG_E_FORMAT, "%s: %d filters in %d groups on %lld channels", l->where, filters,
                        attr.groups, (long long)channels);
    ngi_shape kernel = ngi_shape_of(4, (int64_t)attr.kernel_h, (int64_t)attr.kernel_w, channels / attr.groups,
                                    (int64_t)filters);
    NGI_TRY(ngi_layer_weight(b, l, 0, "kernel", kernel, true, &w[0], err));
    if (bias)
        NGI_TRY(ngi_layer_weight(b, l, 1, "bias", ngi_shape_of(1, (int64_t)filters), true, &w[1], err));
    NGI_TRY(ngi_layer_node(b, l, NULL, NGI_OP_CONV2D, &attr, &in, 1, w, out, err));
    return ngi_layer_activation(b, l, *out, out, err);
}

ng_status ngi_lower_depthwise(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    ngi_attr attr;
    int in = -1, multiplier = 1, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    int64_t channels = 0;
    bool bias = true;
    NGI_TRY(spatial_input(b, l, call, &in, &channels, err));
    NGI_TRY(read_convolution(l, &attr, err));
    attr.groups = 1;
    NGI_TRY(ngi_json_int(l->config, "depth_multiplier", l->where, 1, MOST_FILTERS, &multiplier, err));
    NGI_TRY(ngi_json_bool(l->config, "use_bias", l->where, &bias, err));
    ngi_shape kernel =
        ngi_shape_of(4, (int64_t)attr.kernel_h, (int64_t)attr.kernel_w, channels, (int64_t)multiplier);
    NGI_TRY(ngi_layer_weight(b, l, 0, b->keras2 ? "depthwise_kernel" : "kernel", kernel, true, &w[0], err));
    if (bias)
        NGI_TRY(ngi_layer_weight(b, l, 1, "bias", ngi_shape_of(1, channels * multiplier), true, &w[1], err));
    NGI_TRY(ngi_layer_node(b, l, NULL, NGI_OP_DEPTHWISE, &attr, &in, 1, w, out, err));
    return ngi_layer_activation(b, l, *out, out, err);
}

ng_status ngi_lower_separable(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    ngi_attr attr, point;
    int in = -1, multiplier = 1, filters = 0, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1},
        p[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    int64_t channels = 0;
    bool bias = true;
    NGI_TRY(spatial_input(b, l, call, &in, &channels, err));
    NGI_TRY(read_convolution(l, &attr, err));
    attr.groups = 1;
    NGI_TRY(ngi_json_int(l->config, "depth_multiplier", l->where, 1, MOST_FILTERS, &multiplier, err));
    NGI_TRY(ngi_json_int(l->config, "filters", l->where, 1, MOST_FILTERS, &filters, err));
    NGI_TRY(ngi_json_bool(l->config, "use_bias", l->where, &bias, err));
    ngi_shape depth =
        ngi_shape_of(4, (int64_t)attr.kernel_h, (int64_t)attr.kernel_w, channels, (int64_t)multiplier);
    ngi_shape across = ngi_shape_of(4, (int64_t)1, (int64_t)1, channels * multiplier, (int64_t)filters);
    NGI_TRY(ngi_layer_weight(b, l, 0, "depthwise_kernel", depth, true, &w[0], err));
    NGI_TRY(ngi_layer_weight(b, l, 1, "pointwise_kernel", across, true, &p[0], err));
    if (bias)
        NGI_TRY(ngi_layer_weight(b, l, 2, "bias", ngi_shape_of(1, (int64_t)filters), true, &p[1], err));
    NGI_TRY(ngi_layer_node(b, l, "depthwise", NGI_OP_DEPTHWISE, &attr, &in, 1, w, out, err));
    ngi_attr_init(&point);
    NGI_TRY(ngi_layer_node(b, l, NULL, NGI_OP_CONV2D, &point, out, 1, p, out, err));
    return ngi_layer_activation(b, l, *out, out, err);
}

ng_status ngi_lower_dense(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                          ng_error *err)
{
    ngi_attr attr;
    int in = -1, units = 0, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    bool bias = true;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_json_int(l->config, "units", l->where, 1, MOST_FILTERS, &units, err));
    NGI_TRY(ngi_json_bool(l->config, "use_bias", l->where, &bias, err));
    const ngi_shape *s = &b->graph->nodes[in].shape;
    if (units == 0 || s->rank < 1)
        return ngi_fail(err, NG_E_FORMAT, "%s: \"units\" is missing", l->where);
    if (json_is_integer(json_object_get(l->config, "lora_rank")))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: LoRA weights are not read; save the model after merging them", l->where);
    ngi_shape kernel = ngi_shape_of(2, s->dim[s->rank - 1], (int64_t)units);
    NGI_TRY(ngi_layer_weight(b, l, 0, "kernel", kernel, true, &w[0], err));
    if (bias)
        NGI_TRY(ngi_layer_weight(b, l, 1, "bias", ngi_shape_of(1, (int64_t)units), true, &w[1], err));
    ngi_attr_init(&attr);
    NGI_TRY(ngi_layer_node(b, l, NULL, NGI_OP_DENSE, &attr, &in, 1, w, out, err));
    return ngi_layer_activation(b, l, *out, out, err);
}

/* The axis of a normalisation over channels must be the last. */
static ng_status channel_axis(const ngi_building_layer *l, int rank, ng_error *err)
{
    int at = 0;
    NGI_TRY(ngi_layer_one_axis(l, -1, rank, &at, err));
    if (at != rank - 1)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: normalises axis %d of %d with the batch; only the last one (channels_last) is "
                        "run. Rebuild the model "
                        "with axis=-1",
                        l->where, at + 1, rank + 1);
    return NG_OK;
}

ng_status ngi_lower_batchnorm(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.epsilon = 1e-3f;
    int in = -1, slot = 0, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    bool scale = true, center = true, renorm = false;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const ngi_shape *s = &b->graph->nodes[in].shape;
    NGI_TRY(channel_axis(l, s->rank, err));
    NGI_TRY(ngi_json_bool(l->config, "renorm", l->where, &renorm, err));
    if (renorm)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: renorm=True is not read; rebuild the layer without it",
                        l->where);
    NGI_TRY(ngi_json_float(l->config, "epsilon", l->where, &attr.epsilon, err));
    NGI_TRY(ngi_json_bool(l->config, "scale", l->where, &scale, err));
    NGI_TRY(ngi_json_bool(l->config, "center", l->where, &center, err));
    ngi_shape channels = ngi_shape_of(1, s->dim[s->rank - 1]);
    if (scale)
        NGI_TRY(ngi_layer_weight(b, l, slot++, "gamma", channels, true, &w[0], err));
    if (center)
        NGI_TRY(ngi_layer_weight(b, l, slot++, "beta", channels, true, &w[1], err));
    NGI_TRY(ngi_layer_weight(b, l, slot++, "moving_mean", channels, false, &w[2], err));
    NGI_TRY(ngi_layer_weight(b, l, slot, "moving_variance", channels, false, &w[3], err));
    return ngi_layer_node(b, l, NULL, NGI_OP_BATCHNORM, &attr, &in, 1, w, out, err);
}

ng_status ngi_lower_layernorm(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.epsilon = 1e-3f;
    int in = -1, slot = 0, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    bool scale = true, center = true;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const ngi_shape s = b->graph->nodes[in].shape;
    const json_t *axes = json_object_get(l->config, "axis");
    size_t n = json_is_array(axes) ? json_array_size(axes) : 1;
    attr.axis = s.rank;
    for (size_t i = 0; i < n; i++) { /* any order; together they must be the last n axes */
        const json_t *spec = json_is_array(axes) ? json_array_get(axes, i) : axes;
        int64_t axis = -1;
        int at;
        if (spec && !json_is_null(spec) && !ngi_json_to_int(spec, -NGI_MAX_RANK, NGI_MAX_RANK, &axis))
            return ngi_fail(err, NG_E_FORMAT, "%s: an axis is not a number", l->where);
        NGI_TRY(ngi_layer_axis(l, axis, s.rank, &at, err));
        attr.axis = at < attr.axis ? at : attr.axis;
    }
    if (attr.axis != s.rank - (int)n)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: normalises axes that are not the last ones", l->where);
    NGI_TRY(ngi_json_float(l->config, "epsilon", l->where, &attr.epsilon, err));
    NGI_TRY(ngi_json_bool(l->config, "scale", l->where, &scale, err));
    NGI_TRY(ngi_json_bool(l->config, "center", l->where, &center, err));
    NGI_TRY(ngi_json_bool(l->config, "rms_scaling", l->where, &attr.rms, err));
    ngi_shape part = {.rank = s.rank - attr.axis};
    memcpy(part.dim, s.dim + attr.axis, (size_t)part.rank * sizeof *part.dim);
    if (scale || attr.rms)
        NGI_TRY(ngi_layer_weight(b, l, slot++, "gamma", part, true, &w[0], err));
    if (center && !attr.rms)
        NGI_TRY(ngi_layer_weight(b, l, slot++, "beta", part, true, &w[1], err));
    return ngi_layer_node(b, l, NULL, NGI_OP_LAYERNORM, &attr, &in, 1, w, out, err);
}

/* Keras's applications scale a branch by one number a channel. */
ng_status ngi_lower_layer_scale(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                ng_error *err)
{
    int in = -1, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    double zero = 0;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const ngi_shape *s = &b->graph->nodes[in].shape;
    NGI_TRY(ngi_layer_weight(b, l, 0, "gamma", ngi_shape_of(1, s->dim[s->rank - 1]), true, &w[0], err));
    NGI_TRY(ngi_layer_constant(b, l, "offset", &zero, 1, &w[1], err));
    return ngi_layer_node(b, l, NULL, NGI_OP_AFFINE, &attr, &in, 1, w, out, err);
}

/* ---- Normalization ----------------------------------------------------------------------------- */

/* "mean" or "variance" of the configuration as one constant a channel. */
static ng_status given_moment(ngi_keras_builder *b, ngi_building_layer *l, const char *key, int64_t channels,
                              int *out, ng_error *err)
{
    double *values;
    int64_t n;
    NGI_TRY(ngi_numbers(json_object_get(l->config, key), &values, &n, err));
    ng_status status = NG_OK;
    double *all = ngi_alloc((size_t)channels, sizeof *all);
    if (!all)
        status = ngi_fail_memory(err, (size_t)channels * sizeof *all);
    else if (n != 1 && n != channels)
        status = ngi_fail(err, NG_E_FORMAT, "%s: \"%s\": %lld numbers for %lld channels", l->where, key,
                          (long long)n, (long long)channels);
    for (int64_t i = 0; i < channels && status == NG_OK; i++)
        all[i] = values[n == 1 ? 0 : i];
    if (status == NG_OK)
        status = ngi_layer_constant(b, l, key, all, channels, out, err);
    ngi_free(values);
    ngi_free(all);
    return status;
}

/* (x - mean) / max(sqrt(variance), 1e-7): a batch norm whose epsilon is 1e-14. Keras's third weight, the count of what
 * adapt() saw, is an integer that nothing is computed from: readers pass over it. */
ng_status ngi_lower_normalization(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                  ng_error *err)
{
    int in = -1, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    bool invert = false;
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.epsilon = 1e-14f;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_json_bool(l->config, "invert", l->where, &invert, err));
    const ngi_shape s = b->graph->nodes[in].shape;
    const json_t *mean = json_object_get(l->config, "mean"), *axis = json_object_get(l->config, "axis");
    bool given = mean && !json_is_null(mean);
    bool scalar = axis && (json_is_null(axis) || (json_is_array(axis) && json_array_size(axis) == 0));
    if (invert || (scalar && !given))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: %s is not run; use axis=-1 and invert=False", l->where,
                        invert ? "invert=True" : "axis=None with adapt()");
    if (!scalar)
        NGI_TRY(channel_axis(l, s.rank, err));
    int64_t channels = s.dim[s.rank - 1];
    if (given) {
        NGI_TRY(given_moment(b, l, "mean", channels, &w[2], err));
        NGI_TRY(given_moment(b, l, "variance", channels, &w[3], err));
    } else {
        NGI_TRY(ngi_layer_weight(b, l, 0, "mean", ngi_shape_of(1, channels), false, &w[2], err));
        NGI_TRY(ngi_layer_weight(b, l, 1, "variance", ngi_shape_of(1, channels), false, &w[3], err));
    }
    return ngi_layer_node(b, l, NULL, NGI_OP_BATCHNORM, &attr, &in, 1, w, out, err);
}
