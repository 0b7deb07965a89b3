/* The result of one map as JSON: the line that --json prints, and the sidecar, which holds everything needed to
 * recognise the map on a rerun and to draw it again. */
#include "explain.h"
#include "options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Names ---------------------------------------------------------------------------------- */

static const char *compat_ending(const explain_job *j)
{
    return j->render.compat == NG_COMPAT_NONE ? "" : ng_compat_name(j->render.compat);
}

char *output_path(const explain_job *j, const char *base, int kind)
{
    static const char *const endings[OUTPUT_KINDS] = {".npy", ".heatmap.", ".overlay.", ".figure.", ".json"};
    bool drawn = endings[kind][strlen(endings[kind]) - 1] == '.';
    char *path;
    int n = asprintf(&path, "%s%s%s", base, endings[kind], drawn ? j->s->picture_format : "");
    return n < 0 ? NULL : path;
}

static void item_text(int item, char *out, size_t size)
{
    *out = '\0';
    if (item >= 0)
        snprintf(out, size, ".%d", item);
}

char *set_path(const explain_job *j, int input, int item, int view, int class_index)
{
    char number[16], *path;
    const char *compat = compat_ending(j);
    item_text(item, number, sizeof number);
    int n =
        asprintf(&path, "%s/%s%s.%s.%s.%d%s%s", j->folder, j->in.stems[input], number, j->views[view].name,
                 j->views[view].method->name, class_index, *compat ? "." : "", compat);
    return n < 0 ? NULL : path;
}

/* "gradcam+rise", or "12-methods" where that is too long for a file name. */
static void methods_text(const explain_job *j, char *out, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < j->n_methods && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "+" : "", j->methods[i].method.name);
    if (used >= size)
        snprintf(out, size, "%d-methods", j->n_methods);
}

char *grid_path(const explain_job *j, int input, int item)
{
    char number[16], methods[80], *path;
    const char *compat = compat_ending(j);
    item_text(item, number, sizeof number);
    methods_text(j, methods, sizeof methods);
    int n = asprintf(&path, "%s/%s%s.%s%s%s.grid", j->folder, j->in.stems[input], number, methods,
                     *compat ? "." : "", compat);
    return n < 0 ? NULL : path;
}

static json_t *files_json(const explain_job *j, const char *base)
{
    json_t *files = json_object();
    for (int i = 0; i < OUTPUT_KINDS; i++) {
        char *path = j->outputs & 1u << i ? output_path(j, base, i) : NULL;
        if (!path)
            continue;
        json_object_set_new(files, output_choice(i), json_text(path));
        free(path);
    }
    return files;
}

/* ---- Identity ------------------------------------------------------------------------------- */

json_t *input_identity(const char *path)
{
    char *absolute = realpath(path, NULL), modified[48] = "";
    struct stat st = {0};
    json_t *o = json_object();
    if (stat(path, &st) == 0)
        snprintf(modified, sizeof modified, "%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    json_object_set_new(o, "path", json_text(absolute ? absolute : path));
    json_object_set_new(o, "bytes", json_integer(st.st_size));
    json_object_set_new(o, "modified", json_string(modified));
    free(absolute);
    return o;
}

/* The colours that the library takes where none are named; see ng_render_opts. */
static const char *default_colormap(const ng_render_opts *opts)
{
    return opts->use_signed ? "coolwarm" : opts->compat == NG_COMPAT_KERAS ? "jet-matplotlib" : "jet";
}

json_t *make_conventions(const explain_job *j, const map_view *v)
{
    json_t *o = json_object(), *kinds = json_array();
    for (int i = 0; i < OUTPUT_KINDS; i++)
        if (j->outputs & 1u << i)
            json_array_append_new(kinds, json_string(output_choice(i)));
    const char *colormap = j->render.colormap;
    json_object_set_new(o, "method", json_string(v->method->name));
    json_object_set_new(o, "parameters", json_text(v->parameters));
    json_object_set_new(o, "budget", json_number(j->s->budget));
    json_object_set_new(o, "target", json_string(ng_target_name(j->target)));
    json_object_set_new(o, "against", json_integer(j->against));
    json_object_set_new(o, "target_alpha", json_number(j->s->target_alpha));
    json_object_set_new(o, "compat", json_string(ng_compat_name(j->render.compat)));
    json_object_set_new(o, "norm", json_string(ng_norm_name(v->norm)));
    json_object_set_new(o, "colormap", json_string(colormap ? colormap : default_colormap(&j->render)));
    json_object_set_new(o, "colormap_by_default", json_boolean(!colormap));
    json_object_set_new(o, "alpha", json_number(j->render.alpha));
    json_object_set_new(o, "box", json_number(j->render.box));
    json_object_set_new(o, "check", json_boolean(j->s->check));
    json_object_set_new(o, "signed", json_boolean(j->render.use_signed));
    json_object_set_new(o, "fit", json_string(ng_fit_name(j->fit.fit)));
    json_object_set_new(o, "resize", json_string(ng_resample_name(j->fit.resample)));
    json_object_set_new(o, "window", json_pack("[f,f]", j->fit.window_center, j->fit.window_width));
    json_object_set_new(o, "preprocess", json_string(j->info.preprocess.mode));
    json_object_set_new(
        o, "input", json_pack("[i,i,i]", j->info.input_height, j->info.input_width, j->info.input_channels));
    json_object_set_new(o, "backend", json_string(arithmetic_of(j->s)));
    if (j->s->calibrate)
        json_object_set_new(o, "calibrate", json_text(j->s->calibrate));
    json_object_set_new(o, "outputs", kinds);
    if (j->smooth)
        json_object_set_new(o, "smooth", json_string(ng_smooth_name(j->smooth)));
    if (j->s->eigen_smooth)
        json_object_set_new(o, "eigen_smooth", json_true());
    if (v->n_fused)
        json_object_set_new(o, "fuse", json_string(ng_fuse_name(j->fuse)));
    if (j->s->baseline)
        json_object_set_new(o, "baseline", input_identity(j->s->baseline));
    return o;
}

static bool text_is(const json_t *o, const char *key, const char *wanted)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text && strcmp(text, wanted) == 0;
}

