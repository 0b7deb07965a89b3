/* netgaze tune: measures which kernel runs each convolution best on this machine, and keeps what won. */
#include "app.h"

#include <string.h>

static json_t *row_json(const ng_tune_row *r)
{
    json_t *o = json_object(), *kernels = json_array();
    for (int i = 0; i < 2; i++) {
        json_t *k = json_object();
        json_object_set_new(k, "kernel", json_text(r->kernel[i]));
        json_object_set_new(k, "median_ms", json_number(r->milliseconds[i]));
        json_array_append_new(kernels, k);
    }
    json_object_set_new(o, "shape", json_text(r->shape));
    json_object_set_new(o, "layers", json_integer(r->layers));
    json_object_set_new(o, "kernels", kernels);
    json_object_set_new(o, "chosen", json_integer(r->chosen));
    return o;
}

static bool print_json(const ng_tune_result *t)
{
    for (int i = 0; i < t->row_count; i++)
        if (!write_json_line(stdout, row_json(&t->rows[i])))
            return false;
    return true;
}

static void print_text(const ng_tune_result *t)
{
    double before = 0, after = 0;
    for (int i = 0; i < t->row_count; i++) {
        const ng_tune_row *r = &t->rows[i];
        before += r->layers * r->milliseconds[0];
        after += r->layers * r->milliseconds[r->chosen];
        printf("%-46s %2d layer%s  %c%-24s %8.3f ms  %c%-24s %8.3f ms\n", r->shape, r->layers,
               r->layers == 1 ? " " : "s", r->chosen == 0 ? '*' : ' ', r->kernel[0], r->milliseconds[0],
               r->chosen == 1 ? '*' : ' ', r->kernel[1], r->milliseconds[1]);
    }
    if (t->row_count == 0)
        printf("no layer of this model has more than one kernel on this processor\n");
    else
        printf("together %.2f ms, chosen %.2f ms%s\n", before, after,
               t->kept ? "" : "; not kept: there is no cache");
}

int run_tune(const settings *s)
{
    ng_model *model;
    int rest, code = open_model(s, &model, &rest);
    if (code == EXIT_DONE && s->n_arguments > rest) {
        complain("tune: one model is expected, '%s' is too many", s->arguments[rest]);
        code = EXIT_USAGE;
    }
    ng_error err;
    ng_tune_result result = {0};
    if (code == EXIT_DONE &&
        ng_model_tune(model, s->threads > 0 ? s->threads : 1, s->repeat, &result, &err) != NG_OK) {
        complain("%s", err.text);
        code = err.status == NG_E_MEMORY || err.status == NG_E_IO ? EXIT_ENVIRONMENT : EXIT_MODEL;
    }
    if (code == EXIT_DONE && s->json)
        code = print_json(&result) ? EXIT_DONE : say_out_of_memory();
    else if (code == EXIT_DONE)
        print_text(&result);
    ng_tune_result_clear(&result);
    ng_model_free(model);
    return code;
}
