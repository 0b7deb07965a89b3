/* Figures: the side-by-side one with title and numbered colour bar, and grids of captioned pictures. Text and margins
 * scale with the pictures. */
#include "viz/viz.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LARGEST_PANEL 1600 /* pixels: larger pictures are reduced in figures */
#define SMALLEST_PANEL 320

void ngi_paste(ng_image *canvas, const ng_image *src, int x, int y)
{
    for (int row = 0; row < src->height; row++)
        for (int column = 0; column < src->width; column++) {
            int cx = x + column, cy = y + row;
            if (cx < 0 || cy < 0 || cx >= canvas->width || cy >= canvas->height)
                continue;
            const uint8_t *p = src->data + ((int64_t)row * src->width + column) * src->channels;
            uint8_t *q = canvas->data + ((int64_t)cy * canvas->width + cx) * 3;
            for (int c = 0; c < 3; c++)
                q[c] = p[src->channels == 3 ? c : 0];
        }
}

ng_status ngi_write_text(ng_image *canvas, const char *text, int pixels, int x, int y, ngi_anchor anchor, int most_width,
                         ng_error *err)
{
    ngi_text_style style = {.pixels = pixels};
    ng_image mask;
    NGI_TRY(ngi_text_draw(text, &style, &mask, err));
    while (mask.width > most_width && style.pixels > 8) { /* a long title is set smaller */
        int smaller = style.pixels * most_width / mask.width;
        style.pixels = smaller < 8 ? 8 : smaller < style.pixels ? smaller : style.pixels - 1;
        ng_image_clear(&mask);
        NGI_TRY(ngi_text_draw(text, &style, &mask, err));
    }
    int left = anchor == NGI_LEFT ? x : anchor == NGI_CENTRE ? x - mask.width / 2 : x - mask.width;
    for (int row = 0; row < mask.height; row++)
        for (int column = 0; column < mask.width; column++) {
            int cx = left + column, cy = y + row;
            if (cx < 0 || cy < 0 || cx >= canvas->width || cy >= canvas->height)
                continue;
            int ink = mask.data[(int64_t)row * mask.width + column];
            uint8_t *q = canvas->data + ((int64_t)cy * canvas->width + cx) * 3;
            for (int c = 0; c < 3; c++)
                q[c] = (uint8_t)(q[c] * (255 - ink) / 255);
        }
    ng_image_clear(&mask);
    return NG_OK;
}

static ng_status white_canvas(int width, int height, ng_image *out, ng_error *err)
{
    NGI_TRY(ngi_image_create(width, height, 3, out, err));
    memset(out->data, 255, (size_t)width * (size_t)height * 3);
    return NG_OK;
}

/* A copy at panel size: as it is, enlarged by a whole factor when tiny, reduced when huge. */
static ng_status panel_of(const ng_image *image, ng_image *out, ng_error *err)
{
    int longest = image->width > image->height ? image->width : image->height;
    double scale = longest > LARGEST_PANEL ? (double)LARGEST_PANEL / longest
                                           : longest < SMALLEST_PANEL ? ceil((double)SMALLEST_PANEL / longest) : 1;
    int w = (int)lrint(image->width * scale), h = (int)lrint(image->height * scale);
    return ng_image_fit(image, w < 1 ? 1 : w, h < 1 ? 1 : h, NG_FIT_SQUASH,
                        scale > 1 ? NG_RESAMPLE_PIL_NEAREST : NG_RESAMPLE_PIL_BILINEAR, 255, out, NULL, err);
}

/* A colour bar of height h at (x, y) with five numbers. */
static ng_status colour_bar(ng_image *canvas, const ngi_display *d, int x, int y, int width, int h, int font, ng_error *err)
{
    for (int row = 0; row < h; row++) {
        int level = (int)lrint(255.0 * (h - 1 - row) / (h > 1 ? h - 1 : 1));
        for (int column = 0; column < width; column++)
            memcpy(canvas->data + ((int64_t)(y + row) * canvas->width + x + column) * 3, d->rgb + 3 * level, 3);
    }
    for (int i = 0; i <= 4; i++) {
        char number[32];
        snprintf(number, sizeof number, "%.3g", (double)d->low + (double)(d->high - d->low) * i / 4);
        int at = y + (int)lrint((h - 1) * (1 - i / 4.0));
        memset(canvas->data + ((int64_t)at * canvas->width + x + width) * 3, 0, (size_t)(font / 3) * 3);
        NGI_TRY(ngi_write_text(canvas, number, font, x + width + font / 2, at - font / 2, NGI_LEFT, 8 * font, err));
    }
    return NG_OK;
}

