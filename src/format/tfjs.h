/* The names that a TF.js manifest may give to a graph's weights. */
#ifndef NGI_FORMAT_TFJS_H
#define NGI_FORMAT_TFJS_H

#include "format/keras_config.h"

typedef struct ngi_tfjs_name {
    char *name;
    int weight;
} ngi_tfjs_name;

typedef struct ngi_tfjs_names {
    ngi_tfjs_name *by_path, *by_name; /* sorted: "inception_v3/conv2d/kernel" and "conv2d/kernel" */
    size_t count;                     /* of both */
} ngi_tfjs_names;

NG_NODISCARD ng_status ngi_tfjs_names_fill(ngi_tfjs_names *names, const ngi_graph *g,
                                           const ngi_keras_layer *root, ng_error *err);
void ngi_tfjs_names_clear(ngi_tfjs_names *names);
/* The weight that a manifest's name stands for: -1 none, -2 several. */
int ngi_tfjs_names_find(const ngi_tfjs_names *names, const char *name);

#endif
