/* Watching images while a model learns: after each epoch their heatmaps, kept in files that a run which goes on reads again. */
#ifndef NGI_API_WATCH_H
#define NGI_API_WATCH_H

#include "api/evaluate.h"

typedef struct ngi_watch ngi_watch;

/* Everything pointed to is borrowed until ngi_watch_close. */
typedef struct ngi_watch_opts {
    const ngi_dataset *data;
    int images; /* how many are watched, dealt evenly over the classes of val (of all, if there is none), each class's first ones */
    const char *folder;              /* is made */
    const char *title;               /* of the page */
    const char *method, *parameters; /* NULL: Grad-CAM */
    int layer;                       /* -1: the model's automatic one */
    ng_fit fit;
    ng_resample resample;
    const ng_image_opts *image; /* NULL: the defaults */
    int threads;
    const char *backend;
    bool
        resume; /* epochs that an earlier run left in the folder are kept where their numbers fit: the data must be the same */
    int before; /* with resume: only those below this epoch; 0: all */
} ngi_watch_opts;

/* `model` says what input and classes are; only ngi_watch_add runs it. An error where no layer can be explained. */
NG_NODISCARD ng_status ngi_watch_open(const ng_model *model, const ngi_watch_opts *opts, ngi_watch **out,
                                      ng_error *err);
/* Looks with the model as it is now, and writes folder/watch.html, watch.npy (maps [epochs,images,h,w]) and
 * watch-figures.npy ([epochs,images,4]: epoch, probability of the image's class, predicted class, share of the map on the
 * object or -1). */
NG_NODISCARD ng_status ngi_watch_add(ngi_watch *w, const ng_model *model, int epoch, ng_error *err);
/* Writes folder/watch.webp: the images side by side, a frame an epoch. */
NG_NODISCARD ng_status ngi_watch_finish(ngi_watch *w, ng_error *err);
void ngi_watch_close(ngi_watch *w);

/* Of the images looked at in the last epoch, the mean share of the map on the object; NaN without masks or boxes. */
double ngi_watch_energy(const ngi_watch *w);

#endif
