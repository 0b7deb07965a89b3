/* Which of the compiled instruction sets this CPU runs. */
#include "exec/winograd/winograd.h"

extern const ngi_wino_isa ngi_wino_isa_avx512, ngi_wino_isa_avx2, ngi_wino_isa_plain;

#if defined(__x86_64__)
static const ngi_wino_isa *const with_avx512[] = {&ngi_wino_isa_avx512, &ngi_wino_isa_avx2, &ngi_wino_isa_plain, NULL};
static const ngi_wino_isa *const with_avx2[] = {&ngi_wino_isa_avx2, &ngi_wino_isa_plain, NULL};
#endif
static const ngi_wino_isa *const without[] = {&ngi_wino_isa_plain, NULL};

const ngi_wino_isa *const *ngi_wino_isa_all(void)
{
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return with_avx512;
    if (avx2)
        return with_avx2;
#endif
    return without;
}

const ngi_wino_isa *ngi_wino_isa_best(void)
{
    return ngi_wino_isa_all()[0];
}
