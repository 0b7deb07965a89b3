/* ng_compare: two models judged on the same images, what changed between them, and where each looked in the images that did. */
#include "api/evaluate.h"

#include "report/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the two models; its progress is told apart from the other's. */
typedef struct side {
    const ng_evaluate_opts *o; /* the caller's */
    int which;
    ng_evaluate_opts own;
    ngi_judging j;
} side;

typedef struct comparing {
    side sides[2];
    ngi_comparison c;
} comparing;

static int show(void *context, const char *what, int64_t done, int64_t total)
{
    static const char *const names[2][2] = {{"images by A", "images by B"},
                                            {"pictures of A", "pictures of B"}};
    const side *s = context;
    return s->o->progress(s->o->context, names[strcmp(what, "images") != 0][s->which], done, total);
}

/* ---- The same classes -------------------------------------------------------------------------- */

static int find_label(const ngi_report *r, const char *label)
{
    for (int k = 0; k < r->scores.k; k++)
        if (strcmp(r->labels[k], label) == 0)
            return k;
    return -1;
}

static ng_status match_classes(comparing *x, ng_error *err)
{
    const ngi_report *a = &x->sides[0].j.r, *b = &x->sides[1].j.r;
    int k = a->scores.k;
    if (k != b->scores.k)
        return ngi_fail(err, NG_E_ARGUMENT, "the models' classes differ: %s has %d, %s has %d",
                        x->sides[0].j.model->path, k, x->sides[1].j.model->path, b->scores.k);
    if (x->sides[0].j.labels != x->sides[1].j.labels)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "one model chooses a class, the other says yes or no to each: they cannot be "
                        "compared image by image");
    if (!(x->c.class_of_b = ngi_alloc((size_t)k, sizeof *x->c.class_of_b)))
        return ngi_fail_memory(err, (size_t)k * sizeof *x->c.class_of_b);
    for (int c = 0; c < k; c++) {
        x->c.class_of_b[c] = find_label(b, a->labels[c]);
        if (x->c.class_of_b[c] < 0)
            return ngi_fail(err, NG_E_ARGUMENT,
                            "the models' classes differ: '%.200s' is one of %s's and none of %s's",
                            a->labels[c], x->sides[0].j.model->path, x->sides[1].j.model->path);
    }
    return NG_OK;
}

/* ---- Figures ----------------------------------------------------------------------------------- */

/* The images that both have judged: reports list them in the data's order. */
static ng_status pair_images(comparing *x, ng_error *err)
{
    const ngi_report *a = &x->sides[0].j.r, *b = &x->sides[1].j.r;
    ngi_comparison *c = &x->c;
    for (int m = 0; m < 2; m++)
        if (!(c->image[m] = ngi_alloc((size_t)a->n, sizeof *c->image[m])))
            return ngi_fail_memory(err, (size_t)a->n * sizeof *c->image[m]);
    for (int64_t i = 0, j = 0; i < a->n && j < b->n;) {
        if (a->items[i] == b->items[j]) {
            c->image[0][c->n] = i++;
            c->image[1][c->n++] = j++;
        } else if (a->items[i] < b->items[j]) {
            i++;
        } else {
            j++;
        }
    }
    return c->n ? NG_OK : ngi_fail(err, NG_E_FORMAT, "there is no image that both models could judge");
}

static ng_status count_right(comparing *x, ng_error *err)
{
    ngi_comparison *c = &x->c;
    int k = c->of[0]->scores.k;
    if (!(c->classes = ngi_alloc_zero((size_t)k, sizeof *c->classes)))
        return ngi_fail_memory(err, (size_t)k * sizeof *c->classes);
    for (int64_t i = 0; i < c->n; i++) {
        bool a = ngi_report_right(c->of[0], c->image[0][i]), b = ngi_report_right(c->of[1], c->image[1][i]);
        ngi_compared_class *f = &c->classes[ngi_report_truth(c->of[0], c->image[0][i])];
        c->count[a][b]++;
        f->images++;
        f->right[0] += a;
        f->right[1] += b;
        f->gained += b && !a;
        f->lost += a && !b;
    }
    for (int t = 0; t < k; t++)
        c->classes[t].p = ngi_mcnemar(c->classes[t].gained, c->classes[t].lost);
    c->p = ngi_mcnemar(c->count[0][1], c->count[1][0]);
    return NG_OK;
}

