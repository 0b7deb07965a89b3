/* Reading, writing and text through libvips: the only file that includes it. */
#include <vips/vips.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "image/text.h"

#define IMAGE_MAX_BYTES ((size_t)4 << 30)

/* ---- The library ------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;

static void start(void)
{
    ready = vips_init("netgaze") == 0;
    if (ready) {
        vips_concurrency_set(1); /* callers bring their own threads */
        vips_cache_set_max(0);   /* and memory stays flat over a folder */
    }
}

static ng_status ensure_started(ng_error *err)
{
    pthread_once(&once, start);
    return ready ? NG_OK : ngi_fail(err, NG_E_INTERNAL, "libvips could not be started");
}

/* libvips's own words on one line. */
static ng_status vips_failed(const char *path, const char *what, ng_status status, ng_error *err)
{
    char text[300];
    snprintf(text, sizeof text, "%s", vips_error_buffer());
    vips_error_clear();
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = p[1] ? ';' : '\0';
    return ngi_fail(err, status, "%s: %s: %s", path, what, *text ? text : "unknown cause");
}

/* Replaces *image by `next`, unless the operation failed. */
static bool advance(VipsImage **image, int failed, VipsImage *next)
{
    if (failed)
        return false;
    g_object_unref(*image);
    *image = next;
    return true;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

void ng_image_opts_init(ng_image_opts *opts)
{
    *opts = (ng_image_opts){.struct_size = sizeof *opts, .background = 255, .max_pixels = 200000000};
}

static bool is_wide(const VipsImage *image)
{
    return image->BandFmt != VIPS_FORMAT_UCHAR;
}

static bool is_grey(const VipsImage *image)
{
    return image->Bands < 3;
}

/* Alpha on the background, in the image's own range. */
static bool flatten(VipsImage **image, const ng_image_opts *opts)
{
    if (!vips_image_hasalpha(*image))
        return true;
    double full = (*image)->BandFmt == VIPS_FORMAT_USHORT ? 257.0 : 1.0, level = opts->background * full;
    VipsArrayDouble *background = vips_array_double_newv(3, level, level, level);
    if (is_grey(*image)) {
        vips_area_unref(VIPS_AREA(background));
        background = vips_array_double_newv(1, level);
    }
    VipsImage *next = NULL;
    int failed = vips_flatten(*image, &next, "background", background, "max_alpha", 255.0 * full, NULL);
    vips_area_unref(VIPS_AREA(background));
    return advance(image, failed, next);
}

/* Grey of more than 8 bits: window centre and width, or the image's full range. */
static bool apply_window(VipsImage **image, const ng_image_opts *opts)
{
    double low = opts->window_center - opts->window_width / 2, high = opts->window_center + opts->window_width / 2;
    if (opts->window_width <= 0 && (vips_min(*image, &low, NULL) || vips_max(*image, &high, NULL)))
        return false;
    double scale = high > low ? 255.0 / (high - low) : 0;
    VipsImage *next = NULL;
    return advance(image, vips_linear1(*image, &next, scale, -low * scale, NULL), next);
}

static bool to_bytes(VipsImage **image, const ng_image_opts *opts)
{
    VipsImage *next = NULL;
    if (!is_wide(*image))
        return true;
    if (is_grey(*image)) {
        if (!apply_window(image, opts))
            return false;
    } else if ((*image)->BandFmt == VIPS_FORMAT_USHORT &&
               !advance(image, vips_linear1(*image, &next, 1.0 / 257.0, 0.0, NULL), next))
        return false;
    if (!advance(image, vips_rint(*image, &next, NULL), next))
        return false;
    return advance(image, vips_cast_uchar(*image, &next, NULL), next);
}

/* An embedded profile is applied; a broken one is passed over. */
static void apply_profile(VipsImage **image)
{
    VipsImage *next = NULL;
    if (is_grey(*image) || !vips_image_get_typeof(*image, VIPS_META_ICC_NAME))
        return;
    if (vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, NULL) == 0)
        advance(image, 0, next);
    else
        vips_error_clear();
}

static bool has_plain_colours(const VipsImage *image)
{
    switch (image->Type) {
    case VIPS_INTERPRETATION_sRGB:
    case VIPS_INTERPRETATION_B_W:
    case VIPS_INTERPRETATION_RGB16:
    case VIPS_INTERPRETATION_GREY16:
    case VIPS_INTERPRETATION_MULTIBAND:
        return true;
    default:
        return false;
    }
}

/* One or three bands, as asked for. */
static bool choose_bands(VipsImage **image, int want)
{
    VipsImage *next = NULL;
    int have = (*image)->Bands;
    want = want ? want : have < 3 ? 1 : 3;
    if (have > want && !(want == 1 && have >= 3))
        return advance(image, vips_extract_band(*image, &next, 0, "n", want, NULL), next);
    if (want == 1 && have >= 3) {
        if (!advance(image, vips_copy(*image, &next, "interpretation", VIPS_INTERPRETATION_sRGB, NULL), next))
            return false;
        return advance(image, vips_colourspace(*image, &next, VIPS_INTERPRETATION_B_W, NULL), next);
    }
    if (want == 3 && have == 1) {
        VipsImage *same[3] = {*image, *image, *image};
        return advance(image, vips_bandjoin(same, &next, 3, NULL), next);
    }
    return have == want || (have == 2 && advance(image, vips_extract_band(*image, &next, 0, NULL), next));
}

