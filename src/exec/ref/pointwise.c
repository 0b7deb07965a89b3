/* Activations as steps of their own, and the copies that aliased nodes need when they cannot be aliased. */
#include "exec/ref/ref.h"

#define CHUNK 1024 /* elements a gradient to be added is computed at a time */

void ngi_ref_identity_forward(const ngi_ref *k, const ngi_run *run)
{
    ngi_ref_store(run->out, run->in[0], run->n * k->in_count, false);
}

void ngi_ref_identity_backward(const ngi_ref *k, const ngi_run *run)
{
    ngi_ref_store(run->grad_in[0], run->grad_out, run->n * k->in_count, run->accumulate[0]);
}

void ngi_ref_activation_forward(const ngi_ref *k, const ngi_run *run)
{
    ngi_activate(&k->step.attr->act, run->in[0], run->out, run->n * k->in_count);
}

void ngi_ref_activation_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t count = run->n * k->in_count;
    if (!run->accumulate[0]) {
        ngi_activate_grad(&k->step.attr->act, run->in[0], run->grad_out, run->grad_in[0], count);
        return;
    }
    float part[CHUNK];
    for (int64_t i = 0; i < count; i += CHUNK) {
        int64_t n = count - i < CHUNK ? count - i : CHUNK;
        ngi_activate_grad(&k->step.attr->act, run->in[0] + i, run->grad_out + i, part, n);
        ngi_ref_store(run->grad_in[0] + i, part, n, true);
    }
}
