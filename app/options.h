/* The option table: parsing, --help, the manual page and shell completion all come from its rows. */
#ifndef NETGAZE_APP_OPTIONS_H
#define NETGAZE_APP_OPTIONS_H

#include <stddef.h>

#include "app.h"

typedef enum option_kind {
    OPTION_TEXT,
    OPTION_CHOICE,  /* one of the row's choices */
    OPTION_CHOICES, /* some of them, with commas */
    OPTION_FILE,
    OPTION_FOLDER,
    OPTION_INTEGER,
    OPTION_NUMBER,
    OPTION_SECONDS, /* a number, an "s" after it allowed */
    OPTION_FLAG,
} option_kind;

typedef struct option_row {
    const char *name;   /* "--layer" */
    const char *letter; /* "-l", or NULL */
    const char *value;  /* "NAME,...", NULL for flags */
    option_kind kind;
    size_t at;                  /* offset in settings */
    unsigned commands;          /* bits */
    double low, high;           /* of numbers */
    const char *initial;        /* default, as it would be typed; NULL: none */
    const char *(*choice)(int); /* choices by index, NULL after the last; or NULL */
    const char *help;
} option_row;

extern const option_row option_rows[];
extern const int option_row_count;

/* choices.c: what the library knows, by index; NULL after the last. */
const char *method_choice(int i);
const char *score_choice(int i); /* methods, controls, all */
const char *figure_choice(int i);
const char *substrate_choice(int i);
const char *target_choice(int i);
const char *smooth_choice(int i);
const char *fuse_choice(int i);
const char *compat_choice(int i);
const char *colormap_choice(int i);
const char *norm_choice(int i);
const char *render_norm_choice(int i); /* with class and dataset, which are not the library's */
const char *format_choice(int i), *dtype_choice(int i);
const char *fit_choice(int i);
const char *resize_choice(int i);
const char *preprocess_choice(int i);
const char *output_choice(int i);
const char *picture_format_choice(int i);
const char *backend_choice(int i);
const char *pooling_choice(int i);
const char *loss_choice(int i);
const char *optimizer_choice(int i);
const char *schedule_choice(int i);
const char *precision_choice(int i);
const char *control_choice(int i);
const char *split_choice(int i);

/* nearest.c: the candidate that was most likely meant, or NULL if none is near. */
const char *nearest_name(const char *typed, const char *const *candidates, int n);

/* options.c: fills `s` from argv[2..]; EXIT_DONE, or another code after saying what is wrong. */
int parse_options(const command *c, int argc, char **argv, settings *s);
/* The choices of a row as "a, b or c"; buffer of `size`. */
void list_choices(const option_row *row, const char *last, char *out, size_t size);

void print_help(const command *c); /* help.c */

#endif
