/* Model files. Each reader yields a graph with weights and a few facts about the file; the dispatcher
 * picks the reader by content, not by name, and holds every reader to the limits here. */
#ifndef NGI_FORMAT_H
#define NGI_FORMAT_H

#include "nn/graph.h"

/* Safety limits for files from strangers. */
#define NGI_MAX_CONFIG_BYTES ((size_t)64 << 20) /* model configuration text */
#define NGI_MAX_JSON_DEPTH   200
#define NGI_MAX_MODEL_BYTES  ((size_t)8 << 30) /* all weights of a model */
#define NGI_MAX_NESTING      16                /* models inside models */

typedef struct ngi_model_file {
    ngi_graph *graph;   /* inferred shapes, weights filled */
    const char *format; /* static: "keras" | "h5" | "tfjs" | "architecture" */
    char *producer;     /* "Keras 2.2.4", or "" */
    char *architecture; /* base architecture recognised by name ("inception_v3"), or "" */
    char *preprocess;   /* from netgaze.json beside the file or inside it, or NULL */
    char **labels;      /* likewise */
    int n_labels;
    char *notes;  /* labels and preprocessing as they stand inside the file (notes.h), or NULL */
    char *config; /* the configuration that the graph was built from; NULL: there was none */
    size_t config_size;
    char hash[NGI_HASH_TEXT]; /* ngi_hash over configuration text and weight values */
} ngi_model_file;

typedef struct ngi_load_opts {
    const char *weights;           /* separate weight file, or NULL */
    int input_height, input_width; /* instead of the model's own; 0: unset */
    int64_t max_values;            /* a reader's to set: numbers that the weight files can hold, so that a
                                      configuration cannot ask for more; 0: unknown */
    const char *cache;             /* folder where models are kept as read; NULL: none */
    struct ngi_sources *sources;   /* gets the files that readers look at; NULL: not wanted */
    bool values_later;             /* the weights get no memory: their values come from the cache */
} ngi_load_opts;

NG_NODISCARD ng_status ngi_model_file_load(const char *path, const ngi_load_opts *opts, ngi_model_file *out,
                                           ng_error *err);
void ngi_model_file_clear(ngi_model_file *f);

/* Reads labels: one a line, or a JSON array of strings, or a JSON object from index to label (or to
 * [id, label] as ImageNet's class index has it). */
NG_NODISCARD ng_status ngi_labels_load(const char *path, char ***labels, int *count, ng_error *err);
void ngi_labels_free(char **labels, int count);

/* What readers share. A file is noted before it is looked at. */
void ngi_source_note(const ngi_load_opts *opts, const char *path);
/* Keeps the text that ngi_keras_build was given. */
NG_NODISCARD ng_status ngi_model_keep_config(ngi_model_file *f, const char *config, size_t size,
                                             ng_error *err);
/* The static name of a format; NULL if there is none of this name. */
const char *ngi_format_name(const char *name);
/* The hash is over the configuration text and all weights' values. */
NG_NODISCARD ng_status ngi_model_hash(const char *config, size_t size, const ngi_graph *g,
                                      char hex[NGI_HASH_TEXT], ng_error *err);
/* The base architecture that a graph was made from ("inception_v3"), by the names of its models and layers; "" when it
 * is none that is known. Static. */
const char *ngi_architecture_of(const ngi_graph *g);
/* The first `size` bytes of a regular file, as many as there are; false if there is none. */
bool ngi_file_peek(const char *path, char *bytes, size_t size);

/* One row per format. */
typedef struct ngi_format {
    const char *name;
    /* Whether this path looks like the format (magic bytes, or a folder's content). */
    bool (*matches)(const char *path);
    ng_status (*load)(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err);
} ngi_format;

extern const ngi_format ngi_format_tfjs, ngi_format_h5, ngi_format_keras, ngi_format_architecture;

#endif
