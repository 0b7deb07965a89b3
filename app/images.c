/* Finding inputs, and bringing one to the network: images through fit and preprocessing, .npy arrays as they are. */
#include "app.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <glob.h>

static bool is_input_name(const char *name)
{
    static const char *const suffixes[] = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".npy"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && name[0] != '.' && i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcasecmp(dot, suffixes[i]) == 0)
            return true;
    return false;
}

static bool add(inputs *in, const char *path)
{
    for (int i = 0; i < in->count; i++)
        if (strcmp(in->paths[i], path) == 0)
            return true;
    char **more = realloc(in->paths, ((size_t)in->count + 1) * sizeof *more);
    char *copy = strdup(path);
    if (more)
        in->paths = more;
    if (!more || !copy) {
        free(copy);
        return false;
    }
    in->paths[in->count++] = copy;
    return true;
}

static bool add_folder(inputs *in, const char *folder)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, NULL, alphasort);
    bool fine = n >= 0;
    for (int i = 0; i < n; i++) {
        char path[4352];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        struct stat st;
        if (fine && is_input_name(entries[i]->d_name) && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            fine = add(in, path);
        free(entries[i]);
    }
    free(entries);
    return fine;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Stems for files written; a stem that occurs again gets a number, in input order. */
static bool choose_names(inputs *in)
{
    in->names = calloc((size_t)in->count + 1, sizeof *in->names);
    for (int i = 0; in->names && i < in->count; i++) {
        const char *name = file_name(in->paths[i]), *dot = strrchr(name, '.');
        int length = dot && dot != name ? (int)(dot - name) : (int)strlen(name), copy = 1;
        char stem[4200];
        snprintf(stem, sizeof stem, "%.*s", length, name);
        for (int k = 0; k < i; k++)
            if (strcmp(in->names[k], stem) == 0) {
                snprintf(stem, sizeof stem, "%.*s-%d", length, name, ++copy);
                k = -1;
            }
        if (!(in->names[i] = strdup(stem)))
            return false;
    }
    return in->names != NULL;
}

int find_inputs(const settings *s, int first, inputs *out)
{
    *out = (inputs){0};
    bool fine = true;
    for (int i = first; i < s->n_arguments && fine; i++) {
        const char *path = s->arguments[i];
        struct stat st;
        glob_t matches = {0};
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            int before = out->count;
            fine = add_folder(out, path);
            if (fine && out->count == before)
                complain("warning: %s: no images in this folder", path);
        } else if (stat(path, &st) != 0 && strpbrk(path, "*?[") && glob(path, 0, NULL, &matches) == 0) {
            for (size_t k = 0; k < matches.gl_pathc && fine; k++)
                fine = add(out, matches.gl_pathv[k]);
        } else
            fine = add(out, path);
        globfree(&matches);
    }
    if (!fine || !choose_names(out)) {
        complain("the list of images could not be made: out of memory");
        return EXIT_ENVIRONMENT;
    }
    if (out->count == 0) {
        complain("no images given; see --help");
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

void inputs_clear(inputs *in)
{
    for (int i = 0; i < in->count; i++) {
        free(in->paths[i]);
        if (in->names)
            free(in->names[i]);
    }
    free(in->paths);
    free(in->names);
    *in = (inputs){0};
}

int read_fitting(const settings *s, fitting *out)
{
    ng_error err;
    bool nearest = s->compat && (strcmp(s->compat, "article") == 0 || strcmp(s->compat, "keras") == 0);
    *out = (fitting){.window_center = s->window_center, .window_width = s->window_width};
    if (ng_fit_find(s->fit, &out->fit, &err) == NG_OK &&
        ng_resample_find(s->resize ? s->resize : nearest ? "nearest" : "bilinear", &out->resample, &err) == NG_OK)
        return EXIT_DONE;
    complain("%s", err.text);
    return EXIT_USAGE;
}

void picture_clear(picture *p)
{
    for (int i = 0; p->base && i < p->n; i++)
        ng_image_clear(&p->base[i]);
    free(p->base);
    free(p->input);
    *p = (picture){0};
}

static ng_status out_of_memory(ng_error *err)
{
    err->status = NG_E_MEMORY;
    snprintf(err->text, sizeof err->text, "out of memory");
    return NG_E_MEMORY;
}

/* An array's values, scaled from its own minimum and maximum to 0..255: something to draw on. */
static ng_status draw_array(const float *data, int h, int w, int c, ng_image *out, ng_error *err)
{
    int channels = c == 3 ? 3 : 1;
    float low = INFINITY, high = -INFINITY;
    for (long i = 0; i < (long)h * w * c; i++) {
        low = data[i] < low ? data[i] : low;
        high = data[i] > high ? data[i] : high;
    }
    *out = (ng_image){w, h, channels, malloc((size_t)h * (size_t)w * (size_t)channels)};
    if (!out->data)
        return out_of_memory(err);
    for (long i = 0; i < (long)h * w; i++)
        for (int k = 0; k < channels; k++) {
            float v = high > low ? (data[i * c + k] - low) / (high - low) * 255 : 0;
            out->data[i * channels + k] = v > 0 ? (uint8_t)v : 0;
        }
    return NG_OK;
}

static ng_status load_array(const ng_model_info *info, const char *path, picture *out, ng_error *err)
{
    ng_array a;
    ng_status status = ng_npy_load(path, &a, err);
    if (status != NG_OK)
        return status;
    const int64_t *d = a.shape + (a.rank == 4);
    if ((a.rank != 3 && a.rank != 4) || d[0] != info->input_height || d[1] != info->input_width ||
        d[2] != info->input_channels || (a.rank == 4 && (a.shape[0] < 1 || a.shape[0] > 1000000))) {
        err->status = NG_E_SHAPE;
        snprintf(err->text, sizeof err->text, "%s: an array for this model is [%d,%d,%d] or [n,%d,%d,%d]; found %d dimensions", path,
                 info->input_height, info->input_width, info->input_channels, info->input_height, info->input_width,
                 info->input_channels, a.rank);
        ng_array_clear(&a);
        return NG_E_SHAPE;
    }
    size_t one = (size_t)(d[0] * d[1] * d[2]);
    out->n = a.rank == 4 ? (int)a.shape[0] : 1;
    out->is_array = true;
    out->input = malloc(one * (size_t)out->n * sizeof *out->input);
    out->base = calloc((size_t)out->n, sizeof *out->base);
    if (!out->input || !out->base)
        status = out_of_memory(err);
    else
        memcpy(out->input, a.data, one * (size_t)out->n * sizeof *out->input);
    for (int i = 0; i < out->n && status == NG_OK; i++)
        status = draw_array(a.data + one * (size_t)i, (int)d[0], (int)d[1], (int)d[2], &out->base[i], err);
    out->geometry = (ng_geometry){.image_width = (int)d[1], .image_height = (int)d[0], .input_width = (int)d[1],
                                  .input_height = (int)d[0], .x1 = (double)d[1], .y1 = (double)d[0]};
    ng_array_clear(&a);
    return status;
}

/* A grey image as three equal channels. */
static ng_status widen(ng_image *image, ng_error *err)
{
    size_t n = (size_t)image->width * (size_t)image->height;
    uint8_t *rgb = malloc(3 * n);
    if (!rgb)
        return out_of_memory(err);
    for (size_t i = 0; i < n; i++)
        memset(rgb + 3 * i, image->data[i], 3);
    ng_image wide = {image->width, image->height, 3, rgb};
    ng_image_clear(image);
    *image = wide;
    return NG_OK;
}

static ng_status load_image(const ng_model *model, const ng_model_info *info, const char *path, const fitting *f, picture *out,
                            ng_error *err)
{
    ng_image_opts opts;
    ng_image_opts_init(&opts);
    opts.window_center = f->window_center;
    opts.window_width = f->window_width;
    opts.channels = info->input_channels == 1 ? 1 : 0;
    out->n = 1;
    out->base = calloc(1, sizeof *out->base);
    out->input = malloc((size_t)info->input_height * (size_t)info->input_width * (size_t)info->input_channels * sizeof(float));
    if (!out->base || !out->input)
        return out_of_memory(err);
    if (info->input_channels != 1 && info->input_channels != 3) {
        err->status = NG_E_UNSUPPORTED;
        snprintf(err->text, sizeof err->text, "%s: the model's input has %d channels; give it arrays (.npy) instead of images", path,
                 info->input_channels);
        return err->status;
    }
    ng_status status = ng_image_load(path, &opts, out->base, err);
    ng_image fitted = {0};
    if (status == NG_OK)
        status = ng_image_fit(out->base, info->input_width, info->input_height, f->fit, f->resample, 0, &fitted, &out->geometry, err);
    if (status == NG_OK && fitted.channels == 1 && info->input_channels == 3)
        status = widen(&fitted, err);
    if (status == NG_OK)
        status = ng_model_preprocess(model, &fitted, out->input, err);
    ng_image_clear(&fitted);
    return status;
}

ng_status picture_load(const ng_model *model, const char *path, const fitting *f, picture *out, ng_error *err)
{
    *out = (picture){0};
    ng_model_info info;
    ng_model_describe(model, &info);
    size_t n = strlen(path);
    bool array = n > 4 && strcasecmp(path + n - 4, ".npy") == 0;
    ng_status status = array ? load_array(&info, path, out, err) : load_image(model, &info, path, f, out, err);
    if (status != NG_OK)
        picture_clear(out);
    return status;
}
