/* Convolutions and pools of 8-bit numbers (--precision int8), NHWC, on processors with AVX-512 VNNI.
 *
 * An activation x that is never negative is the byte q = x * levels, rounded to the nearest of 0..255; one that may be
 * negative is 128 + x * levels in 1..255. A weight is a whole number in -127..127 times its output channel's step; what is lost
 * in rounding one is added to the next (bytes_conv.c). Sums of products are exact in 32 bits:
 *
 *     out = clamp(sum(q * weight) * scale[oc] + bias[oc]),    scale[oc] = the weights' step / levels
 *
 * and leave as float32, or rounded to the bytes of who reads them, without lying in memory in between.
 *
 * 3x3 kernels of stride 1 take F(4x4,3x3), a quarter of the products, with 16-bit factors: the transform of bytes is exact
 * in 16 bits, and transformed weights are rounded to as many bits as 32-bit sums have room for (bytes_winograd.c). */
#ifndef NGI_NATIVE_BYTES_H
#define NGI_NATIVE_BYTES_H

#include "exec/native/native.h"

enum {
    NGI_BYTES_PANEL = 32,      /* output channels that are multiplied together */
    NGI_BYTES_FREQUENCIES = 36 /* of a tile of F(4x4,3x3) */
};

/* What becomes of a panel's sums: min(max(sum * scale + bias, low), high), as float32 or rounded to bytes. */
typedef struct ngi_bytes_end {
    const float *scale, *bias; /* [PANEL]; for bytes in their levels, as low and high */
    float low, high;           /* for bytes within 0..255 */
    bool bytes;
    int channels; /* of the panel, from 1 */
} ngi_bytes_end;

/* Pixels of one row against one panel: rows [rows] of `taps` times 4 * k4 bytes. */
typedef struct ngi_bytes_rows {
    int64_t rows, taps, k4;
    const uint8_t *in;
    int64_t lda, pitch;    /* bytes from pixel to pixel, and from one tap's bytes to the next's */
    const int8_t *weights; /* [taps * k4][PANEL][4]; [taps * k4][PANEL/2][4] where these are enough */
    const int8_t *ahead;   /* what will be read next: fetched meanwhile, `step` bytes at each of k4 */
    int64_t step;
    void *out; /* [rows] pixels, `stride` floats or bytes apart */
    int64_t stride;
} ngi_bytes_rows;

/* The arithmetic. */
typedef struct ngi_bytes_isa {
    const char *name;
    void (*product)(const ngi_bytes_rows *r, const ngi_bytes_end *end);
    /* out[rows][PANEL] = a[rows][2 * k2] (lda numbers apart) * b [k2][PANEL][2] * scale[PANEL] */
    void (*multiply)(int64_t rows, int64_t k2, const int16_t *a, int64_t lda, const int16_t *b,
                     const float *scale, float *out);
    /* A 6x6 tile at in, whose pixels are `channels` bytes (a multiple of 4) and rows `pitch` bytes apart, to
     * out[36][channels], `stride` numbers apart; reads and writes up to a multiple of 32 channels. */
    void (*input)(const uint8_t *in, int64_t channels, int64_t pitch, int16_t *out, int64_t stride);
    /* The way back: in[36][PANEL], `stride` numbers apart, to the 4x4 pixels of a tile, of which h x w are there; out's rows
     * are `pitch`, its pixels `step` floats or bytes apart. end->scale is not read. */
    void (*output)(const float *in, int64_t stride, const ngi_bytes_end *end, int h, int w, void *out,
                   int64_t pitch, int64_t step);
    /* q = min(max(x * levels, low), 255 - zero) + zero; what is no number becomes `low`. */
    void (*round)(const float *x, int64_t n, float levels, int zero, uint8_t *q);
    /* best = max(best, x) */
    void (*larger)(uint8_t *best, const uint8_t *x, int64_t n);
} ngi_bytes_isa;

/* NULL where the processor has none, or has better ones (AMX) that oneDNN uses. */
const ngi_bytes_isa *ngi_bytes_isa_best(void);

/* ---- The input ---------------------------------------------------------------------------------- */

/* An image as a convolution reads it: with its padding, channels rounded up to fours, as bytes. */
typedef struct ngi_bytes_stage {
    const ngi_bytes_isa *isa;
    int64_t h, w, c;   /* of the image */
    int64_t top, left; /* padding in front */
    int64_t staged_h, staged_w, staged_c;
    float levels; /* a unit */
    int zero;     /* the byte of 0: 0, or 128 where the input may be negative */
    bool bytes;   /* the image is of such bytes already */
    int threads;
} ngi_bytes_stage;

/* Whether the image can be read where it lies. */
bool ngi_bytes_staged(const ngi_bytes_stage *s);
size_t ngi_bytes_stage_size(const ngi_bytes_stage *s); /* bytes */
void ngi_bytes_stage_run(const ngi_bytes_stage *s, const void *in, uint8_t *out);

/* ---- Convolutions ------------------------------------------------------------------------------- */

typedef struct ngi_bytes_conv {
    const ngi_bytes_isa *isa;
    ngi_bytes_stage stage; /* staged_* are set by init */
    int64_t out_h, out_w, out_c;
    int kernel_h, kernel_w, stride_h, stride_w;
    bool flat; /* pixels of all rows follow each other in the input: one long row */
    bool winograd;
    int threads;
    const void *
        weights; /* direct: as ngi_bytes_rows has them, panel by panel; Winograd: [panels][36][c/2][PANEL][2] */
    void *owned;         /* NULL: the weights are borrowed */
    float *scale, *bias; /* [panels * PANEL]; Winograd: scale [panels][36][PANEL] */
    float low, high;
    bool bytes; /* what is written */
} ngi_bytes_conv;

/* Completes a *c whose isa, stage, sizes, threads, low, high and bytes are set; clears it on failure. `out_levels`: of what is
 * written as bytes, else 1. NG_E_NOT_FOUND as ngi_backend.prepare. */
ng_status ngi_bytes_conv_init(ngi_bytes_conv *c, const ngi_step *step, const float *bias, float out_levels,
                              ng_error *err);
void ngi_bytes_conv_clear(ngi_bytes_conv *c);
size_t ngi_bytes_conv_scratch(const ngi_bytes_conv *c);
/* One image. out: pixels `stride` floats or bytes apart. */
void ngi_bytes_conv_run(const ngi_bytes_conv *c, const void *in, void *out, int64_t stride, void *scratch);

/* Of output channels. */
int64_t ngi_bytes_panels(const ngi_bytes_conv *c);
/* Weights of an earlier plan, or room for them in c->owned. */
ng_status ngi_bytes_find_weights(ngi_bytes_conv *c, const ngi_step *step, const char *tag, size_t bytes,
                                 ng_error *err);
ngi_bytes_end ngi_bytes_end_of(const ngi_bytes_conv *c, int64_t panel);

/* bytes_winograd.c; `in` is staged. */
bool ngi_bytes_winograd_takes(const ngi_bytes_conv *c);
ng_status ngi_bytes_winograd_init(ngi_bytes_conv *c, const ngi_step *step, float out_levels, ng_error *err);
size_t ngi_bytes_winograd_scratch(const ngi_bytes_conv *c);
void ngi_bytes_winograd_run(const ngi_bytes_conv *c, const uint8_t *in, void *out, int64_t stride,
                            void *scratch);

#endif
