/* Regions of an image that overlap: segments at several scales, each widened a little. */
#ifndef NGI_REGIONS_H
#define NGI_REGIONS_H

#include "attr/attr.h"

typedef struct ngi_regions {
    int h, w, n;
    int64_t *first; /* [h*w + 1] where a pixel's regions begin in list */
    int *list;      /* [first[h*w]] regions, scale by scale */
} ngi_regions;

/* Felzenszwalb's segments of the job's image as XRAI's authors make them (saliency's xrai.py): values scaled to -1..1,
 * resized to 224x224, six scales, led back, widened by a disk of radius 5. */
NG_NODISCARD ng_status ngi_regions_felzenszwalb(const ngi_attr_job *job, ngi_regions *out, ng_error *err);
/* SLIC's superpixels at five scales, `segments` at the coarsest and twice as many at each next one. */
NG_NODISCARD ng_status ngi_regions_slic(const ngi_attr_job *job, int segments, ngi_regions *out,
                                        ng_error *err);
void ngi_regions_clear(ngi_regions *r);

#endif
