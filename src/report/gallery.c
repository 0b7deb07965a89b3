/* Images with what the model looked at. Every picture stands in the page once, however many sections show it: SVG's <use>
 * repeats it. */
#include "report/html.h"

#include <math.h>
#include <string.h>

double ngi_report_probability(const ngi_report *r, int64_t image, int c)
{
    const float *z = r->scores.logits + image * r->scores.k;
    if (r->scores.label)
        return ngi_sigmoid(z[c]);
    return ngi_sigmoid(ngi_log_odds(z, r->scores.k, c));
}

static const char *path_of(const ngi_report *r, int64_t image)
{
    return r->data->items[r->items[image]].path;
}

static bool has_class(const ngi_report *r, int64_t image, int c)
{
    return r->scores.label ? r->scores.label[image * r->scores.k + c] != 0 : r->scores.truth[image] == c;
}

/* The photo, and one of its maps over it; map < 0: none. */
static void put_picture(ngi_page *p, const ngi_report *r, int64_t at, int map, bool *shown)
{
    const ngi_exhibit *e = &r->exhibits[at];
    if (e->gone) {
        ngi_put(p, "<p class=\"gone\">could not be read any more</p>");
        return;
    }
    ngi_putf(p, "<svg viewBox=\"0 0 %d %d\" role=\"img\"%s aria-label=\"", e->width, e->height,
             map >= 0 ? " tabindex=\"0\"" : "");
    ngi_put_html(p, path_of(r, e->image));
    if (map >= 0) {
        ngi_put(p, ", with the heatmap of what speaks for ");
        ngi_put_html(p, r->labels[e->class_index[map]]);
    }
    ngi_put(p, "\">");
    if (!shown[3 * at]) {
        ngi_putf(p, "<image id=\"p%lld\" width=\"%d\" height=\"%d\" href=\"", (long long)at, e->width,
                 e->height);
        ngi_put_data_uri(p, &e->photo);
        ngi_put(p, "\"/>");
    } else {
        ngi_putf(p, "<use href=\"#p%lld\"/>", (long long)at);
    }
    shown[3 * at] = true;
    if (map >= 0 && !shown[3 * at + 1 + map]) {
        ngi_putf(
            p,
            "<image id=\"h%lld-%d\" class=\"heat\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\"",
            (long long)at, map, e->width, e->height);
        ngi_put(p, " href=\"");
        ngi_put_data_uri(p, &e->heatmap[map]);
        ngi_put(p, "\"/>");
        shown[3 * at + 1 + map] = true;
    } else if (map >= 0) {
        ngi_putf(p, "<use href=\"#h%lld-%d\"/>", (long long)at, map);
    }
    ngi_put(p, "</svg>");
}

static void put_pane(ngi_page *p, const ngi_report *r, int64_t at, int map, int c, bool *shown)
{
    const ngi_exhibit *e = &r->exhibits[at];
    bool usable = map < e->n_maps && e->heatmap[map].size > 0;
    double share = ngi_report_probability(r, e->image, c);
    ngi_put(p, "<div class=\"pane\">");
    put_picture(p, r, at, usable ? map : -1, shown);
    ngi_putf(p, "<p class=\"%s\"><b>", has_class(r, e->image, c) ? "yes" : "no");
    ngi_put_html(p, r->labels[c]);
    ngi_putf(p, "</b><span>%.1f %%</span></p><span class=\"meter\"><i style=\"--w:%.3f\"></i></span>",
             100 * share, share);
    ngi_put(p, "</div>");
}

static void put_card(ngi_page *p, const ngi_report *r, int64_t at, bool *shown)
{
    const ngi_exhibit *e = &r->exhibits[at];
    const char *path = path_of(r, e->image), *slash = strrchr(path, '/');
    ngi_putf(p, "<figure class=\"card%s\"><div class=\"panes\">", e->n_maps > 1 ? " two" : "");
    for (int i = 0; i < e->n_maps; i++)
        put_pane(p, r, at, i, e->class_index[i], shown);
    ngi_put(p, "</div><figcaption><span title=\"");
    ngi_put_html(p, path);
    ngi_put(p, "\">");
    ngi_put_html(p, slash ? slash + 1 : path);
    ngi_putf(p, "</span> \xC2\xB7 loss %.2f", r->figures.loss[e->image]);
    if (r->energy && !isnan(r->energy[e->image]))
        ngi_putf(p, " \xC2\xB7 %.0f %% of the map on the object, which is %.0f %% of the picture",
                 100 * r->energy[e->image], 100 * r->area[e->image]);
    for (int i = 0; i < e->n_maps; i++)
        if (e->status[i] && strcmp(e->status[i], "ok") != 0) {
            ngi_put(p, " \xC2\xB7 map of ");
            ngi_put_html(p, r->labels[e->class_index[i]]);
            ngi_putf(p, ": %s", e->status[i]);
        }
    ngi_put(p, "</figcaption></figure>\n");
}

