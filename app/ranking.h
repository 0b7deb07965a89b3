/* Classes in the order of their scores, and what classify and explain print alike. */
#ifndef NETGAZE_APP_RANKING_H
#define NETGAZE_APP_RANKING_H

#include "app.h"

typedef struct ranked {
    int index;
    float score;
} ranked;

/* Classes by falling score, equal ones by index, NaN last: [n], to be freed; NULL when memory ran out. */
ranked *rank_classes(const float *scores, int n);

/* The line of an image that could not be done; false when memory ran out. */
bool write_failure_json(FILE *out, const char *image, const char *error);

#endif
