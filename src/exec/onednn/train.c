/* Gradients of convolution and dense kernels. A 1x1 convolution and a dense layer are a matrix product over the whole
 * batch, x^T dy. Other convolutions use oneDNN's backward, made for the whole batch, and for
 * single images where a batch is not full. */
#include <stdio.h>
#include <string.h>

#include "exec/onednn/kernel.h"

/* Backward for n images in the layouts it prefers, with the reorders around it. */
typedef struct weight_pass {
    int n;
    ngi_prim main, reorder_in, reorder_grad, reorder_out;
    ngi_md in, grad; /* as the executor holds them */
    size_t bytes[3]; /* of reordered input, gradient and kernel gradient; 0: not reordered */
    size_t plain;    /* bytes of the kernel gradient in the graph's order, before it is added */
    size_t scratch;
} weight_pass;

typedef struct trainer {
    const char *node;
    int threads, batch;
    bool product;          /* a matrix product [rows,in]^T x [rows,out] */
    int64_t rows, in, out; /* of one image */
    int64_t in_count, out_count, kernel_count;
    weight_pass all, one; /* all.n == batch; one.n == 1 */
    ngi_md kernel;
} trainer;

static void pass_clear(weight_pass *w)
{
    ngi_prim_clear(&w->main);
    ngi_prim_clear(&w->reorder_in);
    ngi_prim_clear(&w->reorder_grad);
    ngi_prim_clear(&w->reorder_out);
    ngi_md_clear(&w->in);
    ngi_md_clear(&w->grad);
}

/* ---- Making ------------------------------------------------------------------------------------ */

/* Descriptor with activations in layout `tag`. */
static dnnl_status_t describe(const ngi_conv_geometry *c, dnnl_format_tag_t tag, dnnl_primitive_desc_t *out)
{
    ngi_md in = {0}, result = {0}, weights = {0}, none = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t forward = NULL;
    dnnl_engine_t engine = ngi_onednn_engine();
    dnnl_status_t status = ngi_onednn_attr(&attr);
    if (status == dnnl_success)
        status = ngi_md_init(&in, 4, c->in, tag);
    if (status == dnnl_success)
        status = ngi_md_init(&result, 4, c->out, tag);
    if (status == dnnl_success)
        status = ngi_md_init(&weights, c->weight_rank, c->weights, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = ngi_dnnl_conv_forward(&forward, engine, &in, &weights, &none, &result, &c->window, attr);
    if (status == dnnl_success)
        status =
            ngi_dnnl_conv_backward_weights(out, engine, &in, &weights, &result, &c->window, forward, attr);
    if (forward)
        dnnl_primitive_desc_destroy(forward);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    ngi_md_clear(&in);
    ngi_md_clear(&result);
    ngi_md_clear(&weights);
    return status;
}

static dnnl_status_t choose(const ngi_conv_geometry *c, dnnl_primitive_desc_t *out)
{
    static const dnnl_format_tag_t layouts[] = {dnnl_nhwc, dnnl_format_tag_any};
    dnnl_status_t status = dnnl_unimplemented;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        status = describe(c, layouts[i], out);
        if (status == dnnl_out_of_memory)
            return status;
        if (status != dnnl_success)
            continue;
        if (!ngi_prim_is_reference(*out))
            return dnnl_success;
        dnnl_primitive_desc_destroy(*out);
        *out = NULL;
    }
    return dnnl_unimplemented;
}

