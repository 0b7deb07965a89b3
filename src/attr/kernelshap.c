/* Kernel SHAP (Lundberg & Lee, 2017): Shapley values of superpixels by least squares, held to sum = S(x) - S(x0). Coalitions are
 * drawn by the Shapley kernel's distribution of their sizes, each with its complement; all of them where they are few. What the
 * samples do not tell is shared evenly. */
#include "attr/least_squares.h"
#include "attr/partial.h"
#include "attr/superpixel.h"
#include "base/random.h"

#include <math.h>

static const ng_method_parameter parameters[] = {
    {.name = "samples", .value = 2000, .low = 2, .high = 1000000, .whole = 1, .summary = "coalitions"},
    NGI_SEGMENT_PARAMETERS,
    NGI_COVER_PARAMETERS,
};

extern const ngi_method ngi_method_kernelshap;

/* ---- Coalitions ------------------------------------------------------------------------------- */

/* Of so few superpixels all coalitions are run where the samples suffice. */
static bool is_enumerable(int n, int count)
{
    return n <= 20 && (1 << n) <= count;
}

static double binomial(int n, int k)
{
    double value = 1;
    for (int i = 1; i <= k; i++)
        value = value * (n - k + i) / i;
    return value;
}

/* A coalition whose size has the kernel's distribution, by partial shuffling. */
static void draw_coalition(uint8_t *on, int n, uint64_t seed, uint64_t stream, int *order)
{
    double total = 0, sum = 0, u = ngi_random_uniform(seed, stream, 0);
    int size = 1;
    for (int k = 1; k < n; k++)
        total += 1.0 / ((double)k * (n - k));
    for (; size < n - 1; size++) {
        sum += 1.0 / ((double)size * (n - size)) / total;
        if (u < sum)
            break;
    }
    for (int k = 0; k < n; k++) {
        order[k] = k;
        on[k] = 0;
    }
    for (int k = 0; k < size; k++) {
        int other = k + (int)(ngi_random_uniform(seed, stream, (uint64_t)k + 1) * (n - k)), swap = order[k];
        order[k] = order[other];
        order[other] = swap;
        on[order[k]] = 1;
    }
}

static void complement(uint8_t *on, int n)
{
    for (int k = 0; k < n; k++)
        on[k] = !on[k - n];
}

/* All coalitions that have not the last superpixel, but the empty one; in a hurry in an order drawn at random. room
 * [2^(n-1) - 1]. */
static void enumerate(ngi_study *s, bool hurried, int *room)
{
    int pairs = (1 << (s->n - 1)) - 1;
    for (int j = 0; j < pairs; j++)
        room[j] = j + 1;
    if (hurried)
        ngi_partial_order(room, pairs);
    for (int j = 0; j < pairs; j++) {
        uint8_t *on = s->samples + (int64_t)(2 * j + 2) * s->n;
        for (int k = 0; k < s->n; k++)
            on[k] = room[j] >> k & 1;
        complement(on + s->n, s->n);
    }
}

/* Samples 0 and 1: nothing and everything; then pairs. */
static ng_status draw(const ngi_attr_job *job, ngi_study *s, uint64_t seed, ng_error *err)
{
    bool all = is_enumerable(s->n, s->count);
    size_t count = all ? (size_t)1 << (s->n - 1) : (size_t)s->n;
    int *room = ngi_alloc(count, sizeof *room);
    if (!room)
        return ngi_fail_memory(err, count * sizeof *room);
    for (int k = 0; k < s->n; k++) {
        s->samples[k] = 0;
        s->samples[s->n + k] = 1;
    }
    s->count = all ? 1 << s->n : s->count;
    if (all)
        enumerate(s, job->seconds > 0, room);
    for (int i = 2; i < s->count && !all; i++) {
        uint8_t *on = s->samples + (int64_t)i * s->n;
        if (i % 2 == 0)
            draw_coalition(on, s->n, seed, (uint64_t)i, room);
        else
            complement(on, s->n);
    }
    ngi_free(room);
    return NG_OK;
}

/* ---- Least squares ---------------------------------------------------------------------------- */

/* Coalitions that were drawn have their kernel in their number. */
static double weight_of(const ngi_study *s, const uint8_t *on)
{
    int size = 0;
    for (int k = 0; k < s->n; k++)
        size += on[k];
    bool all = is_enumerable(s->n, s->count);
    return all ? (s->n - 1) / (binomial(s->n, size) * size * (s->n - size)) : 1;
}

