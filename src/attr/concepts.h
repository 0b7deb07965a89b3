/* Concepts of a class, without labels: CRAFT (Fel et al., 2023). */
#ifndef NGI_CONCEPTS_H
#define NGI_CONCEPTS_H

#include "attr/attr.h"
#include "attr/nmf.h"

typedef struct ngi_concepts {
    int k;            /* concepts */
    int64_t channels; /* of the layer */
    int64_t rows, room;
    double *table;           /* [rows,channels] mean activations of crops */
    double *w, *h;           /* [rows,k], [k,channels] after learning; one block */
    double *sums, *squares;  /* [k] of the images' indices; one block */
    int images;              /* weighed */
    int order[NGI_NMF_MOST]; /* concepts by importance */
} ngi_concepts;

NG_NODISCARD ng_status ngi_concepts_init(int k, int64_t channels, ngi_concepts *out, ng_error *err);
void ngi_concepts_clear(ngi_concepts *c);
/* Crop `index` of per_side x per_side evenly spread ones, each `share` of the image's sides, resized to the image's size. */
void ngi_concepts_crop(const float *image, const ngi_shape *s, int index, int per_side, double share,
                       float *plane, float *out);
/* Its place in cells of h x w: [y0,y1) x [x0,x1). */
void ngi_concepts_box(int h, int w, int index, int per_side, double share, double box[4]);
/* A crop's activations [cells,channels]: their mean becomes a row. */
NG_NODISCARD ng_status ngi_concepts_add(ngi_concepts *c, const float *act, int64_t cells, ng_error *err);
NG_NODISCARD ng_status ngi_concepts_learn(ngi_concepts *c, int iterations, uint64_t seed,
                                          int (*progress)(void *context, int done, int total), void *context,
                                          ng_error *err);
/* Adds the total Sobol indices (Jansen's estimate over `design` points) of the job's image: of what share of the score's
 * variance each concept has a part, when the concepts' strengths are multiplied by numbers between 0 and 1. */
NG_NODISCARD ng_status ngi_concepts_weigh(ngi_concepts *c, const ngi_attr_job *job, int design, uint64_t seed,
                                          ng_error *err);

#endif
