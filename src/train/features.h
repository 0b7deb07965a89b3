/* Features of a data set's images, computed once and kept in a mapped file: one row an image. A row counts when its
 * checksum is there, so that an interrupted run goes on where it was, also after a kill. */
#ifndef NGI_TRAIN_FEATURES_H
#define NGI_TRAIN_FEATURES_H

#include "data/loader.h"
#include "train/trunk.h"

typedef struct ngi_features {
    int64_t n, width;
    float *rows;     /* [n,width] */
    uint64_t *marks; /* [n] 0: not there yet, 1: the image is unreadable, else the row's checksum */
    void *base;      /* the mapping, or a block in memory */
    size_t size;
    bool mapped;
    int64_t found; /* rows that were there when it was opened, unreadable ones not counted */
} ngi_features;

#define NGI_FEATURES_WIDTH ((int64_t)1 << 20) /* numbers of a row at most */

/* Opens the file of this key, or begins a new one in place of another; its space is taken at once, so that a full disk
 * is an error here and nowhere else. path NULL: in memory. */
NG_NODISCARD ng_status ngi_features_open(const char *path, const char key[NGI_HASH_TEXT], int64_t n,
                                         int64_t width, ngi_features *out, ng_error *err);
void ngi_features_clear(ngi_features *f);
/* [width]; NULL where the image is unreadable or not computed. */
const float *ngi_features_row(const ngi_features *f, int64_t item);
void ngi_features_set(ngi_features *f, int64_t item); /* after its row was written */

/* Whose features: by the model, where it is cut, how images are read, and each image's path, size and time. */
NG_NODISCARD ng_status ngi_features_key(const ngi_loader_options *images, const char *model, const char *cut,
                                        char key[NGI_HASH_TEXT], ng_error *err);

typedef struct ngi_features_run {
    ngi_trunk *trunk;
    ngi_loader_options images; /* data, size, preprocessing, threads; order and batch are set here */
    const ngi_graph *graph;
    int features;    /* the trunk's node, where it has no taps */
    const int *taps; /* [n_taps] as the trunk's: the row is the taps' means over height and width */
    int n_taps;
    int (*progress)(void *user, int64_t done, int64_t total); /* not 0 stops: NG_E_CANCELLED. May be NULL */
    void (*unreadable)(void *user, int64_t item, const ng_error *why); /* may be NULL */
    void *user;
} ngi_features_run;

/* Floats of a row. */
int64_t ngi_features_width(const ngi_features_run *r);
/* All rows that are not there yet. */
NG_NODISCARD ng_status ngi_features_compute(ngi_features *f, const ngi_features_run *run, ng_error *err);

#endif
