/* Methods of one gradient to the input:
 *   saliency          |dS/dx| (Simonyan et al., 2014)
 *   input x gradient  x dS/dx (Shrikumar et al., 2016)
 *   guided backprop   every ReLU passes on g [x > 0] [g > 0] (Springenberg et al., 2015)
 *   deconvnet         every ReLU passes on g [g > 0] (Zeiler & Fergus, 2014)
 *   Guided Grad-CAM   guided backpropagation times the upsampled relu of Grad-CAM (Selvaraju et al., 2017) */
#include "attr/attr.h"
#include "attr/reduce.h"

#include <math.h>
#include <string.h>

#define REDUCE(initial)                                                           \
    {                                                                             \
        .name = "reduce", .value = initial, .choices = NGI_REDUCE_CHOICES,        \
        .summary = "how a pixel's channels become one number; sum keeps the sign" \
    }

static const ng_method_parameter absolute[] = {REDUCE(NGI_REDUCE_ABS_MAX)};
static const ng_method_parameter with_sign[] = {REDUCE(NGI_REDUCE_SUM)};

extern const ngi_method ngi_method_saliency, ngi_method_gradcam;

/* The gradient to the job's image at the input, [cells,channels]. */
static ng_status input_gradient(const ngi_attr_job *job, ngi_relu_rule rule, const float **gradient,
                                ng_error *err)
{
    int input = job->graph->inputs[0];
    size_t width = (size_t)job->head->width, at = (size_t)job->index * width;
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    ngi_target_seed(job->head, &job->target, ngi_run_activation(job->run, job->head->logits) + at,
                    ngi_run_activation(job->run, job->head->output) + at, job->seed);
    NGI_TRY(ngi_run_backward_image(job->run, job->seed, job->index, input, rule, err));
    *gradient = ngi_run_gradient(job->run, input) + job->index * ngi_shape_count(&shape);
    return NG_OK;
}

/* map = reduce(gradient * factor), factor [cells,channels] or NULL; times weight [cells], or NULL. */
static ng_status finish(const ngi_attr_job *job, const float *gradient, const float *factor,
                        const float *weight, ng_map *map, ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    int64_t count = ngi_shape_count(&shape), channels = shape.dim[2];
    double *values = ngi_alloc((size_t)count, sizeof *values);
    if (!values)
        return ngi_fail_memory(err, (size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (double)gradient[i] * (factor ? factor[i] : 1) * (weight ? weight[i / channels] : 1);
    /* all rows of this file have this one parameter */
    ng_status status =
        ngi_reduce_channels(job, (ngi_reduce)ngi_parameter(&ngi_method_saliency, job, "reduce"), values,
                            count / channels, channels, map, err);
    map->gradient_norm = sqrt(ngi_dot(gradient, gradient, count));
    ngi_free(values);
    return status;
}

static ng_status saliency(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const float *gradient;
    NGI_TRY(input_gradient(job, NGI_RELU_GRADIENT, &gradient, err));
    return finish(job, gradient, NULL, NULL, map, err);
}

static ng_status inputxgradient(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const float *gradient;
    NGI_TRY(input_gradient(job, NGI_RELU_GRADIENT, &gradient, err));
    return finish(job, gradient, job->input, NULL, map, err);
}

static ng_status guidedbackprop(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const float *gradient;
    NGI_TRY(input_gradient(job, NGI_RELU_GUIDED, &gradient, err));
    return finish(job, gradient, NULL, NULL, map, err);
}

static ng_status deconvnet(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const float *gradient;
    NGI_TRY(input_gradient(job, NGI_RELU_DECONV, &gradient, err));
    return finish(job, gradient, NULL, NULL, map, err);
}

static ng_status guidedgradcam(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_shape *layer = &job->graph->nodes[job->graph->layers[job->layer].node].shape;
    ng_map cam = {.height = (int)layer->dim[0], .width = (int)layer->dim[1]};
    ngi_attr_job plain = *job;
    plain.eigen = false; /* the product with the gradient is what is smoothed */
    size_t cells = (size_t)cam.height * (size_t)cam.width, pixels = (size_t)map->height * (size_t)map->width;
    cam.signed_data = ngi_alloc(cells, sizeof *cam.signed_data);
    float *weight = ngi_alloc(pixels, sizeof *weight);
    ng_status status =
        cam.signed_data && weight ? NG_OK : ngi_fail_memory(err, (cells + pixels) * sizeof(float));
    if (status == NG_OK)
        status = ngi_method_gradcam.compute(&plain, &cam, err);
    if (status == NG_OK) {
        const float *gradient;
        for (size_t i = 0; i < cells; i++)
            cam.signed_data[i] = cam.signed_data[i] > 0 ? cam.signed_data[i] : 0;
        ngi_resize_bilinear(cam.signed_data, cam.height, cam.width, 0, 0, cam.height, cam.width, weight,
                            map->height, map->width);
        status = input_gradient(job, NGI_RELU_GUIDED, &gradient, err);
        if (status == NG_OK)
            status = finish(job, gradient, NULL, weight, map, err);
    }
    ngi_free(cam.signed_data);
    ngi_free(weight);
    return status;
}

/* The rules for ReLUs have nothing to say where there are none. */
static ng_status check_relus(const ngi_graph *g, ng_error *err)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const ngi_node *n = &g->nodes[i];
        if (n->op == NGI_OP_ACTIVATION && n->feeds_output &&
            (n->attr.act.kind == NGI_ACT_RELU || n->attr.act.kind == NGI_ACT_RELU6))
            return NG_OK;
    }
    return ngi_fail(err, NG_E_UNSUPPORTED,
                    "this model has no ReLU, for which the method is defined. Use saliency, smoothgrad or "
                    "integratedgradients");
}

