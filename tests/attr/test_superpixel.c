/* Kernel SHAP of a sample of the coalitions: the standard error that is said is how far the values are off, and what the sample
 * does not tell is shared evenly. */
#include "attr/scene.h"

#include "attr/slic.h"

enum { SEGMENTS = 6, SEEDS = 60, PIXELS = SIDE * SIDE };

static int labels[PIXELS];

/* phi [n] as the map shows them; returns the standard error that the note says, -1 where it is not known. */
static double values(const scene *s, runner *r, const char *samples, int seed, double *phi)
{
    char parameters[160];
    ng_error err = {0};
    ng_map map;
    snprintf(parameters, sizeof parameters, "baseline=black,segments=%d,compactness=100,%s,seed=%d", SEGMENTS,
             samples, seed);
    request q = {.class_index = 2, .threads = 1, .parameters = parameters};
    CHECK_OK(explain(s, r, ngi_method_find("kernelshap", &err), q, &map, &err), err);
    for (int p = 0; p < PIXELS; p++)
        phi[labels[p]] = map.signed_data[p];
    double error = -1;
    const char *said = strstr(map.note, "standard error of a value ");
    if (said)
        error = atof(said + strlen("standard error of a value "));
    else if (!strstr(map.note, "not known") && !strstr(map.note, "exact"))
        fail_msg("nothing is said of the error: '%s'", map.note);
    ng_map_clear(&map);
    return error;
}

static int open_scene(scene *s, runner *r)
{
    ng_error err = {0};
    int n;
    *s = make_scene(false);
    CHECK_OK(ngi_slic(s->input, SIDE, SIDE, 3, 1, SEGMENTS, 100, labels, &n, &err), err);
    assert_true(n >= 4 && n <= 9);
    CHECK_OK(open_runner(s, "ref", BATCH, r, &err), err);
    return n;
}

static void the_error_said_is_the_error_made(void **state)
{
    (void)state;
    scene s;
    runner r;
    int n = open_scene(&s, &r);
    double exact[16], phi[16], said = 0, squares[16] = {0}, found = 0;
    (void)values(&s, &r, "samples=1024", 0, exact);
    /* fewer than all coalitions, that they are drawn */
    char few[32];
    snprintf(few, sizeof few, "samples=%d", (1 << n) - 2);
    for (int seed = 0; seed < SEEDS; seed++) {
        said += values(&s, &r, few, seed, phi) / SEEDS;
        for (int k = 0; k < n; k++)
            squares[k] += (phi[k] - exact[k]) * (phi[k] - exact[k]) / SEEDS;
    }
    for (int k = 0; k < n; k++)
        found += sqrt(squares[k]) / n;
    if (!(said > 0.6 * found && said < 1.6 * found))
        fail_msg("%g is said, %g found", said, found);
    close_runner(&r);
    free_scene(&s);
}

/* One coalition and its complement: within each of both the values are the same, and all of them add up to the rise. */
static void what_is_not_known_is_shared_evenly(void **state)
{
    (void)state;
    scene s;
    runner r;
    int n = open_scene(&s, &r);
    double all[16], phi[16], rise = 0, sum = 0;
    (void)values(&s, &r, "samples=1024", 0, all);
    assert_true(values(&s, &r, "samples=4", 1, phi) < 0);
    int kinds = 0;
    double seen[16];
    for (int k = 0; k < n; k++) {
        rise += all[k];
        sum += phi[k];
        int i = 0;
        while (i < kinds && fabs(seen[i] - phi[k]) > 1e-4 * fabs(phi[k]))
            i++;
        if (i == kinds)
            seen[kinds++] = phi[k];
    }
    CHECK_NEAR(sum, rise, 1e-4 * fabs(rise));
    assert_true(kinds == 2);
    close_runner(&r);
    free_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_said_is_the_error_made),
        cmocka_unit_test(what_is_not_known_is_shared_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
