/* A model of a Keras configuration between reading and building: its layers, their calls, and what each call takes.
 * Models inside it hang at their layers; a model is read once and built once for every call of it. */
#ifndef NGI_FORMAT_KERAS_MODEL_H
#define NGI_FORMAT_KERAS_MODEL_H

#include "format/keras_build.h"

typedef struct ngi_kmodel ngi_kmodel;

/* What a call takes: output `tensor` of call `call` of the same model, or a constant (call -1). */
typedef struct ngi_kargument {
    int call, tensor;
    const json_t *value;
    const char *key; /* NULL: positional */
} ngi_kargument;

typedef struct ngi_kcall {
    int layer;
    int first_argument, n_arguments;
    int training;     /* 1, 0 or -1: not said */
    int first_output; /* of layer.n_outputs, in ngi_kmodel.nodes */
} ngi_kcall;

typedef struct ngi_klayer {
    const char *name;
    const json_t *json; /* NULL: an input that the configuration leaves out */
    bool is_input, is_op;
    const char *package; /* of a registered class of someone's own; NULL for Keras's */
    int package_length;
    ngi_building_layer leaf;
    ngi_kmodel *model; /* NULL: a leaf */
    int n_outputs;
    int first_call, n_calls;
    int first_node_index; /* 1 where references count a nested model's own first node */
    ngi_keras_layer *tree;
} ngi_klayer;

struct ngi_kmodel {
    const json_t *config;
    char *path; /* "" for the outer model, else "inception_v3" */
    bool trainable;
    int depth;
    ngi_klayer *layers; /* [n_layers], one more for an input left out */
    int n_layers;
    int *by_name;     /* [n_layers] sorted by name */
    ngi_kcall *calls; /* those of one layer stand together */
    int n_calls, call_capacity;
    ngi_kargument *arguments;
    int n_arguments, argument_capacity;
    int *order;                      /* [n_calls] every call after those it takes from */
    ngi_kargument *inputs, *outputs; /* inputs: call of an InputLayer */
    int n_inputs, n_outputs;
    int *nodes; /* graph nodes of all calls' outputs, of the building at hand */
    int n_nodes;
    ngi_keras_layer *tree;
};

/* A call of a leaf layer, or an input of the graph, as it was built: the model with everything inside it laid flat. */
typedef struct ngi_traced_call {
    const ngi_klayer *layer;
    const json_t
        *json;  /* of the call, as the configuration writes it; NULL: an input, a layer of a Sequential */
    int number; /* among the layer's calls */
    int first_node, n_nodes, output;
    int first_input, n_inputs; /* nodes that it takes, in ngi_trace.inputs, in the configuration's order */
} ngi_traced_call;

typedef struct ngi_trace {
    ngi_traced_call *calls;
    int *inputs;
    int n_calls, call_capacity, n_inputs, input_capacity;
} ngi_trace;

/* A configuration with all that was made of it. */
typedef struct ngi_keras_source {
    json_t *json;
    ngi_graph *graph;
    ngi_keras_layer *tree;
    ngi_kmodel *model;
    ngi_trace trace;
    bool keras2;
} ngi_keras_source;

/* keras_config.c; close also after a failure */
NG_NODISCARD ng_status ngi_keras_open(const char *where, const char *config, size_t size,
                                      const ngi_load_opts *opts, ngi_keras_source *out, ng_error *err);
void ngi_keras_close(ngi_keras_source *s);

/* keras_model.c: builds the outer model, fills the graph and the tree */
NG_NODISCARD ng_status ngi_keras_model(ngi_keras_builder *b, const json_t *json, ngi_keras_layer *tree,
                                       ngi_kmodel **out, ng_error *err);
void ngi_kmodel_free(ngi_kmodel *m);

/* keras_call.c */
/* Makes room for one more in a growing list. */
NG_NODISCARD ng_status ngi_kmodel_reserve(void **array, int *capacity, int count, size_t size, ng_error *err);
NG_NODISCARD ng_status ngi_kmodel_read_calls(ngi_kmodel *m, ng_error *err);
/* The list of references "input_layers" or "output_layers". */
NG_NODISCARD ng_status ngi_kmodel_read_ends(ngi_kmodel *m, const char *key, ngi_kargument **out, int *n,
                                            ng_error *err);
/* Appends a call of a layer / an argument of the last call. */
NG_NODISCARD ng_status ngi_kmodel_add_call(ngi_kmodel *m, int layer, ng_error *err);
NG_NODISCARD ng_status ngi_kmodel_add_argument(ngi_kmodel *m, ngi_kargument argument, ng_error *err);
/* The layer of this name, -1 if there is none. */
int ngi_kmodel_find(const ngi_kmodel *m, const char *name);
/* Puts the calls in order; a cycle is an error. */
NG_NODISCARD ng_status ngi_kmodel_sort(ngi_kmodel *m, ng_error *err);

/* keras_model_build.c; inputs: nodes, [m->n_inputs], NULL for the outer model */
NG_NODISCARD ng_status ngi_kmodel_build(ngi_keras_builder *b, ngi_kmodel *m, const int *inputs,
                                        ng_error *err);

#endif
