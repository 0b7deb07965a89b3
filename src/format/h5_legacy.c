/* Weights by layer group, as Keras 1 and 2 save them (and Keras 3 in .h5 files): an attribute layer_names
 * lists the groups in the model's order; each has an attribute weight_names that lists its datasets
 * ("conv2d_1/kernel:0"). The group of a nested model holds all weights inside it, those that are trainable
 * first.
 *
 * Groups go to layers by name where both have the same set of names, else one by one in order, as Keras's
 * load_weights does (the official ImageNet files were saved with other automatic names). Inside a group
 * likewise: by layer and variable where those decide for every weight, else by order, checked by the
 * shapes. */
#include "format/h5_legacy.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reading the file's lists ------------------------------------------------------------------ */

char *ngi_h5_group_path(const ngi_h5_legacy *l, const char *name)
{
    return ngi_sprintf("%s%s%s", l->parent, strcmp(l->parent, "/") == 0 ? "" : "/", name);
}

/* Whether the dataset `name` of the group at `path` holds integers. */
static ng_status is_integer(ngi_h5_legacy *l, const char *path, const char *name, bool *out, ng_error *err)
{
    ngi_shape shape;
    char *dataset = ngi_sprintf("%s/%s", path, name);
    ng_status status =
        dataset ? ngi_h5_shape(l->h, dataset, &shape, out, err) : ngi_fail_memory(err, strlen(path));
    ngi_free(dataset);
    return status;
}

/* The names of a group's float datasets. Integers (counters, random states) are no weights of a layer run
 * here. */
static ng_status read_weights(ngi_h5_legacy *l, const char *path, ngi_h5_group *group, ng_error *err)
{
    ngi_names all;
    bool found;
    NGI_TRY(ngi_h5_names(l->h, path, "weight_names", &all, &found, err));
    ng_status status = NG_OK;
    for (size_t i = 0; i < all.count && status == NG_OK; i++) {
        bool integer = false;
        status = is_integer(l, path, all.items[i], &integer, err);
        if (status == NG_OK && !integer)
            status = ngi_names_add(&group->weights, all.items[i], strlen(all.items[i]), err);
        if (status == NG_OK && integer && !group->integer && !(group->integer = ngi_strdup(all.items[i])))
            status = ngi_fail_memory(err, strlen(all.items[i]));
    }
    ngi_names_clear(&all);
    return status;
}

static void clear_group(ngi_h5_group *group)
{
    ngi_free(group->name);
    ngi_free(group->integer);
    ngi_names_clear(&group->weights);
}

/* Appends the group of a listed layer, if it has weights. */
static ng_status read_group(ngi_h5_legacy *l, const char *name, ng_error *err)
{
    char *path = ngi_h5_group_path(l, name);
    if (!path)
        return ngi_fail_memory(err, strlen(name));
    ngi_h5_kind kind;
    ngi_h5_group group = {.name = ngi_strdup(name)};
    ng_status status = group.name ? ngi_h5_find(l->h, path, &kind, err) : ngi_fail_memory(err, strlen(name));
    if (status == NG_OK && kind != NGI_H5_GROUP)
        status = ngi_fail(err, NG_E_NOT_FOUND, "%s: layer '%s' is listed, but its weights are missing",
                          l->where, name);
    if (status == NG_OK)
        status = read_weights(l, path, &group, err);
    ngi_free(path);
    if (status == NG_OK && group.weights.count > 0)
        l->groups[l->n_groups++] = group;
    else
        clear_group(&group);
    return status;
}

static ng_status read_groups(ngi_h5_legacy *l, ng_error *err)
{
    ngi_names names;
    bool found;
    NGI_TRY(ngi_h5_names(l->h, l->parent, "layer_names", &names, &found, err));
    ng_status status = NG_OK;
    if (!found)
        status =
            ngi_fail(err, NG_E_FORMAT, "%s: %s has no attribute layer_names: not weights that Keras saved",
                     l->where, l->parent);
    else if (!(l->groups = ngi_alloc_zero(names.count, sizeof *l->groups)))
        status = ngi_fail_memory(err, names.count * sizeof *l->groups);
    for (size_t i = 0; i < names.count && status == NG_OK; i++)
        status = read_group(l, names.items[i], err);
    ngi_names_clear(&names);
    return status;
}

/* ---- The weights of one layer or nested model --------------------------------------------------- */

static void collect(const ngi_keras_layer *layer, int *weights, int *n)
{
    for (int i = 0; i < layer->n_weights; i++)
        weights[(*n)++] = layer->first_weight + i;
    for (int i = 0; i < layer->n_children; i++)
        collect(&layer->children[i], weights, n);
}

static int count_weights(const ngi_keras_layer *layer)
{
    int n = layer->n_weights;
    for (int i = 0; i < layer->n_children; i++)
        n += count_weights(&layer->children[i]);
    return n;
}

static ng_status bind_matched(ngi_h5_legacy *l, const ngi_h5_group *stored, const ngi_keras_layer *layer,
                              int *weights, size_t *order, size_t n, ng_error *err)
{
    NGI_TRY(ngi_h5_match(l, stored, weights, n, layer->n_children == 0, order, err));
    char *path = ngi_h5_group_path(l, stored->name);
    ng_status status = path ? NG_OK : ngi_fail_memory(err, 64);
    for (size_t i = 0; i < n && status == NG_OK; i++) {
        char *dataset = ngi_sprintf("%s/%s", path, stored->weights.items[order[i]]);
        status = dataset ? ngi_h5_bind_one(l->h, l->g, weights[i], dataset, err) : ngi_fail_memory(err, 64);
        ngi_free(dataset);
    }
    ngi_free(path);
    return status;
}

