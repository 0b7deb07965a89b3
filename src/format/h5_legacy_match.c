/* Matching the weights of a layer group with those of a layer or nested model: by layer and variable name
 * where names decide for every weight ("conv2d_1/kernel:0"; Keras 3 writes no ":0", and sometimes the
 * models' names in front), else by order, checked by the shapes. */
#include "format/h5_legacy.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names ------------------------------------------------------------------------------------- */

/* Length of a name without TensorFlow's ":0". */
static size_t bare_length(const char *name)
{
    size_t n = strlen(name), end = n;
    while (end > 0 && isdigit((unsigned char)name[end - 1]))
        end--;
    return end < n && end > 0 && name[end - 1] == ':' ? end - 1 : n;
}

/* The start of the last component of name [n]. */
static size_t last_component(const char *name, size_t n)
{
    while (n > 0 && name[n - 1] != '/')
        n--;
    return n;
}

static bool same_text(const char *a, size_t n, const char *b, size_t m)
{
    return n == m && memcmp(a, b, n) == 0;
}

/* Keras 2's "depthwise_kernel" of a DepthwiseConv2D is Keras 3's "kernel". */
static bool same_variable(const char *a, size_t n, const char *b, size_t m)
{
    static const char depthwise[] = "depthwise_kernel";
    if (same_text(a, n, depthwise, sizeof depthwise - 1))
        a += 10, n -= 10;
    if (same_text(b, m, depthwise, sizeof depthwise - 1))
        b += 10, m -= 10;
    return same_text(a, n, b, m);
}

/* How many components, counted from the end, a stored name and a weight's path share. */
static int common_components(const char *stored, const char *path)
{
    size_t n = bare_length(stored), m = strlen(path);
    int count = 0;
    for (;;) {
        size_t a = last_component(stored, n), b = last_component(path, m);
        bool same = count == 0 ? same_variable(stored + a, n - a, path + b, m - b)
                               : same_text(stored + a, n - a, path + b, m - b);
        if (!same)
            return count;
        count++;
        if (a == 0 || b == 0)
            return count;
        n = a - 1;
        m = b - 1;
    }
}

/* ---- By name ----------------------------------------------------------------------------------- */

/* A stored name in the order of "layer/variable", for searching. */
typedef struct key {
    const char *name;
    size_t index;
} key;

/* The last component's start, and the one before it. */
static void key_parts(const char *name, size_t n, const char **layer, size_t *layer_n)
{
    size_t variable = last_component(name, n);
    size_t end = variable > 0 ? variable - 1 : 0, start = last_component(name, end);
    *layer = name + start;
    *layer_n = end - start;
}

