/* RFC 4180, read in place: a field never grows when its quotes are taken off. */
#include "data/table.h"

#include "data/data.h"

#include <string.h>

#define MAX_BYTES   ((size_t)1 << 30)
#define MAX_COLUMNS 1024

typedef struct reader {
    const char *path;
    char *at, *end;
    int64_t line;
} reader;

static ng_status add_field(ngi_table *t, char *field, ng_error *err)
{
    void *array = t->fields;
    NGI_TRY(ngi_data_grow(&array, &t->field_capacity, t->n_fields, sizeof *t->fields, err));
    t->fields = array;
    t->fields[t->n_fields++] = field;
    return NG_OK;
}

/* Takes the quotes off; at the end r->at is behind the closing one. */
static ng_status unquote(reader *r, char **field, char **field_end, ng_error *err)
{
    int64_t began = r->line;
    char *to = r->at; /* the opening quote's place is free */
    *field = to;
    for (char *from = r->at + 1; from < r->end; from++) {
        if (*from == '"' && from[1] == '"' && from + 1 < r->end) {
            from++;
        } else if (*from == '"') {
            *field_end = to;
            r->at = from + 1;
            return NG_OK;
        }
        r->line += *from == '\n';
        *to++ = *from;
    }
    return ngi_fail(err, NG_E_FORMAT, "%s: line %lld: a quoted field is never closed", r->path,
                    (long long)began);
}

/* One field and what ends it; *last says that the row ends with it. */
static ng_status read_field(reader *r, ngi_table *t, bool *last, ng_error *err)
{
    char *field = r->at, *field_end = r->at;
    if (r->at < r->end && *r->at == '"') {
        NGI_TRY(unquote(r, &field, &field_end, err));
    } else {
        while (r->at < r->end && *r->at != ',' && *r->at != '\n' && *r->at != '"')
            r->at++;
        field_end = r->at;
        if (field_end > field && field_end[-1] == '\r' && (r->at == r->end || *r->at == '\n'))
            field_end--;
    }
    if (r->end - r->at >= 2 && r->at[0] == '\r' && r->at[1] == '\n')
        r->at++;
    if (r->at < r->end && *r->at != ',' && *r->at != '\n')
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: line %lld: a quote inside a field, or text behind a closing quote; fields with "
                        "quotes are quoted whole, their quotes doubled",
                        r->path, (long long)r->line);
    *last = r->at >= r->end || *r->at == '\n';
    r->line += r->at < r->end && *r->at == '\n';
    if (r->at < r->end)
        r->at++;
    *field_end = 0;
    return add_field(t, field, err);
}

static ng_status read_row(reader *r, ngi_table *t, ng_error *err)
{
    int64_t line = r->line;
    size_t first = t->n_fields;
    bool last = false;
    while (!last) {
        if (t->n_fields - first >= MAX_COLUMNS)
            return ngi_fail(err, NG_E_LIMIT, "%s: line %lld: more than %d fields", r->path, (long long)line,
                            MAX_COLUMNS);
        NGI_TRY(read_field(r, t, &last, err));
    }
    int n = (int)(t->n_fields - first);
    if (n == 1 && !*t->fields[first]) { /* an empty line */
        t->n_fields = first;
        return NG_OK;
    }
    if (t->n_rows == 0)
        t->n_columns = n;
    if (n != t->n_columns)
        return ngi_fail(err, NG_E_FORMAT, "%s: line %lld: expected %d fields as in the header, found %d",
                        r->path, (long long)line, t->n_columns, n);
    void *array = t->lines;
    NGI_TRY(ngi_data_grow(&array, &t->line_capacity, (size_t)t->n_rows, sizeof *t->lines, err));
    t->lines = array;
    t->lines[t->n_rows++] = line;
    return NG_OK;
}

ng_status ngi_table_read(const char *path, ngi_table *out, ng_error *err)
{
    *out = (ngi_table){0};
    size_t size;
    NGI_TRY(ngi_file_read(path, MAX_BYTES, &out->text, &size, err));
    ng_status status = NG_OK;
    if (memchr(out->text, 0, size))
        status = ngi_fail(err, NG_E_FORMAT, "%s: expected a CSV file, found zero bytes", path);
    reader r = {path, out->text, out->text + size, 1};
    if (size >= 3 && memcmp(out->text, "\xef\xbb\xbf", 3) == 0)
        r.at += 3;
    while (status == NG_OK && r.at < r.end)
        status = read_row(&r, out, err);
    if (status != NG_OK)
        ngi_table_clear(out);
    return status;
}

void ngi_table_clear(ngi_table *t)
{
    ngi_free(t->text);
    ngi_free(t->fields);
    ngi_free(t->lines);
    *t = (ngi_table){0};
}
