/* report.json and predictions.csv, and the order in which all is written: the page last, so that where it is the rest is. */
#include "report/html.h"

#include <math.h>
#include <stdio.h>

/* ---- JSON -------------------------------------------------------------------------------------- */

static void put_key(ngi_page *p, const char *name)
{
    ngi_putf(p, "\"%s\": ", name);
}

static void put_value(ngi_page *p, const char *name, double value)
{
    put_key(p, name);
    ngi_put_number(p, value);
    ngi_put(p, ", ");
}

void ngi_json_interval(ngi_page *p, const char *name, ngi_interval i)
{
    put_key(p, name);
    ngi_put(p, "{\"value\": ");
    ngi_put_number(p, i.value);
    ngi_put(p, ", \"low\": ");
    ngi_put_number(p, i.low);
    ngi_put(p, ", \"high\": ");
    ngi_put_number(p, i.high);
    ngi_put(p, "}");
}

static void put_interval(ngi_page *p, const char *name, ngi_interval i)
{
    ngi_json_interval(p, name, i);
    ngi_put(p, ", ");
}

void ngi_json_facts(ngi_page *p, const ngi_report *r)
{
    ngi_put(p, "{");
    for (int i = 0; i < r->n_facts; i++) {
        ngi_putf(p, "%s\n    \"%s\": ", i ? "," : "", r->facts[i].name);
        ngi_put_json(p, r->facts[i].value);
    }
    ngi_put(p, "\n  }");
}

static void put_bins(ngi_page *p, const char *name, const ngi_reliability *r)
{
    put_key(p, name);
    ngi_put(p, "{");
    put_value(p, "ece", r->ece);
    put_value(p, "mce", r->mce);
    ngi_put(p, "\"bins\": [");
    for (int b = 0; b < r->n_bins; b++) {
        const ngi_bin *bin = &r->bins[b];
        ngi_putf(p, "%s\n    {\"n\": %lld, \"right\": %lld, ", b ? "," : "", (long long)bin->n,
                 (long long)bin->hits);
        put_value(p, "low", bin->low);
        put_value(p, "high", bin->high);
        ngi_put(p, "\"confidence\": ");
        ngi_put_number(p, bin->confidence);
        ngi_put(p, "}");
    }
    ngi_put(p, "]}");
}

static void put_calibration(ngi_page *p, const ngi_report *r)
{
    ngi_put(p, "  \"calibration\": {");
    put_interval(p, "temperature", r->temperature.t);
    ngi_putf(p, "\"temperature_bounded\": %s, \"fitted_on\": ", r->temperature.bounded ? "true" : "false");
    ngi_put_json(p, r->fitted_on);
    ngi_put(p, ", ");
    put_value(p, "log_loss_scaled", r->loss_scaled);
    const char *const names[] = {"equal_mass", "equal_mass_scaled", "equal_width", "equal_width_scaled"};
    const ngi_reliability *const bins[] = {&r->mass[0], &r->mass[1], &r->width[0], &r->width[1]};
    for (int i = 0; i < 4; i++) {
        put_bins(p, names[i], bins[i]);
        ngi_put(p, i < 3 ? ",\n   " : "},\n");
    }
}

static void put_classes(ngi_page *p, const ngi_report *r)
{
    int k = r->scores.k;
    ngi_put(p, "  \"classes\": [");
    for (int c = 0; c < k; c++) {
        const ngi_class_figures *f = &r->figures.classes[c];
        ngi_putf(p, "%s\n    {\"label\": ", c ? "," : "");
        ngi_put_json(p, r->labels[c]);
        ngi_putf(p, ", \"images\": %lld, \"predicted\": %lld, ", (long long)f->images,
                 (long long)f->predicted);
        put_interval(p, "precision", f->precision);
        put_interval(p, "recall", f->recall);
        put_interval(p, "f1", f->f1);
        put_interval(p, "auc", f->auc);
        ngi_putf(p, "\"hits\": %lld}", (long long)f->hits);
    }
    ngi_put(p, "\n  ],\n");
    if (!r->figures.confusion)
        return;
    ngi_put(p, "  \"confusion\": [");
    for (int t = 0; t < k; t++) {
        ngi_putf(p, "%s\n    [", t ? "," : "");
        for (int c = 0; c < k; c++)
            ngi_putf(p, "%s%lld", c ? ", " : "", (long long)r->figures.confusion[(int64_t)t * k + c]);
        ngi_put(p, "]");
    }
    ngi_put(p, "\n  ],\n");
}

static void put_paths(ngi_page *p, const ngi_report *r, const char *name, const ngi_exhibit_list *list)
{
    ngi_putf(p, "  \"%s\": [", name);
    for (int64_t i = 0; i < list->n; i++) {
        ngi_put(p, i ? ", " : "");
        ngi_put_json(p, r->data->items[r->items[r->exhibits[list->at[i]].image]].path);
    }
    ngi_put(p, "],\n");
}

