/* Running a plan: one block of memory, one array of pointers worked out when the session is made. */
#include "exec/session.h"

#include <string.h>

static float *activation(const ngi_run_session *s, int node)
{
    return (float *)(s->block + ngi_plan_place(s->plan, node));
}

static float *gradient(const ngi_run_session *s, int node)
{
    int storage = s->plan->grad_storage[node];
    return storage < 0 ? NULL : (float *)(s->block + s->plan->grad_offset[storage]);
}

static ng_status find_pointers(ngi_run_session *s, ng_error *err)
{
    const ngi_plan *p = s->plan;
    size_t total = 0, at = 0;
    for (int i = 0; i < p->n_steps; i++)
        total += (size_t)p->steps[i].step.n_inputs;
    s->steps = ngi_alloc_zero((size_t)p->n_steps, sizeof *s->steps);
    s->in = ngi_alloc_zero(total, sizeof *s->in);
    s->grad_in = ngi_alloc_zero(total, sizeof *s->grad_in);
    if (!s->steps || !s->in || !s->grad_in)
        return ngi_fail_memory(err, total * 2 * sizeof *s->in);
    for (int i = 0; i < p->n_steps; i++) {
        const ngi_step *step = &p->steps[i].step;
        s->steps[i] = (ngi_step_pointers){.in = s->in + at,
                                          .grad_in = s->grad_in + at,
                                          .out = activation(s, step->node),
                                          .grad_out = gradient(s, step->node)};
        for (int k = 0; k < step->n_inputs; k++, at++) {
            s->in[at] = activation(s, step->inputs[k]);
            s->grad_in[at] = gradient(s, step->inputs[k]);
        }
    }
    return NG_OK;
}

/* The bias begins at a cache line, as the kernel does. */
static int64_t bias_place(const ngi_plan_step *s)
{
    return (ngi_step_kernel_count(s) + 15) / 16 * 16;
}

static ng_status make_weight_grads(ngi_run_session *s, ng_error *err)
{
    int64_t most = 0;
    for (int i = 0; i < s->plan->n_steps; i++) {
        const ngi_plan_step *step = &s->plan->steps[i];
        int64_t count = step->trains ? bias_place(step) + ngi_step_bias_count(step) : 0;
        most = count > most ? count : most;
    }
    if (most == 0)
        return NG_OK;
    s->weight_grads = ngi_alloc_aligned((size_t)most * sizeof *s->weight_grads);
    return s->weight_grads ? NG_OK : ngi_fail_memory(err, (size_t)most * sizeof *s->weight_grads);
}

static ng_status make_contexts(ngi_run_session *s, ng_error *err)
{
    bool used[NGI_MAX_BACKENDS] = {false};
    for (int i = 0; i < s->plan->n_steps; i++)
        used[s->plan->steps[i].backend] = true;
    for (int i = 0; i < s->plan->n_steps; i++)
        if (s->plan->steps[i].trains)
            used[s->plan->steps[i].trainer_backend] = true;
    for (int b = 0; b < s->plan->n_backends; b++)
        if (used[b] && s->plan->backends[b]->context_create)
            NGI_TRY(s->plan->backends[b]->context_create(s->plan->threads, &s->contexts[b], err));
    return NG_OK;
}

ng_status ngi_run_session_create(ngi_plan *p, ngi_run_session **out, ng_error *err)
{
    *out = NULL;
    ngi_run_session *s = ngi_alloc_zero(1, sizeof *s);
    if (!s)
        return ngi_fail_memory(err, sizeof *s);
    s->plan = ngi_plan_share(p);
    s->block = ngi_alloc_aligned(p->bytes);
    ng_status status = s->block ? find_pointers(s, err) : ngi_fail_memory(err, p->bytes);
    if (status == NG_OK)
        status = make_weight_grads(s, err);
    if (status == NG_OK)
        status = make_contexts(s, err);
    if (status != NG_OK) {
        ngi_run_session_free(s);
        return status;
    }
    *out = s;
    return NG_OK;
}

void ngi_run_session_free(ngi_run_session *s)
{
    if (!s)
        return;
    for (int b = 0; b < s->plan->n_backends; b++)
        if (s->contexts[b])
            s->plan->backends[b]->context_free(s->contexts[b]);
    ngi_free(s->steps);
    ngi_free(s->in);
    ngi_free(s->grad_in);
    ngi_free(s->ones);
    ngi_free_aligned(s->weight_grads);
    ngi_cone_clear(&s->cone);
    ngi_free_aligned(s->block);
    ngi_plan_free(s->plan);
    ngi_free(s);
}

/* Images of the last forward. */
typedef struct images {
    int first, n;
} images;

/* Of a step's inputs, where the images do not begin with the first. */
typedef struct moved {
    const float *in[NGI_MAX_INPUTS];
    float *grad_in[NGI_MAX_INPUTS];
} moved;

int64_t ngi_session_skip(const ngi_plan *p, int node, int first)
{
    const ngi_shape *shape = &p->graph->nodes[node].shape;
    int64_t count = ngi_shape_count(shape), stride = p->stride[node];
    return first * (stride ? count / shape->dim[shape->rank - 1] * stride : count);
}

