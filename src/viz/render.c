/* Options and arguments of the pictures, and the choice between the default rule and a library's. */
#include "viz/render.h"

#include <math.h>

#include "image/image.h"
#include "image/names.h"
#include "tensor/tensor.h"

static const char *const compat_names[] = {
    [NG_COMPAT_NONE] = "none", [NG_COMPAT_ARTICLE] = "article", [NG_COMPAT_KERAS] = "keras",
    [NG_COMPAT_PGC] = "pgc",   [NG_COMPAT_TKV] = "tkv",
};
#define COMPAT_COUNT (sizeof compat_names / sizeof *compat_names)

const char *ng_compat_name(ng_compat compat)
{
    return (size_t)compat < COMPAT_COUNT ? compat_names[compat] : "unknown";
}

ng_status ng_compat_find(const char *name, ng_compat *out, ng_error *err)
{
    int found;
    NGI_TRY(ngi_name_find("compat mode", name, compat_names, COMPAT_COUNT, &found, err));
    *out = (ng_compat)found;
    return NG_OK;
}

void ng_render_opts_init(ng_render_opts *opts)
{
    *opts = (ng_render_opts){.struct_size = sizeof *opts, .norm = NG_NORM_MAX, .alpha = 0.4, .colorbar = 1};
}

void ngi_picture_clear(ngi_picture *picture)
{
    ng_image_clear(&picture->base);
    ng_image_clear(&picture->heatmap);
    ng_image_clear(&picture->overlay);
    *picture = (ngi_picture){0};
}

const float *ngi_render_values(const ng_map *map, const ng_render_opts *opts)
{
    return opts->use_signed ? map->signed_data : map->data;
}

static ng_status check_map(const ng_map *map, const ng_render_opts *opts, ng_error *err)
{
    if (!map || map->height < 1 || map->width < 1 || (int64_t)map->height * map->width > NGI_MAX_PIXELS)
        return ngi_fail(err, NG_E_ARGUMENT, "a picture needs a map with cells");
    const float *values = ngi_render_values(map, opts);
    if (!values)
        return ngi_fail(err, NG_E_ARGUMENT, "the map has no %s values", opts->use_signed ? "signed" : "raw");
    int64_t bad = ngi_find_non_finite(values, (int64_t)map->height * map->width);
    if (bad >= 0)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "the map holds %g at row %lld, column %lld: only finite values can be drawn",
                        (double)values[bad], (long long)(bad / map->width), (long long)(bad % map->width));
    return NG_OK;
}

static ng_status check_geometry(const ng_geometry *g, const ng_image *image, ng_error *err)
{
    if (!g || g->image_width < 1 || g->image_height < 1 || g->input_width < 1 || g->input_height < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "a picture needs the geometry that ng_image_fit gave");
    if (!isfinite(g->x0) || !isfinite(g->x1) || !isfinite(g->y0) || !isfinite(g->y1) || !(g->x0 < g->x1) ||
        !(g->y0 < g->y1))
        return ngi_fail(err, NG_E_ARGUMENT, "geometry: the region %g..%g x %g..%g is not a rectangle", g->x0,
                        g->x1, g->y0, g->y1);
    if (image && (image->width != g->image_width || image->height != g->image_height))
        return ngi_fail(err, NG_E_SHAPE, "the geometry is of an image of %dx%d pixels, this one has %dx%d",
                        g->image_width, g->image_height, image->width, image->height);
    return NG_OK;
}

ng_status ngi_render_check(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                           const ng_render_opts *given, ng_render_opts *opts, ng_error *err)
{
    ng_render_opts_init(opts);
    if (given)
        *opts = *given;
    if ((size_t)opts->compat >= COMPAT_COUNT)
        return ngi_fail(err, NG_E_ARGUMENT, "compat mode %d is not known", (int)opts->compat);
    if (!(opts->alpha >= 0 && opts->alpha <= 1))
        return ngi_fail(err, NG_E_ARGUMENT, "alpha %g, expected 0 to 1", opts->alpha);
    if (opts->use_signed && opts->compat != NG_COMPAT_NONE)
        return ngi_fail(err, NG_E_ARGUMENT, "compat %s draws no signed maps: leave out one of the two",
                        compat_names[opts->compat]);
    if (!(opts->box >= 0 && opts->box <= 1))
        return ngi_fail(err, NG_E_ARGUMENT, "box threshold %g, expected 0 to 1", opts->box);
    if (opts->box > 0 && opts->compat != NG_COMPAT_NONE)
        return ngi_fail(err, NG_E_ARGUMENT, "compat %s draws no boxes: leave out one of the two",
                        compat_names[opts->compat]);
    NGI_TRY(check_map(map, opts, err));
    NGI_TRY(check_geometry(geometry, image, err));
    return image ? ngi_image_check(image, "picture", err) : NG_OK;
}

ng_status ngi_render_picture(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                             const ng_render_opts *opts, ngi_picture *out, ng_error *err)
{
    *out = (ngi_picture){0};
    ng_status status = opts->compat == NG_COMPAT_NONE
                           ? ngi_render_default(map, image, geometry, opts, out, err)
                           : ngi_render_compat(map, image, geometry, opts, out, err);
    if (status != NG_OK)
        ngi_picture_clear(out);
    return status;
}

/* Hands over one image of a picture and drops the rest. */
static void take(ngi_picture *picture, ng_image *wanted, ng_image *out)
{
    *out = *wanted;
    *wanted = (ng_image){0};
    ngi_picture_clear(picture);
}

ng_status ng_render_heatmap(const ng_map *map, const ng_geometry *geometry, const ng_render_opts *opts,
                            ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    ng_render_opts o;
    NGI_TRY(ngi_render_check(map, NULL, geometry, opts, &o, err));
    ngi_picture picture;
    NGI_TRY(ngi_render_picture(map, NULL, geometry, &o, &picture, err));
    take(&picture, &picture.heatmap, out);
    return NG_OK;
}

ng_status ng_render_overlay(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                            const ng_render_opts *opts, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    NGI_TRY(ngi_image_check(image, "overlay", err));
    ng_render_opts o;
    NGI_TRY(ngi_render_check(map, image, geometry, opts, &o, err));
    ngi_picture picture;
    NGI_TRY(ngi_render_picture(map, image, geometry, &o, &picture, err));
    take(&picture, &picture.overlay, out);
    return NG_OK;
}
