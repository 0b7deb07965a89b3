/* A model on its way into a file: flat (no models inside models), every layer with a configuration that says no more than
 * what the target's readers all know. Made from a traced configuration (save_flat.c), layer by layer (save_layers.c) or,
 * where the target has no such class, node by node (save_nodes.c); printed in a dialect (save_config.c). */
#ifndef NGI_FORMAT_SAVE_MODEL_H
#define NGI_FORMAT_SAVE_MODEL_H

#include "format/keras_model.h"

/* Who is to read the file. HDF5 files are read by Keras 2 and 3 alike. */
typedef enum ngi_dialect {
    NGI_DIALECT_KERAS3 = 1,
    NGI_DIALECT_KERAS2 = 2,
    NGI_DIALECT_TFJS = 4,
} ngi_dialect;

typedef struct ngi_flat_layer {
    char *name;             /* unique; without '/' */
    char *wish, *path;      /* the name it had or asks for; with the models it was in (NULL: a new layer) */
    const char *class_name; /* borrowed */
    const json_t *verbatim; /* a function on tensors of Keras 3, written as it was read; NULL: a layer */
    json_t *config;         /* without name, trainable, dtype */
    bool trainable, is_input, takes_list;
    int weights[NGI_LAYER_WEIGHTS]; /* of the graph */
    int n_weights;
    ngi_weight own; /* the one weight of a layer that stands for something without weights; data NULL: none */
} ngi_flat_layer;

typedef struct ngi_flat_call {
    int layer;
    int first_input, n_inputs; /* calls, in ngi_flat.inputs */
    ngi_shape shape;           /* of the output, without batch */
    const json_t *json;        /* of a layer that is verbatim */
} ngi_flat_call;

typedef struct ngi_flat {
    const ngi_keras_source *source;
    ngi_dialect dialect;
    ngi_flat_layer *layers;
    ngi_flat_call *
        calls; /* in an order in which they can be computed; those of one layer in the order of their numbers */
    int *inputs;
    int n_layers, layer_capacity, n_calls, call_capacity, n_inputs, input_capacity;
    int *ends; /* calls: the model's inputs that are needed, then its outputs, each in its order */
    int n_ins, n_outs;
    int *producer; /* [graph nodes] the call whose output a node is; -1 */
    int *written;  /* [graph layers] the flat layer; -1 */
} ngi_flat;

/* Lays a model flat; clear also after a failure. */
NG_NODISCARD ng_status ngi_flat_init(ngi_flat *f, const ngi_keras_source *source, ngi_dialect dialect,
                                     ng_error *err);
void ngi_flat_clear(ngi_flat *f);
/* Takes over `config` (NULL: out of memory). `path` may be NULL. */
NG_NODISCARD ng_status ngi_flat_add_layer(ngi_flat *f, const char *wish, const char *path,
                                          const char *class_name, json_t *config, int *out, ng_error *err);
NG_NODISCARD ng_status ngi_flat_add_call(ngi_flat *f, int layer, const int *inputs, int n_inputs,
                                         const ngi_shape *shape, int *out, ng_error *err);
/* The k-th weight of a layer; `graph` holds the values. */
const ngi_weight *ngi_flat_weight(const ngi_flat_layer *l, int k, const ngi_graph *graph);
/* Drops what no output needs, puts layers in the order in which Keras keeps them, and names them. */
NG_NODISCARD ng_status ngi_flat_finish(ngi_flat *f, ng_error *err);

/* compose.c: the traced configuration of a model, without weights; with those of the model, lent. */
NG_NODISCARD ng_status ngi_file_open(const ngi_model_file *file, ngi_keras_source *out, ng_error *err);
NG_NODISCARD ng_status ngi_file_source(const ngi_model_file *file, ngi_keras_source *out, ng_error *err);

/* save_layers.c: what a layer class becomes. *known is false where the target has no such layer, or not with these
 * settings; its nodes are then written one by one. */
NG_NODISCARD ng_status ngi_save_layer(ngi_flat *f, const ngi_traced_call *call, const char **class_name,
                                      json_t **config, bool *known, ng_error *err);
/* The name of an activation in the target; NULL if it has none for this one. */
const char *ngi_save_activation(ngi_dialect dialect, const ngi_node *node);
/* A call of one activation that may have no name in the target, behind call `in`. */
NG_NODISCARD ng_status ngi_save_node(ngi_flat *f, const ngi_traced_call *call, int node, int *out,
                                     ng_error *err);

/* save_config.c: the configuration as text; ngi_free it. `inputs_open`: sizes that the source leaves open stay open. */
NG_NODISCARD ng_status ngi_flat_print(const ngi_flat *f, bool inputs_open, char **text, size_t *size,
                                      ng_error *err);

#endif
