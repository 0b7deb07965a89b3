/* Data sets listed in a CSV: rows to items, labels to classes in the order of their bytes. */
#include "data/data.h"

#include "data/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* X(kind, name, required) */
#define COLUMN_LIST(X)       \
    X(PATH, "path", true)    \
    X(LABEL, "label", true)  \
    X(SPLIT, "split", false) \
    X(GROUP, "group", false) \
    X(BOX, "box", false)     \
    X(MASK, "mask", false)

enum column {
#define COLUMN_ENUM(kind, name, required) COLUMN_##kind,
    COLUMN_LIST(COLUMN_ENUM)
#undef COLUMN_ENUM
        COLUMN_COUNT
};

static const struct {
    const char *name;
    bool required;
} columns[] = {
#define COLUMN_ROW(kind, name, required) {name, required},
    COLUMN_LIST(COLUMN_ROW)
#undef COLUMN_ROW
};

typedef struct job {
    const char *path;
    ngi_table table;
    int at[COLUMN_COUNT]; /* a column's place in the file, or -1 */
    char *folder;
    char **labels; /* borrowed from `label_text`; sorted, unique */
    char *label_text;
    size_t n_labels;
} job;

static char *cell(const job *j, int64_t row, enum column c)
{
    return j->at[c] < 0 ? NULL : j->table.fields[(size_t)row * (size_t)j->table.n_columns + (size_t)j->at[c]];
}

/* NULL for an empty cell too. */
static char *filled(const job *j, int64_t row, enum column c)
{
    char *text = cell(j, row, c);
    return text && *text ? text : NULL;
}

#define ROW_FAILS(j, row, err, status, format, ...) \
    ngi_fail(err, status, "%s: line %lld: " format, (j)->path, (long long)(j)->table.lines[row], __VA_ARGS__)

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static ng_status find_columns(job *j, ng_error *err)
{
    if (j->table.n_rows == 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: expected a header such as path,label; the file is empty",
                        j->path);
    for (int c = 0; c < COLUMN_COUNT; c++)
        j->at[c] = -1;
    for (int i = 0; i < j->table.n_columns; i++) {
        int c = 0;
        while (c < COLUMN_COUNT && strcmp(columns[c].name, j->table.fields[i]) != 0)
            c++;
        if (c == COLUMN_COUNT)
            return ROW_FAILS(j, 0, err, NG_E_FORMAT,
                             "no column is called '%.100s'; there are path, label, split, group, box, mask",
                             j->table.fields[i]);
        if (j->at[c] >= 0)
            return ROW_FAILS(j, 0, err, NG_E_FORMAT, "two columns '%s'", columns[c].name);
        j->at[c] = i;
    }
    for (int c = 0; c < COLUMN_COUNT; c++)
        if (columns[c].required && j->at[c] < 0)
            return ROW_FAILS(j, 0, err, NG_E_FORMAT, "expected a header with a column '%s'", columns[c].name);
    return NG_OK;
}

/* All labels, once each. */
static ng_status collect_labels(job *j, ng_error *err)
{
    ngi_buffer all = {0};
    ng_status status = NG_OK;
    size_t n = 0;
    for (int64_t row = 1; row < j->table.n_rows && status == NG_OK; row++) {
        const char *text = cell(j, row, COLUMN_LABEL);
        for (bool more = true; more && status == NG_OK; n++) {
            size_t length = strcspn(text, "|");
            if (!length)
                status = ROW_FAILS(j, row, err, NG_E_FORMAT, "an empty label in '%.100s'",
                                   cell(j, row, COLUMN_LABEL));
            more = text[length] == '|';
            if (status == NG_OK)
                status = ngi_buffer_add(&all, text, length, err);
            if (status == NG_OK)
                status = ngi_buffer_add(&all, "", 1, err);
            text += length + more;
        }
    }
    j->label_text = all.data;
    if (status != NG_OK)
        return status;
    j->labels = ngi_alloc(n, sizeof *j->labels);
    if (!j->labels)
        return ngi_fail_memory(err, n * sizeof *j->labels);
    char *text = all.data;
    for (size_t i = 0; i < n; i++, text += strlen(text) + 1)
        j->labels[i] = text;
    if (n)
        qsort(j->labels, n, sizeof *j->labels, by_bytes);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(j->labels[i], j->labels[j->n_labels - 1]) != 0)
            j->labels[j->n_labels++] = j->labels[i];
    return NG_OK;
}

