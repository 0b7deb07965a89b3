/* Decoding image files. The bytes are read first (bounded), the kind is told by content, only the readers
 * listed here are used, and the size is checked before any pixel is decoded. Then: EXIF orientation, colour
 * profile or CMYK to sRGB, alpha flattened, more than 8 bits scaled. Profiles of grey images are left alone:
 * medical values must not move. */
#include "image/image.h"
#include "image/levels.h"
#include "image/start.h"

#include <string.h>

#define MAX_FILE ((size_t)1 << 30) /* bytes */
#define STRIP    16                /* rows taken at a time: two of a JPEG's blocks */

/* Readers that are fuzzed and common; vips has more (PDF, SVG, slides, ...), which strangers' files must not
 * reach. */
static const char *const readers[] = {"VipsForeignLoadJpeg", "VipsForeignLoadPng",  "VipsForeignLoadWebp",
                                      "VipsForeignLoadTiff", "VipsForeignLoadHeif", "VipsForeignLoadNsgif",
                                      "VipsForeignLoadJp2k", "VipsForeignLoadJxl",  "VipsForeignLoadPpm"};

static bool is_reader_allowed(const char *name)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (strncmp(name, readers[i], strlen(readers[i])) == 0)
            return true;
    return false;
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* Opens the header; NULL with vips's message, or `known` false. `bytes` must outlive the image. */
static VipsImage *open_header(const char *bytes, size_t size, bool *known)
{
    *known = true;
    if (size >= 2 && memcmp(bytes, "BM", 2) == 0) { /* BMP has no reader of its own in vips */
        VipsImage *image = NULL;
        return vips_magickload_buffer((void *)bytes, size, &image, NULL) == 0 ? image : NULL;
    }
    VipsSource *source = vips_source_new_from_memory(bytes, size);
    if (!source)
        return NULL;
    const char *reader = vips_foreign_find_load_source(source);
    VipsImage *image = NULL;
    if (!reader || !is_reader_allowed(reader)) {
        ngi_vips_forget();
        *known = false;
    } else {
        image = vips_image_new_from_source(source, "", "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                           VIPS_FAIL_ON_ERROR, NULL);
    }
    g_object_unref(source);
    return image;
}

static ng_status check_size(const char *path, const VipsImage *image, int64_t max_pixels, ng_error *err)
{
    int64_t pixels = (int64_t)image->Xsize * image->Ysize;
    if (pixels > max_pixels || image->Xsize > NGI_MAX_SIDE || image->Ysize > NGI_MAX_SIDE)
        return ngi_fail(err, NG_E_LIMIT, "%s: %dx%d pixels, the limit is %lld pixels and %d a side", path,
                        image->Xsize, image->Ysize, (long long)max_pixels, NGI_MAX_SIDE);
    if (image->Bands > 5)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: %d channels, expected grey, RGB or CMYK with or without alpha", path,
                        image->Bands);
    return NG_OK;
}

/* ---- Steps: each replaces *image by its successor; -1 with vips's message on failure ----------- */

static int replace(VipsImage **image, VipsImage *next, int result)
{
    if (result != 0)
        return -1;
    g_object_unref(*image);
    *image = next;
    return 0;
}

/* Whether the pixels can be taken row by row from the file to the end; else all are decoded first. Done here without
 * vips's own loops, whose threads and copies take as long as the decoding of a photograph. */
static bool can_stream(VipsImage *image)
{
    return image->BandFmt == VIPS_FORMAT_UCHAR && vips_image_get_orientation(image) <= 1;
}

static int decode_pixels(VipsImage **image)
{
    if (can_stream(*image))
        return 0;
    ngi_vips_single_thread(*image);
    VipsImage *next = vips_image_copy_memory(*image);
    return replace(image, next, next ? 0 : -1);
}

static int apply_orientation(VipsImage **image)
{
    VipsImage *next = NULL;
    int result = vips_autorot(*image, &next, NULL);
    return replace(image, next, result);
}

