/* netgaze: the command line. Commands stand in one table; options in another (options.c). */
#include "app.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

volatile sig_atomic_t interrupted;

const command commands[] = {
    {"explain", "MODEL IMAGE... -o DIR", "show where the model looked: heatmaps, overlays, figures, raw maps",
     "  netgaze explain chest.keras xrays/ -o heatmaps\n"
     "  netgaze explain model.h5 dog.jpg -o out --layer mixed7,mixed10 --top 3 --grid\n"
     "  netgaze explain model.keras a.png -o out --compat article\n"
     "  netgaze explain --model inception_v3 photo.jpg -o out --labels imagenet_class_index.json\n",
     1, run_explain},
    {"classify", "MODEL IMAGE...", "labels and probabilities",
     "  netgaze classify model.keras photo.jpg\n  netgaze classify model/ photos/ --json --top 0 > predictions.jsonl\n", 2,
     run_classify},
    {"layers", "MODEL", "the layers that can be explained, and the automatic choice",
     "  netgaze layers model.keras --candidates\n  netgaze layers model.h5 --json\n", 4, run_layers},
    {"methods", "", "the attribution methods", "  netgaze methods --json\n", 8, run_methods},
    {"render", "SIDECAR...", "draw the pictures of a sidecar again, with other colours if asked",
     "  netgaze render heatmaps/dog.mixed10.gradcam.2.json --colormap viridis -o viridis\n", 16, run_render},
    {"doctor", "[MODEL]", "the build, the CPU, library versions; with a model, its kernels",
     "  netgaze doctor\n  netgaze doctor model.keras\n", 32, run_doctor},
    {"man", "", "the manual page, as troff", "  netgaze man | man -l -\n", 64, run_manual},
    {"completion", "bash", "shell completion", "  source <(netgaze completion bash)\n", 128, run_completion},
};
const int command_count = (int)(sizeof commands / sizeof *commands);

void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("netgaze: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int exit_code_of(ng_status status)
{
    return status == NG_E_MEMORY ? EXIT_ENVIRONMENT : status == NG_E_ARGUMENT ? EXIT_USAGE : EXIT_MODEL;
}

char *json_line(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)), *line = NULL;
    size_t n = text ? strlen(text) : 0;
    if (text && (line = malloc(n + 2))) {
        memcpy(line, text, n);
        memcpy(line + n, "\n", 2);
    }
    free(text);
    json_decref(object);
    return line;
}

static void usage(FILE *f)
{
    fprintf(f, "netgaze %s: where an image classifier looks\n\nUsage: netgaze COMMAND ...\n\nCommands:\n", ng_version());
    for (int i = 0; i < command_count; i++)
        fprintf(f, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fprintf(f, "\n`netgaze COMMAND --help` describes a command.\n\nExamples:\n  netgaze explain chest.keras xrays/ -o heatmaps\n"
               "  netgaze classify model.keras photo.jpg\n");
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("netgaze %s\n", ng_version());
        return EXIT_DONE;
    }
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < command_count; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            settings s;
            int code = parse_options(&commands[i], argc, argv, &s);
            if (code == EXIT_DONE && s.help)
                print_help(&commands[i]);
            else if (code == EXIT_DONE)
                code = commands[i].run(&s);
            free(s.arguments);
            if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_DONE)
                code = EXIT_ENVIRONMENT;
            return code;
        }
    complain("'%s' is not a command; `netgaze --help` lists them", argv[1]);
    return EXIT_USAGE;
}
