/* The pictures of other libraries, step by step, in their own precision (float32 mostly):
 *
 * - article: min-max with 1e-8 and uint8 at the grid, cv2.resize of the uint8 map, COLORMAP_JET,
 *   addWeighted 0.7/0.3.
 * - keras (the documentation's Grad-CAM example): /max without epsilon, uint8 at the grid, matplotlib's jet
 *   through array_to_img, PIL bicubic of the colours to the image's size, heat * 0.4 + image, array_to_img.
 * - pgc (pytorch-grad-cam): min-max with 1e-7 at the grid, cv2.resize in float, min-max again,
 *   show_cam_on_image.
 * - tkv (tf-keras-vis): scipy zoom order 1, min-max with 1e-7; it has no overlay, so ours is used.
 *
 * All but keras draw on the image as the network saw it, at the input's size. A colour map that is named
 * replaces the library's own. */
#include "viz/render.h"

#include <math.h>
#include <string.h>

#include "image/image.h"
#include "tensor/tensor.h"
#include "viz/colormap.h"

/* (v - min) / ((max - min) + epsilon), all in float32. Returns the scale: values shown as 0 and 1. */
static ngi_scale normalize(const float *values, int64_t n, float epsilon, float *out)
{
    float min, max;
    ngi_min_max(values, n, &min, &max);
    float extent = max - min + epsilon;
    for (int64_t i = 0; i < n; i++)
        out[i] = (values[i] - min) / extent;
    return (ngi_scale){min, (double)min + extent};
}

/* numpy's uint8(255 * v) for v in 0..1. */
static void truncate_levels(const float *v, int64_t n, uint8_t *levels)
{
    for (int64_t i = 0; i < n; i++)
        levels[i] = (uint8_t)(255.0f * v[i]);
}

static ng_status color_levels(const uint8_t *levels, int width, int height, const uint8_t *rgb, ng_image *out,
                              ng_error *err)
{
    NGI_TRY(ngi_image_create(width, height, 3, out, err));
    for (size_t i = 0; i < (size_t)width * height; i++)
        memcpy(out->data + 3 * i, rgb + 3 * levels[i], 3);
    return NG_OK;
}

/* ---- Heatmaps ------------------------------------------------------------------------------- */

/* A map on its way to the input's size. */
typedef struct job {
    const float *values; /* [h,w] */
    int h, w, oh, ow;
    float *small;    /* [h,w] */
    float *large;    /* [oh,ow] */
    uint8_t *levels; /* [oh,ow] */
} job;

ng_status ngi_article_levels(const float *values, int h, int w, uint8_t *levels, int oh, int ow,
                             ng_error *err)
{
    int64_t n = (int64_t)h * w;
    float *cam = ngi_alloc((size_t)n, sizeof *cam);
    uint8_t *small = ngi_alloc((size_t)n, 1);
    ng_status status = NG_OK;
    if (cam && small) {
        normalize(values, n, 1e-8f, cam);
        truncate_levels(cam, n, small);
        status = ngi_resize_cv_u8(small, h, w, 1, levels, oh, ow, err);
    } else {
        status = ngi_fail_memory(err, (size_t)n * (sizeof *cam + 1));
    }
    ngi_free(small);
    ngi_free(cam);
    return status;
}

static ng_status article_heatmap(const job *j, ngi_picture *out, ng_error *err)
{
    out->scale = normalize(j->values, (int64_t)j->h * j->w, 1e-8f, j->small);
    NGI_TRY(ngi_article_levels(j->values, j->h, j->w, j->levels, j->oh, j->ow, err));
    return color_levels(j->levels, j->ow, j->oh, out->rgb, &out->heatmap, err);
}

static ng_status pgc_heatmap(const job *j, ngi_picture *out, ng_error *err)
{
    ngi_scale grid = normalize(j->values, (int64_t)j->h * j->w, 1e-7f, j->small);
    ngi_resize_bilinear(j->small, j->h, j->w, 0, 0, j->h, j->w, j->large, j->oh, j->ow);
    ngi_scale resized = normalize(j->large, (int64_t)j->oh * j->ow, 1e-7f, j->large);
    double extent = grid.high - grid.low;
    out->scale = (ngi_scale){grid.low + resized.low * extent, grid.low + resized.high * extent};
    truncate_levels(j->large, (int64_t)j->oh * j->ow, j->levels);
    return color_levels(j->levels, j->ow, j->oh, out->rgb, &out->heatmap, err);
}

