/* Walking a small tensor that NumPy-broadcasts against a full one. */
#ifndef NGI_EXEC_REF_BROADCAST_H
#define NGI_EXEC_REF_BROADCAST_H

#include "tensor/tensor.h"

/* The full shape with neighbouring axes merged where the small tensor advances through them alike. */
typedef struct ngi_walk {
    int rank;                   /* >= 1 */
    int64_t dim[NGI_MAX_RANK];  /* of the full tensor */
    int64_t step[NGI_MAX_RANK]; /* elements the small tensor advances; 0: broadcast */
} ngi_walk;

ngi_walk ngi_walk_make(const ngi_shape *full, const ngi_shape *part);

/* Calls `row` for each innermost row: n elements of the full tensor at offset `at`, of the small one at
 * `part`, where it advances by `step` (0 or 1). */
typedef void ngi_walk_row(void *context, int64_t at, int64_t part, int64_t step, int64_t n);
void ngi_walk_rows(const ngi_walk *w, ngi_walk_row *row, void *context);

#endif
