/* From a traced configuration to a flat model: layers of models inside lose their path where their own name is unique, each
 * call takes from calls. The order of layers is that of Keras's map_graph (keras/src/ops/function.py, and Keras 2's
 * map_graph_network), because weights are found again by it. */
#include "format/save_model.h"

#include <stdlib.h>
#include <string.h>

static void clear_layer(ngi_flat_layer *l)
{
    ngi_free(l->name);
    ngi_free(l->wish);
    ngi_free(l->path);
    ngi_free_aligned(l->own.data);
    json_decref(l->config);
}

const ngi_weight *ngi_flat_weight(const ngi_flat_layer *l, int k, const ngi_graph *graph)
{
    return l->own.data ? &l->own : &graph->weights[l->weights[k]];
}

void ngi_flat_clear(ngi_flat *f)
{
    for (int i = 0; i < f->n_layers; i++)
        clear_layer(&f->layers[i]);
    ngi_free(f->layers);
    ngi_free(f->calls);
    ngi_free(f->inputs);
    ngi_free(f->ends);
    ngi_free(f->producer);
    ngi_free(f->written);
    *f = (ngi_flat){0};
}

/* ---- Building ---------------------------------------------------------------------------------- */

ng_status ngi_flat_add_layer(ngi_flat *f, const char *wish, const char *path, const char *class_name,
                             json_t *config, int *out, ng_error *err)
{
    ng_status status = config ? ngi_kmodel_reserve((void **)&f->layers, &f->layer_capacity, f->n_layers,
                                                   sizeof *f->layers, err)
                              : ngi_fail_memory(err, 64);
    if (status != NG_OK) {
        json_decref(config);
        return status;
    }
    ngi_flat_layer *l = &f->layers[f->n_layers];
    *l = (ngi_flat_layer){.wish = ngi_strdup(wish),
                          .path = path ? ngi_strdup(path) : NULL,
                          .class_name = class_name,
                          .config = config,
                          .trainable = true};
    *out = f->n_layers++;
    return l->wish && (l->path || !path) ? NG_OK : ngi_fail_memory(err, strlen(wish));
}

ng_status ngi_flat_add_call(ngi_flat *f, int layer, const int *inputs, int n_inputs, const ngi_shape *shape,
                            int *out, ng_error *err)
{
    NGI_TRY(ngi_kmodel_reserve((void **)&f->calls, &f->call_capacity, f->n_calls, sizeof *f->calls, err));
    ngi_flat_call call = {.layer = layer, .first_input = f->n_inputs, .n_inputs = n_inputs, .shape = *shape};
    for (int i = 0; i < n_inputs; i++) {
        NGI_TRY(
            ngi_kmodel_reserve((void **)&f->inputs, &f->input_capacity, f->n_inputs, sizeof *f->inputs, err));
        f->inputs[f->n_inputs++] = inputs[i];
    }
    *out = f->n_calls;
    f->calls[f->n_calls++] = call;
    return NG_OK;
}

/* ---- From the trace ---------------------------------------------------------------------------- */

static bool takes_list(const char *class_name)
{
    static const char *const merges[] = {"Add",     "Subtract", "Multiply",   "Average",
                                         "Maximum", "Minimum",  "Concatenate"};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        if (strcmp(merges[i], class_name) == 0)
            return true;
    return false;
}

static ng_status add_source_layer(ngi_flat *f, const ngi_klayer *source, const char *class_name,
                                  json_t *config, int *out, ng_error *err)
{
    const ngi_building_layer *leaf = &source->leaf;
    bool unnamed = !*source->name && leaf->path; /* an input left out has a path only */
    const char *name = unnamed ? leaf->path : source->name;
    NGI_TRY(ngi_flat_add_layer(f, name, leaf->path, class_name, config, out, err));
    ngi_flat_layer *l = &f->layers[*out];
    l->trainable = leaf->trainable;
    l->is_input = source->is_input;
    l->takes_list = takes_list(class_name);
    l->n_weights = leaf->n_weights;
    memcpy(l->weights, leaf->weights, sizeof l->weights);
    if (leaf->layer >= 0)
        f->written[leaf->layer] = *out;
    return NG_OK;
}

