/* Running the network, or what lies behind a layer, on inputs that a method makes. Results are taken in the order of the
 * samples whatever the number of threads; since a batch gives the bytes of its images run singly, a map's bytes do not
 * depend on threads either. */
#include "attr/part.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

/* ---- Sampling ------------------------------------------------------------------------------- */

/* Of a run's arithmetic; where more is left the parts are not worth their edges. */
#define MOST_NEAR  0.95
/* Samples for which a base's run is no matter. */
#define LEAST_NEAR 8

/* One worker's share of a round. */
typedef struct share {
    const ngi_attr_job *job;
    const ngi_sampling *s;
    const ngi_base *base; /* or NULL */
    ngi_worker *w;
    int first, count;
    ng_status status;
    ng_error err;
} share;

static ng_status run_share(share *h)
{
    const ngi_attr_job *job = h->job;
    const ngi_part *p = h->s->part;
    const ngi_head *head = job->head;
    size_t width = (size_t)head->width;
    float *x[NGI_MAX_INPUTS];
    for (int i = 0; i < h->count; i++) {
        for (int k = 0; k < p->n_starts; k++)
            x[k] = h->w->x[k] + i * ngi_node_count(job->graph, p->starts[k]);
        h->s->make(h->s->context, h->first + i, x);
    }
    const float *const *inputs = (const float *const *)h->w->x;
    if (h->base)
        return ngi_run_forward_near(h->w->run, h->base, MOST_NEAR, inputs, h->count, &h->err);
    NGI_TRY(ngi_run_forward(h->w->run, inputs, h->count, &h->err));
    if (h->s->gradient_node == -1)
        return NG_OK;
    const float *logits = ngi_run_activation(h->w->run, head->logits);
    const float *output = ngi_run_activation(h->w->run, head->output);
    for (size_t i = 0; i < (size_t)h->count; i++)
        ngi_target_seed(head, &job->target, logits + i * width, output + i * width, h->w->seed + i * width);
    int to = h->s->gradient_node == NGI_ALL_GRADIENTS ? -1 : h->s->gradient_node;
    return ngi_run_backward_rule(h->w->run, h->w->seed, h->count, to, h->s->rule, &h->err);
}

static void *run_thread(void *context)
{
    share *h = context;
    h->status = run_share(h);
    return NULL;
}

static void take_share(const share *h)
{
    const ngi_sampling *s = h->s;
    const ngi_head *head = h->job->head;
    size_t width = (size_t)head->width;
    const float *logits = ngi_run_activation(h->w->run, head->logits);
    const float *output = ngi_run_activation(h->w->run, head->output);
    const float *gradient = s->gradient_node < 0 ? NULL : ngi_run_gradient(h->w->run, s->gradient_node);
    for (int i = 0; i < h->count; i++) {
        const float *z = logits + (size_t)i * width, *p = output + (size_t)i * width;
        if (s->take_run)
            s->take_run(s->context, h->first + i, h->w->run, i);
        if (s->take)
            s->take(s->context, h->first + i, ngi_target_score(head, &h->job->target, z, p),
                    gradient ? gradient + i * ngi_node_count(h->job->graph, s->gradient_node) : NULL);
    }
}

/* Runs the next samples on n workers: a thread each, the last one on the caller's. */
static ng_status run_round(share *shares, int n, ng_error *err)
{
    pthread_t threads[64];
    bool started[64] = {false};
    for (int i = 0; i < n - 1; i++)
        started[i] = pthread_create(&threads[i], NULL, run_thread, &shares[i]) == 0;
    for (int i = 0; i < n; i++)
        if (!started[i])
            run_thread(&shares[i]);
    for (int i = 0; i < n - 1; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
    for (int i = 0; i < n; i++) {
        if (shares[i].status != NG_OK) {
            if (err)
                *err = shares[i].err;
            return shares[i].status;
        }
        take_share(&shares[i]);
    }
    return NG_OK;
}

double ngi_attr_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ng_status sample_all(const ngi_attr_job *job, const ngi_sampling *s, int threads, const ngi_base *base,
                            int *done, ng_error *err)
{
    share shares[64];
    int batch = s->part->batch, taken = 0, least = s->least > 1 ? s->least : 1;
    double end = job->seconds > 0 ? ngi_attr_seconds() + job->seconds : 0;
    while (taken < s->count && !(end > 0 && taken >= least && ngi_attr_seconds() >= end)) {
        if (job->progress && job->progress(job->context, taken, s->count))
            return ngi_fail(err, NG_E_CANCELLED, "interrupted after %d of %d samples", taken, s->count);
        int n = 0;
        for (; n < threads && taken < s->count; n++) {
            int left = s->count - taken;
            shares[n] = (share){.job = job,
                                .s = s,
                                .base = base,
                                .w = &s->part->workers[n],
                                .first = taken,
                                .count = left < batch ? left : batch};
            taken += shares[n].count;
        }
        NGI_TRY(run_round(shares, n, err));
    }
    if (done)
        *done = taken;
    return NG_OK;
}

ng_status ngi_attr_sample(const ngi_attr_job *job, const ngi_sampling *s, int *done, ng_error *err)
{
    int batch = s->part->batch, threads = job->threads < 1 ? 1 : job->threads > 64 ? 64 : job->threads;
    int runs = (s->count + batch - 1) / batch;
    threads = threads > runs ? runs : threads;
    NGI_TRY(ngi_part_want(job, s->part, threads, err));
    ngi_base *base = NULL;
    if (s->base && s->gradient_node == -1 && s->count > LEAST_NEAR)
        NGI_TRY(ngi_base_create(s->part->workers[0].run, s->base, &base, err));
    ng_status status = sample_all(job, s, threads, base, done, err);
    ngi_base_free(base);
    return status;
}

static int report_steps(void *context, int done, int total)
{
    const ngi_steps *s = context;
    (void)done;
    (void)total;
    return s->job->progress(s->job->context, s->done, s->total);
}

ngi_attr_job ngi_job_of_steps(ngi_steps *steps)
{
    ngi_attr_job one = *steps->job;
    one.seconds = 0;
    one.progress = one.progress ? report_steps : NULL;
    one.context = steps;
    return one;
}

const char *ngi_attr_done(char text[NGI_DONE_TEXT], int done, int total, const char *what)
{
    if (done < total)
        snprintf(text, NGI_DONE_TEXT, "%d of %d %s in the time given", done, total, what);
    else
        snprintf(text, NGI_DONE_TEXT, "%d %s", done, what);
    return text;
}
