/* Stratified splits: each class is dealt by itself, in the order of one random word per image. */
#include "data/data.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>

#define SPLIT_STREAM 0x73706c6974 /* "split": no other draw of the same seed shares these words */

typedef struct card {
    uint64_t key;
    int64_t item;
} card;

static int by_key(const void *a, const void *b)
{
    const card *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static void deal(ngi_dataset *d, card *cards, int64_t n, double val, double test)
{
    qsort(cards, (size_t)n, sizeof *cards, by_key);
    int64_t n_val = llround((double)n * val), n_test = llround((double)n * test);
    if (n_val + n_test >= n) { /* one is left to train on; the test images are the last to go */
        n_test = n_test < n - 1 ? n_test : n - 1;
        n_val = n - 1 - n_test;
    }
    for (int64_t i = 0; i < n; i++)
        d->items[cards[i].item].split = i < n_test           ? NGI_SPLIT_TEST
                                        : i < n_test + n_val ? NGI_SPLIT_VAL
                                                             : NGI_SPLIT_TRAIN;
}

ng_status ngi_dataset_split(ngi_dataset *d, double val, double test, uint64_t seed, ng_error *err)
{
    if (!(val >= 0) || !(test >= 0) || !(val + test < 1))
        return ngi_fail(err, NG_E_ARGUMENT,
                        "split: val %g and test %g must be fractions from 0 that leave something to train on",
                        val, test);
    card *cards = ngi_alloc((size_t)d->n_items, sizeof *cards);
    int64_t *end = ngi_alloc_zero((size_t)d->n_classes + 1, sizeof *end);
    if (!cards || !end) {
        ngi_free(cards);
        ngi_free(end);
        return ngi_fail_memory(err, (size_t)d->n_items * sizeof *cards);
    }
    for (int64_t i = 0; i < d->n_items; i++)
        end[d->items[i].class_index + 1]++;
    for (int c = 0; c < d->n_classes; c++)
        end[c + 1] += end[c];
    for (int64_t i = 0; i < d->n_items; i++) /* end[c] walks from the start of class c to its end */
        cards[end[d->items[i].class_index]++] = (card){ngi_random_bits(seed, SPLIT_STREAM, (uint64_t)i), i};
    for (int c = 0; c < d->n_classes; c++) {
        int64_t start = c ? end[c - 1] : 0;
        if (end[c] > start)
            deal(d, cards + start, end[c] - start, val, test);
    }
    ngi_free(cards);
    ngi_free(end);
    return NG_OK;
}
