/* Other tools' pictures, step by step as their code makes them (docs/conventions.md):
 *   article  min-max + 1e-8, bytes truncated at the grid, cv2.resize of bytes, COLORMAP_JET, addWeighted 0.7/0.3
 *   keras    /max, bytes truncated, matplotlib's jet at the grid, PIL bicubic of colours, jet*0.4 + image, min-max to 255
 *   pgc      min-max + 1e-7 at the grid, cv2 bilinear of floats, COLORMAP_JET, mean of both, divided by its maximum
 *   tkv      corner-aligned linear upsampling, then min-max + 1e-7; it has no overlay: the default blend */
#include "viz/viz.h"

#include <math.h>
#include <string.h>

static uint8_t clamp_byte(double v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void min_max_scale(float *x, int64_t n, float epsilon)
{
    float low, high;
    ngi_min_max(x, n, &low, &high);
    for (int64_t i = 0; i < n; i++)
        x[i] = (x[i] - low) / (high - low + epsilon);
}

/* The base image at another size by cv2.resize, as RGB. */
static ng_status base_image(const ng_image *image, int width, int height, ng_image *out, ng_error *err)
{
    NGI_TRY(ngi_image_create(width, height, 3, out, err));
    ng_image rgb;
    ng_status status = ngi_image_create(image->width, image->height, 3, &rgb, err);
    for (int64_t i = 0; status == NG_OK && i < (int64_t)image->width * image->height; i++)
        for (int c = 0; c < 3; c++)
            rgb.data[3 * i + c] = image->data[i * image->channels + (image->channels == 3 ? c : 0)];
    if (status == NG_OK)
        status = ngi_resize_cv_u8(rgb.data, rgb.height, rgb.width, 3, out->data, height, width, err);
    ng_image_clear(&rgb);
    if (status != NG_OK)
        ng_image_clear(out);
    return status;
}

static void paint(const uint8_t *levels, const uint8_t *rgb, ng_image *out)
{
    for (int64_t i = 0; i < (int64_t)out->width * out->height; i++)
        memcpy(out->data + 3 * i, rgb + 3 * levels[i], 3);
}

static ng_status article(const ng_map *map, const ng_geometry *g, const uint8_t *rgb, ng_image *heat, ng_error *err)
{
    int64_t cells = (int64_t)map->height * map->width, pixels = (int64_t)g->input_width * g->input_height;
    float *scaled = ngi_alloc((size_t)cells, sizeof *scaled);
    uint8_t *grid = ngi_alloc((size_t)cells, 1), *levels = ngi_alloc((size_t)pixels, 1);
    ng_status status = scaled && grid && levels ? NG_OK : ngi_fail_memory(err, (size_t)pixels);
    if (status == NG_OK) {
        memcpy(scaled, map->data, (size_t)cells * sizeof *scaled);
        min_max_scale(scaled, cells, 1e-8f);
        for (int64_t i = 0; i < cells; i++)
            grid[i] = (uint8_t)(255 * scaled[i]);
        status = ngi_resize_cv_u8(grid, map->height, map->width, 1, levels, g->input_height, g->input_width, err);
    }
    if (status == NG_OK)
        paint(levels, rgb, heat);
    ngi_free(scaled);
    ngi_free(grid);
    ngi_free(levels);
    return status;
}

static ng_status keras(const ng_map *map, const uint8_t *rgb, ng_image *heat, ng_error *err)
{
    ng_image grid;
    NGI_TRY(ngi_image_create(map->width, map->height, 3, &grid, err));
    for (int64_t i = 0; i < (int64_t)map->height * map->width; i++) {
        float v = map->max > 0 ? map->data[i] / map->max : 0;
        memcpy(grid.data + 3 * i, rgb + 3 * (uint8_t)(255 * v), 3);
    }
    ng_image coloured = {0};
    ng_status status = ngi_image_resize(&grid, heat->width, heat->height, NG_RESAMPLE_PIL_BICUBIC, &coloured, err);
    if (status == NG_OK)
        memcpy(heat->data, coloured.data, (size_t)3 * (size_t)heat->width * (size_t)heat->height);
    ng_image_clear(&coloured);
    ng_image_clear(&grid);
    return status;
}

/* pgc and tkv: floats at the input size, 0..1, then colours. */
static ng_status float_map(const ng_map *map, ng_compat compat, const uint8_t *rgb, ng_image *heat, ng_error *err)
{
    int64_t cells = (int64_t)map->height * map->width, pixels = (int64_t)heat->width * heat->height;
    float *scaled = ngi_alloc((size_t)cells, sizeof *scaled), *large = ngi_alloc((size_t)pixels, sizeof *large);
    ng_status status = scaled && large ? NG_OK : ngi_fail_memory(err, (size_t)pixels * sizeof *large);
    if (status == NG_OK) {
        memcpy(scaled, map->data, (size_t)cells * sizeof *scaled);
        if (compat == NG_COMPAT_PGC) {
            min_max_scale(scaled, cells, 1e-7f);
            ngi_resize_bilinear(scaled, map->height, map->width, 0, 0, map->height, map->width, large, heat->height,
                                heat->width);
        } else {
            ngi_resize_aligned(scaled, map->height, map->width, large, heat->height, heat->width);
            min_max_scale(large, pixels, 1e-7f);
        }
        for (int64_t i = 0; i < pixels; i++)
            memcpy(heat->data + 3 * i, rgb + 3 * clamp_byte(255 * large[i]), 3);
    }
    ngi_free(scaled);
    ngi_free(large);
    return status;
}

/* ---- Blending ---------------------------------------------------------------------------------- */

static void blend_article(const ng_image *base, const ng_image *heat, ng_image *out)
{
    for (int64_t i = 0; i < (int64_t)3 * out->width * out->height; i++) /* cv2.addWeighted: float, rounded */
        out->data[i] = clamp_byte(rintf((float)base->data[i] * 0.7f + (float)heat->data[i] * 0.3f));
}

/* Any weighted sum, brought to 0..255 by its maximum and (Keras) its minimum. */
static ng_status blend_scaled(const ng_image *base, const ng_image *heat, float weight_base, float weight_heat,
                              bool subtract_minimum, ng_image *out, ng_error *err)
{
    int64_t n = (int64_t)3 * out->width * out->height;
    float *sum = ngi_alloc((size_t)n, sizeof *sum), low, high;
    if (!sum)
        return ngi_fail_memory(err, (size_t)n * sizeof *sum);
    for (int64_t i = 0; i < n; i++)
        sum[i] = (float)base->data[i] * weight_base + (float)heat->data[i] * weight_heat;
    ngi_min_max(sum, n, &low, &high);
    low = subtract_minimum ? low : 0;
    for (int64_t i = 0; i < n; i++)
        out->data[i] = high > low ? clamp_byte(255 * ((sum[i] - low) / (high - low))) : 0;
    ngi_free(sum);
    return NG_OK;
}

static ng_status blend(const ng_image *image, const ng_image *heat, const ng_render_opts *opts, ng_image *out,
                       ng_error *err)
{
    ng_image base;
    NGI_TRY(base_image(image, heat->width, heat->height, &base, err));
    ng_status status = ngi_image_create(heat->width, heat->height, 3, out, err);
    if (status == NG_OK)
        switch (opts->compat) {
        case NG_COMPAT_ARTICLE:
            blend_article(&base, heat, out);
            break;
        case NG_COMPAT_KERAS:
            status = blend_scaled(&base, heat, 1, 0.4f, true, out, err);
            break;
        case NG_COMPAT_PGC:
            status = blend_scaled(&base, heat, 0.5f, 0.5f, false, out, err);
            break;
        default:
            for (int64_t i = 0; i < (int64_t)3 * out->width * out->height; i++)
                out->data[i] = (uint8_t)lrint((1 - opts->alpha) * base.data[i] + opts->alpha * heat->data[i]);
        }
    ng_image_clear(&base);
    return status;
}

ng_status ngi_compat_render(const ng_map *map, const ng_image *image, const ng_geometry *g, const ng_render_opts *opts,
                            ng_image *heatmap, ng_image *overlay, ng_error *err)
{
    bool keras_size = opts->compat == NG_COMPAT_KERAS; /* the image's size; the others work at the input's */
    const ngi_colormap *colours = ngi_colormap_find(keras_size ? "jet-matplotlib" : "jet", err);
    NGI_TRY(ngi_image_create(keras_size ? g->image_width : g->input_width,
                               keras_size ? g->image_height : g->input_height, 3, heatmap, err));
    ng_status status;
    if (opts->compat == NG_COMPAT_ARTICLE)
        status = article(map, g, colours->rgb, heatmap, err);
    else if (keras_size)
        status = keras(map, colours->rgb, heatmap, err);
    else
        status = float_map(map, opts->compat, colours->rgb, heatmap, err);
    if (status == NG_OK && overlay)
        status = blend(image, heatmap, opts, overlay, err);
    if (status != NG_OK)
        ng_image_clear(heatmap);
    return status;
}
