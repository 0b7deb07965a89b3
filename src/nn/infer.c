/* Shape inference: one function per kind of op, in a table. Checks everything a kernel relies on, so that
 * kernels check nothing: input count, ranks, attributes, weight shapes, result sizes. */
#include "nn/graph.h"

#include <string.h>

#define MAX_EXTENT 65536 /* of kernels, strides, paddings and factors */

typedef struct infer_context {
    ngi_graph *g;
    ngi_node *node;
    const ngi_shape *in; /* of the first input; NULL for INPUT */
    ng_error *err;
} infer_context;

static const ngi_shape *input_shape(const infer_context *c, int i)
{
    return &c->g->nodes[c->node->inputs[i]].shape;
}

#define FAIL(c, ...) ngi_fail((c)->err, NG_E_SHAPE, __VA_ARGS__)

static ng_status need_rank(infer_context *c, int rank)
{
    char text[NGI_SHAPE_TEXT];
    if (c->in->rank != rank)
        return FAIL(c, "%s: %s expects an input of rank %d without the batch, found %s", c->node->name,
                    ngi_op_name(c->node->op), rank, ngi_shape_text(c->in, text));
    return NG_OK;
}

static ng_status need_range(infer_context *c, const char *what, int64_t value, int64_t low, int64_t high)
{
    if (value < low || value > high)
        return FAIL(c, "%s: %s is %lld, expected %lld to %lld", c->node->name, what, (long long)value,
                    (long long)low, (long long)high);
    return NG_OK;
}

/* NULL: none. */
static const ngi_weight *slot(const infer_context *c, int i)
{
    int w = c->node->weights[i];
    return w < 0 ? NULL : &c->g->weights[w];
}

/* The weight in slot i has this shape, or is absent where that is allowed. */
static ng_status need_weight(infer_context *c, int i, bool optional, ngi_shape expected)
{
    const ngi_weight *weight = slot(c, i);
    if (!weight)
        return optional ? NG_OK : FAIL(c, "%s: weight %d is missing", c->node->name, i);
    char a[NGI_SHAPE_TEXT], b[NGI_SHAPE_TEXT];
    if (!ngi_shape_equal(&weight->shape, &expected))
        return FAIL(c, "%s: expected %s, found %s", weight->name, ngi_shape_text(&expected, a),
                    ngi_shape_text(&weight->shape, b));
    return NG_OK;
}

void ngi_same_padding(int64_t n, int kernel, int stride, int dilation, int *before, int *after)
{
    int64_t out = (n + stride - 1) / stride;
    int64_t total = (out - 1) * stride + (int64_t)(kernel - 1) * dilation + 1 - n;
    if (total < 0)
        total = 0;
    *before = (int)(total / 2);
    *after = (int)(total - total / 2);
}

/* Output size of a sliding window along one axis; fills the padding when it is "same". */
static ng_status window(infer_context *c, const char *axis, int64_t n, int kernel, int stride, int dilation,
                        int *before, int *after, int64_t *out)
{
    NGI_TRY(need_range(c, "kernel size", kernel, 1, MAX_EXTENT));
    NGI_TRY(need_range(c, "stride", stride, 1, MAX_EXTENT));
    NGI_TRY(need_range(c, "dilation", dilation, 1, MAX_EXTENT));
    if (c->node->attr.same)
        ngi_same_padding(n, kernel, stride, dilation, before, after);
    NGI_TRY(need_range(c, "padding", *before, 0, MAX_EXTENT));
    NGI_TRY(need_range(c, "padding", *after, 0, MAX_EXTENT));
    int64_t span = (int64_t)(kernel - 1) * dilation + 1, have = n + *before + *after;
    if (have < span)
        return FAIL(c, "%s: the %s of its input is %lld, its window needs %lld; give a larger input size",
                    c->node->name, axis, (long long)n, (long long)(span - *before - *after));
    *out = (have - span) / stride + 1;
    return NG_OK;
}

static ng_status windows(infer_context *c, int64_t *oh, int64_t *ow)
{
    ngi_attr *a = &c->node->attr;
    NGI_TRY(need_rank(c, 3));
    NGI_TRY(window(c, "height", c->in->dim[0], a->kernel_h, a->stride_h, a->dilation_h, &a->pad.top,
                   &a->pad.bottom, oh));
    return window(c, "width", c->in->dim[1], a->kernel_w, a->stride_w, a->dilation_w, &a->pad.left,
                  &a->pad.right, ow);
}

