/* How the channels of a pixel become one number. */
#ifndef NGI_REDUCE_H
#define NGI_REDUCE_H

#include <stdint.h>

/* In the order of the choices; the signed sum shows evidence for and against. */
#define NGI_REDUCE_CHOICES "sum|abs-sum|abs-max|l2"
typedef enum ngi_reduce { NGI_REDUCE_SUM, NGI_REDUCE_ABS_SUM, NGI_REDUCE_ABS_MAX, NGI_REDUCE_L2 } ngi_reduce;

/* values [cells,channels] to out [cells]. */
void ngi_reduce_channels(ngi_reduce how, const double *values, int64_t cells, int64_t channels, float *out);

#endif
