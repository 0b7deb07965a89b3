/* The neural network as a graph of operations: what a model file is turned into and what the executor
 * runs. Nodes stand in topological order; every node has one output. A Keras layer becomes one or more
 * nodes (a fused activation is a node of its own, so that the score before a softmax is always there);
 * a layer called several times shares its weights between its nodes.
 *
 * Activations are channels-last without the batch dimension: [h,w,c], [features] or any rank up to 4. */
#ifndef NGI_NN_GRAPH_H
#define NGI_NN_GRAPH_H

#include "base/pack.h"
#include "tensor/tensor.h"

#define NGI_MAX_NODES  65536
#define NGI_MAX_INPUTS 1024 /* of one node */

/* X(kind, text) */
#define NGI_OP_LIST(X)                                                                                \
    X(INPUT, "input")                                                                                 \
    X(CONSTANT, "constant")          /* w: value: an input that is the same for every image */        \
    X(IDENTITY, "identity")          /* Dropout and other train-time layers, linear activation */     \
    X(CONV2D, "conv2d")              /* w: kernel [kh,kw,ic/groups,oc], bias [oc] or none */          \
    X(DEPTHWISE, "depthwise_conv2d") /* w: kernel [kh,kw,c,m], bias [c*m] or none; channel c*m+j */   \
    X(DENSE, "dense")                /* w: kernel [in,out], bias [out] or none; on the last axis */   \
    X(BATCHNORM, "batch_norm")       /* w: gamma, beta (either may be none), mean, variance [c] */    \
    X(LAYERNORM, "layer_norm")       /* w: gamma, beta (may be none); over the last axes, see attr */ \
    X(ACTIVATION, "activation")                                                                       \
    X(PRELU, "prelu")     /* w: alpha, broadcast against the input */                                 \
    X(SOFTMAX, "softmax") /* along attr.axis */                                                       \
    X(MAX_POOL, "max_pool")                                                                           \
    X(AVG_POOL, "avg_pool")          /* padding excluded from the mean (Keras, TensorFlow) */         \
    X(GLOBAL_AVG, "global_avg_pool") /* [h,w,c] -> [c] or [1,1,c] */                                  \
    X(GLOBAL_MAX, "global_max_pool")                                                                  \
    X(RESHAPE, "reshape") /* Flatten, Reshape: same elements in the same order */                     \
    X(PERMUTE, "permute")                                                                             \
    X(ZERO_PAD, "zero_pad") /* attr.pad */                                                            \
    X(CROP, "crop")         /* attr.pad = amounts cut */                                              \
    X(UPSAMPLE, "upsample") /* integer factors, nearest or bilinear (half-pixel) */                   \
    X(RESIZE, "resize")     /* to a fixed size: Resizing */                                           \
    X(ADD, "add")           /* n-ary, NumPy broadcasting of the non-batch axes */                     \
    X(SUBTRACT, "subtract") /* two inputs */                                                          \
    X(MULTIPLY, "multiply")                                                                           \
    X(DIVIDE, "divide") /* two inputs */                                                              \
    X(AVERAGE, "average")                                                                             \
    X(MAXIMUM, "maximum")                                                                             \
    X(MINIMUM, "minimum")                                                                             \
    X(CONCAT, "concatenate") /* along attr.axis */                                                    \
    X(AFFINE, "affine")      /* x * scale + offset, w: scale, offset, each [1] or [c]: Rescaling, */  \
                             /*   Normalization, x / 127.5, x - mean */                               \
    X(SLICE, "slice")        /* x[begin:...:step] per axis: GetItem, CenterCrop */

typedef enum ngi_op {
#define NGI_OP_ENUM(kind, text) NGI_OP_##kind,
    NGI_OP_LIST(NGI_OP_ENUM)
#undef NGI_OP_ENUM
        NGI_OP_COUNT
} ngi_op;

const char *ngi_op_name(ngi_op op);