/* ---- Sections --------------------------------------------------------------------------------- */

static void put_cards(ngi_page *p, const ngi_report *r, const ngi_exhibit_list *list, int64_t from,
                      int64_t to, bool *shown)
{
    ngi_put(p, "<div class=\"cards\">\n");
    for (int64_t i = from; i < to; i++)
        put_card(p, r, list->at[i], shown);
    ngi_put(p, "</div>\n");
}

void ngi_gallery_losses(ngi_page *p, const ngi_report *r, bool *shown)
{
    put_cards(p, r, &r->losses, 0, r->losses.n, shown);
}

void ngi_gallery_misplaced(ngi_page *p, const ngi_report *r, bool *shown)
{
    put_cards(p, r, &r->misplaced, 0, r->misplaced.n, shown);
}

/* What a mistake is of: a cell of the matrix; with labels a class, missed or wrongly said. */
typedef struct kind {
    int first, second;
} kind;

static kind kind_of(const ngi_report *r, int64_t at)
{
    const ngi_exhibit *e = &r->exhibits[at];
    if (r->scores.label)
        return (kind){e->class_index[0], has_class(r, e->image, e->class_index[0])};
    return (kind){r->scores.truth[e->image], r->figures.predicted[e->image]};
}

static int64_t count_of(const ngi_report *r, kind k)
{
    const ngi_class_figures *f = &r->figures.classes[k.first];
    if (r->scores.label)
        return k.second ? f->images - f->hits : f->predicted - f->hits;
    return r->figures.confusion[(int64_t)k.first * r->scores.k + k.second];
}

static void put_class_head(ngi_page *p, const ngi_report *r, int c)
{
    const ngi_class_figures *f = &r->figures.classes[c];
    ngi_putf(p, "<h3 id=\"class-%d\">", c);
    ngi_put_html(p, r->labels[c]);
    ngi_putf(p, " <small>%lld of %lld images missed</small></h3>\n", (long long)(f->images - f->hits),
             (long long)f->images);
}

static void put_kind_head(ngi_page *p, const ngi_report *r, kind k, int64_t shown)
{
    int64_t all = count_of(r, k);
    ngi_putf(p, "<section id=\"cell-%d-%d\"><h4>", k.first, k.second);
    if (r->scores.label) {
        ngi_put(p, k.second ? "has it, the model misses it" : "has it not, the model says so");
    } else {
        ngi_put(p, "taken for ");
        ngi_put_html(p, r->labels[k.second]);
    }
    ngi_putf(p, " <small>%lld image%s%s", (long long)all, all == 1 ? "" : "s",
             all > shown ? ", of which the surest mistakes are shown" : "");
    ngi_put(p, "</small></h4>\n");
}

void ngi_gallery_mistakes(ngi_page *p, const ngi_report *r, bool *shown)
{
    const ngi_exhibit_list *list = &r->mistakes;
    int open = -1;
    for (int64_t i = 0, end; i < list->n; i = end) {
        kind k = kind_of(r, list->at[i]);
        for (end = i + 1; end < list->n; end++) {
            kind next = kind_of(r, list->at[end]);
            if (next.first != k.first || next.second != k.second)
                break;
        }
        if (open != k.first)
            put_class_head(p, r, k.first);
        open = k.first;
        put_kind_head(p, r, k, end - i);
        put_cards(p, r, list, i, end, shown);
        ngi_put(p, "</section>\n");
    }
}

void ngi_gallery_surest(ngi_page *p, const ngi_report *r, bool *shown)
{
    const ngi_exhibit_list *list = &r->surest;
    ngi_put(p, "<div class=\"cards\">\n");
    int open = -1;
    for (int64_t i = 0; i < list->n; i++) {
        int c = ngi_report_truth(r, r->exhibits[list->at[i]].image);
        if (c != open)
            ngi_putf(p, "<div id=\"right-%d-%d\">", c, c);
        else
            ngi_put(p, "<div>");
        open = c;
        put_card(p, r, list->at[i], shown);
        ngi_put(p, "</div>\n");
    }
    ngi_put(p, "</div>\n");
}
