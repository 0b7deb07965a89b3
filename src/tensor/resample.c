/* Resampling of one-channel float maps, and OpenCV's bilinear resize of bytes. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

void ngi_resize_bilinear(const float *src, int h, int w, double y0, double x0, double y1, double x1, float *dst, int oh,
                         int ow)
{
    for (int y = 0; y < oh; y++) {
        double fy = y0 + (y + 0.5) * (y1 - y0) / oh - 0.5;
        double cy = fy < 0 ? 0 : fy > h - 1 ? h - 1 : fy;
        int top = (int)cy, bottom = top + 1 < h ? top + 1 : top;
        double ty = cy - top;
        for (int x = 0; x < ow; x++) {
            double fx = x0 + (x + 0.5) * (x1 - x0) / ow - 0.5;
            double cx = fx < 0 ? 0 : fx > w - 1 ? w - 1 : fx;
            int left = (int)cx, right = left + 1 < w ? left + 1 : left;
            double tx = cx - left;
            double a = src[top * w + left] * (1 - tx) + src[top * w + right] * tx;
            double b = src[bottom * w + left] * (1 - tx) + src[bottom * w + right] * tx;
            dst[(int64_t)y * ow + x] = (float)(a * (1 - ty) + b * ty);
        }
    }
}

void ngi_resize_aligned(const float *src, int h, int w, float *dst, int oh, int ow)
{
    for (int y = 0; y < oh; y++) {
        double fy = oh > 1 ? (double)y * (h - 1) / (oh - 1) : 0;
        int top = (int)fy, bottom = top + 1 < h ? top + 1 : top;
        double ty = fy - top;
        for (int x = 0; x < ow; x++) {
            double fx = ow > 1 ? (double)x * (w - 1) / (ow - 1) : 0;
            int left = (int)fx, right = left + 1 < w ? left + 1 : left;
            double tx = fx - left;
            double a = src[top * w + left] * (1 - tx) + src[top * w + right] * tx;
            double b = src[bottom * w + left] * (1 - tx) + src[bottom * w + right] * tx;
            dst[(int64_t)y * ow + x] = (float)(a * (1 - ty) + b * ty);
        }
    }
}

/* ---- cv2.resize(INTER_LINEAR) on uint8: modules/imgproc/src/resize.cpp --------------------------- */

#define CV_BITS 11 /* of a weight */

typedef struct cv_tap {
    int low, high;
    int weight[2]; /* sum to 1 << CV_BITS, but for rounding */
} cv_tap;

static void cv_taps(cv_tap *taps, int n, int out, bool clamp_fraction)
{
    double scale = (double)n / out;
    for (int i = 0; i < out; i++) {
        float f = (float)((i + 0.5) * scale - 0.5);
        int at = (int)floorf(f);
        f -= (float)at;
        if (clamp_fraction && at < 0) { /* along x the fraction is dropped at the rims; along y the rows are clipped */
            at = 0;
            f = 0;
        }
        if (clamp_fraction && at >= n - 1) {
            at = n - 1;
            f = 0;
        }
        taps[i].low = at < 0 ? 0 : at > n - 1 ? n - 1 : at;
        taps[i].high = at + 1 < 0 ? 0 : at + 1 > n - 1 ? n - 1 : at + 1;
        taps[i].weight[0] = (int)lrintf((1.0f - f) * (1 << CV_BITS));
        taps[i].weight[1] = (int)lrintf(f * (1 << CV_BITS));
    }
}

/* One line at the output's width, as integers with CV_BITS fraction bits. */
static void cv_line(const uint8_t *src, int c, const cv_tap *columns, int ow, int *line)
{
    for (int x = 0; x < ow; x++)
        for (int k = 0; k < c; k++)
            line[x * c + k] = src[columns[x].low * c + k] * columns[x].weight[0] +
                              src[columns[x].high * c + k] * columns[x].weight[1];
}

/* OpenCV averages blocks when both sides are exactly halved. */
static void cv_halve(const uint8_t *src, int w, int c, uint8_t *dst, int oh, int ow)
{
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++)
            for (int k = 0; k < c; k++) {
                const uint8_t *p = src + ((int64_t)2 * y * w + 2 * x) * c + k;
                dst[((int64_t)y * ow + x) * c + k] =
                    (uint8_t)((p[0] + p[c] + p[(int64_t)w * c] + p[(int64_t)w * c + c] + 2) >> 2);
            }
}

ng_status ngi_resize_cv_u8(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow, ng_error *err)
{
    if (h == oh && w == ow) {
        memcpy(dst, src, (size_t)h * (size_t)w * (size_t)c);
        return NG_OK;
    }
    if (h == 2 * oh && w == 2 * ow) {
        cv_halve(src, w, c, dst, oh, ow);
        return NG_OK;
    }
    cv_tap *rows = ngi_alloc((size_t)oh + (size_t)ow, sizeof *rows), *columns = rows ? rows + oh : NULL;
    size_t line = (size_t)ow * (size_t)c;
    int *lines = ngi_alloc(2 * line, sizeof *lines);
    if (!rows || !lines) {
        ngi_free(rows);
        ngi_free(lines);
        return ngi_fail_memory(err, 2 * line * sizeof *lines);
    }
    cv_taps(rows, h, oh, false);
    cv_taps(columns, w, ow, true);
    for (int y = 0; y < oh; y++) {
        cv_line(src + (size_t)rows[y].low * (size_t)w * (size_t)c, c, columns, ow, lines);
        cv_line(src + (size_t)rows[y].high * (size_t)w * (size_t)c, c, columns, ow, lines + line);
        for (size_t i = 0; i < line; i++) {
            int a = (rows[y].weight[0] * (lines[i] >> 4)) >> 16, b = (rows[y].weight[1] * (lines[line + i] >> 4)) >> 16;
            int v = (a + b + 2) >> 2;
            dst[(size_t)y * line + i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
    ngi_free(rows);
    ngi_free(lines);
    return NG_OK;
}
