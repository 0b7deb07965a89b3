/* Base: status and errors, checked allocation, growing buffers, bounded file reads, atomic writes.
 * Depends on libc only. */
#ifndef NGI_BASE_H
#define NGI_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netgaze/netgaze.h"

#if defined(__GNUC__)
#define NGI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define NGI_PRINTF(fmt, args)
#endif

/* ---- Errors -------------------------------------------------------------------------------- */

/* Records a failure and returns `status`, so that `return ngi_fail(err, NG_E_IO, "%s: ...", path);` reads
 * well. Whatever err held before is overwritten (it may be uninitialised): the function that meets the
 * cause calls this once, callers above only pass the status on or prefix. err may be NULL. */
ng_status ngi_fail(ng_error *err, ng_status status, const char *format, ...) NGI_PRINTF(3, 4);
/* Puts "prefix: " before the recorded text. */
void ngi_error_prefix(ng_error *err, const char *format, ...) NGI_PRINTF(2, 3);
void ngi_error_clear(ng_error *err);
/* The one text for a failed allocation. */
ng_status ngi_fail_memory(ng_error *err, size_t bytes);

#ifdef __clang_analyzer__ /* It sees one file at a time: told here what the two return, it follows every failure. */
#define ngi_fail(err, status, ...)  ((void)ngi_fail(err, status, __VA_ARGS__), (status))
#define ngi_fail_memory(err, bytes) ((void)ngi_fail_memory(err, bytes), NG_E_MEMORY)
#endif

/* Leaves the function with the status of a failed call. */
#define NGI_TRY(call)                      \
    do {                                   \
        ng_status ngi_try_status = (call); \
        if (ngi_try_status != NG_OK)       \
            return ngi_try_status;         \
    } while (0)

/* ---- Memory -------------------------------------------------------------------------------- */

/* malloc/calloc/realloc/free through one place, so that a test can make the k-th allocation fail.
 * Count times size is checked for overflow; zero bytes still return a valid pointer. */
void *ngi_alloc(size_t count, size_t size);      /* uninitialised */
void *ngi_alloc_zero(size_t count, size_t size); /* zeroed */
void *ngi_realloc(void *old, size_t count, size_t size);
void ngi_free(void *p);
char *ngi_strdup(const char *text);
char *ngi_strndup(const char *text, size_t length);
char *ngi_sprintf(const char *format, ...) NGI_PRINTF(1, 2); /* a new string, NULL when out of memory */
/* 64-byte aligned, for tensors; freed with ngi_free_aligned. */
void *ngi_alloc_aligned(size_t bytes);
void ngi_free_aligned(void *p);
/* Tests: the k-th allocation from now on fails (k >= 1), once; 0 switches it off. Per thread. */
void ngi_alloc_fail_at(long k);
/* Tests: allocations made by this thread since the last ngi_alloc_fail_at. */
long ngi_alloc_count(void);

/* ---- Growing byte buffer ------------------------------------------------------------------- */

typedef struct ngi_buffer {
    char *data; /* always followed by a NUL once anything was added */
    size_t size, capacity;
} ngi_buffer;

NG_NODISCARD ng_status ngi_buffer_add(ngi_buffer *b, const void *bytes, size_t size, ng_error *err);
NG_NODISCARD ng_status ngi_buffer_printf(ngi_buffer *b, ng_error *err, const char *format, ...)
    NGI_PRINTF(3, 4);
void ngi_buffer_clear(ngi_buffer *b);

/* ---- Files --------------------------------------------------------------------------------- */

/* Reads a whole regular file of at most `limit` bytes into a new NUL-terminated block (ngi_free).
 * Directories, missing files, files that grow past the limit: one clear error with the path. */
NG_NODISCARD ng_status ngi_file_read(const char *path, size_t limit, char **data, size_t *size,
                                     ng_error *err);
/* Public twin: ng_file_save (atomic write). */

/* An atomic write in pieces: open a temporary beside `path`, write, then commit (fsync, rename) or
 * abort (removed). After commit or abort the struct is cleared. */
typedef struct ngi_writer {
    char *path, *temporary;
    void *file; /* FILE * */
} ngi_writer;

NG_NODISCARD ng_status ngi_writer_open(ngi_writer *w, const char *path, ng_error *err);
NG_NODISCARD ng_status ngi_writer_add(ngi_writer *w, const void *bytes, size_t size, ng_error *err);
NG_NODISCARD ng_status ngi_writer_commit(ngi_writer *w, ng_error *err);
/* Without waiting for the disk: for files that can be made again and whose damage is noticed. */
NG_NODISCARD ng_status ngi_writer_commit_quick(ngi_writer *w, ng_error *err);
void ngi_writer_abort(ngi_writer *w);
/* For a file that another library wrote: its bytes reach the disk, then it gets its name. The temporary stays on failure. */
NG_NODISCARD ng_status ngi_file_settle(const char *temporary, const char *path, ng_error *err);
/* Removes what writers of `path` have left that were killed: temporary files of processes that are no more. */
void ngi_file_sweep(const char *path);

bool ngi_path_is_directory(const char *path);
bool ngi_path_exists(const char *path);
bool ngi_path_is_empty(const char *path); /* a folder without entries */
/* "dir/name": a new string. An empty dir gives name. */
char *ngi_path_join(const char *dir, const char *name);
/* The folder of a path as a new string; "." when it has none. */
char *ngi_path_folder(const char *path);

/* ---- Hash ---------------------------------------------------------------------------------- */

/* XXH3-128, incremental: init, add..., finish (or clear to give up). */
#define NGI_HASH_TEXT 33 /* 32 hex digits and a NUL: what xxh128sum prints for the same bytes */

typedef struct ngi_hash {
    void *state;
} ngi_hash;

NG_NODISCARD ng_status ngi_hash_init(ngi_hash *h, ng_error *err);
void ngi_hash_add(ngi_hash *h, const void *bytes, size_t size);
void ngi_hash_finish(ngi_hash *h, char hex[NGI_HASH_TEXT]); /* releases the state */
void ngi_hash_clear(ngi_hash *h);

#endif
