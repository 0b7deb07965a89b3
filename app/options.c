/* One table of options: parsing with its errors, --help, the manual page and shell completion are printed from it. */
#include "app.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind { OPTION_TEXT, OPTION_INTEGER, OPTION_NUMBER, OPTION_FLAG } option_kind;

typedef struct option_row {
    const char *name, *letter, *value; /* "--layer", "-l" or NULL, "NAME" */
    option_kind kind;
    size_t at; /* in settings */
    unsigned commands;
    double low, high, initial;
    const char *initial_text; /* NULL: none */
    const char *help;
} option_row;

#define AT(field) offsetof(settings, field)
enum { EXPLAIN = 1, CLASSIFY = 2, LAYERS = 4, METHODS = 8, RENDER = 16, DOCTOR = 32, MODELS = EXPLAIN | CLASSIFY | LAYERS | DOCTOR,
       RUNS = EXPLAIN | CLASSIFY };

static const option_row rows[] = {
    {"--output", "-o", "DIR", OPTION_TEXT, AT(output), EXPLAIN | RENDER, 0, 0, 0, NULL, "folder for what is written; made if missing"},
    {"--method", NULL, "NAME", OPTION_TEXT, AT(method), EXPLAIN, 0, 0, 0, "gradcam", "attribution method; `netgaze methods` lists them"},
    {"--layer", "-l", "NAME,...", OPTION_TEXT, AT(layer), EXPLAIN, 0, 0, 0, NULL,
     "layers to explain, by path or bare name. Default: the last one before the global pooling"},
    {"--class", "-c", "CLASS,...", OPTION_TEXT, AT(classes), EXPLAIN, 0, 0, 0, "predicted", "predicted, all, or classes by number or label"},
    {"--top", "-k", "K", OPTION_INTEGER, AT(top), RUNS, 0, 1e6, -1, NULL,
     "explain: the K most likely classes; classify: how many to list (0: all, default 5)"},
    {"--target", NULL, "SCORE", OPTION_TEXT, AT(target), EXPLAIN, 0, 0, 0, NULL, "logit (default) or probability"},
    {"--compat", NULL, "TOOL", OPTION_TEXT, AT(compat), EXPLAIN | RENDER, 0, 0, 0, NULL,
     "conventions of another tool: article, keras, pgc, tkv"},
    {"--colormap", NULL, "NAME", OPTION_TEXT, AT(colormap), EXPLAIN | RENDER, 0, 0, 0, NULL,
     "jet (default), jet-matplotlib, viridis, inferno, magma, turbo, gray, coolwarm, rdbu"},
    {"--norm", NULL, "NAME", OPTION_TEXT, AT(norm), EXPLAIN | RENDER, 0, 0, 0, NULL, "max (default), minmax, percentile, none"},
    {"--alpha", NULL, "A", OPTION_NUMBER, AT(alpha), EXPLAIN | RENDER, 0, 1, 0.4, NULL, "weight of the heatmap in the overlay"},
    {"--signed", NULL, NULL, OPTION_FLAG, AT(use_signed), EXPLAIN | RENDER, 0, 0, 0, NULL, "draw the signed map, before the relu"},
    {"--outputs", NULL, "KIND,...", OPTION_TEXT, AT(outputs), EXPLAIN, 0, 0, 0, "raw,heatmap,overlay,figure,sidecar", "what to write"},
    {"--grid", NULL, NULL, OPTION_FLAG, AT(grid), EXPLAIN, 0, 0, 0, NULL, "one more picture per image: all its classes and layers"},
    {"--force", NULL, NULL, OPTION_FLAG, AT(force), EXPLAIN, 0, 0, 0, NULL, "do again what an earlier run has finished"},
    {"--model", "-m", "MODEL", OPTION_TEXT, AT(model), MODELS, 0, 0, 0, NULL, "the model, instead of the first argument"},
    {"--weights", NULL, "FILE", OPTION_TEXT, AT(weights), MODELS, 0, 0, 0, NULL, "weight file to read onto the model"},
    {"--labels", NULL, "FILE", OPTION_TEXT, AT(labels), MODELS, 0, 0, 0, NULL, "class labels: one a line, or JSON"},
    {"--preprocess", NULL, "MODE", OPTION_TEXT, AT(preprocess), MODELS, 0, 0, 0, "auto", "tf, torch, caffe, unit, raw or auto"},
    {"--input-size", NULL, "HxW", OPTION_TEXT, AT(input_size), MODELS, 0, 0, 0, NULL, "input size where the model leaves it open"},
    {"--fit", NULL, "NAME", OPTION_TEXT, AT(fit), RUNS, 0, 0, 0, "squash", "squash, crop or letterbox"},
    {"--resize", NULL, "NAME", OPTION_TEXT, AT(resize), RUNS, 0, 0, 0, NULL,
     "bilinear (default), nearest, bicubic, lanczos, box, tf-bilinear, cv-bilinear"},
    {"--window-center", NULL, "V", OPTION_NUMBER, AT(window_center), RUNS, -1e9, 1e9, 0, NULL, "grey window of 16-bit images: centre"},
    {"--window-width", NULL, "V", OPTION_NUMBER, AT(window_width), RUNS, 0, 1e9, 0, NULL, "and width; 0: the image's range"},
    {"--backend", NULL, "NAME", OPTION_TEXT, AT(backend), RUNS | DOCTOR, 0, 0, 0, "auto", "auto, onednn or ref"},
    {"--threads", "-t", "N", OPTION_INTEGER, AT(threads), RUNS, 1, 1024, 0, NULL, "images at a time. Default: one a core"},
    {"--candidates", NULL, NULL, OPTION_FLAG, AT(candidates), LAYERS, 0, 0, 0, NULL, "only layers that can be explained"},
    {"--json", NULL, NULL, OPTION_FLAG, AT(json), MODELS | METHODS | RENDER, 0, 0, 0, NULL, "JSON lines on standard output"},
    {"--quiet", "-q", NULL, OPTION_FLAG, AT(quiet), MODELS | RENDER, 0, 0, 0, NULL, "no notes on standard error"},
    {"--help", "-h", NULL, OPTION_FLAG, AT(help), ~0u, 0, 0, 0, NULL, "this text"},
};
#define ROWS (int)(sizeof rows / sizeof *rows)

