/* Classes in the order of their scores. */
#include "ranking.h"

#include <math.h>
#include <stdlib.h>

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (isnan(x->score) != isnan(y->score))
        return isnan(x->score) ? 1 : -1;
    if (x->score > y->score || x->score < y->score)
        return x->score < y->score ? 1 : -1;
    return x->index - y->index;
}

ranked *rank_classes(const float *scores, int n)
{
    ranked *order = malloc((size_t)n * sizeof *order);
    for (int i = 0; order && i < n; i++)
        order[i] = (ranked){i, scores[i]};
    if (order)
        qsort(order, (size_t)n, sizeof *order, by_score);
    return order;
}

bool write_failure_json(FILE *out, const char *image, const char *error)
{
    json_t *o = json_object();
    json_object_set_new(o, "image", json_text(image));
    json_object_set_new(o, "status", json_string("error"));
    json_object_set_new(o, "error", json_text(error));
    return write_json_line(out, o);
}
