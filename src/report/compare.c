/* compare.html: which of two models is right more often, whether that can be chance, and where each looked in the images that
 * changed. */
#include "report/compare.h"

#include "report/html.h"

#include <math.h>
#include <string.h>

/* "0.03", "below 0.0001". */
static void put_p(ngi_page *p, double value)
{
    ngi_putf(p, value < 1e-4 ? "below 0.0001" : "%.2g", value);
}

/* "+4.2 points (-1.0 to +9.3)" */
static void put_change(ngi_page *p, ngi_interval i)
{
    ngi_putf(p, "%+.1f points", 100 * i.value);
    if (!isnan(i.low))
        ngi_putf(p, " (%+.1f to %+.1f)", 100 * i.low, 100 * i.high);
}

/* ---- What stands at the top -------------------------------------------------------------------- */

static void put_verdict(ngi_page *p, const ngi_comparison *c)
{
    int64_t gained = c->count[0][1], lost = c->count[1][0];
    ngi_putf(p,
             "<li>B is right on <b>%lld</b> images that A gets wrong, and wrong on <b>%lld</b> that A gets "
             "right.</li>\n",
             (long long)gained, (long long)lost);
    ngi_put(p, "<li>Accuracy ");
    put_change(p, c->accuracy_change);
    ngi_put(p, "; McNemar's exact test: p ");
    if (c->p >= 1e-4)
        ngi_put(p, "= ");
    put_p(p, c->p);
    bool chance = c->p >= 1 - c->of[0]->confidence;
    ngi_putf(p, ". %s</li>\n",
             chance ? "Such a difference is no surprise between two models that are equally good."
                    : "Two models that are equally good would rarely differ so much.");
}

static void put_places(ngi_page *p, const ngi_comparison *c)
{
    if (!c->placed)
        return;
    ngi_putf(p, "<li>On the object is %.1f %% of A's heatmaps and %.1f %% of B's: ", 100 * c->energy[0].value,
             100 * c->energy[1].value);
    put_change(p, c->energy_change);
    ngi_putf(p, ", on %lld images.</li>\n", (long long)c->placed);
}

static void put_hero(ngi_page *p, const ngi_comparison *c)
{
    ngi_put(p, "<div class=\"hero\">");
    for (int m = 0; m < 2; m++) {
        ngi_interval a = c->accuracy[m];
        ngi_putf(p, "<div><p class=\"kicker\">%c</p><div class=\"big\">%.1f<span>%%</span></div>", 'A' + m,
                 100 * a.value);
        ngi_chart_interval(p, a);
        ngi_putf(p, "<p class=\"soft\">right<br><small>%.0f %% interval: %.1f to %.1f %%</small></p></div>\n",
                 100 * c->of[m]->confidence, 100 * a.low, 100 * a.high);
    }
    ngi_put(p, "<ul>\n");
    put_verdict(p, c);
    put_places(p, c);
    for (int m = 0; m < 2; m++) {
        const ngi_report *r = c->of[m];
        if (r->n_unread)
            ngi_putf(p, "<li class=\"warn\">%lld image%s could not be judged by %c.</li>\n",
                     (long long)r->n_unread, r->n_unread == 1 ? "" : "s", 'A' + m);
    }
    if (ngi_comparison_gone(c))
        ngi_putf(p, "<li class=\"warn\">%lld image%s could be judged, but not read again to be shown.</li>\n",
                 (long long)ngi_comparison_gone(c), ngi_comparison_gone(c) == 1 ? "" : "s");
    ngi_put(p, "</ul></div>\n");
}

static void put_heading(ngi_page *p, const ngi_comparison *c)
{
    ngi_put(p, "<header>\n<p class=\"kicker\">Before and after</p>\n<h1>");
    ngi_put_html(p, c->title);
    ngi_putf(p, "</h1>\n<p class=\"lede\">Both models on the same %lld images of %d classes", (long long)c->n,
             c->of[0]->scores.k);
    if (strcmp(c->of[0]->split, "all") != 0)
        ngi_putf(p, ", those of the split <b>%s</b>", c->of[0]->split);
    for (int m = 0; m < 2; m++) {
        ngi_putf(p, "%s<b>%c</b>: ", m ? "<br>" : ".<br>", 'A' + m);
        ngi_put_html(p, c->of[m]->title);
    }
    ngi_put(p, "</p>\n");
    put_hero(p, c);
    ngi_put(p,
            "</header>\n<div class=\"bar\"><div><nav aria-label=\"Sections\"><a href=\"#counts\">Counts</a>"
            "<a href=\"#classes\">Classes</a>");
    if (c->fixed)
        ngi_put(p, "<a href=\"#fixed\">Wrong to right</a>");
    if (c->broken)
        ngi_put(p, "<a href=\"#broken\">Right to wrong</a>");
    ngi_put(p, "<a href=\"#facts\">How it was made</a></nav>\n");
    if (*c->of[0]->method)
        ngi_html_controls(p, c->of[0]->colormap);
    ngi_put(p, "</div></div>\n");
}

