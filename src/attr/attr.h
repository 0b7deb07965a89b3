/* Attribution methods: one file and one row each. A method sees the graph, a run session after its forward pass, and
 * one image of the batch; it knows neither files nor pictures.
 *
 * A method that only weighs activations and gradients uses the job's own session (pair.c). One that runs the network on
 * other inputs, forward or backward, uses sample.c, which has run sessions of its own beside the job's. One that
 * changes a layer and runs what lies behind it asks part.c for the tail of the network. */
#ifndef NGI_ATTR_H
#define NGI_ATTR_H

#include "exec/exec.h"

/* What the scores at the end of the network mean. */
typedef struct ngi_head {
    int logits, output;        /* nodes: before and after the final activation */
    ngi_activation activation; /* SIGMOID or LINEAR */
    bool softmax;
    int width;   /* elements of the output */
    int classes; /* explained classes: width, or 2 for a one-output sigmoid */
} ngi_head;

ngi_head ngi_head_of(const ngi_graph *g);
/* Scores and probabilities of one image: z, p [classes] from the raw outputs [width]. A one-output sigmoid
 * gives class 1 = +z and class 0 = -z. A linear head of several outputs is taken as logits of a softmax,
 * one of a single output as the logit of a sigmoid. */
void ngi_head_scores(const ngi_head *head, const float *logits, const float *output, float *z, float *p);

/* ---- Targets (target.c): the number that is explained --------------------------------------- */

enum { NGI_RIVALS = 3 };

/* A target with everything that must stay the same for all inputs of one explanation. */
typedef struct ngi_target {
    ng_target kind;
    int class_index;
    int against;                      /* NG_TARGET_CONTRAST: the other class */
    int rivals[NGI_RIVALS], n_rivals; /* NG_TARGET_FINER: the classes next to it by logit */
    double alpha;                     /* NG_TARGET_FINER: weight of the rivals */
} ngi_target;

/* Chooses `against` (-1: the most likely other class) and the rivals from the scores z [classes] of the image. */
NG_NODISCARD ng_status ngi_target_init(const ngi_head *head, ng_target kind, int class_index, int against,
                                       double alpha, const float *z, ngi_target *out, ng_error *err);
/* S of one image from its raw outputs [width]. */
double ngi_target_score(const ngi_head *head, const ngi_target *t, const float *logits, const float *output);
/* dS/dlogits [width], overwritten. */
void ngi_target_seed(const ngi_head *head, const ngi_target *t, const float *logits, const float *output,
                     float *seed);

/* out [width] = H v, H the Hessian by the logits of what NG_TARGET_LOG_PROBABILITY and NG_TARGET_REST have beside terms that
 * are linear: of log p, for a softmax p p^T - diag p. */
void ngi_target_curve(const ngi_head *head, const ngi_target *t, const float *logits, const double *v,
                      float *out);

/* ---- Jobs ----------------------------------------------------------------------------------- */

enum { NGI_MAX_PARAMETERS = 12 };

typedef struct ngi_pool ngi_pool; /* part.c: run sessions beside the job's own; kept between explanations */

typedef struct ngi_attr_job {
    const ngi_graph *graph;
    const ngi_head *head;
    ngi_run_session *run;
    ngi_pool *pool;
    int index;                  /* the image explained, of the last forward's */
    const float *input;         /* its input [h,w,c] */
    const float *black, *white; /* [c]: what a black and a white pixel are there */
    int layer;                  /* layer index */
    ngi_target target;
    float probability; /* of the class, for messages */
    int bad_layer;     /* first layer whose activations are not finite, where that is known; else -1 */
    float *seed;       /* [width], the caller's room */
    double parameters[NGI_MAX_PARAMETERS];               /* in the order of the method's row */
    const float *baseline;                               /* [h,w,c] of NGI_BASELINE_GIVEN, or NULL */
    ng_smooth smooth;                                    /* done by the frame around the method */
    bool eigen;                                          /* by methods with info.sums_channels */
    int threads;                                         /* that sample.c may use */
    double seconds;                                      /* time that sample.c may take; 0: all it needs */
    int (*progress)(void *context, int done, int total); /* NULL, or called now and then; not 0: give up */
    void *context;
} ngi_attr_job;

