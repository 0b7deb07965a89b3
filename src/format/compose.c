/* New models of old: a base cut at a layer, with a new head. The base is laid flat, so that its layers can be named without
 * the models they were in. */
#include "format/save.h"
#include "format/save_model.h"

#include <string.h>

/* ---- The head ---------------------------------------------------------------------------------- */

typedef struct growing {
    ngi_flat *f;
    int end; /* the call that the next layer takes */
} growing;

static ng_status grow(growing *g, const char *name, const char *class_name, json_t *config, ngi_shape shape,
                      ng_error *err)
{
    int layer = -1;
    NGI_TRY(ngi_flat_add_layer(g->f, name, NULL, class_name, config, &layer, err));
    return ngi_flat_add_call(g->f, layer, &g->end, 1, &shape, &g->end, err);
}

static ng_status grow_pooling(growing *g, const char *pooling, ng_error *err)
{
    const ngi_shape s = g->f->calls[g->end].shape;
    if (strcmp(pooling, "flatten") == 0)
        return s.rank == 1 ? NG_OK
                           : grow(g, "head_flatten", "Flatten", json_object(),
                                  ngi_shape_of(1, ngi_shape_count(&s)), err);
    if (strcmp(pooling, "avg") != 0 && strcmp(pooling, "max") != 0)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "the head's pooling '%.40s' is not known; avg, max and flatten are", pooling);
    if (s.rank == 1)
        return NG_OK;
    char text[NGI_SHAPE_TEXT];
    if (s.rank != 3)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "the layer's output has the shape %s, which is not pooled; take a layer with [h,w,c] or "
            "[c], or the pooling flatten",
            ngi_shape_text(&s, text));
    return grow(g, "head_pool", *pooling == 'a' ? "GlobalAveragePooling2D" : "GlobalMaxPooling2D",
                json_object(), ngi_shape_of(1, s.dim[2]), err);
}

static ng_status grow_dense(growing *g, const ngi_new_head *head, const char *name, int units,
                            const char *activation, ng_error *err)
{
    if (units < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "the head's layer '%s' would have %d units", name, units);
    if (head->dropout > 0) {
        char *dropout = ngi_sprintf("%s_dropout", name);
        if (!dropout)
            return ngi_fail_memory(err, strlen(name));
        ng_status status = grow(g, dropout, "Dropout", json_pack("{s:f}", "rate", head->dropout),
                                g->f->calls[g->end].shape, err);
        ngi_free(dropout);
        NGI_TRY(status);
    }
    return grow(g, name, "Dense", json_pack("{s:i, s:s}", "units", units, "activation", activation),
                ngi_shape_of(1, (int64_t)units), err);
}

static ng_status grow_head(growing *g, const ngi_new_head *head, ng_error *err)
{
    static const char *const activations[] = {"softmax", "sigmoid", "linear"};
    bool known = false;
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        known = known || strcmp(head->activation, activations[i]) == 0;
    if (!known)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "the head's activation '%.40s' is not known; softmax, sigmoid and linear are",
                        head->activation);
    if (!(head->dropout >= 0 && head->dropout < 1))
        return ngi_fail(err, NG_E_ARGUMENT, "the head's dropout is %g, expected 0 to 1, without 1",
                        head->dropout);
    NGI_TRY(grow_pooling(g, head->pooling, err));
    for (int i = 0; i < head->n_hidden; i++) {
        char name[32];
        snprintf(name, sizeof name, "head_dense_%d", i + 1);
        NGI_TRY(grow_dense(g, head, name, head->hidden[i], "relu", err));
    }
    return grow_dense(g, head, "head_predictions", head->classes, head->activation, err);
}

/* ---- Weights ----------------------------------------------------------------------------------- */

/* The layers of the flat model are those of the new one, in the same order. weight_of: as ngi_model_compose. */
static ng_status copy_weights(const ngi_flat *f, const ngi_graph *from, const ngi_keras_layer *tree,
                              ngi_graph *to, int *weight_of, ng_error *err)
{
    if (tree->n_children != f->n_layers)
        return ngi_fail(err, NG_E_INTERNAL, "a new model of %d layers is read as %d", f->n_layers,
                        tree->n_children);
    for (int i = 0; i < f->n_layers; i++) {
        const ngi_flat_layer *l = &f->layers[i];
        const ngi_keras_layer *made = &tree->children[i];
        if (l->path && l->n_weights != made->n_weights)
            return ngi_fail(err, NG_E_INTERNAL, "layer '%s' has %d weights, %d in the new model", l->name,
                            l->n_weights, made->n_weights);
        for (int k = 0; k < l->n_weights; k++) {
            const ngi_weight *x = ngi_flat_weight(l, k, from);
            ngi_weight *y = &to->weights[made->first_weight + k];
            if (!ngi_shape_equal(&x->shape, &y->shape))
                return ngi_fail(err, NG_E_INTERNAL, "weight '%s' has another shape in the new model",
                                y->name);
            memcpy(y->data, x->data, (size_t)ngi_shape_count(&x->shape) * sizeof(float));
            if (weight_of && x != &l->own)
                weight_of[l->weights[k]] = made->first_weight + k;
        }
    }
    return NG_OK;
}

