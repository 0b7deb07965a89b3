/* The model with a last layer that has forgotten: its kernel's values in an order drawn at random (Fisher and Yates), all
 * else as it was. A map that does not change with it says nothing about the class. */
#include "api/api.h"

#include <string.h>

#include "base/random.h"

/* The last node with a kernel on the way to the logits; -1: there is none. */
static int last_weighted(const ngi_graph *g, int node)
{
    while (g->nodes[node].weights[0] < 0 && g->nodes[node].n_inputs)
        node = g->nodes[node].inputs[0];
    return g->nodes[node].weights[0] < 0 ? -1 : node;
}

ng_status ngi_shuffle_head(ngi_model_file *file, const ngi_head *head, unsigned seed, ng_error *err)
{
    ngi_graph *g = file->graph;
    int node = last_weighted(g, head->logits);
    if (node < 0)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "no layer with weights leads to the model's output: there is none to shuffle");
    ngi_weight *w = &g->weights[g->nodes[node].weights[0]];
    size_t n = (size_t)ngi_shape_count(&w->shape);
    float *values = ngi_alloc_aligned(n * sizeof *values);
    if (!values)
        return ngi_fail_memory(err, n * sizeof *values);
    memcpy(values, w->data, n * sizeof *values);
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(ngi_random_uniform(seed, 0, i) * (double)i);
        float kept = values[i - 1];
        values[i - 1] = values[k];
        values[k] = kept;
    }
    if (!w->borrowed)
        ngi_free_aligned(w->data);
    w->data = values;
    w->borrowed = false;
    return ngi_model_hash(file->config, file->config_size, g, file->hash, err);
}
