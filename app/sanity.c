/* netgaze sanity: the model randomisation test (Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018), the map of
 * another class, and an edge detector as what a map must be more than. */
#include "explain.h"
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Shares of the layers with kernels that have forgotten, from the output on; 0: the last one only. */
static const double stages[] = {0, 0.25, 0.5, 0.75, 1};
enum { STAGES = sizeof stages / sizeof *stages, CONTROL_SEED = 1 };
/* Mean similarity over the stages from which a map is called independent of the weights; similarity with the map of another
 * class from which it is called independent of the class. */
static const double kept = 0.6, alike = 0.95;

/* Sums over images of one view. */
typedef struct tally {
    double spearman[STAGES], ssim[STAGES]; /* with the original map */
    double other_class, edges;             /* Spearman's */
    int images, ssims;
} tally;

typedef struct check {
    explain_job *j;
    ng_model *control_models[STAGES];
    ng_session *session, *controls[STAGES];
    tally tallies[MOST_VIEWS];
} check;

/* Long maps can be given up. */
static int stop_if_interrupted(void *context, int done, int total)
{
    (void)context;
    (void)done;
    (void)total;
    return interrupted;
}

static ng_status explain_view_of(const explain_job *j, ng_session *session, int view, int class_index,
                                 ng_map *map, ng_error *err)
{
    ng_explain_opts opts;
    set_view_opts(j, view, &opts);
    opts.class_index = class_index;
    opts.progress = stop_if_interrupted;
    return ng_explain(session, 0, &opts, map, err);
}

/* The edges of the input as a map of h x w cells. */
static ng_status average_edges(const explain_job *j, const float *x, int h, int w, ng_map *out, ng_error *err)
{
    ng_map edges;
    ng_status status = make_edges(&j->info, x, &edges, err);
    if (status != NG_OK)
        return status;
    *out = (ng_map){.height = h, .width = w};
    out->signed_data = average_map(&edges, h, w);
    ng_map_clear(&edges);
    return out->signed_data ? NG_OK : fail_memory(err);
}

static ng_status compare_stages(check *k, int view, int class_index, const ng_map *original, ng_error *err)
{
    tally *t = &k->tallies[view];
    for (int i = 0; i < STAGES; i++) {
        ng_map map = {0};
        ng_similarity s;
        ng_status status = explain_view_of(k->j, k->controls[i], view, class_index, &map, err);
        if (status == NG_OK)
            status = ng_map_similarity(original, &map, &s, err);
        ng_map_clear(&map);
        if (status != NG_OK)
            return status;
        t->spearman[i] += fabs(s.spearman);
        t->ssim[i] += isnan(s.ssim) ? 0 : s.ssim;
        t->ssims += i == 0 && !isnan(s.ssim);
    }
    t->images++;
    return NG_OK;
}

static ng_status check_view(check *k, int view, const float *x, int class_index, int least, ng_error *err)
{
    ng_map original = {0}, other = {0}, edges = {0};
    ng_similarity s;
    ng_status status = explain_view_of(k->j, k->session, view, class_index, &original, err);
    if (status == NG_OK)
        status = explain_view_of(k->j, k->session, view, least, &other, err);
    if (status == NG_OK)
        status = ng_map_similarity(&original, &other, &s, err);
    if (status == NG_OK) {
        k->tallies[view].other_class += s.spearman;
        status = average_edges(k->j, x, original.height, original.width, &edges, err);
    }
    if (status == NG_OK)
        status = ng_map_similarity(&original, &edges, &s, err);
    if (status == NG_OK) {
        k->tallies[view].edges += s.spearman;
        status = compare_stages(k, view, class_index, &original, err);
    }
    free(edges.signed_data);
    ng_map_clear(&original);
    ng_map_clear(&other);
    return status;
}