static ng_status tkv_heatmap(const job *j, ngi_picture *out, ng_error *err)
{
    int64_t n = (int64_t)j->oh * j->ow;
    ngi_resize_aligned(j->values, j->h, j->w, j->large, j->oh, j->ow);
    out->scale = normalize(j->large, n, 1e-7f, j->large);
    for (int64_t i = 0; i < n; i++)
        j->levels[i] = (uint8_t)(j->large[i] * 255 + 0.5f);
    return color_levels(j->levels, j->ow, j->oh, out->rgb, &out->heatmap, err);
}

/* One sample of keras.utils.array_to_img: min to 0, max to 255, truncated. */
static uint8_t image_level(float v, float min, float max)
{
    float extent = max - min;
    v -= min;
    if (extent != 0)
        v /= extent;
    return (uint8_t)(v * 255);
}

/* The colours of the grid, [h,w,3]. `rgb` NULL: matplotlib's jet before its rounding to 8 bits. */
static ngi_scale keras_colors(const job *j, const uint8_t *rgb, float *colors)
{
    size_t n = (size_t)j->h * j->w;
    float min, max;
    ngi_min_max(j->values, (int64_t)n, &min, &max);
    for (size_t i = 0; i < n; i++) {
        int level = max > 0 && j->values[i] > 0 ? (int)(255.0f * (j->values[i] / max)) : 0;
        double color[3];
        ngi_jet_exact(level, color);
        for (int k = 0; k < 3; k++)
            colors[3 * i + k] = rgb ? rgb[3 * level + k] / 255.0f : (float)color[k];
    }
    return (ngi_scale){0, max > 0 ? max : 0};
}

static ng_status keras_heatmap(const job *j, const ng_geometry *g, const uint8_t *rgb, ngi_picture *out,
                               ng_error *err)
{
    size_t n = (size_t)j->h * j->w * 3;
    ng_image grid;
    NGI_TRY(ngi_image_create(j->w, j->h, 3, &grid, err));
    float *colors = ngi_alloc(n, sizeof *colors);
    ng_status status = NG_OK;
    if (colors) {
        float min, max;
        out->scale = keras_colors(j, rgb, colors);
        ngi_min_max(colors, (int64_t)n, &min, &max);
        for (size_t i = 0; i < n; i++)
            grid.data[i] = image_level(colors[i], min, max);
        status = ngi_image_resize(&grid, g->image_width, g->image_height, NG_RESAMPLE_PIL_BICUBIC,
                                  &out->heatmap, err);
    } else {
        status = ngi_fail_memory(err, n * sizeof *colors);
    }
    ngi_free(colors);
    ng_image_clear(&grid);
    return status;
}

/* ---- Overlays: samples of base and heatmap [n] to out [n] --------------------------------------- */

/* cv2.addWeighted(base, 0.7, heat, 0.3, 0): one fused multiply-add in float32, rounded half to even. */
static void article_blend(const uint8_t *base, const uint8_t *heat, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        float sum = (float)((double)base[i] * 0.7f + (double)(heat[i] * 0.3f));
        out[i] = (uint8_t)rintf(sum);
    }
}

static float keras_sum(uint8_t base, uint8_t heat)
{
    return heat * 0.4f + base;
}

static void keras_blend(const uint8_t *base, const uint8_t *heat, size_t n, uint8_t *out)
{
    float min = INFINITY, max = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        float v = keras_sum(base[i], heat[i]);
        min = fminf(min, v);
        max = fmaxf(max, v);
    }
    for (size_t i = 0; i < n; i++)
        out[i] = image_level(keras_sum(base[i], heat[i]), min, max);
}

static float pgc_sum(uint8_t base, uint8_t heat)
{
    return 0.5f * (heat / 255.0f) + 0.5f * (base / 255.0f);
}

static void pgc_blend(const uint8_t *base, const uint8_t *heat, size_t n, uint8_t *out)
{
    float max = 0;
    for (size_t i = 0; i < n; i++)
        max = fmaxf(max, pgc_sum(base[i], heat[i]));
    for (size_t i = 0; i < n; i++)
        out[i] = max > 0 ? (uint8_t)(255 * (pgc_sum(base[i], heat[i]) / max)) : 0;
}