/* What a sample's score is above an even share of the rise. */
static double surplus(const ngi_study *s, int i)
{
    const uint8_t *on = s->samples + (int64_t)i * s->n;
    double y = s->scores[i] - s->scores[0], share = (s->scores[1] - s->scores[0]) / s->n;
    for (int k = 0; k < s->n; k++)
        y -= on[k] ? share : 0;
    return y;
}

/* How much a value is likely to be off. A coalition and its complement say of the same difference, with the sign turned: a pair
 * is one observation, and there must be twice as many as unknowns. -1: not known. */
static double error_of(const ngi_study *s, int count, const double *psi, const double *a, double *meat,
                       double *room)
{
    int m = s->n - 1, pairs = (count - 1) / 2;
    if (pairs < 2 * m)
        return -1;
    for (int j = 1; j <= pairs; j++) {
        const uint8_t *on = s->samples + (int64_t)(2 * j) * s->n;
        double score = 0;
        for (int i = 2 * j; i < 2 * j + 2 && i < count; i++) {
            double rest = surplus(s, i), sign = i % 2 ? -1 : 1;
            for (int k = 0; k < m; k++)
                rest -= sign * psi[k] * (on[k] - on[m]);
            score += sign * weight_of(s, on) * rest;
        }
        for (int k = 0; k < m; k++)
            for (int l = 0; l < m && on[k] != on[m]; l++)
                meat[k * m + l] += score * score * (on[k] - on[m]) * (on[l] - on[m]);
    }
    return ngi_fit_error(a, meat, m, room) * sqrt((double)pairs / (pairs - m));
}

/* min sum w (surplus - sum psi)^2 with sum psi = 0, psi the values less an even share: the last one is eliminated. So little
 * that it only decides what is undecided is added for the size of psi. */
static ng_status fit(const ngi_attr_job *job, ngi_study *s, int count, double *phi, ng_error *err)
{
    (void)job;
    int m = s->n - 1;
    size_t square = (size_t)m * (size_t)m;
    double *a = ngi_alloc_zero(2 * square + (size_t)m, sizeof *a), trace = 0, rest = 0;
    if (!a)
        return ngi_fail_memory(err, 2 * square * sizeof *a);
    for (int i = 2; i < count; i++) {
        const uint8_t *on = s->samples + (int64_t)i * s->n;
        double weight = weight_of(s, on), y = surplus(s, i);
        for (int k = 0; k < m; k++) {
            double x = on[k] - on[m];
            phi[k] += weight * x * y;
            for (int l = 0; l <= k && x != 0; l++)
                a[k * m + l] += weight * x * (on[l] - on[m]);
        }
    }
    for (int k = 0; k < m; k++)
        trace += a[k * m + k];
    for (int k = 0; k < m; k++)
        for (int l = 0; l <= k; l++) {
            a[k * m + l] += (k == l ? 2e-9 : 1e-9) * (trace > 0 ? trace / m : 1);
            a[l * m + k] = a[k * m + l];
        }
    (void)ngi_fit_solve(a, phi, m, NGI_FIT_LEAST);
    s->exact = is_enumerable(s->n, s->count) && count == s->count;
    s->error = s->exact ? 0 : error_of(s, count, phi, a, a + square, a + 2 * square);
    double share = (s->scores[1] - s->scores[0]) / s->n;
    for (int k = 0; k < m; k++) {
        rest -= phi[k];
        phi[k] += share;
    }
    phi[m] = rest + share;
    ngi_free(a);
    return NG_OK;
}

static const ngi_fitting fitting = {&ngi_method_kernelshap, draw, fit};

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    return ngi_superpixel_map(job, &fitting, map, err);
}

const ngi_method ngi_method_kernelshap = {
    .info =
        {
            .name = "kernelshap",
            .title = "Kernel SHAP",
            .summary = "Shapley values of superpixels: the score's rise, shared out fairly",
            .cost = "samples forwards",
            .source = "Lundberg & Lee 2017, arXiv:1705.07874",
            .assumes = "superpixels that follow the objects; a baseline that shows nothing",
            .at_input = 1,
            .samples = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