static dnnl_status_t make_reorder(ngi_prim *prim, ngi_md_view from, ngi_md_view to, ngi_md_view inner,
                                  size_t *bytes)
{
    if (dnnl_memory_desc_equal(from, to))
        return dnnl_success;
    *bytes = ngi_onednn_round_up(dnnl_memory_desc_get_size(inner));
    return ngi_prim_reorder(prim, from, to);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static dnnl_status_t make_pass(weight_pass *w, const ngi_step *step, int n, const ngi_md *kernel)
{
    ngi_conv_geometry c;
    ngi_onednn_geometry(step, n, &c);
    w->n = n;
    dnnl_status_t status = choose(&c, &w->main.desc);
    if (status == dnnl_success)
        status = ngi_prim_finish(&w->main);
    if (status == dnnl_success)
        status = ngi_md_init(&w->in, 4, c.in, dnnl_nhwc);
    if (status == dnnl_success)
        status = ngi_md_init(&w->grad, 4, c.out, dnnl_nhwc);
    if (status != dnnl_success)
        return status;
    ngi_md_view in = ngi_prim_md(&w->main, dnnl_query_src_md),
                grad = ngi_prim_md(&w->main, dnnl_query_diff_dst_md),
                weights = ngi_prim_md(&w->main, dnnl_query_diff_weights_md);
    status = make_reorder(&w->reorder_in, ngi_md_get(&w->in), in, in, &w->bytes[0]);
    if (status == dnnl_success)
        status = make_reorder(&w->reorder_grad, ngi_md_get(&w->grad), grad, grad, &w->bytes[1]);
    if (status == dnnl_success)
        status = make_reorder(&w->reorder_out, weights, ngi_md_get(kernel), weights, &w->bytes[2]);
    w->plain = ngi_onednn_round_up(dnnl_memory_desc_get_size(ngi_md_get(kernel)));
    size_t pad = larger(larger(w->main.scratchpad, w->reorder_in.scratchpad),
                        larger(w->reorder_grad.scratchpad, w->reorder_out.scratchpad));
    w->scratch = w->bytes[0] + w->bytes[1] + w->bytes[2] + w->plain + ngi_onednn_round_up(pad);
    return status;
}

/* ---- Running ----------------------------------------------------------------------------------- */

static dnnl_status_t reorder(const ngi_prim *prim, dnnl_stream_t stream, dnnl_memory_t from, dnnl_memory_t to,
                             void *pad)
{
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    return prim->primitive ? ngi_prim_run(prim, stream, args, 2, pad) : dnnl_success;
}

static dnnl_status_t memory_of(dnnl_memory_t *out, ngi_md_view md, const void *data)
{
    return dnnl_memory_create(out, md, ngi_onednn_engine(), (void *)data);
}

/* in [n] images, grad [n]: the kernel's gradient, in the graph's order, in *result (in scratch). */
static dnnl_status_t pass_run(const weight_pass *w, const ngi_md *kernel, dnnl_stream_t stream,
                              const float *in, const float *grad, char *scratch, const float **result)
{
    char *at_grad = scratch + w->bytes[0], *at_weights = at_grad + w->bytes[1],
         *at_plain = at_weights + w->bytes[2], *pad = at_plain + w->plain;
    enum { IN, GRAD, IN_OWN, GRAD_OWN, WEIGHTS, PLAIN, COUNT };
    dnnl_memory_t m[COUNT] = {NULL};
    struct {
        ngi_md_view md;
        const void *data;
    } of[COUNT] = {
        {ngi_md_get(&w->in), in},
        {ngi_md_get(&w->grad), grad},
        {ngi_prim_md(&w->main, dnnl_query_src_md), w->bytes[0] ? (const void *)scratch : in},
        {ngi_prim_md(&w->main, dnnl_query_diff_dst_md), w->bytes[1] ? (const void *)at_grad : grad},
        {ngi_prim_md(&w->main, dnnl_query_diff_weights_md), w->bytes[2] ? at_weights : at_plain},
        {ngi_md_get(kernel), at_plain},
    };
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < COUNT && status == dnnl_success; i++)
        status = memory_of(&m[i], of[i].md, of[i].data);
    if (status == dnnl_success)
        status = reorder(&w->reorder_in, stream, m[IN], m[IN_OWN], pad);
    if (status == dnnl_success)
        status = reorder(&w->reorder_grad, stream, m[GRAD], m[GRAD_OWN], pad);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[] = {
            {DNNL_ARG_SRC, m[IN_OWN]}, {DNNL_ARG_DIFF_DST, m[GRAD_OWN]}, {DNNL_ARG_DIFF_WEIGHTS, m[WEIGHTS]}};
        status = ngi_prim_run(&w->main, stream, args, 3, pad);
    }
    if (status == dnnl_success)
        status = reorder(&w->reorder_out, stream, m[WEIGHTS], m[PLAIN], pad);
    for (int i = 0; i < COUNT; i++)
        if (m[i])
            dnnl_memory_destroy(m[i]);
    *result = (const float *)(void *)at_plain;
    return status;
}

static dnnl_status_t add_pass(const trainer *t, const weight_pass *w, const ngi_run *run, int first)
{
    const float *result;
    dnnl_status_t status = pass_run(w, &t->kernel, run->context, run->in[0] + first * t->in_count,
                                    run->grad_out + first * t->out_count, run->scratch, &result);
    for (int64_t i = 0; i < t->kernel_count && status == dnnl_success; i++)
        run->grad_kernel[i] = first ? run->grad_kernel[i] + result[i] : result[i];
    return status;
}

static dnnl_status_t add_kernel(const trainer *t, const ngi_run *run)
{
    if (t->product) /* row-major [in,out] = [rows,in]^T [rows,out] */
        return dnnl_sgemm('T', 'N', t->in, t->out, run->n * t->rows, 1.0f, run->in[0], t->in, run->grad_out,
                          t->out, 0.0f, run->grad_kernel, t->out);
    if (run->n == t->batch)
        return add_pass(t, &t->all, run, 0);
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < run->n && status == dnnl_success; i++)
        status = add_pass(t, &t->one, run, i);
    return status;
}

