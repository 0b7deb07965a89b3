/* Grad-CAM++ (Chattopadhay et al., 2018): with Y = exp(S), whose derivatives are e^S g, e^S g^2, e^S g^3,
 *   alpha = g^2 / (2 g^2 + (sum_ab A_ab) g^3), 0 where the denominator is 0,
 *   w_k = sum_ij alpha relu(e^S g), map = sum_k w_k A_k.
 * The factor e^S is common to all channels and left out: it only scales the map and overflows for confident
 * predictions. Variant pgc, pytorch-grad-cam's: 1e-6 is added to the denominator. Variant tkv, tf-keras-vis's: each
 * channel's alphas are divided by their sum. */
#include "attr/attr.h"

enum { PAPER, PGC, TKV };

static const ng_method_parameter parameters[] = {
    {.name = "variant", .choices = "paper|pgc|tkv", .summary = "whose formula for alpha"},
};

extern const ngi_method ngi_method_gradcampp;

static double alpha(double g, double sum, int variant)
{
    double denominator = 2 * g * g + sum * g * g * g + (variant == PGC ? 1e-6 : 0);
    return g != 0 && denominator != 0 ? g * g / denominator : 0;
}

/* weights [channels] from sums and alphas [channels] of the activations and alphas. */
static void weigh(const ngi_attr_pair *p, int variant, double *sums, double *alphas, double *weights)
{
    for (int64_t i = 0; i < p->cells * p->channels; i++)
        sums[i % p->channels] += p->act[i];
    for (int64_t i = 0; i < p->cells * p->channels; i++) {
        int64_t k = i % p->channels;
        double g = p->grad[i], a = alpha(g, sums[k], variant);
        alphas[k] += a;
        weights[k] += g > 0 ? a * g : 0;
    }
    for (int64_t k = 0; k < p->channels; k++)
        if (variant == TKV && alphas[k] != 0)
            weights[k] /= alphas[k];
}

static ng_status compute(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    double *sums = ngi_alloc_zero(3 * (size_t)p.channels, sizeof *sums);
    if (!sums)
        return ngi_fail_memory(err, 3 * (size_t)p.channels * sizeof *sums);
    double *weights = sums + 2 * p.channels;
    weigh(&p, (int)ngi_parameter(&ngi_method_gradcampp, job, "variant"), sums, sums + p.channels, weights);
    ng_status status = ngi_attr_weigh(job, &p, weights, map, err);
    ngi_free(sums);
    return status;
}

const ngi_method ngi_method_gradcampp = {
    .info =
        {
            .name = "gradcam++",
            .title = "Grad-CAM++",
            .summary = "channels weighted by positive gradients, second-order corrected",
            .cost = "1 forward + backward to the layer",
            .source = "Chattopadhay et al. 2018, arXiv:1710.11063",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
            .sums_channels = 1,
            .parameter_count = sizeof parameters / sizeof *parameters,
            .parameters = parameters,
        },
    .check = ngi_attr_check_spatial,
    .compute = compute,
};
