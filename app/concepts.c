/* netgaze concepts: what a class's images have in common for the network, with heatmaps, without labels. */
#include "explain.h"
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHEET_IMAGES = 4, UNREADABLE = -1 };

typedef struct study {
    const settings *s;
    ng_model *model;
    ng_session *session;
    ng_concepts *concepts;
    ng_model_info info;
    inputs in;
    fitting fit;
    int *predicted; /* [in.count] class, or UNREADABLE */
    int *used;      /* [n_used] inputs of the class, as the library numbers them */
    int n_used, class_index, layer, failed;
    progress bar; /* of what the library does by itself; silent but for the learning */
} study;

static int show(void *context, int done, int total)
{
    study *k = context;
    k->bar.total = total;
    progress_show(&k->bar, done);
    return interrupted;
}

/* ---- Passes over the images ------------------------------------------------------------------ */

typedef ng_status pass_function(study *k, int i, const picture *p, ng_error *err);

/* Calls `work` for each of the inputs [n]; an image that fails is reported and counted. list may be NULL: all. */
static int run_pass(study *k, const char *what, const int *list, int n, pass_function *work)
{
    progress bar;
    progress_begin(&bar, what, n, !k->s->quiet);
    for (int i = 0; i < n && !interrupted; i++) {
        int input = list ? list[i] : i;
        ng_error err = {0};
        picture p = {0};
        ng_status status = picture_load(k->model, k->in.paths[input], &k->fit, &p, &err);
        if (status == NG_OK)
            status = work(k, input, &p, &err);
        picture_clear(&p);
        progress_show(&bar, i + 1);
        if (status == NG_OK || (status == NG_E_CANCELLED && interrupted))
            continue;
        complain("%s: %s", k->in.paths[input], err.text);
        if (status == NG_E_MEMORY || status == NG_E_IO)
            return EXIT_ENVIRONMENT;
        k->failed++;
    }
    progress_end(&bar);
    return interrupted ? EXIT_INTERRUPTED : EXIT_DONE;
}

static ng_status predict(study *k, int i, const picture *p, ng_error *err)
{
    ng_status status = ng_session_run(k->session, picture_input(p, 0), 1, err);
    const float *z = ng_session_logits(k->session);
    k->predicted[i] = 0;
    for (int c = 1; c < k->info.class_count && status == NG_OK; c++)
        k->predicted[i] = z[c] > z[k->predicted[i]] ? c : k->predicted[i];
    if (status != NG_OK)
        k->predicted[i] = UNREADABLE;
    return status;
}

static ng_status add(study *k, int i, const picture *p, ng_error *err)
{
    ng_status status = ng_concepts_add(k->concepts, picture_input(p, 0), err);
    if (status == NG_OK)
        k->used[k->n_used++] = i;
    return status;
}

/* The image's part in the importance. */
static ng_status weigh(study *k, int i, const picture *p, ng_error *err)
{
    (void)i;
    return ng_concepts_weigh(k->concepts, picture_input(p, 0), err);
}

static ng_status save_maps(study *k, int i, const picture *p, ng_error *err)
{
    int n = k->s->concepts;
    ng_map *maps = calloc((size_t)n, sizeof *maps);
    float *all = NULL;
    char *path = NULL;
    ng_status status =
        maps ? ng_concepts_maps(k->concepts, picture_input(p, 0), maps, err) : fail_memory(err);
    if (status == NG_OK) {
        size_t cells = (size_t)maps[0].height * (size_t)maps[0].width;
        const int64_t shape[3] = {n, maps[0].height, maps[0].width};
        all = malloc((size_t)n * cells * sizeof *all);
        for (int r = 0; r < n && all; r++)
            memcpy(all + (size_t)r * cells, maps[r].data, cells * sizeof *all);
        bool fine = all && asprintf(&path, "%s/%s.concepts.npy", k->s->output, k->in.stems[i]) >= 0;
        status = fine ? ng_npy_save(path, 3, shape, all, err) : fail_memory(err);
    }
    for (int r = 0; r < n && maps; r++)
        ng_map_clear(&maps[r]);
    free(maps);
    free(all);
    free(path);
    return status;
}

