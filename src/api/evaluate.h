/* Evaluating: a model's scores of a data set, their report, and the pictures in it. */
#ifndef NGI_API_EVALUATE_H
#define NGI_API_EVALUATE_H

#include "api/api.h"
#include "data/data.h"
#include "report/report.h"

/* ng_evaluate on a data set that is open; `name` is what it is called in the report. For training, whose splits may be its
 * own. */
NG_NODISCARD ng_status ngi_evaluate(const ng_model *model, const ngi_dataset *data, const char *name,
                                    const char *folder, const ng_evaluate_opts *opts, ng_evaluation *out,
                                    ng_error *err);

ng_figure ngi_figure_of(ngi_interval i);

/* The model's class of each class of the data, [data->n_classes], by label; by order where the model has no labels. */
NG_NODISCARD ng_status ngi_match_classes(const ng_model *model, const ngi_dataset *data, int **out,
                                         ng_error *err);

/* What to explain with. method "" where nothing can be explained. */
typedef struct ngi_view {
    const char *method;
    const char *title; /* of the method */
    const char *parameters;
    int layer;
    bool forward_only;
} ngi_view;

NG_NODISCARD ng_status ngi_view_choose(const ng_model *model, const char *method, const char *parameters,
                                       int layer, ngi_view *out, ng_error *err);

/* One model on one data set. */
typedef struct ngi_judging {
    /* The caller's, borrowed: */
    const ng_model *model;
    const ngi_dataset *data;
    const char *name; /* of the data */
    const ng_evaluate_opts *o;
    /* What comes of it: */
    ngi_view view;
    ng_session *session;
    int *class_of; /* [data classes] the model's class of each */
    int split;     /* -1: all */
    bool labels;   /* several sigmoids */
    ngi_report r;  /* without exhibits and facts */
} ngi_judging;

/* judge.c: what is asked for is checked, classes are matched, the session is opened. Also after a failure it is to be cleared. */
NG_NODISCARD ng_status ngi_judging_open(ngi_judging *j, ng_error *err);
/* Then: scores and figures of the images that the options choose. */
NG_NODISCARD ng_status ngi_judge(ngi_judging *j, ng_error *err);
void ngi_judging_clear(ngi_judging *j);
/* The mean of values [n] that are not NaN, with the bootstrap's interval as the options ask for it. */
NG_NODISCARD ng_status ngi_mean_interval(const double *values, int64_t n, const ng_evaluate_opts *o,
                                         ngi_interval *out, ng_error *err);
int64_t ngi_split_count(const ngi_dataset *d, ngi_split split);
/* Model, data, program, machine, as the report ends with them. A fact that there is no memory for is left out. */
void ngi_judging_add_facts(ngi_judging *j);

/* score.c: the network run over the images. */
typedef struct ngi_scored {
    int64_t n;             /* images that were read */
    int64_t *items;        /* [n] of the data set, in its order */
    float *logits;         /* [n,k] */
    double *energy, *area; /* [n] NaN where the item has no region; NULL where no item has one */
    int64_t n_unread;
    ngi_unread *unread; /* [n_unread] */
} ngi_scored;

void ngi_scored_clear(ngi_scored *s);
/* Columns of logits: classes; of a one-output sigmoid (0, z). */
NG_NODISCARD ng_status ngi_score(const ng_model *model, const ngi_dataset *data, const int64_t *order,
                                 int64_t n_order, const ngi_view *view, ng_session *session,
                                 const ng_evaluate_opts *o, bool places, ngi_scored *out, ng_error *err);

/* The share of the map's sum that lies on the object, and of the input that the object fills; region and work [height,width] of
 * the network's input. NaN for a map of zeros. */
void ngi_measure_place(const ng_map *map, const float *region, int height, int width, float *work,
                       double *energy, double *area);

/* exhibit.c: the pictures of a report's exhibits. */
NG_NODISCARD ng_status ngi_exhibit_draw(const ng_model *model, ngi_report *r, const ngi_view *view,
                                        ng_session *session, const ng_evaluate_opts *o, ng_error *err);
/* One image: the photo at most `side` pixels long, its outline drawn, and the geometry of its maps. `input` [h,w,c] receives
 * what the network sees. */
NG_NODISCARD ng_status ngi_exhibit_load(const ng_model *model, const ngi_data_item *item,
                                        const ng_evaluate_opts *o, int side, float *input, ng_image *photo,
                                        ng_geometry *geometry, ng_error *err);

/* The map as a picture to lie over the photo, clear where it says nothing. */
NG_NODISCARD ng_status ngi_exhibit_heatmap(const ng_map *map, const ng_geometry *geometry,
                                           const char *colormap, ngi_buffer *out, ng_error *err);

/* crew.c: `work` for every index below n, on the session and clones of it; `worker` is below `threads`. The first failure ends
 * all. */
typedef ng_status ngi_crew_work(void *context, ng_session *session, int worker, int64_t index, ng_error *err);
NG_NODISCARD ng_status ngi_crew_run(ng_session *session, int threads, int64_t n, ngi_crew_work *work,
                                    void *context, ng_error *err);

#endif