static ngi_run run_of(const ngi_run_session *s, int step, int n)
{
    const ngi_step_pointers *pointers = &s->steps[step];
    return (ngi_run){.n = n,
                     .in = pointers->in,
                     .out_stride = s->plan->stride[s->plan->steps[step].step.node],
                     .out = pointers->out,
                     .grad_out = pointers->grad_out,
                     .grad_in = pointers->grad_in,
                     .accumulate = s->plan->steps[step].accumulate,
                     .scratch = s->block,
                     .context = s->contexts[s->plan->steps[step].backend]};
}

/* For a backward pass. room: used by the run. */
static ngi_run run_of_images(const ngi_run_session *s, int index, images of, moved *room)
{
    const ngi_step *step = &s->plan->steps[index].step;
    ngi_run run = run_of(s, index, of.n);
    if (of.first == 0)
        return run;
    for (int i = 0; i < step->n_inputs; i++) {
        int64_t count = of.first * ngi_shape_count(&s->plan->graph->nodes[step->inputs[i]].shape);
        room->in[i] = run.in[i] + ngi_session_skip(s->plan, step->inputs[i], of.first);
        room->grad_in[i] = run.grad_in[i] ? run.grad_in[i] + count : NULL;
    }
    run.in = room->in;
    run.grad_in = room->grad_in;
    run.out += ngi_session_skip(s->plan, step->node, of.first);
    run.grad_out += of.first * ngi_shape_count(step->out_shape);
    return run;
}

ng_status ngi_session_step(const ngi_run_session *s, int step, int n, const ngi_rect *parts, ng_error *err)
{
    const ngi_kernel *k = &s->plan->steps[step].kernel;
    ngi_run run = run_of(s, step, n);
    run.parts = parts;
    return k->forward(k, &run, err);
}

void ngi_session_take(const ngi_run_session *s, const float *const *inputs, int n)
{
    const ngi_plan *p = s->plan;
    for (int i = 0; i < p->n_inputs; i++)
        memcpy(activation(s, p->inputs[i]), inputs[i],
               (size_t)n * (size_t)ngi_shape_count(&p->graph->nodes[p->inputs[i]].shape) * sizeof(float));
}

ng_status ngi_run_forward(ngi_run_session *s, const float *const *inputs, int n, ng_error *err)
{
    const ngi_plan *p = s->plan;
    if (n < 1 || n > p->batch)
        return ngi_fail(err, NG_E_ARGUMENT, "%d images, the plan is for 1 to %d", n, p->batch);
    s->images = 0;
    ngi_session_take(s, inputs, n);
    ngi_overflow_clear(p->threads);
    for (int i = 0; i < p->n_steps; i++)
        NGI_TRY(ngi_session_step(s, i, n, NULL, err));
    s->overflowed = ngi_overflow_seen(p->threads);
    s->images = n;
    return NG_OK;
}

bool ngi_run_overflowed(const ngi_run_session *s)
{
    return s->overflowed;
}

/* Leads the gradient of a reshape or identity on to its input. */
static void pass_on(const ngi_run_session *s, const ngi_backward_item *item, images of)
{
    const ngi_node *node = &s->plan->graph->nodes[item->node];
    int64_t one = ngi_shape_count(&node->shape), count = of.n * one;
    float *to = gradient(s, node->inputs[0]) + of.first * one;
    const float *from = gradient(s, item->node) + of.first * one;
    if (!item->accumulate)
        memcpy(to, from, (size_t)count * sizeof *to);
    else
        for (int64_t i = 0; i < count; i++)
            to[i] += from[i];
}

static bool is_relu(const ngi_activation_attr *a)
{
    return a->kind == NGI_ACT_RELU6 ||
           (a->kind == NGI_ACT_RELU && a->alpha == 0 && a->threshold == 0 && a->max_value > 1);
}

/* The step ends in a ReLU, fused or its own. */
static bool ends_in_relu(const ngi_step *step)
{
    return step->has_act ? is_relu(&step->act) : step->op == NGI_OP_ACTIVATION && is_relu(&step->attr->act);
}

/* 1 is above every ReLU's threshold and below its maximum. */
static ng_status make_ones(ngi_run_session *s, ng_error *err)
{
    const ngi_plan *p = s->plan;
    int64_t most = 1;
    for (int i = 0; i < p->n_steps; i++)
        if (ends_in_relu(&p->steps[i].step) && ngi_shape_count(p->steps[i].step.out_shape) > most)
            most = ngi_shape_count(p->steps[i].step.out_shape);
    size_t count = (size_t)most * (size_t)p->batch;
    s->ones = ngi_alloc(count, sizeof *s->ones);
    if (!s->ones)
        return ngi_fail_memory(err, count * sizeof *s->ones);
    for (size_t i = 0; i < count; i++)
        s->ones[i] = 1;
    return NG_OK;
}

