/* compare.json and compare.csv, and the order in which all is written: the page last. */
#include "report/compare.h"

#include "report/html.h"

#include <math.h>

void ngi_comparison_clear(ngi_comparison *c)
{
    for (int m = 0; m < 2; m++)
        ngi_free(c->image[m]);
    ngi_free(c->class_of_b);
    ngi_free(c->classes);
    *c = (ngi_comparison){0};
}

int64_t ngi_comparison_unread(const ngi_comparison *c)
{
    return c->of[0]->n_unread > c->of[1]->n_unread ? c->of[0]->n_unread : c->of[1]->n_unread;
}

int64_t ngi_comparison_gone(const ngi_comparison *c)
{
    return c->of[0]->n_gone > c->of[1]->n_gone ? c->of[0]->n_gone : c->of[1]->n_gone;
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static void put_classes(ngi_page *p, const ngi_comparison *c)
{
    ngi_put(p, "  \"classes\": [");
    for (int k = 0; k < c->of[0]->scores.k; k++) {
        const ngi_compared_class *f = &c->classes[k];
        ngi_putf(p, "%s\n    {\"label\": ", k ? "," : "");
        ngi_put_json(p, c->of[0]->labels[k]);
        ngi_putf(p,
                 ", \"images\": %lld, \"right_a\": %lld, \"right_b\": %lld, \"gained\": %lld, \"lost\": "
                 "%lld, \"p\": ",
                 (long long)f->images, (long long)f->right[0], (long long)f->right[1], (long long)f->gained,
                 (long long)f->lost);
        ngi_put_number(p, f->p);
        ngi_put(p, "}");
    }
    ngi_put(p, "\n  ],\n");
}

static void put_json(const ngi_comparison *c, ngi_page *p)
{
    const ngi_report *a = c->of[0], *b = c->of[1];
    ngi_put(p, "{\n  \"title\": ");
    ngi_put_json(p, c->title);
    ngi_putf(p,
             ",\n  \"split\": \"%s\", \"images\": %lld, \"unreadable\": %lld, \"gone\": %lld,\n"
             "  \"both_right\": %lld, \"only_a\": %lld, \"only_b\": %lld, \"both_wrong\": %lld,\n  ",
             a->split, (long long)c->n, (long long)ngi_comparison_unread(c),
             (long long)ngi_comparison_gone(c), (long long)c->count[1][1], (long long)c->count[1][0],
             (long long)c->count[0][1], (long long)c->count[0][0]);
    const char *const names[] = {"accuracy_a",       "accuracy_b",       "accuracy_change",
                                 "energy_in_mask_a", "energy_in_mask_b", "energy_in_mask_change"};
    const ngi_interval figures[] = {c->accuracy[0], c->accuracy[1], c->accuracy_change,
                                    c->energy[0],   c->energy[1],   c->energy_change};
    for (int i = 0; i < 6; i++) {
        ngi_json_interval(p, names[i], figures[i]);
        ngi_put(p, i % 3 == 2 ? ",\n  " : ", ");
    }
    ngi_put(p, "\"p\": ");
    ngi_put_number(p, c->p);
    ngi_putf(p, ", \"images_with_energy\": %lld, \"confidence\": %g, \"bootstrap\": %d,\n",
             (long long)c->placed, a->confidence, a->resamples);
    put_classes(p, c);
    ngi_put(p, "  \"a\": ");
    ngi_json_facts(p, a);
    ngi_put(p, ",\n  \"b\": ");
    ngi_json_facts(p, b);
    ngi_put(p, "\n}\n");
}

/* ---- CSV --------------------------------------------------------------------------------------- */

static void put_csv(const ngi_comparison *c, ngi_page *p)
{
    const char *const columns[] = {"predicted", "right", "loss", "energy_in_mask"};
    ngi_put(p, "path,label");
    for (int k = 0; k < 4; k++)
        for (int m = 0; m < 2; m++)
            ngi_putf(p, ",%s_%c", columns[k], 'a' + m);
    ngi_put(p, "\n");
    for (int64_t i = 0; i < c->n; i++) {
        const ngi_report *a = c->of[0];
        ngi_put_csv(p, a->data->items[a->items[c->image[0][i]]].path);
        ngi_put(p, ",");
        ngi_csv_truth(p, a, c->image[0][i]);
        for (int k = 0; k < 4; k++)
            for (int m = 0; m < 2; m++) {
                const ngi_report *r = c->of[m];
                int64_t at = c->image[m][i];
                ngi_put(p, ",");
                if (k == 0)
                    ngi_csv_said(p, r, at);
                else if (k == 1)
                    ngi_putf(p, "%d", ngi_report_right(r, at));
                else if (k == 2)
                    ngi_putf(p, "%.9g", r->figures.loss[at]);
                else if (r->energy && !isnan(r->energy[at]))
                    ngi_putf(p, "%.9g", r->energy[at]);
            }
        ngi_put(p, "\n");
    }
}

/* ---- All --------------------------------------------------------------------------------------- */

ng_status ngi_comparison_save(const ngi_comparison *c, const char *folder, ng_error *err)
{
    void (*const write[])(const ngi_comparison *, ngi_page *) = {put_csv, put_json, ngi_comparison_html};
    const char *const names[] = {"compare.csv", "compare.json", "compare.html"};
    for (int i = 0; i < 3; i++) {
        ngi_page page = {0};
        write[i](c, &page);
        ng_status status = ngi_page_save(&page, folder, names[i], err);
        ngi_page_clear(&page);
        NGI_TRY(status);
    }
    return NG_OK;
}
