/* Faithfulness of a map: the network run again on the image with pixels removed in the map's order. */
#ifndef NGI_METRICS_FAITHFULNESS_H
#define NGI_METRICS_FAITHFULNESS_H

#include "attr/attr.h"

/* The job names image, class and threads; its method, layer and parameters are not looked at. */
NG_NODISCARD ng_status ngi_faithfulness(const ngi_attr_job *job, const ng_map *map,
                                        const ng_faithfulness_opts *opts, ng_faithfulness *out,
                                        ng_error *err);

/* out [h,w]: the relu'd map at this size, from minimum to maximum as 0 to 1; a constant one is 0. */
void ngi_map_scale(const ng_map *map, int h, int w, float *out);
/* out [h,w,c]: the job's input, black where scaled [h,w] is 0. */
void ngi_mask_input(const ngi_attr_job *job, const float *scaled, float *out);

#endif
