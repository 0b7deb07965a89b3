/* The box around what a map shows, in image pixels: the map is led to the image as in the overlay (half-pixel bilinear),
 * cut at a share of its largest value, and the largest of the connected regions that are left (8 neighbours) gives the
 * box. This is how Zhou et al. ("Learning deep features for discriminative localization", CVPR 2016, share 0.2) and
 * Selvaraju et al. (Grad-CAM, share 0.15) localise objects. */
#include "viz/render.h"

#include <math.h>

#include "image/image.h"
#include "tensor/tensor.h"

/* The map at image pixels, [h,w]; 0 outside of what the input covered. */
static void spread(const ng_map *map, const ng_geometry *g, float *out)
{
    int w = g->image_width, h = g->image_height;
    double cells_x = map->width / (g->x1 - g->x0), cells_y = map->height / (g->y1 - g->y0);
    ngi_resize_bilinear(map->data, map->height, map->width, (0 - g->y0) * cells_y, (0 - g->x0) * cells_x,
                        (h - g->y0) * cells_y, (w - g->x0) * cells_x, out, h, w);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            if (!(x + 0.5 >= g->x0 && x + 0.5 < g->x1 && y + 0.5 >= g->y0 && y + 0.5 < g->y1))
                out[(size_t)y * (size_t)w + (size_t)x] = 0;
}

/* The region around pixel `at`, by a queue of pixels [h*w]; its pixels are set to 0. */
static ng_box take_region(float *values, int w, int h, double least, int at, int *queue)
{
    ng_box box = {.x = w, .y = h};
    int right = 0, bottom = 0, n = 1;
    double largest = values[at];
    queue[0] = at;
    values[at] = 0;
    for (int i = 0; i < n; i++) {
        int x = queue[i] % w, y = queue[i] / w;
        box.x = x < box.x ? x : box.x;
        box.y = y < box.y ? y : box.y;
        right = x >= right ? x + 1 : right;
        bottom = y >= bottom ? y + 1 : bottom;
        for (int k = 0; k < 9; k++) {
            int nx = x + k % 3 - 1, ny = y + k / 3 - 1;
            if (nx < 0 || nx >= w || ny < 0 || ny >= h)
                continue;
            size_t next = (size_t)ny * (size_t)w + (size_t)nx;
            if (values[next] > 0 && values[next] >= least) {
                largest = values[next] > largest ? values[next] : largest;
                values[next] = 0;
                queue[n++] = (int)next;
            }
        }
    }
    box.width = right - box.x;
    box.height = bottom - box.y;
    box.pixels = n;
    box.max = (float)largest;
    return box;
}

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
    spread(map, geometry, values);
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = values[i] > largest ? values[i] : largest;
    double least = threshold * (double)largest;
    for (size_t i = 0; i < n && largest > 0; i++)
        if (values[i] > 0 && values[i] >= least) {
            ng_box box = take_region(values, w, h, least, (int)i, queue);
            if (box.pixels > out->pixels) /* of equal ones the upper left one */
                *out = box;
        }
    ngi_free(values);
    ngi_free(queue);
    return NG_OK;
}
