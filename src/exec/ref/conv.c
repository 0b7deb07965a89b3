/* 2-D convolution with groups, strides, dilation and explicit padding; kernel [kh,kw,ic/groups,oc].
 * Forward: every output pixel gathers into oc double sums. Backward (to the input): every input pixel
 * gathers the outputs it took part in. */
#include "exec/ref/ref.h"

typedef struct conv_geometry {
    int64_t ih, iw, ic, oh, ow, oc;
    int64_t group_ic, group_oc;
} conv_geometry;

static conv_geometry geometry(const ngi_ref *k)
{
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    conv_geometry g = {in->dim[0], in->dim[1], in->dim[2], out->dim[0], out->dim[1], out->dim[2], 0, 0};
    g.group_ic = g.ic / k->step.attr->groups;
    g.group_oc = g.oc / k->step.attr->groups;
    return g;
}

size_t ngi_ref_conv_scratch(const ngi_ref *k)
{
    const ngi_shape *in = k->step.in_shape[0], *out = k->step.out_shape;
    int64_t channels = in->dim[2] > out->dim[2] ? in->dim[2] : out->dim[2];
    return (size_t)channels * sizeof(double);
}

/* Adds one kernel tap: pixel [ic] times weights [ic/groups,oc] to acc [oc]. */
static void add_tap(const conv_geometry *g, double *acc, const float *pixel, const float *weights)
{
    for (int64_t first = 0, ic0 = 0; first < g->oc; first += g->group_oc, ic0 += g->group_ic)
        for (int64_t i = 0; i < g->group_ic; i++)
            ngi_ref_multiply_add(acc + first, pixel[ic0 + i], weights + i * g->oc + first, g->group_oc);
}

static void conv_pixel(const ngi_ref *k, const conv_geometry *g, const float *in, int64_t oy, int64_t ox,
                       double *acc, float *out)
{
    const ngi_attr *a = k->step.attr;
    for (int64_t c = 0; c < g->oc; c++)
        acc[c] = k->step.bias ? k->step.bias[c] : 0.0;
    for (int64_t ky = 0; ky < a->kernel_h; ky++) {
        int64_t y = oy * a->stride_h - a->pad.top + ky * a->dilation_h;
        if (y < 0 || y >= g->ih)
            continue;
        for (int64_t kx = 0; kx < a->kernel_w; kx++) {
            int64_t x = ox * a->stride_w - a->pad.left + kx * a->dilation_w;
            if (x >= 0 && x < g->iw)
                add_tap(g, acc, in + (y * g->iw + x) * g->ic,
                        k->step.kernel + (ky * a->kernel_w + kx) * g->group_ic * g->oc);
        }
    }
    for (int64_t c = 0; c < g->oc; c++)
        out[c] = (float)acc[c];
}

void ngi_ref_conv_forward(const ngi_ref *k, const ngi_run *run)
{
    conv_geometry g = geometry(k);
    for (int n = 0; n < run->n; n++) {
        const float *in = run->in[0] + n * k->in_count; /* [ih,iw,ic] */
        float *out = run->out + n * k->out_count;       /* [oh,ow,oc] */
        for (int64_t y = 0; y < g.oh; y++)
            for (int64_t x = 0; x < g.ow; x++)
                conv_pixel(k, &g, in, y, x, run->scratch, out + (y * g.ow + x) * g.oc);
    }
}

/* acc [ic] += weights [ic/groups,oc] times gradient [oc], group by group. */
static void add_tap_transposed(const conv_geometry *g, double *acc, const float *grad, const float *weights)
{
    for (int64_t first = 0, ic0 = 0; first < g->oc; first += g->group_oc, ic0 += g->group_ic)
        for (int64_t i = 0; i < g->group_ic; i++)
            acc[ic0 + i] += ngi_ref_dot(grad + first, weights + i * g->oc + first, g->group_oc);
}

/* The output index that tap k of input index i belongs to, -1 if there is none. */
static int64_t output_of(int64_t i, int64_t k, int pad, int dilation, int stride, int64_t count)
{
    int64_t t = i + pad - k * dilation;
    if (t < 0 || t % stride != 0 || t / stride >= count)
        return -1;
    return t / stride;
}

static void conv_pixel_backward(const ngi_ref *k, const conv_geometry *g, const float *grad, int64_t iy,
                                int64_t ix, double *acc)
{
    const ngi_attr *a = k->step.attr;
    for (int64_t c = 0; c < g->ic; c++)
        acc[c] = 0.0;
    for (int64_t ky = 0; ky < a->kernel_h; ky++) {
        int64_t y = output_of(iy, ky, a->pad.top, a->dilation_h, a->stride_h, g->oh);
        for (int64_t kx = 0; y >= 0 && kx < a->kernel_w; kx++) {
            int64_t x = output_of(ix, kx, a->pad.left, a->dilation_w, a->stride_w, g->ow);
            if (x >= 0)
                add_tap_transposed(g, acc, grad + (y * g->ow + x) * g->oc,
                                   k->step.kernel + (ky * a->kernel_w + kx) * g->group_ic * g->oc);
        }
    }
}

void ngi_ref_conv_backward(const ngi_ref *k, const ngi_run *run)
{
    conv_geometry g = geometry(k);
    for (int n = 0; n < run->n; n++) {
        const float *grad = run->grad_out + n * k->out_count; /* [oh,ow,oc] */
        float *dx = run->grad_in[0] + n * k->in_count;        /* [ih,iw,ic] */
        for (int64_t y = 0; y < g.ih; y++)
            for (int64_t x = 0; x < g.iw; x++) {
                conv_pixel_backward(k, &g, grad, y, x, run->scratch);
                ngi_ref_store_double(dx + (y * g.iw + x) * g.ic, run->scratch, g.ic, run->accumulate[0]);
            }
    }
}