static ng_status check_image(check *k, const char *path, ng_error *err)
{
    explain_job *j = k->j;
    picture p = {0};
    ng_status status = picture_load(j->model, path, &j->fit, &p, err);
    if (status != NG_OK)
        return status;
    const float *x = picture_input(&p, 0);
    status = ng_session_run(k->session, x, 1, err);
    for (int i = 0; i < STAGES && status == NG_OK; i++)
        status = ng_session_run(k->controls[i], x, 1, err);
    if (status == NG_OK) {
        const float *z = ng_session_logits(k->session);
        int best = 0, least = 0;
        for (int c = 1; c < j->info.class_count; c++) {
            best = z[c] > z[best] ? c : best;
            least = z[c] < z[least] ? c : least;
        }
        int class_index = j->n_classes && j->classes[0] >= 0 ? j->classes[0] : best;
        for (int v = 0; v < j->n_views && status == NG_OK && !interrupted; v++)
            status = check_view(k, v, x, class_index, least == class_index ? best : least, err);
    }
    picture_clear(&p);
    return status;
}

/* ---- What is said --------------------------------------------------------------------------- */

static const char *verdict(const tally *t)
{
    double mean = 0;
    for (int i = 0; i < STAGES; i++)
        mean += t->spearman[i] / t->images / STAGES;
    bool class_seen = t->other_class / t->images < alike;
    return mean >= kept ? "hardly depends on the weights"
           : class_seen ? "depends on the weights"
                        : "depends on the weights, not on the class";
}

static json_t *tally_json(const explain_job *j, int view, const tally *t)
{
    json_t *o = json_object(), *list = json_array();
    for (int i = 0; i < STAGES; i++) {
        json_t *stage = json_object();
        json_object_set_new(stage, "share", json_number(stages[i]));
        json_object_set_new(stage, "spearman", json_number(t->spearman[i] / t->images));
        json_object_set_new(stage, "ssim", t->ssims ? json_number(t->ssim[i] / t->ssims) : json_null());
        json_array_append_new(list, stage);
    }
    json_object_set_new(o, "method", json_string(j->views[view].method->name));
    json_object_set_new(o, "layer", json_text(j->views[view].path));
    json_object_set_new(o, "images", json_integer(t->images));
    json_object_set_new(o, "control", json_string(j->s->control));
    json_object_set_new(o, "stages", list);
    json_object_set_new(o, "other_class", json_number(t->other_class / t->images));
    json_object_set_new(o, "edges", json_number(t->edges / t->images));
    json_object_set_new(o, "verdict", json_string(verdict(t)));
    return o;
}

static void print_stages(const double *sums, int n)
{
    for (int i = 0; i < STAGES; i++)
        if (n > 0)
            printf(" %5.2f", sums[i] / n);
        else
            printf("     -");
}

static void print_tally(const explain_job *j, int view, const tally *t)
{
    printf("%-20s %-14s", j->views[view].method->name, j->views[view].name);
    print_stages(t->spearman, t->images);
    printf(" ");
    print_stages(t->ssim, t->ssims);
    printf(" %7.2f %6.2f  %s\n", t->other_class / t->images, t->edges / t->images, verdict(t));
}

static int report(const check *k)
{
    const explain_job *j = k->j;
    bool fine = true;
    if (!j->s->json)
        printf("%-35s  rank correlation              ssim\n%-20s %-14s  last   1/4   1/2   3/4   all   last  "
               " 1/4   1/2   "
               "3/4   all   class  edges\n",
               "", "method", "layer");
    for (int v = 0; v < j->n_views && fine; v++) {
        if (k->tallies[v].images == 0)
            continue;
        if (j->s->json)
            fine = write_json_line(stdout, tally_json(j, v, &k->tallies[v]));
        else
            print_tally(j, v, &k->tallies[v]);
    }
    if (!j->s->json)
        printf("\nRank correlation (absolute value) and structural similarity with the map of the trained "
               "network,\n"
               "when the last layer, a quarter, ... of all layers are %s;\n"
               "rank correlation with the map of the least likely class and with the image's edges.\n",
               strcmp(j->s->control, "redraw") == 0 ? "drawn anew, as before training" : "shuffled");
    return fine ? EXIT_DONE : say_out_of_memory();
}