/* Whether the embedded profile says that it is sRGB: converting would only add rounding. */
static bool is_srgb_profile(const char *profile, size_t size)
{
    static const char ascii[] = {'s', 'R', 'G', 'B'}, utf16[] = {0, 's', 0, 'R', 0, 'G', 0, 'B'};
    return memmem(profile, size, ascii, sizeof ascii) || memmem(profile, size, utf16, sizeof utf16);
}

static int convert_profile(VipsImage **image)
{
    const void *profile;
    size_t size;
    bool cmyk = (*image)->Type == VIPS_INTERPRETATION_CMYK;
    bool deep = (*image)->BandFmt == VIPS_FORMAT_USHORT;
    if ((*image)->Bands < 3 || (!deep && (*image)->BandFmt != VIPS_FORMAT_UCHAR) ||
        !vips_image_get_typeof(*image, VIPS_META_ICC_NAME) ||
        vips_image_get_blob(*image, VIPS_META_ICC_NAME, &profile, &size) != 0 ||
        (!cmyk && is_srgb_profile(profile, size)))
        return 0;
    VipsImage *next = NULL;
    int result = vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, "depth", deep ? 16 : 8, NULL);
    if (result != 0) { /* a damaged profile: the pixels are still good */
        ngi_vips_forget();
        return 0;
    }
    return replace(image, next, result);
}

static int convert_space(VipsImage **image)
{
    switch ((*image)->Type) {
    case VIPS_INTERPRETATION_CMYK:
    case VIPS_INTERPRETATION_LAB:
    case VIPS_INTERPRETATION_LABS:
    case VIPS_INTERPRETATION_LABQ:
    case VIPS_INTERPRETATION_XYZ:
    case VIPS_INTERPRETATION_HSV:
    case VIPS_INTERPRETATION_scRGB: {
        VipsImage *next = NULL;
        int result = vips_colourspace(*image, &next, VIPS_INTERPRETATION_sRGB, NULL);
        return replace(image, next, result);
    }
    default:
        return 0;
    }
}

static int flatten_alpha(VipsImage **image, uint8_t background)
{
    if (!vips_image_hasalpha(*image))
        return 0;
    bool deep = (*image)->BandFmt == VIPS_FORMAT_USHORT;
    VipsArrayDouble *level = vips_array_double_newv(1, deep ? background * 257.0 : (double)background);
    VipsImage *next = NULL;
    int result = vips_flatten(*image, &next, "background", level, "max_alpha", deep ? 65535.0 : 255.0, NULL);
    vips_area_unref(VIPS_AREA(level));
    return replace(image, next, result);
}

/* ---- Pixels --------------------------------------------------------------------------------- */

static void window_ends(const ng_image_opts *o, double *low, double *high)
{
    if (o->window_width > 0) {
        *low = o->window_center - o->window_width / 2;
        *high = o->window_center + o->window_width / 2;
    }
}

/* Of an image of bytes, from top to bottom. */
static int stream_pixels(VipsImage *image, ng_image *out)
{
    size_t row = (size_t)out->width * (size_t)out->channels;
    VipsRegion *region = vips_region_new(image);
    int result = region ? 0 : -1;
    for (int top = 0; top < out->height && result == 0; top += STRIP) {
        VipsRect strip = {0, top, out->width, out->height - top < STRIP ? out->height - top : STRIP};
        result = vips_region_prepare(region, &strip);
        for (int y = top; y < top + strip.height && result == 0; y++)
            memcpy(out->data + (size_t)y * row, VIPS_REGION_ADDR(region, 0, y), row);
    }
    if (region)
        g_object_unref(region);
    return result;
}

