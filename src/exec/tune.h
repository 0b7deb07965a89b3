/* Which back end runs a convolution best on this machine, by measurement: kept in the cache's folder, read by every plan
 * that is made with that folder. Without a measurement the order of the back ends decides. */
#ifndef NGI_EXEC_TUNE_H
#define NGI_EXEC_TUNE_H

#include "exec/exec.h"

#define NGI_TUNE_SHAPE 128

/* One shape of convolution, with the two kernels that can run it. */
typedef struct ngi_tune_row {
    char shape[NGI_TUNE_SHAPE]; /* "3x3 17x17x768 to 17x17x192, 1 thread" */
    int steps;                  /* of the network that have it */
    char kernel[2][64];         /* names; the first is the one taken without a measurement */
    double milliseconds[2];     /* medians */
    int chosen;                 /* 0 or 1 */
} ngi_tune_row;

/* Measures every shape of the graph up to `root` for which there is a choice, `repeats` times each in turns, and keeps
 * what won in `cache` (NULL: nowhere). *rows is the caller's (ngi_free). */
NG_NODISCARD ng_status ngi_tune(const ngi_graph *g, int root, int threads, int repeats, const char *cache,
                                ngi_tune_row **rows, int *n, ng_error *err);

#endif
