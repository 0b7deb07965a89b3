/* Depthwise convolution, kernel [kh,kw,c,m]: output channel c*m+j sees input channel c only. */
#include "exec/ref/ref.h"

#include <string.h>

typedef struct depthwise_geometry {
    int64_t ih, iw, c, oh, ow, m, oc;
} depthwise_geometry;

static depthwise_geometry geometry(const ngi_ref *k)
{
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    int64_t c = in->dim[2], oc = out->dim[2];
    return (depthwise_geometry){in->dim[0], in->dim[1], c, out->dim[0], out->dim[1], oc / c, oc};
}

size_t ngi_ref_depthwise_scratch(const ngi_ref *k)
{
    int64_t sums = k->step.backward ? k->in_count : 0;
    return (size_t)(sums + k->step.out_shape->dim[2]) * sizeof(double);
}

static void add_tap(const depthwise_geometry *g, double *restrict acc, const float *restrict pixel,
                    const float *restrict weights)
{
    if (g->m == 1) {
        for (int64_t c = 0; c < g->c; c++)
            acc[c] += (double)pixel[c] * weights[c];
        return;
    }
    for (int64_t c = 0; c < g->c; c++)
        for (int64_t j = 0; j < g->m; j++)
            acc[c * g->m + j] += (double)pixel[c] * weights[c * g->m + j];
}

static void add_tap_transposed(const depthwise_geometry *g, double *restrict acc, const float *restrict grad,
                               const float *restrict weights)
{
    if (g->m == 1) {
        for (int64_t c = 0; c < g->c; c++)
            acc[c] += (double)grad[c] * weights[c];
        return;
    }
    for (int64_t c = 0; c < g->c; c++)
        for (int64_t j = 0; j < g->m; j++)
            acc[c] += (double)grad[c * g->m + j] * weights[c * g->m + j];
}

/* Calls for every tap of output pixel (oy, ox) that lies inside the input: forward gathers from `in` into
 * `acc` [oc]; backward scatters the pixel's gradient into `dx` [ih,iw,c]. */
static void visit_taps(const ngi_ref *k, const depthwise_geometry *g, int64_t oy, int64_t ox, const float *in,
                       double *acc, const float *grad, double *dx)
{
    const ngi_attr *a = k->step.attr;
    for (int64_t ky = 0; ky < a->kernel_h; ky++) {
        int64_t y = oy * a->stride_h - a->pad.top + ky * a->dilation_h;
        if (y < 0 || y >= g->ih)
            continue;
        for (int64_t kx = 0; kx < a->kernel_w; kx++) {
            int64_t x = ox * a->stride_w - a->pad.left + kx * a->dilation_w;
            const float *weights = k->step.kernel + (ky * a->kernel_w + kx) * g->oc;
            if (x < 0 || x >= g->iw)
                continue;
            if (in)
                add_tap(g, acc, in + (y * g->iw + x) * g->c, weights);
            else
                add_tap_transposed(g, dx + (y * g->iw + x) * g->c, grad, weights);
        }
    }
}

void ngi_ref_depthwise_forward(const ngi_ref *k, const ngi_run *run)
{
    depthwise_geometry g = geometry(k);
    double *acc = run->scratch; /* [oc] */
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [ih,iw,c] */
        float *out = run->out + n * k->out_count;       /* [oh,ow,oc] */
        for (int64_t y = 0; y < g.oh; y++)
            for (int64_t x = 0; x < g.ow; x++, out += g.oc) {
                for (int64_t c = 0; c < g.oc; c++)
                    acc[c] = k->step.bias ? k->step.bias[c] : 0.0;
                visit_taps(k, &g, y, x, in, acc, NULL, NULL);
                ngi_ref_store_double(out, acc, g.oc, false);
            }
    }
}

void ngi_ref_depthwise_backward(const ngi_ref *k, const ngi_run *run)
{
    depthwise_geometry g = geometry(k);
    double *dx = run->scratch; /* [ih,iw,c] */
    for (int n = 0; n < run->n; n++) {
        const float *grad = run->grad_out + n * k->out_count; /* [oh,ow,oc] */
        memset(dx, 0, (size_t)k->in_count * sizeof *dx);
        for (int64_t y = 0; y < g.oh; y++)
            for (int64_t x = 0; x < g.ow; x++, grad += g.oc)
                visit_taps(k, &g, y, x, NULL, NULL, grad, dx);
        ngi_ref_store_double(run->grad_in[0] + n * k->in_count, dx, k->in_count, run->accumulate[0]);
    }
}
