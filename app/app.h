/* What all parts of the program share: exit codes, settings, commands, messages. The program uses the public header
 * only. */
#ifndef NETGAZE_APP_H
#define NETGAZE_APP_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "netgaze/netgaze.h"

/* What scripts rely on. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_SOME_FAILED = 1, /* some images */
    EXIT_USAGE = 2,
    EXIT_MODEL = 3,
    EXIT_ENVIRONMENT = 4, /* unwritable output, disk full, out of memory */
    EXIT_INTERRUPTED = 130,
    EXIT_UNREAD = 141, /* nobody reads standard output any more; shells say so of what SIGPIPE ends */
};

/* Options of train and probe. */
typedef struct train_settings {
    const char *group, *base_layer, *pooling, *hidden, *loss, *unfreeze, *optimizer, *schedule, *memory,
        *folder, *features, *report;
    int folds, images, epochs, fine_epochs, batch, warmup, patience, micro_batch, watch;
    double val, test, dropout, label_smoothing, rate, fine_rate, momentum, epsilon, weight_decay, clip, ema,
        checkpoint_minutes, attention, background_swap;
    bool no_duplicates, train_norms, class_weights, balanced, keep_last, resume, no_report;
} train_settings;

/* Every option's value. Not given and without a default: NULL, NAN, -1 or false. Strings are borrowed from argv. */
typedef struct settings {
    int shuffle_head;     /* seed, for --check and sanity; no option */
    double shuffle_depth; /* see ng_model_opts; no option */
    bool shuffle_redraw;  /* the same */
    train_settings train;
    const char *model, *weights, *preprocess, *labels, *input_size;
    const char *image_input, *input_values, *output_layer;
    const char *output, *method, *layer, *classes, *target, *compat, *colormap, *norm, *fit, *resize,
        *outputs;
    const char *backend, *precision, *calibrate, *image;
    const char *parameters, *variant, *against, *truth, *picture_format;
    const char *smooth, *fuse, *baseline;
    const char *augment, *title, *control;
    const char *format, *dtype;
    const char *figures, *deletion, *insertion, *split;
    int concepts, crops, design;
    double crop;
    int images, variants, tune_images, steps;
    double box, alpha, window_center, window_width, target_alpha, budget;
    int top, threads, batch, repeat, seed;
    bool eigen_smooth, csv, check, use_signed, grid, force, recursive, json, quiet, candidates, no_cache,
        exact, help;
    char **arguments; /* [n_arguments], positional */
    int n_arguments;
    char **typed; /* [n_typed], the whole command line */
    int n_typed;
} settings;

/* One bit a command, for the option table. */
enum command_bit {
    EXPLAIN = 1 << 0,
    CLASSIFY = 1 << 1,
    LAYERS = 1 << 2,
    METHODS = 1 << 3,
    RENDER = 1 << 4,
    DOCTOR = 1 << 5,
    MANUAL = 1 << 6,
    COMPLETION = 1 << 7,
    TRAIN = 1 << 8,
    PROBE = 1 << 9,
    BENCH = 1 << 16,
    CACHE = 1 << 17,
    TUNE = 1 << 18,
    SANITY = 1 << 19,
    DUPLICATES = 1 << 21,
    AUGMENT_PREVIEW = 1 << 22,
    SCORE = 1 << 23,
    EVALUATE = 1 << 24,
    CONVERT = 1 << 25,
    CONCEPTS = 1 << 26,
    COMPARE = 1 << 27,
    ALL_COMMANDS = (1 << 28) - 1,
};

typedef struct command {
    const char *name, *arguments, *summary;
    const char *details;  /* a paragraph or more, or "" */
    const char *examples; /* a command a line, each with its comment line above */
    unsigned bit;
    int (*run)(const settings *s);
} command;

extern const command commands[];
extern const int command_count;

int run_explain(const settings *s);
int run_classify(const settings *s);
int run_train(const settings *s);
int run_probe(const settings *s);
int run_layers(const settings *s);
int run_methods(const settings *s);
int run_render(const settings *s);
int run_doctor(const settings *s);
int run_bench(const settings *s);
int run_sanity(const settings *s);
int run_score(const settings *s);
int run_concepts(const settings *s);
int run_cache(const settings *s);
int run_tune(const settings *s);
int run_duplicates(const settings *s);
int run_augment_preview(const settings *s);
int run_evaluate(const settings *s);
int run_compare(const settings *s);
int run_convert(const settings *s);
int run_manual(const settings *s);
int run_completion(const settings *s);

/* Set by the first SIGINT or SIGTERM while images are being worked on. */
extern volatile sig_atomic_t interrupted;

/* ---- say.c: messages, colour, JSON ---------------------------------------------------------- */

/* One line on standard error, after the program's name; a progress line is cleared first. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Defined here, so that the analyzer sees that it never returns EXIT_DONE. */
static inline int say_out_of_memory(void)
{
    complain("out of memory");
    return EXIT_ENVIRONMENT;
}
/* For progress lines: no newline; the next message clears it. "" clears it at once. */
void say_progress(const char *line);
/* Whether standard output is a pipe whose reader has closed it, as head does. */
bool reader_has_gone(void);
bool color_wanted(FILE *f);       /* a terminal, and NO_COLOR unset */
int columns_of(const char *text); /* of UTF-8 text, one a character */

/* The command as it was typed, with quotes where a shell needs them; to be freed. NULL: no memory. */
char *command_line(const settings *s);

/* The exit code of a failure with a data set. */
int data_failure_code(ng_status status);

/* Text as JSON; bytes that are no UTF-8 become U+FFFD. */
json_t *json_text(const char *text);
/* A finite number; NaN and infinity become 0. */
json_t *json_number(double value);
/* One compact line, float32 with 9 digits; takes the object. False when memory ran out; that a
 * stream takes no more is said by main. */
bool write_json_line(FILE *f, json_t *object);

/* cache.c: "2G", "500M", "1000000". */
bool read_bytes(const char *text, uint64_t *bytes);

/* ---- model.c -------------------------------------------------------------------------------- */

/* Loads the model that the settings name (the first argument, or --model) and says how pixels are preprocessed.
 * *rest is the index of the first argument after it. EXIT_DONE, or another code after saying why. */
int open_model(const settings *s, ng_model **model, int *rest);
/* A session for the layers [n]; EXIT_DONE, or another code after saying why. */
int open_session(const settings *s, const ng_model *model, const int *layers, int n, bool forward_only,
                 ng_session **session);

#endif
