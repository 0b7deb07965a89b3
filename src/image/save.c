/* Encoding images: the whole file is made in memory, then written atomically. PNG is our own (png.c), the rest vips's. */
#include "image/image.h"
#include "image/png.h"
#include "image/start.h"

#include <string.h>
#include <strings.h>

/* No chroma subsampling: colour edges of heatmaps and text would bleed. */
static int encode_jpeg(VipsImage *in, void **bytes, size_t *size)
{
    return vips_jpegsave_buffer(in, bytes, size, "Q", 92, "subsample_mode", VIPS_FOREIGN_SUBSAMPLE_OFF,
                                "strip", TRUE, NULL);
}

static int encode_webp(VipsImage *in, void **bytes, size_t *size)
{
    return vips_webpsave_buffer(in, bytes, size, "Q", 90, "strip", TRUE, NULL);
}

static int encode_tiff(VipsImage *in, void **bytes, size_t *size)
{
    return vips_tiffsave_buffer(in, bytes, size, "compression", VIPS_FOREIGN_TIFF_COMPRESSION_DEFLATE,
                                "strip", TRUE, NULL);
}

typedef struct encoder {
    const char *extension;
    int (*encode)(VipsImage *in, void **bytes, size_t *size); /* NULL: PNG */
} encoder;

static const encoder encoders[] = {{".png", NULL},         {".jpg", encode_jpeg}, {".jpeg", encode_jpeg},
                                   {".webp", encode_webp}, {".tif", encode_tiff}, {".tiff", encode_tiff}};

static const encoder *find_encoder(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof encoders / sizeof *encoders; i++)
        if (strcasecmp(dot, encoders[i].extension) == 0)
            return &encoders[i];
    return NULL;
}

VipsImage *ngi_vips_wrap(const ng_image *image)
{
    size_t length = (size_t)image->width * image->height * image->channels;
    VipsImage *raw = vips_image_new_from_memory(image->data, length, image->width, image->height,
                                                image->channels, VIPS_FORMAT_UCHAR);
    if (!raw)
        return NULL;
    VipsImage *typed = NULL;
    int result = vips_copy(raw, &typed, "interpretation",
                           image->channels == 1 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB, NULL);
    g_object_unref(raw);
    if (result != 0)
        return NULL;
    ngi_vips_single_thread(typed);
    return typed;
}

static int encode(const ng_image *image, const encoder *e, void **bytes, size_t *size)
{
    VipsImage *typed = ngi_vips_wrap(image);
    if (!typed)
        return -1;
    int result = e->encode(typed, bytes, size);
    g_object_unref(typed);
    return result;
}

static ng_status save_by_vips(const ng_image *image, const encoder *e, const char *path, ng_error *err)
{
    void *bytes = NULL;
    size_t size = 0;
    NGI_TRY(ngi_vips_start(err));
    if (encode(image, e, &bytes, &size) != 0)
        return ngi_vips_fail(err, NG_E_UNSUPPORTED, path, "the image could not be encoded");
    ng_status status = ng_file_save_quick(path, bytes, size, err);
    g_free(bytes);
    return status;
}

ng_status ng_image_save(const ng_image *image, const char *path, ng_error *err)
{
    if (!path)
        return ngi_fail(err, NG_E_ARGUMENT, "saving an image: there is no path");
    NGI_TRY(ngi_image_check(image, path, err));
    const encoder *e = find_encoder(path);
    if (!e)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%s: the extension must be .png, .jpg, .jpeg, .webp, .tif or .tiff", path);
    if (e->encode)
        return save_by_vips(image, e, path, err);
    uint8_t *bytes;
    size_t size;
    NGI_TRY(ngi_png_encode(image, &bytes, &size, err));
    ng_status status = ng_file_save_quick(path, bytes, size, err);
    ngi_free(bytes);
    return status;
}
