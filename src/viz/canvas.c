/* A white RGB image to put pictures and words on. */
#include "viz/canvas.h"

#include <string.h>

#include "image/image.h"

ng_status ngi_canvas_create(int width, int height, ng_image *out, ng_error *err)
{
    NGI_TRY(ngi_image_create(width, height, 3, out, err));
    memset(out->data, 255, (size_t)width * height * 3);
    return NG_OK;
}

/* The part of width x height pixels at x, y that lies on the canvas, in the thing's own pixels. */
typedef struct part {
    int left, top, right, bottom;
} part;

static part visible(const ng_image *canvas, int x, int y, int width, int height)
{
    part p = {x < 0 ? -x : 0, y < 0 ? -y : 0, width, height};
    if (x + width > canvas->width)
        p.right = canvas->width - x;
    if (y + height > canvas->height)
        p.bottom = canvas->height - y;
    return p;
}

static uint8_t *pixel(ng_image *canvas, int x, int y)
{
    return canvas->data + ((size_t)y * canvas->width + x) * 3;
}

void ngi_canvas_put(ng_image *canvas, const ng_image *image, int x, int y)
{
    part p = visible(canvas, x, y, image->width, image->height);
    for (int r = p.top; r < p.bottom; r++)
        for (int c = p.left; c < p.right; c++) {
            const uint8_t *from = image->data + ((size_t)r * image->width + c) * image->channels;
            uint8_t *to = pixel(canvas, x + c, y + r);
            for (int k = 0; k < 3; k++)
                to[k] = from[image->channels == 3 ? k : 0];
        }
}

void ngi_canvas_ink(ng_image *canvas, const ng_image *mask, int x, int y)
{
    part p = visible(canvas, x, y, mask->width, mask->height);
    for (int r = p.top; r < p.bottom; r++)
        for (int c = p.left; c < p.right; c++) {
            int ink = mask->data[(size_t)r * mask->width + c];
            uint8_t *to = pixel(canvas, x + c, y + r);
            for (int k = 0; k < 3; k++)
                to[k] = (uint8_t)((to[k] * (255 - ink) + NGI_INK * ink + 127) / 255);
        }
}

void ngi_canvas_fill(ng_image *canvas, int x, int y, int width, int height, const uint8_t rgb[3])
{
    part p = visible(canvas, x, y, width, height);
    for (int r = p.top; r < p.bottom; r++)
        for (int c = p.left; c < p.right; c++)
            memcpy(pixel(canvas, x + c, y + r), rgb, 3);
}