/* X(kind, keras name). Formulas: src/nn/activation.c; p, q are the attr's alpha and max_value. */
#define NGI_ACTIVATION_LIST(X)                                                     \
    X(LINEAR, "linear")                                                            \
    X(RELU, "relu") /* Keras ReLU: max_value, negative_slope (alpha), threshold */ \
    X(RELU6, "relu6")                                                              \
    X(SIGMOID, "sigmoid")                                                          \
    X(TANH, "tanh")                                                                \
    X(ELU, "elu") /* alpha */                                                      \
    X(SELU, "selu")                                                                \
    X(CELU, "celu")           /* alpha */                                          \
    X(GELU, "gelu")           /* exact, erf */                                     \
    X(GELU_TANH, "gelu_tanh") /* gelu(approximate=True) */                         \
    X(SILU, "silu")           /* swish */                                          \
    X(SOFTPLUS, "softplus")                                                        \
    X(SOFTSIGN, "softsign")                                                        \
    X(EXPONENTIAL, "exponential")                                                  \
    X(HARD_SIGMOID, "hard_sigmoid")     /* Keras 3: relu6(x + 3) / 6 */            \
    X(HARD_SIGMOID_2, "hard_sigmoid_2") /* Keras 2: clip(0.2 x + 0.5, 0, 1) */     \
    X(HARD_SILU, "hard_silu")           /* x * relu6(x + 3) / 6 */                 \
    X(HARD_TANH, "hard_tanh")                                                      \
    X(MISH, "mish")                                                                \
    X(LEAKY_RELU, "leaky_relu") /* alpha */                                        \
    X(LOG_SIGMOID, "log_sigmoid")                                                  \
    X(TANH_SHRINK, "tanh_shrink")                                                  \
    X(SOFT_SHRINK, "soft_shrink") /* threshold */                                  \
    X(HARD_SHRINK, "hard_shrink") /* threshold */                                  \
    X(THRESHOLD, "threshold")     /* x > threshold ? x : alpha */                  \
    X(SQUAREPLUS, "squareplus")   /* alpha = b: (x + sqrt(x^2 + b)) / 2 */         \
    X(SPARSE_PLUS, "sparse_plus")                                                  \
    X(SPARSE_SIGMOID, "sparse_sigmoid")

typedef enum ngi_activation {
#define NGI_ACT_ENUM(kind, text) NGI_ACT_##kind,
    NGI_ACTIVATION_LIST(NGI_ACT_ENUM)
#undef NGI_ACT_ENUM
        NGI_ACT_COUNT
} ngi_activation;

const char *ngi_activation_name(ngi_activation a);

/* Parameters of an activation; max_value is +infinity where there is none. */
typedef struct ngi_activation_attr {
    ngi_activation kind;
    float alpha, max_value, threshold;
} ngi_activation_attr;

/* Whether its derivative jumps somewhere. */
bool ngi_activation_has_kink(const ngi_activation_attr *a);
/* y = f(x) elementwise, in place allowed. */
void ngi_activate(const ngi_activation_attr *a, const float *x, float *y, int64_t n);
/* dx = dy * f'(x), in place allowed; at a kink TensorFlow's convention (relu'(0) = 0). */
void ngi_activate_grad(const ngi_activation_attr *a, const float *x, const float *dy, float *dx, int64_t n);

typedef struct ngi_pad {
    int top, bottom, left, right;
} ngi_pad;

/* Attributes; each op reads only its own. All values are checked by shape inference. */
typedef struct ngi_attr {
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, groups; /* conv, pool */
    bool same;               /* padding="same": pad is worked out from the input size (TensorFlow's rule) */
    ngi_pad pad;             /* explicit; filled by shape inference when `same` */
    float epsilon;           /* batch and layer norm */
    int axis;                /* softmax, concat: of the tensor without batch, 0-based; layer norm: first axis
                                normalised (to the last) */
    bool rms;                /* layer norm: RMS scaling, no centring */
    ngi_activation_attr act; /* ACTIVATION */
    bool keepdims;           /* global pooling */
    ngi_shape target;        /* RESHAPE: result without batch, -1 allowed once */
    int permutation[NGI_MAX_RANK]; /* PERMUTE: output axis i = input axis permutation[i], without batch */
    int scale_h, scale_w;          /* UPSAMPLE */
    int size_h, size_w;            /* RESIZE */
    bool bilinear;                 /* UPSAMPLE, RESIZE: bilinear, else nearest */
    bool crop_to_aspect;           /* RESIZE: Keras Resizing(crop_to_aspect_ratio=True) */
    int64_t begin[NGI_MAX_RANK], step[NGI_MAX_RANK]; /* SLICE: first index and step (may be negative) */
    int64_t extent[NGI_MAX_RANK];                    /* SLICE: elements taken; -1: to the end */
} ngi_attr;

/* A weight; its values are owned by the graph. */
typedef struct ngi_weight {
    char *name; /* "conv2d_3/kernel": layer path and Keras's variable name */
    ngi_shape shape;
    float *data; /* 64-byte aligned */
    bool trainable;
    bool constant; /* a number of the configuration (x / 127.5), not one of the model's parameters */
    bool borrowed; /* data lies in the graph's `values` */
} ngi_weight;

#define NGI_NODE_WEIGHTS 4

