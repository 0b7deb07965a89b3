/* report.html: what was found in a sentence each, the figures, the images, the facts. */
#include "report/html.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- What stands at the top -------------------------------------------------------------------- */

static void put_heading(ngi_page *p, const ngi_report *r)
{
    ngi_put(p, "<header>\n<p class=\"kicker\">Where it looks, and whether it is right</p>\n<h1>");
    ngi_put_html(p, r->title);
    ngi_putf(p, "</h1>\n<p class=\"lede\">Judged on %lld images of %d classes, ", (long long)r->n,
             r->scores.k);
    if (strcmp(r->split, "all") == 0)
        ngi_put(p, "all there are.</p>\n");
    else
        ngi_putf(p, "those of the split <b>%s</b>.</p>\n", r->split);
}

static void put_most_confused(ngi_page *p, const ngi_report *r)
{
    int64_t most = 0, cells = r->figures.confusion ? (int64_t)r->scores.k * r->scores.k : 0, at = 0;
    for (int64_t i = 0; i < cells; i++)
        if (i / r->scores.k != i % r->scores.k && r->figures.confusion[i] > most) {
            most = r->figures.confusion[i];
            at = i;
        }
    if (!most)
        return;
    ngi_put(p, "<li>Most often confused: <b>");
    ngi_put_html(p, r->labels[at / r->scores.k]);
    ngi_put(p, "</b> taken for <b>");
    ngi_put_html(p, r->labels[at % r->scores.k]);
    ngi_putf(p, "</b>, %lld of %lld images.</li>\n", (long long)most,
             (long long)r->figures.classes[at / r->scores.k].images);
}

static void put_weakest(ngi_page *p, const ngi_report *r)
{
    int weakest = -1;
    for (int c = 0; c < r->scores.k; c++) {
        const ngi_class_figures *f = r->figures.classes;
        if (f[c].images && (weakest < 0 || f[c].recall.value < f[weakest].recall.value))
            weakest = c;
    }
    if (weakest < 0 || r->figures.classes[weakest].recall.value >= 1)
        return;
    const ngi_class_figures *f = &r->figures.classes[weakest];
    ngi_put(p, "<li>Hardest class: <b>");
    ngi_put_html(p, r->labels[weakest]);
    ngi_putf(p, "</b>, %lld of %lld images are recognised.</li>\n", (long long)f->hits, (long long)f->images);
}

static void put_confidence(ngi_page *p, const ngi_report *r)
{
    double sure = 0, n = 0;
    for (int b = 0; b < r->mass[0].n_bins; b++)
        if (r->mass[0].bins[b].n) {
            sure += r->mass[0].bins[b].confidence * (double)r->mass[0].bins[b].n;
            n += (double)r->mass[0].bins[b].n;
        }
    double t = r->temperature.t.value;
    if (r->temperature.bounded || r->scores.label)
        ngi_putf(p, "<li>It is off by %.1f %% between how sure it is and how often it is right.</li>\n",
                 100 * r->mass[0].ece);
    else
        ngi_putf(p,
                 "<li>It is %.1f %% sure on average and right %.1f %% of the time: %s. Logits divided by "
                 "%.2f, fitted "
                 "on %s, %s the calibration error from %.1f to %.1f %%.</li>\n",
                 100 * sure / n, 100 * r->figures.accuracy.value,
                 t > 1.05   ? "too sure"
                 : t < 0.95 ? "not sure enough"
                            : "as sure as it should be",
                 t, r->fitted_on, r->mass[1].ece < r->mass[0].ece ? "bring" : "move", 100 * r->mass[0].ece,
                 100 * r->mass[1].ece);
}

