/* The part of oneDNN's C API that differs between 2.x (Debian 12) and 3.x (Debian 13, Ubuntu 24.04):
 * memory descriptors (structs, later opaque pointers), the making of primitive descriptors (from an
 * operation descriptor, later directly) and eltwise post-ops. The other files of this folder use these
 * wrappers and are the same for both. */
#ifndef NGI_ONEDNN_DNNL_API_H
#define NGI_ONEDNN_DNNL_API_H

#include <stdbool.h>

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR < 2 || (DNNL_VERSION_MAJOR == 2 && DNNL_VERSION_MINOR < 6)
#error "oneDNN 2.6 or newer is needed"
#endif

/* A memory descriptor that is owned, and one borrowed from a primitive descriptor or an ngi_md. */
typedef struct ngi_md {
    bool set;
    dnnl_memory_desc_t desc;
} ngi_md;
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t ngi_md_view;
#else
typedef const dnnl_memory_desc_t *ngi_md_view;
#endif

dnnl_status_t ngi_md_init(ngi_md *md, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag); /* float32 */
dnnl_status_t ngi_md_init_as(ngi_md *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                             dnnl_format_tag_t tag);
void ngi_md_clear(ngi_md *md);
ngi_md_view ngi_md_get(const ngi_md *md); /* NULL for one that is not set: "no bias" */

/* Sliding window of a convolution, [height, width]; dilation 0 means dense (oneDNN's count). */
typedef struct ngi_window {
    dnnl_dims_t kernel, stride, dilation, before, after;
} ngi_window;

/* Primitive descriptors. Status as oneDNN gives it: unimplemented and invalid_arguments mean that it has
 * no kernel for the case. `hint` is the matching forward descriptor. */
dnnl_status_t ngi_dnnl_conv_forward(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *src,
                                    const ngi_md *weights, const ngi_md *bias, const ngi_md *dst,
                                    const ngi_window *window, const_dnnl_primitive_attr_t attr);
dnnl_status_t ngi_dnnl_conv_backward(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *diff_src,
                                     const ngi_md *weights, const ngi_md *diff_dst, const ngi_window *window,
                                     const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr);
dnnl_status_t ngi_dnnl_conv_backward_weights(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                             const ngi_md *src, const ngi_md *diff_weights,
                                             const ngi_md *diff_dst, const ngi_window *window,
                                             const_dnnl_primitive_desc_t hint,
                                             const_dnnl_primitive_attr_t attr);
/* Of the implementations the first whose name contains `preferred`, else the first. */
dnnl_status_t ngi_dnnl_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const ngi_md *src,
                              const ngi_md *weights, const ngi_md *bias, const ngi_md *dst,
                              const_dnnl_primitive_attr_t attr, const char *preferred);

/* Name of the implementation, as in "brgconv:avx512_core". */
const char *ngi_dnnl_name(const_dnnl_primitive_desc_t desc);

dnnl_status_t ngi_dnnl_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta);

#endif
