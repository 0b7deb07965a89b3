/* The back ends by name, and what an op's backward needs of the forward. */
#include "exec/exec.h"

#include <string.h>

static const ngi_backend *const with_native[] = {&ngi_backend_native, &ngi_backend_onednn, &ngi_backend_ref,
                                                 NULL};
static const ngi_backend *const with_onednn[] = {&ngi_backend_onednn, &ngi_backend_ref, NULL};
static const ngi_backend *const with_ref[] = {&ngi_backend_ref, NULL};

static const ngi_backend *const with_bf16[] = {&ngi_backend_native_2d, &ngi_backend_onednn_bf16,
                                               &ngi_backend_native,    &ngi_backend_onednn,
                                               &ngi_backend_ref,       NULL};
static const ngi_backend *const with_int8[] = {&ngi_backend_int8,   &ngi_backend_onednn_int8,
                                               &ngi_backend_native, &ngi_backend_onednn,
                                               &ngi_backend_ref,    NULL};

static const struct {
    const char *name;
    const ngi_backend *const *list;
} lists[] = {{"auto", with_native},
             {"onednn", with_onednn},
             {"ref", with_ref},
             {"bf16", with_bf16},
             {"int8", with_int8}};

const ngi_backend *const *ngi_backends_find(const char *name, ng_error *err)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i].name, name) == 0)
            return lists[i].list;
    (void)ngi_fail(err, NG_E_ARGUMENT, "back end '%s' is not known; expected auto, onednn, ref, bf16 or int8",
                   name);
    return NULL;
}

ngi_backward_reads ngi_op_backward_reads(ngi_op op)
{
    switch (op) {
    case NGI_OP_LAYERNORM:
    case NGI_OP_ACTIVATION:
    case NGI_OP_PRELU:
    case NGI_OP_MAX_POOL:
    case NGI_OP_MULTIPLY:
    case NGI_OP_DIVIDE:
        return (ngi_backward_reads){.in = true};
    case NGI_OP_SOFTMAX:
        return (ngi_backward_reads){.out = true};
    case NGI_OP_GLOBAL_MAX:
    case NGI_OP_MAXIMUM:
    case NGI_OP_MINIMUM:
        return (ngi_backward_reads){.in = true, .out = true};
    default:
        return (ngi_backward_reads){0};
    }
}
