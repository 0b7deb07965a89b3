/* Dense: a matrix product [rows,in] x [in,out] + [out]. The kernel is used in place in both directions
 * (backward reads it transposed), so that a large head is not held twice. */
#include "exec/onednn/kernel.h"

/* oneDNN's first choice copies the kernel into its own order on every run, which makes a single row four
 * times slower; its plain product reads it once. */
#define PREFERRED "gemm:jit"

typedef struct matrix {
    dnnl_dims_t dims;
    dnnl_format_tag_t tag;
} matrix;

static dnnl_status_t multiply(ngi_pass *pass, const matrix *in, const matrix *kernel, const matrix *out,
                              const ngi_md *bias, const_dnnl_primitive_attr_t attr, ngi_md *kernel_md)
{
    dnnl_status_t status = ngi_md_init(&pass->in, 2, in->dims, in->tag);
    if (status == dnnl_success)
        status = ngi_md_init(&pass->out, 2, out->dims, out->tag);
    if (status == dnnl_success)
        status = ngi_md_init(kernel_md, 2, kernel->dims, kernel->tag);
    if (status == dnnl_success)
        status = ngi_dnnl_matmul(&pass->main.desc, ngi_onednn_engine(), &pass->in, kernel_md, bias,
                                 &pass->out, attr, PREFERRED);
    if (status == dnnl_success && ngi_prim_is_reference(pass->main.desc))
        status = dnnl_unimplemented;
    pass->arg_in = DNNL_ARG_SRC;
    pass->arg_out = DNNL_ARG_DST;
    return status;
}

static ng_status make_pass(ngi_pass *pass, const ngi_step *step, bool back, const_dnnl_primitive_attr_t attr,
                           ng_error *err)
{
    const ngi_shape *shape = step->in_shape[0];
    int64_t in = shape->dim[shape->rank - 1], out = step->out_shape->dim[step->out_shape->rank - 1];
    int64_t rows = ngi_shape_count(shape) / in;
    matrix x = {{rows, in}, dnnl_ab}, y = {{rows, out}, dnnl_ab};
    matrix w = {{in, out}, dnnl_ab}, transposed = {{out, in}, dnnl_ba};
    const float *bias = back ? NULL : step->bias;
    ngi_md bias_md = {0}, kernel_md = {0};
    dnnl_status_t made = bias ? ngi_md_init(&bias_md, 2, (dnnl_dims_t){1, out}, dnnl_ab) : dnnl_success;
    if (made == dnnl_success)
        made = back ? multiply(pass, &y, &transposed, &x, &bias_md, attr, &kernel_md)
                    : multiply(pass, &x, &w, &y, &bias_md, attr, &kernel_md);
    ng_status status = ngi_onednn_status(made, "dense", err);
    if (status == NG_OK)
        status = ngi_pass_finish(pass,
                                 &(ngi_pass_weights){.plain = &kernel_md,
                                                     .weights = step->kernel,
                                                     .lasting = true,
                                                     .packing = step->packing,
                                                     .tag = back ? "dense back" : "dense",
                                                     .bias_md = &bias_md,
                                                     .bias = bias},
                                 err);
    ngi_md_clear(&bias_md);
    ngi_md_clear(&kernel_md);
    return status;
}

ng_status ngi_onednn_dense(ngi_onednn_kernel *k, const ngi_step *step, const_dnnl_primitive_attr_t attr,
                           ng_error *err)
{
    if (step->in_shape[0]->rank < 1)
        return NG_E_UNSUPPORTED;
    NGI_TRY(make_pass(&k->forward, step, false, attr, err));
    if (!step->backward)
        return NG_OK;
    dnnl_primitive_attr_t plain;
    NGI_TRY(ngi_onednn_status(ngi_onednn_attr(&plain), "dense", err));
    ng_status status = make_pass(&k->backward, step, true, plain, err);
    dnnl_primitive_attr_destroy(plain);
    return status;
}
