/* The cache's folder in the public API. */
#include "api/api.h"

#include <stdio.h>
#include <string.h>

ng_status ng_cache_describe(const char *folder, ng_cache_info *out, ng_error *err)
{
    *out = (ng_cache_info){0};
    ngi_cache_file *files = NULL;
    int n = 0;
    out->folder = ngi_cache_folder(folder);
    if (!out->folder)
        return NG_OK;
    out->limit = ngi_cache_limit(out->folder);
    ng_status status = ngi_cache_list(out->folder, &files, &n, err);
    if (status == NG_OK && !(out->entries = ngi_alloc_zero((size_t)n, sizeof *out->entries)))
        status = ngi_fail_memory(err, (size_t)n * sizeof *out->entries);
    for (int i = 0; i < n && status == NG_OK; i++) {
        ng_cache_entry *e = &out->entries[out->entry_count++];
        snprintf(e->name, sizeof e->name, "%s", files[i].name);
        snprintf(e->title, sizeof e->title, "%s", files[i].title);
        e->bytes = files[i].bytes;
        e->used = files[i].used / 1000000000;
        out->bytes += e->bytes;
    }
    ngi_cache_list_free(files, n);
    if (status != NG_OK)
        ng_cache_info_clear(out);
    return status;
}

void ng_cache_info_clear(ng_cache_info *info)
{
    ngi_free(info->folder);
    ngi_free(info->entries);
    *info = (ng_cache_info){0};
}

static ng_status with_folder(const char *setting, char **folder, ng_error *err)
{
    *folder = ngi_cache_folder(setting);
    return *folder ? NG_OK
                   : ngi_fail(err, NG_E_NOT_FOUND,
                              "there is no cache: it is switched off (NETGAZE_CACHE=off), or neither "
                              "XDG_CACHE_HOME nor HOME is set");
}

ng_status ng_cache_clear(const char *setting, ng_error *err)
{
    char *folder;
    NGI_TRY(with_folder(setting, &folder, err));
    ng_status status = ngi_cache_clear(folder, err);
    ngi_free(folder);
    return status;
}

ng_status ng_cache_set_limit(const char *setting, uint64_t bytes, ng_error *err)
{
    char *folder;
    NGI_TRY(with_folder(setting, &folder, err));
    ng_status status = ngi_cache_set_limit(folder, bytes, err);
    ngi_free(folder);
    return status;
}