/* Functions on tensors of Keras 3 stay what they are where Keras 3 is to read them. */
static bool is_verbatim(const ngi_flat *f, const ngi_traced_call *call)
{
    return call->layer->is_op && f->dialect == NGI_DIALECT_KERAS3 && !f->source->keras2 && call->json;
}

static ng_status add_by_nodes(ngi_flat *f, const ngi_traced_call *call, ng_error *err)
{
    for (int node = call->first_node; node < call->first_node + call->n_nodes; node++) {
        int made = -1;
        NGI_TRY(ngi_save_node(f, call, node, &made, err));
        f->producer[node] = made;
    }
    return NG_OK;
}

/* The first nodes of the call are one layer; what follows is an activation that the target names, or one that is written
 * behind the layer. */
static ng_status add_as_layer(ngi_flat *f, const ngi_traced_call *call, int layer, ng_error *err)
{
    const ngi_graph *g = f->source->graph;
    int last = call->first_node + call->n_nodes - 1, made = -1;
    int *inputs = ngi_alloc((size_t)call->n_inputs, sizeof *inputs);
    if (!inputs)
        return ngi_fail_memory(err, (size_t)call->n_inputs * sizeof *inputs);
    for (int i = 0; i < call->n_inputs; i++)
        inputs[i] = f->producer[f->source->trace.inputs[call->first_input + i]];
    const char *activation = json_string_value(json_object_get(f->layers[layer].config, "activation"));
    bool split = call->n_nodes > 1 && activation && strcmp(activation, "linear") == 0 &&
                 (g->nodes[last].op == NGI_OP_ACTIVATION || g->nodes[last].op == NGI_OP_SOFTMAX);
    int end = call->n_nodes == 0 ? call->output : split ? last - 1 : last;
    ng_status status = ngi_flat_add_call(f, layer, inputs, call->n_inputs, &g->nodes[end].shape, &made, err);
    ngi_free(inputs);
    NGI_TRY(status);
    f->calls[made].json = f->layers[layer].verbatim ? call->json : NULL;
    f->producer[end] = made;
    if (split) {
        NGI_TRY(ngi_save_node(f, call, last, &made, err));
        f->producer[last] = made;
    }
    f->producer[call->output] = made;
    return NG_OK;
}

static ng_status add_traced(ngi_flat *f, const ngi_traced_call *call, ng_error *err)
{
    const ngi_klayer *source = call->layer;
    int layer = source->leaf.layer >= 0 ? f->written[source->leaf.layer] : -1;
    if (layer >= 0)
        return add_as_layer(f, call, layer, err);
    const char *class_name = source->leaf.class_name;
    json_t *config = NULL;
    bool known = true, verbatim = is_verbatim(f, call);
    if (verbatim || source->is_input)
        config = json_object();
    else
        NGI_TRY(ngi_save_layer(f, call, &class_name, &config, &known, err));
    if (!known)
        return add_by_nodes(f, call, err);
    NGI_TRY(add_source_layer(f, source, class_name, config, &layer, err));
    f->layers[layer].verbatim = verbatim ? source->json : NULL;
    return add_as_layer(f, call, layer, err);
}

ng_status ngi_flat_init(ngi_flat *f, const ngi_keras_source *source, ngi_dialect dialect, ng_error *err)
{
    const ngi_graph *g = source->graph;
    *f = (ngi_flat){.source = source, .dialect = dialect};
    f->producer = ngi_alloc((size_t)g->n_nodes, sizeof *f->producer);
    f->written = ngi_alloc((size_t)g->n_layers, sizeof *f->written);
    f->ends = ngi_alloc((size_t)g->n_inputs + (size_t)g->n_outputs, sizeof *f->ends);
    if (!f->producer || !f->written || !f->ends)
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *f->producer);
    for (int i = 0; i < g->n_nodes; i++)
        f->producer[i] = -1;
    for (int i = 0; i < g->n_layers; i++)
        f->written[i] = -1;
    for (int i = 0; i < source->trace.n_calls; i++)
        NGI_TRY(add_traced(f, &source->trace.calls[i], err));
    for (int i = 0; i < g->n_inputs; i++)
        f->ends[f->n_ins++] = f->producer[g->inputs[i]];
    for (int i = 0; i < g->n_outputs; i++)
        f->ends[f->n_ins + f->n_outs++] = f->producer[g->outputs[i]];
    return NG_OK;
}

