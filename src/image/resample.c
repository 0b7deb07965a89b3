/* PIL's resize (src/libImaging/Resample.c and Geometry.c of Pillow): on bytes, with 22-bit fixed-point weights, first along
 * x, then along y, each rounded to a byte; the filter widens when shrinking. TensorFlow's and OpenCV's do not. */
#include "image/resample.h"

#include <math.h>
#include <string.h>

#define PIL_BITS 22

typedef struct pil_filter {
    double (*weight)(double x);
    double support;
} pil_filter;

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1 : 0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x)
{
    const double pi = 3.14159265358979323846;
    return x == 0 ? 1 : sin(x * pi) / (x * pi);
}

static double lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

/* Weights of one output cell over source cells [first, first + count). */
typedef struct pil_window {
    int first, count;
    const int32_t *weights;
} pil_window;

typedef struct pil_plan {
    pil_window *windows; /* [out] */
    int32_t *weights;
} pil_plan;

static void clear_plan(pil_plan *p)
{
    ngi_free(p->windows);
    ngi_free(p->weights);
}

static ng_status make_plan(int n, int out, const pil_filter *filter, pil_plan *plan, ng_error *err)
{
    double scale = (double)n / out, stretch = scale < 1 ? 1 : scale, support = filter->support * stretch;
    int most = (int)ceil(support) * 2 + 1;
    plan->windows = ngi_alloc((size_t)out, sizeof *plan->windows);
    plan->weights = ngi_alloc((size_t)out * (size_t)most, sizeof *plan->weights);
    double *w = ngi_alloc((size_t)most, sizeof *w);
    if (!plan->windows || !plan->weights || !w) {
        ngi_free(w);
        return ngi_fail_memory(err, (size_t)out * (size_t)most * sizeof *plan->weights);
    }
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int first = (int)(centre - support + 0.5), last = (int)(centre + support + 0.5);
        first = first < 0 ? 0 : first;
        last = last > n ? n : last;
        for (int k = 0; k < last - first; k++) {
            w[k] = filter->weight((k + first - centre + 0.5) / stretch);
            sum += w[k];
        }
        int32_t *fixed = plan->weights + (size_t)i * (size_t)most;
        for (int k = 0; k < last - first; k++) {
            double v = sum != 0 ? w[k] / sum : w[k];
            fixed[k] = (int32_t)(v < 0 ? v * (1 << PIL_BITS) - 0.5 : v * (1 << PIL_BITS) + 0.5);
        }
        plan->windows[i] = (pil_window){first, last - first, fixed};
    }
    ngi_free(w);
    return NG_OK;
}

static uint8_t to_byte(int64_t fixed)
{
    int64_t v = fixed >> PIL_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void along_x(const uint8_t *src, int h, int w, int c, const pil_plan *plan, uint8_t *dst, int ow)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < ow; x++)
            for (int k = 0; k < c; k++) {
                const pil_window *window = &plan->windows[x];
                int64_t sum = 1 << (PIL_BITS - 1);
                for (int i = 0; i < window->count; i++)
                    sum += (int64_t)src[((int64_t)y * w + window->first + i) * c + k] * window->weights[i];
                dst[((int64_t)y * ow + x) * c + k] = to_byte(sum);
            }
}

static void along_y(const uint8_t *src, int w, int c, const pil_plan *plan, uint8_t *dst, int oh)
{
    int64_t line = (int64_t)w * c;
    for (int y = 0; y < oh; y++)
        for (int64_t x = 0; x < line; x++) {
            const pil_window *window = &plan->windows[y];
            int64_t sum = 1 << (PIL_BITS - 1);
            for (int i = 0; i < window->count; i++)
                sum += (int64_t)src[(window->first + i) * line + x] * window->weights[i];
            dst[y * line + x] = to_byte(sum);
        }
}

