/* Pictures of maps: shared inside src/viz. */
#ifndef NGI_VIZ_H
#define NGI_VIZ_H

#include "image/image.h"
#include "image/text.h"
#include "tensor/tensor.h"

typedef struct ngi_colormap {
    const char *name;
    const uint8_t *rgb; /* [256,3] */
} ngi_colormap;

extern const ngi_colormap ngi_colormaps[];
extern const int ngi_colormap_total;

const ngi_colormap *ngi_colormap_find(const char *name, ng_error *err); /* NULL: not known */

/* How a map is shown: its values scaled to 0..1 and the colours. */
typedef struct ngi_display {
    const float *data;   /* [h,w] of the map: data or signed_data */
    float low, high;     /* map values shown as 0 and 1 */
    const uint8_t *rgb;  /* [256,3] */
} ngi_display;

NG_NODISCARD ng_status ngi_display_choose(const ng_map *map, const ng_render_opts *opts, ngi_display *out,
                                          ng_error *err);
/* 0..1; a display without range is 0 everywhere. */
float ngi_display_scale(const ngi_display *d, float value);

/* The map's value at image pixel (x, y), half-pixel bilinear through the geometry. */
float ngi_map_at(const float *data, int h, int w, const ng_geometry *g, double x, double y);

/* The compat conventions: the heatmap in colours and the overlay, each at that library's size. `overlay` may be NULL. */
NG_NODISCARD ng_status ngi_compat_render(const ng_map *map, const ng_image *image, const ng_geometry *g,
                                         const ng_render_opts *opts, ng_image *heatmap, ng_image *overlay, ng_error *err);

/* Copies `src` (1 or 3 channels) into the RGB canvas at (x, y); writes text in black at (x, y), its top left. */
void ngi_paste(ng_image *canvas, const ng_image *src, int x, int y);
/* How text stands to x: its left end, its middle, or its right end. */
typedef enum ngi_anchor { NGI_LEFT, NGI_CENTRE, NGI_RIGHT } ngi_anchor;
NG_NODISCARD ng_status ngi_write_text(ng_image *canvas, const char *text, int pixels, int x, int y, ngi_anchor anchor,
                                      int most_width, ng_error *err);

#endif
