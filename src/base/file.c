/* Bounded reads of whole files, atomic writes, paths. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Reading -------------------------------------------------------------------------------- */

static ng_status open_regular(const char *path, size_t limit, int *fd, size_t *size, ng_error *err)
{
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a FIFO must not hang us */
    if (f < 0)
        return ngi_fail(err, errno == ENOENT ? NG_E_NOT_FOUND : NG_E_IO, "%s: cannot be opened: %s", path,
                        strerror(errno));
    struct stat st;
    if (fstat(f, &st) != 0) {
        int cause = errno;
        close(f);
        return ngi_fail(err, NG_E_IO, "%s: cannot be examined: %s", path, strerror(cause));
    }
    if (!S_ISREG(st.st_mode)) {
        close(f);
        return ngi_fail(err, NG_E_IO, "%s: is %s, expected a file", path,
                        S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
    }
    if ((uint64_t)st.st_size > limit) {
        close(f);
        return ngi_fail(err, NG_E_LIMIT, "%s: %lld bytes, the limit is %zu", path, (long long)st.st_size,
                        limit);
    }
    *fd = f;
    *size = (size_t)st.st_size;
    return NG_OK;
}

ng_status ngi_file_read(const char *path, size_t limit, char **data, size_t *size, ng_error *err)
{
    *data = NULL;
    *size = 0;
    int fd = -1;
    size_t expected = 0;
    NGI_TRY(open_regular(path, limit, &fd, &expected, err));
    char *bytes = ngi_alloc(expected + 1, 1);
    if (!bytes) {
        close(fd);
        return ngi_fail_memory(err, expected + 1);
    }
    size_t got = 0;
    while (got < expected) {
        ssize_t n = read(fd, bytes + got, expected - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int cause = errno;
            close(fd);
            ngi_free(bytes);
            return ngi_fail(err, NG_E_IO, "%s: reading failed: %s", path,
                            n < 0 ? strerror(cause) : "the file became shorter");
        }
        got += (size_t)n;
    }
    close(fd);
    bytes[got] = '\0';
    *data = bytes;
    *size = got;
    return NG_OK;
}

/* ---- Atomic writing ------------------------------------------------------------------------- */

static atomic_uint temporary_count;

ng_status ngi_writer_open(ngi_writer *w, const char *path, ng_error *err)
{
    *w = (ngi_writer){0};
    w->path = ngi_strdup(path);
    if (!w->path)
        return ngi_fail_memory(err, strlen(path));
    int fd = -1;
    do { /* our own name with O_EXCL rather than mkstemp: the file gets the mode the umask asks for */
        ngi_free(w->temporary);
        w->temporary =
            ngi_sprintf("%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&temporary_count, 1));
        if (!w->temporary) {
            ngi_writer_abort(w);
            return ngi_fail_memory(err, strlen(path));
        }
        fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0 || !(w->file = fdopen(fd, "wb"))) {
        int cause = errno;
        if (fd >= 0) {
            close(fd);
            unlink(w->temporary);
        }
        ngi_free(w->temporary);
        w->temporary = NULL;
        ngi_writer_abort(w);
        return ngi_fail(err, NG_E_IO, "%s: cannot be written: %s", path, strerror(cause));
    }
    return NG_OK;
}

ng_status ngi_writer_add(ngi_writer *w, const void *bytes, size_t size, ng_error *err)
{
    if (size && fwrite(bytes, 1, size, w->file) != size)
        return ngi_fail(err, NG_E_IO, "%s: writing failed: %s", w->path, strerror(errno));
    return NG_OK;
}

static bool reaches_disk(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int cause = errno;
    if (fd >= 0)
        close(fd);
    errno = cause;
    return good;
}

static ng_status settle(const char *temporary, const char *path, bool wait, ng_error *err)
{
    bool good = (!wait || reaches_disk(temporary)) && rename(temporary, path) == 0;
    return good ? NG_OK : ngi_fail(err, NG_E_IO, "%s: writing failed: %s", path, strerror(errno));
}

ng_status ngi_file_settle(const char *temporary, const char *path, ng_error *err)
{
    return settle(temporary, path, true, err);
}

static ng_status commit(ngi_writer *w, bool wait, ng_error *err)
{
    FILE *file = w->file;
    w->file = NULL;
    ng_status status = fclose(file) == 0
                           ? settle(w->temporary, w->path, wait, err)
                           : ngi_fail(err, NG_E_IO, "%s: writing failed: %s", w->path, strerror(errno));
    if (status == NG_OK) {
        ngi_free(w->temporary);
        w->temporary = NULL;
    }
    ngi_writer_abort(w);
    return status;
}

ng_status ngi_writer_commit(ngi_writer *w, ng_error *err)
{
    return commit(w, true, err);
}

ng_status ngi_writer_commit_quick(ngi_writer *w, ng_error *err)
{
    return commit(w, false, err);
}

void ngi_writer_abort(ngi_writer *w)
{
    if (w->file)
        fclose(w->file);
    if (w->temporary)
        unlink(w->temporary);
    ngi_free(w->temporary);
    ngi_free(w->path);
    *w = (ngi_writer){0};
}

static ng_status save(const char *path, const void *bytes, size_t size, bool wait, ng_error *err)
{
    ngi_writer w;
    NGI_TRY(ngi_writer_open(&w, path, err));
    ng_status status = ngi_writer_add(&w, bytes, size, err);
    if (status != NG_OK) {
        ngi_writer_abort(&w);
        return status;
    }
    return commit(&w, wait, err);
}

ng_status ng_file_save(const char *path, const void *bytes, size_t size, ng_error *err)
{
    return save(path, bytes, size, true, err);
}

ng_status ng_file_save_quick(const char *path, const void *bytes, size_t size, ng_error *err)
{
    return save(path, bytes, size, false, err);
}

void ngi_file_sweep(const char *path)
{
    char *folder = ngi_path_folder(path), *inside;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    DIR *d = folder ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, name, n) != 0 || strncmp(e->d_name + n, ".tmp-", 5) != 0)
            continue;
        long writer = strtol(e->d_name + n + 5, NULL, 10);
        if (writer > 0 && kill((pid_t)writer, 0) != 0 && errno == ESRCH &&
            (inside = ngi_path_join(folder, e->d_name))) {
            unlink(inside);
            ngi_free(inside);
        }
    }
    if (d)
        closedir(d);
    ngi_free(folder);
}

/* ---- Paths ---------------------------------------------------------------------------------- */

bool ngi_path_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool ngi_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool ngi_path_is_empty(const char *path)
{
    DIR *d = opendir(path);
    int found = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        found += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return d && found == 0;
}

char *ngi_path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    if (n == 0)
        return ngi_strdup(name);
    return ngi_sprintf("%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

char *ngi_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ngi_strdup(".");
    return ngi_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}
