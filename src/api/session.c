/* ng_session: a plan for the layers to be explained, one run session, and the scores of the last run. */
#include "api/api.h"
#include "metrics/faithfulness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct ng_session {
    const ng_model *model;
    ngi_plan *plan; /* borrowed from run, which holds a reference */
    ngi_run_session *run;
    ngi_pool *pool; /* of methods that run the network on other inputs */
    int batch, n;   /* n: images of the last run, 0 before the first */
    int *layers;    /* [n_layers] */
    int n_layers;
    bool forward_only;
    bool harmless; /* an overflow was looked into, and every layer was finite: it is not looked into again */
    float *logits, *probabilities; /* [batch,classes] */
    float *seed;                   /* [width] */
    int *bad_layers;               /* [batch]: first layer that is not finite for the image, -1: all are */
};

void ng_session_opts_init(ng_session_opts *opts)
{
    *opts = (ng_session_opts){.struct_size = sizeof *opts, .batch = 1, .threads = 1};
}

void ng_explain_opts_init(ng_explain_opts *opts)
{
    *opts = (ng_explain_opts){.struct_size = sizeof *opts,
                              .method = "gradcam",
                              .layer = -1,
                              .class_index = -1,
                              .target = NG_TARGET_LOGIT,
                              .against = -1,
                              .alpha = 0.6,
                              .threads = 1};
}

void ng_session_free(ng_session *s)
{
    if (!s)
        return;
    ngi_pool_free(s->pool);
    ngi_run_session_free(s->run);
    ngi_free(s->layers);
    ngi_free(s->logits);
    ngi_free(s->probabilities);
    ngi_free(s->seed);
    ngi_free(s->bad_layers);
    ngi_free(s);
}

/* A session on a finished plan. */
static ng_status open_session(const ng_model *model, ngi_plan *plan, int batch, const int *layers,
                              int n_layers, bool forward_only, ng_session **out, ng_error *err)
{
    ng_session *s = ngi_alloc_zero(1, sizeof *s);
    if (!s)
        return ngi_fail_memory(err, sizeof *s);
    size_t classes = (size_t)model->head.classes, width = (size_t)model->head.width, images = (size_t)batch;
    s->model = model;
    s->plan = plan;
    s->batch = batch;
    s->n_layers = n_layers;
    s->forward_only = forward_only;
    s->layers = ngi_alloc((size_t)n_layers, sizeof *s->layers);
    s->logits = ngi_alloc(images * classes, sizeof *s->logits);
    s->probabilities = ngi_alloc(images * classes, sizeof *s->probabilities);
    s->seed = ngi_alloc(width, sizeof *s->seed);
    s->bad_layers = ngi_alloc(images, sizeof *s->bad_layers);
    ng_status status = s->layers && s->logits && s->probabilities && s->seed && s->bad_layers
                           ? ngi_run_session_create(plan, &s->run, err)
                           : ngi_fail_memory(err, (2 * images * classes + width) * sizeof(float));
    if (status == NG_OK)
        status = ngi_pool_create(plan, &s->pool, err);
    if (status != NG_OK) {
        ng_session_free(s);
        return status;
    }
    if (n_layers)
        memcpy(s->layers, layers, (size_t)n_layers * sizeof *layers);
    *out = s;
    return NG_OK;
}

/* oneDNN is asked for direct convolutions only. */
static const char *backend_of(const ng_session_opts *opts)
{
    bool automatic = !opts->backend || strcmp(opts->backend, "auto") == 0;
    return opts->exact && automatic ? "onednn" : opts->backend;
}

