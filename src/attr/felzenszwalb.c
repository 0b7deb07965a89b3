/* Felzenszwalb & Huttenlocher, "Efficient graph-based image segmentation" (IJCV 2004): pixels are joined along the cheapest
 * edges first, as long as an edge costs less than what lies within both segments plus scale / size; then what is smaller
 * than min_size joins a neighbour. After skimage.segmentation.felzenszwalb: eight neighbours, scale / 255, a Gaussian
 * first, and inner costs rounded to float32, as there. */
#include "attr/felzenszwalb.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Correlates each line with a symmetric kernel, edges mirrored ("reflect": the edge itself twice) or zero beyond; in the order
 * of scipy.ndimage.correlate1d's sums. */
static void blur_axis(const double *x, double *y, int length, int64_t step, int64_t lines,
                      const double *weights, int radius, bool zero)
{
    for (int64_t line = 0; line < lines; line++) {
        const double *from = x + line / step * step * length + line % step;
        double *to = y + (from - x);
        for (int i = 0; i < length; i++) {
            double sum = from[i * step] * weights[0];
            for (int k = radius; k > 0; k--) {
                int low = i - k, high = i + k;
                bool outside_low = zero && low < 0, outside_high = zero && high >= length;
                while (low < 0 || low >= length)
                    low = low < 0 ? -1 - low : 2 * length - 1 - low;
                while (high < 0 || high >= length)
                    high = high < 0 ? -1 - high : 2 * length - 1 - high;
                sum += ((outside_low ? 0 : from[low * step]) + (outside_high ? 0 : from[high * step])) *
                       weights[k];
            }
            to[i * step] = sum;
        }
    }
}

/* scipy.ndimage.gaussian_filter of one axis, cut at four standard deviations; sigma 0: a copy. */
static void gaussian_axis(const double *x, double *y, int length, int64_t step, int64_t lines, double sigma,
                          bool zero)
{
    enum { MOST = 64 };
    double weights[MOST + 1] = {1}, sum = 0;
    int radius = sigma > 0 ? (int)fmin(4 * sigma + 0.5, MOST) : 0;
    for (int k = -radius; k <= radius && sigma > 0; k++)
        sum += exp(-0.5 / (sigma * sigma) * k * k);
    for (int k = 0; k <= radius && sigma > 0; k++)
        weights[k] = exp(-0.5 / (sigma * sigma) * k * k) / sum;
    blur_axis(x, y, length, step, lines, weights, radius, zero);
}

/* ---- Segments -------------------------------------------------------------------------------- */

typedef struct edge {
    double cost;
    int a, b, order; /* pixels; its place in skimage's list, for ties */
} edge;

typedef struct forest {
    int *parent;   /* [pixels]; a root is its own, and the least of its tree */
    int64_t *size; /* of roots */
    double *inner; /* cost of the dearest edge within */
} forest;

static int by_cost(const void *x, const void *y)
{
    const edge *a = x, *b = y;
    return a->cost != b->cost ? (a->cost < b->cost ? -1 : 1) : a->order - b->order;
}

static int find_root(forest *f, int pixel)
{
    int root = pixel;
    while (f->parent[root] < root)
        root = f->parent[root];
    while (f->parent[pixel] < pixel) {
        int next = f->parent[pixel];
        f->parent[pixel] = root;
        pixel = next;
    }
    return root;
}

static int join(forest *f, int a, int b)
{
    int root = a < b ? a : b, other = a < b ? b : a;
    f->parent[other] = root;
    f->size[root] += f->size[other];
    return root;
}

static double distance(const double *image, int c, int a, int b)
{
    double sum = 0;
    for (int k = 0; k < c; k++) {
        double d = image[(int64_t)a * c + k] - image[(int64_t)b * c + k];
        sum += d * d;
    }
    return sqrt(sum);
}

/* Right, down, right-down and right-up, each in reading order. */
static int list_edges(const double *image, int h, int w, int c, edge *edges)
{
    static const int steps[4][2] = {{0, 1}, {1, 0}, {1, 1}, {-1, 1}};
    int n = 0;
    for (int s = 0; s < 4; s++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                int v = y + steps[s][0], u = x + steps[s][1];
                if (v < 0 || v >= h || u >= w)
                    continue;
                edges[n] = (edge){distance(image, c, y * w + x, v * w + u), y * w + x, v * w + u, n};
                n++;
            }
    qsort(edges, (size_t)n, sizeof *edges, by_cost);
    return n;
}

static int segment(const edge *edges, int n, int pixels, double scale, int min_size, forest *f, int *labels)
{
    int count = 0;
    for (int i = 0; i < pixels; i++) {
        f->parent[i] = i;
        f->size[i] = 1;
        f->inner[i] = 0;
    }
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            int a = find_root(f, edges[i].a), b = find_root(f, edges[i].b);
            if (a == b)
                continue;
            float inner_a = (float)(f->inner[a] + scale / (double)f->size[a]);
            float inner_b = (float)(f->inner[b] + scale / (double)f->size[b]);
            if (pass == 0 ? edges[i].cost < (inner_a < inner_b ? inner_a : inner_b)
                          : f->size[a] < min_size || f->size[b] < min_size)
                f->inner[join(f, a, b)] = edges[i].cost;
        }
    for (int i = 0; i < pixels; i++) { /* a root comes before the rest of its tree */
        int root = find_root(f, i);
        labels[i] = root == i ? count++ : labels[root];
    }
    return count;
}

