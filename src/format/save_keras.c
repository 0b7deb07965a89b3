/* Keras 3 archives: config.json, metadata.json and model.weights.h5 in the layout layers/<class>[_k]/vars/<i>
 * (keras/src/saving/saving_lib.py), and netgaze.json, which Keras passes over. Stored unpacked, as Keras stores them, and
 * without the time, so that a model has the same bytes whenever it is saved. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "format/save_target.h"

#define DOS_DATE 0x21 /* 1980-01-01, where the format's count begins */

static const char metadata[] = "{\"keras_version\": \"3.15.1\", \"date_saved\": \"1980-01-01@00:00:00\"}";

/* ---- Weights ----------------------------------------------------------------------------------- */

/* "layers/conv2d_3": classes are counted in the order of layers. */
static char *layer_group(json_t *counts, const ngi_flat_layer *l)
{
    char *snake = ngi_keras_snake_case(l->class_name), *path = NULL;
    json_int_t n = snake ? json_integer_value(json_object_get(counts, snake)) : 0;
    if (snake && json_object_set_new(counts, snake, json_integer(n + 1)) == 0)
        path = n ? ngi_sprintf("layers/%s_%d", snake, (int)n) : ngi_sprintf("layers/%s", snake);
    ngi_free(snake);
    return path;
}

static ng_status put_layer(const ngi_saving *s, const ngi_flat_layer *l, const char *group, ngi_h5_writer *w,
                           ng_error *err)
{
    for (int k = 0; k < l->n_weights; k++) {
        const ngi_weight *weight = ngi_flat_weight(l, k, s->graph);
        char *path = ngi_sprintf("%s/vars/%d", group, k);
        ng_status status = path ? ngi_h5_put_floats(w, path, &weight->shape, weight->data, err)
                                : ngi_fail_memory(err, strlen(group));
        ngi_free(path);
        NGI_TRY(status);
    }
    return NG_OK;
}

static ng_status put_weights(const ngi_saving *s, ngi_h5_writer *w, ng_error *err)
{
    json_t *counts = json_object();
    ng_status status = counts ? ngi_h5_put_group(w, "vars", err) : ngi_fail_memory(err, 64);
    if (status == NG_OK)
        status = ngi_h5_put_group(w, "layers", err);
    for (int i = 0; i < s->flat->n_layers && status == NG_OK; i++) {
        const ngi_flat_layer *l = &s->flat->layers[i];
        if (l->verbatim)
            continue; /* functions on tensors are no layers to Keras */
        char *group = layer_group(counts, l);
        status = group ? put_layer(s, l, group, w, err) : ngi_fail_memory(err, 64);
        ngi_free(group);
    }
    json_decref(counts);
    return status;
}

static ng_status make_weights(const ngi_saving *s, char **bytes, size_t *size, ng_error *err)
{
    ngi_h5_writer *w;
    NGI_TRY(ngi_h5_create(&w, err));
    ng_status status = put_weights(s, w, err);
    if (status == NG_OK)
        status = ngi_h5_finish(w, bytes, size, err);
    ngi_h5_discard(w);
    return status;
}

/* ---- The archive ------------------------------------------------------------------------------- */

static bool add_member(zip_t *zip, const char *name, const char *bytes, size_t size)
{
    zip_source_t *source = zip_source_buffer(zip, bytes, size, 0);
    if (!source)
        return false;
    zip_int64_t index = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
        return false;
    }
    return zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(zip, (zip_uint64_t)index, 0, DOS_DATE, 0) == 0;
}

static ng_status write_zip(const ngi_saving *s, const char *temporary, const char *weights, size_t size,
                           const char *notes, ng_error *err)
{
    int code = 0;
    zip_t *zip = zip_open(temporary, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (!zip) {
        zip_error_t reason;
        zip_error_init_with_code(&reason, code);
        ngi_fail(err, NG_E_IO, "%s: cannot be written: %s", s->path, zip_error_strerror(&reason));
        zip_error_fini(&reason);
        return NG_E_IO;
    }
    bool good = add_member(zip, "metadata.json", metadata, sizeof metadata - 1) &&
                add_member(zip, "config.json", s->config, s->config_size) &&
                add_member(zip, "model.weights.h5", weights, size) &&
                add_member(zip, NGI_NOTES_NAME, notes, strlen(notes)) && zip_close(zip) == 0;
    if (good)
        return NG_OK;
    ngi_fail(err, NG_E_IO, "%s: writing failed: %s", s->path, zip_strerror(zip));
    zip_discard(zip);
    return NG_E_IO;
}

ng_status ngi_save_keras(const ngi_saving *s, ng_error *err)
{
    char *weights = NULL, *notes = ngi_saved_notes(s);
    char *temporary = ngi_sprintf("%s.tmp-%ld", s->path, (long)getpid());
    size_t size = 0;
    ng_status status = notes && temporary ? make_weights(s, &weights, &size, err) : ngi_fail_memory(err, 64);
    if (status == NG_OK)
        status = write_zip(s, temporary, weights, size, notes, err);
    if (status == NG_OK)
        status = ngi_file_settle(temporary, s->path, err);
    if (status != NG_OK && temporary)
        unlink(temporary);
    ngi_free(weights);
    ngi_free(temporary);
    free(notes);
    return status;
}