static int compare_layers(const char *a, size_t n, const char *b, size_t m)
{
    int order = memcmp(a, b, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

static int compare_keys(const void *a, const void *b)
{
    const char *x, *y;
    size_t n, m;
    key_parts(((const key *)a)->name, bare_length(((const key *)a)->name), &x, &n);
    key_parts(((const key *)b)->name, bare_length(((const key *)b)->name), &y, &m);
    return compare_layers(x, n, y, m);
}

/* The stored name that shares most components with a weight's path, at least `least`; -1: none, or several
 * alike. */
static int64_t best_match(const key *keys, size_t n, const char *path, int least)
{
    const char *layer;
    size_t layer_n, low = 0, high = n;
    key_parts(path, strlen(path), &layer, &layer_n);
    while (least > 1 && low < high) {
        const char *other;
        size_t other_n, middle = low + (high - low) / 2;
        key_parts(keys[middle].name, bare_length(keys[middle].name), &other, &other_n);
        if (compare_layers(other, other_n, layer, layer_n) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    int64_t best = -1;
    int most = least - 1;
    for (size_t i = low; i < n; i++) {
        int common = common_components(keys[i].name, path);
        const char *other;
        size_t other_n;
        key_parts(keys[i].name, bare_length(keys[i].name), &other, &other_n);
        if (least > 1 && compare_layers(other, other_n, layer, layer_n) != 0)
            break;
        if (common > most) {
            most = common;
            best = (int64_t)keys[i].index;
        } else if (common == most)
            best = -1;
    }
    return best;
}

/* By name: order[i] = the stored name of weights[i]. False where names do not decide for all of them. */
static ng_status match_names(const ngi_h5_legacy *l, const ngi_h5_group *stored, const int *weights, size_t n,
                             bool leaf, size_t *order, bool *decided, ng_error *err)
{
    key *keys = ngi_alloc(n, sizeof *keys);
    bool *used = ngi_alloc_zero(n, sizeof *used);
    *decided = keys && used;
    for (size_t i = 0; i < n && *decided; i++)
        keys[i] = (key){stored->weights.items[i], i};
    if (*decided)
        qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n && *decided; i++) {
        int64_t at = best_match(keys, n, l->g->weights[weights[i]].name, leaf ? 1 : 2);
        *decided = at >= 0 && !used[at];
        if (*decided) {
            used[at] = true;
            order[i] = (size_t)at;
        }
    }
    bool memory = keys && used;
    ngi_free(keys);
    ngi_free(used);
    return memory ? NG_OK : ngi_fail_memory(err, n * sizeof *keys);
}

/* ---- By order ---------------------------------------------------------------------------------- */

static ng_status shape_of(const ngi_h5_legacy *l, const ngi_h5_group *stored, size_t at, ngi_shape *shape,
                          ng_error *err)
{
    bool integer;
    char *path = ngi_h5_group_path(l, stored->name),
         *dataset = path ? ngi_sprintf("%s/%s", path, stored->weights.items[at]) : NULL;
    ng_status status = dataset ? ngi_h5_shape(l->h, dataset, shape, &integer, err) : ngi_fail_memory(err, 64);
    ngi_free(path);
    ngi_free(dataset);
    return status;
}

/* Whether the stored weights fit the sequence one by one in shape, and `names`: in variable name. */
static ng_status fits(const ngi_h5_legacy *l, const ngi_h5_group *stored, const int *sequence, size_t n,
                      bool names, bool *out, ng_error *err)
{
    *out = true;
    for (size_t i = 0; i < n && *out; i++) {
        const ngi_weight *w = &l->g->weights[sequence[i]];
        ngi_shape shape;
        NGI_TRY(shape_of(l, stored, i, &shape, err));
        *out = ngi_shape_equal(&shape, &w->shape) &&
               (!names || common_components(stored->weights.items[i], w->name) > 0);
    }
    return NG_OK;
}

/* By order: rearranges `weights` into the order in which they were stored. Keras lists a model's trainable
 * weights first; some versions list a frozen model layer by layer. What fits in names and shapes wins, then
 * what fits in shapes. */
static ng_status match_order(const ngi_h5_legacy *l, const ngi_h5_group *stored, int *weights, size_t n,
                             ng_error *err)
{
    int *first = ngi_alloc(n, sizeof *first);
    if (!first)
        return ngi_fail_memory(err, n * sizeof *first);
    size_t k = 0;
    for (int trainable = 1; trainable >= 0; trainable--)
        for (size_t i = 0; i < n; i++)
            if (l->g->weights[weights[i]].trainable == (trainable == 1))
                first[k++] = weights[i];
    bool as_is = false, done = false;
    ng_status status = NG_OK;
    for (int names = 1; names >= 0 && !done && status == NG_OK; names--) {
        status = fits(l, stored, first, n, names, &done, err);
        if (status == NG_OK && !done)
            status = fits(l, stored, weights, n, names, &as_is, err);
        done = done || as_is;
    }
    if (!as_is)
        memcpy(weights, first, n * sizeof *weights);
    ngi_free(first);
    return status;
}

ng_status ngi_h5_match(const ngi_h5_legacy *l, const ngi_h5_group *stored, int *weights, size_t n, bool leaf,
                       size_t *order, ng_error *err)
{
    bool decided;
    NGI_TRY(match_names(l, stored, weights, n, leaf, order, &decided, err));
    if (decided)
        return NG_OK;
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    return match_order(l, stored, weights, n, err);
}
