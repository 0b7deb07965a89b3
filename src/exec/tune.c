/* Measuring kernels against each other, and the file of what won: a line a shape, with the back end's name. The file's
 * name says for which processor and library it was measured. */
#include "exec/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cache.h"
#include "exec/plan.h"

#define MAX_FILE    ((size_t)1 << 20)
#define MAX_REPEATS 1000
/* The other kernel must be this much faster: two that are equal should not change places with every measurement. */
#define MARGIN      0.98

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* What decides a convolution's time; false for other steps and those with one kernel only, as with a pool. */
static bool shape_text(const ngi_step *s, int threads, char text[NGI_TUNE_SHAPE])
{
    const ngi_attr *a = s->attr;
    if (s->op != NGI_OP_CONV2D || s->pool || a->groups != 1 || a->stride_h != 1 || a->stride_w != 1 ||
        a->dilation_h != 1 || a->dilation_w != 1)
        return false;
    const ngi_shape *in = s->in_shape[0], *out = s->out_shape;
    snprintf(text, NGI_TUNE_SHAPE, "%dx%d %lldx%lldx%lld to %lldx%lldx%lld, %d thread%s", a->kernel_h,
             a->kernel_w, (long long)in->dim[0], (long long)in->dim[1], (long long)in->dim[2],
             (long long)out->dim[0], (long long)out->dim[1], (long long)out->dim[2], threads,
             threads == 1 ? "" : "s");
    return true;
}

/* ---- The file -------------------------------------------------------------------------------- */

static char *file_path(const char *cache)
{
    char text[256], hex[NGI_HASH_TEXT];
    ngi_hash h;
    int n =
        snprintf(text, sizeof text, "%s onednn %s %s, %ld %ld", ngi_native_isa_name(), ngi_onednn_version(),
                 ngi_onednn_isa(), sysconf(_SC_LEVEL2_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE));
    if (ngi_hash_init(&h, NULL) != NG_OK)
        return NULL;
    ngi_hash_add(&h, text, (size_t)n);
    ngi_hash_finish(&h, hex);
    return ngi_sprintf("%s/" NGI_CACHE_TUNED "%s", cache, hex);
}

/* The file's text, or NULL if there is none. */
static char *read_choices(const char *cache)
{
    char *path = file_path(cache), *text = NULL;
    size_t size;
    if (path && ngi_path_exists(path) && ngi_file_read(path, MAX_FILE, &text, &size, NULL) != NG_OK)
        text = NULL;
    ngi_free(path);
    return text;
}

/* The line "shape\tback end" of this shape, at its back end; NULL if there is none. */
static const char *find_choice(const char *text, const char *shape)
{
    size_t n = strlen(shape);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, shape, n) == 0 && line[n] == '\t')
            return line + n + 1;
    return NULL;
}

void ngi_plan_read_choices(ngi_plan *p, const char *cache)
{
    char shape[NGI_TUNE_SHAPE], *text = strcmp(p->backend, "auto") == 0 ? read_choices(cache) : NULL;
    for (int i = 0; text && i < p->n_steps; i++) {
        const char *choice =
            shape_text(&p->steps[i].step, p->threads, shape) ? find_choice(text, shape) : NULL;
        size_t length = choice ? strcspn(choice, "\n") : 0;
        for (int b = 0; choice && b < p->n_backends; b++)
            if (strlen(p->backends[b]->name) == length && strncmp(choice, p->backends[b]->name, length) == 0)
                p->steps[i].preferred = b;
    }
    ngi_free(text);
}

/* New lines first: the first of a shape counts, and older ones of the same shape are left out. */
static ng_status merge(const ngi_tune_row *rows, int n, const char *const names[2], const char *old,
                       ngi_buffer *out, ng_error *err)
{
    for (int i = 0; i < n; i++)
        NGI_TRY(ngi_buffer_printf(out, err, "%s\t%s\n", rows[i].shape, names[rows[i].chosen]));
    size_t fresh = out->size;
    for (const char *line = old; line && *line;) {
        size_t length = strcspn(line, "\n"), key = strcspn(line, "\t\n");
        bool again = key >= NGI_TUNE_SHAPE || line[key] != '\t';
        for (int i = 0; i < n && !again; i++)
            again = strlen(rows[i].shape) == key && strncmp(rows[i].shape, line, key) == 0;
        if (!again && fresh + length < MAX_FILE)
            NGI_TRY(ngi_buffer_printf(out, err, "%.*s\n", (int)length, line));
        line += length + (line[length] == '\n');
    }
    return NG_OK;
}

