/* Batches of network inputs, decoded, resized, augmented and preprocessed by threads of their own while the caller
 * computes. What a batch holds depends on the order, the seed and the epoch alone, never on the threads. */
#ifndef NGI_DATA_LOADER_H
#define NGI_DATA_LOADER_H

#include "data/augment.h"
#include "data/data.h"
#include "nn/preprocess.h"

typedef struct ngi_loader ngi_loader;

/* Everything pointed to is borrowed until ngi_loader_free. */
typedef struct ngi_loader_options {
    const ngi_dataset *data;
    const int64_t *order; /* [n_order] items, in the order wanted; an item may come several times */
    int64_t n_order;
    const int64_t *
        draws; /* [n_order] what each one's random numbers are drawn by, beside seed and epoch; NULL: its item */
    int batch, height, width, channels; /* channels 1 or 3 */
    ng_fit fit;
    ng_resample resample;
    ngi_preprocess preprocess;
    const ng_image_opts *image; /* NULL: the defaults; `channels` above is what counts */
    const ngi_augment *augment; /* NULL: none; its mixing of batches is the caller's, ngi_augment_batch */
    /* The probability by which an object whose region is known is laid on the background of another image, drawn anew each
     * epoch from donors [n_donors] (items whose region is known), their objects painted over (region.h). 0: never. */
    double background_swap;
    const int64_t *donors;
    int64_t n_donors;
    int grid_h, grid_w; /* not 0: where the objects are is given too, as seen by the cells of such a grid */
    uint64_t seed;
    int64_t epoch;
    int threads; /* 0: 1 */
    int ahead;   /* batches made before they are asked for; 0: 2 */
    /* An image that cannot be read ends the run with its error; with this it is told and left out. */
    bool skip_unreadable;
    void (*unreadable)(void *user, int64_t item,
                       const ng_error *why); /* by the caller's thread; may be NULL */
    void *user;
} ngi_loader_options;

NG_NODISCARD ng_status ngi_loader_create(const ngi_loader_options *options, ngi_loader **out, ng_error *err);

/* images [n,h,w,c], which the caller may change, and items [n], valid until the next call. n is `batch`, less for the
 * last and where images were left out, and 0 behind the last. */
typedef struct ngi_loader_batch {
    float *images;
    const float
        *regions; /* [n,grid_h,grid_w] share of a cell that is object, moved as the image was; an image whose
                             region is not known begins with -1. NULL without a grid */
    const int64_t *items;
    int n;
    int64_t number; /* of the batch, from 0 */
} ngi_loader_batch;

NG_NODISCARD ng_status ngi_loader_next(ngi_loader *l, ngi_loader_batch *out, ng_error *err);
/* Left out so far. */
int64_t ngi_loader_skipped(const ngi_loader *l);
/* One image of a batch, as the threads make it: out [h,w,c], grid [grid_h,grid_w] or NULL; work [ngi_loader_work]. Random
 * numbers are drawn by `draw`. */
NG_NODISCARD ng_status ngi_loader_image(const ngi_loader_options *o, const ng_image_opts *opts, int64_t item,
                                        int64_t draw, float *work, float *out, float *grid, ng_error *err);
int64_t ngi_loader_work(const ngi_loader_options *o);
/* Stops the threads; NULL is fine. */
void ngi_loader_free(ngi_loader *l);

#endif
