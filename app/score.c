/* netgaze score: how well methods find the thing in images whose masks or boxes are known, and whether the score depends on
 * what they show. */
#include "score.h"
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const control_names[CONTROL_COUNT] = {
#define CONTROL_NAME(name, text) text,
    CONTROLS(CONTROL_NAME)
#undef CONTROL_NAME
};

/* ---- Methods and controls -------------------------------------------------------------------- */

/* Adds a name to the list of `size` bytes, which has room for all of them. */
static void add_name(char *list, size_t size, const char *name)
{
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used ? "," : "", name);
}

/* Every method that applies at the layer, for "all". */
static void add_all(const scoring *k, char *list, size_t size)
{
    const ng_model_info *info = &k->j.info;
    int layer = info->automatic_layer;
    ng_method_info m;
    if (k->s.layer && ng_model_find_layer(k->j.model, k->s.layer, &layer, NULL) != NG_OK)
        layer = info->automatic_layer;
    for (int i = 0; i < ng_method_count(); i++) {
        ng_error err;
        if (ng_method_describe(i, &m, NULL) != NG_OK)
            continue;
        if (ng_method_check(k->j.model, m.name, m.at_layer ? layer : info->input_layer, &err) == NG_OK)
            add_name(list, size, m.name);
        else
            complain("%s is left out: %s", m.name, err.text);
    }
}

/* Splits --method into methods, as k->s.method (to be freed), and controls. */
static int split_methods(scoring *k, const char *given)
{
    size_t size = strlen(given) + (size_t)ng_method_count() * 32 + 1;
    char *list = calloc(1, size), *copy = strdup(given);
    if (!list || !copy) {
        free(list);
        free(copy);
        return say_out_of_memory();
    }
    char *rest = copy;
    for (char *name; (name = strsep(&rest, ","));) {
        bool is_control = false;
        for (int i = 0; i < CONTROL_COUNT; i++)
            if (strcmp(name, control_names[i]) == 0 || strcmp(name, "all") == 0)
                is_control = k->controls[i] = true;
        if (strcmp(name, "all") == 0)
            add_all(k, list, size);
        else if (!is_control)
            add_name(list, size, name);
    }
    free(copy);
    k->s.method = list;
    return EXIT_DONE;
}

static void make_rows(scoring *k)
{
    for (int v = 0; v < k->j.n_views; v++) {
        const map_view *view = &k->j.views[v];
        k->rows[k->n_rows++] = (score_row){
            .view = v, .method = view->method->name, .layer = view->path, .parameters = view->parameters};
    }
    for (int c = 0; c < CONTROL_COUNT; c++)
        if (k->controls[c])
            k->rows[k->n_rows++] = (score_row){
                .view = -1, .control = (control)c, .method = control_names[c], .layer = "", .parameters = ""};
}

/* ---- Images ---------------------------------------------------------------------------------- */

static bool has_region(const ng_data_item *item)
{
    return item->mask || item->box[2] > 0;
}

/* Adds at most `most` of the items of a split (NULL: all), evenly spread; 0: all of them. */
static bool add_split(scoring *k, const char *split, int most, bool tunes)
{
    int64_t total = ng_data_count(k->data), n = 0, taken = 0;
    ng_data_item item;
    for (int pass = 0; pass < 2; pass++) {
        int64_t at = 0, want = most > 0 && most < n ? most : n;
        for (int64_t i = 0; i < total; i++) {
            ng_data_at(k->data, i, &item);
            if ((split && strcmp(item.split, split) != 0) || (tunes && !has_region(&item)))
                continue;
            if (pass == 0) {
                n++;
                continue;
            }
            bool chosen = (at + 1) * want / n > at * want / n;
            at++;
            if (!chosen)
                continue;
            int place = k->j.in.count++;
            k->items[place] = (score_item){.data = item, .tunes = tunes};
            k->j.in.paths[place] = strdup(item.path);
            k->j.in.stems[place] = strdup("");
            taken++;
            if (!k->j.in.paths[place] || !k->j.in.stems[place])
                return false;
        }
    }
    return true;
}

static int choose_items(scoring *k)
{
    int64_t total = ng_data_count(k->data);
    ng_data_item item;
    bool split = false, val = false;
    for (int64_t i = 0; i < total; i++) {
        ng_data_at(k->data, i, &item);
        split = split || strcmp(item.split, k->s.split) == 0;
        val = val || strcmp(item.split, "val") == 0;
    }
    k->items = calloc(2 * (size_t)total + 1, sizeof *k->items);
    k->j.in.paths = calloc(2 * (size_t)total + 1, sizeof *k->j.in.paths);
    k->j.in.stems = calloc(2 * (size_t)total + 1, sizeof *k->j.in.stems);
    bool fine = k->items && k->j.in.paths && k->j.in.stems;
    if (fine)
        fine = add_split(k, split ? k->s.split : NULL, k->s.images, false);
    if (fine && split && val && strcmp(k->s.split, "val") != 0 && k->s.tune_images > 0 && k->locate)
        fine = add_split(k, "val", k->s.tune_images, true);
    return fine ? EXIT_DONE : say_out_of_memory();
}

