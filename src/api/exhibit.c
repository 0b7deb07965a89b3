/* The pictures of a report: photographs at a small size with the outline of their object, and heatmaps to lie over them. */
#include "api/evaluate.h"

#include "data/region.h"
#include "image/image.h"
#include "viz/colormap.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum {
    SIDE = 340,
    QUALITY = 80,
    CLEAR = 110
}; /* from level CLEAR of 255 on a map hides what the page lets it */

/* ---- One picture -------------------------------------------------------------------------------- */

static ng_status shrink(const ng_image *whole, int side, ng_image *out, ng_error *err)
{
    double scale = (double)side / (whole->width > whole->height ? whole->width : whole->height);
    int w = scale < 1 ? (int)lround(whole->width * scale) : whole->width,
        h = scale < 1 ? (int)lround(whole->height * scale) : whole->height;
    ng_image rgb;
    NGI_TRY(ngi_image_convert(whole, 3, &rgb, err));
    ng_status status =
        ngi_image_resize(&rgb, w < 1 ? 1 : w, h < 1 ? 1 : h, NG_RESAMPLE_PIL_BILINEAR, out, err);
    ng_image_clear(&rgb);
    return status;
}

static ng_geometry scale_geometry(const ng_geometry *g, int width, int height)
{
    double sx = (double)width / g->image_width, sy = (double)height / g->image_height;
    ng_geometry out = *g;
    out.image_width = width;
    out.image_height = height;
    out.x0 *= sx;
    out.x1 *= sx;
    out.y0 *= sy;
    out.y1 *= sy;
    return out;
}

static bool on_object(const ng_image *region, int x, int y)
{
    return x >= 0 && y >= 0 && x < region->width && y < region->height &&
           region->data[(int64_t)y * region->width + x] >= 128;
}

static bool at_edge(const ng_image *region, int x, int y)
{
    bool here = on_object(region, x, y);
    return on_object(region, x - 1, y) != here || on_object(region, x + 1, y) != here ||
           on_object(region, x, y - 1) != here || on_object(region, x, y + 1) != here;
}

/* White on the object's outermost pixels, black around them: seen on any ground. */
static void draw_outline(const ng_image *region, ng_image *photo)
{
    for (int y = 0; y < photo->height; y++)
        for (int x = 0; x < photo->width; x++)
            if (at_edge(region, x, y))
                memset(photo->data + 3 * ((int64_t)y * photo->width + x), on_object(region, x, y) ? 255 : 0,
                       3);
}

/* sx, sy: the photo's size over that of the image, whose pixels boxes are in. */
static ng_status outline(const ngi_data_item *item, double sx, double sy, ng_image *photo, ng_error *err)
{
    ngi_data_item scaled = *item;
    ng_image region;
    for (int i = 0; i < 4; i++)
        scaled.box[i] *= i % 2 ? sy : sx;
    NGI_TRY(ngi_region_load(&scaled, photo->width, photo->height, &region, err));
    draw_outline(&region, photo);
    ng_image_clear(&region);
    return NG_OK;
}

static ng_status make_input(const ng_model *model, const ng_image *whole, const ng_model_info *info,
                            const ng_evaluate_opts *o, float *input, ng_geometry *geometry, ng_error *err)
{
    ng_image fitted;
    NGI_TRY(ng_image_fit(whole, info->input_width, info->input_height, o->fit, o->resample, 0, &fitted,
                         geometry, err));
    ng_status status =
        ngi_preprocess_apply(model->preprocess, fitted.data, (int64_t)info->input_width * info->input_height,
                             info->input_channels, input, err);
    ng_image_clear(&fitted);
    return status;
}

ng_status ngi_exhibit_load(const ng_model *model, const ngi_data_item *item, const ng_evaluate_opts *o,
                           int side, float *input, ng_image *photo, ng_geometry *geometry, ng_error *err)
{
    ng_model_info info;
    ng_image_opts opts;
    ng_image whole;
    *photo = (ng_image){0};
    ng_model_describe(model, &info);
    if (o->image)
        opts = *o->image;
    else
        ng_image_opts_init(&opts);
    opts.channels = info.input_channels;
    NGI_TRY(ng_image_load(item->path, &opts, &whole, err));
    ng_status status = make_input(model, &whole, &info, o, input, geometry, err);
    if (status == NG_OK)
        status = shrink(&whole, side, photo, err);
    double width = whole.width, height = whole.height;
    ng_image_clear(&whole);
    if (status != NG_OK)
        return status;
    *geometry = scale_geometry(geometry, photo->width, photo->height);
    if (ngi_region_known(item))
        status = outline(item, photo->width / width, photo->height / height, photo, err);
    if (status != NG_OK)
        ng_image_clear(photo);
    return status;
}

/* ---- All of a report ---------------------------------------------------------------------------- */

typedef struct drawing {
    const ng_model *model;
    ngi_report *r;
    const ngi_view *view;
    const ng_evaluate_opts *o;
    float *inputs; /* [threads] [h,w,c] */
    size_t input;  /* floats */
    pthread_mutex_t lock;
    int64_t done;
} drawing;

