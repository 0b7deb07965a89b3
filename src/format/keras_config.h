/* From a Keras model configuration (JSON text) to a graph, and from named tensors to its weights.
 *
 * Every format yields configuration text; weights are then bound by one of the ways below, because the
 * formats name them differently. */
#ifndef NGI_FORMAT_KERAS_CONFIG_H
#define NGI_FORMAT_KERAS_CONFIG_H

#include "format/format.h"

/* The layers as the configuration nests them. Weights of a leaf are the graph's weights
 * [first_weight, first_weight + n_weights) in the order of Keras's layer.weights. */
typedef struct ngi_keras_layer {
    char *name;       /* the layer's own name, not the path */
    char *class_name; /* "Conv2D", "Functional", ... without registration prefix */
    int first_weight, n_weights;
    struct ngi_keras_layer *children; /* of a nested model, in configuration order */
    int n_children;
} ngi_keras_layer;

/* Reads a model configuration ({"class_name": "Functional", "config": {...}}; Keras 2.2 to 3.x and tf-keras)
 * into a graph: flattened, layers named by path, weights allocated (zeros) with their shapes, shapes
 * inferred. `root` is the outer model. `where` (a path) starts every error. */
NG_NODISCARD ng_status ngi_keras_build(const char *where, const char *config, size_t size,
                                       const ngi_load_opts *opts, ngi_graph **graph, ngi_keras_layer **root,
                                       ng_error *err);
void ngi_keras_layer_free(ngi_keras_layer *root);

/* Where a reader gets weights from. `find` looks up a tensor; values go to `data` (count floats, converted
 * to float32) after its shape was compared with `shape`. */
typedef struct ngi_tensor_source {
    const char *where; /* the file, for errors */
    void *self;
    /* NG_E_NOT_FOUND (quietly) if there is no tensor of this name; `shape` gets what the file claims. */
    ng_status (*shape)(void *self, const char *name, ngi_shape *shape, ng_error *err);
    ng_status (*read)(void *self, const char *name, float *data, int64_t count, ng_error *err);
} ngi_tensor_source;

/* Reads one named tensor into graph weight `weight`: checks its shape ("f.h5: conv2d_3/kernel: expected
 * [3,3,32,64], found [3,3,32,32]"), reads, refuses NaN and infinity. */
NG_NODISCARD ng_status ngi_bind_weight(ngi_graph *g, int weight, const ngi_tensor_source *source,
                                       const char *name, ng_error *err);

#endif
