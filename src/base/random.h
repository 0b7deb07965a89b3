/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). A
 * number depends on seed, stream and index alone, so that results are the same for any number of threads. */
#ifndef NGI_RANDOM_H
#define NGI_RANDOM_H

#include <stdint.h>

/* Four words for one counter. */
void ngi_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
uint64_t ngi_random_bits(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0,1): 53 bits. */
double ngi_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);
/* Standard normal (Box and Muller). */
double ngi_random_normal(uint64_t seed, uint64_t stream, uint64_t index);

#endif
