/* explain --csv: a row a map, as RFC 4180 has them, with its box where --box asks for one. */
#include "explain.h"

#include <string.h>

void print_csv_header(FILE *out)
{
    fputs("image,item,method,layer,index,label,probability,logit,status,x,y,width,height,pixels\r\n", out);
}

/* Quoted where it must be. */
static void put_text(FILE *out, const char *text)
{
    bool plain = strpbrk(text, ",\"\r\n") == NULL;
    if (!plain)
        fputc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputs(plain ? "," : "\",", out);
}

/* Whole numbers as they are, floats with the digits that give them back, what is missing as nothing. */
static void put_value(FILE *out, const json_t *o, const char *key, const char *after)
{
    const json_t *value = json_object_get(o, key);
    if (json_is_string(value))
        put_text(out, json_string_value(value));
    else if (json_is_integer(value))
        fprintf(out, "%lld%s", (long long)json_integer_value(value), after);
    else if (json_is_real(value))
        fprintf(out, "%.9g%s", json_real_value(value), after);
    else
        fputs(after, out);
}

void print_csv_row(FILE *out, const json_t *line)
{
    static const char *const keys[] = {"image", "item",        "method", "layer", "index",
                                       "label", "probability", "logit",  "status"};
    static const char *const sides[] = {"x", "y", "width", "height", "pixels"};
    const json_t *box = json_object_get(line, "box");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put_value(out, line, keys[i], ",");
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        put_value(out, box, sides[i], i + 1 < sizeof sides / sizeof *sides ? "," : "\r\n");
}
