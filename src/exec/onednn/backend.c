/* The oneDNN back end: convolutions, dense layers and pools, forward and backward to the data. Steps
 * of other kinds, and shapes for which oneDNN has only its reference code, are passed on.
 *
 * oneDNN splits its work for the number of OpenMP threads at the time a primitive is made; that number is
 * the calling thread's own setting, put in place around making and running and then restored. */
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "exec/onednn/kernel.h"

/* Tensors of one image and kernels up to this many floats (2 GiB): oneDNN's generated code counts bytes
 * in 32 bits in places. */
#define MAX_FLOATS ((int64_t)1 << 29)

int ngi_onednn_thread(void)
{
    return omp_get_thread_num();
}

/* oneDNN's generated matrix products (seen in 2.6 with AVX-512) point the stack pointer into a buffer of their own while they
 * run: a handler that a signal starts there writes over what lies beneath the buffer. Signals wait until the primitive is done.
 * Not so with several threads: those of the team would get them instead, who are in the same code. A program sees to itself
 * with sigaltstack, as ours does. */
static bool holds_signals(int threads)
{
    return threads == 1;
}

ngi_onednn_turn ngi_onednn_enter(int threads)
{
    ngi_onednn_turn turn = {.threads = threads, .before = omp_get_max_threads()};
    if (turn.before != threads)
        omp_set_num_threads(threads);
    if (holds_signals(threads)) {
        static const int own[] = {SIGSEGV, SIGBUS,  SIGFPE,
                                  SIGILL,  SIGTRAP, SIGABRT}; /* of the code's own doing */
        sigset_t held;
        sigfillset(&held);
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            sigdelset(&held, own[i]);
        pthread_sigmask(SIG_BLOCK, &held, &turn.signals);
    }
    return turn;
}

void ngi_onednn_leave(const ngi_onednn_turn *turn)
{
    if (holds_signals(turn->threads))
        pthread_sigmask(SIG_SETMASK, &turn->signals, NULL);
    if (turn->before != turn->threads)
        omp_set_num_threads(turn->before);
}

ng_status ngi_onednn_run_status(const char *node, dnnl_status_t status, ng_error *err)
{
    if (status == dnnl_success)
        return NG_OK;
    if (status == dnnl_out_of_memory)
        return ngi_fail(err, NG_E_MEMORY, "%s: oneDNN ran out of memory", node);
    return ngi_fail(err, NG_E_INTERNAL, "%s: oneDNN: expected success, found status %d", node, (int)status);
}

/* ---- Running --------------------------------------------------------------------------------- */

static ng_status forward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    const ngi_onednn_kernel *k = kernel->state;
    ngi_onednn_turn turn = ngi_onednn_enter(k->threads);
    dnnl_status_t status =
        ngi_pass_run(&k->forward, run->context, run->in[0], run->out, run->n, run->scratch);
    ngi_onednn_leave(&turn);
    if (status == dnnl_success && k->act_by_hand)
        ngi_activate(&k->act, run->out, run->out, run->n * k->forward.out_count);
    return ngi_onednn_run_status(k->node, status, err);
}

static dnnl_status_t backward_image(const ngi_onednn_kernel *k, const ngi_run *run, int image)
{
    int64_t in_count = k->forward.in_count;
    const float *grad_out = run->grad_out + image * k->forward.out_count;
    float *grad_in = run->grad_in[0] + image * in_count;
    float *own = (float *)((char *)run->scratch + k->at_grad);      /* [out_count] */
    float *result = (float *)((char *)run->scratch + k->at_result); /* [in_count] */
    if (k->has_act && !run->activated) {
        int64_t count = k->forward.out_count;
        ngi_activate_grad(&k->act, run->out + image * count, grad_out, own, count);
        grad_out = own;
    }
    if (!run->accumulate[0])
        return ngi_pass_run(&k->backward, run->context, grad_out, grad_in, 1, run->scratch);
    dnnl_status_t status = ngi_pass_run(&k->backward, run->context, grad_out, result, 1, run->scratch);
    for (int64_t i = 0; i < in_count && status == dnnl_success; i++)
        grad_in[i] += result[i];
    return status;
}

static ng_status backward(const ngi_kernel *kernel, const ngi_run *run, ng_error *err)
{
    const ngi_onednn_kernel *k = kernel->state;
    if (!run->grad_in[0])
        return NG_OK;
    ngi_onednn_turn turn = ngi_onednn_enter(k->threads);
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < run->n && status == dnnl_success; i++)
        status = backward_image(k, run, i);
    ngi_onednn_leave(&turn);
    return ngi_onednn_run_status(k->node, status, err);
}

