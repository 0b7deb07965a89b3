/* Escaping, base64, and the file at the end. */
#include "report/page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

void ngi_page_clear(ngi_page *p)
{
    ngi_buffer_clear(&p->text);
    *p = (ngi_page){0};
}

static void add(ngi_page *p, const void *bytes, size_t size)
{
    if (p->status == NG_OK)
        p->status = ngi_buffer_add(&p->text, bytes, size, &p->error);
}

void ngi_put(ngi_page *p, const char *text)
{
    add(p, text, strlen(text));
}

void ngi_putf(ngi_page *p, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof text)
        add(p, text, (size_t)n);
    else if (p->status == NG_OK)
        p->status =
            ngi_fail(&p->error, NG_E_INTERNAL, "a report's text is longer than %zu bytes", sizeof text);
}

/* Length of the UTF-8 sequence at `s`: no overlong forms, no surrogates, nothing behind U+10FFFF; 0: none. */
static size_t sequence(const unsigned char *s)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
               : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
               : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    return overlong || (s[0] == 0xED && s[1] >= 0xA0) || (s[0] == 0xF4 && s[1] >= 0x90) ? 0 : n;
}

typedef bool put_special(ngi_page *p, unsigned char c);

static void put_escaped(ngi_page *p, const char *text, put_special *special)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = sequence(s);
        if (n == 0)
            ngi_put(p, REPLACEMENT);
        else if (n > 1 || !special(p, *s))
            add(p, s, n);
        s += n ? n : 1;
    }
}

static bool put_html_special(ngi_page *p, unsigned char c)
{
    switch (c) {
    case '&':
        ngi_put(p, "&amp;");
        return true;
    case '<':
        ngi_put(p, "&lt;");
        return true;
    case '>':
        ngi_put(p, "&gt;");
        return true;
    case '"':
        ngi_put(p, "&quot;");
        return true;
    case '\'':
        ngi_put(p, "&#39;");
        return true;
    default:
        if ((c >= 0x20 && c != 0x7F) || c == '\n' || c == '\t')
            return false;
        ngi_put(p, REPLACEMENT);
        return true;
    }
}

void ngi_put_html(ngi_page *p, const char *text)
{
    put_escaped(p, text, put_html_special);
}

static bool put_json_special(ngi_page *p, unsigned char c)
{
    if (c == '"' || c == '\\')
        ngi_putf(p, "\\%c", c);
    else if (c < 0x20 || c == 0x7F || c == '<' || c == '>')
        ngi_putf(p, "\\u%04x", c);
    else
        return false;
    return true;
}

void ngi_put_json(ngi_page *p, const char *text)
{
    if (!text) {
        ngi_put(p, "null");
        return;
    }
    ngi_put(p, "\"");
    put_escaped(p, text, put_json_special);
    ngi_put(p, "\"");
}

void ngi_put_number(ngi_page *p, double value)
{
    if (isfinite(value))
        ngi_putf(p, "%.10g", value);
    else
        ngi_put(p, "null");
}

void ngi_put_csv(ngi_page *p, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        ngi_put(p, text);
        return;
    }
    ngi_put(p, "\"");
    for (; *text; text++) {
        size_t n = strcspn(text, "\"");
        add(p, text, n);
        text += n;
        if (!*text)
            break;
        ngi_put(p, "\"\"");
    }
    ngi_put(p, "\"");
}

static void put_base64(ngi_page *p, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char out[4 * 256];
    size_t n = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t here = size - i < 3 ? size - i : 3;
        uint32_t v = (uint32_t)bytes[i] << 16 | (here > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                     (here > 2 ? bytes[i + 2] : 0);
        out[n++] = digits[v >> 18];
        out[n++] = digits[v >> 12 & 63];
        out[n++] = here > 1 ? digits[v >> 6 & 63] : '=';
        out[n++] = here > 2 ? digits[v & 63] : '=';
        if (n == sizeof out) {
            add(p, out, n);
            n = 0;
        }
    }
    add(p, out, n);
}

void ngi_put_data_uri(ngi_page *p, const ngi_buffer *image)
{
    bool webp = image->size > 4 && memcmp(image->data, "RIFF", 4) == 0;
    bool png = image->size > 4 && memcmp(image->data, "\x89PNG", 4) == 0;
    ngi_putf(p, "data:image/%s;base64,", webp ? "webp" : png ? "png" : "jpeg");
    put_base64(p, (const unsigned char *)image->data, image->size);
}

ng_status ngi_page_save(const ngi_page *p, const char *folder, const char *name, ng_error *err)
{
    if (p->status != NG_OK)
        return ngi_fail(err, p->status, "%s", p->error.text);
    char *path = ngi_path_join(folder, name);
    if (!path)
        return ngi_fail_memory(err, strlen(folder) + strlen(name) + 2);
    ng_status status = ng_file_save(path, p->text.data ? p->text.data : "", p->text.size, err);
    ngi_free(path);
    return status;
}
