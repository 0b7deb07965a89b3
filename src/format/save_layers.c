/* Layer classes in files that are written: the class that stands for each in the targets that have it, and the settings that
 * all of them know. Initialisers are left out: the weights are there. */
#include "format/save_model.h"

#include <string.h>

#define K3   NGI_DIALECT_KERAS3
#define K2   NGI_DIALECT_KERAS2
#define JS   NGI_DIALECT_TFJS
#define ALL  (K3 | K2 | JS)
#define BOTH (K3 | K2)

#define AROUND "bias_regularizer bias_constraint activity_regularizer use_bias activation"
#define KERNEL "kernel_regularizer kernel_constraint " AROUND
#define WINDOW "strides padding data_format dilation_rate "

typedef struct save_row {
    const char *class_name, *written; /* NULL: the same */
    unsigned targets;
    const char *keys; /* of the configuration, by spaces */
} save_row;

static const save_row rows[] = {
    {"Conv2D", NULL, ALL, "filters kernel_size groups " WINDOW KERNEL},
    {"Convolution2D", "Conv2D", ALL, "filters kernel_size groups " WINDOW KERNEL},
    {"SeparableConv2D", NULL, ALL,
     "filters kernel_size depth_multiplier depthwise_regularizer pointwise_regularizer depthwise_constraint "
     "pointwise_constraint " WINDOW AROUND},
    {"SeparableConvolution2D", "SeparableConv2D", ALL,
     "filters kernel_size depth_multiplier depthwise_regularizer pointwise_regularizer depthwise_constraint "
     "pointwise_constraint " WINDOW AROUND},
    {"DepthwiseConv2D", NULL, ALL,
     "kernel_size depth_multiplier depthwise_regularizer depthwise_constraint " WINDOW AROUND},
    {"Dense", NULL, ALL, "units " KERNEL},
    {"BatchNormalization", NULL, ALL,
     "axis momentum epsilon center scale beta_regularizer gamma_regularizer beta_constraint "
     "gamma_constraint"},
    {"BatchNormalizationV1", "BatchNormalization", ALL, "axis momentum epsilon center scale"},
    {"BatchNormalizationV2", "BatchNormalization", ALL, "axis momentum epsilon center scale"},
    {"SyncBatchNormalization", "BatchNormalization", ALL, "axis momentum epsilon center scale"},
    {"LayerNormalization", NULL, ALL,
     "axis epsilon center scale rms_scaling beta_regularizer gamma_regularizer beta_constraint "
     "gamma_constraint"},
    {"Rescaling", NULL, ALL, "scale offset"},
    {"Activation", NULL, ALL, "activation"},
    {"PReLU", NULL, ALL, "shared_axes alpha_regularizer alpha_constraint"},
    {"ELU", NULL, ALL, "alpha"},
    {"Softmax", NULL, ALL, "axis"},
    {"MaxPooling2D", NULL, ALL, "pool_size strides padding data_format"},
    {"MaxPool2D", "MaxPooling2D", ALL, "pool_size strides padding data_format"},
    {"AveragePooling2D", NULL, ALL, "pool_size strides padding data_format"},
    {"AvgPool2D", "AveragePooling2D", ALL, "pool_size strides padding data_format"},
    {"GlobalAveragePooling2D", NULL, ALL, "data_format keepdims"},
    {"GlobalAvgPool2D", "GlobalAveragePooling2D", ALL, "data_format keepdims"},
    {"GlobalMaxPooling2D", NULL, ALL, "data_format keepdims"},
    {"GlobalMaxPool2D", "GlobalMaxPooling2D", ALL, "data_format keepdims"},
    {"Flatten", NULL, ALL, "data_format"},
    {"Reshape", NULL, ALL, "target_shape"},
    {"Permute", NULL, ALL, "dims"},
    {"ZeroPadding2D", NULL, ALL, "padding data_format"},
    {"Cropping2D", NULL, ALL, "cropping data_format"},
    {"UpSampling2D", NULL, ALL, "size data_format interpolation"},
    {"Resizing", NULL, BOTH, "height width interpolation crop_to_aspect_ratio"},
    {"CenterCrop", NULL, BOTH, "height width"},
    {"RandomCrop", NULL, BOTH, "height width seed"},
    {"Add", NULL, ALL, ""},
    {"Subtract", NULL, BOTH, ""},
    {"Multiply", NULL, ALL, ""},
    {"Average", NULL, ALL, ""},
    {"Maximum", NULL, ALL, ""},
    {"Minimum", NULL, ALL, ""},
    {"Concatenate", NULL, ALL, "axis"},
    {"Dropout", NULL, ALL, "rate noise_shape seed"},
    {"FixedDropout", "Dropout", ALL, "rate noise_shape seed"},
    {"SpatialDropout1D", NULL, ALL, "rate seed"},
    {"SpatialDropout2D", NULL, BOTH, "rate seed data_format"},
    {"AlphaDropout", NULL, ALL, "rate noise_shape seed"},
    {"GaussianDropout", NULL, ALL, "rate seed"},
    {"GaussianNoise", NULL, ALL, "stddev seed"},
    {"ActivityRegularization", NULL, BOTH, "l1 l2"},
    {"RandomBrightness", NULL, BOTH, "factor value_range seed"},
    {"RandomContrast", NULL, BOTH, "factor seed"},
    {"RandomFlip", NULL, BOTH, "mode seed"},
    {"RandomRotation", NULL, BOTH, "factor fill_mode fill_value interpolation seed"},
    {"RandomTranslation", NULL, BOTH, "height_factor width_factor fill_mode fill_value interpolation seed"},
    {"RandomZoom", NULL, BOTH, "height_factor width_factor fill_mode fill_value interpolation seed"},
};

