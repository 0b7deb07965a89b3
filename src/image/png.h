/* Writing PNG (ISO 15948), 8-bit grey and RGB. */
#ifndef NGI_IMAGE_PNG_H
#define NGI_IMAGE_PNG_H

#include "image/image.h"

/* The whole file: *bytes [*size], by ngi_alloc. */
NG_NODISCARD ng_status ngi_png_encode(const ng_image *image, uint8_t **bytes, size_t *size, ng_error *err);

#endif
