/* netgaze explain: maps, pictures and sidecars for every image, layer and class. The sidecar is written last, so that its
 * existence means that the set is whole; a rerun takes finished sets from their sidecars. */
#include "explain.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- What is asked for ------------------------------------------------------------------------- */

static int read_layers(explain_job *j)
{
    ng_model_info info;
    ng_error err;
    ng_model_describe(j->model, &info);
    if (!j->s->layer) {
        if (info.automatic_layer < 0) {
            complain("%s: no layer has a spatial output; nothing can be explained", info.path);
            return EXIT_MODEL;
        }
        j->layers[j->n_layers++] = info.automatic_layer;
    } else {
        char *copy = strdup(j->s->layer), *rest = copy;
        for (char *name; copy && (name = strsep(&rest, ","));) {
            if (j->n_layers == MOST_LAYERS || ng_model_find_layer(j->model, name, &j->layers[j->n_layers], &err) != NG_OK) {
                complain("%s", j->n_layers == MOST_LAYERS ? "too many layers" : err.text);
                free(copy);
                return EXIT_USAGE;
            }
            j->n_layers++;
        }
        free(copy);
    }
    for (int i = 0; i < j->n_layers; i++)
        if (ng_method_check(j->model, j->s->method, j->layers[i], &err) != NG_OK) {
            complain("%s", err.text);
            return EXIT_USAGE;
        }
    return EXIT_DONE;
}

static int read_classes(explain_job *j)
{
    const char *spec = j->s->classes;
    ng_error err;
    j->n_classes = 0; /* predicted or top */
    if (j->s->top >= 0 || strcmp(spec, "predicted") == 0) {
        j->top = j->s->top > 0 ? j->s->top : j->s->top == 0 ? j->class_count : 1;
        j->top = j->top > j->class_count ? j->class_count : j->top;
        return EXIT_DONE;
    }
    if (strcmp(spec, "all") == 0) {
        j->top = j->class_count;
        return EXIT_DONE;
    }
    int whole; /* a label may hold commas */
    if (ng_model_find_class(j->model, spec, &whole, &err) == NG_OK) {
        j->classes[j->n_classes++] = whole;
        return EXIT_DONE;
    }
    char *copy = strdup(spec), *rest = copy;
    for (char *name; copy && (name = strsep(&rest, ","));) {
        if (j->n_classes == MOST_CLASSES || ng_model_find_class(j->model, name, &j->classes[j->n_classes], &err) != NG_OK) {
            complain("%s", j->n_classes == MOST_CLASSES ? "too many classes" : err.text);
            free(copy);
            return EXIT_USAGE;
        }
        j->n_classes++;
    }
    free(copy);
    return EXIT_DONE;
}

static int read_outputs(explain_job *j)
{
    static const char *const names[] = {"raw", "heatmap", "overlay", "figure", "sidecar"};
    char *copy = strdup(j->s->outputs), *rest = copy;
    for (char *name; copy && (name = strsep(&rest, ","));) {
        unsigned bit = 0;
        for (unsigned i = 0; i < 5; i++)
            if (strcmp(name, names[i]) == 0)
                bit = 1u << i;
        if (!bit) {
            complain("--outputs: '%s' is not known; expected raw, heatmap, overlay, figure or sidecar", name);
            free(copy);
            return EXIT_USAGE;
        }
        j->outputs |= bit;
    }
    free(copy);
    return EXIT_DONE;
}

static int read_target(explain_job *j)
{
    const char *target = j->s->target;
    bool article = j->render.compat == NG_COMPAT_ARTICLE;
    j->target = article ? NG_TARGET_PROBABILITY : NG_TARGET_LOGIT;
    if (target && strcmp(target, "probability") == 0)
        j->target = NG_TARGET_PROBABILITY;
    else if (target && strcmp(target, "logit") == 0)
        j->target = NG_TARGET_LOGIT;
    else if (target) {
        complain("--target: '%s' is not known; expected logit or probability", target);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

/* mkdir -p. */
static int make_folder(const char *path)
{
    char part[4200];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) {
        complain("%s: the path is too long", path);
        return EXIT_ENVIRONMENT;
    }
    for (char *p = part + 1;; p++) {
        bool end = *p == '\0';
        if (*p == '/' || end) {
            *p = '\0';
            if (mkdir(part, 0777) != 0 && errno != EEXIST) {
                complain("%s: the folder cannot be made: %s", part, strerror(errno));
                return EXIT_ENVIRONMENT;
            }
            if (end)
                break;
            *p = '/';
        }
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode) || access(path, W_OK) != 0) {
        complain("%s: not a folder that can be written", path);
        return EXIT_ENVIRONMENT;
    }
    return EXIT_DONE;
}

/* ---- Earlier results --------------------------------------------------------------------------- */

