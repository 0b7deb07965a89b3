/* One input: an image through fit and preprocessing, or a .npy array as it is. */
#include "images.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_ITEMS = 1000000 };

int read_fitting(const settings *s, fitting *out)
{
    ng_error err;
    ng_compat compat = NG_COMPAT_NONE;
    *out = (fitting){.window_center = s->window_center, .window_width = s->window_width};
    ng_status status = s->compat ? ng_compat_find(s->compat, &compat, &err) : NG_OK;
    bool nearest = compat == NG_COMPAT_ARTICLE || compat == NG_COMPAT_KERAS; /* load_img's default */
    if (status == NG_OK)
        status = ng_fit_find(s->fit, &out->fit, &err);
    if (status == NG_OK)
        status = ng_resample_find(s->resize ? s->resize
                                  : nearest ? "nearest"
                                            : "bilinear",
                                  &out->resample, &err);
    if (status == NG_OK)
        return EXIT_DONE;
    complain("%s", err.text);
    return EXIT_USAGE;
}

void picture_clear(picture *p)
{
    ng_image_clear(&p->image);
    ng_array_clear(&p->input);
    *p = (picture){0};
}

const float *picture_input(const picture *p, int item)
{
    const int64_t *d = p->input.shape + 1; /* [h,w,c] */
    return p->input.data + (size_t)item * (size_t)(d[0] * d[1] * d[2]);
}

/* ---- Arrays --------------------------------------------------------------------------------- */

static float cell(const float *v, int c, int k)
{
    if (c == 3)
        return isfinite(v[k]) ? v[k] : 0;
    float sum = 0;
    for (int i = 0; i < c; i++)
        sum += isfinite(v[i]) ? v[i] : 0;
    return sum / (float)c;
}

ng_status draw_array(const float *data, int h, int w, int c, ng_image *out, ng_error *err)
{
    int channels = c == 3 ? 3 : 1;
    size_t cells = (size_t)h * (size_t)w;
    float low = INFINITY, high = -INFINITY;
    *out = (ng_image){w, h, channels, malloc(cells * (size_t)channels)};
    if (!out->data)
        return fail_memory(err);
    for (size_t i = 0; i < cells; i++)
        for (int k = 0; k < channels; k++) {
            float v = cell(data + i * (size_t)c, c, k);
            low = fminf(low, v);
            high = fmaxf(high, v);
        }
    for (size_t i = 0; i < cells; i++)
        for (int k = 0; k < channels; k++) {
            double v = cell(data + i * (size_t)c, c, k);
            out->data[i * (size_t)channels + (size_t)k] =
                high > low ? (uint8_t)lround(255 * (v - low) / ((double)high - low)) : 0;
        }
    return NG_OK;
}

static ng_status refuse_shape(const ng_model_info *info, const char *path, const ng_array *a, ng_error *err)
{
    char found[160] = "";
    for (int i = 0; i < a->rank; i++) {
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s%lld", i ? "," : "", (long long)a->shape[i]);
    }
    err->status = NG_E_SHAPE;
    snprintf(err->text, sizeof err->text,
             "%s: an array for this model is float32 [%d,%d,%d] or [n,%d,%d,%d], found [%s]", path,
             info->input_height, info->input_width, info->input_channels, info->input_height,
             info->input_width, info->input_channels, found);
    return NG_E_SHAPE;
}

static ng_status load_array(const ng_model_info *info, const char *path, picture *out, ng_error *err)
{
    ng_array *a = &out->input;
    ng_status status = ng_npy_load(path, a, err);
    if (status != NG_OK)
        return status;
    const int64_t *d = a->shape + (a->rank == 4);
    if ((a->rank != 3 && a->rank != 4) || d[0] != info->input_height || d[1] != info->input_width ||
        d[2] != info->input_channels || (a->rank == 4 && (a->shape[0] < 1 || a->shape[0] > MOST_ITEMS)))
        return refuse_shape(info, path, a, err);
    out->is_array = true;
    out->numbered = a->rank == 4;
    if (a->rank == 3) {
        memmove(a->shape + 1, a->shape, 3 * sizeof *a->shape);
        a->shape[0] = 1;
        a->rank = 4;
    }
    out->n = (int)a->shape[0];
    int h = info->input_height, w = info->input_width;
    out->geometry = (ng_geometry){
        .image_width = w, .image_height = h, .input_width = w, .input_height = h, .x1 = w, .y1 = h};
    return NG_OK;
}

/* ---- Images --------------------------------------------------------------------------------- */

/* A grey image as three equal channels. */
static ng_status widen(ng_image *image, ng_error *err)
{
    size_t n = (size_t)image->width * (size_t)image->height;
    uint8_t *rgb = malloc(3 * n);
    if (!rgb)
        return fail_memory(err);
    for (size_t i = 0; i < n; i++)
        memset(rgb + 3 * i, image->data[i], 3);
    ng_image wide = {image->width, image->height, 3, rgb};
    ng_image_clear(image);
    *image = wide;
    return NG_OK;
}

static ng_status load_image(const ng_model *model, const ng_model_info *info, const char *path,
                            const fitting *f, picture *out, ng_error *err)
{
    int h = info->input_height, w = info->input_width, c = info->input_channels;
    if (c != 1 && c != 3) {
        err->status = NG_E_UNSUPPORTED;
        snprintf(err->text, sizeof err->text,
                 "%s: the model's input has %d channels; give it arrays (.npy) instead of images", path, c);
        return err->status;
    }
    ng_image_opts opts;
    ng_image_opts_init(&opts);
    opts.window_center = f->window_center;
    opts.window_width = f->window_width;
    opts.channels = c == 1 ? 1 : 0;
    out->n = 1;
    out->input = (ng_array){.rank = 4, .shape = {1, h, w, c}};
    out->input.data = malloc((size_t)h * (size_t)w * (size_t)c * sizeof(float));
    if (!out->input.data)
        return fail_memory(err);
    ng_image fitted = {0};
    ng_status status = ng_image_load(path, &opts, &out->image, err);
    if (status == NG_OK)
        status = ng_image_fit(&out->image, w, h, f->fit, f->resample, 0, &fitted, &out->geometry, err);
    if (status == NG_OK && fitted.channels == 1 && c == 3)
        status = widen(&fitted, err);
    if (status == NG_OK)
        status = ng_model_preprocess(model, &fitted, out->input.data, err);
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
    ng_status status =
        array ? load_array(&info, path, out, err) : load_image(model, &info, path, f, out, err);
    if (status != NG_OK)
        picture_clear(out);
    return status;
}

ng_status picture_base(const picture *p, int item, ng_image *out, ng_error *err)
{
    const int64_t *d = p->input.shape + 1; /* [h,w,c] */
    *out = p->image;
    return p->is_array ? draw_array(picture_input(p, item), (int)d[0], (int)d[1], (int)d[2], out, err)
                       : NG_OK;
}

void base_clear(const picture *p, ng_image *base)
{
    if (p->is_array)
        ng_image_clear(base);
    *base = (ng_image){0};
}
