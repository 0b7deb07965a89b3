/* Text as a grey mask, for titles and colour bars. */
#ifndef NGI_IMAGE_TEXT_H
#define NGI_IMAGE_TEXT_H

#include "image/resample.h"

/* Renders one line of UTF-8 at a font size of `pixels` into a new one-channel mask (0 background, 255 ink). Where the
 * system has no font the mask is 1x1 and empty: a picture without its text is better than none. */
NG_NODISCARD ng_status ngi_text_render(const char *text, int pixels, ng_image *out, ng_error *err);

#endif
