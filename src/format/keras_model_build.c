/* Builds models call by call: a leaf layer becomes nodes of the graph, a model inside a model is built in place on the
 * nodes that are passed to it. Called again, both use their weights again. */
#include "format/keras_model.h"

#include <string.h>

/* ---- The trace --------------------------------------------------------------------------------- */

static ng_status trace_call(ngi_keras_builder *b, const ngi_klayer *l, ngi_traced_call call, ng_error *err)
{
    ngi_trace *t = b->trace;
    NGI_TRY(ngi_kmodel_reserve((void **)&t->calls, &t->call_capacity, t->n_calls, sizeof *t->calls, err));
    call.layer = l;
    call.n_nodes = b->graph->n_nodes - call.first_node;
    call.n_inputs = t->n_inputs - call.first_input;
    t->calls[t->n_calls++] = call;
    return NG_OK;
}

static ng_status trace_inputs(ngi_keras_builder *b, const ngi_kmodel *m, const ngi_kcall *c, ng_error *err)
{
    ngi_trace *t = b->trace;
    for (int i = 0; i < c->n_arguments; i++) {
        const ngi_kargument *a = &m->arguments[c->first_argument + i];
        if (a->call < 0)
            continue;
        NGI_TRY(
            ngi_kmodel_reserve((void **)&t->inputs, &t->input_capacity, t->n_inputs, sizeof *t->inputs, err));
        t->inputs[t->n_inputs++] = m->nodes[m->calls[a->call].first_output + a->tensor];
    }
    return NG_OK;
}

/* ---- Inputs ------------------------------------------------------------------------------------ */

static const json_t *declared_shape(const json_t *config)
{
    const json_t *shape = json_object_get(config, "batch_shape");
    return json_is_array(shape) ? shape : json_object_get(config, "batch_input_shape");
}

/* The shape that a Sequential without InputLayer was built for: in its first layer, in the model, or in the first layer of a
 * model that comes first. */
static const json_t *built_shape(const ngi_kmodel *m)
{
    const ngi_klayer *first = &m->layers[0];
    const json_t *shape = declared_shape(first->leaf.config);
    if (!shape)
        shape = json_object_get(m->config, "build_input_shape");
    if (!shape && first->model)
        return first->model->layers[0].is_input ? declared_shape(first->model->layers[0].leaf.config)
                                                : built_shape(first->model);
    if (!shape)
        shape = json_object_get(json_object_get(first->json, "build_config"), "input_shape");
    return shape;
}

static ng_status check_input(const ngi_klayer *l, ng_error *err)
{
    bool sparse = false, ragged = false;
    NGI_TRY(ngi_json_bool(l->leaf.config, "sparse", l->leaf.where, &sparse, err));
    NGI_TRY(ngi_json_bool(l->leaf.config, "ragged", l->leaf.where, &ragged, err));
    if (sparse || ragged)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: a %s input; dense ones are read", l->leaf.where,
                        sparse ? "sparse" : "ragged");
    return NG_OK;
}

/* An input of the whole graph. */
static ng_status add_graph_input(ngi_keras_builder *b, const ngi_kmodel *m, ngi_klayer *l, int *out,
                                 ng_error *err)
{
    ngi_attr attr;
    ngi_shape shape;
    ngi_attr_init(&attr);
    NGI_TRY(check_input(l, err));
    const json_t *declared = l->json ? declared_shape(l->leaf.config) : built_shape(m);
    if (!declared)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: the input shape is not said; build the model before saving it (call it once, or "
                        "begin it with keras.Input)",
                        l->leaf.where);
    NGI_TRY(ngi_keras_input_shape(b, l->leaf.where, declared, &shape, err));
    NGI_TRY(ngi_graph_add_node(b->graph, l->leaf.path, NGI_OP_INPUT, &attr, l->leaf.layer, NULL, 0, NULL, out,
                               err));
    b->graph->nodes[*out].shape = shape;
    NGI_TRY(ngi_node_infer(b->graph, *out, err));
    return trace_call(
        b, l, (ngi_traced_call){.first_node = *out, .output = *out, .first_input = b->trace->n_inputs}, err);
}

