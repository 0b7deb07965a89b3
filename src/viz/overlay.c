/* The default picture: the float map scaled for display, led back through the geometry to image pixels by
 * half-pixel bilinear interpolation, coloured last, blended. Pixels outside a centre crop keep the image; in
 * the heatmap alone they are black. */
#include "viz/render.h"

#include <math.h>

#include "image/image.h"
#include "tensor/tensor.h"
#include "viz/colormap.h"

#define STRIP 32 /* image rows whose map values are held at a time */

uint8_t ngi_blend(uint8_t base, uint8_t heat, double alpha)
{
    return (uint8_t)((1 - alpha) * base + alpha * heat + 0.5);
}

/* First and one past the last pixel whose centre lies in [low, high). */
static void covered(double low, double high, int count, int *first, int *end)
{
    double a = ceil(low - 0.5), b = ceil(high - 0.5);
    *first = a < 0 ? 0 : a > count ? count : (int)a;
    *end = b < 0 ? 0 : b > count ? count : (int)b;
}

static void paint_pixel(const uint8_t *color, double alpha, size_t at, const ngi_picture *out)
{
    for (int k = 0; k < 3; k++) {
        out->heatmap.data[at + k] = color[k];
        if (out->base.data)
            out->overlay.data[at + k] = ngi_blend(out->base.data[at + k], color[k], alpha);
    }
}

/* display: [map h,w] in 0..1; strip: [STRIP, image width] scratch. */
static void paint(const float *display, const ng_map *map, const ng_geometry *g, double alpha, float *strip,
                  const ngi_picture *out)
{
    int width = g->image_width, left, right, top, bottom;
    covered(g->x0, g->x1, width, &left, &right);
    covered(g->y0, g->y1, g->image_height, &top, &bottom);
    double cells_x = map->width / (g->x1 - g->x0),
           cells_y = map->height / (g->y1 - g->y0); /* cells a pixel */
    for (int y = top; y < bottom; y += STRIP) {
        int rows = bottom - y < STRIP ? bottom - y : STRIP;
        ngi_resize_bilinear(display, map->height, map->width, (y - g->y0) * cells_y, (0 - g->x0) * cells_x,
                            (y + rows - g->y0) * cells_y, (width - g->x0) * cells_x, strip, rows, width);
        for (int r = 0; r < rows; r++)
            for (int x = left; x < right; x++) {
                int level = (int)(strip[(size_t)r * width + x] * 255 + 0.5f);
                paint_pixel(out->rgb + 3 * level, alpha, ((size_t)(y + r) * width + x) * 3, out);
            }
    }
}

static void put_pixel(ng_image *image, int x, int y, uint8_t level)
{
    if (x < 0 || y < 0 || x >= image->width || y >= image->height)
        return;
    for (int k = 0; k < 3; k++)
        image->data[((size_t)y * (size_t)image->width + (size_t)x) * 3 + (size_t)k] = level;
}

/* A white frame within a black one, to be seen on any ground: on the box's outermost pixels and around them. */
static ng_status frame(const ng_map *map, const ng_geometry *g, double threshold, ng_image *image,
                       ng_error *err)
{
    ng_box b;
    NGI_TRY(ng_map_box(map, g, threshold, &b, err));
    for (int ring = 0; ring < 2 && b.pixels; ring++) {
        int left = b.x - ring, right = b.x + b.width - 1 + ring, top = b.y - ring,
            bottom = b.y + b.height - 1 + ring;
        for (int x = left; x <= right; x++) {
            put_pixel(image, x, top, ring ? 0 : 255);
            put_pixel(image, x, bottom, ring ? 0 : 255);
        }
        for (int y = top; y <= bottom; y++) {
            put_pixel(image, left, y, ring ? 0 : 255);
            put_pixel(image, right, y, ring ? 0 : 255);
        }
    }
    return NG_OK;
}

static ng_status create_images(const ng_image *image, const ng_geometry *g, ngi_picture *out, ng_error *err)
{
    NGI_TRY(ngi_image_create(g->image_width, g->image_height, 3, &out->heatmap, err));
    size_t bytes = (size_t)g->image_width * g->image_height * 3;
    for (size_t i = 0; i < bytes; i++)
        out->heatmap.data[i] = 0;
    if (!image)
        return NG_OK;
    NGI_TRY(ngi_image_convert(image, 3, &out->base, err));
    return ngi_image_copy(&out->base, &out->overlay, err);
}

ng_status ngi_render_default(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                             const ng_render_opts *opts, ngi_picture *out, ng_error *err)
{
    const float *values = ngi_render_values(map, opts);
    int64_t n = (int64_t)map->height * map->width;
    const char *name = opts->colormap ? opts->colormap : opts->use_signed ? "coolwarm" : "jet";
    NGI_TRY(ngi_colormap_find(name, &out->rgb, err));
    NGI_TRY(ngi_scale_of(values, n, opts, &out->scale, err));
    NGI_TRY(create_images(image, geometry, out, err));
    size_t strip = (size_t)geometry->image_width * STRIP;
    float *display = ngi_alloc((size_t)n + strip, sizeof *display);
    if (!display)
        return ngi_fail_memory(err, ((size_t)n + strip) * sizeof *display);
    ngi_scale_apply(out->scale, values, n, display);
    if (opts->use_signed && !(out->scale.high > out->scale.low))
        for (int64_t i = 0; i < n; i++)
            display[i] = 0.5f; /* zero is the middle of a diverging map */
    paint(display, map, geometry, opts->alpha, display + n, out);
    ngi_free(display);
    return opts->box > 0 && image ? frame(map, geometry, opts->box, &out->overlay, err) : NG_OK;
}
