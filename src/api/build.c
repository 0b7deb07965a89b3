/* What this build is made of and runs on. */
#include "api/api.h"

#include <stdio.h>
#include <string.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

/* "model name : ..." of /proc/cpuinfo; "unknown" elsewhere. */
static void read_cpu_name(char *text, size_t size)
{
    snprintf(text, size, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            const char *name = strchr(line, ':') + 1;
            name += strspn(name, " \t");
            snprintf(text, size, "%.*s", (int)strcspn(name, "\n"), name);
            break;
        }
    if (f)
        fclose(f);
}

static void read_features(char *text, size_t size)
{
    text[0] = '\0';
#if defined(__x86_64__) && defined(__GNUC__)
#define FEATURE(name)                 \
    if (__builtin_cpu_supports(name)) \
    snprintf(text + strlen(text), size - strlen(text), "%s%s", *text ? " " : "", name)
    FEATURE("sse4.2");
    FEATURE("avx");
    FEATURE("avx2");
    FEATURE("fma");
    FEATURE("avx512f");
    FEATURE("avx512bw");
    FEATURE("avx512vnni");
    FEATURE("avx512bf16");
#undef FEATURE
#else
    snprintf(text, size, "unknown");
#endif
}

void ng_build_describe(ng_build_info *out)
{
    static _Thread_local char cpu[256], features[256];
    read_cpu_name(cpu, sizeof cpu);
    read_features(features, sizeof features);
    *out = (ng_build_info){.version = ng_version(),
                           .compiler = COMPILER,
                           .build_type = NETGAZE_BUILD_TYPE,
                           .onednn = ngi_onednn_version(),
                           .vips = NETGAZE_VIPS,
                           .hdf5 = NETGAZE_HDF5,
                           .libzip = NETGAZE_LIBZIP,
                           .jansson = NETGAZE_JANSSON,
                           .cpu = cpu,
                           .cpu_features = features,
                           .isa = ngi_onednn_isa()};
}
