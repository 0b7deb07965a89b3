/* Messages on standard error, one whole line at a time from any thread; colour; JSON lines. */
#include "app.h"

#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool line_shown; /* a progress line; guarded by stderr's lock */

static void clear_line(void)
{
    if (line_shown)
        fputs("\r\033[K", stderr);
    line_shown = false;
}

void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    flockfile(stderr);
    clear_line();
    fputs("netgaze: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(args);
}

void say_progress(const char *line)
{
    flockfile(stderr);
    clear_line();
    fputs(line, stderr);
    line_shown = *line != '\0';
    fflush(stderr);
    funlockfile(stderr);
}

bool reader_has_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

bool color_wanted(FILE *f)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(f)) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

int columns_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* Length of the UTF-8 sequence at `s` as JSON allows it (no overlong forms, no surrogates), 0 if there is none. */
static int sequence(const unsigned char *s)
{
    int n = s[0] < 0x80                   ? 1
            : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
            : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
            : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                          : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] >= 0xA0) || (s[0] == 0xF0 && s[1] < 0x90) ||
        (s[0] == 0xF4 && s[1] >= 0x90))
        return 0;
    return n;
}

json_t *json_text(const char *text)
{
    json_t *plain = json_string(text);
    if (plain)
        return plain;
    char *fixed = malloc(3 * strlen(text) + 1), *to = fixed;
    if (!fixed)
        return NULL;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int n = sequence(s);
        memcpy(to, n ? (const char *)s : "\xEF\xBF\xBD", n ? (size_t)n : 3);
        to += n ? n : 3;
        s += n ? n : 1;
    }
    *to = '\0';
    plain = json_string(fixed);
    free(fixed);
    return plain;
}

json_t *json_number(double value)
{
    return json_real(isfinite(value) ? value : 0);
}

bool write_json_line(FILE *f, json_t *object)
{
    bool fine = object && (json_dumpf(object, f, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 || ferror(f));
    if (fine)
        fputc('\n', f);
    json_decref(object);
    return fine;
}

char *command_line(const settings *s)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    fputs("netgaze", f);
    for (int i = 1; i < s->n_typed; i++) {
        const char *word = s->typed[i];
        bool plain =
            *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                        "_-./=:,@%+")];
        fputs(plain ? " " : " '", f);
        for (; *word; word++)
            fputs(*word == '\'' ? "'\\''" : (char[2]){*word, 0}, f);
        fputs(plain ? "" : "'", f);
    }
    return fclose(f) == 0 ? text : NULL;
}

int data_failure_code(ng_status status)
{
    return status == NG_E_CANCELLED                                                ? EXIT_INTERRUPTED
           : status == NG_E_MEMORY || status == NG_E_IO || status == NG_E_INTERNAL ? EXIT_ENVIRONMENT
                                                                                   : EXIT_USAGE;
}
