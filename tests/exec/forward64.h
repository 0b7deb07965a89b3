/* A forward run in double, in plain loops over the graph as it was read: what float32 kernels are measured against.
 * The operations of convolutional classifiers without surprises; any other ends the program. */
#ifndef NETGAZE_TESTS_FORWARD64_H
#define NETGAZE_TESTS_FORWARD64_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/graph.h"

static inline double *forward64_alloc(int64_t n)
{
    double *p = calloc((size_t)n, sizeof *p);
    if (!p)
        abort();
    return p;
}

static inline const float *forward64_weight(const ngi_graph *g, const ngi_node *n, int k)
{
    return n->weights[k] < 0 ? NULL : g->weights[n->weights[k]].data;
}

/* in [h,w,ic], out [oh,ow,oc] */
static inline void forward64_conv(const ngi_graph *g, const ngi_node *n, const ngi_shape *s, const double *in,
                                  double *out)
{
    const ngi_attr *a = &n->attr;
    const float *kernel = forward64_weight(g, n, 0), *bias = forward64_weight(g, n, 1);
    int64_t oc = n->shape.dim[2], ic = s->dim[2], per_in = ic / a->groups, per_out = oc / a->groups;
    for (int64_t oy = 0; oy < n->shape.dim[0]; oy++)
        for (int64_t ox = 0; ox < n->shape.dim[1]; ox++, out += oc) {
            for (int64_t o = 0; o < oc; o++)
                out[o] = bias ? bias[o] : 0;
            for (int ky = 0; ky < a->kernel_h; ky++)
                for (int kx = 0; kx < a->kernel_w; kx++) {
                    int64_t y = oy * a->stride_h + ky * a->dilation_h - a->pad.top,
                            x = ox * a->stride_w + kx * a->dilation_w - a->pad.left;
                    if (y < 0 || y >= s->dim[0] || x < 0 || x >= s->dim[1])
                        continue;
                    const float *k = kernel + (int64_t)(ky * a->kernel_w + kx) * per_in * oc;
                    const double *p = in + (y * s->dim[1] + x) * ic;
                    for (int64_t i = 0; i < per_in; i++)
                        for (int64_t o = 0; o < oc; o++)
                            out[o] += p[o / per_out * per_in + i] * k[i * oc + o];
                }
        }
}

static inline void forward64_pool(const ngi_node *n, const ngi_shape *s, const double *in, double *out)
{
    const ngi_attr *a = &n->attr;
    bool mean = n->op == NGI_OP_AVG_POOL;
    int64_t c = s->dim[2];
    for (int64_t oy = 0; oy < n->shape.dim[0]; oy++)
        for (int64_t ox = 0; ox < n->shape.dim[1]; ox++)
            for (int64_t k = 0; k < c; k++) {
                double value = mean ? 0 : -INFINITY;
                int count = 0;
                for (int ky = 0; ky < a->kernel_h; ky++)
                    for (int kx = 0; kx < a->kernel_w; kx++) {
                        int64_t y = oy * a->stride_h + ky - a->pad.top,
                                x = ox * a->stride_w + kx - a->pad.left;
                        if (y < 0 || y >= s->dim[0] || x < 0 || x >= s->dim[1])
                            continue;
                        double v = in[(y * s->dim[1] + x) * c + k];
                        value = mean ? value + v : fmax(value, v);
                        count++;
                    }
                out[(oy * n->shape.dim[1] + ox) * c + k] = mean ? value / count : value;
            }
}

static inline void forward64_dense(const ngi_graph *g, const ngi_node *n, int64_t in_c, const double *in,
                                   double *out)
{
    const float *kernel = forward64_weight(g, n, 0), *bias = forward64_weight(g, n, 1);
    int64_t oc = n->shape.dim[n->shape.rank - 1], rows = ngi_shape_count(&n->shape) / oc;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < oc; o++) {
            double sum = bias ? bias[o] : 0;
            for (int64_t i = 0; i < in_c; i++)
                sum += in[r * in_c + i] * kernel[i * oc + o];
            out[r * oc + o] = sum;
        }
}

static inline void forward64_concat(const ngi_graph *g, const ngi_node *n, double *const *acts, double *out)
{
    int64_t outer = 1, inner = 1, at = 0;
    for (int i = 0; i < n->shape.rank; i++)
        *(i < n->attr.axis ? &outer : &inner) *= n->shape.dim[i];
    for (int k = 0; k < n->n_inputs; k++) {
        int64_t part = ngi_shape_count(&g->nodes[n->inputs[k]].shape) / outer;
        for (int64_t o = 0; o < outer; o++)
            memcpy(out + o * inner + at, acts[n->inputs[k]] + o * part, (size_t)part * sizeof *out);
        at += part;
    }
}