static ng_status infer_input(infer_context *c)
{
    if (c->node->shape.rank < 1)
        return FAIL(c, "%s: an input without dimensions", c->node->name);
    return NG_OK;
}

static ng_status infer_constant(infer_context *c)
{
    const ngi_weight *value = slot(c, 0);
    if (!value)
        return FAIL(c, "%s: a constant without a value", c->node->name);
    c->node->shape = value->shape;
    return NG_OK;
}

static ng_status infer_same(infer_context *c)
{
    c->node->shape = *c->in;
    return NG_OK;
}

static ng_status infer_conv(infer_context *c)
{
    ngi_attr *a = &c->node->attr;
    int64_t oh, ow;
    NGI_TRY(windows(c, &oh, &ow));
    const ngi_weight *kernel = slot(c, 0);
    if (!kernel || kernel->shape.rank != 4)
        return FAIL(c, "%s: a kernel of rank 4 is missing", c->node->name);
    int64_t ic = c->in->dim[2], oc = kernel->shape.dim[3];
    NGI_TRY(need_range(c, "groups", a->groups, 1, ic));
    if (ic % a->groups || oc % a->groups)
        return FAIL(c, "%s: %lld input and %lld output channels are not divisible by %d groups",
                    c->node->name, (long long)ic, (long long)oc, a->groups);
    NGI_TRY(need_weight(c, 0, false,
                        ngi_shape_of(4, (int64_t)a->kernel_h, (int64_t)a->kernel_w, ic / a->groups, oc)));
    NGI_TRY(need_weight(c, 1, true, ngi_shape_of(1, oc)));
    c->node->shape = ngi_shape_of(3, oh, ow, oc);
    return NG_OK;
}

static ng_status infer_depthwise(infer_context *c)
{
    ngi_attr *a = &c->node->attr;
    int64_t oh, ow;
    NGI_TRY(windows(c, &oh, &ow));
    const ngi_weight *kernel = slot(c, 0);
    if (!kernel || kernel->shape.rank != 4)
        return FAIL(c, "%s: a depthwise kernel of rank 4 is missing", c->node->name);
    int64_t channels = c->in->dim[2], m = kernel->shape.dim[3];
    NGI_TRY(need_range(c, "depth multiplier", m, 1, MAX_EXTENT));
    NGI_TRY(
        need_weight(c, 0, false, ngi_shape_of(4, (int64_t)a->kernel_h, (int64_t)a->kernel_w, channels, m)));
    NGI_TRY(need_weight(c, 1, true, ngi_shape_of(1, channels * m)));
    c->node->shape = ngi_shape_of(3, oh, ow, channels * m);
    return NG_OK;
}

static ng_status infer_dense(infer_context *c)
{
    const ngi_weight *kernel = slot(c, 0);
    if (!kernel || kernel->shape.rank != 2 || c->in->rank < 1)
        return FAIL(c, "%s: a dense kernel of rank 2 is missing", c->node->name);
    int64_t in = c->in->dim[c->in->rank - 1], out = kernel->shape.dim[1];
    NGI_TRY(need_weight(c, 0, false, ngi_shape_of(2, in, out)));
    NGI_TRY(need_weight(c, 1, true, ngi_shape_of(1, out)));
    c->node->shape = *c->in;
    c->node->shape.dim[c->in->rank - 1] = out;
    return NG_OK;
}

static ng_status infer_batchnorm(infer_context *c)
{
    ngi_shape channels = ngi_shape_of(1, c->in->dim[c->in->rank - 1]);
    for (int i = 0; i < 4; i++)
        NGI_TRY(need_weight(c, i, i < 2, channels));
    return infer_same(c);
}

static ng_status infer_layernorm(infer_context *c)
{
    int axis = c->node->attr.axis;
    NGI_TRY(need_range(c, "axis", axis, 0, c->in->rank - 1));
    ngi_shape normalised = {.rank = c->in->rank - axis};
    memcpy(normalised.dim, c->in->dim + axis, (size_t)normalised.rank * sizeof *normalised.dim);
    NGI_TRY(need_weight(c, 0, true, normalised));
    NGI_TRY(need_weight(c, 1, true, normalised));
    return infer_same(c);
}

