/* What explain.c (the request), explain_image.c (one image), sidecar.c, earlier.c (reruns), pictures.c, grid.c and
 * render.c share. */
#ifndef NETGAZE_APP_EXPLAIN_H
#define NETGAZE_APP_EXPLAIN_H

#include "precision.h"
#include "work.h"

enum {
    MOST_METHODS = 64,
    MOST_VIEWS = 256,
    MOST_FUSED = 32,
    MOST_CLASSES = 1024,
    PREDICTED = -1,
    TRUE_CLASS = -2
};

enum output_bit {
    OUTPUT_RAW = 1 << 0,
    OUTPUT_HEATMAP = 1 << 1,
    OUTPUT_OVERLAY = 1 << 2,
    OUTPUT_FIGURE = 1 << 3,
    OUTPUT_SIDECAR = 1 << 4,
    OUTPUT_KINDS = 5,
};

typedef struct method_choice_made {
    ng_method_info method;
    char *parameters; /* as the library takes them */
} method_choice_made;

/* One way of looking: a method at a layer. */
typedef struct map_view {
    const ng_method_info *method;
    const char *parameters;
    int layer; /* index; the input, for methods that explain pixels; the first of fused ones */
    int fused[MOST_FUSED], n_fused; /* layers whose maps become one; 0: only `layer` */
    char *path;                     /* "inception_v3/mixed10"; fused ones joined by "+" */
    char *name;                     /* as it stands in file names: "mixed10" */
    ng_norm norm;
    json_t *conventions; /* everything that decides a map beside model, image, layer and class */
} map_view;

/* What is asked for: the same for every image. Read-only while threads work. */
typedef struct explain_job {
    const settings *s;
    settings own; /* what s is from the moment when the images are counted: with a batch */
    bool automatic_batch;
    const ng_model *model;
    ng_model_info info;
    inputs in;
    fitting fit;
    ng_render_opts render;
    ng_target target;
    int against;     /* class; -1: the library's choice */
    int map_threads; /* for one map */
    unsigned outputs;
    char *folder;               /* without a slash at its end */
    map_view views[MOST_VIEWS]; /* [n_views], method by method */
    int n_views;
    method_choice_made methods[MOST_METHODS];
    int n_methods;
    ng_smooth smooth;
    ng_fuse fuse;
    float *baseline;          /* [h,w,c] of --baseline, or NULL */
    float *blank;             /* --check: a grey input [h,w,c] */
    ng_model *shuffled_model; /* --check: the model with a shuffled last layer, */
    ng_session *shuffled;     /*   to be cloned */
    bool grid;                /* all maps of an input in one picture */
    int classes
        [MOST_CLASSES]; /* [n_classes], may hold PREDICTED and TRUE_CLASS; none: the `top` most likely */
    int n_classes, top;
    int *truth;     /* [in.count] true class of each image, -1: none; NULL: not asked for */
    char **listing; /* [n_listing] sorted names of sidecars in the folder; none with --force */
    int n_listing;
    int image_width, label_width, layer_width, method_width; /* columns of the table; 0: no such column */
    bool color;
} explain_job;

/* One map on its way to its files. */
typedef struct set {
    int input, item, items; /* item -1 where inputs have none; items: how many the input has, or 0 */
    int view;               /* among the job's views */
    int rank;               /* of the class, 0 for the predicted */
    const ng_map *map;
    json_t *correlations; /* with the maps of other views, by "method at layer"; NULL: there are none */
    json_t *checks;       /* NULL: none were asked for */
} set;

/* ---- views.c ------------------------------------------------------------------------------- */

int read_methods(explain_job *j); /* before the model is known */
int make_views(explain_job *j);   /* after */
void free_views(explain_job *j);
/* The library's options for a view; class, progress and time are left to be set. */
void set_view_opts(const explain_job *j, int view, ng_explain_opts *opts);
/* A session that keeps what the views need; `checked`: at the precision that is asked for (precision.h). */
int open_for_views(const explain_job *j, bool checked, ng_session **session);

/* ---- baseline.c: --baseline -------------------------------------------------------------------- */

int read_baseline(
    explain_job *j); /* when model and fitting are known; EXIT_DONE, or another code after saying why */

/* ---- truth.c --------------------------------------------------------------------------------- */

int read_truth(explain_job *j);

/* ---- compare.c: maps of one class under several views; maps [n_views] ------------------------ */

/* The map averaged onto h x w cells, at most its own size; to be freed. */
float *average_map(const ng_map *m, int h, int w);
/* Of a view's map with those of the views before it. */
json_t *correlations_with(const explain_job *j, const ng_map *maps, int view, const ng_map *map);
void print_correlations(const explain_job *j, const ng_map *maps, FILE *out);
void say_identities(const explain_job *j, const ng_map *maps);

/* ---- controls.c: maps that look at no weights, of the input's size; without signed values ------- */

