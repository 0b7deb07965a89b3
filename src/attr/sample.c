/* Running the network, or what lies behind a layer, on inputs that a method makes. Results are taken in the order of the
 * samples whatever the number of threads; since a batch gives the bytes of its images run singly, a map's bytes do not
 * depend on threads either. */
#include "attr/attr.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct worker {
    ngi_run_session *run;
    float **x;   /* [n_starts]: [batch] + shape */
    float *seed; /* [batch,width] */
} worker;

struct ngi_part {
    ngi_part *next;    /* in the pool */
    ngi_plan *plan;    /* counted */
    int node;          /* behind which it lies; -1: the whole network */
    int *gradients_of; /* [n_gradients] nodes, of the whole network; NULL: those of the job's plan */
    int n_gradients;
    int batch;
    bool gradients;
    int *starts; /* [n_starts] nodes */
    int n_starts;
    ngi_plan *base_plan; /* gives the starts' activations where the job's session does not; or NULL */
    ngi_run_session *base_run;
    const float **base; /* [n_starts], of the job's image */
    worker *workers;
    int n_workers;
};

struct ngi_pool {
    ngi_plan *plan; /* of the job's session; counted */
    ngi_part *parts;
};

/* ---- Life ----------------------------------------------------------------------------------- */

static void worker_free(worker *w, int n_starts)
{
    ngi_run_session_free(w->run);
    for (int i = 0; i < n_starts && w->x; i++)
        ngi_free(w->x[i]);
    ngi_free(w->x);
    ngi_free(w->seed);
}

static void part_free(ngi_part *p)
{
    for (int i = 0; i < p->n_workers; i++)
        worker_free(&p->workers[i], p->n_starts);
    ngi_free(p->workers);
    ngi_run_session_free(p->base_run);
    ngi_plan_free(p->base_plan);
    ngi_plan_free(p->plan);
    ngi_free(p->gradients_of);
    ngi_free(p->starts);
    ngi_free(p->base);
    ngi_free(p);
}

ng_status ngi_pool_create(ngi_plan *plan, ngi_pool **out, ng_error *err)
{
    *out = ngi_alloc_zero(1, sizeof **out);
    if (!*out)
        return ngi_fail_memory(err, sizeof **out);
    (*out)->plan = ngi_plan_share(plan);
    return NG_OK;
}

const char *ngi_pool_backend(const ngi_pool *pool)
{
    return ngi_plan_backend(pool->plan);
}

ngi_plan *ngi_pool_plan(const ngi_pool *pool)
{
    return pool->plan;
}

void ngi_pool_free(ngi_pool *pool)
{
    if (!pool)
        return;
    while (pool->parts) {
        ngi_part *next = pool->parts->next;
        part_free(pool->parts);
        pool->parts = next;
    }
    ngi_plan_free(pool->plan);
    ngi_free(pool);
}

static int64_t node_count(const ngi_graph *g, int node)
{
    return ngi_shape_count(&g->nodes[node].shape);
}

static ng_status worker_init(const ngi_attr_job *job, const ngi_part *p, worker *w, ng_error *err)
{
    size_t images = (size_t)p->batch;
    NGI_TRY(ngi_run_session_create(p->plan, &w->run, err));
    w->x = ngi_alloc_zero((size_t)p->n_starts, sizeof *w->x);
    w->seed = ngi_alloc(images * (size_t)job->head->width, sizeof *w->seed);
    bool all = w->x && w->seed;
    size_t bytes = images * (size_t)job->head->width * sizeof *w->seed;
    for (int i = 0; i < p->n_starts && all; i++) {
        size_t count = images * (size_t)node_count(job->graph, p->starts[i]);
        w->x[i] = ngi_alloc(count, sizeof **w->x);
        all = w->x[i] != NULL;
        bytes += count * sizeof **w->x;
    }
    return all ? NG_OK : ngi_fail_memory(err, bytes);
}

