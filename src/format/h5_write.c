/* HDF5 files made in memory, in the oldest form of the format that the library writes (as h5py does), without times. */
#include "format/h5_handle.h"

#include <stdio.h>
#include <string.h>

#define GROWTH     ((size_t)4 << 20) /* bytes by which the image in memory grows */
#define LIST_BYTES 64512             /* keras.src.legacy.saving.legacy_h5_format.HDF5_OBJECT_HEADER_LIMIT */

struct ngi_h5_writer {
    hid_t file, links, timeless; /* links: makes groups on the way; timeless: creation of data sets */
};

static ng_status failed(const char *what, const char *path, ng_error *err)
{
    return ngi_fail(err, NG_E_MEMORY, "the HDF5 library could not write %s '%.200s'", what, path);
}

ng_status ngi_h5_create(ngi_h5_writer **out, ng_error *err)
{
    *out = NULL;
    ngi_h5_writer *w = ngi_alloc(1, sizeof *w);
    if (!w)
        return ngi_fail_memory(err, sizeof *w);
    char name[40]; /* not written; open files of one name are one file to the library */
    snprintf(name, sizeof name, "netgaze-%p", (void *)w);
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    bool set = access >= 0 && H5Pset_fapl_core(access, GROWTH, false) >= 0;
    w->file = set ? H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access) : H5I_INVALID_HID;
    w->links = H5Pcreate(H5P_LINK_CREATE);
    w->timeless = H5Pcreate(H5P_DATASET_CREATE);
    bool good = w->file >= 0 && w->links >= 0 && w->timeless >= 0 &&
                H5Pset_create_intermediate_group(w->links, 1) >= 0 &&
                H5Pset_obj_track_times(w->timeless, false) >= 0;
    if (access >= 0)
        H5Pclose(access);
    ngi_h5_leave(guard);
    if (!good) {
        ngi_h5_discard(w);
        return failed("a file", "", err);
    }
    *out = w;
    return NG_OK;
}

void ngi_h5_discard(ngi_h5_writer *w)
{
    if (!w)
        return;
    ngi_h5_guard guard = ngi_h5_enter();
    if (w->links >= 0)
        H5Pclose(w->links);
    if (w->timeless >= 0)
        H5Pclose(w->timeless);
    if (w->file >= 0)
        H5Fclose(w->file);
    ngi_h5_leave(guard);
    ngi_free(w);
}

ng_status ngi_h5_finish(ngi_h5_writer *w, char **bytes, size_t *size, ng_error *err)
{
    *bytes = NULL;
    *size = 0;
    ngi_h5_guard guard = ngi_h5_enter();
    ssize_t n = H5Fflush(w->file, H5F_SCOPE_GLOBAL) >= 0 ? H5Fget_file_image(w->file, NULL, 0) : -1;
    char *image = n > 0 ? ngi_alloc((size_t)n, 1) : NULL;
    bool got = image && H5Fget_file_image(w->file, image, (size_t)n) == n;
    ngi_h5_leave(guard);
    if (!got) {
        ngi_free(image);
        return n > 0 && !image ? ngi_fail_memory(err, (size_t)n) : failed("a file", "", err);
    }
    *bytes = image;
    *size = (size_t)n;
    return NG_OK;
}

/* ---- Groups and numbers ------------------------------------------------------------------------ */

ng_status ngi_h5_put_group(ngi_h5_writer *w, const char *path, ng_error *err)
{
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t group = H5Gcreate(w->file, path, w->links, H5P_DEFAULT, H5P_DEFAULT);
    if (group >= 0)
        H5Gclose(group);
    ngi_h5_leave(guard);
    return group >= 0 ? NG_OK : failed("group", path, err);
}

