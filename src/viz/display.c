/* Names, normalisation and the default pictures: the float map is upsampled through the geometry, coloured last. */
#include "viz/viz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const norm_names[] = {"max", "minmax", "percentile", "range", "none"};
static const char *const compat_names[] = {"none", "article", "keras", "pgc", "tkv"};

const char *ng_norm_name(ng_norm norm)
{
    return (size_t)norm < 5 ? norm_names[norm] : "unknown";
}

ng_status ng_norm_find(const char *name, ng_norm *out, ng_error *err)
{
    for (int i = 0; i < 5; i++)
        if (strcmp(name, norm_names[i]) == 0) {
            *out = (ng_norm)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT, "norm '%s' is not known; expected max, minmax, percentile, range or none", name);
}

const char *ng_compat_name(ng_compat compat)
{
    return (size_t)compat < 5 ? compat_names[compat] : "unknown";
}

ng_status ng_compat_find(const char *name, ng_compat *out, ng_error *err)
{
    for (int i = 0; i < 5; i++)
        if (strcmp(name, compat_names[i]) == 0) {
            *out = (ng_compat)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT, "compat '%s' is not known; expected none, article, keras, pgc or tkv", name);
}

/* ---- Colour maps ------------------------------------------------------------------------------- */

int ng_colormap_count(void)
{
    return ngi_colormap_total;
}

const char *ng_colormap_name(int index)
{
    return index >= 0 && index < ngi_colormap_total ? ngi_colormaps[index].name : "";
}

const ngi_colormap *ngi_colormap_find(const char *name, ng_error *err)
{
    char known[200] = "";
    for (int i = 0; i < ngi_colormap_total; i++) {
        if (strcmp(name, ngi_colormaps[i].name) == 0)
            return &ngi_colormaps[i];
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", ngi_colormaps[i].name);
    }
    (void)ngi_fail(err, NG_E_ARGUMENT, "colour map '%s' is not known; known: %s", name, known);
    return NULL;
}

ng_status ng_colormap_table(const char *name, uint8_t *rgb, ng_error *err)
{
    const ngi_colormap *c = ngi_colormap_find(name, err);
    if (!c)
        return NG_E_ARGUMENT;
    memcpy(rgb, c->rgb, 256 * 3);
    return NG_OK;
}

/* ---- Normalisation ----------------------------------------------------------------------------- */

void ng_render_opts_init(ng_render_opts *opts)
{
    *opts = (ng_render_opts){.struct_size = sizeof *opts, .alpha = 0.4, .colorbar = 1, .norm_high = 1};
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* 99th percentile of |values|, by linear interpolation as numpy.percentile. */
static ng_status percentile99(const float *data, int64_t n, float *out, ng_error *err)
{
    float *sorted = ngi_alloc((size_t)n, sizeof *sorted);
    if (!sorted)
        return ngi_fail_memory(err, (size_t)n * sizeof *sorted);
    for (int64_t i = 0; i < n; i++)
        sorted[i] = fabsf(data[i]);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    double at = 0.99 * (double)(n - 1);
    int64_t low = (int64_t)at, high = low + 1 < n ? low + 1 : low;
    *out = (float)(sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]));
    ngi_free(sorted);
    return NG_OK;
}

ng_status ngi_display_choose(const ng_map *map, const ng_render_opts *opts, ngi_display *out, ng_error *err)
{
    const char *name = opts->colormap ? opts->colormap : opts->use_signed ? "coolwarm" : "jet";
    const ngi_colormap *colours = ngi_colormap_find(name, err);
    if (!colours)
        return NG_E_ARGUMENT;
    float min = opts->use_signed ? map->signed_min : map->min, max = opts->use_signed ? map->signed_max : map->max;
    *out = (ngi_display){opts->use_signed ? map->signed_data : map->data, 0, max, colours->rgb};
    switch (opts->norm) {
    case NG_NORM_MINMAX:
        out->low = min;
        break;
    case NG_NORM_PERCENTILE:
        NGI_TRY(percentile99(out->data, (int64_t)map->height * map->width, &out->high, err));
        break;
    case NG_NORM_RANGE:
        out->low = opts->norm_low;
        out->high = opts->norm_high;
        break;
    case NG_NORM_NONE:
        out->high = 1;
        break;
    default:
        break;
    }
    if (opts->use_signed && opts->norm != NG_NORM_RANGE) { /* symmetric: 0 is the middle of the colour map */
        float size = fmaxf(fabsf(min), fabsf(max));
        out->high = opts->norm == NG_NORM_PERCENTILE ? out->high : opts->norm == NG_NORM_NONE ? 1 : size;
        out->low = -out->high;
    }
    return NG_OK;
}

