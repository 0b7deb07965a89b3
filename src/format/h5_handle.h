/* Shared by the files that call the HDF5 library. The API is HDF5 1.10's, which newer releases keep under
 * this macro. */
#ifndef NGI_FORMAT_H5_HANDLE_H
#define NGI_FORMAT_H5_HANDLE_H

#define H5_USE_110_API
#include <hdf5.h>

#include "format/h5.h"

#define NGI_H5_MAX_NAMES 100000         /* members of a group, entries of a list of names */
#define NGI_H5_MAX_NAME  ((size_t)4096) /* bytes of one name */

struct ngi_h5 {
    char *where;
    hid_t file;
    size_t size;
};

/* The library's error stack is silenced between these two and put back as it was; one thread at a time is
 * let in, because not every build of the library is thread-safe. */
typedef struct ngi_h5_guard {
    H5E_auto2_t function;
    void *data;
} ngi_h5_guard;

ngi_h5_guard ngi_h5_enter(void);
void ngi_h5_leave(ngi_h5_guard guard);

/* Records a failed library call with the innermost reason on its error stack. */
ng_status ngi_h5_fail(const ngi_h5 *h, const char *path, const char *what, ng_error *err);
/* Opens an object by path, one hard link after the other; *id is H5I_INVALID_HID where there is none.
 * Inside the guard; close with H5Oclose. */
ng_status ngi_h5_object(ngi_h5 *h, const char *path, hid_t *id, ng_error *err);

/* Appends the texts of one attribute of an open object, each of at most `limit` bytes; *found tells whether
 * it is there. Inside the guard. */
ng_status ngi_h5_attribute(ngi_h5 *h, hid_t object, const char *path, const char *name, size_t limit,
                           ngi_names *out, bool *found, ng_error *err);

#endif
