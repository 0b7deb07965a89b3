/* The table of layer classes, and what all lowering functions use. */
#include "format/keras_build.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ngi_layer_row rows[] = {
    {"Conv2D", ngi_lower_conv2d},
    {"Convolution2D", ngi_lower_conv2d},
    {"SeparableConv2D", ngi_lower_separable},
    {"SeparableConvolution2D", ngi_lower_separable},
    {"DepthwiseConv2D", ngi_lower_depthwise},
    {"Dense", ngi_lower_dense},
    {"BatchNormalization", ngi_lower_batchnorm},
    {"BatchNormalizationV1", ngi_lower_batchnorm},
    {"SyncBatchNormalization", ngi_lower_batchnorm},
    {"LayerNormalization", ngi_lower_layernorm},
    {"Activation", ngi_lower_activation},
    {"ReLU", ngi_lower_relu},
    {"LeakyReLU", ngi_lower_leaky_relu},
    {"PReLU", ngi_lower_prelu},
    {"ELU", ngi_lower_elu},
    {"Softmax", ngi_lower_softmax},
    {"ThresholdedReLU", ngi_lower_thresholded_relu},
    {"MaxPooling2D", ngi_lower_max_pool},
    {"MaxPool2D", ngi_lower_max_pool},
    {"AveragePooling2D", ngi_lower_avg_pool},
    {"AvgPool2D", ngi_lower_avg_pool},
    {"GlobalAveragePooling2D", ngi_lower_global_avg},
    {"GlobalAvgPool2D", ngi_lower_global_avg},
    {"GlobalMaxPooling2D", ngi_lower_global_max},
    {"GlobalMaxPool2D", ngi_lower_global_max},
    {"Flatten", ngi_lower_flatten},
    {"Reshape", ngi_lower_reshape},
    {"Permute", ngi_lower_permute},
    {"ZeroPadding2D", ngi_lower_zero_pad},
    {"Cropping2D", ngi_lower_crop},
    {"UpSampling2D", ngi_lower_upsample},
    {"Resizing", ngi_lower_resizing},
    {"CenterCrop", ngi_lower_center_crop},
    {"Rescaling", ngi_lower_rescaling},
    {"Normalization", ngi_lower_normalization},
    {"Concatenate", ngi_lower_concat},
    {"Average", ngi_lower_average},
    {"Minimum", ngi_lower_minimum},
    /* Layers and Keras 3 op layers share these names; op layers may have constants. */
    {"Add", ngi_lower_op_add},
    {"Subtract", ngi_lower_op_subtract},
    {"Multiply", ngi_lower_op_multiply},
    {"Maximum", ngi_lower_maximum},
    {"TrueDivide", ngi_lower_op_divide},
    {"Divide", ngi_lower_op_divide},
    {"BiasAdd", ngi_lower_op_add},
    {"GetItem", ngi_lower_get_item},
    {"Stack", ngi_lower_stack},
    {"Relu", ngi_lower_op_activation},
    {"Relu6", ngi_lower_op_activation},
    {"Sigmoid", ngi_lower_op_activation},
    {"Silu", ngi_lower_op_activation},
    {"HardSigmoid", ngi_lower_op_activation},
    {"HardSilu", ngi_lower_op_activation},
    {"Tanh", ngi_lower_op_activation},
    {"TFOpLambda", ngi_lower_lambda_op},
    {"SlicingOpLambda", ngi_lower_slicing_op},
    /* Nothing happens at inference. */
    {"Dropout", ngi_lower_identity},
    {"SpatialDropout2D", ngi_lower_identity},
    {"AlphaDropout", ngi_lower_identity},
    {"GaussianDropout", ngi_lower_identity},
    {"GaussianNoise", ngi_lower_identity},
    {"ActivityRegularization", ngi_lower_identity},
    {"RandomFlip", ngi_lower_identity},
    {"RandomRotation", ngi_lower_identity},
    {"RandomZoom", ngi_lower_identity},
    {"RandomTranslation", ngi_lower_identity},
    {"RandomContrast", ngi_lower_identity},
    {"RandomBrightness", ngi_lower_identity},
    {"RandomHeight", ngi_lower_identity},
    {"RandomWidth", ngi_lower_identity},
    {"RandomHue", ngi_lower_identity},
    {"RandomSaturation", ngi_lower_identity},
    {"RandomSharpness", ngi_lower_identity},
    {"RandomShear", ngi_lower_identity},
    {"RandomGrayscale", ngi_lower_identity},
    {"RandomErasing", ngi_lower_identity},
    {"RandomColorJitter", ngi_lower_identity},
    {"RandomColorDegeneration", ngi_lower_identity},
    {"RandomPosterization", ngi_lower_identity},
    {"RandomGaussianBlur", ngi_lower_identity},
    {"RandomPerspective", ngi_lower_identity},
    {"RandomElasticTransform", ngi_lower_identity},
    {"RandomInvert", ngi_lower_identity},
    {"Cast", ngi_lower_identity},
};