/* The map's colours, the clearer the less the map says, so that the photo is seen where there is nothing. grey: the map as
 * levels. */
static ng_status colour_map(const ng_image *grey, const char *colormap, ngi_buffer *out, ng_error *err)
{
    const uint8_t *rgb;
    int64_t n = (int64_t)grey->width * grey->height;
    NGI_TRY(ngi_colormap_find(colormap, &rgb, err));
    uint8_t *pixels = ngi_alloc((size_t)n, 4);
    if (!pixels)
        return ngi_fail_memory(err, (size_t)n * 4);
    for (int64_t i = 0; i < n; i++) {
        int level = grey->data[3 * i], alpha = level * 255 / CLEAR;
        memcpy(pixels + 4 * i, rgb + 3 * level, 3);
        pixels[4 * i + 3] = (uint8_t)(alpha < 255 ? alpha : 255);
    }
    ng_status status = ngi_image_encode_rgba(pixels, grey->width, grey->height, QUALITY, out, err);
    ngi_free(pixels);
    return status;
}

ng_status ngi_exhibit_heatmap(const ng_map *map, const ng_geometry *geometry, const char *colormap,
                              ngi_buffer *out, ng_error *err)
{
    ng_render_opts render;
    ng_image grey;
    ng_render_opts_init(&render);
    render.colormap = "gray";
    ng_geometry half =
        scale_geometry(geometry, (geometry->image_width + 1) / 2, (geometry->image_height + 1) / 2);
    NGI_TRY(ng_render_heatmap(map, &half, &render, &grey, err));
    ng_status status = colour_map(&grey, colormap, out, err);
    ng_image_clear(&grey);
    return status;
}

static ng_status draw_map(const drawing *d, ng_session *session, const ng_geometry *geometry, int which,
                          ngi_exhibit *e, ng_error *err)
{
    ng_explain_opts explain;
    ng_map map;
    ng_explain_opts_init(&explain);
    explain.method = d->view->method;
    explain.parameters = d->view->parameters;
    explain.layer = d->view->layer;
    explain.class_index = e->class_index[which];
    NGI_TRY(ng_explain(session, 0, &explain, &map, err));
    e->status[which] = ng_map_status_name(map.status);
    ng_status status = ngi_exhibit_heatmap(&map, geometry, d->r->colormap, &e->heatmap[which], err);
    ng_map_clear(&map);
    return status;
}

static ng_status draw(drawing *d, ng_session *session, float *input, ngi_exhibit *e, ng_error *err)
{
    ng_image photo;
    ng_geometry g;
    ng_error why;
    ng_status status = ngi_exhibit_load(d->model, &d->r->data->items[d->r->items[e->image]], d->o, SIDE,
                                        input, &photo, &g, &why);
    if (status == NG_E_MEMORY)
        return ngi_fail(err, status, "%s", why.text);
    e->gone = status != NG_OK;
    if (e->gone)
        return NG_OK;
    e->width = photo.width;
    e->height = photo.height;
    status = ngi_image_encode(&photo, QUALITY, &e->photo, err);
    ng_image_clear(&photo);
    if (status == NG_OK && *d->view->method)
        status = ng_session_run(session, input, 1, err);
    for (int i = 0; i < e->n_maps && status == NG_OK && *d->view->method; i++)
        status = draw_map(d, session, &g, i, e, err);
    return status;
}

static ng_status draw_one(void *context, ng_session *session, int worker, int64_t index, ng_error *err)
{
    drawing *d = context;
    NGI_TRY(draw(d, session, d->inputs + (size_t)worker * d->input, &d->r->exhibits[index], err));
    pthread_mutex_lock(&d->lock);
    d->done++;
    d->r->n_gone += d->r->exhibits[index].gone;
    bool stop = d->o->progress && d->o->progress(d->o->context, "pictures", d->done, d->r->n_exhibits) != 0;
    pthread_mutex_unlock(&d->lock);
    return stop ? ngi_fail(err, NG_E_CANCELLED, "given up at picture %lld of %lld", (long long)index,
                           (long long)d->r->n_exhibits)
                : NG_OK;
}

ng_status ngi_exhibit_draw(const ng_model *model, ngi_report *r, const ngi_view *view, ng_session *session,
                           const ng_evaluate_opts *o, ng_error *err)
{
    ng_model_info info;
    ng_model_describe(model, &info);
    int threads = o->threads < 1 ? 1 : o->threads;
    drawing d = {.model = model, .r = r, .view = view, .o = o};
    d.input = (size_t)info.input_height * (size_t)info.input_width * (size_t)info.input_channels;
    d.inputs = ngi_alloc((size_t)threads * d.input, sizeof *d.inputs);
    if (!d.inputs)
        return ngi_fail_memory(err, (size_t)threads * d.input * sizeof *d.inputs);
    pthread_mutex_init(&d.lock, NULL);
    ng_status status = ngi_crew_run(session, threads, r->n_exhibits, draw_one, &d, err);
    pthread_mutex_destroy(&d.lock);
    ngi_free(d.inputs);
    return status;
}
