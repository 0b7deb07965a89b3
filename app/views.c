/* What explain shows: methods with their parameters, each at its layers. */
#include "explain.h"
#include "options.h"

#include <stdlib.h>
#include <string.h>

/* ---- Methods and parameters ------------------------------------------------------------------ */

static bool has_parameter(const ng_method_info *m, const char *item, size_t length)
{
    for (int i = 0; i < m->parameter_count; i++)
        if (strlen(m->parameters[i].name) == length && strncmp(m->parameters[i].name, item, length) == 0)
            return true;
    return false;
}

/* --param, --variant, --seed and --baseline as one list; to be freed. */
static char *whole_list(const settings *s)
{
    char seed[32] = "", *list;
    const char *baseline = s->baseline ? ",baseline=given" : "";
    if (s->seed >= 0)
        snprintf(seed, sizeof seed, ",seed=%d", s->seed);
    const char *given = s->parameters ? s->parameters : "", *variant = s->variant ? s->variant : "";
    int n = asprintf(&list, "%s%s%s%s%s", given, *variant ? ",variant=" : "", variant, seed, baseline);
    if (n < 0)
        return NULL;
    if (list[0] == ',')
        memmove(list, list + 1, (size_t)n);
    return list;
}

/* The part of the list that a method has parameters for; to be freed. */
static char *part_of(const char *list, const ng_method_info *m)
{
    char *part = calloc(strlen(list) + 1, 1);
    size_t used = 0;
    for (const char *p = list; part && *p;) {
        size_t length = strcspn(p, ","), name = strcspn(p, "=");
        if (has_parameter(m, p, name < length ? name : length)) {
            if (used > 0)
                part[used++] = ',';
            memcpy(part + used, p, length);
            used += length;
        }
        p += length + (p[length] == ',');
    }
    return part;
}

/* Every parameter must belong to one method at least. */
static int check_owners(const explain_job *j, const char *list)
{
    for (const char *p = list; *p;) {
        size_t length = strcspn(p, ","), name = strcspn(p, "=");
        bool owned = j->n_methods == 1; /* the library's own message is the better one then */
        for (int i = 0; i < j->n_methods && !owned; i++)
            owned = has_parameter(&j->methods[i].method, p, name < length ? name : length);
        if (!owned) {
            complain("--param: none of these methods has a parameter '%.*s'; `netgaze methods` lists them",
                     (int)name, p);
            return EXIT_USAGE;
        }
        p += length + (p[length] == ',');
    }
    return EXIT_DONE;
}

static int add_method(explain_job *j, const char *name, size_t length)
{
    if (j->n_methods == MOST_METHODS) {
        complain("--method: more than %d methods", MOST_METHODS);
        return EXIT_USAGE;
    }
    ng_method_info *info = &j->methods[j->n_methods].method;
    for (int i = 0; i < j->n_methods; i++)
        if (strlen(j->methods[i].method.name) == length &&
            strncmp(j->methods[i].method.name, name, length) == 0)
            return EXIT_DONE;
    for (int i = 0; i < ng_method_count(); i++)
        if (ng_method_describe(i, info, NULL) == NG_OK && strlen(info->name) == length &&
            strncmp(info->name, name, length) == 0)
            break;
    j->n_methods++;
    return EXIT_DONE;
}

int read_methods(explain_job *j)
{
    int code = EXIT_DONE;
    ng_error err;
    for (const char *p = j->s->method; *p && code == EXIT_DONE; p += *p == ',') {
        size_t n = strcspn(p, ",");
        code = add_method(j, p, n);
        p += n;
    }
    if (ng_smooth_find(j->s->smooth, &j->smooth, &err) != NG_OK ||
        (j->s->fuse && ng_fuse_find(j->s->fuse, &j->fuse, &err) != NG_OK)) {
        complain("%s", err.text);
        return EXIT_USAGE;
    }
    char *list = whole_list(j->s);
    if (!list)
        return say_out_of_memory();
    if (code == EXIT_DONE)
        code = check_owners(j, list);
    for (int i = 0; i < j->n_methods && code == EXIT_DONE; i++) {
        method_choice_made *m = &j->methods[i];
        m->parameters = j->n_methods == 1 ? strdup(list) : part_of(list, &m->method);
        if (!m->parameters)
            code = say_out_of_memory();
        else if (ng_method_check_parameters(m->method.name, m->parameters, &err) != NG_OK) {
            complain("%s", err.text);
            code = EXIT_USAGE;
        }
    }
    free(list);
    return code;
}

