/* Methods that switch superpixels (SLIC) on and off and fit the score: what they share. The value of a pixel is its superpixel's
 * coefficient. */
#ifndef NGI_SUPERPIXEL_H
#define NGI_SUPERPIXEL_H

#include "attr/attr.h"
#include "attr/baseline.h"

#define NGI_SEGMENT_PARAMETERS                                                                              \
    {.name = "segments", .value = 50, .low = 2, .high = 1000, .whole = 1, .summary = "superpixels, about"}, \
    {                                                                                                       \
        .name = "compactness", .value = 10, .low = 0.01, .high = 1000,                                      \
        .summary = "of the superpixels: position against colour"                                            \
    }
#define NGI_COVER_PARAMETERS                                                                                \
    {.name = "baseline",                                                                                    \
     .value = NGI_BASELINE_GREY,                                                                            \
     .choices = NGI_BASELINE_CHOICES,                                                                       \
     .summary = "what is seen where a superpixel is off"},                                                  \
        {.name = "blur",                                                                                    \
         .value = 10,                                                                                       \
         .low = 0.1,                                                                                        \
         .high = 200,                                                                                       \
         .summary = "of baseline blur: deviation in pixels"},                                               \
    {                                                                                                       \
        .name = "seed", .value = 0, .low = 0, .high = 4294967295.0, .whole = 1, .summary = "of the samples" \
    }

typedef struct ngi_study {
    const float *input, *cover; /* [pixels,depth] */
    const int *labels;          /* [pixels] */
    int64_t pixels, depth;
    int n;            /* superpixels */
    uint8_t *samples; /* [count,n] 0 or 1 */
    double *scores;   /* [count] */
    int count;
    bool exact;   /* set by fit: nothing was left to chance */
    double error; /* set by fit: mean standard error of a coefficient; below 0: not known */
} ngi_study;

typedef struct ngi_fitting {
    const ngi_method *method; /* with both lists of parameters above, and "samples" */
    /* Fills samples; may lower count. */
    ng_status (*draw)(const ngi_attr_job *job, ngi_study *s, uint64_t seed, ng_error *err);
    /* coefficients [n], zero at first, from the scores of the first `done` samples. */
    ng_status (*fit)(const ngi_attr_job *job, ngi_study *s, int done, double *coefficients, ng_error *err);
} ngi_fitting;

NG_NODISCARD ng_status ngi_superpixel_map(const ngi_attr_job *job, const ngi_fitting *f, ng_map *map,
                                          ng_error *err);

#endif
