/* How alike the maps of one class are under several methods or layers. */
#include "explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double one_map = 0.9999; /* correlation from which two methods gave one and the same map */

/* Pearson's correlation; 0 where one of the two is constant. */
double correlation(const float *a, const float *b, int n)
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
    for (int i = 0; i < n; i++) {
        mean_a += a[i] / (double)n;
        mean_b += b[i] / (double)n;
    }
    for (int i = 0; i < n; i++) {
        double x = a[i] - mean_a, y = b[i] - mean_b;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* One axis of a mean over areas: the share of source cell s in target cell t. */
static double share(int s, int t, int source, int target)
{
    double low = (double)t * source / target, high = (double)(t + 1) * source / target;
    return fmax(0, fmin(high, s + 1) - fmax(low, s));
}

float *average_map(const ng_map *m, int h, int w)
{
    float *out = calloc((size_t)h * (size_t)w, sizeof *out);
    for (int y = 0; out && y < h; y++)
        for (int x = 0; x < w; x++) {
            double sum = 0, area = 0;
            for (int sy = y * m->height / h; sy < m->height && sy <= (y + 1) * m->height / h; sy++)
                for (int sx = x * m->width / w; sx < m->width && sx <= (x + 1) * m->width / w; sx++) {
                    double part = share(sy, y, m->height, h) * share(sx, x, m->width, w);
                    sum += part * m->data[sy * m->width + sx];
                    area += part;
                }
            out[y * w + x] = (float)(sum / area);
        }
    return out;
}

/* Of maps of any size: the finer is averaged onto the cells of the coarser. */
static double map_correlation(const ng_map *a, const ng_map *b)
{
    int h = a->height < b->height ? a->height : b->height, w = a->width < b->width ? a->width : b->width;
    float *x = average_map(a, h, w), *y = average_map(b, h, w);
    double r = x && y ? correlation(x, y, h * w) : 0;
    free(x);
    free(y);
    return r;
}

json_t *correlations_with(const explain_job *j, const ng_map *maps, int view, const ng_map *map)
{
    json_t *o = json_object();
    char key[512];
    for (int i = 0; i < view; i++) {
        if (!maps[i].data)
            continue;
        snprintf(key, sizeof key, "%s at %s", j->views[i].method->name, j->views[i].name);
        json_object_set_new(o, key, json_number(map_correlation(&maps[i], map)));
    }
    return o;
}

void print_correlations(const explain_job *j, const ng_map *maps, FILE *out)
{
    int width = 0;
    for (int i = 0; i < j->n_views; i++) {
        int n = (int)strlen(j->views[i].method->name) + columns_of(j->views[i].name) + 4;
        width = n > width ? n : width;
    }
    fprintf(out, "%scorrelation of the maps of %s%s\n", j->color ? "\033[2m" : "",
            ng_model_label(j->model, maps[0].class_index), j->color ? "\033[0m" : "");
    for (int i = 0; i < j->n_views; i++) {
        const map_view *v = &j->views[i];
        int used = fprintf(out, "%3d %s at ", i + 1, v->method->name) - 4;
        fprintf(out, "%s%*s", v->name, width - used - columns_of(v->name), "");
        for (int k = 0; k < i; k++)
            fprintf(out, " %6.3f", map_correlation(&maps[k], &maps[i]));
        fprintf(out, i ? "\n" : "  with 1, 2, ...\n");
    }
}

/* Methods that are equal up to a factor where every cell has the same gradient: behind global average pooling. CAM's target is the
 * logit; of a curved one ShapleyCAM's map has the curve in it. */
static bool is_linear_method(ng_target target, const char *name)
{
    static const char *const names[] = {"gradcam", "hirescam", "xgradcam"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    bool logit = target == NG_TARGET_LOGIT, straight = logit || target == NG_TARGET_CONTRAST;
    return (logit && strcmp(name, "cam") == 0) || (straight && strcmp(name, "shapleycam") == 0);
}

void say_identities(const explain_job *j, const ng_map *maps)
{
    for (int i = 0; i < j->n_views; i++) {
        const map_view *v = &j->views[i];
        char others[512] = "";
        for (int k = i + 1; k < j->n_views && is_linear_method(j->target, v->method->name); k++) {
            const map_view *u = &j->views[k];
            size_t used = strlen(others);
            if (u->layer == v->layer && is_linear_method(j->target, u->method->name) &&
                map_correlation(&maps[i], &maps[k]) > one_map)
                snprintf(others + used, sizeof others - used, "%s%s", used ? ", " : "", u->method->name);
        }
        if (*others) {
            bool of_the_target = strcmp(v->method->name, "gradcam") == 0 && strcmp(others, "shapleycam") == 0;
            complain("note: at %s, %s gives the same map as %s. %s, and these methods must be equal up to a "
                     "factor",
                     v->path, v->method->name, others,
                     of_the_target
                         ? "The target is linear in the logits"
                         : "Behind it the cells are only averaged, so every cell has the same gradient");
            return;
        }
    }
}
