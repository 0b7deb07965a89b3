/* Finds the graph's weight for a name in a TF.js manifest. Converters write a layer's path ("inception_v3/conv2d/kernel"), its
 * own name ("conv2d/kernel") or more than the path ("sequential/dense/kernel"). */
#include "format/tfjs.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return strcmp(((const ngi_tfjs_name *)a)->name, ((const ngi_tfjs_name *)b)->name);
}

static void clear_list(ngi_tfjs_name *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        ngi_free(list[i].name);
    ngi_free(list);
}

void ngi_tfjs_names_clear(ngi_tfjs_names *names)
{
    clear_list(names->by_path, names->count);
    clear_list(names->by_name, names->count);
    *names = (ngi_tfjs_names){0};
}

/* The tree is at most NGI_MAX_NESTING deep. */
static ng_status add_layer(ngi_tfjs_names *names, const ngi_graph *g, const ngi_keras_layer *layer,
                           ng_error *err)
{
    for (int i = layer->first_weight; i < layer->first_weight + layer->n_weights; i++) {
        const char *path = g->weights[i].name, *variable = strrchr(path, '/');
        ngi_tfjs_name full = {ngi_strdup(path), i};
        ngi_tfjs_name own = {ngi_sprintf("%s%s", layer->name, variable ? variable : ""), i};
        names->by_path[names->count] = full;
        names->by_name[names->count++] = own;
        if (!full.name || !own.name)
            return ngi_fail_memory(err, strlen(path));
    }
    for (int i = 0; i < layer->n_children; i++)
        NGI_TRY(add_layer(names, g, &layer->children[i], err));
    return NG_OK;
}

ng_status ngi_tfjs_names_fill(ngi_tfjs_names *names, const ngi_graph *g, const ngi_keras_layer *root,
                              ng_error *err)
{
    size_t n = (size_t)g->n_weights;
    *names = (ngi_tfjs_names){ngi_alloc_zero(n, sizeof *names->by_path),
                              ngi_alloc_zero(n, sizeof *names->by_name), 0};
    if (!names->by_path || !names->by_name)
        return ngi_fail_memory(err, n * sizeof *names->by_path);
    NGI_TRY(add_layer(names, g, root, err));
    qsort(names->by_path, names->count, sizeof *names->by_path, compare);
    qsort(names->by_name, names->count, sizeof *names->by_name, compare);
    return NG_OK;
}

static int look_up(const ngi_tfjs_name *list, size_t n, const char *name)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || strcmp(list[low].name, name) != 0)
        return -1;
    return low + 1 < n && strcmp(list[low + 1].name, name) == 0 ? -2 : list[low].weight;
}

/* By path, then by the layer's own name; then the same without the leading parts of the manifest's name. */
int ngi_tfjs_names_find(const ngi_tfjs_names *names, const char *name)
{
    for (const char *at = name; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        int found = look_up(names->by_path, names->count, at);
        if (found == -1)
            found = look_up(names->by_name, names->count, at);
        if (found != -1)
            return found;
    }
    return -1;
}
