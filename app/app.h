/* The program's parts. Uses the public header only. */
#ifndef NETGAZE_APP_H
#define NETGAZE_APP_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>

#include "netgaze/netgaze.h"

/* What scripts rely on. */
enum exit_code { EXIT_DONE = 0, EXIT_SOME_FAILED = 1, EXIT_USAGE = 2, EXIT_MODEL = 3, EXIT_ENVIRONMENT = 4,
                 EXIT_INTERRUPTED = 130 };

/* Every option's value; strings are borrowed from argv. */
typedef struct settings {
    const char *model, *weights, *preprocess, *labels, *input_size;
    const char *output, *method, *layer, *classes, *target, *compat, *colormap, *norm, *fit, *resize, *outputs, *backend;
    double alpha, window_center, window_width;
    int top, threads, batch;
    bool use_signed, grid, force, json, quiet, candidates, help;
    char **arguments; /* positional */
    int n_arguments;
} settings;

typedef struct command {
    const char *name, *arguments, *summary, *examples;
    unsigned bit; /* options whose row has it are this command's */
    int (*run)(const settings *s);
} command;

extern const command commands[];
extern const int command_count;

/* options.c: fills `s` from argv[2..]; EXIT_DONE, or EXIT_USAGE after saying what is wrong. */
int parse_options(const command *c, int argc, char **argv, settings *s);
void print_help(const command *c);
void print_manual(void);
void print_completion(void);

extern volatile sig_atomic_t interrupted;

/* Says an error on stderr, with the program's name. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int exit_code_of(ng_status status); /* of a failed model or environment call */

/* model.c: loads the model that the settings name (the first argument, or --model) and says how pixels are
 * preprocessed. *images is the index of the first image among the arguments. */
int open_model(const settings *s, ng_model **model, int *images);

/* images.c: one input as the network and the pictures want it. */
typedef struct inputs {
    char **paths; /* sorted within folders, without repeats */
    char **names; /* unique stems for files written */
    int count;
} inputs;

int find_inputs(const settings *s, int first, inputs *out);
void inputs_clear(inputs *in);

typedef struct picture {
    int n;              /* network inputs: 1, or the first dimension of an array */
    float *input;       /* [n,h,w,c] */
    ng_image *base;     /* [n]: what overlays are drawn on */
    ng_geometry geometry;
    bool is_array;
} picture;

typedef struct fitting {
    ng_fit fit;
    ng_resample resample;
    double window_center, window_width;
} fitting;

int read_fitting(const settings *s, fitting *out);
ng_status picture_load(const ng_model *model, const char *path, const fitting *f, picture *out, ng_error *err);
void picture_clear(picture *p);

/* work.c: runs `job` for every input on several threads; what it returns is printed in input order. */
typedef struct job_result {
    char *text;  /* for stdout, or NULL */
    int maps;
    bool failed, fatal;
} job_result;

typedef job_result job_function(void *context, ng_session *session, int index);
int run_jobs(const settings *s, ng_session *base, int count, job_function *job, void *context, const char *what);

int run_classify(const settings *s);
int run_explain(const settings *s);
int run_layers(const settings *s);
int run_methods(const settings *s);
int run_render(const settings *s);
int run_doctor(const settings *s);
int run_manual(const settings *s);
int run_completion(const settings *s);

/* render_options.c: the drawing options as the library takes them. */
int read_render_options(const settings *s, ng_render_opts *out);
char *json_line(json_t *object); /* takes the object; one line with newline */

#endif
