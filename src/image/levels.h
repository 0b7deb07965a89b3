/* Samples of any depth to 8 bits. */
#ifndef NGI_IMAGE_LEVELS_H
#define NGI_IMAGE_LEVELS_H

#include "base/base.h"

/* Lowest and highest finite sample; both 0 when there is none. */
void ngi_range_u16(const uint16_t *in, size_t n, double *low, double *high);
void ngi_range_float(const float *in, size_t n, double *low, double *high);
/* low..high to 0..255, rounded, clipped at both ends. A range without width gives 0; NaN gives 0. */
void ngi_levels_u16(const uint16_t *in, size_t n, double low, double high, uint8_t *out);
void ngi_levels_float(const float *in, size_t n, double low, double high, uint8_t *out);

#endif
