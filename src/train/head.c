/* Dense layers with dropout before them; products are product.h's. */
#include "train/head.h"

#include "base/random.h"
#include "train/product.h"

#include <math.h>
#include <string.h>

#define DROPOUT_STREAM 0x64726f706f7574 /* "dropout" */
#define KERNEL_STREAM  0x6b65726e656c   /* "kernel" */

/* ---- What there is in the graph ---------------------------------------------------------------- */

static bool passes(const ngi_graph *g, const ngi_node *n)
{
    return n->op == NGI_OP_IDENTITY ||
           (n->op == NGI_OP_RESHAPE && g->nodes[n->inputs[0]].shape.rank == n->shape.rank);
}

static bool is_relu(const ngi_node *n)
{
    return n->op == NGI_OP_ACTIVATION && n->attr.act.kind == NGI_ACT_RELU && n->attr.act.alpha == 0 &&
           n->attr.act.threshold == 0 && isinf(n->attr.act.max_value);
}

static ngi_head_dense dense_of(const ngi_graph *g, const ngi_node *n, bool relu)
{
    const ngi_weight *kernel = &g->weights[n->weights[0]];
    return (ngi_head_dense){.in = (int)kernel->shape.dim[0],
                            .out = (int)kernel->shape.dim[1],
                            .kernel = kernel->data,
                            .bias = g->weights[n->weights[1]].data,
                            .kernel_index = n->weights[0],
                            .bias_index = n->weights[1],
                            .relu = relu};
}

ng_status ngi_train_head_find(const ngi_graph *g, int most, double dropout, ngi_train_head *out,
                              ng_error *err)
{
    *out = (ngi_train_head){.dropout = dropout};
    ngi_activation act;
    bool softmax;
    int at = ngi_graph_logits(g, &act, &softmax);
    bool relu = false;
    for (;;) {
        const ngi_node *n = &g->nodes[at];
        bool wanted = out->n < most && out->n < NGI_HEAD_MOST;
        if (wanted && n->op == NGI_OP_DENSE && n->weights[1] >= 0 && g->nodes[n->inputs[0]].shape.rank == 1) {
            memmove(out->dense + 1, out->dense, (size_t)out->n++ * sizeof *out->dense);
            out->dense[0] = dense_of(g, n, relu);
            relu = false;
        } else if (wanted && is_relu(n) && out->n && g->nodes[n->inputs[0]].op == NGI_OP_DENSE) {
            relu = true;
        } else if (!passes(g, n)) {
            break;
        }
        at = n->inputs[0];
    }
    out->features = at;
    if (out->n == 0 || g->nodes[at].shape.rank != 1)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "the model does not end in dense layers: its head cannot be trained");
    return NG_OK;
}

void ngi_train_head_initialise(const ngi_train_head *h, uint64_t seed)
{
    for (int i = 0; i < h->n; i++) {
        const ngi_head_dense *d = &h->dense[i];
        double limit = sqrt(6.0 / (d->in + d->out));
        for (int64_t k = 0; k < (int64_t)d->in * d->out; k++)
            d->kernel[k] =
                (float)((2 * ngi_random_uniform(seed, KERNEL_STREAM + (uint64_t)i, (uint64_t)k) - 1) * limit);
        memset(d->bias, 0, (size_t)d->out * sizeof *d->bias);
    }
}

int ngi_train_head_classes(const ngi_train_head *h)
{
    return h->dense[h->n - 1].out;
}

/* ---- Room -------------------------------------------------------------------------------------- */

static size_t width_of(const ngi_head_dense *d)
{
    return (size_t)ngi_product_width(d->out);
}

