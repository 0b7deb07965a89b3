/* The cone of a change: what of each map depends on the rectangle of the input in which an image differs from another one,
 * what is computed again, and what of the other one's run has to lie around that. Rectangles are the smallest ones; whatever
 * an op does that is not known to stay local changes all of a map. */
#ifndef NGI_EXEC_CONE_H
#define NGI_EXEC_CONE_H

#include "exec/plan.h"

/* Each [n_nodes][batch]. */
typedef struct ngi_cone {
    ngi_rect *changed; /* may differ from the other image's */
    ngi_rect *needed;  /* is read, or readable after the run */
    ngi_rect *made;    /* is computed, of nodes that steps write */
} ngi_cone;

NG_NODISCARD ng_status ngi_cone_init(ngi_cone *c, const ngi_plan *p, ng_error *err);
void ngi_cone_clear(ngi_cone *c);

/* How a map lies: [h][w] pixels of c numbers. What has no height and width is one line of pixels. */
typedef struct ngi_map_size {
    int64_t h, w, c;
} ngi_map_size;

ngi_map_size ngi_map_size_of(const ngi_shape *s);
ngi_rect ngi_map_all(const ngi_shape *s);

/* The rectangle outside of which two maps are the same to the last bit. */
ngi_rect ngi_cone_difference(const ngi_shape *s, const float *a, const float *b);
/* From `changed` of the plan's inputs to all of the cone, for n images. Returns the share of a whole run's arithmetic that is
 * left. */
double ngi_cone_fill(ngi_cone *c, const ngi_plan *p, int n);

#endif
