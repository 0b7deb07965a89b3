/* Tensors: datasets of float16, float32 or float64 (converted by the HDF5 library), and bfloat16,
 * which HDF5 does not know. A dataset whose numbers are not all
 * in the file is refused before anything is allocated for it. */
#include "format/h5_handle.h"

#include <stdio.h>
#include <string.h>

/* An open dataset. */
typedef struct tensor {
    hid_t set, type, space;
    ngi_shape shape;
    bool integer, bfloat16;
} tensor;

static void close_tensor(tensor *t)
{
    if (t->type >= 0)
        H5Tclose(t->type);
    if (t->space >= 0)
        H5Sclose(t->space);
    if (t->set >= 0)
        H5Oclose(t->set);
}

/* Two-byte numbers that HDF5 has no name for are bfloat16: Keras through h5py writes them as opaque bytes, in
 * .weights.h5 files with an attribute dtype; two-byte integers with that attribute are read too. */
static ng_status note_kind(ngi_h5 *h, const char *path, tensor *t, ng_error *err)
{
    H5T_class_t kind = H5Tget_class(t->type);
    size_t size = H5Tget_size(t->type);
    t->integer = kind == H5T_INTEGER;
    t->bfloat16 = kind == H5T_OPAQUE && size == 2;
    if (t->integer && size == 2) {
        ngi_names names = {0};
        bool found;
        ng_status status = ngi_h5_attribute(h, t->set, path, "dtype", 64, &names, &found, err);
        t->bfloat16 = status == NG_OK && names.count == 1 && strcmp(names.items[0], "bfloat16") == 0;
        t->integer = !t->bfloat16;
        ngi_names_clear(&names);
        NGI_TRY(status);
    }
    if (!(kind == H5T_FLOAT || t->integer || t->bfloat16) || size == 0 || size > 8)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: %s: numbers of a kind that is not read; expected float16, bfloat16, "
                        "float32 or float64",
                        h->where, path);
    return NG_OK;
}

/* All numbers stand in the file itself, in one piece. The structure check lets nothing else through; this
 * one does not depend on it. */
static ng_status check_storage(ngi_h5 *h, const char *path, const tensor *t, uint64_t bytes, ng_error *err)
{
    hid_t creation = H5Dget_create_plist(t->set);
    if (creation < 0)
        return ngi_h5_fail(h, path, "its layout cannot be read", err);
    H5D_layout_t layout = H5Pget_layout(creation);
    bool plain = (layout == H5D_CONTIGUOUS || layout == H5D_COMPACT) &&
                 H5Pget_external_count(creation) == 0 && H5Pget_nfilters(creation) == 0;
    H5Pclose(creation);
    if (!plain)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: %s: its numbers are compressed or stand elsewhere; rewrite the file: "
                        "h5repack -l CONTI -f NONE OLD NEW",
                        h->where, path);
    uint64_t stored = H5Dget_storage_size(t->set);
    if (stored < bytes || stored > h->size)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s: claims %llu bytes, the file holds %llu of them", h->where,
                        path, (unsigned long long)bytes, (unsigned long long)stored);
    return NG_OK;
}

static ng_status read_space(ngi_h5 *h, const char *path, tensor *t, ng_error *err)
{
    hsize_t dims[H5S_MAX_RANK] = {0};
    H5S_class_t kind = H5Sget_simple_extent_type(t->space);
    int rank = kind == H5S_SCALAR ? 0 : kind == H5S_SIMPLE ? H5Sget_simple_extent_ndims(t->space) : -1;
    if (rank < 0 || rank > H5S_MAX_RANK)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s: the dataset has no shape", h->where, path);
    if (rank > NGI_MAX_RANK)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: %s: %d dimensions, the limit is %d", h->where, path, rank,
                        NGI_MAX_RANK);
    if (rank > 0 && H5Sget_simple_extent_dims(t->space, dims, NULL) < 0)
        return ngi_h5_fail(h, path, "its shape cannot be read", err);
    t->shape.rank = rank;
    for (int i = 0; i < rank; i++)
        t->shape.dim[i] = dims[i] <= NGI_MAX_ELEMENTS ? (int64_t)dims[i] : NGI_MAX_ELEMENTS + 1;
    if (ngi_shape_count(&t->shape) < 0)
        return ngi_fail(err, NG_E_LIMIT, "%s: %s: the dataset claims more than %lld numbers", h->where, path,
                        (long long)NGI_MAX_ELEMENTS);
    return NG_OK;
}

