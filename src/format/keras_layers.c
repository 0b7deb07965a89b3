/* The tables of layer classes and of functions on tensors, and what all lowering functions use. */
#include "format/keras_build.h"

#include <string.h>

/* Sorted by kind, not by name. `true`: does something else in training. */
static const ngi_layer_row layer_rows[] = {
    {"Conv2D", ngi_lower_conv2d, false},
    {"Convolution2D", ngi_lower_conv2d, false},
    {"SeparableConv2D", ngi_lower_separable, false},
    {"SeparableConvolution2D", ngi_lower_separable, false},
    {"DepthwiseConv2D", ngi_lower_depthwise, false},
    {"Dense", ngi_lower_dense, false},
    {"BatchNormalization", ngi_lower_batchnorm, true},
    {"BatchNormalizationV1", ngi_lower_batchnorm, true},
    {"BatchNormalizationV2", ngi_lower_batchnorm, true},
    {"SyncBatchNormalization", ngi_lower_batchnorm, true},
    {"LayerNormalization", ngi_lower_layernorm, false},
    {"LayerScale", ngi_lower_layer_scale, false}, /* keras.applications.convnext */
    {"Normalization", ngi_lower_normalization, false},
    {"Rescaling", ngi_lower_rescaling, false},
    {"Activation", ngi_lower_activation, false},
    {"ReLU", ngi_lower_relu, false},
    {"LeakyReLU", ngi_lower_relu, false},
    {"PReLU", ngi_lower_prelu, false},
    {"ELU", ngi_lower_relu, false},
    {"Softmax", ngi_lower_softmax, false},
    {"ThresholdedReLU", ngi_lower_relu, false},
    {"MaxPooling2D", ngi_lower_max_pool, false},
    {"MaxPool2D", ngi_lower_max_pool, false},
    {"AveragePooling2D", ngi_lower_avg_pool, false},
    {"AvgPool2D", ngi_lower_avg_pool, false},
    {"GlobalAveragePooling2D", ngi_lower_global_avg, false},
    {"GlobalAvgPool2D", ngi_lower_global_avg, false},
    {"GlobalMaxPooling2D", ngi_lower_global_max, false},
    {"GlobalMaxPool2D", ngi_lower_global_max, false},
    {"Flatten", ngi_lower_flatten, false},
    {"Reshape", ngi_lower_reshape, false},
    {"Permute", ngi_lower_permute, false},
    {"ZeroPadding2D", ngi_lower_zero_pad, false},
    {"Cropping2D", ngi_lower_crop, false},
    {"UpSampling2D", ngi_lower_upsample, false},
    {"Resizing", ngi_lower_resizing, false},
    {"CenterCrop", ngi_lower_center_crop, false},
    {"RandomCrop", ngi_lower_random_crop, true},
    {"Add", ngi_lower_add, false},
    {"Subtract", ngi_lower_subtract, false},
    {"Multiply", ngi_lower_multiply, false},
    {"Average", ngi_lower_average, false},
    {"Maximum", ngi_lower_maximum, false},
    {"Minimum", ngi_lower_minimum, false},
    {"Concatenate", ngi_lower_concat, false},
    {"CustomScaleLayer", ngi_lower_scaled_sum, false}, /* keras.applications.inception_resnet_v2 */
    {"Lambda", ngi_lower_layer_lambda, false},         /* that of the same before; others are refused */
    /* Nothing happens at inference. */
    {"Identity", ngi_lower_identity, false},
    {"ActivityRegularization", ngi_lower_identity, false},
    {"Dropout", ngi_lower_identity, true},
    {"SpatialDropout1D", ngi_lower_identity, true},
    {"SpatialDropout2D", ngi_lower_identity, true},
    {"AlphaDropout", ngi_lower_identity, true},
    {"GaussianDropout", ngi_lower_identity, true},
    {"GaussianNoise", ngi_lower_identity, true},
    {"FixedDropout", ngi_lower_identity, true},    /* the efficientnet package */
    {"StochasticDepth", ngi_lower_identity, true}, /* keras.applications.convnext */
    {"RandomBrightness", ngi_lower_identity, true},
    {"RandomColorDegeneration", ngi_lower_identity, true},
    {"RandomColorJitter", ngi_lower_identity, true},
    {"RandomContrast", ngi_lower_identity, true},
    {"RandomElasticTransform", ngi_lower_identity, true},
    {"RandomErasing", ngi_lower_identity, true},
    {"RandomFlip", ngi_lower_identity, true},
    {"RandomGaussianBlur", ngi_lower_identity, true},
    {"RandomGrayscale", ngi_lower_identity, true},
    {"RandomHeight", ngi_lower_identity, true},
    {"RandomHue", ngi_lower_identity, true},
    {"RandomInvert", ngi_lower_identity, true},
    {"RandomPerspective", ngi_lower_identity, true},
    {"RandomPosterization", ngi_lower_identity, true},
    {"RandomRotation", ngi_lower_identity, true},
    {"RandomSaturation", ngi_lower_identity, true},
    {"RandomSharpness", ngi_lower_identity, true},
    {"RandomShear", ngi_lower_identity, true},
    {"RandomTranslation", ngi_lower_identity, true},
    {"RandomWidth", ngi_lower_identity, true},
    {"RandomZoom", ngi_lower_identity, true},
};