static ng_status infer_prelu(infer_context *c)
{
    const ngi_weight *alpha = slot(c, 0);
    char a[NGI_SHAPE_TEXT], b[NGI_SHAPE_TEXT];
    bool fits = alpha && alpha->shape.rank == c->in->rank;
    for (int i = 0; fits && i < c->in->rank; i++)
        fits = alpha->shape.dim[i] == 1 || alpha->shape.dim[i] == c->in->dim[i];
    if (!fits)
        return FAIL(c, "%s: alpha %s does not broadcast to the input %s", c->node->name,
                    alpha ? ngi_shape_text(&alpha->shape, a) : "(missing)", ngi_shape_text(c->in, b));
    return infer_same(c);
}

static ng_status infer_softmax(infer_context *c)
{
    NGI_TRY(need_range(c, "axis", c->node->attr.axis, 0, c->in->rank - 1));
    return infer_same(c);
}

static ng_status infer_pool(infer_context *c)
{
    int64_t oh = 0, ow = 0;
    NGI_TRY(windows(c, &oh, &ow));
    c->node->shape = ngi_shape_of(3, oh, ow, c->in->dim[2]);
    return NG_OK;
}

static ng_status infer_global(infer_context *c)
{
    NGI_TRY(need_rank(c, 3));
    int64_t channels = c->in->dim[2];
    c->node->shape = c->node->attr.keepdims ? ngi_shape_of(3, (int64_t)1, (int64_t)1, channels)
                                            : ngi_shape_of(1, channels);
    return NG_OK;
}

static ng_status infer_reshape(infer_context *c)
{
    const ngi_shape *target = &c->node->attr.target;
    NGI_TRY(need_range(c, "rank of the target shape", target->rank, 0, NGI_MAX_RANK));
    ngi_shape out = *target;
    int64_t known = 1, count = ngi_shape_count(c->in);
    int open = -1;
    for (int i = 0; i < out.rank; i++) {
        if (out.dim[i] == -1 && open < 0) {
            open = i;
            continue;
        }
        NGI_TRY(need_range(c, "a target dimension", out.dim[i], 0, count > 0 ? count : 1));
        known *= out.dim[i];
        if (known > count)
            break;
    }
    if (open >= 0)
        out.dim[open] = known > 0 ? count / known : 0;
    char a[NGI_SHAPE_TEXT], b[NGI_SHAPE_TEXT];
    if (ngi_shape_count(&out) != count)
        return FAIL(c, "%s: %s does not reshape to %s", c->node->name, ngi_shape_text(c->in, a),
                    ngi_shape_text(target, b));
    c->node->shape = out;
    return NG_OK;
}

static ng_status infer_permute(infer_context *c)
{
    bool seen[NGI_MAX_RANK] = {false};
    c->node->shape.rank = c->in->rank;
    for (int i = 0; i < c->in->rank; i++) {
        int from = c->node->attr.permutation[i];
        if (from < 0 || from >= c->in->rank || seen[from])
            return FAIL(c, "%s: not a permutation of %d axes", c->node->name, c->in->rank);
        seen[from] = true;
        c->node->shape.dim[i] = c->in->dim[from];
    }
    return NG_OK;
}

static ng_status infer_pad(infer_context *c)
{
    NGI_TRY(need_rank(c, 3));
    const ngi_pad *p = &c->node->attr.pad;
    int sides[4] = {p->top, p->bottom, p->left, p->right};
    for (int i = 0; i < 4; i++)
        NGI_TRY(need_range(c, "padding", sides[i], 0, MAX_EXTENT));
    int sign = c->node->op == NGI_OP_CROP ? -1 : 1;
    int64_t oh = c->in->dim[0] + sign * (p->top + p->bottom),
            ow = c->in->dim[1] + sign * (p->left + p->right);
    if (oh < 1 || ow < 1)
        return FAIL(c, "%s: nothing is left of %lldx%lld after cropping", c->node->name,
                    (long long)c->in->dim[0], (long long)c->in->dim[1]);
    c->node->shape = ngi_shape_of(3, oh, ow, c->in->dim[2]);
    return NG_OK;
}

