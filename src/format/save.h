/* Writing models, and making new ones of old: a base cut at a layer with a new head on it. A new model is a Keras
 * configuration and named weights like one that was read, so that what is saved, what is trained and what is explained are
 * the same graph. */
#ifndef NGI_FORMAT_SAVE_H
#define NGI_FORMAT_SAVE_H

#include "format/format.h"

/* pooling -> (Dropout -> Dense(hidden, relu))* -> Dropout -> Dense(classes, activation). */
typedef struct ngi_new_head {
    const char *
        pooling; /* "avg" | "max" (global; passed over where the layer's output is [c] already) | "flatten" */
    const int *hidden; /* [n_hidden] units */
    int n_hidden;
    double dropout;         /* before every Dense; 0: no layer */
    int classes;            /* units of the last Dense */
    const char *activation; /* "softmax" | "sigmoid" | "linear" */
} ngi_new_head;

/* Makes `out` of the base up to the output of graph layer `layer` (behind it everything is left out) and a head whose
 * weights are zeros. `config` is Keras's functional model; weights are copies. Layers of the base keep their names, those of
 * the head are called "head_pool", "head_dense_1", ..., "head_predictions", with a number where a name is taken.
 * weight_of [the base's weights]: where each is in the new graph; -1: left out. May be NULL. */
NG_NODISCARD ng_status ngi_model_compose(const ngi_model_file *base, int layer, const ngi_new_head *head,
                                         int *weight_of, ngi_model_file *out, ng_error *err);

typedef struct ngi_save_opts {
    const char
        *format; /* "keras" | "h5" | "tfjs"; NULL: by the path's ending (.keras, .h5, else a TF.js folder) */
    const char *dtype;      /* TF.js: "float32" | "float16" | "uint8"; NULL: float32 */
    const char *preprocess; /* travels inside; NULL: not said */
    char *const *labels;    /* [n_labels]; NULL: none */
    int n_labels;
} ngi_save_opts;

/* Writes a model that ngi_model_compose made or a reader read, atomically: temporary name, then rename. */
NG_NODISCARD ng_status ngi_model_save(const ngi_model_file *file, const char *path, const ngi_save_opts *opts,
                                      ng_error *err);

/* Whether ngi_model_save could write it, as far as that is known without writing: the format's layers, labels, the place. For
 * who has a long run before that. */
NG_NODISCARD ng_status ngi_model_check_save(const ngi_model_file *file, const char *path,
                                            const ngi_save_opts *opts, ng_error *err);

#endif