static ng_status compose(const ng_image *original, const ng_image *overlay, const ngi_display *d,
                         const ng_render_opts *opts, ng_image *out, ng_error *err)
{
    int longest = original->width > original->height ? original->width : original->height;
    int font = longest / 24 < 12 ? 12 : longest / 24 > 40 ? 40 : longest / 24, gap = font;
    int title = opts->title && *opts->title ? 2 * font : 0, bar = opts->colorbar ? 6 * font : 0;
    int top = gap + title + font + gap / 2, height = original->height > overlay->height ? original->height : overlay->height;
    int second = gap + original->width + gap, width = second + overlay->width + gap + bar;
    NGI_TRY(white_canvas(width, top + height + gap, out, err));
    ngi_paste(out, original, gap, top);
    ngi_paste(out, overlay, second, top);
    if (title)
        NGI_TRY(ngi_write_text(out, opts->title, font * 5 / 4, width / 2, gap, NGI_CENTRE, width - 2 * gap, err));
    NGI_TRY(ngi_write_text(out, "Original Image", font, gap + original->width / 2, gap + title, NGI_CENTRE,
                           original->width, err));
    NGI_TRY(ngi_write_text(out, "Overlayed CAM", font, second + overlay->width / 2, gap + title, NGI_CENTRE, overlay->width,
                           err));
    if (bar)
        NGI_TRY(colour_bar(out, d, second + overlay->width + gap, top, font, overlay->height, font * 3 / 4, err));
    return NG_OK;
}

ng_status ng_render_figure(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                           const ng_render_opts *opts, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    ng_render_opts defaults;
    ng_render_opts_init(&defaults);
    opts = opts ? opts : &defaults;
    ng_image overlay = {0}, left = {0}, right = {0}, base = {0};
    ngi_display d;
    NGI_TRY(ng_render_overlay(map, image, geometry, opts, &overlay, err));
    ng_status status = ngi_display_choose(map, opts, &d, err);
    if (status == NG_OK) /* the article shows the image at the network's size too */
        status = ng_image_fit(image, overlay.width, overlay.height, NG_FIT_SQUASH, NG_RESAMPLE_CV_BILINEAR, 255, &base,
                              NULL, err);
    if (status == NG_OK)
        status = panel_of(&base, &left, err);
    if (status == NG_OK)
        status = panel_of(&overlay, &right, err);
    if (status == NG_OK)
        status = compose(&left, &right, &d, opts, out, err);
    ng_image_clear(&overlay);
    ng_image_clear(&base);
    ng_image_clear(&left);
    ng_image_clear(&right);
    if (status != NG_OK)
        ng_image_clear(out);
    return status;
}

ng_status ng_render_grid(const ng_image *images, const char *const *captions, int count, int columns, const char *title,
                         ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    if (count < 1 || columns < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "a grid of %d pictures in %d columns", count, columns);
    columns = columns > count ? count : columns;
    int cell_w = 0, cell_h = 0;
    for (int i = 0; i < count; i++) {
        cell_w = images[i].width > cell_w ? images[i].width : cell_w;
        cell_h = images[i].height > cell_h ? images[i].height : cell_h;
    }
    double scale = cell_w > 640 ? 640.0 / cell_w : 1;
    cell_w = (int)(cell_w * scale);
    cell_h = (int)(cell_h * scale);
    int rows = (count + columns - 1) / columns, font = cell_w / 18 < 11 ? 11 : cell_w / 18, gap = font;
    int head = title && *title ? 3 * font : gap, step_y = cell_h + 2 * font + gap;
    NGI_TRY(white_canvas(gap + columns * (cell_w + gap), head + rows * step_y, out, err));
    ng_status status = NG_OK;
    if (title && *title)
        status = ngi_write_text(out, title, font * 5 / 4, out->width / 2, gap, NGI_CENTRE, out->width - 2 * gap, err);
    for (int i = 0; i < count && status == NG_OK; i++) {
        int x = gap + i % columns * (cell_w + gap), y = head + i / columns * step_y;
        ng_image fitted = {0};
        int w = (int)(images[i].width * scale), h = (int)(images[i].height * scale);
        status = ng_image_fit(&images[i], w < 1 ? 1 : w, h < 1 ? 1 : h, NG_FIT_SQUASH, NG_RESAMPLE_PIL_BILINEAR, 255,
                              &fitted, NULL, err);
        if (status == NG_OK)
            ngi_paste(out, &fitted, x, y + 2 * font);
        if (status == NG_OK && captions && captions[i])
            status = ngi_write_text(out, captions[i], font, x + cell_w / 2, y + font / 2, NGI_CENTRE, cell_w, err);
        ng_image_clear(&fitted);
    }
    if (status != NG_OK)
        ng_image_clear(out);
    return status;
}
