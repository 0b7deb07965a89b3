/* Gradients of weights in plain loops: sums over images and places in double, in a fixed order, rounded once per call. */
#include "exec/ref/ref.h"

#include <stdio.h>
#include <string.h>

/* The images' inputs are in[0] [n] + in_shape, the gradients grad_out [n] + out_shape; sums [kernel's] in double. */
typedef void (*sum_kernel)(const ngi_ref *k, const ngi_run *run, double *sums);

typedef struct ref_trainer {
    ngi_ref ref;
    sum_kernel sum;
    int64_t kernel_count, channels;
} ref_trainer;

/* One output pixel's part: the gradient [oc] times the input under every tap. */
static void conv_pixel(const ngi_ref *k, const float *in, const float *grad, int64_t oy, int64_t ox,
                       double *sums)
{
    const ngi_attr *a = k->step.attr;
    const int64_t *is = k->step.in_shape[0]->dim;
    const int64_t ic = is[2], oc = k->step.out_shape->dim[2];
    const int64_t group_ic = ic / a->groups, group_oc = oc / a->groups;
    for (int64_t ky = 0; ky < a->kernel_h; ky++) {
        int64_t y = oy * a->stride_h - a->pad.top + ky * a->dilation_h;
        for (int64_t kx = 0; kx < a->kernel_w && y >= 0 && y < is[0]; kx++) {
            int64_t x = ox * a->stride_w - a->pad.left + kx * a->dilation_w;
            if (x < 0 || x >= is[1])
                continue;
            const float *pixel = in + (y * is[1] + x) * ic;
            double *tap = sums + (ky * a->kernel_w + kx) * group_ic * oc; /* [group_ic,oc] */
            for (int g = 0; g < a->groups; g++)
                for (int64_t i = 0; i < group_ic; i++)
                    ngi_ref_multiply_add(tap + i * oc + g * group_oc, pixel[g * group_ic + i],
                                         grad + g * group_oc, group_oc);
        }
    }
}

static void depthwise_pixel(const ngi_ref *k, const float *in, const float *grad, int64_t oy, int64_t ox,
                            double *sums)
{
    const ngi_attr *a = k->step.attr;
    const int64_t *is = k->step.in_shape[0]->dim;
    const int64_t c = is[2], oc = k->step.out_shape->dim[2], m = oc / c;
    for (int64_t ky = 0; ky < a->kernel_h; ky++) {
        int64_t y = oy * a->stride_h - a->pad.top + ky * a->dilation_h;
        for (int64_t kx = 0; kx < a->kernel_w && y >= 0 && y < is[0]; kx++) {
            int64_t x = ox * a->stride_w - a->pad.left + kx * a->dilation_w;
            if (x < 0 || x >= is[1])
                continue;
            const float *pixel = in + (y * is[1] + x) * c;
            double *tap = sums + (ky * a->kernel_w + kx) * oc;
            for (int64_t i = 0; i < oc; i++)
                tap[i] += (double)pixel[i / m] * grad[i];
        }
    }
}

static void sum_windows(const ngi_ref *k, const ngi_run *run, double *sums)
{
    const int64_t *os = k->step.out_shape->dim;
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count, *grad = run->grad_out + n * k->out_count;
        for (int64_t y = 0; y < os[0]; y++)
            for (int64_t x = 0; x < os[1]; x++, grad += os[2])
                if (k->step.op == NGI_OP_DEPTHWISE)
                    depthwise_pixel(k, in, grad, y, x, sums);
                else
                    conv_pixel(k, in, grad, y, x, sums);
    }
}

static void sum_dense(const ngi_ref *k, const ngi_run *run, double *sums)
{
    const ngi_shape *is = k->step.in_shape[0], *os = k->step.out_shape;
    const int64_t in = is->dim[is->rank - 1], out = os->dim[os->rank - 1], rows = run->n * (k->in_count / in);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < in; i++)
            ngi_ref_multiply_add(sums + i * out, run->in[0][r * in + i], run->grad_out + r * out, out);
}

static void sum_norm(const ngi_ref *k, const ngi_run *run, double *sums)
{
    const ngi_shape *s = k->step.out_shape;
    const int64_t c = s->dim[s->rank - 1], rows = run->n * (k->out_count / c);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < c; i++)
            sums[i] += (double)run->in[0][r * c + i] * run->grad_out[r * c + i];
}

/* sum over images and places: sums [channels]. */
static void sum_bias(const ref_trainer *t, const ngi_run *run, double *sums)
{
    const int64_t rows = run->n * (t->ref.out_count / t->channels);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < t->channels; c++)
            sums[c] += run->grad_out[r * t->channels + c];
}

static ng_status backward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    const ref_trainer *t = kernel->state;
    double *sums = run->scratch;
    (void)err;
    if (run->grad_kernel) {
        memset(sums, 0, (size_t)t->kernel_count * sizeof *sums);
        t->sum(&t->ref, run, sums);
        ngi_ref_store_double(run->grad_kernel, sums, t->kernel_count, false);
    }
    if (run->grad_bias) {
        memset(sums, 0, (size_t)t->channels * sizeof *sums);
        sum_bias(t, run, sums);
        ngi_ref_store_double(run->grad_bias, sums, t->channels, false);
    }
    return NG_OK;
}

static void destroy(ngi_kernel *kernel)
{
    ngi_free(kernel->state);
    *kernel = (ngi_kernel){0};
}

ng_status ngi_ref_prepare_trainer(const ngi_step *step, int batch, int threads, ngi_kernel *out,
                                  ng_error *err)
{
    (void)batch;
    (void)threads;
    ref_trainer *t = ngi_alloc_zero(1, sizeof *t);
    if (!t)
        return ngi_fail_memory(err, sizeof *t);
    const ngi_graph *g = step->graph;
    t->ref.step = *step;
    t->ref.in_count = ngi_shape_count(step->in_shape[0]);
    t->ref.out_count = ngi_shape_count(step->out_shape);
    t->channels = step->out_shape->dim[step->out_shape->rank - 1];
    t->sum = step->op == NGI_OP_DENSE ? sum_dense : step->op == NGI_OP_BATCHNORM ? sum_norm : sum_windows;
    t->kernel_count = step->op == NGI_OP_BATCHNORM
                          ? t->channels
                          : ngi_shape_count(&g->weights[g->nodes[step->root].weights[0]].shape);
    int64_t most = t->kernel_count > t->channels ? t->kernel_count : t->channels;
    *out = (ngi_kernel){
        .state = t, .backward = backward, .destroy = destroy, .scratch = (size_t)most * sizeof(double)};
    snprintf(out->name, sizeof out->name, "ref");
    return NG_OK;
}