/* ---- Tables ------------------------------------------------------------------------------------ */

static void put_counts(ngi_page *p, const ngi_comparison *c)
{
    ngi_html_section(p, "counts", "Which images which model gets right",
                     "Only the images in which the two differ say which is better: the test is of these.");
    ngi_put(
        p, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Counts\"><table class=\"list\">"
           "<caption class=\"sr\">Images by which model is right</caption><thead><tr><td></td>"
           "<th scope=\"col\" class=\"n\">B wrong</th><th scope=\"col\" class=\"n\">B "
           "right</th></tr></thead><tbody>\n");
    for (int a = 0; a < 2; a++)
        ngi_putf(p,
                 "<tr><th scope=\"row\">A %s</th><td class=\"n\">%lld</td><td class=\"n\">%lld</td></tr>\n",
                 a ? "right" : "wrong", (long long)c->count[a][0], (long long)c->count[a][1]);
    ngi_put(p, "</tbody></table></div></section>\n");
}

static void put_share(ngi_page *p, int64_t right, int64_t images)
{
    double share = (double)right / (double)images;
    ngi_putf(p, "<td data-v=\"%.6f\">", share);
    ngi_put_percent(p, share);
    ngi_putf(p, "<small>%lld</small>", (long long)right);
    ngi_chart_interval(p, (ngi_interval){share, NAN, NAN});
    ngi_put(p, "</td>");
}

static void put_class(ngi_page *p, const ngi_comparison *c, int k)
{
    const ngi_compared_class *f = &c->classes[k];
    ngi_put(p, "<tr><th scope=\"row\" data-v=\"");
    ngi_put_html(p, c->of[0]->labels[k]);
    ngi_put(p, "\">");
    ngi_put_html(p, c->of[0]->labels[k]);
    ngi_putf(p, "</th><td class=\"n\" data-v=\"%lld\">%lld</td>", (long long)f->images, (long long)f->images);
    put_share(p, f->right[0], f->images);
    put_share(p, f->right[1], f->images);
    ngi_putf(p,
             "<td class=\"n\" data-v=\"%lld\">%lld</td><td class=\"n\" data-v=\"%lld\">%lld</td><td "
             "data-v=\"%.9g\">",
             (long long)f->gained, (long long)f->gained, (long long)f->lost, (long long)f->lost, f->p);
    put_p(p, f->p);
    ngi_put(p, "</td></tr>\n");
}

static void put_classes(ngi_page *p, const ngi_comparison *c)
{
    ngi_html_section(
        p, "classes", "Class by class",
        c->of[0]->scores.label
            ? "By the first label of each image; right is an image all of whose labels are. Gained "
              "are images that "
              "only B gets right, lost those that only A does; p is McNemar's for the class alone."
            : "How many of a class's images each model finds. Gained are images that only B gets "
              "right, lost those "
              "that only A does; p is McNemar's for the class alone.");
    ngi_put(
        p, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Classes\"><table class=\"list "
           "sort\">"
           "<caption class=\"sr\">What changed in each class</caption><thead><tr><th scope=\"col\">Class</th>"
           "<th scope=\"col\" class=\"n\">Images</th><th scope=\"col\">A right</th><th scope=\"col\">B "
           "right</th>"
           "<th scope=\"col\" class=\"n\">Gained</th><th scope=\"col\" class=\"n\">Lost</th><th "
           "scope=\"col\">p</th></tr>"
           "</thead><tbody>\n");
    for (int k = 0; k < c->of[0]->scores.k; k++)
        if (c->classes[k].images)
            put_class(p, c, k);
    ngi_put(p, "</tbody></table></div></section>\n");
}

/* ---- Images ------------------------------------------------------------------------------------ */

static void put_picture(ngi_page *p, const ngi_comparison *c, int64_t at, int m)
{
    const ngi_exhibit *photo = &c->of[0]->exhibits[at], *e = &c->of[m]->exhibits[at];
    const ngi_report *r = c->of[m];
    if (photo->gone) {
        ngi_put(p, "<p class=\"gone\">could not be read any more</p>");
        return;
    }
    ngi_putf(p, "<svg viewBox=\"0 0 %d %d\" role=\"img\" tabindex=\"0\" aria-label=\"%c: ", photo->width,
             photo->height, 'A' + m);
    ngi_put_html(p, r->data->items[r->items[e->image]].path);
    if (m == 0) {
        ngi_putf(p, "\"><image id=\"p%lld\" width=\"%d\" height=\"%d\" href=\"", (long long)at, photo->width,
                 photo->height);
        ngi_put_data_uri(p, &photo->photo);
    } else {
        ngi_putf(p, "\"><use href=\"#p%lld", (long long)at);
    }
    ngi_put(p, "\"/>");
    if (e->heatmap[0].size) {
        ngi_putf(p, "<image class=\"heat\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" href=\"",
                 photo->width, photo->height);
        ngi_put_data_uri(p, &e->heatmap[0]);
        ngi_put(p, "\"/>");
    }
    ngi_put(p, "</svg>");
}