ng_status ngi_h5_put_floats(ngi_h5_writer *w, const char *path, const ngi_shape *shape, const float *data,
                            ng_error *err)
{
    hsize_t dims[NGI_MAX_RANK];
    for (int i = 0; i < shape->rank; i++)
        dims[i] = (hsize_t)shape->dim[i];
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t space = shape->rank ? H5Screate_simple(shape->rank, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t set = space >= 0
                    ? H5Dcreate(w->file, path, H5T_IEEE_F32LE, space, w->links, w->timeless, H5P_DEFAULT)
                    : H5I_INVALID_HID;
    bool good = set >= 0 && H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    if (set >= 0)
        H5Dclose(set);
    if (space >= 0)
        H5Sclose(space);
    ngi_h5_leave(guard);
    return good ? NG_OK : failed("weight", path, err);
}

/* ---- Attributes -------------------------------------------------------------------------------- */

/* Inside the guard. Takes over type and space. */
static bool put_attribute(ngi_h5_writer *w, const char *path, const char *name, hid_t type, hid_t space,
                          const void *data)
{
    hid_t object = H5Oopen(w->file, path, H5P_DEFAULT);
    hid_t attribute = object >= 0 && type >= 0 && space >= 0
                          ? H5Acreate(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT)
                          : H5I_INVALID_HID;
    bool good = attribute >= 0 && (!data || H5Awrite(attribute, type, data) >= 0);
    if (attribute >= 0)
        H5Aclose(attribute);
    if (object >= 0)
        H5Oclose(object);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return good;
}

ng_status ngi_h5_put_text(ngi_h5_writer *w, const char *path, const char *attribute, const char *text,
                          ng_error *err)
{
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0) {
        H5Tset_size(type, H5T_VARIABLE); /* kept beside the object: no limit of 64 KB */
        H5Tset_cset(type, H5T_CSET_UTF8);
    }
    bool good = put_attribute(w, path, attribute, type, H5Screate(H5S_SCALAR), &text);
    ngi_h5_leave(guard);
    return good ? NG_OK : failed("attribute", attribute, err);
}

/* One piece of a list: texts of one size, filled with zeros. */
static ng_status put_piece(ngi_h5_writer *w, const char *path, const char *attribute, char *const *items,
                           size_t n, size_t longest, ng_error *err)
{
    char *block = ngi_alloc_zero(n + 1, longest);
    if (!block)
        return ngi_fail_memory(err, n * longest);
    for (size_t i = 0; i < n; i++)
        memcpy(block + i * longest, items[i], strlen(items[i]));
    hsize_t count = n;
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0) {
        H5Tset_size(type, longest);
        H5Tset_strpad(type, H5T_STR_NULLPAD);
    }
    bool good =
        put_attribute(w, path, attribute, type, H5Screate_simple(1, &count, NULL), n > 0 ? block : NULL);
    ngi_h5_leave(guard);
    ngi_free(block);
    return good ? NG_OK : failed("attribute", attribute, err);
}

ng_status ngi_h5_put_names(ngi_h5_writer *w, const char *path, const char *attribute, const ngi_names *names,
                           ng_error *err)
{
    size_t longest = 1;
    for (size_t i = 0; i < names->count; i++)
        longest = strlen(names->items[i]) > longest ? strlen(names->items[i]) : longest;
    size_t most = LIST_BYTES / longest;
    if (most == 0)
        return ngi_fail(err, NG_E_LIMIT, "a name of %zu bytes is too long for an HDF5 file", longest);
    if (names->count <= most)
        return put_piece(w, path, attribute, names->items, names->count, longest, err);
    for (size_t first = 0, piece = 0; first < names->count; first += most, piece++) {
        char *name = ngi_sprintf("%s%zu", attribute, piece);
        size_t n = names->count - first < most ? names->count - first : most;
        ng_status status = name ? put_piece(w, path, name, names->items + first, n, longest, err)
                                : ngi_fail_memory(err, strlen(attribute));
        ngi_free(name);
        NGI_TRY(status);
    }
    return NG_OK;
}
