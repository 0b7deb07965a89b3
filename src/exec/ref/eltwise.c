/* Merges of several tensors with NumPy broadcasting: add, subtract, multiply, divide, average, maximum, minimum. At a
 * tie of maximum or minimum the first input gets the gradient, as in TensorFlow's MaximumGrad. */
#include "exec/ref/broadcast.h"
#include "exec/ref/ref.h"

#include <string.h>

/* What a walk over one input does to the full tensor. */
typedef enum combine {
    COMBINE_SET,
    COMBINE_ADD,
    COMBINE_SUBTRACT,
    COMBINE_MULTIPLY,
    COMBINE_DIVIDE,
    COMBINE_MAXIMUM,
    COMBINE_MINIMUM,
    COMBINE_KEEP_EQUAL,   /* full = 0 where part differs from reference */
    COMBINE_KEEP_UNEQUAL, /* full = 0 where part equals reference */
} combine;

typedef struct combine_job {
    combine kind;
    float *full;
    const float *part, *reference; /* reference [full]: only for KEEP_* */
} combine_job;

/* step 0 or 1 is a constant in each branch, so that both loops are vectorised. */
#define EACH(expression)                            \
    do {                                            \
        if (step)                                   \
            for (int64_t i = 0; i < n; i++) {       \
                const float x = p[i];               \
                f[i] = (expression);                \
            }                                       \
        else {                                      \
            const float x = p[0];                   \
            for (int64_t i = 0; i < n; i++)         \
                f[i] = (expression);                \
        }                                           \
    } while (0)

static void combine_row(void *context, int64_t at, int64_t part, int64_t step, int64_t n)
{
    const combine_job *job = context;
    float *restrict f = job->full + at;
    const float *restrict p = job->part + part, *restrict r = job->reference ? job->reference + at : NULL;
    switch (job->kind) {
    case COMBINE_SET:
        EACH(x);
        break;
    case COMBINE_ADD:
        EACH(f[i] + x);
        break;
    case COMBINE_SUBTRACT:
        EACH(f[i] - x);
        break;
    case COMBINE_MULTIPLY:
        EACH(f[i] * x);
        break;
    case COMBINE_DIVIDE:
        EACH(f[i] / x);
        break;
    case COMBINE_MAXIMUM:
        EACH(f[i] >= x ? f[i] : x);
        break;
    case COMBINE_MINIMUM:
        EACH(f[i] <= x ? f[i] : x);
        break;
    case COMBINE_KEEP_EQUAL:
        EACH(x == r[i] ? f[i] : 0.0f);
        break;
    case COMBINE_KEEP_UNEQUAL:
        EACH(x == r[i] ? 0.0f : f[i]);
        break;
    }
}

/* Applies `kind` with input i of image n to the full tensor. */
static void apply(const ngi_ref *k, const ngi_run *run, int64_t n, int i, combine kind, float *full,
                  const float *reference)
{
    const ngi_shape *shape = ngi_ref_in_shape(k, i);
    ngi_walk walk = ngi_walk_make(k->step.out_shape, shape);
    combine_job job = {kind, full, run->in[i] + n * ngi_shape_count(shape), reference};
    ngi_walk_rows(&walk, combine_row, &job);
}

static void forward(const ngi_ref *k, const ngi_run *run, combine kind, float scale)
{
    for (int64_t n = 0; n < run->n; n++) {
        float *out = run->out + n * k->out_count;
        for (int i = 0; i < k->step.n_inputs; i++)
            apply(k, run, n, i, i ? kind : COMBINE_SET, out, NULL);
        if (scale != 1)
            for (int64_t i = 0; i < k->out_count; i++)
                out[i] *= scale;
    }
}

/* ---- Backward: a term of the full shape, summed over what was broadcast ------------------------ */

typedef struct reduce_job {
    const float *full;
    double *part;
} reduce_job;

static void reduce_row(void *context, int64_t at, int64_t part, int64_t step, int64_t n)
{
    const reduce_job *job = context;
    const float *f = job->full + at;
    double *p = job->part + part;
    if (step)
        for (int64_t i = 0; i < n; i++)
            p[i] += f[i];
    else
        for (int64_t i = 0; i < n; i++)
            *p += f[i];
}

static int64_t padded_out(const ngi_ref *k)
{
    return (k->out_count + 15) / 16 * 16;
}

/* A term for one image, then the sums of a broadcast input. */
size_t ngi_ref_eltwise_scratch(const ngi_ref *k)
{
    if (!k->step.backward)
        return 0;
    int64_t most = 0;
    for (int i = 0; i < k->step.n_inputs; i++) {
        int64_t count = ngi_shape_count(ngi_ref_in_shape(k, i));
        most = count > most ? count : most;
    }
    return (size_t)padded_out(k) * sizeof(float) + (size_t)most * sizeof(double);
}

static void give(const ngi_ref *k, const ngi_run *run, int64_t n, int i, const float *term)
{
    const ngi_shape *shape = ngi_ref_in_shape(k, i);
    int64_t count = ngi_shape_count(shape);
    float *grad = run->grad_in[i] + n * count;
    if (count == k->out_count) {
        ngi_ref_store(grad, term, count, run->accumulate[i]);
        return;
    }
    double *sums = (double *)((float *)run->scratch + padded_out(k));
    memset(sums, 0, (size_t)count * sizeof *sums);
    ngi_walk walk = ngi_walk_make(k->step.out_shape, shape);
    reduce_job job = {term, sums};
    ngi_walk_rows(&walk, reduce_row, &job);
    ngi_ref_store_double(grad, sums, count, run->accumulate[i]);
}

