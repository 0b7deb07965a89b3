/* The confusion matrix, whose cells lead to their images, and the figures of every class. */
#include "report/html.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_IN_MATRIX = 60, MANY = 16, MOST_PAIRS = 40 };

/* Whether the page shows images of this cell. */
static bool is_shown(const ngi_report *r, int truth, int predicted)
{
    const ngi_exhibit_list *list = truth == predicted ? &r->surest : &r->mistakes;
    for (int64_t i = 0; i < list->n; i++) {
        const ngi_exhibit *e = &r->exhibits[list->at[i]];
        if (ngi_report_truth(r, e->image) == truth && r->figures.predicted[e->image] == predicted)
            return true;
    }
    return false;
}

static void put_cell(ngi_page *p, const ngi_report *r, int truth, int predicted)
{
    int64_t n = r->figures.confusion[(int64_t)truth * r->scores.k + predicted],
            all = r->figures.classes[truth].images;
    double share = all ? (double)n / (double)all : 0;
    if (n == 0) {
        ngi_put(p, "<td class=\"z\"><span>0</span></td>");
        return;
    }
    double v = truth == predicted ? 0.12 + 0.75 * share : 0.15 + 0.85 * sqrt(share);
    ngi_putf(p, "<td class=\"%s%s\" style=\"--v:%.2f\">", truth == predicted ? "d" : "m", v > 0.6 ? " s" : "",
             fmin(v, 1));
    bool link = is_shown(r, truth, predicted);
    if (link)
        ngi_putf(p, "<a href=\"#%s-%d-%d\" aria-label=\"", truth == predicted ? "right" : "cell", truth,
                 predicted);
    else
        ngi_put(p, "<span title=\"");
    ngi_putf(p, "%lld of %lld ", (long long)n, (long long)all);
    ngi_put_html(p, r->labels[truth]);
    ngi_put(p, truth == predicted ? " recognised" : " taken for ");
    if (truth != predicted)
        ngi_put_html(p, r->labels[predicted]);
    ngi_putf(p, "\">%lld<small>%.0f %%</small></%s></td>", (long long)n, 100 * share, link ? "a" : "span");
}

static void put_matrix(ngi_page *p, const ngi_report *r)
{
    int k = r->scores.k;
    ngi_putf(
        p,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion matrix\"><table "
        "class=\"matrix%s\"><caption class=\"sr\">Confusion matrix</caption><thead><tr><td class=\"z\"></td>",
        k > MANY ? " many" : "");
    for (int c = 0; c < k; c++) {
        ngi_put(p, "<th scope=\"col\">");
        ngi_put_html(p, r->labels[c]);
        ngi_put(p, "</th>");
    }
    ngi_put(p, "</tr></thead><tbody>\n");
    for (int t = 0; t < k; t++) {
        if (!r->figures.classes[t].images)
            continue;
        ngi_put(p, "<tr><th scope=\"row\">");
        ngi_put_html(p, r->labels[t]);
        ngi_put(p, "</th>");
        for (int c = 0; c < k; c++)
            put_cell(p, r, t, c);
        ngi_put(p, "</tr>\n");
    }
    ngi_put(p, "</tbody></table></div>\n");
}

typedef struct pair {
    int64_t n;
    int truth, predicted;
} pair;

static int by_count(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return x->truth != y->truth ? x->truth - y->truth : x->predicted - y->predicted;
}

