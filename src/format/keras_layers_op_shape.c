/* Functions on tensors that move values: indexing, stacking, reshaping, reducing, padding, resizing. Axes and shapes count the
 * batch, which must stay as it is. Parameters stand in the configuration (Keras 3) or among the arguments (Keras 2). */
#include "format/keras_build.h"

#include <string.h>

static const char *const input_keys[] = {"x", "input", "tensor", "values", "inputs", "images", "image", NULL};

static ng_status take_input(const ngi_building_layer *l, const ngi_call *call, int *in, ng_error *err)
{
    ngi_call_arg x = ngi_call_find(l, call, 0, input_keys);
    if (x.node < 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: takes a tensor first", l->where);
    *in = x.node;
    return NG_OK;
}

static const json_t *parameter(const ngi_building_layer *l, const ngi_call *call, int position, const char *a,
                               const char *b)
{
    const char *const keys[] = {a, b, NULL};
    return ngi_call_find(l, call, position, keys).value;
}

/* An axis of the input, or (`more` 1) of a result that has one axis more. */
static ng_status read_axis(const ngi_building_layer *l, const json_t *value, int64_t fallback, int rank,
                           int more, int *out, ng_error *err)
{
    int64_t axis = fallback;
    if (json_is_array(value) && json_array_size(value) == 1)
        value = json_array_get(value, 0);
    if (value && !ngi_json_to_int(value, -NGI_MAX_RANK - 1, NGI_MAX_RANK + 1, &axis))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: \"axis\" is not one axis", l->where);
    return ngi_layer_axis(l, axis, rank + more, out, err);
}

static ng_status reshape_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix,
                              const ngi_shape *target, int in, int *out, ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.target = *target;
    return ngi_layer_node(b, l, suffix, NGI_OP_RESHAPE, &attr, &in, 1, NULL, out, err);
}

/* ---- x[...] ------------------------------------------------------------------------------------ */

static bool has_class(const json_t *item, const char *name)
{
    const char *class_name = json_string_value(json_object_get(item, "class_name"));
    return class_name && strcmp(class_name, name) == 0;
}

/* The object with start, stop and step, NULL if the item is no slice of plain numbers. */
static const json_t *slice_of(const json_t *item)
{
    static const char *const keys[] = {"start", "stop", "step"};
    const json_t *slice = has_class(item, "__slice__") ? json_object_get(item, "config") : item;
    if (!json_is_object(slice) || json_object_get(slice, "class_name"))
        return NULL;
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_object_get(slice, keys[i]);
        if (value && !json_is_null(value) && !json_is_integer(value))
            return NULL;
    }
    return slice;
}

/* start or stop on an axis of n elements, Python's way; `fallback` where it is null. */
static int64_t clamp_index(const json_t *value, int64_t n, int64_t low, int64_t high, int64_t fallback)
{
    if (!json_is_integer(value))
        return fallback;
    int64_t i = json_integer_value(value);
    i = i < 0 ? i + n : i;
    return i < low ? low : i > high ? high : i;
}

/* One item on axis `at` of n elements: an index (the axis goes) or a slice. */
static ng_status read_item(const ngi_building_layer *l, const json_t *item, int at, int64_t n, ngi_attr *attr,
                           bool *drop, ng_error *err)
{
    if (json_is_integer(item)) {
        int64_t i = json_integer_value(item);
        attr->begin[at] = i < 0 ? i + n : i;
        attr->extent[at] = 1;
        *drop = true;
        return NG_OK;
    }
    const json_t *slice = slice_of(item), *step_value = json_object_get(slice, "step");
    int64_t step = json_is_integer(step_value) ? json_integer_value(step_value) : 1;
    if (!slice)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: an index that is neither a number nor a slice is not read", l->where);
    if (step == 0 || step > INT32_MAX || step < -INT32_MAX)
        return ngi_fail(err, NG_E_FORMAT, "%s: a slice of step %lld", l->where, (long long)step);
    bool up = step > 0;
    int64_t begin =
        clamp_index(json_object_get(slice, "start"), n, up ? 0 : -1, up ? n : n - 1, up ? 0 : n - 1);
    int64_t end = clamp_index(json_object_get(slice, "stop"), n, up ? 0 : -1, up ? n : n - 1, up ? n : -1);
    int64_t count = up ? (end - begin + step - 1) / step : (begin - end - step - 1) / -step;
    if (count < 1)
        return ngi_fail(err, NG_E_SHAPE, "%s: an empty slice", l->where);
    attr->begin[at] = begin;
    attr->step[at] = step;
    attr->extent[at] = count;
    return NG_OK;
}

