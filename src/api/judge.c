/* A model judged on a data set: which images, which classes, what to explain with; then scores and figures. */
#include "api/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEAST_IN_BIN = 10 }; /* images, of a bin of equal mass: fewer bins where there are few */

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

int64_t ngi_split_count(const ngi_dataset *d, ngi_split split)
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
        *out = ngi_split_count(d, NGI_SPLIT_TEST)  ? NGI_SPLIT_TEST
               : ngi_split_count(d, NGI_SPLIT_VAL) ? NGI_SPLIT_VAL
                                                   : -1;
    if (!name || strcmp(name, "all") == 0)
        return NG_OK;
    for (int s = 0; s < NGI_SPLIT_COUNT; s++)
        if (strcmp(name, ngi_split_name((ngi_split)s)) == 0)
            *out = s;
    if (*out < 0)
        return ngi_fail(err, NG_E_ARGUMENT, "split '%s': expected train, val, test or all", name);
    if (!ngi_split_count(d, (ngi_split)*out))
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

static int64_t list_items(const ngi_judging *e, int split, int64_t *order)
{
    int64_t n = 0;
    for (int64_t i = 0; i < e->data->n_items; i++)
        if (split < 0 || (int)e->data->items[i].split == split)
            order[n++] = i;
    return n;
}

static ng_status name_classes(ngi_judging *e, ng_error *err)
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
static ng_status score_split(ngi_judging *e, int split, bool places, ngi_scored *s, ng_error *err)
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

static ng_status take_scores(ngi_judging *e, ng_error *err)
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
static ng_status fit_temperature(ngi_judging *e, ng_error *err)
{
    ngi_report *r = &e->r;
    bool other = e->split != NGI_SPLIT_VAL && e->split >= 0 && ngi_split_count(e->data, NGI_SPLIT_VAL) > 0;
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

ng_status ngi_mean_interval(const double *values, int64_t n, const ng_evaluate_opts *o, ngi_interval *out,
                            ng_error *err)
{
    ng_mean mean;
    NGI_TRY(ng_mean_bootstrap(values, NULL, n, o->confidence, o->resamples > 0 ? o->resamples : 1, o->seed,
                              &mean, err));
    *out = (ngi_interval){mean.value, o->resamples ? mean.low : NAN, o->resamples ? mean.high : NAN};
    return NG_OK;
}

/* The mean share of the map on the object, and of the object in the picture. */
static ng_status judge_places(ngi_report *r, const ng_evaluate_opts *o, ng_error *err)
{
    r->energy_mean = ngi_undefined;
    r->area_mean = NAN;
    if (!r->energy)
        return NG_OK;
    ng_mean area;
    NGI_TRY(ngi_mean_interval(r->energy, r->n, o, &r->energy_mean, err));
    NGI_TRY(ng_mean_bootstrap(r->area, NULL, r->n, o->confidence, 1, o->seed, &area, err));
    r->area_mean = area.value;
    return NG_OK;
}

static ng_status judge(ngi_judging *e, ng_error *err)
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

/* ---- The whole --------------------------------------------------------------------------------- */

ng_status ngi_judging_open(ngi_judging *e, ng_error *err)
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

ng_status ngi_judge(ngi_judging *j, ng_error *err)
{
    NGI_TRY(take_scores(j, err));
    return judge(j, err);
}

void ngi_judging_clear(ngi_judging *j)
{
    ngi_report_clear(&j->r);
    ng_session_free(j->session);
    ngi_free(j->class_of);
    *j = (ngi_judging){0};
}
