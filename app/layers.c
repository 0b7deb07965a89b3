/* netgaze layers: what a model consists of, and what can be explained. */
#include "app.h"

#include <stdlib.h>
#include <string.h>

static json_t *layer_json(const ng_layer_info *l, int index)
{
    json_t *o = json_object(), *shape = json_array(), *stride = json_array();
    for (int i = 0; i < l->rank; i++)
        json_array_append_new(shape, json_integer(l->shape[i]));
    json_array_append_new(stride, json_number(l->stride_y));
    json_array_append_new(stride, json_number(l->stride_x));
    json_object_set_new(o, "index", json_integer(index));
    json_object_set_new(o, "name", json_text(l->name));
    json_object_set_new(o, "class", json_text(l->class_name));
    json_object_set_new(o, "shape", shape);
    json_object_set_new(o, "stride", stride);
    json_object_set_new(o, "parameters", json_integer(l->parameters));
    json_object_set_new(o, "trainable", json_boolean(l->trainable));
    json_object_set_new(o, "candidate", json_boolean(l->candidate));
    json_object_set_new(o, "automatic", json_boolean(l->automatic));
    return o;
}

static void shape_text(const ng_layer_info *l, char *out, size_t size)
{
    *out = '\0';
    for (int i = 0; i < l->rank && i < 4; i++) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%lld", i ? "x" : "", (long long)l->shape[i]);
    }
}

static void stride_text(const ng_layer_info *l, char *out, size_t size)
{
    *out = '\0';
    if (l->stride_y > 0 && l->stride_y == l->stride_x)
        snprintf(out, size, "%.4g", l->stride_y);
    else if (l->stride_y > 0)
        snprintf(out, size, "%.4gx%.4g", l->stride_y, l->stride_x);
}

typedef struct widths {
    int name, class_name;
} widths;

static void print_layer(const ng_layer_info *l, widths w, bool color)
{
    char shape[96], stride[64];
    shape_text(l, shape, sizeof shape);
    stride_text(l, stride, sizeof stride);
    printf("%s%c %s%*s  %-*s %16s %8s %12lld  %s%s\n", color && l->automatic ? "\033[1;32m" : "",
           l->automatic   ? '*'
           : l->candidate ? '+'
                          : ' ',
           l->name, w.name - columns_of(l->name), "", w.class_name, l->class_name, shape, stride,
           (long long)l->parameters, l->trainable ? "yes" : "no", color && l->automatic ? "\033[0m" : "");
}

/* Calls for every layer that was asked for. */
static bool print_layers(const settings *s, const ng_model *model, int n, widths w)
{
    bool fine = true, color = color_wanted(stdout);
    for (int i = 0; i < n && fine; i++) {
        ng_layer_info l;
        if (ng_model_layer(model, i, &l, NULL) != NG_OK || (s->candidates && !l.candidate))
            continue;
        if (s->json)
            fine = write_json_line(stdout, layer_json(&l, i));
        else
            print_layer(&l, w, color);
    }
    return fine;
}

static widths measure(const ng_model *model, int n)
{
    widths w = {5, 5};
    for (int i = 0; i < n; i++) {
        ng_layer_info l;
        if (ng_model_layer(model, i, &l, NULL) != NG_OK)
            continue;
        int name = columns_of(l.name), class_name = columns_of(l.class_name);
        w.name = name > w.name ? name : w.name;
        w.class_name = class_name > w.class_name ? class_name : w.class_name;
    }
    return w;
}

int run_layers(const settings *s)
{
    ng_model *model;
    int rest, code = open_model(s, &model, &rest);
    if (code == EXIT_DONE && s->n_arguments > rest) {
        complain("layers: one model is expected, '%s' is too many", s->arguments[rest]);
        code = EXIT_USAGE;
    }
    if (code != EXIT_DONE) {
        ng_model_free(model);
        return code;
    }
    ng_model_info info;
    ng_model_describe(model, &info);
    widths w = measure(model, info.layer_count);
    if (!s->json)
        printf("  %-*s  %-*s %16s %8s %12s  trainable\n", w.name, "layer", w.class_name, "class", "output",
               "stride", "parameters");
    if (!print_layers(s, model, info.layer_count, w))
        code = say_out_of_memory();
    if (!s->json) {
        printf("\n%s: %s%s%s, %d layers, %lld parameters, input %dx%dx%d, %d classes (%s).\n", info.path,
               info.format, *info.producer ? ", " : "", info.producer, info.layer_count,
               (long long)info.parameter_count, info.input_height, info.input_width, info.input_channels,
               info.class_count, info.activation);
        if (strchr(info.outputs, ','))
            printf("Outputs: %s; '%s' is explained, --output-layer names another.\n", info.outputs,
                   info.output);
        if (strchr(info.inputs, ','))
            printf("Inputs: %s.\n", info.inputs);
        puts(info.automatic_layer < 0 ? "No layer has a spatial output that feeds the scores: only the input "
                                        "can be explained, by --method "
                                        "occlusion, saliency or integratedgradients."
                                      : "* is explained by default, + can be. Stride: input pixels a cell.");
    }
    ng_model_free(model);
    return code;
}
