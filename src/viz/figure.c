/* The article's figure: "Original Image" beside "Overlayed CAM" under a title, with a numbered colour bar.
 * Small images are enlarged by whole steps, large ones shrunk (before the map is drawn on them), so that
 * words stay legible. */

#include "image/image.h"
#include "image/text.h"
#include "viz/canvas.h"
#include "viz/colorbar.h"
#include "viz/render.h"

#define SMALLEST 256 /* longer side of a panel, pixels */
#define LARGEST  1024

/* ---- Size ----------------------------------------------------------------------------------- */

static int longer_side(int width, int height)
{
    return width > height ? width : height;
}

/* One side after the panel's scaling. */
static int scaled(int side, int longer)
{
    if (longer < SMALLEST)
        return side * ((SMALLEST + longer - 1) / longer);
    if (longer <= LARGEST)
        return side;
    int64_t shrunk = ((int64_t)side * LARGEST + longer / 2) / longer;
    return shrunk < 1 ? 1 : (int)shrunk;
}

/* Replaces *image by its scaled self. */
static ng_status scale_image(ng_image *image, ng_error *err)
{
    int longer = longer_side(image->width, image->height);
    int width = scaled(image->width, longer), height = scaled(image->height, longer);
    if (width == image->width && height == image->height)
        return NG_OK;
    ng_image resized;
    NGI_TRY(ngi_image_resize(image, width, height,
                             longer < SMALLEST ? NG_RESAMPLE_PIL_NEAREST : NG_RESAMPLE_PIL_BILINEAR, &resized,
                             err));
    ng_image_clear(image);
    *image = resized;
    return NG_OK;
}

/* Renders at the panel's size. The default rule scales first, so that a small map is smooth on a large panel
 * and a large image is cheap; a library's rule is exact first and scaled after. */
static ng_status render_panels(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                               const ng_render_opts *opts, ngi_picture *out, ng_error *err)
{
    if (opts->compat != NG_COMPAT_NONE) {
        NGI_TRY(ngi_render_picture(map, image, geometry, opts, out, err));
        NGI_TRY(scale_image(&out->base, err));
        return scale_image(&out->overlay, err);
    }
    ng_image panel;
    NGI_TRY(ngi_image_copy(image, &panel, err));
    ng_status status = scale_image(&panel, err);
    if (status == NG_OK) {
        double sx = (double)panel.width / image->width, sy = (double)panel.height / image->height;
        ng_geometry g = *geometry;
        g.image_width = panel.width;
        g.image_height = panel.height;
        g.x0 *= sx;
        g.x1 *= sx;
        g.y0 *= sy;
        g.y1 *= sy;
        status = ngi_render_picture(map, &panel, &g, opts, out, err);
    }
    ng_image_clear(&panel);
    return status;
}

/* ---- Layout --------------------------------------------------------------------------------- */

typedef struct figure {
    ngi_picture picture;
    ngi_colorbar bar; /* width 0: none */
    ng_image title, heading[2];
    int font, gap;
    int column; /* width of each of the two columns */
    int panels; /* height of the row of panels */
    int width;  /* without margins */
} figure;

static void figure_clear(figure *f)
{
    ngi_picture_clear(&f->picture);
    ngi_colorbar_clear(&f->bar);
    ng_image_clear(&f->title);
    ng_image_clear(&f->heading[0]);
    ng_image_clear(&f->heading[1]);
}

static int at_least(int a, int b)
{
    return a > b ? a : b;
}

static ng_status lay_out(figure *f, const ng_render_opts *opts, ng_error *err)
{
    const ng_image *panel = &f->picture.overlay;
    int longer = longer_side(panel->width, panel->height);
    f->font = longer / 26 < 13 ? 13 : longer / 26 > 30 ? 30 : longer / 26;
    f->gap = f->font;
    ngi_text_style words = {.pixels = f->font};
    NGI_TRY(ngi_text_draw("Original Image", &words, &f->heading[0], err));
    NGI_TRY(ngi_text_draw("Overlayed CAM", &words, &f->heading[1], err));
    f->column = at_least(panel->width, at_least(f->heading[0].width, f->heading[1].width));
    f->panels = at_least(panel->height, opts->colorbar ? 8 * f->font : 0);
    f->width = 2 * f->column + f->gap;
    if (opts->colorbar) {
        NGI_TRY(ngi_colorbar_create(f->picture.scale, f->picture.rgb, f->panels,
                                    at_least(f->font * 4 / 5, 11), &f->bar, err));
        f->width += f->gap + f->bar.width;
    }
    ngi_text_style title = {.pixels = f->font * 9 / 8, .bold = true, .wrap_width = f->width};
    return ngi_text_draw(opts->title, &title, &f->title, err);
}

static ng_status draw_figure(const figure *f, ng_image *out, ng_error *err)
{
    const ngi_picture *p = &f->picture;
    int margin = f->gap + f->gap / 2, heading = at_least(f->heading[0].height, f->heading[1].height);
    int heading_y = margin + (f->title.height ? f->title.height + f->gap : 0);
    int panels_y = heading_y + (heading ? heading + f->gap / 2 : 0);
    NGI_TRY(ngi_canvas_create(f->width + 2 * margin, panels_y + f->panels + margin, out, err));
    ngi_canvas_ink(out, &f->title, margin + (f->width - f->title.width) / 2, margin);
    const ng_image *panels[2] = {&p->base, &p->overlay};
    for (int i = 0; i < 2; i++) {
        int x = margin + i * (f->column + f->gap);
        ngi_canvas_ink(out, &f->heading[i], x + (f->column - f->heading[i].width) / 2, heading_y);
        ngi_canvas_put(out, panels[i], x + (f->column - panels[i]->width) / 2,
                       panels_y + (f->panels - panels[i]->height) / 2);
    }
    if (f->bar.width)
        ngi_colorbar_draw(&f->bar, out, margin + 2 * (f->column + f->gap), panels_y);
    return NG_OK;
}

ng_status ng_render_figure(const ng_map *map, const ng_image *image, const ng_geometry *geometry,
                           const ng_render_opts *opts, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    NGI_TRY(ngi_image_check(image, "figure", err));
    ng_render_opts o;
    NGI_TRY(ngi_render_check(map, image, geometry, opts, &o, err));
    figure f = {0};
    ng_status status = render_panels(map, image, geometry, &o, &f.picture, err);
    if (status == NG_OK)
        status = lay_out(&f, &o, err);
    if (status == NG_OK)
        status = draw_figure(&f, out, err);
    figure_clear(&f);
    return status;
}
