/* ShapleyCAM (Cai, 2025): w_k = mean(g - H A / 2), H the Hessian of the score at the layer's activations A.
 *
 * Behind the layer the network must be piecewise linear up to the logits z (convolutions, ReLUs, pools, dense layers):
 * then H = J^T F J exactly, with J = dz/dA and F the Hessian of the score as a function of the logits. J A takes a
 * backward pass for each logit, H A one more. For the logit itself F is zero and the map is Grad-CAM's. */
#include "attr/attr.h"

#include <math.h>
#include <string.h>

static bool is_piecewise_linear(const ngi_node *n)
{
    switch (n->op) {
    case NGI_OP_ACTIVATION:
        switch (n->attr.act.kind) {
        case NGI_ACT_LINEAR:
        case NGI_ACT_RELU:
        case NGI_ACT_RELU6:
        case NGI_ACT_LEAKY_RELU:
        case NGI_ACT_HARD_SIGMOID:
        case NGI_ACT_HARD_SIGMOID_2:
        case NGI_ACT_HARD_TANH:
            return true;
        default:
            return false;
        }
    case NGI_OP_SOFTMAX:
    case NGI_OP_LAYERNORM:
    case NGI_OP_MULTIPLY:
    case NGI_OP_DIVIDE:
        return false;
    default:
        return true;
    }
}

static ng_status check(const ngi_graph *g, int layer, ng_error *err)
{
    NGI_TRY(ngi_attr_check_spatial(g, layer, err));
    int node = g->layers[layer].node;
    ngi_head head = ngi_head_of(g);
    for (int i = node + 1; i <= head.logits; i++)
        if (!is_piecewise_linear(&g->nodes[i]) && ngi_graph_reaches(g, node, i) &&
            ngi_graph_reaches(g, i, head.logits))
            return ngi_fail(err, NG_E_UNSUPPORTED,
                            "ShapleyCAM needs the exact second derivative, which is known where the network "
                            "behind the layer "
                            "is piecewise linear; '%s' (%s) is not. Use a later layer, or --method gradcam",
                            g->nodes[i].name, ngi_op_name(g->nodes[i].op));
    return NG_OK;
}

static ng_status backward(const ngi_attr_job *job, const float *seed, ng_error *err)
{
    return ngi_run_backward_image(job->run, seed, job->index, job->graph->layers[job->layer].node,
                                  NGI_RELU_GRADIENT, err);
}

/* weights [channels] get mean g, less mean H A / 2. room: [width] doubles and [width] floats. */
static ng_status weigh(const ngi_attr_job *job, const ngi_attr_pair *p, double *weights, double *v,
                       float *seed, ng_error *err)
{
    int width = job->head->width;
    ng_target kind = job->target.kind;
    bool curved = kind != NG_TARGET_LOGIT && kind != NG_TARGET_CONTRAST;
    const float *logits =
        ngi_run_activation(job->run, job->head->logits) + (size_t)job->index * (size_t)width;
    if (curved && kind != NG_TARGET_LOG_PROBABILITY && kind != NG_TARGET_REST)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "ShapleyCAM's second derivative is known for the targets logit, contrast, "
                        "log-probability and rest, not for %s",
                        ng_target_name(kind));
    for (int64_t i = 0; i < p->cells * p->channels; i++)
        weights[i % p->channels] += p->grad[i] / (double)p->cells;
    for (int j = 0; j < width && curved; j++) {
        memset(seed, 0, (size_t)width * sizeof *seed);
        seed[j] = 1;
        NGI_TRY(backward(job, seed, err));
        v[j] = ngi_dot(p->grad, p->act, p->cells * p->channels);
    }
    if (!curved)
        return NG_OK;
    ngi_target_curve(job->head, &job->target, logits, v, seed);
    NGI_TRY(backward(job, seed, err));
    for (int64_t i = 0; i < p->cells * p->channels; i++)
        weights[i % p->channels] -= 0.5 * p->grad[i] / (double)p->cells;
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    size_t width = (size_t)job->head->width, n = (size_t)p.channels + width;
    double *weights = ngi_alloc_zero(n, sizeof *weights);
    float *seed = ngi_alloc(width, sizeof *seed);
    ng_status status = weights && seed ? weigh(job, &p, weights, weights + p.channels, seed, err)
                                       : ngi_fail_memory(err, n * sizeof *weights);
    if (status == NG_OK)
        status = ngi_attr_weigh(job, &p, weights, map, err);
    ngi_free(weights);
    ngi_free(seed);
    return status;
}

const ngi_method ngi_method_shapleycam = {
    .info =
        {
            .name = "shapleycam",
            .title = "ShapleyCAM",
            .summary = "channels weighted by gradient and curvature: a second-order Shapley value",
            .cost = "1 forward + backward to the layer; for --target rest one more backward a class",
            .source = "Cai 2025, arXiv:2501.06261",
            .assumes = "with --target logit it is Grad-CAM; the paper's target is rest",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = check,
    .compute = compute,
};