static ng_status want_workers(const ngi_attr_job *job, ngi_part *p, int n, ng_error *err)
{
    if (n <= p->n_workers)
        return NG_OK;
    worker *workers = ngi_realloc(p->workers, (size_t)n, sizeof *workers);
    if (!workers)
        return ngi_fail_memory(err, (size_t)n * sizeof *workers);
    p->workers = workers;
    while (p->n_workers < n) {
        worker *w = &workers[p->n_workers];
        *w = (worker){0};
        ng_status status = worker_init(job, p, w, err);
        if (status != NG_OK) {
            worker_free(w, p->n_starts);
            return status;
        }
        p->n_workers++;
    }
    return NG_OK;
}

/* ---- Parts ---------------------------------------------------------------------------------- */

static ngi_part *find_part(const ngi_pool *pool, int node, int batch, bool gradients)
{
    for (ngi_part *p = pool->parts; p; p = p->next)
        if (p->node == node && !p->gradients_of && p->batch == batch && p->gradients == gradients)
            return p;
    return NULL;
}

static ng_status new_part(int node, int batch, bool gradients, int most_starts, ngi_part **out, ng_error *err)
{
    ngi_part *p = ngi_alloc_zero(1, sizeof *p);
    if (!p)
        return ngi_fail_memory(err, sizeof *p);
    p->node = node;
    p->batch = batch;
    p->gradients = gradients;
    p->starts = ngi_alloc((size_t)most_starts, sizeof *p->starts);
    p->base = ngi_alloc_zero((size_t)most_starts, sizeof *p->base);
    if (!p->starts || !p->base) {
        part_free(p);
        return ngi_fail_memory(err, (size_t)most_starts * sizeof *p->base);
    }
    *out = p;
    return NG_OK;
}

static void keep(ngi_pool *pool, ngi_part *p)
{
    p->next = pool->parts;
    pool->parts = p;
}

ng_status ngi_part_whole(const ngi_attr_job *job, ngi_part **out, ng_error *err)
{
    const ngi_graph *g = job->graph;
    int batch = ngi_plan_batch(job->pool->plan);
    *out = find_part(job->pool, -1, batch, true);
    if (*out)
        return NG_OK;
    ngi_part *p = NULL;
    NGI_TRY(new_part(-1, batch, true, g->n_inputs, &p, err));
    p->n_starts = g->n_inputs;
    memcpy(p->starts, g->inputs, (size_t)g->n_inputs * sizeof *p->starts);
    p->plan = ngi_plan_share(job->pool->plan);
    keep(job->pool, p);
    *out = p;
    return NG_OK;
}

static ng_status make_tail(const ngi_attr_job *job, ngi_part *p, ng_error *err)
{
    const ngi_graph *g = job->graph;
    bool *room = ngi_alloc(2 * (size_t)g->n_nodes, sizeof *room);
    if (!room)
        return ngi_fail_memory(err, 2 * (size_t)g->n_nodes);
    p->n_starts = ngi_graph_frontier(g, p->node, job->head->logits, p->starts, room);
    ngi_free(room);
    if (p->n_starts > NGI_MAX_INPUTS)
        return ngi_fail(err, NG_E_LIMIT, "'%s' cannot be cut out: %d connections lead around it",
                        g->nodes[p->node].name, p->n_starts - 1);
    const int taps[2] = {job->head->logits, job->head->output};
    ngi_plan_opts opts = {.batch = p->batch,
                          .threads = 1,
                          .backend = ngi_plan_backend(job->pool->plan),
                          .taps = taps,
                          .n_taps = 2,
                          .grads = &p->node,
                          .n_grads = p->gradients,
                          .root = job->head->logits,
                          .starts = p->starts,
                          .n_starts = p->n_starts};
    return ngi_plan_create(g, &opts, &p->plan, err);
}

static ng_status make_whole(const ngi_attr_job *job, const int *nodes, int n, ngi_part *p, ng_error *err)
{
    const ngi_graph *g = job->graph;
    p->n_starts = g->n_inputs;
    memcpy(p->starts, g->inputs, (size_t)g->n_inputs * sizeof *p->starts);
    p->gradients_of = ngi_alloc((size_t)n, sizeof *p->gradients_of);
    if (!p->gradients_of)
        return ngi_fail_memory(err, (size_t)n * sizeof *p->gradients_of);
    memcpy(p->gradients_of, nodes, (size_t)n * sizeof *nodes);
    p->n_gradients = n;
    ngi_plan_opts opts = {.batch = 1,
                          .threads = 1,
                          .backend = ngi_plan_backend(job->pool->plan),
                          .taps = g->inputs,
                          .n_taps = 1,
                          .grads = nodes,
                          .n_grads = n,
                          .root = job->head->logits};
    return ngi_plan_create(g, &opts, &p->plan, err);
}

