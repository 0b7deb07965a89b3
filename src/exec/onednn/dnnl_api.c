/* See dnnl_api.h. In 2.x a dilated convolution is a call of its own. */
#include <string.h>

#include "exec/onednn/dnnl_api.h"

const char *ngi_dnnl_name(const_dnnl_primitive_desc_t desc)
{
    const char *name = NULL;
    if (dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success || !name)
        return "unknown";
    return name;
}

dnnl_status_t ngi_md_init(ngi_md *md, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
    return ngi_md_init_as(md, rank, dims, dnnl_f32, tag);
}

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t ngi_md_init_as(ngi_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                             dnnl_format_tag_t tag)
{
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(&md->desc, rank, dims, type, tag);
    md->set = status == dnnl_success;
    return status;
}

void ngi_md_clear(ngi_md *md)
{
    if (md->set)
        dnnl_memory_desc_destroy(md->desc);
    md->set = false;
}

ngi_md_view ngi_md_get(const ngi_md *md)
{
    return md->set ? md->desc : NULL;
}

dnnl_status_t ngi_dnnl_conv_forward(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *src,
                                    const ngi_md *weights, const ngi_md *bias, const ngi_md *dst,
                                    const ngi_window *window, const_dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_forward_primitive_desc_create(
        out, engine, dnnl_forward_inference, dnnl_convolution_direct, ngi_md_get(src), ngi_md_get(weights),
        ngi_md_get(bias), ngi_md_get(dst), window->stride, window->dilation, window->before, window->after,
        attr);
}

dnnl_status_t ngi_dnnl_conv_backward(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *diff_src,
                                     const ngi_md *weights, const ngi_md *diff_dst, const ngi_window *window,
                                     const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_backward_data_primitive_desc_create(
        out, engine, dnnl_convolution_direct, ngi_md_get(diff_src), ngi_md_get(weights), ngi_md_get(diff_dst),
        window->stride, window->dilation, window->before, window->after, hint, attr);
}

dnnl_status_t ngi_dnnl_conv_backward_weights(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                             const ngi_md *src, const ngi_md *diff_weights,
                                             const ngi_md *diff_dst, const ngi_window *window,
                                             const_dnnl_primitive_desc_t hint,
                                             const_dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, engine, dnnl_convolution_direct, ngi_md_get(src), ngi_md_get(diff_weights), NULL,
        ngi_md_get(diff_dst), window->stride, window->dilation, window->before, window->after, hint, attr);
}

dnnl_status_t ngi_dnnl_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *src,
                              const ngi_md *weights, const ngi_md *bias, const ngi_md *dst,
                              const_dnnl_primitive_attr_t attr, const char *preferred)
{
    for (int pass = 0; pass < 2; pass++) {
        dnnl_status_t status = dnnl_matmul_primitive_desc_create(
            out, engine, ngi_md_get(src), ngi_md_get(weights), ngi_md_get(bias), ngi_md_get(dst), attr);
        if (status != dnnl_success || pass == 1)
            return status;
        do {
            if (strstr(ngi_dnnl_name(*out), preferred))
                return dnnl_success;
        } while (dnnl_primitive_desc_next_impl(*out) == dnnl_success);
        dnnl_primitive_desc_destroy(*out);
        *out = NULL;
    }
    return dnnl_unimplemented;
}

dnnl_status_t ngi_dnnl_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(ops, kind, alpha, beta);
}

#else /* 2.x */

dnnl_status_t ngi_md_init_as(ngi_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                             dnnl_format_tag_t tag)
{
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&md->desc, rank, dims, type, tag);
    md->set = status == dnnl_success;
    return status;
}

void ngi_md_clear(ngi_md *md)
{
    md->set = false;
}

ngi_md_view ngi_md_get(const ngi_md *md)
{
    return md->set ? &md->desc : NULL;
}

dnnl_status_t ngi_dnnl_conv_forward(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *src,
                                    const ngi_md *weights, const ngi_md *bias, const ngi_md *dst,
                                    const ngi_window *window, const_dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t op;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &op, dnnl_forward_inference, dnnl_convolution_direct, ngi_md_get(src), ngi_md_get(weights),
        ngi_md_get(bias), ngi_md_get(dst), window->stride, window->dilation, window->before, window->after);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &op, attr, engine, NULL) : status;
}

dnnl_status_t ngi_dnnl_conv_backward(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *diff_src,
                                     const ngi_md *weights, const ngi_md *diff_dst, const ngi_window *window,
                                     const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t op;
    dnnl_status_t status = dnnl_dilated_convolution_backward_data_desc_init(
        &op, dnnl_convolution_direct, ngi_md_get(diff_src), ngi_md_get(weights), ngi_md_get(diff_dst),
        window->stride, window->dilation, window->before, window->after);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &op, attr, engine, hint) : status;
}

dnnl_status_t ngi_dnnl_conv_backward_weights(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                             const ngi_md *src, const ngi_md *diff_weights,
                                             const ngi_md *diff_dst, const ngi_window *window,
                                             const_dnnl_primitive_desc_t hint,
                                             const_dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t op;
    dnnl_status_t status = dnnl_dilated_convolution_backward_weights_desc_init(
        &op, dnnl_convolution_direct, ngi_md_get(src), ngi_md_get(diff_weights), NULL, ngi_md_get(diff_dst),
        window->stride, window->dilation, window->before, window->after);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &op, attr, engine, hint) : status;
}

/* The implementation of `op` whose name contains `preferred`; NULL if there is none. */
static dnnl_primitive_desc_t find_matmul(const dnnl_matmul_desc_t *op, dnnl_engine_t engine,
                                         const_dnnl_primitive_attr_t attr, const char *preferred)
{
    dnnl_primitive_desc_iterator_t all;
    dnnl_primitive_desc_t found = NULL;
    if (dnnl_primitive_desc_iterator_create(&all, op, attr, engine, NULL) != dnnl_success)
        return NULL;
    do {
        found = dnnl_primitive_desc_iterator_fetch(all);
        if (found && strstr(ngi_dnnl_name(found), preferred))
            break;
        if (found)
            dnnl_primitive_desc_destroy(found);
        found = NULL;
    } while (dnnl_primitive_desc_iterator_next(all) == dnnl_success);
    dnnl_primitive_desc_iterator_destroy(all);
    return found;
}

dnnl_status_t ngi_dnnl_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *src,
                              const ngi_md *weights, const ngi_md *bias, const ngi_md *dst,
                              const_dnnl_primitive_attr_t attr, const char *preferred)
{
    dnnl_matmul_desc_t op;
    dnnl_status_t status =
        dnnl_matmul_desc_init(&op, ngi_md_get(src), ngi_md_get(weights), ngi_md_get(bias), ngi_md_get(dst));
    if (status != dnnl_success)
        return status;
    *out = find_matmul(&op, engine, attr, preferred);
    return *out ? dnnl_success : dnnl_primitive_desc_create(out, &op, attr, engine, NULL);
}

dnnl_status_t ngi_dnnl_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, alpha, beta);
}

#endif
