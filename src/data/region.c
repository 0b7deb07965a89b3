/* Masks and boxes as regions of the image; objects moved to other backgrounds. */
#include "data/region.h"

#include "image/image.h"

#include <math.h>
#include <string.h>

bool ngi_region_known(const ngi_data_item *item)
{
    return item->mask || item->box[2] > 0;
}

static int pixel(double at, int most)
{
    return at <= 0 ? 0 : at >= most ? most : (int)rint(at);
}

static ng_status fill_box(const double box[4], int width, int height, ng_image *out, ng_error *err)
{
    NGI_TRY(ngi_image_create(width, height, 1, out, err));
    memset(out->data, 0, (size_t)width * (size_t)height);
    int x0 = pixel(box[0], width), x1 = pixel(box[0] + box[2], width);
    for (int y = pixel(box[1], height), y1 = pixel(box[1] + box[3], height); y < y1; y++)
        memset(out->data + (int64_t)y * width + x0, 255, (size_t)(x1 - x0));
    return NG_OK;
}

static void stretch(ng_image *mask)
{
    int64_t count = (int64_t)mask->width * mask->height;
    int most = 0;
    for (int64_t i = 0; i < count; i++)
        most = mask->data[i] > most ? mask->data[i] : most;
    for (int64_t i = 0; i < count && most > 0 && most < 255; i++)
        mask->data[i] = (uint8_t)((mask->data[i] * 255 + most / 2) / most);
}

ng_status ngi_region_load(const ngi_data_item *item, int width, int height, ng_image *out, ng_error *err)
{
    if (!item->mask)
        return fill_box(item->box, width, height, out, err);
    ng_image_opts opts;
    ng_image_opts_init(&opts);
    opts.channels = 1;
    ng_status status = ng_image_load(item->mask, &opts, out, err);
    if (status != NG_OK) {
        ngi_error_prefix(err, "mask of %s", item->path);
        return status;
    }
    stretch(out);
    if (out->width == width && out->height == height)
        return NG_OK;
    ng_image whole = *out;
    status = ngi_image_resize(&whole, width, height, NG_RESAMPLE_PIL_BILINEAR, out, err);
    ng_image_clear(&whole);
    return status;
}

/* Share of [from,to) that lies in pixel i. */
static double overlap(double from, double to, int i)
{
    return fmax(0, fmin(to, i + 1) - fmax(from, i));
}

void ngi_region_pool(const float *plane, int h, int w, float *grid, int gh, int gw)
{
    double high = (double)h / gh, wide = (double)w / gw;
    for (int i = 0; i < gh; i++)
        for (int j = 0; j < gw; j++) {
            double sum = 0;
            for (int y = (int)(i * high); y < h && y < (i + 1) * high; y++)
                for (int x = (int)(j * wide); x < w && x < (j + 1) * wide; x++)
                    sum += plane[(int64_t)y * w + x] * overlap(i * high, (i + 1) * high, y) *
                           overlap(j * wide, (j + 1) * wide, x);
            grid[i * gw + j] = (float)(sum / (high * wide));
        }
}

typedef struct rectangle {
    int x0, y0, x1, y1; /* pixels x0 <= x < x1 */
} rectangle;

static int64_t area(rectangle r)
{
    return (int64_t)(r.x1 - r.x0) * (r.y1 - r.y0);
}

/* Everything that is not 0; empty (x1 == 0) where all is. */
static rectangle around(const ng_image *region)
{
    rectangle r = {region->width, region->height, 0, 0};
    for (int y = 0; y < region->height; y++)
        for (int x = 0; x < region->width; x++)
            if (region->data[(int64_t)y * region->width + x]) {
                r.x0 = x < r.x0 ? x : r.x0;
                r.y0 = y < r.y0 ? y : r.y0;
                r.x1 = x >= r.x1 ? x + 1 : r.x1;
                r.y1 = y + 1;
            }
    return r;
}

static rectangle largest_beside(rectangle box, int width, int height)
{
    const rectangle beside[] = {{0, 0, width, box.y0},
                                {0, box.y1, width, height},
                                {0, 0, box.x0, height},
                                {box.x1, 0, width, height}};
    rectangle best = beside[0];
    for (int i = 1; i < 4; i++)
        best = area(beside[i]) > area(best) ? beside[i] : best;
    return best;
}

bool ngi_region_remove(ng_image *image, const ng_image *region)
{
    rectangle box = around(region), from = largest_beside(box, image->width, image->height);
    if (box.x1 == 0)
        return true;
    int across = from.x1 - from.x0, down = from.y1 - from.y0;
    if (across < 1 || down < 1 || across * 8 < image->width || down * 8 < image->height)
        return false;
    int c = image->channels;
    for (int y = box.y0; y < box.y1; y++)
        for (int x = box.x0; x < box.x1; x++) {
            int sx = from.x0 + (x - box.x0) % across, sy = from.y0 + (y - box.y0) % down;
            memcpy(image->data + ((int64_t)y * image->width + x) * c,
                   image->data + ((int64_t)sy * image->width + sx) * c, (size_t)c);
        }
    return true;
}

void ngi_region_paste(ng_image *image, const ng_image *region, const ng_image *background)
{
    int64_t count = (int64_t)image->width * image->height;
    int c = image->channels;
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < c; k++) {
            uint8_t *p = image->data + i * c + k;
            int share = region->data[i];
            *p = (uint8_t)((share * *p + (255 - share) * background->data[i * c + k] + 127) / 255);
        }
}