/* Fills `out` [h,w,c] from pixels in the image's own format. */
static int fill_pixels(VipsImage **image, const ng_image_opts *o, ng_image *out)
{
    if ((*image)->BandFmt == VIPS_FORMAT_UCHAR)
        return stream_pixels(*image, out);
    bool grey = (*image)->Bands == 1;
    size_t n = (size_t)out->width * out->height * out->channels;
    VipsBandFormat format = (*image)->BandFmt;
    if (format != VIPS_FORMAT_USHORT && format != VIPS_FORMAT_FLOAT) {
        VipsImage *next = NULL;
        int result = vips_cast(*image, &next, VIPS_FORMAT_FLOAT, NULL);
        if (replace(image, next, result) != 0)
            return -1;
        format = VIPS_FORMAT_FLOAT;
    }
    ngi_vips_single_thread(*image);
    size_t size;
    void *pixels = vips_image_write_to_memory(*image, &size);
    if (!pixels)
        return -1;
    double low = 0, high = UINT16_MAX;
    if (format == VIPS_FORMAT_USHORT) {
        if (grey) {
            ngi_range_u16(pixels, n, &low, &high);
            window_ends(o, &low, &high);
        }
        ngi_levels_u16(pixels, n, low, high, out->data);
    } else {
        ngi_range_float(pixels, n, &low, &high);
        if (grey)
            window_ends(o, &low, &high);
        ngi_levels_float(pixels, n, low, high, out->data);
    }
    g_free(pixels);
    return 0;
}

static ng_status decode(VipsImage **image, const char *path, const ng_image_opts *o, ng_image *out,
                        ng_error *err)
{
    NGI_TRY(check_size(path, *image, o->max_pixels, err));
    if (decode_pixels(image) != 0 || apply_orientation(image) != 0)
        return ngi_vips_fail(err, NG_E_FORMAT, path, "damaged or truncated");
    if (convert_profile(image) != 0 || convert_space(image) != 0 || flatten_alpha(image, o->background) != 0)
        return ngi_vips_fail(err, NG_E_FORMAT, path, "colours could not be converted");
    if (((*image)->Bands != 1 && (*image)->Bands != 3) || vips_band_format_iscomplex((*image)->BandFmt))
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: %d channels of %s, expected grey or RGB", path,
                        (*image)->Bands, vips_enum_nick(VIPS_TYPE_BAND_FORMAT, (*image)->BandFmt));
    NGI_TRY(ngi_image_create((*image)->Xsize, (*image)->Ysize, (*image)->Bands, out, err));
    if (fill_pixels(image, o, out) != 0) {
        ng_image_clear(out);
        return ngi_vips_fail(err, NG_E_FORMAT, path,
                             can_stream(*image) ? "damaged or truncated" : "pixels could not be converted");
    }
    return NG_OK;
}

static ng_status load_bytes(const char *path, const char *bytes, size_t size, const ng_image_opts *o,
                            ng_image *out, ng_error *err)
{
    if (size == 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: the file is empty, expected an image", path);
    bool known;
    VipsImage *image = open_header(bytes, size, &known);
    if (!known)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: not an image in a known format (JPEG, PNG, WebP, TIFF, HEIF, GIF, BMP)", path);
    if (!image)
        return ngi_vips_fail(err, NG_E_FORMAT, path, "cannot be read as an image");
    ng_status status = decode(&image, path, o, out, err);
    g_object_unref(image);
    if (status == NG_OK && o->channels != 0 && o->channels != out->channels) {
        ng_image converted;
        status = ngi_image_convert(out, o->channels, &converted, err);
        ng_image_clear(out);
        if (status == NG_OK)
            *out = converted;
    }
    return status;
}

ng_status ng_image_load(const char *path, const ng_image_opts *opts, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    ng_image_opts o;
    ng_image_opts_init(&o);
    if (opts)
        o = *opts;
    if (!path || (o.channels != 0 && o.channels != 1 && o.channels != 3))
        return ngi_fail(err, NG_E_ARGUMENT, "loading an image: channels %d, expected 0, 1 or 3", o.channels);
    if (!(o.window_width >= 0))
        return ngi_fail(err, NG_E_ARGUMENT, "loading an image: window width %g, expected 0 or more",
                        o.window_width);
    NGI_TRY(ngi_vips_start(err));
    char *bytes;
    size_t size;
    NGI_TRY(ngi_file_read(path, MAX_FILE, &bytes, &size, err));
    ng_status status = load_bytes(path, bytes, size, &o, out, err);
    ngi_free(bytes);
    return status;
}