static ng_status infer_resize(infer_context *c)
{
    const ngi_attr *a = &c->node->attr;
    NGI_TRY(need_rank(c, 3));
    bool upsample = c->node->op == NGI_OP_UPSAMPLE;
    int64_t h = upsample ? a->scale_h : a->size_h, w = upsample ? a->scale_w : a->size_w;
    NGI_TRY(need_range(c, upsample ? "factor" : "size", h, 1, MAX_EXTENT));
    NGI_TRY(need_range(c, upsample ? "factor" : "size", w, 1, MAX_EXTENT));
    c->node->shape = upsample ? ngi_shape_of(3, c->in->dim[0] * h, c->in->dim[1] * w, c->in->dim[2])
                              : ngi_shape_of(3, h, w, c->in->dim[2]);
    return NG_OK;
}

static ng_status infer_eltwise(infer_context *c)
{
    ngi_shape out = *c->in;
    char a[NGI_SHAPE_TEXT], b[NGI_SHAPE_TEXT];
    for (int i = 1; i < c->node->n_inputs; i++) {
        const ngi_shape *s = input_shape(c, i);
        ngi_shape wide = {.rank = s->rank > out.rank ? s->rank : out.rank};
        for (int k = 1; k <= wide.rank; k++) { /* NumPy: aligned at the last axis */
            int64_t x = k <= out.rank ? out.dim[out.rank - k] : 1, y = k <= s->rank ? s->dim[s->rank - k] : 1;
            if (x != y && x != 1 && y != 1)
                return FAIL(c, "%s: inputs %s and %s do not broadcast", c->node->name,
                            ngi_shape_text(&out, a), ngi_shape_text(s, b));
            wide.dim[wide.rank - k] = x == 1 ? y : x;
        }
        out = wide;
    }
    c->node->shape = out;
    return NG_OK;
}

static ng_status infer_concat(infer_context *c)
{
    int axis = c->node->attr.axis;
    NGI_TRY(need_range(c, "axis", axis, 0, c->in->rank - 1));
    ngi_shape out = *c->in;
    char a[NGI_SHAPE_TEXT], b[NGI_SHAPE_TEXT];
    for (int i = 1; i < c->node->n_inputs; i++) {
        const ngi_shape *s = input_shape(c, i);
        ngi_shape probe = *s;
        if (s->rank == out.rank)
            probe.dim[axis] = out.dim[axis];
        if (!ngi_shape_equal(&probe, &out))
            return FAIL(c, "%s: %s and %s cannot be joined along axis %d", c->node->name,
                        ngi_shape_text(c->in, a), ngi_shape_text(s, b), axis);
        out.dim[axis] += s->dim[axis];
    }
    c->node->shape = out;
    return NG_OK;
}

static ng_status infer_affine(infer_context *c)
{
    int64_t channels = c->in->dim[c->in->rank - 1];
    for (int i = 0; i < 2; i++) {
        const ngi_weight *w = slot(c, i);
        bool single = w && w->shape.rank == 1 && w->shape.dim[0] == 1;
        NGI_TRY(need_weight(c, i, false, ngi_shape_of(1, single ? (int64_t)1 : channels)));
    }
    return infer_same(c);
}

static ng_status infer_slice(infer_context *c)
{
    ngi_attr *a = &c->node->attr;
    c->node->shape.rank = c->in->rank;
    for (int i = 0; i < c->in->rank; i++) {
        int64_t n = c->in->dim[i], begin = a->begin[i], step = a->step[i];
        NGI_TRY(need_range(c, "slice start", begin, 0, n - 1));
        if (step == 0 || step > NGI_MAX_ELEMENTS || step < -NGI_MAX_ELEMENTS)
            return FAIL(c, "%s: slice step %lld", c->node->name, (long long)step);
        int64_t most = step > 0 ? (n - 1 - begin) / step + 1 : begin / -step + 1;
        if (a->extent[i] == -1)
            a->extent[i] = most;
        NGI_TRY(need_range(c, "slice length", a->extent[i], 1, most));
        c->node->shape.dim[i] = a->extent[i];
    }
    return NG_OK;
}

typedef struct op_row {
    ng_status (*infer)(infer_context *c);
    int least, most; /* inputs */
} op_row;