/* ---- The command ---------------------------------------------------------------------------- */

static int open_stage(check *k, int stage)
{
    settings with = *k->j->s;
    int rest;
    with.quiet = true;
    with.shuffle_head = CONTROL_SEED;
    with.shuffle_redraw = strcmp(with.control, "redraw") == 0;
    with.shuffle_depth = stages[stage];
    int code = open_model(&with, &k->control_models[stage], &rest);
    if (code == EXIT_DONE) {
        explain_job other = *k->j;
        other.s = &with;
        other.model = k->control_models[stage];
        code = open_for_views(&other, false, &k->controls[stage]);
    }
    return code;
}

static int open_all(check *k, ng_model **model)
{
    explain_job *j = k->j;
    const settings *s = j->s;
    int rest, code = read_methods(j);
    if (code == EXIT_DONE)
        code = read_fitting(s, &j->fit);
    if (code == EXIT_DONE)
        code = open_model(s, model, &rest);
    if (code != EXIT_DONE)
        return code;
    ng_error err;
    j->model = *model;
    ng_model_describe(*model, &j->info);
    ng_render_opts_init(&j->render);
    j->against = -1;
    j->map_threads = s->threads > 0 ? s->threads : 1;
    if (s->target && ng_target_find(s->target, &j->target, &err) != NG_OK) {
        complain("--target: %s", err.text);
        return EXIT_USAGE;
    }
    if (s->classes && ng_model_find_class(*model, s->classes, &j->classes[0], &err) != NG_OK) {
        complain("--class: %s", err.text);
        return EXIT_USAGE;
    }
    j->n_classes = s->classes != NULL;
    code = find_inputs(s, rest, NULL, &j->in);
    if (code == EXIT_DONE)
        code = make_views(j);
    if (code == EXIT_DONE && s->baseline)
        code = read_baseline(j);
    if (code == EXIT_DONE)
        code = open_for_views(j, false, &k->session);
    for (int i = 0; i < STAGES && code == EXIT_DONE; i++)
        code = open_stage(k, i);
    return code;
}

static int check_images(check *k)
{
    explain_job *j = k->j;
    progress bar;
    int failed = 0;
    progress_begin(&bar, "images", j->in.count, !j->s->quiet);
    catch_interrupts(true);
    for (int i = 0; i < j->in.count && !interrupted; i++) {
        ng_error err = {0};
        ng_status status = check_image(k, j->in.paths[i], &err);
        if (status != NG_OK && !interrupted) {
            complain("%s: %s", j->in.paths[i], err.text);
            failed++;
        }
        progress_show(&bar, i + 1);
    }
    catch_interrupts(false);
    progress_end(&bar);
    if (interrupted)
        return EXIT_INTERRUPTED;
    int code = report(k);
    return code == EXIT_DONE && failed ? EXIT_SOME_FAILED : code;
}

int run_sanity(const settings *s)
{
    check *k = calloc(1, sizeof *k);
    explain_job *j = calloc(1, sizeof *j);
    ng_model *model = NULL;
    if (!k || !j) {
        free(k);
        free(j);
        return say_out_of_memory();
    }
    k->j = j;
    j->s = s;
    int code = open_all(k, &model);
    if (code == EXIT_DONE)
        code = check_images(k);
    for (int i = 0; i < STAGES; i++) {
        ng_session_free(k->controls[i]);
        ng_model_free(k->control_models[i]);
    }
    ng_session_free(k->session);
    free_views(j);
    free(j->baseline);
    inputs_clear(&j->in);
    ng_model_free(model);
    free(j);
    free(k);
    return code;
}
