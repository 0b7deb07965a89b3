/* netgaze explain: what is asked for, checked before any work begins. */
#include "explain.h"
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Classes -------------------------------------------------------------------------------- */

static int add_class(explain_job *j, int index)
{
    for (int i = 0; i < j->n_classes; i++)
        if (j->classes[i] == index)
            return EXIT_DONE;
    if (j->n_classes == MOST_CLASSES) {
        complain("--class: more than %d classes; `--class all` takes every one", MOST_CLASSES);
        return EXIT_USAGE;
    }
    j->classes[j->n_classes++] = index;
    return EXIT_DONE;
}

static int add_named_class(explain_job *j, const char *name)
{
    int index;
    ng_error err;
    if (strcmp(name, "predicted") == 0)
        return add_class(j, PREDICTED);
    if (strcmp(name, "true") == 0 && j->truth)
        return add_class(j, TRUE_CLASS);
    if (strcmp(name, "true") == 0 && ng_model_find_class(j->model, name, &index, NULL) != NG_OK) {
        complain("--class true: say with --truth FILE (rows PATH,LABEL) or --truth folders which the true "
                 "classes are");
        return EXIT_USAGE;
    }
    if (ng_model_find_class(j->model, name, &index, &err) == NG_OK)
        return add_class(j, index);
    complain("--class: %s", err.text);
    return EXIT_USAGE;
}

static int read_classes(explain_job *j)
{
    const char *spec = j->s->classes;
    int all = j->info.class_count, index;
    if (spec && j->s->top >= 0) {
        complain("--top and --class exclude each other");
        return EXIT_USAGE;
    }
    bool every = j->s->top == 0 || (spec && strcmp(spec, "all") == 0);
    j->top = every || j->s->top > all ? all : j->s->top > 0 ? j->s->top : 1;
    if (!spec || every)
        return EXIT_DONE;
    bool word = strcmp(spec, "true") == 0 || strcmp(spec, "predicted") == 0;
    if (!word && ng_model_find_class(j->model, spec, &index, NULL) == NG_OK) /* a label may hold commas */
        return add_class(j, index);
    char *copy = strdup(spec), *rest = copy;
    int code = copy ? EXIT_DONE : say_out_of_memory();
    for (char *name; code == EXIT_DONE && (name = strsep(&rest, ","));)
        code = add_named_class(j, name);
    free(copy);
    return code;
}

/* ---- The rest of the request ---------------------------------------------------------------- */

static void read_outputs(explain_job *j)
{
    for (const char *p = j->s->outputs; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        for (int i = 0; i < OUTPUT_KINDS; i++)
            if (strlen(output_choice(i)) == n && strncmp(output_choice(i), p, n) == 0)
                j->outputs |= 1u << i;
        p += n;
    }
}

