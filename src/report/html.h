/* The parts of a page. */
#ifndef NGI_REPORT_HTML_H
#define NGI_REPORT_HTML_H

#include "report/report.h"

/* style.c: everything up to <main>'s content, and everything behind it. Nothing is fetched: a content policy says so too. */
void ngi_html_begin(ngi_page *p, const char *title);
void ngi_html_end(ngi_page *p);
/* What the script shows where there is one: a slider over the strength of all heatmaps, and their colours. */
void ngi_html_controls(ngi_page *p, const char *colormap);

/* chart.c: SVG, its text readable without it. */
/* An interval of 0 to 1 as a bar. */
void ngi_chart_interval(ngi_page *p, ngi_interval i);
/* Points of bins of equal mass over the histogram of bins of equal width. */
void ngi_chart_reliability(ngi_page *p, const ngi_reliability *mass, const ngi_reliability *width,
                           const char *title);
/* Images by their share, of those that are right and of those that are not. */
void ngi_chart_shares(ngi_page *p, const ngi_report *r);
/* Lines over x [n] of 0 to 1; values [lines][n], NaN leaves a gap. */
void ngi_chart_lines(ngi_page *p, const double *x, int n, const double *values, int lines,
                     const char *const *names, const char *title);

/* gallery.c: the images. */
void ngi_gallery_losses(ngi_page *p, const ngi_report *r, bool *shown);
void ngi_gallery_mistakes(ngi_page *p, const ngi_report *r, bool *shown);
void ngi_gallery_misplaced(ngi_page *p, const ngi_report *r, bool *shown);
void ngi_gallery_surest(ngi_page *p, const ngi_report *r, bool *shown);
/* Of class c, as the model gives it. */
double ngi_report_probability(const ngi_report *r, int64_t image, int c);

/* table.c: the confusion matrix and the classes. */
void ngi_table_confusion(ngi_page *p, const ngi_report *r);
void ngi_table_classes(ngi_page *p, const ngi_report *r);

/* "85.8 %" or a dash. */
void ngi_put_percent(ngi_page *p, double share);
/* "82.4 to 88.7 %", small. */
void ngi_put_range(ngi_page *p, ngi_interval i, bool percent);

/* files.c: JSON. "name": {"value": .., "low": .., "high": ..} */
void ngi_json_interval(ngi_page *p, const char *name, ngi_interval i);
/* {"Model": .., ..} */
void ngi_json_facts(ngi_page *p, const ngi_report *r);

/* files.c: CSV. The image's class, and what the model says of it; several labels with '|' between them, as a data set's CSV has
 * them. */
void ngi_csv_truth(ngi_page *p, const ngi_report *r, int64_t image);
void ngi_csv_said(ngi_page *p, const ngi_report *r, int64_t image);

/* html.c */
/* Up to a section's heading and what is said beneath it. */
void ngi_html_section(ngi_page *p, const char *id, const char *title, const char *text);
/* The list of facts. */
void ngi_html_facts(ngi_page *p, const ngi_report *r);
void ngi_report_html(const ngi_report *r, ngi_page *p);

#endif
