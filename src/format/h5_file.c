/* Opening HDF5 files and images, and finding objects in them. Object paths are walked link by link, so that
 * soft and external links (which could lead to other files) are never followed. */
#include "format/h5_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

ngi_h5_guard ngi_h5_enter(void)
{
    pthread_mutex_lock(&library);
    ngi_h5_guard guard = {0};
    H5Eget_auto2(H5E_DEFAULT, &guard.function, &guard.data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return guard;
}

void ngi_h5_leave(ngi_h5_guard guard)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, guard.function, guard.data);
    pthread_mutex_unlock(&library);
}

static herr_t take_reason(unsigned n, const H5E_error2_t *entry, void *out)
{
    if (n == 0 && entry->desc)
        snprintf(out, 128, "%s", entry->desc);
    return 0;
}

ng_status ngi_h5_fail(const ngi_h5 *h, const char *path, const char *what, ng_error *err)
{
    char reason[128] = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, reason);
    return ngi_fail(err, NG_E_FORMAT, "%s: %s%s%s (HDF5: %s)", h->where, path, *path ? ": " : "", what,
                    reason);
}

/* ---- Names ------------------------------------------------------------------------------------- */

void ngi_names_clear(ngi_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        ngi_free(names->items[i]);
    ngi_free(names->items);
    *names = (ngi_names){0};
}

ng_status ngi_names_add(ngi_names *names, const char *text, size_t size, ng_error *err)
{
    size_t n = names->count;
    if ((n & (n - 1)) == 0) { /* full at every power of two */
        char **items = ngi_realloc(names->items, n ? 2 * n : 1, sizeof *items);
        if (!items)
            return ngi_fail_memory(err, 2 * n * sizeof *items);
        names->items = items;
    }
    names->items[n] = ngi_strndup(text, size);
    if (!names->items[n])
        return ngi_fail_memory(err, size);
    names->count++;
    return NG_OK;
}

/* ---- Opening ----------------------------------------------------------------------------------- */

static ng_status create(const char *where, size_t size, ngi_h5 **out, ng_error *err)
{
    ngi_h5 *h = ngi_alloc_zero(1, sizeof *h);
    if (h)
        h->where = ngi_strdup(where);
    if (!h || !h->where) {
        ngi_free(h);
        return ngi_fail_memory(err, sizeof *h + strlen(where));
    }
    h->size = size;
    h->file = H5I_INVALID_HID;
    *out = h;
    return NG_OK;
}

void ngi_h5_close(ngi_h5 *h)
{
    if (!h)
        return;
    ngi_h5_guard guard = ngi_h5_enter();
    if (h->file >= 0)
        H5Fclose(h->file);
    ngi_h5_leave(guard);
    ngi_free(h->where);
    ngi_free(h);
}

const char *ngi_h5_where(const ngi_h5 *h)
{
    return h->where;
}

size_t ngi_h5_size(const ngi_h5 *h)
{
    return h->size;
}

/* Image callbacks that lend the caller's bytes instead of copying them: files opened for reading are never
 * written. */
static void *lend(size_t size, H5FD_file_image_op_t op, void *bytes)
{
    (void)size;
    (void)op;
    return bytes;
}

static void *lend_copy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *bytes)
{
    (void)from;
    (void)size;
    (void)op;
    (void)bytes;
    return to;
}

static void *no_growth(void *bytes, size_t size, H5FD_file_image_op_t op, void *self)
{
    (void)bytes;
    (void)size;
    (void)op;
    (void)self;
    return NULL;
}

static herr_t keep(void *bytes, H5FD_file_image_op_t op, void *self)
{
    (void)bytes;
    (void)op;
    (void)self;
    return 0;
}

static void *same_bytes(void *bytes)
{
    return bytes;
}

static herr_t keep_bytes(void *bytes)
{
    (void)bytes;
    return 0;
}

/* Opens the file `path`, or an image. The library refuses an image with the name of a file, and takes two
 * of one name for the same. */
