/* See pass.h. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/processor.h"
#include "exec/onednn/kernel.h"

#define ALIGNMENT 64
#define MAX_ARGS  7

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine_of_process;

/* Leaves the function with the status of a failed oneDNN call. */
#define DNNL_TRY(call)                          \
    do {                                        \
        dnnl_status_t dnnl_try_status = (call); \
        if (dnnl_try_status != dnnl_success)    \
            return dnnl_try_status;             \
    } while (0)

static void create_engine(void)
{
    if (dnnl_engine_create(&engine_of_process, dnnl_cpu, 0) != dnnl_success)
        engine_of_process = NULL;
}

dnnl_engine_t ngi_onednn_engine(void)
{
    pthread_once(&engine_once, create_engine);
    return engine_of_process;
}

ng_status ngi_onednn_status(dnnl_status_t status, const char *what, ng_error *err)
{
    switch (status) {
    case dnnl_success:
        return NG_OK;
    case dnnl_unimplemented:
    case dnnl_invalid_arguments:
        return NG_E_UNSUPPORTED;
    case dnnl_out_of_memory:
        return ngi_fail(err, NG_E_MEMORY, "oneDNN: %s: out of memory", what);
    default:
        return ngi_fail(err, NG_E_INTERNAL, "oneDNN: %s: expected success, found status %d", what,
                        (int)status);
    }
}

dnnl_status_t ngi_onednn_attr(dnnl_primitive_attr_t *out)
{
    DNNL_TRY(dnnl_primitive_attr_create(out));
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status != dnnl_success) {
        dnnl_primitive_attr_destroy(*out);
        *out = NULL;
    }
    return status;
}

bool ngi_prim_is_reference(const_dnnl_primitive_desc_t desc)
{
    return strstr(ngi_dnnl_name(desc), "ref") != NULL;
}

/* ---- Making ---------------------------------------------------------------------------------- */

size_t ngi_onednn_round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static ngi_md_view md_of(const ngi_prim *prim, int arg)
{
    dnnl_query_t query = arg == DNNL_ARG_SRC          ? dnnl_query_src_md
                         : arg == DNNL_ARG_DST        ? dnnl_query_dst_md
                         : arg == DNNL_ARG_DIFF_SRC   ? dnnl_query_diff_src_md
                         : arg == DNNL_ARG_DIFF_DST   ? dnnl_query_diff_dst_md
                         : arg == DNNL_ARG_SCRATCHPAD ? dnnl_query_scratchpad_md
                                                      : dnnl_query_weights_md;
    return dnnl_primitive_desc_query_md(prim->desc, query, 0);
}

ngi_md_view ngi_prim_md(const ngi_prim *prim, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(prim->desc, what, 0);
}

dnnl_status_t ngi_prim_finish(ngi_prim *prim)
{
    ngi_md_view pad = md_of(prim, DNNL_ARG_SCRATCHPAD);
    prim->scratchpad = pad ? dnnl_memory_desc_get_size(pad) : 0;
    return dnnl_primitive_create(&prim->primitive, prim->desc);
}

void ngi_prim_clear(ngi_prim *prim)
{
    if (prim->primitive)
        dnnl_primitive_destroy(prim->primitive);
    if (prim->desc)
        dnnl_primitive_desc_destroy(prim->desc);
    *prim = (ngi_prim){0};
}

dnnl_status_t ngi_prim_reorder(ngi_prim *prim, ngi_md_view from, ngi_md_view to)
{
    dnnl_engine_t engine = ngi_onednn_engine();
    dnnl_primitive_attr_t attr;
    DNNL_TRY(ngi_onednn_attr(&attr));
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&prim->desc, from, engine, to, engine, attr);
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success ? ngi_prim_finish(prim) : status;
}

