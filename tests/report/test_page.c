/* What strangers' text becomes in HTML, JSON and CSV; base64 against RFC 4648; the first failure is kept. */
#include "check.h"

#include "report/page.h"

typedef void put_text(ngi_page *p, const char *text);

static void becomes(put_text *put, const char *text, const char *expected)
{
    ngi_page p = {0};
    put(&p, text);
    assert_int_equal(p.status, NG_OK);
    assert_string_equal(p.text.data ? p.text.data : "", expected);
    ngi_page_clear(&p);
}

#define LOST "\xEF\xBF\xBD"

static void html(void **state)
{
    (void)state;
    becomes(ngi_put_html, "a & <b> \"c\" 'd'", "a &amp; &lt;b&gt; &quot;c&quot; &#39;d&#39;");
    becomes(ngi_put_html, "\x01\x7F\n\t", LOST LOST "\n\t");
    becomes(ngi_put_html, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xA6", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xA6");
    /* overlong, a surrogate, beyond U+10FFFF, cut off, a byte that begins nothing */
    becomes(ngi_put_html, "\xC0\xBC", LOST LOST);
    becomes(ngi_put_html, "\xE0\x80\xBC", LOST LOST LOST);
    becomes(ngi_put_html, "\xED\xA0\x80", LOST LOST LOST);
    becomes(ngi_put_html, "\xF4\x90\x80\x80", LOST LOST LOST LOST);
    becomes(ngi_put_html, "x\xE2\x82", "x" LOST LOST);
    becomes(ngi_put_html, "\xFF", LOST);
    becomes(ngi_put_html, "", "");
}

static void json(void **state)
{
    (void)state;
    becomes(ngi_put_json, "a\"b\\c\n", "\"a\\\"b\\\\c\\u000a\"");
    becomes(ngi_put_json, "</script>", "\"\\u003c/script\\u003e\"");
    becomes(ngi_put_json, "\xFF\xC3\xA9", "\"" LOST "\xC3\xA9\"");
    becomes(ngi_put_json, NULL, "null");
    ngi_page p = {0};
    ngi_put_number(&p, NAN);
    ngi_put_number(&p, INFINITY);
    ngi_put_number(&p, 0.25);
    assert_string_equal(p.text.data, "nullnull0.25");
    ngi_page_clear(&p);
}

static void csv(void **state)
{
    (void)state;
    becomes(ngi_put_csv, "plain", "plain");
    becomes(ngi_put_csv, "a,b", "\"a,b\"");
    becomes(ngi_put_csv, "a\"b\"", "\"a\"\"b\"\"\"");
    becomes(ngi_put_csv, "a\nb", "\"a\nb\"");
    becomes(ngi_put_csv, "\xFF", "\xFF");
}

static void base64(void **state)
{
    (void)state;
    const char *const texts[] = {"f", "fo", "foo", "foob", "fooba", "foobar"};
    const char *const coded[] = {"Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (int i = 0; i < 6; i++) {
        ngi_page p = {0};
        ngi_buffer b = {.data = (char *)texts[i], .size = strlen(texts[i])};
        ngi_put_data_uri(&p, &b);
        assert_string_equal(p.text.data + strlen("data:image/jpeg;base64,"), coded[i]);
        ngi_page_clear(&p);
    }
    char zeros[1000] = "RIFF";
    ngi_buffer b = {.data = zeros, .size = 999};
    ngi_page p = {0};
    ngi_put_data_uri(&p, &b);
    assert_memory_equal(p.text.data, "data:image/webp;base64,UklGRgAA", 31);
    assert_int_equal(p.text.size, 23 + 999 / 3 * 4);
    ngi_page_clear(&p);
}

static void the_first_failure_is_kept(void **state)
{
    (void)state;
    char *folder = make_folder();
    ngi_page p = {0};
    ng_error err;
    ngi_put(&p, "before");
    ngi_alloc_fail_at(1);
    for (int i = 0; i < 100; i++)
        ngi_put(&p, "0123456789");
    ngi_alloc_fail_at(0);
    size_t size = p.text.size;
    ngi_put(&p, "after");
    assert_int_equal(p.text.size, size);
    CHECK_FAILS(ngi_page_save(&p, folder, "page", &err), NG_E_MEMORY, err, "memory");
    char path[4200];
    snprintf(path, sizeof path, "%s/page", folder);
    assert_int_not_equal(access(path, F_OK), 0);
    ngi_page_clear(&p);
    ngi_put(&p, "whole");
    CHECK_OK(ngi_page_save(&p, folder, "page", &err), err);
    assert_int_equal(access(path, F_OK), 0);
    ngi_page_clear(&p);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(html),
        cmocka_unit_test(json),
        cmocka_unit_test(csv),
        cmocka_unit_test(base64),
        cmocka_unit_test(the_first_failure_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
