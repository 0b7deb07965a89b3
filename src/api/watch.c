/* ngi_watch: the images, what is kept of each epoch, and the files. */
#include "api/watch_own.h"

#include "data/loader.h"
#include "data/region.h"
#include "image/image.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void ngi_watch_close(ngi_watch *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->n; i++) {
        ng_image_clear(&w->subjects[i].photo);
        ngi_free(w->subjects[i].input);
        ngi_free(w->subjects[i].region);
        ngi_buffer_clear(&w->pages[i].photo);
    }
    for (int64_t g = 0; g < (int64_t)w->n_epochs * w->n; g++)
        ngi_buffer_clear(&w->glances[g].heatmap);
    for (int c = 0; w->labels && c < w->classes; c++)
        ngi_free(w->labels[c]);
    ngi_free(w->labels);
    ngi_free(w->epochs);
    ngi_free(w->glances);
    ngi_free(w->maps);
    ngi_free(w->work);
    ngi_free(w);
}

double ngi_watch_energy(const ngi_watch *w)
{
    double sum = 0, n = 0;
    for (int i = 0; w->n_epochs && i < w->n; i++) {
        double e = w->glances[(w->n_epochs - 1) * w->n + i].energy;
        sum += isnan(e) ? 0 : e;
        n += !isnan(e);
    }
    return n > 0 ? sum / n : NAN;
}

/* ---- The images --------------------------------------------------------------------------------- */

static ng_status load_region(ngi_watch *w, const ng_model *model, ngi_watch_subject *s, ng_error *err)
{
    ngi_loader_options o = {.data = w->o.data,
                            .height = w->height,
                            .width = w->width,
                            .channels = w->channels,
                            .fit = w->o.fit,
                            .resample = w->o.resample,
                            .preprocess = model->preprocess,
                            .grid_h = w->height,
                            .grid_w = w->width};
    ng_image_opts image;
    if (w->o.image)
        image = *w->o.image;
    else
        ng_image_opts_init(&image);
    image.channels = w->channels;
    size_t pixels = (size_t)w->height * (size_t)w->width;
    s->region = ngi_alloc(pixels, sizeof *s->region);
    float *work = ngi_alloc((size_t)ngi_loader_work(&o), sizeof *work);
    ng_status status = s->region && work
                           ? ngi_loader_image(&o, &image, s->item, s->item, work, s->input, s->region, err)
                           : ngi_fail_memory(err, pixels * sizeof *s->region);
    ngi_free(work);
    return status;
}

static ng_status load_subject(ngi_watch *w, const ng_model *model, int64_t item, int class_index,
                              ng_error *err)
{
    ngi_watch_subject *s = &w->subjects[w->n];
    const ngi_data_item *of = &w->o.data->items[item];
    *s = (ngi_watch_subject){.item = item, .class_index = class_index};
    s->input = ngi_alloc((size_t)w->height * (size_t)w->width * (size_t)w->channels, sizeof *s->input);
    if (!s->input)
        return ngi_fail_memory(err, (size_t)w->height * (size_t)w->width * sizeof *s->input);
    w->pages[w->n] = (ngi_watched){.path = of->path, .label = w->labels[class_index]};
    w->n++; /* what is loaded of it is freed with the rest */
    NGI_TRY(ngi_exhibit_load(model, of, &w->fit, NGI_WATCH_SIDE, s->input, &s->photo, &s->geometry, err));
    ngi_watched *page = &w->pages[w->n - 1];
    page->width = s->photo.width;
    page->height = s->photo.height;
    page->has_place = ngi_region_known(of);
    if (page->has_place)
        NGI_TRY(load_region(w, model, s, err));
    return ngi_image_encode(&s->photo, NGI_WATCH_QUALITY, &page->photo, err);
}

/* An image that cannot be read is passed over. */
static ng_status try_subject(ngi_watch *w, const ng_model *model, int64_t item, int class_index,
                             ng_error *err)
{
    ng_error why;
    ng_status status = load_subject(w, model, item, class_index, &why);
    if (status == NG_OK)
        return NG_OK;
    if (status == NG_E_MEMORY)
        return ngi_fail(err, status, "%s", why.text);
    ngi_watch_subject *s = &w->subjects[--w->n];
    ng_image_clear(&s->photo);
    ngi_free(s->input);
    ngi_free(s->region);
    ngi_buffer_clear(&w->pages[w->n].photo);
    return NG_OK;
}

