/* Data sets of images for training: which files belong to which class, split and group. Opening one decodes nothing:
 * a damaged or missing image is found when it is read. */
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
    int class_index; /* of several labels the first in the order of their bytes */
    ngi_split split;
    int *labels;   /* [n_labels] classes, ascending; NULL unless there are several */
    int n_labels;  /* 0 or at least 2 */
    char *group;   /* images of one group (patient, source) share a split; NULL: alone */
    char *mask;    /* path of the object's mask, or NULL */
    double box[4]; /* x, y, width, height in the image's pixels; width 0: none */
} ngi_data_item;

typedef struct ngi_dataset {
    char **classes; /* [n_classes], in the order of their bytes: Keras's image_dataset_from_directory */
    int n_classes;
    ngi_data_item *items; /* by split, then class, then path */
    int64_t n_items;
    bool
        given_splits; /* by folders train, val, test or the CSV; else all items are TRAIN until they are split */
    bool has_groups, has_masks, has_boxes, multi_label; /* at least one item */
    size_t class_capacity, item_capacity;               /* the scanner's own */
} ngi_dataset;

#define NGI_MAX_CLASSES 65536
#define NGI_MAX_ITEMS   ((int64_t)1 << 27)

/* For the readers: room for one more element of an array that grows by doubling. */
NG_NODISCARD ng_status ngi_data_grow(void **array, size_t *capacity, size_t count, size_t size,
                                     ng_error *err);

/* Reads `folder`/CLASS/IMAGE, or `folder`/{train,val,test}/CLASS/IMAGE if it has a folder "train" and one of the
 * others ("validation" and "valid" count as val). Class folders are searched with their subfolders; hidden entries
 * and files whose names do not end like an image's are passed over. An error when there is no image. */
NG_NODISCARD ng_status ngi_dataset_scan(const char *folder, ngi_dataset *out, ng_error *err);
/* Reads a CSV (RFC 4180) with a header of the columns `path`, `label` and, in any order, `split`, `group`, `box` and
 * `mask`. Paths are relative to the CSV's folder; several labels are separated by '|'; a box is "x y width height" in
 * pixels. An empty group, box or mask is none. Refused with its line: what is not understood, an image listed twice. */
NG_NODISCARD ng_status ngi_dataset_read_csv(const char *path, ngi_dataset *out, ng_error *err);

typedef struct ngi_data_options {
    const char
        *group_pattern; /* POSIX extended regular expression, or NULL: what it matches of a file's name (its
                                  first bracket, if it has one) is the group of an item that has none */
} ngi_data_options;

/* A folder or a CSV. Refuses given splits that share a group. `options` may be NULL. */
NG_NODISCARD ng_status ngi_dataset_open(const char *path, const ngi_data_options *options, ngi_dataset *out,
                                        ng_error *err);
void ngi_dataset_clear(ngi_dataset *d);
/* Images of a class in a split. */
int64_t ngi_dataset_count(const ngi_dataset *d, int class_index, ngi_split split);

/* Deals every class's images anew, stratified: round(n * fraction) each to val and to test, at random by `seed`; every
 * class keeps at least one image to train on (a class of one image is train's). With groups these are dealt whole, the
 * largest first, each to the split whose classes it brings nearest to their fractions. Fractions >= 0, together < 1. */
NG_NODISCARD ng_status ngi_dataset_split(ngi_dataset *d, double val, double test, uint64_t seed,
                                         ng_error *err);

#endif
