/* The end of the network: what its scores mean, as logits and probabilities. */
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