/* Everything that decides a set: an unequal key means that it is done again. */
static char *make_key(const explain_job *j, const char *path)
{
    ng_model_info info;
    ng_model_describe(j->model, &info);
    struct stat st = {0};
    stat(path, &st);
    const settings *s = j->s;
    char *key = NULL;
    if (asprintf(&key, "%s|%s|%lld|%lld.%09ld|%s|%s|%s|%d|%d|%s|%s|%s|%g|%d|%s|%s|%s|%s|%g|%g|%s|%s", info.hash, path,
                 (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, s->method, s->layer ? s->layer : "",
                 s->classes, s->top, (int)j->target, s->compat ? s->compat : "", s->colormap ? s->colormap : "",
                 s->norm ? s->norm : "", s->alpha, s->use_signed, s->outputs, info.preprocess.mode, s->fit,
                 s->resize ? s->resize : "", s->window_center, s->window_width, s->backend, s->labels ? s->labels : "") < 0)
        return NULL;
    return key;
}

static int is_json(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 5 && strcmp(e->d_name + n - 5, ".json") == 0;
}

/* Sidecars of the output folder that name a key. */
static void read_earlier(explain_job *j)
{
    struct dirent **entries = NULL;
    int n = j->s->force ? 0 : scandir(j->s->output, &entries, is_json, alphasort);
    j->earlier = json_object();
    for (int i = 0; i < n; i++) {
        char path[4400];
        snprintf(path, sizeof path, "%s/%s", j->s->output, entries[i]->d_name);
        json_t *sidecar = json_load_file(path, 0, NULL);
        const char *key = json_string_value(json_object_get(sidecar, "key"));
        if (key) {
            json_t *list = json_object_get(j->earlier, key);
            if (!list)
                json_object_set_new(j->earlier, key, list = json_array());
            json_array_append_new(list, json_pack("{s:O, s:O, s:O}", "maps", json_object_get(sidecar, "maps"), "order",
                                                  json_object_get(sidecar, "order"), "result", json_object_get(sidecar, "result")));
        }
        json_decref(sidecar);
        free(entries[i]);
    }
    if (n > 0)
        free(entries);
}

static char *append(char *text, char *more)
{
    if (!text || !more)
        return text ? text : more;
    char *joined = realloc(text, strlen(text) + strlen(more) + 1);
    if (joined)
        strcat(joined, more);
    free(more);
    return joined;
}

/* The recorded results of a whole set, in order; false where any is missing. */
static bool take_earlier(const explain_job *j, const char *key, job_result *result)
{
    const json_t *list = json_object_get(j->earlier, key), *entry;
    size_t i, n = json_array_size(list);
    if (n == 0 || (size_t)json_integer_value(json_object_get(json_array_get(list, 0), "maps")) != n)
        return false;
    for (size_t order = 0; order < n; order++)
        json_array_foreach(list, i, entry)
            if ((size_t)json_integer_value(json_object_get(entry, "order")) == order) {
                result->maps++;
                if (j->s->json)
                    result->text = append(result->text, json_line(json_incref(json_object_get(entry, "result"))));
            }
    return (size_t)result->maps == n;
}

/* ---- One image --------------------------------------------------------------------------------- */

typedef struct ranked {
    int index;
    float score;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->index - y->index;
}

/* The classes to explain for this image's scores. */
static int *choose_classes(const explain_job *j, const float *logits, int *n)
{
    *n = j->n_classes ? j->n_classes : j->top;
    int *list = malloc((size_t)*n * sizeof *list);
    ranked *r = malloc((size_t)j->class_count * sizeof *r);
    for (int i = 0; r && i < j->class_count; i++)
        r[i] = (ranked){i, logits[i]};
    if (r && !j->n_classes)
        qsort(r, (size_t)j->class_count, sizeof *r, by_score);
    for (int i = 0; list && r && i < *n; i++)
        list[i] = j->n_classes ? j->classes[i] : r[i].index;
    free(r);
    return list;
}

static job_result fail_image(const explain_job *j, const char *path, const ng_error *err, job_result result)
{
    complain("%s", err->text);
    result.failed = true;
    if (j->s->json)
        result.text = append(result.text, json_line(json_pack("{s:s, s:s, s:s}", "image", path, "status", "error", "error", err->text)));
    return result;
}

static void note_status(const explain_job *j, const char *path, const ng_map *map)
{
    if (map->status != NG_MAP_OK && !j->s->quiet)
        complain("%s, %s: map is %s: %s", path, ng_model_label(j->model, map->class_index), ng_map_status_name(map->status), map->note);
}

/* All maps of one network input, written; NG_E_CANCELLED after an interrupt. */
static ng_status explain_item(const explain_job *j, ng_session *session, int index, const picture *p, int item, const char *key,
                              job_result *result, bool *written, ng_error *err)
{
    ng_model_info info;
    ng_model_describe(j->model, &info);
    size_t one = (size_t)info.input_height * (size_t)info.input_width * (size_t)info.input_channels;
    ng_status status = ng_session_run(session, p->input + one * (size_t)item, 1, err);
    int n_classes = 0, order = 0;
    int *classes = status == NG_OK ? choose_classes(j, ng_session_logits(session), &n_classes) : NULL;
    grid g = {0};
    for (int l = 0; l < j->n_layers && status == NG_OK; l++)
        for (int c = 0; c < n_classes && status == NG_OK; c++, order++) {
            if (interrupted) {
                status = NG_E_CANCELLED;
                break;
            }
            ng_explain_opts opts;
            ng_explain_opts_init(&opts);
            opts.method = j->s->method;
            opts.layer = j->layers[l];
            opts.class_index = classes[c];
            opts.target = j->target;
            ng_map map;
            status = ng_explain(session, 0, &opts, &map, err);
            if (status != NG_OK)
                break;
            note_status(j, j->in->paths[index], &map);
            set_place place = {index, item, order, p->n > 1 ? p->n : 0, j->n_layers * n_classes * p->n,
                               item * j->n_layers * n_classes + order, key};
            char *line = NULL;
            status = write_set(j, p, &map, &place, &line, &g, written, err);
            result->text = append(result->text, line);
            result->maps += status == NG_OK;
            ng_map_clear(&map);
        }
    if (status == NG_OK && j->s->grid)
        status = write_grid(j, index, item, n_classes, &g, err);
    *written = *written || (status != NG_OK && j->s->grid && order == j->n_layers * n_classes);
    grid_clear(&g);
    free(classes);
    return status;
}

static job_result explain_one(void *context, ng_session *session, int index)
{
    const explain_job *j = context;
    const char *path = j->in->paths[index];
    job_result result = {0};
    char *key = make_key(j, path);
    if (key && take_earlier(j, key, &result)) {
        free(key);
        return result;
    }
    free(result.text);
    result = (job_result){0};
    picture p;
    ng_error err = {0};
    bool written = false; /* the failure was in writing */
    ng_status status = picture_load(j->model, path, &j->fit, &p, &err);
    for (int item = 0; status == NG_OK && item < p.n; item++)
        status = explain_item(j, session, index, &p, item, key ? key : "", &result, &written, &err);
    picture_clear(&p);
    free(key);
    if (status == NG_OK || status == NG_E_CANCELLED)
        return result;
    result.fatal = (written && status == NG_E_IO) || status == NG_E_MEMORY;
    return fail_image(j, path, &err, result);
}

/* ---- The command ------------------------------------------------------------------------------- */

static int prepare(explain_job *j)
{
    ng_model_info info;
    ng_model_describe(j->model, &info);
    j->class_count = info.class_count;
    int code = read_layers(j);
    if (code == EXIT_DONE)
        code = read_classes(j);
    if (code == EXIT_DONE)
        code = read_outputs(j);
    if (code == EXIT_DONE)
        code = read_target(j);
    return code;
}

static int open_session(const explain_job *j, ng_session **session)
{
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.backend = j->s->backend;
    opts.layers = j->layers;
    opts.layer_count = j->n_layers;
    ng_error err;
    ng_status status = ng_session_create(j->model, &opts, session, &err);
    if (status == NG_OK)
        return EXIT_DONE;
    complain("%s", err.text);
    return exit_code_of(status);
}

int run_explain(const settings *s)
{
    explain_job *j = calloc(1, sizeof *j);
    inputs in = {0};
    ng_model *model = NULL;
    ng_session *session = NULL;
    int first = 0, code = j ? EXIT_DONE : EXIT_ENVIRONMENT;
    if (code == EXIT_DONE && !s->output) {
        complain("explain: name the output folder with -o DIR");
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = read_render_options(s, &j->render);
    if (code == EXIT_DONE)
        code = read_fitting(s, &j->fit);
    if (code == EXIT_DONE)
        code = open_model(s, &model, &first);
    if (code == EXIT_DONE)
        code = find_inputs(s, first, &in);
    if (code == EXIT_DONE) {
        j->s = s;
        j->model = model;
        j->in = &in;
        code = prepare(j);
    }
    if (code == EXIT_DONE)
        code = make_folder(s->output);
    if (code == EXIT_DONE)
        code = open_session(j, &session);
    if (code == EXIT_DONE) {
        read_earlier(j);
        code = run_jobs(s, session, in.count, explain_one, j, "images");
        if (!s->json && !s->quiet && code != EXIT_INTERRUPTED)
            printf("pictures are in %s\n", s->output);
    }
    if (j)
        json_decref(j->earlier);
    ng_session_free(session);
    inputs_clear(&in);
    ng_model_free(model);
    free(j);
    return code;
}