/* Fills begin, step and extent; `drop` marks axes that an index removes. */
static ng_status read_items(const ngi_building_layer *l, const json_t *items, const ngi_shape *shape,
                            ngi_attr *attr, bool drop[NGI_MAX_RANK], ng_error *err)
{
    int axis = 0; /* with batch */
    bool open = false;
    size_t n = json_array_size(items);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(items, i);
        if (has_class(item, "__ellipsis__") && !open) {
            open = true;
            axis = shape->rank + 1 - (int)(n - i - 1);
            continue;
        }
        if (axis < 0 || axis > shape->rank)
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: %zu indices for %d dimensions", l->where, n,
                            shape->rank + 1);
        if (axis > 0)
            NGI_TRY(read_item(l, item, axis - 1, shape->dim[axis - 1], attr, &drop[axis - 1], err));
        else {
            const json_t *slice = slice_of(item), *step = json_object_get(slice, "step");
            if (!slice || json_is_integer(json_object_get(slice, "start")) ||
                json_is_integer(json_object_get(slice, "stop")) ||
                (json_is_integer(step) && json_integer_value(step) != 1))
                return ngi_fail(err, NG_E_UNSUPPORTED, "%s: takes images out of the batch, which is not run",
                                l->where);
        }
        axis++;
    }
    return NG_OK;
}

ng_status ngi_lower_op_getitem(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    int in = -1;
    NGI_TRY(take_input(l, call, &in, err));
    const json_t *items = parameter(l, call, 1, "key", "slice_spec");
    const ngi_shape shape = b->graph->nodes[in].shape;
    bool drop[NGI_MAX_RANK] = {false};
    ngi_attr attr;
    ngi_attr_init(&attr);
    if (!json_is_array(items) || call->n_args > 2)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: this indexing is not read", l->where);
    NGI_TRY(read_items(l, items, &shape, &attr, drop, err));
    ngi_shape kept = {0};
    for (int i = 0; i < shape.rank; i++)
        if (!drop[i])
            kept.dim[kept.rank++] = attr.extent[i] < 0 ? shape.dim[i] : attr.extent[i];
    bool dropped = kept.rank < shape.rank;
    NGI_TRY(ngi_layer_node(b, l, dropped ? "slice" : NULL, NGI_OP_SLICE, &attr, &in, 1, NULL, out, err));
    return dropped ? reshape_node(b, l, NULL, &kept, *out, out, err) : NG_OK;
}

/* ---- Joining ----------------------------------------------------------------------------------- */

/* Where `node` is x[..., i]: x and i, else -1. */
static int channel_pick(const ngi_graph *g, int node, int64_t *index)
{
    const ngi_node *reshape = &g->nodes[node];
    if (reshape->op != NGI_OP_RESHAPE || g->nodes[reshape->inputs[0]].op != NGI_OP_SLICE)
        return -1;
    const ngi_node *slice = &g->nodes[reshape->inputs[0]];
    int last = slice->shape.rank - 1;
    const ngi_shape *from = &g->nodes[slice->inputs[0]].shape;
    if (reshape->shape.rank != last || slice->attr.extent[last] != 1)
        return -1;
    for (int i = 0; i < last; i++)
        if (slice->shape.dim[i] != from->dim[i] || reshape->shape.dim[i] != from->dim[i] ||
            slice->attr.step[i] != 1)
            return -1;
    *index = slice->attr.begin[last];
    return slice->inputs[0];
}

