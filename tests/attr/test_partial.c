/* Maps of a part of the channels: the standard error that is said is how far they are off the whole, over many draws. */
#include "check.h"

#include "attr/partial.h"
#include "base/random.h"

#include <math.h>

enum { CELLS = 12, TOTAL = 60, SEEN = 20, DRAWS = 400 };

static float act[CELLS * TOTAL];
static double scores[TOTAL];

/* cells [CELLS] = sum over the channels listed of what each adds, as the two rules have it; the weights [TOTAL] too. */
static void make_map(const int *list, int n, bool ratio, double *weights, float *cells)
{
    double sum = 0;
    for (int s = 0; s < n; s++)
        sum += exp(scores[list[s]]);
    for (int k = 0; k < TOTAL; k++)
        weights[k] = 0;
    for (int s = 0; s < n; s++)
        weights[list[s]] = ratio ? exp(scores[list[s]]) / sum : scores[list[s]] * TOTAL / n;
    for (int i = 0; i < CELLS; i++) {
        double value = 0;
        for (int k = 0; k < TOTAL; k++)
            value += weights[k] * act[i * TOTAL + k];
        cells[i] = (float)value;
    }
}

static void draw(int *list, uint64_t stream)
{
    for (int i = 0; i < TOTAL; i++)
        list[i] = i;
    for (int i = 0; i < SEEN; i++) {
        int k = i + (int)(ngi_random_uniform(3, stream, (uint64_t)i) * (TOTAL - i)), kept = list[i];
        list[i] = list[k];
        list[k] = kept;
    }
}

static void check_rule(bool ratio)
{
    int list[TOTAL];
    double weights[TOTAL], said = 0, squares[CELLS] = {0}, found = 0;
    float whole[CELLS], cells[CELLS];
    draw(list, 0);
    make_map(list, TOTAL, ratio, weights, whole);
    ngi_partial p = {.act = act,
                     .cells = CELLS,
                     .channels = TOTAL,
                     .seen = list,
                     .weights = weights,
                     .ratio = ratio,
                     .total = TOTAL};
    ng_map map = {.height = 1, .width = CELLS, .signed_data = cells};
    for (int d = 0; d < DRAWS; d++) {
        draw(list, (uint64_t)d);
        p.n = SEEN;
        make_map(list, SEEN, ratio, weights, cells);
        said += ngi_partial_error(&p, &map) / DRAWS;
        for (int i = 0; i < CELLS; i++)
            squares[i] += ((double)cells[i] - whole[i]) * ((double)cells[i] - whole[i]) / DRAWS;
    }
    for (int i = 0; i < CELLS; i++)
        found += sqrt(squares[i]) / CELLS;
    if (!(fabs(said / found - 1) <= 0.1))
        fail_msg("ratio %d: %g is said, %g found", (int)ratio, said, found);
}

static void the_error_said_is_the_error_made(void **state)
{
    (void)state;
    for (int i = 0; i < CELLS * TOTAL; i++)
        act[i] = (float)ngi_random_uniform(1, 0, (uint64_t)i);
    for (int k = 0; k < TOTAL; k++)
        scores[k] = 0.7 * ngi_random_normal(2, 0, (uint64_t)k);
    check_rule(false);
    check_rule(true);
}

static void all_of_them_have_no_error(void **state)
{
    (void)state;
    int list[TOTAL];
    double weights[TOTAL];
    float cells[CELLS];
    ng_map map = {.height = 1, .width = CELLS, .signed_data = cells};
    draw(list, 0);
    make_map(list, TOTAL, true, weights, cells);
    ngi_partial p = {.act = act,
                     .cells = CELLS,
                     .channels = TOTAL,
                     .seen = list,
                     .weights = weights,
                     .ratio = true,
                     .n = TOTAL,
                     .total = TOTAL};
    assert_true(ngi_partial_error(&p, &map) == 0);
    p.n = 1;
    assert_true(ngi_partial_error(&p, &map) < 0);
}

static void an_order_holds_everything_once(void **state)
{
    (void)state;
    int list[TOTAL], seen[TOTAL] = {0}, moved = 0;
    for (int i = 0; i < TOTAL; i++)
        list[i] = i;
    ngi_partial_order(list, TOTAL);
    for (int i = 0; i < TOTAL; i++) {
        seen[list[i]]++;
        moved += list[i] != i;
    }
    for (int i = 0; i < TOTAL; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > TOTAL / 2);
    ngi_partial_order(list, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_said_is_the_error_made),
        cmocka_unit_test(all_of_them_have_no_error),
        cmocka_unit_test(an_order_holds_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
