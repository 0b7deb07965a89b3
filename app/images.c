/* Which files a command works on, and under which names their results are written. */
#include "images.h"

#include <dirent.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum {
    DEEPEST = 64,
    STEM_LONGEST = 160 /* bytes: leaves room for layer, method and class in a name of 255 */
};

static const char *const image_endings[] = {".jpg", ".jpeg", ".png",  ".webp", ".tif", ".tiff",
                                            ".bmp", ".gif",  ".heic", ".heif", ".npy"};

typedef struct search {
    inputs *in;
    json_t *seen;       /* paths, as an object's keys */
    struct stat output; /* st_ino 0: none */
    int deepest;        /* levels of subfolders */
    bool fine;          /* false: memory ran out */
} search;

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcasecmp(text + n - m, ending) == 0;
}

static bool is_image_name(const char *name)
{
    for (size_t i = 0; name[0] != '.' && i < sizeof image_endings / sizeof *image_endings; i++)
        if (ends_with(name, image_endings[i]))
            return true;
    return false;
}

/* Pictures and raw maps of an earlier run: a sidecar stands beside them. */
static bool is_own_result(const char *path)
{
    static const char *const kinds[] = {".heatmap", ".overlay", ".figure", ""};
    char sidecar[4400], start[64];
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof kinds / sizeof *kinds; i++) {
        size_t kind = strlen(kinds[i]), stem = (size_t)(dot - path);
        if (stem < kind || strncmp(dot - kind, kinds[i], kind) != 0)
            continue;
        snprintf(sidecar, sizeof sidecar, "%.*s.json", (int)(stem - kind), path);
        FILE *f = fopen(sidecar, "rb");
        size_t n = f ? fread(start, 1, sizeof start - 1, f) : 0;
        if (f)
            fclose(f);
        start[n] = '\0';
        if (strstr(start, "\"netgaze\""))
            return true;
    }
    return false;
}

/* The path without "./" in front and doubled slashes, to find repeats. */
static char *plain_path(const char *path)
{
    char *out = strdup(path), *to = out;
    while (strncmp(path, "./", 2) == 0)
        for (path += 2; *path == '/';)
            path++;
    for (; out && *path; path++)
        if (!(path[0] == '/' && path[1] == '/'))
            *to++ = *path;
    if (out)
        *to = '\0';
    return out;
}

static void add(search *t, const char *path)
{
    inputs *in = t->in;
    char *key = plain_path(path);
    if (key && json_object_get(t->seen, key)) {
        free(key);
        return;
    }
    bool grow = (in->count & (in->count - 1)) == 0; /* at powers of two */
    char **more =
        grow ? realloc(in->paths, (size_t)(in->count ? 2 * in->count : 1) * sizeof *more) : in->paths;
    char *copy = strdup(path);
    if (more)
        in->paths = more;
    if (!key || !more || !copy || json_object_set_new_nocheck(t->seen, key, json_true()) != 0) {
        free(copy);
        t->fine = false;
    } else {
        in->paths[in->count++] = copy;
    }
    free(key);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Images of a folder and, where wanted, its subfolders (not through links to folders). */
static void add_folder(search *t, const char *folder, int depth)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, not_hidden, by_name);
    if (n < 0)
        complain("warning: %s: the folder cannot be read", folder);
    for (int i = 0; i < n; i++) {
        char path[4352];
        struct stat st;
        bool slash = folder[strlen(folder) - 1] == '/';
        int length = snprintf(path, sizeof path, "%s%s%s", folder, slash ? "" : "/", entries[i]->d_name);
        bool known = t->fine && length < (int)sizeof path && lstat(path, &st) == 0;
        if (known && S_ISLNK(st.st_mode))
            known = stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
        bool own =
            known && S_ISDIR(st.st_mode) && t->output.st_ino == st.st_ino && t->output.st_dev == st.st_dev;
        if (known && S_ISDIR(st.st_mode) && !own && depth < t->deepest)
            add_folder(t, path, depth + 1);
        else if (known && S_ISREG(st.st_mode) && is_image_name(entries[i]->d_name) && !is_own_result(path))
            add(t, path);
        free(entries[i]);
    }
    free(entries);
}

