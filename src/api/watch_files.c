/* What is kept of the images that are watched: arrays that a run which goes on reads again, the page, the animated strip. */
#include "api/watch_own.h"

#include "image/image.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

enum { GAP = 8, BAR = 6, FRAME_TIME = 600, FIGURES = 4 }; /* pixels, milliseconds, numbers a glance */

ng_status ngi_watch_grow(ngi_watch *w, ng_error *err)
{
    size_t cells = (size_t)w->n * (size_t)w->map_h * (size_t)w->map_w, n = (size_t)w->n_epochs;
    if (n < w->epoch_capacity)
        return NG_OK;
    size_t capacity = w->epoch_capacity ? 2 * w->epoch_capacity : 32;
    int *epochs = ngi_realloc(w->epochs, capacity, sizeof *epochs);
    w->epochs = epochs ? epochs : w->epochs;
    ngi_glance *glances = ngi_realloc(w->glances, capacity * (size_t)w->n, sizeof *glances);
    w->glances = glances ? glances : w->glances;
    float *maps = ngi_realloc(w->maps, capacity * cells, sizeof *maps);
    w->maps = maps ? maps : w->maps;
    if (!epochs || !glances || !maps)
        return ngi_fail_memory(err, capacity * cells * sizeof *maps);
    w->epoch_capacity = capacity;
    return NG_OK;
}

float *ngi_watch_map(const ngi_watch *w, int epoch, int image)
{
    return w->maps + ((size_t)epoch * (size_t)w->n + (size_t)image) * (size_t)w->map_h * (size_t)w->map_w;
}

/* A stored map as one to draw. */
static ng_map stored_map(const ngi_watch *w, int epoch, int image)
{
    ng_map m = {.height = w->map_h, .width = w->map_w, .data = ngi_watch_map(w, epoch, image)};
    m.signed_data = m.data;
    ngi_min_max(m.data, (int64_t)w->map_h * w->map_w, &m.min, &m.max);
    m.signed_min = m.min;
    m.signed_max = m.max;
    return m;
}

/* ---- Files -------------------------------------------------------------------------------------- */

static ng_status save_array(const ngi_watch *w, const char *name, int rank, const int64_t *shape,
                            const float *data, ng_error *err)
{
    char *path = ngi_path_join(w->o.folder, name);
    if (!path)
        return ngi_fail_memory(err, strlen(w->o.folder) + 32);
    ng_status status = ng_npy_save(path, rank, shape, data, err);
    ngi_free(path);
    return status;
}

static ng_status save_figures(const ngi_watch *w, ng_error *err)
{
    int64_t n = (int64_t)w->n_epochs * w->n, shape[3] = {w->n_epochs, w->n, FIGURES};
    float *figures = ngi_alloc((size_t)n * FIGURES, sizeof *figures);
    if (!figures)
        return ngi_fail_memory(err, (size_t)n * FIGURES * sizeof *figures);
    for (int64_t i = 0; i < n; i++) {
        const ngi_glance *g = &w->glances[i];
        float *f = figures + i * FIGURES;
        f[0] = (float)w->epochs[i / w->n];
        f[1] = (float)g->probability;
        f[2] = (float)g->predicted;
        f[3] = isnan(g->energy) ? -1 : (float)g->energy;
    }
    ng_status status = save_array(w, "watch-figures.npy", 3, shape, figures, err);
    ngi_free(figures);
    return status;
}

/* The maps first: figures without their maps are not read again. */
ng_status ngi_watch_save(const ngi_watch *w, ng_error *err)
{
    int64_t shape[4] = {w->n_epochs, w->n, w->map_h, w->map_w};
    NGI_TRY(save_array(w, "watch.npy", 4, shape, w->maps, err));
    NGI_TRY(save_figures(w, err));
    ngi_watch_page page = {.title = w->o.title ? w->o.title : "Training",
                           .method = w->view.title,
                           .layer = w->layer_name,
                           .colormap = "turbo",
                           .labels = w->labels,
                           .n_images = w->n,
                           .n_epochs = w->n_epochs,
                           .images = w->pages,
                           .epochs = w->epochs,
                           .glances = w->glances};
    ngi_page p = {0};
    ngi_watch_html(&page, &p);
    ng_status status = ngi_page_save(&p, w->o.folder, "watch.html", err);
    ngi_page_clear(&p);
    return status;
}

static ng_status load_array(const ngi_watch *w, const char *name, ng_array *out)
{
    char *path = ngi_path_join(w->o.folder, name);
    ng_status status = path ? ng_npy_load(path, out, NULL) : NG_E_MEMORY;
    ngi_free(path);
    return status;
}

