/* AVX2 and FMA: 6 rows x 16 channels in 12 of 16 registers. Built with -mavx2 -mfma. */
#if defined(__AVX2__)
#define LANES 8
#define ROWS  6
#define NAME  "avx2"
#define ISA   ngi_native_isa_avx2
#include "exec/native/kernels.inc.h"
#else
typedef int ngi_native_no_avx2;
#endif
