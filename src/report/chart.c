/* Charts as inline SVG, coloured by the page's style. */
#include "report/html.h"

#include <math.h>
#include <stdio.h>

void ngi_put_percent(ngi_page *p, double share)
{
    if (isnan(share))
        ngi_put(p, "\xE2\x80\x93"); /* an en dash */
    else
        ngi_putf(p, "%.1f %%", 100 * share);
}

void ngi_put_range(ngi_page *p, ngi_interval i, bool percent)
{
    if (isnan(i.low) || isnan(i.high))
        return;
    if (percent)
        ngi_putf(p, "<small>%.1f to %.1f %%</small>", 100 * i.low, 100 * i.high);
    else
        ngi_putf(p, "<small>%.3f to %.3f</small>", i.low, i.high);
}

void ngi_chart_interval(ngi_page *p, ngi_interval i)
{
    if (isnan(i.value))
        return;
    double low = isnan(i.low) ? i.value : i.low, high = isnan(i.high) ? i.value : i.high;
    ngi_putf(p,
             "<svg class=\"iv\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
             "<rect class=\"t\" y=\"2\" width=\"100\" height=\"2\"/>"
             "<rect class=\"b\" x=\"%.2f\" y=\"1\" width=\"%.2f\" height=\"4\"/>"
             "<rect class=\"m\" x=\"%.2f\" width=\"1.4\" height=\"6\"/></svg>",
             100 * low, fmax(100 * (high - low), 0.5), fmin(fmax(100 * i.value - 0.7, 0), 98.6));
}

/* ---- Axes ------------------------------------------------------------------------------------- */

enum { LEFT = 38, TOP = 8, SIDE = 260, BOTTOM = TOP + SIDE };

static double at_x(double share)
{
    return LEFT + SIDE * share;
}

static double at_y(double share)
{
    return BOTTOM - SIDE * share;
}

