/* netgaze classify: labels and probabilities. */
#include "app.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct classify_job {
    const settings *s;
    const ng_model *model;
    const inputs *in;
    fitting fit;
    int classes;
} classify_job;

static double finite_or_zero(double v)
{
    return isfinite(v) ? v : 0;
}

typedef struct ranked {
    int index;
    float score;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->index - y->index;
}

/* The classes of one image, most likely first: [classes]. */
static ranked *rank(const float *logits, int n)
{
    ranked *r = malloc((size_t)n * sizeof *r);
    for (int i = 0; r && i < n; i++)
        r[i] = (ranked){i, logits[i]};
    if (r)
        qsort(r, (size_t)n, sizeof *r, by_score);
    return r;
}

static char *describe(const classify_job *j, const char *path, int item, const float *z, const float *p)
{
    int top = j->s->top < 0 ? 5 : j->s->top == 0 ? j->classes : j->s->top;
    top = top > j->classes ? j->classes : top;
    ranked *r = rank(z, j->classes);
    if (!r)
        return NULL;
    json_t *list = json_array(), *object = json_pack("{s:s, s:s}", "image", path, "status", "ok");
    if (item >= 0)
        json_object_set_new(object, "item", json_integer(item));
    char text[8192];
    size_t used = (size_t)snprintf(text, sizeof text, "%s%s", path, item >= 0 ? "" : "\n");
    if (item >= 0)
        used += (size_t)snprintf(text + used, sizeof text - used, " [%d]\n", item);
    for (int i = 0; i < top; i++) {
        int k = r[i].index;
        json_array_append_new(list, json_pack("{s:i, s:s, s:f, s:f}", "index", k, "label", ng_model_label(j->model, k), "probability",
                                              finite_or_zero(p[k]), "logit", finite_or_zero(z[k])));
        if (used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "  %8.4f %%  %s\n", 100.0 * p[k], ng_model_label(j->model, k));
    }
    json_object_set_new(object, "predictions", list);
    free(r);
    if (j->s->json)
        return json_line(object);
    json_decref(object);
    return strdup(text);
}

static char *append(char *text, char *more)
{
    if (!text || !more)
        return text ? text : more;
    char *joined = realloc(text, strlen(text) + strlen(more) + 1);
    if (joined)
        strcat(joined, more);
    free(more);
    return joined;
}

static job_result classify_one(void *context, ng_session *session, int index)
{
    classify_job *j = context;
    const char *path = j->in->paths[index];
    picture p;
    ng_error err;
    job_result result = {0};
    ng_status status = picture_load(j->model, path, &j->fit, &p, &err);
    ng_model_info info;
    ng_model_describe(j->model, &info);
    size_t one = (size_t)info.input_height * (size_t)info.input_width * (size_t)info.input_channels;
    for (int i = 0; status == NG_OK && i < p.n && !interrupted; i++) {
        status = ng_session_run(session, p.input + one * (size_t)i, 1, &err);
        if (status == NG_OK)
            result.text = append(result.text, describe(j, path, p.is_array && p.n > 1 ? i : -1, ng_session_logits(session),
                                                       ng_session_probabilities(session)));
    }
    picture_clear(&p);
    if (status != NG_OK) {
        complain("%s", err.text);
        result.failed = true;
        if (j->s->json)
            result.text = append(result.text, json_line(json_pack("{s:s, s:s, s:s}", "image", path, "status", "error", "error", err.text)));
    }
    return result;
}

int run_classify(const settings *s)
{
    classify_job j = {.s = s};
    ng_model *model;
    inputs in;
    int first, code = read_fitting(s, &j.fit);
    if (code == EXIT_DONE)
        code = open_model(s, &model, &first);
    if (code != EXIT_DONE)
        return code;
    code = find_inputs(s, first, &in);
    ng_session *session = NULL;
    if (code == EXIT_DONE) {
        ng_session_opts opts;
        ng_session_opts_init(&opts);
        opts.backend = s->backend;
        ng_error err;
        ng_status status = ng_session_create(model, &opts, &session, &err);
        if (status != NG_OK) {
            complain("%s", err.text);
            code = exit_code_of(status);
        }
    }
    if (code == EXIT_DONE) {
        ng_model_info info;
        ng_model_describe(model, &info);
        j.model = model;
        j.in = &in;
        j.classes = info.class_count;
        code = run_jobs(s, session, in.count, classify_one, &j, "images");
    }
    ng_session_free(session);
    inputs_clear(&in);
    ng_model_free(model);
    return code;
}