float ngi_display_scale(const ngi_display *d, float value)
{
    if (!(d->high > d->low))
        return 0;
    float v = (value - d->low) / (d->high - d->low);
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* ---- Default pictures -------------------------------------------------------------------------- */

float ngi_map_at(const float *data, int h, int w, const ng_geometry *g, double x, double y)
{
    double fx = (x + 0.5 - g->x0) / (g->x1 - g->x0) * w - 0.5, fy = (y + 0.5 - g->y0) / (g->y1 - g->y0) * h - 0.5;
    fx = fx < 0 ? 0 : fx > w - 1 ? w - 1 : fx;
    fy = fy < 0 ? 0 : fy > h - 1 ? h - 1 : fy;
    int left = (int)fx, top = (int)fy, right = left + 1 < w ? left + 1 : left, bottom = top + 1 < h ? top + 1 : top;
    double tx = fx - left, ty = fy - top;
    double a = data[top * w + left] * (1 - tx) + data[top * w + right] * tx;
    double b = data[bottom * w + left] * (1 - tx) + data[bottom * w + right] * tx;
    return (float)(a * (1 - ty) + b * ty);
}

static const uint8_t *colour(const ngi_display *d, float value)
{
    return d->rgb + 3 * (int)lrintf(ngi_display_scale(d, value) * 255);
}

/* Whether the network saw this pixel: not cut off by a centre crop. */
static bool is_seen(const ng_geometry *g, int x, int y)
{
    return x + 0.5 >= g->x0 && x + 0.5 < g->x1 && y + 0.5 >= g->y0 && y + 0.5 < g->y1;
}

/* The heatmap over `image` with weight alpha; image NULL: the heatmap alone. */
static ng_status draw(const ng_map *map, const ng_image *image, const ng_geometry *g, const ng_render_opts *opts,
                      ng_image *out, ng_error *err)
{
    ngi_display d;
    NGI_TRY(ngi_display_choose(map, opts, &d, err));
    NGI_TRY(ngi_image_create(g->image_width, g->image_height, 3, out, err));
    double alpha = image ? opts->alpha : 1;
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++) {
            int64_t i = (int64_t)y * out->width + x;
            const uint8_t *heat = colour(&d, ngi_map_at(d.data, map->height, map->width, g, x, y));
            bool seen = is_seen(g, x, y);
            for (int c = 0; c < 3; c++) {
                uint8_t base = image ? image->data[i * image->channels + (image->channels == 3 ? c : 0)] : 0;
                out->data[3 * i + c] = seen ? (uint8_t)lrint((1 - alpha) * base + alpha * heat[c]) : base;
            }
        }
    return NG_OK;
}

static ng_status check(const ng_map *map, const ng_image *image, const ng_geometry *g, const ng_render_opts *opts,
                       ng_error *err)
{
    if (!map->data || map->height < 1 || map->width < 1 || !(g->x1 > g->x0) || !(g->y1 > g->y0))
        return ngi_fail(err, NG_E_ARGUMENT, "an empty map or geometry cannot be drawn");
    if (image && (image->width != g->image_width || image->height != g->image_height))
        return ngi_fail(err, NG_E_ARGUMENT, "the image is %dx%d, the geometry is of an image of %dx%d", image->width,
                        image->height, g->image_width, g->image_height);
    if (!(opts->alpha >= 0 && opts->alpha <= 1))
        return ngi_fail(err, NG_E_ARGUMENT, "alpha is %g, expected 0 to 1", opts->alpha);
    return NG_OK;
}

ng_status ng_render_heatmap(const ng_map *map, const ng_geometry *geometry, const ng_render_opts *opts, ng_image *out,
                            ng_error *err)
{
    *out = (ng_image){0};
    ng_render_opts defaults;
    ng_render_opts_init(&defaults);
    opts = opts ? opts : &defaults;
    NGI_TRY(check(map, NULL, geometry, opts, err));
    if (opts->compat != NG_COMPAT_NONE)
        return ngi_compat_render(map, NULL, geometry, opts, out, NULL, err);
    return draw(map, NULL, geometry, opts, out, err);
}

ng_status ng_render_overlay(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                            const ng_render_opts *opts, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    ng_render_opts defaults;
    ng_render_opts_init(&defaults);
    opts = opts ? opts : &defaults;
    NGI_TRY(check(map, image, geometry, opts, err));
    if (opts->compat == NG_COMPAT_NONE)
        return draw(map, image, geometry, opts, out, err);
    ng_image heatmap = {0};
    ng_status status = ngi_compat_render(map, image, geometry, opts, &heatmap, out, err);
    ng_image_clear(&heatmap);
    return status;
}
