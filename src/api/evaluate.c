/* ng_evaluate: which images, which classes, what to explain with; then scores, figures, pictures, pages. */
#include "api/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_IN_BIN = 10 }; /* images, of a bin of equal mass: fewer bins where there are few */

void ng_evaluate_opts_init(ng_evaluate_opts *opts)
{
    *opts = (ng_evaluate_opts){.struct_size = sizeof *opts,
                               .layer = -1,
                               .fit = NG_FIT_SQUASH,
                               .resample = NG_RESAMPLE_PIL_BILINEAR,
                               .pictures = 24,
                               .bins = 12,
                               .confidence = 0.95,
                               .resamples = 1000,
                               .threads = 1,
                               .batch = 1};
}

static ng_status check_options(const ng_evaluate_opts *o, ng_error *err)
{
    if (o->pictures < 0 || o->pictures > 1000 || o->bins < 1 || o->bins > NGI_MAX_BINS || o->resamples < 0 ||
        o->resamples > 1000000 || !(o->confidence > 0 && o->confidence < 1) || o->batch < 1 ||
        o->batch > 256 || o->threads > 256)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "evaluating with %d pictures, %d bins, %d resamples, confidence %g, batch %d: expected up to "
            "1000, 1 to %d, up to 1000000, between 0 and 1, 1 to 256",
            o->pictures, o->bins, o->resamples, o->confidence, o->batch, NGI_MAX_BINS);
    return NG_OK;
}

/* ---- Classes ----------------------------------------------------------------------------------- */

static bool has_labels(const ng_model *model)
{
    return model->labels || model->file.labels;
}

static int find_label(const ng_model *model, const char *name)
{
    for (int i = 0; i < model->head.classes; i++)
        if (strcmp(ng_model_label(model, i), name) == 0)
            return i;
    return -1;
}

static ng_status refuse_class(const ng_model *model, const char *name, ng_error *err)
{
    char list[400] = "";
    size_t used = 0;
    for (int i = 0; i < model->head.classes && used < sizeof list - 1; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 ng_model_label(model, i));
    return ngi_fail(err, NG_E_ARGUMENT, "the data's class '%.200s' is none of the model's %d: %s%s", name,
                    model->head.classes, list, used >= sizeof list ? "..." : "");
}

ng_status ngi_match_classes(const ng_model *model, const ngi_dataset *data, int **out, ng_error *err)
{
    int n = data->n_classes, *map = ngi_alloc((size_t)n, sizeof *map);
    *out = NULL;
    if (!map)
        return ngi_fail_memory(err, (size_t)n * sizeof *map);
    bool by_order = !has_labels(model) && n == model->head.classes;
    ng_status status = NG_OK;
    if (!has_labels(model) && n != model->head.classes)
        status = ngi_fail(err, NG_E_ARGUMENT,
                          "the data has %d classes and the model %d without labels: name them with --labels",
                          n, model->head.classes);
    for (int i = 0; i < n && status == NG_OK; i++) {
        map[i] = by_order ? i : find_label(model, data->classes[i]);
        if (map[i] < 0)
            status = refuse_class(model, data->classes[i], err);
    }
    if (status == NG_OK)
        *out = map;
    else
        ngi_free(map);
    return status;
}

static bool is_multi_label(const ng_model *model)
{
    return model->head.activation == NGI_ACT_SIGMOID && !model->head.softmax && model->head.width > 1;
}

static ng_status check_kind(const ng_model *model, const ngi_dataset *data, ng_error *err)
{
    if (model->head.classes < 2)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "the model's output is one number without a sigmoid: it has no classes");
    if (data->multi_label && !is_multi_label(model))
        return ngi_fail(err, NG_E_ARGUMENT,
                        "the data has images with several labels, but the model chooses one class of %d",
                        model->head.classes);
    return NG_OK;
}

/* ---- Splits ------------------------------------------------------------------------------------ */

static int64_t count_split(const ngi_dataset *d, ngi_split split)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n_items; i++)
        n += d->items[i].split == split;
    return n;
}

