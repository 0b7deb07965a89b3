/* Whether float32 overflowed on the threads that ran a network. The processor keeps a flag for that, which costs nothing to
 * set and which kernels of any library leave where it is. It tells of the only way in which not-a-number can arise inside
 * a network of finite weights and inputs: infinity less infinity, or times zero. Some kernels' relu makes 0 of it, so that
 * the scores would not show it. */
#include "exec/exec.h"

#include <fenv.h>

void ngi_overflow_clear(int threads)
{
#pragma omp parallel num_threads(threads) if (threads > 1)
    feclearexcept(FE_OVERFLOW);
}

bool ngi_overflow_seen(int threads)
{
    int seen = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : seen)
    seen |= fetestexcept(FE_OVERFLOW) != 0;
    return seen != 0;
}
