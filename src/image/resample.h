/* Resizing of 8-bit images, each function equal to another library's. Pure arithmetic: no vips. */
#ifndef NGI_IMAGE_RESAMPLE_H
#define NGI_IMAGE_RESAMPLE_H

#include "tensor/tensor.h"

/* src [h,w,c] to dst [oh,ow,c] by the named rule. */
NG_NODISCARD ng_status ngi_image_resample(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow,
                                          ng_resample rule, ng_error *err);
/* Room for an image; data uninitialised. */
NG_NODISCARD ng_status ngi_image_allocate(int width, int height, int channels, ng_image *out, ng_error *err);

#endif
