/* Maps for which the time sufficed to look at some of the channels or windows only: drawn at random, they are a sample of all,
 * and how far the map is likely to be off is known (Cochran, Sampling Techniques, 1977: without replacement, chapter 2; the
 * ratio of two means, chapter 6). */
#ifndef NGI_PARTIAL_H
#define NGI_PARTIAL_H

#include "attr/attr.h"

/* Puts a list in an order drawn at random, the same every time: any beginning of it is a sample of the whole. */
void ngi_partial_order(int *list, int n);

/* A sum over channels of which `seen` [n] of `total` are known. */
typedef struct ngi_partial {
    const float *act; /* [cells,channels] */
    int64_t cells, channels;
    const int *seen; /* [n] channels */
    const double *
        weights; /* [channels] by which they make the map, already those of the whole: the sum times total / n; or */
    bool ratio; /*   normalised to 1 over those seen (a softmax) */
    int n, total;
} ngi_partial;

/* Mean standard error of the map's cells, where the map is sum_k weights[k] A_k; -1 of less than two channels. */
double ngi_partial_error(const ngi_partial *p, const ng_map *map);
/* Sets the map's note: how many `what` were seen, and the standard error; not known below 0. */
void ngi_partial_note(ng_map *map, const char *what, int n, int total, double error);

/* "standard error of a value 0.1, 0.02 of the map's range"; not known below 0. Returns text. */
enum { NGI_ERROR_TEXT = 80 };
const char *ngi_error_text(char text[NGI_ERROR_TEXT], double error, const ng_map *map);

#endif