static ng_status make_plan(const ng_model *model, const ng_session_opts *opts, ngi_plan **plan, ng_error *err)
{
    const ngi_graph *g = model->graph;
    int *taps = ngi_alloc((size_t)opts->layer_count + 2, sizeof *taps);
    if (!taps)
        return ngi_fail_memory(err, ((size_t)opts->layer_count + 2) * sizeof *taps);
    int n = 0;
    ng_status status = NG_OK;
    for (int i = 0; i < opts->layer_count && status == NG_OK; i++) {
        int layer = opts->layers[i];
        if (layer < 0 || layer >= g->n_layers)
            status = ngi_fail(err, NG_E_ARGUMENT, "layer %d: the model has layers 0 to %d", layer,
                              g->n_layers - 1);
        else
            status = ngi_attr_check_spatial(g, layer, err);
        if (status == NG_OK && !ngi_graph_reaches(g, g->layers[layer].node, model->head.logits))
            status = ngi_fail(err, NG_E_ARGUMENT, "layer '%s' does not feed the explained output",
                              g->layers[layer].name);
        int node = status == NG_OK ? g->layers[layer].node : -1;
        bool twice = false;
        for (int k = 0; k < n; k++)
            twice = twice || taps[k] == node;
        if (status == NG_OK && !twice)
            taps[n++] = node;
    }
    if (status == NG_OK) { /* the input stays readable: methods that change it begin with it */
        int with_gradients = opts->forward_only ? 0 : n;
        taps[n] = model->head.logits;
        taps[n + 1] = g->inputs[0];
        ngi_plan_opts plan_opts = {.batch = opts->batch,
                                   .threads = opts->threads,
                                   .backend = backend_of(opts),
                                   .taps = taps,
                                   .n_taps = n + 2,
                                   .grads = taps,
                                   .n_grads = with_gradients,
                                   .root = model->head.logits,
                                   .ranges = ngi_calibration_of(opts->calibration),
                                   .cache = model->cache,
                                   .identity = model->file.hash};
        status = ngi_plan_create(g, &plan_opts, plan, err);
    }
    ngi_free(taps);
    return status;
}

ng_status ng_session_create(const ng_model *model, const ng_session_opts *opts, ng_session **out,
                            ng_error *err)
{
    *out = NULL;
    ng_session_opts defaults;
    ng_session_opts_init(&defaults);
    if (!opts)
        opts = &defaults;
    if (opts->backend && strcmp(opts->backend, "int8") == 0 && !opts->calibration)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "back end int8 wants a calibration: the ranges that activations have on images");
    if (opts->batch < 1 || opts->batch > 4096 || opts->threads < 1 || opts->threads > 1024 ||
        opts->layer_count < 0)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "batch %d, threads %d: expected batch 1 to 4096, threads 1 to 1024", opts->batch,
                        opts->threads);
    ngi_plan *plan = NULL;
    NGI_TRY(make_plan(model, opts, &plan, err));
    ng_status status = open_session(model, plan, opts->batch, opts->layers, opts->layer_count,
                                    opts->forward_only != 0, out, err);
    ngi_plan_free(plan); /* the run session keeps it */
    return status;
}

ng_status ng_session_clone(const ng_session *s, ng_session **out, ng_error *err)
{
    *out = NULL;
    return open_session(s->model, s->plan, s->batch, s->layers, s->n_layers, s->forward_only, out, err);
}

/* The first layer whose activations of this image are not finite, -1 if there is none, found by a run that keeps all of
 * them: only done for images whose logits are not finite, or where a number overflowed on the way. */
static ng_status find_bad_layer(const ng_model *model, const float *image, int *layer, ng_error *err)
{
    const ngi_graph *g = model->graph;
    int *taps = ngi_alloc((size_t)g->n_nodes, sizeof *taps);
    if (!taps)
        return ngi_fail_memory(err, (size_t)g->n_nodes * sizeof *taps);
    for (int i = 0; i < g->n_nodes; i++)
        taps[i] = i;
    ngi_plan_opts opts = {.batch = 1,
                          .threads = 1,
                          .backend = "ref",
                          .taps = taps,
                          .n_taps = g->n_nodes,
                          .root = model->head.logits};
    ngi_plan *plan = NULL;
    ngi_run_session *run = NULL;
    ng_status status = ngi_plan_create(g, &opts, &plan, err);
    if (status == NG_OK)
        status = ngi_run_session_create(plan, &run, err);
    if (status == NG_OK)
        status = ngi_run_forward(run, &image, 1, err);
    *layer = -1;
    for (int i = 0; i < g->n_nodes && status == NG_OK; i++) {
        const float *act = ngi_run_activation(run, i);
        if (act && ngi_find_non_finite(act, ngi_shape_count(&g->nodes[i].shape)) >= 0) {
            *layer = g->nodes[i].layer;
            break;
        }
    }
    ngi_run_session_free(run);
    ngi_plan_free(plan);
    ngi_free(taps);
    return status;
}

