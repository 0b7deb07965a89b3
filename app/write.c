/* The files of one map: raw .npy, pictures, and last the sidecar that holds everything needed to draw them again. */
#include "explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int read_render_options(const settings *s, ng_render_opts *out)
{
    ng_error err;
    uint8_t table[256 * 3];
    ng_render_opts_init(out);
    out->alpha = s->alpha;
    out->use_signed = s->use_signed;
    out->colormap = s->colormap;
    if ((s->compat && ng_compat_find(s->compat, &out->compat, &err) != NG_OK) ||
        (s->norm && ng_norm_find(s->norm, &out->norm, &err) != NG_OK) ||
        (s->colormap && ng_colormap_table(s->colormap, table, &err) != NG_OK)) {
        complain("%s", err.text);
        return EXIT_USAGE;
    }
    if (out->norm == NG_NORM_RANGE) {
        complain("--norm range needs limits and is for the library; expected max, minmax, percentile or none");
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static ng_status save_and_clear(ng_status status, ng_image *image, const char *path, ng_error *err)
{
    if (status == NG_OK)
        status = ng_image_save(image, path, err);
    ng_image_clear(image);
    return status;
}

ng_status write_pictures(const ng_map *map, const ng_image *base, const ng_geometry *g, const ng_render_opts *opts,
                         const picture_paths *paths, ng_error *err)
{
    ng_image image = {0};
    ng_status status = NG_OK;
    if (paths->heatmap)
        status = save_and_clear(ng_render_heatmap(map, g, opts, &image, err), &image, paths->heatmap, err);
    if (status == NG_OK && paths->overlay)
        status = save_and_clear(ng_render_overlay(map, base, g, opts, &image, err), &image, paths->overlay, err);
    if (status == NG_OK && paths->figure)
        status = save_and_clear(ng_render_figure(map, base, g, opts, &image, err), &image, paths->figure, err);
    return status;
}

static const char *bare(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* DIR/stem[.item].layer.method.class[.compat] */
static void base_path(const explain_job *j, const ng_map *map, const char *layer, const set_place *place, char *out, size_t size)
{
    char item[24] = "";
    if (place->items)
        snprintf(item, sizeof item, ".%d", place->item);
    snprintf(out, size, "%s/%s%s.%s.%s.%d%s%s", j->s->output, j->in->names[place->index], item, bare(layer), j->s->method,
             map->class_index, j->render.compat ? "." : "", j->render.compat ? ng_compat_name(j->render.compat) : "");
}

static json_t *geometry_json(const ng_geometry *g)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:s, s:s, s:f, s:f, s:f, s:f}", "image_width", g->image_width, "image_height",
                     g->image_height, "input_width", g->input_width, "input_height", g->input_height, "fit", ng_fit_name(g->fit),
                     "resample", ng_resample_name(g->resample), "x0", g->x0, "y0", g->y0, "x1", g->x1, "y1", g->y1);
}

/* Everything recorded about one map beside the result line. */
static json_t *sidecar_json(const explain_job *j, const picture *p, const ng_map *map, const set_place *place, const char *title,
                            json_t *result)
{
    ng_model_info info;
    ng_model_describe(j->model, &info);
    json_t *o = json_pack("{s:s, s:O, s:s, s:i, s:i}", "netgaze", ng_version(), "result", result, "key", place->key, "maps",
                          place->maps, "order", place->position);
    json_object_set_new(o, "model", json_pack("{s:s, s:s, s:s, s:s}", "path", info.path, "format", info.format, "producer",
                                              info.producer, "hash", info.hash));
    json_object_set_new(o, "preprocess", json_pack("{s:s, s:s, s:f, s:f}", "mode", info.preprocess.mode, "origin",
                                                   info.preprocess.origin, "low", info.preprocess.low, "high", info.preprocess.high));
    json_object_set_new(o, "geometry", geometry_json(&p->geometry));
    json_object_set_new(o, "array", json_boolean(p->is_array));
    json_object_set_new(o, "item", json_integer(place->item));
    json_object_set_new(o, "target", json_string(j->target == NG_TARGET_LOGIT ? "logit" : "probability"));
    json_object_set_new(o, "backend", json_string(j->s->backend));
    json_object_set_new(o, "title", json_string(title));
    json_object_set_new(o, "note", json_string(map->note));
    json_object_set_new(o, "gradient_norm", json_real(map->gradient_norm));
    json_object_set_new(o, "signed_min", json_real(map->signed_min));
    json_object_set_new(o, "signed_max", json_real(map->signed_max));
    json_object_set_new(o, "window", json_pack("[f,f]", j->fit.window_center, j->fit.window_width));
    json_object_set_new(o, "render", json_pack("{s:s, s:s, s:s, s:f, s:b}", "compat", ng_compat_name(j->render.compat), "norm",
                                               ng_norm_name(j->render.norm), "colormap",
                                               j->render.colormap ? j->render.colormap : j->render.use_signed ? "coolwarm" : "jet",
                                               "alpha", j->render.alpha, "signed", j->render.use_signed));
    return o;
}

/* The signed map travels in the sidecar, so that render can draw it too. */
static json_t *signed_json(const ng_map *map)
{
    json_t *list = json_array();
    for (int i = 0; i < map->height * map->width; i++)
        json_array_append_new(list, json_real(map->signed_data[i]));
    return list;
}