/* ---- The whole --------------------------------------------------------------------------------- */

ng_status ngi_file_open(const ngi_model_file *file, ngi_keras_source *out, ng_error *err)
{
    *out = (ngi_keras_source){0};
    const ngi_graph *g = file->graph;
    ngi_load_opts opts = {.values_later = true};
    if (!file->config)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "the model has no Keras configuration, from which it could be written");
    for (int i = 0; i < g->n_inputs; i++) {
        const ngi_shape *input = &g->nodes[g->inputs[i]].shape;
        if (input->rank != 3)
            continue;
        opts.input_height = (int)input->dim[0]; /* where the configuration leaves it open */
        opts.input_width = (int)input->dim[1];
        break;
    }
    return ngi_keras_open("model", file->config, file->config_size, &opts, out, err);
}

ng_status ngi_file_source(const ngi_model_file *file, ngi_keras_source *out, ng_error *err)
{
    const ngi_graph *g = file->graph;
    NGI_TRY(ngi_file_open(file, out, err));
    if (out->graph->n_nodes != g->n_nodes || out->graph->n_weights != g->n_weights ||
        out->graph->n_layers != g->n_layers)
        return ngi_fail(err, NG_E_INTERNAL,
                        "the model's configuration is not the one that its graph was made of");
    for (int i = 0; i < g->n_weights; i++) /* lent: close does not free them */
        if (!out->graph->weights[i].data) {
            out->graph->weights[i].data = g->weights[i].data;
            out->graph->weights[i].borrowed = true;
        }
    return NG_OK;
}

static ng_status build(const ngi_flat *f, const ngi_graph *base, int *weight_of, ngi_model_file *out,
                       ng_error *err)
{
    char *text;
    size_t size;
    ngi_keras_layer *tree = NULL;
    NGI_TRY(ngi_flat_print(f, false, &text, &size, err));
    ng_status status = ngi_keras_build("new model", text, size, NULL, &out->graph, &tree, err);
    if (status == NG_OK)
        status = ngi_model_keep_config(out, text, size, err);
    if (status == NG_OK)
        status = copy_weights(f, base, tree, out->graph, weight_of, err);
    if (status == NG_OK)
        status = ngi_model_hash(text, size, out->graph, out->hash, err);
    ngi_keras_layer_free(tree);
    ngi_free(text);
    return status;
}

static ng_status describe(const ngi_model_file *base, ngi_model_file *out, ng_error *err)
{
    out->format = ngi_format_name("keras");
    out->producer = ngi_strdup("netgaze");
    out->architecture = ngi_strdup(base->architecture ? base->architecture : "");
    out->preprocess = base->preprocess ? ngi_strdup(base->preprocess) : NULL;
    if (!out->producer || !out->architecture || (base->preprocess && !out->preprocess))
        return ngi_fail_memory(err, 64);
    return NG_OK;
}

ng_status ngi_model_compose(const ngi_model_file *base, int layer, const ngi_new_head *head, int *weight_of,
                            ngi_model_file *out, ng_error *err)
{
    *out = (ngi_model_file){0};
    for (int i = 0; weight_of && i < base->graph->n_weights; i++)
        weight_of[i] = -1;
    ngi_keras_source source;
    ngi_flat flat = {0};
    if (layer < 0 || layer >= base->graph->n_layers || base->graph->layers[layer].node < 0)
        return ngi_fail(err, NG_E_ARGUMENT, "the model has no layer %d to cut it at", layer);
    ng_status status = ngi_file_source(base, &source, err);
    if (status == NG_OK)
        status = ngi_flat_init(&flat, &source, NGI_DIALECT_KERAS3, err);
    if (status == NG_OK) {
        growing g = {&flat, flat.producer[base->graph->layers[layer].node]};
        status = grow_head(&g, head, err);
        flat.ends[flat.n_ins] = g.end;
        flat.n_outs = 1;
    }
    if (status == NG_OK)
        status = ngi_flat_finish(&flat, err);
    if (status == NG_OK)
        status = build(&flat, base->graph, weight_of, out, err);
    if (status == NG_OK)
        status = describe(base, out, err);
    ngi_flat_clear(&flat);
    ngi_keras_close(&source);
    if (status != NG_OK)
        ngi_model_file_clear(out);
    return status;
}