static inline void forward64_norm(const ngi_graph *g, const ngi_node *n, const double *in, double *out)
{
    const float *gamma = forward64_weight(g, n, 0), *beta = forward64_weight(g, n, 1),
                *mean = forward64_weight(g, n, 2), *variance = forward64_weight(g, n, 3);
    int64_t c = n->shape.dim[n->shape.rank - 1], count = ngi_shape_count(&n->shape);
    for (int64_t i = 0; i < count; i++)
        out[i] = (in[i] - mean[i % c]) / sqrt((double)variance[i % c] + n->attr.epsilon) *
                     (gamma ? gamma[i % c] : 1) +
                 (beta ? beta[i % c] : 0);
}

static inline void forward64_affine(const ngi_graph *g, const ngi_node *n, const double *in, double *out)
{
    const float *scale = forward64_weight(g, n, 0), *offset = forward64_weight(g, n, 1);
    int64_t ns = ngi_shape_count(&g->weights[n->weights[0]].shape),
            no = ngi_shape_count(&g->weights[n->weights[1]].shape);
    for (int64_t i = 0; i < ngi_shape_count(&n->shape); i++)
        out[i] = in[i] * scale[i % ns] + offset[i % no];
}

static inline void forward64_softmax(const ngi_node *n, const double *in, double *out)
{
    int64_t c = n->shape.dim[n->shape.rank - 1];
    for (int64_t r = 0; r < ngi_shape_count(&n->shape) / c; r++, in += c, out += c) {
        double top = -INFINITY, sum = 0;
        for (int64_t i = 0; i < c; i++)
            top = fmax(top, in[i]);
        for (int64_t i = 0; i < c; i++)
            sum += out[i] = exp(in[i] - top);
        for (int64_t i = 0; i < c; i++)
            out[i] /= sum;
    }
}

static inline void forward64_node(const ngi_graph *g, const ngi_node *n, double *const *acts, double *out)
{
    const double *in = acts[n->inputs[0]];
    const ngi_shape *s = &g->nodes[n->inputs[0]].shape;
    int64_t count = ngi_shape_count(&n->shape), c = s->dim[s->rank - 1];
    switch (n->op) {
    case NGI_OP_CONV2D:
        forward64_conv(g, n, s, in, out);
        return;
    case NGI_OP_MAX_POOL:
    case NGI_OP_AVG_POOL:
        forward64_pool(n, s, in, out);
        return;
    case NGI_OP_DENSE:
        forward64_dense(g, n, c, in, out);
        return;
    case NGI_OP_CONCAT:
        forward64_concat(g, n, acts, out);
        return;
    case NGI_OP_BATCHNORM:
        forward64_norm(g, n, in, out);
        return;
    case NGI_OP_AFFINE:
        forward64_affine(g, n, in, out);
        return;
    case NGI_OP_SOFTMAX:
        forward64_softmax(n, in, out);
        return;
    case NGI_OP_GLOBAL_AVG:
        for (int64_t i = 0; i < ngi_shape_count(s); i++)
            out[i % c] += in[i] * (double)c / (double)ngi_shape_count(s);
        return;
    case NGI_OP_ADD:
        for (int k = 0; k < n->n_inputs; k++)
            for (int64_t i = 0; i < count; i++)
                out[i] += acts[n->inputs[k]][i];
        return;
    case NGI_OP_IDENTITY:
    case NGI_OP_RESHAPE:
        memcpy(out, in, (size_t)count * sizeof *out);
        return;
    case NGI_OP_ACTIVATION:
        if (n->attr.act.kind == NGI_ACT_RELU && n->attr.act.alpha == 0 && n->attr.act.threshold == 0) {
            for (int64_t i = 0; i < count; i++)
                out[i] = fmin(fmax(in[i], 0), n->attr.act.max_value);
            return;
        }
        break;
    default:
        break;
    }
    fprintf(stderr, "%s: %s is not done in double\n", n->name, ngi_op_name(n->op));
    exit(1);
}

/* The activations of one node for one input [h,w,c] in a new block. */
static inline double *forward64(const ngi_graph *g, const float *input, int node)
{
    double **acts = calloc((size_t)g->n_nodes, sizeof *acts);
    if (!acts)
        abort();
    for (int i = 0; i <= node; i++) {
        const ngi_node *n = &g->nodes[i];
        int64_t count = ngi_shape_count(&n->shape);
        acts[i] = forward64_alloc(count);
        for (int64_t k = 0; n->op == NGI_OP_INPUT && k < count; k++)
            acts[i][k] = input[k];
        if (n->op != NGI_OP_INPUT)
            forward64_node(g, n, acts, acts[i]);
    }
    double *result = acts[node];
    for (int i = 0; i < node; i++)
        free(acts[i]);
    free(acts);
    return result;
}

#endif