static ng_status pil_resize(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow,
                            const pil_filter *filter, ng_error *err)
{
    pil_plan columns = {0}, rows = {0};
    size_t bytes = (size_t)h * (size_t)ow * (size_t)c;
    uint8_t *between = ngi_alloc(bytes, 1);
    ng_status status = between ? NG_OK : ngi_fail_memory(err, bytes);
    if (status == NG_OK)
        status = make_plan(w, ow, filter, &columns, err);
    if (status == NG_OK)
        status = make_plan(h, oh, filter, &rows, err);
    if (status == NG_OK) {
        if (w != ow)
            along_x(src, h, w, c, &columns, between, ow);
        else
            memcpy(between, src, bytes);
        if (h != oh)
            along_y(between, ow, c, &rows, dst, oh);
        else
            memcpy(dst, between, bytes);
    }
    clear_plan(&columns);
    clear_plan(&rows);
    ngi_free(between);
    return status;
}

/* ImagingScaleAffine: positions are summed up, not multiplied. */
static void pil_nearest(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow)
{
    double step_y = (double)h / oh, step_x = (double)w / ow, fy = step_y * 0.5;
    for (int y = 0; y < oh; y++, fy += step_y) {
        int sy = (int)fy < h ? (int)fy : h - 1;
        double fx = step_x * 0.5;
        for (int x = 0; x < ow; x++, fx += step_x) {
            int sx = (int)fx < w ? (int)fx : w - 1;
            memcpy(dst + ((int64_t)y * ow + x) * c, src + ((int64_t)sy * w + sx) * c, (size_t)c);
        }
    }
}

/* One axis of tf.image.resize(bilinear): half-pixel centres in float32, no antialias. */
static void tf_tap(int i, int n, int out, int *low, int *high, float *fraction)
{
    float at = ((float)i + 0.5f) * ((float)n / (float)out) - 0.5f, floor_at = floorf(at);
    *low = floor_at < 0 ? 0 : (int)floor_at;
    *high = (int)ceilf(at) > n - 1 ? n - 1 : (int)ceilf(at);
    *fraction = at - floor_at;
}

static void tf_bilinear(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow)
{
    for (int y = 0; y < oh; y++) {
        int top, bottom, left, right;
        float fy, fx;
        tf_tap(y, h, oh, &top, &bottom, &fy);
        for (int x = 0; x < ow; x++) {
            tf_tap(x, w, ow, &left, &right, &fx);
            for (int k = 0; k < c; k++) {
                float tl = src[((int64_t)top * w + left) * c + k], tr = src[((int64_t)top * w + right) * c + k];
                float bl = src[((int64_t)bottom * w + left) * c + k], br = src[((int64_t)bottom * w + right) * c + k];
                float a = tl + (tr - tl) * fx, b = bl + (br - bl) * fx;
                dst[((int64_t)y * ow + x) * c + k] = (uint8_t)lrintf(a + (b - a) * fy);
            }
        }
    }
}

ng_status ngi_image_resample(const uint8_t *src, int h, int w, int c, uint8_t *dst, int oh, int ow, ng_resample rule,
                             ng_error *err)
{
    static const pil_filter filters[] = {
        [NG_RESAMPLE_PIL_BILINEAR] = {bilinear, 1},
        [NG_RESAMPLE_PIL_BICUBIC] = {bicubic, 2},
        [NG_RESAMPLE_PIL_LANCZOS] = {lanczos, 3},
        [NG_RESAMPLE_PIL_BOX] = {box, 0.5},
    };
    switch (rule) {
    case NG_RESAMPLE_PIL_NEAREST:
        pil_nearest(src, h, w, c, dst, oh, ow);
        return NG_OK;
    case NG_RESAMPLE_TF_BILINEAR:
        tf_bilinear(src, h, w, c, dst, oh, ow);
        return NG_OK;
    case NG_RESAMPLE_CV_BILINEAR:
        return ngi_resize_cv_u8(src, h, w, c, dst, oh, ow, err);
    default:
        return pil_resize(src, h, w, c, dst, oh, ow, &filters[rule], err);
    }
}