/* The class of every item: the label's, where the model has it and --class does not say otherwise. */
static int choose_classes(scoring *k)
{
    const char *given = k->s.classes;
    int fixed = -1;
    ng_error err;
    bool truth = given ? strcmp(given, "true") == 0 : k->data != NULL;
    if (given && !truth && strcmp(given, "predicted") != 0 &&
        ng_model_find_class(k->j.model, given, &fixed, &err) != NG_OK) {
        complain("--class: %s", err.text);
        return EXIT_USAGE;
    }
    for (int i = 0; i < k->j.in.count; i++) {
        score_item *item = &k->items[i];
        item->class_index = fixed;
        if (!truth)
            continue;
        if (!k->data ||
            ng_model_find_class(k->j.model, item->data.label, &item->class_index, NULL) != NG_OK) {
            if (given) {
                complain("--class true: %s: the model has no class '%s'", k->j.in.paths[i],
                         k->data ? item->data.label : "");
                return EXIT_USAGE;
            }
            item->class_index = -1;
        }
    }
    return EXIT_DONE;
}

/* One argument that is a data set, else images. */
static int find_items(scoring *k, int first)
{
    ng_error err = {0};
    struct stat st;
    const char *path = k->s.n_arguments == first + 1 ? k->s.arguments[first] : NULL;
    size_t length = path ? strlen(path) : 0;
    bool csv = length > 4 && strcmp(path + length - 4, ".csv") == 0;
    bool folder = path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    ng_status status = csv || folder ? ng_data_open(path, &k->data, &err) : NG_E_NOT_FOUND;
    if (csv && status != NG_OK) {
        complain("%s", err.text);
        return status == NG_E_MEMORY ? EXIT_ENVIRONMENT : EXIT_USAGE;
    }
    int code;
    if (k->data)
        code = choose_items(k);
    else {
        code = find_inputs(&k->s, first, k->s.output, &k->j.in);
        k->items = code == EXIT_DONE ? calloc((size_t)k->j.in.count, sizeof *k->items) : NULL;
        if (code == EXIT_DONE && !k->items)
            code = say_out_of_memory();
    }
    return code == EXIT_DONE ? choose_classes(k) : code;
}

/* ---- The request ----------------------------------------------------------------------------- */

static int read_figures(scoring *k)
{
    const settings *s = &k->s;
    const char *which = s->figures;
    ng_faithfulness_opts_init(&k->faithful);
    k->locate = strstr(which, "location") != NULL;
    k->adcc = strstr(which, "adcc") != NULL;
    k->faithful.drop = k->adcc || strstr(which, "drop") != NULL;
    k->faithful.steps = strstr(which, "curves") ? s->steps : 0;
    k->faithful.road = strstr(which, "road") ? 4 : 0;
    k->faithful.deletion = s->deletion;
    k->faithful.insertion = s->insertion;
    return EXIT_DONE;
}

static int describe_conventions(scoring *k)
{
    const explain_job *j = &k->j;
    int n = asprintf(
        &k->conventions,
        "model %s; fit %s %s; class %s; target %s; figures %s; %d steps; deletion %s; insertion %s; "
        "smooth %d; eigen %d; budget %g",
        j->info.hash, ng_fit_name(j->fit.fit), ng_resample_name(j->fit.resample),
        k->s.classes ? k->s.classes : "", ng_target_name(j->target), k->s.figures, k->faithful.steps,
        k->s.deletion, k->s.insertion, (int)j->smooth, j->s->eigen_smooth, k->s.budget > 0 ? k->s.budget : 0);
    return n < 0 ? say_out_of_memory() : EXIT_DONE;
}

static int prepare(scoring *k, const char *methods, int first)
{
    explain_job *j = &k->j;
    ng_error err;
    ng_model_describe(j->model, &j->info);
    ng_render_opts_init(&j->render);
    j->against = -1;
    j->map_threads = 1;
    int code = split_methods(k, methods);
    if (code == EXIT_DONE && k->s.target && ng_target_find(k->s.target, &j->target, &err) != NG_OK) {
        complain("--target: %s", err.text);
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = read_fitting(&k->s, &j->fit);
    if (code == EXIT_DONE)
        code = read_methods(j);
    if (code == EXIT_DONE)
        code = read_figures(k);
    if (code == EXIT_DONE)
        code = find_items(k, first);
    if (code == EXIT_DONE && j->n_methods)
        code = make_views(j);
    if (code == EXIT_DONE && k->s.baseline)
        code = read_baseline(j);
    if (code == EXIT_DONE) {
        make_rows(k);
        code = describe_conventions(k);
    }
    return code == EXIT_DONE ? open_records(k) : code;
}

static void scoring_free(scoring *k)
{
    free_views(&k->j);
    inputs_clear(&k->j.in);
    ng_data_free(k->data);
    free(k->items);
    free(k->conventions);
    json_decref(k->records);
    if (k->kept)
        fclose(k->kept);
    pthread_mutex_destroy(&k->lock);
    free((char *)k->s.method);
    free(k);
}

int run_score(const settings *s)
{
    scoring *k = calloc(1, sizeof *k);
    ng_model *model = NULL;
    ng_session *session = NULL;
    int rest;
    if (!k)
        return say_out_of_memory();
    pthread_mutex_init(&k->lock, NULL);
    k->s = *s;
    k->s.method = NULL;
    k->j.s = &k->s;
    int code = open_model(s, &model, &rest);
    k->j.model = model;
    if (code == EXIT_DONE)
        code = prepare(k, s->method, rest);
    if (code == EXIT_DONE)
        code = open_for_views(&k->j, false, &session);
    if (code == EXIT_DONE)
        code = run_jobs(&k->s, session, k->j.in.count, score_images, k);
    if (code == EXIT_DONE || code == EXIT_SOME_FAILED) {
        int printed = print_scores(k);
        code = printed != EXIT_DONE ? printed : code;
    }
    ng_session_free(session);
    scoring_free(k);
    ng_model_free(model);
    return code;
}