static ng_status open_with(ngi_h5 *h, const char *path, void *bytes, ng_error *err)
{
    char image[64];
    snprintf(image, sizeof image, "netgaze-image-%p", (void *)h);
    H5FD_file_image_callbacks_t lending = {lend, lend_copy, no_growth, keep, same_bytes, keep_bytes, bytes};
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    bool ready = access >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0;
    if (ready && bytes)
        ready = H5Pset_fapl_core(access, 1 << 16, 0) >= 0 &&
                H5Pset_file_image_callbacks(access, &lending) >= 0 &&
                H5Pset_file_image(access, bytes, h->size) >= 0;
#if H5_VERSION_GE(1, 10, 7)
    if (ready && !bytes)
        ready = H5Pset_file_locking(access, false, true) >= 0; /* shared folders often refuse locks */
#endif
    if (ready)
        h->file = H5Fopen(bytes ? image : path, H5F_ACC_RDONLY, access);
    ng_status status = h->file >= 0 ? NG_OK
                                    : ngi_h5_fail(h, "",
                                                  "the HDF5 file cannot be opened: it is damaged or "
                                                  "truncated",
                                                  err);
    if (access >= 0)
        H5Pclose(access);
    ngi_h5_leave(guard);
    return status;
}

static bool read_image(void *self, uint64_t offset, void *bytes, size_t size)
{
    memcpy(bytes, (const char *)self + offset, size);
    return true;
}

ng_status ngi_h5_open_image(const char *where, const void *bytes, size_t size, ngi_h5 **out, ng_error *err)
{
    *out = NULL;
    if (size == 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: the HDF5 file is empty", where);
    ngi_h5_bytes file = {read_image, (void *)bytes, size};
    NGI_TRY(ngi_h5_check(where, &file, err));
    ngi_h5 *h = NULL;
    NGI_TRY(create(where, size, &h, err));
    ng_status status = open_with(h, where, (void *)bytes, err);
    if (status != NG_OK) {
        ngi_h5_close(h);
        return status;
    }
    *out = h;
    return NG_OK;
}

static bool read_file(void *self, uint64_t offset, void *bytes, size_t size)
{
    return pread(*(int *)self, bytes, size, (off_t)offset) == (ssize_t)size;
}

/* Size and structure of a regular file. */
static ng_status check_file(const char *path, size_t *size, ng_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        int cause = errno;
        if (fd >= 0)
            close(fd);
        return ngi_fail(err, cause == ENOENT ? NG_E_NOT_FOUND : NG_E_IO, "%s: %s", path, strerror(cause));
    }
    ng_status status = NG_OK;
    if (S_ISDIR(info.st_mode))
        status = ngi_fail(err, NG_E_IO, "%s: a folder, expected an HDF5 file", path);
    else if (!S_ISREG(info.st_mode))
        status = ngi_fail(err, NG_E_IO, "%s: not a regular file", path);
    else if (info.st_size == 0)
        status = ngi_fail(err, NG_E_FORMAT, "%s: the file is empty", path);
    else {
        ngi_h5_bytes file = {read_file, &fd, (uint64_t)info.st_size};
        *size = (size_t)info.st_size;
        status = ngi_h5_check(path, &file, err);
    }
    close(fd);
    return status;
}

ng_status ngi_h5_open(const char *path, ngi_h5 **out, ng_error *err)
{
    *out = NULL;
    size_t size = 0;
    NGI_TRY(check_file(path, &size, err));
    ngi_h5 *h = NULL;
    NGI_TRY(create(path, size, &h, err));
    ng_status status = open_with(h, path, NULL, err);
    if (status != NG_OK) {
        ngi_h5_close(h);
        return status;
    }
    *out = h;
    return NG_OK;
}

/* ---- Objects ----------------------------------------------------------------------------------- */

