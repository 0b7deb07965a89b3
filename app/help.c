/* --help of a command, the manual page and bash completion: all printed from the tables of commands and options. */
#include "options.h"

#include <ctype.h>
#include <string.h>

enum { LEFT = 26, RIGHT = 100 };

/* Words of `text` from column `left` on, wrapped at RIGHT; `column` is where the line stands. The text's own lines do not count,
 * but an empty one is kept. */
static void print_wrapped(const char *text, int left, int column)
{
    bool first = true;
    while (*text) {
        int n = (int)strcspn(text, " \n");
        if (!first && column + 1 + n > RIGHT) {
            printf("\n%*s", left, "");
            column = left;
            first = true;
        }
        printf("%s%.*s", first ? "" : " ", n, text);
        column += n + (first ? 0 : 1);
        text += n;
        first = strncmp(text, "\n\n", 2) == 0;
        if (first) {
            printf("\n\n%*s", left, "");
            column = left;
        }
        text += strspn(text, " \n");
    }
    putchar('\n');
}

/* What is said of an option beyond its help: choices, range, default. */
static void describe(const option_row *row, char *out, size_t size)
{
    char list[1024] = "", range[64] = "";
    list_choices(row, ", ", list, sizeof list);
    if ((row->kind == OPTION_INTEGER || row->kind == OPTION_NUMBER) && row->high < 1e6)
        snprintf(range, sizeof range, "; %g to %g", row->low, row->high);
    snprintf(out, size, "%s%s%s%s%s%s%s", row->help, *list ? ": " : "", list, range,
             row->initial ? " (default " : "", row->initial ? row->initial : "", row->initial ? ")" : "");
}

void print_help(const command *c)
{
    printf("netgaze %s: %s\n\nUsage: netgaze %s %s%s[options]\n", c->name, c->summary, c->name, c->arguments,
           *c->arguments ? " " : "");
    if (*c->details) {
        putchar('\n');
        print_wrapped(c->details, 0, 0);
    }
    printf("\nOptions:\n");
    for (int i = 0; i < option_row_count; i++) {
        const option_row *row = &option_rows[i];
        if (!(row->commands & c->bit))
            continue;
        char text[2048];
        int column = printf("  %s%s%s%s%s", row->letter ? row->letter : "", row->letter ? ", " : "    ",
                            row->name, row->value ? " " : "", row->value ? row->value : "");
        printf("%*s", column < LEFT ? LEFT - column : 1, "");
        describe(row, text, sizeof text);
        print_wrapped(text, LEFT, column < LEFT ? LEFT : column + 1);
    }
    printf("\nExamples:\n%s", c->examples);
}

/* ---- The manual page ------------------------------------------------------------------------ */

/* Troff: backslashes, minus signs and leading control characters are escaped. An empty line is a paragraph. */
static void troff(const char *text)
{
    bool start = true;
    for (; *text; text++) {
        if (start && *text == '\n') {
            fputs(".PP\n", stdout);
            continue;
        }
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '`')
            fputs("\\(ga", stdout);
        else if (*text == '~')
            fputs("\\(ti", stdout);
        else
            putchar(*text);
        start = *text == '\n';
    }
}

static void print_option_entry(const option_row *row)
{
    char text[1024];
    printf(".TP\n");
    if (row->letter) {
        printf("\\fB");
        troff(row->letter);
        printf("\\fR, ");
    }
    printf("\\fB");
    troff(row->name);
    printf("\\fR");
    if (row->value) {
        printf(" \\fI");
        troff(row->value);
        printf("\\fR");
    }
    putchar('\n');
    describe(row, text, sizeof text);
    troff(text);
    printf(".\n");
}

static void print_command_section(const command *c)
{
    printf(".SS netgaze %s ", c->name);
    troff(c->arguments);
    putchar('\n');
    putchar(toupper((unsigned char)c->summary[0]));
    troff(c->summary + 1);
    printf(".\n");
    if (*c->details) {
        printf(".PP\n");
        troff(c->details);
    }
    for (int i = 0; i < option_row_count; i++)
        if ((option_rows[i].commands & c->bit) && option_rows[i].commands != ALL_COMMANDS)
            print_option_entry(&option_rows[i]);
    printf(".PP\nExamples:\n.PP\n.nf\n");
    troff(c->examples);
    printf(".fi\n");
}