/* ---- What is written ------------------------------------------------------------------------- */

static json_t *concept_json(const study *k, int rank, const ng_concept *c)
{
    json_t *o = json_object(), *examples = json_array();
    json_object_set_new(o, "concept", json_integer(rank + 1));
    json_object_set_new(o, "class", json_text(ng_model_label(k->model, k->class_index)));
    json_object_set_new(o, "importance", json_number(c->importance));
    json_object_set_new(o, "standard_error", json_number(c->error));
    json_object_set_new(o, "share", json_number(c->share));
    for (int i = 0; i < NG_CONCEPT_EXAMPLES && c->examples[i].image >= 0; i++) {
        const ng_concept_example *e = &c->examples[i];
        json_t *one = json_object();
        json_object_set_new(one, "image", json_text(k->in.paths[k->used[e->image]]));
        json_object_set_new(one, "crop", json_pack("[f,f,f,f]", e->x0, e->y0, e->x1, e->y1));
        json_object_set_new(one, "strength", json_number(e->strength));
        json_array_append_new(examples, one);
    }
    json_object_set_new(o, "examples", examples);
    return o;
}

/* concepts.json and bank.npy; a row of the table or a line of JSON for each concept. */
static ng_status save_bank(const study *k, ng_error *err)
{
    ng_concept c;
    json_t *all = json_array();
    int n = k->s->concepts;
    float *bank = NULL;
    char *path = NULL, *text = NULL;
    ng_status status = NG_OK;
    for (int r = 0; r < n && status == NG_OK; r++) {
        status = ng_concepts_describe(k->concepts, r, &c, err);
        if (status == NG_OK && !bank && !(bank = malloc((size_t)n * (size_t)c.channels * sizeof *bank)))
            status = fail_memory(err);
        if (status != NG_OK)
            break;
        memcpy(bank + (size_t)r * (size_t)c.channels, c.direction, (size_t)c.channels * sizeof *bank);
        json_array_append_new(all, concept_json(k, r, &c));
    }
    const int64_t shape[2] = {n, c.channels};
    if (status == NG_OK && asprintf(&path, "%s/bank.npy", k->s->output) < 0)
        status = fail_memory(err);
    if (status == NG_OK)
        status = ng_npy_save(path, 2, shape, bank, err);
    free(path);
    path = NULL;
    if (status == NG_OK && (!(text = json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(9))) ||
                            asprintf(&path, "%s/concepts.json", k->s->output) < 0))
        status = fail_memory(err);
    if (status == NG_OK)
        status = ng_file_save(path, text, strlen(text), err);
    free(text);
    free(path);
    free(bank);
    json_decref(all);
    return status;
}

/* A concept's map over one of its images, with the crop's caption. */
static ng_status draw_example(const study *k, int rank, const ng_concept *c, int example, ng_image *out,
                              char **caption, ng_error *err)
{
    const ng_concept_example *e = &c->examples[example];
    int input = k->used[e->image], n = k->s->concepts;
    picture p = {0};
    ng_image base = {0};
    ng_render_opts render;
    ng_render_opts_init(&render);
    ng_map *maps = calloc((size_t)n, sizeof *maps);
    ng_status status = maps ? picture_load(k->model, k->in.paths[input], &k->fit, &p, err) : fail_memory(err);
    if (status == NG_OK)
        status = ng_concepts_maps(k->concepts, picture_input(&p, 0), maps, err);
    if (status == NG_OK)
        status = picture_base(&p, 0, &base, err);
    if (status == NG_OK)
        status = ng_render_overlay(&maps[rank], &base, &p.geometry, &render, out, err);
    if (status == NG_OK && (example == 0 ? asprintf(caption, "concept %d: %.0f %% of the variance", rank + 1,
                                                    100 * c->importance)
                                         : asprintf(caption, "%s", k->in.stems[input])) < 0)
        status = fail_memory(err);
    base_clear(&p, &base);
    picture_clear(&p);
    for (int r = 0; r < n && maps; r++)
        ng_map_clear(&maps[r]);
    free(maps);
    return status;
}

