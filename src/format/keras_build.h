/* The state of turning a Keras configuration into a graph, shared by keras_config.c (the whole), keras_model.c (models,
 * their layers and calls), keras_call.c (references to tensors) and keras_layers*.c (what a layer class becomes). */
#ifndef NGI_FORMAT_KERAS_BUILD_H
#define NGI_FORMAT_KERAS_BUILD_H

#include "format/json.h"
#include "format/keras_config.h"

#define NGI_WHERE_TEXT 512

typedef struct ngi_keras_builder {
    const char *where; /* the file */
    const ngi_load_opts *opts;
    ngi_graph *graph;
    bool keras2;    /* written by Keras 2 (or tf-keras): hard_sigmoid and some names differ */
    bool training;  /* inside a model that is called with training=True */
    int usual_side; /* for an open input size; 0: not known */
    int n_layers;   /* of all models */
    int n_calls;    /* built so far */
    int64_t values; /* in all weights so far */
    struct ngi_trace *trace;
} ngi_keras_builder;

/* ---- Calls ------------------------------------------------------------------------------------- */

/* One argument of a call: a tensor (node >= 0) or a constant. */
typedef struct ngi_call_arg {
    int node;
    const json_t *value; /* NULL for a tensor, or where there is no such argument */
} ngi_call_arg;

typedef struct ngi_call_keyword {
    const char *key;
    ngi_call_arg arg;
} ngi_call_keyword;

/* A call of a leaf layer. Lists of tensors are flattened into args. */
typedef struct ngi_call {
    const ngi_call_arg *args;
    int n_args;
    const ngi_call_keyword *keywords;
    int n_keywords;
} ngi_call;

/* The argument at this position, or under one of these names (NULL ends them), also among the layer's own
 * configuration; {-1, NULL} where there is none. */
typedef struct ngi_building_layer ngi_building_layer;
ngi_call_arg ngi_call_find(const ngi_building_layer *l, const ngi_call *call, int position,
                           const char *const keys[]);

/* ---- Leaf layers ------------------------------------------------------------------------------- */

#define NGI_LAYER_WEIGHTS 8

/* A leaf layer being built; weights are made at its first call, when its input's shape is known. */
struct ngi_building_layer {
    char *path;
    char where[NGI_WHERE_TEXT]; /* "layer 'path' (Class)": starts errors */
    const char *class_name;
    const json_t *config;
    bool trainable;
    bool training;                  /* this call asks for training=True */
    int layer;                      /* graph layer */
    int calls;                      /* done so far */
    int weights[NGI_LAYER_WEIGHTS]; /* graph weights in Keras's order */
    int n_weights;
};

typedef ng_status ngi_lower_function(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call,
                                     int *out, ng_error *err);

typedef struct ngi_layer_row {
    const char *class_name;
    ngi_lower_function *lower;
    bool varies; /* does something else in training */
} ngi_layer_row;

/* The row of a class, NULL if it is not read. `op`: it is a function on tensors (keras.ops), not a layer. */
const ngi_layer_row *ngi_layer_row_find(const char *class_name, bool op);

/* ---- What lowering functions use --------------------------------------------------------------- */

/* The one tensor a call passes; an error for none or several. */
NG_NODISCARD ng_status ngi_call_input(const ngi_building_layer *l, const ngi_call *call, int *node,
                                      ng_error *err);
/* A weight of the layer: made at the first call, found again at later ones. Slots are asked for in Keras's order. */
NG_NODISCARD ng_status ngi_layer_weight(ngi_keras_builder *b, ngi_building_layer *l, int slot,
                                        const char *name, ngi_shape shape, bool trainable, int *out,
                                        ng_error *err);
/* A constant that is no weight of Keras's: scale and offset of an AFFINE. */
NG_NODISCARD ng_status ngi_layer_constant(ngi_keras_builder *b, ngi_building_layer *l, const char *name,
                                          const double *values, int64_t n, int *out, ng_error *err);
/* Appends a node and infers its shape. `suffix` NULL: the layer's own name. */
NG_NODISCARD ng_status ngi_layer_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix,
                                      ngi_op op, const ngi_attr *attr, const int *inputs, int n_inputs,
                                      const int weights[NGI_NODE_WEIGHTS], int *out, ng_error *err);
