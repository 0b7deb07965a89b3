/* Max and average pools. oneDNN's max pool backward needs a record written by the forward, which a
 * session has no place for, so that one is done here in plain loops over channels. */
#include <string.h>

#include "exec/onednn/kernel.h"

static dnnl_status_t init_mds(ngi_pass *pass, const dnnl_dims_t in, const dnnl_dims_t out)
{
    dnnl_status_t status = ngi_md_init(&pass->in, 4, in, dnnl_nhwc);
    return status == dnnl_success ? ngi_md_init(&pass->out, 4, out, dnnl_nhwc) : status;
}

static ng_status make_forward(ngi_onednn_kernel *k, dnnl_alg_kind_t kind, const_dnnl_primitive_attr_t attr,
                              ng_error *err)
{
    ngi_pass *pass = &k->forward;
    dnnl_status_t status =
        init_mds(pass, (dnnl_dims_t){1, k->c, k->h, k->w}, (dnnl_dims_t){1, k->c, k->oh, k->ow});
    if (status == dnnl_success)
        status = ngi_dnnl_pool_forward(&pass->main.desc, ngi_onednn_engine(), kind, &pass->in, &pass->out,
                                       &k->window, attr);
    if (status == dnnl_success && ngi_prim_is_reference(pass->main.desc))
        status = dnnl_unimplemented;
    if (status != dnnl_success)
        return ngi_onednn_status(status, "pool", err);
    pass->arg_in = DNNL_ARG_SRC;
    pass->arg_out = DNNL_ARG_DST;
    return ngi_pass_finish(pass, &(ngi_pass_weights){0}, err);
}

static ng_status make_average_backward(ngi_onednn_kernel *k, const_dnnl_primitive_attr_t attr, ng_error *err)
{
    ngi_pass *pass = &k->backward;
    dnnl_status_t status =
        init_mds(pass, (dnnl_dims_t){1, k->c, k->oh, k->ow}, (dnnl_dims_t){1, k->c, k->h, k->w});
    if (status == dnnl_success)
        status =
            ngi_dnnl_pool_backward(&pass->main.desc, ngi_onednn_engine(), dnnl_pooling_avg_exclude_padding,
                                   &pass->out, &pass->in, &k->window, k->forward.main.desc, attr);
    if (status == dnnl_success && ngi_prim_is_reference(pass->main.desc))
        status = dnnl_unimplemented;
    if (status != dnnl_success)
        return ngi_onednn_status(status, "pool", err);
    pass->arg_in = DNNL_ARG_DIFF_DST;
    pass->arg_out = DNNL_ARG_DIFF_SRC;
    return ngi_pass_finish(pass, &(ngi_pass_weights){0}, err);
}

ng_status ngi_onednn_pool(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                          ng_error *err)
{
    const ngi_shape *in = step->in_shape[0], *out = step->out_shape;
    if (in->rank != 3 || step->has_act)
        return NG_E_UNSUPPORTED;
    k->h = in->dim[0];
    k->w = in->dim[1];
    k->c = in->dim[2];
    k->oh = out->dim[0];
    k->ow = out->dim[1];
    k->window = ngi_onednn_window(step->attr);
    bool average = step->op == NGI_OP_AVG_POOL;
    NGI_TRY(make_forward(k, average ? dnnl_pooling_avg_exclude_padding : dnnl_pooling_max, attr, err));
    return average && step->backward ? make_average_backward(k, attr, err) : NG_OK;
}

/* ---- Max pool backward ----------------------------------------------------------------------- */

/* Part of a window that lies inside the input along one axis: [*from, *to). */
static void clip(int64_t start, int64_t kernel, int64_t size, int64_t *from, int64_t *to)
{
    *from = start < 0 ? 0 : start;
    *to = start + kernel > size ? size : start + kernel;
}

size_t ngi_max_pool_scratch(const ngi_onednn_kernel *k)
{
    return (size_t)k->c * (sizeof(float) + sizeof(int32_t));
}

/* Of the window's rows y0..y1 and columns x0..x1: the number, in row-major order, of the first maximum
 * of each channel. best, first: [c]. */
static void first_maximum(const ngi_onednn_kernel *k, const float *in, const int64_t y[2], const int64_t x[2],
                          float *restrict best, int32_t *restrict first)
{
    int32_t tap = 0;
    for (int64_t iy = y[0]; iy < y[1]; iy++)
        for (int64_t ix = x[0]; ix < x[1]; ix++, tap++) {
            const float *restrict pixel = in + (iy * k->w + ix) * k->c; /* [c] */
            if (tap == 0) {
                memcpy(best, pixel, (size_t)k->c * sizeof *best);
                memset(first, 0, (size_t)k->c * sizeof *first);
                continue;
            }
            for (int64_t c = 0; c < k->c; c++) {
                bool larger = pixel[c] > best[c];
                best[c] = larger ? pixel[c] : best[c];
                first[c] = larger ? tap : first[c];
            }
        }
}

void ngi_max_pool_backward(const ngi_onednn_kernel *k, const float *in, const float *grad_out, float *grad_in,
                           void *scratch)
{
    float *best = scratch;                     /* [c] */
    int32_t *first = (int32_t *)(best + k->c); /* [c] */
    for (int64_t oy = 0; oy < k->oh; oy++)
        for (int64_t ox = 0; ox < k->ow; ox++) {
            int64_t y[2], x[2];
            clip(oy * k->window.stride[0] - k->window.before[0], k->window.kernel[0], k->h, &y[0], &y[1]);
            clip(ox * k->window.stride[1] - k->window.before[1], k->window.kernel[1], k->w, &x[0], &x[1]);
            first_maximum(k, in, y, x, best, first);
            const float *restrict grad = grad_out + (oy * k->ow + ox) * k->c; /* [c] */
            int32_t tap = 0;
            for (int64_t iy = y[0]; iy < y[1]; iy++)
                for (int64_t ix = x[0]; ix < x[1]; ix++, tap++) {
                    float *restrict to = grad_in + (iy * k->w + ix) * k->c; /* [c] */
                    for (int64_t c = 0; c < k->c; c++)
                        to[c] += first[c] == tap ? grad[c] : 0.0f;
                }
        }
}
