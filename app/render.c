/* netgaze render: the pictures of sidecars again, from the raw map and the original image; the same bytes unless options
 * change them. */
#include "explain.h"
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONGEST_SIDE = 1 << 20 };

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static double number_of(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static ng_status fail_format(ng_error *err, const char *text)
{
    err->status = NG_E_FORMAT;
    snprintf(err->text, sizeof err->text, "%s", text);
    return NG_E_FORMAT;
}

/* ---- What a sidecar holds ------------------------------------------------------------------- */

/* A number of pixels or cells; 0 where it is none. */
static int side_of(const json_t *o)
{
    json_int_t n = json_integer_value(o);
    return n >= 1 && n <= LONGEST_SIDE ? (int)n : 0;
}

static ng_status read_geometry(const json_t *o, ng_geometry *g, ng_error *err)
{
    *g = (ng_geometry){.image_width = side_of(json_object_get(o, "image_width")),
                       .image_height = side_of(json_object_get(o, "image_height")),
                       .input_width = side_of(json_object_get(o, "input_width")),
                       .input_height = side_of(json_object_get(o, "input_height")),
                       .x0 = number_of(o, "x0"),
                       .y0 = number_of(o, "y0"),
                       .x1 = number_of(o, "x1"),
                       .y1 = number_of(o, "y1")};
    ng_status status = ng_fit_find(text_of(o, "fit"), &g->fit, err);
    return status == NG_OK ? ng_resample_find(text_of(o, "resample"), &g->resample, err) : status;
}

/* The signed map as it was recorded; the raw one is its relu. */
static ng_status read_map(const json_t *sidecar, ng_map *map, ng_error *err)
{
    const json_t *shape = json_object_get(sidecar, "shape"), *list = json_object_get(sidecar, "signed");
    int h = side_of(json_array_get(shape, 0)), w = side_of(json_array_get(shape, 1));
    size_t n = (size_t)h * (size_t)w;
    if (n == 0 || json_array_size(list) != n)
        return fail_format(err, "the sidecar's \"shape\" and \"signed\" do not belong together");
    *map = (ng_map){
        .height = h, .width = w, .data = malloc(n * sizeof(float)), .signed_data = malloc(n * sizeof(float))};
    if (!map->data || !map->signed_data)
        return fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        map->signed_data[i] = (float)json_number_value(json_array_get(list, i));
        map->data[i] = map->signed_data[i] > 0 ? map->signed_data[i] : 0;
    }
    map->min = (float)number_of(sidecar, "min");
    map->max = (float)number_of(sidecar, "max");
    map->signed_min = (float)number_of(sidecar, "signed_min");
    map->signed_max = (float)number_of(sidecar, "signed_max");
    return NG_OK;
}

/* A file that may have been moved together with the sidecar: beside it, if it is there. */
static char *beside(const char *sidecar_path, const char *file)
{
    const char *slash = strrchr(sidecar_path, '/'), *name = strrchr(file, '/');
    char *path;
    int n = asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - sidecar_path) : 0, sidecar_path,
                     name ? name + 1 : file);
    return n < 0 ? NULL : path;
}

/* The raw map beside the sidecar must be the recorded one. A set without it is drawn from the sidecar alone. */
static ng_status check_raw(const char *sidecar_path, const json_t *sidecar, const ng_map *map, ng_error *err)
{
    const char *raw = json_string_value(json_object_get(json_object_get(sidecar, "files"), "raw"));
    char *path = raw ? beside(sidecar_path, raw) : NULL;
    ng_array a = {0};
    if (!raw)
        return NG_OK;
    if (!path)
        return fail_memory(err);
    ng_status status = ng_npy_load(path, &a, err);
    free(path);
    if (status != NG_OK)
        return status;
    size_t n = (size_t)map->height * (size_t)map->width;
    bool same = a.rank == 2 && a.shape[0] == map->height && a.shape[1] == map->width &&
                memcmp(a.data, map->data, n * sizeof(float)) == 0;
    ng_array_clear(&a);
    return same ? NG_OK : fail_format(err, "the sidecar and the raw map beside it do not belong together");
}

