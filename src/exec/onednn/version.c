/* Which oneDNN runs, and with which instructions; for `netgaze doctor`. */
#include "exec/exec.h"

#include <stdio.h>

#include <oneapi/dnnl/dnnl.h>

const char *ngi_onednn_version(void)
{
    static _Thread_local char text[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

const char *ngi_onednn_isa(void)
{
    /* A set of bits: each level holds those below it. */
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    if (isa >= (unsigned)dnnl_cpu_isa_avx512_core_amx)
        return "avx512_core_amx";
    if (isa >= (unsigned)dnnl_cpu_isa_avx512_core_bf16)
        return "avx512_core_bf16";
    if (isa >= (unsigned)dnnl_cpu_isa_avx512_core_vnni)
        return "avx512_core_vnni";
    if (isa >= (unsigned)dnnl_cpu_isa_avx512_core)
        return "avx512_core";
    if (isa >= (unsigned)dnnl_cpu_isa_avx2)
        return "avx2";
    return isa >= (unsigned)dnnl_cpu_isa_avx ? "avx" : "sse41";
}
