/* ng_evaluate: a model is judged, the pictures are drawn, the files written. */
#include "api/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

void ngi_judging_add_facts(ngi_judging *e)
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
                         (long long)ngi_split_count(e->data, NGI_SPLIT_TRAIN),
                         (long long)ngi_split_count(e->data, NGI_SPLIT_VAL),
                         (long long)ngi_split_count(e->data, NGI_SPLIT_TEST)));
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

static ng_status evaluate(ngi_judging *e, const char *folder, ng_error *err)
{
    NGI_TRY(ngi_judging_open(e, err));
    NGI_TRY(ngi_judge(e, err));
    NGI_TRY(ngi_report_select(&e->r, e->o->pictures, err));
    NGI_TRY(ngi_exhibit_draw(e->model, &e->r, &e->view, e->session, e->o, err));
    ngi_judging_add_facts(e);
    return ngi_report_save(&e->r, folder, err);
}

ng_figure ngi_figure_of(ngi_interval i)
{
    return (ng_figure){i.value, i.low, i.high};
}

static void summarise(const ngi_report *r, ng_evaluation *out)
{
    const ngi_classification *f = &r->figures;
    *out = (ng_evaluation){.images = r->n,
                           .right = f->right,
                           .unreadable = r->n_unread,
                           .gone = r->n_gone,
                           .accuracy = ngi_figure_of(f->accuracy),
                           .balanced_accuracy = ngi_figure_of(f->balanced_accuracy),
                           .macro_f1 = ngi_figure_of(f->macro_f1),
                           .log_loss = ngi_figure_of(f->log_loss),
                           .brier = ngi_figure_of(f->brier),
                           .macro_auc = f->macro_auc,
                           .calibration_error = r->mass[0].ece,
                           .calibration_error_scaled = r->mass[1].ece,
                           .temperature =
                               ngi_figure_of(r->temperature.bounded ? ngi_undefined : r->temperature.t),
                           .energy = ngi_figure_of(r->energy_mean)};
    snprintf(out->split, sizeof out->split, "%s", r->split);
}

ng_status ngi_evaluate(const ng_model *model, const ngi_dataset *data, const char *name, const char *folder,
                       const ng_evaluate_opts *opts, ng_evaluation *out, ng_error *err)
{
    ng_evaluate_opts defaults;
    ng_evaluate_opts_init(&defaults);
    if (out)
        *out = (ng_evaluation){0};
    ngi_judging *e = ngi_alloc_zero(1, sizeof *e);
    if (!e)
        return ngi_fail_memory(err, sizeof *e);
    e->model = model;
    e->data = data;
    e->name = name;
    e->o = opts ? opts : &defaults;
    ng_status status = evaluate(e, folder, err);
    if (status == NG_OK && out)
        summarise(&e->r, out);
    ngi_judging_clear(e);
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
