/* watch.html. The script is only the slider: without it the table shows the epochs side by side. */
#include "report/watch.h"

#include "report/html.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_COLUMNS = 12 };

static int columns_of(const ngi_watch_page *w)
{
    return w->n_epochs < MOST_COLUMNS ? w->n_epochs : MOST_COLUMNS;
}

/* The epoch of a column: first and last are always among them. */
static int epoch_of(const ngi_watch_page *w, int column)
{
    int columns = columns_of(w);
    return columns < 2 ? w->n_epochs - 1 : (int)((int64_t)column * (w->n_epochs - 1) / (columns - 1));
}

static bool in_table(const ngi_watch_page *w, int epoch)
{
    for (int c = 0; c < columns_of(w); c++)
        if (epoch_of(w, c) == epoch)
            return true;
    return false;
}

static const ngi_glance *glance_at(const ngi_watch_page *w, int epoch, int image)
{
    return &w->glances[epoch * w->n_images + image];
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- Pictures ----------------------------------------------------------------------------------- */

static void begin_picture(ngi_page *p, const ngi_watch_page *w, int image, int epoch)
{
    const ngi_watched *i = &w->images[image];
    ngi_putf(p, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", i->width, i->height);
    ngi_put_html(p, i->path);
    if (epoch >= 0)
        ngi_putf(p, ", heatmap of epoch %d", w->epochs[epoch]);
    ngi_put(p, "\">");
}

static void put_heatmap(ngi_page *p, const ngi_watch_page *w, int image, int epoch)
{
    const ngi_buffer *map = &glance_at(w, epoch, image)->heatmap;
    if (!map->size)
        return;
    ngi_putf(
        p,
        "<image id=\"m%d-%d\" class=\"heat\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" href=\"",
        epoch, image, w->images[image].width, w->images[image].height);
    ngi_put_data_uri(p, map);
    ngi_put(p, "\"/>");
}

static void put_verdict(ngi_page *p, const ngi_watch_page *w, int image, int epoch)
{
    const ngi_glance *g = glance_at(w, epoch, image);
    bool right = strcmp(w->labels[g->predicted], w->images[image].label) == 0;
    ngi_putf(p, "<p class=\"%s\"><b>", right ? "yes" : "no");
    ngi_put_html(p, w->labels[g->predicted]);
    ngi_putf(p, "</b><span>%.0f %%</span></p>", 100 * g->probability);
    if (!isnan(g->energy))
        ngi_putf(p,
                 "<span class=\"meter\" title=\"%.0f %% of the map on the object\"><i "
                 "style=\"--w:%.3f\"></i></span>",
                 100 * g->energy, g->energy);
}

/* ---- Parts -------------------------------------------------------------------------------------- */

/* The photos, and over them the epoch that the slider is at; the script shows it. */
static void put_player(ngi_page *p, const ngi_watch_page *w)
{
    ngi_putf(p,
             "<section aria-labelledby=\"play-h\"><h2 id=\"play-h\">Epoch by epoch</h2>\n<div "
             "class=\"player\" hidden>"
             "<button type=\"button\">Play</button><label class=\"sr\" for=\"epoch\">Epoch</label>"
             "<input id=\"epoch\" type=\"range\" min=\"0\" max=\"%d\" value=\"%d\" data-names=\"",
             w->n_epochs - 1, w->n_epochs - 1);
    for (int e = 0; e < w->n_epochs; e++)
        ngi_putf(p, "%sepoch %d", e ? "," : "", w->epochs[e]);
    ngi_put(p, "\"><output></output></div>\n<div class=\"cards single\" hidden>\n");
    for (int i = 0; i < w->n_images; i++) {
        ngi_put(p, "<figure class=\"card\"><div class=\"pane\">");
        begin_picture(p, w, i, -1);
        ngi_putf(p, "<use href=\"#w%d\"/>", i);
        for (int e = 0; e < w->n_epochs; e++) {
            ngi_putf(p, "<g data-epoch=\"%d\">", e);
            if (!in_table(w, e))
                put_heatmap(p, w, i, e);
            else if (glance_at(w, e, i)->heatmap.size)
                ngi_putf(p, "<use href=\"#m%d-%d\"/>", e, i);
            ngi_put(p, "</g>");
        }
        ngi_put(p, "</svg>");
        for (int e = 0; e < w->n_epochs; e++) {
            ngi_putf(p, "<div data-epoch=\"%d\">", e);
            put_verdict(p, w, i, e);
            ngi_put(p, "</div>");
        }
        ngi_put(p, "</div></figure>\n");
    }
    ngi_put(p, "</div></section>\n");
}

static void put_row(ngi_page *p, const ngi_watch_page *w, int image)
{
    const ngi_watched *i = &w->images[image];
    ngi_put(p, "<tr><th scope=\"row\"><div class=\"pane\">");
    begin_picture(p, w, image, -1);
    ngi_putf(p, "<image id=\"w%d\" width=\"%d\" height=\"%d\" href=\"", image, i->width, i->height);
    ngi_put_data_uri(p, &i->photo);
    ngi_put(p, "\"/></svg></div>");
    ngi_put_html(p, i->label);
    ngi_put(p, "<small>");
    ngi_put_html(p, name_of(i->path));
    ngi_put(p, "</small></th>\n");
    for (int c = 0; c < columns_of(w); c++) {
        ngi_put(p, "<td><div class=\"pane\">");
        begin_picture(p, w, image, epoch_of(w, c));
        ngi_putf(p, "<use href=\"#w%d\"/>", image);
        put_heatmap(p, w, image, epoch_of(w, c));
        ngi_put(p, "</svg>");
        put_verdict(p, w, image, epoch_of(w, c));
        ngi_put(p, "</div></td>\n");
    }
    ngi_put(p, "</tr>\n");
}

static void put_table(ngi_page *p, const ngi_watch_page *w)
{
    ngi_put(
        p, "<section aria-labelledby=\"rows-h\"><h2 id=\"rows-h\">Side by side</h2>\n<p class=\"soft\">What "
           "speaks for "
           "each image's own class. Beneath: what the model says, and how sure it is of the image's class; "
           "the bar is "
           "the share of the map on the object, where it is known.</p>\n<div class=\"scroll\" tabindex=\"0\" "
           "role=\"region\" aria-label=\"Heatmaps by epoch\"><table class=\"epochs\"><thead><tr>"
           "<th scope=\"col\">Image</th>");
    for (int c = 0; c < columns_of(w); c++)
        ngi_putf(p, "<th scope=\"col\">Epoch %d</th>", w->epochs[epoch_of(w, c)]);
    ngi_put(p, "</tr></thead><tbody>\n");
    for (int i = 0; i < w->n_images; i++)
        put_row(p, w, i);
    ngi_put(p, "</tbody></table></div></section>\n");
}

/* Line 0: the mean of the images; then each of them. values [1 + n_images][n_epochs] */
static bool collect(const ngi_watch_page *w, bool energy, double *values)
{
    bool any = false;
    for (int e = 0; e < w->n_epochs; e++) {
        double sum = 0, n = 0;
        for (int i = 0; i < w->n_images; i++) {
            const ngi_glance *g = glance_at(w, e, i);
            double v = energy ? g->energy : g->probability;
            values[(1 + i) * w->n_epochs + e] = v;
            if (!isnan(v)) {
                sum += v;
                n++;
            }
        }
        values[e] = n > 0 ? sum / n : NAN;
        any = any || n > 0;
    }
    return any;
}

static void put_charts(ngi_page *p, const ngi_watch_page *w)
{
    size_t lines = 1 + (size_t)w->n_images, n = (size_t)w->n_epochs;
    double *values = ngi_alloc(lines * n + n, sizeof *values);
    const char **names = ngi_alloc(lines, sizeof *names);
    if (values && names) {
        double *x = values + lines * n;
        for (size_t e = 0; e < n; e++)
            x[e] = w->epochs[e];
        names[0] = "mean";
        for (int i = 0; i < w->n_images; i++)
            names[1 + i] = w->images[i].path;
        ngi_put(p, "<div class=\"charts\">\n");
        if (collect(w, true, values))
            ngi_chart_lines(p, x, (int)n, values, (int)lines, names, "Share of the map on the object");
        collect(w, false, values);
        ngi_chart_lines(p, x, (int)n, values, (int)lines, names, "Probability of the images' own classes");
        ngi_put(p, "</div>\n");
    } else if (p->status == NG_OK) {
        p->status = ngi_fail_memory(&p->error, lines * n * sizeof *values);
    }
    ngi_free(values);
    ngi_free(names);
}

void ngi_watch_html(const ngi_watch_page *w, ngi_page *p)
{
    ngi_html_begin(p, w->title);
    ngi_put(p, "<header>\n<p class=\"kicker\">Where it looks while it learns</p>\n<h1>");
    ngi_put_html(p, w->title);
    ngi_putf(p, "</h1>\n<p class=\"lede\">%d image%s over %d epoch%s: ", w->n_images,
             w->n_images == 1 ? "" : "s", w->n_epochs, w->n_epochs == 1 ? "" : "s");
    ngi_put_html(p, w->method);
    ngi_put(p, " at ");
    ngi_put_html(p, w->layer);
    ngi_put(p, ".</p>\n</header>\n<div class=\"bar\"><div><nav></nav>");
    ngi_html_controls(p, w->colormap);
    ngi_put(p, "</div></div>\n<main id=\"main\">\n");
    put_player(p, w);
    put_charts(p, w);
    put_table(p, w);
    ngi_putf(p,
             "</main>\n<footer>netgaze %s \xC2\xB7 watch.npy holds the maps, watch.webp shows them one after "
             "another</footer>\n",
             ng_version());
    ngi_html_end(p);
}
