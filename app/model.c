/* Opening the model and a session, and saying how pixels reach the network. */
#include "app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_side(const char *text, char **end, int *side)
{
    long value = strtol(text, end, 10);
    *side = value >= 1 && value <= 16384 ? (int)value : 0;
    return *end != text && *side > 0;
}

/* "299" or "240x320", height first. */
static int read_size(const char *text, ng_model_opts *opts)
{
    char *end;
    if (!text)
        return EXIT_DONE;
    bool fine = read_side(text, &end, &opts->input_height);
    opts->input_width = opts->input_height;
    if (fine && *end == 'x')
        fine = read_side(end + 1, &end, &opts->input_width);
    if (fine && *end == '\0')
        return EXIT_DONE;
    complain("--input-size: '%s' is not a size such as 299 or 240x320, from 1 to 16384", text);
    return EXIT_USAGE;
}

static int check_file(const char *option, const char *path)
{
    if (!path || access(path, R_OK) == 0)
        return EXIT_DONE;
    complain("%s: %s: %s", option, path, strerror(errno));
    return EXIT_USAGE;
}

/* ---- Several inputs -------------------------------------------------------------------------- */

enum { MOST_INPUTS = 64 };

/* The parts of --input, with the arrays they name. */
typedef struct given_inputs {
    char *text;
    ng_input_value values[MOST_INPUTS];
    ng_array arrays[MOST_INPUTS];
    int n;
} given_inputs;

static void given_clear(given_inputs *g)
{
    for (int i = 0; i < g->n; i++)
        ng_array_clear(&g->arrays[i]);
    free(g->text);
    *g = (given_inputs){0};
}

/* "age=age.npy,sex=sex.npy" */
static int read_inputs(const char *text, given_inputs *g)
{
    char *rest = NULL;
    ng_error err;
    if (!text)
        return EXIT_DONE;
    if (!(g->text = strdup(text)))
        return say_out_of_memory();
    for (char *part = strtok_r(g->text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(part, '=');
        if (!equals || equals == part || !equals[1] || g->n == MOST_INPUTS) {
            complain("--input: '%s' is not NAME=FILE.npy%s", part,
                     g->n == MOST_INPUTS ? ", or there are too many" : "");
            return EXIT_USAGE;
        }
        *equals = '\0';
        if (ng_npy_load(equals + 1, &g->arrays[g->n], &err) != NG_OK) {
            complain("--input %s: %s", part, err.text);
            return EXIT_USAGE;
        }
        g->values[g->n] = (ng_input_value){part, &g->arrays[g->n]};
        g->n++;
    }
    return EXIT_DONE;
}

/* ---- Preprocessing --------------------------------------------------------------------------- */

/* Why the range cannot be right for the network's first weighted layer, or NULL. */
static const char *implausible(const ng_preprocess_info *p)
{
    double extent = (double)p->high - p->low;
    bool named = strcmp(p->origin, "option") == 0;
    if (!(extent > 0.1))
        return "that is too narrow: the model's own layers seem to scale the pixels once more; leave out "
               "--preprocess";
    if (extent > 1000 || p->low < -300 || p->high > 300)
        return "that is wider than pixels are: is the scaling undone twice? Leave out --preprocess, or name "
               "another";
    if (named && extent > 20 && strcmp(p->mode, "raw") == 0)
        return "the network sees raw pixels; most networks expect about -1 to 1. Is another --preprocess "
               "meant?";
    if (named && extent < 0.5)
        return "that is narrow: does the model scale its input itself? Leave out --preprocess to find out";
    return NULL;
}

/* The most frequent mistake: always said, and warned about when it cannot be right. */
static void say_preprocessing(const ng_preprocess_info *p)
{
    const char *reason = implausible(p);
    complain("preprocessing: %s (from: %s); the first layer with weights sees %.4g to %.4g", p->mode,
             p->origin, p->low, p->high);
    if (strcmp(p->origin, "assumed") == 0)
        complain("warning: neither the model nor its name says how pixels are scaled; '%s' is assumed. Name "
                 "it with "
                 "--preprocess",
                 p->mode);
    if (reason)
        complain("warning: %.4g to %.4g: %s", p->low, p->high, reason);
}

static int load_model(const settings *s, const char *path, ng_model_opts *opts, ng_model **model)
{
    given_inputs given = {0};
    ng_error err;
    int code = read_inputs(s->input_values, &given);
    if (code == EXIT_DONE) {
        opts->output = s->output_layer;
        opts->image_input = s->image_input;
        opts->inputs = given.values;
        opts->input_count = given.n;
        ng_status status = ng_model_load(path, opts, model, &err);
        opts->inputs = NULL; /* they end with `given` */
        opts->input_count = 0;
        code = status == NG_OK ? EXIT_DONE : status == NG_E_MEMORY ? EXIT_ENVIRONMENT : EXIT_MODEL;
        if (status != NG_OK)
            complain("%s", err.text);
    }
    given_clear(&given);
    return code;
}

int open_model(const settings *s, ng_model **model, int *rest)
{
    *model = NULL;
    *rest = s->model ? 0 : 1;
    const char *path = s->model ? s->model : s->n_arguments ? s->arguments[0] : NULL;
    if (!path) {
        complain("a model is missing; see --help");
        return EXIT_USAGE;
    }
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.weights = s->weights;
    opts.preprocess = s->preprocess;
    opts.labels = s->labels;
    opts.shuffle_head = (unsigned)s->shuffle_head;
    opts.shuffle_depth = s->shuffle_depth;
    opts.shuffle_redraw = s->shuffle_redraw;
    if (s->no_cache)
        opts.cache = "off";
    int code = read_size(s->input_size, &opts);
    if (code == EXIT_DONE)
        code = check_file("--weights", s->weights);
    if (code == EXIT_DONE)
        code = check_file("--labels", s->labels);
    if (code != EXIT_DONE)
        return code;
    code = load_model(s, path, &opts, model);
    if (code != EXIT_DONE)
        return code;
    ng_model_info info;
    ng_model_describe(*model, &info);
    if (!s->quiet)
        say_preprocessing(&info.preprocess);
    return EXIT_DONE;
}

int open_session(const settings *s, const ng_model *model, const int *layers, int n, bool forward_only,
                 ng_session **session)
{
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.backend = s->backend;
    opts.batch = s->batch > 0 ? s->batch : 1;
    opts.layers = layers;
    opts.layer_count = n;
    opts.forward_only = forward_only;
    ng_error err;
    ng_status status = ng_session_create(model, &opts, session, &err);
    if (status == NG_OK)
        return EXIT_DONE;
    complain("%s", err.text);
    return status == NG_E_MEMORY ? EXIT_ENVIRONMENT : status == NG_E_ARGUMENT ? EXIT_USAGE : EXIT_MODEL;
}
