/* peak: what this processor can multiply and add in float32 on one core, in GFLOP/s, by instruction set: the bound of every
 * direct convolution. Independent sums in registers, nothing read from memory. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SUMS   12
#define ROUNDS 2000000L

typedef float vec4 __attribute__((vector_size(16)));
typedef float vec8 __attribute__((vector_size(32)));
typedef float vec16 __attribute__((vector_size(64)));

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Sums in registers; the result depends on all of them, so that none is left out. */
#define KERNEL(name, vec, features)                                                                          \
    __attribute__((target(features), optimize("fp-contract=fast"), noinline)) static float name(float start) \
    {                                                                                                        \
        vec sum[SUMS], factor = (vec){0} + 0.999f, term = (vec){0} + start;                                  \
        _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) sum[i] = term + (float)i;                    \
        for (long k = 0; k < ROUNDS; k++)                                                                    \
            _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) sum[i] = sum[i] * factor + term;         \
        vec all = {0};                                                                                       \
        _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) all += sum[i];                               \
        float result = 0;                                                                                    \
        for (size_t i = 0; i < sizeof all / sizeof result; i++)                                              \
            result += all[i];                                                                                \
        return result;                                                                                       \
    }

#if defined(__x86_64__)
KERNEL(peak_avx2, vec8, "avx2,fma")
KERNEL(peak_avx512, vec16, "avx512f,fma")
#elif defined(__aarch64__)
KERNEL(peak_neon, vec4, "+simd")
#endif

#if defined(__x86_64__) || defined(__aarch64__)
static void say(const char *name, float (*kernel)(float), int lanes)
{
    double best = 1e9;
    volatile float keep = 0;
    for (int i = 0; i < 7; i++) {
        double start = seconds();
        keep = keep + kernel(1e-6f);
        double time = seconds() - start;
        best = time < best ? time : best;
    }
    printf("%s,%.1f\n", name, 2.0 * lanes * SUMS * (double)ROUNDS / best / 1e9);
}
#endif

int main(void)
{
    printf("instructions,gflops_a_core\n");
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        say("avx2", peak_avx2, 8);
    if (__builtin_cpu_supports("avx512f"))
        say("avx512", peak_avx512, 16);
#elif defined(__aarch64__)
    say("neon", peak_neon, 4);
#else
    printf("# measured on x86-64 and aarch64 only\n");
#endif
    return 0;
}