dnnl_status_t ngi_prim_run(const ngi_prim *prim, dnnl_stream_t stream, const dnnl_exec_arg_t *list,
                           int n_args, void *scratchpad)
{
    dnnl_memory_t pad = NULL;
    dnnl_exec_arg_t args[MAX_ARGS + 1];
    memcpy(args, list, (size_t)n_args * sizeof *args);
    if (prim->scratchpad > 0) {
        DNNL_TRY(dnnl_memory_create(&pad, md_of(prim, DNNL_ARG_SCRATCHPAD), ngi_onednn_engine(), scratchpad));
        args[n_args++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, pad};
    }
    dnnl_status_t status = dnnl_primitive_execute(prim->primitive, stream, n_args, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    if (pad)
        dnnl_memory_destroy(pad);
    return status;
}

/* Writes the weights in the order the primitive wants, once. */
static dnnl_status_t pack(dnnl_memory_t from, dnnl_memory_t to, ngi_md_view from_md, ngi_md_view to_md)
{
    ngi_prim reorder = {0};
    dnnl_stream_t stream = NULL;
    void *pad = NULL;
    dnnl_status_t status = ngi_prim_reorder(&reorder, from_md, to_md);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, ngi_onednn_engine(), dnnl_stream_default_flags);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[MAX_ARGS + 1] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
        pad = ngi_alloc_aligned(reorder.scratchpad);
        status = pad ? ngi_prim_run(&reorder, stream, args, 2, pad) : dnnl_out_of_memory;
    }
    ngi_free_aligned(pad);
    if (stream)
        dnnl_stream_destroy(stream);
    ngi_prim_clear(&reorder);
    return status;
}

/* oneDNN's memory object takes no const pointer; weights are only read. */
static dnnl_status_t weight_memory(dnnl_memory_t *out, ngi_md_view md, const void *weights)
{
    return dnnl_memory_create(out, md, ngi_onednn_engine(), (void *)weights);
}

static dnnl_status_t pack_weights(ngi_pass *pass, const ngi_md *plain, const void *weights)
{
    ngi_md_view wanted = md_of(&pass->main, DNNL_ARG_WEIGHTS);
    dnnl_memory_t source = NULL;
    DNNL_TRY(weight_memory(&source, ngi_md_get(plain), weights));
    pass->packed = ngi_alloc_aligned(dnnl_memory_desc_get_size(wanted));
    dnnl_status_t status = pass->packed ? dnnl_success : dnnl_out_of_memory;
    if (status == dnnl_success)
        status = weight_memory(&pass->weights, wanted, pass->packed);
    if (status == dnnl_success)
        status = pack(source, pass->weights, ngi_md_get(plain), wanted);
    dnnl_memory_destroy(source);
    return status;
}

/* From the packing, else packed now and left there. */
static ng_status find_or_pack(ngi_pass *pass, const ngi_pass_weights *w, ng_error *err)
{
    ngi_md_view wanted = md_of(&pass->main, DNNL_ARG_WEIGHTS);
    size_t size = dnnl_memory_desc_get_size(wanted);
    char tag[160];
    snprintf(tag, sizeof tag, "%s %s", w->tag ? w->tag : "", ngi_dnnl_name(pass->main.desc));
    pass->apart = true;
    const void *found = ngi_packing_find(w->packing, tag, size);
    if (found)
        return ngi_onednn_status(weight_memory(&pass->weights, wanted, found), "weights", err);
    if (!w->weights && !w->make)
        return NG_E_NOT_FOUND;
    void *made = w->weights ? NULL : w->make(w->self, err);
    if (!w->weights && !made)
        return NG_E_MEMORY;
    dnnl_status_t status = pack_weights(pass, w->plain, w->weights ? w->weights : made);
    ngi_free(made);
    if (status == dnnl_success)
        ngi_packing_keep(w->packing, tag, pass->packed, size);
    return ngi_onednn_status(status, "weights", err);
}