/* ---- Order ------------------------------------------------------------------------------------- */

typedef struct order {
    ngi_flat *f;
    int *calls; /* every call after those it takes from, as a walk back from the outputs leaves them */
    int n_calls;
    int *call_depth, *layer_depth; /* calls to the output, at most; layer_depth -1: not needed */
    int *met;                      /* [layers] when the walk first came to a layer */
    int n_met;
    char *seen; /* [calls] */
    int *stack; /* calls, and which input is next: [2 * calls] */
} order;

static void meet(order *o, int call)
{
    int layer = o->f->calls[call].layer;
    o->seen[call] = 1;
    if (o->met[layer] < 0)
        o->met[layer] = o->n_met++;
}

static void walk(order *o, int start)
{
    const ngi_flat *f = o->f;
    int depth = 0;
    if (o->seen[start])
        return;
    meet(o, start);
    o->stack[0] = start;
    o->stack[1] = 0;
    while (depth >= 0) {
        int call = o->stack[2 * depth], next = o->stack[2 * depth + 1]++;
        if (next == f->calls[call].n_inputs) {
            o->calls[o->n_calls++] = call;
            depth--;
            continue;
        }
        int from = f->inputs[f->calls[call].first_input + next];
        if (o->seen[from])
            continue;
        meet(o, from);
        depth++;
        o->stack[2 * depth] = from;
        o->stack[2 * depth + 1] = 0;
    }
}

static void measure(order *o)
{
    const ngi_flat *f = o->f;
    for (int i = o->n_calls - 1; i >= 0; i--) {
        const ngi_flat_call *c = &f->calls[o->calls[i]];
        int *depth = &o->call_depth[o->calls[i]], *of_layer = &o->layer_depth[c->layer];
        *depth = *depth > *of_layer ? *depth : *of_layer;
        *of_layer = *depth;
        for (int k = 0; k < c->n_inputs; k++) {
            int from = f->inputs[c->first_input + k];
            if (o->call_depth[from] < *depth + 1)
                o->call_depth[from] = *depth + 1;
        }
    }
}

static int compare_layers(const void *a, const void *b, void *self)
{
    const order *o = self;
    int x = *(const int *)a, y = *(const int *)b;
    if (o->layer_depth[x] != o->layer_depth[y])
        return o->layer_depth[x] > o->layer_depth[y] ? -1 : 1;
    return o->met[x] < o->met[y] ? -1 : 1;
}

/* Puts the layers that were met first, in order; those that were not are released. `to` [n_layers] gets the new places. */
static ng_status place_layers(order *o, int *to, ng_error *err)
{
    ngi_flat *f = o->f;
    int *list = ngi_alloc((size_t)f->n_layers, sizeof *list), n = 0;
    ngi_flat_layer *layers = ngi_alloc((size_t)f->n_layers, sizeof *layers);
    if (!list || !layers) {
        ngi_free(list);
        ngi_free(layers);
        return ngi_fail_memory(err, (size_t)f->n_layers * sizeof *layers);
    }
    for (int i = 0; i < f->n_layers; i++)
        if (o->met[i] >= 0)
            list[n++] = i;
    qsort_r(list, (size_t)n, sizeof *list, compare_layers, o);
    for (int i = 0; i < n; i++) {
        layers[i] = f->layers[list[i]];
        to[list[i]] = i;
    }
    for (int i = 0; i < f->n_layers; i++)
        if (o->met[i] < 0)
            clear_layer(&f->layers[i]);
    memcpy(f->layers, layers, (size_t)n * sizeof *layers);
    f->n_layers = n;
    ngi_free(list);
    ngi_free(layers);
    return NG_OK;
}

