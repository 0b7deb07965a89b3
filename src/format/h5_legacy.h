/* Weights by layer group, shared by h5_legacy.c (groups to layers) and h5_legacy_match.c (inside a group). */
#ifndef NGI_FORMAT_H5_LEGACY_H
#define NGI_FORMAT_H5_LEGACY_H

#include "format/h5.h"

/* A layer group with weights. */
typedef struct ngi_h5_group {
    char *name;
    ngi_names weights; /* dataset paths within the group; integers left out */
    char *integer;     /* the first of those, or NULL */
} ngi_h5_group;

typedef struct ngi_h5_legacy {
    ngi_h5 *h;
    const char *where, *parent; /* the file; "/" or "/model_weights" */
    ngi_graph *g;
    ngi_h5_group *groups;
    size_t n_groups;
    const ngi_keras_layer **layers; /* of the outer model, those with weights */
    size_t n_layers;
} ngi_h5_legacy;

/* "/model_weights/NAME", a new string. */
char *ngi_h5_group_path(const ngi_h5_legacy *l, const char *name);
/* Which stored weight goes to which: rearranges `weights` [n] (graph weights in the layers' order) and
 * fills order [n]: weights[i] is the group's weight order[i]. `leaf`: the group is one layer's, so that
 * variable names alone decide. */
NG_NODISCARD ng_status ngi_h5_match(const ngi_h5_legacy *l, const ngi_h5_group *stored, int *weights,
                                    size_t n, bool leaf, size_t *order, ng_error *err);

#endif