static ng_status make_classes(const job *j, ngi_dataset *d, ng_error *err)
{
    if (j->n_labels > NGI_MAX_CLASSES)
        return ngi_fail(err, NG_E_LIMIT, "%s: more than %d labels", j->path, NGI_MAX_CLASSES);
    d->classes = ngi_alloc_zero(j->n_labels, sizeof *d->classes);
    if (!d->classes)
        return ngi_fail_memory(err, j->n_labels * sizeof *d->classes);
    for (; d->n_classes < (int)j->n_labels; d->n_classes++)
        if (!(d->classes[d->n_classes] = ngi_strdup(j->labels[d->n_classes])))
            return ngi_fail_memory(err, strlen(j->labels[d->n_classes]) + 1);
    return NG_OK;
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static ng_status read_labels(const job *j, int64_t row, ngi_dataset *d, ngi_data_item *item, ng_error *err)
{
    char *text = cell(j, row, COLUMN_LABEL);
    int n = 1;
    for (const char *p = text; (p = strchr(p, '|')) != NULL; p++)
        n++;
    int *labels = ngi_alloc((size_t)n, sizeof *labels);
    if (!labels)
        return ngi_fail_memory(err, (size_t)n * sizeof *labels);
    for (int i = 0; i < n; i++) {
        char *bar = strchr(text, '|');
        if (bar)
            *bar = 0;
        char **found = bsearch(&text, j->labels, j->n_labels, sizeof *j->labels, by_bytes);
        labels[i] = (int)(found - j->labels); /* collect_labels has seen it */
        text = bar ? bar + 1 : text;
    }
    qsort(labels, (size_t)n, sizeof *labels, ascending);
    int unique = 1;
    for (int i = 1; i < n; i++)
        if (labels[i] != labels[unique - 1])
            labels[unique++] = labels[i];
    item->class_index = labels[0];
    if (unique > 1) {
        item->labels = labels;
        item->n_labels = unique;
        d->multi_label = true;
    } else {
        ngi_free(labels);
    }
    return NG_OK;
}

static ng_status read_split(const job *j, int64_t row, ngi_data_item *item, ng_error *err)
{
    static const struct {
        const char *name;
        ngi_split split;
    } known[] = {{"train", NGI_SPLIT_TRAIN},
                 {"val", NGI_SPLIT_VAL},
                 {"valid", NGI_SPLIT_VAL},
                 {"validation", NGI_SPLIT_VAL},
                 {"test", NGI_SPLIT_TEST}};
    const char *text = cell(j, row, COLUMN_SPLIT);
    if (!text)
        return NG_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, text) == 0) {
            item->split = known[i].split;
            return NG_OK;
        }
    return ROW_FAILS(j, row, err, NG_E_FORMAT, "expected the split train, val or test, found '%.100s'", text);
}

static ng_status read_box(const job *j, int64_t row, ngi_data_item *item, ng_error *err)
{
    const char *text = filled(j, row, COLUMN_BOX);
    if (!text)
        return NG_OK;
    const char *p = text;
    int n = 0;
    for (; n < 4; n++) {
        char *end;
        item->box[n] = strtod(p, &end);
        if (end == p || !isfinite(item->box[n]))
            break;
        p = end;
    }
    if (n < 4 || p[strspn(p, " ")] || !(item->box[2] > 0) || !(item->box[3] > 0))
        return ROW_FAILS(j, row, err, NG_E_FORMAT,
                         "expected a box \"x y width height\" in pixels, with a size, found '%.100s'", text);
    return NG_OK;
}