typedef struct ngi_node {
    char *name; /* layer path, with "/suffix" for inner nodes ("dense/softmax"); unique */
    ngi_op op;
    ngi_attr attr;
    int layer; /* index into layers */
    int n_inputs;
    int *inputs;                   /* node indices, all smaller than this one's */
    int weights[NGI_NODE_WEIGHTS]; /* indices into weights in the op's order; -1: none */
    ngi_shape shape;               /* of the output, without batch; set by ngi_graph_infer */
    bool feeds_output;             /* a path leads from here to an output; set by ngi_graph_infer */
    bool from_input;               /* a path leads from an input to here; likewise */
} ngi_node;

typedef struct ngi_layer {
    char *name;       /* path: "inception_v3/mixed10" */
    char *class_name; /* Keras's: "Conv2D" */
    bool trainable;
    int node; /* the node of its (first call's) output */
} ngi_layer;

typedef struct ngi_graph {
    char *name;
    ngi_layer *layers;
    int n_layers;
    ngi_node *nodes;
    int n_nodes;
    ngi_weight *weights;
    int n_weights;
    int *inputs; /* node indices; the array is the graph's, allocated by whoever fills it (ngi_alloc) */
    int n_inputs;
    int *outputs; /* likewise */
    int n_outputs;
    bool values_later; /* weights are added without data, which whoever builds the graph sets afterwards */
    ngi_pack *values;  /* where borrowed weights lie, owned; NULL: none are */
    int layer_capacity, node_capacity, weight_capacity; /* the builders' own */
} ngi_graph;

void ngi_graph_free(ngi_graph *g); /* frees g itself */
ng_status ngi_graph_create(ngi_graph **out, ng_error *err);

/* Builders: append and return the index through `out`. Names are copied. */
NG_NODISCARD ng_status ngi_graph_add_layer(ngi_graph *g, const char *name, const char *class_name,
                                           bool trainable, int *out, ng_error *err);
/* Takes ownership of `data` (ngi_alloc_aligned) on success; NULL allocates zeros. */
NG_NODISCARD ng_status ngi_graph_add_weight(ngi_graph *g, const char *name, const ngi_shape *shape,
                                            bool trainable, float *data, int *out, ng_error *err);
/* `weights` may be NULL (all none). Does not set layers[layer].node. */
NG_NODISCARD ng_status ngi_graph_add_node(ngi_graph *g, const char *name, ngi_op op, const ngi_attr *attr,
                                          int layer, const int *inputs, int n_inputs,
                                          const int weights[NGI_NODE_WEIGHTS], int *out, ng_error *err);
/* Turns an INPUT node into a CONSTANT of these values, copied; the graph's `inputs` are the caller's to change. */
NG_NODISCARD ng_status ngi_graph_fix_input(ngi_graph *g, int node, const float *values, ng_error *err);
/* Attributes with neutral values: strides, dilations, groups 1; max_value infinity; steps 1. */
void ngi_attr_init(ngi_attr *attr);

/* Works out the shape of one node from its inputs' shapes, checks attributes and weight shapes, fills
 * `pad` when `same`. The error names node, expected and found. */
NG_NODISCARD ng_status ngi_node_infer(ngi_graph *g, int node, ng_error *err);
/* All nodes in order. INPUT nodes carry their shape already (every dimension positive). */
NG_NODISCARD ng_status ngi_graph_infer(ngi_graph *g, ng_error *err);

/* Padding of TensorFlow's "same" rule for one axis: total = max((ceil(n/s)-1)*s + (k-1)*d+1 - n, 0),
 * before = total/2. */
void ngi_same_padding(int64_t n, int kernel, int stride, int dilation, int *before, int *after);

/* Cuts the network behind `node`: starts [<= n_nodes] gets `node` first, then every other node that is read behind it on
 * the way to `root` without depending on it (a block's shortcut). Returns how many. */
int ngi_graph_frontier(const ngi_graph *g, int node, int root, int *starts,
                       bool *room); /* room: [2 * n_nodes] */
/* Whether a path leads from node `from` to node `to`. */
bool ngi_graph_reaches(const ngi_graph *g, int from, int to);
/* Input pixels a cell of the node's output spans, per axis; 0 where it is not spatial or no input leads to it. */
void ngi_graph_stride(const ngi_graph *g, int node, double *stride_y, double *stride_x);
/* Node whose output is the score before the final softmax/sigmoid (the logits), walking back from the
 * output through activations, identities and reshapes; *act gets the final activation (LINEAR if none);
 * softmax is reported as `*softmax`. */
int ngi_graph_logits(const ngi_graph *g, ngi_activation *act, bool *softmax);
/* The layer explained by default: the last one with a spatial output of more than 1x1 before the global
 * reduction, on the path to the output. -1: none. */
int ngi_graph_automatic_layer(const ngi_graph *g);
bool ngi_graph_is_candidate(const ngi_graph *g, int layer);

#endif
