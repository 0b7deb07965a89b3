/* Tensors: shapes, fixed-order sums, finite checks, resampling of float maps, .npy files. */
#ifndef NGI_TENSOR_H
#define NGI_TENSOR_H

#include "base/base.h"

#define NGI_MAX_RANK     5
#define NGI_MAX_ELEMENTS ((int64_t)1 << 34) /* per tensor: a safety limit, not a size */

/* Dimensions, outermost first. A scalar has rank 0. */
typedef struct ngi_shape {
    int rank;
    int64_t dim[NGI_MAX_RANK];
} ngi_shape;

/* Number of elements; -1 where a dimension is negative or the product passes NGI_MAX_ELEMENTS. */
int64_t ngi_shape_count(const ngi_shape *s);
bool ngi_shape_equal(const ngi_shape *a, const ngi_shape *b);
ngi_shape ngi_shape_of(int rank, ...); /* int64_t dims; cast literals */
/* "[3,3,32,64]" into text; returns text. */
#define NGI_SHAPE_TEXT 112
const char *ngi_shape_text(const ngi_shape *s, char text[NGI_SHAPE_TEXT]);

/* Sum in double, in a fixed pairwise-free order: element 0 first. */
double ngi_sum(const float *x, int64_t n);
double ngi_dot(const float *a, const float *b, int64_t n);
/* Index of the first NaN or infinity, -1 if there is none. */
int64_t ngi_find_non_finite(const float *x, int64_t n);
void ngi_min_max(const float *x, int64_t n, float *min, float *max); /* n >= 1, finite */

/* ---- Resampling of one-channel float maps: src [h,w] to dst [oh,ow] ------------------------- */

/* Half-pixel bilinear, edge clamped, no antialias: tf.image.resize, cv2.resize INTER_LINEAR on float32,
 * torch interpolate(align_corners=False). Reads the source window [y0,y1) x [x0,x1) given in source
 * cells (fractions allowed; 0,h and 0,w for all of it). */
void ngi_resize_bilinear(const float *src, int h, int w, double y0, double x0, double y1, double x1,
                         float *dst, int oh, int ow);
/* Corner-aligned linear: scipy.ndimage.zoom(order=1), torch align_corners=True. */
void ngi_resize_aligned(const float *src, int h, int w, float *dst, int oh, int ow);
/* cv2.resize INTER_LINEAR on uint8 [h,w,c], OpenCV's fixed-point weights (11 bits) and rounding. */
NG_NODISCARD ng_status ngi_resize_cv_u8(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow,
                                        ng_error *err);

/* ---- Maps at image pixels (region.c) --------------------------------------------------------- */

/* The map [map_h,map_w] at the image's pixels, out [image_height,image_width], as in the overlay: half-pixel bilinear, 0
 * outside of what the input covered. */
void ngi_map_spread(const float *map, int map_h, int map_w, const ng_geometry *g, float *out);
/* The largest connected region (8 neighbours) of values [h,w] that are above 0 and at least `least`; all 0 where there is
 * none. The values are used up; queue [h*w] is room to work in. w * h must fit an int. */
ng_box ngi_largest_region(float *values, int w, int h, double least, int *queue);

#endif
