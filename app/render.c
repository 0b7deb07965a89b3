/* netgaze render: the pictures of sidecars again, from the raw map and the original image; the same bytes unless options
 * change them. */
#include "explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static double number_of(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static ng_status read_geometry(const json_t *o, ng_geometry *g, ng_error *err)
{
    *g = (ng_geometry){.image_width = (int)number_of(o, "image_width"), .image_height = (int)number_of(o, "image_height"),
                       .input_width = (int)number_of(o, "input_width"), .input_height = (int)number_of(o, "input_height"),
                       .x0 = number_of(o, "x0"), .y0 = number_of(o, "y0"), .x1 = number_of(o, "x1"), .y1 = number_of(o, "y1")};
    ng_status status = ng_fit_find(text_of(o, "fit"), &g->fit, err);
    return status == NG_OK ? ng_resample_find(text_of(o, "resample"), &g->resample, err) : status;
}

/* The map as it was: raw data from the .npy, the signed one from the sidecar. */
static ng_status read_map(const json_t *sidecar, ng_array *raw, float **signed_data, ng_map *map, ng_error *err)
{
    const json_t *result = json_object_get(sidecar, "result"), *list = json_object_get(sidecar, "signed");
    ng_status status = ng_npy_load(text_of(json_object_get(result, "files"), "raw"), raw, err);
    if (status != NG_OK)
        return status;
    size_t n = json_array_size(list);
    if (raw->rank != 2 || (int64_t)n != raw->shape[0] * raw->shape[1] || !(*signed_data = malloc(n * sizeof **signed_data))) {
        err->status = NG_E_FORMAT;
        snprintf(err->text, sizeof err->text, "the sidecar and its raw map do not belong together");
        return NG_E_FORMAT;
    }
    for (size_t i = 0; i < n; i++)
        (*signed_data)[i] = (float)json_number_value(json_array_get(list, i));
    *map = (ng_map){.height = (int)raw->shape[0], .width = (int)raw->shape[1], .data = raw->data, .signed_data = *signed_data,
                    .min = (float)number_of(result, "min"), .max = (float)number_of(result, "max"),
                    .signed_min = (float)number_of(sidecar, "signed_min"), .signed_max = (float)number_of(sidecar, "signed_max")};
    return NG_OK;
}

static ng_status read_base(const json_t *sidecar, const ng_geometry *g, ng_image *base, ng_error *err)
{
    const json_t *window = json_object_get(sidecar, "window");
    const char *path = text_of(json_object_get(sidecar, "result"), "image");
    if (!json_is_true(json_object_get(sidecar, "array"))) {
        ng_image_opts opts;
        ng_image_opts_init(&opts);
        opts.window_center = json_number_value(json_array_get(window, 0));
        opts.window_width = json_number_value(json_array_get(window, 1));
        return ng_image_load(path, &opts, base, err);
    }
    *base = (ng_image){g->image_width, g->image_height, 1, calloc((size_t)g->image_width * (size_t)g->image_height, 1)};
    return base->data ? NG_OK : NG_E_MEMORY;
}

static void other_folder(const settings *s, const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (s->output)
        snprintf(out, size, "%s/%s", s->output, slash ? slash + 1 : path);
    else
        snprintf(out, size, "%s", path);
}

static ng_status draw(const settings *s, const json_t *sidecar, const ng_render_opts *asked, ng_error *err)
{
    const json_t *recorded = json_object_get(sidecar, "render"), *files = json_object_get(json_object_get(sidecar, "result"), "files");
    ng_render_opts opts = *asked;
    ng_status status = NG_OK;
    opts.title = text_of(sidecar, "title");
    if (!s->colormap)
        opts.colormap = s->use_signed ? NULL : text_of(recorded, "colormap");
    if (!s->compat)
        status = ng_compat_find(text_of(recorded, "compat"), &opts.compat, err);
    if (!s->norm && status == NG_OK)
        status = ng_norm_find(text_of(recorded, "norm"), &opts.norm, err);
    if (s->alpha == 0.4)
        opts.alpha = number_of(recorded, "alpha");
    opts.use_signed = s->use_signed || json_is_true(json_object_get(recorded, "signed"));
    ng_geometry g;
    ng_array raw = {0};
    float *signed_data = NULL;
    ng_map map;
    ng_image base = {0};
    if (status == NG_OK)
        status = read_geometry(json_object_get(sidecar, "geometry"), &g, err);
    if (status == NG_OK)
        status = read_map(sidecar, &raw, &signed_data, &map, err);
    if (status == NG_OK)
        status = read_base(sidecar, &g, &base, err);
    if (status == NG_OK) {
        static const char *const names[] = {"heatmap", "overlay", "figure"};
        char path[3][8800];
        const char *to[3];
        for (int i = 0; i < 3; i++) {
            other_folder(s, text_of(files, names[i]), path[i], sizeof path[i]);
            to[i] = json_object_get(files, names[i]) ? path[i] : NULL;
        }
        picture_paths paths = {to[0], to[1], to[2]};
        status = write_pictures(&map, &base, &g, &opts, &paths, err);
    }
    ng_image_clear(&base);
    ng_array_clear(&raw);
    free(signed_data);
    return status;
}

int run_render(const settings *s)
{
    ng_render_opts opts;
    int code = read_render_options(s, &opts), failed = 0;
    if (code == EXIT_DONE && s->n_arguments == 0) {
        complain("render: name the sidecars (.json) that explain wrote");
        return EXIT_USAGE;
    }
    for (int i = 0; i < s->n_arguments && code == EXIT_DONE; i++) {
        json_error_t at;
        json_t *sidecar = json_load_file(s->arguments[i], 0, &at);
        ng_error err = {0};
        if (!sidecar || !json_object_get(sidecar, "geometry")) {
            complain("%s: not a sidecar of netgaze explain%s%s", s->arguments[i], sidecar ? "" : ": ", sidecar ? "" : at.text);
            failed++;
        } else if (draw(s, sidecar, &opts, &err) != NG_OK) {
            complain("%s: %s", s->arguments[i], err.text);
            failed++;
        }
        json_decref(sidecar);
    }
    return code != EXIT_DONE ? code : failed ? EXIT_SOME_FAILED : EXIT_DONE;
}
