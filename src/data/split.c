/* Stratified splits. Without groups each class is dealt by itself, in the order of one random word per image. With
 * groups a greedy deal in the manner of scikit-learn's StratifiedGroupKFold: the largest group first, each to the split
 * where the sum over classes of (images - wanted)^2 / images of the class grows least. */
#include "data/data.h"

#include "base/random.h"
#include "data/group.h"

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

static ng_status deal_items(ngi_dataset *d, double val, double test, uint64_t seed, ng_error *err)
{
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

/* A run of members [start, start + size) of one group. */
typedef struct bundle {
    uint64_t key;
    int64_t start, size;
} bundle;

typedef struct table {
    double fraction[NGI_SPLIT_COUNT];
    int64_t *total; /* [n_classes] */
    int64_t *have;  /* [NGI_SPLIT_COUNT][n_classes] */
    ngi_group_member *member;
    bundle *bundles;
    int64_t n_bundles;
} table;

static int largest_first(const void *a, const void *b)
{
    const bundle *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

static void make_bundles(const ngi_dataset *d, table *t, uint64_t seed)
{
    for (int64_t i = 0; i < d->n_items; i++) {
        if (i && ngi_group_same(&t->member[i - 1], &t->member[i])) {
            t->bundles[t->n_bundles - 1].size++;
            continue;
        }
        uint64_t key = ngi_random_bits(seed, SPLIT_STREAM, (uint64_t)t->n_bundles);
        t->bundles[t->n_bundles++] = (bundle){key, i, 1};
    }
    qsort(t->bundles, (size_t)t->n_bundles, sizeof *t->bundles, largest_first);
}

/* Adds the bundle's images to the split's counts and returns how much the sum of squares grew; called with sign -1 it
 * takes them away again. */
static double add_bundle(const ngi_dataset *d, table *t, const bundle *b, ngi_split split, int sign)
{
    double growth = 0;
    for (int64_t i = b->start; i < b->start + b->size; i++) {
        int c = d->items[t->member[i].item].class_index;
        int64_t *have = &t->have[(int64_t)split * d->n_classes + c];
        double off = (double)*have - t->fraction[split] * (double)t->total[c];
        growth += (2 * sign * off + 1) / (double)t->total[c];
        *have += sign;
    }
    return growth;
}

static void place(ngi_dataset *d, table *t, const bundle *b, ngi_split split)
{
    add_bundle(d, t, b, split, 1);
    for (int64_t i = b->start; i < b->start + b->size; i++)
        d->items[t->member[i].item].split = split;
}

/* Classes that no group brought to train get their smallest one. */
static void feed_train(ngi_dataset *d, table *t)
{
    for (int64_t k = t->n_bundles - 1; k >= 0; k--) {
        const bundle *b = &t->bundles[k];
        ngi_split split = d->items[t->member[b->start].item].split;
        bool hungry = false;
        for (int64_t i = b->start; i < b->start + b->size; i++)
            hungry |=
                t->have[(int64_t)NGI_SPLIT_TRAIN * d->n_classes + d->items[t->member[i].item].class_index] ==
                0;
        if (hungry && split != NGI_SPLIT_TRAIN) {
            add_bundle(d, t, b, split, -1);
            place(d, t, b, NGI_SPLIT_TRAIN);
        }
    }
}

static void deal_bundles(ngi_dataset *d, table *t, uint64_t seed)
{
    for (int64_t i = 0; i < d->n_items; i++)
        t->total[d->items[i].class_index]++;
    make_bundles(d, t, seed);
    for (int64_t k = 0; k < t->n_bundles; k++) {
        ngi_split best = NGI_SPLIT_TRAIN;
        double least = 0;
        for (int s = 0; s < NGI_SPLIT_COUNT; s++) {
            if (s != NGI_SPLIT_TRAIN && t->fraction[s] == 0)
                continue;
            double growth = add_bundle(d, t, &t->bundles[k], (ngi_split)s, 1);
            add_bundle(d, t, &t->bundles[k], (ngi_split)s, -1);
            if (s == 0 || growth < least) {
                best = (ngi_split)s;
                least = growth;
            }
        }
        place(d, t, &t->bundles[k], best);
    }
    feed_train(d, t);
}

static ng_status deal_groups(ngi_dataset *d, double val, double test, uint64_t seed, ng_error *err)
{
    table t = {
        .fraction = {[NGI_SPLIT_TRAIN] = 1 - val - test, [NGI_SPLIT_VAL] = val, [NGI_SPLIT_TEST] = test}};
    t.total = ngi_alloc_zero((size_t)d->n_classes, sizeof *t.total);
    t.have = ngi_alloc_zero((size_t)d->n_classes * NGI_SPLIT_COUNT, sizeof *t.have);
    t.member = ngi_group_members(d);
    t.bundles = ngi_alloc((size_t)d->n_items, sizeof *t.bundles);
    ng_status status = t.total && t.have && t.member && t.bundles
                           ? NG_OK
                           : ngi_fail_memory(err, (size_t)d->n_items * sizeof *t.bundles);
    if (status == NG_OK)
        deal_bundles(d, &t, seed);
    ngi_free(t.total);
    ngi_free(t.have);
    ngi_free(t.member);
    ngi_free(t.bundles);
    return status;
}

ng_status ngi_dataset_split(ngi_dataset *d, double val, double test, uint64_t seed, ng_error *err)
{
    if (!(val >= 0) || !(test >= 0) || !(val + test < 1))
        return ngi_fail(err, NG_E_ARGUMENT,
                        "split: val %g and test %g must be fractions from 0 that leave something to train on",
                        val, test);
    return d->has_groups ? deal_groups(d, val, test, seed, err) : deal_items(d, val, test, seed, err);
}
