/* See calibrate.h. A float32 session keeps what convolutions read, so that it can be looked at after each run. */
#include "exec/calibrate.h"

#include <math.h>

struct ngi_calibration {
    const ngi_graph *graph;
    ngi_run_session *run;
    int *taps; /* [n_taps] nodes that convolutions read */
    int n_taps;
    ngi_span *ranges; /* [n_nodes] */
};

static void add_tap(ngi_calibration *c, int node)
{
    for (int k = 0; k < c->n_taps; k++)
        if (c->taps[k] == node)
            return;
    c->taps[c->n_taps++] = node;
}

/* A mean in front of a convolution may be taken behind it, which then reads the mean's input. */
static void find_taps(ngi_calibration *c)
{
    const ngi_graph *g = c->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].op != NGI_OP_CONV2D)
            continue;
        int in = g->nodes[i].inputs[0];
        add_tap(c, in);
        if (g->nodes[in].op == NGI_OP_AVG_POOL)
            add_tap(c, g->nodes[in].inputs[0]);
    }
}

static ng_status open_run(ngi_calibration *c, int root, ng_error *err)
{
    ngi_plan_opts opts = {.batch = 1, .threads = 1, .taps = c->taps, .n_taps = c->n_taps, .root = root};
    ngi_plan *plan;
    NGI_TRY(ngi_plan_create(c->graph, &opts, &plan, err));
    ng_status status = ngi_run_session_create(plan, &c->run, err);
    ngi_plan_free(plan); /* the session keeps it */
    return status;
}

ng_status ngi_calibration_create(const ngi_graph *g, int root, ngi_calibration **out, ng_error *err)
{
    *out = NULL;
    size_t n = (size_t)g->n_nodes;
    ngi_calibration *c = ngi_alloc_zero(1, sizeof *c);
    if (!c)
        return ngi_fail_memory(err, sizeof *c);
    c->graph = g;
    c->taps = ngi_alloc(n, sizeof *c->taps);
    c->ranges = ngi_alloc_zero(n, sizeof *c->ranges);
    ng_status status = c->taps && c->ranges ? NG_OK : ngi_fail_memory(err, n * sizeof *c->ranges);
    if (status == NG_OK) {
        find_taps(c);
        status = open_run(c, root, err);
    }
    if (status != NG_OK) {
        ngi_calibration_free(c);
        return status;
    }
    *out = c;
    return NG_OK;
}

void ngi_calibration_free(ngi_calibration *c)
{
    if (!c)
        return;
    ngi_run_session_free(c->run);
    ngi_free(c->taps);
    ngi_free(c->ranges);
    ngi_free(c);
}

ng_status ngi_calibration_add(ngi_calibration *c, const float *image, ng_error *err)
{
    NGI_TRY(ngi_run_forward(c->run, &image, 1, err));
    for (int k = 0; k < c->n_taps; k++) {
        const ngi_node *n = &c->graph->nodes[c->taps[k]];
        const float *act = ngi_run_activation(c->run, c->taps[k]);
        int64_t count = ngi_shape_count(&n->shape);
        ngi_span *r = &c->ranges[c->taps[k]];
        for (int64_t i = 0; i < count; i++) {
            if (!isfinite(act[i]))
                return ngi_fail(err, NG_E_ARGUMENT, "calibration: '%s' has values that are not finite",
                                n->name);
            r->low = act[i] < r->low ? act[i] : r->low;
            r->high = act[i] > r->high ? act[i] : r->high;
        }
    }
    return NG_OK;
}

const ngi_span *ngi_calibration_ranges(const ngi_calibration *c)
{
    return c->ranges;
}