/* The split of that name, -1 for all. */
static ng_status choose_split(const ngi_dataset *d, const char *name, int *out, ng_error *err)
{
    *out = -1;
    if (!name)
        *out = count_split(d, NGI_SPLIT_TEST)  ? NGI_SPLIT_TEST
               : count_split(d, NGI_SPLIT_VAL) ? NGI_SPLIT_VAL
                                               : -1;
    if (!name || strcmp(name, "all") == 0)
        return NG_OK;
    for (int s = 0; s < NGI_SPLIT_COUNT; s++)
        if (strcmp(name, ngi_split_name((ngi_split)s)) == 0)
            *out = s;
    if (*out < 0)
        return ngi_fail(err, NG_E_ARGUMENT, "split '%s': expected train, val, test or all", name);
    if (!count_split(d, (ngi_split)*out))
        return ngi_fail(err, NG_E_NOT_FOUND, "the data has no image in the split '%s'", name);
    return NG_OK;
}

/* ---- What to explain with ----------------------------------------------------------------------- */

ng_status ngi_view_choose(const ng_model *model, const char *method, const char *parameters, int layer,
                          ngi_view *out, ng_error *err)
{
    const char *name = method ? method : "gradcam";
    *out = (ngi_view){.method = "", .title = "", .parameters = parameters, .layer = -1, .forward_only = true};
    const ngi_method *m = ngi_method_find(name, err);
    if (!m)
        return NG_E_ARGUMENT;
    NGI_TRY(ng_method_check_parameters(name, parameters, err));
    int chosen = !m->info.at_layer ? ngi_attr_input_layer(model->graph)
                 : layer >= 0      ? layer
                                   : model->automatic_layer;
    if (chosen < 0 && method)
        return ngi_fail(err, NG_E_ARGUMENT, "the model has no spatial layer that %s could explain",
                        m->info.title);
    if (chosen < 0)
        return NG_OK;
    NGI_TRY(ng_method_check(model, name, chosen, err));
    out->method = m->info.name;
    out->title = m->info.title;
    out->layer = chosen;
    out->forward_only = !m->info.takes_gradient;
    return NG_OK;
}

static ng_status open_session(const ng_model *model, const ngi_view *view, const ng_evaluate_opts *o,
                              ng_session **out, ng_error *err)
{
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.batch = o->batch;
    opts.backend = o->backend;
    opts.forward_only = view->forward_only;
    if (*view->method) {
        opts.layers = &view->layer;
        opts.layer_count = 1;
    }
    return ng_session_create(model, &opts, out, err);
}

/* ---- Truth ------------------------------------------------------------------------------------- */

/* The classes of items [n] as scores want them; logits are taken over. */
static ng_status make_scores(const ngi_dataset *d, const int *class_of, bool labels, int k,
                             const int64_t *items, int64_t n, float *logits, ngi_scores *out, ng_error *err)
{
    *out = (ngi_scores){.n = n, .k = k, .logits = logits};
    int *truth = labels ? NULL : ngi_alloc((size_t)n, sizeof *truth);
    uint8_t *label = labels ? ngi_alloc_zero((size_t)n * (size_t)k, 1) : NULL;
    if (!truth && !label)
        return ngi_fail_memory(err, (size_t)n * (size_t)k);
    for (int64_t i = 0; i < n; i++) {
        const ngi_data_item *item = &d->items[items[i]];
        if (truth)
            truth[i] = class_of[item->class_index];
        for (int l = 0; label && l < (item->n_labels ? item->n_labels : 1); l++)
            label[i * k + class_of[item->n_labels ? item->labels[l] : item->class_index]] = 1;
    }
    out->truth = truth;
    out->label = label;
    return NG_OK;
}

static void free_scores(ngi_scores *s)
{
    ngi_free((void *)s->logits);
    ngi_free((void *)s->truth);
    ngi_free((void *)s->label);
    *s = (ngi_scores){0};
}

/* ---- One evaluation ----------------------------------------------------------------------------- */

typedef struct evaluating {
    const ng_model *model;
    const ngi_dataset *data;
    const char *name; /* of the data */
    const ng_evaluate_opts *o;
    ngi_view view;
    ng_session *session;
    int *class_of; /* [data classes] */
    int split;
    bool labels;
    ngi_report r;
} evaluating;

