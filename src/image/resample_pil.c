/* PIL.Image.resize on uint8, bit for bit: Pillow's two-pass convolution with 22-bit fixed-point weights whose
 * support widens when shrinking (libImaging/Resample.c), and its nearest neighbour (libImaging/Geometry.c,
 * whose positions are summed up, not multiplied). Leaves out Hamming, boxes and reducing_gap. */
#include "image/image.h"

#include <math.h>
#include <string.h>

#define PRECISION 22 /* 32 - 8 - 2 bits: room for negative lobes and sums above 1 */

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double cubic(double x) /* Keys, a = -0.5 */
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

typedef struct kernel {
    double (*at)(double x);
    double support; /* source pixels each side at scale 1 */
} kernel;

static const kernel kernels[] = {
    [NG_RESAMPLE_PIL_BILINEAR] = {triangle, 1.0},
    [NG_RESAMPLE_PIL_BICUBIC] = {cubic, 2.0},
    [NG_RESAMPLE_PIL_LANCZOS] = {lanczos, 3.0},
    [NG_RESAMPLE_PIL_BOX] = {box, 0.5},
};

/* The weights of one axis: output i reads `count[i]` source pixels from `first[i]`. */
typedef struct weights {
    int taps;   /* room per output */
    int *first; /* [out] */
    int *count; /* [out] */
    int32_t *w; /* [out,taps], scaled by 2^PRECISION */
} weights;

static void weights_clear(weights *k)
{
    ngi_free(k->first);
    ngi_free(k->count);
    ngi_free(k->w);
    *k = (weights){0};
}

static int32_t to_fixed(double w)
{
    double scaled = w * (1 << PRECISION);
    return (int32_t)(w < 0 ? scaled - 0.5 : scaled + 0.5);
}

/* The weights of output i; line: [taps] scratch. */
static void fill_output(weights *k, const kernel *f, int from, double scale, int i, double *line)
{
    double stretch = scale < 1.0 ? 1.0 : scale, support = f->support * stretch;
    double center = (i + 0.5) * scale, step = 1.0 / stretch, sum = 0;
    int low = (int)(center - support + 0.5), high = (int)(center + support + 0.5);
    low = low < 0 ? 0 : low;
    int n = (high > from ? from : high) - low;
    for (int x = 0; x < n; x++) {
        line[x] = f->at((x + low - center + 0.5) * step);
        sum += line[x];
    }
    for (int x = 0; x < n; x++)
        k->w[(size_t)i * k->taps + x] = to_fixed(sum != 0.0 ? line[x] / sum : line[x]);
    k->first[i] = low;
    k->count[i] = n;
}

static ng_status weights_create(const kernel *f, int from, int to, weights *k, ng_error *err)
{
    double scale = (double)from / to;
    k->taps = (int)ceil(f->support * (scale < 1.0 ? 1.0 : scale)) * 2 + 1;
    k->first = ngi_alloc((size_t)to, sizeof *k->first);
    k->count = ngi_alloc((size_t)to, sizeof *k->count);
    k->w = ngi_alloc((size_t)to * k->taps, sizeof *k->w);
    double *line = ngi_alloc((size_t)k->taps, sizeof *line);
    ng_status status = NG_OK;
    if (k->first && k->count && k->w && line)
        for (int i = 0; i < to; i++)
            fill_output(k, f, from, scale, i, line);
    else
        status = ngi_fail_memory(err, (size_t)to * k->taps * sizeof *k->w);
    ngi_free(line);
    if (status != NG_OK)
        weights_clear(k);
    return status;
}

static uint8_t clip(int32_t sum)
{
    sum >>= PRECISION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* in [h,w,c] to out [h,ow,c]. */
static void pass_horizontal(const ng_image *in, const weights *k, ng_image *out)
{
    int c = in->channels == 3 ? 3 : 1;
    for (int y = 0; y < in->height; y++) {
        const uint8_t *row = in->data + (size_t)y * in->width * c;
        uint8_t *to = out->data + (size_t)y * out->width * c;
        for (int x = 0; x < out->width; x++, to += c) {
            const int32_t *w = k->w + (size_t)x * k->taps;
            const uint8_t *p = row + (size_t)k->first[x] * c;
            int32_t sum[3] = {1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)};
            for (int i = 0; i < k->count[x]; i++, p += c)
                for (int j = 0; j < c; j++)
                    sum[j] += p[j] * w[i];
            for (int j = 0; j < c; j++)
                to[j] = clip(sum[j]);
        }
    }
}

