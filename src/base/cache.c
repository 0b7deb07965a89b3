/* The cache's folder. Its file "limit" holds the size limit in bytes, if one was set. */
#include "base/cache.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_FILE "limit"
#define STALE      3600 /* seconds after which a temporary file was left by a process that died */

/* ---- Places ---------------------------------------------------------------------------------- */

char *ngi_cache_folder(const char *setting)
{
    if (!setting)
        setting = getenv("NETGAZE_CACHE");
    if (setting && *setting)
        return strcmp(setting, "off") == 0 ? NULL : ngi_strdup(setting);
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (base && *base == '/') /* the specification: relative paths are to be ignored */
        return ngi_path_join(base, "netgaze");
    return home && *home ? ngi_sprintf("%s/.cache/netgaze", home) : NULL;
}

static char *path_of(const char *folder, const char *key)
{
    ngi_hash h;
    char hex[NGI_HASH_TEXT];
    if (ngi_hash_init(&h, NULL) != NG_OK)
        return NULL;
    ngi_hash_add(&h, key, strlen(key));
    ngi_hash_finish(&h, hex);
    return ngi_sprintf("%s/%s" NGI_CACHE_ENDING, folder, hex);
}

ng_status ngi_cache_make_folder(const char *folder, ng_error *err)
{
    char *path = ngi_strdup(folder);
    if (!path)
        return ngi_fail_memory(err, strlen(folder));
    for (char *p = path + 1; *path && *p; p++)
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(path, 0700);
            *p = '/';
        }
    bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
    int cause = errno;
    ngi_free(path);
    return made ? NG_OK
                : ngi_fail(err, NG_E_IO, "%s: the folder cannot be made: %s", folder, strerror(cause));
}

/* ---- Packs ----------------------------------------------------------------------------------- */

ngi_pack *ngi_cache_open(const char *folder, const char *key)
{
    char *path = folder ? path_of(folder, key) : NULL;
    ngi_pack *p = path ? ngi_pack_open(path, key) : NULL;
    ngi_free(path);
    return p;
}

void ngi_cache_save(const char *folder, const char *key, const char *title, const ngi_pack_item *items, int n)
{
    uint64_t bytes = 0, limit = folder ? ngi_cache_limit(folder) : 0;
    for (int i = 0; i < n; i++)
        bytes += items[i].size;
    if (bytes >= limit)
        return;
    char *path = path_of(folder, key);
    ng_status status = path ? ngi_cache_make_folder(folder, NULL) : NG_E_MEMORY;
    if (status == NG_OK)
        status = ngi_pack_save(path, key, title, items, n, false, NULL);
    if (status == NG_OK)
        status = ngi_cache_trim(folder, limit, strrchr(path, '/') + 1, NULL);
    (void)status; /* whatever it is: there is a cache the next time, or there is none */
    ngi_free(path);
}

/* ---- The list -------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int by_use(const void *a, const void *b)
{
    const ngi_cache_file *x = a, *y = b;
    if (x->used != y->used)
        return x->used > y->used ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Temporary files of processes that died. */
static void remove_stale(const char *path, const char *name, const struct stat *st)
{
    if (strstr(name, NGI_CACHE_ENDING ".tmp-") && time(NULL) - st->st_mtime > STALE)
        (void)unlink(path);
}

static ng_status add_file(const char *folder, const char *name, ngi_cache_file **files, int *n, ng_error *err)
{
    struct stat st;
    char *path = ngi_path_join(folder, name);
    if (!path)
        return ngi_fail_memory(err, strlen(name));
    ngi_cache_file file = {.name = NULL};
    bool is_file = lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    if (is_file)
        remove_stale(path, name, &st);
    bool is_pack = is_file && ends_with(name, NGI_CACHE_ENDING);
    if (is_pack && !ngi_pack_title(path, file.title))
        snprintf(file.title, sizeof file.title, "(damaged)");
    ngi_free(path);
    if (!is_pack)
        return NG_OK;
    void *bigger = ngi_realloc(*files, (size_t)*n + 1, sizeof **files);
    if (bigger)
        *files = bigger;
    file.name = ngi_strdup(name);
    if (!bigger || !file.name) {
        ngi_free(file.name);
        return ngi_fail_memory(err, ((size_t)*n + 1) * sizeof **files);
    }
    file.bytes = (uint64_t)st.st_size;
    file.used = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    (*files)[(*n)++] = file;
    return NG_OK;
}

