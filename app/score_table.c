/* score's table: means over the images with bootstrap intervals, groups drawn whole. */
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 2000, FIXED = 9 /* share 0.5 */ };

/* The columns: the name in a line and in the table, and what it is called there. */
static const struct column {
    const char *name, *title;
    bool local; /* of localisation */
} columns[] = {{"energy", "energy", true},
               {"pointing", "pointing", true},
               {"pointing_near", "near", true},
               {"rank", "rank", true},
               {"iou", "IoU", true},
               {"box_iou", "box IoU", true},
               {"deletion", "deletion", false},
               {"insertion", "insertion", false},
               {"drop", "drop", false},
               {"increase", "increase", false},
               {"road", "ROAD", false},
               {"coherency", "coherency", false},
               {"complexity", "complexity", false},
               {"adcc", "ADCC", false},
               {"area", "area", true},
               {"right", "right", false},
               {"seconds", "seconds", false},
               {"forwards", "forwards", false}};
enum { COLUMNS = sizeof columns / sizeof *columns, IOU = 4, SHOWN = 14, SECONDS = 16 };

typedef struct result {
    ng_mean means[COLUMNS];
    int share; /* index of the IoU threshold */
    int tuned; /* images that it was tuned on; 0: it was not */
    int64_t n;
} result;

static double value_of(const json_t *line, const char *name, int share)
{
    const json_t *v = json_object_get(line, name);
    if (json_is_array(v))
        v = json_array_get(v, (size_t)share);
    return json_is_boolean(v) ? json_is_true(v) : json_is_number(v) ? json_number_value(v) : NAN;
}

/* The share of the best mean IoU on the images for tuning; *n of them. */
static int tune_share(scoring *k, int row, int *n)
{
    double sums[NG_IOU_SHARES] = {0};
    int best = 0;
    *n = 0;
    for (int i = 0; i < k->j.in.count; i++) {
        const json_t *line = k->items[i].tunes ? find_record(k, i, row) : NULL;
        if (!line || !json_object_get(line, "iou"))
            continue;
        ++*n;
        for (int s = 0; s < NG_IOU_SHARES; s++)
            sums[s] += value_of(line, "iou", s);
    }
    for (int s = 1; s < NG_IOU_SHARES; s++)
        best = sums[s] > sums[best] ? s : best;
    return *n ? best : FIXED;
}

/* The number of the item's group; of one without, a number of its own. */
static int group_of(json_t *seen, const char *group, int item)
{
    if (!group || !*group)
        return -1 - item;
    json_t *number = json_object_get(seen, group);
    if (!number) {
        number = json_integer((json_int_t)json_object_size(seen));
        json_object_set_new(seen, group, number);
    }
    return (int)json_integer_value(number);
}

static ng_status sum_row(scoring *k, int row, double *values, int *groups, result *out, ng_error *err)
{
    json_t *seen = json_object();
    ng_status status = seen ? NG_OK : fail_memory(err);
    out->share = tune_share(k, row, &out->tuned);
    for (int c = 0; c < COLUMNS && status == NG_OK; c++) {
        int n = 0;
        for (int i = 0; i < k->j.in.count; i++) {
            const json_t *line = k->items[i].tunes ? NULL : find_record(k, i, row);
            if (!line)
                continue;
            groups[n] = group_of(seen, k->items[i].data.group, i);
            values[n++] = value_of(line, columns[c].name, out->share);
        }
        out->n = n;
        status = ng_mean_bootstrap(values, groups, n, 0.95, RESAMPLES, 1, &out->means[c], err);
    }
    json_decref(seen);
    return status;
}

/* ---- As JSON and CSV ------------------------------------------------------------------------- */

static json_t *result_json(const scoring *k, int row, const result *r)
{
    const score_row *s = &k->rows[row];
    json_t *o = json_object();
    json_object_set_new(o, "method", json_string(s->method));
    json_object_set_new(o, "layer", json_text(s->layer));
    json_object_set_new(o, "parameters", json_text(s->parameters));
    json_object_set_new(o, "images", json_integer(r->n));
    json_object_set_new(o, "iou_threshold", json_number((r->share + 1) / 20.0));
    json_object_set_new(o, "iou_tuned_on", json_integer(r->tuned));
    for (int c = 0; c < COLUMNS; c++) {
        const ng_mean *m = &r->means[c];
        json_t *mean = m->n ? json_object() : json_null();
        if (m->n) {
            json_object_set_new(mean, "value", json_number(m->value));
            json_object_set_new(mean, "low", json_number(m->low));
            json_object_set_new(mean, "high", json_number(m->high));
        }
        json_object_set_new(o, columns[c].name, mean);
    }
    return o;
}