/* Orientation, colours, alpha, depth, channel count. */
static bool normalise(VipsImage **image, const ng_image_opts *opts)
{
    VipsImage *next = NULL;
    if (!advance(image, vips_autorot(*image, &next, NULL), next))
        return false;
    apply_profile(image);
    if (!has_plain_colours(*image) &&
        !advance(image, vips_colourspace(*image, &next, VIPS_INTERPRETATION_sRGB, NULL), next))
        return false;
    return flatten(image, opts) && to_bytes(image, opts) && choose_bands(image, opts->channels);
}

static ng_status take_pixels(const char *path, VipsImage *image, ng_image *out, ng_error *err)
{
    size_t size = 0;
    void *pixels = vips_image_write_to_memory(image, &size);
    if (!pixels)
        return vips_failed(path, "not a whole image", NG_E_FORMAT, err);
    ng_status status = ngi_image_allocate(image->Xsize, image->Ysize, image->Bands, out, err);
    if (status == NG_OK)
        memcpy(out->data, pixels, size);
    g_free(pixels);
    return status;
}

ng_status ng_image_load(const char *path, const ng_image_opts *opts, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    ng_image_opts defaults;
    ng_image_opts_init(&defaults);
    opts = opts ? opts : &defaults;
    NGI_TRY(ensure_started(err));
    char *bytes;
    size_t size;
    NGI_TRY(ngi_file_read(path, IMAGE_MAX_BYTES, &bytes, &size, err));
    if (size == 0) {
        ngi_free(bytes);
        return ngi_fail(err, NG_E_FORMAT, "%s: the file is empty, expected an image", path);
    }
    /* From memory: a path with brackets would be read as options. */
    VipsImage *image = vips_image_new_from_buffer(bytes, size, "", "fail_on", VIPS_FAIL_ON_ERROR, NULL);
    ng_status status = NG_OK;
    if (!image)
        status = vips_failed(path, "not an image", NG_E_FORMAT, err);
    else if ((int64_t)image->Xsize * image->Ysize > opts->max_pixels)
        status = ngi_fail(err, NG_E_LIMIT, "%s: %d x %d pixels, the limit is %lld", path, image->Xsize, image->Ysize,
                          (long long)opts->max_pixels);
    else if (!normalise(&image, opts))
        status = vips_failed(path, "not a whole image", NG_E_FORMAT, err);
    else
        status = take_pixels(path, image, out, err);
    if (image)
        g_object_unref(image);
    ngi_free(bytes);
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------------- */

ng_status ng_image_save(const ng_image *image, const char *path, ng_error *err)
{
    NGI_TRY(ensure_started(err));
    const char *dot = strrchr(path, '.');
    static const char *const suffixes[] = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"};
    bool known = false;
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof *suffixes; i++)
        known = known || g_ascii_strcasecmp(dot, suffixes[i]) == 0;
    if (!known)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: pictures are written as .png, .jpg, .webp or .tif", path);
    size_t count = (size_t)image->width * (size_t)image->height * (size_t)image->channels, size = 0;
    VipsImage *pixels = vips_image_new_from_memory(image->data, count, image->width, image->height, image->channels,
                                                   VIPS_FORMAT_UCHAR);
    if (!pixels)
        return vips_failed(path, "cannot be written", NG_E_INTERNAL, err);
    pixels->Type = image->channels == 1 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
    void *bytes = NULL;
    char options[40];
    snprintf(options, sizeof options, "%s%s", dot, g_ascii_strcasecmp(dot, ".png") == 0 ? "[compression=3]" : "");
    int failed = vips_image_write_to_buffer(pixels, options, &bytes, &size, NULL);
    g_object_unref(pixels);
    if (failed)
        return vips_failed(path, "cannot be encoded", NG_E_INTERNAL, err);
    ng_status status = ng_file_save(path, bytes, size, err);
    g_free(bytes);
    return status;
}

/* ---- Text -------------------------------------------------------------------------------------- */

ng_status ngi_text_render(const char *text, int pixels, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    NGI_TRY(ensure_started(err));
    char font[64];
    snprintf(font, sizeof font, "DejaVu Sans %d", pixels);
    char *escaped = g_markup_escape_text(text, -1);
    VipsImage *mask = NULL;
    int failed = *text == '\0' || vips_text(&mask, escaped, "font", font, "dpi", 72, NULL);
    g_free(escaped);
    if (failed) {
        vips_error_clear();
        NGI_TRY(ngi_image_allocate(1, 1, 1, out, err));
        out->data[0] = 0;
        return NG_OK;
    }
    ng_status status = take_pixels("text", mask, out, err);
    g_object_unref(mask);
    return status;
}
