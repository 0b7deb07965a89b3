/* One image of netgaze explain: one forward run, then a backward run to each layer for each class. */
#include "explain.h"
#include "ranking.h"

#include <stdlib.h>
#include <string.h>

static const double same_maps = 0.99; /* correlation from which maps of two classes are called alike */

/* ---- What is printed ------------------------------------------------------------------------ */

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

/* Text in a column: its end is cut off where it is too long, its beginning where that is the path's. */
static void print_cell(FILE *out, const char *text, int width, bool keep_end)
{
    int columns = columns_of(text);
    for (; keep_end && columns > width; columns--)
        do
            text++;
        while (((unsigned char)*text & 0xC0) == 0x80);
    int n = 0, bytes = 0;
    while (text[bytes] && n < width) {
        bytes++;
        while (((unsigned char)text[bytes] & 0xC0) == 0x80)
            bytes++;
        n++;
    }
    fprintf(out, "%.*s%*s  ", bytes, text, width - n, "");
}

static void print_row(const explain_job *j, const json_t *line, FILE *out)
{
    const char *status = text_of(line, "status");
    bool strange = j->color && strcmp(status, "ok") != 0;
    print_cell(out, text_of(line, "image"), j->image_width, true);
    print_cell(out, text_of(line, "label"), j->label_width, false);
    fprintf(out, "%9.4f %% %10.4f  ", 100 * json_number_value(json_object_get(line, "probability")),
            json_number_value(json_object_get(line, "logit")));
    print_cell(out, text_of(line, "layer"), j->layer_width, true);
    if (j->method_width)
        print_cell(out, text_of(line, "method"), j->method_width, false);
    fprintf(out, "%s%s%s\n", strange ? "\033[33m" : "", status, strange ? "\033[0m" : "");
}

/* Takes the line. */
static bool write_line(const explain_job *j, json_t *line, job *task)
{
    bool fine = line != NULL;
    task->maps++;
    if (fine && j->s->json)
        return write_json_line(task->out, line);
    if (fine && j->s->csv)
        print_csv_row(task->out, line);
    else if (fine)
        print_row(j, line, task->out);
    json_decref(line);
    return fine;
}

static const char *advice(ng_map_status status)
{
    switch (status) {
    case NG_MAP_ALL_NEGATIVE:
        return "; --signed draws it";
    case NG_MAP_SATURATED:
        return "; that is --target logit";
    case NG_MAP_NON_FINITE:
        return "; check the weights, and the preprocessing that is printed above";
    default:
        return "";
    }
}

static void say_status(const explain_job *j, const set *t)
{
    const ng_map *map = t->map;
    if (map->status != NG_MAP_OK && !j->s->quiet)
        complain("%s: the map of %s at %s is %s: %s%s", j->in.paths[t->input],
                 ng_model_label(j->model, map->class_index), j->views[t->view].path,
                 ng_map_status_name(map->status), map->note, advice(map->status));
}

/* ---- Classes -------------------------------------------------------------------------------- */

typedef struct choice {
    int index, rank;
} choice;

static int rank_of(const ranked *order, int n, int index)
{
    for (int i = 0; i < n; i++)
        if (order[i].index == index)
            return i;
    return 0;
}

/* The classes to explain, given these scores: [*n], to be freed; NULL when memory ran out. */
static choice *choose_classes(const explain_job *j, int input, const float *logits, int *n)
{
    int wanted = j->n_classes ? j->n_classes : j->top;
    ranked *order = rank_classes(logits, j->info.class_count);
    choice *list = malloc((size_t)wanted * sizeof *list);
    *n = 0;
    for (int k = 0; order && list && k < wanted; k++) {
        int index = j->n_classes ? j->classes[k] : order[k].index;
        index = index == PREDICTED ? order[0].index : index == TRUE_CLASS ? j->truth[input] : index;
        bool twice = index < 0; /* no true class is known */
        for (int i = 0; j->n_classes && i < *n; i++)
            twice = twice || list[i].index == index;
        if (!twice)
            list[(*n)++] = (choice){index, rank_of(order, j->info.class_count, index)};
    }
    bool fine = order && list;
    free(order);
    if (!fine) {
        free(list);
        return NULL;
    }
    return list;
}

