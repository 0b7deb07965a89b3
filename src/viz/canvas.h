/* A white RGB image to put pictures and words on. */
#ifndef NGI_CANVAS_H
#define NGI_CANVAS_H

#include "base/base.h"

#define NGI_INK 34 /* grey level of words and lines */

NG_NODISCARD ng_status ngi_canvas_create(int width, int height, ng_image *out, ng_error *err);
/* Puts a grey or RGB image with its corner at x, y; what lies outside is cut off. An empty one draws nothing.
 */
void ngi_canvas_put(ng_image *canvas, const ng_image *image, int x, int y);
/* Inks a text mask. */
void ngi_canvas_ink(ng_image *canvas, const ng_image *mask, int x, int y);
void ngi_canvas_fill(ng_image *canvas, int x, int y, int width, int height, const uint8_t rgb[3]);

#endif