ng_status ngi_felzenszwalb(const double *image, int h, int w, int c, const double *scales, int n_scales,
                           double sigma, int min_size, int *labels, int *counts, ng_error *err)
{
    size_t pixels = (size_t)h * (size_t)w, values = pixels * (size_t)c;
    double *room = ngi_alloc(2 * values + pixels, sizeof *room);
    edge *edges = ngi_alloc(4 * pixels, sizeof *edges);
    forest f = {.parent = ngi_alloc(pixels, sizeof *f.parent), .size = ngi_alloc(pixels, sizeof *f.size)};
    bool fine = room && edges && f.parent && f.size;
    if (fine) {
        double *smooth = room + values;
        f.inner = smooth + values;
        gaussian_axis(image, room, h, (int64_t)w * c, (int64_t)w * c, sigma, false);
        gaussian_axis(room, smooth, w, c, (int64_t)h * c, sigma, false);
        int n = list_edges(smooth, h, w, c, edges);
        for (int s = 0; s < n_scales; s++)
            counts[s] =
                segment(edges, n, (int)pixels, scales[s] / 255, min_size, &f, labels + (size_t)s * pixels);
    }
    ngi_free(room);
    ngi_free(edges);
    ngi_free(f.parent);
    ngi_free(f.size);
    return fine ? NG_OK : ngi_fail_memory(err, (4 * pixels) * sizeof *edges);
}

/* ---- Resizing -------------------------------------------------------------------------------- */

enum { PAD = 12 }; /* zeros around, as scipy.ndimage.zoom has them before its filter */

/* Coefficients of the cubic B-spline through n values, `step` apart, in place; mirrored ends (scipy's spline_filter1d). */
static void spline_filter(double *c, int n, int64_t step)
{
    const double pole = sqrt(3.0) - 2, far = pow(pole, n - 1);
    double power = pole;
    for (int i = 0; i < n; i++)
        c[i * step] *= (1 - pole) * (1 - 1 / pole);
    c[0] += far * c[(n - 1) * step];
    for (int i = 1; i < n - 1; i++) {
        c[0] += power * (c[i * step] + far * c[(n - 1 - i) * step]);
        power *= pole;
    }
    c[0] /= 1 - far * far;
    for (int i = 1; i < n; i++)
        c[i * step] += pole * c[(i - 1) * step];
    c[(n - 1) * step] = (pole * c[(n - 2) * step] + c[(n - 1) * step]) * pole / (pole * pole - 1);
    for (int i = n - 2; i >= 0; i--)
        c[i * step] = pole * (c[(i + 1) * step] - c[i * step]);
}

/* Where an output cell lies among the padded coefficients, and its four weights. */
static int spline_weights(int i, int from, int to, double w[4])
{
    double at = (i + 0.5) * from / to - 0.5 + PAD, x = at - floor(at), z = 1 - x;
    w[1] = (x * x * (x - 2) * 3 + 4) / 6;
    w[2] = (z * z * (z - 2) * 3 + 4) / 6;
    w[0] = z * z * z / 6;
    w[3] = 1 - w[0] - w[1] - w[2];
    return (int)floor(at) - 1;
}

static void resize_plane(double *padded, int h, int w, double *out, int oh, int ow, int64_t stride)
{
    int ph = h + 2 * PAD, pw = w + 2 * PAD;
    for (int x = 0; x < pw; x++)
        spline_filter(padded + x, ph, pw);
    for (int y = 0; y < ph; y++)
        spline_filter(padded + (int64_t)y * pw, pw, 1);
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++) {
            double wy[4], wx[4], sum = 0;
            int top = spline_weights(y, h, oh, wy), left = spline_weights(x, w, ow, wx);
            for (int i = 0; i < 4; i++)
                for (int k = 0; k < 4; k++)
                    sum += wy[i] * wx[k] * padded[(int64_t)(top + i) * pw + left + k];
            out[((int64_t)y * ow + x) * stride] = sum;
        }
}

ng_status ngi_resize_spline(const double *image, int h, int w, int c, double *out, int oh, int ow,
                            ng_error *err)
{
    int64_t values = (int64_t)h * w * c;
    int ph = h + 2 * PAD, pw = w + 2 * PAD;
    double *room = ngi_alloc((size_t)(2 * values + (int64_t)ph * pw), sizeof *room), low = INFINITY,
           high = -INFINITY;
    if (!room)
        return ngi_fail_memory(err, (size_t)(2 * values) * sizeof *room);
    double *smooth = room + values, *padded = smooth + values;
    gaussian_axis(image, room, h, (int64_t)w * c, (int64_t)w * c, fmax(0, ((double)h / oh - 1) / 2), true);
    gaussian_axis(room, smooth, w, c, (int64_t)h * c, fmax(0, ((double)w / ow - 1) / 2), true);
    for (int64_t i = 0; i < values; i++) {
        low = fmin(low, image[i]);
        high = fmax(high, image[i]);
    }
    for (int k = 0; k < c; k++) {
        memset(padded, 0, (size_t)ph * (size_t)pw * sizeof *padded);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                padded[(int64_t)(y + PAD) * pw + x + PAD] = smooth[((int64_t)y * w + x) * c + k];
        resize_plane(padded, h, w, out + k, oh, ow, c);
    }
    for (int64_t i = 0; i < (int64_t)oh * ow * c; i++)
        out[i] = fmin(fmax(out[i], low), high);
    ngi_free(room);
    return NG_OK;
}

/* In the order of scipy.ndimage.zoom's operations: in the middle of 299 the place lies halfway between two of 224 cells, and
 * rounding says which. */
static int nearest_cell(int i, int from, int to)
{
    double at = (i + 0.5) * ((double)from / to) - 0.5;
    return (int)floor(at + 0.5);
}

void ngi_resize_nearest(const int *labels, int h, int w, int *out, int oh, int ow)
{
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++)
            out[(int64_t)y * ow + x] = labels[(int64_t)nearest_cell(y, h, oh) * w + nearest_cell(x, w, ow)];
}
