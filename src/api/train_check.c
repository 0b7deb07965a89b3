/* The batch-norm trap, where a network says one thing in training and another from its file, cannot go unseen: the saved
 * file is opened like any other model, and runs some images by the way that `classify` takes. */
#include "api/train.h"

#include <math.h>
#include <string.h>

enum { CHECKED = 8 };

/* Logits of one image through the file, read by the functions that everyone uses. */
static ng_status run_file(const ngi_training *t, const ng_model *saved, ng_session *session, const char *path,
                          float *input, ng_error *err)
{
    ng_model_info info;
    ng_image whole, fitted;
    ng_image_opts opts = t->image;
    ng_model_describe(saved, &info);
    opts.channels = info.input_channels;
    NGI_TRY(ng_image_load(path, &opts, &whole, err));
    ng_status status = ng_image_fit(&whole, info.input_width, info.input_height, t->o.fit, t->o.resample, 0,
                                    &fitted, NULL, err);
    ng_image_clear(&whole);
    if (status != NG_OK)
        return status;
    status = ng_model_preprocess(saved, &fitted, input, err);
    ng_image_clear(&fitted);
    return status == NG_OK ? ng_session_run(session, input, 1, err) : status;
}

static ng_status compare(ngi_training *t, const ng_model *saved, const int64_t *items, int n,
                         const float *logits, ng_error *err)
{
    const ngi_shape *in = &saved->graph->nodes[saved->graph->inputs[0]].shape;
    int k = t->data.n_classes;
    ng_session *session = NULL;
    float *input = ngi_alloc((size_t)ngi_shape_count(in), sizeof *input);
    ng_status status = input ? ng_session_create(saved, NULL, &session, err)
                             : ngi_fail_memory(err, (size_t)ngi_shape_count(in) * sizeof *input);
    double most = 0, scale = 1;
    for (int i = 0; i < n && status == NG_OK; i++) {
        status = run_file(t, saved, session, t->data.items[items[i]].path, input, err);
        const float *out = ng_session_logits(session);
        for (int c = 0; c < k && status == NG_OK; c++) {
            double difference = fabs((double)out[c] - logits[i * k + c]);
            most = !(difference <= most) ? difference : most;
            scale = fmax(scale, fabs((double)logits[i * k + c]));
        }
    }
    ng_session_free(session);
    ngi_free(input);
    if (status != NG_OK)
        return status;
    t->out->checked_images = n;
    t->out->largest_difference = most;
    if (!(most <= 1e-3 * scale))
        return ngi_fail(err, NG_E_INTERNAL,
                        "%s: the saved model's logits differ from training's by up to %g (of %g)", t->path,
                        most, scale);
    return NG_OK;
}

ng_status ngi_training_check(ngi_training *t, ng_error *err)
{
    int64_t items[CHECKED];
    int n = 0;
    for (int pass = 0; pass < 2; pass++) /* validation images, then others */
        for (int64_t i = 0; i < t->data.n_items && n < CHECKED; i++)
            if ((t->data.items[i].split == NGI_SPLIT_VAL) == (pass == 0) && ngi_features_row(&t->features, i))
                items[n++] = i;
    float *logits = ngi_alloc((size_t)n * (size_t)t->data.n_classes, sizeof *logits);
    if (!logits)
        return ngi_fail_memory(err, (size_t)n * (size_t)t->data.n_classes * sizeof *logits);
    double loss, accuracy;
    int64_t judged;
    ng_model *saved = NULL;
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.cache = "off";
    ng_status status = ngi_fit_evaluate(t->fit, items, n, &loss, &accuracy, logits, &judged, err);
    if (status == NG_OK && judged == n)
        status = ng_model_load(t->path, &opts, &saved, err);
    if (status == NG_OK && judged == n)
        status = compare(t, saved, items, n, logits, err);
    if (status != NG_OK)
        ngi_error_prefix(err, "checking the saved model");
    ng_model_free(saved);
    ngi_free(logits);
    return status;
}
