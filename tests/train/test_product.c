/* Products of the head's matrices: against double arithmetic, for sizes that leave something over everywhere; the same bytes
 * with every kind of registers that the processor has. The file itself is included, for its versions. */
#include "train/product.c"

#include "exec/net.h"

enum { MOST = 40, TALLEST = 32 };

#if defined __x86_64__
static const version *const versions[] = {&version_4, &version_8, &version_many};
#else
static const version *const versions[] = {&version_4};
#endif

/* They come in order, and a processor that has one has those before it. */
static int versions_here(void)
{
    int n = 1;
    while (versions[n - 1] != best())
        n++;
    return n;
}

/* a(r,i) of p, in double. */
static double exact(const ngi_product *p, int r, int k)
{
    double sum = 0;
    for (int i = 0; i < p->n; i++)
        sum += (double)p->a[(size_t)r * p->row + (size_t)i * p->step] * p->b[i * p->width + k];
    return sum;
}

static void check_sums(int rows, int n, int width, bool turned)
{
    float *a = net_floats((int64_t)rows * n), *b = net_floats((int64_t)n * width);
    float *before = net_floats((int64_t)rows * width), found[TALLEST * MOST];
    size_t bytes = (size_t)rows * (size_t)width * sizeof *found;
    const ngi_product p = {.a = a,
                           .b = b,
                           .row = turned ? 1 : (size_t)n,
                           .step = turned ? (size_t)rows : 1,
                           .rows = rows,
                           .n = n,
                           .width = width};
    memcpy(found, before, bytes);
    ngi_product_sums(&p, found);
    for (int i = 0; i < versions_here(); i++) {
        float other[TALLEST * MOST];
        memcpy(other, before, bytes);
        versions[i]->sums(&p, other);
        assert_memory_equal(found, other, bytes);
    }
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < width; k++)
            CHECK_NEAR(found[r * width + k], exact(&p, r, k), n > 32 ? 4e-7 * n : 1e-5);
    free(a);
    free(b);
    free(before);
}

static void sums_are_right(void **state)
{
    (void)state;
    static const int all_rows[] = {1, 3, 4, 7, 8, 9, 17, TALLEST},
                     all_n[] = {1, 2, 19, TERMS, TERMS + 1, 2 * TERMS + 3}, widths[] = {8, 16, 24, 32, MOST};
    for (size_t r = 0; r < sizeof all_rows / sizeof *all_rows; r++)
        for (size_t n = 0; n < sizeof all_n / sizeof *all_n; n++)
            for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
                for (int turned = 0; turned < 2; turned++)
                    check_sums(all_rows[r], all_n[n], widths[w], turned);
}

static void dots_are_right(void **state)
{
    (void)state;
    for (int width = 8; width <= MOST; width += 8)
        for (int n = 1; n <= 3; n++) {
            float *a = net_floats((int64_t)n * width), *b = net_floats((int64_t)5 * width), found[15];
            ngi_product_dots(a, b, n, 5, width, found);
            for (int i = 0; i < versions_here(); i++) {
                float other[15];
                versions[i]->dots(a, b, n, 5, width, other);
                assert_memory_equal(found, other, (size_t)n * 5 * sizeof *found);
            }
            for (int i = 0; i < n * 5; i++) {
                double sum = 0;
                for (int k = 0; k < width; k++)
                    sum += (double)a[i / 5 * width + k] * b[i % 5 * width + k];
                CHECK_NEAR(found[i], sum, 1e-5);
            }
            free(a);
            free(b);
        }
}

static void rows_are_widened(void **state)
{
    (void)state;
    const float from[6] = {1, 2, 3, 4, 5, 6}, wanted[16] = {1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 6};
    float to[16];
    memset(to, 0xFF, sizeof to);
    ngi_product_widen(from, 2, 3, to);
    assert_memory_equal(to, wanted, sizeof to);
    assert_int_equal(ngi_product_width(8), 8);
    assert_int_equal(ngi_product_width(9), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_right), cmocka_unit_test(dots_are_right),
                                       cmocka_unit_test(rows_are_widened)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