/* Sets *layer where the image's scores, or activations on the way to them, are not finite. */
static ng_status judge_image(ng_session *s, const float *image, const float *logits, int *layer,
                             ng_error *err)
{
    const ngi_head *head = &s->model->head;
    bool finite = ngi_find_non_finite(logits, head->width) < 0;
    if (finite && (!ngi_run_overflowed(s->run) || s->harmless))
        return NG_OK;
    NGI_TRY(find_bad_layer(s->model, image, layer, err));
    s->harmless = finite && *layer < 0;
    if (!finite && *layer < 0)
        *layer = s->model->graph->nodes[head->logits].layer;
    return NG_OK;
}

ng_status ng_session_run(ng_session *s, const float *input, int n, ng_error *err)
{
    if (n < 1 || n > s->batch)
        return ngi_fail(err, NG_E_ARGUMENT, "%d images in one run, the session was made for 1 to %d", n,
                        s->batch);
    s->n = 0;
    const float *inputs[1] = {input};
    NGI_TRY(ngi_run_forward(s->run, inputs, n, err));
    const ngi_head *head = &s->model->head;
    const ngi_graph *g = s->model->graph;
    size_t width = (size_t)head->width, classes = (size_t)head->classes;
    size_t pixels = (size_t)ngi_shape_count(&g->nodes[g->inputs[0]].shape);
    const float *logits = ngi_run_activation(s->run, head->logits); /* [n,width] */
    const float *output = ngi_run_activation(s->run, head->output); /* [n,width] */
    for (size_t i = 0; i < (size_t)n; i++) {
        ngi_head_scores(head, logits + i * width, output + i * width, s->logits + i * classes,
                        s->probabilities + i * classes);
        s->bad_layers[i] = -1;
        if (ngi_find_non_finite(input + i * pixels, (int64_t)pixels) >=
            0) /* a relu may swallow it: look before it */
            s->bad_layers[i] = g->nodes[g->inputs[0]].layer;
        else
            NGI_TRY(judge_image(s, input + i * pixels, logits + i * width, &s->bad_layers[i], err));
    }
    s->n = n;
    return NG_OK;
}

const float *ng_session_logits(const ng_session *s)
{
    return s->logits;
}

const float *ng_session_probabilities(const ng_session *s)
{
    return s->probabilities;
}

const float *ng_session_activations(const ng_session *s, int layer)
{
    for (int i = 0; i < s->n_layers; i++)
        if (s->layers[i] == layer)
            return ngi_run_activation(s->run, s->model->graph->layers[layer].node);
    return NULL;
}

size_t ng_session_bytes(const ng_session *s)
{
    return ngi_plan_bytes(s->plan);
}

const char *ng_session_kernels(const ng_session *s)
{
    return ngi_plan_kernels(s->plan);
}

/* ---- Explaining ------------------------------------------------------------------------------ */

