/* What evaluate and compare share (evaluate.c). */
#ifndef NETGAZE_APP_JUDGE_H
#define NETGAZE_APP_JUDGE_H

#include "explain.h"
#include "work.h"

/* One progress line for each kind of work. */
typedef struct watching {
    progress progress;
    const char *what;
    bool wanted;
} watching;

/* The options but layer and command; `image` and `w` must live as long as `o`. */
int read_judging(const settings *s, watching *w, ng_image_opts *image, ng_evaluate_opts *o);
json_t *figure_json(ng_figure f);

#endif
