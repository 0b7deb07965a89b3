/* Linear resampling of one-channel float maps: half-pixel centres (tf.image.resize, cv2.resize INTER_LINEAR
 * on float32, torch align_corners=False) and aligned corners (scipy.ndimage.zoom(order=1), torch
 * align_corners=True). Positions are computed in double, values are blended in float32. For a
 * few sizes (14 to 384 cells, say) SciPy's own rounding puts its last position past the end and gives 0
 * there: that is not copied. */
#include "tensor/tensor.h"

#include <math.h>

#define BLOCK 256 /* columns whose taps are worked out once for all rows */

/* Two neighbours and the weight of the second. */
typedef struct tap {
    int low, high;
    float weight;
} tap;

/* The taps of position `at`, counted in cells from the first cell's centre, with the edges repeated. */
static tap tap_at(double at, int count)
{
    if (!(at > 0))
        return (tap){0, 0, 0};
    if (at >= count - 1)
        return (tap){count - 1, count - 1, 0};
    int low = (int)at;
    return (tap){low, low + 1, (float)(at - low)};
}

/* A line of positions first, first + step, ... */
typedef struct axis {
    double first, step;
} axis;

static void resize_linear(const float *src, int h, int w, axis y, axis x, float *dst, int oh, int ow)
{
    tap columns[BLOCK];
    for (int block = 0; block < ow; block += BLOCK) {
        int count = ow - block < BLOCK ? ow - block : BLOCK;
        for (int i = 0; i < count; i++)
            columns[i] = tap_at(x.first + (block + i) * x.step, w);
        for (int r = 0; r < oh; r++) {
            tap row = tap_at(y.first + r * y.step, h);
            const float *top = src + (size_t)row.low * w;
            const float *bottom = src + (size_t)row.high * w;
            float *out = dst + (size_t)r * ow + block;
            for (int i = 0; i < count; i++) {
                tap c = columns[i];
                float above = top[c.low] + (top[c.high] - top[c.low]) * c.weight;
                float below = bottom[c.low] + (bottom[c.high] - bottom[c.low]) * c.weight;
                out[i] = above + (below - above) * row.weight;
            }
        }
    }
}

void ngi_resize_bilinear(const float *src, int h, int w, double y0, double x0, double y1, double x1,
                         float *dst, int oh, int ow)
{
    double sy = (y1 - y0) / oh, sx = (x1 - x0) / ow;
    resize_linear(src, h, w, (axis){y0 + 0.5 * sy - 0.5, sy}, (axis){x0 + 0.5 * sx - 0.5, sx}, dst, oh, ow);
}

void ngi_resize_aligned(const float *src, int h, int w, float *dst, int oh, int ow)
{
    axis y = {0, oh > 1 ? (h - 1) / (double)(oh - 1) : 0};
    axis x = {0, ow > 1 ? (w - 1) / (double)(ow - 1) : 0};
    resize_linear(src, h, w, y, x, dst, oh, ow);
}