/* ---- Settings ---------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A number, also where some Keras versions write a NumPy scalar. */
static double number_of(const json_t *value)
{
    const json_t *inner = json_object_get(json_object_get(value, "config"), "value");
    return json_number_value(inner ? inner : value);
}

/* L1, L2 and L1L2 as L1L2, which all targets have; someone's own are left out: they are for training only. */
static json_t *regularizer(const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "class_name"));
    const json_t *config = json_object_get(value, "config");
    if (!name || (strcmp(name, "L1L2") != 0 && strcmp(name, "L1") != 0 && strcmp(name, "L2") != 0))
        return json_null();
    return json_pack("{s:s, s:{s:f, s:f}}", "class_name", "L1L2", "config", "l1",
                     number_of(json_object_get(config, "l1")), "l2",
                     number_of(json_object_get(config, "l2")));
}

static json_t *constraint(const json_t *value)
{
    static const char *const names[] = {"MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"};
    const char *name = json_string_value(json_object_get(value, "class_name"));
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(ngi_plain_class(name), names[i]) == 0) {
            json_t *config = json_deep_copy(json_object_get(value, "config"));
            return json_pack("{s:s, s:o}", "class_name", names[i], "config", config ? config : json_object());
        }
    return json_null();
}

/* The numbers of a layer that Keras 3 wrote as objects, as plain numbers and lists. */
static json_t *setting(const char *key, const json_t *value)
{
    if (ends_with(key, "_regularizer"))
        return regularizer(value);
    if (ends_with(key, "_constraint"))
        return constraint(value);
    const json_t *items = json_object_get(value, "items"), *inner = json_object_get(value, "config");
    if (json_is_array(items)) /* {"class_name": "__tuple__", "items": [...]} */
        return json_deep_copy(items);
    if (json_object_get(inner, "value"))
        return json_deep_copy(json_object_get(inner, "value"));
    return json_deep_copy(value);
}