/* Calls keep their order, which is one in which they can be computed. */
static void place_calls(const order *o, const int *layer_to, int *call_to)
{
    ngi_flat *f = o->f;
    int n = 0;
    for (int i = 0; i < f->n_calls; i++) {
        call_to[i] = -1;
        if (!o->seen[i])
            continue;
        ngi_flat_call c = f->calls[i];
        c.layer = layer_to[c.layer];
        for (int k = 0; k < c.n_inputs; k++) /* earlier calls: moved already */
            f->inputs[c.first_input + k] = call_to[f->inputs[c.first_input + k]];
        call_to[i] = n;
        f->calls[n++] = c;
    }
    f->n_calls = n;
    int ends = 0, ins = 0;
    for (int i = 0; i < f->n_ins + f->n_outs; i++) {
        int call = call_to[f->ends[i]];
        ins += i < f->n_ins && call >= 0;
        if (call >= 0) /* else an input of what was cut away */
            f->ends[ends++] = call;
    }
    f->n_ins = ins;
    ngi_free(f->producer); /* they count the calls of before */
    ngi_free(f->written);
    f->producer = f->written = NULL;
}

static ng_status sort_layers(ngi_flat *f, ng_error *err)
{
    size_t calls = (size_t)f->n_calls, layers = (size_t)f->n_layers;
    int *room = ngi_alloc(5 * calls + 3 * layers, sizeof *room);
    char *seen = ngi_alloc_zero(calls, 1);
    if (!room || !seen) {
        ngi_free(room);
        ngi_free(seen);
        return ngi_fail_memory(err, (5 * calls + 3 * layers) * sizeof *room);
    }
    int *layer_to = room + 4 * calls + 2 * layers, *call_to = layer_to + layers;
    order o = {.f = f,
               .calls = room,
               .call_depth = room + calls,
               .stack = room + 2 * calls,
               .layer_depth = room + 4 * calls,
               .met = room + 4 * calls + layers,
               .seen = seen};
    memset(o.call_depth, 0, calls * sizeof *o.call_depth);
    memset(o.layer_depth, 0, layers * sizeof *o.layer_depth);
    memset(o.met, -1, layers * sizeof *o.met);
    for (int i = 0; i < f->n_outs; i++)
        walk(&o, f->ends[f->n_ins + i]);
    measure(&o);
    ng_status status = place_layers(&o, layer_to, err);
    if (status == NG_OK)
        place_calls(&o, layer_to, call_to);
    ngi_free(room);
    ngi_free(seen);
    return status;
}

/* ---- Names ------------------------------------------------------------------------------------- */

static void without_slashes(char *name)
{
    for (; *name; name++)
        if (*name == '/')
            *name = '_';
}

/* `taken` maps names to how many layers wish for them, and to true once one is given. */
static ng_status give_name(ngi_flat_layer *l, json_t *taken, ng_error *err)
{
    const json_t *wishes = json_object_get(taken, l->wish);
    bool first = json_is_integer(wishes) && (json_integer_value(wishes) == 1 || !l->path);
    l->name = ngi_strdup(first ? l->wish : l->path ? l->path : l->wish);
    if (l->name)
        without_slashes(l->name);
    for (int i = 1; l->name && json_is_true(json_object_get(taken, l->name)); i++) {
        ngi_free(l->name);
        l->name = ngi_sprintf("%s_%d", l->path ? l->path : l->wish, i);
        if (l->name)
            without_slashes(l->name);
    }
    if (!l->name || json_object_set_new(taken, l->name, json_true()) != 0)
        return ngi_fail_memory(err, strlen(l->wish));
    return NG_OK;
}

/* New layers come last: those of the base keep their names. */
static ng_status name_layers(ngi_flat *f, ng_error *err)
{
    json_t *taken = json_object();
    ng_status status = taken ? NG_OK : ngi_fail_memory(err, 64);
    for (int i = 0; i < f->n_layers && status == NG_OK; i++) {
        without_slashes(f->layers[i].wish);
        json_int_t n = json_integer_value(json_object_get(taken, f->layers[i].wish));
        if (json_object_set_new(taken, f->layers[i].wish, json_integer(n + 1)) != 0)
            status = ngi_fail_memory(err, 64);
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < f->n_layers && status == NG_OK; i++)
            if ((f->layers[i].path == NULL) == (round == 1))
                status = give_name(&f->layers[i], taken, err);
    json_decref(taken);
    return status;
}

ng_status ngi_flat_finish(ngi_flat *f, ng_error *err)
{
    NGI_TRY(sort_layers(f, err));
    return name_layers(f, err);
}
