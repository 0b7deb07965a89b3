/* Which images are worth looking at. Ties are broken by the images' order, so that a page is the same every time. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>

enum { PER_CELL = 6, PER_CLASS = 2, MOST_SURE_CLASSES = 24 };
#define MISPLACED 0.5 /* right, but less than this share of the map in the mask */
#define LITTLE    0.1 /* a loss that is nothing to look at: right and 90 % sure */

/* An image that may be shown: of a group (a cell of the confusion matrix, a class), the lowest key first. */
typedef struct candidate {
    int64_t image, group, size; /* size of its group */
    int classes[2], n_classes;
    double key;
    int rank; /* in its group */
} candidate;

typedef struct candidates {
    candidate *c;
    int64_t n;
    size_t capacity;
} candidates;

int ngi_report_truth(const ngi_report *r, int64_t image)
{
    if (!r->scores.label)
        return r->scores.truth[image];
    for (int c = 0; c < r->scores.k; c++)
        if (r->scores.label[image * r->scores.k + c])
            return c;
    return 0;
}

bool ngi_report_right(const ngi_report *r, int64_t image)
{
    if (!r->scores.label)
        return r->figures.predicted[image] == r->scores.truth[image];
    for (int64_t at = image * r->scores.k; at < (image + 1) * r->scores.k; at++)
        if ((r->scores.logits[at] > 0) != (r->scores.label[at] != 0))
            return false;
    return true;
}

static ng_status add(candidates *list, candidate c, ng_error *err)
{
    void *array = list->c;
    NGI_TRY(ngi_data_grow(&array, &list->capacity, (size_t)list->n, sizeof c, err));
    list->c = array;
    list->c[list->n++] = c;
    return NG_OK;
}

/* ---- Orders ----------------------------------------------------------------------------------- */

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int by_group(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    int order = (x->group > y->group) - (x->group < y->group);
    order = order ? order : compare(x->key, y->key);
    return order ? order : (x->image > y->image) - (x->image < y->image);
}

static int by_key(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    int order = compare(x->key, y->key);
    return order ? order : (x->image > y->image) - (x->image < y->image);
}

/* The first of every group, the largest groups first, then the second ones. */
static int by_rank(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank - y->rank;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return by_group(a, b);
}

static void sort(candidates *list, int (*order)(const void *, const void *))
{
    if (list->n > 0)
        qsort(list->c, (size_t)list->n, sizeof *list->c, order);
}

/* Keeps `most` of all, `each` of a group at most, by group. */
static void thin(candidates *list, int each, int64_t most)
{
    sort(list, by_group);
    int64_t kept = 0;
    for (int64_t i = 0, end; i < list->n; i = end) {
        for (end = i; end < list->n && list->c[end].group == list->c[i].group;)
            end++;
        for (int64_t k = i; k < end; k++) {
            list->c[k].rank = (int)(k - i);
            list->c[k].size = end - i;
        }
    }
    for (int64_t i = 0; i < list->n; i++)
        if (list->c[i].rank < each)
            list->c[kept++] = list->c[i];
    list->n = kept;
    sort(list, by_rank);
    list->n = list->n < most ? list->n : most;
    sort(list, by_group);
}

/* ---- Sections --------------------------------------------------------------------------------- */

/* The class that the image's loss comes from most, with labels. */
static int worst_class(const ngi_report *r, int64_t image)
{
    int worst = 0;
    double most = -INFINITY;
    for (int c = 0; c < r->scores.k; c++) {
        double z = r->scores.logits[image * r->scores.k + c];
        double loss = r->scores.label[image * r->scores.k + c] ? -z : z;
        if (loss > most) {
            most = loss;
            worst = c;
        }
    }
    return worst;
}

static candidate candidate_of(const ngi_report *r, int64_t image, double key)
{
    candidate c = {.image = image, .key = key, .n_classes = 1, .classes = {r->figures.predicted[image]}};
    if (r->scores.label)
        c.classes[0] = worst_class(r, image);
    else if (c.classes[0] != r->scores.truth[image])
        c.classes[c.n_classes++] = r->scores.truth[image];
    return c;
}

static ng_status list_losses(const ngi_report *r, int64_t most, candidates *out, ng_error *err)
{
    for (int64_t i = 0; i < r->n; i++)
        if (!ngi_report_right(r, i) || r->figures.loss[i] > LITTLE)
            NGI_TRY(add(out, candidate_of(r, i, -r->figures.loss[i]), err));
    sort(out, by_key);
    out->n = out->n < most ? out->n : most;
    return NG_OK;
}

/* Grouped by the cell of the confusion matrix; with labels by class and kind: missed, then wrongly said. */
static ng_status list_mistakes(const ngi_report *r, int64_t most, candidates *out, ng_error *err)
{
    int k = r->scores.k;
    for (int64_t i = 0; i < r->n; i++) {
        candidate c = candidate_of(r, i, -r->figures.loss[i]);
        c.group = (int64_t)ngi_report_truth(r, i) * k + r->figures.predicted[i];
        if (!r->scores.label && c.n_classes == 2)
            NGI_TRY(add(out, c, err));
        for (int l = 0; r->scores.label && l < k; l++) {
            double z = r->scores.logits[i * k + l];
            bool has = r->scores.label[i * k + l] != 0;
            if ((z > 0) == has)
                continue;
            c = (candidate){.image = i, .group = 2 * (int64_t)l + !has, .key = has ? z : -z};
            c.classes[0] = l;
            c.n_classes = 1;
            NGI_TRY(add(out, c, err));
        }
    }
    thin(out, PER_CELL, most);
    return NG_OK;
}

