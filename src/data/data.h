/* Data sets of images for training: which files belong to which class and which split. The scan decodes nothing: a
 * damaged image is found when it is read. */
#ifndef NGI_DATA_H
#define NGI_DATA_H

#include "base/base.h"

/* X(kind, text); the text is also the name of the split's folder. */
#define NGI_SPLIT_LIST(X) \
    X(TRAIN, "train")     \
    X(VAL, "val")         \
    X(TEST, "test")

typedef enum ngi_split {
#define NGI_SPLIT_ENUM(kind, text) NGI_SPLIT_##kind,
    NGI_SPLIT_LIST(NGI_SPLIT_ENUM)
#undef NGI_SPLIT_ENUM
        NGI_SPLIT_COUNT
} ngi_split;

const char *ngi_split_name(ngi_split split);

typedef struct ngi_data_item {
    char *path;
    int class_index;
    ngi_split split;
} ngi_data_item;

typedef struct ngi_dataset {
    char **classes; /* [n_classes], in the order of their bytes: Keras's image_dataset_from_directory */
    int n_classes;
    ngi_data_item *items; /* by split, then class, then path */
    int64_t n_items;
    bool given_splits; /* the folders are train, val, test; else all items are TRAIN until they are split */
    size_t class_capacity, item_capacity; /* the scanner's own */
} ngi_dataset;

#define NGI_MAX_CLASSES 65536
#define NGI_MAX_ITEMS   ((int64_t)1 << 27)

/* Reads `folder`/CLASS/IMAGE, or `folder`/{train,val,test}/CLASS/IMAGE if it has a folder "train" and one of the
 * others ("validation" and "valid" count as val). Class folders are searched with their subfolders; hidden entries
 * and files whose names do not end like an image's are passed over. An error when there is no image. */
NG_NODISCARD ng_status ngi_dataset_scan(const char *folder, ngi_dataset *out, ng_error *err);
void ngi_dataset_clear(ngi_dataset *d);
/* Images of a class in a split. */
int64_t ngi_dataset_count(const ngi_dataset *d, int class_index, ngi_split split);

/* Deals every class's images anew, stratified: round(n * fraction) each to val and to test, at random by `seed`; every
 * class keeps at least one image to train on (a class of one image is train's). Fractions >= 0, together < 1. */
NG_NODISCARD ng_status ngi_dataset_split(ngi_dataset *d, double val, double test, uint64_t seed,
                                         ng_error *err);

#endif
