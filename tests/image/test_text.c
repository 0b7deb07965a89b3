/* Text masks: ink, base line, wrapping, and what cannot be drawn. Needs a font (fonts-dejavu-core). */
#include "check.h"

#include "image/text.h"

static ng_image draw(const char *text, ngi_text_style style)
{
    ng_error err;
    ng_image mask;
    CHECK_OK(ngi_text_draw(text, &style, &mask, &err), err);
    return mask;
}

static int first_row(const ng_image *mask)
{
    for (int i = 0; i < mask->width * mask->height; i++)
        if (mask->data[i])
            return i / mask->width;
    return -1;
}

static int ink(const ng_image *mask)
{
    int sum = 0;
    for (int i = 0; i < mask->width * mask->height; i++)
        sum += mask->data[i] > 127;
    return sum;
}

static void test_base_line(void **state)
{
    (void)state;
    ng_image low = draw("a", (ngi_text_style){.pixels = 24}),
             high = draw("l", (ngi_text_style){.pixels = 24});
    assert_true(ink(&low) > 20);
    assert_int_equal(low.height, high.height);
    assert_true(first_row(&low) > first_row(&high) + 3); /* the small letter stands lower in its mask */
    ng_image_clear(&low);
    ng_image_clear(&high);
}

static void test_size(void **state)
{
    (void)state;
    ng_image small = draw("Heat", (ngi_text_style){.pixels = 12}),
             large = draw("Heat", (ngi_text_style){.pixels = 24}),
             bold = draw("Heat", (ngi_text_style){.pixels = 24, .bold = true});
    CHECK_NEAR((double)large.width / small.width, 2, 0.2);
    assert_true(ink(&bold) > ink(&large));
    ng_image_clear(&small);
    ng_image_clear(&large);
    ng_image_clear(&bold);
}

static void test_wrapping(void **state)
{
    (void)state;
    const char *text = "golden retriever, probability 0.93, inception_v3/mixed10";
    ng_image line = draw(text, (ngi_text_style){.pixels = 16}),
             lines = draw(text, (ngi_text_style){.pixels = 16, .wrap_width = 150}),
             word = draw("Donaudampfschifffahrtsgesellschaft",
                         (ngi_text_style){.pixels = 16, .wrap_width = 100});
    assert_true(line.width > 300);
    assert_true(lines.width <= 150 && lines.height > 2 * line.height);
    assert_true(word.width <= 100);
    ng_image_clear(&line);
    ng_image_clear(&lines);
    ng_image_clear(&word);
}

/* Labels come from strangers: markup is text, broken UTF-8 is repaired, length is bounded. */
static void test_strange_text(void **state)
{
    (void)state;
    char endless[5000];
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    const char *const texts[] = {"<b>a & b</b>", "</span>", "\xff\xfe label", "\xC3",
                                 endless,        "1\n2",    "\x01\x02"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ng_image mask = draw(texts[i], (ngi_text_style){.pixels = 14});
        assert_true(mask.width < 10000);
        ng_image_clear(&mask);
    }
    ng_image plain = draw("b", (ngi_text_style){.pixels = 14}),
             marked = draw("<b>b</b>", (ngi_text_style){.pixels = 14});
    assert_true(marked.width > 3 * plain.width);
    ng_image_clear(&plain);
    ng_image_clear(&marked);
}

static void test_nothing_to_draw(void **state)
{
    (void)state;
    const char *const texts[] = {NULL, "", "   ", "\n\t"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ng_image mask = draw(texts[i], (ngi_text_style){.pixels = 14});
        assert_null(mask.data);
        assert_int_equal(mask.width, 0);
        assert_int_equal(mask.height, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_line),       cmocka_unit_test(test_size),
        cmocka_unit_test(test_wrapping),        cmocka_unit_test(test_strange_text),
        cmocka_unit_test(test_nothing_to_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
