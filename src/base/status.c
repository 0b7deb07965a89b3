/* Status names and texts, and the error object. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

static const char *const status_names[] = {
#define NAME(name, text) #name,
    NG_STATUS_LIST(NAME)
#undef NAME
};

static const char *const status_texts[] = {
#define TEXT(name, text) text,
    NG_STATUS_LIST(TEXT)
#undef TEXT
};

#define STATUS_COUNT (sizeof status_names / sizeof *status_names)

const char *ng_status_name(ng_status status)
{
    return (size_t)status < STATUS_COUNT ? status_names[status] : "NG_E_INTERNAL";
}

const char *ng_status_text(ng_status status)
{
    return (size_t)status < STATUS_COUNT ? status_texts[status] : "unknown status";
}

#define VERSION_TEXT2(a, b, c) #a "." #b "." #c
#define VERSION_TEXT(a, b, c)  VERSION_TEXT2(a, b, c)

const char *ng_version(void)
{
    return VERSION_TEXT(NG_VERSION_MAJOR, NG_VERSION_MINOR, NG_VERSION_PATCH);
}

ng_status(ngi_fail)(ng_error *err, ng_status status, const char *format, ...)
{
    if (!err)
        return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return status;
}

void ngi_error_prefix(ng_error *err, const char *format, ...)
{
    if (!err || err->status == NG_OK)
        return;
    char prefix[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    char joined[2 * sizeof err->text + 3];
    snprintf(joined, sizeof joined, "%s: %s", prefix, err->text);
    joined[sizeof err->text - 1] = '\0';
    memcpy(err->text, joined, strlen(joined) + 1);
}

void ngi_error_clear(ng_error *err)
{
    if (err) {
        err->status = NG_OK;
        err->text[0] = '\0';
    }
}

ng_status(ngi_fail_memory)(ng_error *err, size_t bytes)
{
    return ngi_fail(err, NG_E_MEMORY, "out of memory: %zu bytes could not be allocated", bytes);
}