/* stack([x[..., 2], x[..., 1], x[..., 0]]), which Keras 3's preprocess_input writes for x[..., ::-1], is one slice again. */
static ng_status stack_of_channels(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call,
                                   int axis, bool *done, int *out, ng_error *err)
{
    int64_t first = 0, index = 0, step = 0;
    *done = false;
    if (call->n_args < 2)
        return NG_OK;
    int source = channel_pick(b->graph, call->args[0].node, &first);
    if (source < 0 || channel_pick(b->graph, call->args[1].node, &index) != source)
        return NG_OK;
    int last = b->graph->nodes[source].shape.rank - 1;
    step = index - first;
    for (int i = 0; i < call->n_args; i++)
        if (channel_pick(b->graph, call->args[i].node, &index) != source || index != first + i * step)
            return NG_OK;
    if (axis != last || step == 0)
        return NG_OK;
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.begin[last] = first;
    attr.step[last] = step;
    attr.extent[last] = call->n_args;
    *done = true;
    return ngi_layer_node(b, l, NULL, NGI_OP_SLICE, &attr, &source, 1, NULL, out, err);
}

static ng_status check_tensors(const ngi_building_layer *l, const ngi_call *call, ng_error *err)
{
    for (int i = 0; i < call->n_args; i++)
        if (call->args[i].node < 0)
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: has a constant among its inputs, which is not read",
                            l->where);
    if (call->n_args < 1)
        return ngi_fail(err, NG_E_FORMAT, "%s: has no inputs", l->where);
    return NG_OK;
}

ng_status ngi_lower_op_stack(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    int axis = 0, inputs[NGI_MAX_INPUTS];
    bool done = false;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(check_tensors(l, call, err));
    ngi_shape wide = b->graph->nodes[call->args[0].node].shape;
    NGI_TRY(read_axis(l, parameter(l, call, NGI_MAX_INPUTS, "axis", NULL), 0, wide.rank, 1, &axis, err));
    if (wide.rank == NGI_MAX_RANK)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: more than %d dimensions", l->where, NGI_MAX_RANK);
    NGI_TRY(stack_of_channels(b, l, call, axis, &done, out, err));
    if (done)
        return NG_OK;
    memmove(wide.dim + axis + 1, wide.dim + axis, (size_t)(wide.rank - axis) * sizeof *wide.dim);
    wide.dim[axis] = 1;
    wide.rank++;
    for (int i = 0; i < call->n_args; i++) {
        char suffix[32];
        snprintf(suffix, sizeof suffix, "part_%d", i);
        NGI_TRY(reshape_node(b, l, suffix, &wide, call->args[i].node, &inputs[i], err));
    }
    attr.axis = axis;
    return ngi_layer_node(b, l, NULL, NGI_OP_CONCAT, &attr, inputs, call->n_args, NULL, out, err);
}

ng_status ngi_lower_op_concat(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    int inputs[NGI_MAX_INPUTS];
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(check_tensors(l, call, err));
    for (int i = 0; i < call->n_args; i++)
        inputs[i] = call->args[i].node;
    NGI_TRY(read_axis(l, parameter(l, call, NGI_MAX_INPUTS, "axis", NULL), 0,
                      b->graph->nodes[call->args[0].node].shape.rank, 0, &attr.axis, err));
    return ngi_layer_node(b, l, NULL, NGI_OP_CONCAT, &attr, inputs, call->n_args, NULL, out, err);
}

/* ---- Shapes ------------------------------------------------------------------------------------ */

