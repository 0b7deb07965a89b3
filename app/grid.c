/* All maps of one input in one picture: a column per class, a row per method and layer; of one
 * class, a few in a row. It has a sidecar of its own, by which a
 * rerun knows that it is there. */
#include "explain.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ONE_CLASS_COLUMNS = 3 };

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

ng_status grid_add(const explain_job *j, grid *g, const set *t, const picture *p, const ng_image *base,
                   ng_error *err)
{
    const map_view *v = &j->views[t->view];
    size_t wanted = (size_t)g->count + 1;
    ng_image *images = realloc(g->images, wanted * sizeof *images);
    if (images)
        g->images = images;
    char **captions = realloc(g->captions, wanted * sizeof *captions), *caption;
    if (captions)
        g->captions = captions;
    if (!images || !captions ||
        asprintf(&caption, "%s  %.3f  %s%s%s", ng_model_label(j->model, t->map->class_index),
                 t->map->probability, j->n_methods > 1 ? v->method->name : "", j->n_methods > 1 ? "  " : "",
                 v->name) < 0)
        return fail_memory(err);
    ng_render_opts render = render_options(j, t);
    ng_status status = ng_render_overlay(t->map, base, &p->geometry, &render, &g->images[g->count], err);
    if (status == NG_OK)
        g->captions[g->count++] = caption;
    else
        free(caption);
    return status;
}

/* What the grid shows, beside the conventions. */
static json_t *contents(const explain_job *j, const int *classes, int n)
{
    json_t *o = json_object(), *layers = json_array(), *list = json_array();
    for (int i = 0; i < j->n_views; i++)
        json_array_append_new(layers, json_text(j->views[i].path));
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_integer(classes[i]));
    json_object_set_new(o, "layers", layers);
    json_object_set_new(o, "classes", list);
    return o;
}

/* Copies: jansson's counts of references are no business of several threads. */
static json_t *all_conventions(const explain_job *j)
{
    json_t *list = json_array();
    for (int i = 0; i < j->n_views; i++)
        json_array_append_new(list, json_deep_copy(j->views[i].conventions));
    return list;
}

static json_t *make_grid_sidecar(const explain_job *j, const set *t, const char *picture_path,
                                 const int *classes, int n)
{
    json_t *o = json_object(), *model = json_object();
    json_object_set_new(model, "path", json_text(j->info.path));
    json_object_set_new(model, "hash", json_text(j->info.hash));
    json_object_set_new(o, "netgaze", json_string(ng_version()));
    json_object_set_new(o, "image", json_text(j->in.paths[t->input]));
    json_object_set_new(o, "grid", json_text(picture_path));
    json_object_set_new(o, "contents", contents(j, classes, n));
    json_object_set_new(o, "model", model);
    json_object_set_new(o, "input", input_identity(j->in.paths[t->input]));
    json_object_set_new(o, "conventions", all_conventions(j));
    return o;
}

ng_status grid_write(const explain_job *j, const grid *g, const set *t, const int *classes, int n,
                     bool *writing, ng_error *err)
{
    int columns = n > 1 ? n : at_most(g->count, ONE_CLASS_COLUMNS);
    ng_image image = {0};
    char *base = grid_path(j, t->input, t->item), *picture_path = NULL, *sidecar_path = NULL;
    bool fine = base && asprintf(&picture_path, "%s.%s", base, j->s->picture_format) >= 0 &&
                asprintf(&sidecar_path, "%s.json", base) >= 0;
    ng_status status = fine ? ng_render_grid(g->images, (const char *const *)g->captions, g->count, columns,
                                             j->in.stems[t->input], &image, err)
                            : fail_memory(err);
    if (status == NG_OK) {
        *writing = true;
        unlink(sidecar_path);
        status = ng_image_save(&image, picture_path, err);
        if (status == NG_OK && (j->outputs & OUTPUT_SIDECAR))
            status =
                save_sidecar(make_grid_sidecar(j, t, picture_path, classes, n), NULL, 0, sidecar_path, err);
    }
    ng_image_clear(&image);
    free(sidecar_path);
    free(picture_path);
    free(base);
    return status;
}

bool grid_is_there(const explain_job *j, int input, int item, const int *classes, int n)
{
    char *base = grid_path(j, input, item), *picture_path = NULL, *sidecar_path = NULL;
    bool there = base && asprintf(&picture_path, "%s.%s", base, j->s->picture_format) >= 0 &&
                 asprintf(&sidecar_path, "%s.json", base) >= 0;
    json_t *sidecar = there ? json_load_file(sidecar_path, 0, NULL) : NULL, *now = contents(j, classes, n);
    json_t *conventions = all_conventions(j);
    there = sidecar && sidecar_matches(j, sidecar, input, conventions) &&
            json_equal(json_object_get(sidecar, "contents"), now) && file_is_there(picture_path);
    json_decref(conventions);
    json_decref(now);
    json_decref(sidecar);
    free(sidecar_path);
    free(picture_path);
    free(base);
    return there;
}
