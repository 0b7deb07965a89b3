/* The frame around every method: size, relu, and the verdict on the map, so that a blank map always says
 * why it is blank and no NaN leaves the library. */
#include "attr/attr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* In the order of `netgaze methods`: a row a line, by what it is. */
#define METHODS(X)          \
    X(cam)                  \
    X(gradcam)              \
    X(hirescam)             \
    X(gradcamelementwise)   \
    X(gradcampp)            \
    X(xgradcam)             \
    X(layercam)             \
    X(scorecam)             \
    X(ablationcam)          \
    X(eigencam)             \
    X(eigengradcam)         \
    X(kpcacam)              \
    X(fullgrad)             \
    X(finercam)             \
    X(fem)                  \
    X(shapleycam)           \
    X(randomcam)            \
    X(saliency)             \
    X(inputxgradient)       \
    X(guidedbackprop)       \
    X(guidedgradcam)        \
    X(deconvnet)            \
    X(smoothgrad)           \
    X(vargrad)              \
    X(integratedgradients)  \
    X(guidedig)             \
    X(xrai)                 \
    X(occlusion)            \
    X(rise)                 \
    X(lime)                 \
    X(kernelshap)           \
    X(lrp)                  \
    X(deeplift)             \
    X(extremalperturbation) \
    X(dff)

#define DECLARE(name) extern const ngi_method ngi_method_##name;
METHODS(DECLARE)
#undef DECLARE

static const ngi_method *const methods[] = {
#define ROW(name) &ngi_method_##name,
    METHODS(ROW)
#undef ROW
};

int ngi_method_count(void)
{
    return (int)(sizeof methods / sizeof *methods);
}

const ngi_method *ngi_method_at(int index)
{
    return methods[index];
}

const ngi_method *ngi_method_find(const char *name, ng_error *err)
{
    for (int i = 0; i < ngi_method_count(); i++)
        if (strcmp(methods[i]->info.name, name) == 0)
            return methods[i];
    char known[1024] = "";
    for (int i = 0; i < ngi_method_count(); i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", methods[i]->info.name);
    }
    (void)ngi_fail(err, NG_E_ARGUMENT, "method '%s' is not known; known: %s", name, known);
    return NULL;
}

ng_status ngi_attr_check_spatial(const ngi_graph *g, int layer, ng_error *err)
{
    const char *name = g->layers[layer].name;
    int node = g->layers[layer].node;
    char text[NGI_SHAPE_TEXT];
    if (node < 0 || !g->nodes[node].feeds_output)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "layer '%s' does not feed the model's output, so no gradient reaches it; `netgaze layers "
            "--candidates` lists those that do",
            name);
    const ngi_shape *s = &g->nodes[node].shape;
    if (s->rank == 3 && s->dim[0] * s->dim[1] > 1)
        return NG_OK;
    return ngi_fail(err, NG_E_ARGUMENT,
                    "layer '%s' has an output of shape %s: a heatmap needs height and width above 1x1%s",
                    name, ngi_shape_text(s, text),
                    layer == ngi_attr_input_layer(g)
                        ? ""
                        : "; `netgaze layers --candidates` lists such layers, and occlusion, saliency or "
                          "integratedgradients explain the input itself");
}

int ngi_attr_input_layer(const ngi_graph *g)
{
    return g->nodes[g->inputs[0]].layer;
}

ngi_shape ngi_attr_input_shape(const ngi_graph *g)
{
    return g->nodes[g->inputs[0]].shape;
}

ng_status ngi_attr_check_input(const ngi_graph *g, int layer, ng_error *err)
{
    int input = ngi_attr_input_layer(g);
    if (layer != input)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "this method explains the input's pixels and takes no layer (or '%s', the input itself); to "
            "explain layer '%s' use gradcam",
            g->layers[input].name, g->layers[layer].name);
    return ngi_attr_check_spatial(g, layer, err);
}

static ng_status allocate(ng_map *map, const ngi_shape *shape, ng_error *err)
{
    map->height = (int)shape->dim[0];
    map->width = (int)shape->dim[1];
    size_t cells = (size_t)map->height * (size_t)map->width;
    map->data = ngi_alloc_zero(cells, sizeof *map->data);
    map->signed_data = ngi_alloc_zero(cells, sizeof *map->signed_data);
    return map->data && map->signed_data ? NG_OK : ngi_fail_memory(err, 2 * cells * sizeof(float));
}