/* The member `name` of a group: *id is H5I_INVALID_HID where there is none. */
static ng_status member(ngi_h5 *h, hid_t group, const char *name, const char *path, hid_t *id, ng_error *err)
{
    *id = H5I_INVALID_HID;
    htri_t exists = H5Iget_type(group) == H5I_GROUP ? H5Lexists(group, name, H5P_DEFAULT) : 0;
    if (exists < 0)
        return ngi_h5_fail(h, path, "cannot be looked up", err);
    if (!exists)
        return NG_OK;
    H5L_info_t link;
    if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0)
        return ngi_h5_fail(h, path, "the link cannot be read", err);
    if (link.type != H5L_TYPE_HARD)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: %s: a soft or external link; only files that hold their own data are "
                        "read",
                        h->where, path);
    *id = H5Oopen(group, name, H5P_DEFAULT);
    return *id >= 0 ? NG_OK : ngi_h5_fail(h, path, "cannot be opened", err);
}

ng_status ngi_h5_object(ngi_h5 *h, const char *path, hid_t *id, ng_error *err)
{
    *id = H5Oopen(h->file, "/", H5P_DEFAULT);
    if (*id < 0)
        return ngi_h5_fail(h, "/", "cannot be opened", err);
    char name[4096];
    for (const char *at = path; *at && *id >= 0;) {
        size_t n = strcspn(at, "/");
        if (n >= sizeof name) {
            H5Oclose(*id);
            return ngi_fail(err, NG_E_LIMIT, "%s: an object's name is longer than %zu bytes", h->where,
                            sizeof name);
        }
        memcpy(name, at, n);
        name[n] = '\0';
        at += n + (at[n] == '/');
        if (n == 0 || strcmp(name, ".") == 0)
            continue;
        hid_t parent = *id;
        ng_status status = member(h, parent, name, path, id, err);
        H5Oclose(parent);
        if (status != NG_OK)
            return status;
    }
    return NG_OK;
}

ng_status ngi_h5_find(ngi_h5 *h, const char *path, ngi_h5_kind *kind, ng_error *err)
{
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t id;
    ng_status status = ngi_h5_object(h, path, &id, err);
    *kind = NGI_H5_NONE;
    if (status == NG_OK && id >= 0) {
        H5I_type_t type = H5Iget_type(id);
        *kind = type == H5I_GROUP ? NGI_H5_GROUP : type == H5I_DATASET ? NGI_H5_DATASET : NGI_H5_NONE;
        H5Oclose(id);
    }
    ngi_h5_leave(guard);
    return status;
}

static ng_status list_members(ngi_h5 *h, hid_t group, const char *path, ngi_names *out, ng_error *err)
{
    H5G_info_t info;
    if (H5Iget_type(group) != H5I_GROUP || H5Gget_info(group, &info) < 0)
        return ngi_h5_fail(h, path, "not a group that can be listed", err);
    if (info.nlinks > NGI_H5_MAX_NAMES)
        return ngi_fail(err, NG_E_LIMIT, "%s: %s: %llu members", h->where, path,
                        (unsigned long long)info.nlinks);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        char name[1024];
        ssize_t n =
            H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
        if (n < 0)
            return ngi_h5_fail(h, path, "its members cannot be listed", err);
        if ((size_t)n >= sizeof name)
            return ngi_fail(err, NG_E_LIMIT, "%s: %s: a name of %zd bytes", h->where, path, n);
        NGI_TRY(ngi_names_add(out, name, (size_t)n, err));
    }
    return NG_OK;
}

ng_status ngi_h5_members(ngi_h5 *h, const char *path, ngi_names *out, ng_error *err)
{
    *out = (ngi_names){0};
    ngi_h5_guard guard = ngi_h5_enter();
    hid_t id;
    ng_status status = ngi_h5_object(h, path, &id, err);
    if (status == NG_OK && id >= 0) {
        status = list_members(h, id, path, out, err);
        H5Oclose(id);
    }
    ngi_h5_leave(guard);
    if (status != NG_OK)
        ngi_names_clear(out);
    return status;
}
