/* Class folders to a list of images. Names are bytes to us: any label that a file system can hold. */
#include "data/data.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_DEPTH 32 /* subfolders of a class: also what ends a loop of symbolic links */

typedef struct names {
    char **name;
    int64_t n;
    size_t capacity;
} names;

const char *ngi_split_name(ngi_split split)
{
#define NGI_SPLIT_TEXT(kind, text) [NGI_SPLIT_##kind] = text,
    static const char *const text[] = {NGI_SPLIT_LIST(NGI_SPLIT_TEXT)};
#undef NGI_SPLIT_TEXT
    return (unsigned)split < NGI_SPLIT_COUNT ? text[split] : "?";
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_clear(names *list)
{
    for (int64_t i = 0; i < list->n; i++)
        ngi_free(list->name[i]);
    ngi_free(list->name);
    *list = (names){0};
}

ng_status ngi_data_grow(void **array, size_t *capacity, size_t count, size_t size, ng_error *err)
{
    if (count < *capacity)
        return NG_OK;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *bigger = ngi_realloc(*array, wanted, size);
    if (!bigger)
        return ngi_fail_memory(err, wanted * size);
    *array = bigger;
    *capacity = wanted;
    return NG_OK;
}

static ng_status read_entries(DIR *dir, const char *path, names *list, ng_error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return errno ? ngi_fail(err, NG_E_IO, "%s: %s", path, strerror(errno)) : NG_OK;
        if (entry->d_name[0] == '.')
            continue;
        void *array = list->name;
        NGI_TRY(ngi_data_grow(&array, &list->capacity, (size_t)list->n, sizeof *list->name, err));
        list->name = array;
        char *copy = ngi_strdup(entry->d_name);
        if (!copy)
            return ngi_fail_memory(err, strlen(entry->d_name) + 1);
        list->name[list->n++] = copy;
    }
}

/* The entries of a folder in the order of their bytes; hidden ones left out. */
static ng_status list_folder(const char *path, names *list, ng_error *err)
{
    *list = (names){0};
    DIR *dir = opendir(path);
    if (!dir)
        return ngi_fail(err, errno == ENOENT ? NG_E_NOT_FOUND : NG_E_IO, "%s: %s", path, strerror(errno));
    ng_status status = read_entries(dir, path, list, err);
    closedir(dir);
    if (status != NG_OK)
        names_clear(list);
    else if (list->n)
        qsort(list->name, (size_t)list->n, sizeof *list->name, by_bytes);
    return status;
}