static ng_status read_array_base(const json_t *sidecar, const char *path, ng_image *base, ng_error *err)
{
    ng_array a;
    ng_status status = ng_npy_load(path, &a, err);
    if (status != NG_OK)
        return status;
    json_int_t item = json_integer_value(json_object_get(sidecar, "item"));
    const int64_t *d = a.shape + (a.rank == 4);
    bool fine = (a.rank == 3 && item == 0) || (a.rank == 4 && item >= 0 && item < a.shape[0]);
    for (int i = 0; i < 3 && fine; i++)
        fine = d[i] >= 1 && d[i] <= LONGEST_SIDE;
    if (fine)
        status = draw_array(a.data + (size_t)item * (size_t)(d[0] * d[1] * d[2]), (int)d[0], (int)d[1],
                            (int)d[2], base, err);
    else
        status = fail_format(err, "the input array is no longer the one of the sidecar");
    ng_array_clear(&a);
    return status;
}

static ng_status read_base(const settings *s, const json_t *sidecar, ng_image *base, ng_error *err)
{
    const json_t *conventions = json_object_get(sidecar, "conventions"),
                 *window = json_object_get(conventions, "window");
    const char *path = s->image ? s->image : text_of(json_object_get(sidecar, "input"), "path");
    if (json_is_true(json_object_get(sidecar, "array")))
        return read_array_base(sidecar, path, base, err);
    ng_image_opts opts;
    ng_image_opts_init(&opts);
    opts.window_center = json_number_value(json_array_get(window, 0));
    opts.window_width = json_number_value(json_array_get(window, 1));
    opts.channels = json_integer_value(json_array_get(json_object_get(conventions, "input"), 2)) == 1 ? 1 : 0;
    return ng_image_load(path, &opts, base, err);
}

/* ---- Drawing -------------------------------------------------------------------------------- */

/* The recorded drawing options, where none are given. */
static ng_status merge_options(const settings *s, const json_t *sidecar, ng_render_opts *opts, ng_error *err)
{
    const json_t *recorded = json_object_get(sidecar, "conventions");
    bool by_default = json_is_true(json_object_get(recorded, "colormap_by_default"));
    ng_status status = NG_OK;
    opts->title = text_of(sidecar, "title");
    if (!s->colormap)
        opts->colormap = by_default ? NULL : json_string_value(json_object_get(recorded, "colormap"));
    if (!s->compat && !s->use_signed)
        status = ng_compat_find(text_of(recorded, "compat"), &opts->compat, err);
    if (!s->norm && status == NG_OK)
        status = ng_norm_find(text_of(recorded, "norm"), &opts->norm, err);
    if (isnan(s->alpha))
        opts->alpha = number_of(recorded, "alpha");
    if (isnan(s->box) && opts->compat == NG_COMPAT_NONE)
        opts->box = number_of(recorded, "box");
    opts->use_signed = s->use_signed || (json_is_true(json_object_get(recorded, "signed")) && !s->compat);
    return status;
}

/* Where a picture goes: into -o DIR, or where the sidecar is. NULL where the sidecar's set has none of its kind. */
static char *target_path(const settings *s, const char *sidecar_path, const json_t *files, const char *kind)
{
    const char *file = json_string_value(json_object_get(files, kind)), *name;
    char *path = NULL;
    if (!file)
        return NULL;
    if (!s->output)
        return beside(sidecar_path, file);
    name = strrchr(file, '/');
    return asprintf(&path, "%s/%s", s->output, name ? name + 1 : file) < 0 ? NULL : path;
}

static bool write_result(const char *sidecar_path, char *const path[3])
{
    json_t *o = json_object(), *files = json_object();
    for (int i = 0; i < 3; i++)
        if (path[i])
            json_object_set_new(files, output_choice(i + 1), json_text(path[i]));
    json_object_set_new(o, "sidecar", json_text(sidecar_path));
    json_object_set_new(o, "status", json_string("ok"));
    json_object_set_new(o, "files", files);
    return write_json_line(stdout, o);
}