static int predicted_class(const float *scores, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

static ng_status check_image(const ng_session *s, int index, int class_index, ng_error *err)
{
    if (index < 0 || index >= s->n)
        return ngi_fail(err, NG_E_ARGUMENT, "image %d: the last run had %d images", index, s->n);
    if (class_index >= s->model->head.classes)
        return ngi_fail(err, NG_E_ARGUMENT, "class %d: the model has classes 0 to %d", class_index,
                        s->model->head.classes - 1);
    return NG_OK;
}

static ng_status check_layer(const ng_session *s, int layer, ng_error *err)
{
    for (int i = 0; i < s->n_layers; i++)
        if (s->layers[i] == layer)
            return NG_OK;
    return ngi_fail(err, NG_E_ARGUMENT, "layer %d was not named when the session was created", layer);
}

/* The request as a job; of no method, where `method` is NULL: layer and parameters are left out then. */
static ng_status make_job(const ng_session *s, int index, const ng_explain_opts *opts,
                          const ngi_method *method, ngi_attr_job *job, ng_error *err)
{
    const ngi_graph *g = s->model->graph;
    const ngi_head *head = &s->model->head;
    const float *z = s->logits + (size_t)index * (size_t)head->classes;
    const float *p = s->probabilities + (size_t)index * (size_t)head->classes;
    int first = s->n_layers ? s->layers[0] : -1;
    bool at_layer = method && method->info.at_layer;
    int layer = opts->layer >= 0 ? opts->layer : at_layer ? first : ngi_attr_input_layer(g);
    NGI_TRY(check_image(s, index, opts->class_index, err));
    if (method)
        NGI_TRY(check_layer(s, layer, err));
    int class_index = opts->class_index < 0 ? predicted_class(z, head->classes) : opts->class_index;
    ngi_shape pixels = ngi_attr_input_shape(g);
    *job =
        (ngi_attr_job){.graph = g,
                       .head = head,
                       .run = s->run,
                       .pool = s->pool,
                       .index = index,
                       .input = ngi_run_activation(s->run, g->inputs[0]) + index * ngi_shape_count(&pixels),
                       .black = s->model->black,
                       .white = s->model->white,
                       .layer = layer,
                       .probability = p[class_index],
                       .bad_layer = s->bad_layers[index],
                       .seed = s->seed,
                       .baseline = opts->baseline,
                       .smooth = opts->smooth,
                       .eigen = opts->eigen != 0,
                       .threads = opts->threads,
                       .seconds = opts->seconds,
                       .progress = opts->progress,
                       .context = opts->context};
    if (method)
        NGI_TRY(ngi_parameters_read(&method->info, opts->parameters, job->parameters, err));
    if (!(opts->alpha >= 0 && opts->alpha <= 10))
        return ngi_fail(err, NG_E_ARGUMENT, "alpha %g: expected 0 to 10", opts->alpha);
    return ngi_target_init(head, opts->target, class_index, opts->against, opts->alpha, z, &job->target, err);
}

static ng_status explain_one(ng_session *s, int index, const ng_explain_opts *opts, ng_map *out,
                             ng_error *err)
{
    const ngi_method *method = ngi_method_find(opts->method ? opts->method : "gradcam", err);
    if (!method)
        return NG_E_ARGUMENT;
    if (method->info.takes_gradient && s->forward_only)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "method %s takes gradients, but the session was made with forward_only",
                        method->info.name);
    ngi_attr_job job;
    NGI_TRY(make_job(s, index, opts, method, &job, err));
    NGI_TRY(ngi_attribute(method, &job, out, err));
    int class_index = job.target.class_index;
    float z = s->logits[(size_t)index * (size_t)s->model->head.classes + (size_t)class_index];
    out->layer = job.layer;
    out->class_index = class_index;
    out->logit = isfinite(z) ? z : 0;
    out->probability = isfinite(job.probability) ? job.probability : 0;
    return NG_OK;
}