static int64_t list_items(const evaluating *e, int split, int64_t *order)
{
    int64_t n = 0;
    for (int64_t i = 0; i < e->data->n_items; i++)
        if (split < 0 || (int)e->data->items[i].split == split)
            order[n++] = i;
    return n;
}

static ng_status name_classes(evaluating *e, ng_error *err)
{
    int k = e->model->head.classes;
    e->r.scores.k = k; /* what there is to free */
    if (!(e->r.labels = ngi_alloc_zero((size_t)k, sizeof *e->r.labels)))
        return ngi_fail_memory(err, (size_t)k * sizeof *e->r.labels);
    for (int c = 0; c < k; c++) {
        const char *label = has_labels(e->model) ? ng_model_label(e->model, c) : e->data->classes[c];
        if (!(e->r.labels[c] = ngi_strdup(label)))
            return ngi_fail_memory(err, strlen(label) + 1);
    }
    return NG_OK;
}

/* Scores of a split; `s` is taken apart: the report takes what it needs. */
static ng_status score_split(evaluating *e, int split, bool places, ngi_scored *s, ng_error *err)
{
    int64_t *order = ngi_alloc((size_t)e->data->n_items, sizeof *order);
    if (!order)
        return ngi_fail_memory(err, (size_t)e->data->n_items * sizeof *order);
    int64_t n = list_items(e, split, order);
    ng_status status = ngi_score(e->model, e->data, order, n, &e->view, e->session, e->o, places, s, err);
    ngi_free(order);
    if (status == NG_OK && s->n == 0) {
        status = ngi_fail(err, NG_E_FORMAT, "none of the %lld images could be read; the first: %.700s",
                          (long long)n, s->n_unread ? s->unread[0].reason : "");
        ngi_scored_clear(s);
    }
    return status;
}

static ng_status take_scores(evaluating *e, ng_error *err)
{
    ngi_scored s;
    ngi_report *r = &e->r;
    bool places = *e->view.method && (e->data->has_masks || e->data->has_boxes);
    NGI_TRY(score_split(e, e->split, places, &s, err));
    ng_status status =
        make_scores(e->data, e->class_of, e->labels, r->scores.k, s.items, s.n, s.logits, &r->scores, err);
    s.logits = NULL; /* the report's now, with all below */
    r->n = s.n;
    r->items = s.items;
    r->energy = s.energy;
    r->area = s.area;
    r->unread = s.unread;
    r->n_unread = s.n_unread;
    return status;
}

/* The temperature that suits val best, or the judged images where these are all there is. */
static ng_status fit_temperature(evaluating *e, ng_error *err)
{
    ngi_report *r = &e->r;
    bool other = e->split != NGI_SPLIT_VAL && e->split >= 0 && count_split(e->data, NGI_SPLIT_VAL) > 0;
    r->fitted_on = other ? "val" : "the same images";
    if (!other) {
        r->temperature = ngi_temperature_fit(&r->scores, e->o->confidence);
        return NG_OK;
    }
    ngi_scored s;
    ngi_scores val = {0};
    NGI_TRY(score_split(e, NGI_SPLIT_VAL, false, &s, err));
    ng_status status =
        make_scores(e->data, e->class_of, e->labels, r->scores.k, s.items, s.n, s.logits, &val, err);
    s.logits = NULL;
    if (status == NG_OK)
        r->temperature = ngi_temperature_fit(&val, e->o->confidence);
    free_scores(&val);
    ngi_scored_clear(&s);
    return status;
}

/* The mean share of the map on the object, and of the object in the picture. */
static ng_status judge_places(ngi_report *r, const ng_evaluate_opts *o, ng_error *err)
{
    r->energy_mean = ngi_undefined;
    r->area_mean = NAN;
    if (!r->energy)
        return NG_OK;
    ng_mean energy, area;
    int resamples = o->resamples > 0 ? o->resamples : 1;
    NGI_TRY(ng_mean_bootstrap(r->energy, NULL, r->n, o->confidence, resamples, o->seed, &energy, err));
    NGI_TRY(ng_mean_bootstrap(r->area, NULL, r->n, o->confidence, 1, o->seed, &area, err));
    r->energy_mean = (ngi_interval){energy.value, energy.low, energy.high};
    r->area_mean = area.value;
    if (o->resamples == 0)
        r->energy_mean.low = r->energy_mean.high = NAN;
    return NG_OK;
}

