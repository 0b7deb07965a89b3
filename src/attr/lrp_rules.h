/* The rules by which a layer with weights shares its output's relevance R among its inputs a:
 *   epsilon     R_i = sum_j a_i w_ij R_j / (z_j + eps sign z_j)
 *   gamma       where z > 0 with w + gamma w+ for a+ and w + gamma w- for a-, so that what spoke for the output counts more; where
 *               z < 0 with w- and w+ exchanged (Andeol et al., 2021; for a >= 0 and z > 0 Montavon's rule), as in zennit
 *   z+          with w+ for a+ and w- for a-: what spoke for the output
 *   alpha-beta  2 times what spoke for, less 1 times what spoke against
 *   flat        evenly, whatever a and w are */
#ifndef NGI_LRP_RULES_H
#define NGI_LRP_RULES_H

#include "attr/attr.h"

typedef enum ngi_lrp_rule {
    NGI_LRP_EPSILON,
    NGI_LRP_GAMMA,
    NGI_LRP_PLUS,
    NGI_LRP_ALPHA_BETA,
    NGI_LRP_FLAT
} ngi_lrp_rule;

#define NGI_LRP_STABILIZER 1e-6 /* of all rules but epsilon, and of means, as in zennit */

static inline double ngi_stabilised(double z, double epsilon)
{
    return z + (z >= 0 ? epsilon : -epsilon);
}

/* A convolution or dense layer with the batch norm behind it folded in. */
typedef struct ngi_weighted {
    const ngi_graph *graph;
    int node;
    const float *input, *output; /* the values that the network has there; output: behind the norm */
    float *kernel, *bias;        /* [count], [channels] */
    int64_t count, channels;
} ngi_weighted;

/* norm: a batch norm's node; -1: none. */
NG_NODISCARD ng_status ngi_weighted_fold(const ngi_graph *g, int node, int norm, const float *input,
                                         const float *output, ngi_weighted *out, ng_error *err);
void ngi_weighted_clear(ngi_weighted *w);

/* Adds to r, of the input's size, what comes of the output's relevance. */
NG_NODISCARD ng_status ngi_lrp_share(const ngi_attr_job *job, const ngi_weighted *w, ngi_lrp_rule rule,
                                     double epsilon, double gamma, const float *relevance, float *r,
                                     ng_error *err);

#endif
