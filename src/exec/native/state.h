/* A step of the native back end: shared by backend.c (which steps it takes) and run.c (running them). */
#ifndef NGI_NATIVE_STATE_H
#define NGI_NATIVE_STATE_H

#include "exec/native/native.h"

/* One convolution of any kind; direct.isa and both others NULL: none. */
typedef struct ngi_native_conv {
    ngi_winograd *winograd;
    ngi_product *product;
    ngi_direct direct;
    int64_t h, w; /* of the output */
} ngi_native_conv;

typedef struct ngi_native_state {
    ngi_native_conv forward, backward; /* backward: none where no gradient is wanted */
    ngi_native_pool pool;              /* behind the forward, or alone; h 0: none */
    ngi_native_end then;               /* behind the pool */
    float *pool_bias;                  /* owned: then.bias */
    ngi_activation_attr act;
    bool has_act, clamp; /* clamp: the activation is done by the forward itself */
    int threads;
    int64_t in_count, out_count, out_pixels, in_c, out_c;
    int64_t h, w;                /* of the output */
    size_t at_pooled, at_joined; /* offsets in scratch: what is pooled, rows of it */
} ngi_native_state;

ng_status ngi_native_forward(const ngi_kernel *k, const ngi_run *run, ng_error *err);
ng_status ngi_native_backward(const ngi_kernel *k, const ngi_run *run, ng_error *err);
ngi_rect ngi_native_spread(const ngi_kernel *k, ngi_rect in);
ngi_rect ngi_native_reach(const ngi_kernel *k, ngi_rect *out);

#endif
