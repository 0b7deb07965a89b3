/* The files of one map: the raw .npy, the pictures, and last the sidecar. */
#include "explain.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say_without_effect(const settings *s, ng_compat compat)
{
    bool own_blend = compat == NG_COMPAT_NONE || compat == NG_COMPAT_TKV;
    if (s->norm && compat != NG_COMPAT_NONE && !s->quiet)
        complain("note: --compat %s fixes the normalisation; --norm has no effect", ng_compat_name(compat));
    if (!isnan(s->alpha) && !own_blend && !s->quiet)
        complain("note: --compat %s fixes the blending; --alpha has no effect", ng_compat_name(compat));
}

int read_render_options(const settings *s, ng_render_opts *out)
{
    ng_error err;
    ng_render_opts_init(out);
    if (!isnan(s->alpha))
        out->alpha = s->alpha;
    out->box = isnan(s->box) ? 0 : s->box;
    out->use_signed = s->use_signed;
    out->colormap = s->colormap;
    if ((s->compat && ng_compat_find(s->compat, &out->compat, &err) != NG_OK) ||
        (s->norm && !wants_scales(s) && ng_norm_find(s->norm, &out->norm, &err) != NG_OK)) {
        complain("%s", err.text);
        return EXIT_USAGE;
    }
    say_without_effect(s, out->compat);
    return EXIT_DONE;
}

static ng_status save_and_clear(ng_image *image, const char *path, bool *writing, ng_error *err)
{
    *writing = true;
    ng_status status = ng_image_save(image, path, err);
    *writing = status != NG_OK;
    ng_image_clear(image);
    return status;
}

ng_status write_pictures(const ng_map *map, const ng_image *base, const ng_geometry *g,
                         const ng_render_opts *opts, const picture_paths *paths, bool *writing, ng_error *err)
{
    ng_image image;
    ng_status status = NG_OK;
    if (paths->heatmap && (status = ng_render_heatmap(map, g, opts, &image, err)) == NG_OK)
        status = save_and_clear(&image, paths->heatmap, writing, err);
    if (status == NG_OK && paths->overlay &&
        (status = ng_render_overlay(map, base, g, opts, &image, err)) == NG_OK)
        status = save_and_clear(&image, paths->overlay, writing, err);
    if (status == NG_OK && paths->figure &&
        (status = ng_render_figure(map, base, g, opts, &image, err)) == NG_OK)
        status = save_and_clear(&image, paths->figure, writing, err);
    return status;
}

ng_render_opts render_options(const explain_job *j, const set *t)
{
    ng_render_opts render = j->render;
    render.norm = j->views[t->view].norm;
    return render;
}

static char *figure_title(const explain_job *j, const set *t)
{
    char *title;
    int n = asprintf(&title, "%s  %.4f   %s   %s", ng_model_label(j->model, t->map->class_index),
                     t->map->probability, j->views[t->view].path, j->views[t->view].method->name);
    return n < 0 ? NULL : title;
}

/* A sidecar of before would vouch for files that are about to change. */
static ng_status drop_sidecar(const char *path, ng_error *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return NG_OK;
    err->status = NG_E_IO;
    snprintf(err->text, sizeof err->text, "%s: cannot be replaced: %s", path, strerror(errno));
    return NG_E_IO;
}

static ng_status write_files(const explain_job *j, const set *t, const picture *p, const ng_image *base,
                             char *const path[OUTPUT_KINDS], json_t *result, bool *writing, ng_error *err)
{
    const ng_map *map = t->map;
    int64_t shape[2] = {map->height, map->width};
    ng_render_opts render = render_options(j, t);
    char *title = figure_title(j, t);
    if (!title)
        return fail_memory(err);
    render.title = title;
    *writing = true;
    ng_status status = drop_sidecar(path[4], err);
    if (status == NG_OK && (j->outputs & OUTPUT_RAW))
        status = ng_npy_save(path[0], 2, shape, map->data, err);
    picture_paths paths = {j->outputs & OUTPUT_HEATMAP ? path[1] : NULL,
                           j->outputs & OUTPUT_OVERLAY ? path[2] : NULL,
                           j->outputs & OUTPUT_FIGURE ? path[3] : NULL};
    if (status == NG_OK) {
        *writing = false;
        status = write_pictures(map, base, &p->geometry, &render, &paths, writing, err);
    }
    if (status == NG_OK && (j->outputs & OUTPUT_SIDECAR)) {
        *writing = true;
        status = save_sidecar(make_sidecar(j, t, p, title, result), map->signed_data,
                              map->height * map->width, path[4], err);
    }
    free(title);
    return status;
}

ng_status write_set(const explain_job *j, const set *t, const picture *p, const ng_image *base, json_t **line,
                    bool *writing, ng_error *err)
{
    char *path[OUTPUT_KINDS] = {0}, *stem = set_path(j, t->input, t->item, t->view, t->map->class_index);
    bool fine = stem != NULL;
    for (int i = 0; i < OUTPUT_KINDS && fine; i++)
        fine = (path[i] = output_path(j, stem, i)) != NULL;
    json_t *result = fine ? make_result(j, t, &p->geometry, stem) : NULL;
    ng_status status = result ? write_files(j, t, p, base, path, result, writing, err) : fail_memory(err);
    for (int i = 0; i < OUTPUT_KINDS; i++)
        free(path[i]);
    free(stem);
    if (status == NG_OK)
        *line = result;
    else
        json_decref(result);
    return status;
}
