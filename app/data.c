/* netgaze duplicates and netgaze augment-preview: a data set looked at before it is learnt from. */
#include "app.h"
#include "work.h"

#include <string.h>

static int one_argument(const settings *s, const char *name)
{
    if (s->n_arguments == 1)
        return EXIT_DONE;
    complain("%s: expected one folder or CSV file of images by class, found %d arguments", name,
             s->n_arguments);
    return EXIT_USAGE;
}

static int show(void *context, int64_t done, int64_t total)
{
    progress *p = context;
    p->total = (int)total;
    progress_show(p, (int)done);
    return interrupted != 0;
}

static json_t *pair_json(const ng_duplicate *d)
{
    json_t *o = json_object();
    json_object_set_new(o, "first", json_text(d->first));
    json_object_set_new(o, "second", json_text(d->second));
    json_object_set_new(o, "first_class", json_text(d->first_class));
    json_object_set_new(o, "second_class", json_text(d->second_class));
    json_object_set_new(o, "first_split", json_text(d->first_split));
    json_object_set_new(o, "second_split", json_text(d->second_split));
    json_object_set_new(o, "bits", json_integer(d->bits));
    json_object_set_new(o, "correlation", json_number(d->correlation));
    return o;
}

static void print_pair(const ng_duplicate *d)
{
    const char *remark = strcmp(d->first_split, d->second_split) != 0   ? "in two splits"
                         : strcmp(d->first_class, d->second_class) != 0 ? "in two classes"
                                                                        : "";
    printf("%2d bits  %.4f  %-14s  %s  %s\n", d->bits, d->correlation, remark, d->first, d->second);
}

static bool print_duplicates(const settings *s, const ng_duplicates *d)
{
    for (int64_t i = 0; i < d->count; i++) {
        if (!s->json)
            print_pair(&d->pairs[i]);
        else if (!write_json_line(stdout, pair_json(&d->pairs[i])))
            return false;
    }
    if (!s->json)
        printf("%lld images, %lld near-duplicate pairs, %lld of them in two splits\n", (long long)d->images,
               (long long)d->count, (long long)d->across_splits);
    return true;
}

int run_duplicates(const settings *s)
{
    int code = one_argument(s, "duplicates");
    if (code != EXIT_DONE)
        return code;
    progress p;
    ng_duplicates found;
    ng_error err;
    progress_begin(&p, "images", 2, !s->quiet); /* how many there are is known when they are read */
    ng_status status = ng_duplicates_find(s->arguments[0], threads_of(s), show, &p, &found, &err);
    progress_end(&p);
    if (status != NG_OK) {
        complain("%s", err.text);
        return data_failure_code(status);
    }
    code = print_duplicates(s, &found) ? EXIT_DONE : say_out_of_memory();
    if (code == EXIT_DONE && found.unreadable) {
        complain("%lld images could not be read", (long long)found.unreadable);
        code = EXIT_SOME_FAILED;
    }
    ng_duplicates_clear(&found);
    return code;
}

int run_augment_preview(const settings *s)
{
    enum { SIDE = 160 };
    int code = one_argument(s, "augment-preview");
    if (code != EXIT_DONE)
        return code;
    if (!s->output || !s->augment) {
        complain("augment-preview: expected %s",
                 s->output ? "--augment, such as flip=horizontal,rotation=0.05" : "-o FILE.png");
        return EXIT_USAGE;
    }
    ng_image sheet;
    ng_error err;
    ng_status status = ng_augment_sheet(s->arguments[0], s->augment, s->images, s->variants, SIDE,
                                        (uint64_t)(s->seed < 0 ? 0 : s->seed), &sheet, &err);
    if (status != NG_OK) {
        complain("%s", err.text);
        return data_failure_code(status);
    }
    status = ng_image_save(&sheet, s->output, &err);
    ng_image_clear(&sheet);
    if (status == NG_OK)
        return EXIT_DONE;
    complain("%s", err.text);
    return status == NG_E_ARGUMENT || status == NG_E_UNSUPPORTED ? EXIT_USAGE : EXIT_ENVIRONMENT;
}
