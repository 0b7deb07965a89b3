/* See broadcast.h. */
#include "exec/ref/broadcast.h"

ngi_walk ngi_walk_make(const ngi_shape *full, const ngi_shape *part)
{
    ngi_walk w = {0}, r = {0};
    int64_t stride = 1;
    /* w goes from the last axis to the first; r is w put right. */
    for (int k = 1; k <= full->rank; k++) {
        int64_t dim = full->dim[full->rank - k];
        int64_t have = k <= part->rank ? part->dim[part->rank - k] : 1;
        int64_t step = have == 1 ? 0 : stride;
        stride *= have;
        if (dim == 1)
            continue;
        bool inner_broadcast = w.rank > 0 && w.step[w.rank - 1] == 0;
        bool inner_full = w.rank > 0 && !inner_broadcast;
        if ((inner_broadcast && step == 0) || (inner_full && step != 0)) {
            w.dim[w.rank - 1] *= dim;
            continue;
        }
        w.dim[w.rank] = dim;
        w.step[w.rank++] = step;
    }
    if (w.rank == 0)
        w.dim[w.rank++] = 1;
    for (r.rank = 0; r.rank < w.rank; r.rank++) {
        r.dim[r.rank] = w.dim[w.rank - 1 - r.rank];
        r.step[r.rank] = w.step[w.rank - 1 - r.rank];
    }
    return r;
}

void ngi_walk_rows(const ngi_walk *w, ngi_walk_row *row, void *context)
{
    int64_t index[NGI_MAX_RANK] = {0}, at = 0, part = 0;
    const int last = w->rank - 1;
    for (;;) {
        row(context, at, part, w->step[last], w->dim[last]);
        at += w->dim[last];
        int axis = last - 1;
        for (; axis >= 0; axis--) {
            part += w->step[axis];
            if (++index[axis] < w->dim[axis])
                break;
            part -= w->step[axis] * w->dim[axis];
            index[axis] = 0;
        }
        if (axis < 0)
            return;
    }
}
