/* A colour bar with the map's own values beside it. */
#ifndef NGI_COLORBAR_H
#define NGI_COLORBAR_H

#include "base/base.h"
#include "viz/scale.h"

#define NGI_MAX_TICKS 12

/* Round values (1, 2, 5 times a power of ten) from low to high; count <= NGI_MAX_TICKS. All are to be printed
 * with `decimals` after division by 10^exponent. */
typedef struct ngi_ticks {
    double value[NGI_MAX_TICKS];
    int count, decimals, exponent;
} ngi_ticks;

ngi_ticks ngi_ticks_of(ngi_scale scale, int wanted);

typedef struct ngi_colorbar {
    ngi_scale scale;
    const uint8_t *rgb; /* [256,3] */
    ngi_ticks ticks;
    ng_image labels[NGI_MAX_TICKS]; /* masks */
    ng_image factor;                /* mask of "x10^n" above the bar; empty when not needed */
    int width, height;              /* of the bar with its numbers; the factor stands above, outside */
    int bar_width;
} ngi_colorbar;

/* Lays out a bar of `height` pixels with numbers of `font` pixels. */
NG_NODISCARD ng_status ngi_colorbar_create(ngi_scale scale, const uint8_t *rgb, int height, int font,
                                           ngi_colorbar *out, ng_error *err);
void ngi_colorbar_draw(const ngi_colorbar *bar, ng_image *canvas, int x, int y);
void ngi_colorbar_clear(ngi_colorbar *bar);

#endif
