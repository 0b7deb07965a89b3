/* The leading principal component of tables of few dimensions: what a block of vectors finds beyond their rank is rounding,
 * which must not be taken for directions. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "attr/principal.h"
#include "base/random.h"

enum { ROWS = 300, COLUMNS = 9 };

/* The same by power iteration on the columns: the projection on the first right singular vector. */
static void expect(const double *x, double *projection)
{
    double centred[ROWS * COLUMNS], v[COLUMNS], next[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) {
        double mean = 0;
        for (int r = 0; r < ROWS; r++)
            mean += x[r * COLUMNS + c] / ROWS;
        for (int r = 0; r < ROWS; r++)
            centred[r * COLUMNS + c] = x[r * COLUMNS + c] - mean;
        v[c] = 1 + 0.1 * c;
    }
    for (int step = 0; step < 3000; step++) {
        double size = 0;
        memset(next, 0, sizeof next);
        for (int r = 0; r < ROWS; r++) {
            double along = 0;
            for (int c = 0; c < COLUMNS; c++)
                along += centred[r * COLUMNS + c] * v[c];
            projection[r] = along;
            for (int c = 0; c < COLUMNS; c++)
                next[c] += along * centred[r * COLUMNS + c];
        }
        for (int c = 0; c < COLUMNS; c++)
            size += next[c] * next[c];
        for (int c = 0; c < COLUMNS; c++)
            v[c] = size > 0 ? next[c] / sqrt(size) : 0;
    }
}

static void check_table(const double *x, const char *what)
{
    double found[ROWS], expected[ROWS], largest = 0, sign = 0;
    ng_error err = {0};
    CHECK_OK(ngi_principal_projection(x, ROWS, COLUMNS, found, &err), err);
    expect(x, expected);
    for (int r = 0; r < ROWS; r++) {
        largest = fmax(largest, fabs(expected[r]));
        sign += found[r] * expected[r];
    }
    for (int r = 0; r < ROWS; r++)
        if (!(fabs(found[r] - copysign(1, sign) * expected[r]) <= 1e-6 * largest))
            fail_msg("%s, row %d: %g, expected %g of at most %g", what, r, found[r], expected[r], largest);
}

/* Global maximum pooling sends each channel's gradient to one cell. */
static void one_cell_a_channel(void **state)
{
    (void)state;
    for (int kinds = 1; kinds <= COLUMNS; kinds++) {
        double x[ROWS * COLUMNS] = {0};
        for (int c = 0; c < kinds; c++)
            x[(37 * c + 11) % ROWS * COLUMNS + c] = pow(0.2, c);
        char what[32];
        snprintf(what, sizeof what, "%d cells", kinds);
        check_table(x, what);
    }
}

static void products_of_few_vectors(void **state)
{
    (void)state;
    for (int rank = 1; rank <= COLUMNS; rank++) {
        double x[ROWS * COLUMNS] = {0};
        for (int k = 0; k < rank; k++)
            for (int r = 0; r < ROWS; r++)
                for (int c = 0; c < COLUMNS; c++)
                    x[r * COLUMNS + c] += pow(0.3, k) * ngi_random_normal(5, (uint64_t)k, (uint64_t)r) *
                                          ngi_random_normal(6, (uint64_t)k, (uint64_t)c);
        char what[32];
        snprintf(what, sizeof what, "rank %d", rank);
        check_table(x, what);
    }
}

static void nothing_has_no_direction(void **state)
{
    (void)state;
    double x[ROWS * COLUMNS], found[ROWS];
    ng_error err = {0};
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = i % COLUMNS; /* constant channels */
    CHECK_OK(ngi_principal_projection(x, ROWS, COLUMNS, found, &err), err);
    for (int r = 0; r < ROWS; r++)
        CHECK_NEAR(found[r], 0, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cell_a_channel),
        cmocka_unit_test(products_of_few_vectors),
        cmocka_unit_test(nothing_has_no_direction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
