/* Elementwise operations of several inputs with NumPy broadcasting of the axes behind the batch, and
 * PReLU, whose slopes broadcast the same way. Inputs are folded from the first to the last, as Keras's
 * merging layers do. Maximum and minimum give the gradient to the first of equal inputs (TensorFlow). */
#include "exec/ref/ref.h"

#include "exec/ref/broadcast.h"

#if defined(__GNUC__) && !defined(__clang__)
/* dst may be a; they never overlap otherwise. */
#define NO_CARRIED_DEPENDENCE _Pragma("GCC ivdep")
#else
#define NO_CARRIED_DEPENDENCE
#endif

/* dst[i] = f(a[i], b[i * step]) with step 0 or 1. */
typedef void combine_row(float *dst, const float *a, const float *b, int64_t step, int64_t n);

#define COMBINE(name, expression)                                                         \
    static void name(float *dst, const float *a, const float *b, int64_t step, int64_t n) \
    {                                                                                     \
        if (step == 0) {                                                                  \
            const float y = b[0];                                                         \
            NO_CARRIED_DEPENDENCE                                                         \
            for (int64_t i = 0; i < n; i++) {                                             \
                const float x = a[i];                                                     \
                dst[i] = expression;                                                      \
            }                                                                             \
            return;                                                                       \
        }                                                                                 \
        NO_CARRIED_DEPENDENCE                                                             \
        for (int64_t i = 0; i < n; i++) {                                                 \
            const float x = a[i], y = b[i];                                               \
            dst[i] = expression;                                                          \
        }                                                                                 \
    }

COMBINE(row_add, x + y)
COMBINE(row_subtract, x - y)
COMBINE(row_multiply, x *y)
COMBINE(row_divide, x / y)
COMBINE(row_maximum, x < y || y != y ? y : x)
COMBINE(row_minimum, x > y || y != y ? y : x)
COMBINE(row_keep_equal, x == y ? dst[i] : 0.0f)
COMBINE(row_drop_equal, x == y ? 0.0f : dst[i])
COMBINE(row_prelu, x > 0.0f ? x : y * x)
COMBINE(row_prelu_slope, x > 0.0f ? dst[i] : x < 0.0f ? dst[i] * y : x * 0.0f)

typedef struct combine_walk {
    combine_row *row;
    float *dst;     /* full shape */
    const float *a; /* full shape */
    const float *b; /* broadcast */
} combine_walk;

static void combine_one(void *context, int64_t at, int64_t part, int64_t step, int64_t n)
{
    const combine_walk *w = context;
    w->row(w->dst + at, w->a + at, w->b + part, step, n);
}

/* dst = row(a, b) over one image; `shape` is b's. */
static void combine(const ngi_ref *k, combine_row *row, float *dst, const float *a, const float *b,
                    const ngi_shape *shape)
{
    ngi_walk walk = ngi_walk_make(k->step.out_shape, shape);
    combine_walk w = {row, dst, a, b};
    ngi_walk_rows(&walk, combine_one, &w);
}

static const float *image(const ngi_ref *k, const ngi_run *run, int i, int n)
{
    return run->in[i] + n * ngi_shape_count(ngi_ref_in_shape(k, i));
}

static void spread_one(void *context, int64_t at, int64_t part, int64_t step, int64_t n)
{
    const combine_walk *w = context;
    for (int64_t i = 0; i < n; i++)
        w->dst[at + i] = w->b[part + i * step];
}

/* The first input where it has the full shape, else its broadcast in `room`. */
static const float *full_first(const ngi_ref *k, const ngi_run *run, int n, float *room)
{
    const float *first = image(k, run, 0, n);
    if (k->in_count == k->out_count)
        return first;
    ngi_walk walk = ngi_walk_make(k->step.out_shape, ngi_ref_in_shape(k, 0));
    combine_walk w = {.dst = room, .b = first};
    ngi_walk_rows(&walk, spread_one, &w);
    return room;
}