void ngi_report_json(const ngi_report *r, ngi_page *p)
{
    const ngi_classification *f = &r->figures;
    ngi_put(p, "{\n  \"title\": ");
    ngi_put_json(p, r->title);
    ngi_putf(p,
             ",\n  \"split\": \"%s\", \"images\": %lld, \"right\": %lld, \"unreadable\": %lld, \"gone\": "
             "%lld,\n  ",
             r->split, (long long)r->n, (long long)f->right, (long long)r->n_unread, (long long)r->n_gone);
    put_interval(p, "accuracy", f->accuracy);
    put_interval(p, "balanced_accuracy", f->balanced_accuracy);
    put_interval(p, "macro_f1", f->macro_f1);
    put_value(p, "macro_auc", f->macro_auc);
    put_interval(p, "log_loss", f->log_loss);
    put_interval(p, "brier", f->brier);
    if (r->energy)
        put_interval(p, "energy_in_mask", r->energy_mean);
    ngi_putf(p, "\"confidence\": %g, \"bootstrap\": %d,\n", r->confidence, r->resamples);
    put_calibration(p, r);
    put_classes(p, r);
    put_paths(p, r, "greatest_losses", &r->losses);
    put_paths(p, r, "right_for_the_wrong_place", &r->misplaced);
    ngi_put(p, "  \"unread\": [");
    for (int64_t i = 0; i < r->n_unread; i++) {
        ngi_put(p, i ? ", " : "");
        ngi_put_json(p, r->unread[i].reason);
    }
    ngi_put(p, "],\n  \"facts\": ");
    ngi_json_facts(p, r);
    ngi_put(p, "\n}\n");
}

/* ---- CSV --------------------------------------------------------------------------------------- */

/* The labels of an image that has several, or those that the model says. */
static void put_labels(ngi_page *p, const ngi_report *r, int64_t image, bool said)
{
    ngi_page joined = {0};
    for (int c = 0; c < r->scores.k; c++) {
        int64_t at = image * r->scores.k + c;
        if (said ? r->scores.logits[at] > 0 : r->scores.label[at] != 0) {
            ngi_put(&joined, joined.text.size ? "|" : "");
            ngi_put(&joined, r->labels[c]);
        }
    }
    ngi_put_csv(p, joined.text.data ? joined.text.data : "");
    if (joined.status != NG_OK && p->status == NG_OK) {
        p->status = joined.status;
        p->error = joined.error;
    }
    ngi_page_clear(&joined);
}

void ngi_csv_truth(ngi_page *p, const ngi_report *r, int64_t image)
{
    if (r->scores.label)
        put_labels(p, r, image, false);
    else
        ngi_put_csv(p, r->labels[r->scores.truth[image]]);
}

void ngi_csv_said(ngi_page *p, const ngi_report *r, int64_t image)
{
    if (r->scores.label)
        put_labels(p, r, image, true);
    else
        ngi_put_csv(p, r->labels[r->figures.predicted[image]]);
}

static void put_row(ngi_page *p, const ngi_report *r, int64_t i, double *probabilities)
{
    const ngi_data_item *item = &r->data->items[r->items[i]];
    const float *z = r->scores.logits + i * r->scores.k;
    int best = r->figures.predicted[i];
    if (r->scores.label)
        for (int c = 0; c < r->scores.k; c++)
            probabilities[c] = ngi_sigmoid(z[c]);
    else
        ngi_softmax(z, r->scores.k, 1, probabilities);
    ngi_put_csv(p, item->path);
    ngi_putf(p, ",%s,", r->data->given_splits ? ngi_split_name(item->split) : "");
    ngi_csv_truth(p, r, i);
    ngi_put(p, ",");
    ngi_csv_said(p, r, i);
    ngi_putf(p, ",%d,%.9g,%.9g,", ngi_report_right(r, i), probabilities[best], r->figures.loss[i]);
    if (r->energy && !isnan(r->energy[i]))
        ngi_putf(p, "%.9g", r->energy[i]);
    for (int c = 0; c < r->scores.k; c++)
        ngi_putf(p, ",%.9g", probabilities[c]);
    ngi_put(p, "\n");
}

static void put_csv(const ngi_report *r, ngi_page *p)
{
    double *probabilities = ngi_alloc((size_t)r->scores.k, sizeof *probabilities);
    if (!probabilities) {
        p->status = ngi_fail_memory(&p->error, (size_t)r->scores.k * sizeof *probabilities);
        return;
    }
    ngi_put(p, "path,split,label,predicted,right,probability,loss,energy_in_mask");
    for (int c = 0; c < r->scores.k; c++) {
        ngi_put(p, ",");
        ngi_page name = {0};
        ngi_put(&name, "p ");
        ngi_put(&name, r->labels[c]);
        ngi_put_csv(p, name.text.data ? name.text.data : "");
        ngi_page_clear(&name);
    }
    ngi_put(p, "\n");
    for (int64_t i = 0; i < r->n; i++)
        put_row(p, r, i, probabilities);
    ngi_free(probabilities);
}

/* ---- All --------------------------------------------------------------------------------------- */

ng_status ngi_report_save(const ngi_report *r, const char *folder, ng_error *err)
{
    void (*const write[])(const ngi_report *, ngi_page *) = {put_csv, ngi_report_json, ngi_report_html};
    const char *const names[] = {"predictions.csv", "report.json", "report.html"};
    for (int i = 0; i < 3; i++) {
        ngi_page page = {0};
        write[i](r, &page);
        ng_status status = ngi_page_save(&page, folder, names[i], err);
        ngi_page_clear(&page);
        NGI_TRY(status);
    }
    return NG_OK;
}