static ng_status judge(evaluating *e, ng_error *err)
{
    ngi_report *r = &e->r;
    const ng_evaluate_opts *o = e->o;
    ngi_figure_opts opts = {.confidence = o->confidence, .resamples = o->resamples, .seed = o->seed};
    NGI_TRY(ngi_classification_judge(&r->scores, &opts, &r->figures, err));
    NGI_TRY(fit_temperature(e, err));
    int64_t most = r->n / LEAST_IN_BIN;
    int bins = most < 1 ? 1 : most < o->bins ? (int)most : o->bins; /* of equal mass */
    for (int i = 0; i < 2; i++) {
        double t = i && !r->temperature.bounded ? r->temperature.t.value : 1;
        NGI_TRY(ngi_reliability_judge(&r->scores, t, o->bins, false, o->confidence, &r->width[i], err));
        NGI_TRY(ngi_reliability_judge(&r->scores, t, bins, true, o->confidence, &r->mass[i], err));
    }
    r->bins = bins;
    r->loss_scaled = r->temperature.bounded ? NAN : ngi_log_loss(&r->scores, r->temperature.t.value);
    return judge_places(r, o, err);
}

/* ---- Facts ------------------------------------------------------------------------------------- */

static void add_fact(ngi_report *r, const char *name, char *value)
{
    if (value && r->n_facts < NGI_MAX_FACTS)
        r->facts[r->n_facts++] = (ngi_fact){name, value};
    else
        ngi_free(value);
}

/* Now, or what SOURCE_DATE_EPOCH says, for pages that are the same every time. */
static char *date_text(void)
{
    const char *given = getenv("SOURCE_DATE_EPOCH");
    time_t now = given ? (time_t)strtoll(given, NULL, 10) : time(NULL);
    struct tm utc;
    char text[64] = "";
    if (gmtime_r(&now, &utc))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc);
    return ngi_strdup(text);
}

static void add_facts(evaluating *e)
{
    ngi_report *r = &e->r;
    ng_model_info m;
    ng_build_info b;
    ng_layer_info layer = {.name = ""};
    ng_model_describe(e->model, &m);
    ng_build_describe(&b);
    const ng_preprocess_info *p = &m.preprocess;
    add_fact(r, "Model", ngi_strdup(m.path));
    add_fact(r, "Kind",
             ngi_sprintf("%s, %s%s%s, %lld parameters, %d outputs with %s", m.name, m.format,
                         *m.producer ? ", " : "", m.producer, (long long)m.parameter_count, m.output_count,
                         m.activation));
    add_fact(r, "Model hash", ngi_strdup(m.hash));
    add_fact(r, "Input",
             ngi_sprintf("%d x %d x %d, images fitted by %s with %s", m.input_height, m.input_width,
                         m.input_channels, ng_fit_name(e->o->fit), ng_resample_name(e->o->resample)));
    add_fact(r, "Preprocessing",
             ngi_sprintf("%s (from: %s); the first layer with weights sees %.4g to %.4g", p->mode, p->origin,
                         p->low, p->high));
    if (*e->view.method && ng_model_layer(e->model, e->view.layer, &layer, NULL) == NG_OK)
        add_fact(r, "Heatmaps",
                 ngi_sprintf("%s at %s%s%s", e->view.title, layer.name, e->view.parameters ? ", " : "",
                             e->view.parameters ? e->view.parameters : ""));
    add_fact(r, "Data",
             ngi_sprintf("%s: %lld images of %d classes; train %lld, val %lld, test %lld", e->name,
                         (long long)e->data->n_items, e->data->n_classes,
                         (long long)count_split(e->data, NGI_SPLIT_TRAIN),
                         (long long)count_split(e->data, NGI_SPLIT_VAL),
                         (long long)count_split(e->data, NGI_SPLIT_TEST)));
    add_fact(
        r, "Judged",
        ngi_sprintf("%lld images of %s, %lld unreadable", (long long)r->n, r->split, (long long)r->n_unread));
    add_fact(r, "Program",
             ngi_sprintf("netgaze %s (%s, %s), oneDNN %s, libvips %s", b.version, b.compiler, b.build_type,
                         b.onednn, b.vips));
    add_fact(r, "Machine", ngi_strdup(b.cpu));
    add_fact(r, "Written", date_text());
    if (e->o->command)
        add_fact(r, "Command", ngi_strdup(e->o->command));
}

