/* Calls of layers: what each takes from which other call, and the order to build them in.
 *
 * Keras 2 writes a call as [["conv", 0, 0, {...}], ...]: layer, its call, output, keyword arguments (which may hold such
 * references too). Keras 3 writes {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["conv", 0,
 * 0]}}], "kwargs": {}}. The call numbers of a model inside a model begin at 1 in most versions (number 0 is its own
 * construction), at 0 in others. */
#include "format/keras_model.h"

#include <string.h>

/* ---- Lists ------------------------------------------------------------------------------------- */

ng_status ngi_kmodel_reserve(void **array, int *capacity, int count, size_t size, ng_error *err)
{
    if (count < *capacity)
        return NG_OK;
    int more = *capacity ? 2 * *capacity : 64;
    if (count >= NGI_MAX_NODES * 16)
        return ngi_fail(err, NG_E_LIMIT, "the model has more than %d calls or arguments", NGI_MAX_NODES * 16);
    void *bigger = ngi_realloc(*array, (size_t)more, size);
    if (!bigger)
        return ngi_fail_memory(err, (size_t)more * size);
    *array = bigger;
    *capacity = more;
    return NG_OK;
}

ng_status ngi_kmodel_add_call(ngi_kmodel *m, int layer, ng_error *err)
{
    NGI_TRY(ngi_kmodel_reserve((void **)&m->calls, &m->call_capacity, m->n_calls, sizeof *m->calls, err));
    m->calls[m->n_calls++] = (ngi_kcall){
        .layer = layer, .first_argument = m->n_arguments, .training = -1, .first_output = m->n_nodes};
    m->n_nodes += m->layers[layer].n_outputs;
    return NG_OK;
}

ng_status ngi_kmodel_add_argument(ngi_kmodel *m, ngi_kargument argument, ng_error *err)
{
    ngi_kcall *call = &m->calls[m->n_calls - 1];
    if (call->n_arguments >= NGI_MAX_INPUTS)
        return ngi_fail(err, NG_E_LIMIT, "%s: more than %d inputs", m->layers[call->layer].leaf.where,
                        NGI_MAX_INPUTS);
    NGI_TRY(ngi_kmodel_reserve((void **)&m->arguments, &m->argument_capacity, m->n_arguments,
                               sizeof *m->arguments, err));
    m->arguments[m->n_arguments++] = argument;
    call->n_arguments++;
    return NG_OK;
}

int ngi_kmodel_find(const ngi_kmodel *m, const char *name)
{
    int low = 0, high = m->n_layers;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(m->layers[m->by_name[middle]].name, name);
        if (order == 0)
            return m->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* ---- References -------------------------------------------------------------------------------- */

/* ["name", call, output] or with more behind it. */
static bool is_reference(const json_t *v)
{
    return json_is_array(v) && json_array_size(v) >= 3 && json_is_string(json_array_get(v, 0)) &&
           json_is_integer(json_array_get(v, 1)) && json_is_integer(json_array_get(v, 2));
}

/* The reference in a Keras 3 tensor, else NULL. */
static const json_t *history_of(const json_t *v)
{
    const char *class_name = json_string_value(json_object_get(v, "class_name"));
    if (!class_name || strcmp(class_name, "__keras_tensor__") != 0)
        return NULL;
    const json_t *history = json_object_get(json_object_get(v, "config"), "keras_history");
    return history ? history : json_null(); /* a tensor from nowhere: refused as a reference */
}

/* `user` starts errors. References to layers' calls are checked when all calls are known. */
static ng_status read_reference(const ngi_kmodel *m, const char *user, const json_t *v, ngi_kargument *out,
                                ng_error *err)
{
    if (!is_reference(v))
        return ngi_fail(err, NG_E_FORMAT, "%s: an input is not of the form [layer, call, output]", user);
    const char *name = json_string_value(json_array_get(v, 0));
    json_int_t call = json_integer_value(json_array_get(v, 1)),
               tensor = json_integer_value(json_array_get(v, 2));
    int layer = ngi_kmodel_find(m, name);
    if (layer < 0)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: takes its input from a layer '%.200s', which the model does not have", user,
                        name);
    const ngi_klayer *l = &m->layers[layer];
    call -= l->first_node_index;
    if (call < 0 || call >= l->n_calls)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: takes its input from call %lld of layer '%.200s', which is called %d times",
                        user, (long long)call, name, l->n_calls);
    if (tensor < 0 || tensor >= l->n_outputs)
        return ngi_fail(err, NG_E_FORMAT, "%s: takes output %lld of layer '%.200s', which has %d", user,
                        (long long)tensor, name, l->n_outputs);
    *out = (ngi_kargument){.call = l->first_call + (int)call, .tensor = (int)tensor};
    return NG_OK;
}

