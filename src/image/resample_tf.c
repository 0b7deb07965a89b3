/* tf.image.resize(method="bilinear", antialias=False) on uint8, rounded half to even: float32 positions and
 * blends as tensorflow/core/kernels/image/resize_bilinear_op.cc computes them with half-pixel centres. */
#include "image/image.h"

#include <math.h>

typedef struct tf_tap {
    int low, high;
    float weight; /* of high */
} tf_tap;

static void fill_taps(tf_tap *taps, int from, int to)
{
    float scale = (float)from / (float)to;
    for (int i = 0; i < to; i++) {
        float at = ((float)i + 0.5f) * scale - 0.5f, low = floorf(at), high = ceilf(at);
        taps[i] = (tf_tap){low > 0 ? (int)low : 0, high < (float)(from - 1) ? (int)high : from - 1, at - low};
    }
}

ng_status ngi_resample_tf(const ng_image *image, ng_image *out, ng_error *err)
{
    size_t count = (size_t)out->width + out->height, c = (size_t)image->channels;
    tf_tap *columns = ngi_alloc(count, sizeof *columns);
    if (!columns)
        return ngi_fail_memory(err, count * sizeof *columns);
    tf_tap *rows = columns + out->width;
    fill_taps(columns, image->width, out->width);
    fill_taps(rows, image->height, out->height);
    uint8_t *to = out->data;
    for (int y = 0; y < out->height; y++) {
        const uint8_t *top = image->data + (size_t)rows[y].low * image->width * c;
        const uint8_t *bottom = image->data + (size_t)rows[y].high * image->width * c;
        for (int x = 0; x < out->width; x++)
            for (size_t k = 0; k < c; k++) {
                size_t l = (size_t)columns[x].low * c + k, r = (size_t)columns[x].high * c + k;
                float above = (float)top[l] + (float)(top[r] - top[l]) * columns[x].weight;
                float below = (float)bottom[l] + (float)(bottom[r] - bottom[l]) * columns[x].weight;
                *to++ = (uint8_t)rintf(above + (below - above) * rows[y].weight);
            }
    }
    ngi_free(columns);
    return NG_OK;
}
