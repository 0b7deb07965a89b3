/* Layers without weights: pools, shapes, merges, resizing, preprocessing layers. */
#include "format/keras_build.h"

#include <string.h>

#define MOST_WINDOW 4096

ng_status ngi_lower_identity(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    return ngi_layer_node(b, l, NULL, NGI_OP_IDENTITY, &attr, &in, 1, NULL, out, err);
}

/* ---- Pools ------------------------------------------------------------------------------------- */

static ng_status pool(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op, int *out,
                      ng_error *err)
{
    int in = -1, size[2] = {2, 2};
    const char *padding = "valid";
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    NGI_TRY(ngi_json_pair(l->config, "pool_size", l->where, 1, MOST_WINDOW, size, err));
    int stride[2] = {size[0], size[1]};
    NGI_TRY(ngi_json_pair(l->config, "strides", l->where, 1, MOST_WINDOW, stride, err));
    NGI_TRY(ngi_json_string(l->config, "padding", l->where, &padding, err));
    attr.kernel_h = size[0];
    attr.kernel_w = size[1];
    attr.stride_h = stride[0];
    attr.stride_w = stride[1];
    attr.same = strcmp(padding, "same") == 0;
    if (!attr.same && strcmp(padding, "valid") != 0)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: padding '%s'; expected valid or same", l->where, padding);
    return ngi_layer_node(b, l, NULL, op, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_max_pool(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    return pool(b, l, call, NGI_OP_MAX_POOL, out, err);
}

ng_status ngi_lower_avg_pool(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    return pool(b, l, call, NGI_OP_AVG_POOL, out, err);
}

static ng_status global_pool(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op,
                             int *out, ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    NGI_TRY(ngi_json_bool(l->config, "keepdims", l->where, &attr.keepdims, err));
    return ngi_layer_node(b, l, NULL, op, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_global_avg(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    return global_pool(b, l, call, NGI_OP_GLOBAL_AVG, out, err);
}

ng_status ngi_lower_global_max(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    return global_pool(b, l, call, NGI_OP_GLOBAL_MAX, out, err);
}

/* ---- Shapes ------------------------------------------------------------------------------------ */

ng_status ngi_lower_flatten(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    attr.target = ngi_shape_of(1, (int64_t)-1);
    return ngi_layer_node(b, l, NULL, NGI_OP_RESHAPE, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_reshape(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *target = json_object_get(l->config, "target_shape");
    size_t n = json_array_size(target);
    if (!json_is_array(target) || n > NGI_MAX_RANK)
        return ngi_fail(err, NG_E_FORMAT, "%s: a target_shape of %zu dimensions", l->where, n);
    attr.target.rank = (int)n;
    for (size_t i = 0; i < n; i++)
        if (!ngi_json_to_int(json_array_get(target, i), -1, INT32_MAX, &attr.target.dim[i]))
            return ngi_fail(err, NG_E_FORMAT, "%s: dimension %zu of target_shape is not a size", l->where, i);
    return ngi_layer_node(b, l, NULL, NGI_OP_RESHAPE, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_permute(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *dims = json_object_get(l->config, "dims");
    if (json_array_size(dims) != (size_t)b->graph->nodes[in].shape.rank)
        return ngi_fail(err, NG_E_FORMAT, "%s: dims has %zu entries for %d dimensions", l->where,
                        json_array_size(dims), b->graph->nodes[in].shape.rank);
    for (size_t i = 0; i < json_array_size(dims); i++) {
        int64_t d;
        if (!ngi_json_to_int(json_array_get(dims, i), 1, NGI_MAX_RANK, &d))
            return ngi_fail(err, NG_E_FORMAT, "%s: dims is not a permutation", l->where);
        attr.permutation[i] = (int)d - 1;
    }
    return ngi_layer_node(b, l, NULL, NGI_OP_PERMUTE, &attr, &in, 1, NULL, out, err);
}

/* 3, [3, 2] or [[1, 2], [3, 4]]: top, bottom, left, right. */
static ng_status read_sides(const ngi_building_layer *l, const char *key, ngi_pad *pad, ng_error *err)
{
    const json_t *spec = json_object_get(l->config, key);
    int64_t v[4] = {0};
    bool fine = true;
    for (int i = 0; i < 4; i++) {
        const json_t *value = spec;
        if (json_is_array(value))
            value = json_array_get(value, (size_t)i / 2);
        if (json_is_array(value))
            value = json_array_get(value, (size_t)i % 2);
        fine = fine && ngi_json_to_int(value, 0, 65536, &v[i]);
    }
    if (!fine)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s is not a number of pixels, a pair or two pairs", l->where,
                        key);
    *pad = (ngi_pad){(int)v[0], (int)v[1], (int)v[2], (int)v[3]};
    return NG_OK;
}

static ng_status sides(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op,
                       const char *key, int *out, ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    NGI_TRY(read_sides(l, key, &attr.pad, err));
    return ngi_layer_node(b, l, NULL, op, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_zero_pad(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    return sides(b, l, call, NGI_OP_ZERO_PAD, "padding", out, err);
}

ng_status ngi_lower_crop(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                         ng_error *err)
{
    return sides(b, l, call, NGI_OP_CROP, "cropping", out, err);
}

/* ---- Resizing ---------------------------------------------------------------------------------- */

static ng_status read_interpolation(const ngi_building_layer *l, bool *bilinear, ng_error *err)
{
    const char *name = *bilinear ? "bilinear" : "nearest";
    NGI_TRY(ngi_json_string(l->config, "interpolation", l->where, &name, err));
    *bilinear = strcmp(name, "bilinear") == 0;
    if (!*bilinear && strcmp(name, "nearest") != 0)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: interpolation '%s'; nearest and bilinear are run",
                        l->where, name);
    return NG_OK;
}

ng_status ngi_lower_upsample(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    int in = -1, size[2] = {2, 2};
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    NGI_TRY(ngi_json_pair(l->config, "size", l->where, 1, 65536, size, err));
    NGI_TRY(read_interpolation(l, &attr.bilinear, err));
    attr.scale_h = size[0];
    attr.scale_w = size[1];
    return ngi_layer_node(b, l, NULL, NGI_OP_UPSAMPLE, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_resizing(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    int in = -1;
    bool pad = false, antialias = false;
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.bilinear = true;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    NGI_TRY(ngi_json_int(l->config, "height", l->where, 1, 65536, &attr.size_h, err));
    NGI_TRY(ngi_json_int(l->config, "width", l->where, 1, 65536, &attr.size_w, err));
    NGI_TRY(read_interpolation(l, &attr.bilinear, err));
    NGI_TRY(ngi_json_bool(l->config, "crop_to_aspect_ratio", l->where, &attr.crop_to_aspect, err));
    NGI_TRY(ngi_json_bool(l->config, "pad_to_aspect_ratio", l->where, &pad, err));
    NGI_TRY(ngi_json_bool(l->config, "antialias", l->where, &antialias, err));
    if (pad || antialias)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: %s is not run; resize before the network instead",
                        l->where, pad ? "pad_to_aspect_ratio" : "antialias");
    return ngi_layer_node(b, l, NULL, NGI_OP_RESIZE, &attr, &in, 1, NULL, out, err);
}

/* Cuts the centre; where the input is smaller, Keras cuts it to the aspect ratio and enlarges it. */
ng_status ngi_lower_center_crop(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                ng_error *err)
{
    int in = -1, size[2] = {0, 0};
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    NGI_TRY(ngi_json_int(l->config, "height", l->where, 1, 65536, &size[0], err));
    NGI_TRY(ngi_json_int(l->config, "width", l->where, 1, 65536, &size[1], err));
    const ngi_shape *s = &b->graph->nodes[in].shape;
    if (s->rank != 3 || !size[0] || !size[1])
        return ngi_fail(err, NG_E_FORMAT, "%s: a crop to %dx%d of an input of %d dimensions", l->where,
                        size[0], size[1], s->rank);
    if (s->dim[0] < size[0] || s->dim[1] < size[1]) {
        attr.size_h = size[0];
        attr.size_w = size[1];
        attr.bilinear = attr.crop_to_aspect = true;
        return ngi_layer_node(b, l, NULL, NGI_OP_RESIZE, &attr, &in, 1, NULL, out, err);
    }
    for (int i = 0; i < 2; i++) {
        attr.begin[i] = (s->dim[i] - size[i]) / 2;
        attr.extent[i] = size[i];
    }
    return ngi_layer_node(b, l, NULL, NGI_OP_SLICE, &attr, &in, 1, NULL, out, err);
}

/* At inference an input of the crop's size passes through; others would be resized. */
ng_status ngi_lower_random_crop(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                ng_error *err)
{
    int in = -1, size[2] = {0, 0};
    NGI_TRY(ngi_call_input(l, call, &in, err));
    NGI_TRY(ngi_json_int(l->config, "height", l->where, 1, 65536, &size[0], err));
    NGI_TRY(ngi_json_int(l->config, "width", l->where, 1, 65536, &size[1], err));
    const ngi_shape *s = &b->graph->nodes[in].shape;
    if (s->rank != 3 || s->dim[0] != size[0] || s->dim[1] != size[1])
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: would resize its input to %dx%d at inference, which is not run; resize "
                        "before it",
                        l->where, size[0], size[1]);
    return ngi_lower_identity(b, l, call, out, err);
}

/* ---- Merges ------------------------------------------------------------------------------------ */

static ng_status merge(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op,
                       const ngi_attr *attr, int *out, ng_error *err)
{
    int inputs[NGI_MAX_INPUTS];
    if (call->n_args < 1)
        return ngi_fail(err, NG_E_FORMAT, "%s: has no inputs", l->where);
    for (int i = 0; i < call->n_args; i++)
        if ((inputs[i] = call->args[i].node) < 0)
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: has a constant among its inputs, which is not read",
                            l->where);
    return ngi_layer_node(b, l, NULL, op, attr, inputs, call->n_args, NULL, out, err);
}

static ng_status plain_merge(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op,
                             int *out, ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    return merge(b, l, call, op, &attr, out, err);
}

ng_status ngi_lower_add(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                        ng_error *err)
{
    return plain_merge(b, l, call, NGI_OP_ADD, out, err);
}

ng_status ngi_lower_subtract(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    return plain_merge(b, l, call, NGI_OP_SUBTRACT, out, err);
}

ng_status ngi_lower_multiply(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    return plain_merge(b, l, call, NGI_OP_MULTIPLY, out, err);
}

ng_status ngi_lower_average(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    return plain_merge(b, l, call, NGI_OP_AVERAGE, out, err);
}

ng_status ngi_lower_maximum(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    return plain_merge(b, l, call, NGI_OP_MAXIMUM, out, err);
}

ng_status ngi_lower_minimum(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    return plain_merge(b, l, call, NGI_OP_MINIMUM, out, err);
}

ng_status ngi_lower_concat(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                           ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    if (call->n_args < 1 || call->args[0].node < 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: has no inputs", l->where);
    NGI_TRY(ngi_layer_one_axis(l, -1, b->graph->nodes[call->args[0].node].shape.rank, &attr.axis, err));
    return merge(b, l, call, NGI_OP_CONCAT, &attr, out, err);
}

/* x + y * scale. */
ng_status ngi_lower_scaled_sum(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    float scale = 1;
    double zero = 0;
    int scaled = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_json_float(l->config, "scale", l->where, &scale, err));
    if (call->n_args != 2 || call->args[0].node < 0 || call->args[1].node < 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: takes two tensors", l->where);
    double factor = scale;
    NGI_TRY(ngi_layer_affine(b, l, "scaled", call->args[1].node, &factor, 1, &zero, 1, &scaled, err));
    int inputs[2] = {call->args[0].node, scaled};
    return ngi_layer_node(b, l, NULL, NGI_OP_ADD, &attr, inputs, 2, NULL, out, err);
}