/* ---- Where a nested model's calls begin to count ----------------------------------------------- */

static void note_reference(ngi_kmodel *m, const json_t *v)
{
    int layer = ngi_kmodel_find(m, json_string_value(json_array_get(v, 0)));
    if (layer < 0 || !m->layers[layer].model)
        return;
    if (json_integer_value(json_array_get(v, 1)) >= m->layers[layer].n_calls)
        m->layers[layer].first_node_index = 1;
}

/* A reference past a nested model's last call shows that its calls count from 1. The depth of JSON is bounded. */
static void note_references(ngi_kmodel *m, const json_t *v)
{
    size_t i;
    const char *key;
    json_t *item;
    if (is_reference(v))
        note_reference(m, v);
    if (json_is_array(v))
        json_array_foreach(v, i, item) note_references(m, item);
    else if (json_is_object(v))
        json_object_foreach((json_t *)v, key, item) note_references(m, item);
}

/* ---- Arguments --------------------------------------------------------------------------------- */

static bool holds_tensor(const json_t *v)
{
    size_t i;
    const char *key;
    json_t *item;
    if (history_of(v))
        return true;
    if (json_is_array(v))
        json_array_foreach(v, i, item)
        {
            if (holds_tensor(item))
                return true;
        }
    if (json_is_object(v))
        json_object_foreach((json_t *)v, key, item)
        {
            if (holds_tensor(item))
                return true;
        }
    return false;
}

/* Keras 3: a tensor, a constant, or a list that is flattened where it holds tensors. */
static ng_status add_value(ngi_kmodel *m, const char *user, const json_t *v, const char *key, ng_error *err)
{
    ngi_kargument a = {.call = -1, .value = v};
    const json_t *history = history_of(v);
    if (history)
        NGI_TRY(read_reference(m, user, history, &a, err));
    a.key = key;
    if (history || !holds_tensor(v))
        return ngi_kmodel_add_argument(m, a, err);
    if (!json_is_array(v))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: is called with tensors in a dictionary; call it with a list instead", user);
    for (size_t i = 0; i < json_array_size(v); i++)
        NGI_TRY(add_value(m, user, json_array_get(v, i), key, err));
    return NG_OK;
}

static void read_training(ngi_kmodel *m, const json_t *kwargs)
{
    const json_t *training = json_object_get(kwargs, "training");
    if (json_is_boolean(training) || json_is_integer(training))
        m->calls[m->n_calls - 1].training = json_is_true(training) || json_integer_value(training) != 0;
}

static ng_status read_keras3(ngi_kmodel *m, const char *user, const json_t *call, ng_error *err)
{
    const json_t *args = json_object_get(call, "args"), *kwargs = json_object_get(call, "kwargs");
    const char *key;
    json_t *value;
    if (!json_is_array(args) || (kwargs && !json_is_object(kwargs)))
        return ngi_fail(err, NG_E_FORMAT, "%s: a call without a list of args", user);
    for (size_t i = 0; i < json_array_size(args); i++)
        NGI_TRY(add_value(m, user, json_array_get(args, i), NULL, err));
    json_object_foreach((json_t *)kwargs, key, value) NGI_TRY(add_value(m, user, value, key, err));
    read_training(m, kwargs);
    return NG_OK;
}

