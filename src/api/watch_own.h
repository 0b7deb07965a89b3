/* What watch.c (the images, looking at them) and watch_files.c (what is kept) share. */
#ifndef NGI_API_WATCH_OWN_H
#define NGI_API_WATCH_OWN_H

#include "api/watch.h"
#include "report/watch.h"

enum { NGI_WATCH_MOST = 64, NGI_WATCH_SIDE = 200, NGI_WATCH_QUALITY = 80 }; /* images; pixels of a photo */

/* What does not change of an image. */
typedef struct ngi_watch_subject {
    int64_t item;
    int class_index; /* of the model */
    ng_image photo;
    ng_geometry geometry; /* of its pixels */
    float *input;         /* [h,w,c] */
    float *region;        /* [h,w] or NULL */
} ngi_watch_subject;

struct ngi_watch {
    ngi_watch_opts o;
    ng_evaluate_opts fit; /* how images are loaded */
    ngi_view view;
    char layer_name[256];
    int height, width, channels, classes;
    char **labels; /* [classes] */
    int n;
    ngi_watch_subject subjects[NGI_WATCH_MOST];
    ngi_watched pages[NGI_WATCH_MOST];
    int map_h, map_w; /* 0 before the first map */
    int n_epochs;
    int *epochs;         /* [n_epochs] */
    ngi_glance *glances; /* [n_epochs][n] */
    float *maps;         /* [n_epochs][n][map_h,map_w] */
    size_t epoch_capacity;
    float *work; /* [n][h,w] */
};

/* Room for one more epoch. */
NG_NODISCARD ng_status ngi_watch_grow(ngi_watch *w, ng_error *err);
float *ngi_watch_map(const ngi_watch *w, int epoch, int image); /* [map_h,map_w] */
NG_NODISCARD ng_status ngi_watch_save(const ngi_watch *w, ng_error *err);
/* Epochs of an earlier run. Files that do not fit one another or the images are as good as none. */
NG_NODISCARD ng_status ngi_watch_resume(ngi_watch *w, ng_error *err);

#endif