/* ---- Preparing ------------------------------------------------------------------------------- */

static void destroy(ngi_kernel *kernel)
{
    ngi_onednn_kernel *k = kernel->state;
    if (k) {
        ngi_pass_clear(&k->forward);
        ngi_pass_clear(&k->backward);
        ngi_free(k->scales);
        ngi_free(k);
    }
    *kernel = (ngi_kernel){0};
}

/* Primitive attributes with the step's activation where oneDNN can apply it, else k->act_by_hand. */
static dnnl_status_t make_attr(ngi_onednn_kernel *k, dnnl_primitive_attr_t *out)
{
    dnnl_alg_kind_t kind;
    float alpha, beta;
    dnnl_status_t status = ngi_onednn_attr(out);
    if (status != dnnl_success || !k->has_act)
        return status;
    if (!ngi_fused_post_op(&k->act, &kind, &alpha, &beta)) {
        k->act_by_hand = true;
        return dnnl_success;
    }
    dnnl_post_ops_t ops;
    status = dnnl_post_ops_create(&ops);
    if (status != dnnl_success)
        return status;
    status = ngi_dnnl_append_eltwise(ops, kind, alpha, beta);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*out, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static ng_status make_passes(ngi_onednn_kernel *k, const ngi_step *step, ng_error *err)
{
    dnnl_primitive_attr_t attr = NULL;
    if (k->type == dnnl_s8)
        return ngi_onednn_int8(k, step, err);
    ng_status status = ngi_onednn_status(make_attr(k, &attr), "attributes", err);
    if (status == NG_OK) {
        if (step->op == NGI_OP_DENSE)
            status = ngi_onednn_dense(k, step, attr, err);
        else
            status = ngi_onednn_conv(k, step, attr, err);
    }
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static void set_counts(ngi_onednn_kernel *k)
{
    k->forward.in_count = k->backward.out_count = ngi_shape_count(k->step.in_shape[0]);
    k->forward.out_count = k->backward.in_count = ngi_shape_count(k->step.out_shape);
}

/* The passes pack their weights when they are made; making a primitive again costs oneDNN a look-up. */
static ng_status update(ngi_kernel *kernel, const float *weights, const float *bias, ng_error *err)
{
    ngi_onednn_kernel *k = kernel->state;
    bool in_place = !k->forward.apart && !(k->backward.main.desc && k->backward.apart);
    if (in_place)
        return NG_OK;
    ngi_onednn_kernel fresh = *k;
    fresh.forward = fresh.backward = (ngi_pass){0};
    fresh.step.kernel = weights;
    fresh.step.bias = bias;
    ngi_onednn_turn turn = ngi_onednn_enter(k->threads);
    ng_status status = make_passes(&fresh, &fresh.step, err);
    ngi_onednn_leave(&turn);
    if (status != NG_OK) {
        ngi_pass_clear(&fresh.forward);
        ngi_pass_clear(&fresh.backward);
        return status;
    }
    set_counts(&fresh);
    ngi_pass_clear(&k->forward);
    ngi_pass_clear(&k->backward);
    *k = fresh;
    return NG_OK;
}

static bool is_ours(const ngi_step *step)
{
    int64_t in, out;
    switch (step->op) {
    case NGI_OP_CONV2D:
    case NGI_OP_DEPTHWISE:
    case NGI_OP_DENSE:
    case NGI_OP_MAX_POOL:
    case NGI_OP_AVG_POOL:
        in = ngi_shape_count(step->in_shape[0]);
        out = ngi_shape_count(step->out_shape);
        return in > 0 && in <= MAX_FLOATS && out > 0 && out <= MAX_FLOATS;
    default:
        return false;
    }
}

static void describe(const ngi_onednn_kernel *k, char *name, size_t size)
{
    const char *ahead = ngi_dnnl_name(k->forward.main.desc);
    const char *back = k->backward.main.desc ? ngi_dnnl_name(k->backward.main.desc) : ahead;
    const char *numbers = k->type == dnnl_bf16 ? "bf16 " : k->type == dnnl_s8 ? "int8 " : "";
    if (strcmp(ahead, back) == 0)
        snprintf(name, size, "%s%s", numbers, ahead);
    else
        snprintf(name, size, "%s, back %s", ahead, back);
}

static size_t at_least(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t floats_rounded(int64_t count)
{
    return ngi_onednn_round_up((size_t)count * sizeof(float));
}

static void fill(ngi_onednn_kernel *k, const ngi_step *step, ngi_kernel *out)
{
    *out = (ngi_kernel){
        .state = k, .forward = forward, .update = update, .destroy = destroy, .scratch = k->forward.scratch};
    if (step->backward) {
        out->backward = backward;
        k->at_grad = at_least(out->scratch, k->backward.scratch);
        k->at_result = k->at_grad + (k->has_act ? floats_rounded(k->forward.out_count) : 0);
        out->scratch = k->at_result + floats_rounded(k->forward.in_count);
    }
    out->packed = k->forward.apart && (!k->backward.main.desc || k->backward.apart);
    describe(k, out->name, sizeof out->name);
}

static ng_status prepare_as(const ngi_step *step, dnnl_data_type_t type, int threads, ngi_kernel *out,
                            ng_error *err)
{
    threads = threads > 0 ? threads : 1;
    if (!is_ours(step) || step->pool)
        return NG_E_UNSUPPORTED;
    if (step->op == NGI_OP_MAX_POOL || step->op == NGI_OP_AVG_POOL)
        return ngi_onednn_pool(step, threads, out, err);
    if (!ngi_onednn_engine())
        return NG_E_UNSUPPORTED;
    ngi_onednn_kernel *k = ngi_alloc_zero(1, sizeof *k);
    if (!k)
        return ngi_fail_memory(err, sizeof *k);
    k->node = step->graph->nodes[step->node].name;
    k->step = *step;
    k->step.packing = NULL;
    k->threads = threads;
    k->type = type;
    k->has_act = step->has_act && step->act.kind != NGI_ACT_LINEAR;
    k->act = step->act;
    ngi_onednn_turn turn = ngi_onednn_enter(k->threads);
    ng_status status = make_passes(k, step, err);
    ngi_onednn_leave(&turn);
    if (status != NG_OK) {
        ngi_kernel failed = {.state = k};
        destroy(&failed);
        return status;
    }
    set_counts(k);
    fill(k, step, out);
    return NG_OK;
}

static ng_status prepare(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    (void)batch; /* kernels run image by image, see pass.h */
    return prepare_as(step, dnnl_f32, threads, out, err);
}

/* Convolutions of shorter numbers, of which no gradient is wanted; all else is left to the back ends behind. */
static bool can_be_short(const ngi_step *step)
{
    return step->op == NGI_OP_CONV2D && !step->backward && !step->trains_kernel && !step->trains_bias;
}

static ng_status prepare_bf16(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    (void)batch;
    return can_be_short(step) ? prepare_as(step, dnnl_bf16, threads, out, err) : NG_E_UNSUPPORTED;
}

static ng_status prepare_int8(const ngi_step *step, int batch, int threads, ngi_kernel *out, ng_error *err)
{
    (void)batch;
    return can_be_short(step) ? prepare_as(step, dnnl_s8, threads, out, err) : NG_E_UNSUPPORTED;
}

/* ---- Sessions -------------------------------------------------------------------------------- */

static ng_status context_create(int threads, void **out, ng_error *err)
{
    (void)threads;
    dnnl_stream_t stream = NULL;
    dnnl_engine_t engine = ngi_onednn_engine();
    if (!engine)
        return ngi_fail(err, NG_E_INTERNAL, "oneDNN: no engine for this processor");
    dnnl_status_t status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (status != dnnl_success)
        return ngi_fail(err, status == dnnl_out_of_memory ? NG_E_MEMORY : NG_E_INTERNAL,
                        "oneDNN: no stream, status %d", (int)status);
    *out = stream;
    return NG_OK;
}

static void context_free(void *context)
{
    if (context)
        dnnl_stream_destroy(context);
}

const ngi_backend ngi_backend_onednn = {.name = "onednn",
                                        .prepare = prepare,
                                        .prepare_trainer = ngi_onednn_prepare_trainer,
                                        .context_create = context_create,
                                        .context_free = context_free};
/* Beyond AVX2, which has neither kind of numbers. */
static bool has_short(void)
{
    return (unsigned)dnnl_get_effective_cpu_isa() > (unsigned)dnnl_cpu_isa_avx2;
}

const ngi_backend ngi_backend_onednn_bf16 = {.name = "bf16",
                                             .usable = has_short,
                                             .prepare = prepare_bf16,
                                             .context_create = context_create,
                                             .context_free = context_free};
const ngi_backend ngi_backend_onednn_int8 = {.name = "onednn int8",
                                             .usable = has_short,
                                             .prepare = prepare_int8,
                                             .context_create = context_create,
                                             .context_free = context_free};
