/* The objects behind the public handles. src/api joins the folders below into the public API and adds no
 * arithmetic of its own. */
#ifndef NGI_API_H
#define NGI_API_H

#include "attr/attr.h"
#include "base/cache.h"
#include "format/format.h"
#include "format/save.h"
#include "nn/preprocess.h"

struct ng_model {
    ngi_model_file file;
    char *path;
    char *cache;            /* folder; NULL: no cache */
    const ngi_graph *graph; /* file.graph */
    ngi_head head;
    ngi_preprocess preprocess;
    const char *preprocess_origin; /* static text */
    float low, high;               /* range that the first layer sees */
    float *black, *white;          /* [input channels]: a black and a white pixel at the input; one block */
    char **labels;                 /* [n_labels], from the file named in the options; else file.labels */
    int n_labels;
    char **fallback_labels; /* [head.classes]: "class 3" */
    char *inputs, *outputs; /* names in the file, "image, age" */
    int output;             /* the explained one in the file's order */
    int64_t parameters;
    int automatic_layer;
};

/* session.c: the request as a job at one of the session's layers, for work that is no method's. */
NG_NODISCARD ng_status ngi_session_job(const ng_session *s, int index, const ng_explain_opts *opts,
                                       ngi_attr_job *job, ng_error *err);
int ngi_session_batch(const ng_session *s);
const ng_model *ngi_session_model(const ng_session *s);

/* ends.c: chooses the image input and the output, and fixes the other inputs: one of each is left. */
NG_NODISCARD ng_status ngi_model_choose_ends(ng_model *m, const ng_model_opts *opts, ng_error *err);
const char *ngi_model_output_name(const ng_model *m);
/* A model of a file that was read or made; takes what `file` holds, also on failure. path is for messages. */
NG_NODISCARD ng_status ngi_model_of_file(ngi_model_file *file, const char *path, const ng_model_opts *opts,
                                         ng_model **out, ng_error *err);

/* calibrate.c: the ranges [n_nodes] of a calibration; NULL of NULL. */
const ngi_span *ngi_calibration_of(const ng_calibration *c);

/* shuffle.c: makes the layers that opts' shuffle_* name forget; the hash is a new one then. */
NG_NODISCARD ng_status ngi_shuffle(ngi_model_file *file, const ngi_head *head, const ng_model_opts *opts,
                                   ng_error *err);

#endif
