/* Keras's HDF5 files of whole models, as Keras 2 writes them and Keras 3 reads them too: attribute model_config, group
 * model_weights with a group a layer (keras/src/legacy/saving/legacy_h5_format.py). */
#include <stdlib.h>
#include <string.h>

#include "format/save_target.h"

#define WEIGHTS "model_weights"

static ng_status add_name(ngi_names *names, const char *text, ng_error *err)
{
    return text ? ngi_names_add(names, text, strlen(text), err) : ngi_fail_memory(err, 64);
}

/* "dense/kernel:0" in group model_weights/dense. */
static ng_status put_weight(const ngi_saving *s, const ngi_flat_layer *l, int k, ngi_names *names,
                            ngi_h5_writer *w, ng_error *err)
{
    const ngi_weight *weight = ngi_flat_weight(l, k, s->graph);
    char *name = ngi_sprintf("%s/%s:0", l->name, ngi_saved_variable(s, l, k));
    char *path = name ? ngi_sprintf(WEIGHTS "/%s/%s", l->name, name) : NULL;
    ng_status status = add_name(names, path ? name : NULL, err);
    if (status == NG_OK)
        status = ngi_h5_put_floats(w, path, &weight->shape, weight->data, err);
    ngi_free(name);
    ngi_free(path);
    return status;
}

static ng_status put_layer(const ngi_saving *s, const ngi_flat_layer *l, ngi_h5_writer *w, ng_error *err)
{
    ngi_names names = {0};
    char *group = ngi_sprintf(WEIGHTS "/%s", l->name);
    ng_status status = group ? ngi_h5_put_group(w, group, err) : ngi_fail_memory(err, strlen(l->name));
    for (int k = 0; k < l->n_weights && status == NG_OK; k++)
        status = put_weight(s, l, k, &names, w, err);
    if (status == NG_OK)
        status = ngi_h5_put_names(w, group, "weight_names", &names, err);
    ngi_names_clear(&names);
    ngi_free(group);
    return status;
}

static ng_status put_layers(const ngi_saving *s, ngi_h5_writer *w, ng_error *err)
{
    ngi_names names = {0};
    ng_status status = ngi_h5_put_group(w, WEIGHTS, err);
    for (int i = 0; i < s->flat->n_layers && status == NG_OK; i++) {
        status = add_name(&names, s->flat->layers[i].name, err);
        if (status == NG_OK)
            status = put_layer(s, &s->flat->layers[i], w, err);
    }
    if (status == NG_OK)
        status = ngi_h5_put_names(w, WEIGHTS, "layer_names", &names, err);
    ngi_names_clear(&names);
    return status;
}

static ng_status put_model(const ngi_saving *s, const char *notes, ngi_h5_writer *w, ng_error *err)
{
    static const char *const places[] = {"/", WEIGHTS};
    NGI_TRY(put_layers(s, w, err));
    for (size_t i = 0; i < 2; i++) {
        NGI_TRY(ngi_h5_put_text(w, places[i], "keras_version", "2.15.0", err));
        NGI_TRY(ngi_h5_put_text(w, places[i], "backend", "tensorflow", err));
    }
    NGI_TRY(ngi_h5_put_text(w, "/", "model_config", s->config, err));
    return ngi_h5_put_text(w, "/", NGI_NOTES_ATTRIBUTE, notes, err);
}

ng_status ngi_save_h5(const ngi_saving *s, ng_error *err)
{
    ngi_h5_writer *w = NULL;
    char *bytes = NULL, *notes = ngi_saved_notes(s);
    size_t size = 0;
    ng_status status = notes ? ngi_h5_create(&w, err) : ngi_fail_memory(err, 64);
    if (status == NG_OK)
        status = put_model(s, notes, w, err);
    if (status == NG_OK)
        status = ngi_h5_finish(w, &bytes, &size, err);
    ngi_h5_discard(w);
    if (status == NG_OK)
        status = ng_file_save(s->path, bytes, size, err);
    ngi_free(bytes);
    free(notes);
    return status;
}