static ng_status copy_text(const char *folder, const char *text, char **out, ng_error *err)
{
    *out = folder && *text != '/' ? ngi_path_join(folder, text) : ngi_strdup(text);
    return *out ? NG_OK : ngi_fail_memory(err, strlen(text) + 1);
}

static ng_status read_item(const job *j, int64_t row, ngi_dataset *d, ng_error *err)
{
    ngi_data_item *item = &d->items[d->n_items++]; /* counted at once: ngi_dataset_clear frees what it has */
    *item = (ngi_data_item){.split = NGI_SPLIT_TRAIN};
    const char *path = filled(j, row, COLUMN_PATH), *group = filled(j, row, COLUMN_GROUP),
               *mask = filled(j, row, COLUMN_MASK);
    if (!path)
        return ROW_FAILS(j, row, err, NG_E_FORMAT, "%s", "the path is empty");
    NGI_TRY(copy_text(j->folder, path, &item->path, err));
    if (group)
        NGI_TRY(copy_text(NULL, group, &item->group, err));
    if (mask)
        NGI_TRY(copy_text(j->folder, mask, &item->mask, err));
    NGI_TRY(read_split(j, row, item, err));
    NGI_TRY(read_box(j, row, item, err));
    NGI_TRY(read_labels(j, row, d, item, err));
    d->has_groups |= group != NULL;
    d->has_masks |= mask != NULL;
    d->has_boxes |= item->box[2] > 0;
    return NG_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const ngi_data_item *)a)->path, ((const ngi_data_item *)b)->path);
}

static int by_place(const void *a, const void *b)
{
    const ngi_data_item *x = a, *y = b;
    if (x->split != y->split)
        return (int)x->split - (int)y->split;
    return x->class_index != y->class_index ? x->class_index - y->class_index : by_path(a, b);
}

static ng_status read_items(job *j, ngi_dataset *d, ng_error *err)
{
    int64_t n = j->table.n_rows - 1;
    if (n < 1)
        return ngi_fail(err, NG_E_NOT_FOUND, "%s: expected a row for each image, found the header only",
                        j->path);
    if (n > NGI_MAX_ITEMS)
        return ngi_fail(err, NG_E_LIMIT, "%s: more than %lld images", j->path, (long long)NGI_MAX_ITEMS);
    NGI_TRY(make_classes(j, d, err));
    d->items = ngi_alloc((size_t)n, sizeof *d->items);
    if (!d->items)
        return ngi_fail_memory(err, (size_t)n * sizeof *d->items);
    for (int64_t row = 1; row <= n; row++)
        NGI_TRY(read_item(j, row, d, err));
    d->given_splits = j->at[COLUMN_SPLIT] >= 0;
    qsort(d->items, (size_t)n, sizeof *d->items, by_path);
    for (int64_t i = 1; i < n; i++)
        if (by_path(&d->items[i - 1], &d->items[i]) == 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: %s is listed twice", j->path, d->items[i].path);
    qsort(d->items, (size_t)n, sizeof *d->items, by_place);
    return NG_OK;
}

ng_status ngi_dataset_read_csv(const char *path, ngi_dataset *out, ng_error *err)
{
    *out = (ngi_dataset){0};
    job j = {.path = path};
    NGI_TRY(ngi_table_read(path, &j.table, err));
    j.folder = ngi_path_folder(path);
    ng_status status = j.folder ? find_columns(&j, err) : ngi_fail_memory(err, strlen(path));
    if (status == NG_OK)
        status = collect_labels(&j, err);
    if (status == NG_OK)
        status = read_items(&j, out, err);
    if (status != NG_OK)
        ngi_dataset_clear(out);
    ngi_free(j.folder);
    ngi_free(j.labels);
    ngi_free(j.label_text);
    ngi_table_clear(&j.table);
    return status;
}