/* Sets the status from the finished signed map. */
static void judge(const ngi_method *method, const ngi_attr_job *job, ng_map *map)
{
    float lo = map->signed_min, hi = map->signed_max;
    float size = fabsf(lo) > fabsf(hi) ? fabsf(lo) : fabsf(hi);
    bool flat = hi - lo <= 1e-6f * size;
    bool probability = job->target.kind == NG_TARGET_PROBABILITY && method->info.takes_gradient &&
                       (job->head->softmax || job->head->activation != NGI_ACT_LINEAR);
    float p = job->probability;
    if (probability && (p > 1.0f - 1e-5f || p < 1e-30f || map->gradient_norm == 0)) {
        map->status = NG_MAP_SATURATED;
        snprintf(
            map->note, sizeof map->note,
            "the gradient of the probability vanishes at p = %.7g; explain the logit instead (target logit)",
            p);
    } else if (flat) {
        map->status = NG_MAP_CONSTANT;
        snprintf(map->note, sizeof map->note, "every cell has the value %.6g: no region stands out",
                 hi + 0.0);
    } else if (hi <= 0) {
        map->status = NG_MAP_ALL_NEGATIVE;
        snprintf(map->note, sizeof map->note,
                 "all evidence speaks against the class (%.6g to %.6g): relu leaves nothing; look at the "
                 "signed map",
                 lo, hi);
    }
}

/* Leaves the map at zero and says where the NaN or infinity came from. */
static void refuse_non_finite(const ngi_attr_job *job, ng_map *map, const char *what, int layer)
{
    size_t bytes = (size_t)map->height * (size_t)map->width * sizeof(float);
    memset(map->data, 0, bytes);
    memset(map->signed_data, 0, bytes);
    map->min = map->max = map->signed_min = map->signed_max = 0;
    map->gradient_norm = 0;
    map->status = NG_MAP_NON_FINITE;
    snprintf(map->note, sizeof map->note, "%s at layer %s: NaN or infinity; the map is left at zero", what,
             job->graph->layers[layer].name);
}

static ng_status check_eigen(const ngi_method *method, const ngi_attr_job *job, ng_error *err)
{
    if (!job->eigen || method->info.sums_channels)
        return NG_OK;
    return ngi_fail(
        err, NG_E_UNSUPPORTED,
        "%s is no sum over channels: there is no principal component to take. Leave eigen smoothing "
        "out, or use eigengradcam",
        method->info.name);
}

ng_status ngi_attribute(const ngi_method *method, const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    NGI_TRY(method->check(job->graph, job->layer, err));
    NGI_TRY(check_eigen(method, job, err));
    const ngi_shape *shape = &job->graph->nodes[job->graph->layers[job->layer].node].shape;
    ngi_shape input = ngi_attr_input_shape(job->graph);
    ng_status status = allocate(map, method->info.at_input ? &input : shape, err);
    if (status == NG_OK)
        status = job->smooth ? ngi_attr_augment(method, job, map, err) : method->compute(job, map, err);
    if (status != NG_OK) {
        ng_map_clear(map);
        return status;
    }
    int64_t cells = (int64_t)map->height * map->width;
    const float *act = ngi_run_activation(job->run, job->graph->layers[job->layer].node);
    int64_t image = ngi_shape_count(shape);
    if (job->bad_layer >= 0 || ngi_find_non_finite(act + job->index * image, image) >= 0) {
        refuse_non_finite(job, map, "the activations", job->bad_layer >= 0 ? job->bad_layer : job->layer);
        return NG_OK;
    }
    if (ngi_find_non_finite(map->signed_data, cells) >= 0 || !isfinite(map->gradient_norm)) {
        refuse_non_finite(job, map, "the gradient", job->layer);
        return NG_OK;
    }
    for (int64_t i = 0; i < cells; i++)
        map->data[i] = map->signed_data[i] > 0 ? map->signed_data[i] : 0;
    ngi_min_max(map->data, cells, &map->min, &map->max);
    ngi_min_max(map->signed_data, cells, &map->signed_min, &map->signed_max);
    judge(method, job, map);
    return NG_OK;
}

void ng_map_clear(ng_map *map)
{
    ngi_free(map->data);
    ngi_free(map->signed_data);
    *map = (ng_map){0};
}

const char *ng_map_status_name(ng_map_status status)
{
    static const char *const texts[] = {
#define TEXT(name, text) text,
        NG_MAP_STATUS_LIST(TEXT)
#undef TEXT
    };
    return (size_t)status < sizeof texts / sizeof *texts ? texts[status] : "unknown";
}
