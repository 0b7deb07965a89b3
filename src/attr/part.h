/* What a part of the network is made of, for part.c, which makes and keeps it, and sample.c, which runs it. */
#ifndef NGI_PART_H
#define NGI_PART_H

#include "attr/attr.h"

typedef struct ngi_worker {
    ngi_run_session *run;
    float **x;   /* [n_starts]: [batch] + shape */
    float *seed; /* [batch,width] */
} ngi_worker;

struct ngi_part {
    ngi_part *next;    /* in the pool */
    ngi_plan *plan;    /* counted */
    int node;          /* behind which it lies; -1: the whole network */
    int *gradients_of; /* [n_gradients] nodes, of the whole network; NULL: those of the job's plan */
    int n_gradients;
    int batch;
    bool gradients;
    int *starts; /* [n_starts] nodes */
    int n_starts;
    ngi_plan *base_plan; /* gives the starts' activations where the job's session does not; or NULL */
    ngi_run_session *base_run;
    const float **base; /* [n_starts], of the job's image */
    ngi_worker *workers;
    int n_workers;
};

static inline int64_t ngi_node_count(const ngi_graph *g, int node)
{
    return ngi_shape_count(&g->nodes[node].shape);
}

/* Sees to it that the part has n workers. */
NG_NODISCARD ng_status ngi_part_want(const ngi_attr_job *job, ngi_part *p, int n, ng_error *err);

#endif
