/* Layers that a target has not, written as layers that every target has: one or a few for each node that they were lowered to.
 * Functions on tensors of Keras 3 and Keras 2's TFOpLambda become Rescaling, Add, Reshape and the like; activations that are
 * named differently become sums of what they are made of. No weights of the model's own are in such nodes. */
#include "format/save_model.h"

#include <math.h>
#include <string.h>

/* A node being written. */
typedef struct writing {
    ngi_flat *f;
    const ngi_traced_call *call;
    const ngi_node *node;
    int pieces; /* made so far */
    bool last;  /* of the call */
} writing;

static const char *target_name(ngi_dialect dialect)
{
    switch (dialect) {
    case NGI_DIALECT_KERAS3:
        return "Keras 3";
    case NGI_DIALECT_KERAS2:
        return "Keras 2 and 3 alike (.h5)";
    default:
        return "TensorFlow.js";
    }
}

static ng_status refuse(const writing *w, const char *what, ng_error *err)
{
    return ngi_fail(err, NG_E_UNSUPPORTED,
                    "%s: cannot be written: %s has no layer for it (%s). %s the model before it",
                    w->call->layer->leaf.where, target_name(w->f->dialect), what,
                    w->f->dialect == NGI_DIALECT_KERAS3 ? "Cut" : "Save as .keras, or cut");
}

/* Appends a layer of class `class_name`, which is called once. The first piece has the name of the layer that it stands for. */
static ng_status put(writing *w, const char *class_name, json_t *config, const int *inputs, int n_inputs,
                     const ngi_shape *shape, int *out, ng_error *err)
{
    const ngi_building_layer *leaf = &w->call->layer->leaf;
    int part = (int)(w->node - w->f->source->graph->nodes) - w->call->first_node + w->pieces++, layer = -1;
    char *wish = part == 0 ? ngi_strdup(w->call->layer->name)
                           : ngi_sprintf("%s_%s", w->call->layer->name, ngi_op_name(w->node->op));
    char *path =
        part == 0 ? ngi_strdup(leaf->path) : ngi_sprintf("%s_%s", leaf->path, ngi_op_name(w->node->op));
    ng_status status = NG_OK;
    if (!wish || !path) {
        json_decref(config);
        status = ngi_fail_memory(err, strlen(leaf->path));
    } else
        status = ngi_flat_add_layer(w->f, wish, path, class_name, config, &layer, err);
    ngi_free(wish);
    ngi_free(path);
    NGI_TRY(status);
    w->f->layers[layer].trainable = leaf->trainable;
    w->f->layers[layer].takes_list = n_inputs > 1 || strcmp(class_name, "Concatenate") == 0;
    return ngi_flat_add_call(w->f, layer, inputs, n_inputs, shape, out, err);
}

static ng_status put_one(writing *w, const char *class_name, json_t *config, int in, int *out, ng_error *err)
{
    return put(w, class_name, config, &in, 1, &w->node->shape, out, err);
}

/* ---- Activations ------------------------------------------------------------------------------- */

static json_t *scaling(double scale, double offset)
{
    return json_pack("{s:f, s:f}", "scale", scale, "offset", offset);
}

/* min(max(scale x + offset, 0), most) */
static ng_status put_ramp(writing *w, double scale, double offset, double most, int in, int *out,
                          ng_error *err)
{
    NGI_TRY(put_one(w, "Rescaling", scaling(scale, offset), in, out, err));
    return put_one(w, "ReLU", json_pack("{s:f}", "max_value", most), *out, out, err);
}

static ng_status put_hard_silu(writing *w, int in, int *out, ng_error *err)
{
    int gate = -1;
    NGI_TRY(put_ramp(w, 1, 3, 6, in, &gate, err));
    NGI_TRY(put_one(w, "Rescaling", scaling(1.0 / 6, 0), gate, &gate, err));
    return put(w, "Multiply", json_object(), (int[]){in, gate}, 2, &w->node->shape, out, err);
}