static ng_status check_guided(const ngi_graph *g, int layer, ng_error *err)
{
    NGI_TRY(ngi_attr_check_input(g, layer, err));
    return check_relus(g, err);
}

static ng_status check_guided_layer(const ngi_graph *g, int layer, ng_error *err)
{
    NGI_TRY(check_relus(g, err));
    if (layer == ngi_attr_input_layer(g))
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "Guided Grad-CAM wants a layer for its Grad-CAM, not the input; `netgaze layers --candidates` "
            "lists them");
    return ngi_attr_check_spatial(g, layer, err);
}

const ngi_method ngi_method_saliency = {
    .info =
        {
            .name = "saliency",
            .title = "Saliency",
            .summary = "absolute gradient of the class score at every input pixel",
            .cost = "1 forward + backward to the input",
            .source = "Simonyan et al. 2014, arXiv:1312.6034",
            .assumes = "the score is nearly linear around the image",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = 1,
            .parameters = absolute,
        },
    .check = ngi_attr_check_input,
    .compute = saliency,
};

const ngi_method ngi_method_inputxgradient = {
    .info =
        {
            .name = "inputxgradient",
            .title = "Input x gradient",
            .summary = "gradient times the network's input",
            .cost = "1 forward + backward to the input",
            .source = "Shrikumar et al. 2016, arXiv:1605.01713",
            .assumes = "zero in the network's input means nothing there",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = 1,
            .parameters = with_sign,
        },
    .check = ngi_attr_check_input,
    .compute = inputxgradient,
};

const ngi_method ngi_method_guidedbackprop = {
    .info =
        {
            .name = "guidedbackprop",
            .title = "Guided backpropagation",
            .summary = "gradient in which every ReLU passes on only what is positive, in and out",
            .cost = "1 forward + backward to the input",
            .source = "Springenberg et al. 2015, arXiv:1412.6806",
            .assumes = "it draws edges whatever the weights are: see netgaze sanity before trusting it",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = 1,
            .parameters = with_sign,
        },
    .check = check_guided,
    .compute = guidedbackprop,
};

const ngi_method ngi_method_deconvnet = {
    .info =
        {
            .name = "deconvnet",
            .title = "Deconvnet",
            .summary = "gradient in which every ReLU passes on what is positive, wherever it was on",
            .cost = "1 forward + backward to the input",
            .source = "Zeiler & Fergus 2014, arXiv:1311.2901",
            .assumes = "it hardly depends on the class or the weights",
            .takes_gradient = 1,
            .at_input = 1,
            .sums_channels = 1,
            .parameter_count = 1,
            .parameters = with_sign,
        },
    .check = check_guided,
    .compute = deconvnet,
};

const ngi_method ngi_method_guidedgradcam = {
    .info =
        {
            .name = "guidedgradcam",
            .title = "Guided Grad-CAM",
            .summary = "guided backpropagation within the region of Grad-CAM",
            .cost = "1 forward + 2 backward",
            .source = "Selvaraju et al. 2017, arXiv:1610.02391",
            .assumes = "its detail is guided backpropagation's, which hardly depends on the weights",
            .takes_gradient = 1,
            .at_input = 1,
            .at_layer = 1,
            .sums_channels = 1,
            .parameter_count = 1,
            .parameters = with_sign,
        },
    .check = check_guided_layer,
    .compute = guidedgradcam,
};
