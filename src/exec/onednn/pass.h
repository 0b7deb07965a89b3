/* One primitive with one tensor in and one out, and optional weights and bias: the form of everything
 * this back end runs (convolution, matrix product; forward and backward to the data).
 *
 * A pass belongs to the plan and is read only once made: primitives use the caller's scratch memory, and
 * memory objects for activations are made for each run, so sessions may run it at the same time. It is
 * made for one image and repeated over a batch: oneDNN gains nothing from a batch on convolutions, and
 * this way an image's result does not depend on its company. */
#ifndef NGI_ONEDNN_PASS_H
#define NGI_ONEDNN_PASS_H

#include "base/pack.h"
#include "exec/onednn/dnnl_api.h"

typedef struct ngi_prim {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    size_t scratchpad; /* bytes */
} ngi_prim;

typedef struct ngi_pass {
    ngi_md in, out;              /* one image as the executor holds it: channels last */
    int64_t in_count, out_count; /* floats of one image */
    int arg_in, arg_out;         /* DNNL_ARG_SRC and _DST, or _DIFF_DST and _DIFF_SRC */
    ngi_prim main;
    ngi_prim reorder_in, reorder_out; /* NULL where `main` takes channels last */
    size_t blocked_in, blocked_out;   /* bytes of the reordered tensors; 0 without a reorder */
    dnnl_memory_t weights, bias;      /* NULL: none */
    /* Of a pass on 8-bit numbers: its input is rounded to them in scratch. */
    float quantizes;           /* levels a unit: in 0..255, or, where it is negative, in -127..127. 0: none */
    dnnl_memory_t operands[2]; /* [n_operands] of the primitive's binary post-ops */
    int n_operands;
    bool apart;     /* the weights are in oneDNN's own order, not used in place */
    void *packed;   /* they, if they are this pass's own: NULL where they are borrowed from a pack */
    size_t scratch; /* bytes wanted by ngi_pass_run */
} ngi_pass;

/* oneDNN's one engine of this process; NULL if it cannot be made. */
dnnl_engine_t ngi_onednn_engine(void);
/* Bytes up to a whole number of 64-byte lines. */
size_t ngi_onednn_round_up(size_t bytes);
/* NG_E_UNSUPPORTED (err untouched) where oneDNN has no kernel, NG_E_MEMORY, else NG_E_INTERNAL. */
ng_status ngi_onednn_status(dnnl_status_t status, const char *what, ng_error *err);
/* Attributes of every primitive here: the scratch memory is the caller's. */
dnnl_status_t ngi_onednn_attr(dnnl_primitive_attr_t *out);

/* Whether the implementation is an unoptimised one, hundreds of times slower than the others. */
bool ngi_prim_is_reference(const_dnnl_primitive_desc_t desc);

/* What a pass multiplies with; NULLs where there is none. */
typedef struct ngi_pass_weights {
    const ngi_md *plain;                            /* describes `weights`; NULL: there are none */
    const void *weights;                            /* NULL: to be made, or found in the packing */
    void *(*make)(const void *self, ng_error *err); /* makes them (ngi_free), NULL out of memory; or NULL */
    const void *self;
    ngi_packing *packing;
    const char *tag; /* tells the passes of a step apart */
    bool lasting;    /* they outlive the pass and may be used in place */
    const ngi_md *bias_md;
    const float *bias; /* always used in place */
} ngi_pass_weights;

/* Completes a pass whose in, out, args and main.desc are set: makes the primitives, packs the weights. */
/* NG_E_NOT_FOUND (quietly): the weights are neither given nor in the packing. */
NG_NODISCARD ng_status ngi_pass_finish(ngi_pass *pass, const ngi_pass_weights *weights, ng_error *err);
void ngi_pass_clear(ngi_pass *pass);

/* in: n images, out: n images, scratch: >= pass->scratch bytes, 64-byte aligned. */
dnnl_status_t ngi_pass_run(const ngi_pass *pass, dnnl_stream_t stream, const float *in, float *out, int n,
                           void *scratch);

#endif