static ng_status take_epoch(ngi_watch *w, const float *figures, const float *maps, ng_error *err)
{
    size_t cells = (size_t)w->map_h * (size_t)w->map_w;
    NGI_TRY(ngi_watch_grow(w, err));
    w->epochs[w->n_epochs] = (int)figures[0];
    memset(&w->glances[w->n_epochs * w->n], 0, (size_t)w->n * sizeof *w->glances);
    memcpy(ngi_watch_map(w, w->n_epochs, 0), maps, (size_t)w->n * cells * sizeof *maps);
    w->n_epochs++;
    for (int i = 0; i < w->n; i++) {
        const float *f = figures + i * FIGURES;
        ngi_glance *g = &w->glances[(w->n_epochs - 1) * w->n + i];
        g->probability = f[1];
        g->predicted = f[2] >= 0 && f[2] < (float)w->classes ? (int)f[2] : 0;
        g->energy = f[3] < 0 ? NAN : f[3];
        ng_map map = stored_map(w, w->n_epochs - 1, i);
        NGI_TRY(ngi_exhibit_heatmap(&map, &w->subjects[i].geometry, "turbo", &g->heatmap, err));
    }
    return NG_OK;
}

ng_status ngi_watch_resume(ngi_watch *w, ng_error *err)
{
    ng_array maps = {0}, figures = {0};
    ng_status status = NG_OK;
    bool fits = load_array(w, "watch.npy", &maps) == NG_OK &&
                load_array(w, "watch-figures.npy", &figures) == NG_OK && maps.rank == 4 &&
                figures.rank == 3 && maps.shape[0] >= figures.shape[0] && maps.shape[1] == w->n &&
                figures.shape[1] == w->n && figures.shape[2] == FIGURES && maps.shape[2] > 0 &&
                maps.shape[3] > 0 && maps.shape[2] <= w->height && maps.shape[3] <= w->width;
    if (fits) {
        w->map_h = (int)maps.shape[2];
        w->map_w = (int)maps.shape[3];
    }
    int64_t cells = (int64_t)w->n * w->map_h * w->map_w;
    for (int64_t e = 0; fits && e < figures.shape[0] && status == NG_OK; e++) {
        const float *f = figures.data + e * w->n * FIGURES;
        if (!w->o.before || f[0] < (float)w->o.before)
            status = take_epoch(w, f, maps.data + e * cells, err);
    }
    ng_array_clear(&maps);
    ng_array_clear(&figures);
    return status;
}

/* ---- The strip ---------------------------------------------------------------------------------- */

static void paste(const ng_image *from, int left, int top, ng_image *to)
{
    for (int y = 0; y < from->height; y++)
        memcpy(to->data + 3 * ((int64_t)(top + y) * to->width + left),
               from->data + 3 * (int64_t)y * from->width, 3 * (size_t)from->width);
}

static ng_status draw_frame(const ngi_watch *w, int epoch, ng_image *frame, ng_error *err)
{
    ng_render_opts o;
    ng_render_opts_init(&o);
    o.colormap = "turbo";
    NGI_TRY(
        ngi_image_create(w->n * (NGI_WATCH_SIDE + GAP) + GAP, NGI_WATCH_SIDE + 2 * GAP + BAR, 3, frame, err));
    memset(frame->data, 24, 3 * (size_t)frame->width * (size_t)frame->height);
    for (int i = 0; i < w->n; i++) {
        ng_map map = stored_map(w, epoch, i);
        ng_image overlay;
        NGI_TRY(ng_render_overlay(&map, &w->subjects[i].photo, &w->subjects[i].geometry, &o, &overlay, err));
        paste(&overlay, GAP + i * (NGI_WATCH_SIDE + GAP) + (NGI_WATCH_SIDE - overlay.width) / 2,
              GAP + (NGI_WATCH_SIDE - overlay.height) / 2, frame);
        ng_image_clear(&overlay);
    }
    int done = (int)((int64_t)frame->width * (epoch + 1) / w->n_epochs);
    for (int y = frame->height - BAR; y < frame->height; y++)
        memset(frame->data + 3 * (int64_t)y * frame->width, 220, 3 * (size_t)done);
    return NG_OK;
}

ng_status ngi_watch_finish(ngi_watch *w, ng_error *err)
{
    if (w->n_epochs == 0)
        return NG_OK;
    ng_image *frames = ngi_alloc_zero((size_t)w->n_epochs, sizeof *frames);
    if (!frames)
        return ngi_fail_memory(err, (size_t)w->n_epochs * sizeof *frames);
    ng_status status = NG_OK;
    for (int e = 0; e < w->n_epochs && status == NG_OK; e++)
        status = draw_frame(w, e, &frames[e], err);
    ngi_buffer bytes = {0};
    if (status == NG_OK)
        status = ngi_image_encode_animation(frames, w->n_epochs, FRAME_TIME, NGI_WATCH_QUALITY, &bytes, err);
    for (int e = 0; e < w->n_epochs; e++)
        ng_image_clear(&frames[e]);
    ngi_free(frames);
    char *path = status == NG_OK ? ngi_path_join(w->o.folder, "watch.webp") : NULL;
    if (status == NG_OK)
        status = path ? ng_file_save(path, bytes.data, bytes.size, err) : ngi_fail_memory(err, 256);
    ngi_free(path);
    ngi_buffer_clear(&bytes);
    return status;
}