static void write_csv_header(FILE *f)
{
    fputs("method,layer,parameters,images,iou_threshold,iou_tuned_on", f);
    for (int c = 0; c < COLUMNS; c++)
        fprintf(f, ",%s,%s_low,%s_high", columns[c].name, columns[c].name, columns[c].name);
    fputs("\r\n", f);
}

static void write_csv_row(const scoring *k, int row, const result *r, FILE *f)
{
    const score_row *s = &k->rows[row];
    fprintf(f, "%s,%s,\"%s\",%lld,%.2f,%d", s->method, s->layer, s->parameters, (long long)r->n,
            (r->share + 1) / 20.0, r->tuned);
    for (int c = 0; c < COLUMNS; c++) {
        const ng_mean *m = &r->means[c];
        if (m->n)
            fprintf(f, ",%.4g,%.4g,%.4g", m->value, m->low, m->high);
        else
            fputs(",,,", f);
    }
    fputs("\r\n", f);
}

static int write_csv_file(const scoring *k, const result *results)
{
    char *text = NULL, *path = NULL;
    size_t size = 0;
    ng_error err;
    FILE *f = open_memstream(&text, &size);
    if (!f || asprintf(&path, "%s/scores.csv", k->s.output) < 0)
        return say_out_of_memory();
    write_csv_header(f);
    for (int r = 0; r < k->n_rows; r++)
        write_csv_row(k, r, &results[r], f);
    int code = fclose(f) == 0 ? EXIT_DONE : say_out_of_memory();
    if (code == EXIT_DONE && ng_file_save(path, text, size, &err) != NG_OK) {
        complain("%s", err.text);
        code = EXIT_ENVIRONMENT;
    }
    free(path);
    free(text);
    return code;
}

/* ---- As text --------------------------------------------------------------------------------- */

static void print_mean(const ng_mean *m)
{
    if (m->n)
        printf("  %.3f %.2f-%.2f", m->value, m->low, m->high);
    else
        printf("  %15s", "-");
}

static void print_text(const scoring *k, const result *results)
{
    bool shown[COLUMNS] = {false};
    printf("%-20s %-12s %6s", "method", "layer", "images");
    for (int c = 0; c < SHOWN; c++) {
        for (int r = 0; r < k->n_rows; r++)
            shown[c] = shown[c] || results[r].means[c].n > 0;
        if (shown[c])
            printf("  %-15s", columns[c].title);
    }
    printf("  seconds  forwards\n");
    for (int r = 0; r < k->n_rows; r++) {
        printf("%-20s %-12s %6lld", k->rows[r].method, k->rows[r].layer, (long long)results[r].n);
        for (int c = 0; c < SHOWN; c++)
            if (shown[c])
                print_mean(&results[r].means[c]);
        printf("  %7.3f  %8.1f\n", results[r].means[SECONDS].value, results[r].means[SECONDS + 1].value);
    }
    const ng_mean *area = &results[0].means[SECONDS - 2], *right = &results[0].means[SECONDS - 1];
    printf("\nMeans with 95%% bootstrap intervals. The class explained is the predicted one in %.0f%% of the "
           "images.\n",
           100 * right->value);
    if (area->n)
        printf("The things cover %.1f%% of their images: the energy of a map that knows nothing. IoU at the "
               "threshold that was best\non %d validation images (0.5 where there are none); near: within 15 "
               "pixels.\n",
               100 * area->value, results[0].tuned);
}

int print_scores(scoring *k)
{
    size_t n = (size_t)k->j.in.count;
    double *values = calloc(n + 1, sizeof *values);
    int *groups = calloc(n + 1, sizeof *groups);
    result *results = calloc((size_t)k->n_rows + 1, sizeof *results);
    ng_error err = {0};
    ng_status status = values && groups && results ? NG_OK : NG_E_MEMORY;
    for (int r = 0; r < k->n_rows && status == NG_OK; r++)
        status = sum_row(k, r, values, groups, &results[r], &err);
    int code = status == NG_OK ? EXIT_DONE : say_out_of_memory();
    for (int r = 0; r < k->n_rows && code == EXIT_DONE && k->s.json; r++)
        if (!write_json_line(stdout, result_json(k, r, &results[r])))
            code = say_out_of_memory();
    if (code == EXIT_DONE && k->s.csv) {
        write_csv_header(stdout);
        for (int r = 0; r < k->n_rows; r++)
            write_csv_row(k, r, &results[r], stdout);
    }
    if (code == EXIT_DONE && !k->s.json && !k->s.csv)
        print_text(k, results);
    if (code == EXIT_DONE && k->s.output)
        code = write_csv_file(k, results);
    free(values);
    free(groups);
    free(results);
    return code;
}
