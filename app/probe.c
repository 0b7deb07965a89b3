/* netgaze probe: a row for each layer that a head could be put on. */
#include "app.h"
#include "images.h"
#include "work.h"

#include <stdlib.h>
#include <string.h>

static int show(void *context, int64_t done, int64_t total)
{
    progress *p = context;
    p->total = (int)total;
    progress_show(p, (int)done);
    return interrupted != 0;
}

static json_t *layer_json(const ng_probe_result *r, int i)
{
    const ng_probe_layer *l = &r->layers[i];
    json_t *o = json_object();
    json_object_set_new(o, "layer", json_text(l->name));
    json_object_set_new(o, "features", json_integer(l->features));
    json_object_set_new(o, "cost", json_number(l->share));
    json_object_set_new(o, "accuracy", json_number(l->accuracy));
    json_object_set_new(o, "low", json_number(l->low));
    json_object_set_new(o, "high", json_number(l->high));
    json_object_set_new(o, "standard_error", json_number(l->error));
    json_object_set_new(o, "images", json_integer(r->images));
    json_object_set_new(o, "best", json_boolean(i == r->best));
    json_object_set_new(o, "recommended", json_boolean(i == r->recommended));
    return o;
}

static bool print_rows(const settings *s, const ng_probe_result *r)
{
    int width = 5;
    for (int i = 0; i < r->layer_count; i++)
        width = columns_of(r->layers[i].name) > width ? columns_of(r->layers[i].name) : width;
    if (!s->json)
        printf("  %-*s  features   cost  accuracy  95 %% interval  standard error\n", width, "layer");
    for (int i = 0; i < r->layer_count; i++) {
        const ng_probe_layer *l = &r->layers[i];
        if (!s->json)
            printf("%c %-*s  %8lld  %4.0f%%    %.4f  %.3f to %.3f          %.4f\n",
                   i == r->recommended ? '*' : ' ', width, l->name, (long long)l->features, 100 * l->share,
                   l->accuracy, l->low, l->high, l->error);
        else if (!write_json_line(stdout, layer_json(r, i)))
            return false;
    }
    if (!s->json)
        printf("%lld images in %d folds; * is the earliest layer within one standard error of the best (%s): "
               "--base-layer "
               "%s\n",
               (long long)r->images, r->folds, r->layers[r->best].name, r->layers[r->recommended].name);
    return true;
}

/* "a,b" into layers, which the caller frees; NULL where none are named. */
static int read_layers(const ng_model *base, const char *text, int **layers, int *count)
{
    *layers = NULL;
    *count = 0;
    if (!text)
        return EXIT_DONE;
    char *copy = strdup(text), *rest = copy;
    *layers = calloc(strlen(text) + 1, sizeof **layers);
    int code = copy && *layers ? EXIT_DONE : say_out_of_memory();
    for (char *name; code == EXIT_DONE && (name = strtok_r(rest, ",", &rest));) {
        ng_error err;
        if (ng_model_find_layer(base, name, &(*layers)[(*count)++], &err) == NG_OK)
            continue;
        complain("--layer: %s", err.text);
        code = EXIT_USAGE;
    }
    free(copy);
    return code;
}

static int probe(const settings *s, const ng_model *base, const char *data, const fitting *fit, int *layers,
                 int count)
{
    progress line;
    ng_error err;
    ng_image_opts image;
    ng_probe_opts o;
    ng_probe_result r;
    ng_probe_opts_init(&o);
    ng_image_opts_init(&image);
    image.window_center = fit->window_center;
    image.window_width = fit->window_width;
    o.layers = count ? layers : NULL;
    o.layer_count = count;
    o.folds = s->train.folds;
    o.images = s->train.images;
    o.group = s->train.group;
    o.fit = fit->fit;
    o.resample = fit->resample;
    o.image = &image;
    o.seed = (uint64_t)(s->seed < 0 ? 0 : s->seed);
    o.threads = threads_of(s);
    o.progress = show;
    o.context = &line;
    progress_begin(&line, "images through the base", 2, !s->quiet);
    catch_interrupts(true);
    ng_status status = ng_probe(base, data, &o, &r, &err);
    catch_interrupts(false);
    progress_end(&line);
    if (status != NG_OK) {
        complain("%s", err.text);
        return status == NG_E_CANCELLED                                                ? EXIT_INTERRUPTED
               : status == NG_E_MEMORY || status == NG_E_IO || status == NG_E_INTERNAL ? EXIT_ENVIRONMENT
               : status == NG_E_UNSUPPORTED                                            ? EXIT_MODEL
                                                                                       : EXIT_USAGE;
    }
    int code = print_rows(s, &r) ? EXIT_DONE : say_out_of_memory();
    if (code == EXIT_DONE && r.unreadable) {
        complain("%lld images could not be read and were left out", (long long)r.unreadable);
        code = EXIT_SOME_FAILED;
    }
    ng_probe_result_clear(&r);
    return code;
}

int run_probe(const settings *s)
{
    ng_model *base = NULL;
    int rest, *layers = NULL, count = 0;
    fitting fit;
    int code = open_model(s, &base, &rest);
    if (code == EXIT_DONE)
        code = read_fitting(s, &fit);
    if (code == EXIT_DONE)
        code = read_layers(base, s->layer, &layers, &count);
    if (code == EXIT_DONE && s->n_arguments - rest != 1) {
        complain("probe: expected a base and a folder or CSV file of images by class");
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = probe(s, base, s->arguments[rest], &fit, layers, count);
    free(layers);
    ng_model_free(base);
    return code;
}