/* ---- Alike maps ----------------------------------------------------------------------------- */

/* The first class's map of a layer, to compare the others with. */
typedef struct alike {
    ng_map first; /* owned */
    int count;    /* of other classes with nearly the same map */
    double least;
} alike;

/* Takes the first map; compares the others. */
static void compare(alike *a, ng_map *map)
{
    if (!a->first.data) {
        a->first = *map;
        *map = (ng_map){0};
        return;
    }
    double r = correlation(a->first.data, map->data, map->height * map->width);
    if (!(r > same_maps))
        return;
    a->least = a->count == 0 || r < a->least ? r : a->least;
    a->count++;
}

static void say_alike(const explain_job *j, int input, int view, alike *a)
{
    if (a->count && !j->s->quiet)
        complain("%s: at %s, %d other class%s nearly the map of %s (correlation above %.3f): it shows what "
                 "the classes "
                 "share, not what tells them apart; --target contrast does",
                 j->in.paths[input], j->views[view].path, a->count, a->count == 1 ? " has" : "es have",
                 ng_model_label(j->model, a->first.class_index), a->least - 0.0005);
    ng_map_clear(&a->first);
    *a = (alike){0};
}

/* ---- One item ------------------------------------------------------------------------------- */

typedef struct item_job {
    const explain_job *j;
    ng_session *session;
    int at; /* in the session's last run */
    const slot *slot;
    job *task;
    ng_image base;
    grid grid;
} item_job;

/* Of methods that run the network many times: the samples of one map, shown where there is one image only. */
static int map_progress(void *context, int done, int total)
{
    progress *bar = context;
    bar->total = total;
    progress_show(bar, done);
    return interrupted;
}

/* Explains one class under one view and writes its files. kept [n_views]: its maps so far, or NULL. *map is the caller's
 * to clear. */
static ng_status explain_map(item_job *m, set *t, const choice *class, const ng_map *kept, ng_map *map,
                             ng_error *err)
{
    const explain_job *j = m->j;
    progress bar;
    ng_explain_opts opts;
    set_view_opts(j, t->view, &opts);
    opts.class_index = class->index;
    opts.progress = map_progress;
    opts.context = &bar;
    progress_begin(&bar, "samples", 2, !j->s->quiet && j->in.count == 1);
    ng_status status = ng_explain(m->session, m->at, &opts, map, err);
    progress_end(&bar);
    if (status != NG_OK)
        return status;
    t->map = map;
    t->rank = class->rank;
    t->correlations = kept && t->view > 0 ? correlations_with(j, kept, t->view, map) : NULL;
    say_status(j, t);
    json_t *line = NULL;
    bool writing = false;
    const float *input = picture_input(&m->slot->picture, t->item < 0 ? 0 : t->item);
    t->checks = NULL;
    status = j->s->check ? check_map(j, m->session, input, &opts, t, err) : NG_OK;
    if (status == NG_OK)
        status = write_set(j, t, &m->slot->picture, &m->base, &line, &writing, err);
    json_decref(t->correlations);
    json_decref(t->checks);
    if (status == NG_OK && j->grid)
        status = grid_add(j, &m->grid, t, &m->slot->picture, &m->base, err);
    if (status == NG_OK && !write_line(j, line, m->task))
        status = fail_memory(err);
    else if (status != NG_OK)
        json_decref(line);
    m->task->fatal = m->task->fatal || (writing && status == NG_E_IO);
    return status;
}

/* kept [n][n_views], or NULL: gets the maps. */
static ng_status explain_view(item_job *m, set *t, const choice *classes, int n, ng_map *kept, ng_error *err)
{
    alike a = {0};
    ng_status status = NG_OK;
    for (int k = 0; k < n && status == NG_OK; k++) {
        if (interrupted) {
            status = NG_E_CANCELLED;
            break;
        }
        json_t *line =
            m->j->grid ? NULL : find_earlier_map(m->j, t->input, t->item, t->view, classes[k].index);
        if (line) {
            if (!write_line(m->j, line, m->task))
                status = fail_memory(err);
            continue;
        }
        ng_map map = {0}, *others = kept ? kept + k * m->j->n_views : NULL;
        status = explain_map(m, t, &classes[k], others, &map, err);
        if (status == NG_OK && others) {
            others[t->view] = map;
            map = (ng_map){0};
        } else if (status == NG_OK) {
            compare(&a, &map);
        }
        t->map = NULL;
        ng_map_clear(&map);
    }
    say_alike(m->j, t->input, t->view, &a);
    return status;
}