/* A part that is made by `make_tail` or `make_whole` and kept. */
static ng_status finish(const ngi_attr_job *job, ngi_part *p, ng_status status, ngi_part **out)
{
    if (status != NG_OK) {
        part_free(p);
        return status;
    }
    keep(job->pool, p);
    *out = p;
    return NG_OK;
}

ng_status ngi_part_tail(const ngi_attr_job *job, int node, int batch, bool gradients, ngi_part **out,
                        ng_error *err)
{
    ngi_part *p = NULL;
    *out = find_part(job->pool, node, batch, gradients);
    if (*out)
        return NG_OK;
    NGI_TRY(new_part(node, batch, gradients, job->graph->n_nodes, &p, err));
    return finish(job, p, make_tail(job, p, err), out);
}

ng_status ngi_part_gradients(const ngi_attr_job *job, const int *nodes, int n, ngi_part **out, ng_error *err)
{
    ngi_part *p = job->pool->parts;
    while (p && !(p->n_gradients == n && memcmp(p->gradients_of, nodes, (size_t)n * sizeof *nodes) == 0))
        p = p->next;
    *out = p;
    if (p)
        return NG_OK;
    NGI_TRY(new_part(-1, 1, true, job->graph->n_inputs, &p, err));
    return finish(job, p, make_whole(job, nodes, n, p, err), out);
}

int ngi_part_starts(const ngi_part *part, const int **nodes)
{
    *nodes = part->starts;
    return part->n_starts;
}

/* Where the job's session keeps all starts, they are read there; else a session of its own finds them. */
ng_status ngi_part_base(const ngi_attr_job *job, ngi_part *p, const float *const **base, ng_error *err)
{
    const ngi_graph *g = job->graph;
    bool there = true;
    *base = p->base;
    for (int i = 0; i < p->n_starts; i++) {
        const float *act = ngi_run_activation(job->run, p->starts[i]);
        there = there && act;
        p->base[i] = act ? act + job->index * node_count(g, p->starts[i]) : NULL;
    }
    if (there)
        return NG_OK;
    if (!p->base_run) {
        ngi_plan_opts opts = {.batch = 1,
                              .threads = job->threads > 0 ? job->threads : 1,
                              .backend = ngi_plan_backend(job->pool->plan),
                              .taps = p->starts,
                              .n_taps = p->n_starts,
                              .root = job->head->logits};
        if (!p->base_plan)
            NGI_TRY(ngi_plan_create(g, &opts, &p->base_plan, err));
        NGI_TRY(ngi_run_session_create(p->base_plan, &p->base_run, err));
    }
    NGI_TRY(ngi_run_forward(p->base_run, &job->input, 1, err));
    for (int i = 0; i < p->n_starts; i++)
        p->base[i] = ngi_run_activation(p->base_run, p->starts[i]);
    return NG_OK;
}

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
    worker *w;
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
            x[k] = h->w->x[k] + i * node_count(job->graph, p->starts[k]);
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
                    gradient ? gradient + i * node_count(h->job->graph, s->gradient_node) : NULL);
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
    NGI_TRY(want_workers(job, s->part, threads, err));
    ngi_base *base = NULL;
    if (s->base && s->gradient_node == -1 && s->count > LEAST_NEAR)
        NGI_TRY(ngi_base_create(s->part->workers[0].run, s->base, &base, err));
    ng_status status = sample_all(job, s, threads, base, done, err);
    ngi_base_free(base);
    return status;
}

const char *ngi_attr_done(char text[NGI_DONE_TEXT], int done, int total, const char *what)
{
    if (done < total)
        snprintf(text, NGI_DONE_TEXT, "%d of %d %s in the time given", done, total, what);
    else
        snprintf(text, NGI_DONE_TEXT, "%d %s", done, what);
    return text;
}