/* x * scale + offset with constants of 1 or c values. */
NG_NODISCARD ng_status ngi_layer_affine(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix,
                                        int in, const double *scale, int64_t n_scale, const double *offset,
                                        int64_t n_offset, int *out, ng_error *err);
/* Adds what "activation" in the configuration asks for after `in`; linear adds nothing. */
NG_NODISCARD ng_status ngi_layer_activation(ngi_keras_builder *b, ngi_building_layer *l, int in, int *out,
                                            ng_error *err);
/* One elementwise activation. */
NG_NODISCARD ng_status ngi_layer_elementwise(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix,
                                             const ngi_activation_attr *act, int in, int *out, ng_error *err);
/* Kind and default parameters of an activation that Keras names; false if it is not known. */
bool ngi_activation_find(const ngi_keras_builder *b, const char *name, ngi_activation_attr *out);
/* Refuses channels_first with the reason. */
NG_NODISCARD ng_status ngi_layer_channels_last(const ngi_building_layer *l, ng_error *err);
/* An axis of Keras's (batch is 0, negatives from the end) as one of the tensor without batch. */
NG_NODISCARD ng_status ngi_layer_axis(const ngi_building_layer *l, int64_t axis, int rank, int *out,
                                      ng_error *err);
/* "axis" in the configuration, a number or a list of one; `fallback` where it is missing. */
NG_NODISCARD ng_status ngi_layer_one_axis(const ngi_building_layer *l, int64_t fallback, int rank, int *out,
                                          ng_error *err);
/* All numbers of a nested list or of a serialised array; *n is 0 where the value is something else. Free *out. */
NG_NODISCARD ng_status ngi_numbers(const json_t *value, double **out, int64_t *n, ng_error *err);
/* "Custom>Conv2D" is Conv2D of a package of someone's own. */
const char *ngi_plain_class(const char *class_name);

/* Shape without the batch of a graph input from [null, 299, 299, 3]; an open height or width comes from the options or
 * the architecture's usual one. */
NG_NODISCARD ng_status ngi_keras_input_shape(const ngi_keras_builder *b, const char *where,
                                             const json_t *list, ngi_shape *out, ng_error *err);

/* ---- Lowering functions by file ---------------------------------------------------------------- */

/* keras_layers_weighted.c */
ngi_lower_function ngi_lower_conv2d, ngi_lower_separable, ngi_lower_depthwise, ngi_lower_dense,
    ngi_lower_batchnorm, ngi_lower_layernorm, ngi_lower_layer_scale, ngi_lower_normalization;
/* keras_layers_activation.c */
ngi_lower_function ngi_lower_activation, ngi_lower_relu, ngi_lower_prelu, ngi_lower_softmax,
    ngi_lower_op_activation;
/* keras_layers_shape.c */
ngi_lower_function ngi_lower_identity, ngi_lower_random_crop, ngi_lower_max_pool, ngi_lower_avg_pool,
    ngi_lower_global_avg, ngi_lower_global_max, ngi_lower_flatten, ngi_lower_reshape, ngi_lower_permute,
    ngi_lower_zero_pad, ngi_lower_crop, ngi_lower_upsample, ngi_lower_resizing, ngi_lower_center_crop,
    ngi_lower_add, ngi_lower_subtract, ngi_lower_multiply, ngi_lower_average, ngi_lower_maximum,
    ngi_lower_minimum, ngi_lower_concat, ngi_lower_scaled_sum;
/* keras_layers_lambda.c */
ngi_lower_function ngi_lower_layer_lambda;
/* keras_layers_op.c: arithmetic; keras_layers_op_shape.c: indexing and shapes */
ngi_lower_function ngi_lower_rescaling, ngi_lower_op_add, ngi_lower_op_subtract, ngi_lower_op_multiply,
    ngi_lower_op_divide, ngi_lower_op_maximum, ngi_lower_op_minimum, ngi_lower_op_negative,
    ngi_lower_op_square, ngi_lower_op_clip, ngi_lower_lambda;
ngi_lower_function ngi_lower_op_getitem, ngi_lower_op_stack, ngi_lower_op_concat, ngi_lower_op_reshape,
    ngi_lower_op_transpose, ngi_lower_op_expand, ngi_lower_op_squeeze, ngi_lower_op_mean, ngi_lower_op_max,
    ngi_lower_op_pad, ngi_lower_op_resize, ngi_lower_op_cast;

#endif