#define SUM_CHANNELS 256

/* Sums over images and places in double, some channels a time; the same whatever the number of threads. */
static void add_bias(const trainer *t, const ngi_run *run)
{
    int64_t rows = run->n * t->rows;
#pragma omp parallel for num_threads(t->threads) if (t->threads > 1)
    for (int64_t first = 0; first < t->out; first += SUM_CHANNELS) {
        int64_t n = t->out - first < SUM_CHANNELS ? t->out - first : SUM_CHANNELS;
        double sums[SUM_CHANNELS] = {0};
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < n; c++)
                sums[c] += run->grad_out[r * t->out + first + c];
        for (int64_t c = 0; c < n; c++)
            run->grad_bias[first + c] = (float)sums[c];
    }
}

static ng_status backward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    const trainer *t = kernel->state;
    ngi_onednn_turn turn = ngi_onednn_enter(t->threads);
    dnnl_status_t status = run->grad_kernel ? add_kernel(t, run) : dnnl_success;
    if (run->grad_bias)
        add_bias(t, run);
    ngi_onednn_leave(&turn);
    return ngi_onednn_run_status(t->node, status, err);
}

/* ---- Life -------------------------------------------------------------------------------------- */

static void destroy(ngi_kernel *kernel)
{
    trainer *t = kernel->state;
    if (t) {
        pass_clear(&t->all);
        pass_clear(&t->one);
        ngi_md_clear(&t->kernel);
        ngi_free(t);
    }
    *kernel = (ngi_kernel){0};
}

static bool is_product(const ngi_step *step)
{
    const ngi_attr *a = step->attr;
    return step->op == NGI_OP_DENSE || (step->op == NGI_OP_CONV2D && a->kernel_h == 1 && a->kernel_w == 1 &&
                                        a->stride_h == 1 && a->stride_w == 1 && a->groups == 1 &&
                                        !a->pad.top && !a->pad.left && !a->pad.bottom && !a->pad.right);
}

static dnnl_status_t make_passes(trainer *t, const ngi_step *step)
{
    ngi_conv_geometry c;
    ngi_onednn_geometry(step, 1, &c);
    dnnl_status_t status = ngi_onednn_kernel_md(&c, &t->kernel);
    if (status == dnnl_success)
        status = make_pass(&t->all, step, t->batch, &t->kernel);
    if (status == dnnl_success && t->batch > 1)
        status = make_pass(&t->one, step, 1, &t->kernel);
    return status;
}

ng_status ngi_onednn_prepare_trainer(const ngi_step *step, int batch, int threads, ngi_kernel *out,
                                     ng_error *err)
{
    bool windows = (step->op == NGI_OP_CONV2D || step->op == NGI_OP_DEPTHWISE) &&
                   step->in_shape[0]->rank == 3 && step->out_shape->rank == 3;
    if (!(windows || step->op == NGI_OP_DENSE) || !ngi_onednn_engine())
        return NG_E_UNSUPPORTED;
    trainer *t = ngi_alloc_zero(1, sizeof *t);
    if (!t)
        return ngi_fail_memory(err, sizeof *t);
    const ngi_graph *g = step->graph;
    *t = (trainer){.node = g->nodes[step->node].name,
                   .threads = threads > 0 ? threads : 1,
                   .batch = batch,
                   .product = is_product(step),
                   .in = step->in_shape[0]->dim[step->in_shape[0]->rank - 1],
                   .out = step->out_shape->dim[step->out_shape->rank - 1],
                   .in_count = ngi_shape_count(step->in_shape[0]),
                   .out_count = ngi_shape_count(step->out_shape),
                   .kernel_count = ngi_shape_count(&g->weights[g->nodes[step->root].weights[0]].shape)};
    t->rows = t->out_count / t->out;
    ngi_kernel k = {.state = t, .backward = backward, .destroy = destroy};
    if (!t->product && step->trains_kernel) {
        ngi_onednn_turn turn = ngi_onednn_enter(t->threads);
        ng_status status = ngi_onednn_status(make_passes(t, step), "weight gradients", err);
        ngi_onednn_leave(&turn);
        if (status != NG_OK) {
            destroy(&k);
            return status;
        }
    }
    k.scratch = larger(t->all.scratch, t->one.scratch);
    snprintf(k.name, sizeof k.name, "%s",
             t->product         ? "gemm"
             : t->all.main.desc ? ngi_dnnl_name(t->all.main.desc)
                                : "sums");
    *out = k;
    return NG_OK;
}