/* keras.ops of Keras 3, by class; TFOpLambda and SlicingOpLambda of Keras 2 carry the function's name in their
 * configuration (keras_layers_op.c). */
static const ngi_layer_row op_rows[] = {
    {"Add", ngi_lower_op_add, false},
    {"Subtract", ngi_lower_op_subtract, false},
    {"Multiply", ngi_lower_op_multiply, false},
    {"Divide", ngi_lower_op_divide, false},
    {"TrueDivide", ngi_lower_op_divide, false},
    {"Negative", ngi_lower_op_negative, false},
    {"Square", ngi_lower_op_square, false},
    {"Maximum", ngi_lower_op_maximum, false},
    {"Minimum", ngi_lower_op_minimum, false},
    {"Clip", ngi_lower_op_clip, false},
    {"GetItem", ngi_lower_op_getitem, false},
    {"Stack", ngi_lower_op_stack, false},
    {"Concatenate", ngi_lower_op_concat, false},
    {"Reshape", ngi_lower_op_reshape, false},
    {"Transpose", ngi_lower_op_transpose, false},
    {"ExpandDims", ngi_lower_op_expand, false},
    {"Squeeze", ngi_lower_op_squeeze, false},
    {"Mean", ngi_lower_op_mean, false},
    {"Max", ngi_lower_op_max, false},
    {"Pad", ngi_lower_op_pad, false},
    {"Resize", ngi_lower_op_resize, false},
    {"Cast", ngi_lower_op_cast, false},
    {"Identity", ngi_lower_identity, false},
    {"StopGradient", ngi_lower_identity, false},
    {"Relu", ngi_lower_op_activation, false},
    {"Relu6", ngi_lower_op_activation, false},
    {"LeakyRelu", ngi_lower_op_activation, false},
    {"Elu", ngi_lower_op_activation, false},
    {"Selu", ngi_lower_op_activation, false},
    {"Celu", ngi_lower_op_activation, false},
    {"Gelu", ngi_lower_op_activation, false},
    {"Silu", ngi_lower_op_activation, false},
    {"Softplus", ngi_lower_op_activation, false},
    {"Softsign", ngi_lower_op_activation, false},
    {"Sigmoid", ngi_lower_op_activation, false},
    {"HardSigmoid", ngi_lower_op_activation, false},
    {"HardSilu", ngi_lower_op_activation, false},
    {"HardTanh", ngi_lower_op_activation, false},
    {"LogSigmoid", ngi_lower_op_activation, false},
    {"Tanh", ngi_lower_op_activation, false},
    {"TanhShrink", ngi_lower_op_activation, false},
    {"SoftShrink", ngi_lower_op_activation, false},
    {"HardShrink", ngi_lower_op_activation, false},
    {"Threshold", ngi_lower_op_activation, false},
    {"Squareplus", ngi_lower_op_activation, false},
    {"SparsePlus", ngi_lower_op_activation, false},
    {"SparseSigmoid", ngi_lower_op_activation, false},
    {"Exp", ngi_lower_op_activation, false},
    {"Softmax", ngi_lower_softmax, false},
    {"TFOpLambda", ngi_lower_lambda, false},
    {"SlicingOpLambda", ngi_lower_lambda, false},
};

const ngi_layer_row *ngi_layer_row_find(const char *class_name, bool op)
{
    const ngi_layer_row *rows = op ? op_rows : layer_rows;
    size_t n = op ? sizeof op_rows / sizeof *op_rows : sizeof layer_rows / sizeof *layer_rows;
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].class_name, class_name) == 0)
            return &rows[i];
    return NULL;
}

/* ---- Arguments --------------------------------------------------------------------------------- */

ng_status ngi_call_input(const ngi_building_layer *l, const ngi_call *call, int *node, ng_error *err)
{
    if (call->n_args != 1 || call->args[0].node < 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: takes one tensor, is called with %d arguments", l->where,
                        call->n_args);
    *node = call->args[0].node;
    return NG_OK;
}