/* The maps of several layers, one after the other, then joined. */
static ng_status explain_fused(ng_session *s, int index, const ng_explain_opts *opts, ng_map *out,
                               ng_error *err)
{
    const ngi_method *method = ngi_method_find(opts->method ? opts->method : "gradcam", err);
    if (!method)
        return NG_E_ARGUMENT;
    if (!method->info.at_layer)
        return ngi_fail(err, NG_E_ARGUMENT, "%s explains the input's pixels: there are no layers to fuse",
                        method->info.name);
    ngi_shape input = ngi_attr_input_shape(s->model->graph);
    ng_map *maps = ngi_alloc_zero((size_t)opts->layer_count, sizeof *maps);
    ng_status status = maps ? NG_OK : ngi_fail_memory(err, (size_t)opts->layer_count * sizeof *maps);
    for (int i = 0; i < opts->layer_count && status == NG_OK; i++) {
        ng_explain_opts one = *opts;
        one.layer = opts->layers[i];
        one.seconds = opts->seconds / opts->layer_count;
        status = explain_one(s, index, &one, &maps[i], err);
    }
    if (status == NG_OK)
        status = ngi_attr_fuse(maps, opts->layer_count, (int)input.dim[0], (int)input.dim[1], opts->fuse, out,
                               err);
    for (int i = 0; i < opts->layer_count && maps; i++)
        ng_map_clear(&maps[i]);
    ngi_free(maps);
    return status;
}

ng_status ng_explain(ng_session *s, int index, const ng_explain_opts *opts, ng_map *out, ng_error *err)
{
    *out = (ng_map){0};
    ng_explain_opts defaults;
    ng_explain_opts_init(&defaults);
    if (!opts)
        opts = &defaults;
    if (opts->layer_count < 0 || opts->layer_count > s->n_layers)
        return ngi_fail(err, NG_E_ARGUMENT, "%d layers to fuse: the session was made for %d",
                        opts->layer_count, s->n_layers);
    return opts->layer_count ? explain_fused(s, index, opts, out, err)
                             : explain_one(s, index, opts, out, err);
}

ng_status ngi_session_job(const ng_session *s, int index, const ng_explain_opts *opts, ngi_attr_job *job,
                          ng_error *err)
{
    NGI_TRY(check_layer(s, opts->layer, err));
    return make_job(s, index, opts, NULL, job, err);
}

int ngi_session_batch(const ng_session *s)
{
    return s->batch;
}

const ng_model *ngi_session_model(const ng_session *s)
{
    return s->model;
}

ng_status ng_map_faithfulness(ng_session *s, int index, const ng_map *map, const ng_faithfulness_opts *opts,
                              ng_faithfulness *out, ng_error *err)
{
    *out = (ng_faithfulness){0};
    ng_faithfulness_opts defaults;
    ng_faithfulness_opts_init(&defaults);
    if (!opts)
        opts = &defaults;
    ng_explain_opts request;
    ng_explain_opts_init(&request);
    request.class_index = map ? map->class_index : -1;
    request.target = NG_TARGET_PROBABILITY;
    request.threads = opts->threads;
    request.progress = opts->progress;
    request.context = opts->context;
    ngi_attr_job job;
    NGI_TRY(make_job(s, index, &request, NULL, &job, err));
    return ngi_faithfulness(&job, map, opts, out, err);
}

int ng_method_count(void)
{
    return ngi_method_count();
}

ng_status ng_method_describe(int index, ng_method_info *out, ng_error *err)
{
    if (index < 0 || index >= ngi_method_count())
        return ngi_fail(err, NG_E_ARGUMENT, "method %d: there are methods 0 to %d", index,
                        ngi_method_count() - 1);
    *out = ngi_method_at(index)->info;
    return NG_OK;
}

ng_status ng_method_check(const ng_model *model, const char *method, int layer, ng_error *err)
{
    const ngi_method *m = ngi_method_find(method, err);
    if (!m)
        return NG_E_ARGUMENT;
    if (layer < 0 || layer >= model->graph->n_layers)
        return ngi_fail(err, NG_E_ARGUMENT, "layer %d: the model has layers 0 to %d", layer,
                        model->graph->n_layers - 1);
    return m->check(model->graph, layer, err);
}

ng_status ng_method_check_parameters(const char *method, const char *parameters, ng_error *err)
{
    const ngi_method *m = ngi_method_find(method, err);
    double values[NGI_MAX_PARAMETERS];
    return m ? ngi_parameters_read(&m->info, parameters, values, err) : NG_E_ARGUMENT;
}