/* term = grad_out * d(out)/d(input i), of the full shape. */
typedef void term_function(const ngi_ref *k, const ngi_run *run, int64_t n, int i, float *term);

static void backward(const ngi_ref *k, const ngi_run *run, term_function *function)
{
    float *term = run->scratch;
    for (int64_t n = 0; n < run->n; n++)
        for (int i = 0; i < k->step.n_inputs; i++) {
            if (!run->grad_in[i])
                continue;
            memcpy(term, run->grad_out + n * k->out_count, (size_t)k->out_count * sizeof *term);
            if (function)
                function(k, run, n, i, term);
            give(k, run, n, i, term);
        }
}

static void negate(const ngi_ref *k, float *term)
{
    for (int64_t j = 0; j < k->out_count; j++)
        term[j] = -term[j];
}

static void subtract_term(const ngi_ref *k, const ngi_run *run, int64_t n, int i, float *term)
{
    (void)run;
    (void)n;
    if (i == 1)
        negate(k, term);
}

static void multiply_term(const ngi_ref *k, const ngi_run *run, int64_t n, int i, float *term)
{
    for (int j = 0; j < k->step.n_inputs; j++)
        if (j != i)
            apply(k, run, n, j, COMBINE_MULTIPLY, term, NULL);
}

static void divide_term(const ngi_ref *k, const ngi_run *run, int64_t n, int i, float *term)
{
    apply(k, run, n, 1, COMBINE_DIVIDE, term, NULL);
    if (i == 0)
        return;
    apply(k, run, n, 0, COMBINE_MULTIPLY, term, NULL);
    apply(k, run, n, 1, COMBINE_DIVIDE, term, NULL);
    negate(k, term);
}

static void average_term(const ngi_ref *k, const ngi_run *run, int64_t n, int i, float *term)
{
    (void)run;
    (void)n;
    (void)i;
    for (int64_t j = 0; j < k->out_count; j++)
        term[j] /= (float)k->step.n_inputs;
}

static void extreme_term(const ngi_ref *k, const ngi_run *run, int64_t n, int i, float *term)
{
    const float *out = run->out + n * k->out_count;
    apply(k, run, n, i, COMBINE_KEEP_EQUAL, term, out);
    for (int j = 0; j < i; j++)
        apply(k, run, n, j, COMBINE_KEEP_UNEQUAL, term, out);
}

void ngi_ref_add_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, COMBINE_ADD, 1);
}

void ngi_ref_add_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, NULL);
}

void ngi_ref_subtract_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, COMBINE_SUBTRACT, 1);
}

void ngi_ref_subtract_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, subtract_term);
}

void ngi_ref_multiply_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, COMBINE_MULTIPLY, 1);
}

void ngi_ref_multiply_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, multiply_term);
}

void ngi_ref_divide_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, COMBINE_DIVIDE, 1);
}

void ngi_ref_divide_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, divide_term);
}

void ngi_ref_average_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, COMBINE_ADD, 1.0f / (float)k->step.n_inputs);
}

void ngi_ref_average_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, average_term);
}

void ngi_ref_maximum_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, COMBINE_MAXIMUM, 1);
}

void ngi_ref_maximum_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, extreme_term);
}

void ngi_ref_minimum_forward(const ngi_ref *k, const ngi_run *run)
{
    forward(k, run, COMBINE_MINIMUM, 1);
}

void ngi_ref_minimum_backward(const ngi_ref *k, const ngi_run *run)
{
    backward(k, run, extreme_term);
}

/* ---- PReLU: relu(x) - alpha relu(-x), alpha broadcast ------------------------------------------ */

typedef struct prelu_job {
    const float *x, *grad, *alpha;
    float *y;
    bool accumulate;
} prelu_job;

static void prelu_row(void *context, int64_t at, int64_t part, int64_t step, int64_t n)
{
    const prelu_job *job = context;
    for (int64_t i = 0; i < n; i++) {
        float x = job->x[at + i];
        job->y[at + i] = x > 0 ? x : job->alpha[part + i * step] * x;
    }
}

static void prelu_grad_row(void *context, int64_t at, int64_t part, int64_t step, int64_t n)
{
    const prelu_job *job = context;
    for (int64_t i = 0; i < n; i++) {
        float x = job->x[at + i], slope = x > 0 ? 1 : x < 0 ? job->alpha[part + i * step] : 0;
        float g = job->grad[at + i] * slope;
        job->y[at + i] = job->accumulate ? job->y[at + i] + g : g;
    }
}

static ngi_walk alpha_walk(const ngi_ref *k)
{
    const ngi_graph *g = k->step.graph;
    return ngi_walk_make(k->step.out_shape, &g->weights[g->nodes[k->step.root].weights[0]].shape);
}

void ngi_ref_prelu_forward(const ngi_ref *k, const ngi_run *run)
{
    ngi_walk walk = alpha_walk(k);
    for (int64_t n = 0; n < run->n; n++) {
        prelu_job job = {run->in[0] + n * k->in_count, NULL, k->step.w[0], run->out + n * k->out_count, false};
        ngi_walk_rows(&walk, prelu_row, &job);
    }
}

void ngi_ref_prelu_backward(const ngi_ref *k, const ngi_run *run)
{
    ngi_walk walk = alpha_walk(k);
    for (int64_t n = 0; n < run->n; n++) {
        prelu_job job = {run->in[0] + n * k->in_count, run->grad_out + n * k->out_count, k->step.w[0],
                         run->grad_in[0] + n * k->in_count, run->accumulate[0]};
        ngi_walk_rows(&walk, prelu_grad_row, &job);
    }
}