ngi_call_arg ngi_call_find(const ngi_building_layer *l, const ngi_call *call, int position,
                           const char *const keys[])
{
    if (position < call->n_args)
        return call->args[position];
    for (int k = 0; keys[k]; k++) {
        for (int i = 0; i < call->n_keywords; i++)
            if (strcmp(call->keywords[i].key, keys[k]) == 0)
                return call->keywords[i].arg;
        const json_t *own = json_object_get(l->config, keys[k]);
        if (own)
            return (ngi_call_arg){-1, own};
    }
    return (ngi_call_arg){-1, NULL};
}

/* ---- Weights and constants --------------------------------------------------------------------- */

/* A configuration may not ask for more than the files can hold, nor for more than a model may have. */
static ng_status count_values(ngi_keras_builder *b, const ngi_building_layer *l, const char *name,
                              const ngi_shape *shape, ng_error *err)
{
    char text[NGI_SHAPE_TEXT];
    int64_t n = ngi_shape_count(shape), most = NGI_MAX_MODEL_BYTES / sizeof(float);
    bool by_files = b->opts->max_values > 0 && b->opts->max_values < most;
    most = by_files ? b->opts->max_values : most;
    if (n < 0 || n > most - b->values)
        return by_files
                   ? ngi_fail(err, b->opts->input_height > 0 ? NG_E_SHAPE : NG_E_FORMAT,
                              "%s: the weight files hold too little for its weight '%s' of shape %s: "
                              "weights are missing, or they belong to another model",
                              l->where, name, ngi_shape_text(shape, text))
                   : ngi_fail(
                         err, NG_E_LIMIT,
                         "%s: its weight '%s' of shape %s is more than a model may have (8 GB of weights)",
                         l->where, name, ngi_shape_text(shape, text));
    b->values += n;
    return NG_OK;
}

static ng_status add_weight(ngi_keras_builder *b, const ngi_building_layer *l, const char *name,
                            const ngi_shape *shape, bool trainable, int *out, ng_error *err)
{
    char *path = ngi_sprintf("%s/%s", l->path, name);
    if (!path)
        return ngi_fail_memory(err, strlen(l->path));
    ng_status status = ngi_graph_add_weight(b->graph, path, shape, trainable && l->trainable, NULL, out, err);
    ngi_free(path);
    return status;
}

ng_status ngi_layer_weight(ngi_keras_builder *b, ngi_building_layer *l, int slot, const char *name,
                           ngi_shape shape, bool trainable, int *out, ng_error *err)
{
    char x[NGI_SHAPE_TEXT], y[NGI_SHAPE_TEXT];
    if (slot < l->n_weights) { /* a later call of a shared layer */
        *out = l->weights[slot];
        const ngi_shape *first = &b->graph->weights[*out].shape;
        if (!ngi_shape_equal(first, &shape))
            return ngi_fail(err, NG_E_SHAPE,
                            "%s: its weight '%s' is %s at its first call and would be %s at another",
                            l->where, name, ngi_shape_text(first, x), ngi_shape_text(&shape, y));
        return NG_OK;
    }
    NGI_TRY(count_values(b, l, name, &shape, err));
    NGI_TRY(add_weight(b, l, name, &shape, trainable, out, err));
    l->weights[l->n_weights++] = *out;
    return NG_OK;
}

ng_status ngi_layer_constant(ngi_keras_builder *b, ngi_building_layer *l, const char *name,
                             const double *values, int64_t n, int *out, ng_error *err)
{
    ngi_shape shape = ngi_shape_of(1, n);
    const bool later = b->graph->values_later;
    b->graph->values_later = false; /* the values are here, whatever sets those of the weights */
    ng_status status = add_weight(b, l, name, &shape, false, out, err);
    b->graph->values_later = later;
    NGI_TRY(status);
    b->graph->weights[*out].constant = true;
    for (int64_t i = 0; i < n; i++) {
        float value = (float)values[i];
        if (!(value - value == 0)) /* NaN or infinite */
            return ngi_fail(err, NG_E_FORMAT, "%s: its %s is not finite", l->where, name);
        b->graph->weights[*out].data[i] = value;
    }
    return NG_OK;
}

/* ---- Nodes ------------------------------------------------------------------------------------- */