/* TF.js's ReLU has a maximum only. */
static ng_status put_relu(writing *w, const ngi_activation_attr *a, int in, int *out, ng_error *err)
{
    bool bounded = isfinite(a->max_value);
    const char *slope = w->f->dialect == NGI_DIALECT_KERAS3 ? "negative_slope" : "alpha";
    if (!bounded && a->threshold == 0 && a->alpha != 0)
        return put_one(w, "LeakyReLU", json_pack("{s:f}", slope, (double)a->alpha), in, out, err);
    if (w->f->dialect == NGI_DIALECT_TFJS) {
        if (a->alpha != 0 || a->threshold != 0)
            return refuse(w, "ReLU with a maximum and a slope or a threshold", err);
        return put_one(w, "ReLU",
                       bounded ? json_pack("{s:f}", "max_value", (double)a->max_value) : json_object(), in,
                       out, err);
    }
    json_t *most = bounded ? json_real(a->max_value) : json_null();
    return put_one(w, "ReLU",
                   json_pack("{s:o, s:f, s:f}", "max_value", most, "negative_slope", (double)a->alpha,
                             "threshold", (double)a->threshold),
                   in, out, err);
}

/* x > threshold ? x : 0, which Keras 3 has as a ReLU only and TF.js only as this. */
static ng_status put_threshold(writing *w, const ngi_activation_attr *a, int in, int *out, ng_error *err)
{
    if (a->alpha != 0)
        return refuse(w, "a threshold with a default value", err);
    bool js = w->f->dialect == NGI_DIALECT_TFJS;
    return put_one(w, js ? "ThresholdedReLU" : "ReLU",
                   json_pack("{s:f}", js ? "theta" : "threshold", (double)a->threshold), in, out, err);
}

static ng_status put_activation(writing *w, int in, int *out, ng_error *err)
{
    const ngi_activation_attr *a = &w->node->attr.act;
    const char *name = ngi_save_activation(w->f->dialect, w->node);
    if (name)
        return put_one(w, "Activation", json_pack("{s:s}", "activation", name), in, out, err);
    switch (a->kind) {
    case NGI_ACT_RELU:
        return put_relu(w, a, in, out, err);
    case NGI_ACT_RELU6:
        return put_one(w, "ReLU", json_pack("{s:f}", "max_value", 6.0), in, out, err);
    case NGI_ACT_LEAKY_RELU:
        return put_relu(w, &(ngi_activation_attr){.alpha = a->alpha, .max_value = INFINITY}, in, out, err);
    case NGI_ACT_ELU:
        if (w->f->dialect == NGI_DIALECT_TFJS)
            return refuse(w, "ELU with an alpha other than 1", err);
        return put_one(w, "ELU", json_pack("{s:f}", "alpha", (double)a->alpha), in, out, err);
    case NGI_ACT_THRESHOLD:
        return put_threshold(w, a, in, out, err);
    case NGI_ACT_HARD_SIGMOID:
        NGI_TRY(put_ramp(w, 1, 3, 6, in, out, err));
        return put_one(w, "Rescaling", scaling(1.0 / 6, 0), *out, out, err);
    case NGI_ACT_HARD_SIGMOID_2:
        return put_ramp(w, 0.2, 0.5, 1, in, out, err);
    case NGI_ACT_HARD_SILU:
        return put_hard_silu(w, in, out, err);
    case NGI_ACT_HARD_TANH:
        NGI_TRY(put_ramp(w, 1, 1, 2, in, out, err));
        return put_one(w, "Rescaling", scaling(1, -1), *out, out, err);
    default:
        return refuse(w, ngi_activation_name(a->kind), err);
    }
}

/* ---- Arithmetic -------------------------------------------------------------------------------- */