typedef struct ngi_method {
    ng_method_info info; /* its parameters [info.parameter_count <= NGI_MAX_PARAMETERS] */
    /* Whether the method applies to this layer of this graph; the error says why not and what to use. */
    ng_status (*check)(const ngi_graph *g, int layer, ng_error *err);
    /* Fills signed_data [height,width] and gradient_norm of `map`, whose size is set already. It may set map->note
     * (e.g. the completeness of integrated gradients). */
    ng_status (*compute)(const ngi_attr_job *job, ng_map *map, ng_error *err);
} ngi_method;

int ngi_method_count(void);
const ngi_method *ngi_method_at(int index);
const ngi_method *ngi_method_find(const char *name, ng_error *err); /* NULL: not known, err says what is */

/* parameters.c: "samples=50,seed=3" over a row's defaults. NULL or "": the defaults. */
NG_NODISCARD ng_status ngi_parameters_read(const ng_method_info *method, const char *text, double *out,
                                           ng_error *err);
/* The value of a parameter, which the row must have. */
double ngi_parameter(const ngi_method *method, const ngi_attr_job *job, const char *name);

/* The mean of the method's maps of the job's image, mirrored and at several strengths (augment.c). */
NG_NODISCARD ng_status ngi_attr_augment(const ngi_method *method, const ngi_attr_job *job, ng_map *map,
                                        ng_error *err);
/* Joins maps of several layers (fuse.c); see ng_explain_opts.fuse. */
NG_NODISCARD ng_status ngi_attr_fuse(const ng_map *maps, int n, int height, int width, ng_fuse how,
                                     ng_map *out, ng_error *err);

/* Runs a method and judges the result: allocates the map, computes, applies relu, sets status and note. */
NG_NODISCARD ng_status ngi_attribute(const ngi_method *method, const ngi_attr_job *job, ng_map *map,
                                     ng_error *err);

/* The model's first input as a layer, its node and the values an image has there. */
int ngi_attr_input_layer(const ngi_graph *g);
ngi_shape ngi_attr_input_shape(const ngi_graph *g);

/* ---- The job's own session (pair.c) --------------------------------------------------------- */

/* Seeds the backward pass with the gradient of the job's score and runs it down to the job's layer. NG_OK even where
 * the seed is zero. */
NG_NODISCARD ng_status ngi_attr_backward(const ngi_attr_job *job, ng_error *err);

/* The activations [cells,channels] of the job's image at its layer. */
const float *ngi_attr_activations(const ngi_attr_job *job, int64_t *cells, int64_t *channels);

/* What a gradient CAM works on: activations and gradients of the explained image at the layer. */
typedef struct ngi_attr_pair {
    const float *act, *grad; /* [cells,channels] */
    int64_t cells, channels;
} ngi_attr_pair;

/* Runs the backward pass, finds the pair and sets map->gradient_norm. */
NG_NODISCARD ng_status ngi_attr_pair_compute(const ngi_attr_job *job, ng_map *map, ngi_attr_pair *out,
                                             ng_error *err);
/* signed_data = sum over channels of weights[k] * A_k, or by the job's eigen smoothing their principal component; of the
 * pair only the activations are read. */
NG_NODISCARD ng_status ngi_attr_weigh(const ngi_attr_job *job, const ngi_attr_pair *p, const double *weights,
                                      ng_map *map, ng_error *err);
/* signed_data = the terms [cells,channels], each channel less its mean, on their first right singular vector. */
NG_NODISCARD ng_status ngi_attr_principal(const double *terms, int64_t cells, int64_t channels, ng_map *map,
                                          ng_error *err);

/* ---- Other inputs (part.c, sample.c) -------------------------------------------------------- */

/* A part of the network and sessions to run it, made at first use and kept in the pool. */
typedef struct ngi_part ngi_part;

