/* explain --check: two controls of every map. A map that is nearly that of a blank (grey) image is the model's own bias,
 * borders and corners above all, not this image. A map that stays nearly the same when the weights of the last layer are
 * shuffled does not depend on what the model learned about the class (Adebayo et al., "Sanity checks for saliency maps",
 * NeurIPS 2018). */
#include "explain.h"

#include <stdlib.h>
#include <string.h>

static const double suspicious = 0.9; /* correlation from which a map is doubted */

enum { SHUFFLE_SEED = 1, GREY = 128 };

/* A grey image as the network sees it; 0 where its input is no picture. */
static int make_blank(explain_job *j)
{
    const ng_model_info *in = &j->info;
    size_t pixels = (size_t)in->input_height * (size_t)in->input_width;
    ng_image grey = {in->input_width, in->input_height, in->input_channels == 1 ? 1 : 3, NULL};
    ng_error err;
    j->blank = calloc(pixels * (size_t)in->input_channels, sizeof *j->blank);
    grey.data = malloc(pixels * (size_t)grey.channels);
    if (!j->blank || !grey.data) {
        free(grey.data);
        return say_out_of_memory();
    }
    memset(grey.data, GREY, pixels * (size_t)grey.channels);
    ng_status status = NG_OK;
    if (in->input_channels == grey.channels)
        status = ng_model_preprocess(j->model, &grey, j->blank, &err);
    free(grey.data);
    if (status == NG_OK)
        return EXIT_DONE;
    complain("--check: %s", err.text);
    return EXIT_MODEL;
}

int open_checks(explain_job *j)
{
    settings quiet = *j->s;
    int rest;
    quiet.quiet = true;
    quiet.batch = 1;
    quiet.shuffle_head = SHUFFLE_SEED;
    int code = make_blank(j);
    if (code == EXIT_DONE)
        code = open_model(&quiet, &j->shuffled_model, &rest);
    if (code == EXIT_DONE) {
        explain_job with = *j;
        with.s = &quiet;
        with.model = j->shuffled_model;
        code = open_for_views(&with, false, &j->shuffled);
    }
    return code;
}

void close_checks(explain_job *j)
{
    ng_session_free(j->shuffled);
    ng_model_free(j->shuffled_model);
    free(j->blank);
}

/* Correlation of the map with the one that `base`'s network gives of `input` under the same options. */
static ng_status compare_with(const ng_session *base, const float *input, const ng_explain_opts *opts,
                              const ng_map *map, double *r, ng_error *err)
{
    ng_session *session = NULL;
    ng_map other = {0};
    ng_explain_opts same = *opts;
    same.class_index = map->class_index;
    ng_status status = ng_session_clone(base, &session, err);
    if (status == NG_OK)
        status = ng_session_run(session, input, 1, err);
    if (status == NG_OK)
        status = ng_explain(session, 0, &same, &other, err);
    if (status == NG_OK)
        *r = correlation(map->signed_data, other.signed_data, map->height * map->width);
    ng_map_clear(&other);
    ng_session_free(session);
    return status;
}

ng_status check_map(const explain_job *j, const ng_session *session, const float *input,
                    const ng_explain_opts *opts, set *t, ng_error *err)
{
    double blank = 0, head = 0;
    const char *path = j->in.paths[t->input], *label = ng_model_label(j->model, t->map->class_index);
    ng_status status = compare_with(session, j->blank, opts, t->map, &blank, err);
    if (status == NG_OK)
        status = compare_with(j->shuffled, input, opts, t->map, &head, err);
    if (status != NG_OK)
        return status;
    t->checks = json_pack("{s:f, s:f}", "blank_image", blank, "shuffled_head", head);
    if (!t->checks)
        return fail_memory(err);
    if (blank > suspicious && !j->s->quiet)
        complain("%s: the map of %s at %s is nearly that of a blank image (correlation %.3f): it shows the "
                 "model's "
                 "own bias, not this image",
                 path, label, j->views[t->view].path, blank);
    if (head > suspicious && !j->s->quiet)
        complain(
            "%s: the map of %s at %s hardly changes when the last layer's weights are shuffled (correlation "
            "%.3f): it does not depend on what the model learned about the class",
            path, label, j->views[t->view].path, head);
    return NG_OK;
}
