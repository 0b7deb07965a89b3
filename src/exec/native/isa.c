/* Which of the compiled instruction sets this CPU runs. NETGAZE_MAX_ISA=avx2|plain holds the choice down, as
 * ONEDNN_MAX_CPU_ISA does for oneDNN: for measuring and for tests. */
#include "exec/native/native.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

extern const ngi_native_isa ngi_native_isa_avx512, ngi_native_isa_avx2, ngi_native_isa_plain;

#if defined(__x86_64__)
static const ngi_native_isa *const with_avx512[] = {&ngi_native_isa_avx512, &ngi_native_isa_avx2,
                                                    &ngi_native_isa_plain, NULL};
static const ngi_native_isa *const with_avx2[] = {&ngi_native_isa_avx2, &ngi_native_isa_plain, NULL};
#endif
static const ngi_native_isa *const without[] = {&ngi_native_isa_plain, NULL};

const ngi_native_isa *const *ngi_native_isa_all(void)
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

bool ngi_native_has_amx(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d; /* not all compilers know its name in __builtin_cpu_supports */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1);
#else
    return false;
#endif
}

const char *ngi_native_isa_name(void)
{
    return ngi_native_isa_best()->name;
}

const ngi_native_isa *ngi_native_isa_best(void)
{
    const ngi_native_isa *const *all = ngi_native_isa_all();
    const char *limit = getenv("NETGAZE_MAX_ISA");
    for (int i = 0; limit && all[i]; i++)
        if (strcmp(all[i]->name, limit) == 0)
            return all[i];
    return all[0];
}