static ng_status set_weights(ngi_pass *pass, const ngi_pass_weights *w, ng_error *err)
{
    ngi_md_view wanted = md_of(&pass->main, DNNL_ARG_WEIGHTS);
    if (!w->lasting || !dnnl_memory_desc_equal(ngi_md_get(w->plain), wanted))
        return find_or_pack(pass, w, err);
    if (!w->weights)
        return NG_E_NOT_FOUND;
    return ngi_onednn_status(weight_memory(&pass->weights, ngi_md_get(w->plain), w->weights), "weights", err);
}

static dnnl_status_t set_reorders(ngi_pass *pass)
{
    ngi_md_view in = md_of(&pass->main, pass->arg_in), out = md_of(&pass->main, pass->arg_out);
    if (pass->quantizes != 0) {
        pass->blocked_in = ngi_onednn_round_up(dnnl_memory_desc_get_size(in));
    } else if (!dnnl_memory_desc_equal(in, ngi_md_get(&pass->in))) {
        DNNL_TRY(ngi_prim_reorder(&pass->reorder_in, ngi_md_get(&pass->in), in));
        pass->blocked_in = ngi_onednn_round_up(dnnl_memory_desc_get_size(in));
    }
    if (!dnnl_memory_desc_equal(out, ngi_md_get(&pass->out))) {
        DNNL_TRY(ngi_prim_reorder(&pass->reorder_out, out, ngi_md_get(&pass->out)));
        pass->blocked_out = ngi_onednn_round_up(dnnl_memory_desc_get_size(out));
    }
    return dnnl_success;
}

ng_status ngi_pass_finish(ngi_pass *pass, const ngi_pass_weights *w, ng_error *err)
{
    dnnl_status_t status = ngi_prim_finish(&pass->main);
    if (status == dnnl_success)
        status = set_reorders(pass);
    if (status == dnnl_success && w->bias)
        status =
            dnnl_memory_create(&pass->bias, ngi_md_get(w->bias_md), ngi_onednn_engine(), (void *)w->bias);
    if (status != dnnl_success)
        return ngi_onednn_status(status, ngi_dnnl_name(pass->main.desc), err);
    if (w->plain)
        NGI_TRY(set_weights(pass, w, err));
    size_t pad = pass->main.scratchpad;
    pad = pass->reorder_in.scratchpad > pad ? pass->reorder_in.scratchpad : pad;
    pad = pass->reorder_out.scratchpad > pad ? pass->reorder_out.scratchpad : pad;
    pass->scratch = pass->blocked_in + pass->blocked_out + ngi_onednn_round_up(pad);
    return NG_OK;
}

