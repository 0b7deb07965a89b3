/* Encoding for pages: small pictures and animations, in memory. */
#include "image/image.h"
#include "image/start.h"

#include <string.h>

static ng_status take(void *bytes, size_t size, ngi_buffer *out, ng_error *err)
{
    ng_status status = ngi_buffer_add(out, bytes, size, err);
    g_free(bytes);
    return status;
}

/* Takes `in`, which may be NULL: then vips has said why. */
static ng_status encode(VipsImage *in, int quality, ngi_buffer *out, ng_error *err)
{
    void *bytes = NULL;
    size_t size = 0;
    int result = in ? vips_webpsave_buffer(in, &bytes, &size, "Q", quality, "strip", TRUE, NULL) : -1;
    if (in && result != 0) {
        ngi_vips_forget();
        result = in->Bands == 4 ? vips_pngsave_buffer(in, &bytes, &size, "strip", TRUE, NULL)
                                : vips_jpegsave_buffer(in, &bytes, &size, "Q", quality, "strip", TRUE, NULL);
    }
    if (in)
        g_object_unref(in);
    if (result != 0)
        return ngi_vips_fail(err, NG_E_UNSUPPORTED, "a picture", "it could not be encoded");
    return take(bytes, size, out, err);
}

ng_status ngi_image_encode(const ng_image *image, int quality, ngi_buffer *out, ng_error *err)
{
    NGI_TRY(ngi_image_check(image, "encoding an image", err));
    NGI_TRY(ngi_vips_start(err));
    return encode(ngi_vips_wrap(image), quality, out, err);
}

ng_status ngi_image_encode_rgba(const uint8_t *pixels, int width, int height, int quality, ngi_buffer *out,
                                ng_error *err)
{
    NGI_TRY(ngi_vips_start(err));
    VipsImage *raw = vips_image_new_from_memory(pixels, (size_t)width * (size_t)height * 4, width, height, 4,
                                                VIPS_FORMAT_UCHAR),
              *typed = NULL;
    if (raw && vips_copy(raw, &typed, "interpretation", VIPS_INTERPRETATION_sRGB, NULL) == 0)
        ngi_vips_single_thread(typed);
    if (raw)
        g_object_unref(raw);
    return encode(typed, quality, out, err);
}

/* The frames beneath one another, as vips wants them; NULL with vips's message. */
static VipsImage *join(const ng_image *frames, int n, int milliseconds, VipsImage **each, int *delays)
{
    for (int i = 0; i < n; i++) {
        delays[i] = milliseconds;
        if (!(each[i] = ngi_vips_wrap(&frames[i])))
            return NULL;
    }
    VipsImage *joined = NULL, *out = NULL;
    if (vips_arrayjoin(each, &joined, n, "across", 1, NULL) != 0)
        return NULL;
    if (vips_copy(joined, &out, NULL) == 0) {
        vips_image_set_int(out, VIPS_META_PAGE_HEIGHT, frames[0].height);
        vips_image_set_array_int(out, "delay", delays, n);
        vips_image_set_int(out, "loop", 0);
        ngi_vips_single_thread(out);
    }
    g_object_unref(joined);
    return out;
}

ng_status ngi_image_encode_animation(const ng_image *frames, int n, int milliseconds, int quality,
                                     ngi_buffer *out, ng_error *err)
{
    if (n < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "an animation has no frames");
    for (int i = 0; i < n; i++) {
        NGI_TRY(ngi_image_check(&frames[i], "encoding an animation", err));
        if (frames[i].width != frames[0].width || frames[i].height != frames[0].height ||
            frames[i].channels != 3)
            return ngi_fail(err, NG_E_SHAPE, "frame %d of an animation is not like the first", i);
    }
    NGI_TRY(ngi_vips_start(err));
    VipsImage **each = ngi_alloc_zero((size_t)n, sizeof(VipsImage *));
    int *delays = ngi_alloc((size_t)n, sizeof *delays);
    ng_status status = each && delays ? NG_OK : ngi_fail_memory(err, (size_t)n * sizeof(VipsImage *));
    if (status == NG_OK) {
        void *bytes = NULL;
        size_t size = 0;
        VipsImage *joined = join(frames, n, milliseconds, each, delays);
        int result =
            joined ? vips_webpsave_buffer(joined, &bytes, &size, "Q", quality, "min_size", TRUE, NULL) : -1;
        if (joined)
            g_object_unref(joined);
        status = result == 0
                     ? take(bytes, size, out, err)
                     : ngi_vips_fail(err, NG_E_UNSUPPORTED, "an animation", "it could not be encoded");
    }
    for (int i = 0; each && i < n; i++)
        if (each[i])
            g_object_unref(each[i]);
    ngi_free(each);
    ngi_free(delays);
    return status;
}
