/* Data sets for the public functions: near-duplicates, and a look at an augmentation. */
#include "data/augment.h"
#include "data/data.h"
#include "data/duplicates.h"
#include "image/image.h"

#include <string.h>

struct ng_data {
    ngi_dataset set;
};

ng_status ng_data_open(const char *path, ng_data **out, ng_error *err)
{
    *out = NULL;
    ng_data *d = ngi_alloc_zero(1, sizeof *d);
    if (!d)
        return ngi_fail_memory(err, sizeof *d);
    ng_status status = ngi_dataset_open(path, NULL, &d->set, err);
    if (status == NG_OK)
        *out = d;
    else
        ng_data_free(d);
    return status;
}

void ng_data_free(ng_data *d)
{
    if (d)
        ngi_dataset_clear(&d->set);
    ngi_free(d);
}

int64_t ng_data_count(const ng_data *d)
{
    return d->set.n_items;
}

void ng_data_at(const ng_data *d, int64_t i, ng_data_item *out)
{
    const ngi_data_item *item = &d->set.items[i];
    *out = (ng_data_item){.path = item->path,
                          .label = d->set.classes[item->class_index],
                          .split = d->set.given_splits ? ngi_split_name(item->split) : "",
                          .group = item->group,
                          .mask = item->mask};
    memcpy(out->box, item->box, sizeof out->box);
}

static void fill_pairs(const ngi_dataset *d, const ngi_duplicates *found, ng_duplicates *out)
{
    for (int64_t i = 0; i < found->n; i++) {
        const ngi_duplicate *p = &found->pairs[i];
        const ngi_data_item *a = &d->items[p->first], *b = &d->items[p->second];
        out->pairs[i] = (ng_duplicate){.first = a->path,
                                       .second = b->path,
                                       .first_class = d->classes[a->class_index],
                                       .second_class = d->classes[b->class_index],
                                       .first_split = d->given_splits ? ngi_split_name(a->split) : "",
                                       .second_split = d->given_splits ? ngi_split_name(b->split) : "",
                                       .bits = p->bits,
                                       .correlation = p->correlation};
        out->across_splits += a->split != b->split;
    }
    out->images = d->n_items;
    out->unreadable = found->unreadable;
    out->count = found->n;
}

ng_status ng_duplicates_find(const char *data, int threads,
                             int (*progress)(void *context, int64_t done, int64_t total), void *context,
                             ng_duplicates *out, ng_error *err)
{
    *out = (ng_duplicates){0};
    ngi_dataset *d = ngi_alloc_zero(1, sizeof *d);
    if (!d)
        return ngi_fail_memory(err, sizeof *d);
    ngi_duplicates found = {0};
    ng_status status = ngi_dataset_open(data, NULL, d, err);
    if (status == NG_OK)
        status = ngi_duplicates_find(d, threads, progress, context, &found, err);
    if (status == NG_OK && !(out->pairs = ngi_alloc_zero((size_t)found.n, sizeof *out->pairs)))
        status = ngi_fail_memory(err, (size_t)found.n * sizeof *out->pairs);
    if (status == NG_OK)
        fill_pairs(d, &found, out);
    ngi_duplicates_clear(&found);
    out->owner = d; /* the paths are its own */
    if (status != NG_OK)
        ng_duplicates_clear(out);
    return status;
}

void ng_duplicates_clear(ng_duplicates *d)
{
    if (d->owner)
        ngi_dataset_clear(d->owner);
    ngi_free(d->owner);
    ngi_free(d->pairs);
    *d = (ng_duplicates){0};
}

const char *ng_augment_help(int i, const char **name)
{
    return ngi_augment_help(i, name);
}

typedef struct sheet {
    ngi_augment augment;
    ngi_dataset data;
    int images, variants, side;
    uint64_t seed;
    ng_image *cells; /* [images][1 + variants] */
    char **captions;
    float *values, *work; /* [side,side,3] */
} sheet;

static ng_status load_cell(const sheet *s, int64_t item, ng_image *out, ng_error *err)
{
    ng_image_opts opts;
    ng_image whole;
    ng_image_opts_init(&opts);
    opts.channels = 3;
    NGI_TRY(ng_image_load(s->data.items[item].path, &opts, &whole, err));
    ng_status status =
        ng_image_fit(&whole, s->side, s->side, NG_FIT_SQUASH, NG_RESAMPLE_PIL_BILINEAR, 0, out, NULL, err);
    ng_image_clear(&whole);
    return status;
}

/* The image and its variants: cells and captions from `first` on. */
static ng_status draw_row(sheet *s, int64_t item, int first, ng_error *err)
{
    int size = s->side * s->side * 3;
    NGI_TRY(load_cell(s, item, &s->cells[first], err));
    s->captions[first] = ngi_strdup(s->data.classes[s->data.items[item].class_index]);
    for (int v = 1; v <= s->variants; v++) {
        for (int i = 0; i < size; i++)
            s->values[i] = s->cells[first].data[i];
        ngi_augment_image(&s->augment, s->seed, v, item, s->values, s->work, s->side, s->side, 3);
        NGI_TRY(ngi_image_create(s->side, s->side, 3, &s->cells[first + v], err));
        for (int i = 0; i < size; i++)
            s->cells[first + v].data[i] = (uint8_t)(s->values[i] + 0.5f);
        s->captions[first + v] = ngi_sprintf("epoch %d", v);
    }
    for (int v = 0; v <= s->variants; v++)
        if (!s->captions[first + v])
            return ngi_fail_memory(err, 64);
    return NG_OK;
}

static ng_status draw_sheet(sheet *s, const char *title, ng_image *out, ng_error *err)
{
    size_t cells = (size_t)s->images * (size_t)(s->variants + 1),
           size = (size_t)s->side * (size_t)s->side * 3;
    s->cells = ngi_alloc_zero(cells, sizeof *s->cells);
    s->captions = ngi_alloc_zero(cells, sizeof *s->captions);
    s->values = ngi_alloc(size, sizeof *s->values);
    s->work = ngi_alloc(size, sizeof *s->work);
    if (!s->cells || !s->captions || !s->values || !s->work)
        return ngi_fail_memory(err, size * sizeof *s->values);
    for (int i = 0; i < s->images; i++)
        NGI_TRY(draw_row(s, s->data.n_items * i / s->images, i * (s->variants + 1), err));
    return ng_render_grid(s->cells, (const char *const *)s->captions, (int)cells, s->variants + 1, title, out,
                          err);
}

ng_status ng_augment_sheet(const char *data, const char *augment, int images, int variants, int side,
                           uint64_t seed, ng_image *out, ng_error *err)
{
    *out = (ng_image){0};
    if (images < 1 || variants < 0 || side < 1 || images > 1000 || variants > 1000 || side > 4096)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "a sheet of %d images with %d variants of %d pixels cannot be drawn", images,
                        variants, side);
    sheet s = {.images = images, .variants = variants, .side = side, .seed = seed};
    NGI_TRY(ngi_augment_parse(augment, &s.augment, err));
    NGI_TRY(ngi_dataset_open(data, NULL, &s.data, err));
    s.images = s.data.n_items < images ? (int)s.data.n_items : images;
    ng_status status = draw_sheet(&s, augment, out, err);
    for (int i = 0; i < s.images * (variants + 1); i++) {
        if (s.cells)
            ng_image_clear(&s.cells[i]);
        if (s.captions)
            ngi_free(s.captions[i]);
    }
    ngi_free(s.cells);
    ngi_free(s.captions);
    ngi_free(s.values);
    ngi_free(s.work);
    ngi_dataset_clear(&s.data);
    return status;
}
