/* Text as grey masks. */
#ifndef NGI_IMAGE_TEXT_H
#define NGI_IMAGE_TEXT_H

#include "base/base.h"

typedef struct ngi_text_style {
    int pixels; /* font size */
    bool bold;
    int wrap_width; /* longer text is broken into centred lines of at most this many pixels; 0: one line */
} ngi_text_style;

/* Draws UTF-8 `text` into a new one-channel mask (0: nothing, 255: full ink). One line of text reaches from
 * the font's ascent down, so that lines placed side by side share their base line. The mask is empty ({0})
 * where there is nothing to draw: no text, characters without ink, or a system without any font. */
NG_NODISCARD ng_status ngi_text_draw(const char *text, const ngi_text_style *style, ng_image *mask,
                                     ng_error *err);

#endif