ng_status ngi_layer_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix, ngi_op op,
                         const ngi_attr *attr, const int *inputs, int n_inputs,
                         const int weights[NGI_NODE_WEIGHTS], int *out, ng_error *err)
{
    char again[24] = ""; /* later calls of a shared layer: "conv:1", "conv:1/relu" */
    if (l->calls)
        snprintf(again, sizeof again, ":%d", l->calls);
    char *name = ngi_sprintf("%s%s%s%s", l->path, again, suffix ? "/" : "", suffix ? suffix : "");
    if (!name)
        return ngi_fail_memory(err, strlen(l->path));
    ng_status status =
        ngi_graph_add_node(b->graph, name, op, attr, l->layer, inputs, n_inputs, weights, out, err);
    ngi_free(name);
    NGI_TRY(status);
    status = ngi_node_infer(b->graph, *out, err);
    if (status != NG_OK)
        ngi_error_prefix(err, "%s", l->where);
    return status;
}

ng_status ngi_layer_affine(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix, int in,
                           const double *scale, int64_t n_scale, const double *offset, int64_t n_offset,
                           int *out, ng_error *err)
{
    int w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_layer_constant(b, l, "scale", scale, n_scale, &w[0], err));
    NGI_TRY(ngi_layer_constant(b, l, "offset", offset, n_offset, &w[1], err));
    return ngi_layer_node(b, l, suffix, NGI_OP_AFFINE, &attr, &in, 1, w, out, err);
}

/* ---- Fields ------------------------------------------------------------------------------------ */

ng_status ngi_layer_channels_last(const ngi_building_layer *l, ng_error *err)
{
    const char *format = "channels_last";
    NGI_TRY(ngi_json_string(l->config, "data_format", l->where, &format, err));
    if (strcmp(format, "channels_last") != 0 && strcmp(format, "NHWC") != 0)
        return ngi_fail(
            err, NG_E_UNSUPPORTED,
            "%s: data_format is '%.40s'; only channels_last models are run. Rebuild the model with "
            "data_format='channels_last'; convolution weights have the same layout in both",
            l->where, format);
    return NG_OK;
}

ng_status ngi_layer_axis(const ngi_building_layer *l, int64_t axis, int rank, int *out, ng_error *err)
{
    int64_t a = axis < 0 ? axis + rank + 1 : axis; /* Keras counts the batch */
    if (a < 1 || a > rank)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: axis %lld of a tensor of %d dimensions with the batch%s",
                        l->where, (long long)axis, rank + 1,
                        a == 0 ? ": the batch is not to be touched" : "");
    *out = (int)a - 1;
    return NG_OK;
}

ng_status ngi_layer_one_axis(const ngi_building_layer *l, int64_t fallback, int rank, int *out, ng_error *err)
{
    const json_t *spec = json_object_get(l->config, "axis");
    int64_t axis = fallback;
    if (json_is_array(spec) && json_array_size(spec) == 1)
        spec = json_array_get(spec, 0);
    if (spec && !json_is_null(spec) && !ngi_json_to_int(spec, -NGI_MAX_RANK - 1, NGI_MAX_RANK, &axis))
        return ngi_fail(err, json_is_array(spec) ? NG_E_UNSUPPORTED : NG_E_FORMAT,
                        "%s: \"axis\": expected one axis%s", l->where,
                        json_is_array(spec) ? ", found a list: several are not run" : "");
    return ngi_layer_axis(l, axis, rank, out, err);
}

/* ---- Numbers ----------------------------------------------------------------------------------- */

static int64_t count_numbers(const json_t *v)
{
    size_t i;
    json_t *item;
    int64_t sum = 0;
    if (json_is_number(v))
        return 1;
    if (!json_is_array(v))
        return -1;
    json_array_foreach(v, i, item)
    {
        int64_t n = count_numbers(item); /* as deep as the JSON, which is bounded */
        if (n < 0)
            return -1;
        sum += n;
    }
    return sum;
}

static void store_numbers(const json_t *v, double **at)
{
    size_t i;
    json_t *item;
    if (json_is_number(v))
        *(*at)++ = json_number_value(v);
    json_array_foreach(v, i, item) store_numbers(item, at);
}

ng_status ngi_numbers(const json_t *value, double **out, int64_t *n, ng_error *err)
{
    const json_t *config =
        json_object_get(value, "config"); /* {"class_name": "__tensor__", "config": {"value": ...}} */
    if (json_is_object(config))
        value = json_object_get(config, "value");
    *out = NULL;
    *n = count_numbers(value);
    if (*n <= 0) {
        *n = 0;
        return NG_OK;
    }
    double *at = *out = ngi_alloc((size_t)*n, sizeof **out);
    if (!*out)
        return ngi_fail_memory(err, (size_t)*n * sizeof **out);
    store_numbers(value, &at);
    return NG_OK;
}
