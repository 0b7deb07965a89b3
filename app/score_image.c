/* One image of score: every row's map, where it lies and whether the score depends on it. */
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of this thread: what other work on the machine does not lengthen. */
static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int give_up(void *context, int done, int total)
{
    (void)context;
    (void)done;
    (void)total;
    return interrupted;
}

/* ---- The region ------------------------------------------------------------------------------ */

static void draw_box(const double *box, ng_image *mask)
{
    for (int y = 0; y < mask->height; y++)
        for (int x = 0; x < mask->width; x++) {
            bool in = x + 0.5 >= box[0] && x + 0.5 < box[0] + box[2] && y + 0.5 >= box[1] &&
                      y + 0.5 < box[1] + box[3];
            mask->data[(size_t)y * (size_t)mask->width + (size_t)x] = in ? 255 : 0;
        }
}

/* The item's mask, else its box; empty where it has neither. */
static ng_status load_region(const ng_data_item *item, const ng_geometry *g, ng_image *mask, ng_error *err)
{
    *mask = (ng_image){0};
    if (item->mask) {
        ng_image_opts opts;
        ng_image_opts_init(&opts);
        opts.channels = 1;
        opts.background = 0;
        return ng_image_load(item->mask, &opts, mask, err);
    }
    if (!(item->box[2] > 0))
        return NG_OK;
    *mask = (ng_image){.width = g->image_width, .height = g->image_height, .channels = 1};
    mask->data = calloc((size_t)mask->width, (size_t)mask->height);
    if (!mask->data)
        return fail_memory(err);
    draw_box(item->box, mask);
    return NG_OK;
}

/* ---- One row --------------------------------------------------------------------------------- */

static ng_explain_opts view_request(const scoring *k, const score_row *r, int class_index)
{
    ng_explain_opts opts;
    set_view_opts(&k->j, r->view, &opts);
    opts.class_index = class_index;
    opts.progress = give_up;
    return opts;
}

static ng_status make_map(scoring *k, ng_session *session, const score_row *r, const float *x,
                          int class_index, ng_map *map, ng_error *err)
{
    if (r->view < 0) {
        ng_status status =
            r->control == EDGES ? make_edges(&k->j.info, x, map, err) : make_centre(&k->j.info, map, err);
        map->class_index = class_index;
        return status;
    }
    ng_explain_opts opts = view_request(k, r, class_index);
    return ng_explain(session, 0, &opts, map, err);
}

/* Coherency and what it makes of the others; controls, which look at no network, have none. */
static ng_status put_adcc(scoring *k, ng_session *session, const score_row *r, const ng_map *map,
                          const ng_faithfulness *f, json_t *line, ng_error *err)
{
    double coherency;
    if (!k->adcc || r->view < 0)
        return NG_OK;
    ng_explain_opts opts = view_request(k, r, map->class_index);
    ng_status status = ng_map_coherency(session, 0, map, &opts, &coherency, err);
    if (status != NG_OK)
        return status;
    json_object_set_new(line, "coherency", json_number(coherency));
    json_object_set_new(line, "complexity", json_number(f->complexity));
    json_object_set_new(line, "adcc", json_number(ng_adcc(coherency, f->complexity, f->drop)));
    return NG_OK;
}

static void put_localisation(json_t *line, const ng_localisation *l)
{
    json_t *iou = json_array();
    for (int i = 0; i < NG_IOU_SHARES; i++)
        json_array_append_new(iou, json_number(l->iou[i]));
    json_object_set_new(line, "area", json_number(l->area));
    json_object_set_new(line, "energy", json_number(l->energy));
    json_object_set_new(line, "rank", json_number(l->rank));
    json_object_set_new(line, "pointing", json_integer(l->pointing));
    json_object_set_new(line, "pointing_near", json_integer(l->pointing_near));
    json_object_set_new(line, "iou", iou);
    json_object_set_new(line, "box_iou", json_number(l->box_iou));
}

static void put_known(json_t *line, const char *name, double value)
{
    if (!isnan(value))
        json_object_set_new(line, name, json_number(value));
}

static void put_faithfulness(json_t *line, const ng_faithfulness *f)
{
    put_known(line, "drop", f->drop);
    put_known(line, "increase", f->increase);
    put_known(line, "deletion", f->deletion);
    put_known(line, "insertion", f->insertion);
    put_known(line, "road_morf", f->road_morf);
    put_known(line, "road_lerf", f->road_lerf);
    put_known(line, "road", f->road);
}

