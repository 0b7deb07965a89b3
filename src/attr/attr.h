/* Attribution methods: one file and one row each. A method sees the graph, a run session after its forward
 * pass, and one image of the batch; it knows neither files nor pixels. */
#ifndef NGI_ATTR_H
#define NGI_ATTR_H

#include "exec/exec.h"

/* What the scores at the end of the network mean. */
typedef struct ngi_head {
    int logits, output; /* nodes: before and after the final activation */
    ngi_activation activation; /* SIGMOID or LINEAR */
    bool softmax;
    int width;          /* elements of the output */
    int classes;        /* explained classes: width, or 2 for a one-output sigmoid */
} ngi_head;

ngi_head ngi_head_of(const ngi_graph *g);
/* Scores and probabilities of one image: z, p [classes] from the raw outputs [width]. A one-output sigmoid
 * gives class 1 = +z and class 0 = -z. A linear head of several outputs is taken as logits of a softmax,
 * one of a single output as the logit of a sigmoid. */
void ngi_head_scores(const ngi_head *head, const float *logits, const float *output, float *z, float *p);

typedef struct ngi_attr_job {
    const ngi_graph *graph;
    const ngi_head *head;
    ngi_run_session *run;
    int n;             /* images of the last forward */
    int index;         /* the one explained */
    int layer;         /* layer index */
    int class_index;
    ng_target target;
    float probability; /* of the class, for messages */
    int bad_layer;     /* first layer whose activations are not finite, where that is known; else -1 */
    float *seed;       /* [n,width], the caller's room */
} ngi_attr_job;

typedef struct ngi_method {
    ng_method_info info;
    /* Whether the method applies to this layer of this graph; the error says why not and what to use. */
    ng_status (*check)(const ngi_graph *g, int layer, ng_error *err);
    /* Fills signed_data [height,width] and gradient_norm of `map`, whose size is set already. */
    ng_status (*compute)(const ngi_attr_job *job, ng_map *map, ng_error *err);
} ngi_method;

extern const ngi_method ngi_method_gradcam, ngi_method_cam, ngi_method_hirescam, ngi_method_gradcamelementwise,
    ngi_method_gradcampp, ngi_method_xgradcam, ngi_method_layercam;

int ngi_method_count(void);
const ngi_method *ngi_method_at(int index);
const ngi_method *ngi_method_find(const char *name, ng_error *err); /* NULL: not known, err says what is */

/* Runs a method and judges the result: allocates the map, computes, applies relu, sets status and note. */
NG_NODISCARD ng_status ngi_attribute(const ngi_method *method, const ngi_attr_job *job, ng_map *map, ng_error *err);

/* Seeds the backward pass with the gradient of the job's score and runs it. NG_OK even where the seed is
 * zero. */
NG_NODISCARD ng_status ngi_attr_backward(const ngi_attr_job *job, ng_error *err);
/* What a gradient CAM works on: activations and gradients of the explained image at the layer. */
typedef struct ngi_attr_pair {
    const float *act, *grad; /* [cells,channels] */
    int64_t cells, channels;
} ngi_attr_pair;

/* Runs the backward pass, finds the pair and sets map->gradient_norm. */
NG_NODISCARD ng_status ngi_attr_pair_compute(const ngi_attr_job *job, ng_map *map, ngi_attr_pair *out, ng_error *err);
/* signed_data = sum over channels of weights[k] * A_k. */
void ngi_attr_weigh(const ngi_attr_pair *p, const double *weights, ng_map *map);

/* The layer is spatial and feeds the output; shared by the checks of CAM-like methods. */
NG_NODISCARD ng_status ngi_attr_check_spatial(const ngi_graph *g, int layer, ng_error *err);

#endif
