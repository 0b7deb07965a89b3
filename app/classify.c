/* netgaze classify: labels and probabilities. */
#include "precision.h"
#include "ranking.h"
#include "work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TOP = 5 };

typedef struct classify_job {
    const settings *s;
    const ng_model *model;
    inputs in;
    fitting fit;
    int classes, top;
    bool color;
} classify_job;

static json_t *prediction_json(const ng_model *model, int index, float probability, float logit)
{
    json_t *o = json_object();
    json_object_set_new(o, "index", json_integer(index));
    json_object_set_new(o, "label", json_text(ng_model_label(model, index)));
    json_object_set_new(o, "probability", json_number(probability));
    json_object_set_new(o, "logit", json_number(logit));
    return o;
}

static bool write_json(const classify_job *c, const slot *s, int item, const ranked *order,
                       const float *probabilities, FILE *out)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "image", json_text(c->in.paths[s->input]));
    if (s->picture.numbered)
        json_object_set_new(o, "item", json_integer(item));
    json_object_set_new(o, "status", json_string("ok"));
    for (int i = 0; i < c->top; i++)
        json_array_append_new(
            list, prediction_json(c->model, order[i].index, probabilities[order[i].index], order[i].score));
    json_object_set_new(o, "predictions", list);
    return write_json_line(out, o);
}

static void write_text(const classify_job *c, const slot *s, int item, const ranked *order,
                       const float *probabilities, FILE *out)
{
    const char *strong = c->color ? "\033[1m" : "", *plain = c->color ? "\033[0m" : "";
    fprintf(out, "%s%s", strong, c->in.paths[s->input]);
    if (s->picture.numbered)
        fprintf(out, " [%d]", item);
    fprintf(out, "%s\n", plain);
    for (int i = 0; i < c->top; i++)
        fprintf(out, "  %9.4f %%  %9.4f  %s\n", 100.0 * probabilities[order[i].index], order[i].score,
                ng_model_label(c->model, order[i].index));
}

static ng_status fail_not_finite(const char *path, const char *what, ng_error *err)
{
    err->status = NG_E_FORMAT;
    snprintf(err->text, sizeof err->text,
             "%s: %s not finite: NaN or infinity; `netgaze explain` names the layer where it begins", path,
             what);
    return NG_E_FORMAT;
}

/* A relu may turn NaN of the input into 0, so scores alone don't show it. */
static ng_status check_finite(const classify_job *c, const slot *s, int item, const float *logits,
                              const float *probabilities, ng_error *err)
{
    const int64_t *d = s->picture.input.shape + 1; /* [h,w,c] */
    const char *path = c->in.paths[s->input];
    for (int64_t i = 0; s->picture.is_array && i < d[0] * d[1] * d[2]; i++)
        if (!isfinite(picture_input(&s->picture, item)[i]))
            return fail_not_finite(path, "the input is", err);
    for (int i = 0; i < c->classes; i++)
        if (!isfinite(logits[i]) || !isfinite(probabilities[i]))
            return fail_not_finite(path, "the network's scores are", err);
    return NG_OK;
}

static ng_status classify_item(void *context, ng_session *session, int at, const slot *s, int item, job *j,
                               ng_error *err)
{
    const classify_job *c = context;
    size_t offset = (size_t)at * (size_t)c->classes;
    const float *logits = ng_session_logits(session) + offset;
    const float *probabilities = ng_session_probabilities(session) + offset;
    ng_status status = check_finite(c, s, item, logits, probabilities, err);
    if (status != NG_OK)
        return status;
    ranked *order = rank_classes(logits, c->classes);
    bool fine = order != NULL;
    if (fine && c->s->json)
        fine = write_json(c, s, item, order, probabilities, j->out);
    else if (fine)
        write_text(c, s, item, order, probabilities, j->out);
    free(order);
    return fine ? NG_OK : fail_memory(err);
}

static void write_failure(void *context, const slot *s, job *j)
{
    const classify_job *c = context;
    if (c->s->json && !write_failure_json(j->out, c->in.paths[s->input], s->err.text))
        j->fatal = true;
}

static void classify_images(void *context, ng_session *session, job *j)
{
    classify_job *c = context;
    chunk_steps steps = {.model = c->model,
                         .in = &c->in,
                         .fit = &c->fit,
                         .batch = c->s->batch,
                         .context = c,
                         .do_item = classify_item,
                         .write_failure = write_failure};
    run_chunk(&steps, session, j);
}

static int classify_all(classify_job *c, ng_session *session)
{
    ng_model_info info;
    ng_model_describe(c->model, &info);
    int wanted = c->s->top < 0 ? DEFAULT_TOP : c->s->top == 0 ? info.class_count : c->s->top;
    c->classes = info.class_count;
    c->top = wanted < info.class_count ? wanted : info.class_count;
    c->color = color_wanted(stdout);
    return run_jobs(c->s, session, c->in.count, classify_images, c);
}

int run_classify(const settings *asked)
{
    settings own = *asked, *s = &own;
    classify_job c = {.s = s};
    ng_model *model = NULL;
    ng_session *session = NULL;
    int rest, code = read_fitting(s, &c.fit);
    if (code == EXIT_DONE && !s->model && s->n_arguments == 0) {
        complain("a model is missing; see `netgaze classify --help`");
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = find_inputs(s, s->model ? 0 : 1, NULL, &c.in);
    own.batch = batch_of(asked, c.in.count);
    if (code == EXIT_DONE)
        code = open_model(s, &model, &rest);
    if (code == EXIT_DONE)
        code = open_checked(s, model, &c.in, &c.fit, NULL, 0, true, &session);
    c.model = model;
    if (code == EXIT_DONE)
        code = classify_all(&c, session);
    ng_session_free(session);
    ng_model_free(model);
    inputs_clear(&c.in);
    return code;
}
