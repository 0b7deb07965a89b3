/* What was found out about a classifier on a data set, as one page, JSON and CSV. This folder writes; src/api finds out. */
#ifndef NGI_REPORT_H
#define NGI_REPORT_H

#include "data/data.h"
#include "metrics/calibration.h"
#include "metrics/classification.h"
#include "report/page.h"

/* One image of the page, with what the model looked at. */
typedef struct ngi_exhibit {
    int64_t image;         /* index among the judged images */
    bool gone;             /* it could be scored, but not read again to be shown: there are no pictures */
    int width, height;     /* of the photo */
    ngi_buffer photo;      /* encoded; the outline of its mask or box drawn */
    int n_maps;            /* 0 (no spatial layer, or it could not be explained) to 2 */
    int class_index[2];    /* whose score the maps explain */
    ngi_buffer heatmap[2]; /* encoded, of the photo's shape */
    const char *status[2]; /* of the maps: "ok", "all-negative", ... */
} ngi_exhibit;

/* Exhibits of one section, by their number. */
typedef struct ngi_exhibit_list {
    int64_t *at; /* [n] */
    int64_t n;
} ngi_exhibit_list;

typedef struct ngi_fact {
    const char *name;
    char *value; /* owned */
} ngi_fact;

typedef struct ngi_unread {
    int64_t item;
    char *reason; /* owned */
} ngi_unread;

enum { NGI_MAX_FACTS = 32 };

typedef struct ngi_report {
    const char *title; /* borrowed, as all texts here that are not said to be owned */
    const ngi_dataset *data;
    const char *split; /* "test", ... or "all" */
    char **labels;     /* [k], owned */
    int64_t n;         /* images judged */
    int64_t *items;    /* [n] of the data set */
    ngi_scores scores; /* owned arrays */
    ngi_classification figures;
    double *energy, *area; /* [n] share of the map in the mask or box, and of the input; NaN; NULL: no data */
    ngi_interval energy_mean; /* of all images that have it */
    double area_mean;         /* of the object in the picture */
    int bins;
    ngi_reliability width[2], mass[2]; /* at temperature 1, and at the fitted one */
    ngi_temperature temperature;
    const char *fitted_on; /* "val", or "the same images" */
    double loss_scaled;    /* log loss at the temperature */
    double confidence;     /* of all intervals */
    int resamples;
    int64_t n_unread;
    ngi_unread *unread;    /* [n_unread] */
    ngi_exhibit *exhibits; /* [n_exhibits] */
    int64_t n_exhibits, n_gone;
    ngi_exhibit_list losses, mistakes, misplaced, surest;
    const char *method; /* "Grad-CAM", "" without maps */
    const char *layer;
    const char *colormap;
    ngi_fact facts[NGI_MAX_FACTS];
    int n_facts;
} ngi_report;

void ngi_report_clear(ngi_report *r);

/* What class an image is of, for its place in the page: with labels its first. */
int ngi_report_truth(const ngi_report *r, int64_t image);
bool ngi_report_right(const ngi_report *r, int64_t image);

/* select.c: which images the page shows, `pictures` each of the greatest losses and of those right for the wrong place, at most
 * eight times as many mistakes. Makes the exhibits, without pictures, and the lists. */
NG_NODISCARD ng_status ngi_report_select(ngi_report *r, int pictures, ng_error *err);

/* folder/report.html, report.json, predictions.csv; each atomically, the page last. The folder exists. */
NG_NODISCARD ng_status ngi_report_save(const ngi_report *r, const char *folder, ng_error *err);
/* report.json's text. */
void ngi_report_json(const ngi_report *r, ngi_page *p);

#endif
