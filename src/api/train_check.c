/* The batch-norm trap, where a network says one thing in training and another from its file, cannot go unseen: the saved
 * file is opened like any other model, and runs some images by the way that `classify` takes. */
#include "api/train.h"

#include <math.h>
#include <string.h>

enum { CHECKED = 8, TRIED = 64 }; /* images */

typedef struct check {
    ngi_training *t;
    ng_model *saved;
    ng_session *session;
    float *input, *logits; /* of one image; [classes] by training */
    double most, scale;    /* largest difference, largest logit */
} check;

static ng_status open_saved(check *c, ng_error *err)
{
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.cache = "off";
    NGI_TRY(ng_model_load(c->t->path, &opts, &c->saved, err));
    NGI_TRY(ng_session_create(c->saved, NULL, &c->session, err));
    size_t n = (size_t)ngi_shape_count(&c->saved->graph->nodes[c->saved->graph->inputs[0]].shape);
    c->input = ngi_alloc(n, sizeof *c->input);
    c->logits = ngi_alloc((size_t)c->t->data.n_classes, sizeof *c->logits);
    return c->input && c->logits ? NG_OK : ngi_fail_memory(err, n * sizeof *c->input);
}

/* An image as `classify` reads it. */
static ng_status read_input(const check *c, const char *path, ng_error *err)
{
    ng_model_info info;
    ng_image whole, fitted;
    ng_image_opts opts = c->t->image;
    ng_model_describe(c->saved, &info);
    opts.channels = info.input_channels;
    NGI_TRY(ng_image_load(path, &opts, &whole, err));
    ng_status status = ng_image_fit(&whole, info.input_width, info.input_height, c->t->o.fit,
                                    c->t->o.resample, 0, &fitted, NULL, err);
    ng_image_clear(&whole);
    if (status != NG_OK)
        return status;
    status = ng_model_preprocess(c->saved, &fitted, c->input, err);
    ng_image_clear(&fitted);
    return status;
}

/* An image that cannot be read any more says nothing about the file. */
static ng_status check_item(check *c, int64_t item, ng_error *err)
{
    ngi_training *t = c->t;
    double loss, accuracy;
    int64_t judged;
    ng_error why;
    NGI_TRY(ngi_fit_evaluate(t->fit, &item, 1, &loss, &accuracy, c->logits, &judged, err));
    ng_status status = judged ? read_input(c, t->data.items[item].path, &why) : NG_E_IO;
    if (status != NG_OK)
        return status == NG_E_MEMORY ? ngi_fail(err, status, "%s", why.text) : NG_OK;
    NGI_TRY(ng_session_run(c->session, c->input, 1, err));
    const float *out = ng_session_logits(c->session);
    for (int k = 0; k < t->data.n_classes; k++) {
        double difference = fabs((double)out[k] - c->logits[k]);
        c->most = !(difference <= c->most) ? difference : c->most;
        c->scale = fmax(c->scale, fabs((double)c->logits[k]));
    }
    t->out->checked_images++;
    return NG_OK;
}

/* Validation images, then others. */
static ng_status check_items(check *c, ng_error *err)
{
    const ngi_dataset *d = &c->t->data;
    int tried = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < d->n_items && tried < TRIED && c->t->out->checked_images < CHECKED; i++)
            if ((d->items[i].split == NGI_SPLIT_VAL) == (pass == 0) && ngi_features_row(&c->t->features, i)) {
                NGI_TRY(check_item(c, i, err));
                tried++;
            }
    c->t->out->largest_difference = c->most;
    return c->most <= 1e-3 * c->scale
               ? NG_OK
               : ngi_fail(err, NG_E_INTERNAL,
                          "%s: the saved model's logits differ from training's by up to %g (of %g)",
                          c->t->path, c->most, c->scale);
}

ng_status ngi_training_check(ngi_training *t, ng_error *err)
{
    check c = {.t = t, .scale = 1};
    ng_status status = open_saved(&c, err);
    if (status == NG_OK)
        status = check_items(&c, err);
    if (status != NG_OK)
        ngi_error_prefix(err, "checking the saved model");
    ng_session_free(c.session);
    ng_model_free(c.saved);
    ngi_free(c.input);
    ngi_free(c.logits);
    return status;
}