static const op_row rows[NGI_OP_COUNT] = {
    [NGI_OP_INPUT] = {infer_input, 0, 0},
    [NGI_OP_CONSTANT] = {infer_constant, 0, 0},
    [NGI_OP_IDENTITY] = {infer_same, 1, 1},
    [NGI_OP_CONV2D] = {infer_conv, 1, 1},
    [NGI_OP_DEPTHWISE] = {infer_depthwise, 1, 1},
    [NGI_OP_DENSE] = {infer_dense, 1, 1},
    [NGI_OP_BATCHNORM] = {infer_batchnorm, 1, 1},
    [NGI_OP_LAYERNORM] = {infer_layernorm, 1, 1},
    [NGI_OP_ACTIVATION] = {infer_same, 1, 1},
    [NGI_OP_PRELU] = {infer_prelu, 1, 1},
    [NGI_OP_SOFTMAX] = {infer_softmax, 1, 1},
    [NGI_OP_MAX_POOL] = {infer_pool, 1, 1},
    [NGI_OP_AVG_POOL] = {infer_pool, 1, 1},
    [NGI_OP_GLOBAL_AVG] = {infer_global, 1, 1},
    [NGI_OP_GLOBAL_MAX] = {infer_global, 1, 1},
    [NGI_OP_RESHAPE] = {infer_reshape, 1, 1},
    [NGI_OP_PERMUTE] = {infer_permute, 1, 1},
    [NGI_OP_ZERO_PAD] = {infer_pad, 1, 1},
    [NGI_OP_CROP] = {infer_pad, 1, 1},
    [NGI_OP_UPSAMPLE] = {infer_resize, 1, 1},
    [NGI_OP_RESIZE] = {infer_resize, 1, 1},
    [NGI_OP_ADD] = {infer_eltwise, 1, NGI_MAX_INPUTS},
    [NGI_OP_SUBTRACT] = {infer_eltwise, 2, 2},
    [NGI_OP_MULTIPLY] = {infer_eltwise, 1, NGI_MAX_INPUTS},
    [NGI_OP_DIVIDE] = {infer_eltwise, 2, 2},
    [NGI_OP_AVERAGE] = {infer_eltwise, 1, NGI_MAX_INPUTS},
    [NGI_OP_MAXIMUM] = {infer_eltwise, 1, NGI_MAX_INPUTS},
    [NGI_OP_MINIMUM] = {infer_eltwise, 1, NGI_MAX_INPUTS},
    [NGI_OP_CONCAT] = {infer_concat, 1, NGI_MAX_INPUTS},
    [NGI_OP_AFFINE] = {infer_affine, 1, 1},
    [NGI_OP_SLICE] = {infer_slice, 1, 1},
};

ng_status ngi_node_infer(ngi_graph *g, int index, ng_error *err)
{
    ngi_node *node = &g->nodes[index];
    const op_row *row = &rows[node->op];
    infer_context c = {g, node, node->n_inputs ? &g->nodes[node->inputs[0]].shape : NULL, err};
    if (node->n_inputs < row->least || node->n_inputs > row->most)
        return FAIL(&c, "%s: %d inputs, %s takes %d%s", node->name, node->n_inputs, ngi_op_name(node->op),
                    row->least, row->most > row->least ? " or more" : "");
    if (c.in && c.in->rank < 1)
        return FAIL(&c, "%s: its input has no dimension beside the batch", node->name);
    NGI_TRY(row->infer(&c));
    char text[NGI_SHAPE_TEXT];
    if (ngi_shape_count(&node->shape) <= 0)
        return FAIL(&c, "%s: its output of shape %s has no values, or more than the limit of %lld",
                    node->name, ngi_shape_text(&node->shape, text), (long long)NGI_MAX_ELEMENTS);
    return NG_OK;
}

ng_status ngi_graph_infer(ngi_graph *g, ng_error *err)
{
    for (int i = 0; i < g->n_nodes; i++) {
        ngi_node *n = &g->nodes[i];
        NGI_TRY(ngi_node_infer(g, i, err));
        n->feeds_output = false;
        n->from_input = n->op == NGI_OP_INPUT;
        for (int k = 0; k < n->n_inputs && !n->from_input; k++)
            n->from_input = g->nodes[n->inputs[k]].from_input;
    }
    for (int i = 0; i < g->n_outputs; i++)
        g->nodes[g->outputs[i]].feeds_output = true;
    for (int i = g->n_nodes - 1; i >= 0; i--)
        if (g->nodes[i].feeds_output)
            for (int k = 0; k < g->nodes[i].n_inputs; k++)
                g->nodes[g->nodes[i].inputs[k]].feeds_output = true;
    return NG_OK;
}
