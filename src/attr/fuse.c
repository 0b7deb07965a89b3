/* Maps of several layers as one of the input's size. mean: each map's relu, scaled to 0..1 and resized bilinearly, then
 * averaged (pytorch-grad-cam's aggregate_multi_layers, before its last scaling). max: each map's relu divided by its
 * largest value, led through tanh(2 m), resized, the largest taken (LayerCAM, Jiang et al. 2021, with gamma 2; torch-cam). */
#include "attr/attr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double layercam_gamma = 2;

/* room [h,w]: the map's relu in the scale of the rule; false where nothing is above zero. */
static bool scale_layer(const ng_map *map, ng_fuse how, float *room)
{
    int64_t n = (int64_t)map->height * map->width;
    for (int64_t i = 0; i < n; i++)
        room[i] = how == NG_FUSE_MEAN ? (map->data[i] - map->min) / (1e-7f + (map->max - map->min))
                  : map->max > 0      ? (float)tanh(layercam_gamma * map->data[i] / map->max)
                                      : 0;
    return map->max > 0;
}

static ng_status allocate(int height, int width, ng_map *out, ng_error *err)
{
    size_t pixels = (size_t)height * (size_t)width;
    *out = (ng_map){.height = height, .width = width};
    out->data = ngi_alloc_zero(pixels, sizeof *out->data);
    out->signed_data = ngi_alloc_zero(pixels, sizeof *out->signed_data);
    return out->data && out->signed_data ? NG_OK : ngi_fail_memory(err, 2 * pixels * sizeof(float));
}

/* The fused map is as good as its best layer; the note names how many say nothing. */
static void judge(const ng_map *maps, int n, int silent, ng_map *out)
{
    out->layer = maps[0].layer;
    out->class_index = maps[0].class_index;
    out->logit = maps[0].logit;
    out->probability = maps[0].probability;
    for (int i = 0; i < n; i++)
        out->gradient_norm += maps[i].gradient_norm / n;
    if (silent == n) {
        out->status = maps[0].status == NG_MAP_OK ? NG_MAP_CONSTANT : maps[0].status;
        memcpy(out->note, maps[0].note, sizeof out->note);
    } else if (silent)
        snprintf(out->note, sizeof out->note, "%d of the %d layers have nothing that speaks for the class",
                 silent, n);
}

ng_status ngi_attr_fuse(const ng_map *maps, int n, int height, int width, ng_fuse how, ng_map *out,
                        ng_error *err)
{
    int64_t pixels = (int64_t)height * width, most = 0;
    int silent = 0;
    for (int i = 0; i < n; i++) {
        int64_t cells = (int64_t)maps[i].height * maps[i].width;
        most = cells > most ? cells : most;
    }
    *out = (ng_map){0};
    float *room = ngi_alloc((size_t)(most + pixels), sizeof *room);
    ng_status status = room ? allocate(height, width, out, err)
                            : ngi_fail_memory(err, (size_t)(most + pixels) * sizeof *room);
    for (int i = 0; i < n && status == NG_OK; i++) {
        float *large = room + most;
        silent += !scale_layer(&maps[i], how, room);
        ngi_resize_bilinear(room, maps[i].height, maps[i].width, 0, 0, maps[i].height, maps[i].width, large,
                            height, width);
        for (int64_t p = 0; p < pixels; p++)
            out->data[p] = how == NG_FUSE_MEAN       ? out->data[p] + large[p] / (float)n
                           : large[p] > out->data[p] ? large[p]
                                                     : out->data[p];
    }
    ngi_free(room);
    if (status != NG_OK) {
        ng_map_clear(out);
        return status;
    }
    memcpy(out->signed_data, out->data, (size_t)pixels * sizeof *out->data);
    ngi_min_max(out->data, pixels, &out->min, &out->max);
    out->signed_min = out->min;
    out->signed_max = out->max;
    judge(maps, n, silent, out);
    return NG_OK;
}

/* ---- Names ---------------------------------------------------------------------------------- */

static const char *const names[] = {
#define TEXT(name, text) text,
    NG_FUSE_LIST(TEXT)
#undef TEXT
};

const char *ng_fuse_name(ng_fuse fuse)
{
    return (size_t)fuse < sizeof names / sizeof *names ? names[fuse] : "unknown";
}

ng_status ng_fuse_find(const char *name, ng_fuse *out, ng_error *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (ng_fuse)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT, "fusing by '%s' is not known; known: mean, max", name);
}
