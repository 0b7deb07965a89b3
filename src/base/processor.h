/* Functions in several versions, of which the processor chooses when the program starts. */
#ifndef NGI_BASE_PROCESSOR_H
#define NGI_BASE_PROCESSOR_H

/* Plain loops in the registers that there are. Every version gives the same bytes, for nothing is fused (-ffp-contract=off). The
 * thread sanitizer is not up yet when the program's start chooses one. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define NGI_BY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define NGI_BY_PROCESSOR
#endif

#endif