static ng_status save_choices(const char *cache, const ngi_tune_row *rows, int n, const char *const names[2],
                              ng_error *err)
{
    ngi_buffer text = {0};
    char *old = read_choices(cache), *path = file_path(cache);
    ng_status status = path ? merge(rows, n, names, old, &text, err) : ngi_fail_memory(err, strlen(cache));
    if (status == NG_OK)
        status = ngi_cache_make_folder(cache, err);
    if (status == NG_OK)
        status = ng_file_save(path, text.data ? text.data : "", text.size, err);
    ngi_buffer_clear(&text);
    ngi_free(old);
    ngi_free(path);
    return status;
}

/* ---- Measuring ------------------------------------------------------------------------------- */

typedef struct contest {
    ngi_plan *plans[2]; /* the same steps, by different back ends */
    void *contexts[2];
    int threads, repeats;
    int *steps[2]; /* [rows] in each plan a step of each shape */
    double *times; /* [rows][2][repeats] */
    float *in, *out;
    void *scratch; /* all large enough for every step */
} contest;

/* Of one thread its own time, which other programs disturb less. */
static double milliseconds(const contest *c)
{
    struct timespec now;
    clock_gettime(c->threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Half of them zero, as behind a ReLU. */
static void fill(float *x, int64_t n)
{
    uint32_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float value = (float)(state >> 8) / 8388608.0f - 1.0f;
        x[i] = value > 0 ? value : 0;
    }
}

static ng_status run_one(const contest *c, int which, int row, double *time, ng_error *err)
{
    const ngi_kernel *k = &c->plans[which]->steps[c->steps[which][row]].kernel;
    ngi_run run = {.n = 1,
                   .in = (const float *const[]){c->in},
                   .out = c->out,
                   .scratch = c->scratch,
                   .context = c->contexts[which]};
    double start = milliseconds(c);
    NGI_TRY(k->forward(k, &run, err));
    *time = milliseconds(c) - start;
    return NG_OK;
}

/* Rounds over all shapes: each finds its weights where a whole forward run would, not in the nearest cache. */
static ng_status measure(const contest *c, ngi_tune_row *rows, int n, ng_error *err)
{
    double ignored;
    for (int k = -1; k < c->repeats; k++) /* once to warm up */
        for (int i = 0; i < n; i++)
            for (int which = 0; which < 2; which++)
                NGI_TRY(run_one(c, which, i, k < 0 ? &ignored : &c->times[(2 * i + which) * c->repeats + k],
                                err));
    for (int i = 0; i < n; i++) {
        for (int which = 0; which < 2; which++) {
            double *times = &c->times[(2 * i + which) * c->repeats];
            qsort(times, (size_t)c->repeats, sizeof *times, by_value);
            rows[i].milliseconds[which] = times[c->repeats / 2];
            snprintf(rows[i].kernel[which], sizeof rows[i].kernel[which], "%s",
                     c->plans[which]->steps[c->steps[which][i]].kernel.name);
        }
        rows[i].chosen = rows[i].milliseconds[1] < MARGIN * rows[i].milliseconds[0];
    }
    return NG_OK;
}

/* The plan's step that starts with this node; -1: none. Plans of different back ends fuse differently. */
static int step_from(const ngi_plan *p, int root)
{
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].step.root == root)
            return i;
    return -1;
}

static int find_shapes(const contest *c, ngi_tune_row *rows)
{
    const ngi_plan *p = c->plans[0];
    int n = 0;
    for (int i = 0; i < p->n_steps; i++) {
        char shape[NGI_TUNE_SHAPE];
        int other = step_from(c->plans[1], p->steps[i].step.root);
        if (other < 0 || strcmp(p->steps[i].kernel.name, c->plans[1]->steps[other].kernel.name) == 0 ||
            !shape_text(&p->steps[i].step, c->threads, shape))
            continue;
        int k = 0;
        while (k < n && strcmp(rows[k].shape, shape) != 0)
            k++;
        if (k == n) {
            snprintf(rows[k].shape, sizeof rows[k].shape, "%s", shape);
            c->steps[0][n] = i;
            c->steps[1][n++] = other;
        }
        rows[k].steps++;
    }
    return n;
}