static ng_status list_misplaced(const ngi_report *r, int64_t most, candidates *out, ng_error *err)
{
    for (int64_t i = 0; r->energy && i < r->n; i++)
        if (ngi_report_right(r, i) && r->energy[i] < MISPLACED) {
            candidate c = candidate_of(r, i, r->energy[i]);
            c.classes[0] = r->figures.predicted[i];
            NGI_TRY(add(out, c, err));
        }
    sort(out, by_key);
    out->n = out->n < most ? out->n : most;
    return NG_OK;
}

static ng_status list_surest(const ngi_report *r, candidates *out, ng_error *err)
{
    for (int64_t i = 0; i < r->n; i++)
        if (ngi_report_right(r, i)) {
            candidate c = candidate_of(r, i, r->figures.loss[i]);
            c.group = c.classes[0] = ngi_report_truth(r, i);
            NGI_TRY(add(out, c, err));
        }
    thin(out, PER_CLASS, (int64_t)PER_CLASS * MOST_SURE_CLASSES);
    return NG_OK;
}

/* ---- Exhibits --------------------------------------------------------------------------------- */

static int64_t find(const ngi_report *r, const candidate *c)
{
    for (int64_t i = 0; i < r->n_exhibits; i++) {
        const ngi_exhibit *e = &r->exhibits[i];
        bool same = e->image == c->image && e->n_maps == c->n_classes;
        for (int k = 0; k < c->n_classes; k++)
            same = same && e->class_index[k] == c->classes[k];
        if (same)
            return i;
    }
    return -1;
}

/* One exhibit serves all sections that show the same. */
static ng_status exhibit(ngi_report *r, candidates *from, size_t *capacity, ngi_exhibit_list *out,
                         ng_error *err)
{
    out->at = ngi_alloc((size_t)from->n, sizeof *out->at);
    if (!out->at)
        return ngi_fail_memory(err, (size_t)from->n * sizeof *out->at);
    for (int64_t i = 0; i < from->n; i++) {
        const candidate *c = &from->c[i];
        int64_t at = find(r, c);
        if (at < 0) {
            void *array = r->exhibits;
            NGI_TRY(ngi_data_grow(&array, capacity, (size_t)r->n_exhibits, sizeof *r->exhibits, err));
            r->exhibits = array;
            at = r->n_exhibits++;
            r->exhibits[at] = (ngi_exhibit){
                .image = c->image, .n_maps = c->n_classes, .class_index = {c->classes[0], c->classes[1]}};
        }
        out->at[out->n++] = at;
    }
    return NG_OK;
}

ng_status ngi_report_select(ngi_report *r, int pictures, ng_error *err)
{
    candidates lists[4] = {0};
    ngi_exhibit_list *out[4] = {&r->losses, &r->mistakes, &r->misplaced, &r->surest};
    size_t capacity = 0;
    ng_status status = list_losses(r, pictures, &lists[0], err);
    if (status == NG_OK)
        status = list_mistakes(r, 8 * (int64_t)pictures, &lists[1], err);
    if (status == NG_OK)
        status = list_misplaced(r, pictures, &lists[2], err);
    if (status == NG_OK && pictures > 0)
        status = list_surest(r, &lists[3], err);
    for (int i = 0; i < 4; i++) {
        if (status == NG_OK)
            status = exhibit(r, &lists[i], &capacity, out[i], err);
        ngi_free(lists[i].c);
    }
    return status;
}

void ngi_report_clear(ngi_report *r)
{
    for (int64_t i = 0; i < r->n_exhibits; i++) {
        ngi_buffer_clear(&r->exhibits[i].photo);
        ngi_buffer_clear(&r->exhibits[i].heatmap[0]);
        ngi_buffer_clear(&r->exhibits[i].heatmap[1]);
    }
    ngi_free(r->exhibits);
    for (int i = 0; r->labels && i < r->scores.k; i++)
        ngi_free(r->labels[i]);
    ngi_free(r->labels);
    for (int64_t i = 0; i < r->n_unread; i++)
        ngi_free(r->unread[i].reason);
    ngi_free(r->unread);
    for (int i = 0; i < r->n_facts; i++)
        ngi_free(r->facts[i].value);
    ngi_free((void *)r->scores.logits);
    ngi_free((void *)r->scores.truth);
    ngi_free((void *)r->scores.label);
    ngi_free(r->items);
    ngi_free(r->energy);
    ngi_free(r->area);
    ngi_free(r->losses.at);
    ngi_free(r->mistakes.at);
    ngi_free(r->misplaced.at);
    ngi_free(r->surest.at);
    ngi_classification_clear(&r->figures);
    *r = (ngi_report){0};
}
