/* How raw maps are scaled for display (ng_norm). A map that is zero everywhere stays at 0: no epsilon, no
 * NaN. */
#include "viz/scale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/names.h"
#include "tensor/tensor.h"

#define SHOWN_SHARE 0.99 /* NG_NORM_PERCENTILE */

static const char *const norm_names[] = {
    [NG_NORM_MAX] = "max",     [NG_NORM_MINMAX] = "minmax", [NG_NORM_PERCENTILE] = "percentile",
    [NG_NORM_RANGE] = "range", [NG_NORM_NONE] = "none",
};
#define NORM_COUNT (sizeof norm_names / sizeof *norm_names)

const char *ng_norm_name(ng_norm norm)
{
    return (size_t)norm < NORM_COUNT ? norm_names[norm] : "unknown";
}

ng_status ng_norm_find(const char *name, ng_norm *out, ng_error *err)
{
    int found;
    NGI_TRY(ngi_name_find("normalisation", name, norm_names, NORM_COUNT, &found, err));
    *out = (ng_norm)found;
    return NG_OK;
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The 99th percentile of |values|, between neighbours linearly, as numpy.percentile. */
static ng_status percentile(const float *values, int64_t n, double *out, ng_error *err)
{
    float *sorted = ngi_alloc((size_t)n, sizeof *sorted);
    if (!sorted)
        return ngi_fail_memory(err, (size_t)n * sizeof *sorted);
    for (int64_t i = 0; i < n; i++)
        sorted[i] = fabsf(values[i]);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_floats);
    double at = SHOWN_SHARE * (double)(n - 1);
    int64_t below = (int64_t)at, above = below + 1 < n ? below + 1 : below;
    *out = sorted[below] + (at - (double)below) * ((double)sorted[above] - sorted[below]);
    ngi_free(sorted);
    return NG_OK;
}

ng_status ngi_scale_of(const float *values, int64_t n, const ng_render_opts *opts, ngi_scale *out,
                       ng_error *err)
{
    float min, max;
    ngi_min_max(values, n, &min, &max);
    double reach = fmaxf(fabsf(min), fabsf(max));
    ngi_scale s = {0, max};
    switch (opts->norm) {
    case NG_NORM_MAX:
        break;
    case NG_NORM_MINMAX:
        s.low = min;
        break;
    case NG_NORM_PERCENTILE:
        NGI_TRY(percentile(values, n, &reach, err));
        s.high = reach;
        break;
    case NG_NORM_RANGE:
        if (!isfinite(opts->norm_low) || !isfinite(opts->norm_high) || !(opts->norm_low < opts->norm_high))
            return ngi_fail(err, NG_E_ARGUMENT, "the range %g..%g is not an interval", (double)opts->norm_low,
                            (double)opts->norm_high);
        s = (ngi_scale){opts->norm_low, opts->norm_high};
        reach = fmax(fabs(s.low), fabs(s.high));
        break;
    case NG_NORM_NONE:
        s = (ngi_scale){0, 1};
        reach = 1;
        break;
    default:
        return ngi_fail(err, NG_E_ARGUMENT, "normalisation %d is not known", (int)opts->norm);
    }
    if (opts->use_signed)
        s = (ngi_scale){-reach, reach};
    else if (!(s.high > s.low)) /* nothing positive to show */
        s.high = s.low;
    *out = s;
    return NG_OK;
}

void ngi_scale_apply(ngi_scale scale, const float *values, int64_t n, float *display)
{
    double extent = scale.high - scale.low;
    for (int64_t i = 0; i < n; i++) {
        double v = extent > 0 ? (values[i] - scale.low) / extent : 0;
        display[i] = (float)(v < 0 ? 0 : v > 1 ? 1 : v);
    }
}
