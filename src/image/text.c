/* Text as grey masks, drawn by vips (Pango). Debian's libvips brings fonts-dejavu-core or another font; a
 * system without any still gets its pictures, without words. */
#include "image/text.h"

#include "image/image.h"
#include "image/start.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
/* fontconfig links its cached patterns by offsets, which the leak checker cannot follow: it would report all
 * fonts that Pango still holds at exit. */
NG_API const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}
#endif

#define MAX_TEXT 500 /* bytes drawn of a text */
#define STRUT    "|" /* as tall as the font's ascent; drawn first and cut off */

static pthread_once_t probed = PTHREAD_ONCE_INIT;
static bool has_font;

/* Pango markup of `text`: repaired UTF-8, shortened, escaped. */
static char *to_markup(const char *text, const char *prefix)
{
    char *valid = g_utf8_make_valid(text, -1);
    if (strlen(valid) > MAX_TEXT)
        *g_utf8_find_prev_char(valid, valid + MAX_TEXT - 2) = '\0';
    g_strdelimit(valid, "\r\t\v\f", ' ');
    char *joined = g_strconcat(prefix, valid, NULL);
    char *markup = g_markup_escape_text(joined, -1);
    g_free(joined);
    g_free(valid);
    return markup;
}

/* A memory image of one band. */
static VipsImage *draw(const char *text, const char *prefix, const ngi_text_style *style, int wrap_width)
{
    char font[64];
    snprintf(font, sizeof font, "DejaVu Sans, Sans %s%d", style->bold ? "Bold " : "", style->pixels);
    char *markup = to_markup(text, prefix);
    VipsImage *drawn = NULL;
    int result = wrap_width > 0
                     ? vips_text(&drawn, markup, "font", font, "dpi", 72, "width", wrap_width, "align",
                                 VIPS_ALIGN_CENTRE, "wrap", VIPS_TEXT_WRAP_WORD_CHAR, NULL)
                     : vips_text(&drawn, markup, "font", font, "dpi", 72, NULL);
    g_free(markup);
    if (result != 0)
        return NULL;
    ngi_vips_single_thread(drawn);
    VipsImage *memory = vips_image_copy_memory(drawn);
    g_object_unref(drawn);
    return memory;
}

/* Without a font Pango draws every letter as the same empty box. */
static void probe(void)
{
    const ngi_text_style style = {.pixels = 20};
    VipsImage *narrow = draw("i", "", &style, 0), *wide = draw("W", "", &style, 0);
    has_font = narrow && wide && narrow->Xsize != wide->Xsize;
    g_clear_object(&narrow);
    g_clear_object(&wide);
    ngi_vips_forget();
}

static bool is_blank(const char *text)
{
    return !text || text[strspn(text, " \t\r\n\v\f")] == '\0';
}

static bool is_column_blank(const VipsImage *image, int x)
{
    for (int y = 0; y < image->Ysize; y++)
        if (*VIPS_IMAGE_ADDR(image, x, y))
            return false;
    return true;
}

/* Columns of the strut and of the gap after it. */
static int strut_width(const VipsImage *image)
{
    int x = 0;
    while (x < image->Xsize && !is_column_blank(image, x))
        x++;
    while (x < image->Xsize && is_column_blank(image, x))
        x++;
    return x;
}

static ng_status copy_mask(const VipsImage *drawn, int skip, ng_image *mask, ng_error *err)
{
    if (skip >= drawn->Xsize)
        return NG_OK;
    NGI_TRY(ngi_image_create(drawn->Xsize - skip, drawn->Ysize, 1, mask, err));
    for (int y = 0; y < mask->height; y++)
        memcpy(mask->data + (size_t)y * mask->width, VIPS_IMAGE_ADDR(drawn, skip, y), (size_t)mask->width);
    return NG_OK;
}

ng_status ngi_text_draw(const char *text, const ngi_text_style *style, ng_image *mask, ng_error *err)
{
    *mask = (ng_image){0};
    if (is_blank(text))
        return NG_OK;
    NGI_TRY(ngi_vips_start(err));
    pthread_once(&probed, probe);
    if (!has_font)
        return NG_OK;
    VipsImage *drawn = draw(text, STRUT, style, 0);
    int skip = drawn ? strut_width(drawn) : 0;
    if (drawn && style->wrap_width > 0 && drawn->Xsize - skip > style->wrap_width) {
        g_object_unref(drawn);
        drawn = draw(text, "", style, style->wrap_width);
        skip = 0;
    }
    if (!drawn) { /* no ink in it: a picture must not fail for its caption */
        ngi_vips_forget();
        return NG_OK;
    }
    ng_status status = copy_mask(drawn, skip, mask, err);
    g_object_unref(drawn);
    return status;
}