ng_status ngi_head_work_create(const ngi_train_head *h, int most, ngi_head_work *out, ng_error *err)
{
    *out = (ngi_head_work){.most = most};
    size_t total = 0, images = (size_t)most, widest = 0;
    for (int i = 0; i < h->n; i++) {
        size_t in = (size_t)h->dense[i].in, units = (size_t)h->dense[i].out, width = width_of(&h->dense[i]);
        total += images * (in + 2 * units) + (units == width ? 0 : 2 * in * width);
        widest = width > widest ? width : widest;
    }
    total += images * widest;
    float *at = out->block = ngi_alloc(total, sizeof *out->block);
    if (!at)
        return ngi_fail_memory(err, total * sizeof *out->block);
    out->wide = at;
    at += images * widest;
    for (int i = 0; i < h->n; i++) {
        size_t in = (size_t)h->dense[i].in, units = (size_t)h->dense[i].out, width = width_of(&h->dense[i]);
        if (units != width) {
            out->kernel[i] = at;
            out->kernel_grad[i] = out->kernel[i] + in * width;
            at = out->kernel_grad[i] + in * width;
        }
        out->in[i] = at;
        out->out[i] = out->in[i] + images * in;
        out->grad[i] = out->out[i] + images * units;
        at = out->grad[i] + images * units;
    }
    return NG_OK;
}

void ngi_head_work_clear(ngi_head_work *w)
{
    ngi_free(w->block);
    *w = (ngi_head_work){0};
}

/* ---- Dropout ----------------------------------------------------------------------------------- */

/* x [n,width] *= mask / (1 - rate). A unit is kept where 16 bits of Philox are not below rate * 65536. */
static void drop(const ngi_train_head *h, int layer, float *x, int n, const ngi_head_draw *draw)
{
    if (!draw || h->dropout == 0)
        return;
    int width = h->dense[layer].in;
    uint32_t bound = (uint32_t)(h->dropout * 65536 + 0.5);
    float scale = (float)(1 / (1 - h->dropout));
    uint64_t key_bits = ngi_random_bits(draw->seed, DROPOUT_STREAM + (uint64_t)layer, (uint64_t)draw->epoch);
    const uint32_t key[2] = {(uint32_t)key_bits, (uint32_t)(key_bits >> 32)};
    for (int i = 0; i < n; i++) {
        uint64_t place = (uint64_t)(draw->first + i);
        for (int k = 0; k < width; k += 8) {
            const uint32_t counter[4] = {(uint32_t)(k / 8), 0, (uint32_t)place, (uint32_t)(place >> 32)};
            uint32_t words[4];
            ngi_philox(counter, key, words);
            for (int b = 0; b < 8 && k + b < width; b++) {
                uint32_t bits = words[b / 2] >> (b % 2 * 16) & 0xFFFF;
                x[(size_t)i * (size_t)width + (size_t)(k + b)] *= bits < bound ? 0.0f : scale;
            }
        }
    }
}

/* ---- Forward and backward ---------------------------------------------------------------------- */

/* from [rows,n] at its width (product.h): itself, or what is written into `room`. */
static const float *widened(const float *from, int rows, int n, float *room)
{
    if (n == ngi_product_width(n))
        return from;
    ngi_product_widen(from, rows, n, room);
    return room;
}

static void dense_forward(const ngi_head_dense *d, const float *in, float *kernel, float *wide, float *out,
                          int n)
{
    size_t width = width_of(d);
    const float *b = widened(d->kernel, d->in, d->out, kernel);
    const ngi_product p = {
        .a = in, .b = b, .row = (size_t)d->in, .step = 1, .rows = n, .n = d->in, .width = (int)width};
    ngi_product_sums(&p, wide);
    for (int i = 0; i < n; i++, out += d->out, wide += width)
        for (int o = 0; o < d->out; o++) {
            float y = wide[o] + d->bias[o];
            out[o] = !d->relu || y > 0 ? y : 0;
        }
}

const float *ngi_train_head_forward(const ngi_train_head *h, ngi_head_work *w, const float *features, int n,
                                    const ngi_head_draw *draw)
{
    const float *from = features;
    for (int i = 0; i < h->n; i++) {
        memcpy(w->in[i], from, (size_t)n * (size_t)h->dense[i].in * sizeof *from);
        drop(h, i, w->in[i], n, draw);
        dense_forward(&h->dense[i], w->in[i], w->kernel[i], w->wide, w->out[i], n);
        from = w->out[i];
    }
    return from;
}