static ng_status save_json(json_t *object, const char *path, ng_error *err)
{
    char *text = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    ng_status status = NG_E_MEMORY;
    if (text)
        status = ng_file_save(path, text, strlen(text), err);
    free(text);
    json_decref(object);
    return status;
}

static ng_status gather(const explain_job *j, const picture *p, const ng_map *map, int item, const char *layer, grid *g,
                        ng_error *err)
{
    ng_image *images = realloc(g->images, ((size_t)g->count + 1) * sizeof *images);
    if (images)
        g->images = images;
    char **captions = realloc(g->captions, ((size_t)g->count + 1) * sizeof *captions);
    if (captions)
        g->captions = captions;
    char text[300];
    snprintf(text, sizeof text, "%s  %.3f  %s", ng_model_label(j->model, map->class_index), map->probability, bare(layer));
    char *caption = strdup(text);
    if (!images || !captions || !caption) {
        free(caption);
        err->status = NG_E_MEMORY;
        snprintf(err->text, sizeof err->text, "out of memory");
        return NG_E_MEMORY;
    }
    ng_status status = ng_render_overlay(map, &p->base[item], &p->geometry, &j->render, &g->images[g->count], err);
    if (status == NG_OK)
        g->captions[g->count++] = caption;
    else
        free(caption);
    return status;
}

void grid_clear(grid *g)
{
    for (int i = 0; i < g->count; i++) {
        ng_image_clear(&g->images[i]);
        free(g->captions[i]);
    }
    free(g->images);
    free(g->captions);
    *g = (grid){0};
}

ng_status write_grid(const explain_job *j, int index, int item, int columns, const grid *g, ng_error *err)
{
    ng_image image;
    ng_status status = ng_render_grid(g->images, (const char *const *)g->captions, g->count, columns, j->in->names[index], &image, err);
    char path[8800];
    snprintf(path, sizeof path, "%s/%s.%d.%s.grid.png", j->s->output, j->in->names[index], item, j->s->method);
    return status == NG_OK ? save_and_clear(status, &image, path, err) : status;
}

ng_status write_set(const explain_job *j, const picture *p, const ng_map *map, const set_place *place, char **line, grid *g,
                    bool *failed, ng_error *err)
{
    ng_layer_info layer;
    *line = NULL;
    ng_status status = ng_model_layer(j->model, map->layer, &layer, err);
    if (status != NG_OK)
        return status;
    char base[8700], path[5][8800], title[400];
    static const char *const names[] = {"raw", "heatmap", "overlay", "figure", "sidecar"};
    static const char *const suffixes[] = {".npy", ".heatmap.png", ".overlay.png", ".figure.png", ".json"};
    base_path(j, map, layer.name, place, base, sizeof base);
    json_t *files = json_object();
    for (int i = 0; i < 5; i++) {
        snprintf(path[i], sizeof path[i], "%s%s", base, suffixes[i]);
        if (j->outputs & 1u << i)
            json_object_set_new(files, names[i], json_string(path[i]));
    }
    snprintf(title, sizeof title, "%s  %.4f   %s   %s", ng_model_label(j->model, map->class_index), map->probability, layer.name,
             j->s->method);
    json_t *result = json_pack("{s:s, s:s, s:s, s:i, s:s, s:f, s:f, s:s, s:[i,i], s:f, s:f, s:o}", "image",
                               j->in->paths[place->index], "method", j->s->method, "layer", layer.name, "index", map->class_index,
                               "label", ng_model_label(j->model, map->class_index), "probability", map->probability, "logit",
                               map->logit, "status", ng_map_status_name(map->status), "shape", map->height, map->width, "min",
                               map->min, "max", map->max, "files", files);
    if (place->items)
        json_object_set_new(result, "item", json_integer(place->item));
    int64_t shape[2] = {map->height, map->width};
    ng_render_opts render = j->render;
    render.title = title;
    picture_paths paths = {j->outputs & OUTPUT_HEATMAP ? path[1] : NULL, j->outputs & OUTPUT_OVERLAY ? path[2] : NULL,
                           j->outputs & OUTPUT_FIGURE ? path[3] : NULL};
    *failed = true;
    if (j->outputs & OUTPUT_RAW)
        status = ng_npy_save(path[0], 2, shape, map->data, err);
    if (status == NG_OK)
        status = write_pictures(map, &p->base[place->item], &p->geometry, &render, &paths, err);
    if (status == NG_OK && (j->outputs & OUTPUT_SIDECAR)) {
        json_t *sidecar = sidecar_json(j, p, map, place, title, result);
        json_object_set_new(sidecar, "signed", signed_json(map));
        status = save_json(sidecar, path[4], err);
    }
    if (status == NG_OK && j->s->grid)
        status = gather(j, p, map, place->item, layer.name, g, err);
    if (status == NG_OK) {
        *failed = false;
        if (j->s->json)
            *line = json_line(json_incref(result));
        else if ((*line = malloc(9600)))
            snprintf(*line, 9600, "%s: %s %.4f, %s, map %s%s\n", j->in->paths[place->index],
                     ng_model_label(j->model, map->class_index), map->probability, layer.name, ng_map_status_name(map->status),
                     map->status == NG_MAP_OK ? "" : " (see above)");
    }
    json_decref(result);
    return status;
}
