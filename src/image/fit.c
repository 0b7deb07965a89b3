/* Bringing an image to the network's input size, and the geometry that leads maps back. */
#include "image/resample.h"

#include <math.h>
#include <string.h>

static const char *const fit_names[] = {"squash", "crop", "letterbox"};
static const char *const resample_names[] = {"nearest", "bilinear", "bicubic", "lanczos",
                                             "box",     "tf-bilinear", "cv-bilinear"};
#define FITS (sizeof fit_names / sizeof *fit_names)
#define RESAMPLES (sizeof resample_names / sizeof *resample_names)

const char *ng_fit_name(ng_fit fit)
{
    return (size_t)fit < FITS ? fit_names[fit] : "unknown";
}

const char *ng_resample_name(ng_resample resample)
{
    return (size_t)resample < RESAMPLES ? resample_names[resample] : "unknown";
}

ng_status ng_fit_find(const char *name, ng_fit *out, ng_error *err)
{
    for (size_t i = 0; i < FITS; i++)
        if (strcmp(name, fit_names[i]) == 0) {
            *out = (ng_fit)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT, "fit '%s' is not known; expected squash, crop or letterbox", name);
}

ng_status ng_resample_find(const char *name, ng_resample *out, ng_error *err)
{
    for (size_t i = 0; i < RESAMPLES; i++)
        if (strcmp(name, resample_names[i]) == 0) {
            *out = (ng_resample)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT,
                    "resize '%s' is not known; expected nearest, bilinear, bicubic, lanczos, box, tf-bilinear or "
                    "cv-bilinear", name);
}

ng_status ngi_image_allocate(int width, int height, int channels, ng_image *out, ng_error *err)
{
    *out = (ng_image){width, height, channels, NULL};
    size_t bytes = (size_t)width * (size_t)height * (size_t)channels;
    out->data = ngi_alloc(bytes, 1);
    return out->data ? NG_OK : ngi_fail_memory(err, bytes);
}

void ng_image_clear(ng_image *image)
{
    ngi_free(image->data);
    *image = (ng_image){0};
}

/* The image resized to w x h and placed at (left, top) of `out`; what falls outside is left out. */
static ng_status place(const ng_image *image, int w, int h, int left, int top, ng_resample rule, ng_image *out,
                       ng_error *err)
{
    ng_image scaled;
    NGI_TRY(ngi_image_allocate(w, h, image->channels, &scaled, err));
    ng_status status = ngi_image_resample(image->data, image->height, image->width, image->channels, scaled.data, h, w,
                                          rule, err);
    int c = image->channels, x0 = left < 0 ? -left : 0, x1 = left + w > out->width ? out->width - left : w;
    for (int y = 0; y < h && status == NG_OK; y++)
        if (y + top >= 0 && y + top < out->height && x1 > x0)
            memcpy(out->data + ((int64_t)(y + top) * out->width + left + x0) * c,
                   scaled.data + ((int64_t)y * w + x0) * c, (size_t)(x1 - x0) * (size_t)c);
    ng_image_clear(&scaled);
    return status;
}

/* Size of the whole image when scaled to cover (crop) or to fit into (letterbox) the input. */
static void scaled_size(const ng_image *image, int width, int height, bool cover, int *w, int *h)
{
    double sx = (double)width / image->width, sy = (double)height / image->height;
    double s = cover == (sx > sy) ? sx : sy;
    *w = (int)lrint(image->width * s);
    *h = (int)lrint(image->height * s);
    *w = cover && *w < width ? width : *w < 1 ? 1 : *w;
    *h = cover && *h < height ? height : *h < 1 ? 1 : *h;
}

ng_status ng_image_fit(const ng_image *image, int width, int height, ng_fit fit, ng_resample resample, uint8_t fill,
                       ng_image *out, ng_geometry *geometry, ng_error *err)
{
    *out = (ng_image){0};
    if (width < 1 || height < 1 || image->width < 1 || image->height < 1 || width > 65536 || height > 65536)
        return ngi_fail(err, NG_E_ARGUMENT, "an image of %dx%d cannot be fitted to %dx%d", image->width, image->height,
                        width, height);
    int w = width, h = height;
    if (fit != NG_FIT_SQUASH)
        scaled_size(image, width, height, fit == NG_FIT_CROP, &w, &h);
    int left = (int)floor((width - w) / 2.0), top = (int)floor((height - h) / 2.0); /* negative where it is cropped */
    ng_image fitted;
    NGI_TRY(ngi_image_allocate(width, height, image->channels, &fitted, err));
    memset(fitted.data, fill, (size_t)width * (size_t)height * (size_t)image->channels);
    ng_status status = place(image, w, h, left, top, resample, &fitted, err);
    if (status != NG_OK) {
        ng_image_clear(&fitted);
        return status;
    }
    *out = fitted;
    if (geometry) {
        double px = (double)image->width / w, py = (double)image->height / h; /* image pixels a scaled pixel */
        *geometry = (ng_geometry){.image_width = image->width, .image_height = image->height, .input_width = width,
                                  .input_height = height, .fit = fit, .resample = resample, .x0 = -left * px,
                                  .y0 = -top * py, .x1 = (width - left) * px, .y1 = (height - top) * py};
    }
    return NG_OK;
}
