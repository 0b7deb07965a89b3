/* The images of a command: which files, how one becomes the network's input, and the picture beneath its maps. */
#ifndef NETGAZE_APP_IMAGES_H
#define NETGAZE_APP_IMAGES_H

#include "app.h"

typedef struct inputs {
    char **paths; /* [count] in the order given; sorted within folders and globs, without repeats */
    char **stems; /* [count] unique, for the names of files written */
    int count;
} inputs;

/* Expands the arguments from `first` on: files, folders (with subfolders where asked for), quoted globs. Skips the output folder
 * (may be NULL) and pictures that netgaze wrote. EXIT_DONE, or another code after saying why. */
int find_inputs(const settings *s, int first, const char *output, inputs *out);
void inputs_clear(inputs *in);

/* How images are brought to the network's input. */
typedef struct fitting {
    ng_fit fit;
    ng_resample resample;
    double window_center, window_width; /* of images of more than 8 bits; width 0: their own range */
} fitting;

int read_fitting(const settings *s, fitting *out);

typedef struct picture {
    ng_array input; /* [n,h,w,c] */
    int n;          /* network inputs: 1, or the first dimension of an array */
    bool is_array;  /* from a .npy file */
    bool numbered;  /* an array of four dimensions: results carry the item's number */
    ng_image image; /* the original; empty for arrays */
    ng_geometry geometry;
} picture;

ng_status picture_load(const ng_model *model, const char *path, const fitting *f, picture *out,
                       ng_error *err);
void picture_clear(picture *p);
/* The item's values, [h,w,c]. */
const float *picture_input(const picture *p, int item);
/* What overlays of an item are drawn on: the image, or the array's values from minimum to maximum. The caller clears
 * *out, which may borrow p's pixels: use base_clear. */
ng_status picture_base(const picture *p, int item, ng_image *out, ng_error *err);
void base_clear(const picture *p, ng_image *base);
/* An array [h,w,c] as a picture: colour for three channels, else the mean of the channels. */
ng_status draw_array(const float *data, int h, int w, int c, ng_image *out, ng_error *err);

/* Defined here, so that the analyzer sees that it never returns NG_OK. */
static inline ng_status fail_memory(ng_error *err)
{
    err->status = NG_E_MEMORY;
    snprintf(err->text, sizeof err->text, "out of memory");
    return NG_E_MEMORY;
}

#endif
