/* The true class of every image: from a table "path,label" (CSV, as RFC 4180 has it), or from the folder an image lies
 * in. */
#include "explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The next field of a line, unquoted in place; *line moves behind its comma. NULL at the line's end. */
static char *next_field(char **line)
{
    char *in = *line, *out = in, *field = in;
    if (!in)
        return NULL;
    bool quoted = *in == '"';
    in += quoted;
    for (; *in && (quoted || *in != ','); in++) {
        if (quoted && *in == '"' && in[1] != '"') {
            quoted = false;
            continue;
        }
        in += quoted && *in == '"';
        *out++ = *in;
    }
    *line = *in == ',' ? in + 1 : NULL;
    *out = '\0';
    return field;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* One row: the label of its path, and of the bare file name where no other row has that. */
static void add_row(json_t *table, const char *path, const char *label)
{
    const char *name = name_of(path);
    json_t *other = json_object_get(table, name);
    json_object_set_new(table, path, json_text(label));
    if (name == path)
        return;
    if (!other)
        json_object_set_new(table, name, json_text(label));
    else if (strcmp(json_string_value(other), label) != 0)
        json_object_set_new(table, name, json_string("")); /* ambiguous */
}

static int read_table(const char *path, json_t *table)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        complain("--truth: %s: %s", path, strerror(errno));
        return EXIT_USAGE;
    }
    char *line = NULL;
    size_t room = 0;
    int number = 0, code = EXIT_DONE;
    for (ssize_t n; code == EXIT_DONE && (n = getline(&line, &room, f)) >= 0;) {
        number++;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = '\0';
        char *rest = line, *file = next_field(&rest), *label = next_field(&rest);
        bool header = number == 1 &&
                      (!strcasecmp(file, "path") || !strcasecmp(file, "image") || !strcasecmp(file, "file"));
        if (n == 0 || header)
            continue;
        if (label && *label)
            add_row(table, file, label);
        else {
            complain("--truth: %s, line %d: expected PATH,LABEL", path, number);
            code = EXIT_USAGE;
        }
    }
    fclose(f);
    free(line);
    return code;
}

/* "birds/jay.jpg" -> "birds"; to be freed. */
static char *folder_label(const char *path)
{
    const char *slash = strrchr(path, '/'), *start = slash;
    if (!slash)
        return strdup("");
    while (start > path && start[-1] != '/')
        start--;
    return strndup(start, (size_t)(slash - start));
}

static char *label_of(const explain_job *j, const json_t *table, const char *path)
{
    if (strcmp(j->s->truth, "folders") == 0)
        return folder_label(path);
    json_t *found = json_object_get(table, path);
    if (!found)
        found = json_object_get(table, name_of(path));
    return strdup(found ? json_string_value(found) : "");
}

int read_truth(explain_job *j)
{
    json_t *table = json_object();
    j->truth = malloc((size_t)j->in.count * sizeof *j->truth);
    int code = table && j->truth ? EXIT_DONE : say_out_of_memory(), missing = 0, first = -1;
    if (code == EXIT_DONE && strcmp(j->s->truth, "folders") != 0)
        code = read_table(j->s->truth, table);
    for (int i = 0; i < j->in.count && code == EXIT_DONE; i++) {
        char *label = label_of(j, table, j->in.paths[i]);
        j->truth[i] = -1;
        if (!label)
            code = say_out_of_memory();
        else if (*label == '\0' || ng_model_find_class(j->model, label, &j->truth[i], NULL) != NG_OK) {
            j->truth[i] = -1;
            first = missing++ ? first : i;
        }
        free(label);
    }
    json_decref(table);
    if (code == EXIT_DONE && missing && !j->s->quiet)
        complain("--truth: %d of %d images have no class of this model, such as %s", missing, j->in.count,
                 j->in.paths[first]);
    return code;
}