/* What the model says, and how sure it is of the image's own class. */
static void put_pane(ngi_page *p, const ngi_comparison *c, int64_t at, int m)
{
    const ngi_report *r = c->of[m];
    const ngi_exhibit *e = &r->exhibits[at];
    double share = ngi_report_probability(r, e->image, e->class_index[0]);
    ngi_put(p, "<div class=\"pane\">");
    put_picture(p, c, at, m);
    ngi_putf(p, "<p class=\"%s\"><b>%c: ", ngi_report_right(r, e->image) ? "yes" : "no", 'A' + m);
    ngi_put_html(p, r->labels[r->figures.predicted[e->image]]);
    ngi_putf(p, "</b><span>%.1f %%</span></p><span class=\"meter\"><i style=\"--w:%.3f\"></i></span></div>",
             100 * share, share);
}

static void put_card(ngi_page *p, const ngi_comparison *c, int64_t at)
{
    const ngi_report *a = c->of[0], *b = c->of[1];
    int64_t i = a->exhibits[at].image, j = b->exhibits[at].image;
    const char *path = a->data->items[a->items[i]].path, *slash = strrchr(path, '/');
    ngi_put(p, "<figure class=\"card two\"><div class=\"panes\">");
    for (int m = 0; m < 2; m++)
        put_pane(p, c, at, m);
    ngi_put(p, "</div><figcaption><b>");
    ngi_put_html(p, a->labels[a->exhibits[at].class_index[0]]);
    ngi_put(p, "</b> \xC2\xB7 <span title=\"");
    ngi_put_html(p, path);
    ngi_put(p, "\">");
    ngi_put_html(p, slash ? slash + 1 : path);
    ngi_putf(p, "</span> \xC2\xB7 loss %.2f to %.2f", a->figures.loss[i], b->figures.loss[j]);
    for (int m = 0; m < 2; m++) {
        const char *status = c->of[m]->exhibits[at].status[0];
        if (status && strcmp(status, "ok") != 0)
            ngi_putf(p, " \xC2\xB7 map of %c: %s", 'A' + m, status);
    }
    ngi_put(p, "</figcaption></figure>\n");
}

static void put_cards(ngi_page *p, const ngi_comparison *c, int64_t from, int64_t to, int64_t all,
                      const char *id, const char *title)
{
    if (from == to)
        return;
    ngi_html_section(
        p, id, title,
        "The heatmaps are of what speaks for the image's own class; beneath is what the model says "
        "and how sure it "
        "is of that class.");
    if (all > to - from)
        ngi_putf(p, "<p class=\"soft\">Of %lld images the %lld whose loss changed most.</p>\n",
                 (long long)all, (long long)(to - from));
    ngi_put(p, "<div class=\"cards\">\n");
    for (int64_t at = from; at < to; at++)
        put_card(p, c, at);
    ngi_put(p, "</div></section>\n");
}

/* ---- How it was made --------------------------------------------------------------------------- */

static void put_facts(ngi_page *p, const ngi_comparison *c)
{
    ngi_html_section(p, "facts", "How it was made", "Everything needed to make this page again.");
    for (int m = 0; m < 2; m++) {
        ngi_putf(p, "<h3>%c</h3>\n", 'A' + m);
        ngi_html_facts(p, c->of[m]);
    }
    ngi_putf(p,
             "<details><summary>How the figures are worked out</summary><p>Intervals hold %.0f %%: Wilson's "
             "for accuracy; "
             "for differences, and for the share of the map on the object, percentiles of %d bootstrap "
             "samples of the "
             "images, each with what both models say of it. McNemar's exact test is "
             "two-sided. The share of the map on the object is that of the class which the model says; the "
             "heatmaps "
             "that are shown are of the image's own class.</p></details>\n</section>\n",
             100 * c->of[0]->confidence, c->of[0]->resamples);
}

void ngi_comparison_html(const ngi_comparison *c, ngi_page *p)
{
    ngi_html_begin(p, c->title);
    put_heading(p, c);
    ngi_put(p, "<main id=\"main\">\n");
    put_counts(p, c);
    put_classes(p, c);
    put_cards(p, c, 0, c->fixed, c->count[0][1], "fixed", "From wrong to right");
    put_cards(p, c, c->fixed, c->fixed + c->broken, c->count[1][0], "broken", "From right to wrong");
    put_facts(p, c);
    ngi_putf(p, "</main>\n<footer>netgaze %s</footer>\n", ng_version());
    ngi_html_end(p);
}
