/* A line of JSON for each image and row, appended to DIR/scores.jsonl as it is found: a rerun with the same conventions reads
 * them and goes on. A line that an interrupt cut short is passed over. */
#include "score.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *key_of(const char *method, const char *layer, const char *parameters, const char *image)
{
    char *key;
    return asprintf(&key, "%s %s %s %s", method, layer, parameters, image) < 0 ? NULL : key;
}

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text ? text : "";
}

static bool read_line(scoring *k, const char *text)
{
    json_t *line = json_loads(text, 0, NULL);
    if (!line || strcmp(text_of(line, "conventions"), k->conventions) != 0) {
        json_decref(line);
        return true;
    }
    char *key = key_of(text_of(line, "method"), text_of(line, "layer"), text_of(line, "parameters"),
                       text_of(line, "image"));
    bool fine = key && json_object_set_new(k->records, key, line) == 0;
    free(key);
    return fine;
}

static int read_records(scoring *k, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return EXIT_DONE;
    char *text = NULL;
    size_t room = 0;
    bool fine = true;
    while (fine && !k->s.force && getline(&text, &room, f) >= 0)
        fine = read_line(k, text);
    free(text);
    fclose(f);
    return fine ? EXIT_DONE : say_out_of_memory();
}

int open_records(scoring *k)
{
    char *path;
    k->records = json_object();
    if (!k->records)
        return say_out_of_memory();
    if (!k->s.output)
        return EXIT_DONE;
    int code = make_folder(k->s.output);
    if (code != EXIT_DONE)
        return code;
    if (asprintf(&path, "%s/scores.jsonl", k->s.output) < 0)
        return say_out_of_memory();
    code = read_records(k, path);
    k->kept = code == EXIT_DONE ? fopen(path, "a+") : NULL;
    if (code == EXIT_DONE && !k->kept) {
        complain("%s: %s", path, strerror(errno));
        code = EXIT_ENVIRONMENT;
    }
    if (k->kept && fseek(k->kept, -1, SEEK_END) == 0 && fgetc(k->kept) != '\n') {
        (void)fseek(k->kept, 0, SEEK_END);
        fputc('\n', k->kept); /* behind a line that was cut short */
    }
    free(path);
    return code;
}

json_t *find_record(scoring *k, int item, int row)
{
    const score_row *r = &k->rows[row];
    char *key = key_of(r->method, r->layer, r->parameters, k->j.in.paths[item]);
    pthread_mutex_lock(&k->lock);
    json_t *line = key ? json_object_get(k->records, key) : NULL;
    pthread_mutex_unlock(&k->lock);
    free(key);
    return line;
}

bool keep_record(scoring *k, int item, int row, json_t *line)
{
    const score_row *r = &k->rows[row];
    char *key = key_of(r->method, r->layer, r->parameters, k->j.in.paths[item]);
    pthread_mutex_lock(&k->lock);
    bool fine = line && key && json_object_set(k->records, key, line) == 0;
    if (fine && k->kept) /* with all digits, so that a rerun gives the same table */
        fine = json_dumpf(line, k->kept, JSON_COMPACT | JSON_REAL_PRECISION(17)) == 0 &&
               fputc('\n', k->kept) != EOF && fflush(k->kept) == 0;
    pthread_mutex_unlock(&k->lock);
    json_decref(line);
    free(key);
    return fine;
}