/* ---- Layers ---------------------------------------------------------------------------------- */

/* How a layer is called in file names: by its bare name where that is unique, else by its path. */
static char *file_name_of(const ng_model *model, const char *path)
{
    const char *slash = strrchr(path, '/');
    int index;
    bool bare = slash && slash[1] && ng_model_find_layer(model, slash + 1, &index, NULL) == NG_OK;
    char *name = strdup(bare ? slash + 1 : path);
    for (char *p = name; p && *p; p++)
        if (*p == '/')
            *p = '_';
    return name;
}

static int check_layer(const explain_job *j, const method_choice_made *m, int index, ng_layer_info *layer)
{
    ng_error err;
    ng_status status = ng_model_layer(j->model, index, layer, &err);
    if (status == NG_OK)
        status = ng_method_check(j->model, m->method.name, index, &err);
    if (status == NG_OK && j->s->eigen_smooth && !m->method.sums_channels) {
        complain(
            "--eigen-smooth: %s is no sum over channels: there is no principal component to take. Leave it "
            "out, or use eigengradcam",
            m->method.name);
        return EXIT_USAGE;
    }
    if (status == NG_OK)
        return EXIT_DONE;
    complain("%s", err.text);
    return EXIT_USAGE;
}

/* Gives the view its last touches; EXIT_DONE unless memory ran out. */
static int finish_view(explain_job *j, map_view *v)
{
    /* A few pixels of a gradient outshine all others. */
    v->norm = v->method->at_input && !j->s->norm ? NG_NORM_PERCENTILE : j->render.norm;
    v->conventions = v->path && v->name ? make_conventions(j, v) : NULL;
    return v->conventions ? EXIT_DONE : say_out_of_memory();
}

static int add_view(explain_job *j, const method_choice_made *m, int index)
{
    ng_layer_info layer;
    for (int i = 0; i < j->n_views; i++)
        if (j->views[i].layer == index && j->views[i].method == &m->method)
            return EXIT_DONE;
    if (j->n_views == MOST_VIEWS) {
        complain("more than %d methods and layers", MOST_VIEWS);
        return EXIT_USAGE;
    }
    int code = check_layer(j, m, index, &layer);
    if (code != EXIT_DONE)
        return code;
    map_view *v = &j->views[j->n_views++];
    *v = (map_view){.method = &m->method,
                    .parameters = m->parameters,
                    .layer = index,
                    .path = strdup(layer.name),
                    .name = file_name_of(j->model, layer.name)};
    return finish_view(j, v);
}

static char *joined(char *text, const char *more)
{
    char *out = NULL;
    int n = asprintf(&out, "%s%s%s", text ? text : "", text ? "+" : "", more);
    free(text);
    return n < 0 ? NULL : out;
}

/* --fuse: the layers of add_layers' views, from `first` on, become one view. */
static int fuse_views(explain_job *j, int first)
{
    if (j->n_views - first > MOST_FUSED) {
        complain("--fuse: more than %d layers", MOST_FUSED);
        return EXIT_USAGE;
    }
    map_view one = j->views[first];
    one.path = one.name = NULL;
    one.conventions = NULL;
    for (int i = first; i < j->n_views; i++) {
        map_view *v = &j->views[i];
        one.path = joined(one.path, v->path);
        one.name = joined(one.name, v->name);
        one.fused[one.n_fused++] = v->layer;
        free(v->path);
        free(v->name);
        json_decref(v->conventions);
    }
    j->n_views = first + 1;
    j->views[first] = one;
    return finish_view(j, &j->views[first]);
}