static bool is_image_name(const char *name)
{
    static const char *const endings[] = {".jpg",  ".jpeg", ".png",  ".bmp",  ".gif",
                                          ".webp", ".tif",  ".tiff", ".heic", ".heif"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

/* Takes ownership of `path`, also on failure. */
static ng_status add_item(ngi_dataset *d, char *path, int class_index, ngi_split split, ng_error *err)
{
    void *array = d->items;
    ng_status status =
        d->n_items < NGI_MAX_ITEMS
            ? ngi_data_grow(&array, &d->item_capacity, (size_t)d->n_items, sizeof *d->items, err)
            : ngi_fail(err, NG_E_LIMIT, "%s: more than %lld images", path, (long long)NGI_MAX_ITEMS);
    if (status != NG_OK) {
        ngi_free(path);
        return status;
    }
    d->items = array;
    d->items[d->n_items++] = (ngi_data_item){.path = path, .class_index = class_index, .split = split};
    return NG_OK;
}

static ng_status scan_images(ngi_dataset *d, const char *folder, int class_index, ngi_split split, int depth,
                             ng_error *err);

static ng_status scan_entry(ngi_dataset *d, const char *folder, const char *name, int class_index,
                            ngi_split split, int depth, ng_error *err)
{
    char *path = ngi_path_join(folder, name);
    if (!path)
        return ngi_fail_memory(err, strlen(folder) + strlen(name) + 2);
    if (ngi_path_is_directory(path)) {
        ng_status status = scan_images(d, path, class_index, split, depth + 1, err);
        ngi_free(path);
        return status;
    }
    if (is_image_name(name))
        return add_item(d, path, class_index, split, err);
    ngi_free(path);
    return NG_OK;
}

static ng_status scan_images(ngi_dataset *d, const char *folder, int class_index, ngi_split split, int depth,
                             ng_error *err)
{
    if (depth > MAX_DEPTH)
        return ngi_fail(err, NG_E_LIMIT, "%s: folders nested deeper than %d; is there a loop of links?",
                        folder, MAX_DEPTH);
    names list;
    NGI_TRY(list_folder(folder, &list, err));
    ng_status status = NG_OK;
    for (int64_t i = 0; i < list.n && status == NG_OK; i++)
        status = scan_entry(d, folder, list.name[i], class_index, split, depth, err);
    names_clear(&list);
    return status;
}

/* Adds the class folders of `root` that are not known yet. */
static ng_status add_classes(ngi_dataset *d, const char *root, ng_error *err)
{
    names list;
    NGI_TRY(list_folder(root, &list, err));
    ng_status status = NG_OK;
    int known = d->n_classes;
    for (int64_t i = 0; i < list.n && status == NG_OK; i++) {
        char *path = ngi_path_join(root, list.name[i]);
        if (!path) {
            status = ngi_fail_memory(err, strlen(root) + strlen(list.name[i]) + 2);
            break;
        }
        bool is_class =
            ngi_path_is_directory(path) &&
            !(known && bsearch(&list.name[i], d->classes, (size_t)known, sizeof *d->classes, by_bytes));
        ngi_free(path);
        if (!is_class)
            continue;
        void *array = d->classes;
        status =
            d->n_classes < NGI_MAX_CLASSES
                ? ngi_data_grow(&array, &d->class_capacity, (size_t)d->n_classes, sizeof *d->classes, err)
                : ngi_fail(err, NG_E_LIMIT, "%s: more than %d class folders", root, NGI_MAX_CLASSES);
        if (status == NG_OK) {
            d->classes = array;
            d->classes[d->n_classes++] = list.name[i];
            list.name[i] = NULL; /* the data set's now */
        }
    }
    names_clear(&list);
    if (d->n_classes)
        qsort(d->classes, (size_t)d->n_classes, sizeof *d->classes, by_bytes);
    return status;
}

static ng_status scan_classes(ngi_dataset *d, const char *root, ngi_split split, ng_error *err)
{
    for (int c = 0; c < d->n_classes; c++) {
        char *path = ngi_path_join(root, d->classes[c]);
        if (!path)
            return ngi_fail_memory(err, strlen(root) + strlen(d->classes[c]) + 2);
        ng_status status = ngi_path_is_directory(path) ? scan_images(d, path, c, split, 0, err)
                                                       : NG_OK; /* absent from this split */
        ngi_free(path);
        NGI_TRY(status);
    }
    return NG_OK;
}

/* The folder of a split in `root`, or NULL: none, or (in *status) no memory. */
static char *split_folder(const char *root, ngi_split split, ng_status *status, ng_error *err)
{
    static const char *const names_of[NGI_SPLIT_COUNT][3] = {[NGI_SPLIT_TRAIN] = {"train"},
                                                             [NGI_SPLIT_VAL] = {"val", "validation", "valid"},
                                                             [NGI_SPLIT_TEST] = {"test"}};
    for (int i = 0; i < 3 && names_of[split][i]; i++) {
        char *path = ngi_path_join(root, names_of[split][i]);
        if (!path) {
            *status = ngi_fail_memory(err, strlen(root) + 16);
            return NULL;
        }
        if (ngi_path_is_directory(path))
            return path;
        ngi_free(path);
    }
    return NULL;
}

static ng_status scan_root(ngi_dataset *d, const char *root, char *const folders[NGI_SPLIT_COUNT],
                           ng_error *err)
{
    d->given_splits = folders[NGI_SPLIT_TRAIN] && (folders[NGI_SPLIT_VAL] || folders[NGI_SPLIT_TEST]);
    if (!d->given_splits) {
        NGI_TRY(add_classes(d, root, err));
        NGI_TRY(scan_classes(d, root, NGI_SPLIT_TRAIN, err));
    } else {
        for (int s = 0; s < NGI_SPLIT_COUNT; s++)
            if (folders[s])
                NGI_TRY(add_classes(d, folders[s], err));
        for (int s = 0; s < NGI_SPLIT_COUNT; s++)
            if (folders[s])
                NGI_TRY(scan_classes(d, folders[s], (ngi_split)s, err));
    }
    if (d->n_items == 0)
        return ngi_fail(err, NG_E_NOT_FOUND,
                        "%s: expected one folder per class with images in it, found %d folders and no image",
                        root, d->n_classes);
    return NG_OK;
}

ng_status ngi_dataset_scan(const char *folder, ngi_dataset *out, ng_error *err)
{
    *out = (ngi_dataset){0};
    char *folders[NGI_SPLIT_COUNT] = {0};
    ng_status status = NG_OK;
    for (int s = 0; s < NGI_SPLIT_COUNT && status == NG_OK; s++)
        folders[s] = split_folder(folder, (ngi_split)s, &status, err);
    if (status == NG_OK)
        status = scan_root(out, folder, folders, err);
    for (int s = 0; s < NGI_SPLIT_COUNT; s++)
        ngi_free(folders[s]);
    if (status != NG_OK)
        ngi_dataset_clear(out);
    return status;
}

void ngi_dataset_clear(ngi_dataset *d)
{
    for (int i = 0; i < d->n_classes; i++)
        ngi_free(d->classes[i]);
    for (int64_t i = 0; i < d->n_items; i++) {
        ngi_free(d->items[i].path);
        ngi_free(d->items[i].labels);
        ngi_free(d->items[i].group);
        ngi_free(d->items[i].mask);
    }
    ngi_free(d->classes);
    ngi_free(d->items);
    *d = (ngi_dataset){0};
}

int64_t ngi_dataset_count(const ngi_dataset *d, int class_index, ngi_split split)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n_items; i++)
        n += d->items[i].class_index == class_index && d->items[i].split == split;
    return n;
}