/* The `round`-th image of each class in turn, until there are enough. */
static ng_status choose_subjects(ngi_watch *w, const ng_model *model, const int *class_of, ng_error *err)
{
    const ngi_dataset *d = w->o.data;
    bool has_val = false;
    for (int64_t i = 0; i < d->n_items; i++)
        has_val = has_val || d->items[i].split == NGI_SPLIT_VAL;
    int64_t *next = ngi_alloc_zero((size_t)d->n_classes, sizeof *next);
    if (!next)
        return ngi_fail_memory(err, (size_t)d->n_classes * sizeof *next);
    ng_status status = NG_OK;
    for (bool found = true; found && w->n < w->o.images && status == NG_OK;) {
        found = false;
        for (int c = 0; c < d->n_classes && w->n < w->o.images && status == NG_OK; c++) {
            int64_t i = next[c];
            while (i < d->n_items &&
                   (d->items[i].class_index != c || (has_val && d->items[i].split != NGI_SPLIT_VAL)))
                i++;
            next[c] = i + 1;
            if (i >= d->n_items)
                continue;
            found = true;
            status = try_subject(w, model, i, class_of[c], err);
        }
    }
    ngi_free(next);
    if (status == NG_OK && w->n == 0)
        status = ngi_fail(err, NG_E_NOT_FOUND, "there is no image to watch that can be read");
    return status;
}

/* ---- Epochs ------------------------------------------------------------------------------------- */

static ng_status look(void *context, ng_session *session, int worker, int64_t index, ng_error *err)
{
    (void)worker;
    ngi_watch *w = context;
    const ngi_watch_subject *s = &w->subjects[index];
    ngi_glance *g = &w->glances[w->n_epochs * w->n + index];
    ng_explain_opts o;
    ng_map map;
    NGI_TRY(ng_session_run(session, s->input, 1, err));
    ng_explain_opts_init(&o);
    o.method = w->view.method;
    o.parameters = w->view.parameters;
    o.layer = w->view.layer;
    o.class_index = s->class_index;
    NGI_TRY(ng_explain(session, 0, &o, &map, err));
    const float *p = ng_session_probabilities(session);
    g->predicted = 0;
    for (int c = 1; c < w->classes; c++)
        g->predicted = p[c] > p[g->predicted] ? c : g->predicted;
    g->probability = isfinite(p[s->class_index]) ? p[s->class_index] : 0;
    double area;
    if (s->region)
        ngi_measure_place(&map, s->region, w->height, w->width,
                          w->work + index * (int64_t)w->height * w->width, &g->energy, &area);
    memcpy(ngi_watch_map(w, w->n_epochs, (int)index), map.data,
           (size_t)w->map_h * (size_t)w->map_w * sizeof *map.data);
    ng_status status = ngi_exhibit_heatmap(&map, &s->geometry, "turbo", &g->heatmap, err);
    ng_map_clear(&map);
    return status;
}

static ng_status open_session(const ngi_watch *w, const ng_model *model, ng_session **out, ng_error *err)
{
    ng_session_opts o;
    ng_session_opts_init(&o);
    o.backend = w->o.backend;
    o.layers = &w->view.layer;
    o.layer_count = 1;
    o.forward_only = w->view.forward_only;
    return ng_session_create(model, &o, out, err);
}

/* ---- Opening and adding ------------------------------------------------------------------------- */

static ng_status name_classes(ngi_watch *w, const ng_model *model, ng_error *err)
{
    bool own = model->labels || model->file.labels || w->o.data->n_classes != w->classes;
    if (!(w->labels = ngi_alloc_zero((size_t)w->classes, sizeof *w->labels)))
        return ngi_fail_memory(err, (size_t)w->classes * sizeof *w->labels);
    for (int c = 0; c < w->classes; c++)
        if (!(w->labels[c] = ngi_strdup(own ? ng_model_label(model, c) : w->o.data->classes[c])))
            return ngi_fail_memory(err, 64);
    return NG_OK;
}

