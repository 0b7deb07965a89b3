/* Bringing an image to the network's input size, and the geometry that leads a map back to image pixels.
 * squash: both sides on their own (Keras load_img). crop: short side to size, centre cut, as torchvision's
 * Resize + CenterCrop (long side truncated, offset rounded half to even). letterbox: long side to size,
 * centred. */
#include "image/image.h"
#include "image/names.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

static const char *const fit_names[] = {
    [NG_FIT_SQUASH] = "squash", [NG_FIT_CROP] = "crop", [NG_FIT_LETTERBOX] = "letterbox"};

static const char *const resample_names[] = {
    [NG_RESAMPLE_PIL_NEAREST] = "nearest",
    [NG_RESAMPLE_PIL_BILINEAR] = "bilinear",
    [NG_RESAMPLE_PIL_BICUBIC] = "bicubic",
    [NG_RESAMPLE_PIL_LANCZOS] = "lanczos",
    [NG_RESAMPLE_PIL_BOX] = "box",
    [NG_RESAMPLE_TF_BILINEAR] = "tf-bilinear",
    [NG_RESAMPLE_CV_BILINEAR] = "cv-bilinear",
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

const char *ng_fit_name(ng_fit fit)
{
    return (size_t)fit < COUNT(fit_names) ? fit_names[fit] : "unknown";
}

const char *ng_resample_name(ng_resample resample)
{
    return (size_t)resample < COUNT(resample_names) ? resample_names[resample] : "unknown";
}

ng_status ng_fit_find(const char *name, ng_fit *out, ng_error *err)
{
    int found;
    NGI_TRY(ngi_name_find("way to fit an image", name, fit_names, COUNT(fit_names), &found, err));
    *out = (ng_fit)found;
    return NG_OK;
}

ng_status ng_resample_find(const char *name, ng_resample *out, ng_error *err)
{
    int found;
    NGI_TRY(ngi_name_find("resampling", name, resample_names, COUNT(resample_names), &found, err));
    *out = (ng_resample)found;
    return NG_OK;
}

ng_status ngi_image_resize(const ng_image *image, int out_width, int out_height, ng_resample resample,
                           ng_image *out, ng_error *err)
{
    NGI_TRY(ngi_image_create(out_width, out_height, image->channels, out, err));
    ng_status status;
    switch (resample) {
    case NG_RESAMPLE_PIL_NEAREST:
        status = ngi_resample_nearest(image, out, err);
        break;
    case NG_RESAMPLE_TF_BILINEAR:
        status = ngi_resample_tf(image, out, err);
        break;
    case NG_RESAMPLE_CV_BILINEAR:
        status = ngi_resize_cv_u8(image->data, image->height, image->width, image->channels, out->data,
                                  out_height, out_width, err);
        break;
    case NG_RESAMPLE_PIL_BILINEAR:
    case NG_RESAMPLE_PIL_BICUBIC:
    case NG_RESAMPLE_PIL_LANCZOS:
    case NG_RESAMPLE_PIL_BOX:
        status = ngi_resample_pil(image, resample, out, err);
        break;
    default:
        status = ngi_fail(err, NG_E_ARGUMENT, "resampling %d is not known", (int)resample);
    }
    if (status != NG_OK)
        ng_image_clear(out);
    return status;
}

/* How the resized image lies on the input: its size and the place of its corner (negative: cut off). */
typedef struct placement {
    int64_t width, height;
    int left, top;
} placement;

static placement place(const ng_image *image, int width, int height, ng_fit fit)
{
    placement p = {width, height, 0, 0};
    /* Which side of the image is the longer one, measured in inputs. */
    bool wide = (int64_t)image->width * height > (int64_t)image->height * width;
    if (fit == NG_FIT_CROP) {
        if (wide)
            p.width = (int64_t)height * image->width / image->height;
        else
            p.height = (int64_t)width * image->height / image->width;
        p.left = -(int)rint((double)(p.width - width) / 2);
        p.top = -(int)rint((double)(p.height - height) / 2);
    } else if (fit == NG_FIT_LETTERBOX) {
        if (wide)
            p.height = (int64_t)floor((double)image->height * width / image->width + 0.5);
        else
            p.width = (int64_t)floor((double)image->width * height / image->height + 0.5);
        p.width = p.width < 1 ? 1 : p.width;
        p.height = p.height < 1 ? 1 : p.height;
        p.left = (int)((width - p.width) / 2);
        p.top = (int)((height - p.height) / 2);
    }
    return p;
}

/* Copies the part of `resized` that lies on the input; the rest of `out` keeps its fill. */
static void paste(const ng_image *resized, placement p, ng_image *out)
{
    int left = p.left > 0 ? p.left : 0, top = p.top > 0 ? p.top : 0;
    int right = p.left + resized->width < out->width ? p.left + resized->width : out->width;
    int bottom = p.top + resized->height < out->height ? p.top + resized->height : out->height;
    size_t c = (size_t)out->channels;
    for (int y = top; y < bottom; y++)
        memcpy(out->data + ((size_t)y * out->width + left) * c,
               resized->data + ((size_t)(y - p.top) * resized->width + (left - p.left)) * c,
               (size_t)(right - left) * c);
}

static void describe(const ng_image *image, int width, int height, ng_fit fit, ng_resample resample,
                     placement p, ng_geometry *out)
{
    double sx = (double)image->width / (double)p.width, sy = (double)image->height / (double)p.height;
    *out = (ng_geometry){.image_width = image->width,
                         .image_height = image->height,
                         .input_width = width,
                         .input_height = height,
                         .fit = fit,
                         .resample = resample,
                         .x0 = -p.left * sx,
                         .y0 = -p.top * sy,
                         .x1 = (width - p.left) * sx,
                         .y1 = (height - p.top) * sy};
}

ng_status ng_image_fit(const ng_image *image, int width, int height, ng_fit fit, ng_resample resample,
                       uint8_t fill, ng_image *out, ng_geometry *geometry, ng_error *err)
{
    *out = (ng_image){0};
    NGI_TRY(ngi_image_check(image, "fit", err));
    if ((size_t)fit >= COUNT(fit_names))
        return ngi_fail(err, NG_E_ARGUMENT, "fit %d is not known", (int)fit);
    if (width < 1 || height < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "fit to %dx%d pixels: sides must be positive", width, height);
    placement p = place(image, width, height, fit);
    if (p.width > NGI_MAX_SIDE || p.height > NGI_MAX_SIDE)
        return ngi_fail(
            err, NG_E_LIMIT,
            "an image of %dx%d pixels is too elongated to be cropped to %dx%d: fit it by squash or letterbox",
            image->width, image->height, width, height);
    ng_image resized;
    NGI_TRY(ngi_image_resize(image, (int)p.width, (int)p.height, resample, &resized, err));
    if (resized.width == width && resized.height == height) {
        *out = resized;
    } else {
        ng_status status = ngi_image_create(width, height, image->channels, out, err);
        if (status == NG_OK) {
            memset(out->data, fill, (size_t)width * height * image->channels);
            paste(&resized, p, out);
        }
        ng_image_clear(&resized);
        NGI_TRY(status);
    }
    if (geometry)
        describe(image, width, height, fit, resample, p, geometry);
    return NG_OK;
}