void ngi_pass_clear(ngi_pass *pass)
{
    if (pass->weights)
        dnnl_memory_destroy(pass->weights);
    if (pass->bias)
        dnnl_memory_destroy(pass->bias);
    for (int i = 0; i < pass->n_operands; i++)
        dnnl_memory_destroy(pass->operands[i]);
    ngi_free_aligned(pass->packed);
    ngi_prim_clear(&pass->reorder_in);
    ngi_prim_clear(&pass->reorder_out);
    ngi_prim_clear(&pass->main);
    ngi_md_clear(&pass->in);
    ngi_md_clear(&pass->out);
    *pass = (ngi_pass){0};
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The memory objects of one run: plain (the executor's) and blocked (in scratch; else NULL). */
typedef struct run_memory {
    dnnl_memory_t in, out, blocked_in, blocked_out;
} run_memory;

static void memory_clear(run_memory *m)
{
    dnnl_memory_t all[] = {m->in, m->out, m->blocked_in, m->blocked_out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            dnnl_memory_destroy(all[i]);
}

static dnnl_status_t memory_create(const ngi_pass *pass, const float *in, float *out, void *scratch,
                                   run_memory *m)
{
    dnnl_engine_t engine = ngi_onednn_engine();
    char *at = scratch;
    void *from = pass->quantizes != 0 ? scratch : (void *)in;
    DNNL_TRY(dnnl_memory_create(&m->in, ngi_md_get(&pass->in), engine, from));
    DNNL_TRY(dnnl_memory_create(&m->out, ngi_md_get(&pass->out), engine, out));
    if (pass->reorder_in.primitive)
        DNNL_TRY(dnnl_memory_create(&m->blocked_in, md_of(&pass->main, pass->arg_in), engine, at));
    if (pass->reorder_out.primitive)
        DNNL_TRY(dnnl_memory_create(&m->blocked_out, md_of(&pass->main, pass->arg_out), engine,
                                    at + pass->blocked_in));
    return dnnl_success;
}

static dnnl_status_t run_image(const ngi_pass *pass, dnnl_stream_t stream, const run_memory *m, void *pad)
{
    if (m->blocked_in) {
        dnnl_exec_arg_t args[MAX_ARGS + 1] = {{DNNL_ARG_FROM, m->in}, {DNNL_ARG_TO, m->blocked_in}};
        DNNL_TRY(ngi_prim_run(&pass->reorder_in, stream, args, 2, pad));
    }
    dnnl_exec_arg_t args[MAX_ARGS + 1] = {{pass->arg_in, m->blocked_in ? m->blocked_in : m->in},
                                          {pass->arg_out, m->blocked_out ? m->blocked_out : m->out}};
    int n_args = 2;
    if (pass->weights)
        args[n_args++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, pass->weights};
    if (pass->bias)
        args[n_args++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, pass->bias};
    for (int i = 0; i < pass->n_operands; i++)
        args[n_args++] =
            (dnnl_exec_arg_t){DNNL_ARG_ATTR_MULTIPLE_POST_OP(i) | DNNL_ARG_SRC_1, pass->operands[i]};
    DNNL_TRY(ngi_prim_run(&pass->main, stream, args, n_args, pad));
    if (m->blocked_out) {
        dnnl_exec_arg_t back[MAX_ARGS + 1] = {{DNNL_ARG_FROM, m->blocked_out}, {DNNL_ARG_TO, m->out}};
        DNNL_TRY(ngi_prim_run(&pass->reorder_out, stream, back, 2, pad));
    }
    return dnnl_success;
}

/* The loops below are a sixth of an 8-bit network's time as plain x86-64 code. */

/* The nearest levels; what is beyond the calibrated range is cut off, and what is no number is 0. */
NGI_BY_PROCESSOR static void to_u8(const float *x, int64_t n, float levels, uint8_t *q)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * levels + 0.5f;
        v = v > 0 ? v : 0;
        q[i] = (uint8_t)(int)(v < 255 ? v : 255);
    }
}

NGI_BY_PROCESSOR static void to_s8(const float *x, int64_t n, float levels, int8_t *q)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * levels + 127.5f; /* 127 above, so that cutting digits off rounds */
        v = v > 0 ? v : 0;
        q[i] = (int8_t)((int)(v < 254 ? v : 254) - 127);
    }
}

static void quantize(const float *x, int64_t n, float levels, void *out)
{
    if (levels > 0)
        to_u8(x, n, levels, out);
    else
        to_s8(x, n, -levels, out);
}

dnnl_status_t ngi_pass_run(const ngi_pass *pass, dnnl_stream_t stream, const float *in, float *out, int n,
                           void *scratch)
{
    run_memory m = {0};
    void *pad = (char *)scratch + pass->blocked_in + pass->blocked_out;
    dnnl_status_t status = memory_create(pass, in, out, scratch, &m);
    for (int i = 0; i < n && status == dnnl_success; i++) {
        const float *image = in + i * pass->in_count;
        if (pass->quantizes != 0)
            quantize(image, pass->in_count, pass->quantizes, scratch);
        if (i > 0) {
            if (pass->quantizes == 0)
                status = dnnl_memory_set_data_handle(m.in, (void *)image);
            if (status == dnnl_success)
                status = dnnl_memory_set_data_handle(m.out, out + i * pass->out_count);
        }
        if (status == dnnl_success)
            status = run_image(pass, stream, &m, pad);
    }
    memory_clear(&m);
    return status;
}
