/* Convolutions with strides and without padding: for each row of the output, panel and row of the kernel one matrix product
 * over kernel_w * in_c numbers, which follow each other in the input. */
#include "exec/native/native.h"
#include "exec/rect.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

static int64_t depth(const ngi_direct *c)
{
    return c->kernel_w * c->in_c;
}

size_t ngi_direct_weight_bytes(const ngi_direct *c)
{
    return (size_t)(c->kernel_h * depth(c) * c->out_c) * sizeof(float);
}

/* kernel [kh,kw,ic,oc] is [kh * depth][oc]. */
static void pack(const ngi_direct *c, const float *kernel, float *weights)
{
    int64_t panel = 2 * c->isa->lanes, rows = c->kernel_h * depth(c);
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1)
    for (int64_t p = 0; p < c->out_c / panel; p++)
        for (int64_t k = 0; k < rows; k++)
            memcpy(weights + (p * rows + k) * panel, kernel + k * c->out_c + p * panel,
                   (size_t)panel * sizeof(float));
}

void ngi_direct_clear(ngi_direct *c)
{
    ngi_free_aligned(c->owned);
    ngi_free_aligned(c->bias);
    c->owned = c->bias = NULL;
}

ng_status ngi_direct_init(ngi_direct *c, const float *kernel, const float *packed, const float *bias,
                          ng_error *err)
{
    size_t bytes = ngi_direct_weight_bytes(c), bias_bytes = (size_t)c->out_c * sizeof *bias;
    c->low = -INFINITY;
    c->high = INFINITY;
    c->bias = ngi_alloc_aligned(bias_bytes);
    c->owned = packed ? NULL : ngi_alloc_aligned(bytes);
    c->weights = packed ? packed : c->owned;
    if (!c->weights || !c->bias) {
        ngi_direct_clear(c);
        return ngi_fail_memory(err, bytes + bias_bytes);
    }
    memset(c->bias, 0, bias_bytes);
    if (bias)
        memcpy(c->bias, bias, bias_bytes);
    if (!packed)
        pack(c, kernel, c->owned);
    return NG_OK;
}

void ngi_direct_update(ngi_direct *c, const float *kernel, const float *bias)
{
    pack(c, kernel, c->owned);
    if (bias)
        memcpy(c->bias, bias, (size_t)c->out_c * sizeof *bias);
}

/* Of a thread: [out_w][panel] */
static int64_t room_floats(const ngi_direct *c)
{
    return c->out_w * 2 * c->isa->lanes;
}

size_t ngi_direct_scratch(const ngi_direct *c)
{
    return (size_t)(c->threads * room_floats(c)) * sizeof(float);
}

/* Outputs [x0,x1) of row oy. */
static void run_row(const ngi_direct *c, const float *in, int64_t panel_index, int64_t oy, int64_t x0,
                    int64_t x1, float *out, int64_t stride, float *room)
{
    int64_t panel = 2 * c->isa->lanes, k = depth(c), row = c->in_w * c->in_c;
    const float *w = c->weights + panel_index * c->kernel_h * k * panel;
    for (int64_t ky = 0; ky < c->kernel_h; ky++)
        c->isa->multiply(x1 - x0, k, in + (oy * c->stride_h + ky) * row + x0 * c->stride_w * c->in_c,
                         c->stride_w * c->in_c, w + ky * k * panel, room, ky > 0);
    out += oy * c->out_w * stride + panel_index * panel;
    for (int64_t x = x0; x < x1; x++) {
        const float *sums = room + (x - x0) * panel;
        c->isa->join(true, 1, &sums, panel, 1, c->bias + panel_index * panel, c->low, c->high,
                     out + x * stride);
    }
}

/* Rows of the output at a time, so that what they read stays in the second-level cache while all panels meet it. */
static int64_t choose_rows(const ngi_direct *c)
{
    long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    int64_t budget = (l2 >= 262144 ? l2 : 1048576) / 2;
    int64_t rows = budget / (c->stride_h * c->in_w * c->in_c * (int64_t)sizeof(float));
    return rows < 1 ? 1 : rows < c->out_h ? rows : c->out_h;
}

void ngi_direct_part(const ngi_direct *c, const float *in, ngi_rect part, float *out, int64_t stride,
                     void *scratch)
{
    int64_t panels = c->out_c / (2 * c->isa->lanes), take = choose_rows(c);
#pragma omp parallel num_threads(c->threads) if (c->threads > 1)
    {
        float *room = scratch;
#ifdef _OPENMP
        room += omp_get_thread_num() * room_floats(c);
#endif
        for (int64_t first = part.y0; first < part.y1; first += take) {
            int64_t end = first + take < part.y1 ? first + take : part.y1;
#pragma omp for collapse(2) schedule(static)
            for (int64_t p = 0; p < panels; p++)
                for (int64_t y = first; y < end; y++)
                    run_row(c, in, p, y, part.x0, part.x1, out, stride, room);
        }
    }
}

ngi_rect ngi_direct_reach(const ngi_direct *c, ngi_rect out)
{
    return (ngi_rect){out.y0 * c->stride_h, (out.y1 - 1) * c->stride_h + c->kernel_h, out.x0 * c->stride_w,
                      (out.x1 - 1) * c->stride_w + c->kernel_w};
}

ngi_rect ngi_direct_spread(const ngi_direct *c, ngi_rect in)
{
    ngi_window_axis(&in.y0, &in.y1, c->kernel_h, c->stride_h, 0, c->out_h);
    ngi_window_axis(&in.x0, &in.x1, c->kernel_w, c->stride_w, 0, c->out_w);
    return in;
}
