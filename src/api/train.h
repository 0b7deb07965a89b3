/* What the files of ng_train share. */
#ifndef NGI_API_TRAIN_H
#define NGI_API_TRAIN_H

#include "api/watch.h"
#include "train/fit.h"

typedef struct ngi_training {
    const ng_model *base;
    const char *path;
    ng_train_opts o; /* with the defaults that depend on others filled in */
    ng_train_result *out;
    ngi_dataset data;
    ng_model *model; /* the new one; its weights are what is trained */
    ngi_train_head head;
    ngi_loss loss;
    ngi_augment augment;
    int *weight_of; /* [n_weights of the base] in the new model; -1: left out */
    bool *trained;  /* [n_weights] or NULL */
    ng_image_opts image;
    ngi_features features;
    ngi_features frozen; /* of what the second stage does not change; rows NULL: it is computed each time */
    int frozen_node;
    ngi_fit *fit;
    ngi_watch *watch; /* NULL: nothing is watched */
    char *checkpoint, *features_path, *frozen_path;
    char key[NGI_HASH_TEXT];
    ng_train_epoch *epochs;
    bool *left_out; /* [n_items] images that could not be read at some time, each said once */
    bool stopped;   /* by the caller */
} ngi_training;

/* train_setup.c: the data, split, judged; the new model; what is trained of it. */
NG_NODISCARD ng_status ngi_training_open_data(ngi_training *t, const char *data, ng_error *err);
NG_NODISCARD ng_status ngi_training_make_model(ngi_training *t, ng_error *err);
NG_NODISCARD ng_status ngi_training_stage(const ngi_training *t, bool top, ngi_stage_opts *out,
                                          ng_error *err);
/* The images as the loader is asked for them. */
ngi_loader_options ngi_training_images(const ngi_training *t);
NG_NODISCARD ng_status ngi_training_find_key(ngi_training *t, ng_error *err);

/* train_frozen.c: what the second stage's frozen part says of each image, once, where the images are never changed. */
NG_NODISCARD ng_status ngi_training_freeze(ngi_training *t, ng_error *err);

/* train_check.c: the saved file says what training said, on some images of the split. */
NG_NODISCARD ng_status ngi_training_check(ngi_training *t, ng_error *err);

/* train_report.c: the watched images after an epoch; their strip and the report at the end. */
void ngi_training_watch_begin(ngi_training *t, int epochs_done);
void ngi_training_watch(ngi_training *t, int epoch);
void ngi_training_report(ngi_training *t, const char *data);

/* What node `node` says of every image into the rows that are not there. */
NG_NODISCARD ng_status ngi_training_compute(ngi_training *t, int node, ngi_features *rows, ng_error *err);
void ngi_training_tell(ngi_training *t, ng_train_event_kind kind, const char *format, ...) NGI_PRINTF(3, 4);
/* done of total; not 0: the caller wants to stop. */
int ngi_training_show(ngi_training *t, ng_train_event_kind kind, int64_t done, int64_t total);

#endif