static int read_target(explain_job *j)
{
    j->target = j->render.compat == NG_COMPAT_ARTICLE ? NG_TARGET_PROBABILITY : NG_TARGET_LOGIT;
    ng_error err;
    if (j->s->target && ng_target_find(j->s->target, &j->target, &err) != NG_OK) {
        complain("--target: %s", err.text);
        return EXIT_USAGE;
    }
    if (j->s->against && j->target != NG_TARGET_CONTRAST) {
        complain("--against is for --target contrast");
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static int read_against(explain_job *j)
{
    ng_error err;
    j->against = -1;
    if (!j->s->against || ng_model_find_class(j->model, j->s->against, &j->against, &err) == NG_OK)
        return EXIT_DONE;
    complain("--against: %s", err.text);
    return EXIT_USAGE;
}

/* Cores that images leave free work on one map. */
static void share_threads(explain_job *j)
{
    int threads = threads_of(j->s);
    int jobs = (j->in.count - 1) / j->s->batch + 1;
    j->map_threads = jobs < threads ? threads / jobs : 1;
}

/* Draws a map of 2x2 cells: what the library refuses of the drawing options is refused before any image. */
static int check_drawing(const explain_job *j)
{
    static float cells[4] = {0, 1, 2, 3};
    ng_map map = {.height = 2, .width = 2, .data = cells, .signed_data = cells, .max = 3, .signed_max = 3};
    ng_geometry g = {.image_width = 8,
                     .image_height = 8,
                     .input_width = 8,
                     .input_height = 8,
                     .fit = j->fit.fit,
                     .resample = j->fit.resample,
                     .x1 = 8,
                     .y1 = 8};
    ng_image image;
    ng_error err;
    ng_status status = ng_render_heatmap(&map, &g, &j->render, &image, &err);
    if (status == NG_OK) {
        ng_image_clear(&image);
        return EXIT_DONE;
    }
    complain("%s", err.text);
    return status == NG_E_MEMORY ? EXIT_ENVIRONMENT : EXIT_USAGE;
}

int at_most(int value, int most)
{
    return value < most ? value : most;
}

static void measure_table(explain_job *j)
{
    j->image_width = j->label_width = j->layer_width = 5;
    for (int i = 0; i < j->in.count; i++) {
        int n = at_most(columns_of(j->in.paths[i]), 48);
        j->image_width = n > j->image_width ? n : j->image_width;
    }
    for (int i = 0; i < j->info.class_count; i++) {
        int n = at_most(columns_of(ng_model_label(j->model, i)), 24);
        j->label_width = n > j->label_width ? n : j->label_width;
    }
    for (int i = 0; i < j->n_views; i++) {
        int n = at_most(columns_of(j->views[i].path), 32), m = (int)strlen(j->views[i].method->name);
        j->layer_width = n > j->layer_width ? n : j->layer_width;
        j->method_width = m > j->method_width ? m : j->method_width;
    }
    j->method_width = j->n_methods > 1 ? j->method_width : 0;
    j->color = color_wanted(stdout);
}

int make_folder(const char *path)
{
    char *part = strdup(path);
    if (!part)
        return say_out_of_memory();
    int code = EXIT_DONE;
    for (char *p = part + 1; code == EXIT_DONE; p++) {
        char here = *p;
        if (here != '/' && here != '\0')
            continue;
        *p = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST && errno != EISDIR) {
            complain("%s: the folder cannot be made: %s", part, strerror(errno));
            code = EXIT_ENVIRONMENT;
        }
        *p = here;
        if (here == '\0')
            break;
    }
    struct stat st;
    if (code == EXIT_DONE && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) {
        complain("%s: is there, but is no folder", path);
        code = EXIT_ENVIRONMENT;
    } else if (code == EXIT_DONE && access(path, W_OK | X_OK) != 0) {
        complain("%s: the folder cannot be written: %s", path, strerror(errno));
        code = EXIT_ENVIRONMENT;
    }
    free(part);
    return code;
}

/* The output folder without slashes at its end. */
static char *trim_folder(const char *path)
{
    char *folder = strdup(path);
    size_t n = folder ? strlen(folder) : 0;
    while (n > 1 && folder[n - 1] == '/')
        folder[--n] = '\0';
    return folder;
}

/* ---- The command ---------------------------------------------------------------------------- */

/* What needs no model. */
static int read_request(explain_job *j)
{
    const settings *s = j->s;
    if (!s->model && s->n_arguments == 0) {
        complain("a model is missing; see `netgaze explain --help`");
        return EXIT_USAGE;
    }
    if (!s->output) {
        complain("explain: name the output folder with -o DIR");
        return EXIT_USAGE;
    }
    if (s->json && s->csv) {
        complain("--json and --csv exclude each other");
        return EXIT_USAGE;
    }
    if (!(j->folder = trim_folder(s->output)))
        return say_out_of_memory();
    int code = read_render_options(s, &j->render);
    if (code == EXIT_DONE)
        code = read_fitting(s, &j->fit);
    if (code == EXIT_DONE)
        code = check_drawing(j);
    if (code == EXIT_DONE)
        code = read_methods(j);
    if (code == EXIT_DONE)
        code = read_target(j);
    read_outputs(j);
    if (code == EXIT_DONE)
        code = find_inputs(s, s->model ? 0 : 1, j->folder, &j->in);
    j->own = *s;
    j->own.batch = batch_of(s, j->in.count);
    j->automatic_batch = s->batch < 1;
    j->s = &j->own;
    return code;
}

/* What depends on the model. */
static int prepare(explain_job *j, const ng_model *model)
{
    j->model = model;
    ng_model_describe(model, &j->info);
    int code = j->s->truth ? read_truth(j) : EXIT_DONE;
    if (code == EXIT_DONE)
        code = read_classes(j);
    if (code == EXIT_DONE)
        code = read_against(j);
    if (code == EXIT_DONE)
        code = make_views(j);
    if (code == EXIT_DONE && j->s->baseline)
        code = read_baseline(j);
    if (code == EXIT_DONE)
        code = make_folder(j->folder);
    if (code == EXIT_DONE)
        code = list_sidecars(j);
    measure_table(j);
    share_threads(j);
    if (code == EXIT_DONE && j->s->check)
        code = open_checks(j);
    j->grid = j->s->grid || j->n_methods > 1;
    return code;
}

static int work(explain_job *j, ng_session *session)
{
    const settings *s = j->s;
    if (s->csv)
        print_csv_header(stdout);
    else if (!s->json && !s->quiet)
        printf("%s%-*s  %-*s %11s %10s  %-*s  %-*s%smap%s\n", j->color ? "\033[2m" : "", j->image_width,
               "image", j->label_width, "class", "probability", "logit", j->layer_width, "layer",
               j->method_width, j->method_width ? "method" : "", j->method_width ? "  " : "",
               j->color ? "\033[0m" : "");
    int code = run_jobs(s, session, j->in.count, explain_images, j);
    if (!s->json && !s->csv && !s->quiet && (code == EXIT_DONE || code == EXIT_SOME_FAILED))
        printf("\nPictures and sidecars are in %s\n", j->folder);
    return code;
}

static void job_clear(explain_job *j)
{
    close_checks(j);
    free_views(j);
    free_listing(j);
    free(j->folder);
    free(j->baseline);
    free(j->truth);
    inputs_clear(&j->in);
}

int run_explain(const settings *s)
{
    explain_job *j = calloc(1, sizeof *j);
    ng_model *model = NULL;
    ng_session *session = NULL;
    int rest;
    if (!j)
        return say_out_of_memory();
    j->s = s;
    int code = read_request(j);
    if (code == EXIT_DONE)
        code = open_model(s, &model, &rest);
    if (code == EXIT_DONE)
        code = prepare(j, model);
    if (code == EXIT_DONE)
        code = open_for_views(j, true, &session);
    if (code == EXIT_DONE)
        code = work(j, session);
    ng_session_free(session);
    job_clear(j);
    ng_model_free(model);
    free(j);
    return code;
}
