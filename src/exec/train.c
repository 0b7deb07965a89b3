/* Gradients of weights. A convolution or dense layer trains as it runs, with its batch norm folded in: the kernel's and
 * the bias's gradients are summed up for the folded weights and led back to the model's own by the chain rule, so
 * that no pass over activations is spent on the norm. With s = gamma / sqrt(variance + epsilon):
 *
 *   folded kernel K' = K s           dK = dK' s
 *   folded bias   b' = (b - m) s + beta   db = db' s, dbeta = db', ds = sum dK' K + (b - m) db'
 *                                    dgamma = ds / sqrt(variance + epsilon) */
#include "exec/plan.h"

#include <math.h>
#include <string.h>

/* The weights of an op that can be trained: kernel and bias, or gamma and beta. */
static bool is_trainable(ngi_op op)
{
    return op == NGI_OP_CONV2D || op == NGI_OP_DEPTHWISE || op == NGI_OP_DENSE || op == NGI_OP_BATCHNORM;
}

static bool is_trained(const bool *trained, int weight)
{
    return weight >= 0 && trained[weight];
}

void ngi_plan_mark_trained(ngi_plan *p, const bool *trained)
{
    for (int i = 0; trained && i < p->graph->n_nodes; i++) {
        const ngi_node *n = &p->graph->nodes[i];
        p->trains[i] = !p->given[i] && is_trainable(n->op) &&
                       (is_trained(trained, n->weights[0]) || is_trained(trained, n->weights[1]));
        p->training = p->training || p->trains[i];
    }
}

void ngi_plan_set_trained(const ngi_plan *p, ngi_plan_step *s, const bool *trained)
{
    const ngi_node *root = &p->graph->nodes[s->step.root];
    if (!trained || !is_trainable(root->op) || !p->on_path[s->step.node])
        return;
    const ngi_node *norm = s->norm >= 0 ? &p->graph->nodes[s->norm] : NULL;
    bool gamma = norm && is_trained(trained, norm->weights[0]);
    s->step.trains_kernel = is_trained(trained, root->weights[0]) || gamma;
    s->step.trains_bias = is_trained(trained, root->weights[1]) || gamma ||
                          (norm && is_trained(trained, norm->weights[1])) ||
                          (root->op == NGI_OP_BATCHNORM && is_trained(trained, root->weights[0]));
    s->trains = s->step.trains_kernel || s->step.trains_bias;
}

static ng_status make_trainer(ngi_plan *p, ngi_plan_step *s, ng_error *err)
{
    for (int b = 0; b < p->n_backends; b++) {
        if (!p->backends[b]->prepare_trainer)
            continue;
        ng_status status = p->backends[b]->prepare_trainer(&s->step, p->batch, p->threads, &s->trainer, err);
        s->trainer_backend = b;
        if (status != NG_E_UNSUPPORTED)
            return status;
    }
    return ngi_fail(err, NG_E_INTERNAL, "%s: no back end trains %s", p->graph->nodes[s->step.node].name,
                    ngi_op_name(s->step.op));
}

ng_status ngi_plan_make_trainers(ngi_plan *p, ng_error *err)
{
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].trains)
            NGI_TRY(make_trainer(p, &p->steps[i], err));
    return NG_OK;
}

int ngi_plan_steps(const ngi_plan *p)
{
    return p->n_steps;
}

ng_status ngi_plan_update_step(ngi_plan *p, int step, ng_error *err)
{
    ngi_plan_step *s = &p->steps[step];
    if (!s->trains)
        return NG_OK;
    NGI_TRY(ngi_plan_fold(p, s, err));
    return s->kernel.update ? s->kernel.update(&s->kernel, s->step.kernel, s->step.bias, err) : NG_OK;
}

ng_status ngi_plan_update(ngi_plan *p, ng_error *err)
{
    for (int i = 0; i < p->n_steps; i++)
        NGI_TRY(ngi_plan_update_step(p, i, err));
    return NG_OK;
}

/* ---- Places ------------------------------------------------------------------------------------ */

/* The trained weights that a step's gradients are led back to: of what names it, and of its batch norm. */
static int list_weights(const ngi_plan *p, const ngi_plan_step *s, int list[4])
{
    int n = 0;
    for (int i = 0; i < 4; i++) {
        int node = i < 2 ? s->step.root : s->norm;
        if (node >= 0 && p->graph->nodes[node].weights[i % 2] >= 0)
            list[n++] = p->graph->nodes[node].weights[i % 2];
    }
    return n;
}

static bool share_weights(const ngi_plan *p, const ngi_plan_step *a, const ngi_plan_step *b)
{
    int of_a[4], of_b[4], n_a = list_weights(p, a, of_a), n_b = list_weights(p, b, of_b);
    for (int i = 0; i < n_a; i++)
        for (int k = 0; k < n_b; k++)
            if (of_a[i] == of_b[k])
                return true;
    return false;
}