/* One number, or a list along the channels. */
static json_t *numbers(const ngi_weight *w)
{
    int64_t n = ngi_shape_count(&w->shape);
    if (n == 1)
        return json_real(w->data[0]);
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(list, json_real(w->data[i]));
    return list;
}

static ng_status put_affine(writing *w, int in, int *out, ng_error *err)
{
    const ngi_weight *weights = w->f->source->graph->weights;
    const ngi_weight *scale = &weights[w->node->weights[0]], *offset = &weights[w->node->weights[1]];
    if (!scale->data || !offset->data)
        return ngi_fail(err, NG_E_INTERNAL, "%s: its constants have no values", w->call->layer->leaf.where);
    return put_one(w, "Rescaling",
                   json_pack("{s:o, s:o}", "scale", numbers(scale), "offset", numbers(offset)), in, out, err);
}

/* a - b as a + (-1) b where there is no Subtract. */
static ng_status put_difference(writing *w, const int *in, int *out, ng_error *err)
{
    int minus = -1;
    if (w->f->dialect != NGI_DIALECT_TFJS)
        return put(w, "Subtract", json_object(), in, 2, &w->node->shape, out, err);
    const ngi_shape *shape = &w->f->calls[in[1]].shape;
    NGI_TRY(put(w, "Rescaling", scaling(-1, 0), &in[1], 1, shape, &minus, err));
    return put(w, "Add", json_object(), (int[]){in[0], minus}, 2, &w->node->shape, out, err);
}

/* Keras's Normalization: a batch norm with fixed moments. Keras gets the moments as settings: among the weights it would want
 * a count beside them, and Keras 2's batch norm takes no epsilon below 1e-5. TF.js gets a batch norm. */
static ng_status put_normalization(writing *w, int in, int *out, ng_error *err)
{
    const ngi_weight *weights = w->f->source->graph->weights;
    const int *index = w->node->weights;
    if (index[0] >= 0 || index[1] >= 0 || !weights[index[2]].data || !weights[index[3]].data)
        return refuse(w, "batch norm", err);
    if (w->f->dialect != NGI_DIALECT_TFJS)
        return put_one(w, "Normalization",
                       json_pack("{s:i, s:o, s:o}", "axis", -1, "mean", numbers(&weights[index[2]]),
                                 "variance", numbers(&weights[index[3]])),
                       in, out, err);
    NGI_TRY(put_one(w, "BatchNormalization",
                    json_pack("{s:i, s:f, s:b, s:b}", "axis", -1, "epsilon", (double)w->node->attr.epsilon,
                              "center", 0, "scale", 0),
                    in, out, err));
    ngi_flat_layer *l = &w->f->layers[w->f->calls[*out].layer];
    l->trainable = false;
    l->weights[0] = index[2];
    l->weights[1] = index[3];
    l->n_weights = 2;
    return NG_OK;
}

/* ---- Shapes ------------------------------------------------------------------------------------ */

static json_t *shape_list(const ngi_shape *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->rank; i++)
        json_array_append_new(list, json_integer(s->dim[i]));
    return list;
}

static ng_status put_global(writing *w, int in, int *out, ng_error *err)
{
    const char *class_name =
        w->node->op == NGI_OP_GLOBAL_AVG ? "GlobalAveragePooling2D" : "GlobalMaxPooling2D";
    const ngi_shape *shape = &w->node->shape, flat = ngi_shape_of(1, shape->dim[shape->rank - 1]);
    NGI_TRY(put(w, class_name, json_object(), &in, 1, &flat, out, err));
    return w->node->attr.keepdims
               ? put_one(w, "Reshape", json_pack("{s:o}", "target_shape", shape_list(shape)), *out, out, err)
               : NG_OK;
}

static ng_status put_permute(writing *w, int in, int *out, ng_error *err)
{
    json_t *dims = json_array();
    for (int i = 0; i < w->node->shape.rank; i++)
        json_array_append_new(dims, json_integer(w->node->attr.permutation[i] + 1));
    return put_one(w, "Permute", json_pack("{s:o}", "dims", dims), in, out, err);
}