/* The outer model's inputs are the graph's; those of a model inside stand for what is passed in. */
static ng_status place_inputs(ngi_keras_builder *b, ngi_kmodel *m, const int *passed, ng_error *err)
{
    if (!passed) {
        b->graph->inputs = ngi_alloc((size_t)m->n_inputs, sizeof *b->graph->inputs);
        if (!b->graph->inputs)
            return ngi_fail_memory(err, (size_t)m->n_inputs * sizeof *b->graph->inputs);
    }
    for (int i = 0; i < m->n_inputs; i++) {
        const ngi_kcall *call = &m->calls[m->inputs[i].call];
        ngi_klayer *l = &m->layers[call->layer];
        int node = passed ? passed[i] : -1;
        if (m->nodes[call->first_output] >= 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: is named twice as an input of its model", l->leaf.where);
        if (!passed) {
            NGI_TRY(add_graph_input(b, m, l, &node, err));
            b->graph->inputs[b->graph->n_inputs++] = node;
        }
        m->nodes[call->first_output] = node;
        if (l->leaf.layer >= 0 && b->graph->layers[l->leaf.layer].node < 0)
            b->graph->layers[l->leaf.layer].node = node;
    }
    return NG_OK;
}

/* ---- Leaves ------------------------------------------------------------------------------------ */

static ng_status unknown_class(const ngi_klayer *l, ng_error *err)
{
    if (l->package)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: a class of its own, registered as '%.*s>%s': what it computes is not in the "
                        "file. Replace it by "
                        "Keras's layers and save the model again",
                        l->leaf.where, l->package_length, l->package, l->leaf.class_name);
    if (strcmp(l->leaf.class_name, "TFSMLayer") == 0 || strcmp(l->leaf.class_name, "KerasLayer") == 0)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: an opaque TensorFlow graph without layers. Rebuild the model on the base "
                        "of the same name in keras.applications and fine-tune that",
                        l->leaf.where);
    return ngi_fail(err, NG_E_UNSUPPORTED,
                    "%s: this class is not read; docs/compatibility.md lists those that are. Replace it by "
                    "some of them, or cut "
                    "the model before it, and save it again",
                    l->leaf.where);
}

/* Arguments as nodes and constants; a keyword "inputs" is a position for layers. */
static ng_status gather(const ngi_kmodel *m, const ngi_kcall *c, ngi_call_arg *args,
                        ngi_call_keyword *keywords, ngi_call *call, ng_error *err)
{
    const ngi_klayer *l = &m->layers[c->layer];
    *call = (ngi_call){.args = args, .keywords = keywords};
    for (int i = 0; i < c->n_arguments; i++) {
        const ngi_kargument *a = &m->arguments[c->first_argument + i];
        ngi_call_arg arg = {-1, a->value};
        if (a->call >= 0)
            arg.node = m->nodes[m->calls[a->call].first_output + a->tensor];
        bool positional = !a->key || (!l->is_op && arg.node >= 0 && strcmp(a->key, "inputs") == 0);
        if (positional)
            args[call->n_args++] = arg;
        else if (arg.node >= 0 && !l->is_op)
            return ngi_fail(err, NG_E_UNSUPPORTED,
                            "%s: is called with a tensor as '%.60s', which is not read", l->leaf.where,
                            a->key);
        else
            keywords[call->n_keywords++] = (ngi_call_keyword){a->key, arg};
    }
    return NG_OK;
}

static bool is_quantised(const json_t *config)
{
    const char *policy = json_string_value(json_object_get(json_object_get(config, "dtype"), "class_name"));
    return (policy && strstr(policy, "Quantized")) ||
           json_is_string(json_object_get(config, "quantization_mode"));
}

static ng_status check_leaf(const ngi_klayer *l, const ngi_layer_row *row, ng_error *err)
{
    const ngi_building_layer *leaf = &l->leaf;
    if (!row || l->package)
        return unknown_class(l, err);
    if (is_quantised(leaf->config))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: its weights are quantised by Keras; save the model before quantize()",
                        leaf->where);
    if (leaf->training && row->varies && leaf->trainable)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: is called with training=True, so that its output depends on chance or on the "
                        "other images. Rebuild "
                        "the model with training=False",
                        leaf->where);
    return NG_OK;
}

