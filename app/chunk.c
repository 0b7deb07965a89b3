/* One job: pictures are loaded, their items run through the network in groups of the batch's size, and results written
 * in input order, also those of damaged images and of an earlier run. */
#include "work.h"

#include <stdlib.h>
#include <string.h>

typedef struct chunk {
    const chunk_steps *steps;
    ng_session *session;
    job *job;
    slot *slots;   /* [job->count] */
    float *gather; /* [batch,h,w,c], for more than one item a run */
    size_t one;    /* values of one input */
} chunk;

/* An item of a slot's picture, on its way through the network. */
typedef struct place {
    int slot, item;
} place;

static void fail(chunk *c, slot *s, const ng_error *err)
{
    s->failed = true;
    if (&s->err != err)
        s->err = *err;
    complain("%s", s->err.text);
    c->job->failed++;
    c->job->fatal = c->job->fatal || s->err.status == NG_E_MEMORY;
    c->steps->write_failure(c->steps->context, s, c->job);
}

/* The inputs of a group, one after the other; borrowed from the picture where it is alone. */
static const float *gather(const chunk *c, const place *group, int n)
{
    if (n == 1)
        return picture_input(&c->slots[group[0].slot].picture, group[0].item);
    for (int i = 0; i < n; i++)
        memcpy(c->gather + (size_t)i * c->one, picture_input(&c->slots[group[i].slot].picture, group[i].item),
               c->one * sizeof *c->gather);
    return c->gather;
}

static void run_group(chunk *c, const place *group, int n)
{
    ng_error err = {0};
    ng_status run = n ? ng_session_run(c->session, gather(c, group, n), n, &err) : NG_OK;
    for (int i = 0; i < n && !interrupted && !c->job->fatal; i++) {
        slot *s = &c->slots[group[i].slot];
        if (s->failed)
            continue;
        ng_status status = run != NG_OK ? run
                                        : c->steps->do_item(c->steps->context, c->session, i, s,
                                                            group[i].item, c->job, &err);
        if (status != NG_OK && status != NG_E_CANCELLED)
            fail(c, s, &err);
    }
}

static void load_slots(chunk *c)
{
    const chunk_steps *t = c->steps;
    for (int i = 0; i < c->job->count; i++) {
        slot *s = &c->slots[i];
        s->input = c->job->first + i;
        s->recorded = t->find_recorded ? t->find_recorded(t->context, s->input) : NULL;
        if (!s->recorded && !interrupted)
            s->failed = picture_load(t->model, t->in->paths[s->input], t->fit, &s->picture, &s->err) != NG_OK;
    }
}

static void run_slots(chunk *c)
{
    place group[256]; /* the batch's limit */
    int n = 0;
    for (int i = 0; i < c->job->count && !interrupted && !c->job->fatal; i++) {
        slot *s = &c->slots[i];
        if (s->recorded || s->failed) {
            run_group(c, group, n); /* what comes before it is written before it */
            n = 0;
        }
        if (s->recorded)
            c->steps->write_recorded(c->steps->context, s, c->job);
        else if (s->failed)
            fail(c, s, &s->err);
        else
            for (int item = 0; item < s->picture.n && !interrupted; item++) {
                group[n++] = (place){i, item};
                if (n == c->steps->batch) {
                    run_group(c, group, n);
                    n = 0;
                }
            }
    }
    run_group(c, group, n);
}

void run_chunk(const chunk_steps *steps, ng_session *session, job *j)
{
    ng_model_info info;
    ng_model_describe(steps->model, &info);
    chunk c = {.steps = steps, .session = session, .job = j};
    c.one = (size_t)info.input_height * (size_t)info.input_width * (size_t)info.input_channels;
    c.slots = calloc((size_t)j->count, sizeof *c.slots);
    c.gather = steps->batch > 1 ? malloc((size_t)steps->batch * c.one * sizeof *c.gather) : NULL;
    if (c.slots && (c.gather || steps->batch == 1)) {
        load_slots(&c);
        run_slots(&c);
        j->stopped = interrupted;
        for (int i = 0; i < j->count; i++) {
            picture_clear(&c.slots[i].picture);
            json_decref(c.slots[i].recorded);
        }
    } else {
        say_out_of_memory();
        j->fatal = true;
    }
    free(c.slots);
    free(c.gather);
}
