/* Pixels of an augmented image: one bilinear warp (TensorFlow's ImageProjectiveTransformV3, which Keras's layers call),
 * then contrast, brightness, hue (tf.image.rgb_to_hsv and back) and the erased box. */
#include "data/augment.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

/* a = a b, both affine. */
static void multiply(double a[6], const double b[6])
{
    double c[6];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++)
            c[3 * i + k] = a[3 * i] * b[k] + a[3 * i + 1] * b[3 + k];
        c[3 * i + 2] += a[3 * i + 2];
    }
    memcpy(a, c, sizeof c);
}

void ngi_augment_matrix(const ngi_augment_move *move, int h, int w, double m[6])
{
    double cx = 0.5 * (w - 1), cy = 0.5 * (h - 1);
    double angle = move->turns * 2 * PI, c = cos(angle), s = sin(angle);
    double fx = move->flip_horizontal ? -1 : 1, fy = move->flip_vertical ? -1 : 1;
    const double flip[6] = {fx, 0, cx - fx * cx, 0, fy, cy - fy * cy};
    const double rotation[6] = {c, -s, cx - cx * c + cy * s, s, c, cy - cx * s - cy * c};
    const double zoom[6] = {move->zoom_x,           0, cx * (1 - move->zoom_x), 0, move->zoom_y,
                            cy * (1 - move->zoom_y)};
    const double shift[6] = {1, 0, -move->shift_x * w, 0, 1, -move->shift_y * h};
    memcpy(m, flip, sizeof flip);
    multiply(m, rotation);
    multiply(m, zoom);
    multiply(m, shift);
}

/* A coordinate beyond the edge, led back. */
static float reflected(float x, int n)
{
    float period = 2.0f * (float)n;
    if (n <= 1)
        return 0;
    if (x < 0) {
        if (x < -period)
            x += period * floorf(-x / period);
        x = x < (float)-n ? x + period : -x - 1;
    } else if (x > (float)(n - 1)) {
        x -= period * floorf(x / period);
        if (x >= (float)n)
            x = period - x - 1;
    }
    return x < 0 ? 0 : x > (float)(n - 1) ? (float)(n - 1) : x;
}

static float led_back(float x, int n, ngi_fill fill)
{
    if (fill == NGI_FILL_REFLECT)
        return reflected(x, n);
    if (fill == NGI_FILL_NEAREST)
        return x < 0 ? 0 : x > (float)(n - 1) ? (float)(n - 1) : x;
    /* Farther out there is nothing but black, and a float that fits an int. */
    return x < -2 ? -2 : x > (float)n + 1 ? (float)n + 1 : x;
}

/* in [h,w,n]; out [n]. */
static void sample(const float *in, int h, int w, int n, float x, float y, float *out)
{
    static const float black[3] = {0, 0, 0};
    int x0 = (int)floorf(x), y0 = (int)floorf(y);
    float fx = x - (float)x0, fy = y - (float)y0;
    const float *p[2][2];
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++)
            p[i][k] = y0 + i >= 0 && y0 + i < h && x0 + k >= 0 && x0 + k < w
                          ? in + ((int64_t)(y0 + i) * w + x0 + k) * n
                          : black;
    for (int c = 0; c < n; c++) {
        float top = (1 - fx) * p[0][0][c] + fx * p[0][1][c], bottom = (1 - fx) * p[1][0][c] + fx * p[1][1][c];
        out[c] = (1 - fy) * top + fy * bottom;
    }
}

bool ngi_augment_warp(const ngi_augment_move *move, ngi_fill fill, const float *in, float *out, int h, int w,
                      int channels)
{
    static const double still[6] = {1, 0, 0, 0, 1, 0};
    double m[6];
    ngi_augment_matrix(move, h, w, m);
    int same = 0;
    for (int i = 0; i < 6; i++)
        same += m[i] == still[i];
    if (same == 6)
        return false;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            sample(in, h, w, channels, led_back((float)(m[0] * x + m[1] * y + m[2]), w, fill),
                   led_back((float)(m[3] * x + m[4] * y + m[5]), h, fill),
                   out + ((int64_t)y * w + x) * channels);
    return true;
}

static float clipped(double x, double most)
{
    return (float)(x < 0 ? 0 : x > most ? most : x);
}

static void change_contrast(float *image, int64_t pixels, int channels, double factor)
{
    for (int c = 0; c < channels; c++) {
        double mean = 0;
        for (int64_t i = 0; i < pixels; i++)
            mean += image[channels * i + c];
        mean /= (double)pixels;
        for (int64_t i = 0; i < pixels; i++)
            image[channels * i + c] = clipped((image[channels * i + c] - mean) * factor + mean, 255);
    }
}

static void to_hsv(const float rgb[3], float hsv[3])
{
    float r = rgb[0], g = rgb[1], b = rgb[2];
    float most = fmaxf(r, fmaxf(g, b)), range = most - fminf(r, fminf(g, b));
    float norm = range > 0 ? 1.0f / (6.0f * range) : 0, hue;
    if (r == most)
        hue = norm * (g - b);
    else if (g == most)
        hue = norm * (b - r) + 2.0f / 6.0f;
    else
        hue = norm * (r - g) + 4.0f / 6.0f;
    hsv[0] = range > 0 ? (hue < 0 ? hue + 1 : hue) : 0;
    hsv[1] = most > 0 ? range / most : 0;
    hsv[2] = most;
}

static void to_rgb(const float hsv[3], float rgb[3])
{
    float h6 = hsv[0] * 6;
    const float share[3] = {fabsf(h6 - 3) - 1, 2 - fabsf(h6 - 2), 2 - fabsf(h6 - 4)};
    for (int c = 0; c < 3; c++)
        rgb[c] = clipped((1 - hsv[1] + hsv[1] * clipped(share[c], 1)) * hsv[2], 1);
}

static void turn_hue(float *image, int64_t pixels, double turn)
{
    for (int64_t i = 0; i < pixels; i++) {
        float *p = image + 3 * i, rgb[3] = {p[0] / 255, p[1] / 255, p[2] / 255}, hsv[3];
        to_hsv(rgb, hsv);
        hsv[0] += (float)turn;
        hsv[0] += hsv[0] > 1 ? -1.0f : hsv[0] < 0 ? 1.0f : 0;
        to_rgb(hsv, rgb);
        for (int c = 0; c < 3; c++)
            p[c] = rgb[c] * 255;
    }
}

/* RandomErasing's default filling: normal noise of deviation 255, clipped. */
static void erase(const ngi_augment_draw *d, float *image, int h, int w, int channels)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0;
                 c < channels && x >= d->box[0] && x < d->box[2] && y >= d->box[1] && y < d->box[3]; c++) {
                int64_t i = ((int64_t)y * w + x) * channels + c;
                image[i] = clipped(255 * ngi_random_normal(d->seed, d->stream, (uint64_t)i), 255);
            }
}

void ngi_augment_apply(const ngi_augment_draw *d, ngi_fill fill, float *image, float *work, int h, int w,
                       int channels)
{
    int64_t pixels = (int64_t)h * w;
    if (ngi_augment_warp(&d->move, fill, image, work, h, w, channels))
        memcpy(image, work, (size_t)(pixels * channels) * sizeof *work);
    if (d->contrast != 1)
        change_contrast(image, pixels, channels, d->contrast);
    for (int64_t i = 0; i < pixels * channels && d->brightness != 0; i++)
        image[i] = clipped(image[i] + 255 * d->brightness, 255);
    if (d->hue != 0 && channels == 3)
        turn_hue(image, pixels, d->hue);
    if (d->erase)
        erase(d, image, h, w, channels);
}