static json_t *begin_line(const scoring *k, const score_row *r, int input, const ng_map *map)
{
    const score_item *item = &k->items[input];
    json_t *line = json_object();
    json_object_set_new(line, "image", json_text(k->j.in.paths[input]));
    json_object_set_new(line, "method", json_string(r->method));
    json_object_set_new(line, "layer", json_text(r->layer));
    json_object_set_new(line, "parameters", json_text(r->parameters));
    json_object_set_new(line, "class", json_integer(map->class_index));
    json_object_set_new(line, "label", json_text(ng_model_label(k->j.model, map->class_index)));
    json_object_set_new(line, "split", json_string(item->tunes ? "val" : ""));
    json_object_set_new(line, "status", json_string(ng_map_status_name(map->status)));
    json_object_set_new(line, "conventions", json_text(k->conventions));
    return line;
}

typedef struct scene {
    scoring *k;
    ng_session *session;
    int input, class_index;
    bool right; /* the class is the predicted one */
    const float *x;
    const ng_geometry *geometry;
    ng_image mask;  /* empty: none */
    double forward; /* seconds */
} scene;

static ng_status score_row_of(const scene *c, int row, ng_error *err)
{
    scoring *k = c->k;
    const score_row *r = &k->rows[row];
    const score_item *item = &k->items[c->input];
    ng_map map = {0};
    ng_localisation l;
    ng_faithfulness f;
    double start = thread_seconds();
    ng_status status = make_map(k, c->session, r, c->x, c->class_index, &map, err);
    double seconds = thread_seconds() - start;
    json_t *line = status == NG_OK ? begin_line(k, r, c->input, &map) : NULL;
    if (status == NG_OK && c->mask.data) {
        status = ng_map_localise(&map, c->geometry, &c->mask, 0.15, &l, err);
        if (status == NG_OK)
            put_localisation(line, &l);
    }
    if (status == NG_OK && !item->tunes) {
        ng_faithfulness_opts opts = k->faithful;
        opts.progress = give_up;
        status = ng_map_faithfulness(c->session, 0, &map, &opts, &f, err);
        if (status == NG_OK) {
            put_faithfulness(line, &f);
            status = put_adcc(k, c->session, r, &map, &f, line, err);
        }
    }
    ng_map_clear(&map);
    if (status != NG_OK) {
        json_decref(line);
        return status;
    }
    json_object_set_new(line, "right", json_boolean(c->right));
    json_object_set_new(line, "seconds", json_number(seconds));
    json_object_set_new(line, "forwards", json_number(1 + seconds / c->forward));
    return keep_record(k, c->input, row, line) ? NG_OK : fail_memory(err);
}

/* ---- One image ------------------------------------------------------------------------------- */

static ng_status score_image(void *context, ng_session *session, int at, const slot *s, int item, job *j,
                             ng_error *err)
{
    scoring *k = context;
    (void)at;
    (void)item;
    (void)j;
    scene c = {.k = k,
               .session = session,
               .input = s->input,
               .class_index = k->items[s->input].class_index,
               .x = picture_input(&s->picture, 0),
               .geometry = &s->picture.geometry};
    double start = thread_seconds();
    ng_status status = ng_session_run(session, c.x, 1, err); /* once more, to know what a forward takes */
    c.forward = fmax(thread_seconds() - start, 1e-9);
    if (status != NG_OK)
        return status;
    const float *z = ng_session_logits(session);
    int best = 0;
    for (int i = 1; i < k->j.info.class_count; i++)
        best = z[i] > z[best] ? i : best;
    if (c.class_index < 0)
        c.class_index = best;
    c.right = c.class_index == best;
    if (k->data && !s->picture.is_array)
        status = load_region(&k->items[s->input].data, c.geometry, &c.mask, err);
    for (int r = 0; r < k->n_rows && status == NG_OK; r++) {
        if (interrupted)
            status = NG_E_CANCELLED;
        else if (!find_record(k, s->input, r))
            status = score_row_of(&c, r, err);
    }
    ng_image_clear(&c.mask);
    return status;
}

static json_t *find_done(void *context, int input)
{
    scoring *k = context;
    for (int r = 0; r < k->n_rows; r++)
        if (!find_record(k, input, r))
            return NULL;
    return json_true();
}

static void write_nothing(void *context, const slot *s, job *j)
{
    (void)context;
    (void)s;
    (void)j;
}

void score_images(void *context, ng_session *session, job *j)
{
    scoring *k = context;
    chunk_steps steps = {.model = k->j.model,
                         .in = &k->j.in,
                         .fit = &k->j.fit,
                         .batch = 1,
                         .context = k,
                         .find_recorded = find_done,
                         .write_recorded = write_nothing,
                         .do_item = score_image,
                         .write_failure = write_nothing};
    run_chunk(&steps, session, j);
}