/* values [3][n]: A's, B's, B's less A's share of the map on the object, NaN where one has none. */
static void pair_energies(comparing *x, double *values)
{
    ngi_comparison *c = &x->c;
    const double *a = c->of[0]->energy, *b = c->of[1]->energy;
    for (int64_t i = 0; i < c->n; i++) {
        double before = a && b ? a[c->image[0][i]] : NAN, after = a && b ? b[c->image[1][i]] : NAN;
        double change = after - before;
        c->placed += !isnan(change);
        values[i] = isnan(change) ? NAN : before;
        values[c->n + i] = isnan(change) ? NAN : after;
        values[2 * c->n + i] = change;
    }
}

static ng_status find_figures(comparing *x, ng_error *err)
{
    ngi_comparison *c = &x->c;
    double *values = ngi_alloc((size_t)c->n * 3, sizeof *values);
    if (!values)
        return ngi_fail_memory(err, (size_t)c->n * 3 * sizeof *values);
    for (int64_t i = 0; i < c->n; i++)
        values[i] = ngi_report_right(c->of[1], c->image[1][i]) - ngi_report_right(c->of[0], c->image[0][i]);
    ng_status status = ngi_mean_interval(values, c->n, x->sides[0].o, &c->accuracy_change, err);
    double confidence = x->sides[0].o->confidence;
    c->accuracy[0] = ngi_wilson(c->count[1][0] + c->count[1][1], c->n, confidence);
    c->accuracy[1] = ngi_wilson(c->count[0][1] + c->count[1][1], c->n, confidence);
    pair_energies(x, values);
    ngi_interval *const means[] = {&c->energy[0], &c->energy[1], &c->energy_change};
    for (int k = 0; k < 3 && status == NG_OK; k++)
        status = ngi_mean_interval(values + k * c->n, c->n, x->sides[0].o, means[k], err);
    ngi_free(values);
    return status;
}

/* ---- Images ------------------------------------------------------------------------------------ */

typedef struct changed {
    int64_t at;  /* in image[m] */
    double loss; /* how much it fell; how much it rose */
} changed;

static int by_loss(const void *a, const void *b)
{
    const changed *x = a, *y = b;
    if (x->loss != y->loss)
        return x->loss > y->loss ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Images that only B (b) or only A (!b) gets right, largest change first; returns how many. out [n] */
static int64_t list_changed(const ngi_comparison *c, bool b, changed *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->n; i++) {
        const int64_t at[2] = {c->image[0][i], c->image[1][i]};
        if (ngi_report_right(c->of[1], at[1]) != b || ngi_report_right(c->of[0], at[0]) == b)
            continue;
        double fell = c->of[0]->figures.loss[at[0]] - c->of[1]->figures.loss[at[1]];
        out[n++] = (changed){i, b ? fell : -fell};
    }
    if (n)
        qsort(out, (size_t)n, sizeof *out, by_loss);
    return n;
}

static ng_status make_exhibits(comparing *x, const changed *list, int64_t n, ng_error *err)
{
    ngi_comparison *c = &x->c;
    for (int m = 0; m < 2; m++) {
        ngi_report *r = &x->sides[m].j.r;
        if (!(r->exhibits = ngi_alloc_zero((size_t)(n ? n : 1), sizeof *r->exhibits)))
            return ngi_fail_memory(err, (size_t)n * sizeof *r->exhibits);
        r->n_exhibits = n;
        for (int64_t i = 0; i < n; i++) {
            ngi_exhibit *e = &r->exhibits[i];
            e->image = c->image[m][list[i].at];
            e->n_maps = 1;
            int truth = ngi_report_truth(c->of[0], c->image[0][list[i].at]);
            e->class_index[0] = m ? c->class_of_b[truth] : truth;
        }
    }
    return NG_OK;
}

static ng_status select_images(comparing *x, ng_error *err)
{
    ngi_comparison *c = &x->c;
    int64_t most = x->sides[0].o->pictures;
    changed *list = ngi_alloc((size_t)c->n * 2, sizeof *list);
    if (!list)
        return ngi_fail_memory(err, (size_t)c->n * 2 * sizeof *list);
    int64_t fixed = list_changed(c, true, list);
    c->fixed = fixed < most ? fixed : most;
    int64_t broken = list_changed(c, false, list + c->fixed);
    c->broken = broken < most ? broken : most;
    ng_status status = make_exhibits(x, list, c->fixed + c->broken, err);
    ngi_free(list);
    return status;
}