static ng_status draw(const settings *s, const char *sidecar_path, const json_t *sidecar,
                      const json_t *scales, const ng_render_opts *asked, bool *writing, ng_error *err)
{
    ng_render_opts opts = *asked;
    ng_geometry g;
    ng_map map = {0};
    ng_image base = {0};
    char *path[3];
    for (int i = 0; i < 3; i++)
        path[i] = target_path(s, sidecar_path, json_object_get(sidecar, "files"), output_choice(i + 1));
    ng_status status = merge_options(s, sidecar, &opts, err);
    if (status == NG_OK && scales && !use_scale(s, scales, sidecar, &opts))
        status = fail_memory(err);
    if (status == NG_OK)
        status = read_geometry(json_object_get(sidecar, "geometry"), &g, err);
    if (status == NG_OK)
        status = read_map(sidecar, &map, err);
    if (status == NG_OK)
        status = check_raw(sidecar_path, sidecar, &map, err);
    if (status == NG_OK)
        status = read_base(s, sidecar, &base, err);
    if (status == NG_OK)
        status =
            write_pictures(&map, &base, &g, &opts, &(picture_paths){path[0], path[1], path[2]}, writing, err);
    if (status == NG_OK && s->json && !write_result(sidecar_path, path))
        status = fail_memory(err);
    else if (status == NG_OK && !s->json && !s->quiet)
        for (int i = 0; i < 3; i++)
            if (path[i])
                puts(path[i]);
    for (int i = 0; i < 3; i++)
        free(path[i]);
    ng_image_clear(&base);
    ng_map_clear(&map);
    return status;
}

/* EXIT_DONE, EXIT_SOME_FAILED, or EXIT_ENVIRONMENT. */
static int render_one(const settings *s, const char *path, const json_t *scales, const ng_render_opts *opts)
{
    json_error_t at = {0};
    ng_error err = {0};
    bool writing = false;
    struct stat file;
    bool folder = stat(path, &file) == 0 && S_ISDIR(file.st_mode);
    json_t *sidecar = folder ? NULL : json_load_file(path, 0, &at);
    ng_status status = NG_OK;
    if (folder)
        status = fail_format(&err, "a folder; name the sidecars (.json) in it");
    else if (!sidecar) {
        status = fail_format(&err, "");
        snprintf(err.text, sizeof err.text, "not a sidecar of netgaze explain: %s", at.text);
    } else if (!json_is_object(json_object_get(sidecar, "geometry")) ||
               !json_is_array(json_object_get(sidecar, "signed")))
        status = fail_format(&err, "not a sidecar of a map that netgaze explain wrote");
    else
        status = draw(s, path, sidecar, scales, opts, &writing, &err);
    json_decref(sidecar);
    if (status == NG_OK)
        return EXIT_DONE;
    complain("%s: %s", path, err.text);
    return status == NG_E_MEMORY || (writing && status == NG_E_IO) ? EXIT_ENVIRONMENT : EXIT_SOME_FAILED;
}

int run_render(const settings *s)
{
    ng_render_opts opts;
    int code = read_render_options(s, &opts), failed = 0;
    if (code == EXIT_DONE && s->n_arguments == 0) {
        complain("render: name the sidecars (.json) that `netgaze explain` wrote");
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE && s->use_signed && opts.compat != NG_COMPAT_NONE) {
        complain("--signed and --compat %s exclude each other", s->compat);
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE && s->image && s->n_arguments > 1) {
        complain("--image is for one sidecar, %d are given", s->n_arguments);
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE && s->output)
        code = make_folder(s->output);
    json_t *scales = NULL;
    if (code == EXIT_DONE && wants_scales(s) && !(scales = read_scales(s)))
        code = say_out_of_memory();
    for (int i = 0; i < s->n_arguments && code == EXIT_DONE; i++) {
        int one = render_one(s, s->arguments[i], scales, &opts);
        failed += one == EXIT_SOME_FAILED;
        code = one == EXIT_ENVIRONMENT ? one : EXIT_DONE;
    }
    json_decref(scales);
    return code == EXIT_DONE && failed ? EXIT_SOME_FAILED : code;
}
