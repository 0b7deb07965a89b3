/* layers MODEL [RUNS] [--each] [--threads N] [--backend auto|onednn|bf16|int8]: where a forward run's time goes. Medians over RUNS (15)
 * of the thread's own processor time (of several threads, of time), by class of layer and in all; --each: of each step, too. GFLOP/s are the direct
 * convolution's multiplications and additions, whatever the kernel does instead; compare with `peak`. */
#include <string.h>

#include "bench.h"
#include "exec/calibrate.h"
#include "exec/plan.h"
#include "format/format.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double flops(const ngi_step *s)
{
    const ngi_attr *a = s->attr;
    double out = (double)ngi_shape_count(s->pool ? &s->pool_in : s->out_shape);
    if (s->op == NGI_OP_CONV2D)
        return 2 * out * a->kernel_h * a->kernel_w * (double)s->in_shape[0]->dim[2] / a->groups;
    if (s->op == NGI_OP_DEPTHWISE)
        return 2 * out * a->kernel_h * a->kernel_w;
    return s->op == NGI_OP_DENSE ? 2 * out * (double)ngi_shape_count(s->in_shape[0]) : 0;
}

static const char *class_of(const ngi_step *s)
{
    static const char *const names[] = {"conv 1x1", "conv strided", "conv 1-D", "conv 2-D"};
    const ngi_attr *a = s->attr;
    if (s->op != NGI_OP_CONV2D)
        return ngi_op_name(s->op);
    if (a->stride_h > 1 || a->stride_w > 1)
        return names[1];
    return a->kernel_h * a->kernel_w == 1         ? names[0]
           : a->kernel_h == 1 || a->kernel_w == 1 ? names[2]
                                                  : names[3];
}

typedef struct row {
    const char *name;
    double time, flops;
} row;

static void say_class(const char *name, const row *rows, int n)
{
    double time = 0, work = 0;
    for (int i = 0; i < n; i++)
        if (!name || strcmp(rows[i].name, name) == 0) {
            time += rows[i].time;
            work += rows[i].flops;
        }
    printf("%-18s %8.2f ms %7.2f GFLOP %6.0f GFLOP/s\n", name ? name : "all", time, work / 1e9,
           work / time / 1e6);
}

static void report(const ngi_plan *p, const double *times, int runs, bool each)
{
    row *rows = calloc((size_t)p->n_steps, sizeof *rows);
    double *sorted = malloc((size_t)runs * sizeof *sorted);
    for (int i = 0; rows && sorted && i < p->n_steps; i++) {
        const ngi_step *s = &p->steps[i].step;
        memcpy(sorted, times + (size_t)i * (size_t)runs, (size_t)runs * sizeof *sorted);
        qsort(sorted, (size_t)runs, sizeof *sorted, by_value);
        rows[i] = (row){class_of(s), sorted[runs / 2], flops(s)};
        const ngi_shape *in = s->in_shape[0], *out = s->out_shape;
        if (each)
            printf("%-28s %-12s %dx%d/%d %4lldx%-4lld %4lld to %4lld %8.3f ms %6.0f GFLOP/s  %s\n",
                   p->graph->nodes[s->root].name, rows[i].name, s->attr->kernel_h, s->attr->kernel_w,
                   s->attr->stride_h, (long long)in->dim[0], (long long)in->dim[1], (long long)in->dim[2],
                   (long long)out->dim[out->rank - 1], rows[i].time, rows[i].flops / rows[i].time / 1e6,
                   p->steps[i].kernel.name);
    }
    for (int i = 0; i < p->n_steps; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++)
            seen = seen || strcmp(rows[k].name, rows[i].name) == 0;
        if (!seen)
            say_class(rows[i].name, rows, p->n_steps);
    }
    say_class(NULL, rows, p->n_steps);
    free(rows);
    free(sorted);
}

static float *place(const ngi_plan *p, char *block, int node)
{
    return (float *)(block + ngi_plan_place(p, node));
}

/* Runs step by step, as a session does. */
static void measure(ngi_plan *p, int runs, double *times)
{
    clockid_t clock = clock_of(p->threads);
    void *contexts[NGI_MAX_BACKENDS] = {NULL};
    char *block = ngi_alloc_aligned(p->bytes);
    if (!block)
        exit(3);
    memset(block, 0, p->bytes);
    for (int b = 0; b < p->n_backends; b++)
        if (p->backends[b]->context_create)
            must(p->backends[b]->context_create(p->threads, &contexts[b], &err));
    for (int r = -1; r < runs; r++)
        for (int i = 0; i < p->n_steps; i++) {
            const ngi_step *s = &p->steps[i].step;
            const float *in[NGI_MAX_INPUTS];
            for (int k = 0; k < s->n_inputs; k++)
                in[k] = place(p, block, s->inputs[k]);
            ngi_run run = {.n = 1,
                           .in = in,
                           .out = place(p, block, s->node),
                           .out_stride = p->stride[s->node],
                           .scratch = block,
                           .context = contexts[p->steps[i].backend]};
            double start = milliseconds(clock);
            must(p->steps[i].kernel.forward(&p->steps[i].kernel, &run, &err));
            if (r >= 0)
                times[(size_t)i * (size_t)runs + (size_t)r] = milliseconds(clock) - start;
        }
    for (int b = 0; b < p->n_backends; b++)
        if (contexts[b])
            p->backends[b]->context_free(contexts[b]);
    ngi_free_aligned(block);
}

/* The ranges for 8-bit layers, by an image of noise: what they multiply makes no difference to their time. */
static ngi_calibration *calibrate(const ngi_graph *g, int root)
{
    ngi_calibration *c;
    int64_t n = ngi_shape_count(&g->nodes[g->inputs[0]].shape);
    float *image = malloc((size_t)n * sizeof *image);
    if (!image)
        exit(3);
    for (int64_t i = 0; i < n; i++)
        image[i] = (float)(i * 7919 % 255) / 255;
    must(ngi_calibration_create(g, root, &c, &err));
    must(ngi_calibration_add(c, image, &err));
    free(image);
    return c;
}

int main(int argc, char **argv)
{
    bool each = false;
    int runs = 15, threads = 1;
    const char *backend = "auto", *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--each") == 0)
            each = true;
        else if (strcmp(argv[i], "--backend") == 0 && i + 1 < argc)
            backend = argv[++i];
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            threads = atoi(argv[++i]);
        else if (!path)
            path = argv[i];
        else
            runs = atoi(argv[i]);
    }
    if (!path || runs < 1 || threads < 1) {
        fprintf(stderr, "usage: %s MODEL [RUNS] [--each] [--threads N] [--backend auto|onednn|bf16|int8]\n",
                argv[0]);
        return 2;
    }
    ngi_model_file file;
    must(ngi_model_file_load(path, NULL, &file, &err));
    bool softmax;
    ngi_activation act;
    ngi_plan_opts o = {

        .batch = 1,
        .threads = threads,
        .backend = backend,
        .root = ngi_graph_logits(file.graph, &act, &softmax)};
    ngi_calibration *c = calibrate(file.graph, o.root);
    o.ranges = ngi_calibration_ranges(c);
    ngi_plan *p;
    must(ngi_plan_create(file.graph, &o, &p, &err));
    ngi_calibration_free(c);
    double *times = malloc((size_t)p->n_steps * (size_t)runs * sizeof *times);
    if (!times)
        return 3;
    measure(p, runs, times);
    report(p, times, runs, each);
    free(times);
    ngi_plan_free(p);
    ngi_model_file_clear(&file);
    return 0;
}
