/* FullGrad (Srinivas & Fleuret, 2019): the gradient to the input times the input, and to every bias times the bias, each
 * channel's absolute values scaled to 0..1, upsampled and summed:
 *   sum_c psi(|x dS/dx|) + sum_layers sum_c psi(|b dS/db|).
 * A batch norm's bias is beta - mean gamma / sqrt(variance + epsilon), a layer norm's beta. Biases without a place in the
 * picture (of dense layers behind it) have no map. Variant pgc adds 1e-7 to what a channel is divided by, as pytorch-grad-cam does; that matters where
 * gradients are small. Since upsampling is linear, the channels of a layer are summed before it. */
#include "attr/attr.h"

#include <math.h>
#include <string.h>

static const ng_method_parameter parameters[] = {
    {.name = "variant",
     .choices = "paper|pgc",
     .summary = "of the scaling to 0..1; pgc adds 1e-7 to the divisor"},
};

extern const ngi_method ngi_method_fullgrad;

static bool has_spatial_bias(const ngi_graph *g, const ngi_node *n)
{
    if (!n->feeds_output || n->shape.rank != 3)
        return false;
    switch (n->op) {
    case NGI_OP_BATCHNORM:
        return true;
    case NGI_OP_CONV2D:
    case NGI_OP_DEPTHWISE:
    case NGI_OP_DENSE: /* of every cell's channels */
    case NGI_OP_LAYERNORM:
        return n->weights[1] >= 0 && ngi_shape_count(&g->weights[n->weights[1]].shape) == n->shape.dim[2];
    default:
        return false;
    }
}

static double bias_of(const ngi_graph *g, const ngi_node *n, int64_t c)
{
    const float *w[NGI_NODE_WEIGHTS];
    for (int i = 0; i < NGI_NODE_WEIGHTS; i++)
        w[i] = n->weights[i] >= 0 ? g->weights[n->weights[i]].data : NULL;
    if (n->op != NGI_OP_BATCHNORM)
        return w[1][c];
    double scale = (w[0] ? w[0][c] : 1.0) / sqrt((double)w[3][c] + n->attr.epsilon);
    return (w[1] ? w[1][c] : 0.0) - w[2][c] * scale;
}

typedef struct full {
    const ngi_attr_job *job;
    const int *nodes; /* [n]; the first is the input */
    int n;
    double epsilon; /* added to what a channel is divided by */
    ng_map *map;
    float *layer, *large; /* a layer's sum; at the input's size */
} full;

/* Adds psi of every channel of |factor * gradient|, summed, to the map. factor: the input, or a bias a channel. */
static void add_node(full *f, int node, const float *gradient)
{
    const ngi_graph *g = f->job->graph;
    const ngi_node *n = &g->nodes[node];
    int h = (int)n->shape.dim[0], w = (int)n->shape.dim[1];
    int64_t cells = (int64_t)h * w, channels = n->shape.dim[2];
    memset(f->layer, 0, (size_t)cells * sizeof *f->layer);
    for (int64_t c = 0; c < channels; c++) {
        double bias = n->op == NGI_OP_INPUT ? 0 : bias_of(g, n, c), low = INFINITY, high = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < cells; i++) {
                double factor = n->op == NGI_OP_INPUT ? f->job->input[i * channels + c] : bias;
                double value = fabs(factor * gradient[i * channels + c]);
                if (pass == 0) {
                    low = fmin(low, value);
                    high = fmax(high, value);
                } else if (high > low) {
                    f->layer[i] += (float)((value - low) / (high - low + f->epsilon));
                }
            }
    }
    const float *large = f->layer;
    if (h != f->map->height || w != f->map->width) {
        ngi_resize_bilinear(f->layer, h, w, 0, 0, h, w, f->large, f->map->height, f->map->width);
        large = f->large;
    }
    for (int64_t i = 0; i < (int64_t)f->map->height * f->map->width; i++)
        f->map->signed_data[i] += large[i];
}

static void make(void *context, int i, float *const *x)
{
    const full *f = context;
    (void)i;
    ngi_shape input = ngi_attr_input_shape(f->job->graph);
    memcpy(x[0], f->job->input, (size_t)ngi_shape_count(&input) * sizeof **x);
}

static void take_run(void *context, int i, const ngi_run_session *run, int at)
{
    full *f = context;
    (void)i;
    (void)at;
    double square = 0;
    for (int k = 0; k < f->n; k++) {
        const float *gradient = ngi_run_gradient(run, f->nodes[k]);
        int64_t count = ngi_shape_count(&f->job->graph->nodes[f->nodes[k]].shape);
        square += k == 0 ? ngi_dot(gradient, gradient, count) : 0;
        add_node(f, f->nodes[k], gradient);
    }
    f->map->gradient_norm = sqrt(square);
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_graph *g = job->graph;
    int *nodes = ngi_alloc((size_t)g->n_nodes, sizeof *nodes), n = 0;
    int64_t most = (int64_t)map->height * map->width;
    if (!nodes)
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *nodes);
    nodes[n++] = g->inputs[0];
    for (int i = 0; i < g->n_nodes; i++)
        if (has_spatial_bias(g, &g->nodes[i]) && ngi_graph_reaches(g, i, job->head->logits)) {
            int64_t cells = g->nodes[i].shape.dim[0] * g->nodes[i].shape.dim[1];
            most = cells > most ? cells : most;
            nodes[n++] = i;
        }
    full f = {.job = job,
              .nodes = nodes,
              .n = n,
              .map = map,
              .epsilon = ngi_parameter(&ngi_method_fullgrad, job, "variant") == 1 ? 1e-7 : 0};
    f.layer = ngi_alloc(2 * (size_t)most, sizeof *f.layer);
    ng_status status = f.layer ? NG_OK : ngi_fail_memory(err, 2 * (size_t)most * sizeof *f.layer);
    f.large = f.layer ? f.layer + most : NULL;
    ngi_sampling s = {
        .count = 1, .gradient_node = NGI_ALL_GRADIENTS, .make = make, .take_run = take_run, .context = &f};
    if (status == NG_OK)
        status = ngi_part_gradients(job, nodes, n, &s.part, err);
    if (status == NG_OK)
        status = ngi_attr_sample(job, &s, NULL, err);
    ngi_free(f.layer);
    ngi_free(nodes);
    return status;
}

const ngi_method ngi_method_fullgrad = {
    .info =
        {
            .name = "fullgrad",
            .title = "FullGrad",
            .summary = "gradients of the input and of every bias, layer by layer, summed",
            .cost = "2 forwards + backward to the input",
            .source = "Srinivas & Fleuret 2019, arXiv:1905.00780",
            .assumes = "the network's nonlinearities are piecewise linear",
            .takes_gradient = 1,
            .at_input = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_input,
    .compute = compute,
};