/* Takes over the settings that the row lists. */
static ng_status copy_settings(const char *keys, const json_t *from, json_t *to, ng_error *err)
{
    while (*keys) {
        size_t n = strcspn(keys, " ");
        char key[64];
        if (n >= sizeof key)
            return ngi_fail(err, NG_E_INTERNAL, "a setting's name is too long: %s", keys);
        memcpy(key, keys, n);
        key[n] = '\0';
        keys += n + (keys[n] == ' ');
        const json_t *value = json_object_get(from, key);
        if (value && json_object_set_new(to, key, setting(key, value)) != 0)
            return ngi_fail_memory(err, 64);
    }
    return NG_OK;
}

/* ---- Activations ------------------------------------------------------------------------------- */

/* Plain forms: the parameters that the bare name stands for. */
static bool is_plain(const ngi_activation_attr *a)
{
    switch (a->kind) {
    case NGI_ACT_RELU:
        return a->alpha == 0 && a->threshold == 0 && !(a->max_value < 3.4e38f);
    case NGI_ACT_ELU:
    case NGI_ACT_CELU:
        return a->alpha == 1;
    case NGI_ACT_LEAKY_RELU:
        return a->alpha == 0.2f;
    case NGI_ACT_SOFT_SHRINK:
    case NGI_ACT_HARD_SHRINK:
        return a->threshold == 0.5f;
    case NGI_ACT_SQUAREPLUS:
        return a->alpha == 4;
    default:
        return a->kind != NGI_ACT_THRESHOLD;
    }
}

const char *ngi_save_activation(ngi_dialect dialect, const ngi_node *node)
{
    static const ngi_activation everywhere[] = {
        NGI_ACT_LINEAR, NGI_ACT_RELU,     NGI_ACT_SIGMOID,  NGI_ACT_TANH,        NGI_ACT_ELU,
        NGI_ACT_SELU,   NGI_ACT_SOFTPLUS, NGI_ACT_SOFTSIGN, NGI_ACT_EXPONENTIAL, NGI_ACT_MISH};
    const ngi_activation_attr *a = &node->attr.act;
    if (node->op == NGI_OP_SOFTMAX)
        return node->attr.axis == node->shape.rank - 1 ? "softmax" : NULL;
    if (node->op == NGI_OP_IDENTITY)
        return "linear";
    if (node->op != NGI_OP_ACTIVATION || !is_plain(a))
        return NULL;
    if (a->kind == NGI_ACT_SILU)
        return dialect == K3 ? "silu" : "swish";
    if (a->kind == NGI_ACT_HARD_SIGMOID_2)
        return dialect == JS ? "hard_sigmoid" : NULL; /* what Keras 2 and 3 compute under this name differs */
    if (a->kind == NGI_ACT_GELU)
        return "gelu";
    if (a->kind == NGI_ACT_GELU_TANH)
        return NULL;
    if (dialect == K3)
        return ngi_activation_name(a->kind);
    if (dialect == JS && a->kind == NGI_ACT_EXPONENTIAL)
        return NULL;
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
        if (everywhere[i] == a->kind)
            return ngi_activation_name(a->kind);
    return NULL;
}

/* Puts in the activation, "linear" where the target has no name for it (and the nodes of a layer that is one are written). */
static ng_status write_activation(const ngi_flat *f, const ngi_traced_call *call, json_t *config, bool *known,
                                  ng_error *err)
{
    const ngi_node *last = &f->source->graph->nodes[call->first_node + call->n_nodes - 1];
    bool whole = call->n_nodes == 1 && strcmp(call->layer->leaf.class_name, "Activation") == 0;
    bool is_one = last->op == NGI_OP_ACTIVATION || last->op == NGI_OP_SOFTMAX;
    const char *name = is_one ? ngi_save_activation(f->dialect, last) : "linear";
    const json_t *read = json_object_get(call->layer->leaf.config, "activation");
    if (!json_object_get(config, "activation") && !whole)
        return NG_OK;
    json_t *value = NULL;
    if (!name && f->dialect == K3 && !f->source->keras2 && read)
        value = json_deep_copy(read);
    else {
        *known = *known && (name || !whole);
        value = json_string(name ? name : "linear");
    }
    return json_object_set_new(config, "activation", value) == 0 ? NG_OK : ngi_fail_memory(err, 64);
}

