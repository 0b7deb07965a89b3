/* Reruns: which maps an earlier run has finished. A sidecar is written last, so its existence means that its files are
 * whole; it counts when model, image and conventions are those of now and its files are still there. A machine that lost
 * power may have left empty files: they do not count. */
#include "explain.h"
#include "options.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(explain_job *j, int *room, const char *name)
{
    if (j->n_listing == *room) {
        int wanted = *room ? 2 * *room : 256;
        char **more = realloc(j->listing, (size_t)wanted * sizeof *more);
        if (!more)
            return false;
        j->listing = more;
        *room = wanted;
    }
    if (!(j->listing[j->n_listing] = strdup(name)))
        return false;
    j->n_listing++;
    return true;
}

int list_sidecars(explain_job *j)
{
    if (j->s->force || !(j->outputs & OUTPUT_SIDECAR))
        return EXIT_DONE;
    DIR *d = opendir(j->folder);
    if (!d) {
        complain("%s: %s", j->folder, strerror(errno));
        return EXIT_ENVIRONMENT;
    }
    int room = 0;
    bool fine = true;
    for (struct dirent *e; fine && (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (n > 5 && strcmp(e->d_name + n - 5, ".json") == 0)
            fine = add_name(j, &room, e->d_name);
    }
    closedir(d);
    if (j->n_listing)
        qsort(j->listing, (size_t)j->n_listing, sizeof *j->listing, by_text);
    return fine ? EXIT_DONE : say_out_of_memory();
}

void free_listing(explain_job *j)
{
    for (int i = 0; i < j->n_listing; i++)
        free(j->listing[i]);
    free(j->listing);
}

/* The first listed name that is not before `name`. */
static int lower_bound(const explain_job *j, const char *name)
{
    int low = 0, high = j->n_listing;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(j->listing[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool file_is_there(const char *path)
{
    struct stat st;
    return access(path, R_OK) == 0 && stat(path, &st) == 0 && st.st_size > 0;
}

static bool files_are_there(const json_t *line)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(line, "files"), key,
                        value) if (!file_is_there(json_string_value(value))) return false;
    return true;
}

/* A sidecar of the folder by its name, if it counts for this input. */
static json_t *load_sidecar(const explain_job *j, const char *name, int input, int view)
{
    char *path;
    if (asprintf(&path, "%s/%s", j->folder, name) < 0)
        return NULL;
    json_t *sidecar = json_load_file(path, 0, NULL);
    free(path);
    if (sidecar && sidecar_matches(j, sidecar, input, j->views[view].conventions))
        return sidecar;
    json_decref(sidecar);
    return NULL;
}

/* The line of a sidecar, if it stands under the name that this run would give it and its files are there. */
static json_t *line_of(const explain_job *j, const json_t *sidecar, const char *name, int input, int item,
                       int view)
{
    char *base = set_path(j, input, item, view, (int)json_integer_value(json_object_get(sidecar, "index")));
    size_t n = base ? strlen(base) : 0, m = strlen(name) - strlen(".json"), folder = strlen(j->folder) + 1;
    json_t *line = NULL;
    if (base && n == folder + m && strncmp(base + folder, name, m) == 0)
        line = result_of_sidecar(j, sidecar, input, base);
    free(base);
    if (line && files_are_there(line))
        return line;
    json_decref(line);
    return NULL;
}

/* A map that was found: its line, its class and the class's rank. */
typedef struct found {
    json_t *line;
    json_int_t index, rank, items;
} found;

/* What stands in the folder of one view of one item: [*n], to be freed. */
static found *find_maps(const explain_job *j, int input, int item, int view, int *n)
{
    char *path = set_path(j, input, item, view, 0), *prefix = path ? path + strlen(j->folder) + 1 : NULL;
    found *list = NULL;
    *n = 0;
    if (!path)
        return NULL;
    const char *compat = j->render.compat == NG_COMPAT_NONE ? "" : ng_compat_name(j->render.compat);
    prefix[strlen(prefix) - strlen(compat) - (*compat ? 2 : 1)] = '\0'; /* without class and compat */
    size_t length = strlen(prefix);
    for (int i = lower_bound(j, prefix); i < j->n_listing && strncmp(j->listing[i], prefix, length) == 0;
         i++) {
        json_t *sidecar = load_sidecar(j, j->listing[i], input, view);
        json_t *line = sidecar ? line_of(j, sidecar, j->listing[i], input, item, view) : NULL;
        found *more = line ? realloc(list, ((size_t)*n + 1) * sizeof *more) : NULL;
        if (more) {
            list = more;
            list[(*n)++] = (found){line, json_integer_value(json_object_get(sidecar, "index")),
                                   json_integer_value(json_object_get(sidecar, "rank")),
                                   json_integer_value(json_object_get(sidecar, "items"))};
        } else {
            json_decref(line);
        }
        json_decref(sidecar);
    }
    free(path);
    return list;
}

/* The found map of the k-th class that is asked for, or NULL. */
static const found *wanted_map(const explain_job *j, int input, const found *list, int n, int k)
{
    bool by_rank = j->n_classes == 0 || j->classes[k] == PREDICTED;
    json_int_t wanted = j->n_classes == 0 ? k : by_rank ? 0 : j->classes[k];
    if (!by_rank && wanted == TRUE_CLASS)
        wanted = j->truth[input];
    for (int i = 0; i < n; i++)
        if ((by_rank ? list[i].rank : list[i].index) == wanted)
            return &list[i];
    return NULL;
}

static bool has_class(const int *classes, int n, json_int_t index)
{
    for (int i = 0; i < n; i++)
        if (classes[i] == index)
            return true;
    return false;
}

/* Appends the lines of one view in the order asked for; false where one is missing. classes[*n] gets what they are. */
static bool take_view(const explain_job *j, int input, int item, int view, json_t *lines, int *classes,
                      int *n, json_int_t *items)
{
    int n_found, wanted = j->n_classes ? j->n_classes : j->top;
    found *list = find_maps(j, input, item, view, &n_found);
    bool whole = true;
    *n = 0;
    for (int k = 0; k < wanted && whole; k++) {
        const found *f = wanted_map(j, input, list, n_found, k);
        whole = f != NULL;
        if (!whole || has_class(classes, *n, f->index)) /* the predicted class may be named as well */
            continue;
        json_array_append(lines, f->line);
        classes[(*n)++] = (int)f->index;
        *items = f->items;
    }
    for (int i = 0; i < n_found; i++)
        json_decref(list[i].line);
    free(list);
    return whole;
}

/* All maps of one item; *items is how many items the input has, 0 where they have no numbers. */
static bool take_item(const explain_job *j, int input, int item, json_t *lines, json_int_t *items)
{
    int wanted = j->n_classes ? j->n_classes : j->top, n = 0;
    int *classes = malloc((size_t)wanted * sizeof *classes);
    bool whole = classes != NULL;
    for (int view = 0; view < j->n_views && whole; view++)
        whole = take_view(j, input, item, view, lines, classes, &n, items);
    if (whole && j->grid)
        whole = grid_is_there(j, input, item, classes, n);
    free(classes);
    return whole;
}

json_t *find_earlier(const explain_job *j, int input)
{
    if (j->n_listing == 0)
        return NULL;
    json_t *lines = json_array();
    json_int_t items = 0;
    bool whole = take_item(j, input, -1, lines, &items);
    if (!whole) {
        json_array_clear(lines);
        whole = take_item(j, input, 0, lines, &items);
        for (int item = 1; whole && item < items; item++)
            whole = take_item(j, input, item, lines, &items);
    }
    if (whole)
        return lines;
    json_decref(lines);
    return NULL;
}

json_t *find_earlier_map(const explain_job *j, int input, int item, int view, int class_index)
{
    char *base = j->n_listing ? set_path(j, input, item, view, class_index) : NULL, *name = NULL;
    json_t *line = NULL;
    if (base && asprintf(&name, "%s.json", base + strlen(j->folder) + 1) >= 0) {
        int at = lower_bound(j, name);
        bool listed = at < j->n_listing && strcmp(j->listing[at], name) == 0;
        json_t *sidecar = listed ? load_sidecar(j, name, input, view) : NULL;
        line = sidecar ? line_of(j, sidecar, name, input, item, view) : NULL;
        json_decref(sidecar);
        free(name);
    }
    free(base);
    return line;
}
