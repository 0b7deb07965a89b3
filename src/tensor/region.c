/* A map at the image's pixels, and the largest connected region of what stands out there. */
#include "tensor/tensor.h"

void ngi_map_spread(const float *map, int map_h, int map_w, const ng_geometry *g, float *out)
{
    int w = g->image_width, h = g->image_height;
    double cells_x = map_w / (g->x1 - g->x0), cells_y = map_h / (g->y1 - g->y0);
    ngi_resize_bilinear(map, map_h, map_w, (0 - g->y0) * cells_y, (0 - g->x0) * cells_x,
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

ng_box ngi_largest_region(float *values, int w, int h, double least, int *queue)
{
    ng_box largest = {0};
    int n = w * h;
    for (int i = 0; i < n; i++)
        if (values[i] > 0 && values[i] >= least) {
            ng_box box = take_region(values, w, h, least, i, queue);
            if (box.pixels > largest.pixels) /* of equal ones the upper left one */
                largest = box;
        }
    return largest;
}
