/* The percentile bootstrap of a mean (Efron, "Bootstrap methods: another look at the jackknife", 1979), whole groups at a time
 * where values are not independent (Davison and Hinkley, "Bootstrap methods and their application", 1997, section 3.8). */
#include <math.h>

#include "base/random.h"
#include "metrics/interval.h"

/* Sums of a group's values, and how many it has. */
typedef struct group_sum {
    int group;
    double sum;
    int64_t n;
} group_sum;

/* One entry for each group (groups NULL: each value), in the order in which they appear. Returns how many. */
static int64_t sum_groups(const double *values, const int *groups, int64_t n, group_sum *out)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(values[i]))
            continue;
        int64_t at = groups ? 0 : found;
        while (at < found && out[at].group != groups[i])
            at++;
        if (at == found)
            out[found++] = (group_sum){.group = groups ? groups[i] : 0};
        out[at].sum += values[i];
        out[at].n++;
    }
    return found;
}

static double draw_mean(const group_sum *sums, int64_t n, uint64_t seed, uint64_t stream)
{
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = (int64_t)(ngi_random_uniform(seed, stream, (uint64_t)i) * (double)n);
        sum += sums[at].sum;
        count += sums[at].n;
    }
    return sum / (double)count;
}

ng_status ng_mean_bootstrap(const double *values, const int *groups, int64_t n, double confidence,
                            int resamples, uint64_t seed, ng_mean *out, ng_error *err)
{
    *out = (ng_mean){NAN, NAN, NAN, 0};
    if (n < 0 || !(confidence > 0 && confidence < 1) || resamples < 1)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "bootstrap: confidence %g, %d resamples: expected 0 to 1, and 1 or more", confidence,
                        resamples);
    group_sum *sums = ngi_alloc((size_t)n, sizeof *sums);
    double *draws = ngi_alloc((size_t)resamples, sizeof *draws);
    if (sums && draws) {
        int64_t count = sum_groups(values, groups, n, sums);
        double sum = 0;
        for (int64_t i = 0; i < count; i++) {
            sum += sums[i].sum;
            out->n += sums[i].n;
        }
        for (int k = 0; k < resamples && count; k++)
            draws[k] = draw_mean(sums, count, seed, (uint64_t)k);
        if (count) {
            ngi_interval interval =
                ngi_percentile_interval(sum / (double)out->n, draws, resamples, confidence);
            out->value = interval.value;
            out->low = interval.low;
            out->high = interval.high;
        }
    }
    bool fine = sums && draws;
    ngi_free(sums);
    ngi_free(draws);
    return fine ? NG_OK : ngi_fail_memory(err, (size_t)n * sizeof *sums + (size_t)resamples * sizeof *draws);
}