/* Keyword arguments of Keras 2: a list [name, call, output] that names a layer is a tensor. */
static ng_status read_keywords(ngi_kmodel *m, const char *user, const json_t *kwargs, ng_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)kwargs, key, value)
    {
        ngi_kargument a = {.call = -1, .value = value};
        if (is_reference(value) && ngi_kmodel_find(m, json_string_value(json_array_get(value, 0))) >= 0)
            NGI_TRY(read_reference(m, user, value, &a, err));
        a.key = key;
        NGI_TRY(ngi_kmodel_add_argument(m, a, err));
    }
    read_training(m, kwargs);
    return NG_OK;
}

/* ["x", 0, 0, {...}], or a list of such, in lists again where a layer takes a list of lists. */
static ng_status read_keras2(ngi_kmodel *m, const char *user, const json_t *v, const json_t **kwargs,
                             ng_error *err)
{
    if (!json_is_array(v))
        return ngi_fail(err, NG_E_FORMAT, "%s: a call is not a list of inputs", user);
    const char *name = json_string_value(json_array_get(v, 0));
    if (!name) {
        for (size_t i = 0; i < json_array_size(v); i++)
            NGI_TRY(read_keras2(m, user, json_array_get(v, i), kwargs, err));
        return NG_OK;
    }
    if (!*kwargs)
        *kwargs = json_array_get(v, 3);
    ngi_kargument a = {.call = -1, .value = json_array_get(v, 2)};
    if (strcmp(name, "_CONSTANT_VALUE") != 0)
        NGI_TRY(read_reference(m, user, v, &a, err));
    return ngi_kmodel_add_argument(m, a, err);
}

/* ---- Calls of a Functional model --------------------------------------------------------------- */

static ng_status count_calls(ngi_kmodel *m, ng_error *err)
{
    for (int i = 0; i < m->n_layers; i++) {
        ngi_klayer *l = &m->layers[i];
        const json_t *inbound = json_object_get(l->json, "inbound_nodes");
        size_t n = json_array_size(inbound);
        if (inbound && !json_is_array(inbound) && !json_is_null(inbound))
            return ngi_fail(err, NG_E_FORMAT, "%s: inbound_nodes is not a list", l->leaf.where);
        if (n > NGI_MAX_NODES)
            return ngi_fail(err, NG_E_LIMIT, "%s: is called %zu times, the limit is %d", l->leaf.where, n,
                            NGI_MAX_NODES);
        if (n == 0 && !l->is_input)
            return ngi_fail(err, NG_E_FORMAT, "%s: has no inbound_nodes: nothing says what its input is",
                            l->leaf.where);
        if (n > 0 && l->is_input)
            return ngi_fail(err, NG_E_FORMAT, "%s: an input that takes an input", l->leaf.where);
        l->n_calls = l->is_input ? 1 : (int)n;
        l->first_call = i ? m->layers[i - 1].first_call + m->layers[i - 1].n_calls : 0;
        if (l->first_call > NGI_MAX_NODES)
            return ngi_fail(err, NG_E_LIMIT, "layers are called more than %d times", NGI_MAX_NODES);
    }
    return NG_OK;
}

static ng_status read_call(ngi_kmodel *m, int layer, const json_t *inbound, ng_error *err)
{
    const char *user = m->layers[layer].leaf.where;
    NGI_TRY(ngi_kmodel_add_call(m, layer, err));
    if (json_is_object(inbound))
        return read_keras3(m, user, inbound, err);
    const json_t *kwargs = NULL;
    NGI_TRY(read_keras2(m, user, inbound, &kwargs, err));
    return json_is_object(kwargs) ? read_keywords(m, user, kwargs, err) : NG_OK;
}

ng_status ngi_kmodel_read_calls(ngi_kmodel *m, ng_error *err)
{
    NGI_TRY(count_calls(m, err));
    for (int i = 0; i < m->n_layers; i++)
        note_references(m, json_object_get(m->layers[i].json, "inbound_nodes"));
    note_references(m, json_object_get(m->config, "output_layers"));
    for (int i = 0; i < m->n_layers; i++) {
        if (m->layers[i].is_input)
            NGI_TRY(ngi_kmodel_add_call(m, i, err));
        const json_t *inbound = json_object_get(m->layers[i].json, "inbound_nodes");
        for (size_t k = 0; k < json_array_size(inbound); k++)
            NGI_TRY(read_call(m, i, json_array_get(inbound, k), err));
    }
    return NG_OK;
}