static ng_status prepare(ngi_watch *w, const ng_model *model, ng_error *err)
{
    ng_model_info info;
    ng_layer_info layer;
    ng_model_describe(model, &info);
    w->height = info.input_height;
    w->width = info.input_width;
    w->channels = info.input_channels;
    w->classes = info.class_count;
    if (w->o.images < 1 || w->o.images > NGI_WATCH_MOST)
        return ngi_fail(err, NG_E_ARGUMENT, "%d images to watch: expected 1 to %d", w->o.images,
                        NGI_WATCH_MOST);
    NGI_TRY(ngi_view_choose(model, w->o.method ? w->o.method : "gradcam", w->o.parameters, w->o.layer,
                            &w->view, err));
    NGI_TRY(ng_model_layer(model, w->view.layer, &layer, err));
    snprintf(w->layer_name, sizeof w->layer_name, "%s", layer.name);
    if (mkdir(w->o.folder, 0777) != 0 && errno != EEXIST)
        return ngi_fail(err, NG_E_IO, "%s: the folder cannot be made: %s", w->o.folder, strerror(errno));
    NGI_TRY(name_classes(w, model, err));
    int *class_of = NULL;
    NGI_TRY(ngi_match_classes(model, w->o.data, &class_of, err));
    ng_status status = choose_subjects(w, model, class_of, err);
    ngi_free(class_of);
    NGI_TRY(status);
    w->work = ngi_alloc((size_t)w->n * (size_t)w->height * (size_t)w->width, sizeof *w->work);
    if (!w->work)
        return ngi_fail_memory(err, (size_t)w->n * (size_t)w->height * (size_t)w->width * sizeof *w->work);
    return w->o.resume ? ngi_watch_resume(w, err) : NG_OK;
}

ng_status ngi_watch_open(const ng_model *model, const ngi_watch_opts *opts, ngi_watch **out, ng_error *err)
{
    *out = NULL;
    ngi_watch *w = ngi_alloc_zero(1, sizeof *w);
    if (!w)
        return ngi_fail_memory(err, sizeof *w);
    w->o = *opts;
    ng_evaluate_opts_init(&w->fit);
    w->fit.fit = opts->fit;
    w->fit.resample = opts->resample;
    w->fit.image = opts->image;
    ng_status status = prepare(w, model, err);
    if (status == NG_OK)
        *out = w;
    else
        ngi_watch_close(w);
    return status;
}

/* The size that maps have: that of the layer, or of the input. */
static ng_status find_map_size(ngi_watch *w, const ng_model *model, ng_error *err)
{
    ng_layer_info layer;
    const ngi_method *m = ngi_method_find(w->view.method, err);
    if (!m)
        return NG_E_ARGUMENT;
    NGI_TRY(ng_model_layer(model, w->view.layer, &layer, err));
    int h = m->info.at_input ? w->height : (int)layer.shape[0],
        wide = m->info.at_input ? w->width : (int)layer.shape[1];
    if (w->n_epochs && (h != w->map_h || wide != w->map_w))
        return ngi_fail(err, NG_E_SHAPE,
                        "%s holds maps of %dx%d cells, the model's have %dx%d: watch in another folder",
                        w->o.folder, w->map_h, w->map_w, h, wide);
    w->map_h = h;
    w->map_w = wide;
    return NG_OK;
}

ng_status ngi_watch_add(ngi_watch *w, const ng_model *model, int epoch, ng_error *err)
{
    ng_session *session = NULL;
    NGI_TRY(find_map_size(w, model, err));
    NGI_TRY(ngi_watch_grow(w, err));
    NGI_TRY(open_session(w, model, &session, err));
    ngi_glance *glances = &w->glances[w->n_epochs * w->n];
    for (int i = 0; i < w->n; i++)
        glances[i] = (ngi_glance){.energy = NAN};
    ng_status status = ngi_crew_run(session, w->o.threads, w->n, look, w, err);
    ng_session_free(session);
    if (status != NG_OK) {
        for (int i = 0; i < w->n; i++)
            ngi_buffer_clear(&glances[i].heatmap);
        return status;
    }
    w->epochs[w->n_epochs++] = epoch;
    return ngi_watch_save(w, err);
}
