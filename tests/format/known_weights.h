/* The weights of the fixtures in tests/fixtures/h5: make_h5_fixtures.py gives number i of the weight at
 * `path` the value (crc32(path) % span + i % 97) / 512. */
#ifndef NETGAZE_TESTS_KNOWN_WEIGHTS_H
#define NETGAZE_TESTS_KNOWN_WEIGHTS_H

#include "check.h"

#include "format/format.h"

static inline uint32_t crc32_of(const char *text)
{
    uint32_t crc = ~0u;
    for (; *text; text++) {
        crc ^= (unsigned char)*text;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & -(crc & 1));
    }
    return ~crc;
}

/* Fails the test at the first number that is another one. */
static inline void check_known_weights(const ngi_graph *g, uint32_t span)
{
    for (int i = 0; i < g->n_weights; i++) {
        const ngi_weight *w = &g->weights[i];
        char name[512];
        snprintf(name, sizeof name, "%s", w->name);
        char *depthwise = strstr(name, "depthwise_kernel");
        if (depthwise) /* the script calls it as Keras 3 does */
            memmove(depthwise, depthwise + 10, strlen(depthwise + 10) + 1);
        uint32_t first = crc32_of(name) % span;
        for (int64_t k = 0; k < ngi_shape_count(&w->shape); k++)
            if (!(w->data[k] == (float)((first + (uint32_t)(k % 97)) / 512.0)))
                fail_msg("%s[%lld] is %g, expected %g", w->name, (long long)k, w->data[k],
                         (first + (uint32_t)(k % 97)) / 512.0);
    }
}

#endif