/* `wide`: room for the widened grad; `sums`: for the kernel's gradient. */
static void find_weight_grads(const ngi_head_dense *d, const float *in, const float *grad, int n, float *wide,
                              float *sums, float *kernel_grad, float *bias_grad)
{
    size_t width = width_of(d), out = (size_t)d->out;
    const ngi_product p = {.a = in,
                           .b = widened(grad, n, d->out, wide),
                           .row = 1,
                           .step = (size_t)d->in,
                           .rows = d->in,
                           .n = n,
                           .width = (int)width};
    ngi_product_sums(&p, out == width ? kernel_grad : sums);
    for (size_t k = 0; out != width && k < (size_t)d->in; k++)
        memcpy(kernel_grad + k * out, sums + k * width, out * sizeof *sums);
    memset(bias_grad, 0, out * sizeof *bias_grad);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t o = 0; o < out; o++)
            bias_grad[o] += grad[i * out + o];
}

/* `kernel`: as the last forward widened it, or NULL. */
static void find_input_grad(const ngi_head_dense *d, const float *grad, int n, const float *kernel,
                            float *wide, float *out)
{
    ngi_product_dots(widened(grad, n, d->out, wide), kernel ? kernel : d->kernel, n, d->in, (int)width_of(d),
                     out);
}

/* grad *= where the relu let the forward through. */
static void through_relu(const ngi_head_dense *d, const float *out, float *grad, int n)
{
    size_t count = (size_t)n * (size_t)d->out;
    for (size_t k = 0; d->relu && k < count; k++)
        grad[k] = out[k] > 0 ? grad[k] : 0;
}

void ngi_train_head_backward(const ngi_train_head *h, ngi_head_work *w, const float *logits_grad, int n,
                             const ngi_head_draw *draw, float *const *kernel_grads, float *const *bias_grads,
                             float *features_grad)
{
    int last = h->n - 1;
    memcpy(w->grad[last], logits_grad, (size_t)n * (size_t)h->dense[last].out * sizeof *logits_grad);
    for (int i = last; i >= 0; i--) {
        const ngi_head_dense *d = &h->dense[i];
        through_relu(d, w->out[i], w->grad[i], n);
        find_weight_grads(d, w->in[i], w->grad[i], n, w->wide, w->kernel_grad[i], kernel_grads[i],
                          bias_grads[i]);
        float *to = i ? w->grad[i - 1] : features_grad;
        if (!to)
            continue;
        find_input_grad(d, w->grad[i], n, w->kernel[i], w->wide, to);
        drop(h, i, to, n, draw);
    }
}

/* ---- The logit's gradient, and that of a function of it ---------------------------------------- */

void ngi_train_head_slope(const ngi_train_head *h, ngi_head_work *w, int class_index, float *slope)
{
    int last = h->n - 1;
    memset(w->grad[last], 0, (size_t)h->dense[last].out * sizeof *slope);
    w->grad[last][class_index] = 1;
    for (int i = last; i >= 0; i--) {
        through_relu(&h->dense[i], w->out[i], w->grad[i], 1);
        find_input_grad(&h->dense[i], w->grad[i], 1, w->kernel[i], w->wide, i ? w->grad[i - 1] : slope);
    }
}

/* With slope = K_0 D_0 K_1 D_1 ... e and the vectors v_i = D_i K_i+1 ... e that the call above has left in `grad`, what
 * comes from the other side is u_0 = slope_grad, u_i+1 = D_i K_i' u_i, and K_i's gradient is u_i v_i'. */
void ngi_train_head_slope_backward(const ngi_train_head *h, ngi_head_work *w, const float *slope_grad,
                                   float *const *kernel_grads)
{
    const float *u = slope_grad;
    for (int i = 0; i < h->n; i++) {
        const ngi_head_dense *d = &h->dense[i];
        bool last = i + 1 == h->n;
        float *next = last ? NULL : w->in[i + 1];
        if (!last)
            memset(next, 0, (size_t)d->out * sizeof *next);
        for (int k = 0; k < d->in; k++)
            for (int o = 0; u[k] != 0 && o < d->out; o++) {
                size_t at = (size_t)k * (size_t)d->out + (size_t)o;
                kernel_grads[i][at] += u[k] * w->grad[i][o];
                if (!last)
                    next[o] += u[k] * d->kernel[at];
            }
        if (!last)
            through_relu(d, w->out[i], next, 1);
        u = next;
    }
}