static void set_defaults(settings *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < ROWS; i++) {
        char *at = (char *)s + rows[i].at;
        if (rows[i].kind == OPTION_TEXT)
            memcpy(at, &rows[i].initial_text, sizeof rows[i].initial_text);
        else if (rows[i].kind == OPTION_NUMBER)
            memcpy(at, &rows[i].initial, sizeof(double));
        else if (rows[i].kind == OPTION_INTEGER) {
            int value = (int)rows[i].initial;
            memcpy(at, &value, sizeof value);
        }
    }
}

static const option_row *find_row(const command *c, const char *text, size_t length)
{
    for (int i = 0; i < ROWS; i++)
        if ((rows[i].commands & c->bit) &&
            ((strlen(rows[i].name) == length && strncmp(rows[i].name, text, length) == 0) ||
             (rows[i].letter && strlen(rows[i].letter) == length && strncmp(rows[i].letter, text, length) == 0)))
            return &rows[i];
    return NULL;
}

/* The option that shares the longest beginning with a mistyped one. */
static const char *nearest(const command *c, const char *text)
{
    const char *best = NULL;
    size_t most = 3;
    for (int i = 0; i < ROWS; i++) {
        size_t n = 0;
        while (text[n] && text[n] == rows[i].name[n])
            n++;
        if ((rows[i].commands & c->bit) && n > most) {
            most = n;
            best = rows[i].name;
        }
    }
    return best;
}

static int set_value(const option_row *row, const char *value, settings *s)
{
    char *at = (char *)s + row->at, *end;
    if (row->kind == OPTION_TEXT) {
        memcpy(at, &value, sizeof value);
        return EXIT_DONE;
    }
    double number = strtod(value, &end);
    bool whole = row->kind == OPTION_NUMBER || number == (double)(long)number;
    if (end == value || *end || !(number >= row->low && number <= row->high) || !whole) {
        complain("%s: '%s' is not %s from %g to %g", row->name, value,
                 row->kind == OPTION_INTEGER ? "a whole number" : "a number", row->low, row->high);
        return EXIT_USAGE;
    }
    int integer = (int)number;
    if (row->kind == OPTION_INTEGER)
        memcpy(at, &integer, sizeof integer);
    else
        memcpy(at, &number, sizeof number);
    return EXIT_DONE;
}