bool sidecar_matches(const explain_job *j, const json_t *sidecar, int input, const json_t *conventions)
{
    const json_t *index = json_object_get(sidecar, "index"), *layer = json_object_get(sidecar, "layer");
    json_int_t class_index = json_integer_value(index);
    if (!text_is(sidecar, "netgaze", ng_version()) ||
        !text_is(json_object_get(sidecar, "model"), "hash", j->info.hash) ||
        !json_equal(json_object_get(sidecar, "conventions"), conventions))
        return false;
    if (layer && (class_index < 0 || class_index >= j->info.class_count ||
                  !text_is(sidecar, "label", ng_model_label(j->model, (int)class_index))))
        return false;
    json_t *identity = input_identity(j->in.paths[input]);
    bool same = json_equal(json_object_get(sidecar, "input"), identity);
    json_decref(identity);
    return same;
}

/* ---- Results -------------------------------------------------------------------------------- */

/* The box of the job's threshold, in image pixels; all 0 where the map shows nothing. */
static json_t *box_json(const explain_job *j, const ng_map *map, const ng_geometry *g)
{
    ng_box b;
    if (ng_map_box(map, g, j->render.box, &b, NULL) != NG_OK)
        return NULL;
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:f}", "x", b.x, "y", b.y, "width", b.width, "height",
                     b.height, "pixels", b.pixels, "max", (double)b.max);
}

json_t *make_result(const explain_job *j, const set *t, const ng_geometry *g, const char *base)
{
    const ng_map *map = t->map;
    json_t *o = json_object();
    json_object_set_new(o, "image", json_text(j->in.paths[t->input]));
    if (t->item >= 0)
        json_object_set_new(o, "item", json_integer(t->item));
    json_object_set_new(o, "method", json_string(j->views[t->view].method->name));
    json_object_set_new(o, "layer", json_text(j->views[t->view].path));
    json_object_set_new(o, "index", json_integer(map->class_index));
    json_object_set_new(o, "label", json_text(ng_model_label(j->model, map->class_index)));
    json_object_set_new(o, "probability", json_number(map->probability));
    json_object_set_new(o, "logit", json_number(map->logit));
    json_object_set_new(o, "status", json_string(ng_map_status_name(map->status)));
    json_object_set_new(o, "note", json_text(map->note));
    json_object_set_new(o, "shape", json_pack("[i,i]", map->height, map->width));
    json_object_set_new(o, "min", json_number(map->min));
    json_object_set_new(o, "max", json_number(map->max));
    if (j->truth && j->truth[t->input] >= 0)
        json_object_set_new(o, "true", json_integer(j->truth[t->input]));
    if (t->correlations)
        json_object_set(o, "correlations", t->correlations);
    if (t->checks)
        json_object_set(o, "checks", t->checks);
    json_t *box = j->render.box > 0 ? box_json(j, map, g) : NULL;
    if (box)
        json_object_set_new(o, "box", box);
    else if (j->render.box > 0) {
        json_decref(o);
        return NULL;
    }
    json_object_set_new(o, "files", files_json(j, base));
    return o;
}

