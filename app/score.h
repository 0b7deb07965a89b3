/* What score.c (the request), score_image.c (one image), score_records.c (lines kept in the folder) and score_table.c (the
 * figures) share. */
#ifndef NETGAZE_APP_SCORE_H
#define NETGAZE_APP_SCORE_H

#include <pthread.h>

#include "explain.h"

/* Maps that are no methods, scored beside them. */
#define CONTROLS(X) X(EDGES, "edges") X(CENTRE, "centre")

typedef enum control {
#define CONTROL_ENUM(name, text) name,
    CONTROLS(CONTROL_ENUM)
#undef CONTROL_ENUM
        CONTROL_COUNT
} control;

extern const char *const control_names[CONTROL_COUNT];

/* A row of the table: a view or a control. */
typedef struct score_row {
    int view; /* -1: a control */
    control control;
    const char *method, *layer, *parameters;
} score_row;

/* An image of the table, or one that thresholds are tuned on. */
typedef struct score_item {
    ng_data_item data; /* label NULL where the images have none */
    int class_index;   /* -1: the predicted one */
    bool tunes;
} score_item;

typedef struct scoring {
    explain_job j;
    settings s;        /* the job's: without controls among the methods */
    ng_data *data;     /* NULL: plain images */
    score_item *items; /* [j.in.count] */
    score_row rows[MOST_VIEWS + CONTROL_COUNT];
    int n_rows;
    bool controls[CONTROL_COUNT];
    ng_faithfulness_opts faithful;
    bool locate, adcc;
    char *conventions;    /* everything that decides a figure beside image and row */
    json_t *records;      /* by "row image": the line of an image and a row */
    FILE *kept;           /* where lines are appended, or NULL */
    pthread_mutex_t lock; /* of records and kept */
} scoring;

/* ---- score_records.c ------------------------------------------------------------------------- */

int open_records(
    scoring *k); /* reads what an earlier run left; EXIT_DONE, or another code after saying why */
/* The line of an image and a row, borrowed; NULL: there is none. */
json_t *find_record(scoring *k, int item, int row);
/* Takes the line; false when it could not be kept. */
bool keep_record(scoring *k, int item, int row, json_t *line);

/* ---- score_image.c --------------------------------------------------------------------------- */

void score_images(void *context, ng_session *session, job *j); /* a job_function; the context is a scoring */

/* ---- score_table.c --------------------------------------------------------------------------- */

int print_scores(scoring *k);

#endif