const ngi_layer_row *ngi_layer_row_find(const char *class_name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].class_name, class_name) == 0)
            return &rows[i];
    return NULL;
}

ng_status ngi_call_input(const ngi_building_layer *l, const ngi_call *call, int *node, ng_error *err)
{
    if (call->n_args < 1 || call->args[0].node < 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: %d inputs, expected one tensor", l->where, call->n_args);
    *node = call->args[0].node;
    return NG_OK;
}

ng_status ngi_layer_weight(ngi_keras_builder *b, ngi_building_layer *l, int slot, const char *name, ngi_shape shape,
                           bool trainable, int *out, ng_error *err)
{
    if (slot < l->n_weights) { /* a later call of a shared layer */
        *out = l->weights[slot];
        char x[NGI_SHAPE_TEXT], y[NGI_SHAPE_TEXT];
        const ngi_shape *first = &b->graph->weights[*out].shape;
        if (!ngi_shape_equal(first, &shape))
            return ngi_fail(err, NG_E_SHAPE, "%s: %s was %s at the first call and would be %s at another", l->where, name,
                            ngi_shape_text(first, x), ngi_shape_text(&shape, y));
        return NG_OK;
    }
    char *path = ngi_sprintf("%s/%s", l->path, name);
    if (!path)
        return ngi_fail_memory(err, strlen(l->path));
    ng_status status = ngi_graph_add_weight(b->graph, path, &shape, trainable && l->trainable, NULL, out, err);
    ngi_free(path);
    if (status == NG_OK)
        l->weights[l->n_weights++] = *out;
    return status;
}

ng_status ngi_layer_constant(ngi_keras_builder *b, ngi_building_layer *l, const char *name, const double *values, int n,
                             int *out, ng_error *err)
{
    ngi_shape shape = ngi_shape_of(1, (int64_t)n);
    char *path = ngi_sprintf("%s/%s", l->path, name);
    if (!path)
        return ngi_fail_memory(err, strlen(l->path));
    ng_status status = ngi_graph_add_weight(b->graph, path, &shape, false, NULL, out, err);
    ngi_free(path);
    for (int i = 0; i < n && status == NG_OK; i++)
        b->graph->weights[*out].data[i] = (float)values[i];
    return status;
}

ng_status ngi_layer_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix, ngi_op op, const ngi_attr *attr,
                         const int *inputs, int n_inputs, const int weights[NGI_NODE_WEIGHTS], int *out, ng_error *err)
{
    char call[24] = "";
    if (l->calls)
        snprintf(call, sizeof call, ":%d", l->calls);
    char *name = ngi_sprintf("%s%s%s%s", l->path, suffix ? "/" : "", suffix ? suffix : "", call);
    if (!name)
        return ngi_fail_memory(err, strlen(l->path));
    ng_status status =
        ngi_graph_add_node(b->graph, name, op, attr, l->layer, inputs, n_inputs, weights, out, err);
    ngi_free(name);
    if (status == NG_OK)
        status = ngi_node_infer(b->graph, *out, err);
    return status;
}

ng_status ngi_layer_channels_last(const ngi_building_layer *l, ng_error *err)
{
    const char *format = NULL;
    NGI_TRY(ngi_json_string(l->config, "data_format", l->where, &format, err));
    if (format && strcmp(format, "channels_first") == 0)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: data_format is channels_first; only channels_last models are run. Rebuild "
                        "the model with data_format='channels_last' and load its weights, which have the same layout",
                        l->where);
    return NG_OK;
}

ng_status ngi_layer_axis(const ngi_building_layer *l, int64_t axis, int rank, int *out, ng_error *err)
{
    int64_t a = axis < 0 ? axis + rank + 1 : axis; /* Keras counts the batch */
    if (a < 1 || a > rank)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: axis %lld of a tensor of %d dimensions", l->where, (long long)axis,
                        rank + 1);
    *out = (int)a - 1;
    return NG_OK;
}

/* ---- Activations ------------------------------------------------------------------------------- */