int parse_options(const command *c, int argc, char **argv, settings *s)
{
    set_defaults(s);
    bool plain = false;
    s->arguments = malloc((size_t)argc * sizeof *s->arguments);
    if (!s->arguments)
        return EXIT_ENVIRONMENT;
    for (int i = 2; i < argc; i++) {
        char *text = argv[i];
        if (plain || text[0] != '-' || text[1] == '\0') {
            s->arguments[s->n_arguments++] = text;
            continue;
        }
        if (strcmp(text, "--") == 0) {
            plain = true;
            continue;
        }
        const char *equals = strncmp(text, "--", 2) == 0 ? strchr(text, '=') : NULL;
        const option_row *row = find_row(c, text, equals ? (size_t)(equals - text) : strlen(text));
        if (!row) {
            const char *near = nearest(c, text);
            complain("%s: option '%s' is not known%s%s; see `netgaze %s --help`", c->name, text, near ? ", did you mean " : "",
                     near ? near : "", c->name);
            return EXIT_USAGE;
        }
        if (row->kind == OPTION_FLAG) {
            *((bool *)((char *)s + row->at)) = true;
            continue;
        }
        const char *value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!value) {
            complain("%s: a value (%s) is missing", row->name, row->value);
            return EXIT_USAGE;
        }
        if (set_value(row, value, s) != EXIT_DONE)
            return EXIT_USAGE;
    }
    return EXIT_DONE;
}

void print_help(const command *c)
{
    printf("netgaze %s: %s\n\nUsage: netgaze %s %s\n\nOptions:\n", c->name, c->summary, c->name, c->arguments);
    for (int i = 0; i < ROWS; i++) {
        if (!(rows[i].commands & c->bit))
            continue;
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s%s", rows[i].letter ? rows[i].letter : "", rows[i].letter ? ", " : "", rows[i].name,
                 rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
        printf("  %-26s %s%s%s%s\n", left, rows[i].help, rows[i].initial_text ? " (default: " : "",
               rows[i].initial_text ? rows[i].initial_text : "", rows[i].initial_text ? ")" : "");
    }
    printf("\nExamples:\n%s", c->examples);
    if (c->bit & (EXPLAIN | CLASSIFY))
        printf("\nExit codes: 0 all done, 1 some images failed, 2 wrong usage, 3 model unusable, 4 environment\n");
}

/* Troff text: backslashes and leading dots are escaped. */
static void troff(const char *text)
{
    bool start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        start = *text == '\n';
    }
}

void print_manual(void)
{
    printf(".TH NETGAZE 1 \"\" \"netgaze %s\" \"User Commands\"\n.SH NAME\nnetgaze \\- where an image classifier looks\n"
           ".SH SYNOPSIS\n.B netgaze\n.I COMMAND\n[options]\n.SH DESCRIPTION\nLoads a Keras model, classifies images and draws class "
           "activation heatmaps over them.\n.SH COMMANDS\n", ng_version());
    for (int i = 0; i < command_count; i++) {
        printf(".SS netgaze %s ", commands[i].name);
        troff(commands[i].arguments);
        putchar('\n');
        troff(commands[i].summary);
        printf(".\n");
        for (int k = 0; k < ROWS; k++) {
            if (!(rows[k].commands & commands[i].bit) || rows[k].commands == ~0u)
                continue;
            printf(".TP\n.B ");
            troff(rows[k].name);
            if (rows[k].value) {
                printf(" \\fI");
                troff(rows[k].value);
                printf("\\fR");
            }
            putchar('\n');
            troff(rows[k].help);
            putchar('\n');
        }
        printf(".PP\n.nf\n");
        troff(commands[i].examples);
        printf(".fi\n");
    }
    printf(".SH EXIT STATUS\n0 all done, 1 some images failed, 2 wrong usage, 3 model unusable, 4 environment (unwritable output, out "
           "of memory), 130 interrupted.\n");
}

void print_completion(void)
{
    printf("_netgaze() {\n    local current=${COMP_WORDS[COMP_CWORD]} words\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"");
    for (int i = 0; i < command_count; i++)
        printf("%s%s", i ? " " : "", commands[i].name);
    printf("\"\n    else\n        case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < command_count; i++) {
        printf("        %s) words=\"", commands[i].name);
        for (int k = 0; k < ROWS; k++)
            if (rows[k].commands & commands[i].bit)
                printf("%s ", rows[k].name);
        printf("\" ;;\n");
    }
    printf("        esac\n        case $current in -*) ;; *) words= ;; esac\n    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\") $(compgen -f -- \"$current\"))\n}\n"
           "complete -o filenames -F _netgaze netgaze\n");
}