static void begin(ngi_page *p, const char *label, int height)
{
    ngi_putf(p, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", LEFT + SIDE + 10, height);
    ngi_put_html(p, label);
    ngi_put(p, "\">");
    for (int i = 0; i <= 4; i++) {
        double share = i / 4.0;
        ngi_putf(p,
                 "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                 "text-anchor=\"end\">%d %%</text>",
                 LEFT, at_y(share), LEFT + SIDE, LEFT - 6, at_y(share) + 4, i * 25);
    }
}

static void label_x(ngi_page *p, const char *low, const char *middle, const char *high)
{
    const char *const text[] = {low, middle, high}, *const anchor[] = {"start", "middle", "end"};
    for (int i = 0; i < 3; i++) {
        ngi_putf(p, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">", at_x(i / 2.0), BOTTOM + 17, anchor[i]);
        ngi_put_html(p, text[i]);
        ngi_put(p, "</text>");
    }
}

/* ---- Charts ----------------------------------------------------------------------------------- */

static void put_histogram(ngi_page *p, const ngi_reliability *width)
{
    int64_t most = 1;
    for (int b = 0; b < width->n_bins; b++)
        most = width->bins[b].n > most ? width->bins[b].n : most;
    for (int b = 0; b < width->n_bins; b++) {
        const ngi_bin *bin = &width->bins[b];
        double share = 0.45 * (double)bin->n / (double)most;
        if (bin->n)
            ngi_putf(p,
                     "<rect class=\"mass\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">"
                     "<title>%lld predictions of %.0f to %.0f %%, right: %.1f %%</title></rect>",
                     at_x(bin->low) + 1, at_y(share), SIDE * (bin->high - bin->low) - 2, SIDE * share,
                     (long long)bin->n, 100 * bin->low, 100 * bin->high, 100 * bin->accuracy.value);
    }
}

void ngi_chart_reliability(ngi_page *p, const ngi_reliability *mass, const ngi_reliability *width,
                           const char *title)
{
    ngi_put(p, "<figure class=\"chart\"><figcaption>");
    ngi_put_html(p, title);
    ngi_putf(p, "<small>calibration error %.1f %% (equal mass), %.1f %% (equal width)</small></figcaption>",
             100 * mass->ece, 100 * width->ece);
    begin(p, "Share that is right over the confidence of the prediction", BOTTOM + 38);
    ngi_putf(p, "<path class=\"ideal\" d=\"M%d %dL%d %d\"/>", LEFT, BOTTOM, LEFT + SIDE, TOP);
    put_histogram(p, width);
    ngi_put(p, "<path class=\"line\" d=\"");
    bool started = false;
    for (int b = 0; b < mass->n_bins; b++)
        if (mass->bins[b].n) {
            ngi_putf(p, "%s%.1f %.1f", started ? "L" : "M", at_x(mass->bins[b].confidence),
                     at_y(mass->bins[b].accuracy.value));
            started = true;
        }
    ngi_put(p, "\"/>");
    for (int b = 0; b < mass->n_bins; b++) {
        const ngi_bin *bin = &mass->bins[b];
        if (bin->n)
            ngi_putf(p,
                     "<path class=\"whisker\" d=\"M%.1f %.1fV%.1f\"/><circle class=\"dot\" cx=\"%.1f\" "
                     "cy=\"%.1f\" "
                     "r=\"3.5\"><title>%lld predictions: %.1f %% sure, %.1f %% right (%.1f to "
                     "%.1f)</title></circle>",
                     at_x(bin->confidence), at_y(bin->accuracy.low), at_y(bin->accuracy.high),
                     at_x(bin->confidence), at_y(bin->accuracy.value), (long long)bin->n,
                     100 * bin->confidence, 100 * bin->accuracy.value, 100 * bin->accuracy.low,
                     100 * bin->accuracy.high);
    }
    label_x(p, "0 %", "confidence", "100 %");
    ngi_put(p, "</svg></figure>\n");
}

void ngi_chart_shares(ngi_page *p, const ngi_report *r)
{
    enum { BINS = 20 };
    int64_t count[2][BINS] = {{0}}, most = 1;
    for (int64_t i = 0; i < r->n; i++) {
        if (isnan(r->energy[i]))
            continue;
        int b = (int)(r->energy[i] * BINS), right = ngi_report_right(r, i);
        count[right][b < BINS ? b : BINS - 1]++;
    }
    for (int b = 0; b < BINS; b++)
        most = count[0][b] + count[1][b] > most ? count[0][b] + count[1][b] : most;
    ngi_put(p, "<figure class=\"chart\"><figcaption>How much of the map lies on the object"
               "<small>images by that share; green: right, red: wrong</small></figcaption>");
    ngi_putf(p,
             "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Histogram of the share of the map in the "
             "mask or box\">",
             LEFT + SIDE + 10, BOTTOM + 38);
    ngi_putf(p,
             "<path class=\"grid\" d=\"M%d %dH%d\"/><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%lld</text>",
             LEFT, BOTTOM, LEFT + SIDE, LEFT - 6, TOP + 8, (long long)most);
    for (int b = 0; b < BINS; b++) {
        double from = 0;
        for (int right = 1; right >= 0; right--) {
            double share = (double)count[right][b] / (double)most;
            if (share > 0)
                ngi_putf(p, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                         right ? "right" : "wrong", at_x((double)b / BINS) + 1, at_y(from + share),
                         (double)SIDE / BINS - 2, SIDE * share);
            from += share;
        }
    }
    label_x(p, "0 %", "of the map on the object", "100 %");
    ngi_put(p, "</svg></figure>\n");
}

void ngi_chart_lines(ngi_page *p, const double *x, int n, const double *values, int lines,
                     const char *const *names, const char *title)
{
    ngi_put(p, "<figure class=\"chart\"><figcaption>");
    ngi_put_html(p, title);
    ngi_put(p, "</figcaption>");
    begin(p, title, BOTTOM + 38);
    double span = n > 1 ? x[n - 1] - x[0] : 1;
    for (int l = 0; l < lines; l++) {
        bool on = false;
        double opacity = l == 0 ? 1 : 0.35;
        ngi_putf(p, "<g opacity=\"%.2f\"><title>", opacity);
        ngi_put_html(p, names[l]);
        ngi_put(p, "</title><path class=\"line\" d=\"");
        for (int i = 0; i < n; i++) {
            double v = values[l * n + i];
            if (!isnan(v))
                ngi_putf(p, "%s%.1f %.1f", on ? "L" : "M", at_x(n > 1 ? (x[i] - x[0]) / span : 0.5), at_y(v));
            on = !isnan(v);
        }
        ngi_put(p, "\"/>");
        for (int i = 0; l == 0 && i < n; i++)
            if (!isnan(values[i]))
                ngi_putf(p,
                         "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>epoch %g: %.1f %%"
                         "</title></circle>",
                         at_x(n > 1 ? (x[i] - x[0]) / span : 0.5), at_y(values[i]), x[i], 100 * values[i]);
        ngi_put(p, "</g>");
    }
    char first[32], last[32];
    snprintf(first, sizeof first, "%g", n ? x[0] : 0);
    snprintf(last, sizeof last, "%g", n ? x[n - 1] : 0);
    label_x(p, n > 1 ? first : "", n > 1 ? "epoch" : first, n > 1 ? last : "");
    ngi_put(p, "</svg></figure>\n");
}