static void fold(const ngi_ref *k, const ngi_run *run, combine_row *row)
{
    for (int n = 0; n < run->n; n++) {
        float *out = run->out + n * k->out_count;
        const float *sum = full_first(k, run, n, out);
        for (int i = 1; i < k->step.n_inputs; i++) {
            combine(k, row, out, sum, image(k, run, i, n), ngi_ref_in_shape(k, i));
            sum = out;
        }
        if (sum != out)
            ngi_ref_store(out, sum, k->out_count, false);
    }
}

/* Backward: the sums of a broadcast input in double, then one image of the full shape in float. */
size_t ngi_ref_eltwise_scratch(const ngi_ref *k)
{
    return k->step.backward ? (size_t)k->out_count * (sizeof(double) + sizeof(float)) : 0;
}

typedef struct reduce_walk {
    double *sum;
    const float *local;
} reduce_walk;

static void reduce_one(void *context, int64_t at, int64_t part, int64_t step, int64_t n)
{
    const reduce_walk *w = context;
    const float *local = w->local + at;
    double *sum = w->sum + part;
    if (step == 0)
        *sum += ngi_sum(local, n);
    else
        for (int64_t i = 0; i < n; i++)
            sum[i] += local[i];
}

/* Stores the gradient of the full shape into that of input i, summed over what was broadcast. */
static void give(const ngi_ref *k, const ngi_run *run, int i, int n, const float *local)
{
    const ngi_shape *shape = ngi_ref_in_shape(k, i);
    const int64_t count = ngi_shape_count(shape);
    float *dx = run->grad_in[i] + n * count;
    if (count == k->out_count) {
        ngi_ref_store(dx, local, count, run->accumulate[i]);
        return;
    }
    double *sum = run->scratch;
    for (int64_t c = 0; c < count; c++)
        sum[c] = 0.0;
    ngi_walk walk = ngi_walk_make(k->step.out_shape, shape);
    ngi_walk_rows(&walk, reduce_one, &(reduce_walk){sum, local});
    ngi_ref_store_double(dx, sum, count, run->accumulate[i]);
}

/* Room for one image of the full shape behind the double sums. */
static float *room(const ngi_ref *k, const ngi_run *run)
{
    return (float *)((double *)run->scratch + k->out_count);
}

static void scale(float *dst, const float *src, float factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = src[i] * factor;
}

void ngi_ref_add_forward(const ngi_ref *k, const ngi_run *run)
{
    fold(k, run, row_add);
}

void ngi_ref_add_backward(const ngi_ref *k, const ngi_run *run)
{
    for (int i = 0; i < k->step.n_inputs; i++)
        for (int n = 0; run->grad_in[i] && n < run->n; n++)
            give(k, run, i, n, run->grad_out + n * k->out_count);
}

void ngi_ref_subtract_forward(const ngi_ref *k, const ngi_run *run)
{
    fold(k, run, row_subtract);
}

void ngi_ref_subtract_backward(const ngi_ref *k, const ngi_run *run)
{
    float *local = room(k, run);
    for (int i = 0; i < 2; i++)
        for (int n = 0; run->grad_in[i] && n < run->n; n++) {
            scale(local, run->grad_out + n * k->out_count, i == 0 ? 1.0f : -1.0f, k->out_count);
            give(k, run, i, n, local);
        }
}

void ngi_ref_multiply_forward(const ngi_ref *k, const ngi_run *run)
{
    fold(k, run, row_multiply);
}

void ngi_ref_multiply_backward(const ngi_ref *k, const ngi_run *run)
{
    float *local = room(k, run);
    for (int i = 0; i < k->step.n_inputs; i++)
        for (int n = 0; run->grad_in[i] && n < run->n; n++) {
            const float *product = run->grad_out + n * k->out_count;
            for (int j = 0; j < k->step.n_inputs; j++)
                if (j != i) {
                    combine(k, row_multiply, local, product, image(k, run, j, n), ngi_ref_in_shape(k, j));
                    product = local;
                }
            give(k, run, i, n, product);
        }
}