static ng_status put_margins(writing *w, const char *class_name, const char *key, int in, int *out,
                             ng_error *err)
{
    const ngi_pad *p = &w->node->attr.pad;
    return put_one(w, class_name, json_pack("{s:[[i,i],[i,i]]}", key, p->top, p->bottom, p->left, p->right),
                   in, out, err);
}

static ng_status put_window(writing *w, int in, int *out, ng_error *err)
{
    const ngi_attr *a = &w->node->attr;
    const ngi_shape *from = &w->f->calls[in].shape, *to = &w->node->shape;
    int top = (int)a->begin[0], left = (int)a->begin[1];
    return put_one(w, "Cropping2D",
                   json_pack("{s:[[i,i],[i,i]]}", "cropping", top, (int)(from->dim[0] - to->dim[0]) - top,
                             left, (int)(from->dim[1] - to->dim[1]) - left),
                   in, out, err);
}

/* Channels picked out (RGB to BGR) by a 1x1 convolution with ones and zeros, which adds nothing but zeros. */
static ng_status put_channels(writing *w, int in, int *out, ng_error *err)
{
    const ngi_attr *a = &w->node->attr;
    int64_t from = w->f->calls[in].shape.dim[2], to = w->node->shape.dim[2];
    ngi_weight kernel = {.name = (char *)"kernel",
                         .shape = ngi_shape_of(4, (int64_t)1, (int64_t)1, from, to)};
    int64_t n = ngi_shape_count(&kernel.shape);
    if (n < 0 || n > 1 << 24)
        return refuse(w, "an index along very many channels", err);
    kernel.data = ngi_alloc_aligned((size_t)n * sizeof *kernel.data);
    if (!kernel.data)
        return ngi_fail_memory(err, (size_t)n * sizeof *kernel.data);
    for (int64_t i = 0; i < n; i++)
        kernel.data[i] = 0;
    for (int64_t i = 0; i < to; i++)
        kernel.data[(a->begin[2] + i * a->step[2]) * to + i] = 1;
    ng_status status = put_one(w, "Conv2D",
                               json_pack("{s:I, s:[i,i], s:b, s:s}", "filters", (json_int_t)to, "kernel_size",
                                         1, 1, "use_bias", 0, "activation", "linear"),
                               in, out, err);
    if (status != NG_OK) {
        ngi_free_aligned(kernel.data);
        return status;
    }
    ngi_flat_layer *l = &w->f->layers[w->f->calls[*out].layer];
    l->own = kernel;
    l->n_weights = 1;
    l->trainable = false;
    return NG_OK;
}

static ng_status put_slice(writing *w, int in, int *out, ng_error *err)
{
    const ngi_attr *a = &w->node->attr;
    const ngi_shape *from = &w->f->calls[in].shape, *to = &w->node->shape;
    if (from->rank != 3 || to->rank != 3)
        return refuse(w, "an index into something that is no picture", err);
    if (from->dim[2] == to->dim[2] && a->step[0] == 1 && a->step[1] == 1 && a->step[2] == 1)
        return put_window(w, in, out, err);
    if (from->dim[0] == to->dim[0] && from->dim[1] == to->dim[1] && a->step[0] == 1 && a->step[1] == 1)
        return put_channels(w, in, out, err);
    return refuse(w, "an index other than a window or of channels", err);
}

static ng_status put_resize(writing *w, int in, int *out, ng_error *err)
{
    const ngi_attr *a = &w->node->attr;
    if (w->f->dialect == NGI_DIALECT_TFJS)
        return refuse(w, "its Resizing does not resize as Keras's does", err);
    return put_one(w, "Resizing",
                   json_pack("{s:i, s:i, s:s, s:b}", "height", a->size_h, "width", a->size_w, "interpolation",
                             a->bilinear ? "bilinear" : "nearest", "crop_to_aspect_ratio",
                             (int)a->crop_to_aspect),
                   in, out, err);
}