/* Sobel's gradient magnitude of the input x [h,w,c], the channels summed. */
ng_status make_edges(const ng_model_info *info, const float *x, ng_map *out, ng_error *err);
/* A Gaussian in the middle; its standard deviation is a quarter of the side. */
ng_status make_centre(const ng_model_info *info, ng_map *out, ng_error *err);

/* ---- check.c --------------------------------------------------------------------------------- */

int open_checks(explain_job *j); /* when the views are known; EXIT_DONE, or another code after saying why */
void close_checks(explain_job *j);
/* Sets t->checks for t->map, and says what is doubtful. `session` gives the model; input [h,w,c] is the map's. */
ng_status check_map(const explain_job *j, const ng_session *session, const float *input,
                    const ng_explain_opts *opts, set *t, ng_error *err);

/* ---- csv.c ----------------------------------------------------------------------------------- */

void print_csv_header(FILE *out);
void print_csv_row(FILE *out, const json_t *line);

/* ---- sidecar.c: results and sidecars -------------------------------------------------------- */

/* DIR/stem[.item].layer.method.class[.compat], to be freed; NULL when memory ran out. */
char *set_path(const explain_job *j, int input, int item, int view, int class_index);
/* Where a kind of output of a map goes: `base` with an ending; to be freed. */
char *output_path(const explain_job *j, const char *base, int kind);
/* DIR/stem[.item].method.grid[.compat] */
char *grid_path(const explain_job *j, int input, int item);
/* The conventions of a view, for comparison and for the record. */
json_t *make_conventions(const explain_job *j, const map_view *v);
/* Path, size and time of an image file, to recognise it. */
json_t *input_identity(const char *path);
/* The line of one map; files are named after `base`. */
json_t *make_result(const explain_job *j, const set *t, const ng_geometry *g, const char *base);
json_t *make_sidecar(const explain_job *j, const set *t, const picture *p, const char *title, json_t *result);
/* Writes a sidecar; its map's signed values (may be NULL) [n] last. */
ng_status save_sidecar(json_t *sidecar, const float *signed_data, int n, const char *path, ng_error *err);
/* The line recorded in a sidecar, as it is now: image and files under today's names. */
json_t *result_of_sidecar(const explain_job *j, const json_t *sidecar, int input, const char *base);
/* Whether a sidecar was made from this image by this model under these conventions. */
bool sidecar_matches(const explain_job *j, const json_t *sidecar, int input, const json_t *conventions);

/* ---- earlier.c: what an earlier run has done ------------------------------------------------ */

int list_sidecars(explain_job *j);
void free_listing(explain_job *j);
/* The lines of all maps of an input, where everything is there; else NULL. */
bool file_is_there(const char *path); /* and not empty */
json_t *find_earlier(const explain_job *j, int input);
/* The line of one map, or NULL. */
json_t *find_earlier_map(const explain_job *j, int input, int item, int view, int class_index);

/* ---- pictures.c ----------------------------------------------------------------------------- */

typedef struct picture_paths {
    const char *heatmap, *overlay, *figure; /* NULL: not wanted */
} picture_paths;

int read_render_options(const settings *s, ng_render_opts *out);
/* How a map is drawn: the job's options with its view's normalisation. */
ng_render_opts render_options(const explain_job *j, const set *t);
/* *writing is set while files are being written, so that the caller knows what failed. */
ng_status write_pictures(const ng_map *map, const ng_image *base, const ng_geometry *g,
                         const ng_render_opts *opts, const picture_paths *paths, bool *writing,
                         ng_error *err);
/* All files of one map, the sidecar last; *line gets its result. */
ng_status write_set(const explain_job *j, const set *t, const picture *p, const ng_image *base, json_t **line,
                    bool *writing, ng_error *err);

/* ---- scales.c: render's scales over many sidecars ------------------------------------------- */

bool wants_scales(const settings *s);
json_t *read_scales(const settings *s); /* of the sidecars among the arguments; NULL when memory ran out */
/* Gives `opts` the scale of a sidecar's map; false when memory ran out. */
bool use_scale(const settings *s, const json_t *scales, const json_t *sidecar, ng_render_opts *opts);

/* ---- grid.c: all maps of one input in one picture ------------------------------------------- */

typedef struct grid {
    ng_image *images; /* [count] */
    char **captions;  /* [count] */
    int count;
} grid;

ng_status grid_add(const explain_job *j, grid *g, const set *t, const picture *p, const ng_image *base,
                   ng_error *err);
ng_status grid_write(const explain_job *j, const grid *g, const set *t, const int *classes, int n,
                     bool *writing, ng_error *err);
bool grid_is_there(const explain_job *j, int input, int item, const int *classes, int n);
void grid_clear(grid *g);

/* ---- explain_image.c ------------------------------------------------------------------------ */

void explain_images(void *context, ng_session *session,
                    job *j); /* a job_function; the context is an explain_job */

/* ---- explain.c ------------------------------------------------------------------------------ */

int at_most(int value, int most);
int make_folder(const char *path); /* mkdir -p; EXIT_DONE or EXIT_ENVIRONMENT after saying why */

#endif