/* ---- The whole --------------------------------------------------------------------------------- */

static ng_status prepare(evaluating *e, ng_error *err)
{
    const ng_evaluate_opts *o = e->o;
    NGI_TRY(check_options(o, err));
    NGI_TRY(check_kind(e->model, e->data, err));
    NGI_TRY(choose_split(e->data, o->split, &e->split, err));
    NGI_TRY(ngi_match_classes(e->model, e->data, &e->class_of, err));
    NGI_TRY(ngi_view_choose(e->model, o->method, o->parameters, o->layer, &e->view, err));
    NGI_TRY(open_session(e->model, &e->view, o, &e->session, err));
    e->labels = is_multi_label(e->model);
    e->r.data = e->data;
    e->r.title = o->title ? o->title : e->model->path;
    e->r.split = e->split < 0 ? "all" : ngi_split_name((ngi_split)e->split);
    e->r.method = e->view.title;
    e->r.colormap = o->colormap ? o->colormap : "turbo";
    e->r.confidence = o->confidence;
    e->r.resamples = o->resamples;
    return name_classes(e, err);
}

static ng_status evaluate(evaluating *e, const char *folder, ng_error *err)
{
    NGI_TRY(prepare(e, err));
    NGI_TRY(take_scores(e, err));
    NGI_TRY(judge(e, err));
    NGI_TRY(ngi_report_select(&e->r, e->o->pictures, err));
    NGI_TRY(ngi_exhibit_draw(e->model, &e->r, &e->view, e->session, e->o, err));
    add_facts(e);
    return ngi_report_save(&e->r, folder, err);
}

static ng_figure figure_of(ngi_interval i)
{
    return (ng_figure){i.value, i.low, i.high};
}

static void summarise(const ngi_report *r, ng_evaluation *out)
{
    const ngi_classification *f = &r->figures;
    *out =
        (ng_evaluation){.images = r->n,
                        .right = f->right,
                        .unreadable = r->n_unread,
                        .gone = r->n_gone,
                        .accuracy = figure_of(f->accuracy),
                        .balanced_accuracy = figure_of(f->balanced_accuracy),
                        .macro_f1 = figure_of(f->macro_f1),
                        .log_loss = figure_of(f->log_loss),
                        .brier = figure_of(f->brier),
                        .macro_auc = f->macro_auc,
                        .calibration_error = r->mass[0].ece,
                        .calibration_error_scaled = r->mass[1].ece,
                        .temperature = figure_of(r->temperature.bounded ? ngi_undefined : r->temperature.t),
                        .energy = figure_of(r->energy_mean)};
    snprintf(out->split, sizeof out->split, "%s", r->split);
}

ng_status ngi_evaluate(const ng_model *model, const ngi_dataset *data, const char *name, const char *folder,
                       const ng_evaluate_opts *opts, ng_evaluation *out, ng_error *err)
{
    ng_evaluate_opts defaults;
    ng_evaluate_opts_init(&defaults);
    if (out)
        *out = (ng_evaluation){0};
    evaluating *e = ngi_alloc_zero(1, sizeof *e);
    if (!e)
        return ngi_fail_memory(err, sizeof *e);
    e->model = model;
    e->data = data;
    e->name = name;
    e->o = opts ? opts : &defaults;
    ng_status status = evaluate(e, folder, err);
    if (status == NG_OK && out)
        summarise(&e->r, out);
    ngi_report_clear(&e->r);
    ng_session_free(e->session);
    ngi_free(e->class_of);
    ngi_free(e);
    return status;
}

ng_status ng_evaluate(const ng_model *model, const char *data, const char *folder,
                      const ng_evaluate_opts *opts, ng_evaluation *out, ng_error *err)
{
    ngi_dataset d;
    NGI_TRY(ngi_dataset_open(data, NULL, &d, err));
    ng_status status = ngi_evaluate(model, &d, data, folder, opts, out, err);
    ngi_dataset_clear(&d);
    return status;
}
