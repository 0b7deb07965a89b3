/* netgaze compare: what changed between two models, and where each looks in the images that did. */
#include "judge.h"

#include <math.h>

static json_t *summary_json(const settings *s, const ng_comparison *c)
{
    json_t *o = json_object();
    json_object_set_new(o, "report", json_text(s->output));
    json_object_set_new(o, "split", json_string(c->split));
    json_object_set_new(o, "images", json_integer(c->images));
    json_object_set_new(o, "both_right", json_integer(c->both_right));
    json_object_set_new(o, "only_a", json_integer(c->only_a));
    json_object_set_new(o, "only_b", json_integer(c->only_b));
    json_object_set_new(o, "both_wrong", json_integer(c->both_wrong));
    json_object_set_new(o, "unreadable", json_integer(c->unreadable));
    json_object_set_new(o, "gone", json_integer(c->gone));
    json_object_set_new(o, "accuracy_a", figure_json(c->accuracy[0]));
    json_object_set_new(o, "accuracy_b", figure_json(c->accuracy[1]));
    json_object_set_new(o, "accuracy_change", figure_json(c->accuracy_change));
    json_object_set_new(o, "p", json_real(c->p));
    json_object_set_new(o, "images_with_energy", json_integer(c->placed));
    json_object_set_new(o, "energy_in_mask_a", figure_json(c->energy[0]));
    json_object_set_new(o, "energy_in_mask_b", figure_json(c->energy[1]));
    json_object_set_new(o, "energy_in_mask_change", figure_json(c->energy_change));
    return o;
}

static void print_change(ng_figure f)
{
    if (isfinite(f.value))
        printf("%-22s %+6.2f points (%+.2f to %+.2f)\n", "change", 100 * f.value, 100 * f.low, 100 * f.high);
}

static void print_summary(const settings *s, const ng_comparison *c)
{
    printf("%lld images (%s): both right %lld, only A %lld, only B %lld, both wrong %lld\n",
           (long long)c->images, c->split, (long long)c->both_right, (long long)c->only_a,
           (long long)c->only_b, (long long)c->both_wrong);
    print_share("accuracy of A", c->accuracy[0]);
    print_share("accuracy of B", c->accuracy[1]);
    print_change(c->accuracy_change);
    printf("%-22s %6.4f\n", "McNemar's p", c->p);
    print_share("A's map on the object", c->energy[0]);
    print_share("B's map on the object", c->energy[1]);
    print_change(c->energy_change);
    printf("%s/compare.html\n", s->output);
}

/* --layer, in each model. */
static int find_layers(const settings *s, ng_model *const models[2], int layers[2])
{
    ng_error err;
    layers[0] = layers[1] = -1;
    for (int m = 0; m < 2 && s->layer; m++)
        if (ng_model_find_layer(models[m], s->layer, &layers[m], &err) != NG_OK) {
            complain("--layer: %c: %s", 'A' + m, err.text);
            return EXIT_USAGE;
        }
    return EXIT_DONE;
}

static int finish(const settings *s, const ng_comparison *found)
{
    if (s->json && !write_json_line(stdout, summary_json(s, found)))
        return say_out_of_memory();
    if (!s->json)
        print_summary(s, found);
    if (found->unreadable)
        complain("%lld image%s could not be judged by both", (long long)found->unreadable,
                 found->unreadable == 1 ? "" : "s");
    return say_gone(found->gone, found->unreadable);
}

static int compare(const settings *s, ng_model *const models[2], const char *data)
{
    judging j;
    ng_comparison found;
    ng_error err;
    int layers[2];
    int code = read_judging(s, &j);
    if (code == EXIT_DONE)
        code = find_layers(s, models, layers);
    if (code == EXIT_DONE)
        code = begin_judging(s, &j);
    if (code != EXIT_DONE)
        return code;
    ng_status status = ng_compare(models[0], models[1], data, s->output, &j.o, layers, &found, &err);
    code = end_judging(&j, status, &err);
    return code == EXIT_DONE ? finish(s, &found) : code;
}

int run_compare(const settings *s)
{
    if (s->n_arguments != 3 || !s->output) {
        complain("compare: expected two models, a folder or CSV file of images by class, and -o DIR");
        return EXIT_USAGE;
    }
    ng_model *models[2] = {NULL, NULL};
    int code = EXIT_DONE;
    for (int m = 0; m < 2 && code == EXIT_DONE; m++) {
        settings one = *s;
        int rest;
        one.arguments += m;
        code = open_model(&one, &models[m], &rest);
    }
    if (code == EXIT_DONE)
        code = compare(s, models, s->arguments[2]);
    for (int m = 0; m < 2; m++)
        ng_model_free(models[m]);
    return code;
}
