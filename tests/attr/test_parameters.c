/* Parameters of methods: defaults, values, choices, and what is refused. */
#include "check.h"

#include "attr/attr.h"

static const ng_method_parameter rows[] = {
    {.name = "samples", .value = 25, .low = 1, .high = 1000, .whole = 1},
    {.name = "sigma", .value = 0.15, .low = 0, .high = 1},
    {.name = "variant", .choices = "paper|pgc|tkv"},
};
static const ng_method_info method = {.name = "test", .parameter_count = 3, .parameters = rows};
static const ng_method_info bare = {.name = "bare"};

static void values_are_read(void **state)
{
    (void)state;
    double v[NGI_MAX_PARAMETERS];
    ng_error err;
    CHECK_OK(ngi_parameters_read(&method, NULL, v, &err), err);
    assert_true(v[0] == 25 && v[1] == 0.15 && v[2] == 0);
    CHECK_OK(ngi_parameters_read(&method, "variant=tkv,samples=7", v, &err), err);
    assert_true(v[0] == 7 && v[1] == 0.15 && v[2] == 2);
    CHECK_OK(ngi_parameters_read(&bare, "", v, &err), err);
}

static void wrong_ones_are_refused(void **state)
{
    (void)state;
    double v[NGI_MAX_PARAMETERS];
    ng_error err;
    CHECK_FAILS(ngi_parameters_read(&method, "sample=3", v, &err), NG_E_ARGUMENT, err,
                "samples, sigma, variant");
    CHECK_FAILS(ngi_parameters_read(&method, "samples=0", v, &err), NG_E_ARGUMENT, err, "1 to 1000");
    CHECK_FAILS(ngi_parameters_read(&method, "samples=2.5", v, &err), NG_E_ARGUMENT, err, "whole");
    CHECK_FAILS(ngi_parameters_read(&method, "sigma=nan", v, &err), NG_E_ARGUMENT, err, "0 to 1");
    CHECK_FAILS(ngi_parameters_read(&method, "sigma=", v, &err), NG_E_ARGUMENT, err, "number");
    CHECK_FAILS(ngi_parameters_read(&method, "sigma", v, &err), NG_E_ARGUMENT, err, "NAME=VALUE");
    CHECK_FAILS(ngi_parameters_read(&method, "sigma,samples=3", v, &err), NG_E_ARGUMENT, err, "NAME=VALUE");
    CHECK_FAILS(ngi_parameters_read(&method, "sigma=0.1x", v, &err), NG_E_ARGUMENT, err, "0.1x");
    CHECK_FAILS(ngi_parameters_read(&method, "variant=p", v, &err), NG_E_ARGUMENT, err, "paper|pgc|tkv");
    CHECK_FAILS(ngi_parameters_read(&bare, "samples=1", v, &err), NG_E_ARGUMENT, err, "none");
}

static void rows_are_sound(void **state)
{
    (void)state;
    for (int i = 0; i < ngi_method_count(); i++) {
        const ngi_method *m = ngi_method_at(i);
        double v[NGI_MAX_PARAMETERS];
        ng_error err;
        assert_true(m->info.parameter_count <= NGI_MAX_PARAMETERS);
        assert_true(*m->info.name && *m->info.title && *m->info.summary && *m->info.cost && *m->info.source);
        assert_non_null(m->info.assumes);
        CHECK_OK(ngi_parameters_read(&m->info, "", v, &err), err);
        for (int k = 0; k < m->info.parameter_count; k++) { /* the default is a value that could be given */
            const ng_method_parameter *p = &m->info.parameters[k];
            assert_non_null(p->summary);
            if (!p->choices)
                assert_true(p->value >= p->low && p->value <= p->high);
        }
        for (int k = 0; k < i; k++)
            assert_string_not_equal(m->info.name, ngi_method_at(k)->info.name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(wrong_ones_are_refused),
        cmocka_unit_test(rows_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