/* Every class under every view. With several methods all maps are kept for comparison. */
static ng_status explain_views(item_job *m, set *t, const choice *classes, int n, ng_error *err)
{
    const explain_job *j = m->j;
    ng_map *kept = NULL;
    ng_status status = NG_OK;
    if (j->n_methods > 1 && !(kept = calloc((size_t)n * (size_t)j->n_views, sizeof *kept)))
        return fail_memory(err);
    for (t->view = 0; t->view < j->n_views && status == NG_OK; t->view++)
        status = explain_view(m, t, classes, n, kept, err);
    for (int k = 0; k < n && kept && status == NG_OK; k++) {
        if (!j->s->json && !j->s->csv)
            print_correlations(j, kept + k * j->n_views, m->task->out);
        if (!j->s->quiet && k == 0)
            say_identities(j, kept);
    }
    for (int i = 0; kept && i < n * j->n_views; i++)
        ng_map_clear(&kept[i]);
    free(kept);
    return status;
}

static ng_status finish_grid(item_job *m, const set *t, const choice *classes, int n, ng_error *err)
{
    int *indices = malloc((size_t)n * sizeof *indices);
    bool writing = false;
    for (int i = 0; indices && i < n; i++)
        indices[i] = classes[i].index;
    ng_status status = indices ? grid_write(m->j, &m->grid, t, indices, n, &writing, err) : fail_memory(err);
    free(indices);
    m->task->fatal = m->task->fatal || (writing && status == NG_E_IO);
    return status;
}

static ng_status explain_item(void *context, ng_session *session, int at, const slot *s, int item, job *task,
                              ng_error *err)
{
    const explain_job *j = context;
    const picture *p = &s->picture;
    item_job m = {.j = j, .session = session, .at = at, .slot = s, .task = task};
    set t = {.input = s->input, .item = p->numbered ? item : -1, .items = p->numbered ? p->n : 0};
    const float *logits = ng_session_logits(session) + (size_t)at * (size_t)j->info.class_count;
    int n;
    choice *classes = choose_classes(j, s->input, logits, &n);
    ng_status status = classes ? picture_base(p, item, &m.base, err) : fail_memory(err);
    if (classes && n == 0) {
        snprintf(err->text, sizeof err->text, "its true class is not known; see --truth");
        status = err->status = NG_E_NOT_FOUND;
    }
    if (status == NG_OK)
        status = explain_views(&m, &t, classes, n, err);
    t.view = 0;
    if (status == NG_OK && j->grid)
        status = finish_grid(&m, &t, classes, n, err);
    grid_clear(&m.grid);
    base_clear(p, &m.base);
    free(classes);
    return status;
}

/* ---- Steps of a chunk ----------------------------------------------------------------------- */

static json_t *find_recorded(void *context, int input)
{
    return find_earlier(context, input);
}

static void write_recorded(void *context, const slot *s, job *task)
{
    size_t i;
    json_t *line;
    json_array_foreach(s->recorded, i, line) if (!write_line(context, json_incref(line), task)) task->fatal =
        true;
}

static void write_failure(void *context, const slot *s, job *task)
{
    const explain_job *j = context;
    if (j->s->json && !write_failure_json(task->out, j->in.paths[s->input], s->err.text))
        task->fatal = true;
}

void explain_images(void *context, ng_session *session, job *task)
{
    const explain_job *j = context;
    chunk_steps steps = {.model = j->model,
                         .in = &j->in,
                         .fit = &j->fit,
                         .batch = j->s->batch,
                         .context = context,
                         .find_recorded = find_recorded,
                         .write_recorded = write_recorded,
                         .do_item = explain_item,
                         .write_failure = write_failure};
    run_chunk(&steps, session, task);
}