/* Of the weights of a step, whose gradients lie in one place until they are added to the others: near, and each once. */
static ng_status train_step(const ngi_run_session *s, const ngi_plan_step *step, ngi_run train,
                            const ngi_weight_grads *to, ng_error *err)
{
    train.grad_kernel = step->step.trains_kernel ? s->weight_grads : NULL;
    train.grad_bias = step->step.trains_bias ? s->weight_grads + bias_place(step) : NULL;
    train.context = s->contexts[step->trainer_backend];
    NGI_TRY(step->trainer.backward(&step->trainer, &train, err));
    if (to->take)
        to->take(to->context, step->place);
    ng_status status = ngi_plan_unfold(s->plan, step, train.grad_kernel, train.grad_bias, to->grads, err);
    if (to->pass && step->place_ends)
        to->pass(to->context, step->place);
    return status;
}

/* What a backward pass is to find. */
typedef struct backward_task {
    images of;
    ngi_relu_rule rule;
    const ngi_weight_grads *to; /* NULL: none */
} backward_task;

static ng_status step_backward(const ngi_run_session *s, int index, const backward_task *task, ng_error *err)
{
    const ngi_plan_step *step = &s->plan->steps[index];
    images of = task->of;
    moved room;
    ngi_run run = run_of_images(s, index, of, &room);
    const float *ones = s->ones;
    int64_t one = ngi_shape_count(step->step.out_shape), count = of.n * one;
    float *g = s->steps[index].grad_out + of.first * one; /* what run.grad_out reads */
    if (task->rule != NGI_RELU_GRADIENT && ends_in_relu(&step->step)) {
        for (int64_t i = 0; i < count; i++)
            g[i] = g[i] > 0 ? g[i] : 0;
        if (task->rule == NGI_RELU_DECONV) {
            run.out = s->ones;
            if (!step->step.has_act)
                run.in = &ones;
        }
    }
    if (step->trains && task->to) {
        if (step->step.has_act)
            ngi_activate_grad(&step->step.act, run.out, run.grad_out, g, count);
        run.activated = true;
        NGI_TRY(train_step(s, step, run, task->to, err));
    }
    return step->backward ? step->kernel.backward(&step->kernel, &run, err) : NG_OK;
}

ng_status ngi_run_backward(ngi_run_session *s, const float *seed, int n, int to, ng_error *err)
{
    return ngi_run_backward_rule(s, seed, n, to, NGI_RELU_GRADIENT, err);
}

static ng_status run_backward(ngi_run_session *s, const float *seed, backward_task task, int to,
                              ng_error *err)
{
    const ngi_plan *p = s->plan;
    int64_t width = ngi_shape_count(&p->graph->nodes[p->root].shape);
    if (p->grad_storage[p->root] < 0)
        return ngi_fail(err, NG_E_ARGUMENT, "the plan was made without gradients");
    if (to >= 0 && !p->wanted[to])
        return ngi_fail(err, NG_E_ARGUMENT, "the plan was made without the gradient of '%s'",
                        p->graph->nodes[to].name);
    if (task.rule == NGI_RELU_DECONV && !s->ones)
        NGI_TRY(make_ones(s, err));
    uint64_t asked = to < 0 ? ~(uint64_t)0 : ngi_plan_wanted_bit(p, to);
    memcpy(gradient(s, p->root) + task.of.first * width, seed, (size_t)(task.of.n * width) * sizeof(float));
    for (int i = 0; i < p->n_items; i++) {
        const ngi_backward_item *item = &p->items[i];
        if (!(item->serves & asked))
            continue;
        if (item->step < 0) {
            pass_on(s, item, task.of);
            continue;
        }
        NGI_TRY(step_backward(s, item->step, &task, err));
    }
    return NG_OK;
}

/* Of all n images of the last forward. */
static ng_status run_backward_all(ngi_run_session *s, const float *seed, int n, backward_task task, int to,
                                  ng_error *err)
{
    if (n < 1 || n != s->images)
        return ngi_fail(err, NG_E_ARGUMENT, "backward of %d images after a forward of %d", n, s->images);
    task.of = (images){0, n};
    return run_backward(s, seed, task, to, err);
}

ng_status ngi_run_backward_rule(ngi_run_session *s, const float *seed, int n, int to, ngi_relu_rule rule,
                                ng_error *err)
{
    return run_backward_all(s, seed, n, (backward_task){.rule = rule}, to, err);
}

ng_status ngi_run_train(ngi_run_session *s, const float *seed, int n, const ngi_weight_grads *to,
                        ng_error *err)
{
    return run_backward_all(s, seed, n, (backward_task){.to = to}, -1, err);
}

ng_status ngi_run_backward_image(ngi_run_session *s, const float *seed, int image, int to, ngi_relu_rule rule,
                                 ng_error *err)
{
    if (image < 0 || image >= s->images)
        return ngi_fail(err, NG_E_ARGUMENT, "backward of image %d after a forward of %d", image, s->images);
    return run_backward(s, seed, (backward_task){.of = {image, 1}, .rule = rule}, to, err);
}

const float *ngi_run_activation(const ngi_run_session *s, int node)
{
    return s->plan->visible[node] ? activation(s, node) : NULL;
}

const float *ngi_run_gradient(const ngi_run_session *s, int node)
{
    return s->plan->wanted[node] ? gradient(s, node) : NULL;
}