static ng_status bind_group(ngi_h5_legacy *l, const ngi_h5_group *stored, const ngi_keras_layer *layer,
                            ng_error *err)
{
    size_t n = (size_t)count_weights(layer);
    if (n != stored->weights.count)
        return ngi_fail(err, NG_E_SHAPE,
                        "%s: layer '%s' (%s): expected %zu weights, found %zu in '%s' (the first is '%s')"
                        "%s%s%s",
                        l->where, layer->name, layer->class_name, n, stored->weights.count, stored->name,
                        stored->weights.items[0], stored->integer ? "; '" : "",
                        stored->integer ? stored->integer : "",
                        stored->integer ? "' holds integers (a quantised model? save it in float32)" : "");
    int *weights = ngi_alloc(n, sizeof *weights), found = 0;
    size_t *order = ngi_alloc(n, sizeof *order);
    ng_status status = weights && order ? NG_OK : ngi_fail_memory(err, n * sizeof *order);
    if (status == NG_OK) {
        collect(layer, weights, &found);
        status = bind_matched(l, stored, layer, weights, order, n, err);
    }
    ngi_free(weights);
    ngi_free(order);
    return status;
}

/* ---- Layers to groups -------------------------------------------------------------------------- */

static int compare_groups(const void *a, const void *b)
{
    return strcmp((*(const ngi_h5_group *const *)a)->name, (*(const ngi_h5_group *const *)b)->name);
}

static int compare_group_name(const void *name, const void *b)
{
    return strcmp(name, (*(const ngi_h5_group *const *)b)->name);
}

/* to[i] = the group of layers[i]: by name if each layer has one, else the i-th. *missing is the first layer
 * without. */
static ng_status assign(const ngi_h5_legacy *l, const ngi_h5_group **to, const char **missing, ng_error *err)
{
    const ngi_h5_group **sorted = ngi_alloc(l->n_groups, sizeof *sorted);
    if (!sorted)
        return ngi_fail_memory(err, l->n_groups * sizeof *sorted);
    for (size_t i = 0; i < l->n_groups; i++)
        sorted[i] = &l->groups[i];
    qsort(sorted, l->n_groups, sizeof *sorted, compare_groups);
    *missing = NULL;
    for (size_t i = 0; i < l->n_layers; i++) {
        const ngi_h5_group *const *hit =
            bsearch(l->layers[i]->name, sorted, l->n_groups, sizeof *sorted, compare_group_name);
        if (!hit && !*missing)
            *missing = l->layers[i]->name;
        to[i] = hit ? *hit : NULL;
    }
    for (size_t i = 0; *missing && l->n_groups == l->n_layers && i < l->n_layers; i++)
        to[i] = &l->groups[i];
    ngi_free(sorted);
    return NG_OK;
}

static ng_status bind_layers(ngi_h5_legacy *l, ng_error *err)
{
    const ngi_h5_group **to = ngi_alloc(l->n_layers, sizeof *to);
    if (!to)
        return ngi_fail_memory(err, l->n_layers * sizeof *to);
    const char *missing = NULL;
    ng_status status = assign(l, to, &missing, err);
    if (status == NG_OK && l->n_groups != l->n_layers)
        status = ngi_fail(err, NG_E_SHAPE,
                          "%s: expected %zu layers with weights, found %zu%s%s%s: the weights belong to "
                          "another model",
                          l->where, l->n_layers, l->n_groups, missing ? "; none is called '" : "",
                          missing ? missing : "", missing ? "'" : "");
    for (size_t i = 0; i < l->n_layers && status == NG_OK; i++)
        status = bind_group(l, to[i], l->layers[i], err);
    ngi_free(to);
    return status;
}

/* A model's own variables stand in a group of this name; none that is read has any. */
static ng_status refuse_own_variables(ngi_h5_legacy *l, ng_error *err)
{
    char *path = ngi_h5_group_path(l, "top_level_model_weights");
    if (!path)
        return ngi_fail_memory(err, 64);
    ngi_h5_kind kind;
    ngi_h5_group own = {0};
    ng_status status = ngi_h5_find(l->h, path, &kind, err);
    if (status == NG_OK && kind == NGI_H5_GROUP)
        status = read_weights(l, path, &own, err);
    if (status == NG_OK && own.weights.count > 0)
        status = ngi_fail(err, NG_E_UNSUPPORTED, "%s: the model has weights outside its layers ('%s')",
                          l->where, own.weights.items[0]);
    clear_group(&own);
    ngi_free(path);
    return status;
}

ng_status ngi_h5_bind_legacy(ngi_h5 *h, const char *parent, ngi_graph *g, const ngi_keras_layer *root,
                             ng_error *err)
{
    ngi_h5_legacy l = {.h = h, .where = ngi_h5_where(h), .parent = parent, .g = g};
    l.layers = ngi_alloc((size_t)root->n_children, sizeof *l.layers);
    ng_status status = l.layers ? NG_OK : ngi_fail_memory(err, (size_t)root->n_children * sizeof *l.layers);
    for (int i = 0; i < root->n_children && status == NG_OK; i++)
        if (count_weights(&root->children[i]) > 0)
            l.layers[l.n_layers++] = &root->children[i];
    if (status == NG_OK)
        status = read_groups(&l, err);
    if (status == NG_OK)
        status = refuse_own_variables(&l, err);
    if (status == NG_OK)
        status = bind_layers(&l, err);
    for (size_t i = 0; i < l.n_groups; i++)
        clear_group(&l.groups[i]);
    ngi_free(l.groups);
    ngi_free(l.layers);
    return status;
}