static void blend(const ng_render_opts *opts, const ngi_picture *p)
{
    size_t n = (size_t)p->base.width * p->base.height * 3;
    const uint8_t *base = p->base.data, *heat = p->heatmap.data;
    uint8_t *out = p->overlay.data;
    if (opts->compat == NG_COMPAT_ARTICLE)
        article_blend(base, heat, n, out);
    else if (opts->compat == NG_COMPAT_KERAS)
        keras_blend(base, heat, n, out);
    else if (opts->compat == NG_COMPAT_PGC)
        pgc_blend(base, heat, n, out);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = ngi_blend(base[i], heat[i], opts->alpha);
}

/* ---- The whole ------------------------------------------------------------------------------ */

static ng_status draw_heatmap(const job *j, const ng_geometry *g, const ng_render_opts *opts,
                              ngi_picture *out, ng_error *err)
{
    switch (opts->compat) {
    case NG_COMPAT_ARTICLE:
        return article_heatmap(j, out, err);
    case NG_COMPAT_KERAS:
        return keras_heatmap(j, g, opts->colormap ? out->rgb : NULL, out, err);
    case NG_COMPAT_PGC:
        return pgc_heatmap(j, out, err);
    default:
        return tkv_heatmap(j, out, err);
    }
}

/* The image beneath the heatmap. A letterbox is padded with black: the fill is not part of the geometry. */
static ng_status fit_base(const ng_image *image, const ng_geometry *g, const ng_render_opts *opts,
                          ng_image *base, ng_error *err)
{
    ng_image rgb;
    NGI_TRY(ngi_image_convert(image, 3, &rgb, err));
    if (opts->compat == NG_COMPAT_KERAS) {
        *base = rgb;
        return NG_OK;
    }
    ng_resample resample = opts->compat == NG_COMPAT_ARTICLE ? NG_RESAMPLE_CV_BILINEAR : g->resample;
    ng_status status =
        ng_image_fit(&rgb, g->input_width, g->input_height, g->fit, resample, 0, base, NULL, err);
    ng_image_clear(&rgb);
    return status;
}

static ng_status create_heatmap(const ng_map *map, const ng_geometry *g, const ng_render_opts *opts,
                                ngi_picture *out, ng_error *err)
{
    job j = {
        .values = map->data, .h = map->height, .w = map->width, .oh = g->input_height, .ow = g->input_width};
    size_t small = (size_t)j.h * j.w, large = (size_t)j.oh * j.ow;
    if (large > (size_t)NGI_MAX_PIXELS)
        return ngi_fail(err, NG_E_LIMIT, "an input of %dx%d pixels: the limit is %lld pixels", j.ow, j.oh,
                        (long long)NGI_MAX_PIXELS);
    j.small = ngi_alloc(small, sizeof *j.small);
    j.large = ngi_alloc(large, sizeof *j.large);
    j.levels = ngi_alloc(large, 1);
    ng_status status = j.small && j.large && j.levels
                           ? draw_heatmap(&j, g, opts, out, err)
                           : ngi_fail_memory(err, (small + large) * sizeof *j.small + large);
    ngi_free(j.small);
    ngi_free(j.large);
    ngi_free(j.levels);
    return status;
}

ng_status ngi_render_compat(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                            const ng_render_opts *opts, ngi_picture *out, ng_error *err)
{
    bool keras = opts->compat == NG_COMPAT_KERAS;
    if (keras && geometry->fit != NG_FIT_SQUASH)
        return ngi_fail(
            err, NG_E_UNSUPPORTED,
            "compat keras stretches the map over the whole image, which is wrong for fit %s: use fit squash "
            "or another compat mode",
            ng_fit_name(geometry->fit));
    NGI_TRY(ngi_colormap_find(opts->colormap ? opts->colormap
                              : keras        ? "jet-matplotlib"
                                             : "jet",
                              &out->rgb, err));
    NGI_TRY(create_heatmap(map, geometry, opts, out, err));
    if (!image)
        return NG_OK;
    NGI_TRY(fit_base(image, geometry, opts, &out->base, err));
    NGI_TRY(ngi_image_create(out->base.width, out->base.height, 3, &out->overlay, err));
    blend(opts, out);
    return NG_OK;
}
