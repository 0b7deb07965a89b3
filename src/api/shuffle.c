/* The model with layers that have forgotten, the last one or a share of all from the output on, for controls: a map that does
 * not change with it says nothing about what was learned. Either their kernels' values in an order drawn at random (Fisher and
 * Yates), all else as it was; or that part of the network drawn anew, as before training (Adebayo et al., "Sanity checks for
 * saliency maps", 2018): kernels from He's normal distribution, by which activations keep their size in any depth, biases 0,
 * norms and slopes as they begin. Scalings that are operations of the graph (Rescaling, LayerScale) stay. */
#include "api/api.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

static bool has_kernel(const ngi_graph *g, int node)
{
    ngi_op op = g->nodes[node].op;
    return op == NGI_OP_CONV2D || op == NGI_OP_DEPTHWISE || op == NGI_OP_DENSE;
}

/* Room of its own for a weight, whose values are elsewhere until `replace`. */
static ng_status new_values(const ngi_weight *w, float **values, size_t *n, ng_error *err)
{
    *n = (size_t)ngi_shape_count(&w->shape);
    *values = ngi_alloc_aligned(*n * sizeof **values);
    return *values ? NG_OK : ngi_fail_memory(err, *n * sizeof **values);
}

static void replace(ngi_weight *w, float *values)
{
    if (!w->borrowed)
        ngi_free_aligned(w->data);
    w->data = values;
    w->borrowed = false;
}

static ng_status shuffle(ngi_weight *w, uint64_t seed, uint64_t stream, ng_error *err)
{
    size_t n;
    float *values;
    NGI_TRY(new_values(w, &values, &n, err));
    memcpy(values, w->data, n * sizeof *values);
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(ngi_random_uniform(seed, stream, i) * (double)i);
        float kept = values[i - 1];
        values[i - 1] = values[k];
        values[k] = kept;
    }
    replace(w, values);
    return NG_OK;
}

/* ---- Drawn anew -------------------------------------------------------------------------------- */

/* Numbers that one output of the kernel sums. */
static double fan_in(ngi_op op, const ngi_shape *kernel)
{
    const int64_t *d = kernel->dim;
    return (double)(op == NGI_OP_DENSE ? d[0] : op == NGI_OP_DEPTHWISE ? d[0] * d[1] : d[0] * d[1] * d[2]);
}

static ng_status draw(ngi_weight *w, ngi_op op, uint64_t seed, uint64_t stream, ng_error *err)
{
    size_t n;
    float *values;
    NGI_TRY(new_values(w, &values, &n, err));
    double deviation = sqrt(2 / fan_in(op, &w->shape));
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(deviation * ngi_random_normal(seed, stream, i));
    replace(w, values);
    return NG_OK;
}

static ng_status fill(ngi_weight *w, float value, ng_error *err)
{
    size_t n;
    float *values;
    NGI_TRY(new_values(w, &values, &n, err));
    for (size_t i = 0; i < n; i++)
        values[i] = value;
    replace(w, values);
    return NG_OK;
}

/* A layer's weights as they begin; other operations have none that are learned, or keep them. */
static ng_status begin(ngi_graph *g, int node, uint64_t seed, ng_error *err)
{
    static const float norm[NGI_NODE_WEIGHTS] = {1, 0, 0, 1}; /* gamma, beta, mean, variance */
    const ngi_node *n = &g->nodes[node];
    bool kernel = has_kernel(g, node);
    if (!kernel && n->op != NGI_OP_BATCHNORM && n->op != NGI_OP_LAYERNORM && n->op != NGI_OP_PRELU)
        return NG_OK;
    for (int k = 0; k < NGI_NODE_WEIGHTS; k++) {
        if (n->weights[k] < 0)
            continue;
        ngi_weight *w = &g->weights[n->weights[k]];
        float value = kernel || n->op == NGI_OP_PRELU ? 0 : norm[k];
        NGI_TRY(kernel && k == 0 ? draw(w, n->op, seed, (uint64_t)n->weights[k], err) : fill(w, value, err));
    }
    return NG_OK;
}

/* ---- Both -------------------------------------------------------------------------------------- */

ng_status ngi_shuffle(ngi_model_file *file, const ngi_head *head, const ng_model_opts *opts, ng_error *err)
{
    ngi_graph *g = file->graph;
    uint64_t seed = opts->shuffle_head;
    double depth = opts->shuffle_depth;
    int kernels = 0, done = 0;
    if (!(depth >= 0 && depth <= 1))
        return ngi_fail(err, NG_E_ARGUMENT, "shuffle depth %g: expected 0 to 1", depth);
    for (int i = 0; i <= head->logits; i++)
        kernels += has_kernel(g, i) && ngi_graph_reaches(g, i, head->logits);
    if (kernels == 0)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "no layer with weights leads to the model's output: there is none to shuffle");
    int wanted = (int)(depth * kernels + 0.5);
    wanted = wanted < 1 ? 1 : wanted;
    for (int i = head->logits; i >= 0 && (done < wanted || wanted == kernels); i--) {
        if (!ngi_graph_reaches(g, i, head->logits))
            continue;
        if (opts->shuffle_redraw)
            NGI_TRY(begin(g, i, seed, err));
        else if (has_kernel(g, i))
            NGI_TRY(shuffle(&g->weights[g->nodes[i].weights[0]], seed, (uint64_t)done, err));
        done += has_kernel(g, i);
    }
    return ngi_model_hash(file->config, file->config_size, g, file->hash, err);
}
