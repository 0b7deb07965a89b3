/* SLIC: k-means in colour and position, each centre looking at twice its step around it only; then what is not connected,
 * or too small, joins the segment before it. Ten iterations, as skimage.segmentation.slic has by default. */
#include "attr/slic.h"

#include <math.h>
#include <string.h>

enum { ITERATIONS = 10 };

typedef struct segmentation {
    const float *x; /* [h,w,c] */
    int h, w, c, centres, columns;
    double step, scale, compactness; /* scale: of colours, to 0..100 */
    double *centre;                  /* [centres, c + 2]: colours, y, x */
    double *sums;                    /* [centres, c + 3]: and the number of pixels */
    double *distance;                /* [h,w] */
    int *labels;                     /* [h,w] */
} segmentation;

static void place_centres(segmentation *s)
{
    for (int k = 0; k < s->centres; k++) {
        double *centre = s->centre + k * (s->c + 2);
        int rows = s->centres / s->columns;
        double y = (k / s->columns + 0.5) * s->h / rows, x = (k % s->columns + 0.5) * s->w / s->columns;
        for (int i = 0; i < s->c; i++)
            centre[i] = s->scale * s->x[((int)y * s->w + (int)x) * s->c + i];
        centre[s->c] = y;
        centre[s->c + 1] = x;
    }
}

static void assign(segmentation *s)
{
    double near = s->compactness * s->compactness / (s->step * s->step);
    for (int i = 0; i < s->h * s->w; i++)
        s->distance[i] = INFINITY;
    for (int k = 0; k < s->centres; k++) {
        const double *centre = s->centre + k * (s->c + 2);
        int top = (int)fmax(centre[s->c] - 2 * s->step, 0),
            bottom = (int)fmin(centre[s->c] + 2 * s->step + 1, s->h);
        int left = (int)fmax(centre[s->c + 1] - 2 * s->step, 0),
            right = (int)fmin(centre[s->c + 1] + 2 * s->step + 1, s->w);
        for (int y = top; y < bottom; y++)
            for (int x = left; x < right; x++) {
                double dy = y - centre[s->c], dx = x - centre[s->c + 1], d = near * (dy * dy + dx * dx);
                for (int i = 0; i < s->c; i++) {
                    double difference = s->scale * s->x[(y * s->w + x) * s->c + i] - centre[i];
                    d += difference * difference;
                }
                if (d < s->distance[y * s->w + x]) {
                    s->distance[y * s->w + x] = d;
                    s->labels[y * s->w + x] = k;
                }
            }
    }
}

static void move_centres(segmentation *s)
{
    int n = s->c + 3;
    memset(s->sums, 0, (size_t)s->centres * (size_t)n * sizeof *s->sums);
    for (int p = 0; p < s->h * s->w; p++) {
        double *sum = s->sums + s->labels[p] * n;
        for (int i = 0; i < s->c; i++)
            sum[i] += s->scale * s->x[p * s->c + i];
        sum[s->c] += p / s->w;
        sum[s->c + 1] += p % s->w;
        sum[s->c + 2]++;
    }
    for (int k = 0; k < s->centres; k++)
        for (int i = 0; i < s->c + 2 && s->sums[k * n + s->c + 2] > 0; i++)
            s->centre[k * (s->c + 2) + i] = s->sums[k * n + i] / s->sums[k * n + s->c + 2];
}

/* Numbers the connected pieces in reading order; pieces below `least` pixels join the piece before them. */
static int connect(const segmentation *s, int least, int *out, int *queue)
{
    int pixels = s->h * s->w, count = 0;
    for (int p = 0; p < pixels; p++)
        out[p] = -1;
    for (int p = 0; p < pixels; p++) {
        if (out[p] >= 0)
            continue;
        int begin = 0, end = 0, before = p > 0 ? out[p % s->w ? p - 1 : p - s->w] : -1;
        queue[end++] = p;
        out[p] = count;
        while (begin < end) {
            int q = queue[begin++], y = q / s->w, x = q % s->w;
            const int next[4] = {y > 0 ? q - s->w : -1, y < s->h - 1 ? q + s->w : -1, x > 0 ? q - 1 : -1,
                                 x < s->w - 1 ? q + 1 : -1};
            for (int k = 0; k < 4; k++)
                if (next[k] >= 0 && out[next[k]] < 0 && s->labels[next[k]] == s->labels[p]) {
                    out[next[k]] = count;
                    queue[end++] = next[k];
                }
        }
        if (end < least && before >= 0)
            for (int k = 0; k < end; k++)
                out[queue[k]] = before;
        else
            count++;
    }
    return count;
}

ng_status ngi_slic(const float *x, int h, int w, int c, double range, int wanted, double compactness,
                   int *labels, int *count, ng_error *err)
{
    segmentation s = {.x = x, .h = h, .w = w, .c = c, .compactness = compactness};
    int pixels = h * w, rows = (int)(sqrt((double)wanted * h / w) + 0.5);
    rows = rows < 1 ? 1 : rows > h ? h : rows;
    s.columns = (wanted + rows / 2) / rows;
    s.columns = s.columns < 1 ? 1 : s.columns > w ? w : s.columns;
    s.centres = rows * s.columns;
    s.step = sqrt((double)pixels / s.centres);
    s.scale = range > 0 ? 100 / range : 1;
    size_t numbers = (size_t)s.centres * (size_t)(2 * c + 5) + (size_t)pixels;
    s.centre = ngi_alloc_zero(numbers, sizeof *s.centre);
    s.labels = ngi_alloc_zero(2 * (size_t)pixels, sizeof *s.labels); /* and the queue */
    if (s.centre && s.labels) {
        s.sums = s.centre + s.centres * (c + 2);
        s.distance = s.sums + s.centres * (c + 3);
        place_centres(&s);
        for (int i = 0; i < ITERATIONS; i++) {
            assign(&s);
            move_centres(&s);
        }
        *count = connect(&s, pixels / s.centres / 4, labels, s.labels + pixels);
    }
    bool fine = s.centre && s.labels;
    ngi_free(s.centre);
    ngi_free(s.labels);
    return fine ? NG_OK : ngi_fail_memory(err, numbers * sizeof *s.centre);
}