static ng_status save_sheet(study *k, ng_error *err)
{
    int n = k->s->concepts, columns = at_most(k->n_used, SHEET_IMAGES), count = 0;
    size_t cells = (size_t)n * (size_t)columns;
    grid g = {.images = calloc(cells, sizeof *g.images), .captions = calloc(cells, sizeof *g.captions)};
    char *path = NULL, *title = NULL;
    ng_image sheet = {0};
    ng_status status = g.images && g.captions ? NG_OK : fail_memory(err);
    g.count = status == NG_OK ? n * columns : 0;
    for (int r = 0; r < n && status == NG_OK && !interrupted; r++) {
        ng_concept c;
        status = ng_concepts_describe(k->concepts, r, &c, err);
        for (int i = 0; i < columns && status == NG_OK; i++, count++)
            status = draw_example(k, r, &c, i, &g.images[count], &g.captions[count], err);
    }
    if (status == NG_OK && (asprintf(&path, "%s/sheet.png", k->s->output) < 0 ||
                            asprintf(&title, "Concepts of %s", ng_model_label(k->model, k->class_index)) < 0))
        status = fail_memory(err);
    if (status == NG_OK && !interrupted)
        status =
            ng_render_grid(g.images, (const char *const *)g.captions, count, columns, title, &sheet, err);
    if (status == NG_OK && !interrupted)
        status = ng_image_save(&sheet, path, err);
    ng_image_clear(&sheet);
    grid_clear(&g);
    free(path);
    free(title);
    return status;
}

static int print_concepts(const study *k)
{
    bool fine = true;
    if (!k->s->json)
        printf("concept  importance  std. error  share  strongest in\n");
    for (int r = 0; r < k->s->concepts && fine; r++) {
        ng_concept c;
        if (ng_concepts_describe(k->concepts, r, &c, NULL) != NG_OK)
            continue;
        if (k->s->json)
            fine = write_json_line(stdout, concept_json(k, r, &c));
        else
            printf("%7d %11.3f %11.3f %6.3f  %s\n", r + 1, c.importance, c.error, c.share,
                   k->in.paths[k->used[c.examples[0].image]]);
    }
    if (!k->s->json)
        printf("\n%d images of %s at %s; the sheet and the maps are in %s\n", k->n_used,
               ng_model_label(k->model, k->class_index),
               k->s->layer ? k->s->layer : "the layer explained by default", k->s->output);
    return fine ? EXIT_DONE : say_out_of_memory();
}

/* ---- The command ----------------------------------------------------------------------------- */

static int open_study(study *k)
{
    const settings *s = k->s;
    int rest;
    ng_error err;
    if (!s->output) {
        complain("concepts: name the output folder with -o DIR");
        return EXIT_USAGE;
    }
    int code = read_fitting(s, &k->fit);
    if (code == EXIT_DONE)
        code = open_model(s, &k->model, &rest);
    if (code != EXIT_DONE)
        return code;
    ng_model_describe(k->model, &k->info);
    k->layer = k->info.automatic_layer;
    if (s->layer && ng_model_find_layer(k->model, s->layer, &k->layer, &err) != NG_OK) {
        complain("--layer: %s", err.text);
        return EXIT_USAGE;
    }
    if (k->layer < 0) {
        complain("%s: no layer has a spatial output that feeds the scores", k->info.path);
        return EXIT_MODEL;
    }
    k->class_index = -1;
    if (s->classes && ng_model_find_class(k->model, s->classes, &k->class_index, &err) != NG_OK) {
        complain("--class: %s", err.text);
        return EXIT_USAGE;
    }
    code = find_inputs(s, rest, s->output, &k->in);
    if (code == EXIT_DONE)
        code = open_session(s, k->model, &k->layer, 1, true, &k->session);
    if (code == EXIT_DONE)
        code = make_folder(s->output);
    k->predicted = malloc((size_t)k->in.count * sizeof *k->predicted);
    k->used = malloc((size_t)k->in.count * sizeof *k->used);
    for (int i = 0; i < k->in.count && k->predicted; i++)
        k->predicted[i] = UNREADABLE;
    return code != EXIT_DONE ? code : k->predicted && k->used ? EXIT_DONE : say_out_of_memory();
}