/* The whole network from its input, on the job's plan: its gradients and activations can be had. */
NG_NODISCARD ng_status ngi_part_whole(const ngi_attr_job *job, ngi_part **out, ng_error *err);
/* What lies behind a node, `batch` samples at a time. With `gradients` the gradient at the node can be had. */
NG_NODISCARD ng_status ngi_part_tail(const ngi_attr_job *job, int node, int batch, bool gradients,
                                     ngi_part **out, ng_error *err);
/* The whole network, run image by image, with the gradients of these nodes: for methods that need more of them than the
 * session keeps. */
NG_NODISCARD ng_status ngi_part_gradients(const ngi_attr_job *job, const int *nodes, int n, ngi_part **out,
                                          ng_error *err);
/* The nodes whose activations a sample gives: a tail's node first, then those that are read behind it beside it. */
int ngi_part_starts(const ngi_part *part, const int **nodes);
/* Their activations for the job's image, in that order; borrowed, until the next run of the job's session. */
NG_NODISCARD ng_status ngi_part_base(const ngi_attr_job *job, ngi_part *part, const float *const **base,
                                     ng_error *err);

enum { NGI_ALL_GRADIENTS = -2 };

typedef struct ngi_sampling {
    ngi_part *part;
    int count;
    int least; /* samples that are run however little time there is: without them there is no map; 0: one */
    int gradient_node; /* node whose gradient of the score is wanted; -1: none; NGI_ALL_GRADIENTS: all, by take_run */
    ngi_relu_rule rule;
    /* NULL, or for each start values that many samples have outside of a rectangle: of those without a gradient only what
     * depends on the rectangle is run then, to the same bytes. */
    const float *const *base;
    /* Writes sample i: x[k] for each start (the input, for the whole network), without batch. Called by any thread, in
     * any order. */
    void (*make)(void *context, int i, float *const *x);
    /* Gets the results in the order of i, on the caller's thread: its score, and the gradient at gradient_node. */
    void (*take)(void *context, int i, double score, const float *gradient);
    /* NULL, or gets more before take: ngi_run_activation and ngi_run_gradient of `run` at its image `at`. */
    void (*take_run)(void *context, int i, const ngi_run_session *run, int at);
    void *context;
} ngi_sampling;

/* Runs the samples on the job's threads. *done (may be NULL) gets how many were taken: fewer than count where the job's
 * time ran out, but `least`. NG_E_CANCELLED: the caller's progress said so. */
NG_NODISCARD ng_status ngi_attr_sample(const ngi_attr_job *job, const ngi_sampling *s, int *done,
                                       ng_error *err);

/* Work of many samples, each made from the one before: as a job that runs one, in its own time, and reports the whole's progress. */
typedef struct ngi_steps {
    const ngi_attr_job *job;
    int done, total;
} ngi_steps;
ngi_attr_job ngi_job_of_steps(ngi_steps *steps);

double ngi_attr_seconds(void); /* of a clock that only goes forward */

/* For a note: "20 masks", or "7 of 20 masks in the time given". Returns text. */
enum { NGI_DONE_TEXT = 80 };
const char *ngi_attr_done(char text[NGI_DONE_TEXT], int done, int total, const char *what);

NG_NODISCARD ng_status ngi_pool_create(ngi_plan *plan, ngi_pool **out, ng_error *err);
void ngi_pool_free(ngi_pool *pool);
const char *ngi_pool_backend(const ngi_pool *pool); /* that the job's session was made for */
ngi_plan *ngi_pool_plan(const ngi_pool *pool);      /* of the job's session */

/* ---- Checks that rows share ----------------------------------------------------------------- */

/* The layer is spatial and feeds the output. */
NG_NODISCARD ng_status ngi_attr_check_spatial(const ngi_graph *g, int layer, ng_error *err);
/* The layer is the model's input: for methods that explain pixels. */
NG_NODISCARD ng_status ngi_attr_check_input(const ngi_graph *g, int layer, ng_error *err);

/* Whether the node averages a whole map into one cell: global average pooling, by whatever layer. */
bool ngi_attr_pools_everything(const ngi_graph *g, int node);

#endif