static ng_status build_leaf(ngi_keras_builder *b, const ngi_kmodel *m, const ngi_kcall *c,
                            const ngi_call *call, int *out, ng_error *err)
{
    ngi_klayer *l = &m->layers[c->layer];
    ngi_building_layer *leaf = &l->leaf;
    const ngi_layer_row *row = ngi_layer_row_find(leaf->class_name, l->is_op);
    const json_t *inbound = json_object_get(l->json, "inbound_nodes");
    ngi_traced_call traced = {.json = json_array_get(inbound, (size_t)(c - m->calls - l->first_call)),
                              .number = leaf->calls,
                              .first_node = b->graph->n_nodes,
                              .first_input = b->trace->n_inputs};
    NGI_TRY(check_leaf(l, row, err));
    NGI_TRY(trace_inputs(b, m, c, err));
    NGI_TRY(row->lower(b, leaf, call, out, err));
    traced.output = *out;
    NGI_TRY(trace_call(b, l, traced, err));
    if (leaf->calls++ == 0) {
        b->graph->layers[leaf->layer].node = *out;
        l->tree->first_weight = leaf->n_weights ? leaf->weights[0] : 0;
        l->tree->n_weights = leaf->n_weights;
    }
    return NG_OK;
}

/* ---- Models inside ----------------------------------------------------------------------------- */

static ng_status build_inner(ngi_keras_builder *b, ngi_klayer *l, const ngi_call *call, int *out,
                             ng_error *err)
{
    ngi_kmodel *inner = l->model;
    if (call->n_args != inner->n_inputs)
        return ngi_fail(err, NG_E_FORMAT, "%s: a model of %d inputs, called with %d", l->leaf.where,
                        inner->n_inputs, call->n_args);
    int *inputs = ngi_alloc((size_t)call->n_args, sizeof *inputs);
    if (!inputs)
        return ngi_fail_memory(err, (size_t)call->n_args * sizeof *inputs);
    ng_status status = NG_OK;
    for (int i = 0; i < call->n_args && status == NG_OK; i++)
        if ((inputs[i] = call->args[i].node) < 0)
            status = ngi_fail(err, NG_E_UNSUPPORTED, "%s: is called with a constant", l->leaf.where);
    if (status == NG_OK)
        status = ngi_kmodel_build(b, inner, inputs, err);
    ngi_free(inputs);
    if (status != NG_OK)
        return status;
    for (int i = 0; i < inner->n_outputs; i++)
        out[i] = inner->nodes[inner->calls[inner->outputs[i].call].first_output + inner->outputs[i].tensor];
    ngi_layer *layer = &b->graph->layers[l->leaf.layer];
    layer->node = layer->node < 0 ? out[0] : layer->node;
    return NG_OK;
}

static ng_status build_call(ngi_keras_builder *b, ngi_kmodel *m, const ngi_kcall *c, ngi_call_arg *args,
                            ngi_call_keyword *keywords, ng_error *err)
{
    ngi_klayer *l = &m->layers[c->layer];
    int *out = &m->nodes[c->first_output];
    ngi_call call;
    if (++b->n_calls > NGI_MAX_NODES)
        return ngi_fail(err, NG_E_LIMIT,
                        "layers are called more than %d times, those of repeated models counted again",
                        NGI_MAX_NODES);
    if (l->is_input) {
        if (*out < 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: is not among the inputs of its model", l->leaf.where);
        return NG_OK;
    }
    NGI_TRY(gather(m, c, args, keywords, &call, err));
    bool outer = b->training; /* Keras 3 overrides what a call says when a model predicts, Keras 2 does not */
    b->training = l->leaf.training = b->keras2 && c->training >= 0 ? c->training == 1 : outer;
    ng_status status = l->model ? build_inner(b, l, &call, out, err) : build_leaf(b, m, c, &call, out, err);
    b->training = outer;
    return status;
}

ng_status ngi_kmodel_build(ngi_keras_builder *b, ngi_kmodel *m, const int *inputs, ng_error *err)
{
    for (int i = 0; i < m->n_nodes; i++)
        m->nodes[i] = -1;
    NGI_TRY(place_inputs(b, m, inputs, err));
    ngi_call_arg *args = ngi_alloc(NGI_MAX_INPUTS, sizeof *args);
    ngi_call_keyword *keywords = ngi_alloc(NGI_MAX_INPUTS, sizeof *keywords);
    ng_status status = args && keywords ? NG_OK : ngi_fail_memory(err, NGI_MAX_INPUTS * sizeof *keywords);
    for (int i = 0; i < m->n_calls && status == NG_OK; i++)
        status = build_call(b, m, &m->calls[m->order[i]], args, keywords, err);
    ngi_free(args);
    ngi_free(keywords);
    return status;
}
