/* Shared by explain.c (what is done), write.c (the files of one map) and render.c (drawing them again). */
#ifndef NETGAZE_EXPLAIN_H
#define NETGAZE_EXPLAIN_H

#include "app.h"

#define MOST_LAYERS 64
#define MOST_CLASSES 1024

enum output_bit { OUTPUT_RAW = 1, OUTPUT_HEATMAP = 2, OUTPUT_OVERLAY = 4, OUTPUT_FIGURE = 8, OUTPUT_SIDECAR = 16 };

typedef struct explain_job {
    const settings *s;
    const ng_model *model;
    const inputs *in;
    fitting fit;
    ng_render_opts render;
    ng_target target;
    int layers[MOST_LAYERS], n_layers;
    int classes[MOST_CLASSES], n_classes; /* 0: the `top` most likely */
    int top, class_count;
    unsigned outputs;
    json_t *earlier; /* key -> results of sidecars found */
} explain_job;

/* Pictures gathered for the grid of one input. */
typedef struct grid {
    ng_image *images;
    char **captions;
    int count;
} grid;

/* Where a map stands: input, item of an array, order within the image's maps. */
typedef struct set_place {
    int index, item, order, items, maps, position;
    const char *key;
} set_place;

/* Writes the files of one map; *line gets the JSON line (or NULL), *failed is set when writing was what failed. */
ng_status write_set(const explain_job *j, const picture *p, const ng_map *map, const set_place *place, char **line, grid *g,
                    bool *failed, ng_error *err);
ng_status write_grid(const explain_job *j, int index, int item, int columns, const grid *g, ng_error *err);
void grid_clear(grid *g);

/* The pictures of one map; paths may be NULL. */
typedef struct picture_paths {
    const char *heatmap, *overlay, *figure;
} picture_paths;

ng_status write_pictures(const ng_map *map, const ng_image *base, const ng_geometry *g, const ng_render_opts *opts,
                         const picture_paths *paths, ng_error *err);

#endif