/* The images of the class, in list [*n]; the class is the commonest prediction where none was named. */
static int choose_images(study *k, int *list, int *n)
{
    int best = 0;
    *n = 0;
    for (int i = 0; i < k->in.count && k->class_index < 0; i++) {
        int count = 0;
        for (int o = 0; o < k->in.count; o++)
            count += k->predicted[i] != UNREADABLE && k->predicted[o] == k->predicted[i];
        if (count > best) {
            best = count;
            k->used[0] = k->predicted[i];
        }
    }
    if (k->class_index < 0 && best > 0)
        k->class_index = k->used[0];
    for (int i = 0; i < k->in.count; i++)
        if (k->predicted[i] != UNREADABLE && k->predicted[i] == k->class_index)
            list[(*n)++] = i;
    if (*n)
        return EXIT_DONE;
    complain("no image is predicted to be %s: there is nothing to find concepts in",
             k->class_index >= 0 ? ng_model_label(k->model, k->class_index) : "of any class");
    return EXIT_SOME_FAILED;
}

static int learn(study *k)
{
    ng_error err = {0};
    progress_begin(&k->bar, "iterations", 2, !k->s->quiet);
    ng_status status = ng_concepts_learn(k->concepts, &err);
    progress_end(&k->bar);
    k->bar.wanted = false;
    if (status == NG_OK)
        return EXIT_DONE;
    if (!interrupted)
        complain("%s", err.text);
    return interrupted ? EXIT_INTERRUPTED : status == NG_E_MEMORY ? EXIT_ENVIRONMENT : EXIT_USAGE;
}

static int create(study *k)
{
    const settings *s = k->s;
    ng_error err;
    ng_concepts_opts opts;
    ng_concepts_opts_init(&opts);
    opts.count = s->concepts;
    opts.crops = s->crops;
    opts.crop = s->crop;
    opts.design = s->design;
    opts.seed = s->seed > 0 ? (uint64_t)s->seed : 0;
    opts.threads = s->threads > 0 ? s->threads : 1;
    opts.progress = show;
    opts.context = k;
    if (ng_concepts_create(k->session, k->layer, k->class_index, &opts, &k->concepts, &err) == NG_OK)
        return EXIT_DONE;
    complain("%s", err.text);
    return EXIT_USAGE;
}

static int finish(study *k)
{
    ng_error err = {0};
    int code = run_pass(k, "images weighed", k->used, k->n_used, weigh);
    if (code == EXIT_DONE)
        code = run_pass(k, "maps", k->used, k->n_used, save_maps);
    if (code != EXIT_DONE)
        return code;
    ng_status status = save_bank(k, &err);
    if (status == NG_OK)
        status = save_sheet(k, &err);
    if (status != NG_OK) {
        complain("%s", err.text);
        return EXIT_ENVIRONMENT;
    }
    return interrupted ? EXIT_INTERRUPTED : print_concepts(k);
}

int run_concepts(const settings *s)
{
    study k = {.s = s};
    int *list = NULL, n = 0;
    int code = open_study(&k);
    catch_interrupts(true);
    if (code == EXIT_DONE)
        code = run_pass(&k, "images classified", NULL, k.in.count, predict);
    if (code == EXIT_DONE && !(list = malloc((size_t)k.in.count * sizeof *list)))
        code = say_out_of_memory();
    if (code == EXIT_DONE)
        code = choose_images(&k, list, &n);
    if (code == EXIT_DONE)
        code = create(&k);
    if (code == EXIT_DONE)
        code = run_pass(&k, "images cropped", list, n, add);
    if (code == EXIT_DONE)
        code = learn(&k);
    if (code == EXIT_DONE)
        code = finish(&k);
    catch_interrupts(false);
    if (code == EXIT_INTERRUPTED)
        complain("interrupted; the same command begins anew");
    code = code == EXIT_DONE && k.failed ? EXIT_SOME_FAILED : code;
    ng_concepts_free(k.concepts);
    ng_session_free(k.session);
    ng_model_free(k.model);
    inputs_clear(&k.in);
    free(k.predicted);
    free(k.used);
    free(list);
    return code;
}
