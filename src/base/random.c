#include "base/random.h"

#include <math.h>

#define ROUNDS 10

void ngi_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Two 64-bit words for one index. */
static void draw(uint64_t seed, uint64_t stream, uint64_t index, uint64_t out[2])
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t words[4];
    ngi_philox(counter, key, words);
    out[0] = (uint64_t)words[1] << 32 | words[0];
    out[1] = (uint64_t)words[3] << 32 | words[2];
}

static double unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

uint64_t ngi_random_bits(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t words[2];
    draw(seed, stream, index, words);
    return words[0];
}

double ngi_random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return unit(ngi_random_bits(seed, stream, index));
}

double ngi_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t words[2];
    draw(seed, stream, index, words);
    double radius = sqrt(-2 * log(1 - unit(words[0]))); /* 1 - [0,1) is never 0 */
    return radius * cos(2 * 3.14159265358979323846 * unit(words[1]));
}
