/* Raw map values to display values 0..1, and back for the colour bar's numbers. */
#ifndef NGI_SCALE_H
#define NGI_SCALE_H

#include "base/base.h"

/* Map values that are shown as 0 and as 1. Equal where the map has no extent (all zero, constant). */
typedef struct ngi_scale {
    double low, high;
} ngi_scale;

/* The scale of `values` [n] by the options' norm. Signed maps get one that is symmetric around 0. */
NG_NODISCARD ng_status ngi_scale_of(const float *values, int64_t n, const ng_render_opts *opts,
                                    ngi_scale *out, ng_error *err);
/* display[i] = clip((values[i] - low) / (high - low), 0, 1); a scale without extent gives 0. */
void ngi_scale_apply(ngi_scale scale, const float *values, int64_t n, float *display);

#endif
