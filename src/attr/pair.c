/* Activations and gradients at the explained layer: what every gradient CAM begins with. */
#include "attr/attr.h"
#include "attr/principal.h"

#include <math.h>
#include <string.h>

ng_status ngi_attr_backward(const ngi_attr_job *job, ng_error *err)
{
    size_t width = (size_t)job->head->width, at = (size_t)job->index * width;
    ngi_target_seed(job->head, &job->target, ngi_run_activation(job->run, job->head->logits) + at,
                    ngi_run_activation(job->run, job->head->output) + at, job->seed);
    return ngi_run_backward_image(job->run, job->seed, job->index, job->graph->layers[job->layer].node,
                                  NGI_RELU_GRADIENT, err);
}

bool ngi_attr_pools_everything(const ngi_graph *g, int node)
{
    const ngi_node *n = &g->nodes[node];
    if (n->op == NGI_OP_GLOBAL_AVG)
        return true;
    if (n->op != NGI_OP_AVG_POOL)
        return false;
    const ngi_shape *in = &g->nodes[n->inputs[0]].shape;
    return n->shape.dim[0] == 1 && n->shape.dim[1] == 1 && n->attr.kernel_h == in->dim[0] &&
           n->attr.kernel_w == in->dim[1];
}

const float *ngi_attr_activations(const ngi_attr_job *job, int64_t *cells, int64_t *channels)
{
    int node = job->graph->layers[job->layer].node;
    const ngi_shape *s = &job->graph->nodes[node].shape;
    *cells = s->dim[0] * s->dim[1];
    *channels = s->dim[2];
    return ngi_run_activation(job->run, node) + job->index * *cells * *channels;
}

ng_status ngi_attr_pair_compute(const ngi_attr_job *job, ng_map *map, ngi_attr_pair *out, ng_error *err)
{
    NGI_TRY(ngi_attr_backward(job, err));
    int node = job->graph->layers[job->layer].node;
    out->channels = job->graph->nodes[node].shape.dim[2];
    out->cells = (int64_t)map->height * map->width;
    int64_t image = job->index * out->cells * out->channels;
    out->act = ngi_run_activation(job->run, node) + image;
    out->grad = ngi_run_gradient(job->run, node) + image;
    map->gradient_norm = sqrt(ngi_dot(out->grad, out->grad, out->cells * out->channels));
    return NG_OK;
}

ng_status ngi_attr_weigh(const ngi_attr_job *job, const ngi_attr_pair *p, const double *weights, ng_map *map,
                         ng_error *err)
{
    double *terms = job->eigen ? ngi_alloc((size_t)(p->cells * p->channels), sizeof *terms) : NULL;
    if (job->eigen && !terms)
        return ngi_fail_memory(err, (size_t)(p->cells * p->channels) * sizeof *terms);
    for (int64_t i = 0; i < p->cells; i++) {
        double sum = 0;
        for (int64_t k = 0; k < p->channels; k++) {
            double term = weights[k] * p->act[i * p->channels + k];
            sum += term;
            if (terms)
                terms[i * p->channels + k] = term;
        }
        map->signed_data[i] = (float)sum;
    }
    ng_status status = terms ? ngi_attr_principal(terms, p->cells, p->channels, map, err) : NG_OK;
    ngi_free(terms);
    return status;
}

ng_status ngi_attr_principal(const double *terms, int64_t cells, int64_t channels, ng_map *map, ng_error *err)
{
    double *projection = ngi_alloc((size_t)cells, sizeof *projection);
    ng_status status = projection ? ngi_principal_projection(terms, cells, channels, projection, err)
                                  : ngi_fail_memory(err, (size_t)cells * sizeof *projection);
    for (int64_t i = 0; i < cells && status == NG_OK; i++)
        map->signed_data[i] = (float)projection[i];
    ngi_free(projection);
    return status;
}
