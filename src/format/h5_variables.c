/* Weights in Keras 3's layout, also that of .weights.h5 files since Keras 2.12: every layer has a group
 * layers/<class in snake case>[_k]/vars with datasets 0, 1, ... in the order of layer.weights; nested
 * models repeat it (layers/functional/layers/conv2d/vars/0). The names come from classes and order, not
 * from layer names (Keras's saving_lib._save_container_state).
 *
 * Keras 2.12 and 2.13 call the container _layer_checkpoint_dependencies and count layers with weights
 * twice; files written on Windows have backslashes in the place of some slashes. */
#include "format/h5.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct variables {
    ngi_h5 *h;
    ngi_graph *g;
    const char *container; /* "layers" */
    char separator;
    bool twice; /* layers with weights count twice */
} variables;

/* How often a class was met in one model. */
typedef struct class_count {
    const char *class_name;
    int count;
} class_count;

/* ---- Names ------------------------------------------------------------------------------------- */

/* keras.src.utils.naming.to_snake_case: "SeparableConv2D" -> "separable_conv2d". Its two substitutions put an
 * underscore before a capital that lowercase letters follow, and between a lowercase letter and a capital. */
char *ngi_keras_snake_case(const char *name)
{
    size_t n = strlen(name), k = 0;
    char *out = ngi_alloc(2 * n + 1, 1);
    for (size_t i = 0; out && i < n; i++) {
        bool capital = isupper((unsigned char)name[i]);
        bool word = capital && i > 0 && islower((unsigned char)name[i + 1]);
        bool edge = capital && i > 0 && islower((unsigned char)name[i - 1]);
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            continue;
        if ((word || edge) && k > 0 && out[k - 1] != '_')
            out[k++] = '_';
        out[k++] = (char)tolower((unsigned char)name[i]);
    }
    if (out)
        out[k] = '\0';
    return out;
}

static bool has_weights(const ngi_keras_layer *layer)
{
    bool has = layer->n_weights > 0;
    for (int i = 0; i < layer->n_children && !has; i++)
        has = has_weights(&layer->children[i]);
    return has;
}

/* The group's name of the next layer of a class: conv2d, conv2d_1, ... */
static char *next_name(const variables *v, const ngi_keras_layer *layer, class_count *counts,
                       size_t *n_counts)
{
    size_t i = 0;
    while (i < *n_counts && strcmp(counts[i].class_name, layer->class_name) != 0)
        i++;
    if (i == *n_counts)
        counts[(*n_counts)++] = (class_count){layer->class_name, 0};
    char *snake = ngi_keras_snake_case(layer->class_name), *name = NULL;
    if (snake)
        name = counts[i].count == 0 ? ngi_strdup(snake) : ngi_sprintf("%s_%d", snake, counts[i].count);
    ngi_free(snake);
    counts[i].count += v->twice && has_weights(layer) ? 2 : 1;
    return name;
}

/* ---- One layer --------------------------------------------------------------------------------- */

/* Refuses float variables past the expected ones; counters and random states are integers. */
static ng_status refuse_extra(variables *v, const char *path, const char *layer, int expected, ng_error *err)
{
    ngi_names names;
    NGI_TRY(ngi_h5_members(v->h, path, &names, err));
    ng_status status = NG_OK;
    for (size_t i = 0; i < names.count && status == NG_OK; i++) {
        char *end;
        long index = strtol(names.items[i], &end, 10);
        if (*end == '\0' && end != names.items[i] && index >= 0 && index < expected)
            continue;
        char *dataset = ngi_sprintf("%s/%s", path, names.items[i]);
        ngi_shape shape;
        bool integer = false;
        status = dataset ? ngi_h5_shape(v->h, dataset, &shape, &integer, err) : ngi_fail_memory(err, 64);
        if (status == NG_OK && !integer)
            status = ngi_fail(err, NG_E_SHAPE, "%s: layer '%s': expected %d weights, found another: '%s'",
                              ngi_h5_where(v->h), layer, expected, dataset);
        ngi_free(dataset);
    }
    ngi_names_clear(&names);
    return status;
}

static ng_status bind_leaf(variables *v, const char *path, const ngi_keras_layer *layer, ng_error *err)
{
    char *vars = ngi_sprintf("%s/vars", path);
    ng_status status = vars ? NG_OK : ngi_fail_memory(err, strlen(path));
    for (int i = 0; i < layer->n_weights && status == NG_OK; i++) {
        char *dataset = ngi_sprintf("%s/%d", vars, i);
        status = dataset ? ngi_h5_bind_one(v->h, v->g, layer->first_weight + i, dataset, err)
                         : ngi_fail_memory(err, strlen(vars));
        ngi_free(dataset);
    }
    if (status == NG_OK)
        status = refuse_extra(v, vars, layer->name, layer->n_weights, err);
    ngi_free(vars);
    return status;
}

