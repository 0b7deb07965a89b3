/* FinerCAM (Zhang et al., 2025): Grad-CAM of the class less what it shares with the classes next to it,
 *   S = sum_c w_c (z_t - alpha z_c), w = softmax over the nearest classes c by logit.
 * pytorch-grad-cam's default alpha is 1, the paper's 0.6. */
#include "attr/attr.h"

static const ng_method_parameter parameters[] = {
    {.name = "alpha", .value = 0.6, .low = 0, .high = 10, .summary = "weight of the neighbouring classes"},
};

extern const ngi_method ngi_method_finercam, ngi_method_gradcam;

static ng_status check(const ngi_graph *g, int layer, ng_error *err)
{
    ngi_head head = ngi_head_of(g);
    if (head.classes < 2)
        return ngi_fail(
            err, NG_E_UNSUPPORTED,
            "FinerCAM compares a class with its neighbours, but the model has one output only. Use --method "
            "gradcam");
    return ngi_attr_check_spatial(g, layer, err);
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    const ngi_head *head = job->head;
    size_t at = (size_t)job->index * (size_t)head->width;
    float *z = ngi_alloc(2 * (size_t)head->classes, sizeof *z); /* scores and probabilities */
    if (!z)
        return ngi_fail_memory(err, 2 * (size_t)head->classes * sizeof *z);
    ngi_head_scores(head, ngi_run_activation(job->run, head->logits) + at,
                    ngi_run_activation(job->run, head->output) + at, z, z + head->classes);
    ngi_attr_job finer = *job;
    ng_status status =
        ngi_target_init(head, NG_TARGET_FINER, job->target.class_index, -1,
                        ngi_parameter(&ngi_method_finercam, job, "alpha"), z, &finer.target, err);
    ngi_free(z);
    return status == NG_OK ? ngi_method_gradcam.compute(&finer, map, err) : status;
}

const ngi_method ngi_method_finercam = {
    .info =
        {
            .name = "finercam",
            .title = "FinerCAM",
            .summary = "Grad-CAM of what tells the class from those next to it",
            .cost = "1 forward + backward to the layer",
            .source = "Zhang et al. 2025, arXiv:2501.11309",
            .assumes = "the target is the method's own; --target is not looked at",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = check,
    .compute = compute,
};