/* Of too many classes for a matrix: the pairs that are confused most. */
static void put_pairs(ngi_page *p, const ngi_report *r)
{
    int k = r->scores.k;
    int64_t n = 0, cells = (int64_t)k * k;
    pair *pairs = ngi_alloc((size_t)r->n + 1, sizeof *pairs); /* no more cells than images */
    if (!pairs) {
        p->status = ngi_fail_memory(&p->error, (size_t)r->n * sizeof *pairs);
        return;
    }
    for (int64_t i = 0; i < cells; i++)
        if (r->figures.confusion[i] && i / k != i % k)
            pairs[n++] = (pair){r->figures.confusion[i], (int)(i / k), (int)(i % k)};
    if (n)
        qsort(pairs, (size_t)n, sizeof *pairs, by_count);
    ngi_putf(p,
             "<div class=\"scroll\"><table class=\"list\"><caption>%d classes are too many for a matrix; "
             "these pairs are "
             "confused most.</caption><thead><tr><th scope=\"col\">Image is of</th><th scope=\"col\">Taken "
             "for</th>"
             "<th scope=\"col\" class=\"n\">Images</th></tr></thead><tbody>\n",
             k);
    for (int64_t i = 0; i < n && i < MOST_PAIRS; i++) {
        bool link = is_shown(r, pairs[i].truth, pairs[i].predicted);
        ngi_put(p, "<tr><th scope=\"row\">");
        ngi_put_html(p, r->labels[pairs[i].truth]);
        ngi_put(p, "</th><td>");
        if (link)
            ngi_putf(p, "<a href=\"#cell-%d-%d\">", pairs[i].truth, pairs[i].predicted);
        ngi_put_html(p, r->labels[pairs[i].predicted]);
        ngi_putf(p, "%s</td><td class=\"n\">%lld</td></tr>\n", link ? "</a>" : "", (long long)pairs[i].n);
    }
    ngi_put(p, "</tbody></table></div>\n");
    ngi_free(pairs);
}

void ngi_table_confusion(ngi_page *p, const ngi_report *r)
{
    if (r->scores.k <= MOST_IN_MATRIX)
        put_matrix(p, r);
    else
        put_pairs(p, r);
}

/* ---- Classes ---------------------------------------------------------------------------------- */

static void put_figure(ngi_page *p, ngi_interval i, bool percent)
{
    ngi_put(p, "<td data-v=\"");
    if (isfinite(i.value))
        ngi_putf(p, "%.6f", i.value);
    ngi_put(p, "\">");
    if (percent || isnan(i.value))
        ngi_put_percent(p, i.value);
    else
        ngi_putf(p, "%.3f", i.value);
    ngi_put_range(p, i, percent);
    ngi_chart_interval(p, i);
    ngi_put(p, "</td>");
}

static double class_energy(const ngi_report *r, int c)
{
    double sum = 0, n = 0;
    for (int64_t i = 0; i < r->n; i++)
        if (ngi_report_truth(r, i) == c && !isnan(r->energy[i])) {
            sum += r->energy[i];
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

static void put_class(ngi_page *p, const ngi_report *r, int c)
{
    const ngi_class_figures *f = &r->figures.classes[c];
    ngi_putf(p, "<tr><th scope=\"row\" data-v=\"");
    ngi_put_html(p, r->labels[c]);
    ngi_put(p, "\">");
    ngi_put_html(p, r->labels[c]);
    ngi_putf(p, "</th><td class=\"n\" data-v=\"%lld\">%lld</td>", (long long)f->images, (long long)f->images);
    if (r->scores.label)
        ngi_putf(p, "<td class=\"n\" data-v=\"%lld\">%lld</td><td class=\"n\" data-v=\"%lld\">%lld</td>",
                 (long long)(f->images - f->hits), (long long)(f->images - f->hits),
                 (long long)(f->predicted - f->hits), (long long)(f->predicted - f->hits));
    put_figure(p, f->precision, true);
    put_figure(p, f->recall, true);
    put_figure(p, f->f1, true);
    put_figure(p, f->auc, false);
    if (r->energy) {
        double e = class_energy(r, c);
        put_figure(p, (ngi_interval){e, NAN, NAN}, true);
    }
    ngi_put(p, "</tr>\n");
}

void ngi_table_classes(ngi_page *p, const ngi_report *r)
{
    const char *const columns[] = {"Class",
                                   "Images",
                                   r->scores.label ? "Missed" : NULL,
                                   r->scores.label ? "Wrongly said" : NULL,
                                   "Precision",
                                   "Recall",
                                   "F1",
                                   "AUC",
                                   r->energy ? "Map on object" : NULL};
    ngi_put(p, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Classes\"><table "
               "class=\"list sort\">"
               "<caption class=\"sr\">Figures of each class</caption><thead><tr>");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (columns[i])
            ngi_putf(p, "<th scope=\"col\"%s>%s</th>", i >= 1 && i <= 3 ? " class=\"n\"" : "", columns[i]);
    ngi_put(p, "</tr></thead><tbody>\n");
    for (int c = 0; c < r->scores.k; c++)
        if (r->figures.classes[c].images || r->figures.classes[c].predicted)
            put_class(p, r, c);
    ngi_put(p, "</tbody></table></div>\n");
}
