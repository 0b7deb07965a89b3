/* What the writers of formats share: the model as it is to stand in the file, and one writer a format. */
#ifndef NGI_FORMAT_SAVE_TARGET_H
#define NGI_FORMAT_SAVE_TARGET_H

#include "format/h5.h"
#include "format/notes.h"
#include "format/save.h"
#include "format/save_model.h"

typedef struct ngi_saving {
    const char *path;
    const ngi_graph *graph; /* with the weights' values */
    const ngi_flat *flat;
    const char *config; /* in the target's dialect */
    size_t config_size;
    const json_t *notes; /* labels and preprocessing */
    const char *dtype;   /* of TF.js: "float32", "float16", "uint8" */
} ngi_saving;

typedef ng_status ngi_save_function(const ngi_saving *s, ng_error *err);
ngi_save_function ngi_save_keras, ngi_save_h5, ngi_save_tfjs;

/* save_tfjs.c: the error where a folder holds something. */
NG_NODISCARD ng_status ngi_saved_before(const char *path, ng_error *err);
/* "kernel", as Keras names the k-th weight of a layer. */
const char *ngi_saved_variable(const ngi_saving *s, const ngi_flat_layer *l, int k);
/* The notes as text; free() it, NULL without memory. */
char *ngi_saved_notes(const ngi_saving *s);

#endif