static ng_status open_tensor(ngi_h5 *h, const char *path, tensor *t, ng_error *err)
{
    *t = (tensor){.set = H5I_INVALID_HID, .type = H5I_INVALID_HID, .space = H5I_INVALID_HID};
    NGI_TRY(ngi_h5_object(h, path, &t->set, err));
    if (t->set < 0)
        return ngi_fail(err, NG_E_NOT_FOUND, "%s: %s: no such dataset", h->where, path);
    if (H5Iget_type(t->set) != H5I_DATASET)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s: not a dataset", h->where, path);
    t->type = H5Dget_type(t->set);
    t->space = H5Dget_space(t->set);
    if (t->type < 0 || t->space < 0)
        return ngi_h5_fail(h, path, "the dataset cannot be read", err);
    NGI_TRY(read_space(h, path, t, err));
    NGI_TRY(note_kind(h, path, t, err));
    return check_storage(h, path, t, (uint64_t)ngi_shape_count(&t->shape) * H5Tget_size(t->type), err);
}

ng_status ngi_h5_shape(ngi_h5 *h, const char *path, ngi_shape *shape, bool *integer, ng_error *err)
{
    ngi_h5_guard guard = ngi_h5_enter();
    tensor t;
    ng_status status = open_tensor(h, path, &t, err);
    if (status == NG_OK) {
        *shape = t.shape;
        *integer = t.integer;
    }
    close_tensor(&t);
    ngi_h5_leave(guard);
    return status;
}

/* bfloat16 is the upper half of a float32. The halves stand in the second half of `data`, and are widened
 * from the front: the float of number i covers the halves 2i and 2i + 1 of the whole block, never one after
 * n + i. */
static bool read_bfloat16(const tensor *t, float *data, int64_t count)
{
    uint16_t *half = (uint16_t *)data + count;
    if (H5Dread(t->set, H5Tget_class(t->type) == H5T_OPAQUE ? t->type : H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL,
                H5P_DEFAULT, half) < 0)
        return false;
    for (int64_t i = 0; i < count; i++) {
        uint16_t stored;
        memcpy(&stored, half + i, sizeof stored);
        uint32_t bits = (uint32_t)stored << 16;
        memcpy(data + i, &bits, sizeof bits);
    }
    return true;
}

ng_status ngi_h5_read(ngi_h5 *h, const char *path, float *data, int64_t count, ng_error *err)
{
    ngi_h5_guard guard = ngi_h5_enter();
    tensor t;
    ng_status status = open_tensor(h, path, &t, err);
    if (status == NG_OK && ngi_shape_count(&t.shape) != count)
        status = ngi_fail(err, NG_E_SHAPE, "%s: %s: expected %lld numbers, found %lld", h->where, path,
                          (long long)count, (long long)ngi_shape_count(&t.shape));
    if (status == NG_OK && t.integer)
        status = ngi_fail(err, NG_E_UNSUPPORTED,
                          "%s: %s: integer weights (a quantised model?); save the model in float32", h->where,
                          path);
    if (status == NG_OK && count > 0) {
        bool done = t.bfloat16 ? read_bfloat16(&t, data, count)
                               : H5Dread(t.set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
        if (!done)
            status = ngi_h5_fail(h, path, "the numbers cannot be read", err);
    }
    close_tensor(&t);
    ngi_h5_leave(guard);
    return status;
}
