/* A grid of pictures, each over its caption: several classes or layers of one image, or several images. */

#include "image/image.h"
#include "image/text.h"
#include "viz/canvas.h"

#define SMALLEST     192 /* longer side of the largest picture, pixels */
#define LARGEST      512
#define MAX_PICTURES 10000

typedef struct grid {
    const ng_image *images;
    const char *const *captions;
    int count, columns, rows;
    double scale;     /* of every picture, so that they stay comparable */
    int cell, height; /* pixels of a cell: width, height without its caption */
    int caption;      /* height of the tallest caption */
    int font, gap;
    ng_image title;
    ng_image *words; /* [count] masks */
} grid;

static int scaled(int side, double scale)
{
    int s = (int)(side * scale + 0.5);
    return s < 1 ? 1 : s;
}

static ng_status measure(grid *g, ng_error *err)
{
    int width = 1, height = 1;
    for (int i = 0; i < g->count; i++) {
        NGI_TRY(ngi_image_check(&g->images[i], "grid", err));
        width = g->images[i].width > width ? g->images[i].width : width;
        height = g->images[i].height > height ? g->images[i].height : height;
    }
    int longer = width > height ? width : height;
    g->scale = longer > LARGEST    ? (double)LARGEST / longer
               : longer < SMALLEST ? (SMALLEST + longer - 1) / longer
                                   : 1;
    g->cell = scaled(width, g->scale);
    g->height = scaled(height, g->scale);
    longer = scaled(longer, g->scale);
    g->font = longer / 20 < 12 ? 12 : longer / 20 > 22 ? 22 : longer / 20;
    g->cell = g->cell > 8 * g->font ? g->cell : 8 * g->font; /* room for a word under a narrow picture */
    g->gap = g->font;
    g->rows = (g->count + g->columns - 1) / g->columns;
    return NG_OK;
}

static ng_status draw_words(grid *g, const char *title, ng_error *err)
{
    ngi_text_style style = {.pixels = g->font, .wrap_width = g->cell};
    for (int i = 0; i < g->count; i++) {
        if (g->captions)
            NGI_TRY(ngi_text_draw(g->captions[i], &style, &g->words[i], err));
        if (g->words[i].height > g->caption)
            g->caption = g->words[i].height;
    }
    style = (ngi_text_style){.pixels = g->font * 5 / 4,
                             .bold = true,
                             .wrap_width = g->columns * g->cell + (g->columns - 1) * g->gap};
    return ngi_text_draw(title, &style, &g->title, err);
}

static ng_status put_picture(const grid *g, int i, int x, int y, ng_image *out, ng_error *err)
{
    const ng_image *image = &g->images[i];
    int width = scaled(image->width, g->scale), height = scaled(image->height, g->scale);
    ng_image resized;
    NGI_TRY(ngi_image_resize(image, width, height,
                             g->scale > 1 ? NG_RESAMPLE_PIL_NEAREST : NG_RESAMPLE_PIL_BILINEAR, &resized,
                             err));
    ngi_canvas_put(out, &resized, x + (g->cell - width) / 2, y + (g->height - height) / 2);
    ng_image_clear(&resized);
    ngi_canvas_ink(out, &g->words[i], x + (g->cell - g->words[i].width) / 2, y + g->height + g->gap / 2);
    return NG_OK;
}

static ng_status draw_grid(const grid *g, ng_image *out, ng_error *err)
{
    int margin = g->gap + g->gap / 2, top = margin + (g->title.height ? g->title.height + g->gap : 0);
    int64_t pitch = g->height + g->gap + (g->caption ? g->caption + g->gap / 2 : 0);
    int64_t width = (int64_t)g->columns * (g->cell + g->gap) - g->gap + 2 * margin;
    int64_t height = top + g->rows * pitch - g->gap + margin;
    if (width > NGI_MAX_SIDE || height > NGI_MAX_SIDE)
        return ngi_fail(err, NG_E_LIMIT,
                        "a grid of %d pictures in %d columns would be %lldx%lld pixels, the limit is %d",
                        g->count, g->columns, (long long)width, (long long)height, NGI_MAX_SIDE);
    NGI_TRY(ngi_canvas_create((int)width, (int)height, out, err));
    ngi_canvas_ink(out, &g->title, ((int)width - g->title.width) / 2, margin);
    for (int i = 0; i < g->count; i++)
        NGI_TRY(put_picture(g, i, margin + i % g->columns * (g->cell + g->gap),
                            top + (int)(i / g->columns * pitch), out, err));
    return NG_OK;
}

ng_status ng_render_grid(const ng_image *images, const char *const *captions, int count, int columns,
                         const char *title, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    if (!images || count < 1 || columns < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "a grid of %d pictures in %d columns: both must be positive",
                        count, columns);
    if (count > MAX_PICTURES)
        return ngi_fail(err, NG_E_LIMIT, "a grid of %d pictures: the limit is %d", count, MAX_PICTURES);
    grid g = {
        .images = images, .captions = captions, .count = count, .columns = columns < count ? columns : count};
    NGI_TRY(measure(&g, err));
    g.words = ngi_alloc_zero((size_t)count, sizeof *g.words);
    if (!g.words)
        return ngi_fail_memory(err, (size_t)count * sizeof *g.words);
    ng_status status = draw_words(&g, title, err);
    if (status == NG_OK)
        status = draw_grid(&g, out, err);
    if (status != NG_OK)
        ng_image_clear(out);
    for (int i = 0; i < count; i++)
        ng_image_clear(&g.words[i]);
    ngi_free(g.words);
    ng_image_clear(&g.title);
    return status;
}
