/* The model with layers that have forgotten, the last one or a share of all from the output on: their kernels' values in an
 * order drawn at random (Fisher and Yates), all else as it was. A map that does not change with it says nothing about the class. */
#include "api/api.h"

#include <string.h>

#include "base/random.h"

static bool has_kernel(const ngi_graph *g, int node, int logits)
{
    ngi_op op = g->nodes[node].op;
    bool weighted = op == NGI_OP_CONV2D || op == NGI_OP_DEPTHWISE || op == NGI_OP_DENSE;
    return weighted && ngi_graph_reaches(g, node, logits);
}

static ng_status shuffle(ngi_weight *w, uint64_t seed, uint64_t stream, ng_error *err)
{
    size_t n = (size_t)ngi_shape_count(&w->shape);
    float *values = ngi_alloc_aligned(n * sizeof *values);
    if (!values)
        return ngi_fail_memory(err, n * sizeof *values);
    memcpy(values, w->data, n * sizeof *values);
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(ngi_random_uniform(seed, stream, i) * (double)i);
        float kept = values[i - 1];
        values[i - 1] = values[k];
        values[k] = kept;
    }
    if (!w->borrowed)
        ngi_free_aligned(w->data);
    w->data = values;
    w->borrowed = false;
    return NG_OK;
}

ng_status ngi_shuffle_head(ngi_model_file *file, const ngi_head *head, unsigned seed, double depth,
                           ng_error *err)
{
    ngi_graph *g = file->graph;
    int weighted = 0, done = 0;
    if (!(depth >= 0 && depth <= 1))
        return ngi_fail(err, NG_E_ARGUMENT, "shuffle depth %g: expected 0 to 1", depth);
    for (int i = 0; i <= head->logits; i++)
        weighted += has_kernel(g, i, head->logits);
    if (weighted == 0)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "no layer with weights leads to the model's output: there is none to shuffle");
    int wanted = (int)(depth * weighted + 0.5);
    wanted = wanted < 1 ? 1 : wanted;
    for (int i = head->logits; i >= 0 && done < wanted; i--)
        if (has_kernel(g, i, head->logits))
            NGI_TRY(shuffle(&g->weights[g->nodes[i].weights[0]], seed, (uint64_t)done++, err));
    return ngi_model_hash(file->config, file->config_size, g, file->hash, err);
}
