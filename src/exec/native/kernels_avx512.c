/* AVX-512: 12 rows x 32 channels in 24 of 32 registers. Built with -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma. */
#if defined(__AVX512F__)
#define LANES 16
#define ROWS  12
#define NAME  "avx512"
#define ISA   ngi_native_isa_avx512
#include "exec/native/kernels.inc.h"
#else
typedef int ngi_native_no_avx512;
#endif