/* The step of a backward pass's item if it trains, else NULL. */
static ngi_plan_step *trained_step(ngi_plan *p, int item)
{
    int step = p->items[item].step;
    return step >= 0 && p->steps[step].trains ? &p->steps[step] : NULL;
}

static void join_places(ngi_plan *p, int a, int b)
{
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].trains && (p->steps[i].place == a || p->steps[i].place == b))
            p->steps[i].place = a < b ? a : b;
}

void ngi_plan_find_places(ngi_plan *p)
{
    for (int i = 0; i < p->n_items; i++) {
        ngi_plan_step *s = trained_step(p, i);
        if (!s)
            continue;
        s->place = p->n_places++;
        for (int k = 0; k < i; k++) {
            const ngi_plan_step *before = trained_step(p, k);
            if (before && share_weights(p, before, s))
                join_places(p, before->place, s->place);
        }
    }
    for (int i = 0; i < p->n_items; i++) {
        ngi_plan_step *s = trained_step(p, i);
        for (int k = 0; s && k < i; k++)
            if (trained_step(p, k) && trained_step(p, k)->place == s->place)
                trained_step(p, k)->place_ends = false;
        if (s)
            s->place_ends = true;
    }
}

int ngi_plan_places(const ngi_plan *p)
{
    return p->n_places;
}

/* ---- Back to the model's own weights ------------------------------------------------------------ */

int64_t ngi_step_kernel_count(const ngi_plan_step *s)
{
    const ngi_graph *g = s->step.graph;
    const ngi_node *root = &g->nodes[s->step.root];
    if (root->op == NGI_OP_BATCHNORM)
        return ngi_step_bias_count(s);
    return ngi_shape_count(&g->weights[root->weights[0]].shape);
}

int64_t ngi_step_bias_count(const ngi_plan_step *s)
{
    return s->step.out_shape->dim[s->step.out_shape->rank - 1];
}

/* dst += src * scale of the channel (1: NULL), the channel innermost. */
static void add_scaled(float *dst, const float *src, const double *scale, int64_t count, int64_t channels)
{
    for (int64_t i = 0; dst && i < count; i += channels)
        for (int64_t c = 0; c < channels; c++)
            dst[i + c] += scale ? (float)(src[i + c] * scale[c]) : src[i + c];
}

/* What is led back to a batch norm: kernel [count] are the folded kernel's (or the scale's own) gradient, `values` what was
 * scaled (NULL: ones), `bias` [channels] the offset's gradient. */
static void add_gamma(const ngi_plan *p, int norm, const float *kernel, const float *values, int64_t count,
                      const float *bias, const float *own_bias, int64_t channels, float *dgamma)
{
    const ngi_graph *g = p->graph;
    const ngi_node *n = &g->nodes[norm];
    const float *mean = g->weights[n->weights[2]].data, *variance = g->weights[n->weights[3]].data;
    for (int64_t c = 0; dgamma && c < channels; c++) {
        double sum = ((own_bias ? own_bias[c] : 0.0) - mean[c]) * bias[c];
        for (int64_t i = c; i < count; i += channels)
            sum += (double)kernel[i] * (values ? values[i] : 1.0);
        dgamma[c] += (float)(sum / sqrt((double)variance[c] + n->attr.epsilon));
    }
}

static float *gradient_of(float *const *grads, int weight)
{
    return weight < 0 ? NULL : grads[weight];
}

ng_status ngi_plan_unfold(const ngi_plan *p, const ngi_plan_step *s, const float *kernel, const float *bias,
                          float *const *grads, ng_error *err)
{
    const ngi_graph *g = p->graph;
    const ngi_node *root = &g->nodes[s->step.root];
    int64_t count = ngi_step_kernel_count(s), channels = ngi_step_bias_count(s);
    int norm = root->op == NGI_OP_BATCHNORM ? s->step.root : s->norm;
    double *scale = NULL;
    if (s->norm >= 0) {
        scale = ngi_alloc((size_t)channels, sizeof *scale);
        if (!scale)
            return ngi_fail_memory(err, (size_t)channels * sizeof *scale);
        ngi_norm_scale(g, &g->nodes[s->norm], scale, channels);
    }
    if (norm >= 0) {
        bool alone = norm == s->step.root;
        if (bias)
            add_scaled(gradient_of(grads, g->nodes[norm].weights[1]), bias, NULL, channels, channels);
        if (kernel && bias)
            add_gamma(p, norm, kernel, alone ? NULL : s->step.w[0], count, bias, alone ? NULL : s->step.w[1],
                      channels, gradient_of(grads, g->nodes[norm].weights[0]));
    }
    if (root->op != NGI_OP_BATCHNORM) {
        if (kernel)
            add_scaled(gradient_of(grads, root->weights[0]), kernel, scale, count, channels);
        if (bias)
            add_scaled(gradient_of(grads, root->weights[1]), bias, scale, channels, channels);
    }
    ngi_free(scale);
    return NG_OK;
}
