/* Two models on the same images: what changed, as one page, JSON and CSV. */
#ifndef NGI_REPORT_COMPARE_H
#define NGI_REPORT_COMPARE_H

#include "report/report.h"

/* One class of the images, by A's numbers. */
typedef struct ngi_compared_class {
    int64_t images, right[2]; /* by each model */
    int64_t gained, lost;     /* images that only B, only A gets right */
    double p;                 /* McNemar's */
} ngi_compared_class;

/* Index 0 is A, the model before; 1 is B, the model after. */
typedef struct ngi_comparison {
    const char *title;
    const ngi_report
        *of[2];          /* exhibits are the same images in both, one map each: of the image's own class */
    int64_t n;           /* images that both judged */
    int64_t *image[2];   /* [n] their index in each report, owned */
    int *class_of_b;     /* [k] B's class of A's, owned */
    int64_t count[2][2]; /* [A right][B right] */
    ngi_interval accuracy[2], accuracy_change;
    double p;       /* McNemar's */
    int64_t placed; /* images whose share of the map on the object both models have */
    ngi_interval energy[2], energy_change;
    ngi_compared_class *classes; /* [k], owned */
    int64_t fixed, broken; /* exhibits: first so many that only B gets right, then so many that only A does */
} ngi_comparison;

void ngi_comparison_clear(ngi_comparison *c);
/* Images that one of the models at least could not judge, or could not be shown with; of the model with more. */
int64_t ngi_comparison_unread(const ngi_comparison *c);
int64_t ngi_comparison_gone(const ngi_comparison *c);

/* folder/compare.html, compare.json, compare.csv; each atomically, the page last. The folder exists. */
NG_NODISCARD ng_status ngi_comparison_save(const ngi_comparison *c, const char *folder, ng_error *err);
/* compare.html's text. */
void ngi_comparison_html(const ngi_comparison *c, ngi_page *p);

#endif
