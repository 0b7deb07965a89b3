/* Colour maps by name, and matplotlib's jet in double precision. */
#include "viz/colormap.h"

#include <stdio.h>
#include <string.h>

int ng_colormap_count(void)
{
    return ngi_colormap_total;
}

const char *ng_colormap_name(int index)
{
    return index >= 0 && index < ngi_colormap_total ? ngi_colormaps[index].name : NULL;
}

/* NULL where there is none of that name. */
static const ngi_colormap *look_up(const char *name)
{
    for (int i = 0; i < ngi_colormap_total; i++)
        if (strcmp(name ? name : "jet", ngi_colormaps[i].name) == 0)
            return &ngi_colormaps[i];
    return NULL;
}

static ng_status fail_unknown(const char *name, ng_error *err)
{
    char list[512] = "";
    for (int i = 0; i < ngi_colormap_total; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", ngi_colormaps[i].name);
    }
    return ngi_fail(err, NG_E_ARGUMENT, "no colour map is called '%s'; there are %s", name, list);
}

ng_status ngi_colormap_find(const char *name, const uint8_t **rgb, ng_error *err)
{
    const ngi_colormap *map = look_up(name);
    if (!map)
        return fail_unknown(name, err);
    *rgb = map->rgb;
    return NG_OK;
}

ng_status ng_colormap_table(const char *name, uint8_t *rgb, ng_error *err)
{
    const ngi_colormap *map = look_up(name);
    if (!map)
        return fail_unknown(name, err);
    memcpy(rgb, map->rgb, sizeof map->rgb);
    return NG_OK;
}

/* matplotlib's _jet_data: straight lines between these points, per channel. */
typedef struct jet_point {
    double at, value;
} jet_point;

static const jet_point jet_red[] = {{0, 0}, {0.35, 0}, {0.66, 1}, {0.89, 1}, {1, 0.5}};
static const jet_point jet_green[] = {{0, 0}, {0.125, 0}, {0.375, 1}, {0.64, 1}, {0.91, 0}, {1, 0}};
static const jet_point jet_blue[] = {{0, 0.5}, {0.11, 1}, {0.34, 1}, {0.65, 0}, {1, 0}};

static double jet_line(const jet_point *p, double at)
{
    while (at > p[1].at)
        p++;
    return p[0].value + (p[1].value - p[0].value) * (at - p[0].at) / (p[1].at - p[0].at);
}

void ngi_jet_exact(int level, double rgb[3])
{
    double at = level / 255.0;
    rgb[0] = jet_line(jet_red, at);
    rgb[1] = jet_line(jet_green, at);
    rgb[2] = jet_line(jet_blue, at);
}