/* One reference, a list, or a dictionary of such. */
static ng_status add_ends(const ngi_kmodel *m, const char *user, const json_t *v, ngi_kargument **out, int *n,
                          ng_error *err)
{
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, item) NGI_TRY(add_ends(m, user, item, out, n, err));
        return NG_OK;
    }
    if (!is_reference(v) && json_is_array(v)) {
        json_array_foreach(v, i, item) NGI_TRY(add_ends(m, user, item, out, n, err));
        return NG_OK;
    }
    ngi_kargument end;
    NGI_TRY(read_reference(m, user, v, &end, err));
    if (*n == NGI_MAX_INPUTS)
        return ngi_fail(err, NG_E_LIMIT, "%s: more than %d", user, NGI_MAX_INPUTS);
    ngi_kargument *bigger = ngi_realloc(*out, (size_t)*n + 1, sizeof **out);
    if (!bigger)
        return ngi_fail_memory(err, ((size_t)*n + 1) * sizeof **out);
    *out = bigger;
    bigger[(*n)++] = end;
    return NG_OK;
}

ng_status ngi_kmodel_read_ends(ngi_kmodel *m, const char *key, ngi_kargument **out, int *n, ng_error *err)
{
    char user[NGI_WHERE_TEXT];
    snprintf(user, sizeof user, "%s of model '%.200s'", key, m->tree->name);
    NGI_TRY(add_ends(m, user, json_object_get(m->config, key), out, n, err));
    if (*n == 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: there are none", user);
    return NG_OK;
}

/* ---- Order ------------------------------------------------------------------------------------- */

typedef struct visit {
    int call, next; /* the next argument to look at */
} visit;

typedef enum progress { UNSEEN, OPEN, DONE } progress;

/* Depth first with a stack of its own: a chain may be as long as the model. */
static ng_status visit_from(ngi_kmodel *m, int start, visit *stack, progress *seen, int *n_done,
                            ng_error *err)
{
    int depth = 0;
    if (seen[start] == DONE)
        return NG_OK;
    stack[depth++] = (visit){start, 0};
    seen[start] = OPEN;
    while (depth > 0) {
        visit *top = &stack[depth - 1];
        const ngi_kcall *call = &m->calls[top->call];
        if (top->next == call->n_arguments) {
            seen[top->call] = DONE;
            m->order[(*n_done)++] = top->call;
            depth--;
            continue;
        }
        int from = m->arguments[call->first_argument + top->next++].call;
        if (from < 0 || seen[from] == DONE)
            continue;
        if (seen[from] == OPEN)
            return ngi_fail(err, NG_E_FORMAT,
                            "%s: its input depends on its own output: the layers form a cycle",
                            m->layers[m->calls[from].layer].leaf.where);
        seen[from] = OPEN;
        stack[depth++] = (visit){from, 0};
    }
    return NG_OK;
}

ng_status ngi_kmodel_sort(ngi_kmodel *m, ng_error *err)
{
    size_t n = (size_t)m->n_calls;
    visit *stack = ngi_alloc(n, sizeof *stack);
    progress *seen = ngi_alloc_zero(n, sizeof *seen);
    m->order = ngi_alloc(n, sizeof *m->order);
    m->nodes = ngi_alloc((size_t)m->n_nodes, sizeof *m->nodes);
    ng_status status = NG_OK;
    int done = 0;
    if (!stack || !seen || !m->order || !m->nodes)
        status = ngi_fail_memory(err, n * sizeof *stack);
    for (int i = 0; i < m->n_calls && status == NG_OK; i++)
        status = visit_from(m, i, stack, seen, &done, err);
    ngi_free(stack);
    ngi_free(seen);
    return status;
}
