/* The page of images that were watched over epochs of training. */
#ifndef NGI_REPORT_WATCH_H
#define NGI_REPORT_WATCH_H

#include "report/page.h"

/* One image. */
typedef struct ngi_watched {
    const char *path, *label; /* borrowed; the label is what the maps explain */
    int width, height;        /* of the photo */
    ngi_buffer photo;
    bool has_place; /* a mask or box */
} ngi_watched;

/* One image in one epoch. */
typedef struct ngi_glance {
    ngi_buffer heatmap;
    double probability; /* of the image's own class */
    double energy;      /* share of the map on the object; NaN */
    int predicted;      /* class */
} ngi_glance;

typedef struct ngi_watch_page {
    const char *title, *method, *layer, *colormap;
    char *const *labels; /* [classes] */
    int n_images, n_epochs;
    const ngi_watched *images; /* [n_images] */
    const int *epochs;         /* [n_epochs] as training counts them */
    const ngi_glance *glances; /* [n_epochs][n_images] */
} ngi_watch_page;

/* A row an image, a column an epoch (a dozen at most, evenly spread), a slider over all; charts of where the maps are and of
 * how sure the model is. */
void ngi_watch_html(const ngi_watch_page *w, ngi_page *p);

#endif
