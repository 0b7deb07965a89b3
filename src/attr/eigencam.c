/* Eigen-CAM (Muhammad & Yeasin, 2020): the activations [cells,channels], each channel less its mean, projected on their
 * first right singular vector. EigenGrad-CAM (pytorch-grad-cam) does the same with gradient times activation. KPCA-CAM
 * (Karmani et al., 2024) takes the leading component of kernel PCA instead; kernel and gamma as scikit-learn's KernelPCA,
 * which pytorch-grad-cam calls. The sign of a singular vector is arbitrary; see principal.h. */
#include "attr/attr.h"
#include "attr/principal.h"

#include <math.h>

enum { MOST_KERNEL_CELLS = 4096 };

static ng_status store(ng_status status, double *x, double *projection, ng_map *map)
{
    for (int64_t i = 0; status == NG_OK && i < (int64_t)map->height * map->width; i++)
        map->signed_data[i] = (float)projection[i];
    ngi_free(x);
    ngi_free(projection);
    return status;
}

static ng_status project(const float *act, const float *grad, int64_t cells, int64_t channels, ng_map *map,
                         ng_error *err)
{
    size_t count = (size_t)cells * (size_t)channels;
    double *x = ngi_alloc(count, sizeof *x), *projection = ngi_alloc((size_t)cells, sizeof *projection);
    ng_status status = x && projection ? NG_OK : ngi_fail_memory(err, count * sizeof *x);
    for (size_t i = 0; i < count && status == NG_OK; i++)
        x[i] = grad ? (double)grad[i] * act[i] : act[i];
    if (status == NG_OK)
        status = ngi_principal_projection(x, cells, channels, projection, err);
    return store(status, x, projection, map);
}

static ng_status eigencam(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    int64_t cells, channels;
    const float *act = ngi_attr_activations(job, &cells, &channels);
    return project(act, NULL, cells, channels, map, err);
}

static ng_status eigengradcam(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    ngi_attr_pair p;
    NGI_TRY(ngi_attr_pair_compute(job, map, &p, err));
    return project(p.act, p.grad, p.cells, p.channels, map, err);
}

/* ---- Kernel PCA ------------------------------------------------------------------------------ */

static const ng_method_parameter kernel_parameters[] = {
    {.name = "kernel", .choices = "sigmoid|rbf|poly|cosine", .summary = "between the cells' channel vectors"},
    {.name = "gamma",
     .value = 0,
     .low = 0,
     .high = 1e6,
     .summary = "of sigmoid, rbf and poly; 0: 1 / channels"},
};

extern const ngi_method ngi_method_kpcacam;

enum { SIGMOID, RBF, POLY, COSINE };

static double kernel_of(const double *a, const double *b, int64_t n, int kind, double gamma)
{
    double product = 0, distance = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        product += a[i] * b[i];
        distance += (a[i] - b[i]) * (a[i] - b[i]);
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    switch (kind) {
    case SIGMOID:
        return tanh(gamma * product + 1);
    case RBF:
        return exp(-gamma * distance);
    case POLY:
        return pow(gamma * product + 1, 3);
    default:
        return aa > 0 && bb > 0 ? product / sqrt(aa * bb) : 0;
    }
}

static ng_status check_cells(const ngi_graph *g, int layer, ng_error *err)
{
    NGI_TRY(ngi_attr_check_spatial(g, layer, err));
    const int64_t *d = g->nodes[g->layers[layer].node].shape.dim;
    if (d[0] * d[1] <= MOST_KERNEL_CELLS)
        return NG_OK;
    return ngi_fail(
        err, NG_E_UNSUPPORTED,
        "kpcacam compares every cell with every other: %lld cells are too many, %d are the most. Use a "
        "later layer, or eigencam",
        (long long)(d[0] * d[1]), MOST_KERNEL_CELLS);
}

static ng_status kpcacam(const ngi_attr_job *job, ng_map *map, ng_error *err)
{
    int64_t cells, channels;
    const float *act = ngi_attr_activations(job, &cells, &channels);
    int kind = (int)ngi_parameter(&ngi_method_kpcacam, job, "kernel");
    double gamma = ngi_parameter(&ngi_method_kpcacam, job, "gamma");
    gamma = gamma > 0 ? gamma : 1.0 / (double)channels;
    size_t count = (size_t)cells * (size_t)channels + (size_t)cells * (size_t)cells + (size_t)channels;
    double *x = ngi_alloc_zero(count, sizeof *x), *projection = ngi_alloc((size_t)cells, sizeof *projection);
    if (!x || !projection)
        return store(ngi_fail_memory(err, count * sizeof *x), x, projection, map);
    double *k = x + cells * channels, *mean = k + cells * cells;
    for (int64_t i = 0; i < cells * channels; i++)
        mean[i % channels] += act[i] / (double)cells;
    for (int64_t i = 0; i < cells * channels; i++)
        x[i] = act[i] - mean[i % channels];
    for (int64_t a = 0; a < cells; a++)
        for (int64_t b = 0; b <= a; b++)
            k[a * cells + b] = k[b * cells + a] =
                kernel_of(x + a * channels, x + b * channels, channels, kind, gamma);
    return store(ngi_principal_kernel(k, cells, projection, err), x, projection, map);
}

const ngi_method ngi_method_eigencam = {
    .info =
        {
            .name = "eigencam",
            .title = "Eigen-CAM",
            .summary = "first principal component of the activations: what stands out, for any class",
            .cost = "1 forward",
            .source = "Muhammad & Yeasin 2020, arXiv:2008.00299",
            .assumes = "the dominant pattern is the object; the class is not looked at",
            .at_layer = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = eigencam,
};

const ngi_method ngi_method_eigengradcam = {
    .info =
        {
            .name = "eigengradcam",
            .title = "EigenGrad-CAM",
            .summary = "first principal component of gradient times activation",
            .cost = "1 forward + backward to the layer",
            .source = "pytorch-grad-cam, EigenGradCAM",
            .assumes = "",
            .takes_gradient = 1,
            .at_layer = 1,
        },
    .check = ngi_attr_check_spatial,
    .compute = eigengradcam,
};

const ngi_method ngi_method_kpcacam = {
    .info =
        {
            .name = "kpcacam",
            .title = "KPCA-CAM",
            .summary = "first component of kernel PCA of the activations",
            .cost = "1 forward",
            .source = "Karmani et al. 2024, arXiv:2410.00267",
            .assumes = "the dominant pattern is the object; the class is not looked at",
            .at_layer = 1,
            .parameter_count = sizeof kernel_parameters / sizeof *kernel_parameters,
            .parameters = kernel_parameters,
        },
    .check = check_cells,
    .compute = kpcacam,
};
