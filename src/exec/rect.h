/* Rectangles of a map's pixels. */
#ifndef NGI_EXEC_RECT_H
#define NGI_EXEC_RECT_H

#include "exec/exec.h"

static inline bool ngi_rect_empty(ngi_rect r)
{
    return r.y0 >= r.y1 || r.x0 >= r.x1;
}

static inline bool ngi_rect_equal(ngi_rect a, ngi_rect b)
{
    return a.y0 == b.y0 && a.y1 == b.y1 && a.x0 == b.x0 && a.x1 == b.x1;
}

static inline int64_t ngi_rect_area(ngi_rect r)
{
    return ngi_rect_empty(r) ? 0 : (r.y1 - r.y0) * (r.x1 - r.x0);
}

/* The smallest that holds both. */
static inline ngi_rect ngi_rect_join(ngi_rect a, ngi_rect b)
{
    if (ngi_rect_empty(a))
        return b;
    if (ngi_rect_empty(b))
        return a;
    return (ngi_rect){a.y0 < b.y0 ? a.y0 : b.y0, a.y1 > b.y1 ? a.y1 : b.y1, a.x0 < b.x0 ? a.x0 : b.x0,
                      a.x1 > b.x1 ? a.x1 : b.x1};
}

/* What both hold; all zeros where that is nothing. */
static inline ngi_rect ngi_rect_meet(ngi_rect a, ngi_rect b)
{
    ngi_rect r = {a.y0 > b.y0 ? a.y0 : b.y0, a.y1 < b.y1 ? a.y1 : b.y1, a.x0 > b.x0 ? a.x0 : b.x0,
                  a.x1 < b.x1 ? a.x1 : b.x1};
    return ngi_rect_empty(r) ? (ngi_rect){0} : r;
}

/* The results [from, to) of an axis whose windows meet the inputs [from, to). */
static inline void ngi_window_axis(int64_t *from, int64_t *to, int64_t taps, int64_t stride, int64_t before,
                                   int64_t size)
{
    int64_t first = *from + before - (taps - 1), end = (*to - 1 + before) / stride + 1;
    *from = first <= 0 ? 0 : (first + stride - 1) / stride;
    *to = end < size ? end : size;
}

#endif
