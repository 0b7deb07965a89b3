/* How the channels of a pixel become one number. */
#ifndef NGI_REDUCE_H
#define NGI_REDUCE_H

#include "attr/attr.h"

/* In the order of the choices; the signed sum shows evidence for and against. */
#define NGI_REDUCE_CHOICES "sum|abs-sum|abs-max|l2"
typedef enum ngi_reduce { NGI_REDUCE_SUM, NGI_REDUCE_ABS_SUM, NGI_REDUCE_ABS_MAX, NGI_REDUCE_L2 } ngi_reduce;

/* values [cells,channels] to map->signed_data [cells]; by the job's eigen smoothing, where that is asked for. */
NG_NODISCARD ng_status ngi_reduce_channels(const ngi_attr_job *job, ngi_reduce how, const double *values,
                                           int64_t cells, int64_t channels, ng_map *map, ng_error *err);

#endif
