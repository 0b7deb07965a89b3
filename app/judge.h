/* What evaluate and compare share (evaluate.c). */
#ifndef NETGAZE_APP_JUDGE_H
#define NETGAZE_APP_JUDGE_H

#include "explain.h"
#include "work.h"

/* One run of the library that judges: its options, and a progress line for each kind of work. */
typedef struct judging {
    ng_evaluate_opts o;
    ng_image_opts image;
    char *command; /* as it was typed */
    progress progress;
    const char *what;
    bool wanted;
} judging;

/* The options but layer and command; pointers in `o` lead into *j. */
int read_judging(const settings *s, judging *j);
/* Makes the folder; from here on the run can be interrupted. Where it gives EXIT_DONE it is to be ended. */
int begin_judging(const settings *s, judging *j);
/* Says why `status` is a failure, if it is. */
int end_judging(judging *j, ng_status status, const ng_error *err);
/* Says how many images could not be read again to be shown; EXIT_SOME_FAILED if there are any, or left-out ones. */
int say_gone(int64_t gone, int64_t left_out);
json_t *figure_json(ng_figure f);
void print_share(const char *name, ng_figure f);

#endif