static void put_places(ngi_page *p, const ngi_report *r)
{
    if (!r->energy || isnan(r->energy_mean.value))
        return;
    ngi_putf(p,
             "<li%s>%.1f %% of its heatmaps is on the object (%.1f to %.1f %%), which fills %.1f %% of the "
             "pictures",
             r->misplaced.n ? " class=\"warn\"" : "", 100 * r->energy_mean.value, 100 * r->energy_mean.low,
             100 * r->energy_mean.high, 100 * r->area_mean);
    int64_t n = 0;
    for (int64_t i = 0; i < r->n; i++)
        n += r->energy[i] < 0.5 && ngi_report_right(r, i);
    if (n)
        ngi_putf(p, "; <a href=\"#places\">%lld right answer%s</a> come from mostly elsewhere", (long long)n,
                 n == 1 ? "" : "s");
    ngi_put(p, ".</li>\n");
}

static void put_hero(ngi_page *p, const ngi_report *r)
{
    ngi_interval a = r->figures.accuracy;
    ngi_put(p, "<div class=\"hero\"><div><div class=\"big\">");
    ngi_putf(p, "%.1f<span>%%</span></div>", 100 * a.value);
    ngi_chart_interval(p, a);
    ngi_putf(p, "<p class=\"soft\">%s<br><small>%.0f %% interval: %.1f to %.1f %%</small></p></div>\n<ul>\n",
             r->scores.label ? "of images with every label right" : "accuracy", 100 * r->confidence,
             100 * a.low, 100 * a.high);
    ngi_putf(p, "<li>Right on <b>%lld</b> of <b>%lld</b> images.</li>\n", (long long)r->figures.right,
             (long long)r->n);
    put_most_confused(p, r);
    put_weakest(p, r);
    put_confidence(p, r);
    put_places(p, r);
    if (r->n_unread)
        ngi_putf(p, "<li class=\"warn\"><a href=\"#unread\">%lld image%s</a> could not be read.</li>\n",
                 (long long)r->n_unread, r->n_unread == 1 ? "" : "s");
    if (r->n_gone)
        ngi_putf(p, "<li class=\"warn\">%lld image%s could be judged, but not read again to be shown.</li>\n",
                 (long long)r->n_gone, r->n_gone == 1 ? "" : "s");
    ngi_put(p, "</ul></div>\n");
}

static void put_tile(ngi_page *p, const char *name, ngi_interval i, bool percent)
{
    ngi_putf(p, "<div><dt>%s</dt><dd><span class=\"v\">", name);
    if (percent || isnan(i.value))
        ngi_put_percent(p, i.value);
    else
        ngi_putf(p, "%.3f", i.value);
    ngi_put(p, "</span> ");
    ngi_put_range(p, i, percent);
    if (percent)
        ngi_chart_interval(p, i);
    ngi_put(p, "</dd></div>\n");
}

static ngi_interval alone(double value)
{
    return (ngi_interval){value, NAN, NAN};
}

static void put_tiles(ngi_page *p, const ngi_report *r)
{
    const ngi_classification *f = &r->figures;
    ngi_put(p, "<dl class=\"tiles\">\n");
    put_tile(p, "Balanced accuracy", f->balanced_accuracy, true);
    put_tile(p, "F1, mean of classes", f->macro_f1, true);
    put_tile(p, "AUC, mean of classes", alone(f->macro_auc), false);
    put_tile(p, "Log loss", f->log_loss, false);
    put_tile(p, "Brier score", f->brier, false);
    put_tile(p, "Calibration error", alone(r->mass[0].ece), true);
    if (!r->temperature.bounded)
        put_tile(p, "Temperature", r->temperature.t, false);
    if (r->energy)
        put_tile(p, "Map on the object", r->energy_mean, true);
    ngi_put(p, "</dl>\n</header>\n");
}

static void put_navigation(ngi_page *p, const ngi_report *r)
{
    ngi_put(p, "<div class=\"bar\"><div><nav aria-label=\"Sections\">");
    if (r->figures.confusion)
        ngi_put(p, "<a href=\"#confusion\">Confusions</a>");
    ngi_put(p, "<a href=\"#classes\">Classes</a><a href=\"#calibration\">Calibration</a>");
    if (r->losses.n)
        ngi_put(p, "<a href=\"#losses\">Greatest losses</a>");
    if (r->mistakes.n)
        ngi_put(p, "<a href=\"#mistakes\">Mistakes</a>");
    if (r->energy)
        ngi_put(p, "<a href=\"#places\">Wrong place</a>");
    if (r->surest.n)
        ngi_put(p, "<a href=\"#surest\">Sure and right</a>");
    ngi_put(p, "<a href=\"#facts\">How it was made</a></nav>\n");
    if (r->method && *r->method)
        ngi_html_controls(p, r->colormap);
    ngi_put(p, "</div></div>\n");
}

