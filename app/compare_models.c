/* netgaze compare: what changed between two models, and where each looks in the images that did. */
#include "judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void print_row(const char *name, ng_figure f, bool change)
{
    const char *format =
        change ? "%-22s %+6.2f points (%+.2f to %+.2f)\n" : "%-22s %6.2f %%   (%.2f to %.2f)\n";
    if (isfinite(f.value))
        printf(format, name, 100 * f.value, 100 * f.low, 100 * f.high);
}

static void print_summary(const settings *s, const ng_comparison *c)
{
    printf("%lld images (%s): both right %lld, only A %lld, only B %lld, both wrong %lld\n",
           (long long)c->images, c->split, (long long)c->both_right, (long long)c->only_a,
           (long long)c->only_b, (long long)c->both_wrong);
    print_row("accuracy of A", c->accuracy[0], false);
    print_row("accuracy of B", c->accuracy[1], false);
    print_row("change", c->accuracy_change, true);
    printf("%-22s %6.4f\n", "McNemar's p", c->p);
    print_row("A's map on the object", c->energy[0], false);
    print_row("B's map on the object", c->energy[1], false);
    print_row("change", c->energy_change, true);
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
    if (found->gone)
        complain("%lld image%s could not be read any more when the pictures were made",
                 (long long)found->gone, found->gone == 1 ? "" : "s");
    return found->unreadable || found->gone ? EXIT_SOME_FAILED : EXIT_DONE;
}

static int compare(const settings *s, ng_model *const models[2], const char *data)
{
    watching w = {.wanted = !s->quiet};
    ng_image_opts image;
    ng_evaluate_opts o;
    ng_comparison found;
    ng_error err;
    int layers[2];
    int code = read_judging(s, &w, &image, &o);
    if (code == EXIT_DONE)
        code = find_layers(s, models, layers);
    if (code == EXIT_DONE)
        code = make_folder(s->output);
    if (code != EXIT_DONE)
        return code;
    char *line = command_line(s);
    if (!line)
        return say_out_of_memory();
    o.command = line;
    catch_interrupts(true);
    ng_status status = ng_compare(models[0], models[1], data, s->output, &o, layers, &found, &err);
    catch_interrupts(false);
    progress_end(&w.progress);
    free(line);
    if (status != NG_OK) {
        complain("%s", err.text);
        return data_failure_code(status);
    }
    return finish(s, &found);
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
