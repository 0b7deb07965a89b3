/* Running the native back end's steps: whole maps, or parts of them to the same bytes. */
#include "exec/native/state.h"
#include "exec/rect.h"

#include <string.h>

/* A part of one image, which `reach` has widened; `out` is the map's first pixel. */
static void conv_part(const ngi_native_conv *c, const float *in, ngi_rect part, float *out, int64_t stride,
                      void *scratch)
{
    if (c->winograd)
        ngi_winograd_part(c->winograd, in, part, out, 0, stride, false, scratch);
    else if (c->direct.isa)
        ngi_direct_part(&c->direct, in, part, out, stride, scratch);
    else
        ngi_product_part(c->product, c->w, part, in, out, stride);
}

static ngi_rect conv_reach(const ngi_native_conv *c, ngi_rect *out)
{
    return c->winograd     ? ngi_winograd_reach(c->winograd, out)
           : c->direct.isa ? ngi_direct_reach(&c->direct, *out)
                           : *out;
}

/* Rows of tiles of a 2-D transform, each pooled as soon as all rows of a window are there; the rows that the next
 * windows need stay. */
static void run_bands(const ngi_native_state *s, const float *in, ngi_rect part, float *out, int64_t stride,
                      char *scratch)
{
    const ngi_native_pool *p = &s->pool;
    const ngi_winograd *c = s->forward.winograd;
    float *room = (float *)(scratch + s->at_pooled);
    ngi_rect tiles = ngi_native_pool_reach(p, part); /* of the pool's input */
    (void)ngi_winograd_reach(c, &tiles);
    int64_t row = p->w * p->c, base = tiles.y0, done = tiles.y0; /* of the pool's input: in room, made */
    int64_t next = part.y0;                                      /* row of the result */
    while (next < part.y1) {
        int64_t first = next, y0, y1, end = done + ngi_winograd_band(c);
        end = end < tiles.y1 ? end : tiles.y1;
        ngi_winograd_part(c, in, (ngi_rect){done, end, tiles.x0, tiles.x1}, room + (done - base) * row, done,
                          p->c, false, scratch);
        done = end;
        for (; next < part.y1; next++) {
            ngi_native_pool_rows(p, next, &y0, &y1);
            if (y1 > done)
                break;
        }
        ngi_native_pool_part(p, room, base, (ngi_rect){first, next, part.x0, part.x1}, out, stride, &s->then,
                             scratch + s->at_joined);
        if (next < part.y1) {
            y0 = y0 < done ? y0 : done; /* windows may lie apart */
            memmove(room, room + (y0 - base) * row, (size_t)((done - y0) * row) * sizeof *room);
            base = y0;
        }
    }
}

static void run_pooled(const ngi_native_state *s, const float *in, ngi_rect part, float *out, int64_t stride,
                       char *scratch)
{
    const float *pooled = in;
    if (s->forward.winograd) {
        run_bands(s, in, part, out, stride, scratch);
        return;
    }
    if (s->forward.product) {
        float *room = (float *)(scratch + s->at_pooled);
        conv_part(&s->forward, in, ngi_native_pool_reach(&s->pool, part), room, s->pool.c, scratch);
        pooled = room;
    }
    ngi_native_pool_part(&s->pool, pooled, 0, part, out, stride, &s->then, scratch + s->at_joined);
}

ngi_rect ngi_native_reach(const ngi_kernel *k, ngi_rect *out)
{
    const ngi_native_state *s = k->state;
    if (!s->pool.h)
        return conv_reach(&s->forward, out);
    ngi_rect pooled = ngi_native_pool_reach(&s->pool, *out);
    return s->forward.winograd || s->forward.product ? conv_reach(&s->forward, &pooled) : pooled;
}

ngi_rect ngi_native_spread(const ngi_kernel *k, ngi_rect in)
{
    const ngi_native_state *s = k->state;
    if (s->forward.winograd)
        in = ngi_winograd_spread(s->forward.winograd, in);
    else if (s->forward.direct.isa)
        in = ngi_direct_spread(&s->forward.direct, in);
    return s->pool.h && !ngi_rect_empty(in) ? ngi_native_pool_spread(&s->pool, in) : in;
}

static void activate(const ngi_native_state *s, ngi_rect part, float *out, int64_t stride)
{
    for (int64_t y = part.y0; y < part.y1; y++)
        for (int64_t i = y * s->w + part.x0; i < y * s->w + part.x1; i++)
            ngi_activate(&s->act, out + i * stride, out + i * stride, s->out_c);
}

/* Whole images, which share passes where they can. */
static void conv_all(const ngi_native_conv *c, int n, const float *in, float *out, int64_t stride,
                     bool accumulate, void *scratch)
{
    if (c->winograd)
        ngi_winograd_run(c->winograd, n, in, out, stride, accumulate, scratch);
    else
        ngi_product_run(c->product, n * c->h * c->w, in, out, stride, accumulate);
}

ng_status ngi_native_forward(const ngi_kernel *k, const ngi_run *run, ng_error *err)
{
    (void)err;
    const ngi_native_state *s = k->state;
    int64_t stride = run->out_stride ? run->out_stride : s->out_c;
    if (!run->parts && !s->pool.h && !s->forward.direct.isa) {
        conv_all(&s->forward, run->n, run->in[0], run->out, stride, false, run->scratch);
        if (s->has_act && !s->clamp)
            activate(s, (ngi_rect){0, run->n * s->h, 0, s->w}, run->out, stride);
        return NG_OK;
    }
    for (int i = 0; i < run->n; i++) {
        const float *in = run->in[0] + i * s->in_count;
        float *out = run->out + i * s->out_pixels * stride;
        ngi_rect part = run->parts ? run->parts[i] : (ngi_rect){0, s->h, 0, s->w};
        if (ngi_rect_empty(part))
            continue;
        if (s->pool.h)
            run_pooled(s, in, part, out, stride, run->scratch);
        else
            conv_part(&s->forward, in, part, out, stride, run->scratch);
        if (s->has_act && !s->clamp)
            activate(s, part, out, stride);
    }
    return NG_OK;
}

ng_status ngi_native_backward(const ngi_kernel *k, const ngi_run *run, ng_error *err)
{
    (void)err;
    const ngi_native_state *s = k->state;
    if (!run->grad_in[0])
        return NG_OK;
    if (!s->has_act || run->activated) {
        conv_all(&s->backward, run->n, run->grad_out, run->grad_in[0], s->in_c, run->accumulate[0],
                 run->scratch);
        return NG_OK;
    }
    float *masked = run->scratch, *room = masked + (s->out_count + 15) / 16 * 16;
    for (int i = 0; i < run->n; i++) {
        const float *out = run->out + i * s->out_count, *grad = run->grad_out + i * s->out_count;
        ngi_activate_grad(&s->act, out, grad, masked, s->out_count);
        conv_all(&s->backward, 1, masked, run->grad_in[0] + i * s->in_count, s->in_c, run->accumulate[0],
                 room);
    }
    return NG_OK;
}