/* The name in an activation's specification: "relu", {"class_name": "ReLU", "config": {...}}, a serialised function. */
static ng_status activation_name(const ngi_building_layer *l, const json_t *spec, const char **name, const json_t **config,
                                 ng_error *err)
{
    *config = NULL;
    *name = json_string_value(spec);
    if (!*name && json_is_object(spec)) {
        const json_t *inner = json_object_get(spec, "config");
        *name = json_string_value(inner); /* {"class_name": "function", "config": "relu"} */
        if (!*name) {
            *name = json_string_value(json_object_get(spec, "class_name"));
            *config = inner;
        }
    }
    if (!*name)
        return ngi_fail(err, NG_E_FORMAT, "%s: an activation without a name", l->where);
    const char *mark = strrchr(*name, '>');
    if (mark)
        *name = mark + 1;
    return NG_OK;
}

typedef struct activation_row {
    const char *name;
    ngi_activation kind;
    float alpha, threshold;
} activation_row;

/* Names that Keras uses beside those of NGI_ACTIVATION_LIST, and default parameters. */
static const activation_row activation_rows[] = {
    {"ReLU", NGI_ACT_RELU, 0, 0},
    {"swish", NGI_ACT_SILU, 0, 0},
    {"hard_swish", NGI_ACT_HARD_SILU, 0, 0},
    {"elu", NGI_ACT_ELU, 1, 0},
    {"celu", NGI_ACT_CELU, 1, 0},
    {"leaky_relu", NGI_ACT_LEAKY_RELU, 0.2f, 0},
    {"LeakyReLU", NGI_ACT_LEAKY_RELU, 0.3f, 0},
    {"soft_shrink", NGI_ACT_SOFT_SHRINK, 0, 0.5f},
    {"hard_shrink", NGI_ACT_HARD_SHRINK, 0, 0.5f},
    {"squareplus", NGI_ACT_SQUAREPLUS, 4, 0},
    {"log_sigmoid", NGI_ACT_LOG_SIGMOID, 0, 0},
    {"exponential", NGI_ACT_EXPONENTIAL, 0, 0},
};

/* Finds the kind and its default parameters. */
static bool find_activation(const ngi_keras_builder *b, const char *name, ngi_activation_attr *out)
{
    *out = (ngi_activation_attr){.max_value = INFINITY};
    if (strcmp(name, "hard_sigmoid") == 0) {
        out->kind = b->keras2 ? NGI_ACT_HARD_SIGMOID_2 : NGI_ACT_HARD_SIGMOID;
        return true;
    }
    for (size_t i = 0; i < sizeof activation_rows / sizeof *activation_rows; i++)
        if (strcmp(name, activation_rows[i].name) == 0) {
            out->kind = activation_rows[i].kind;
            out->alpha = activation_rows[i].alpha;
            out->threshold = activation_rows[i].threshold;
            return true;
        }
    for (int i = 0; i < NGI_ACT_COUNT; i++)
        if (strcmp(name, ngi_activation_name((ngi_activation)i)) == 0) {
            out->kind = (ngi_activation)i;
            return true;
        }
    return false;
}

static ng_status softmax_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix, int64_t axis, int in, int *out,
                              ng_error *err)
{
    ngi_attr attr;
    ngi_attr_init(&attr);
    NGI_TRY(ngi_layer_axis(l, axis, b->graph->nodes[in].shape.rank, &attr.axis, err));
    return ngi_layer_node(b, l, suffix, NGI_OP_SOFTMAX, &attr, &in, 1, NULL, out, err);
}

