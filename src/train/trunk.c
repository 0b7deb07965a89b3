/* One session a thread on one plan. */
#include "train/trunk.h"

#include "train/team.h"

struct ngi_trunk {
    const ngi_graph *graph;
    ngi_plan *plan;
    ngi_run_session *sessions[NGI_TEAM_MOST];
    float *seeds;   /* [threads][micro,width] */
    ngi_turn *turn; /* at the places of the plan's gradients, and at the rest's */
    int threads, micro, features, n_taps;
    const int *taps;
    int64_t pixels, width; /* floats of an image (or of the start), of its features */
    bool trains;           /* the rest of the network gives a gradient */
    bool learns;           /* that is of use: a weight is trained */
};

/* Nodes lie in the order in which they run: a node cuts where no later one that counts reads an earlier one, or nothing. */
static bool cuts(const ngi_graph *g, int node, int root)
{
    for (int i = node + 1; i <= root; i++) {
        const ngi_node *n = &g->nodes[i];
        if (i != root && !ngi_graph_reaches(g, i, root))
            continue;
        if (n->n_inputs == 0)
            return false;
        for (int k = 0; k < n->n_inputs; k++)
            if (n->inputs[k] < node)
                return false;
    }
    return node == root || ngi_graph_reaches(g, node, root);
}

int ngi_trunk_frozen(const ngi_graph *g, const bool *trained, int root)
{
    int last = -1; /* nodes 0 to last hold nothing that is trained */
    for (bool frozen = true; frozen && last < root;) {
        const ngi_node *n = &g->nodes[last + 1];
        for (int k = 0; k < NGI_NODE_WEIGHTS; k++)
            frozen = frozen && !(n->weights[k] >= 0 && trained[n->weights[k]]);
        last += frozen;
    }
    while (last >= 0 && !cuts(g, last, root))
        last--;
    return last;
}

static ng_status make_plan(const ngi_graph *g, const ngi_trunk_opts *o, bool learns, int micro,
                           ngi_plan **out, ng_error *err)
{
    ngi_plan_opts p = {.batch = micro,
                       .threads = 1,
                       .backend = o->backend,
                       .taps = o->taps,
                       .n_taps = o->n_taps,
                       .starts = o->start,
                       .n_starts = o->start != NULL,
                       .root = o->features,
                       .trained = learns ? o->trained : NULL,
                       .cache = o->cache,
                       .identity = o->identity};
    return ngi_plan_create(g, &p, out, err);
}

/* The largest micro-batch, halved as often as it takes, whose sessions fit into the memory. */
static ng_status fit_plan(ngi_trunk *t, const ngi_trunk_opts *o, ng_error *err)
{
    for (t->micro = o->micro;; t->micro /= 2) {
        NGI_TRY(make_plan(t->graph, o, t->learns, t->micro, &t->plan, err));
        size_t bytes = ngi_trunk_bytes(t);
        if (o->memory <= 0 || bytes <= (size_t)o->memory)
            return NG_OK;
        ngi_plan_free(t->plan);
        t->plan = NULL;
        if (t->micro == 1)
            return ngi_fail(
                err, NG_E_LIMIT,
                "one image a thread takes %.0f MB on %d threads, %.0f MB are allowed: use fewer threads or "
                "more memory",
                (double)bytes / 1e6, t->threads, (double)o->memory / 1e6);
    }
}

static ng_status open_trunk(ngi_trunk *t, const ngi_trunk_opts *o, ng_error *err)
{
    NGI_TRY(fit_plan(t, o, err));
    NGI_TRY(ngi_turn_create(ngi_plan_places(t->plan) + 1, &t->turn, err));
    size_t count = (size_t)t->threads * (size_t)t->micro * (size_t)t->width;
    if (t->trains && !(t->seeds = ngi_alloc(count, sizeof *t->seeds)))
        return ngi_fail_memory(err, count * sizeof *t->seeds);
    for (int i = 0; i < t->threads; i++)
        NGI_TRY(ngi_run_session_create(t->plan, &t->sessions[i], err));
    return NG_OK;
}

ng_status ngi_trunk_create(const ngi_graph *g, const ngi_trunk_opts *o, ngi_trunk **out, ng_error *err)
{
    *out = NULL;
    ngi_trunk *t = ngi_alloc_zero(1, sizeof *t);
    if (!t)
        return ngi_fail_memory(err, sizeof *t);
    t->graph = g;
    t->threads = o->threads < 1 ? 1 : o->threads < NGI_TEAM_MOST ? o->threads : NGI_TEAM_MOST;
    t->features = o->features;
    t->taps = o->taps;
    t->n_taps = o->n_taps;
    t->trains = o->trained != NULL;
    for (int i = 0; t->trains && i < g->n_weights; i++)
        t->learns = t->learns || o->trained[i];
    t->pixels = ngi_shape_count(&g->nodes[o->start ? *o->start : g->inputs[0]].shape);
    t->width = ngi_shape_count(&g->nodes[o->features].shape);
    ng_status status = open_trunk(t, o, err);
    if (status == NG_OK)
        *out = t;
    else
        ngi_trunk_free(t);
    return status;
}

