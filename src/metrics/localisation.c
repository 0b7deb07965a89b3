/* Where a map shows a thing to be, against where it is: energy in the region, pointing game, rank accuracy, intersection over
 * union. Formulas: Wang et al. (Score-CAM, 2020, energy-based pointing game); Zhang et al. ("Top-down neural attention by
 * excitation backprop", 2018, pointing game) as Quantus and TorchRay have it; Arras et al. ("CLEVR-XAI", 2022, relevance mass
 * and rank accuracy); Zhou et al. (CAM, 2016, boxes of the largest region). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"

enum { NEAR = 15 }; /* pixels: TorchRay's tolerance */

/* A map and a region at the image's pixels. */
typedef struct scene {
    int w, h;
    size_t n;            /* pixels */
    float *values;       /* [h,w] */
    const uint8_t *mask; /* [h,w] above 127: the region */
    size_t inside;       /* pixels of the region */
    float max;
} scene;

static bool is_inside(const scene *s, size_t i)
{
    return s->mask[i] > 127;
}

static double find_energy(const scene *s)
{
    double in = 0, all = 0;
    for (size_t i = 0; i < s->n; i++) {
        all += s->values[i];
        in += is_inside(s, i) ? s->values[i] : 0;
    }
    return in / all;
}

/* Whether a pixel of the region is less than NEAR pixels from pixel `at`. */
static bool is_near(const scene *s, size_t at)
{
    int x = (int)(at % (size_t)s->w), y = (int)(at / (size_t)s->w);
    for (int dy = -NEAR + 1; dy < NEAR; dy++)
        for (int dx = -NEAR + 1; dx < NEAR; dx++) {
            int px = x + dx, py = y + dy;
            if (dx * dx + dy * dy < NEAR * NEAR && px >= 0 && px < s->w && py >= 0 && py < s->h &&
                is_inside(s, (size_t)py * (size_t)s->w + (size_t)px))
                return true;
        }
    return false;
}

static void point(const scene *s, ng_localisation *out)
{
    for (size_t i = 0; i < s->n && !out->pointing; i++)
        out->pointing = s->values[i] == s->max && is_inside(s, i);
    out->pointing_near = out->pointing;
    for (size_t i = 0; i < s->n && !out->pointing_near; i++)
        out->pointing_near = s->values[i] == s->max && is_near(s, i);
}

static int falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* sorted [n]: room. */
static double find_rank_accuracy(const scene *s, float *sorted)
{
    memcpy(sorted, s->values, s->n * sizeof *sorted);
    qsort(sorted, s->n, sizeof *sorted, falling);
    float last = sorted[s->inside - 1]; /* value of the K-th */
    size_t above = 0, above_in = 0, tied = 0, tied_in = 0;
    for (size_t i = 0; i < s->n; i++) {
        above += s->values[i] > last;
        above_in += s->values[i] > last && is_inside(s, i);
        tied += s->values[i] == last;
        tied_in += s->values[i] == last && is_inside(s, i);
    }
    double share = (double)(s->inside - above) / (double)tied;
    return ((double)above_in + share * (double)tied_in) / (double)s->inside;
}

static double find_iou(const scene *s, double share)
{
    size_t both = 0, either = 0;
    double least = share * (double)s->max;
    for (size_t i = 0; i < s->n; i++) {
        bool shown = s->values[i] >= least, in = is_inside(s, i);
        both += shown && in;
        either += shown || in;
    }
    return (double)both / (double)either;
}

static ng_box bounds(const scene *s)
{
    int left = s->w, top = s->h, right = 0, bottom = 0;
    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w; x++)
            if (is_inside(s, (size_t)y * (size_t)s->w + (size_t)x)) {
                left = x < left ? x : left;
                right = x >= right ? x + 1 : right;
                top = y < top ? y : top;
                bottom = y + 1;
            }
    return (ng_box){.x = left, .y = top, .width = right - left, .height = bottom - top};
}

static double overlap(int a, int a_length, int b, int b_length)
{
    int low = a > b ? a : b, high = a + a_length < b + b_length ? a + a_length : b + b_length;
    return high > low ? high - low : 0;
}

static double box_iou(ng_box a, ng_box b)
{
    double both = overlap(a.x, a.width, b.x, b.width) * overlap(a.y, a.height, b.y, b.height);
    return both / ((double)a.width * a.height + (double)b.width * b.height - both);
}

static void measure(scene *s, double box_share, void *room, ng_localisation *out)
{
    out->energy = find_energy(s);
    point(s, out);
    out->rank = find_rank_accuracy(s, room);
    for (int i = 0; i < NG_IOU_SHARES; i++)
        out->iou[i] = find_iou(s, (i + 1) / 20.0);
    ng_box shown = ngi_largest_region(s->values, s->w, s->h, box_share * (double)s->max, room);
    out->box_iou = box_iou(shown, bounds(s));
}

static ng_status check(const ng_map *map, const ng_geometry *g, const ng_image *mask, double box_share,
                       ng_error *err)
{
    if (!map || !map->data || map->height < 1 || map->width < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "localisation needs a map with cells");
    if (!g || g->image_width < 1 || g->image_height < 1 || !(g->x1 > g->x0) || !(g->y1 > g->y0))
        return ngi_fail(err, NG_E_ARGUMENT, "localisation needs the geometry that ng_image_fit gave");
    if (!mask || !mask->data || mask->channels != 1)
        return ngi_fail(err, NG_E_ARGUMENT, "localisation needs a mask of one channel");
    if (mask->width != g->image_width || mask->height != g->image_height)
        return ngi_fail(err, NG_E_SHAPE, "the mask has %dx%d pixels, its image %dx%d", mask->width,
                        mask->height, g->image_width, g->image_height);
    if (!(box_share > 0 && box_share <= 1))
        return ngi_fail(err, NG_E_ARGUMENT, "box share %g: expected above 0 to 1", box_share);
    if ((int64_t)mask->width * mask->height > INT32_MAX)
        return ngi_fail(err, NG_E_LIMIT, "an image of %dx%d pixels is too large for its map to be located",
                        mask->width, mask->height);
    return NG_OK;
}

ng_status ng_map_localise(const ng_map *map, const ng_geometry *geometry, const ng_image *mask,
                          double box_share, ng_localisation *out, ng_error *err)
{
    *out = (ng_localisation){0};
    NGI_TRY(check(map, geometry, mask, box_share, err));
    scene s = {.w = mask->width, .h = mask->height, .mask = mask->data};
    s.n = (size_t)s.w * (size_t)s.h;
    for (size_t i = 0; i < s.n; i++)
        s.inside += is_inside(&s, i);
    if (s.inside == 0)
        return ngi_fail(err, NG_E_ARGUMENT, "the mask is empty: no pixel of it is above 127");
    s.values = ngi_alloc(s.n, sizeof *s.values);
    void *room = ngi_alloc(s.n, sizeof(int) > sizeof(float) ? sizeof(int) : sizeof(float));
    if (!s.values || !room) {
        ngi_free(s.values);
        ngi_free(room);
        return ngi_fail_memory(err, 2 * s.n * sizeof *s.values);
    }
    float low;
    ngi_map_spread(map->data, map->height, map->width, geometry, s.values);
    ngi_min_max(s.values, (int64_t)s.n, &low, &s.max);
    out->area = (double)s.inside / (double)s.n;
    if (s.max > 0)
        measure(&s, box_share, room, out);
    ngi_free(s.values);
    ngi_free(room);
    return NG_OK;
}