static ng_status allocate_room(contest *c, int n, ng_error *err)
{
    int64_t in = 1, out = 1;
    size_t scratch = 64;
    for (int i = 0; i < n; i++)
        for (int which = 0; which < 2; which++) {
            const ngi_plan_step *s = &c->plans[which]->steps[c->steps[which][i]];
            int64_t in_count = ngi_shape_count(s->step.in_shape[0]),
                    out_count = ngi_shape_count(s->step.out_shape);
            in = in_count > in ? in_count : in;
            out = out_count > out ? out_count : out;
            scratch = s->kernel.scratch > scratch ? s->kernel.scratch : scratch;
        }
    c->in = ngi_alloc_aligned((size_t)in * sizeof *c->in);
    c->out = ngi_alloc_aligned((size_t)out * sizeof *c->out);
    c->scratch = ngi_alloc_aligned(scratch);
    c->times = ngi_alloc(2 * (size_t)n * (size_t)c->repeats, sizeof *c->times);
    if (!c->in || !c->out || !c->scratch || !c->times)
        return ngi_fail_memory(err, scratch + (size_t)(in + out) * sizeof *c->in);
    fill(c->in, in);
    return NG_OK;
}

static ng_status measure_all(contest *c, ngi_tune_row *rows, int *n, ng_error *err)
{
    size_t most = (size_t)c->plans[0]->n_steps;
    c->steps[0] = ngi_alloc(most, sizeof **c->steps);
    c->steps[1] = ngi_alloc(most, sizeof **c->steps);
    if (!c->steps[0] || !c->steps[1])
        return ngi_fail_memory(err, most * 2 * sizeof **c->steps);
    *n = find_shapes(c, rows);
    NGI_TRY(allocate_room(c, *n, err));
    return measure(c, rows, *n, err);
}

static const ngi_backend *backend_named(const ngi_plan *p, const char *name)
{
    for (int b = 0; b < p->n_backends; b++)
        if (strcmp(p->backends[b]->name, name) == 0)
            return p->backends[b];
    return NULL;
}

static ng_status open_contest(contest *c, const ngi_graph *g, int root, ng_error *err)
{
    static const char *const lists[2] = {"auto", "onednn"};
    for (int i = 0; i < 2; i++) {
        ngi_plan_opts o = {.batch = 1, .threads = c->threads, .backend = lists[i], .root = root};
        NGI_TRY(ngi_plan_create(g, &o, &c->plans[i], err));
    }
    for (int i = 0; i < 2; i++) { /* only oneDNN's kernels have one */
        const ngi_backend *b = backend_named(c->plans[i], "onednn");
        if (b && b->context_create)
            NGI_TRY(b->context_create(c->threads, &c->contexts[i], err));
    }
    return NG_OK;
}

static void close_contest(contest *c)
{
    ngi_free(c->steps[0]);
    ngi_free(c->steps[1]);
    ngi_free(c->times);
    ngi_free_aligned(c->in);
    ngi_free_aligned(c->out);
    ngi_free_aligned(c->scratch);
    for (int i = 0; i < 2; i++) {
        if (c->contexts[i])
            backend_named(c->plans[i], "onednn")->context_free(c->contexts[i]);
        ngi_plan_free(c->plans[i]);
    }
}

ng_status ngi_tune(const ngi_graph *g, int root, int threads, int repeats, const char *cache,
                   ngi_tune_row **rows, int *n, ng_error *err)
{
    static const char *const names[2] = {"native", "onednn"};
    *rows = NULL;
    *n = 0;
    if (threads < 1 || repeats < 1 || repeats > MAX_REPEATS)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%d threads, %d repeats: expected threads from 1, repeats 1 to %d", threads, repeats,
                        MAX_REPEATS);
    contest c = {.threads = threads, .repeats = repeats};
    ngi_tune_row *list = ngi_alloc_zero((size_t)g->n_nodes, sizeof *list);
    ng_status status =
        list ? open_contest(&c, g, root, err) : ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *list);
    if (status == NG_OK)
        status = measure_all(&c, list, n, err);
    if (status == NG_OK && cache)
        status = save_choices(cache, list, *n, names, err);
    close_contest(&c);
    if (status != NG_OK) {
        ngi_free(list);
        *n = 0;
        return status;
    }
    *rows = list;
    return NG_OK;
}
