/* All draws come from seed and epoch alone. */
#include "train/order.h"

#include "base/random.h"

#include <string.h>

#define ORDER_STREAM 0x6f72646572 /* "order" */
#define CLASS_STREAM 0x636c617373 /* "class" */

static void shuffle(int64_t *x, int64_t n, uint64_t key, uint64_t stream)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)(ngi_random_uniform(key, stream, (uint64_t)i) * (double)(i + 1)), other = x[k];
        x[k] = x[i];
        x[i] = other;
    }
}

void ngi_order_shuffle(const int64_t *items, int64_t n, uint64_t seed, int64_t epoch, int64_t *out)
{
    memcpy(out, items, (size_t)n * sizeof *out);
    shuffle(out, n, ngi_random_bits(seed, ORDER_STREAM, (uint64_t)epoch), 0);
}

/* Item numbers class by class: `by_class` [n], class c from start[c] to start[c + 1]. */
static void sort_by_class(const ngi_dataset *d, const int64_t *items, int64_t n, int64_t *by_class,
                          int64_t *start)
{
    for (int64_t i = 0; i < n; i++)
        start[d->items[items[i]].class_index + 2]++;
    for (int c = 2; c < d->n_classes + 2; c++)
        start[c] += start[c - 1];
    for (int64_t i = 0; i < n; i++)
        by_class[start[d->items[items[i]].class_index + 1]++] = items[i];
}

ng_status ngi_order_balanced(const ngi_dataset *d, const int64_t *items, int64_t n, uint64_t seed,
                             int64_t epoch, int64_t *out, ng_error *err)
{
    int64_t *by_class = ngi_alloc((size_t)n, sizeof *by_class);
    int64_t *start = ngi_alloc_zero((size_t)d->n_classes + 2, sizeof *start);
    int64_t *classes = ngi_alloc((size_t)d->n_classes, sizeof *classes), k = 0, at = 0;
    bool fine = by_class && start && classes;
    if (fine) {
        uint64_t key = ngi_random_bits(seed, CLASS_STREAM, (uint64_t)epoch);
        sort_by_class(d, items, n, by_class, start);
        for (int c = 0; c < d->n_classes; c++)
            if (start[c + 1] > start[c])
                classes[k++] = c;
        shuffle(classes, k, key, 0); /* who gets what does not divide evenly */
        for (int64_t i = 0; i < k; i++) {
            int64_t *own = by_class + start[classes[i]], count = start[classes[i] + 1] - start[classes[i]];
            int64_t share = n / k + (i < n % k);
            for (int64_t j = 0; j < share; j++) {
                if (j % count == 0) /* a new round through the class */
                    shuffle(own, count, key, (uint64_t)(1 + classes[i]) << 32 | (uint64_t)(j / count));
                out[at++] = own[j % count];
            }
        }
        shuffle(out, n, ngi_random_bits(seed, ORDER_STREAM, (uint64_t)epoch), 0);
    }
    ngi_free(by_class);
    ngi_free(start);
    ngi_free(classes);
    return fine ? NG_OK : ngi_fail_memory(err, (size_t)n * sizeof *by_class);
}

ng_status ngi_order_draws(const int64_t *order, int64_t n, int64_t n_items, int64_t *draws, ng_error *err)
{
    int64_t *times = ngi_alloc_zero((size_t)n_items, sizeof *times);
    if (!times)
        return ngi_fail_memory(err, (size_t)n_items * sizeof *times);
    for (int64_t i = 0; i < n; i++)
        draws[i] = order[i] + times[order[i]]++ * n_items;
    ngi_free(times);
    return NG_OK;
}

/* Their number. */
static int labels_of(const ngi_data_item *item, const int **labels)
{
    *labels = item->n_labels ? item->labels : &item->class_index;
    return item->n_labels ? item->n_labels : 1;
}

void ngi_class_weights(const ngi_dataset *d, const int64_t *items, int64_t n, double *weights)
{
    double sum = 0;
    int present = 0;
    memset(weights, 0, (size_t)d->n_classes * sizeof *weights);
    for (int64_t i = 0; i < n; i++) {
        const int *labels;
        int count = labels_of(&d->items[items[i]], &labels);
        for (int k = 0; k < count; k++)
            weights[labels[k]]++;
        sum += count;
    }
    for (int c = 0; c < d->n_classes; c++)
        present += weights[c] > 0;
    for (int c = 0; c < d->n_classes; c++)
        weights[c] = weights[c] > 0 ? sum / (present * weights[c]) : 0;
}

void ngi_target_row(const ngi_dataset *d, int64_t item, float *row)
{
    const int *labels;
    int count = labels_of(&d->items[item], &labels);
    memset(row, 0, (size_t)d->n_classes * sizeof *row);
    for (int k = 0; k < count; k++)
        row[labels[k]] = 1;
}

float ngi_item_weight(const ngi_dataset *d, int64_t item, const double *weights)
{
    if (!weights)
        return 1;
    const int *labels;
    int count = labels_of(&d->items[item], &labels);
    double sum = 0;
    for (int k = 0; k < count; k++)
        sum += weights[labels[k]];
    return (float)(sum / count);
}
