/* CAM (Zhou et al., 2016): the weights of the Dense layer after global average pooling, applied to the
 * pooled layer's channels: map = sum_k W[k,c] A_k. Only for heads of that form; no gradient is taken. */
#include "attr/attr.h"

static int skip_passing(const ngi_graph *g, int node)
{
    while (g->nodes[node].op == NGI_OP_IDENTITY || g->nodes[node].op == NGI_OP_RESHAPE)
        node = g->nodes[node].inputs[0];
    return node;
}

/* The Dense node of a GAP -> Dense head, and the pooled node; false for any other head. */
static bool find_head(const ngi_graph *g, int *dense, int *pooled)
{
    ngi_head head = ngi_head_of(g);
    *dense = skip_passing(g, head.logits);
    if (g->nodes[*dense].op != NGI_OP_DENSE)
        return false;
    int pool = skip_passing(g, g->nodes[*dense].inputs[0]);
    if (!ngi_attr_pools_everything(g, pool))
        return false;
    *pooled = g->nodes[pool].inputs[0];
    return true;
}

static ng_status check(const ngi_graph *g, int layer, ng_error *err)
{
    NGI_TRY(ngi_attr_check_spatial(g, layer, err));
    int dense, pooled;
    if (!find_head(g, &dense, &pooled))
        return ngi_fail(
            err, NG_E_UNSUPPORTED,
            "CAM needs a head of global average pooling and one Dense layer; this model's head is another. "
            "Use --method gradcam, which equals CAM up to a factor where CAM applies");
    int node = g->layers[layer].node, source = pooled;
    while (source != node && g->nodes[source].op == NGI_OP_IDENTITY)
        source = g->nodes[source].inputs[0];
    if (source != node)
        return ngi_fail(
            err, NG_E_UNSUPPORTED,
            "CAM explains the layer that is pooled, '%s', not '%s'. Use --layer %s, or --method gradcam",
            g->layers[g->nodes[source].layer].name, g->layers[layer].name,
            g->layers[g->nodes[source].layer].name);
    return NG_OK;
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_graph *g = job->graph;
    int dense = 0, pooled = 0;
    (void)find_head(g, &dense, &pooled);
    const ngi_weight *w = &g->weights[g->nodes[dense].weights[0]]; /* [channels,classes] */
    int64_t channels = w->shape.dim[0], outputs = w->shape.dim[1];
    bool binary = job->head->width == 1 && job->head->classes == 2;
    int64_t unit = binary ? 0 : job->target.class_index;
    double sign = binary && job->target.class_index == 0 ? -1 : 1;
    ngi_attr_pair p = {0};
    p.act = ngi_attr_activations(job, &p.cells, &p.channels);
    double *weights = ngi_alloc((size_t)channels, sizeof *weights);
    if (!weights)
        return ngi_fail_memory(err, (size_t)channels * sizeof *weights);
    for (int64_t k = 0; k < channels; k++)
        weights[k] = sign * w->data[k * outputs + unit];
    ng_status status = ngi_attr_weigh(job, &p, weights, map, err);
    ngi_free(weights);
    return status;
}

const ngi_method ngi_method_cam = {
    .info =
        {
            .name = "cam",
            .title = "CAM",
            .summary = "channels weighted by the Dense layer after global average pooling",
            .cost = "1 forward",
            .source = "Zhou et al. 2016, arXiv:1512.04150",
            .assumes = "global average pooling straight into one Dense layer",
            .takes_gradient = 0,
            .at_layer = 1,
            .sums_channels = 1,
        },
    .check = check,
    .compute = compute,
};
