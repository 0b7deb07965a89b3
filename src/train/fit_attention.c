/* The second stage with a loss on where the network looks: the trunk ends at the maps, pooling is done here. */
#include "train/attention.h"
#include "train/fit_own.h"

#include <string.h>

ng_status ngi_fit_attention_room(const ngi_fit *f, ngi_fit_worker *w, int most, ng_error *err)
{
    if (!f->cells)
        return NG_OK;
    size_t width = (size_t)f->width, rows = (size_t)most * width;
    w->pooled = ngi_alloc(rows, sizeof *w->pooled);
    w->pooled_grad = ngi_alloc(rows, sizeof *w->pooled_grad);
    w->slope = ngi_alloc(width, sizeof *w->slope);
    w->slope_grad = ngi_alloc(width, sizeof *w->slope_grad);
    w->cells = ngi_alloc((size_t)f->cells, sizeof *w->cells);
    bool fine = w->pooled && w->pooled_grad && w->slope && w->slope_grad && w->cells;
    return fine ? NG_OK : ngi_fail_memory(err, 2 * rows * sizeof *w->pooled);
}

void ngi_fit_attention_clear(ngi_fit_worker *w)
{
    ngi_free(w->pooled);
    ngi_free(w->pooled_grad);
    ngi_free(w->slope);
    ngi_free(w->slope_grad);
    ngi_free(w->cells);
}

void ngi_fit_pool(const ngi_fit *f, const float *maps, int n, float *pooled)
{
    memset(pooled, 0, (size_t)n * (size_t)f->width * sizeof *pooled);
    for (int i = 0; i < n; i++, pooled += f->width) {
        for (int p = 0; p < f->cells; p++, maps += f->width)
            for (int k = 0; k < f->width; k++)
                pooled[k] += maps[k];
        for (int k = 0; k < f->width; k++)
            pooled[k] /= (float)f->cells;
    }
}

static void spread(const ngi_fit *f, const float *pooled_grad, int n, float *grad)
{
    for (int i = 0; i < n; i++, pooled_grad += f->width)
        for (int p = 0; p < f->cells; p++, grad += f->width)
            for (int k = 0; k < f->width; k++)
                grad[k] = pooled_grad[k] / (float)f->cells;
}

void ngi_fit_attend(ngi_fit *f, ngi_fit_worker *w, const int64_t *items, int64_t first, int n, int batch,
                    const float *maps, float *const *kernel_grads, float *grad)
{
    spread(f, w->pooled_grad, n, grad);
    for (int i = 0; i < n; i++) {
        int64_t at = (int64_t)i * f->cells * f->width;
        const float *region = f->regions + (first + i) * f->cells;
        double weight = f->o.attention * f->weights[first + i];
        f->outside[first + i] = 0;
        if (region[0] < 0 || weight == 0)
            continue;
        ngi_train_head_forward(&f->o.head, &w->head, w->pooled + (int64_t)i * f->width, 1, NULL);
        ngi_train_head_slope(&f->o.head, &w->head, f->o.images.data->items[items[i]].class_index, w->slope);
        memset(w->slope_grad, 0, (size_t)f->width * sizeof *w->slope_grad);
        f->outside[first + i] =
            weight * ngi_attention_outside(maps + at, w->slope, region, f->cells, f->width, weight / batch,
                                           w->cells, grad + at, w->slope_grad);
        ngi_train_head_slope_backward(&f->o.head, &w->head, w->slope_grad, kernel_grads);
    }
}