/* ---- The whole --------------------------------------------------------------------------------- */

/* A failure says whose it is. */
static ng_status say_which(const side *s, ng_status status, ng_error *err)
{
    if (status != NG_OK && status != NG_E_CANCELLED && status != NG_E_MEMORY)
        ngi_error_prefix(err, "%c, %s", 'A' + s->which, s->j.model->path);
    return status;
}

static ng_status compare(comparing *x, const char *folder, ng_error *err)
{
    for (int m = 0; m < 2; m++)
        NGI_TRY(say_which(&x->sides[m], ngi_judging_open(&x->sides[m].j, err), err));
    NGI_TRY(match_classes(x, err));
    for (int m = 0; m < 2; m++)
        NGI_TRY(say_which(&x->sides[m], ngi_judge(&x->sides[m].j, err), err));
    NGI_TRY(pair_images(x, err));
    NGI_TRY(count_right(x, err));
    NGI_TRY(find_figures(x, err));
    NGI_TRY(select_images(x, err));
    for (int m = 0; m < 2; m++) {
        side *s = &x->sides[m];
        NGI_TRY(ngi_exhibit_draw(s->j.model, &s->j.r, &s->j.view, s->j.session, s->j.o, err));
        ngi_judging_add_facts(&s->j);
    }
    return ngi_comparison_save(&x->c, folder, err);
}

static void summarise(const ngi_comparison *c, ng_comparison *out)
{
    *out = (ng_comparison){.images = c->n,
                           .both_right = c->count[1][1],
                           .only_a = c->count[1][0],
                           .only_b = c->count[0][1],
                           .both_wrong = c->count[0][0],
                           .unreadable = ngi_comparison_unread(c),
                           .gone = ngi_comparison_gone(c),
                           .accuracy = {ngi_figure_of(c->accuracy[0]), ngi_figure_of(c->accuracy[1])},
                           .accuracy_change = ngi_figure_of(c->accuracy_change),
                           .p = c->p,
                           .placed = c->placed,
                           .energy = {ngi_figure_of(c->energy[0]), ngi_figure_of(c->energy[1])},
                           .energy_change = ngi_figure_of(c->energy_change)};
    snprintf(out->split, sizeof out->split, "%s", c->of[0]->split);
}

/* The options of one side: its own layer and progress. */
static void open_side(side *s, int which, const ng_model *model, const ngi_dataset *data, const char *name,
                      const ng_evaluate_opts *o, const int *layers)
{
    s->o = o;
    s->which = which;
    s->own = *o;
    s->own.layer = layers ? layers[which] : -1;
    s->own.title = NULL; /* the model's path */
    s->own.progress = o->progress ? show : NULL;
    s->own.context = s;
    s->j = (ngi_judging){.model = model, .data = data, .name = name, .o = &s->own};
}

ng_status ng_compare(const ng_model *a, const ng_model *b, const char *data, const char *folder,
                     const ng_evaluate_opts *opts, const int *layers, ng_comparison *out, ng_error *err)
{
    ng_evaluate_opts defaults;
    ng_evaluate_opts_init(&defaults);
    const ng_evaluate_opts *o = opts ? opts : &defaults;
    if (out)
        *out = (ng_comparison){0};
    ngi_dataset d;
    NGI_TRY(ngi_dataset_open(data, NULL, &d, err));
    comparing *x = ngi_alloc_zero(1, sizeof *x);
    ng_status status = x ? NG_OK : ngi_fail_memory(err, sizeof *x);
    if (x) {
        open_side(&x->sides[0], 0, a, &d, data, o, layers);
        open_side(&x->sides[1], 1, b, &d, data, o, layers);
        x->c.title = o->title ? o->title : "Two models on the same images";
        x->c.of[0] = &x->sides[0].j.r;
        x->c.of[1] = &x->sides[1].j.r;
        status = compare(x, folder, err);
        if (status == NG_OK && out)
            summarise(&x->c, out);
        ngi_comparison_clear(&x->c);
        for (int m = 0; m < 2; m++)
            ngi_judging_clear(&x->sides[m].j);
    }
    ngi_free(x);
    ngi_dataset_clear(&d);
    return status;
}
