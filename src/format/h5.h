/* HDF5 files as netgaze needs them: look up objects, read text attributes and float tensors. h5_file.c,
 * h5_attribute.c, h5_tensor.c and h5_write.c are the only users of the HDF5 library (through h5_handle.h); what is here
 * is free of its types.
 *
 * Above it the three layouts in which Keras keeps weights: h5_legacy.c (by layer group with layer_names and
 * weight_names attributes), h5_variables.c (layers/<class>/vars/<i>), and h5_weights.c that tells them
 * apart. */
#ifndef NGI_FORMAT_H5_H
#define NGI_FORMAT_H5_H

#include "format/keras_config.h"

typedef struct ngi_h5 ngi_h5;

typedef enum ngi_h5_kind {
    NGI_H5_NONE,
    NGI_H5_GROUP,
    NGI_H5_DATASET,
} ngi_h5_kind;

/* Names read from a file; owned. */
typedef struct ngi_names {
    char **items;
    size_t count;
} ngi_names;

void ngi_names_clear(ngi_names *names);
/* Takes a copy of text [size]. */
NG_NODISCARD ng_status ngi_names_add(ngi_names *names, const char *text, size_t size, ng_error *err);

/* Opens a file for reading. Its structure is checked before the HDF5 library sees it. */
NG_NODISCARD ng_status ngi_h5_open(const char *path, ngi_h5 **out, ng_error *err);
/* The same on bytes in memory, which stay the caller's and must outlive the handle; `where` is for errors. */
NG_NODISCARD ng_status ngi_h5_open_image(const char *where, const void *bytes, size_t size, ngi_h5 **out,
                                         ng_error *err);
void ngi_h5_close(ngi_h5 *h);
const char *ngi_h5_where(const ngi_h5 *h);
size_t ngi_h5_size(const ngi_h5 *h); /* bytes of the file */

/* What stands at a path ("" and "/" are the root). Soft and external links are refused. */
NG_NODISCARD ng_status ngi_h5_find(ngi_h5 *h, const char *path, ngi_h5_kind *kind, ng_error *err);
/* Names of a group's members, in name order. */
NG_NODISCARD ng_status ngi_h5_members(ngi_h5 *h, const char *path, ngi_names *out, ng_error *err);
/* A text attribute as a new NUL-terminated string; *text is NULL where there is none. */
NG_NODISCARD ng_status ngi_h5_text(ngi_h5 *h, const char *path, const char *attribute, char **text,
                                   size_t *size, ng_error *err);
/* A list of texts; where it is missing, its pieces attribute0, attribute1, ... (Keras splits lists of more
 * than 64 KB). *found is false where there are neither. */
NG_NODISCARD ng_status ngi_h5_names(ngi_h5 *h, const char *path, const char *attribute, ngi_names *out,
                                    bool *found, ng_error *err);
/* Shape of a dataset; *integer tells whether it holds integers (which are no weights of a layer run here). */
NG_NODISCARD ng_status ngi_h5_shape(ngi_h5 *h, const char *path, ngi_shape *shape, bool *integer,
                                    ng_error *err);
/* Reads all `count` numbers of a dataset of float16, float32, float64 or bfloat16. */
NG_NODISCARD ng_status ngi_h5_read(ngi_h5 *h, const char *path, float *data, int64_t count, ng_error *err);

/* ---- Writing (h5_write.c) ------------------------------------------------------------------------ */

/* A file being made in memory: the same calls give the same bytes. Groups on the way to a path are made. */
typedef struct ngi_h5_writer ngi_h5_writer;

NG_NODISCARD ng_status ngi_h5_create(ngi_h5_writer **out, ng_error *err);
NG_NODISCARD ng_status ngi_h5_put_group(ngi_h5_writer *w, const char *path, ng_error *err);
NG_NODISCARD ng_status ngi_h5_put_floats(ngi_h5_writer *w, const char *path, const ngi_shape *shape,
                                         const float *data, ng_error *err);
/* Attributes of a group that is there. A list of more than 64 KB is split as Keras splits it. */
NG_NODISCARD ng_status ngi_h5_put_text(ngi_h5_writer *w, const char *path, const char *attribute,
                                       const char *text, ng_error *err);
NG_NODISCARD ng_status ngi_h5_put_names(ngi_h5_writer *w, const char *path, const char *attribute,
                                        const ngi_names *names, ng_error *err);
/* The file's bytes; ngi_free them. */
NG_NODISCARD ng_status ngi_h5_finish(ngi_h5_writer *w, char **bytes, size_t *size, ng_error *err);
void ngi_h5_discard(ngi_h5_writer *w); /* also after finish */

/* ---- Structure check (h5_check.c) -------------------------------------------------------------- */

/* Reads `size` bytes at `offset`; false past the end or on a read error. */
typedef struct ngi_h5_bytes {
    bool (*read)(void *self, uint64_t offset, void *bytes, size_t size);
    void *self;
    uint64_t size; /* of the file */
} ngi_h5_bytes;

NG_NODISCARD ng_status ngi_h5_check(const char *where, const ngi_h5_bytes *file, ng_error *err);

/* ---- Weights ----------------------------------------------------------------------------------- */

/* Fills every weight of the graph from an open file, whatever its layout: whole model, weight file,
 * `.weights.h5`. */
NG_NODISCARD ng_status ngi_h5_bind(ngi_h5 *h, ngi_graph *g, const ngi_keras_layer *root, ng_error *err);
/* The layouts. `group` holds the layer groups: "/model_weights" or "/". */
NG_NODISCARD ng_status ngi_h5_bind_legacy(ngi_h5 *h, const char *group, ngi_graph *g,
                                          const ngi_keras_layer *root, ng_error *err);
NG_NODISCARD ng_status ngi_h5_bind_variables(ngi_h5 *h, ngi_graph *g, const ngi_keras_layer *root,
                                             ng_error *err);
/* keras.src.utils.naming.to_snake_case: a new string, NULL without memory. */
char *ngi_keras_snake_case(const char *name);
/* Reads dataset `path` into a graph weight. */
NG_NODISCARD ng_status ngi_h5_bind_one(ngi_h5 *h, ngi_graph *g, int weight, const char *path, ng_error *err);
/* Output width of the dense layer that ends the file's network: of InceptionV3's "predictions"; 0: there is
 * none. */
NG_NODISCARD ng_status ngi_h5_classes(ngi_h5 *h, int64_t *classes, ng_error *err);
/* The same from a file: HDF5, or a .keras archive of which only the weights are taken. */
NG_NODISCARD ng_status ngi_weights_bind(const char *path, ngi_graph *g, const ngi_keras_layer *root,
                                        ng_error *err);
/* Numbers that a weight file could hold at most, from its size; 0 where it cannot be read. */
int64_t ngi_weights_capacity(const char *path);

/* ---- Archives (keras_archive.c) ---------------------------------------------------------------- */

bool ngi_is_zip(const char *path);
/* The model.weights.h5 of a .keras archive; ngi_free the block. */
NG_NODISCARD ng_status ngi_archive_weights(const char *path, char **bytes, size_t *size, ng_error *err);

/* ---- Architectures (architecture_inception_v3.c) ----------------------------------------------- */

/* The configuration text of keras.applications.InceptionV3 in a fresh session, layers in Keras's order.
 * Without classes it ends at mixed10 (include_top=False). */
NG_NODISCARD ng_status ngi_inception_v3_config(int classes, int height, int width, ngi_buffer *out,
                                               ng_error *err);

#endif