void ngi_ref_divide_forward(const ngi_ref *k, const ngi_run *run)
{
    fold(k, run, row_divide);
}

/* a/b: to a goes g/b, to b goes -g a / b^2. */
void ngi_ref_divide_backward(const ngi_ref *k, const ngi_run *run)
{
    float *local = room(k, run);
    for (int i = 0; i < 2; i++)
        for (int n = 0; run->grad_in[i] && n < run->n; n++) {
            const float *b = image(k, run, 1, n);
            const ngi_shape *shape = ngi_ref_in_shape(k, 1);
            combine(k, row_divide, local, run->grad_out + n * k->out_count, b, shape);
            if (i == 1) {
                combine(k, row_multiply, local, local, image(k, run, 0, n), ngi_ref_in_shape(k, 0));
                combine(k, row_divide, local, local, b, shape);
                scale(local, local, -1.0f, k->out_count);
            }
            give(k, run, i, n, local);
        }
}

void ngi_ref_average_forward(const ngi_ref *k, const ngi_run *run)
{
    const float count = (float)k->step.n_inputs;
    fold(k, run, row_add);
    for (int64_t i = 0; i < run->n * k->out_count; i++)
        run->out[i] /= count;
}

void ngi_ref_average_backward(const ngi_ref *k, const ngi_run *run)
{
    float *local = room(k, run);
    for (int n = 0; n < run->n; n++) {
        scale(local, run->grad_out + n * k->out_count, 1.0f / (float)k->step.n_inputs, k->out_count);
        for (int i = 0; i < k->step.n_inputs; i++)
            if (run->grad_in[i])
                give(k, run, i, n, local);
    }
}

/* The gradient goes to the first input that equals the output. */
static void extremum_backward(const ngi_ref *k, const ngi_run *run)
{
    float *local = room(k, run);
    for (int i = 0; i < k->step.n_inputs; i++)
        for (int n = 0; run->grad_in[i] && n < run->n; n++) {
            const float *out = run->out + n * k->out_count;
            ngi_ref_store(local, run->grad_out + n * k->out_count, k->out_count, false);
            for (int j = 0; j <= i; j++)
                combine(k, j < i ? row_drop_equal : row_keep_equal, local, out, image(k, run, j, n),
                        ngi_ref_in_shape(k, j));
            give(k, run, i, n, local);
        }
}

void ngi_ref_maximum_forward(const ngi_ref *k, const ngi_run *run)
{
    fold(k, run, row_maximum);
}

void ngi_ref_maximum_backward(const ngi_ref *k, const ngi_run *run)
{
    extremum_backward(k, run);
}

void ngi_ref_minimum_forward(const ngi_ref *k, const ngi_run *run)
{
    fold(k, run, row_minimum);
}

void ngi_ref_minimum_backward(const ngi_ref *k, const ngi_run *run)
{
    extremum_backward(k, run);
}

static const ngi_shape *alpha_shape(const ngi_ref *k)
{
    const ngi_graph *g = k->step.graph;
    return &g->weights[g->nodes[k->step.root].weights[0]].shape;
}

void ngi_ref_prelu_forward(const ngi_ref *k, const ngi_run *run)
{
    for (int n = 0; n < run->n; n++)
        combine(k, row_prelu, run->out + n * k->out_count, run->in[0] + n * k->in_count, k->step.w[0],
                alpha_shape(k));
}

/* Keras writes relu(x) - alpha * relu(-x): the slope at 0 is 0. */
void ngi_ref_prelu_backward(const ngi_ref *k, const ngi_run *run)
{
    float *local = room(k, run);
    for (int n = 0; n < run->n; n++) {
        ngi_ref_store(local, run->grad_out + n * k->out_count, k->out_count, false);
        combine(k, row_prelu_slope, local, run->in[0] + n * k->in_count, k->step.w[0], alpha_shape(k));
        give(k, run, 0, n, local);
    }
}
