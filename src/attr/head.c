/* The end of the network: what its scores mean, and the gradient of one score at the logits. */
#include "attr/attr.h"

#include <math.h>
#include <string.h>

ngi_head ngi_head_of(const ngi_graph *g)
{
    ngi_head head = {.output = g->outputs[0]};
    head.logits = ngi_graph_logits(g, &head.activation, &head.softmax);
    head.width = (int)ngi_shape_count(&g->nodes[head.output].shape);
    head.classes = head.width == 1 && head.activation == NGI_ACT_SIGMOID ? 2 : head.width;
    return head;
}

static void softmax(const float *z, int n, float *p)
{
    float top = z[0];
    for (int i = 1; i < n; i++)
        top = z[i] > top ? z[i] : top;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)z[i] - top);
    for (int i = 0; i < n; i++)
        p[i] = (float)(exp((double)z[i] - top) / sum);
}

void ngi_head_scores(const ngi_head *head, const float *logits, const float *output, float *z, float *p)
{
    if (head->classes == 2 && head->width == 1) {
        z[0] = -logits[0];
        z[1] = logits[0];
        p[0] = (float)(1.0 / (1.0 + exp((double)logits[0])));
        p[1] = output[0];
        return;
    }
    memcpy(z, logits, (size_t)head->width * sizeof *z);
    if (head->softmax || head->activation == NGI_ACT_SIGMOID)
        memcpy(p, output, (size_t)head->width * sizeof *p);
    else if (head->width == 1)
        p[0] = (float)(1.0 / (1.0 + exp(-(double)logits[0])));
    else
        softmax(logits, head->width, p);
}

/* dS/dlogits of one image, [width]. The probability's gradient is taken in float32 from the model's own
 * output, as TensorFlow's SoftmaxGrad does, so that it saturates where Keras's does. */
static void seed_image(const ngi_attr_job *job, const float *output, float *seed)
{
    const ngi_head *head = job->head;
    bool binary = head->width == 1 && head->classes == 2;
    int unit = binary ? 0 : job->class_index;
    float sign = binary && job->class_index == 0 ? -1.0f : 1.0f;
    if (job->target == NG_TARGET_LOGIT || (!head->softmax && head->activation == NGI_ACT_LINEAR))
        seed[unit] = sign;
    else if (head->softmax)
        for (int j = 0; j < head->width; j++)
            seed[j] = ((j == unit ? 1.0f : 0.0f) - output[unit]) * output[j];
    else
        seed[unit] = sign * output[unit] * (1.0f - output[unit]);
}

ng_status ngi_attr_backward(const ngi_attr_job *job, ng_error *err)
{
    size_t width = (size_t)job->head->width;
    memset(job->seed, 0, (size_t)job->n * width * sizeof *job->seed);
    const float *output = ngi_run_activation(job->run, job->head->output); /* [n,width] */
    seed_image(job, output + (size_t)job->index * width, job->seed + (size_t)job->index * width);
    return ngi_run_backward(job->run, job->seed, job->n, job->graph->layers[job->layer].node, err);
}
