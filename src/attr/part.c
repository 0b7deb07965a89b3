/* Parts of the network: the whole of it, or what lies behind a layer, with sessions to run them; made at first use and kept in the
 * pool between explanations. */
#include "attr/part.h"

#include <string.h>

struct ngi_pool {
    ngi_plan *plan; /* of the job's session; counted */
    ngi_part *parts;
};

/* ---- Life ----------------------------------------------------------------------------------- */

static void worker_free(ngi_worker *w, int n_starts)
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

static ng_status worker_init(const ngi_attr_job *job, const ngi_part *p, ngi_worker *w, ng_error *err)
{
    size_t images = (size_t)p->batch;
    NGI_TRY(ngi_run_session_create(p->plan, &w->run, err));
    w->x = ngi_alloc_zero((size_t)p->n_starts, sizeof *w->x);
    w->seed = ngi_alloc(images * (size_t)job->head->width, sizeof *w->seed);
    bool all = w->x && w->seed;
    size_t bytes = images * (size_t)job->head->width * sizeof *w->seed;
    for (int i = 0; i < p->n_starts && all; i++) {
        size_t count = images * (size_t)ngi_node_count(job->graph, p->starts[i]);
        w->x[i] = ngi_alloc(count, sizeof **w->x);
        all = w->x[i] != NULL;
        bytes += count * sizeof **w->x;
    }
    return all ? NG_OK : ngi_fail_memory(err, bytes);
}

ng_status ngi_part_want(const ngi_attr_job *job, ngi_part *p, int n, ng_error *err)
{
    if (n <= p->n_workers)
        return NG_OK;
    ngi_worker *workers = ngi_realloc(p->workers, (size_t)n, sizeof *workers);
    if (!workers)
        return ngi_fail_memory(err, (size_t)n * sizeof *workers);
    p->workers = workers;
    while (p->n_workers < n) {
        ngi_worker *w = &workers[p->n_workers];
        *w = (ngi_worker){0};
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
        p->base[i] = act ? act + job->index * ngi_node_count(g, p->starts[i]) : NULL;
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
