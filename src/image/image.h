/* Images inside the library: allocation, the resamplers behind ng_image_fit, channel changes. The resampling
 * arithmetic knows nothing of vips or files. */
#ifndef NGI_IMAGE_H
#define NGI_IMAGE_H

#include "base/base.h"

#define NGI_MAX_SIDE   100000             /* pixels of one side */
#define NGI_MAX_PIXELS ((int64_t)1 << 28) /* of an image made here (loading has its own, settable limit) */

/* A new image with undefined pixels; refuses sides outside 1..NGI_MAX_SIDE and more than NGI_MAX_PIXELS. */
NG_NODISCARD ng_status ngi_image_create(int width, int height, int channels, ng_image *out, ng_error *err);
/* Refuses an image without pixels or with impossible sides or channels; `what` begins the error. */
NG_NODISCARD ng_status ngi_image_check(const ng_image *image, const char *what, ng_error *err);
NG_NODISCARD ng_status ngi_image_copy(const ng_image *image, ng_image *out, ng_error *err);
/* A new image with 1 or 3 channels. Grey is PIL's convert("L"); RGB from grey repeats it. */
NG_NODISCARD ng_status ngi_image_convert(const ng_image *image, int channels, ng_image *out, ng_error *err);

/* The whole image at out_width x out_height. */
NG_NODISCARD ng_status ngi_image_resize(const ng_image *image, int out_width, int out_height,
                                        ng_resample resample, ng_image *out, ng_error *err);

/* The parts of ngi_image_resize, one file each; `out` is allocated, of the wanted size and the same channels.
 */
NG_NODISCARD ng_status ngi_resample_pil(const ng_image *image, ng_resample filter, ng_image *out,
                                        ng_error *err);
NG_NODISCARD ng_status ngi_resample_nearest(const ng_image *image, ng_image *out, ng_error *err);
NG_NODISCARD ng_status ngi_resample_tf(const ng_image *image, ng_image *out, ng_error *err);

/* encode.c: pictures for pages, in memory: WebP where vips has it, else JPEG. Appended to `out`. */
NG_NODISCARD ng_status ngi_image_encode(const ng_image *image, int quality, ngi_buffer *out, ng_error *err);
/* Pixels [h,w,4] with alpha: WebP, else PNG. */
NG_NODISCARD ng_status ngi_image_encode_rgba(const uint8_t *pixels, int width, int height, int quality,
                                             ngi_buffer *out, ng_error *err);
/* An animated WebP that repeats for ever; frames [n] of one size and 3 channels, `milliseconds` each. */
NG_NODISCARD ng_status ngi_image_encode_animation(const ng_image *frames, int n, int milliseconds,
                                                  int quality, ngi_buffer *out, ng_error *err);

#endif
