/* The parts that overlay, compat and figure share. All images made here are RGB. */
#ifndef NGI_RENDER_H
#define NGI_RENDER_H

#include "base/base.h"
#include "viz/scale.h"

/* What a picture is made of. `base`: the image beneath the heatmap, at the overlay's size; for a heatmap
 * alone (no image given) it stays empty. `rgb`: the colour table used, for the colour bar. */
typedef struct ngi_picture {
    ng_image base, heatmap, overlay;
    ngi_scale scale;
    const uint8_t *rgb; /* [256,3] */
} ngi_picture;

void ngi_picture_clear(ngi_picture *picture);

/* Checks everything a caller hands in and copies the options (NULL: defaults). `image` may be NULL. */
NG_NODISCARD ng_status ngi_render_check(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                                        const ng_render_opts *given, ng_render_opts *opts, ng_error *err);
/* The values to be drawn, [h,w]. */
const float *ngi_render_values(const ng_map *map, const ng_render_opts *opts);
/* Draws by the default rule or a library's; arguments must have been checked. */
NG_NODISCARD ng_status ngi_render_default(const ng_map *map, const ng_image *image,
                                          const ng_geometry *geometry, const ng_render_opts *opts,
                                          ngi_picture *out, ng_error *err);
NG_NODISCARD ng_status ngi_render_compat(const ng_map *map, const ng_image *image,
                                         const ng_geometry *geometry, const ng_render_opts *opts,
                                         ngi_picture *out, ng_error *err);
/* Either of the two. */
NG_NODISCARD ng_status ngi_render_picture(const ng_map *map, const ng_image *image,
                                          const ng_geometry *geometry, const ng_render_opts *opts,
                                          ngi_picture *out, ng_error *err);

/* round((1 - alpha) * base + alpha * heat) of one sample. */
uint8_t ngi_blend(uint8_t base, uint8_t heat, double alpha);

/* The uint8 map of the article at the input's size: min-max with 1e-8, truncated at the grid, resized by
 * OpenCV. */
NG_NODISCARD ng_status ngi_article_levels(const float *values, int h, int w, uint8_t *levels, int oh, int ow,
                                          ng_error *err);

#endif
