/* Images in memory: options, allocation, copies, grey and RGB. */
#include "image/image.h"

#include <string.h>

void ng_image_opts_init(ng_image_opts *opts)
{
    *opts = (ng_image_opts){.struct_size = sizeof *opts, .background = 255, .max_pixels = 200000000};
}

void ng_image_clear(ng_image *image)
{
    if (!image)
        return;
    ngi_free(image->data);
    *image = (ng_image){0};
}

ng_status ngi_image_create(int width, int height, int channels, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    if (width < 1 || height < 1 || width > NGI_MAX_SIDE || height > NGI_MAX_SIDE)
        return ngi_fail(err, NG_E_ARGUMENT, "an image of %dx%d pixels: sides must be 1 to %d", width, height,
                        NGI_MAX_SIDE);
    if ((int64_t)width * height > NGI_MAX_PIXELS)
        return ngi_fail(err, NG_E_LIMIT, "an image of %dx%d pixels: the limit is %lld pixels", width, height,
                        (long long)NGI_MAX_PIXELS);
    size_t pixels = (size_t)width * (size_t)height;
    uint8_t *data = ngi_alloc(pixels, (size_t)channels);
    if (!data)
        return ngi_fail_memory(err, pixels * (size_t)channels);
    *out = (ng_image){.width = width, .height = height, .channels = channels, .data = data};
    return NG_OK;
}

ng_status ngi_image_check(const ng_image *image, const char *what, ng_error *err)
{
    if (!image || !image->data)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: there is no image", what);
    if (image->width < 1 || image->height < 1 || (image->channels != 1 && image->channels != 3))
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%s: an image of %dx%d pixels with %d channels, expected 1 or 3 channels", what,
                        image->width, image->height, image->channels);
    return NG_OK;
}

ng_status ngi_image_copy(const ng_image *image, ng_image *out, ng_error *err)
{
    NGI_TRY(ngi_image_create(image->width, image->height, image->channels, out, err));
    memcpy(out->data, image->data, (size_t)image->width * image->height * image->channels);
    return NG_OK;
}

ng_status ngi_image_convert(const ng_image *image, int channels, ng_image *out, ng_error *err)
{
    if (image->channels == channels)
        return ngi_image_copy(image, out, err);
    NGI_TRY(ngi_image_create(image->width, image->height, channels, out, err));
    size_t pixels = (size_t)image->width * image->height;
    const uint8_t *in = image->data;
    if (channels == 3) {
        for (size_t i = 0; i < pixels; i++)
            memset(out->data + 3 * i, in[i], 3);
    } else { /* ITU-R 601 luma in 16 bits, as PIL's L24 */
        for (size_t i = 0; i < pixels; i++, in += 3)
            out->data[i] = (uint8_t)((in[0] * 19595u + in[1] * 38470u + in[2] * 7471u + 0x8000u) >> 16);
    }
    return NG_OK;
}
