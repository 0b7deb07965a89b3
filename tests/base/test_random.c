/* Philox against the known answers of its authors' library (Random123, kat_vectors), and the moments of what is
 * made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "base/random.h"

static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t out[4];
        ngi_philox(rows[i].counter, rows[i].key, out);
        for (int k = 0; k < 4; k++)
            assert_int_equal(out[k], rows[i].out[k]);
    }
}

static void moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    double mean = 0, square = 0, normal = 0, normal_square = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = ngi_random_uniform(7, 3, i), z = ngi_random_normal(7, 4, i);
        assert_true(u >= 0 && u < 1);
        mean += u / N;
        square += u * u / N;
        normal += z / N;
        normal_square += z * z / N;
    }
    assert_true(fabs(mean - 0.5) < 5 * sqrt(1.0 / 12 / N)); /* five standard errors */
    assert_true(fabs(square - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
    assert_true(fabs(normal) < 5 / sqrt(N));
    assert_true(fabs(normal_square - 1) < 5 * sqrt(2.0 / N));
}

static void streams_differ(void **state)
{
    (void)state;
    assert_true(ngi_random_bits(1, 0, 0) != ngi_random_bits(2, 0, 0));
    assert_true(ngi_random_bits(1, 0, 0) != ngi_random_bits(1, 1, 0));
    assert_true(ngi_random_bits(1, 0, 0) != ngi_random_bits(1, 0, 1));
    assert_true(ngi_random_bits(1, 5, 9) == ngi_random_bits(1, 5, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(moments),
        cmocka_unit_test(streams_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
