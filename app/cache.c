/* netgaze cache: what is kept for a quick start, how much of it may be kept, and throwing it away. */
#include "app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int fail(const ng_error *err)
{
    complain("%s", err->text);
    return err->status == NG_E_NOT_FOUND ? EXIT_USAGE : EXIT_ENVIRONMENT;
}

static void ago(int64_t used, char *out, size_t size)
{
    double seconds = difftime(time(NULL), (time_t)used);
    if (seconds < 90)
        snprintf(out, size, "%.0f s ago", seconds > 0 ? seconds : 0);
    else if (seconds < 5400)
        snprintf(out, size, "%.0f min ago", seconds / 60);
    else if (seconds < 129600)
        snprintf(out, size, "%.0f h ago", seconds / 3600);
    else
        snprintf(out, size, "%.0f days ago", seconds / 86400);
}

static json_t *info_json(const ng_cache_info *info)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "folder", info->folder ? json_text(info->folder) : json_null());
    json_object_set_new(o, "bytes", json_integer((json_int_t)info->bytes));
    json_object_set_new(o, "limit", json_integer((json_int_t)info->limit));
    for (int i = 0; i < info->entry_count; i++) {
        const ng_cache_entry *e = &info->entries[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "name", json_text(e->name));
        json_object_set_new(entry, "title", json_text(e->title));
        json_object_set_new(entry, "bytes", json_integer((json_int_t)e->bytes));
        json_object_set_new(entry, "used", json_integer((json_int_t)e->used));
        json_array_append_new(list, entry);
    }
    json_object_set_new(o, "entries", list);
    return o;
}

static int list_entries(const settings *s)
{
    ng_cache_info info;
    ng_error err;
    if (ng_cache_describe(NULL, &info, &err) != NG_OK)
        return fail(&err);
    int code = EXIT_DONE;
    if (s->json)
        code = write_json_line(stdout, info_json(&info)) ? EXIT_DONE : say_out_of_memory();
    else if (!info.folder)
        printf("no cache: NETGAZE_CACHE=off, or no home folder\n");
    else {
        for (int i = 0; i < info.entry_count; i++) {
            char when[32];
            ago(info.entries[i].used, when, sizeof when);
            printf("%8.1f MB  %-12s  %s\n", (double)info.entries[i].bytes / 1e6, when, info.entries[i].title);
        }
        printf("%s: %d files, %.1f MB of at most %.1f MB\n", info.folder, info.entry_count,
               (double)info.bytes / 1e6, (double)info.limit / 1e6);
    }
    ng_cache_info_clear(&info);
    return code;
}

bool read_bytes(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        value *= 1024;
    end += unit != NULL;
    bool fine = end != text && *end == '\0' && !errno && value >= 0 && value < 1e18;
    *bytes = fine ? (uint64_t)value : 0;
    return fine;
}

static int set_limit(const char *text)
{
    uint64_t bytes;
    ng_error err;
    if (!read_bytes(text, &bytes)) {
        complain("cache limit: '%s' is not a size such as 500M, 2G or 0", text);
        return EXIT_USAGE;
    }
    return ng_cache_set_limit(NULL, bytes, &err) == NG_OK ? EXIT_DONE : fail(&err);
}

int run_cache(const settings *s)
{
    const char *what = s->n_arguments ? s->arguments[0] : "list";
    bool limit = strcmp(what, "limit") == 0;
    ng_error err;
    int most = limit ? 2 : 1;
    if (s->n_arguments > most) {
        complain("cache %s: '%s' is too many", what, s->arguments[most]);
        return EXIT_USAGE;
    }
    if (limit && s->n_arguments == 2)
        return set_limit(s->arguments[1]);
    if (limit || strcmp(what, "list") == 0)
        return list_entries(s);
    if (strcmp(what, "clear") == 0)
        return ng_cache_clear(NULL, &err) == NG_OK ? EXIT_DONE : fail(&err);
    complain("cache: '%s' is not known; expected list, clear or limit", what);
    return EXIT_USAGE;
}