ng_status ngi_lower_op_reshape(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    int in = -1;
    NGI_TRY(take_input(l, call, &in, err));
    const json_t *list = parameter(l, call, 1, "newshape", "shape");
    const json_t *batch = json_array_get(list, 0);
    size_t n = json_array_size(list);
    ngi_shape target = {0};
    if (n < 1 || n > NGI_MAX_RANK + 1 || !(json_is_null(batch) || json_integer_value(batch) == -1))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: a target shape that does not keep the batch ([-1, ...]) is not run", l->where);
    for (size_t i = 1; i < n; i++)
        if (!ngi_json_to_int(json_array_get(list, i), -1, INT32_MAX, &target.dim[target.rank++]))
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: dimension %zu of the target shape is not a number",
                            l->where, i);
    return reshape_node(b, l, NULL, &target, in, out, err);
}

ng_status ngi_lower_op_transpose(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                 ng_error *err)
{
    int in = -1;
    int64_t from;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(take_input(l, call, &in, err));
    const json_t *axes = parameter(l, call, 1, "axes", "perm");
    int rank = b->graph->nodes[in].shape.rank;
    bool fine = json_array_size(axes) == (size_t)rank + 1;
    for (int i = 0; i <= rank && fine; i++) {
        fine = ngi_json_to_int(json_array_get(axes, (size_t)i), -rank - 1, rank, &from);
        from = fine && from < 0 ? from + rank + 1 : from;
        fine = fine && (from == 0) == (i == 0);
        if (i > 0 && fine)
            attr.permutation[i - 1] = (int)from - 1;
    }
    if (!fine)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: an order of axes that does not keep the batch first is not run", l->where);
    return ngi_layer_node(b, l, NULL, NGI_OP_PERMUTE, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_op_expand(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    int in = -1, axis = 0;
    NGI_TRY(take_input(l, call, &in, err));
    ngi_shape s = b->graph->nodes[in].shape;
    NGI_TRY(read_axis(l, parameter(l, call, 1, "axis", NULL), 0, s.rank, 1, &axis, err));
    if (s.rank == NGI_MAX_RANK)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: more than %d dimensions", l->where, NGI_MAX_RANK);
    memmove(s.dim + axis + 1, s.dim + axis, (size_t)(s.rank - axis) * sizeof *s.dim);
    s.dim[axis] = 1;
    s.rank++;
    return reshape_node(b, l, NULL, &s, in, out, err);
}

ng_status ngi_lower_op_squeeze(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                               ng_error *err)
{
    int in = -1, axis = 0;
    bool gone[NGI_MAX_RANK] = {false};
    NGI_TRY(take_input(l, call, &in, err));
    const ngi_shape s = b->graph->nodes[in].shape;
    const json_t *axes = parameter(l, call, 1, "axis", NULL);
    size_t n = json_is_array(axes) ? json_array_size(axes) : 1;
    if (!axes || json_is_null(axes))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: squeeze without an axis is not run", l->where);
    for (size_t i = 0; i < n; i++) {
        NGI_TRY(read_axis(l, json_is_array(axes) ? json_array_get(axes, i) : axes, 0, s.rank, 0, &axis, err));
        gone[axis] = true;
    }
    ngi_shape kept = {0};
    for (int i = 0; i < s.rank; i++)
        if (!gone[i])
            kept.dim[kept.rank++] = s.dim[i];
    return reshape_node(b, l, NULL, &kept, in, out, err);
}

ng_status ngi_lower_op_cast(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(take_input(l, call, &in, err));
    const char *type = json_string_value(parameter(l, call, 1, "dtype", NULL));
    if (!type || (strncmp(type, "float", 5) != 0 && strcmp(type, "bfloat16") != 0))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a cast to '%.40s' is not run; casts to float types are",
                        l->where, type ? type : "?");
    return ngi_layer_node(b, l, NULL, NGI_OP_IDENTITY, &attr, &in, 1, NULL, out, err);
}

/* ---- Reducing, padding, resizing --------------------------------------------------------------- */

/* Over height and width. */
static ng_status reduce(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_op op,
                        int *out, ng_error *err)
{
    int in = -1, axis = -1;
    bool seen[NGI_MAX_RANK] = {false};
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(take_input(l, call, &in, err));
    int rank = b->graph->nodes[in].shape.rank;
    const json_t *axes = parameter(l, call, 1, "axis", NULL), *keep = parameter(l, call, 2, "keepdims", NULL);
    for (size_t i = 0; i < json_array_size(axes); i++) {
        NGI_TRY(read_axis(l, json_array_get(axes, i), 0, rank, 0, &axis, err));
        seen[axis] = true;
    }
    if (rank != 3 || !seen[0] || !seen[1] || seen[2])
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: reduces other axes than height and width ([1, 2]), which is not run", l->where);
    attr.keepdims = json_is_true(keep);
    return ngi_layer_node(b, l, NULL, op, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_op_mean(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                            ng_error *err)
{
    return reduce(b, l, call, NGI_OP_GLOBAL_AVG, out, err);
}

ng_status ngi_lower_op_max(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                           ng_error *err)
{
    return reduce(b, l, call, NGI_OP_GLOBAL_MAX, out, err);
}

/* [[0, 0], [top, bottom], [left, right], [0, 0]] of zeros. */
ng_status ngi_lower_op_pad(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                           ng_error *err)
{
    int in = -1;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(take_input(l, call, &in, err));
    const json_t *pairs = parameter(l, call, 1, "pad_width", "paddings");
    const json_t *fill = parameter(l, call, NGI_MAX_INPUTS, "constant_values", NULL);
    const char *mode = json_string_value(parameter(l, call, NGI_MAX_INPUTS, "mode", NULL));
    int64_t v[8] = {0};
    bool fine = json_array_size(pairs) == 4 && (!mode || strcasecmp(mode, "constant") == 0) &&
                (!fill || json_is_null(fill) || (json_is_number(fill) && json_number_value(fill) == 0));
    for (size_t i = 0; i < 8 && fine; i++)
        fine = ngi_json_to_int(json_array_get(json_array_get(pairs, i / 2), i % 2), 0, 65536, &v[i]);
    if (!fine || v[0] || v[1] || v[6] || v[7])
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: only padding of height and width by zeros is run",
                        l->where);
    attr.pad = (ngi_pad){(int)v[2], (int)v[3], (int)v[4], (int)v[5]};
    return ngi_layer_node(b, l, NULL, NGI_OP_ZERO_PAD, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_op_resize(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                              ng_error *err)
{
    static const char *const refused[] = {"antialias", "pad_to_aspect_ratio", "preserve_aspect_ratio"};
    int in = -1;
    int64_t h = 0, w = 0;
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(take_input(l, call, &in, err));
    NGI_TRY(ngi_layer_channels_last(l, err));
    const json_t *size = parameter(l, call, 1, "size", NULL);
    const char *method = json_string_value(parameter(l, call, 2, "interpolation", "method"));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (json_is_true(parameter(l, call, NGI_MAX_INPUTS, refused[i], NULL)))
            return ngi_fail(err, NG_E_UNSUPPORTED, "%s: %s is not run; resize before the network instead",
                            l->where, refused[i]);
    attr.bilinear = !method || strcmp(method, "bilinear") == 0;
    if ((!attr.bilinear && strcmp(method, "nearest") != 0) || json_array_size(size) != 2 ||
        !ngi_json_to_int(json_array_get(size, 0), 1, 65536, &h) ||
        !ngi_json_to_int(json_array_get(size, 1), 1, 65536, &w))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: only bilinear and nearest resizing to two fixed numbers is run", l->where);
    attr.crop_to_aspect = json_is_true(parameter(l, call, NGI_MAX_INPUTS, "crop_to_aspect_ratio", NULL));
    attr.size_h = (int)h;
    attr.size_w = (int)w;
    return ngi_layer_node(b, l, NULL, NGI_OP_RESIZE, &attr, &in, 1, NULL, out, err);
}