static void add_argument(search *t, const char *path)
{
    struct stat st;
    bool there = stat(path, &st) == 0;
    glob_t matches = {0};
    if (there && S_ISDIR(st.st_mode)) {
        int before = t->in->count;
        add_folder(t, path, 0);
        if (t->fine && t->in->count == before)
            complain("warning: %s: no images in this folder%s", path,
                     t->deepest ? "" : " itself; -r takes its subfolders");
    } else if (!there && strpbrk(path, "*?[") && glob(path, 0, NULL, &matches) == 0) {
        for (size_t i = 0; i < matches.gl_pathc && t->fine; i++)
            if (stat(matches.gl_pathv[i], &st) == 0 && !S_ISDIR(st.st_mode))
                add(t, matches.gl_pathv[i]);
    } else {
        add(t, path); /* a missing file is reported, and counted, in its turn */
    }
    globfree(&matches);
}

/* ---- Names for results ---------------------------------------------------------------------- */

/* Appends path[0..length) to a name of at most STEM_LONGEST bytes, without cutting a character. */
static void append_stem(char *name, const char *from, size_t length)
{
    size_t used = strlen(name);
    if (length > STEM_LONGEST - used)
        for (length = STEM_LONGEST - used; length > 0 && (from[length] & 0xC0) == 0x80;)
            length--;
    memcpy(name + used, from, length);
    name[used + length] = '\0';
}

static void split(const char *path, const char **parent, size_t *parent_length, const char **stem,
                  size_t *stem_length)
{
    const char *slash = strrchr(path, '/');
    *stem = slash ? slash + 1 : path;
    const char *dot = strrchr(*stem, '.');
    *stem_length = dot && dot != *stem ? (size_t)(dot - *stem) : strlen(*stem);
    const char *end = slash ? slash : path;
    while (end > path && end[-1] == '/')
        end--;
    const char *start = end;
    while (start > path && start[-1] != '/')
        start--;
    *parent = start;
    *parent_length = (size_t)(end - start);
}

/* The file's stem; where that is taken, with its folder's name before it, and then with a number after it. */
static char *choose_stem(json_t *taken, const char *path)
{
    const char *parent, *stem;
    size_t parent_length, stem_length;
    char name[STEM_LONGEST + 16] = "";
    split(path, &parent, &parent_length, &stem, &stem_length);
    append_stem(name, stem, stem_length);
    if (json_object_get(taken, name) && parent_length && *parent != '.') {
        *name = '\0';
        append_stem(name, parent, parent_length);
        append_stem(name, "-", 1);
        append_stem(name, stem, stem_length);
    }
    size_t length = strlen(name);
    for (int i = 2; json_object_get(taken, name); i++)
        snprintf(name + length, sizeof name - length, "-%d", i);
    return json_object_set_new_nocheck(taken, name, json_true()) == 0 ? strdup(name) : NULL;
}

static bool choose_stems(inputs *in)
{
    json_t *taken = json_object();
    in->stems = calloc((size_t)in->count + 1, sizeof *in->stems);
    bool fine = taken && in->stems;
    for (int i = 0; fine && i < in->count; i++)
        fine = (in->stems[i] = choose_stem(taken, in->paths[i])) != NULL;
    json_decref(taken);
    return fine;
}

int find_inputs(const settings *s, int first, const char *output, inputs *out)
{
    *out = (inputs){0};
    search t = {.in = out, .seen = json_object(), .deepest = s->recursive ? DEEPEST : 0};
    if (output && stat(output, &t.output) != 0)
        t.output = (struct stat){0};
    t.fine = t.seen != NULL;
    for (int i = first; i < s->n_arguments && t.fine; i++)
        add_argument(&t, s->arguments[i]);
    json_decref(t.seen);
    if (!t.fine || !choose_stems(out))
        return say_out_of_memory();
    if (out->count == 0) {
        complain("no images given; see --help");
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

void inputs_clear(inputs *in)
{
    for (int i = 0; i < in->count; i++) {
        free(in->paths[i]);
        if (in->stems)
            free(in->stems[i]);
    }
    free(in->paths);
    free(in->stems);
    *in = (inputs){0};
}