/* ---- Sections ---------------------------------------------------------------------------------- */

void ngi_html_section(ngi_page *p, const char *id, const char *title, const char *text)
{
    ngi_putf(
        p, "<section id=\"%s\" aria-labelledby=\"%s-h\"><h2 id=\"%s-h\">%s</h2>\n<p class=\"soft\">%s</p>\n",
        id, id, id, title, text);
}

static void put_calibration(ngi_page *p, const ngi_report *r)
{
    ngi_html_section(
        p, "calibration", "Is it as often right as it says?",
        "Points on the dashed line are. Each point stands for as many predictions as the others, with the "
        "interval of the share that is right; the bars behind them say how many predictions there are of "
        "each confidence.");
    ngi_put(p, "<div class=\"charts\">\n");
    ngi_chart_reliability(p, &r->mass[0], &r->width[0], "As it is");
    char title[64];
    snprintf(title, sizeof title, "Logits divided by %.2f", r->temperature.t.value);
    if (!r->temperature.bounded)
        ngi_chart_reliability(p, &r->mass[1], &r->width[1], title);
    ngi_put(p, "</div>\n");
    if (r->temperature.bounded)
        ngi_putf(p, "<p>No temperature was fitted: the likelihood on %s still rises at %g.</p>\n",
                 r->fitted_on, r->temperature.t.value);
    else
        ngi_putf(p,
                 "<p>The temperature %.3f (%.3f to %.3f) makes the answers on %s most likely%s; the log loss "
                 "goes from "
                 "%.3f to %.3f. It changes no prediction.</p>\n",
                 r->temperature.t.value, r->temperature.t.low, r->temperature.t.high, r->fitted_on,
                 strcmp(r->fitted_on, "the same images") == 0
                     ? ", which are those it is judged on, so that it looks better than it is"
                     : "",
                 r->figures.log_loss.value, r->loss_scaled);
    ngi_put(p, "</section>\n");
}

static void put_galleries(ngi_page *p, const ngi_report *r, bool *shown)
{
    if (r->losses.n) {
        ngi_html_section(
            p, "losses", "Greatest losses",
            "The images the model is most wrong about, or least sure of: mislabelled ones are found here "
            "first. On the left what speaks for its answer, on the right for the true one. Point at a "
            "picture to see it without its heatmap.");
        ngi_gallery_losses(p, r, shown);
        ngi_put(p, "</section>\n");
    }
    if (r->mistakes.n) {
        ngi_html_section(
            p, "mistakes", "Mistakes by class",
            "For every class the images it is missed in and what they are taken for, the surest mistakes "
            "first.");
        ngi_gallery_mistakes(p, r, shown);
        ngi_put(p, "</section>\n");
    }
    if (r->energy) {
        ngi_html_section(
            p, "places", "Right for the wrong place",
            "Right answers whose map lies less than half within the object's mask or box, the outline "
            "in the pictures. The background, or a mark, may be what the model learnt.");
        ngi_put(p, "<div class=\"charts\">");
        ngi_chart_shares(p, r);
        ngi_put(p, "</div>\n");
        if (r->misplaced.n)
            ngi_gallery_misplaced(p, r, shown);
        else
            ngi_put(p, "<p>There are none.</p>\n");
        ngi_put(p, "</section>\n");
    }
    if (r->surest.n) {
        ngi_html_section(p, "surest", "Sure and right",
                         "What each class looks like to the model at its best.");
        ngi_gallery_surest(p, r, shown);
        ngi_put(p, "</section>\n");
    }
}