/* ---- Models ------------------------------------------------------------------------------------ */

static ng_status bind_model(variables *v, const char *path, const ngi_keras_layer *model, ng_error *err);

static ng_status bind_child(variables *v, const char *path, const ngi_keras_layer *layer, ng_error *err)
{
    return layer->n_children > 0 ? bind_model(v, path, layer, err) : bind_leaf(v, path, layer, err);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Refuses layers in the file that the model has not: their groups hold variables. */
static ng_status refuse_unknown(variables *v, const char *container, ngi_names *expected, ng_error *err)
{
    if (expected->count > 0)
        qsort(expected->items, expected->count, sizeof *expected->items, compare_texts);
    ngi_names found;
    NGI_TRY(ngi_h5_members(v->h, container, &found, err));
    ng_status status = NG_OK;
    for (size_t i = 0; i < found.count && status == NG_OK; i++) {
        if (expected->count > 0 && bsearch(&found.items[i], expected->items, expected->count,
                                           sizeof *expected->items, compare_texts))
            continue;
        ngi_names inside = {0};
        char *vars = ngi_sprintf("%s/%s/vars", container, found.items[i]);
        status = vars ? ngi_h5_members(v->h, vars, &inside, err) : ngi_fail_memory(err, strlen(container));
        if (status == NG_OK && inside.count > 0)
            status = ngi_fail(err, NG_E_SHAPE,
                              "%s: '%s/%s' holds weights of a layer that the model has not: the weights "
                              "belong to another model",
                              ngi_h5_where(v->h), container, found.items[i]);
        ngi_names_clear(&inside);
        ngi_free(vars);
    }
    ngi_names_clear(&found);
    return status;
}

static ng_status bind_children(variables *v, const char *container, const ngi_keras_layer *model,
                               class_count *counts, ngi_names *names, ng_error *err)
{
    size_t n_counts = 0;
    ng_status status = NG_OK;
    for (int i = 0; i < model->n_children && status == NG_OK; i++) {
        char *name = next_name(v, &model->children[i], counts, &n_counts);
        char *path = name ? ngi_sprintf("%s%c%s", container, v->separator, name) : NULL;
        if (!path)
            status = ngi_fail_memory(err, 64);
        else
            status = ngi_names_add(names, name, strlen(name), err);
        if (status == NG_OK)
            status = bind_child(v, path, &model->children[i], err);
        ngi_free(name);
        ngi_free(path);
    }
    if (status == NG_OK && v->separator == '/')
        status = refuse_unknown(v, container, names, err);
    return status;
}

static ng_status bind_model(variables *v, const char *path, const ngi_keras_layer *model, ng_error *err)
{
    class_count *counts = ngi_alloc((size_t)model->n_children, sizeof *counts);
    char separator[2] = {v->separator, '\0'};
    char *container = ngi_sprintf("%s%s%s", path, *path ? separator : "", v->container);
    ngi_names names = {0};
    ng_status status = counts && container ? NG_OK : ngi_fail_memory(err, 64);
    if (status == NG_OK)
        status = bind_children(v, container, model, counts, &names, err);
    ngi_names_clear(&names);
    ngi_free(container);
    ngi_free(counts);
    return status;
}

/* The container's name at the root tells the dialect. */
static ng_status find_dialect(variables *v, ng_error *err)
{
    static const char *const containers[] = {"layers", "_layer_checkpoint_dependencies"};
    ngi_names names;
    NGI_TRY(ngi_h5_members(v->h, "/", &names, err));
    for (size_t i = 0; i < names.count && !v->container; i++)
        for (size_t k = 0; k < 2 && !v->container; k++) {
            size_t n = strlen(containers[k]);
            if (strncmp(names.items[i], containers[k], n) != 0 ||
                (names.items[i][n] && names.items[i][n] != '\\'))
                continue;
            v->container = containers[k];
            v->separator = names.items[i][n] ? '\\' : '/';
            v->twice = k == 1;
        }
    ngi_names_clear(&names);
    if (!v->container)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: no weights that Keras saved: neither layer_names, model_weights nor layers is "
                        "there",
                        ngi_h5_where(v->h));
    return NG_OK;
}

ng_status ngi_h5_bind_variables(ngi_h5 *h, ngi_graph *g, const ngi_keras_layer *root, ng_error *err)
{
    variables v = {.h = h, .g = g};
    NGI_TRY(find_dialect(&v, err));
    return bind_model(&v, "", root, err);
}