/* ---- The node ---------------------------------------------------------------------------------- */

static ng_status put_merge(writing *w, const char *class_name, const int *in, int n, int *out, ng_error *err)
{
    json_t *config =
        w->node->op == NGI_OP_CONCAT ? json_pack("{s:i}", "axis", w->node->attr.axis + 1) : json_object();
    return put(w, class_name, config, in, n, &w->node->shape, out, err);
}

static ng_status put_node(writing *w, const int *in, int n, int *out, ng_error *err)
{
    switch (w->node->op) {
    case NGI_OP_IDENTITY:
        return put_one(w, "Activation", json_pack("{s:s}", "activation", "linear"), *in, out, err);
    case NGI_OP_ACTIVATION:
        return put_activation(w, *in, out, err);
    case NGI_OP_SOFTMAX:
        if (w->f->dialect == NGI_DIALECT_TFJS && w->node->attr.axis != w->node->shape.rank - 1)
            return refuse(w, "a softmax along another axis than the last", err);
        return put_one(w, "Softmax", json_pack("{s:i}", "axis", w->node->attr.axis + 1), *in, out, err);
    case NGI_OP_AFFINE:
        return put_affine(w, *in, out, err);
    case NGI_OP_BATCHNORM:
        return put_normalization(w, *in, out, err);
    case NGI_OP_GLOBAL_AVG:
    case NGI_OP_GLOBAL_MAX:
        return put_global(w, *in, out, err);
    case NGI_OP_RESHAPE:
        return put_one(w, "Reshape", json_pack("{s:o}", "target_shape", shape_list(&w->node->shape)), *in,
                       out, err);
    case NGI_OP_PERMUTE:
        return put_permute(w, *in, out, err);
    case NGI_OP_ZERO_PAD:
        return put_margins(w, "ZeroPadding2D", "padding", *in, out, err);
    case NGI_OP_CROP:
        return put_margins(w, "Cropping2D", "cropping", *in, out, err);
    case NGI_OP_SLICE:
        return put_slice(w, *in, out, err);
    case NGI_OP_RESIZE:
        return put_resize(w, *in, out, err);
    case NGI_OP_SUBTRACT:
        return put_difference(w, in, out, err);
    case NGI_OP_ADD:
        return put_merge(w, "Add", in, n, out, err);
    case NGI_OP_MULTIPLY:
        return put_merge(w, "Multiply", in, n, out, err);
    case NGI_OP_AVERAGE:
        return put_merge(w, "Average", in, n, out, err);
    case NGI_OP_MAXIMUM:
        return put_merge(w, "Maximum", in, n, out, err);
    case NGI_OP_MINIMUM:
        return put_merge(w, "Minimum", in, n, out, err);
    case NGI_OP_CONCAT:
        return put_merge(w, "Concatenate", in, n, out, err);
    case NGI_OP_DEPTHWISE:
        return refuse(w, "its depthwise convolutions are not dilated as Keras's are", err);
    case NGI_OP_CONV2D:
        return refuse(w, "a convolution in groups", err);
    default:
        return refuse(w, ngi_op_name(w->node->op), err);
    }
}

ng_status ngi_save_node(ngi_flat *f, const ngi_traced_call *call, int node, int *out, ng_error *err)
{
    writing w = {.f = f, .call = call, .node = &f->source->graph->nodes[node]};
    int n = w.node->n_inputs, *in = ngi_alloc((size_t)n, sizeof *in);
    if (!in)
        return ngi_fail_memory(err, (size_t)n * sizeof *in);
    for (int i = 0; i < n; i++)
        in[i] = f->producer[w.node->inputs[i]];
    ng_status status = put_node(&w, in, n, out, err);
    ngi_free(in);
    return status;
}