int run_manual(const settings *s)
{
    (void)s;
    printf(".TH NETGAZE 1 \"\" \"netgaze %s\" \"User Commands\"\n.SH NAME\nnetgaze \\- where an image "
           "classifier looks\n"
           ".SH SYNOPSIS\n",
           ng_version());
    for (int i = 0; i < command_count; i++) {
        printf("%s\\fBnetgaze %s\\fR ", i ? ".br\n" : "", commands[i].name);
        troff(commands[i].arguments);
        printf(" [options]\n");
    }
    printf(".SH DESCRIPTION\nLoads a Keras or TensorFlow.js image classifier, runs it, and draws class "
           "activation "
           "heatmaps over\nimages. Needs no Python.\n.SH COMMANDS\n");
    for (int i = 0; i < command_count; i++)
        print_command_section(&commands[i]);
    printf(".SH EXIT STATUS\n.TP\n0\nall done\n.TP\n1\nsome images failed\n.TP\n2\nwrong "
           "usage\n.TP\n3\nmodel unusable\n"
           ".TP\n4\nenvironment: unwritable output, disk full, out of memory\n.TP\n130\ninterrupted; the "
           "same command "
           "continues\n.SH ENVIRONMENT\n.TP\nNO_COLOR\nif set and not empty, no colour on terminals\n.SH "
           "FILES\n.TP\n"
           "\\(ti/.keras/models\nweight files of architectures given by name\n.TP\nnetgaze.json\nbeside a "
           "model: its "
           "\\(dqlabels\\(dq and \\(dqpreprocess\\(dq mode\n");
    return EXIT_DONE;
}

/* ---- Completion ----------------------------------------------------------------------------- */

static void print_value_case(const option_row *row)
{
    printf("    %s%s%s)", row->letter ? row->letter : "", row->letter ? "|" : "", row->name);
    if (row->choice) {
        printf(" COMPREPLY=($(compgen -W '");
        for (int i = 0; row->choice(i); i++)
            printf("%s%s", i ? " " : "", row->choice(i));
        printf("' -- \"$current\"));");
    } else if (row->kind == OPTION_FOLDER) {
        printf(" COMPREPLY=($(compgen -d -- \"$current\"));");
    } else if (row->kind == OPTION_FILE) {
        printf(" COMPREPLY=($(compgen -f -- \"$current\"));");
    }
    printf(" return ;;\n");
}

int run_completion(const settings *s)
{
    if (s->n_arguments > 1 || (s->n_arguments == 1 && strcmp(s->arguments[0], "bash") != 0)) {
        complain("completion: expected bash, the one shell that is known; found '%s'", s->arguments[0]);
        return EXIT_USAGE;
    }
    printf("# bash completion of netgaze %s\n_netgaze()\n{\n    local current=${COMP_WORDS[COMP_CWORD]} "
           "previous=${COMP_WORDS[COMP_CWORD-1]} words=\n    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; "
           "then\n"
           "        COMPREPLY=($(compgen -W '",
           ng_version());
    for (int i = 0; i < command_count; i++)
        printf("%s ", commands[i].name);
    printf("--help --version' -- \"$current\"))\n        return\n    fi\n    case $previous in\n");
    for (int i = 0; i < option_row_count; i++)
        if (option_rows[i].kind != OPTION_FLAG)
            print_value_case(&option_rows[i]);
    printf("    esac\n    case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < command_count; i++) {
        printf("    %s) words='", commands[i].name);
        for (int k = 0; k < option_row_count; k++)
            if (option_rows[k].commands & commands[i].bit)
                printf("%s ", option_rows[k].name);
        printf("' ;;\n");
    }
    printf("    esac\n    case $current in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")) ;;\n"
           "    *) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n    esac\n}\n"
           "complete -o filenames -F _netgaze netgaze\n");
    return EXIT_DONE;
}
