/* MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019) as Keras's layers have them: pairs by a shuffle of the batch,
 * a share for each image from Beta(a, a). */
#include "data/augment.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

#define BATCH_STREAM 0x6d6978 /* "mix" */

typedef struct source {
    uint64_t seed, stream, next;
} source;

static double uniform(source *s)
{
    return ngi_random_uniform(s->seed, s->stream, s->next++);
}

/* The logarithm of a Gamma(a, 1) draw: Marsaglia and Tsang 2000, for a + 1 and led down by U^(1/a). The logarithm, for
 * U^(1/a) of a small a is below what a double holds. */
static double log_gamma_draw(source *s, double a)
{
    double d = a + 1 - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = ngi_random_normal(s->seed, s->stream, s->next++), v = 1 + c * x, u = 1 - uniform(s);
        if (v > 0 && log(u) < 0.5 * x * x + d - d * v * v * v + d * log(v * v * v))
            return log(d * v * v * v) + log(1 - uniform(s)) / a;
    }
}

static double beta_draw(source *s, double a)
{
    double x = log_gamma_draw(s, a), y = log_gamma_draw(s, a);
    return 1 / (1 + exp(y - x));
}

static void shuffle(source *s, int *order, int n)
{
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int k = (int)(uniform(s) * (i + 1)), other = order[k];
        order[k] = order[i];
        order[i] = other;
    }
}

void ngi_mix_up(float *x, const float *old, const int *partner, const double *weight, int n, int64_t size)
{
    for (int i = 0; i < n; i++) {
        const float *mine = old + i * size, *theirs = old + partner[i] * size;
        float keep = (float)weight[i], take = 1 - keep;
        for (int64_t k = 0; k < size; k++)
            x[i * size + k] = keep * mine[k] + take * theirs[k];
    }
}

void ngi_cut_mix(float *images, const float *old, const int *partner, double (*box)[4], double *weight, int n,
                 int h, int w, int c)
{
    int64_t size = (int64_t)h * w * c;
    for (int i = 0; i < n; i++) {
        const double *b = box[i];
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                if (x >= b[0] && x < b[2] && y >= b[1] && y < b[3]) {
                    int64_t at = ((int64_t)y * w + x) * c;
                    memcpy(images + i * size + at, old + partner[i] * size + at, (size_t)c * sizeof *images);
                }
        weight[i] = 1 - (b[2] - b[0]) * (b[3] - b[1]) / ((double)w * h);
    }
}

static void draw_boxes(source *s, double alpha, double (*box)[4], int n, int h, int w)
{
    for (int i = 0; i < n; i++) {
        double ratio = sqrt(1 - beta_draw(s, alpha));
        box[i][0] = uniform(s) * (w - ratio * w);
        box[i][1] = uniform(s) * (h - ratio * h);
        box[i][2] = box[i][0] + ratio * w;
        box[i][3] = box[i][1] + ratio * h;
    }
}

ng_status ngi_augment_batch(const ngi_augment *a, uint64_t seed, int64_t epoch, int64_t batch, float *images,
                            float *targets, int n, int h, int w, int c, int k, ng_error *err)
{
    if ((!a->mixup.on && !a->cutmix.on) || n < 1)
        return NG_OK;
    size_t size = (size_t)h * (size_t)w * (size_t)c, all = (size_t)n * (size + (size_t)k);
    float *old = ngi_alloc(all, sizeof *old);
    int *partner = ngi_alloc((size_t)n, sizeof *partner);
    double *weight = ngi_alloc((size_t)n, sizeof *weight);
    double(*box)[4] = ngi_alloc((size_t)n, sizeof *box);
    bool fine = old && partner && weight && box;
    if (fine) {
        source s = {ngi_random_bits(seed, BATCH_STREAM, (uint64_t)epoch), (uint64_t)batch, 0};
        float *old_targets = old + (size_t)n * size;
        memcpy(old, images, (size_t)n * size * sizeof *old);
        memcpy(old_targets, targets, (size_t)n * (size_t)k * sizeof *old);
        bool cut = a->cutmix.on && (!a->mixup.on || uniform(&s) < 0.5);
        shuffle(&s, partner, n);
        if (cut) {
            double alpha = a->cutmix.low + (a->cutmix.high - a->cutmix.low) * uniform(&s) + 1e-6;
            draw_boxes(&s, alpha, box, n, h, w);
            ngi_cut_mix(images, old, partner, box, weight, n, h, w, c);
        } else {
            for (int i = 0; i < n; i++)
                weight[i] = beta_draw(&s, a->mixup.high);
            ngi_mix_up(images, old, partner, weight, n, (int64_t)size);
        }
        ngi_mix_up(targets, old_targets, partner, weight, n, k);
    }
    ngi_free(old);
    ngi_free(partner);
    ngi_free(weight);
    ngi_free(box);
    return fine ? NG_OK : ngi_fail_memory(err, all * sizeof *old);
}
