/* Dense layer on the last axis, kernel [in,out]. */
#include "exec/ref/ref.h"

size_t ngi_ref_dense_scratch(const ngi_ref *k)
{
    const ngi_shape *out = k->step.out_shape;
    return (size_t)out->dim[out->rank - 1] * sizeof(double);
}

void ngi_ref_dense_forward(const ngi_ref *k, const ngi_run *run)
{
    const ngi_shape *is = k->step.in_shape[0], *os = k->step.out_shape;
    int64_t in = is->dim[is->rank - 1], out = os->dim[os->rank - 1], rows = run->n * (k->in_count / in);
    double *acc = run->scratch; /* [out] */
    for (int64_t r = 0; r < rows; r++) {
        const float *x = run->in[0] + r * in;
        for (int64_t o = 0; o < out; o++)
            acc[o] = k->step.bias ? k->step.bias[o] : 0.0;
        for (int64_t i = 0; i < in; i++)
            ngi_ref_multiply_add(acc, x[i], k->step.kernel + i * out, out);
        ngi_ref_store_double(run->out + r * out, acc, out, false);
    }
}

void ngi_ref_dense_backward(const ngi_ref *k, const ngi_run *run)
{
    const ngi_shape *is = k->step.in_shape[0], *os = k->step.out_shape;
    int64_t in = is->dim[is->rank - 1], out = os->dim[os->rank - 1], rows = run->n * (k->in_count / in);
    for (int64_t r = 0; r < rows; r++) {
        const float *grad = run->grad_out + r * out;
        float *dx = run->grad_in[0] + r * in;
        for (int64_t i = 0; i < in; i++) {
            double sum = ngi_ref_dot(grad, k->step.kernel + i * out, out);
            dx[i] = (float)(run->accumulate[0] ? dx[i] + sum : sum);
        }
    }
}
