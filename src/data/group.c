/* Groups: from a pattern over file names, dealt whole, and never in two splits. */
#include "data/group.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

static int by_group(const void *a, const void *b)
{
    const ngi_group_member *x = a, *y = b;
    int order = x->group && y->group ? strcmp(x->group, y->group) : (x->group == NULL) - (y->group == NULL);
    return order ? order : x->item < y->item ? -1 : x->item > y->item;
}

ngi_group_member *ngi_group_members(const ngi_dataset *d)
{
    ngi_group_member *m = ngi_alloc((size_t)d->n_items, sizeof *m);
    if (!m)
        return NULL;
    for (int64_t i = 0; i < d->n_items; i++)
        m[i] = (ngi_group_member){d->items[i].group, i};
    if (d->n_items)
        qsort(m, (size_t)d->n_items, sizeof *m, by_group);
    return m;
}

bool ngi_group_same(const ngi_group_member *a, const ngi_group_member *b)
{
    return a->group && b->group && strcmp(a->group, b->group) == 0;
}

static ng_status name_group(ngi_data_item *item, const char *pattern, const regex_t *compiled, ng_error *err)
{
    const char *slash = strrchr(item->path, '/'), *name = slash ? slash + 1 : item->path;
    regmatch_t match[2];
    if (regexec(compiled, name, 2, match, 0) != 0)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: the group pattern '%s' does not match the file's name",
                        item->path, pattern);
    const regmatch_t *part = compiled->re_nsub > 0 && match[1].rm_so >= 0 ? &match[1] : &match[0];
    item->group = ngi_strndup(name + part->rm_so, (size_t)(part->rm_eo - part->rm_so));
    return item->group ? NG_OK : ngi_fail_memory(err, strlen(name) + 1);
}

ng_status ngi_group_by_pattern(ngi_dataset *d, const char *pattern, ng_error *err)
{
    regex_t compiled;
    int code = regcomp(&compiled, pattern, REG_EXTENDED);
    if (code) {
        char text[200];
        regerror(code, &compiled, text, sizeof text);
        return ngi_fail(err, NG_E_ARGUMENT, "the group pattern '%s': %s", pattern, text);
    }
    ng_status status = NG_OK;
    for (int64_t i = 0; i < d->n_items && status == NG_OK; i++)
        if (!d->items[i].group)
            status = name_group(&d->items[i], pattern, &compiled, err);
    d->has_groups = true;
    regfree(&compiled);
    return status;
}

/* Given splits must not share a group: a model would be judged on what it learnt. */
static ng_status check_leak(const ngi_dataset *d, ng_error *err)
{
    ngi_group_member *m = ngi_group_members(d);
    if (!m)
        return ngi_fail_memory(err, (size_t)d->n_items * sizeof *m);
    ng_status status = NG_OK;
    for (int64_t i = 1; i < d->n_items && status == NG_OK; i++) {
        const ngi_data_item *a = &d->items[m[i - 1].item], *b = &d->items[m[i].item];
        if (ngi_group_same(&m[i - 1], &m[i]) && a->split != b->split)
            status = ngi_fail(err, NG_E_ARGUMENT,
                              "the group '%s' is in two splits: %s in %s, %s in %s; give all of a group the "
                              "same split, or none",
                              a->group, a->path, ngi_split_name(a->split), b->path, ngi_split_name(b->split));
    }
    ngi_free(m);
    return status;
}

ng_status ngi_dataset_open(const char *path, const ngi_data_options *options, ngi_dataset *out, ng_error *err)
{
    NGI_TRY(ngi_path_is_directory(path) ? ngi_dataset_scan(path, out, err)
                                        : ngi_dataset_read_csv(path, out, err));
    ng_status status = NG_OK;
    if (options && options->group_pattern)
        status = ngi_group_by_pattern(out, options->group_pattern, err);
    if (status == NG_OK && out->given_splits && out->has_groups)
        status = check_leak(out, err);
    if (status != NG_OK)
        ngi_dataset_clear(out);
    return status;
}