json_t *result_of_sidecar(const explain_job *j, const json_t *sidecar, int input, const char *base)
{
    static const char *const keys[] = {"item",  "method",       "layer",  "index", "label", "probability",
                                       "logit", "status",       "note",   "shape", "min",   "max",
                                       "true",  "correlations", "checks", "box"};
    json_t *o = json_object();
    json_object_set_new(o, "image", json_text(j->in.paths[input]));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(sidecar, keys[i]);
        if (value)
            json_object_set(o, keys[i], value);
    }
    json_object_set_new(o, "files", files_json(j, base));
    return o;
}

static json_t *geometry_json(const ng_geometry *g)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:s, s:s, s:f, s:f, s:f, s:f}", "image_width", g->image_width,
                     "image_height", g->image_height, "input_width", g->input_width, "input_height",
                     g->input_height, "fit", ng_fit_name(g->fit), "resample", ng_resample_name(g->resample),
                     "x0", g->x0, "y0", g->y0, "x1", g->x1, "y1", g->y1);
}

static json_t *model_json(const ng_model_info *info, const settings *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "path", json_text(info->path));
    json_object_set_new(o, "name", json_text(info->name));
    json_object_set_new(o, "format", json_text(info->format));
    json_object_set_new(o, "producer", json_text(info->producer));
    json_object_set_new(o, "hash", json_text(info->hash));
    json_object_set_new(o, "output", json_text(info->output));
    if (s->input_values)
        json_object_set_new(o, "inputs", json_text(s->input_values));
    return o;
}

json_t *make_sidecar(const explain_job *j, const set *t, const picture *p, const char *title, json_t *result)
{
    ng_build_info build;
    ng_build_describe(&build);
    const ng_preprocess_info *pre = &j->info.preprocess;
    json_t *o = json_object();
    json_object_set_new(o, "netgaze", json_string(ng_version()));
    json_object_update(o, result);
    json_object_set_new(o, "title", json_text(title));
    json_object_set_new(o, "rank", json_integer(t->rank));
    json_object_set_new(o, "items", json_integer(t->items));
    json_object_set_new(o, "array", json_boolean(p->is_array));
    json_object_set_new(o, "gradient_norm", json_number(t->map->gradient_norm));
    json_object_set_new(o, "signed_min", json_number(t->map->signed_min));
    json_object_set_new(o, "signed_max", json_number(t->map->signed_max));
    json_object_set_new(o, "model", model_json(&j->info, j->s));
    json_object_set_new(o, "input", input_identity(j->in.paths[t->input]));
    json_object_set_new(o, "conventions", json_deep_copy(j->views[t->view].conventions));
    json_object_set_new(o, "preprocess",
                        json_pack("{s:s, s:s, s:f, s:f}", "mode", pre->mode, "origin", pre->origin, "low",
                                  pre->low, "high", pre->high));
    json_object_set_new(o, "geometry", geometry_json(&p->geometry));
    json_object_set_new(
        o, "backend",
        json_pack("{s:s, s:s, s:s}", "name", arithmetic_of(j->s), "onednn", build.onednn, "isa", build.isa));
    return o;
}

/* Indented, but for the signed map, which would be a line per cell. 17 digits: every double comes back. */
ng_status save_sidecar(json_t *sidecar, const float *signed_data, int n, const char *path, ng_error *err)
{
    char *text = NULL;
    size_t size = 0;
    json_t *list = json_array();
    for (int i = 0; signed_data && i < n; i++)
        json_array_append_new(list, json_number(signed_data[i]));
    char *body = json_dumps(sidecar, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    char *cells = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(9));
    FILE *f = open_memstream(&text, &size);
    bool fine = body && cells && f;
    if (fine && signed_data)
        fprintf(f, "%.*s,\n \"signed\": %s\n}\n", (int)(strlen(body) - 2), body, cells);
    else if (fine)
        fprintf(f, "%s\n", body);
    fine = f && fclose(f) == 0 && fine;
    ng_status status = fine ? ng_file_save_quick(path, text, size, err) : fail_memory(err);
    free(text);
    free(cells);
    free(body);
    json_decref(list);
    json_decref(sidecar);
    return status;
}