/* in [h,w,c] to out [oh,w,c]; sums: [w*c] scratch. */
static void pass_vertical(const ng_image *in, const weights *k, ng_image *out, int32_t *sums)
{
    size_t length = (size_t)in->width * in->channels;
    for (int y = 0; y < out->height; y++) {
        for (size_t i = 0; i < length; i++)
            sums[i] = 1 << (PRECISION - 1);
        for (int t = 0; t < k->count[y]; t++) {
            const uint8_t *row = in->data + (size_t)(k->first[y] + t) * length;
            int32_t w = k->w[(size_t)y * k->taps + t];
            for (size_t i = 0; i < length; i++)
                sums[i] += row[i] * w;
        }
        for (size_t i = 0; i < length; i++)
            out->data[(size_t)y * length + i] = clip(sums[i]);
    }
}

static ng_status resize_horizontal(const ng_image *in, const kernel *f, ng_image *out, ng_error *err)
{
    weights k = {0};
    NGI_TRY(weights_create(f, in->width, out->width, &k, err));
    pass_horizontal(in, &k, out);
    weights_clear(&k);
    return NG_OK;
}

static ng_status resize_vertical(const ng_image *in, const kernel *f, ng_image *out, ng_error *err)
{
    weights k = {0};
    NGI_TRY(weights_create(f, in->height, out->height, &k, err));
    size_t length = (size_t)in->width * in->channels;
    int32_t *sums = ngi_alloc(length, sizeof *sums);
    if (sums)
        pass_vertical(in, &k, out, sums);
    weights_clear(&k);
    if (!sums)
        return ngi_fail_memory(err, length * sizeof *sums);
    ngi_free(sums);
    return NG_OK;
}

/* Pillow 13's order of the passes; up to 12 the horizontal one came first always. It matters by one level in
 * places. */
static bool is_vertical_first(const ng_image *in, const ng_image *out)
{
    int rows = in->height - out->height, columns = in->width - out->width;
    return rows > 0 && rows > 2 * (int64_t)columns;
}

ng_status ngi_resample_pil(const ng_image *image, ng_resample filter, ng_image *out, ng_error *err)
{
    const kernel *f = &kernels[filter];
    if (image->width == out->width && image->height == out->height) {
        memcpy(out->data, image->data, (size_t)image->width * image->height * image->channels);
        return NG_OK;
    }
    if (image->width == out->width)
        return resize_vertical(image, f, out, err);
    if (image->height == out->height)
        return resize_horizontal(image, f, out, err);
    bool rows_first = is_vertical_first(image, out);
    ng_image middle;
    NGI_TRY(ngi_image_create(rows_first ? image->width : out->width, rows_first ? out->height : image->height,
                             image->channels, &middle, err));
    ng_status status =
        rows_first ? resize_vertical(image, f, &middle, err) : resize_horizontal(image, f, &middle, err);
    if (status == NG_OK)
        status = rows_first ? resize_horizontal(&middle, f, out, err) : resize_vertical(&middle, f, out, err);
    ng_image_clear(&middle);
    return status;
}

/* Source index of every output: at[to]. */
static void nearest_indices(int from, int to, int *at)
{
    double scale = (double)from / to, position = scale * 0.5;
    for (int i = 0; i < to; i++, position += scale)
        at[i] = position < from ? (int)position : from - 1;
}

ng_status ngi_resample_nearest(const ng_image *image, ng_image *out, ng_error *err)
{
    size_t count = (size_t)out->width + out->height, c = (size_t)image->channels;
    int *columns = ngi_alloc(count, sizeof *columns);
    if (!columns)
        return ngi_fail_memory(err, count * sizeof *columns);
    int *rows = columns + out->width;
    nearest_indices(image->width, out->width, columns);
    nearest_indices(image->height, out->height, rows);
    uint8_t *to = out->data;
    for (int y = 0; y < out->height; y++) {
        const uint8_t *row = image->data + (size_t)rows[y] * image->width * c;
        for (int x = 0; x < out->width; x++, to += c)
            memcpy(to, row + (size_t)columns[x] * c, c);
    }
    ngi_free(columns);
    return NG_OK;
}
