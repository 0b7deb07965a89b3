/* Four lanes: SSE2 on any x86-64, NEON on aarch64, plain code elsewhere. */
#define LANES 4
#define ROWS  6
#define NAME  "plain"
#define ISA   ngi_native_isa_plain
#include "exec/native/kernels.inc.h"