/* One activation node; `suffix` NULL where the layer is nothing else. */
static ng_status activation_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix, const json_t *spec, int in,
                                 int *out, ng_error *err)
{
    const char *name;
    const json_t *config;
    NGI_TRY(activation_name(l, spec, &name, &config, err));
    if (strcmp(name, "softmax") == 0 || strcmp(name, "Softmax") == 0)
        return softmax_node(b, l, suffix ? name : NULL, -1, in, out, err);
    ngi_attr attr;
    ngi_attr_init(&attr);
    if (!find_activation(b, name, &attr.act))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: the activation '%s' is not known; replace it by one that Keras names",
                        l->where, name);
    NGI_TRY(ngi_json_float(config, "alpha", l->where, &attr.act.alpha, err));
    NGI_TRY(ngi_json_float(config, "negative_slope", l->where, &attr.act.alpha, err));
    NGI_TRY(ngi_json_float(config, "max_value", l->where, &attr.act.max_value, err));
    NGI_TRY(ngi_json_float(config, "threshold", l->where, &attr.act.threshold, err));
    ngi_op op = attr.act.kind == NGI_ACT_LINEAR ? NGI_OP_IDENTITY : NGI_OP_ACTIVATION;
    return ngi_layer_node(b, l, suffix ? name : NULL, op, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_layer_activation(ngi_keras_builder *b, ngi_building_layer *l, const json_t *spec, int in, int *out,
                               ng_error *err)
{
    *out = in;
    if (!spec || json_is_null(spec))
        return NG_OK;
    const char *name;
    const json_t *config;
    NGI_TRY(activation_name(l, spec, &name, &config, err));
    if (strcmp(name, "linear") == 0)
        return NG_OK;
    return activation_node(b, l, "", spec, in, out, err);
}

ng_status ngi_lower_activation(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    return activation_node(b, l, NULL, json_object_get(l->config, "activation"), in, out, err);
}

ng_status ngi_lower_op_activation(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                  ng_error *err)
{
    static const char *const names[][2] = {{"Relu", "relu"},       {"Relu6", "relu6"},
                                           {"Sigmoid", "sigmoid"}, {"Silu", "silu"},
                                           {"Tanh", "tanh"},       {"HardSigmoid", "hard_sigmoid"},
                                           {"HardSilu", "hard_silu"}};
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    ngi_attr attr;
    ngi_attr_init(&attr);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(l->class_name, names[i][0]) == 0)
            (void)find_activation(b, names[i][1], &attr.act);
    return ngi_layer_node(b, l, NULL, NGI_OP_ACTIVATION, &attr, &in, 1, NULL, out, err);
}

/* A layer that is one activation with parameters under these keys. */
static ng_status parametric(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, ngi_activation kind,
                            float alpha, float threshold, int *out, ng_error *err)
{
    int in = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    ngi_attr attr;
    ngi_attr_init(&attr);
    attr.act.kind = kind;
    attr.act.alpha = alpha;
    attr.act.threshold = threshold;
    NGI_TRY(ngi_json_float(l->config, "alpha", l->where, &attr.act.alpha, err));
    NGI_TRY(ngi_json_float(l->config, "negative_slope", l->where, &attr.act.alpha, err));
    NGI_TRY(ngi_json_float(l->config, "max_value", l->where, &attr.act.max_value, err));
    NGI_TRY(ngi_json_float(l->config, kind == NGI_ACT_THRESHOLD ? "theta" : "threshold", l->where, &attr.act.threshold,
                           err));
    return ngi_layer_node(b, l, NULL, NGI_OP_ACTIVATION, &attr, &in, 1, NULL, out, err);
}

ng_status ngi_lower_relu(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    return parametric(b, l, call, NGI_ACT_RELU, 0, 0, out, err);
}

ng_status ngi_lower_leaky_relu(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    return parametric(b, l, call, NGI_ACT_LEAKY_RELU, 0.3f, 0, out, err);
}

ng_status ngi_lower_elu(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    return parametric(b, l, call, NGI_ACT_ELU, 1, 0, out, err);
}

ng_status ngi_lower_thresholded_relu(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                     ng_error *err)
{
    return parametric(b, l, call, NGI_ACT_THRESHOLD, 0, 1, out, err);
}

ng_status ngi_lower_softmax(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1, axis = -1;
    NGI_TRY(ngi_call_input(l, call, &in, err));
    const json_t *spec = json_object_get(l->config, "axis");
    if (json_is_array(spec) && json_array_size(spec) == 1)
        axis = (int)json_integer_value(json_array_get(spec, 0));
    else
        NGI_TRY(ngi_json_int(l->config, "axis", l->where, -NGI_MAX_RANK, NGI_MAX_RANK, &axis, err));
    return softmax_node(b, l, NULL, axis, in, out, err);
}

ng_status ngi_lower_prelu(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out, ng_error *err)
{
    int in = -1, w[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
    NGI_TRY(ngi_call_input(l, call, &in, err));
    ngi_shape shape = b->graph->nodes[in].shape;
    const json_t *shared = json_object_get(l->config, "shared_axes"), *axis;
    size_t i;
    json_array_foreach(shared, i, axis)
    {
        int at = 0;
        NGI_TRY(ngi_layer_axis(l, json_integer_value(axis), shape.rank, &at, err));
        shape.dim[at] = 1;
    }
    NGI_TRY(ngi_layer_weight(b, l, 0, "alpha", shape, true, &w[0], err));
    ngi_attr attr;
    ngi_attr_init(&attr);
    return ngi_layer_node(b, l, NULL, NGI_OP_PRELU, &attr, &in, 1, w, out, err);
}