/* ---- Layers ------------------------------------------------------------------------------------ */

static bool flag(const json_t *config, const char *key)
{
    return json_is_true(json_object_get(config, key));
}

static bool is_dilated(const ngi_flat *f, const ngi_traced_call *call)
{
    const ngi_attr *a = &f->source->graph->nodes[call->first_node].attr;
    return a->dilation_h > 1 || a->dilation_w > 1;
}

/* What TensorFlow.js has under the same name, but computes in another way or not with these settings. */
static bool differs_in_tfjs(const ngi_flat *f, const ngi_traced_call *call, const char *class_name)
{
    const json_t *config = call->layer->leaf.config;
    const char *interpolation = json_string_value(json_object_get(config, "interpolation"));
    const ngi_node *node = &f->source->graph->nodes[call->first_node];
    if (flag(config, "keepdims") || json_integer_value(json_object_get(config, "groups")) > 1)
        return true;
    if (strcmp(class_name, "DepthwiseConv2D") == 0 && is_dilated(f, call))
        return true;
    if (strcmp(class_name, "ELU") == 0)
        return node->attr.act.alpha != 1;
    if (strcmp(class_name, "Softmax") == 0)
        return node->attr.axis != node->shape.rank - 1;
    return strcmp(class_name, "UpSampling2D") == 0 && interpolation && strcmp(interpolation, "bilinear") == 0;
}

static bool differs(const ngi_flat *f, const ngi_traced_call *call, const char *class_name)
{
    if (f->dialect == JS)
        return differs_in_tfjs(f, call, class_name) || flag(call->layer->leaf.config, "rms_scaling");
    return f->dialect == K2 && flag(call->layer->leaf.config, "rms_scaling");
}

/* Settings that have other names or forms. */
static ng_status adapt(const ngi_flat *f, const ngi_traced_call *call, const char *class_name, json_t *config,
                       ng_error *err)
{
    int failed = 0;
    if (f->dialect == JS && strcmp(class_name, "Reshape") == 0) { /* a size left open stays unknown there */
        const ngi_shape *shape = &f->source->graph->nodes[call->output].shape;
        json_t *target = json_array();
        for (int i = 0; i < shape->rank; i++)
            failed |= json_array_append_new(target, json_integer(shape->dim[i]));
        failed |= json_object_set_new(config, "target_shape", target);
    }
    if (strcmp(class_name, "BatchNormalization") == 0)
        failed =
            json_object_set_new(config, "axis", json_integer(-1)); /* no other is run; Keras 2 wrote [3] */
    if (!flag(config, "rms_scaling")) /* the newest Keras 3 has another layer for it */
        json_object_del(config, "rms_scaling");
    if (f->dialect == JS)
        json_object_del(config, "keepdims");
    return failed ? ngi_fail_memory(err, 64) : NG_OK;
}

ng_status ngi_save_layer(ngi_flat *f, const ngi_traced_call *call, const char **class_name, json_t **config,
                         bool *known, ng_error *err)
{
    const ngi_building_layer *leaf = &call->layer->leaf;
    const save_row *row = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !row && !call->layer->is_op; i++)
        if (strcmp(rows[i].class_name, leaf->class_name) == 0)
            row = &rows[i];
    *known = row && (row->targets & (unsigned)f->dialect) && !differs(f, call, row->class_name);
    *config = NULL;
    if (!*known)
        return NG_OK;
    *class_name = row->written ? row->written : row->class_name;
    json_t *made = json_object();
    ng_status status = made ? copy_settings(row->keys, leaf->config, made, err) : ngi_fail_memory(err, 64);
    if (status == NG_OK)
        status = write_activation(f, call, made, known, err);
    if (status == NG_OK)
        status = adapt(f, call, *class_name, made, err);
    if (status == NG_OK && *known) {
        *config = made;
        return NG_OK;
    }
    json_decref(made);
    return status;
}
