/* cv2.resize(INTER_LINEAR) on uint8, bit for bit: 11-bit weights, horizontal pass in int32, vertical pass
 * with OpenCV's two truncating shifts (modules/imgproc/src/resize.cpp). Halving both sides exactly is
 * OpenCV's 2x2 mean. Columns past an edge take the edge pixel with weight 1, rows past an edge are the edge
 * row with split weights: the truncations make that difference visible. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#define ONE 2048 /* 1.0 with INTER_RESIZE_COEF_BITS = 11 */

typedef struct cv_tap {
    int low, high;  /* clamped source indices */
    int32_t w0, w1; /* weights of 1/2048 */
} cv_tap;

static int clamp_index(int i, int count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

static void fill_taps(cv_tap *taps, int from, int to, bool whole_at_edges)
{
    double scale = 1.0 / ((double)to / from);
    for (int i = 0; i < to; i++) {
        float at = (float)((i + 0.5) * scale - 0.5);
        int low = (int)floorf(at);
        float f = at - (float)low;
        if (whole_at_edges && (low < 0 || low >= from - 1))
            f = 0;
        taps[i] = (cv_tap){clamp_index(low, from), clamp_index(low + 1, from), (int32_t)rintf((1 - f) * ONE),
                           (int32_t)rintf(f * ONE)};
    }
}

static void halve(const uint8_t *src, int c, uint8_t *dst, int oh, int ow)
{
    size_t stride = (size_t)ow * 2 * c;
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++)
            for (int k = 0; k < c; k++) {
                const uint8_t *p = src + (size_t)y * 2 * stride + (size_t)x * 2 * c + k;
                dst[((size_t)y * ow + x) * c + k] =
                    (uint8_t)((p[0] + p[c] + p[stride] + p[stride + c] + 2) >> 2);
            }
}

/* One source row widened to ow pixels: out [ow,c], scaled by ONE. */
static void widen(const uint8_t *row, int c, const cv_tap *taps, int ow, int32_t *out)
{
    for (int x = 0; x < ow; x++)
        for (int k = 0; k < c; k++)
            out[(size_t)x * c + k] = row[(size_t)taps[x].low * c + k] * taps[x].w0 +
                                     row[(size_t)taps[x].high * c + k] * taps[x].w1;
}

/* rows: two widened rows [2,ow*c]; held: which source row each is. */
static void resize_rows(const uint8_t *src, int w, int c, uint8_t *dst, int oh, int ow, const cv_tap *columns,
                        const cv_tap *lines, int32_t *rows)
{
    size_t length = (size_t)ow * c;
    int held[2] = {-1, -1};
    int32_t *row[2] = {rows, rows + length};
    for (int y = 0; y < oh; y++) {
        int wanted[2] = {lines[y].low, lines[y].high};
        if (wanted[0] == held[1]) { /* the lower row becomes the upper one */
            int32_t *moved = row[0];
            row[0] = row[1];
            row[1] = moved;
            held[1] = held[0];
            held[0] = wanted[0];
        }
        for (int i = 0; i < 2; i++)
            if (held[i] != wanted[i]) {
                widen(src + (size_t)wanted[i] * w * c, c, columns, ow, row[i]);
                held[i] = wanted[i];
            }
        int32_t b0 = lines[y].w0, b1 = lines[y].w1;
        uint8_t *out = dst + (size_t)y * length;
        for (size_t i = 0; i < length; i++) {
            int32_t v = (((b0 * (row[0][i] >> 4)) >> 16) + ((b1 * (row[1][i] >> 4)) >> 16) + 2) >> 2;
            out[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

ng_status ngi_resize_cv_u8(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow,
                           ng_error *err)
{
    if (h < 1 || w < 1 || c < 1 || oh < 1 || ow < 1)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "resize of %dx%d pixels with %d channels to %dx%d: sides must be positive", w, h, c,
                        ow, oh);
    if (h == oh && w == ow) {
        memcpy(dst, src, (size_t)h * w * c);
        return NG_OK;
    }
    if (h == 2 * (int64_t)oh && w == 2 * (int64_t)ow) {
        halve(src, c, dst, oh, ow);
        return NG_OK;
    }
    size_t taps = (size_t)ow + oh, row = (size_t)ow * c;
    cv_tap *columns = ngi_alloc(taps, sizeof *columns);
    int32_t *rows = ngi_alloc(row, 2 * sizeof *rows);
    ng_status status = NG_OK;
    if (columns && rows) {
        fill_taps(columns, w, ow, true);
        fill_taps(columns + ow, h, oh, false);
        resize_rows(src, w, c, dst, oh, ow, columns, columns + ow, rows);
    } else {
        status = ngi_fail_memory(err, taps * sizeof *columns + row * 2 * sizeof *rows);
    }
    ngi_free(rows);
    ngi_free(columns);
    return status;
}
