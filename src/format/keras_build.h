/* The state of turning a Keras configuration into a graph, shared by keras_config.c (models and calls) and
 * keras_layers*.c (layer classes). */
#ifndef NGI_FORMAT_KERAS_BUILD_H
#define NGI_FORMAT_KERAS_BUILD_H

#include "format/json.h"
#include "format/keras_config.h"

#define NGI_CALL_ARGS 1024

typedef struct ngi_keras_builder {
    const char *where; /* the file */
    const ngi_load_opts *opts;
    ngi_graph *graph;
    bool keras2; /* written by Keras 2 (or tf-keras): hard_sigmoid differs */
    const char *architecture; /* name that an open input size is taken from */
} ngi_keras_builder;

/* One argument of a layer's call: a tensor (node >= 0) or a constant. */
typedef struct ngi_call_arg {
    int node;
    const json_t *value;
} ngi_call_arg;

/* A call. Lists of tensors are flattened into args; kwargs that are tensors or constants stay by name. */
typedef struct ngi_call {
    ngi_call_arg args[NGI_CALL_ARGS];
    int n_args;
    const json_t *kwargs;
    ngi_call_arg y; /* the second operand of op layers, wherever it stood; node -1 and value NULL: none */
} ngi_call;

/* A leaf layer being built; weights are made at its first call, when its input's shape is known. */
typedef struct ngi_building_layer {
    char *path;
    char where[512]; /* "file: layer 'path' (Class)" */
    const char *class_name;
    const json_t *config;
    bool trainable;
    int layer;       /* graph layer */
    int calls;
    int weights[8];  /* graph weights in Keras's order; -1 past the end */
    int n_weights;
} ngi_building_layer;

typedef ng_status ngi_lower_function(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                     ng_error *err);

typedef struct ngi_layer_row {
    const char *class_name;
    ngi_lower_function *lower;
} ngi_layer_row;

/* The row of a class, NULL if it is not read. */
const ngi_layer_row *ngi_layer_row_find(const char *class_name);

/* ---- What lowering functions use ------------------------------------------------------------- */

/* The one tensor a call passes; an error for none or several. */
ng_status ngi_call_input(const ngi_building_layer *l, const ngi_call *call, int *node, ng_error *err);
/* A weight of the layer: made at the first call, found again at later ones (in the order of the requests). */
ng_status ngi_layer_weight(ngi_keras_builder *b, ngi_building_layer *l, int slot, const char *name, ngi_shape shape,
                           bool trainable, int *out, ng_error *err);
/* A constant that is no weight of Keras's: scale and offset of an AFFINE. */
ng_status ngi_layer_constant(ngi_keras_builder *b, ngi_building_layer *l, const char *name, const double *values, int n,
                             int *out, ng_error *err);
/* Appends a node and infers its shape. `suffix` NULL: the layer's own name. */
ng_status ngi_layer_node(ngi_keras_builder *b, ngi_building_layer *l, const char *suffix, ngi_op op, const ngi_attr *attr,
                         const int *inputs, int n_inputs, const int weights[NGI_NODE_WEIGHTS], int *out, ng_error *err);
/* Adds what the configuration's "activation" asks for after `in`; linear adds nothing. */
ng_status ngi_layer_activation(ngi_keras_builder *b, ngi_building_layer *l, const json_t *spec, int in, int *out,
                               ng_error *err);
/* Refuses channels_first with the reason. */
ng_status ngi_layer_channels_last(const ngi_building_layer *l, ng_error *err);
/* An axis of Keras's (batch is 0, negatives from the end) as one of the tensor without batch. */
ng_status ngi_layer_axis(const ngi_building_layer *l, int64_t axis, int rank, int *out, ng_error *err);

/* Lowering functions by file. */
ngi_lower_function ngi_lower_conv2d, ngi_lower_separable, ngi_lower_depthwise, ngi_lower_dense, ngi_lower_batchnorm,
    ngi_lower_layernorm, ngi_lower_activation, ngi_lower_relu, ngi_lower_leaky_relu, ngi_lower_prelu, ngi_lower_elu,
    ngi_lower_softmax, ngi_lower_thresholded_relu;
ngi_lower_function ngi_lower_identity, ngi_lower_max_pool, ngi_lower_avg_pool, ngi_lower_global_avg,
    ngi_lower_global_max, ngi_lower_flatten, ngi_lower_reshape, ngi_lower_permute, ngi_lower_zero_pad, ngi_lower_crop,
    ngi_lower_upsample, ngi_lower_resizing, ngi_lower_center_crop, ngi_lower_add, ngi_lower_subtract,
    ngi_lower_multiply, ngi_lower_average, ngi_lower_maximum, ngi_lower_minimum, ngi_lower_concat,
    ngi_lower_rescaling, ngi_lower_normalization;
ngi_lower_function ngi_lower_op_add, ngi_lower_op_subtract, ngi_lower_op_multiply, ngi_lower_op_divide,
    ngi_lower_get_item, ngi_lower_stack, ngi_lower_lambda_op, ngi_lower_slicing_op, ngi_lower_op_activation;

#endif