void ngi_trunk_free(ngi_trunk *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->threads; i++)
        ngi_run_session_free(t->sessions[i]);
    ngi_plan_free(t->plan);
    ngi_turn_free(t->turn);
    ngi_free(t->seeds);
    ngi_free(t);
}

int ngi_trunk_micro(const ngi_trunk *t)
{
    return t->micro;
}

size_t ngi_trunk_bytes(const ngi_trunk *t)
{
    return ngi_plan_bytes(t->plan) * (size_t)t->threads;
}

static ng_status update_step(void *context, int worker, int64_t part, ng_error *err)
{
    (void)worker;
    return ngi_plan_update_step(context, (int)part, err);
}

ng_status ngi_trunk_update(ngi_trunk *t, ng_error *err)
{
    return ngi_team_run(t->threads, ngi_plan_steps(t->plan), update_step, t->plan, err);
}

/* ---- Runs -------------------------------------------------------------------------------------- */

typedef struct pass {
    ngi_trunk *trunk;
    const float *images;
    int64_t n;
    ngi_trunk_give *give;
    void *context;
    const ngi_trunk_step *step;
    float *const *grads;
} pass;

static int64_t parts_of(const ngi_trunk *t, int64_t n)
{
    return (n + t->micro - 1) / t->micro;
}

static int size_of(const pass *p, int64_t part)
{
    int64_t left = p->n - part * p->trunk->micro;
    return left < p->trunk->micro ? (int)left : p->trunk->micro;
}

static ng_status forward_part(const pass *p, int worker, int64_t part, ng_error *err)
{
    const ngi_trunk *t = p->trunk;
    const float *in = p->images + part * t->micro * t->pixels;
    return ngi_run_forward(t->sessions[worker], &in, size_of(p, part), err);
}

static ng_status give_part(void *context, int worker, int64_t part, ng_error *err)
{
    const pass *p = context;
    const ngi_trunk *t = p->trunk;
    NGI_TRY(forward_part(p, worker, part, err));
    for (int i = 0; i < t->n_taps || i < 1; i++) {
        int node = t->n_taps ? t->taps[i] : t->features;
        p->give(p->context, t->n_taps ? i : 0, part * t->micro, size_of(p, part),
                ngi_run_activation(t->sessions[worker], node));
    }
    return NG_OK;
}

ng_status ngi_trunk_forward(ngi_trunk *t, const float *images, int64_t n, ngi_trunk_give *give, void *context,
                            ng_error *err)
{
    pass p = {.trunk = t, .images = images, .n = n, .give = give, .context = context};
    return ngi_team_run(t->threads, parts_of(t, n), give_part, &p, err);
}

/* A part that has its turn where gradients are added. */
typedef struct part_turn {
    ngi_turn *turn;
    int64_t part;
} part_turn;

static void take_place(void *context, int place)
{
    const part_turn *t = context;
    ngi_turn_take(t->turn, place, t->part);
}

static void pass_place(void *context, int place)
{
    const part_turn *t = context;
    ngi_turn_pass(t->turn, place, t->part);
}

static ng_status run_part(const pass *p, int worker, int64_t part, ng_error *err)
{
    const ngi_trunk *t = p->trunk;
    ngi_run_session *s = t->sessions[worker];
    float *seed = t->seeds + (int64_t)worker * t->micro * t->width;
    int n = size_of(p, part), last = ngi_plan_places(t->plan);
    part_turn turn = {t->turn, part};
    ngi_weight_grads to = {p->grads, take_place, pass_place, &turn};
    NGI_TRY(forward_part(p, worker, part, err));
    p->step->rest(p->step->context, worker, part * t->micro, n, ngi_run_activation(s, t->features), seed);
    if (t->learns)
        NGI_TRY(ngi_run_train(s, seed, n, &to, err));
    ngi_turn_take(t->turn, last, part);
    p->step->add(p->step->context, worker);
    ngi_turn_pass(t->turn, last, part);
    return NG_OK;
}

static ng_status train_part(void *context, int worker, int64_t part, ng_error *err)
{
    const pass *p = context;
    ng_status status = run_part(p, worker, part, err);
    ngi_turn_finish(p->trunk->turn, part);
    return status;
}

ng_status ngi_trunk_train(ngi_trunk *t, const float *images, int64_t n, const ngi_trunk_step *step,
                          float *const *grads, ng_error *err)
{
    pass p = {.trunk = t, .images = images, .n = n, .step = step, .grads = grads};
    ngi_turn_reset(t->turn);
    return ngi_team_run(t->threads, parts_of(t, n), train_part, &p, err);
}