static int add_layers(explain_job *j, const method_choice_made *m)
{
    if (!j->s->layer && j->info.automatic_layer >= 0)
        return add_view(j, m, j->info.automatic_layer);
    if (!j->s->layer) {
        complain(
            "%s: no layer has a spatial output that feeds the scores, which %s needs; --method occlusion, "
            "saliency and integratedgradients explain the input itself",
            j->info.path, m->method.name);
        return EXIT_MODEL;
    }
    char *copy = strdup(j->s->layer), *rest = copy;
    int code = copy ? EXIT_DONE : say_out_of_memory();
    for (char *name; code == EXIT_DONE && (name = strsep(&rest, ","));) {
        int index;
        ng_error err;
        if (ng_model_find_layer(j->model, name, &index, &err) == NG_OK)
            code = add_view(j, m, index);
        else {
            complain("--layer: %s", err.text);
            code = EXIT_USAGE;
        }
    }
    free(copy);
    return code;
}

int make_views(explain_job *j)
{
    bool some_at_layer = false;
    int code = EXIT_DONE;
    for (int i = 0; i < j->n_methods; i++)
        some_at_layer = some_at_layer || j->methods[i].method.at_layer;
    for (int i = 0; i < j->n_methods && code == EXIT_DONE; i++) {
        const method_choice_made *m = &j->methods[i];
        bool at_input = !m->method.at_layer && (some_at_layer || !j->s->layer);
        int first = j->n_views;
        code = at_input ? add_view(j, m, j->info.input_layer) : add_layers(j, m);
        if (code == EXIT_DONE && j->s->fuse && m->method.at_layer)
            code = fuse_views(j, first);
    }
    return code;
}

void set_view_opts(const explain_job *j, int view, ng_explain_opts *opts)
{
    const map_view *v = &j->views[view];
    ng_explain_opts_init(opts);
    opts->method = v->method->name;
    opts->layer = v->layer;
    opts->layers = v->fused;
    opts->layer_count = v->n_fused;
    opts->fuse = j->fuse;
    opts->smooth = j->smooth;
    opts->eigen = j->s->eigen_smooth;
    opts->baseline = j->baseline;
    opts->target = j->target;
    opts->against = j->against;
    opts->alpha = j->s->target_alpha;
    opts->parameters = v->parameters;
    opts->threads = j->map_threads;
    opts->seconds = j->s->budget > 0 ? j->s->budget : 0;
}

void free_views(explain_job *j)
{
    for (int i = 0; i < j->n_views; i++) {
        free(j->views[i].path);
        free(j->views[i].name);
        json_decref(j->views[i].conventions);
    }
    for (int i = 0; i < j->n_methods; i++)
        free(j->methods[i].parameters);
}

static void add_once(int *layers, int *n, int layer)
{
    for (int k = 0; k < *n; k++)
        if (layers[k] == layer)
            return;
    if (*n < MOST_VIEWS)
        layers[(*n)++] = layer;
}

int open_for_views(const explain_job *j, bool checked, ng_session **session)
{
    int layers[MOST_VIEWS + 1], n = 0;
    bool gradient = false, input = false, samples = false;
    settings own = *j->s;
    for (int i = 0; i < j->n_views; i++) {
        const map_view *v = &j->views[i];
        for (int f = 0; f < v->n_fused; f++)
            add_once(layers, &n, v->fused[f]);
        add_once(layers, &n, v->layer);
        gradient = gradient || v->method->takes_gradient;
        samples = samples || v->method->samples;
        input = input || (v->method->at_input && v->method->at_layer);
    }
    if (input)
        layers[n++] = j->info.input_layer;
    if (samples && !gradient && j->automatic_batch)
        own.batch = A_FEW;
    return checked ? open_checked(&own, j->model, &j->in, &j->fit, layers, n, !gradient, session)
                   : open_session(&own, j->model, layers, n, !gradient, session);
}