ng_status ngi_cache_list(const char *folder, ngi_cache_file **files, int *n, ng_error *err)
{
    *files = NULL;
    *n = 0;
    DIR *d = folder ? opendir(folder) : NULL;
    ng_status status = NG_OK;
    for (struct dirent *e; d && status == NG_OK && (e = readdir(d));)
        status = add_file(folder, e->d_name, files, n, err);
    if (d)
        closedir(d);
    if (status != NG_OK) {
        ngi_cache_list_free(*files, *n);
        *files = NULL;
        *n = 0;
        return status;
    }
    if (*n)
        qsort(*files, (size_t)*n, sizeof **files, by_use);
    return NG_OK;
}

void ngi_cache_list_free(ngi_cache_file *files, int n)
{
    for (int i = 0; i < n; i++)
        ngi_free(files[i].name);
    ngi_free(files);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

uint64_t ngi_cache_limit(const char *folder)
{
    char *path = ngi_path_join(folder, LIMIT_FILE), *text = NULL, *end;
    size_t size;
    uint64_t limit = NGI_CACHE_LIMIT;
    if (path && ngi_path_exists(path) && ngi_file_read(path, 64, &text, &size, NULL) == NG_OK) {
        unsigned long long value = strtoull(text, &end, 10);
        if (end != text && *text != '-')
            limit = value;
    }
    ngi_free(text);
    ngi_free(path);
    return limit;
}

ng_status ngi_cache_set_limit(const char *folder, uint64_t bytes, ng_error *err)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)bytes);
    NGI_TRY(ngi_cache_make_folder(folder, err));
    char *path = ngi_path_join(folder, LIMIT_FILE);
    if (!path)
        return ngi_fail_memory(err, strlen(folder));
    ng_status status = ng_file_save(path, text, (size_t)n, err);
    ngi_free(path);
    return status == NG_OK ? ngi_cache_trim(folder, bytes, NULL, err) : status;
}

static ng_status remove_file(const char *folder, const char *name, ng_error *err)
{
    char *path = ngi_path_join(folder, name);
    if (!path)
        return ngi_fail_memory(err, strlen(folder));
    ng_status status = NG_OK;
    if (unlink(path) != 0 && errno != ENOENT)
        status = ngi_fail(err, NG_E_IO, "%s: cannot be removed: %s", path, strerror(errno));
    ngi_free(path);
    return status;
}

ng_status ngi_cache_trim(const char *folder, uint64_t bytes, const char *keep, ng_error *err)
{
    ngi_cache_file *files;
    int n;
    NGI_TRY(ngi_cache_list(folder, &files, &n, err));
    uint64_t sum = 0;
    ng_status status = NG_OK;
    for (int i = 0; i < n; i++)
        if (keep && strcmp(files[i].name, keep) == 0)
            sum += files[i].bytes;
    for (int i = 0; i < n && status == NG_OK;
         i++) { /* the most recently used first: what fits after them stays */
        if (keep && strcmp(files[i].name, keep) == 0)
            continue;
        sum += files[i].bytes;
        if (sum <= bytes)
            continue;
        sum -= files[i].bytes;
        status = remove_file(folder, files[i].name, err);
    }
    ngi_cache_list_free(files, n);
    return status;
}

ng_status ngi_cache_clear(const char *folder, ng_error *err)
{
    NGI_TRY(ngi_cache_trim(folder, 0, NULL, err));
    DIR *d = opendir(folder);
    ng_status status = NG_OK;
    for (struct dirent *e; d && status == NG_OK && (e = readdir(d));)
        if (strncmp(e->d_name, NGI_CACHE_TUNED, strlen(NGI_CACHE_TUNED)) == 0)
            status = remove_file(folder, e->d_name, err);
    if (d)
        closedir(d);
    return status;
}
