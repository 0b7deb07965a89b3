/* The box around what a map shows, in image pixels: the map is led to the image as in the overlay (half-pixel bilinear),
 * cut at a share of its largest value, and the largest of the connected regions that are left (8 neighbours) gives the
 * box. This is how Zhou et al. ("Learning deep features for discriminative localization", CVPR 2016, share 0.2) and
 * Selvaraju et al. (Grad-CAM, share 0.15) localise objects. */
#include "viz/render.h"

#include <math.h>

#include "image/image.h"
#include "tensor/tensor.h"

ng_status ng_map_box(const ng_map *map, const ng_geometry *geometry, double threshold, ng_box *out,
                     ng_error *err)
{
    *out = (ng_box){0};
    ng_render_opts opts;
    NGI_TRY(ngi_render_check(map, NULL, geometry, NULL, &opts, err));
    if (!(threshold > 0 && threshold <= 1))
        return ngi_fail(err, NG_E_ARGUMENT, "box threshold %g: expected a share of the maximum, above 0 to 1",
                        threshold);
    int w = geometry->image_width, h = geometry->image_height;
    if ((int64_t)w * h > NGI_MAX_PIXELS)
        return ngi_fail(err, NG_E_LIMIT, "an image of %dx%d pixels is too large for a box", w, h);
    size_t n = (size_t)w * (size_t)h;
    float *values = ngi_alloc(n, sizeof *values);
    int *queue = ngi_alloc(n, sizeof *queue);
    if (!values || !queue) {
        ngi_free(values);
        ngi_free(queue);
        return ngi_fail_memory(err, n * (sizeof *values + sizeof *queue));
    }
    ngi_map_spread(map->data, map->height, map->width, geometry, values);
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = values[i] > largest ? values[i] : largest;
    if (largest > 0)
        *out = ngi_largest_region(values, w, h, threshold * (double)largest, queue);
    ngi_free(values);
    ngi_free(queue);
    return NG_OK;
}
