/* Augmentation with the names, ranges and formulas of Keras 3's preprocessing layers (keras/src/layers/preprocessing/
 * image_preprocessing). All draws come from Philox by seed, epoch and item alone, so that they are the same for any
 * number of threads and after a resume. Geometry is one bilinear warp: what Keras does in several passes blurs once. */
#ifndef NGI_DATA_AUGMENT_H
#define NGI_DATA_AUGMENT_H

#include "base/base.h"

/* X(kind, text): beyond the image's edge, as ImageProjectiveTransformV3 has it. */
#define NGI_FILL_LIST(X)  \
    X(REFLECT, "reflect") \
    X(NEAREST, "nearest") \
    X(CONSTANT, "constant")

typedef enum ngi_fill {
#define NGI_FILL_ENUM(kind, text) NGI_FILL_##kind,
    NGI_FILL_LIST(NGI_FILL_ENUM)
#undef NGI_FILL_ENUM
        NGI_FILL_COUNT
} ngi_fill;

/* A uniform draw in [low,high]. One number f in the text is [-f,f], of hue, cutout, mixup and cutmix [0,f]. */
typedef struct ngi_range {
    double low, high;
    bool on;
} ngi_range;

typedef struct ngi_augment {
    bool flip_horizontal, flip_vertical; /* each with probability 1/2 */
    ngi_range rotation;                  /* of a turn, RandomRotation */
    ngi_range zoom;                      /* 1 + draw is seen; below 1 is closer, RandomZoom */
    ngi_range translation;               /* of height and of width, RandomTranslation */
    ngi_range contrast;                  /* (x - mean) * (1 + draw) + mean, RandomContrast */
    ngi_range brightness;                /* x + 255 * draw, RandomBrightness */
    ngi_range hue;                       /* of a half turn, either way, RandomHue */
    ngi_range cutout;                    /* probability that a box of noise is laid, RandomErasing */
    ngi_range mixup;                     /* alpha is `high`, MixUp */
    ngi_range cutmix;                    /* alpha is drawn for each batch, CutMix */
    ngi_fill fill;
} ngi_augment;

/* "flip=horizontal,rotation=0.05,zoom=-0.2:0.1,fill=nearest"; "" and "none" augment nothing. The error names what can
 * be written. */
NG_NODISCARD ng_status ngi_augment_parse(const char *text, ngi_augment *out, ng_error *err);
/* Row i of the table behind it, for help texts; NULL behind the last. */
const char *ngi_augment_help(int i, const char **name);

typedef struct ngi_augment_move {
    bool flip_horizontal, flip_vertical;
    double turns, zoom_y, zoom_x, shift_y, shift_x; /* shifts are fractions of the side */
} ngi_augment_move;

/* Output pixel (x, y) is read at (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]): flip, rotation, zoom and translation
 * one after another. */
void ngi_augment_matrix(const ngi_augment_move *move, int h, int w, double m[6]);

/* What is done to one image. */
typedef struct ngi_augment_draw {
    ngi_augment_move move;
    double contrast, brightness, hue; /* neutral: 1, 0, 0 */
    bool erase;
    double box[4];         /* x0, y0, x1, y1: pixels with x0 <= x < x1 */
    uint64_t seed, stream; /* of the noise */
} ngi_augment_draw;

void ngi_augment_draw_image(const ngi_augment *a, uint64_t seed, int64_t epoch, int64_t item, int h, int w,
                            ngi_augment_draw *out);
/* out [h,w,channels] of in [h,w,channels], moved: one bilinear warp. False, and out untouched, where nothing moves. */
bool ngi_augment_warp(const ngi_augment_move *move, ngi_fill fill, const float *in, float *out, int h, int w,
                      int channels);
/* image [h,w,channels] 0..255 in place; work the same. Channels: 3, or 1, whose hue stays. */
void ngi_augment_apply(const ngi_augment_draw *draw, ngi_fill fill, float *image, float *work, int h, int w,
                       int channels);
/* Both. */
void ngi_augment_image(const ngi_augment *a, uint64_t seed, int64_t epoch, int64_t item, float *image,
                       float *work, int h, int w, int channels);

/* MixUp and CutMix of a batch (both on: one or the other, by a coin): images [n,h,w,c], targets [n,k] in place. They
 * are the same before preprocessing and, it being affine, after it. */
NG_NODISCARD ng_status ngi_augment_batch(const ngi_augment *a, uint64_t seed, int64_t epoch, int64_t batch,
                                         float *images, float *targets, int n, int h, int w, int c, int k,
                                         ng_error *err);
/* The arithmetic: x [n,size] becomes weight[i] x[i] + (1 - weight[i]) old[partner[i]]; old [n,size] is x as it was. */
void ngi_mix_up(float *x, const float *old, const int *partner, const double *weight, int n, int64_t size);
/* Inside box [n][x0,y0,x1,y1] the partner's pixels; weight[i] becomes the share that stays. */
void ngi_cut_mix(float *images, const float *old, const int *partner, double (*box)[4], double *weight, int n,
                 int h, int w, int c);

#endif
