/* Segments of a picture by Felzenszwalb and Huttenlocher (2004), as scikit-image computes them. */
#ifndef NGI_FELZENSZWALB_H
#define NGI_FELZENSZWALB_H

#include "tensor/tensor.h"

/* labels [n_scales][h,w], from 0 in reading order of each segment's first pixel; counts [n_scales]. image [h,w,c]:
 * skimage.segmentation.felzenszwalb(image, scale, sigma, min_size, channel_axis=-1) for each scale. */
NG_NODISCARD ng_status ngi_felzenszwalb(const double *image, int h, int w, int c, const double *scales,
                                        int n_scales, double sigma, int min_size, int *labels, int *counts,
                                        ng_error *err);

/* out [oh,ow,c]: skimage.transform.resize(image, order=3, mode="constant", anti_aliasing=True, preserve_range=True). */
NG_NODISCARD ng_status ngi_resize_spline(const double *image, int h, int w, int c, double *out, int oh,
                                         int ow, ng_error *err);
/* out [oh,ow]: the same with order=0, anti_aliasing=False, of whole numbers [h,w]. */
void ngi_resize_nearest(const int *labels, int h, int w, int *out, int oh, int ow);

#endif