static void put_unread(ngi_page *p, const ngi_report *r)
{
    enum { MOST = 200 };
    if (!r->n_unread)
        return;
    ngi_put(p, "<section id=\"unread\"><h3>Images that could not be read</h3>\n<ul>\n");
    for (int64_t i = 0; i < r->n_unread && i < MOST; i++) {
        ngi_put(p, "<li><code>");
        ngi_put_html(p, r->unread[i].reason);
        ngi_put(p, "</code></li>\n");
    }
    if (r->n_unread > MOST)
        ngi_putf(p, "<li>and %lld more</li>\n", (long long)(r->n_unread - MOST));
    ngi_put(p, "</ul></section>\n");
}

void ngi_html_facts(ngi_page *p, const ngi_report *r)
{
    ngi_put(p, "<dl class=\"facts\">\n");
    for (int i = 0; i < r->n_facts; i++) {
        bool code = strcmp(r->facts[i].name, "Command") == 0;
        ngi_putf(p, "<dt>%s</dt><dd>%s", r->facts[i].name, code ? "<code>" : "");
        ngi_put_html(p, r->facts[i].value);
        ngi_putf(p, "%s</dd>\n", code ? "</code>" : "");
    }
    ngi_put(p, "</dl>\n");
}

static void put_facts(ngi_page *p, const ngi_report *r)
{
    ngi_html_section(p, "facts", "How it was made", "Everything needed to make this page again.");
    ngi_html_facts(p, r);
    put_unread(p, r);
    ngi_putf(p,
             "<details><summary>How the figures are worked out</summary><p>Formulas are those of "
             "scikit-learn. Intervals "
             "hold %.0f %%: Wilson's for accuracy, precision and recall; DeLong's for AUC; percentiles of %d "
             "bootstrap "
             "samples of the images for balanced accuracy, F1, log loss and Brier score%s. AUC ranks by the "
             "log odds of "
             "the class, ties count half. The Brier score is the %s over the classes. Bins of equal mass "
             "hold equally "
             "many predictions, %d in all; the temperature is that of the greatest likelihood.</p>",
             100 * r->confidence, r->resamples, r->energy ? " and the share of the map on the object" : "",
             r->scores.label ? "mean" : "sum", r->bins);
    if (r->energy)
        ngi_put(
            p,
            "<p>The share of the map on the object is the sum of the heatmap within the mask or box over its "
            "whole sum, both at the network's input size: relevance mass accuracy.</p>");
    ngi_put(p, "</details>\n</section>\n");
}

void ngi_report_html(const ngi_report *r, ngi_page *p)
{
    bool *shown = ngi_alloc_zero((size_t)r->n_exhibits * 3, sizeof *shown);
    if (!shown) {
        p->status = ngi_fail_memory(&p->error, (size_t)r->n_exhibits * 3);
        return;
    }
    ngi_html_begin(p, r->title);
    put_heading(p, r);
    put_hero(p, r);
    put_tiles(p, r);
    put_navigation(p, r);
    ngi_put(p, "<main id=\"main\">\n");
    if (r->figures.confusion) {
        ngi_html_section(p, "confusion", "What is taken for what",
                         "Rows: what the images are. Columns: what the model says. The share is that of the "
                         "row. A coloured "
                         "cell leads to its images.");
        ngi_table_confusion(p, r);
        ngi_put(p, "</section>\n");
    }
    ngi_html_section(
        p, "classes", "Class by class",
        "Precision: how many of the images said to be of the class are. Recall: how many of its images are "
        "found. AUC: how often an image of the class is scored above one of another. The bars run from 0 to "
        "1.");
    ngi_table_classes(p, r);
    ngi_put(p, "</section>\n");
    put_calibration(p, r);
    put_galleries(p, r, shown);
    put_facts(p, r);
    ngi_putf(p, "</main>\n<footer>netgaze %s</footer>\n", ng_version());
    ngi_html_end(p);
    ngi_free(shown);
}
